//! Integration tests: real processes in real namespaces.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on must stop there"
)]

mod cluster;
mod pods;
mod sandbox;
mod support;
