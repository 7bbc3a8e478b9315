//! The shim: one process per pod that owns the pod's containers.
//!
//! It survives the agent. Laws:
//! - a process is on disk before its program runs, so no crash leaves one unknown;
//! - what is on disk is written whole (temporary file, sync, rename) and never goes back;
//! - the shim decides nothing: it starts, signals and records what it is told.

mod cgroup;
mod client;
mod log;
mod main;
mod memory;
mod protocol;
mod state;

pub(crate) use client::dial;
pub use client::{ShimClient, ShimError, spawn};
pub(crate) use log::rotated;
pub(crate) use main::run;
pub use protocol::Request;
pub(crate) use protocol::{Frame, read_frame, write_frame};
pub(crate) use state::write_durably;
pub use state::{Ending, Instance, Instances, Life, Limitation, PodState};

/// The shim's socket, in the pod's directory.
pub(crate) const SOCKET: &str = "shim.sock";
/// The shim's record, in the pod's directory.
pub(crate) const STATE: &str = "state.json";
/// The pod's part of the walls, in the pod's directory.
pub(crate) const POD: &str = "pod.json";
