//! KubeDirectorConfig, what holds for all clusters, and KubeDirectorStatusBackup, which is accepted.

use std::collections::BTreeMap;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::cluster::{ClusterStatus, NamingScheme, ServiceType};
use super::rules;
use super::secret::Hidden;

/// The one KubeDirectorConfig that counts, in the namespace of the operator.
pub const CONFIG_NAME: &str = "kd-global-config";

/// What holds for all clusters.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "kubedirector.hpe.com",
    version = "v1beta1",
    kind = "KubeDirectorConfig",
    plural = "kubedirectorconfigs",
    singular = "kubedirectorconfig",
    shortname = "kdconfig",
    namespaced,
    status = "ConfigStatus",
    doc = "What holds for all virtual clusters. Only kd-global-config in the operator's namespace counts.",
    derive = "Default",
    derive = "PartialEq",
    printcolumn = r#"{"name":"State","type":"string","jsonPath":".status.state"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct ConfigSpec {
    /// The storage class of roles that name none; the default of the cluster when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub default_storage_class_name: Option<String>,
    /// The type of the members' Services; LoadBalancer when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_service_type: Option<ServiceType>,
    /// How objects are named; UID when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_naming_scheme: Option<NamingScheme>,
    /// Whether the nodes give systemd what it needs, so that nothing is mounted for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub native_systemd_support: Option<bool>,
    /// What the names of Secrets that clusters use must begin with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub required_secret_prefix: Option<String>,
    /// What follows the namespace in the names of members; .svc.cluster.local when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub cluster_svc_domain_base: Option<String>,
    /// The key that secret texts are encrypted with: 16, 24 or 32 bytes as hex digits. It may not
    /// change while there are clusters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = rules::ENCRYPTION_KEY))]
    pub master_encryption_key: Option<Hidden>,
    /// Labels of all pods; they take precedence over those of roles.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pod_labels: BTreeMap<String, String>,
    /// Annotations of all pods; they take precedence over those of roles.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pod_annotations: BTreeMap<String, String>,
    /// Labels of all members' Services; they take precedence over those of roles.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub service_labels: BTreeMap<String, String>,
    /// Annotations of all members' Services; they take precedence over those of roles.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub service_annotations: BTreeMap<String, String>,
    /// Kept for old manifests and without effect: a status need not be backed up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup_cluster_status: Option<bool>,
    /// Kept for old manifests and without effect: a restore waits for nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_restore_without_connections: Option<bool>,
    /// Whether roles may have sharedMemory; from Kubernetes 1.22 when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub force_shared_memory_size_support: Option<bool>,
}

/// What follows the namespace in the names of members when the configuration does not say so.
pub const DEFAULT_DOMAIN_BASE: &str = ".svc.cluster.local";

/// What the controller reports.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConfigStatus {
    /// The mark of KubeDirector's last write; not used.
    #[serde(
        default,
        rename = "generationUID",
        skip_serializing_if = "Option::is_none"
    )]
    pub generation_uid: Option<String>,
    /// Whether it is in effect: creating or ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub state: Option<ConfigState>,
}

/// Whether a configuration is in effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ConfigState {
    /// Not yet.
    Creating,
    /// It is.
    Ready,
    /// A word of another operator.
    #[serde(other)]
    Unknown,
}

/// A status of a cluster, as KubeDirector keeps it for a restore. It is accepted and not read, since how
/// a cluster stands follows from its objects.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "kubedirector.hpe.com",
    version = "v1beta1",
    kind = "KubeDirectorStatusBackup",
    plural = "kubedirectorstatusbackups",
    singular = "kubedirectorstatusbackup",
    shortname = "kdstatusbackup",
    namespaced,
    doc = "A status of a virtual cluster as KubeDirector keeps it for a restore; accepted, and not read.",
    derive = "Default",
    derive = "PartialEq"
)]
#[serde(rename_all = "camelCase")]
pub struct StatusBackupSpec {
    /// The status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_backup: Option<ClusterStatus>,
}
