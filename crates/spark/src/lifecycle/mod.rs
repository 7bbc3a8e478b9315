//! The life of a SparkApplication as one pure function over (spec, status, observed, now).
//!
//! # Laws
//! - **Intent first.** The attempt number and every name it uses are in the status before the
//!   first object is created; counters follow from the number, they are never incremented.
//! - **One driver.** A driver is created only when a live look finds no other driver of the
//!   application, the attempt before it has ended, and its executors are gone.
//! - **The container decides.** The result is the exit of the Spark container.
//! - **Final means final.** COMPLETED and FAILED are decided on live reads, and left only when the
//!   user asks for another job: by a change that makes it one ([`changes`]), by asking for another
//!   run, or by repairing a spec that could not be submitted.
//! - **A change is a difference.** What an attempt runs is in the status; what differs from it
//!   counts, however and whenever it came about.
//! - **Nothing waits for an event.** Every other state says when it will look again.
//! - **One at a time.** Where the namespace has limits, the driver is created when it is the
//!   application's turn ([`crate::queue`]); what retries keeps its turn.
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
//! | `SUBMITTED`, `RUNNING`, `UNKNOWN` | spec is another job's, or a rerun was requested | `INVALIDATING` |
//! | `COMPLETED`, `FAILED`, `FAILING`, `SUBMISSION_FAILED` | the same | `PENDING_RERUN` |
//! | `INVALIDATING` | nothing left | `PENDING_RERUN` |

mod attempt;
pub mod cause;
pub mod changes;
pub mod conditions;
pub mod difference;
mod events;
pub mod executors;
mod follow;
pub mod health;
mod machine;
pub mod observed;
mod reason;
pub mod remedy;
pub mod retry;
pub mod spec;
mod submit;
mod time;
mod turn;
mod wind_down;

#[cfg(test)]
mod tests;

pub use machine::{Action, Decision, plan};
pub use reason::Reason;
pub(crate) use time::in_words;
pub(crate) use turn::TOO_LARGE;
