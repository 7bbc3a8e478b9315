//! What the controller reports.
//!
//! The first seven fields are those of the Kubeflow operator and keep their meaning; the rest is
//! new. Law: a run is written to `pendingRun`, and its time is over for the schedule, before the
//! run is created; it stays there until the run has been seen.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// What the controller reports.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScheduledSparkApplicationStatus {
    /// When the last run was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_run: Option<Time>,
    /// When the next run is due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_run: Option<Time>,
    /// The SparkApplication of the last run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_run_name: Option<String>,
    /// The successful runs that are kept, the latest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub past_successful_run_names: Vec<String>,
    /// The failed runs that are kept, the latest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub past_failed_run_names: Vec<String>,
    /// Whether the schedule is followed.
    #[serde(default, skip_serializing_if = "ScheduleState::is_new")]
    pub schedule_state: ScheduleState,
    /// Why it is not, or what keeps a run from being started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,

    /// The generation of the specification that this status was made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// What holds, in the form tools wait for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// The schedule with its time zone that nextRun was computed from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_schedule: Option<String>,
    /// The time of the schedule that the last run, other than those on request, was for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_scheduled_time: Option<Time>,
    /// The run that is being created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending_run: Option<PendingRun>,
    /// The last request for a run that was dealt with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_trigger: Option<String>,
}

/// A run that is being created.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PendingRun {
    /// The name of its SparkApplication.
    pub name: String,
    /// The time it is for: of the schedule, or when it was asked for.
    pub scheduled_time: Time,
    /// The request it answers, if it is not for a time of the schedule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger: Option<String>,
}

/// Whether a schedule is followed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ScheduleState {
    /// Nobody has looked at it yet.
    #[default]
    #[serde(rename = "")]
    New,
    /// It is.
    Scheduled,
    /// It cannot be, until it is corrected.
    FailedValidation,
    /// A word of another operator.
    #[serde(other)]
    Validating,
}

impl ScheduleState {
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde calls it with a reference"
    )]
    const fn is_new(&self) -> bool {
        matches!(self, Self::New)
    }
}

/// States are plain strings in the CRD, so that an older server accepts what a newer one wrote.
impl JsonSchema for ScheduleState {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ScheduleState".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string" })
    }
}
