//! The server as its clients see it: kube, kubectl, raw HTTP and WebSockets, and a store that is
//! killed at any time.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a wrong assumption of a test is a failed test"
)]

#[path = "../common/mod.rs"]
mod common;

mod access;
mod clients;
mod crash;
mod crowd;
mod custom;
mod deletion;
mod faults;
mod full_disk;
mod kinds;
mod kubectl;
mod objects;
mod power;
mod quotas;
mod support;
mod watching;
mod webhooks;
