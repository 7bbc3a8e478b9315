//! The smaller structs of the specification.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::schema;

/// Where the driver runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DeployMode {
    /// In a pod of its own.
    #[default]
    Cluster,
    /// In the operator; validation refuses it.
    Client,
}

/// What happens when an application ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RestartPolicy {
    /// Never, OnFailure or Always.
    #[serde(default, rename = "type")]
    pub kind: RestartPolicyType,
    /// How often a submission that failed is tried again; not at all when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub on_submission_failure_retries: Option<i32>,
    /// How often an application that failed is run again; not at all when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub on_failure_retries: Option<i32>,
    /// Seconds before the first retry of a submission; 5 when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub on_submission_failure_retry_interval: Option<i64>,
    /// Seconds before the first rerun; 5 when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub on_failure_retry_interval: Option<i64>,
    /// What happens to a driver whose node does not answer: Wait, or Replace after some minutes,
    /// although it may still run there; Wait when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_loss: Option<NodeLossPolicy>,
}

/// What happens to a driver whose node does not answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum NodeLossPolicy {
    /// The node, or the one who deletes the pod or the node, has the last word.
    #[default]
    Wait,
    /// The pod is removed, and the attempt has failed without being charged.
    Replace,
}

/// When an application is run again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum RestartPolicyType {
    /// It is not.
    #[default]
    Never,
    /// After a failure, as often as the retries say.
    OnFailure,
    /// After every end.
    Always,
}

/// Files and packages an application needs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Dependencies {
    /// Jars on the class path of driver and executors.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub jars: Vec<String>,
    /// Files placed in the working directory.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
    /// Python files on the Python path.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub py_files: Vec<String>,
    /// Maven packages, as group:artifact:version.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub packages: Vec<String>,
    /// Maven packages to leave out, as group:artifact.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude_packages: Vec<String>,
    /// More Maven repositories.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub repositories: Vec<String>,
    /// Archives unpacked in the working directory.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub archives: Vec<String>,
}

/// Prometheus metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MonitoringSpec {
    /// Whether the driver exposes metrics.
    pub expose_driver_metrics: bool,
    /// Whether executors expose metrics.
    pub expose_executor_metrics: bool,
    /// The content of metrics.properties; a set for JMX when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics_properties: Option<String>,
    /// A metrics.properties inside of the image, instead of metricsProperties.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics_properties_file: Option<String>,
    /// The JMX exporter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prometheus: Option<PrometheusSpec>,
}

/// The JMX exporter that serves metrics to Prometheus.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PrometheusSpec {
    /// The path of the exporter's jar inside of the image.
    pub jmx_exporter_jar: String,
    /// The port it listens on.
    #[serde(default = "PrometheusSpec::default_port")]
    #[schemars(range(min = 1024, max = 49151))]
    pub port: i32,
    /// The name of that port.
    #[serde(default = "PrometheusSpec::default_port_name")]
    pub port_name: String,
    /// A configuration of the exporter inside of the image, instead of configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_file: Option<String>,
    /// The configuration of the exporter; one for Spark when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuration: Option<String>,
}

impl PrometheusSpec {
    fn default_port() -> i32 {
        8090
    }

    fn default_port_name() -> String {
        "jmx-exporter".to_owned()
    }
}

/// What a batch scheduler is told.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BatchSchedulerOptions {
    /// The queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<String>,
    /// The priority class of the group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority_class_name: Option<String>,
    /// The resources of the group (Kubernetes ResourceList), instead of the sum of its pods.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::quantities")]
    pub resources: BTreeMap<String, Value>,
}

/// How a Service is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum ServiceType {
    /// Inside of the cluster.
    ClusterIP,
    /// At a port of every node.
    NodePort,
    /// Through a load balancer.
    LoadBalancer,
    /// As an alias of another name.
    ExternalName,
}

/// The Service and Ingress of the driver's web page.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SparkUiOptions {
    /// The port of the Service; the port of the page when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_port: Option<i32>,
    /// The name of that port; spark-driver-ui-port when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_port_name: Option<String>,
    /// The type of the Service; ClusterIP when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_type: Option<ServiceType>,
    /// Annotations of the Service.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub service_annotations: BTreeMap<String, String>,
    /// Labels of the Service.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub service_labels: BTreeMap<String, String>,
    /// Annotations of the Ingress.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ingress_annotations: BTreeMap<String, String>,
    /// Certificates of the Ingress.
    #[serde(default, rename = "ingressTLS", skip_serializing_if = "Vec::is_empty")]
    pub ingress_tls: Vec<IngressTls>,
}

/// One more Service and Ingress of the driver.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DriverIngressOptions {
    /// The port of the Service, and of the driver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_port: Option<i32>,
    /// The name of that port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_port_name: Option<String>,
    /// The type of the Service; ClusterIP when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_type: Option<ServiceType>,
    /// Annotations of the Service.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub service_annotations: BTreeMap<String, String>,
    /// Labels of the Service.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub service_labels: BTreeMap<String, String>,
    /// The URL of the Ingress, with {{$appName}}, {{$appNamespace}} and {{$appId}} filled in.
    #[serde(
        default,
        rename = "ingressURLFormat",
        skip_serializing_if = "String::is_empty"
    )]
    pub ingress_url_format: String,
    /// Annotations of the Ingress.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ingress_annotations: BTreeMap<String, String>,
    /// Certificates of the Ingress.
    #[serde(default, rename = "ingressTLS", skip_serializing_if = "Vec::is_empty")]
    pub ingress_tls: Vec<IngressTls>,
}

/// The certificate of some hosts of an Ingress.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IngressTls {
    /// The hosts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    /// The Secret that holds the certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_name: Option<String>,
}

/// Executors as the job needs them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DynamicAllocation {
    /// Whether Spark adds and removes executors.
    #[serde(default)]
    pub enabled: bool,
    /// How many to start with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial_executors: Option<i32>,
    /// How many to keep at least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_executors: Option<i32>,
    /// How many to have at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_executors: Option<i32>,
    /// Whether executors with shuffle data are kept; true when not given and enabled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shuffle_tracking_enabled: Option<bool>,
    /// Milliseconds for which executors with shuffle data are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shuffle_tracking_timeout: Option<i64>,
}

/// GPUs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GpuSpec {
    /// The resource, for example nvidia.com/gpu.
    pub name: String,
    /// How many.
    pub quantity: i64,
}

/// A ConfigMap and where it is mounted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NamePath {
    /// The name of the object.
    pub name: String,
    /// The directory.
    pub path: String,
}

/// A key of a Secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NameKey {
    /// The name of the Secret.
    pub name: String,
    /// The key inside of it.
    pub key: String,
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
    /// A Google service account in key.json: GOOGLE_APPLICATION_CREDENTIALS names it.
    GCPServiceAccount,
    /// A Hadoop delegation token in hadoop.token: HADOOP_TOKEN_FILE_LOCATION names it.
    HadoopDelegationToken,
    /// Anything else.
    #[default]
    Generic,
}

/// A port of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Port {
    /// The name of the port.
    pub name: String,
    /// TCP, UDP or SCTP.
    pub protocol: String,
    /// The number.
    pub container_port: i32,
}
