//! The endpoint, as clients of S3 see it: object_store's, and requests that are signed by hand.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

mod asking;
mod calls;
mod house;
mod objects;
