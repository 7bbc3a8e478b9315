//! What the controller reports, in the words of that time.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::director::cluster::{self, ClusterState, MemberState};

/// What the controller reports.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterStatus {
    /// How the cluster stands: creating, updating or ready.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub state: String,
    /// Why there is no cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The headless Service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_service: Option<String>,
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

/// The members of a role.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RoleStatus {
    /// The role.
    #[serde(default)]
    pub id: String,
    /// Its StatefulSet.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub stateful_set: String,
    /// Its members.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<MemberStatus>,
}

/// A member.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemberStatus {
    /// Its pod.
    #[serde(default)]
    pub pod: String,
    /// Its Service.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub service: String,
    /// Its PersistentVolumeClaim.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub pvc: String,
    /// How it stands: create_pending, creating, ready, delete_pending or deleting.
    #[serde(default)]
    pub state: String,
}

/// The status of the cluster of today that one of that time stands for, in the words of that time.
pub fn in_words_of_that_time(status: &cluster::ClusterStatus) -> ClusterStatus {
    let member = |it: &cluster::MemberStatus| MemberStatus {
        pod: it.pod.clone(),
        service: it.service.clone(),
        pvc: it.pvc.clone(),
        state: member_state(it.state).to_owned(),
    };
    let roles = status.roles.iter();
    ClusterStatus {
        state: cluster_state(status.state).to_owned(),
        message: None,
        cluster_service: status.cluster_service.clone(),
        roles: roles
            .map(|role| RoleStatus {
                id: role.id.clone(),
                stateful_set: role.stateful_set.clone(),
                members: role.members.iter().map(member).collect(),
            })
            .collect(),
        observed_generation: None,
        conditions: status.conditions.clone(),
    }
}

const fn cluster_state(state: ClusterState) -> &'static str {
    match state {
        ClusterState::New => "",
        ClusterState::Creating => "creating",
        ClusterState::Updating | ClusterState::SpecModified => "updating",
        ClusterState::Configured => "ready",
        ClusterState::Unknown => "unknown",
    }
}

/// Set-ups that failed were not told apart from those that went on.
const fn member_state(state: MemberState) -> &'static str {
    match state {
        MemberState::CreatePending => "create_pending",
        MemberState::Creating | MemberState::ConfigError => "creating",
        MemberState::Configured => "ready",
        MemberState::DeletePending => "delete_pending",
        MemberState::Deleting => "deleting",
        MemberState::Unknown => "unknown",
    }
}
