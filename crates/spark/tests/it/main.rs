//! What `spark-submit` and real drivers were recorded to do, compared with what is built here.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test stops at the first surprise"
)]

mod golden;
