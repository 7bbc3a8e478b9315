//! What the controller reports.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// What the controller reports.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SparkHistoryServerStatus {
    /// How the server stands.
    #[serde(default)]
    pub phase: HistoryPhase,
    /// Where its page is inside of the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The directory whose event logs it shows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_directory: Option<String>,
    /// The Service that leads to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_name: Option<String>,
    /// The pod that serves, or will.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_name: Option<String>,
    /// How often the server was started anew in this pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restarts: Option<i32>,
    /// What holds, in the form tools wait for: Ready, and Validated.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// The generation of the specification that this status was made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

/// How a server stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum HistoryPhase {
    /// Nothing has been made of it yet: nobody has looked, or it waits for its ObjectStore.
    #[default]
    Pending,
    /// The server is on its way for the first time, or with other settings.
    Starting,
    /// The server answers.
    Ready,
    /// The server does not answer: it failed, and is started again.
    NotReady,
    /// The user asked for it to be stopped.
    Suspended,
    /// The specification cannot be served until somebody acts.
    Failed,
    /// A word of another version.
    #[serde(other)]
    Unknown,
}

/// Phases are plain strings in the CRD, so that an older server accepts what a newer one wrote.
impl JsonSchema for HistoryPhase {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "HistoryPhase".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string" })
    }
}
