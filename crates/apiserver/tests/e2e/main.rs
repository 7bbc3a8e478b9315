//! Long tests of the server. `make e2e` runs them.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a wrong assumption of a test is a failed test"
)]

#[path = "../common/mod.rs"]
mod common;

mod kills;
mod power;
