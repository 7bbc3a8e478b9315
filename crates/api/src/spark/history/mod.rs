//! SparkHistoryServer `windlass.dev/v1alpha1`: Spark's own history server, which shows the web pages of
//! applications that are over from their event logs.
//!
//! It is a kind, and not a Deployment that everybody writes anew, because nearly all of it follows from what is known
//! already: where event logs are, how their bucket is reached, and in which Secret the keys for it are. What is left
//! to say is the image, and how long logs are kept.
//!
//! Laws:
//! - a server reads the event logs of exactly one place: an ObjectStore, a directory, or a claim;
//! - nothing is deleted unless `retention` says so, which is Spark's own rule, too;
//! - a server is a driver with another main class, so its settings, resources and template are those of the
//!   application that [`application`] makes of it, and are checked as such;
//! - no field holds a secret.

mod status;
mod validate;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Service;
use kube::CustomResource;
use kube::api::ObjectMeta;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use self::status::{HistoryPhase, SparkHistoryServerStatus};
pub use self::validate::{in_own_words, validate};
use super::application::{ConfValue, DriverSpec, Language, SparkApplication, SparkApplicationSpec};
use super::standing::{CONTAINER, Template, read_service};
use crate::field::{FieldError, FieldPath};
use crate::names::{LABEL_MAX, shorten};
use crate::schema;

/// The SparkHistoryServer that a pod, and everything else of a server, belongs to.
pub const HISTORY_NAME_LABEL: &str = "windlass.dev/history-server";
/// On the pod of a server, also on one that somebody made by hand: the ObjectStore whose event logs it shows, as
/// [`history_of`] writes it; empty where it shows those of a directory or a claim.
pub const HISTORY_OF_LABEL: &str = "windlass.dev/history-of";
/// On the pod of a server: the directory whose event logs it shows.
pub const LOG_DIRECTORY_ANNOTATION: &str = "windlass.dev/log-directory";

/// The class of the server.
pub const HISTORY_CLASS: &str = "org.apache.spark.deploy.history.HistoryServer";
/// The setting with the port of its page.
pub const HISTORY_PORT_KEY: &str = "spark.history.ui.port";
/// The port of its page, unless that setting says otherwise: Spark's own.
pub const HISTORY_PORT: u16 = 18080;
/// The setting with the place of the event logs.
pub const LOG_DIRECTORY_KEY: &str = "spark.history.fs.logDirectory";

/// What is put behind the name of a SparkHistoryServer for its objects.
const SUFFIX: &str = "-history";
/// Where the claim with event logs is mounted.
const CLAIM_PATH: &str = "/spark-events";
/// The volume with event logs.
const CLAIM_VOLUME: &str = "spark-events";

/// What a user asks for.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "windlass.dev",
    version = "v1alpha1",
    kind = "SparkHistoryServer",
    plural = "sparkhistoryservers",
    singular = "sparkhistoryserver",
    shortname = "shs",
    namespaced,
    status = "SparkHistoryServerStatus",
    doc = "A server that shows the web pages of applications that are over, from their event logs.",
    derive = "Default",
    derive = "PartialEq",
    printcolumn = r#"{"name":"Phase","type":"string","jsonPath":".status.phase"}"#,
    printcolumn = r#"{"name":"URL","type":"string","jsonPath":".status.url"}"#,
    printcolumn = r#"{"name":"Logs","type":"string","jsonPath":".status.logDirectory"}"#,
    printcolumn = r#"{"name":"Reason","type":"string","priority":1,"jsonPath":".status.conditions[?(@.type==\"Ready\")].reason"}"#,
    printcolumn = r#"{"name":"Pod","type":"string","priority":1,"jsonPath":".status.podName"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "(has(self.eventLog) ? 1 : 0) + (has(self.logDirectory) ? 1 : 0) + (has(self.logClaim) ? 1 : 0) == 1",
    "message": "exactly one of eventLog, logDirectory and logClaim must be given",
}]))]
pub struct SparkHistoryServerSpec {
    /// The Spark version of the image, for example 4.3.0. It shows event logs of earlier versions, too.
    pub spark_version: String,
    /// The image, unless the template names another. It needs the file system of the event logs, such as
    /// hadoop-aws, unless sparkConf fetches it by spark.jars.packages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The ObjectStore of the namespace that applications name in their eventLog, too. The server gets the
    /// settings of Hadoop for its bucket, and the keys from its Secret; it waits until the bucket is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_log: Option<String>,
    /// A directory with event logs, as a URI such as s3a://shared/logs, hdfs://name/logs or file:/logs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_directory: Option<String>,
    /// A claim of the namespace with event logs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_claim: Option<LogClaim>,
    /// ObjectStores of the namespace whose buckets the server reaches besides: that of a logDirectory.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub object_stores: Vec<String>,
    /// How old an event log may get until the server deletes it, such as 30d, 12h or 90m; none is deleted when not
    /// given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = "^[1-9][0-9]{0,8}[smhd]$"))]
    pub retention: Option<String>,
    /// To how many of its last files the event log of a job that runs for long is compacted; none is when not
    /// given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_files_to_retain: Option<i32>,
    /// Hadoop settings, without the spark.hadoop. prefix; a value is a text, or
    /// valueFrom.secretKeyRef.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub hadoop_conf: BTreeMap<String, ConfValue>,
    /// Spark settings; a value is a text, or valueFrom.secretKeyRef.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub spark_conf: BTreeMap<String, ConfValue>,
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
    /// Whether the server is stopped until this is false again.
    #[serde(default)]
    pub suspend: bool,
}

/// A claim with event logs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LogClaim {
    /// The PersistentVolumeClaim.
    pub claim_name: String,
    /// The folder of its volume that has the event logs; all of it when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub_path: Option<String>,
}

impl SparkHistoryServerSpec {
    /// The directory of the event logs; `None` where an ObjectStore knows it.
    pub fn log_directory(&self) -> Option<String> {
        let of_claim = || Some(format!("file:{CLAIM_PATH}"));
        match &self.log_claim {
            Some(_) => of_claim(),
            None => self.log_directory.clone(),
        }
    }

    /// The settings of Spark that the fields of the server are, which hold whatever sparkConf says. They are
    /// Spark's own, "Monitoring and Instrumentation".
    pub fn settings(&self) -> BTreeMap<String, ConfValue> {
        let mut settings = BTreeMap::new();
        let mut set = |key: &str, value: &str| {
            settings.insert(key.to_owned(), ConfValue::from(value));
        };
        if let Some(directory) = self.log_directory() {
            set(LOG_DIRECTORY_KEY, &directory);
        }
        if let Some(age) = &self.retention {
            set("spark.history.fs.cleaner.enabled", "true");
            set("spark.history.fs.cleaner.maxAge", age);
        }
        if let Some(count) = self.max_files_to_retain {
            let key = "spark.history.fs.eventLog.rolling.maxFilesToRetain";
            set(key, &count.to_string());
        }
        settings
    }

    /// Whether the server changes anything where the event logs are.
    fn writes(&self) -> bool {
        let is_told = |key: &str| self.spark_conf.contains_key(key);
        self.retention.is_some()
            || self.max_files_to_retain.is_some()
            || is_told("spark.history.fs.cleaner.enabled")
            || is_told("spark.history.fs.eventLog.rolling.maxFilesToRetain")
    }

    /// What the Service of the server starts from, or everything that is wrong with it.
    pub fn service(&self) -> Result<Option<Service>, Vec<FieldError>> {
        let path = FieldPath::new("spec").field("service");
        let service = self.service.as_ref();
        service.map(|it| read_service(it, &path)).transpose()
    }
}

/// The name of the server's Deployment, and of its Service unless a template names it.
pub fn server_name(name: &str) -> String {
    format!("{name}{SUFFIX}")
}

/// The value of [`HISTORY_OF_LABEL`] for an ObjectStore, whose name may be longer than a label.
pub fn history_of(store: &str) -> String {
    shorten(store, LABEL_MAX)
}

/// The application that a server is, as far as its image, settings, resources and pod are concerned. What follows
/// from its own fields ([`SparkHistoryServerSpec::settings`]) and from ObjectStores comes later.
pub fn application(server: &SparkHistoryServer) -> SparkApplication {
    let spec = &server.spec;
    let conf = |key: &str| spec.spark_conf.get(key).and_then(ConfValue::text);
    let template = Template {
        value: spec.template.as_ref(),
        container: conf("spark.kubernetes.driver.podTemplateContainerName").unwrap_or(CONTAINER),
    };
    let mut pod = template.pod(spec.cores, spec.memory.as_ref());
    let mut volumes = Vec::new();
    if let Some(claim) = &spec.log_claim {
        volumes.push(json!({
            "name": CLAIM_VOLUME,
            "persistentVolumeClaim": {"claimName": claim.claim_name},
        }));
        let mut mount = json!({
            "name": CLAIM_VOLUME, "mountPath": CLAIM_PATH, "readOnly": !spec.writes(),
        });
        if let Some(path) = &claim.sub_path {
            mount["subPath"] = json!(path);
        }
        pod.volume_mounts.push(mount);
    }
    SparkApplication {
        metadata: ObjectMeta {
            name: server.metadata.name.clone(),
            namespace: server.metadata.namespace.clone(),
            uid: server.metadata.uid.clone(),
            ..ObjectMeta::default()
        },
        spec: SparkApplicationSpec {
            language: Language::Scala,
            spark_version: spec.spark_version.clone(),
            image: spec.image.clone(),
            image_pull_policy: template.pull_policy(),
            main_class: Some(HISTORY_CLASS.to_owned()),
            main_application_file: "spark-internal".to_owned(),
            spark_conf: spec.spark_conf.clone(),
            hadoop_conf: spec.hadoop_conf.clone(),
            object_stores: spec.object_stores.clone(),
            volumes,
            driver: DriverSpec {
                pod,
                ..DriverSpec::default()
            },
            ..SparkApplicationSpec::default()
        },
        status: None,
    }
}

#[cfg(test)]
mod tests;
