//! SparkApplication `sparkoperator.k8s.io/v1beta2`, as users of the Kubeflow operator know it.
//!
//! Laws:
//! - JSON names are exactly those users have; changes to the served version only add.
//! - What is unconditional is a default of the CRD; what depends on other fields is decided by
//!   [`defaults`] when a plan is made, and never written back to the object.
//! - Parts that are Kubernetes' own (templates, volumes, containers, affinity) are plain JSON in
//!   the CRD and are read by [`PodPieces::parse`] in a second stage, so that a mistake in them is a
//!   condition of one application and not an object that nobody can decode.

mod checkpoint;
mod conf;
mod defaults;
mod parts;
mod pieces;
mod pod;
mod status;
mod url;
mod validate;

use std::collections::BTreeMap;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(crate) use self::pieces::read_piece;
pub use self::{
    checkpoint::{CHECKPOINT_DIR, CheckpointAccess, CheckpointDir},
    conf::{ConfSource, ConfValue, SecretKeyRef},
    defaults::{Resolved, Retries},
    parts::{
        BatchSchedulerOptions, Dependencies, DeployMode, DriverIngressOptions, DynamicAllocation,
        GpuSpec, IngressTls, MonitoringSpec, NameKey, NamePath, NodeLossPolicy, Port,
        PrometheusSpec, RestartPolicy, RestartPolicyType, SecretInfo, SecretType, ServiceType,
        SparkUiOptions,
    },
    pieces::{PodPieces, RolePieces},
    pod::{DriverSpec, ExecutorSpec, SparkPodSpec},
    status::{
        Admission, ApplicationState, ApplicationStateType, Attempt, AttemptOutcome, DriverInfo,
        ExecutorCounts, ExecutorState, SparkApplicationStatus,
    },
    url::{Scheme, Url, UrlError, UrlFormat, UrlValues},
    validate::{is_local_path, validate},
};
use crate::schema;

/// The API group of the Spark kinds.
pub const GROUP: &str = "sparkoperator.k8s.io";

/// The annotation by which a user asks for another run: a time, or any text that is new.
pub const RERUN_REQUESTED_AT: &str = "windlass.dev/rerun-requested-at";

/// The label of pods whose log is kept in the bucket of an ObjectStore of their namespace: its name.
pub const KEEP_LOGS_LABEL: &str = "windlass.dev/keep-logs";

/// The setting with the folder of event logs.
pub const EVENT_LOG_DIR: &str = "spark.eventLog.dir";

/// The annotation of an Ingress or HTTPRoute that says where a browser finds what is behind it.
pub const URL: &str = "windlass.dev/url";

/// What a user asks for.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "sparkoperator.k8s.io",
    version = "v1beta2",
    kind = "SparkApplication",
    plural = "sparkapplications",
    singular = "sparkapplication",
    shortname = "sparkapp",
    namespaced,
    status = "SparkApplicationStatus",
    doc = "A Spark job: one driver and its executors.",
    derive = "Default",
    derive = "PartialEq",
    annotation(
        "api-approved.kubernetes.io",
        "unapproved, the group is that of the Kubeflow Spark operator, whose users this serves"
    ),
    printcolumn = r#"{"name":"Suspend","type":"boolean","jsonPath":".spec.suspend"}"#,
    printcolumn = r#"{"name":"Status","type":"string","jsonPath":".status.applicationState.state"}"#,
    printcolumn = r#"{"name":"Attempts","type":"string","jsonPath":".status.executionAttempts"}"#,
    printcolumn = r#"{"name":"Start","type":"string","jsonPath":".status.lastSubmissionAttemptTime"}"#,
    printcolumn = r#"{"name":"Finish","type":"string","jsonPath":".status.terminationTime"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct SparkApplicationSpec {
    /// Whether the application is held back or torn down until this is false again.
    #[serde(default)]
    pub suspend: bool,
    /// The language of the main application file.
    #[serde(rename = "type")]
    pub language: Language,
    /// The Spark version of the image, for example 3.5.9.
    pub spark_version: String,
    /// Where the driver runs; only cluster is supported.
    #[serde(default)]
    pub mode: DeployMode,
    /// The user that the job acts as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_user: Option<String>,
    /// The image of driver and executors, unless they name their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// When images are pulled: Always, IfNotPresent or Never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_pull_policy: Option<String>,
    /// Secrets that hold registry credentials.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub image_pull_secrets: Vec<String>,
    /// The class to run, for Java and Scala.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub main_class: Option<String>,
    /// The jar, Python or R file to run: local:// for a path inside the image, or a remote URI.
    pub main_application_file: String,
    /// What is passed to the application.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arguments: Vec<String>,
    /// Spark settings; a value is a text, or valueFrom.secretKeyRef.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub spark_conf: BTreeMap<String, ConfValue>,
    /// Hadoop settings, without the spark.hadoop. prefix; a value is a text, or
    /// valueFrom.secretKeyRef.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub hadoop_conf: BTreeMap<String, ConfValue>,
    /// ObjectStores of the namespace whose buckets the application reads or writes: driver and executors
    /// get the settings of Hadoop for them, and the keys from their Secrets. hadoopConf and sparkConf win
    /// over these. The application waits until all of them are there. Not known to the Kubeflow operator.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub object_stores: Vec<String>,
    /// An ObjectStore of the namespace that Spark writes its event log to, in rolling files, for a history
    /// server to read. Its bucket is reached as those of objectStores are, and is for event logs alone: they
    /// are at its root, the one folder that a bucket has from the beginning. sparkConf wins over what this
    /// sets, and with a spark.eventLog.dir of its own names a folder, which must be there. Not known to
    /// the Kubeflow operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_log: Option<String>,
    /// An ObjectStore of the namespace in whose bucket the operator keeps what driver and executors print, below
    /// kept-logs/, where it outlives them and the application. It goes before where the operator keeps all other
    /// logs. The application does not wait for it: while the bucket is not there, pods have the event
    /// LogNotKept. At most 63 characters, since pods have it as a label. Not known to the Kubeflow operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_logs: Option<String>,
    /// A ConfigMap of Spark configuration files, mounted at /etc/spark/conf.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spark_config_map: Option<String>,
    /// A ConfigMap of Hadoop configuration files, mounted at /etc/hadoop/conf.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hadoop_config_map: Option<String>,
    /// Volumes (Kubernetes Volume) that driver and executor may mount.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::objects")]
    pub volumes: Vec<Value>,
    /// The driver.
    pub driver: DriverSpec,
    /// The executors.
    pub executor: ExecutorSpec,
    /// Files and packages the application needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deps: Option<Dependencies>,
    /// What happens when the application ends.
    #[serde(default)]
    pub restart_policy: RestartPolicy,
    /// Labels of the nodes that driver and executors run on; excludes the selectors of the roles.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,
    /// Kept for old manifests and without effect; use restartPolicy.onFailureRetries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_retries: Option<i32>,
    /// Kept for old manifests and without effect; use restartPolicy.onFailureRetryInterval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_interval: Option<i64>,
    /// The major Python version, for old PySpark images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub python_version: Option<PythonVersion>,
    /// The part of memory added for what is not heap; Spark's own is 0.1 for the JVM, else 0.4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_overhead_factor: Option<String>,
    /// Prometheus metrics of driver and executors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monitoring: Option<MonitoringSpec>,
    /// The batch scheduler to use: volcano, yunikorn, or the name of a kube-scheduler that has the
    /// scheduler plugins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_scheduler: Option<String>,
    /// Seconds after its end at which the application is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_to_live_seconds: Option<i64>,
    /// What the batch scheduler is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_scheduler_options: Option<BatchSchedulerOptions>,
    /// The Service and Ingress of the driver's web page.
    #[serde(
        default,
        rename = "sparkUIOptions",
        skip_serializing_if = "Option::is_none"
    )]
    pub spark_ui_options: Option<SparkUiOptions>,
    /// More Services and Ingresses of the driver.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub driver_ingress_options: Vec<DriverIngressOptions>,
    /// Executors as the job needs them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dynamic_allocation: Option<DynamicAllocation>,
    /// Whether the driver is protected by a PodDisruptionBudget of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver_pod_disruption_budget: Option<bool>,
}

/// The language of an application.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Language {
    /// A class in a jar.
    Java,
    /// A Python file.
    Python,
    /// A class in a jar.
    #[default]
    Scala,
    /// An R file.
    R,
}

impl Language {
    /// Whether the application is a class in a jar.
    pub const fn runs_on_jvm(self) -> bool {
        matches!(self, Self::Java | Self::Scala)
    }
}

/// The major version of Python.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum PythonVersion {
    /// Python 2, which no supported Spark runs.
    #[serde(rename = "2")]
    Two,
    /// Python 3.
    #[serde(rename = "3")]
    Three,
}

impl PythonVersion {
    /// As Spark's setting writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Two => "2",
            Self::Three => "3",
        }
    }
}

#[cfg(test)]
mod tests;
