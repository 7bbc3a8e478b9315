//! KubeDirectorCluster: a virtual cluster that is wanted, and how it stands.
//!
//! A stored cluster has its defaults in it where the webhook serves: members, type of services,
//! naming, storage classes, secrets, catalog.

mod parts;
mod status;
mod validate;

use std::collections::BTreeMap;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::{
    parts::{
        AppCatalog, AutoGrow, Autoscale, BlockStorage, Connections, EnvVar, FileInjection,
        FilePermissions, NamingScheme, Resources, RoleStorage, SecretKey, SecretMount, ServiceType,
        VolumeProjection,
    },
    status::{
        AutoscaleStatus, ClusterState, ClusterStatus, ContainerState, MemberState,
        MemberStateRollup, MemberStatus, NotifyCommand, RestoreProgress, RoleStatus,
        STORAGE_RESIZING, StateDetail,
    },
    validate::validate,
};
use super::amount::DisruptionBudget;
use super::rules;
use crate::schema;

/// The most members of a cluster, in all roles together.
pub const MEMBERS_MAX: i64 = 1000;

/// A virtual cluster that is wanted.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "kubedirector.hpe.com",
    version = "v1beta1",
    kind = "KubeDirectorCluster",
    plural = "kubedirectorclusters",
    singular = "kubedirectorcluster",
    shortname = "kdcluster",
    namespaced,
    status = "ClusterStatus",
    doc = "A virtual cluster: members in the roles of an application.",
    derive = "Default",
    derive = "PartialEq",
    printcolumn = r#"{"name":"App","type":"string","jsonPath":".spec.app"}"#,
    printcolumn = r#"{"name":"State","type":"string","jsonPath":".status.state"}"#,
    printcolumn = r#"{"name":"Members Down","type":"boolean","jsonPath":".status.memberStateRollup.membersDown"}"#,
    printcolumn = r#"{"name":"Config Errors","type":"boolean","jsonPath":".status.memberStateRollup.configErrors"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {
        "rule": "!has(oldSelf.appCatalog) || (has(self.appCatalog) && self.appCatalog == oldSelf.appCatalog)",
        "message": "appCatalog cannot change; make another cluster for another application",
    },
]))]
pub struct ClusterSpec {
    /// The KubeDirectorApp; it cannot change.
    #[schemars(length(min = 1), extend("x-kubernetes-validations" = [{
        "rule": "self == oldSelf",
        "message": "app cannot change; make another cluster for another application",
    }]))]
    pub app: String,
    /// Where the application is: local is the namespace of the cluster, system that of the operator.
    /// The first of the two that has it when not given. It cannot change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_catalog: Option<AppCatalog>,
    /// The type of the members' Services; that of the KubeDirectorConfig when not given, else
    /// LoadBalancer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_type: Option<ServiceType>,
    /// How objects are named; as the KubeDirectorConfig says when not given, else UID.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub naming_scheme: Option<NamingScheme>,
    /// The Secret of roles that name none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_secret: Option<SecretMount>,
    /// What members are told about from outside of the cluster.
    #[serde(default, skip_serializing_if = "Connections::is_empty")]
    pub connections: Connections,
    /// The members by role.
    #[schemars(length(max = 1000), extend(
        "x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["id"],
    ))]
    pub roles: Vec<ClusterRole>,
}

/// The members of a role.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterRole {
    /// The role of the application.
    #[schemars(length(min = 1, max = 63), extend("pattern" = rules::LABEL_VALUE))]
    pub id: String,
    /// How many there are; the least that the application allows when not given. Where autoscale is
    /// given, how many there are to begin with, and the least of these when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub members: Option<i32>,
    /// The image, where it is not that of the application: members are replaced one by one when it
    /// changes. Not known to KubeDirector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub image_repo_tag: Option<String>,
    /// Labels of the pods.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pod_labels: BTreeMap<String, String>,
    /// Annotations of the pods.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pod_annotations: BTreeMap<String, String>,
    /// Labels of the members' Services.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub service_labels: BTreeMap<String, String>,
    /// Annotations of the members' Services.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub service_annotations: BTreeMap<String, String>,
    /// What each member may use, and is given for certain.
    pub resources: Resources,
    /// Where the pods may run (Kubernetes Affinity).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::optional_object")]
    pub affinity: Option<Value>,
    /// The ServiceAccount of the pods, whose token they have; without it they have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub service_account_name: Option<String>,
    /// The storage of each member; without it nothing outlives its container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<RoleStorage>,
    /// Environment variables.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<EnvVar>,
    /// The size of /dev/shm, as a Kubernetes quantity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = rules::QUANTITY))]
    pub shared_memory: Option<String>,
    /// Files that are put into members before they are set up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub file_injections: Vec<FileInjection>,
    /// A Secret that is mounted; that of the cluster when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretMount>,
    /// Raw devices of each member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block_storage: Option<BlockStorage>,
    /// Secret texts that the scripts are told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend(
        "x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"],
    ))]
    pub secret_keys: Vec<SecretKey>,
    /// Claims that all members mount.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volume_projections: Vec<VolumeProjection>,
    /// Labels of the nodes that the pods run on. Not known to KubeDirector.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,
    /// Taints that the pods tolerate (Kubernetes Toleration). Not known to KubeDirector.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::objects")]
    pub tolerations: Vec<Value>,
    /// How the pods are spread (Kubernetes TopologySpreadConstraint). Not known to KubeDirector.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::objects")]
    pub topology_spread_constraints: Vec<Value>,
    /// Secrets that hold registry credentials. Not known to KubeDirector.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "rules::non_empty_texts")]
    pub image_pull_secrets: Vec<String>,
    /// The PriorityClass of the pods. Not known to KubeDirector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub priority_class_name: Option<String>,
    /// How many members may be away while nodes are emptied; as the application says when not given.
    /// Not known to KubeDirector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disruption_budget: Option<DisruptionBudget>,
    /// Between which bounds the number of members follows what the application asks for. Not known to
    /// KubeDirector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscale: Option<Autoscale>,
}

impl ClusterSpec {
    /// The role of this name.
    pub fn role(&self, id: &str) -> Option<&ClusterRole> {
        self.roles.iter().find(|role| role.id == id)
    }
}

impl ClusterRole {
    /// The most members that there may come to be, as far as the cluster says; the application says
    /// the rest.
    pub fn most_members(&self) -> Option<i32> {
        let bounds = self.autoscale.as_ref();
        bounds.map(|bounds| bounds.max_members).or(self.members)
    }
}
