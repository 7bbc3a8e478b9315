//! What the controller reports.
//!
//! The first six fields are those of the Kubeflow operator and keep their meaning; the rest is new.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// What the controller reports.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SparkConnectStatus {
    /// What holds, in the form tools wait for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// How the server stands.
    #[serde(default, skip_serializing_if = "ConnectState::is_new")]
    pub state: ConnectState,
    /// Where the server is.
    #[serde(default, skip_serializing_if = "ServerStatus::is_empty")]
    pub server: ServerStatus,
    /// How many executor pods there are in each phase.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub executors: BTreeMap<String, i32>,
    /// When the operator first saw the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    /// When anything else of the status changed last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_update_time: Option<Time>,

    /// The generation of the specification that this status was made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Since when the server has had no executor, where that matters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_since: Option<Time>,
    /// The last request to start a server that nobody used, of those that were dealt with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wake_requested_at: Option<String>,
}

/// Where the server is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServerStatus {
    /// The pod that serves, or will.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_name: Option<String>,
    /// Its address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_ip: Option<String>,
    /// The Service that leads there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_name: Option<String>,
    /// How often the server was started anew in this pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restarts: Option<i32>,
}

impl ServerStatus {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// How a server stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ConnectState {
    /// Nobody has looked at it yet.
    #[default]
    #[serde(rename = "")]
    New,
    /// The server is on its way for the first time, or with another specification.
    Provisioning,
    /// The server answers.
    Ready,
    /// The server does not answer: it was stopped, or it failed and is started again.
    NotReady,
    /// The specification cannot be served until it is corrected.
    Failed,
    /// A word of another operator.
    #[serde(other)]
    Unknown,
}

impl ConnectState {
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde calls it with a reference"
    )]
    const fn is_new(&self) -> bool {
        matches!(self, Self::New)
    }
}

/// States are plain strings in the CRD, so that an older server accepts what a newer one wrote.
impl JsonSchema for ConnectState {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ConnectState".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string" })
    }
}
