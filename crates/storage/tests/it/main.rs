//! The operator of storage against the embedded API server, with only the rights it asks for.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

mod buckets;
mod claims;
mod figures;
mod growth;
mod house;
mod shares;
