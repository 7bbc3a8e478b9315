//! What `sparkConf` and `hadoopConf` may not say.

use super::Findings;
use crate::{
    field::FieldPath,
    names::SUBDOMAIN_MAX,
    spark::application::{ConfValue, SparkApplication, SparkApplicationSpec},
};

/// Keys that decide with whose rights, where and what runs; the fields of the application are the
/// place where an administrator can see and limit them.
const DENIED: [(&str, &str); 13] = [
    (
        "spark.kubernetes.authenticate.driver.serviceAccountName",
        "use spec.driver.serviceAccount",
    ),
    (
        "spark.kubernetes.authenticate.executor.serviceAccountName",
        "use spec.executor.serviceAccount",
    ),
    (
        "spark.kubernetes.authenticate.oauthToken",
        PODS_HAVE_CREDENTIALS,
    ),
    (
        "spark.kubernetes.authenticate.oauthTokenFile",
        PODS_HAVE_CREDENTIALS,
    ),
    (
        "spark.kubernetes.authenticate.driver.oauthToken",
        PODS_HAVE_CREDENTIALS,
    ),
    (
        "spark.kubernetes.authenticate.driver.oauthTokenFile",
        PODS_HAVE_CREDENTIALS,
    ),
    (
        "spark.kubernetes.authenticate.executor.oauthToken",
        PODS_HAVE_CREDENTIALS,
    ),
    (
        "spark.kubernetes.authenticate.executor.oauthTokenFile",
        PODS_HAVE_CREDENTIALS,
    ),
    ("spark.master", "the operator sets it; remove it"),
    (
        "spark.kubernetes.driver.master",
        "use spec.driver.kubernetesMaster",
    ),
    ("spark.kubernetes.container.image", "use spec.image"),
    (
        "spark.kubernetes.driver.container.image",
        "use spec.driver.image",
    ),
    (
        "spark.kubernetes.executor.container.image",
        "use spec.executor.image",
    ),
];

const PODS_HAVE_CREDENTIALS: &str =
    "pods authenticate by their service account; remove it and set the role's serviceAccount";

/// Classes that spark-submit would load and run; nothing here runs them.
const FEATURE_STEPS: [&str; 2] = [
    "spark.kubernetes.driver.pod.featureSteps",
    "spark.kubernetes.executor.pod.featureSteps",
];

/// Ports that are part of a pod or a Service, where 0 is not a port.
const PORTS: [&str; 5] = [
    "spark.ui.port",
    "spark.driver.port",
    "spark.blockManager.port",
    "spark.driver.blockManager.port",
    "spark.connect.grpc.binding.port",
];

/// The longest end of an executor's name: `-exec-` and ten digits.
const EXECUTOR_SUFFIX: usize = 16;

/// What is read while pods are made: by the operator for the driver, and by the driver for its
/// executors, whose pods would then hold the secret in the open.
const READ_FOR_PODS: [&str; 12] = [
    "spark.app.",
    "spark.archives",
    "spark.auth",
    "spark.driver.",
    "spark.executor.",
    "spark.executorEnv.",
    "spark.files",
    "spark.jars",
    "spark.kubernetes.",
    "spark.network",
    "spark.rpc",
    "spark.submit.",
];

pub(super) fn check_conf(findings: &mut Findings, application: &SparkApplication) {
    let spec = &application.spec;
    let path = FieldPath::new("spec").field("sparkConf");
    for (key, value) in &spec.spark_conf {
        let path = path.key(key);
        if let Some((_, instead)) = DENIED.iter().find(|(denied, _)| denied == key) {
            findings.forbidden(&path, format!("may not be set here; {instead}"));
        } else if FEATURE_STEPS.contains(&key.as_str()) {
            let detail = "names JVM classes that would run at submission, where there is no JVM; \
                          use a pod template instead";
            findings.forbidden(&path, detail);
        } else if key.trim() != key || key.is_empty() {
            let detail = "is not the name of a setting; remove the blanks around it";
            findings.invalid(&path, key.as_str(), detail);
        }
        check_value(findings, &path, value);
        check_meaning(findings, application, &path, key, value);
    }
    let path = FieldPath::new("spec").field("hadoopConf");
    for (key, value) in &spec.hadoop_conf {
        check_value(findings, &path.key(key), value);
    }
}

fn check_value(findings: &mut Findings, path: &FieldPath, value: &ConfValue) {
    match value {
        ConfValue::Text(_) => {}
        ConfValue::Unreadable(value) => findings.invalid(
            path,
            value.clone(),
            "must be a text, or valueFrom.secretKeyRef with name and key",
        ),
        ConfValue::From(source) => {
            let path = path.field("valueFrom").field("secretKeyRef");
            findings.object_name(&path.field("name"), &source.secret_key_ref.name);
            if source.secret_key_ref.key.is_empty() {
                findings.missing(&path.field("key"), "must be given");
            }
        }
    }
}

fn check_meaning(
    findings: &mut Findings,
    application: &SparkApplication,
    path: &FieldPath,
    key: &str,
    value: &ConfValue,
) {
    let text = match value {
        ConfValue::Text(text) => text.trim(),
        ConfValue::From(_) if is_read_for_pods(key) => {
            let detail = "is read while pods are made and so cannot come from a Secret; write the \
                          value, or mount the Secret and name the file";
            return findings.forbidden(path, detail);
        }
        ConfValue::From(_) | ConfValue::Unreadable(_) => return,
    };
    match key {
        "spark.kubernetes.namespace" => {
            let namespace = application
                .metadata
                .namespace
                .as_deref()
                .unwrap_or("default");
            if text != namespace {
                let detail = format!("must be the namespace of the application, {namespace}");
                findings.invalid(path, text, detail);
            }
        }
        "spark.kubernetes.driver.pod.name" => findings.object_name(path, text),
        "spark.kubernetes.executor.podNamePrefix" => {
            findings.object_name(path, text);
            if text.len() > SUBDOMAIN_MAX - EXECUTOR_SUFFIX {
                let detail = "leaves no room for -exec- and a number; use 237 characters or less";
                findings.invalid(path, text, detail);
            }
        }
        key if PORTS.contains(&key) && !text.parse::<u16>().is_ok_and(|port| port != 0) => {
            let detail = "is not a port; pods and Services need one from 1 to 65535";
            findings.invalid(path, text, detail);
        }
        _ => {}
    }
}

fn is_read_for_pods(key: &str) -> bool {
    READ_FOR_PODS.iter().any(|prefix| key.starts_with(prefix)) || key.ends_with(".port")
}

/// A whole number that sparkConf gives.
pub(super) fn conf_int(spec: &SparkApplicationSpec, key: &str) -> Option<i64> {
    spec.spark_conf.get(key)?.text()?.trim().parse().ok()
}
