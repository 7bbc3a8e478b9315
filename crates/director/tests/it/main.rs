//! The operator of virtual clusters against the embedded API server, with only the rights it asks for.
//! Pods are started by the test; what is run in them is the agent itself, in a directory for each. Where
//! only what is made and said matters, there are none.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test stops at the first surprise"
)]

mod autoscale;
mod grow;
mod house;
mod judged;
mod members;
mod originals;
mod restore;
mod room;
mod sweep;
mod webhook;
