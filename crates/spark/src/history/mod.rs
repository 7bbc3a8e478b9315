//! Spark's history servers: what one consists of ([`wanted`]), and what should change ([`plan`]).
//!
//! It is a server that stays ([`crate::standing`]), and a driver with another main class. What it is told of its
//! ObjectStore is what applications are told ([`crate::stores`]), so a server finds the logs that they write.
//!
//! Laws:
//! - [`plan`] is pure and total, and asks for nothing once everything is as it should be;
//! - an event log is never touched from here, whatever becomes of the server;
//! - nothing is made before its ObjectStores have been there once. Whatever its settings follow from, its ObjectStores
//!   and the policies of its namespace included, holds at once: a server that is another by it is replaced, and
//!   nothing is lost with it. What forbids it, or is missing, leaves alone what runs;
//! - keys are references to Secrets, in the environment of the pod.

mod build;
mod machine;

pub use build::{Obstacle, Ruled, Wanted, wanted};
pub use machine::{Decision, Observed, Spec, plan};

pub use crate::lower::history::HISTORY_ROLE;

#[cfg(test)]
mod tests;
