//! The steps that make a driver pod, in the order and with the effects Spark gives them.

mod basic;
mod command;
mod credentials;
mod hadoop;
mod kerberos;
mod local_dirs;
mod network_policy;
mod secrets;
mod service;
mod volumes;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::pod::SparkPod;
use super::profile::Profile;
use super::request::SubmitRequest;
use super::settings::Settings;
use super::upload::Uploads;
use super::{Conf, SubmitError, names, template};

pub(super) use volumes::check_executor_volumes;

/// What every step reads.
#[derive(Debug)]
pub(super) struct Context<'a> {
    pub(super) request: &'a SubmitRequest,
    pub(super) profile: Profile,
    pub(super) settings: Settings<'a>,
    pub(super) namespace: String,
    /// What the names of most objects start with.
    pub(super) prefix: String,
    /// The labels of the driver pod that Spark and the user set; also the Service's selector.
    pub(super) labels: BTreeMap<String, String>,
}

/// What the steps change.
#[derive(Debug)]
pub(super) struct Draft<'a> {
    pub(super) pod: SparkPod,
    pub(super) objects: Vec<Value>,
    /// Settings the driver gets besides the user's.
    pub(super) added: Conf,
    pub(super) uploads: Uploads<'a>,
}

type Step = fn(&Context<'_>, &mut Draft<'_>) -> Result<(), SubmitError>;

/// The steps by the names of Spark's classes, which users may exclude.
const STEPS: [(&str, Step); 12] = [
    ("BasicDriverFeatureStep", basic::apply),
    ("DriverKubernetesCredentialsFeatureStep", credentials::apply),
    ("DriverServiceFeatureStep", service::apply),
    ("NetworkPolicyFeatureStep", network_policy::apply),
    ("MountSecretsFeatureStep", secrets::mount),
    ("EnvSecretsFeatureStep", secrets::env),
    ("MountVolumesFeatureStep", volumes::apply),
    ("DriverCommandFeatureStep", command::apply),
    ("HadoopConfDriverFeatureStep", hadoop::apply),
    ("KerberosConfDriverFeatureStep", kerberos::apply),
    ("PodTemplateConfigMapStep", executor_template),
    ("LocalDirsFeatureStep", local_dirs::apply),
];

const PACKAGE: &str = "org.apache.spark.deploy.k8s.features.";
const EXCLUDED: &str = "spark.kubernetes.driver.pod.excludedFeatureSteps";
const FEATURE_STEPS: [&str; 2] = [
    "spark.kubernetes.driver.pod.featureSteps",
    "spark.kubernetes.executor.pod.featureSteps",
];

/// Runs every step that is not excluded.
pub(super) fn apply(context: &Context<'_>, draft: &mut Draft<'_>) -> Result<(), SubmitError> {
    // The executors' steps run in the driver, where their classes are.
    if !context.settings.list(FEATURE_STEPS[0])?.is_empty() {
        return Err(SubmitError::setting(
            FEATURE_STEPS[0],
            "names JVM classes to run at submission, which no JVM does here: use a pod template",
        ));
    }
    let excluded = if context.profile.excludes_steps {
        context.settings.list(EXCLUDED)?
    } else {
        Vec::new()
    };
    for (name, step) in STEPS {
        if !excluded
            .iter()
            .any(|class| class.strip_prefix(PACKAGE) == Some(name))
        {
            step(context, draft)?;
        } else if name == STEPS[0].0 {
            return Err(SubmitError::setting(
                EXCLUDED,
                format!("{name} makes the driver pod and cannot be left out"),
            ));
        }
    }
    Ok(())
}

impl Context<'_> {
    /// Replaces Spark's placeholders; a driver has no executor id.
    pub(super) fn expand_ids(&self, text: &str) -> String {
        text.replace("{{APP_ID}}", &self.request.ids.app_id)
            .replace("{{EXECUTOR_ID}}", "")
    }

    /// The name of the driver's Service.
    pub(super) fn service_name(&self) -> String {
        let name = format!("{}-driver-svc", self.prefix);
        if name.len() <= names::MAX_LABEL {
            name
        } else {
            format!("spark-{}-driver-svc", self.request.ids.service)
        }
    }
}

/// A ConfigMap, immutable as all of Spark's are.
pub(super) fn config_map(name: &str, data: &BTreeMap<String, String>) -> Value {
    let mut object = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name},
        "immutable": true,
    });
    if !data.is_empty() {
        object["data"] = json!(data);
    }
    object
}

/// A Secret of base64 data, immutable too.
fn secret(name: &str, data: &BTreeMap<String, String>) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name},
        "data": data,
        "immutable": true,
    })
}

/// Hands the executors' pod template to the driver.
fn executor_template(context: &Context<'_>, draft: &mut Draft<'_>) -> Result<(), SubmitError> {
    const KEY: &str = "podspec-configmap-key";
    const FILE: &str = "pod-spec-template.yml";
    const DIRECTORY: &str = "/opt/spark/pod-template";
    let request = context.request;
    let Some(text) = template::executor(&context.settings, &request.client, &request.templates)?
    else {
        return Ok(());
    };
    let name = format!("{}-driver-podspec-conf-map", context.prefix);
    let source = json!({"name": name, "items": [{"key": KEY, "path": FILE}]});
    draft
        .pod
        .add_mounted("pod-template-volume", ("configMap", source), DIRECTORY);
    draft
        .objects
        .push(config_map(&name, &BTreeMap::from([(KEY.to_owned(), text)])));
    draft.added.insert(
        template::EXECUTOR_FILE.to_owned(),
        format!("{DIRECTORY}/{FILE}"),
    );
    Ok(())
}
