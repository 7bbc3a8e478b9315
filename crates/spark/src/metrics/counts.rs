//! What happened, as the difference of two statuses tells it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use parking_lot::Mutex;
use serde::Deserialize as _;
use windlass_api::spark::application::{
    ApplicationStateType as State, ExecutorState, SparkApplicationStatus as Status,
};
use windlass_engine::Object;

use super::Labels;

/// Something that is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Happening {
    Seen,
    Submitted,
    SubmissionFailed,
    Succeeded,
    Failed,
    ExecutorSucceeded,
    ExecutorFailed,
}

impl Happening {
    /// Each with its name and what it counts.
    pub(super) const NAMED: [(Self, &'static str, &'static str); 7] = [
        (
            Self::Seen,
            "spark_application_count",
            "Applications that were taken up",
        ),
        (
            Self::Submitted,
            "spark_application_submit_count",
            "Driver pods that were created",
        ),
        (
            Self::SubmissionFailed,
            "spark_application_failed_submission_count",
            "Driver pods that could not be created",
        ),
        (
            Self::Succeeded,
            "spark_application_success_count",
            "Applications that completed",
        ),
        (
            Self::Failed,
            "spark_application_failure_count",
            "Applications that failed for good",
        ),
        (
            Self::ExecutorSucceeded,
            "spark_executor_success_count",
            "Executors that ended well",
        ),
        (
            Self::ExecutorFailed,
            "spark_executor_failure_count",
            "Executors that ended badly",
        ),
    ];
}

/// A time that was taken, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Timing {
    Submit(f64),
    Start(f64),
    Success(f64),
    Failure(f64),
    Lag(f64),
}

/// How often each thing happened, since this process began.
#[derive(Debug, Default)]
pub(super) struct Counts(Mutex<BTreeMap<Labels, BTreeMap<Happening, u64>>>);

impl Counts {
    /// The series with these labels exist, and are 0.
    pub(super) fn begin(&self, labels: &Labels) {
        self.0.lock().entry(labels.clone()).or_default();
    }

    pub(super) fn add(&self, labels: &Labels, happening: Happening) {
        let mut counts = self.0.lock();
        let count = counts.entry(labels.clone()).or_default();
        *count.entry(happening).or_default() += 1;
    }

    /// Every series of one thing.
    pub(super) fn of(&self, happening: Happening) -> Vec<(Labels, u64)> {
        let counts = self.0.lock();
        let series = counts.iter();
        series
            .map(|(labels, counts)| {
                let count = counts.get(&happening).copied().unwrap_or_default();
                (labels.clone(), count)
            })
            .collect()
    }
}

/// What happened between two statuses of an application, and what times that took.
pub(super) fn difference(
    before: &Object,
    after: &Object,
    at: Timestamp,
) -> (Vec<Happening>, Vec<Timing>) {
    let read = |object: &Object| match object.status() {
        serde_json::Value::Null => Some(Status::default()),
        status => Status::deserialize(status).ok(),
    };
    let (Some(was), Some(is)) = (read(before), read(after)) else {
        return (Vec::new(), Vec::new());
    };
    let mut happenings = Vec::new();
    if before.status().is_null() {
        happenings.push(Happening::Seen);
    }
    let entered = was.application_state.state != is.application_state.state;
    if entered {
        happenings.extend(match is.application_state.state {
            State::Submitted => Some(Happening::Submitted),
            State::SubmissionFailed => Some(Happening::SubmissionFailed),
            State::Completed => Some(Happening::Succeeded),
            State::Failed => Some(Happening::Failed),
            _ => None,
        });
    }
    for (state, happening) in [
        (ExecutorState::Completed, Happening::ExecutorSucceeded),
        (ExecutorState::Failed, Happening::ExecutorFailed),
    ] {
        // A new attempt begins a new book.
        let known = if was.submission_id == is.submission_id {
            ended(&was, state)
        } else {
            0
        };
        let new = ended(&is, state).saturating_sub(known);
        happenings.extend(std::iter::repeat_n(happening, new));
    }
    let timings = if entered {
        timings(after, &was, &is, at)
    } else {
        Vec::new()
    };
    (happenings, timings)
}

/// How many executors of the current attempt are known to have ended like this.
fn ended(status: &Status, state: ExecutorState) -> usize {
    let listed = status.executor_state.values();
    let folded = match state {
        ExecutorState::Completed => status.executor_counts.completed,
        ExecutorState::Failed => status.executor_counts.failed,
        ExecutorState::Pending | ExecutorState::Running | ExecutorState::Unknown => 0,
    };
    listed.filter(|it| **it == state).count() + usize::try_from(folded).unwrap_or(0)
}

fn timings(object: &Object, was: &Status, is: &Status, at: Timestamp) -> Vec<Timing> {
    let mut timings = Vec::new();
    let created = object.as_value().pointer("/metadata/creationTimestamp");
    let created = created.and_then(|it| it.as_str()?.parse::<Timestamp>().ok());
    let attempt = is.attempt.as_ref();
    // Later attempts begin when an earlier one is over, not when the application is created.
    let is_first = attempt.is_some_and(|attempt| attempt.number == 1);
    let since_creation = created
        .filter(|_| is_first)
        .map(|created| seconds(created, at));
    let outcome = |status: &Status| {
        let outcome = status.attempt.as_ref()?.outcome.as_ref()?;
        Some(outcome.end_time.0)
    };
    let took = is
        .last_submission_attempt_time
        .as_ref()
        .zip(is.termination_time.as_ref())
        .map(|(from, to)| seconds(from.0, to.0));
    match is.application_state.state {
        State::Submitted => timings.extend(since_creation.map(Timing::Submit)),
        State::Running => {
            let started = is.driver_info.start_time.as_ref().map(|it| it.0);
            let is_news = was.driver_info.start_time.is_none();
            if is_news {
                timings.extend(since_creation.map(Timing::Start));
                timings.extend(started.map(|started| Timing::Lag(seconds(started, at))));
            }
        }
        State::Succeeding | State::Failing if outcome(was).is_none() => {
            timings.extend(outcome(is).map(|ended| Timing::Lag(seconds(ended, at))));
        }
        State::Completed => timings.extend(took.map(Timing::Success)),
        State::Failed => timings.extend(took.map(Timing::Failure)),
        _ => {}
    }
    timings
}

/// Clocks of nodes may be ahead; nothing takes less than no time.
fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64().max(0.0)
}
