//! What is built, compared with what `spark-submit` and real drivers were recorded to do; and the
//! operator against the embedded API server, with only the rights it asks for, where the test
//! plays the nodes and the drivers.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test stops at the first surprise"
)]

mod connect_sweep;
mod connects;
mod exposure;
mod faults;
mod field_walk;
mod golden;
mod groups;
mod histories;
mod history_sweep;
mod house;
mod lives;
mod metrics;
mod originals;
mod policies;
mod queue;
mod schedule_sweep;
mod schedules;
mod story_sweep;
mod sweep;
mod takeover;
mod territory;
