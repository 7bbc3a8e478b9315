//! What people who watch a schedule are told.
//!
//! What happened to runs and to the schedule follows from the difference between two statuses, so
//! each is told once: with the write that made the difference. What was decided against has no
//! place in the status and is told with the decision.

use jiff::Timestamp;
use windlass_api::spark::scheduled::{ScheduleState, ScheduledSparkApplicationStatus as Status};
use windlass_engine::plan::EventNote;

/// The events between two statuses of one schedule.
pub(super) fn announce(before: &Status, after: &Status) -> Vec<EventNote> {
    let mut notes = Vec::new();
    notes.extend(schedule(before, after));
    if let (Some(pending), Some(name)) = (&before.pending_run, &after.last_run_name)
        && after.pending_run.as_ref() != Some(pending)
        && *name == pending.name
    {
        let what = match &pending.trigger {
            Some(_) => "as was asked for".to_owned(),
            None => format!("for {}", pending.scheduled_time.0),
        };
        notes.push(EventNote::normal(
            "ScheduledRunStarted",
            "Start",
            format!("{name} was started {what}"),
        ));
    }
    for name in new(
        &before.past_successful_run_names,
        &after.past_successful_run_names,
    ) {
        notes.push(EventNote::normal(
            "ScheduledRunCompleted",
            "Follow",
            format!("{name} completed"),
        ));
    }
    for name in new(&before.past_failed_run_names, &after.past_failed_run_names) {
        notes.push(EventNote::warning(
            "ScheduledRunFailed",
            "Follow",
            format!("{name} failed"),
        ));
    }
    notes
}

fn schedule(before: &Status, after: &Status) -> Option<EventNote> {
    let same_state = before.schedule_state == after.schedule_state;
    match after.schedule_state {
        ScheduleState::FailedValidation if !same_state || before.reason != after.reason => {
            let problems = after.reason.clone().unwrap_or_default();
            Some(EventNote::warning("ScheduleInvalid", "Validate", problems))
        }
        ScheduleState::Scheduled
            if !same_state || before.observed_schedule != after.observed_schedule =>
        {
            let next = after.next_run.as_ref()?.0;
            let note = format!("the next run is due at {next}");
            Some(EventNote::normal("ScheduleAccepted", "Validate", note))
        }
        _ => None,
    }
}

fn new<'a>(before: &'a [String], after: &'a [String]) -> impl Iterator<Item = &'a String> {
    after.iter().filter(|name| !before.contains(name))
}

/// A run that was due is not started.
pub(super) fn skipped(what: &str, busy_with: &str) -> EventNote {
    let note =
        format!("{what} is skipped, since concurrencyPolicy is Forbid and {busy_with} is live");
    EventNote::warning("ScheduledRunSkipped", "Skip", note)
}

/// An earlier run makes way.
pub(super) fn replaced(names: &str) -> EventNote {
    let note = format!("{names} is deleted for the next run, since concurrencyPolicy is Replace");
    EventNote::normal("ScheduledRunReplaced", "Delete", note)
}

/// Times that passed without a run.
pub(super) fn missed(first: Timestamp, why: &str) -> EventNote {
    let note = format!("no run was started for {first} and what followed it: {why}");
    EventNote::warning("ScheduledRunMissed", "Skip", note)
}

/// The name of a run belongs to somebody else.
pub(super) fn name_taken(name: &str) -> EventNote {
    let note = format!(
        "{name} was not started: another SparkApplication has that name; rename or delete it"
    );
    EventNote::warning("ScheduledRunNameTaken", "Start", note)
}

/// A request that was dealt with before.
pub(super) fn repeated(name: &str) -> EventNote {
    let note = format!("{name} answers that request already; ask with another text");
    EventNote::warning("ScheduledRunSkipped", "Skip", note)
}
