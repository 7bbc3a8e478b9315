//! What the controller reports.
//!
//! All fields but conditions, observedGeneration and autoscale are KubeDirector's and keep their meaning.
//! None of them is a memory: how a cluster stands follows from its objects, and a cluster without a
//! status goes on as one with it. What is lost with autoscale is for how long fewer members have been
//! wanted, which is waited for anew.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::director::secret::Hidden;

/// The condition that is true while volumes of members become larger.
pub const STORAGE_RESIZING: &str = "StorageResizing";

/// What the controller reports.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterStatus {
    /// How the cluster stands.
    #[serde(default, skip_serializing_if = "ClusterState::is_new")]
    pub state: ClusterState,
    /// What a cluster that was restored from a backup waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore_progress: Option<RestoreProgress>,
    /// What holds for some of the members.
    #[serde(default)]
    pub member_state_rollup: MemberStateRollup,
    /// The mark of KubeDirector's last write; not used.
    #[serde(
        default,
        rename = "generationUID",
        skip_serializing_if = "Option::is_none"
    )]
    pub generation_uid: Option<String>,
    /// The version of configmeta.json that members are to have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec_generation_to_process: Option<i64>,
    /// The headless Service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_service: Option<String>,
    /// The last number that a member was given.
    #[serde(
        default,
        rename = "lastNodeID",
        skip_serializing_if = "Option::is_none"
    )]
    pub last_node_id: Option<i64>,
    /// What the members were told about their connections last, as a hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_connection_hash: Option<String>,
    /// The members by role.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<RoleStatus>,

    /// The generation of the specification that this status was made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// What holds, in the form tools wait for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// What a cluster that was restored from a backup waits for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RestoreProgress {
    /// The application.
    #[serde(default)]
    pub awaiting_app: bool,
    /// The backup of the status.
    #[serde(default)]
    pub awaiting_status: bool,
    /// Its objects.
    #[serde(default)]
    pub awaiting_resources: bool,
    /// What is in the way.
    #[serde(default)]
    pub error: String,
}

/// What holds for some of the members.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemberStateRollup {
    /// Some come or go.
    #[serde(default)]
    pub membership_changing: bool,
    /// Some have no running container.
    #[serde(default)]
    pub members_down: bool,
    /// Some copy their directories to storage.
    #[serde(default)]
    pub members_initializing: bool,
    /// Some wait to be started.
    #[serde(default)]
    pub members_waiting: bool,
    /// Some are set up anew after a restart.
    #[serde(default)]
    pub members_restarting: bool,
    /// Some could not be set up.
    #[serde(default)]
    pub config_errors: bool,
    /// Some find no node.
    #[serde(default)]
    pub members_not_scheduled: bool,
}

/// The members of a role.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RoleStatus {
    /// The role.
    #[serde(default)]
    pub id: String,
    /// Its StatefulSet.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub stateful_set: String,
    /// Its secret texts, encrypted, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub encrypted_secret_keys: BTreeMap<String, String>,
    /// Its members.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<MemberStatus>,
    /// What its number of members follows from, where that is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscale: Option<AutoscaleStatus>,
}

/// What the number of members of a role follows from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AutoscaleStatus {
    /// How many members there are to be.
    #[serde(default)]
    pub desired_members: i32,
    /// How many the application had a use for when it was asked last; absent while that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub demanded_members: Option<i32>,
    /// Since when fewer members are wanted than there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lower_since: Option<Time>,
    /// The most that were wanted since then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub highest_since: Option<i32>,
}

/// A member.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemberStatus {
    /// Its pod.
    #[serde(default)]
    pub pod: String,
    /// Its Service; n/a when its role serves nothing.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub service: String,
    /// The token of its services, as KubeDirector wrote it; ours is in a Secret.
    #[serde(default, skip_serializing_if = "Hidden::is_empty")]
    pub auth_token: Hidden,
    /// Its PersistentVolumeClaim.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub pvc: String,
    /// How it stands.
    #[serde(default)]
    pub state: MemberState,
    /// The details.
    #[serde(default)]
    pub state_detail: StateDetail,
    /// Its number in the cluster.
    #[serde(default, rename = "nodeID")]
    pub node_id: i64,
    /// Its raw devices.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub block_device_paths: Vec<String>,
}

/// How a member stands in detail.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StateDetail {
    /// Why it could not be set up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_error_detail: Option<String>,
    /// The version of configmeta.json that it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_config_data_generation: Option<i64>,
    /// The version of configmeta.json that it was set up with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_setup_generation: Option<i64>,
    /// The container that is being set up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuring_container: Option<String>,
    /// The container that was set up last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_configured_container: Option<String>,
    /// How its container stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_known_container_state: Option<ContainerState>,
    /// What it is still to be told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pending_notify_cmds: Vec<NotifyCommand>,
    /// The version of the connections that it was told about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_connection_version: Option<i64>,
    /// The end of what its script wrote when it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_script_stdout_message: Option<String>,
    /// The end of what its script wrote as errors when it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_script_stderr_message: Option<String>,
    /// Why it finds no node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduling_error_message: Option<String>,
    /// How far the copy of its directories is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_init_progress: Option<String>,
}

/// A call of a member's startscript.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NotifyCommand {
    /// Its arguments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arguments: Vec<String>,
}

/// How a cluster stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ClusterState {
    /// Nobody has looked at it yet.
    #[default]
    #[serde(rename = "")]
    New,
    /// Its members come for the first time.
    #[serde(rename = "creating")]
    Creating,
    /// Members come, go or are set up anew.
    #[serde(rename = "updating")]
    Updating,
    /// All is as specified. The first KubeDirectors called it ready.
    #[serde(rename = "configured", alias = "ready")]
    Configured,
    /// The specification has changed, and nobody has looked at it since.
    #[serde(rename = "spec modified")]
    SpecModified,
    /// A word of another operator.
    #[serde(other)]
    Unknown,
}

impl ClusterState {
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde calls it with a reference"
    )]
    const fn is_new(&self) -> bool {
        matches!(self, Self::New)
    }
}

/// How a member stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum MemberState {
    /// It is to come.
    #[default]
    #[serde(rename = "create pending", alias = "create_pending")]
    CreatePending,
    /// Its container runs and is being set up.
    #[serde(rename = "creating")]
    Creating,
    /// It is set up.
    #[serde(rename = "configured", alias = "ready", alias = "configured_internal")]
    Configured,
    /// It could not be set up.
    #[serde(rename = "config error")]
    ConfigError,
    /// It is to go, and does what it has to do before that.
    #[serde(rename = "delete pending", alias = "delete_pending")]
    DeletePending,
    /// It goes.
    #[serde(rename = "deleting")]
    Deleting,
    /// A word of another operator.
    #[serde(other)]
    Unknown,
}

/// How a container stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ContainerState {
    /// It runs.
    Running,
    /// It waits to be started.
    Waiting,
    /// The directories are copied to its storage.
    Initializing,
    /// Its node does not answer.
    Unresponsive,
    /// It has ended.
    Terminated,
    /// There is no pod.
    Absent,
    /// It cannot be told.
    #[default]
    #[serde(other)]
    Unknown,
}

/// States are plain strings in the CRD, so that an older server accepts what a newer one wrote.
macro_rules! plain_string {
    ($name:ident) => {
        impl JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string" })
            }
        }
    };
}

plain_string!(ClusterState);
plain_string!(MemberState);
plain_string!(ContainerState);
