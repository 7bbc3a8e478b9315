//! Logs of drivers, executors and Connect servers, kept where they outlive their pods.
//!
//! A log is a row of numbered segments that never change. Each of its lines keeps the time that Kubernetes
//! gives it, and with that the segments alone say how far a log was copied; there is nothing besides them
//! that could be lost or be behind.
//!
//! Laws
//! - A line is kept once and in order, over any number of connections, operators and deaths of them: a
//!   segment appears whole and under a number that is taken once, and whoever finds it taken looks anew how
//!   far the log is.
//! - What has arrived is kept after [`EVERY`] at the latest, so that a node that dies takes no more than that
//!   with it, even where the operator dies with it.
//! - A stream is not read on while its segment is being written. So a slow or dead store costs the operator
//!   [`SEGMENT`] bytes for each of [`STREAMS`] streams and no more; nothing is dropped but by the node, which
//!   rotates logs that grow on meanwhile.

pub mod controller;
mod copy;
pub mod lines;
pub mod shelf;

use std::path::PathBuf;
use std::time::Duration;

use jiff::SignedDuration;

/// How long what has arrived may wait for more.
pub const EVERY: Duration = Duration::from_secs(10);
/// A segment is cut when it has so many bytes.
pub const SEGMENT: usize = 128 << 10;
/// How many logs are followed at the same time; others wait for one of them to end.
pub const STREAMS: usize = 256;
/// How long logs are kept after their last line, where nobody has said so.
pub const RETENTION: SignedDuration = SignedDuration::from_hours(7 * 24);

/// Where logs are kept, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The folder.
    pub directory: PathBuf,
    /// How long after its last line a log is deleted whose pod is gone.
    pub retention: SignedDuration,
}
