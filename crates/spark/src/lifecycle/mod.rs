//! The life of a SparkApplication as one pure function over (spec, status, observed, now).
//!
//! # Laws
//! - **Intent first.** The attempt number and every name it uses are in the status before the
//!   first object is created; counters follow from the number, they are never incremented.
//! - **One driver.** A driver is created only when a live look finds no other driver of the
//!   application, the attempt before it has ended, and its executors are gone.
//! - **The container decides.** The result is the exit of the Spark container.
//! - **Final means final.** COMPLETED and FAILED are decided on live reads and never left, but
//!   for an application that never ran because its spec was invalid, once the spec is repaired.
//! - **Nothing waits for an event.** Every other state says when it will look again.
//! - **Quiet when done.** Planning again from what was decided decides nothing new.
//!
//! # The states
//! | from | when | to |
//! |---|---|---|
//! | New, `PENDING_RERUN`, `RESUMING` | driver pod seen / refused / spec invalid | `SUBMITTED` / `SUBMISSION_FAILED` / `FAILED` |
//! | `SUBMITTED`, `RUNNING`, `UNKNOWN` | driver waits / runs / unreachable | `SUBMITTED` / `RUNNING` / `UNKNOWN` |
//! | `SUBMITTED`, `RUNNING`, `UNKNOWN` | driver ended well / badly, late, or missing | `SUCCEEDING` / `FAILING` |
//! | `SUCCEEDING` | nothing left at work: policy Always / else | `PENDING_RERUN` / `COMPLETED` |
//! | `FAILING` | nothing left at work: budget left and pause over / else | `PENDING_RERUN` / `FAILED` |
//! | `SUBMISSION_FAILED` | budget left and pause over / else | `PENDING_RERUN` / `FAILED` |
//! | any with work left | suspended | `SUSPENDING`, then `SUSPENDED` |
//! | `SUSPENDED` | resumed | `RESUMING` |
//! | `INVALIDATING` | nothing left | `PENDING_RERUN` |

pub mod cause;
pub mod conditions;
mod events;
pub mod executors;
mod follow;
pub mod health;
mod machine;
pub mod observed;
mod reason;
pub mod retry;
pub mod spec;
mod submit;
mod time;
mod wind_down;

#[cfg(test)]
mod tests;

pub use machine::{Action, Decision, plan};
pub use reason::Reason;
