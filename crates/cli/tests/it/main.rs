//! The binary as a user meets it.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "the helpers of tests are not inside test functions, which clippy.toml exempts"
)]

#[path = "../common/mod.rs"]
mod common;

mod applications;
mod apps;
mod bad_input;
mod chart;
mod check;
mod compatibility;
mod connects;
mod crash;
mod disks;
mod docs;
mod full_disk;
mod generated;
mod history;
mod jobs;
mod kept_logs;
mod kubectl;
mod lifecycle;
mod machine;
mod operators;
mod ordinary_user;
mod originals;
mod s3;
mod secrets;
mod spark_demand;
mod storage;
mod tenants;
mod trouble;
mod virtual_clusters;
mod webhook;
mod workloads;
