//! When a ScheduledSparkApplication starts its runs, as a pure function.
//!
//! Flow: `status.nextRun` is the next time that has not been decided on. Once it has come, the run
//! is written to `status.pendingRun` and `nextRun` moves on, in one write; only then the run is
//! created, under a name that follows from its time, and `pendingRun` is cleared when it was seen.
//!
//! Laws:
//! - a time is never run twice, whatever is killed or repeated in between: it is over when its run
//!   is written down, and the run's name forbids a second one;
//! - with `Forbid` and `Replace` no run starts while an earlier one, or its driver pod, is live;
//! - any change of the schedule or its zone takes effect at once; so does the repair of a wrong one;
//! - a status of another operator is continued: its next run, if that has not been started;
//! - when nothing is due a second look writes nothing.

mod events;
mod history;
mod machine;
mod observed;
mod spec;

#[cfg(test)]
mod tests;

pub use machine::{Action, Decision, plan};
pub use observed::{Observed, Run, RunState};
pub use spec::{History, Rhythm, Spec};
