//! What the tests of operators share: objects as a user sees them, and a client that makes one of an
//! operator's calls go wrong. No program depends on it.

#![allow(
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

pub mod mishaps;
mod objects;

pub use objects::{Objects, resource};
