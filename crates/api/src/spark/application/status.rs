//! What the controller reports.
//!
//! The first nine fields are those of the Kubeflow operator and keep their meaning; the rest is
//! new. Law: the attempt that is being worked on is written here, with every name it will use,
//! before the first of its objects is created.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::names::AttemptId;

/// What the controller reports.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SparkApplicationStatus {
    /// Spark's own id of the application.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spark_application_id: Option<String>,
    /// The id of the current attempt, also a label of its pods.
    #[serde(
        default,
        rename = "submissionID",
        skip_serializing_if = "Option::is_none"
    )]
    pub submission_id: Option<String>,
    /// When the current attempt was submitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_submission_attempt_time: Option<Time>,
    /// When the application ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub termination_time: Option<Time>,
    /// The driver and its web page.
    #[serde(default)]
    pub driver_info: DriverInfo,
    /// The state, and the reason when it is a bad one.
    #[serde(default)]
    pub application_state: ApplicationState,
    /// The state of executors by pod name: all that live, and the finished ones up to a cap.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub executor_state: BTreeMap<String, ExecutorState>,
    /// How often the application was run.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub execution_attempts: i32,
    /// How often a submission was tried.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub submission_attempts: i32,

    /// The generation of the specification that this status was made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// What holds, in the form tools wait for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// The attempt that is being worked on, or the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<Attempt>,
    /// Earlier attempts, the latest last; only the last ones are kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempt_history: Vec<Attempt>,
    /// Executors of the current attempt that executorState no longer lists.
    #[serde(default, skip_serializing_if = "ExecutorCounts::is_empty")]
    pub executor_counts: ExecutorCounts,
    /// The last request to run again (the annotation windlass.dev/rerun-requested-at) that was
    /// granted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rerun_requested_at: Option<String>,
    /// Its place in the queue of its namespace, where that has limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admission: Option<Admission>,
}

/// The place of an application in the queue of its namespace.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Admission {
    /// The CPU that its driver and the fewest executors it can do with request.
    #[serde(default)]
    pub cpu: String,
    /// The memory that they request.
    #[serde(default)]
    pub memory: String,
    /// Since when it may run; it waits while this is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admitted_time: Option<Time>,
}

impl SparkApplicationStatus {
    /// How many earlier attempts are kept.
    pub const HISTORY_LIMIT: usize = 10;

    /// Moves the current attempt to the history, which forgets the oldest when it is full.
    pub fn archive_attempt(&mut self) {
        self.attempt_history
            .extend(self.attempt.take().map(|attempt| Attempt {
                fields: BTreeMap::new(),
                ..attempt
            }));
        let excess = self
            .attempt_history
            .len()
            .saturating_sub(Self::HISTORY_LIMIT);
        self.attempt_history.drain(..excess);
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls it with a reference"
)]
fn is_zero(count: &i32) -> bool {
    *count == 0
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls it with a reference"
)]
fn is_none_yet(count: &u32) -> bool {
    *count == 0
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls it with a reference"
)]
fn is_new(state: &ApplicationStateType) -> bool {
    *state == ApplicationStateType::New
}

/// The driver and its web page.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DriverInfo {
    /// The pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_name: Option<String>,
    /// The Service of the web page.
    #[serde(
        default,
        rename = "webUIServiceName",
        skip_serializing_if = "Option::is_none"
    )]
    pub web_ui_service_name: Option<String>,
    /// The port of that Service.
    #[serde(default, rename = "webUIPort", skip_serializing_if = "Option::is_none")]
    pub web_ui_port: Option<i32>,
    /// The address and port of that Service.
    #[serde(
        default,
        rename = "webUIAddress",
        skip_serializing_if = "Option::is_none"
    )]
    pub web_ui_address: Option<String>,
    /// The port of every node where that Service has one.
    #[serde(
        default,
        rename = "webUINodePort",
        skip_serializing_if = "Option::is_none"
    )]
    pub web_ui_node_port: Option<i32>,
    /// The address and port that a load balancer gave that Service.
    #[serde(
        default,
        rename = "webUIExternalAddress",
        skip_serializing_if = "Option::is_none"
    )]
    pub web_ui_external_address: Option<String>,
    /// The Ingress or HTTPRoute of the web page.
    #[serde(
        default,
        rename = "webUIIngressName",
        skip_serializing_if = "Option::is_none"
    )]
    pub web_ui_ingress_name: Option<String>,
    /// Where a browser finds the web page through it.
    #[serde(
        default,
        rename = "webUIIngressAddress",
        skip_serializing_if = "Option::is_none"
    )]
    pub web_ui_ingress_address: Option<String>,
    /// When the Spark container started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    /// Why the pod is not well, in one word: OOMKilled, ImagePullBackOff, Evicted, Unschedulable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_reason: Option<String>,
    /// Since when that is the reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_reason_since: Option<Time>,
}

/// The state and the reason for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApplicationState {
    /// The state; absent until the driver pod exists, as with the Kubeflow operator. Clients tell
    /// "not started yet" by that (Airflow's operator does), so an empty text is never written.
    #[serde(default, skip_serializing_if = "is_new")]
    pub state: ApplicationStateType,
    /// What went wrong, for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
}

/// The states of an application.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ApplicationStateType {
    /// Nothing has been done for it yet.
    #[default]
    #[serde(rename = "")]
    New,
    /// The driver pod exists.
    Submitted,
    /// The driver runs.
    Running,
    /// It ended well and stays so.
    Completed,
    /// It ended badly and stays so.
    Failed,
    /// The driver could not be created; it may be tried again.
    SubmissionFailed,
    /// What an attempt left is being removed before the next one.
    PendingRerun,
    /// What runs no longer fits the specification and is being removed.
    Invalidating,
    /// The driver has ended well.
    Succeeding,
    /// The driver has ended badly.
    Failing,
    /// It is being torn down because it was suspended.
    Suspending,
    /// It is suspended.
    Suspended,
    /// It was suspended and is about to be submitted.
    Resuming,
    /// The state cannot be told, for example because the driver's node does not answer.
    #[serde(other)]
    Unknown,
}

impl ApplicationStateType {
    /// Every state.
    pub const ALL: [Self; 14] = [
        Self::New,
        Self::Submitted,
        Self::Running,
        Self::Completed,
        Self::Failed,
        Self::SubmissionFailed,
        Self::PendingRerun,
        Self::Invalidating,
        Self::Succeeding,
        Self::Failing,
        Self::Suspending,
        Self::Suspended,
        Self::Resuming,
        Self::Unknown,
    ];

    /// Whether nothing more happens unless the specification changes.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed)
    }

    /// Its word in the API; empty for [`Self::New`], which is not written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::New => "",
            Self::Submitted => "SUBMITTED",
            Self::Running => "RUNNING",
            Self::Completed => "COMPLETED",
            Self::Failed => "FAILED",
            Self::SubmissionFailed => "SUBMISSION_FAILED",
            Self::PendingRerun => "PENDING_RERUN",
            Self::Invalidating => "INVALIDATING",
            Self::Succeeding => "SUCCEEDING",
            Self::Failing => "FAILING",
            Self::Suspending => "SUSPENDING",
            Self::Suspended => "SUSPENDED",
            Self::Resuming => "RESUMING",
            Self::Unknown => "UNKNOWN",
        }
    }
}

/// States are plain strings in the CRD, so that an older server accepts what a newer one wrote.
impl JsonSchema for ApplicationStateType {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ApplicationStateType".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string" })
    }
}

/// The states of an executor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ExecutorState {
    /// The pod waits.
    Pending,
    /// The pod runs.
    Running,
    /// The pod ended well, or because it was no longer needed.
    Completed,
    /// The pod ended badly.
    Failed,
    /// The state cannot be told.
    #[serde(other)]
    Unknown,
}

impl JsonSchema for ExecutorState {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ExecutorState".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string" })
    }
}

/// Finished executors that are only counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExecutorCounts {
    /// Those that ended well.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub completed: i32,
    /// Those that ended badly.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub failed: i32,
    /// Those that disappeared while the driver ran.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unknown: i32,
    /// Finished executors with a number up to this one are counted already, or still listed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub up_to: i32,
}

impl ExecutorCounts {
    /// Whether nothing was counted or passed over.
    pub const fn is_empty(&self) -> bool {
        self.completed == 0 && self.failed == 0 && self.unknown == 0 && self.up_to == 0
    }
}

/// One run of the application, from the intent to its end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// Counted from 1 over the life of the object.
    #[schemars(with = "i32", range(min = 1))]
    pub number: u32,
    /// The number of the first attempt that counts against the same restart budget: resuming or
    /// changing the application starts a new one.
    #[serde(default = "first")]
    #[schemars(with = "i32", range(min = 1))]
    pub round_start: u32,
    /// Which try to submit this attempt, counted from 1.
    #[serde(default = "first")]
    #[schemars(with = "i32", range(min = 1))]
    pub submission: u32,
    /// How often its submission was put off because a quota left no room, which is not charged.
    #[serde(default, skip_serializing_if = "is_none_yet")]
    #[schemars(with = "i32", range(min = 0))]
    pub deferrals: u32,
    /// The failures before it that count against the restart budget; all earlier runs of the round
    /// where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i32>", range(min = 0))]
    pub charged_failures: Option<u32>,
    /// The failures in a row before it, without a healthy run in between.
    #[serde(default, skip_serializing_if = "is_none_yet")]
    #[schemars(with = "i32", range(min = 0))]
    pub failure_streak: u32,
    /// The submission id; a label of the pods.
    #[serde(rename = "submissionID")]
    pub submission_id: String,
    /// Spark's id of the application; the label spark-app-selector of the pods.
    pub spark_application_id: String,
    /// The driver pod.
    pub driver_pod_name: String,
    /// The generation of the specification it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<i64>,
    /// Digests of the fields it runs, by which a change is told; not kept in the history.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, String>,
    /// When it was decided.
    pub created_time: Time,
    /// When its driver pod was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub submitted_time: Option<Time>,
    /// When its Spark container started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<AttemptOutcome>,
}

const fn first() -> u32 {
    1
}

impl Attempt {
    /// How many runs of the current restart budget this attempt makes.
    pub const fn runs(&self) -> u32 {
        self.number
            .saturating_sub(self.round_start)
            .saturating_add(1)
    }

    /// How many failures before this attempt count against the restart budget.
    pub fn charged_before(&self) -> u32 {
        self.charged_failures
            .unwrap_or_else(|| self.number.saturating_sub(self.round_start))
    }

    /// The intent to run attempt `number` of the object with this uid.
    pub fn new(uid: &str, number: u32, driver_pod_name: String, now: Time) -> Self {
        let id = AttemptId::new(uid, number);
        Self {
            number,
            round_start: number,
            submission: 1,
            deferrals: 0,
            charged_failures: None,
            failure_streak: 0,
            submission_id: id.submission_id(),
            spark_application_id: id.application_id(),
            driver_pod_name,
            generation: None,
            fields: BTreeMap::new(),
            created_time: now,
            submitted_time: None,
            start_time: None,
            outcome: None,
        }
    }
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AttemptOutcome {
    /// The state it ended in: COMPLETED, FAILED, SUBMISSION_FAILED, SUSPENDED or INVALIDATING.
    pub state: ApplicationStateType,
    /// Why, in one word that tools may match: Completed, Error, OOMKilled, Evicted, ...
    pub reason: String,
    /// Why, for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The exit code of the Spark container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// When it ended.
    pub end_time: Time,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_written_as_users_know_them() {
        for state in ApplicationStateType::ALL {
            let json = serde_json::to_value(state).unwrap();
            assert_eq!(json, state.as_str());
            assert_eq!(
                serde_json::from_value::<ApplicationStateType>(json).unwrap(),
                state
            );
        }
        let unheard_of = serde_json::from_str::<ApplicationStateType>("\"PAUSED\"").unwrap();
        assert_eq!(unheard_of, ApplicationStateType::Unknown);
    }

    /// Airflow's operator reads the driver pod as soon as there is a state other than SUBMITTED.
    #[test]
    fn an_application_without_a_driver_shows_no_state_at_all() {
        let status = serde_json::to_value(SparkApplicationStatus::default()).unwrap();
        assert_eq!(status["applicationState"], serde_json::json!({}));
        // And no API server adds one.
        let crd = &crate::crds()[0];
        let schema = "/spec/versions/0/schema/openAPIV3Schema/properties/status/properties";
        let state = crd.pointer(&format!("{schema}/applicationState"));
        let state = state.expect("the schema has the state").to_string();
        assert!(!state.contains(r#""default":"""#), "{state}");
        assert!(!state.contains(r#""state":"""#), "{state}");
    }

    #[test]
    fn the_history_forgets_the_oldest_attempts() {
        let mut status = SparkApplicationStatus::default();
        for number in 1..=15 {
            let now = Time(k8s_openapi::jiff::Timestamp::UNIX_EPOCH);
            status.attempt = Some(Attempt::new("uid", number, "driver".into(), now));
            status.archive_attempt();
        }
        let numbers: Vec<_> = status
            .attempt_history
            .iter()
            .map(|attempt| attempt.number)
            .collect();
        assert_eq!(numbers, (6..=15).collect::<Vec<_>>());
        assert_eq!(status.attempt, None);
    }
}
