//! ScheduledSparkApplication `sparkoperator.k8s.io/v1beta2`, as users of the Kubeflow operator
//! know it, and what that lacks: a deadline for late starts, a policy for missed times, and runs on
//! request.
//!
//! Laws:
//! - JSON names are exactly those users have; changes to the served version only add;
//! - every optional field has an explicit default;
//! - a name of a run follows from the schedule's name and the time or request it is for, so a run
//!   that is made twice finds its twin.

mod status;
mod validate;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::status::{PendingRun, ScheduleState, ScheduledSparkApplicationStatus};
pub use self::validate::{schedule, template, validate};
use super::application::SparkApplicationSpec;
use crate::names::{LABEL_MAX, hash, shorten};

/// The schedule that a run, and every pod of a run, belongs to.
pub const SCHEDULE_LABEL: &str = "sparkoperator.k8s.io/scheduled-app-name";
/// Asks for a run now: any text that was not asked with before.
pub const TRIGGER_ANNOTATION: &str = "sparkoperator.k8s.io/trigger";
/// The time of the schedule that a run is for.
pub const SCHEDULED_TIME_ANNOTATION: &str = "sparkoperator.k8s.io/scheduled-time";

/// What a user asks for.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "sparkoperator.k8s.io",
    version = "v1beta2",
    kind = "ScheduledSparkApplication",
    plural = "scheduledsparkapplications",
    singular = "scheduledsparkapplication",
    shortname = "scheduledsparkapp",
    namespaced,
    status = "ScheduledSparkApplicationStatus",
    doc = "A Spark job that runs again and again.",
    derive = "PartialEq",
    annotation(
        "api-approved.kubernetes.io",
        "unapproved, the group is that of the Kubeflow Spark operator, whose users this serves"
    ),
    printcolumn = r#"{"name":"Schedule","type":"string","jsonPath":".spec.schedule"}"#,
    printcolumn = r#"{"name":"TimeZone","type":"string","jsonPath":".spec.timeZone"}"#,
    printcolumn = r#"{"name":"Suspend","type":"boolean","jsonPath":".spec.suspend"}"#,
    printcolumn = r#"{"name":"Last Run","type":"date","jsonPath":".status.lastRun"}"#,
    printcolumn = r#"{"name":"Last Run Name","type":"string","jsonPath":".status.lastRunName"}"#,
    printcolumn = r#"{"name":"Next Run","type":"string","jsonPath":".status.nextRun"}"#,
    printcolumn = r#"{"name":"State","type":"string","jsonPath":".status.scheduleState","priority":1}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct ScheduledSparkApplicationSpec {
    /// When it runs: five cron fields, or @hourly, @daily, @weekly, @monthly, @yearly, or @every
    /// and a duration. It may begin with TZ= or CRON_TZ= and a time zone.
    pub schedule: String,
    /// The time zone of the schedule, by its IANA name; Local is UTC.
    #[serde(default = "local")]
    pub time_zone: String,
    /// The application of each run.
    pub template: SparkApplicationSpec,
    /// Whether no runs are started; those that are live go on.
    #[serde(default)]
    pub suspend: bool,
    /// What happens when a run is due while an earlier one is live.
    #[serde(default)]
    pub concurrency_policy: ConcurrencyPolicy,
    /// How many successful runs are kept.
    #[serde(default = "one")]
    #[schemars(range(min = 0))]
    pub successful_run_history_limit: i32,
    /// How many failed runs are kept.
    #[serde(default = "one")]
    #[schemars(range(min = 0))]
    pub failed_run_history_limit: i32,
    /// A run that could not be started this many seconds after its time is missed. Without it a
    /// run may start however late.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub starting_deadline_seconds: Option<i64>,
    /// Which of the times that passed unnoticed are made up for, within the starting deadline.
    #[serde(default)]
    pub catch_up_policy: CatchUpPolicy,
}

fn local() -> String {
    "Local".to_owned()
}

const fn one() -> i32 {
    1
}

/// What happens when a run is due while an earlier one is live.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum ConcurrencyPolicy {
    /// Both run.
    #[default]
    Allow,
    /// The new one is skipped.
    Forbid,
    /// The earlier one is deleted, and the new one starts when nothing of it is left.
    Replace,
}

/// Which of the times that passed unnoticed are made up for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum CatchUpPolicy {
    /// The last one.
    #[default]
    Latest,
    /// Each of them, the oldest first, up to the last hundred.
    All,
    /// None that is more than a minute ago.
    None,
}

/// The name of the run for a time of the schedule.
pub fn run_name(schedule: &str, time: jiff::Timestamp) -> String {
    suffixed(schedule, &time.as_second().to_string())
}

/// The name of the run that is asked for by this value of [`TRIGGER_ANNOTATION`].
pub fn triggered_run_name(schedule: &str, trigger: &str) -> String {
    suffixed(schedule, &format!("manual-{}", hash(trigger)))
}

/// Room is left for what Spark and the operator put behind the name of an application.
fn suffixed(schedule: &str, suffix: &str) -> String {
    /// The longest suffix of a name that becomes a label.
    const ROOM: usize = "-driver".len();
    let head = shorten(schedule, LABEL_MAX - ROOM - suffix.len() - 1);
    format!("{head}-{suffix}")
}

#[cfg(test)]
mod tests;
