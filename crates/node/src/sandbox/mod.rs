//! The walls around a container: namespaces, a private root, and what may enter it.
//!
//! Everything here runs in processes of a single thread that the shim or the agent started from
//! the same binary (see [`crate::dispatch`]); the async parts never enter a namespace.

mod container;
mod enter;
pub(crate) mod namespace;
mod privileges;
mod rootfs;
pub(crate) mod spec;

pub(crate) use container::{LaunchReport, hatch, launch};
pub(crate) use enter::{EnterRequest, enter};
