//! Long tests with every Spark version. `make e2e` runs them.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "the helpers of tests are not inside test functions, which clippy.toml exempts"
)]

#[path = "../common/mod.rs"]
mod common;

mod allocation;
mod buckets;
mod catalog;
mod clients;
mod clusters;
mod connect;
mod examples;
mod executor_fields;
mod failures;
mod helm;
mod history;
mod images;
mod kills;
mod kubernetes;
mod languages;
mod real;
mod volumes;
mod warm;
