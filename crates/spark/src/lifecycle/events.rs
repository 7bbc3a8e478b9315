//! What people who watch an application are told, under the reasons existing tools know.
//!
//! Events follow from the difference between two statuses, so each is told once: with the write
//! that made the difference.

use std::collections::BTreeMap;

use windlass_api::spark::application::{
    ApplicationStateType as State, ExecutorState, SparkApplicationStatus as Status,
};
use windlass_engine::plan::EventNote;

use super::conditions::{self, ConditionKind};
use super::reason::Reason;
use super::turn;

/// The events between two statuses of one application.
pub(super) fn announce(before: &Status, after: &Status) -> Vec<EventNote> {
    let mut notes = Vec::new();
    let (from, to) = (
        before.application_state.state,
        after.application_state.state,
    );
    if from == to {
        notes.extend(pending_driver(before, after));
    } else {
        notes.extend(state_change(after));
    }
    notes.extend(queue_change(before, after));
    notes.extend(refused_update(before, after));
    notes.extend(held_back(before, after));
    notes.extend(executor_changes(before, after));
    notes.extend(executors_held_up(before, after));
    notes
}

fn state_change(after: &Status) -> Option<EventNote> {
    let driver = after
        .driver_info
        .pod_name
        .as_deref()
        .unwrap_or("of the application");
    let error = after
        .application_state
        .error_message
        .as_deref()
        .unwrap_or("no reason was given");
    let attempt = after.attempt.as_ref().map_or(1, |attempt| attempt.number);
    let runs = after.execution_attempts;
    Some(match after.application_state.state {
        State::New => return None,
        State::Submitted => EventNote::normal(
            "SparkApplicationSubmitted",
            "Submit",
            format!("attempt {attempt} was submitted as driver pod {driver}"),
        ),
        State::Running => EventNote::normal(
            "SparkDriverRunning",
            "Follow",
            format!("driver pod {driver} runs"),
        ),
        State::Succeeding => EventNote::normal(
            "SparkDriverCompleted",
            "Follow",
            format!("driver pod {driver} completed"),
        ),
        State::Failing => {
            let missing = after
                .attempt
                .as_ref()
                .and_then(|attempt| attempt.outcome.as_ref());
            let missing = missing.is_some_and(|it| it.reason == Reason::DriverMissing.as_str());
            let reason = if missing {
                "SparkDriverNotFound"
            } else {
                "SparkDriverFailed"
            };
            EventNote::warning(reason, "Follow", error.to_owned())
        }
        State::Unknown => EventNote::warning("SparkDriverUnknown", "Follow", error.to_owned()),
        State::Completed => EventNote::normal(
            "SparkApplicationCompleted",
            "Complete",
            format!("the application completed after {}", times(runs)),
        ),
        State::Failed => EventNote::warning(
            "SparkApplicationFailed",
            "Fail",
            match runs {
                0 => format!("the application failed before it ran: {error}"),
                runs => format!("the application failed after {}: {error}", times(runs)),
            },
        ),
        State::SubmissionFailed => EventNote::warning(
            "SparkApplicationSubmissionFailed",
            "Submit",
            error.to_owned(),
        ),
        State::PendingRerun => EventNote::normal(
            "SparkApplicationPendingRerun",
            "Retry",
            format!("attempt {attempt} is about to be submitted"),
        ),
        State::Invalidating => EventNote::normal(
            "SparkApplicationInvalidating",
            "Restart",
            format!(
                "{}: what runs makes way",
                after
                    .attempt
                    .as_ref()
                    .and_then(|attempt| attempt.outcome.as_ref()?.message.as_deref())
                    .unwrap_or("the spec changed")
            ),
        ),
        State::Suspending => EventNote::normal(
            "SparkApplicationSuspending",
            "Suspend",
            "the application is being suspended".to_owned(),
        ),
        State::Suspended => EventNote::normal(
            "SparkApplicationSuspended",
            "Suspend",
            "the application is suspended".to_owned(),
        ),
        State::Resuming => EventNote::normal(
            "SparkApplicationResuming",
            "Resume",
            format!("the application is resumed with attempt {attempt}"),
        ),
    })
}

/// A driver that waits for something else than it did before.
fn pending_driver(before: &Status, after: &Status) -> Option<EventNote> {
    if after.application_state.state != State::Submitted {
        return None;
    }
    let now = conditions::find(&after.conditions, ConditionKind::Running)?;
    if conditions::has_reason(&before.conditions, ConditionKind::Running, &now.reason) {
        return None;
    }
    let note = now.message.clone();
    Some(match after.driver_info.pod_reason {
        Some(_) => EventNote::warning("SparkDriverPending", "Follow", note),
        None => EventNote::normal("SparkDriverPending", "Follow", note),
    })
}

/// An application that has to wait for its turn, or has it.
fn queue_change(before: &Status, after: &Status) -> Option<EventNote> {
    let kind = ConditionKind::Admitted;
    let now = conditions::find(&after.conditions, kind)?;
    if conditions::has_reason(&before.conditions, kind, &now.reason) {
        return None;
    }
    let note = now.message.clone();
    Some(match now.reason.as_str() {
        turn::ADMITTED => EventNote::normal("SparkApplicationAdmitted", "Admit", note),
        turn::QUEUED => EventNote::normal("SparkApplicationQueued", "Queue", note),
        _ => EventNote::warning("SparkApplicationQueued", "Queue", note),
    })
}

/// A change of the spec that cannot be submitted, while an attempt goes on.
fn refused_update(before: &Status, after: &Status) -> Option<EventNote> {
    let kind = ConditionKind::Validated;
    let now = conditions::find(&after.conditions, kind)?;
    let is_refused = now.status == conditions::Truth::False.as_str();
    let is_known = conditions::find(&before.conditions, kind)
        .is_none_or(|was| was.status == now.status && was.message == now.message);
    let goes_on = matches!(
        after.application_state.state,
        State::Submitted | State::Running | State::Unknown
    );
    (is_refused && !is_known && goes_on).then(|| {
        EventNote::warning(
            "SparkApplicationSpecUpdateFailed",
            "Validate",
            now.message.clone(),
        )
    })
}

/// Nothing is submitted while a policy is broken, or a bucket is not there.
fn held_back(before: &Status, after: &Status) -> Option<EventNote> {
    let kind = ConditionKind::Running;
    let reasons = [Reason::PolicyInvalid, Reason::ObjectStoreNotReady];
    let begins = reasons.iter().any(|reason| {
        conditions::has_reason(&after.conditions, kind, reason.as_str())
            && !conditions::has_reason(&before.conditions, kind, reason.as_str())
    });
    let now = conditions::find(&after.conditions, kind).filter(|_| begins)?;
    Some(EventNote::warning(
        "SparkApplicationHeld",
        "Submit",
        now.message.clone(),
    ))
}

/// Executors that cannot start, for a reason that was not there before.
fn executors_held_up(before: &Status, after: &Status) -> Option<EventNote> {
    let kind = ConditionKind::ExecutorsHeldUp;
    let now = conditions::find(&after.conditions, kind)?;
    let is_known = conditions::has_reason(&before.conditions, kind, &now.reason);
    (!is_known).then(|| EventNote::warning("SparkExecutorPending", "Follow", now.message.clone()))
}

/// One event per state that executors came to, naming a few of them.
fn executor_changes(before: &Status, after: &Status) -> Vec<EventNote> {
    let same_attempt = before.submission_id == after.submission_id;
    let mut changed: BTreeMap<&'static str, (ExecutorState, Vec<&str>)> = BTreeMap::new();
    for (name, state) in &after.executor_state {
        let was = before.executor_state.get(name).filter(|_| same_attempt);
        if was != Some(state) {
            let names = changed
                .entry(reason_of(*state))
                .or_insert((*state, Vec::new()));
            names.1.push(name);
        }
    }
    changed
        .into_iter()
        .map(|(reason, (state, names))| {
            let note = format!("{} {}", some_of(&names), verb(state));
            match state {
                ExecutorState::Failed => EventNote::warning(reason, "Follow", note),
                // Most executors that disappear were sent away by dynamic allocation.
                ExecutorState::Unknown
                | ExecutorState::Pending
                | ExecutorState::Running
                | ExecutorState::Completed => EventNote::normal(reason, "Follow", note),
            }
        })
        .collect()
}

fn reason_of(state: ExecutorState) -> &'static str {
    match state {
        ExecutorState::Pending => "SparkExecutorPending",
        ExecutorState::Running => "SparkExecutorRunning",
        ExecutorState::Completed => "SparkExecutorCompleted",
        ExecutorState::Failed => "SparkExecutorFailed",
        ExecutorState::Unknown => "SparkExecutorUnknown",
    }
}

fn verb(state: ExecutorState) -> &'static str {
    match state {
        ExecutorState::Pending => "pending",
        ExecutorState::Running => "running",
        ExecutorState::Completed => "completed",
        ExecutorState::Failed => "failed",
        ExecutorState::Unknown => "gone while the driver runs",
    }
}

/// How many executors an event names before it counts.
const NAMED: usize = 3;

fn some_of(names: &[&str]) -> String {
    let named = names
        .iter()
        .take(NAMED)
        .copied()
        .collect::<Vec<_>>()
        .join(", ");
    let noun = if names.len() == 1 {
        "executor"
    } else {
        "executors"
    };
    match names.len().saturating_sub(NAMED) {
        0 => format!("{noun} {named}:"),
        more => format!("{noun} {named} and {more} more:"),
    }
}

fn times(runs: i32) -> String {
    if runs == 1 {
        "1 run".to_owned()
    } else {
        format!("{runs} runs")
    }
}
