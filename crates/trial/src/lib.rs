//! What the tests of operators share: objects as a user sees them, and a client that makes one of an
//! operator's calls go wrong. No program depends on it.

#![allow(
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test stops at the first surprise"
)]

use std::sync::atomic::{AtomicU32, Ordering};

pub mod mishaps;
mod objects;

pub use objects::{Objects, define, resource};

/// The octet of a network of its own for each cluster of a test, also beside the tests of another
/// process.
pub fn loopback_octet() -> u8 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let place = std::process::id().wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
    40 + u8::try_from(place % 200).unwrap()
}
