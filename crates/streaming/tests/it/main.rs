//! The protocols end to end: real clients against a small server with a fake node behind it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail like tests"
)]

mod kube_client;
mod kubectl;
mod support;
mod wire;
