//! What the controller reports, in the words of that time.
//!
//! The first six fields are those of the first operator and keep their meaning; the rest is new.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::spark::application::ExecutorState;

/// What the controller reports.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SparkApplicationStatus {
    /// The id of the application, which its pods carry as the label spark-operator.k8s.io/appId.
    #[serde(default)]
    pub app_id: String,
    /// When it was submitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub submission_time: Option<Time>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Time>,
    /// The driver and its web page.
    #[serde(default)]
    pub driver_info: DriverInfo,
    /// The state, and the reason when it is a bad one.
    #[serde(default)]
    pub application_state: ApplicationState,
    /// The state of executors by pod name: all that live, and the finished ones up to a cap.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub executor_state: BTreeMap<String, ExecutorState>,

    /// The SparkApplication (sparkoperator.k8s.io/v1beta2) that runs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub converted_to: Option<ConvertedTo>,
    /// The generation of the specification that this status was made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

/// The driver and its web page.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
    /// Where the page is found.
    #[serde(
        default,
        rename = "webUIAddress",
        skip_serializing_if = "Option::is_none"
    )]
    pub web_ui_address: Option<String>,
}

/// The state and the reason for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApplicationState {
    /// The state.
    #[serde(default)]
    pub state: ApplicationStateType,
    /// What went wrong, for a person; empty when nothing did.
    #[serde(default)]
    pub error_message: String,
}

/// The states of that time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ApplicationStateType {
    /// There is no driver yet.
    #[default]
    New,
    /// The driver pod exists.
    Submitted,
    /// The driver runs.
    Running,
    /// It ended well.
    Completed,
    /// It ended badly, or cannot be submitted.
    Failed,
    /// A word of another operator.
    #[serde(other)]
    Unknown,
}

impl ApplicationStateType {
    /// Whether the application has ended.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed)
    }
}

/// States are plain strings in the CRD, so that an older server accepts what a newer one wrote.
impl JsonSchema for ApplicationStateType {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "OriginalApplicationStateType".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string" })
    }
}

/// The object of today's API that stands for one of the original.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConvertedTo {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
}
