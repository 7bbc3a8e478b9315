//! The controllers against the embedded API server, in process.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail like tests"
)]

mod faults;
mod garbage;
mod home;
mod kubelet;
mod namespaces;
mod quiet;
mod scheduling;
mod services;
mod storage;
mod workloads;
