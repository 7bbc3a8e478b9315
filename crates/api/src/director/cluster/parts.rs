//! The smaller structs of a cluster.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::director::amount::{self, Amounts};
use crate::director::secret::Hidden;
use crate::director::{is_false, rules};
use crate::storage::growth;

/// Where an application is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AppCatalog {
    /// In the namespace of the cluster.
    Local,
    /// In the namespace of the operator.
    System,
}

impl AppCatalog {
    /// As it is written, also as the value of a label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::System => "system",
        }
    }
}

/// The type of the members' Services.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum ServiceType {
    /// Reached from inside.
    ClusterIP,
    /// Reached at a port of every node.
    NodePort,
    /// Reached at an address of its own, where something gives one out.
    #[default]
    LoadBalancer,
}

impl ServiceType {
    /// As a Kubernetes Service has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClusterIP => "ClusterIP",
            Self::NodePort => "NodePort",
            Self::LoadBalancer => "LoadBalancer",
        }
    }
}

/// How the objects of a cluster are named.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum NamingScheme {
    /// By random letters alone: kdss-xxxxx, kdhs-xxxxx, s-kdss-xxxxx-0.
    #[default]
    #[serde(rename = "UID")]
    Uid,
    /// By cluster and role: CLUSTER-ROLE-xxxxx, CLUSTERxxxxx, CLUSTER-ROLE-xxxxx-0.
    CrNameRole,
    /// As kubedirector.bluedata.io/v1alpha1 had it: CLUSTER-ROLE-xxxxx, svc-CLUSTER-xxxxx,
    /// svc-CLUSTER-ROLE-xxxxx-0, with ports called port-NUMBER. Not known to later KubeDirectors.
    Original,
}

/// A Secret that is mounted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretMount {
    /// The Secret.
    #[schemars(length(min = 1))]
    pub name: String,
    /// The permission bits of its files, as a decimal number up to 511 (0777).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 511))]
    pub default_mode: Option<i32>,
    /// The directory.
    #[schemars(length(min = 1), extend("pattern" = rules::MOUNT_PATH))]
    pub mount_path: String,
    /// Whether it may not be written to.
    #[serde(default, skip_serializing_if = "is_false")]
    pub read_only: bool,
}

/// What members are told about from outside of the cluster, all in its namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Connections {
    /// KubeDirectorClusters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clusters: Vec<String>,
    /// ConfigMaps with the label kubedirector.hpe.com/cmType.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub configmaps: Vec<String>,
    /// Secrets with the label kubedirector.hpe.com/secretType.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
}

impl Connections {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.clusters.is_empty() && self.configmaps.is_empty() && self.secrets.is_empty()
    }
}

/// What each member may use, and is given for certain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Resources {
    /// The most: memory and cpu, and what else there is.
    #[schemars(schema_with = "amount::limits")]
    pub limits: Amounts,
    /// What is given for certain; the limits where they say nothing.
    #[serde(default, skip_serializing_if = "Amounts::is_empty")]
    #[schemars(schema_with = "amount::amounts")]
    pub requests: Amounts,
}

/// The storage of each member.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RoleStorage {
    /// How much, as a Kubernetes quantity. It may become more, and so do volumes that have less.
    #[schemars(extend("pattern" = rules::QUANTITY))]
    pub size: String,
    /// The class; that of the KubeDirectorConfig when not given, else the default of the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub storage_class_name: Option<String>,
    /// When and how far each volume grows beyond size by itself; without it, it does not. It needs an
    /// operator with --storage-auto-grow. Not known to KubeDirector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_grow: Option<AutoGrow>,
}

/// When and how far each volume of a role grows by itself, in the words of the annotations
/// windlass.dev/auto-grow-* of its claim.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AutoGrow {
    /// The size that no volume exceeds by itself, as a Kubernetes quantity; at least size.
    #[schemars(extend("pattern" = rules::QUANTITY))]
    pub max: String,
    /// How much of a volume's bytes, or of its inodes, is used when it grows, from 1% to 100%; 80% when not
    /// given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = rules::SHARE))]
    pub threshold: Option<String>,
    /// By how much, a share of its size or a Kubernetes quantity, rounded up to whole GiB from 1 GiB on; 20%
    /// when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub step: Option<String>,
    /// How long it does not grow again, for example 10m or 6h, at least two minutes; when not given 10m, and
    /// 6h with ebs.csi.aws.com.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub cool_down: Option<String>,
}

impl AutoGrow {
    /// Each field by its name, the annotation of a claim that says the same, and what it says.
    pub fn fields(&self) -> [(&'static str, &'static str, Option<&str>); 4] {
        [
            ("max", growth::MAX, Some(self.max.as_str())),
            ("threshold", growth::THRESHOLD, self.threshold.as_deref()),
            ("step", growth::STEP, self.step.as_deref()),
            ("coolDown", growth::COOL_DOWN, self.cool_down.as_deref()),
        ]
    }
}

/// Between which bounds the number of members follows what the application asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "!has(self.minMembers) || self.minMembers <= self.maxMembers",
    "message": "maxMembers must be at least minMembers",
}]))]
pub struct Autoscale {
    /// The fewest members; the least that the application allows when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub min_members: Option<i32>,
    /// The most members.
    #[schemars(range(min = 1))]
    pub max_members: i32,
    /// Seconds for which fewer members must have been wanted before some go, as the
    /// stabilizationWindowSeconds of a HorizontalPodAutoscaler; 300 when not given, at most 3600.
    /// More members come at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 3600))]
    pub scale_down_delay_seconds: Option<i32>,
}

impl Autoscale {
    /// Seconds for which fewer members must have been wanted when nothing is given, as in a
    /// HorizontalPodAutoscaler.
    pub const DEFAULT_SCALE_DOWN_DELAY_SECONDS: i32 = 300;
    /// The most such seconds, as in a HorizontalPodAutoscaler.
    pub const SCALE_DOWN_DELAY_SECONDS_MAX: i32 = 3600;

    /// Seconds for which fewer members must have been wanted before some go.
    pub fn scale_down_delay(&self) -> i32 {
        self.scale_down_delay_seconds
            .unwrap_or(Self::DEFAULT_SCALE_DOWN_DELAY_SECONDS)
    }
}

/// An environment variable.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EnvVar {
    /// The name.
    #[schemars(length(min = 1))]
    pub name: String,
    /// The value; empty when not given.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub value: String,
}

/// A file that is put into members before they are set up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FileInjection {
    /// Where it is fetched from, by http or https.
    #[serde(rename = "srcURL")]
    #[schemars(extend("pattern" = rules::FETCHED_URL))]
    pub src_url: String,
    /// The directory it is put into.
    #[schemars(length(min = 1), extend("pattern" = rules::ABSOLUTE_PATH))]
    pub dest_dir: String,
    /// Who may do what with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permissions: Option<FilePermissions>,
}

/// Who may do what with a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FilePermissions {
    /// The permission bits as a number (420 is 0644).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_mode: Option<i32>,
    /// The user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_owner: Option<String>,
    /// The group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_group: Option<String>,
}

/// Raw devices of each member.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BlockStorage {
    /// The class; as for storage when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub storage_class_name: Option<String>,
    /// What the paths of the devices begin with: 0, 1, ... are put behind it.
    #[schemars(length(min = 1), extend("pattern" = rules::ABSOLUTE_PATH))]
    pub path_prefix: String,
    /// How much each has, as a Kubernetes quantity; 1Gi when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = rules::QUANTITY))]
    pub size: Option<String>,
    /// How many there are.
    #[schemars(range(min = 1))]
    pub num_devices: i32,
}

impl BlockStorage {
    /// The size of a device when none is given.
    pub const DEFAULT_SIZE: &str = "1Gi";
}

/// A secret text that the scripts are told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretKey {
    /// By what name they find it.
    #[schemars(length(min = 1))]
    pub name: String,
    /// The text, as a user gives it; the webhook stores it encrypted.
    #[serde(default, skip_serializing_if = "Hidden::is_empty")]
    pub value: Hidden,
    /// The text as it is stored; not for users.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub encrypted_value: String,
}

/// A claim that all members of a role mount.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VolumeProjection {
    /// The PersistentVolumeClaim.
    #[schemars(length(min = 1))]
    pub pvc_name: String,
    /// The directory.
    #[schemars(length(min = 2), extend("pattern" = rules::MOUNT_PATH))]
    pub mount_path: String,
    /// Whether it may not be written to.
    #[serde(default, skip_serializing_if = "is_false")]
    pub read_only: bool,
}
