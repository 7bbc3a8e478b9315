//! What a pod needs next: pure, total, and without a clock of its own.
//!
//! [`plan`] looks at the pod as the API has it and at what was seen of its containers, and returns
//! the status the pod should show, what should be done, and when to look again. Laws:
//! - a container is started only when everything before it in the pod's order is done;
//! - a pod whose phase is final never runs anything again;
//! - a pod that must go loses its containers first, then its API object.

mod backoff;
mod news;
mod pod;
mod seen;
mod status;

use backoff::restart_delay;
pub(crate) use news::news;
pub(crate) use pod::{Step, plan};
pub(crate) use seen::{ImageSeen, Missing, Ongoing, Refusal, Sandbox, Seen};

#[cfg(test)]
mod tests;
