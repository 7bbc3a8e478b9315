//! Logs of drivers, executors and Connect servers, kept where they outlive their pods.
//!
//! A log is a row of numbered segments that never change. Each of its lines keeps the time that Kubernetes
//! gives it, and with that the segments alone say how far a log was copied; there is nothing besides them
//! that could be lost or be behind. They lie in a folder or in a bucket ([`place`]), and many small ones are joined
//! ([`pieces`]).
//!
//! Laws
//! - A line is kept once and in order, over any number of connections, operators and deaths of them: a
//!   segment appears whole and under a number that is taken once, and whoever finds it taken looks anew how
//!   far the log is.
//! - What has arrived is kept after [`EVERY`] at the latest, so that a node that dies takes no more than that
//!   with it, even where the operator dies with it.
//! - A stream is not read on while its segment is being written. So a slow or dead store costs the operator
//!   [`SEGMENT`] bytes for each of [`STREAMS`] streams and no more, and what [`JOINING`] logs take that are
//!   being joined; nothing is dropped but by the node, which rotates logs that grow on meanwhile.
//! - After a crash between any two calls the log can be read, and each of its lines is read once.
//! - Whoever runs does so whatever becomes of its log: trouble with it is an event of its pod and nothing else.

pub mod controller;
mod copy;
pub mod lines;
pub mod pieces;
pub mod place;
pub mod shelf;
pub mod whereabouts;

use std::time::Duration;

use jiff::SignedDuration;

pub use self::whereabouts::{BucketName, KeptIn};

/// How long what has arrived may wait for more.
pub const EVERY: Duration = Duration::from_secs(10);
/// A segment is cut when it has so many bytes.
pub const SEGMENT: usize = 128 << 10;
/// How many logs are followed at the same time; others wait for one of them to end.
pub const STREAMS: usize = 256;
/// How many logs have their pieces joined at the same time.
pub const JOINING: usize = 2;
/// How long logs are kept after their last line, where nobody has said so.
pub const RETENTION: SignedDuration = SignedDuration::from_hours(7 * 24);
/// How many bytes of a log are kept, with the times of its lines, where nobody has said so.
pub const SIZE: u64 = 1 << 30;
/// The least that may be said: some segments as they are cut.
pub const SIZE_MIN: u64 = 1 << 20;

/// Reads a time that logs are kept, such as `168h`; one before now is none.
pub fn retention(text: &str) -> Option<SignedDuration> {
    let said = text.parse::<SignedDuration>().ok();
    said.filter(|said| !said.is_negative())
}

/// Where logs are kept, for how long, and how much of each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where those of applications that do not say so are kept; none of them without.
    pub kept_in: Option<KeptIn>,
    /// Whether applications may name an ObjectStore for theirs.
    pub asked_for: AskedFor,
    /// How long after its last line a log is deleted whose pod is gone.
    pub retention: SignedDuration,
    /// How many bytes of a log are kept; the oldest lines go first.
    pub size: u64,
}

/// Whether applications may name an ObjectStore for their logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AskedFor {
    /// They may: ObjectStores are looked after.
    Served,
    /// Nobody looks after any.
    Unserved,
}
