//! One application as the line sees it, read from the object alone.

use std::cmp::Reverse;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;
use windlass_api::quantity::Quantity;
use windlass_api::spark::application::ApplicationStateType as State;
use windlass_engine::Object;

use super::Share;

/// The annotation with the priority in the queue: a whole number, 0 when it is not given; higher
/// goes first.
pub const PRIORITY: &str = "windlass.dev/priority";

/// An application and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its order among those that wait.
    pub rank: Rank,
    /// Whether it waits or holds a place.
    pub place: Place,
}

/// Whether an application waits or holds a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Neither.
    Outside,
    /// It waits to be let in.
    Waits(Share),
    /// It was let in, and has to see whether others were at the same time.
    Claims(Share),
    /// It has its place: its driver exists, or did and is to be replaced.
    Holds(Share),
}

/// The order of those that wait: priority, then age, then name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rank {
    priority: Reverse<i64>,
    created: Timestamp,
    name: Arc<str>,
}

impl Rank {
    /// The rank of this application.
    pub fn of(application: &Object) -> Self {
        let priority = application.annotation(PRIORITY);
        let created = application
            .as_value()
            .pointer("/metadata/creationTimestamp");
        Self {
            priority: Reverse(
                priority
                    .and_then(|text| text.trim().parse().ok())
                    .unwrap_or(0),
            ),
            created: created
                .and_then(Value::as_str)
                .and_then(|text| text.parse().ok())
                .unwrap_or(Timestamp::UNIX_EPOCH),
            name: application.name().into(),
        }
    }

    /// The application's name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }
}

impl Entry {
    /// Reads an application. One that other operators, or this one before there were limits, let
    /// run holds a place, too; what it takes is not known.
    pub fn of(application: &Object) -> Self {
        let status = application.status();
        let state = status.pointer("/applicationState/state");
        let state = state.and_then(Value::as_str).unwrap_or_default();
        let state = State::ALL
            .into_iter()
            .find(|known| known.as_str() == state)
            .unwrap_or(State::Unknown);
        let is_old = is_older_than_attempt(
            time(&status["admission"]["admittedTime"]),
            time(&status["attempt"]["createdTime"]),
        );
        let deleting = application.is_deleting();
        Self {
            rank: Rank::of(application),
            place: place(state, &status["admission"], is_old, deleting),
        }
    }
}

/// Whether a place was held before the attempt was decided: it has been kept for a retry, and all
/// others have counted it ever since.
pub(crate) fn is_older_than_attempt(
    admitted: Option<Timestamp>,
    attempt: Option<Timestamp>,
) -> bool {
    matches!((admitted, attempt), (Some(admitted), Some(attempt)) if admitted < attempt)
}

fn time(value: &Value) -> Option<Timestamp> {
    value.as_str()?.parse().ok()
}

fn place(state: State, admission: &Value, is_old: bool, deleting: bool) -> Place {
    let is_admitted = admission["admittedTime"].is_string();
    match state {
        State::Completed | State::Failed | State::Suspended | State::SubmissionFailed => {
            Place::Outside
        }
        State::New | State::PendingRerun | State::Resuming => match admission {
            Value::Object(_) if is_admitted && is_old => Place::Holds(share(admission)),
            Value::Object(_) if is_admitted => Place::Claims(share(admission)),
            Value::Object(_) if !deleting => Place::Waits(share(admission)),
            _ => Place::Outside,
        },
        State::Submitted
        | State::Running
        | State::Unknown
        | State::Succeeding
        | State::Failing
        | State::Invalidating
        | State::Suspending => Place::Holds(if is_admitted {
            share(admission)
        } else {
            Share::default()
        }),
    }
}

fn share(admission: &Value) -> Share {
    let amount = |field: &str| -> Option<Quantity> { admission[field].as_str()?.parse().ok() };
    let count = |amount: Option<i64>| {
        let amount = amount.unwrap_or(i64::MAX);
        u64::try_from(amount).unwrap_or(0)
    };
    Share {
        milli_cpu: amount("cpu").map_or(0, |cpu| count(cpu.millis())),
        memory: amount("memory").map_or(0, |memory| count(memory.units())),
    }
}
