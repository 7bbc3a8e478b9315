//! SparkApplication `spark-operator.k8s.io/v1alpha1`: the API of the first Spark operator, which the
//! Kubeflow operator grew out of.
//!
//! Laws:
//! - JSON names are those of that time, of its first and of its second version, also the ones that
//!   were misspelt; changes to the served version only add;
//! - an object of this kind is a SparkApplication of today or it is nothing: [`convert()`] makes one of
//!   it or says why there is none, and whatever else is known of applications is known from there;
//! - with `submissionByUser` nothing is submitted: the pods with the [`APP_ID_LABEL`] are told in the
//!   status, and left alone.

mod convert;
mod image;
mod status;

use std::collections::BTreeMap;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::{
    convert::{Conversion, SPARK_VERSION_ANNOTATION, check_followed, convert},
    image::{CurrentImage, CurrentImageError, OldImages},
    status::{
        ApplicationState, ApplicationStateType, ConvertedTo, DriverInfo, SparkApplicationStatus,
    },
};
use super::application::{Language, NamePath};
pub use crate::field::Note;
use crate::names;

/// The API group of that time, which differs from today's by a hyphen.
pub const GROUP: &str = "spark-operator.k8s.io";

/// The label that groups the pods of an application, with the `appId` of its status.
pub const APP_ID_LABEL: &str = "spark-operator.k8s.io/appId";

/// The longest name for which `submissionByUser` works: the label must have room for it and for
/// the number behind it.
pub const FOLLOWED_NAME_MAX: usize = names::LABEL_MAX - NUMBER_MAX;

/// A hyphen and the digits of a 32-bit number.
const NUMBER_MAX: usize = 11;

/// What a user asks for.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "spark-operator.k8s.io",
    version = "v1alpha1",
    kind = "SparkApplication",
    plural = "sparkapplications",
    singular = "sparkapplication",
    namespaced,
    status = "SparkApplicationStatus",
    doc = "A Spark job, in the words of the first Spark operator.",
    derive = "Default",
    derive = "PartialEq",
    annotation(
        "api-approved.kubernetes.io",
        "unapproved, the group is that of the first Spark operator, whose users this serves"
    ),
    printcolumn = r#"{"name":"Status","type":"string","jsonPath":".status.applicationState.state"}"#,
    printcolumn = r#"{"name":"App","type":"string","jsonPath":".status.appId"}"#,
    printcolumn = r#"{"name":"Driver","type":"string","jsonPath":".status.driverInfo.podName"}"#,
    printcolumn = r#"{"name":"Finish","type":"string","jsonPath":".status.completionTime"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#,
    printcolumn = r#"{"name":"Message","type":"string","jsonPath":".status.applicationState.errorMessage","priority":1}"#
)]
#[serde(rename_all = "camelCase")]
pub struct SparkApplicationSpec {
    /// The language of the main application file.
    #[serde(rename = "type")]
    pub language: Language,
    /// Where the driver runs; only cluster can be submitted.
    #[serde(default)]
    pub mode: DeployMode,
    /// The class to run, for Java and Scala.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub main_class: Option<String>,
    /// The jar, Python or R file to run: local:// for a path inside the image, or a remote URI.
    pub main_application_file: String,
    /// What is passed to the application.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arguments: Vec<String>,
    /// Spark settings.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub spark_conf: BTreeMap<String, String>,
    /// Hadoop settings, without the spark.hadoop. prefix.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub hadoop_conf: BTreeMap<String, String>,
    /// A ConfigMap of Spark configuration files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spark_config_map: Option<String>,
    /// A ConfigMap of Hadoop configuration files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hadoop_config_map: Option<String>,
    /// Files the application needs.
    #[serde(default)]
    pub deps: Dependencies,
    /// The driver.
    pub driver: DriverSpec,
    /// The executors.
    pub executor: ExecutorSpec,
    /// Whether the user runs spark-submit, and the application is only followed.
    #[serde(default)]
    pub submission_by_user: bool,
}

/// Where the driver runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DeployMode {
    /// In a pod of its own.
    #[default]
    Cluster,
    /// Where spark-submit was called.
    Client,
    /// In a pod that the user made.
    InClusterClient,
}

/// Files an application needs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Dependencies {
    /// Jars on the class path of driver and executors.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub jar_files: Vec<String>,
    /// The later name of jarFiles.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub jars: Vec<String>,
    /// Files placed in the working directory.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
    /// Python files on the Python path.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub py_files: Vec<String>,
}

/// The driver.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DriverSpec {
    /// The name of the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_name: Option<String>,
    /// The CPU, as a Kubernetes quantity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cores: Option<String>,
    /// The heap, as a JVM size such as 512m or 2g.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<String>,
    /// The image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// ConfigMaps to mount. The first version spelt it like this.
    #[serde(
        default,
        rename = "driverConigMaps",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub driver_conig_maps: Vec<NamePath>,
    /// ConfigMaps to mount.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub driver_config_maps: Vec<NamePath>,
    /// The later name of driverConfigMaps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub config_maps: Vec<NamePath>,
    /// Secrets to mount.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub driver_secrets: Vec<SecretInfo>,
    /// The later name of driverSecrets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SecretInfo>,
    /// Environment variables.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub driver_env_vars: BTreeMap<String, String>,
    /// The later name of driverEnvVars.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env_vars: BTreeMap<String, String>,
}

/// The executors.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExecutorSpec {
    /// The CPU of each, as a Kubernetes quantity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cores: Option<String>,
    /// The heap of each, as a JVM size such as 512m or 2g.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<String>,
    /// The image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// How many there are; 1 when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub instances: Option<i32>,
    /// ConfigMaps to mount. The first version spelt it like this.
    #[serde(
        default,
        rename = "executorConigMaps",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub executor_conig_maps: Vec<NamePath>,
    /// ConfigMaps to mount.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub executor_config_maps: Vec<NamePath>,
    /// The later name of executorConfigMaps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub config_maps: Vec<NamePath>,
    /// Secrets to mount.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub executor_secrets: Vec<SecretInfo>,
    /// The later name of executorSecrets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SecretInfo>,
    /// Environment variables.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub executor_env_vars: BTreeMap<String, String>,
    /// The later name of executorEnvVars.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env_vars: BTreeMap<String, String>,
}

/// A Secret and where it is mounted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretInfo {
    /// The name of the Secret.
    pub name: String,
    /// The directory.
    pub path: String,
    /// What it holds: credentials of known types are also announced by an environment variable.
    #[serde(default, rename = "secretType")]
    pub kind: SecretType,
}

/// What a Secret holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum SecretType {
    /// A Google service account in key.json.
    GCPServiceAccount,
    /// A Hadoop delegation token in hadoop.token.
    HDFSDelegationToken,
    /// The later name of HDFSDelegationToken.
    HadoopDelegationToken,
    /// Anything else.
    #[default]
    Generic,
}

/// The `appId` of an object: its name and a number that follows from its uid, as the value of a
/// label.
pub fn app_id(name: &str, uid: &str) -> String {
    let number = u32::from_str_radix(&names::hash(uid), 16).unwrap_or_default();
    format!("{}-{number}", names::shorten(name, FOLLOWED_NAME_MAX))
}

/// The name of the object that has this `appId`, where the name was not too long for one.
pub fn name_of(app_id: &str) -> Option<&str> {
    let (name, number) = app_id.rsplit_once('-')?;
    let is_number = !number.is_empty() && number.bytes().all(|it| it.is_ascii_digit());
    is_number.then_some(name)
}

#[cfg(test)]
mod tests;
