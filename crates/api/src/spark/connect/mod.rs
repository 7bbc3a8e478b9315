//! SparkConnect `sparkoperator.k8s.io/v1alpha1`, as users of the Kubeflow operator know it, and what
//! that lacks: suspending, who may use the server, and an end of servers that nobody uses.
//!
//! Laws:
//! - JSON names are exactly those users have; changes to the served version only add;
//! - a server is a driver with another main class, so its settings, resources and templates are
//!   those of the application that [`application`] makes of it, and are checked as such;
//! - no field holds a secret: a token is in a Secret, of the operator or of the user.

mod pieces;
mod status;
mod validate;

use std::collections::BTreeMap;

use kube::CustomResource;
use kube::api::ObjectMeta;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::pieces::ConnectPieces;
pub use self::status::{ConnectState, ServerStatus, SparkConnectStatus};
pub use self::validate::{in_own_words, validate};
use super::application::{
    ConfValue, DriverSpec, DynamicAllocation, ExecutorSpec, Language, NameKey, SparkApplication,
    SparkApplicationSpec,
};
use super::standing::{CONTAINER, Template};
use crate::schema;

/// The SparkConnect that a pod, and everything else of a server, belongs to.
pub const CONNECT_NAME_LABEL: &str = "sparkoperator.k8s.io/connect-name";

/// The annotation by which a user asks for a server that was stopped because nobody used it: a
/// time, or any text that is new.
pub const WAKE_REQUESTED_AT: &str = "windlass.dev/wake-requested-at";

/// The class of the server.
pub const SERVER_CLASS: &str = "org.apache.spark.sql.connect.service.SparkConnectServer";

/// What is put behind the name of a SparkConnect for its objects.
const SUFFIX: &str = "-server";

/// The key of the token in the Secret that the operator makes.
pub const TOKEN_KEY: &str = "token";

/// What a user asks for.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "sparkoperator.k8s.io",
    version = "v1alpha1",
    kind = "SparkConnect",
    plural = "sparkconnects",
    singular = "sparkconnect",
    shortname = "sparkconn",
    namespaced,
    status = "SparkConnectStatus",
    doc = "A Spark Connect server and its executors.",
    derive = "Default",
    derive = "PartialEq",
    annotation(
        "api-approved.kubernetes.io",
        "unapproved, the group is that of the Kubeflow Spark operator, whose users this serves"
    ),
    printcolumn = r#"{"name":"Suspend","type":"boolean","jsonPath":".spec.suspend"}"#,
    printcolumn = r#"{"name":"State","type":"string","jsonPath":".status.state"}"#,
    printcolumn = r#"{"name":"Service","type":"string","jsonPath":".status.server.serviceName"}"#,
    printcolumn = r#"{"name":"Server","type":"string","jsonPath":".status.server.podName","priority":1}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct SparkConnectSpec {
    /// The Spark version of the image, for example 4.3.0.
    pub spark_version: String,
    /// The image of server and executors, unless their templates name another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Hadoop settings, without the spark.hadoop. prefix; a value is a text, or
    /// valueFrom.secretKeyRef.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub hadoop_conf: BTreeMap<String, ConfValue>,
    /// Spark settings; a value is a text, or valueFrom.secretKeyRef.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub spark_conf: BTreeMap<String, ConfValue>,
    /// An ObjectStore of the namespace in whose bucket the operator keeps what server and executors print, as
    /// keepLogs of a SparkApplication does. Not known to the Kubeflow operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_logs: Option<String>,
    /// The server.
    #[serde(default)]
    pub server: ServerSpec,
    /// The executors.
    #[serde(default)]
    pub executor: ConnectExecutorSpec,
    /// Executors as the sessions need them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dynamic_allocation: Option<DynamicAllocation>,
    /// Whether the server and its executors are stopped until this is false again.
    #[serde(default)]
    pub suspend: bool,
    /// Seconds without any executor after which the server is stopped, until it is asked for
    /// again. Needs dynamicAllocation without a least number of executors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 60))]
    pub idle_timeout_seconds: Option<i64>,
    /// Who may use the server; everybody who reaches it when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<Access>,
}

/// The server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServerSpec {
    /// The number of cores; 1 unless sparkConf says otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub cores: Option<i32>,
    /// The heap, as a JVM size such as 512m or 2g; 1g unless sparkConf says otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<String>,
    /// A pod template (Kubernetes PodTemplateSpec) that the server's pod starts from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::optional_object")]
    pub template: Option<Value>,
    /// A Service (Kubernetes Service) that the one of the server starts from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::optional_object")]
    pub service: Option<Value>,
}

/// The executors.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConnectExecutorSpec {
    /// The number of cores; 1 unless sparkConf says otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub cores: Option<i32>,
    /// The heap, as a JVM size such as 512m or 2g; 1g unless sparkConf says otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<String>,
    /// A pod template (Kubernetes PodTemplateSpec) that executor pods start from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::optional_object")]
    pub template: Option<Value>,
    /// How many there are; 1 unless dynamic allocation or sparkConf says otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub instances: Option<i32>,
}

/// Who may use the server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Access {
    /// Clients must show a token. Needs Spark 4.0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenAccess>,
    /// Only some pods reach the server, and only it its executors. Needs a network that honours
    /// NetworkPolicies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_policy: Option<NetworkAccess>,
}

/// The token that clients must show.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TokenAccess {
    /// The key of a Secret that holds the token; without it the operator makes a Secret with a
    /// random one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key_ref: Option<NameKey>,
}

/// The pods that reach the server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NetworkAccess {
    /// Who they are (Kubernetes NetworkPolicyPeer); the pods of the namespace when not given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::objects")]
    pub from: Vec<Value>,
}

impl SparkConnectSpec {
    /// The Secret and key of the token that clients must show, if they must.
    pub fn token(&self, name: &str) -> Option<NameKey> {
        let token = self.access.as_ref()?.token.as_ref()?;
        Some(token.secret_key_ref.clone().unwrap_or_else(|| NameKey {
            name: token_secret_name(name),
            key: TOKEN_KEY.to_owned(),
        }))
    }

    /// Whether the operator makes the token.
    pub fn makes_token(&self) -> bool {
        let token = self.access.as_ref().and_then(|it| it.token.as_ref());
        token.is_some_and(|token| token.secret_key_ref.is_none())
    }
}

/// The name of the server's Deployment, and of its Service unless a template names it.
pub fn server_name(name: &str) -> String {
    format!("{name}{SUFFIX}")
}

/// The name of the Secret with the token that the operator makes.
pub fn token_secret_name(name: &str) -> String {
    format!("{name}-connect-token")
}

/// The application that a server is, as far as settings, resources and pods are concerned.
pub fn application(connect: &SparkConnect) -> SparkApplication {
    let spec = &connect.spec;
    let dynamic = spec
        .dynamic_allocation
        .as_ref()
        .is_some_and(|it| it.enabled);
    let conf = |key: &str| spec.spark_conf.get(key).and_then(ConfValue::text);
    let driver = Template {
        value: spec.server.template.as_ref(),
        container: conf("spark.kubernetes.driver.podTemplateContainerName").unwrap_or(CONTAINER),
    };
    let executor = Template {
        value: spec.executor.template.as_ref(),
        container: conf("spark.kubernetes.executor.podTemplateContainerName")
            .unwrap_or("spark-kubernetes-executor"),
    };
    SparkApplication {
        metadata: ObjectMeta {
            name: connect.metadata.name.clone(),
            namespace: connect.metadata.namespace.clone(),
            uid: connect.metadata.uid.clone(),
            ..ObjectMeta::default()
        },
        spec: SparkApplicationSpec {
            language: Language::Scala,
            spark_version: spec.spark_version.clone(),
            image: spec.image.clone(),
            // One setting for both; the server's own is put into its pod in the end.
            image_pull_policy: executor.pull_policy().or_else(|| driver.pull_policy()),
            main_class: Some(SERVER_CLASS.to_owned()),
            main_application_file: "spark-internal".to_owned(),
            spark_conf: spec.spark_conf.clone(),
            hadoop_conf: spec.hadoop_conf.clone(),
            keep_logs: spec.keep_logs.clone(),
            driver: DriverSpec {
                pod: driver.pod(spec.server.cores, spec.server.memory.as_ref()),
                ..DriverSpec::default()
            },
            executor: ExecutorSpec {
                pod: executor.pod(spec.executor.cores, spec.executor.memory.as_ref()),
                // None at all is what dynamic allocation begins with, and no setting of Spark.
                instances: spec.executor.instances.filter(|it| *it > 0 || !dynamic),
                ..ExecutorSpec::default()
            },
            dynamic_allocation: spec.dynamic_allocation,
            ..SparkApplicationSpec::default()
        },
        status: None,
    }
}

#[cfg(test)]
mod tests;
