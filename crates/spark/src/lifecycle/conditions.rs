//! The conditions of an application, in the conventions of the Kubernetes API: one per type, in
//! the order of their types, `lastTransitionTime` changing with `status` only.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::time::to_the_second;

/// What a condition is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConditionKind {
    /// The application may run, as far as the queue of its namespace is concerned. Only present
    /// where there is one.
    Admitted,
    /// Executors cannot start. Only present while some cannot; the driver waits for them.
    ExecutorsHeldUp,
    /// Fields of the spec that have no effect. Only present where there are some.
    FieldNotApplied,
    /// Fields that a policy decided otherwise than the user. Only present where there are some.
    PolicyApplied,
    /// A history server answers.
    Ready,
    /// The driver runs.
    Running,
    /// Settings hold secrets that everybody reads. Only present where some do.
    SecretInPlainText,
    /// The server of a SparkConnect answers.
    ServerPodReady,
    /// The application ended well.
    Succeeded,
    /// Fields of the spec that the next attempt will have. Only present while the current one does
    /// not.
    UpdatePending,
    /// The spec can be submitted.
    Validated,
}

impl ConditionKind {
    /// The type as it is written to the status.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admitted => "Admitted",
            Self::ExecutorsHeldUp => "ExecutorsHeldUp",
            Self::FieldNotApplied => "FieldNotApplied",
            Self::PolicyApplied => "PolicyApplied",
            Self::Ready => "Ready",
            Self::Running => "Running",
            Self::SecretInPlainText => "SecretInPlainText",
            Self::ServerPodReady => "ServerPodReady",
            Self::Succeeded => "Succeeded",
            Self::UpdatePending => "UpdatePending",
            Self::Validated => "Validated",
        }
    }
}

/// Whether a condition holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Truth {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// It cannot be told, or not yet.
    Unknown,
}

impl Truth {
    /// The value as it is written to the status.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// The condition of this kind, if it was ever set.
pub fn find(conditions: &[Condition], kind: ConditionKind) -> Option<&Condition> {
    conditions
        .iter()
        .find(|condition| condition.type_ == kind.as_str())
}

/// Whether the condition of this kind has this reason.
pub fn has_reason(conditions: &[Condition], kind: ConditionKind, reason: &str) -> bool {
    find(conditions, kind).is_some_and(|condition| condition.reason == reason)
}

/// A condition to be set.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setting<'a> {
    pub(crate) kind: ConditionKind,
    pub(crate) truth: Truth,
    pub(crate) reason: &'a str,
    pub(crate) message: &'a str,
}

/// Sets a condition; what it replaces keeps its time unless the truth changed.
pub(crate) fn set(
    conditions: &mut Vec<Condition>,
    setting: Setting<'_>,
    generation: i64,
    now: Timestamp,
) {
    let status = setting.truth.as_str();
    let since = find(conditions, setting.kind)
        .filter(|before| before.status == status)
        .map(|before| before.last_transition_time.clone());
    clear(conditions, setting.kind);
    conditions.push(Condition {
        type_: setting.kind.as_str().to_owned(),
        status: status.to_owned(),
        reason: setting.reason.to_owned(),
        message: setting.message.to_owned(),
        last_transition_time: since.unwrap_or_else(|| Time(to_the_second(now))),
        observed_generation: Some(generation),
    });
    conditions.sort_by(|a, b| a.type_.cmp(&b.type_));
}

/// Removes a condition that has nothing to say.
pub(crate) fn clear(conditions: &mut Vec<Condition>, kind: ConditionKind) {
    conditions.retain(|condition| condition.type_ != kind.as_str());
}
