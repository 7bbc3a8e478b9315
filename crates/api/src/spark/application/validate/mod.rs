//! What a specification may not say.
//!
//! Laws: every mistake is reported, not only the first; each message names the field, what is
//! wrong and what to do; nothing is refused that Spark and Kubernetes together would run.

mod conf;
mod role;

use std::collections::BTreeSet;

use serde_json::Value;

use self::{
    conf::{check_conf, conf_int},
    role::check_role,
};
use super::{
    CheckpointDir, DeployMode, DriverIngressOptions, DynamicAllocation, EVENT_LOG_DIR, Language,
    PodPieces, Port, SparkApplication, SparkApplicationSpec, UrlFormat,
};
use crate::{
    field::{FieldError, FieldPath},
    names::{DnsLabel, DnsSubdomain, LABEL_MAX, NameError, ServiceName},
};

/// Everything in the application that cannot be meant.
pub fn validate(application: &SparkApplication) -> Vec<FieldError> {
    let mut findings = Findings::default();
    let metadata = FieldPath::new("metadata");
    let spec_path = FieldPath::new("spec");
    let spec = &application.spec;

    let name = application.metadata.name.as_deref().unwrap_or_default();
    findings.name(
        &metadata.field("name"),
        name,
        ServiceName::new(name).map(drop),
    );
    if let Some(namespace) = &application.metadata.namespace {
        findings.name(
            &metadata.field("namespace"),
            namespace,
            DnsLabel::new(namespace).map(drop),
        );
    }
    check_what_runs(&mut findings, spec, &spec_path);
    check_scaling(&mut findings, spec, &spec_path);
    check_images(&mut findings, spec, &spec_path);
    check_placement(&mut findings, spec, &spec_path);
    check_ingresses(&mut findings, &spec.driver_ingress_options, &spec_path);
    check_monitoring(&mut findings, spec, &spec_path);
    check_conf(&mut findings, application);
    if let Err(errors) = CheckpointDir::of(spec) {
        findings.0.extend(errors);
    }

    match PodPieces::parse(spec) {
        Ok(pieces) => {
            let driver_path = spec_path.field("driver");
            check_role(
                &mut findings,
                spec,
                &role::View::driver(spec, &pieces),
                &driver_path,
            );
            let executor_path = spec_path.field("executor");
            check_role(
                &mut findings,
                spec,
                &role::View::executor(spec, &pieces),
                &executor_path,
            );
        }
        Err(errors) => findings.0.extend(errors),
    }
    findings.0
}

/// Whether a resource is a file of the machine that submits: without a scheme, or `file:`.
///
/// The operator has no files of the user, so such a resource can never be found.
pub fn is_local_path(uri: &str) -> bool {
    let scheme = uri
        .split_once(':')
        .map(|(scheme, _)| scheme)
        .filter(|scheme| {
            scheme.starts_with(|c: char| c.is_ascii_alphabetic())
                && scheme
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
        });
    match scheme {
        None => uri != SPARK_INTERNAL,
        Some(scheme) => scheme.eq_ignore_ascii_case("file"),
    }
}

/// What Spark itself writes when the code is a class that the image already has.
const SPARK_INTERNAL: &str = "spark-internal";

/// The mistakes found so far.
#[derive(Default)]
struct Findings(Vec<FieldError>);

impl Findings {
    fn invalid(&mut self, path: &FieldPath, value: impl Into<Value>, detail: impl Into<String>) {
        self.0
            .push(FieldError::invalid(path.clone(), value, detail));
    }

    fn missing(&mut self, path: &FieldPath, detail: impl Into<String>) {
        self.0.push(FieldError::missing(path.clone(), detail));
    }

    fn forbidden(&mut self, path: &FieldPath, detail: impl Into<String>) {
        self.0.push(FieldError::forbidden(path.clone(), detail));
    }

    /// Reports a name that its grammar does not accept.
    fn name(&mut self, path: &FieldPath, name: &str, checked: Result<(), NameError>) {
        if let Err(error) = checked {
            self.invalid(path, name, error.to_string());
        }
    }

    /// Reports the name of an object that Kubernetes would not accept.
    fn object_name(&mut self, path: &FieldPath, name: &str) {
        self.name(path, name, DnsSubdomain::new(name).map(drop));
    }

    /// Reports a text that does not parse as `T`.
    fn parses<T>(&mut self, path: &FieldPath, text: &str) -> Option<T>
    where
        T: std::str::FromStr,
        T::Err: std::fmt::Display,
    {
        text.parse()
            .map_err(|error: T::Err| self.invalid(path, text, error.to_string()))
            .ok()
    }

    fn port(&mut self, path: &FieldPath, port: i32) {
        if !(1..=65535).contains(&port) {
            self.invalid(path, port, "is not a port; choose one from 1 to 65535");
        }
    }
}

fn check_what_runs(findings: &mut Findings, spec: &SparkApplicationSpec, path: &FieldPath) {
    if spec.mode == DeployMode::Client {
        findings.invalid(
            &path.field("mode"),
            "client",
            "would run the driver inside of the operator; use cluster, or leave mode out",
        );
    }
    check_version(findings, spec, path);
    check_main_file(findings, spec, path);
    if let Some(deps) = &spec.deps {
        let path = path.field("deps");
        let lists = [
            ("jars", &deps.jars),
            ("files", &deps.files),
            ("pyFiles", &deps.py_files),
            ("archives", &deps.archives),
        ];
        for (name, list) in lists {
            for (index, uri) in list.iter().enumerate() {
                check_resource(findings, &path.field(name).index(index), uri);
            }
        }
        for (name, list, parts) in [
            ("packages", &deps.packages, 3),
            ("excludePackages", &deps.exclude_packages, 2),
        ] {
            for (index, coordinate) in list.iter().enumerate() {
                let path = path.field(name).index(index);
                check_coordinate(findings, &path, coordinate, parts);
            }
        }
    }
}

fn check_version(findings: &mut Findings, spec: &SparkApplicationSpec, path: &FieldPath) {
    let version_path = path.field("sparkVersion");
    let version = spec.spark_version.as_str();
    let Some((major, _)) = major_and_minor(version) else {
        let detail = "is not a Spark version; write it like 3.5.9 or 4.3";
        return findings.invalid(&version_path, version, detail);
    };
    for (role, pod) in [
        ("driver", &spec.driver.pod),
        ("executor", &spec.executor.pod),
    ] {
        if major < 3 && pod.template.is_some() {
            findings.forbidden(
                &path.field(role).field("template"),
                format!("pod templates need Spark 3.0 or later, and sparkVersion is {version}"),
            );
        }
    }
}

fn major_and_minor(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split('.');
    let major = parts.next()?.parse().ok()?;
    let minor = parts.next()?.split('-').next()?.parse().ok()?;
    Some((major, minor))
}

fn check_main_file(findings: &mut Findings, spec: &SparkApplicationSpec, path: &FieldPath) {
    let file = spec.main_application_file.as_str();
    let file_path = path.field("mainApplicationFile");
    check_resource(findings, &file_path, file);
    let name = file.split(['?', '#']).next().unwrap_or(file);
    let ends_with = |ends: &[&str]| ends.iter().any(|end| name.ends_with(end));
    match spec.language {
        Language::Python if !ends_with(&[".py"]) => {
            let detail = "must end in .py when type is Python: Spark tells the language by it";
            findings.invalid(&file_path, file, detail);
        }
        Language::R if !ends_with(&[".R", ".r"]) => {
            let detail = "must end in .R when type is R: Spark tells the language by it";
            findings.invalid(&file_path, file, detail);
        }
        Language::Java | Language::Scala if ends_with(&[".py", ".R", ".r"]) => {
            let language = format!("{:?}", spec.language);
            let detail = "does not fit mainApplicationFile, which is not a jar; use Python or R";
            findings.invalid(&path.field("type"), language, detail);
        }
        Language::Java | Language::Scala
            if spec.main_class.as_deref().is_none_or(str::is_empty) =>
        {
            findings.missing(
                &path.field("mainClass"),
                "must be given: the manifest of the jar cannot be read before the driver runs",
            );
        }
        _ => {}
    }
}

fn check_resource(findings: &mut Findings, path: &FieldPath, uri: &str) {
    if uri.is_empty() {
        findings.missing(path, "must be given, for example local:///opt/spark/app.py");
    } else if is_local_path(uri) {
        let file = uri
            .strip_prefix("file:")
            .unwrap_or(uri)
            .trim_start_matches('/');
        findings.invalid(
            path,
            uri,
            format!(
                "is a path of the submitting machine, which pods cannot read; use local:///{file} \
                 for a path inside of the image, or a remote URI (s3a://, hdfs://, https://)"
            ),
        );
    }
}

fn check_coordinate(findings: &mut Findings, path: &FieldPath, coordinate: &str, parts: usize) {
    let given: Vec<&str> = coordinate.split([':', '/']).collect();
    if given.len() != parts || given.iter().any(|part| part.trim().is_empty()) {
        let form = if parts == 3 {
            "group:artifact:version"
        } else {
            "group:artifact"
        };
        findings.invalid(
            path,
            coordinate,
            format!("is not a Maven coordinate; write {form}"),
        );
    }
}

fn check_scaling(findings: &mut Findings, spec: &SparkApplicationSpec, path: &FieldPath) {
    let policy_path = path.field("restartPolicy");
    let policy = &spec.restart_policy;
    for (name, retries) in [
        (
            "onSubmissionFailureRetries",
            policy.on_submission_failure_retries,
        ),
        ("onFailureRetries", policy.on_failure_retries),
    ] {
        if let Some(retries) = retries.filter(|retries| *retries < 0) {
            findings.invalid(&policy_path.field(name), retries, "must not be negative");
        }
    }
    for (name, seconds) in [
        (
            "onSubmissionFailureRetryInterval",
            policy.on_submission_failure_retry_interval,
        ),
        ("onFailureRetryInterval", policy.on_failure_retry_interval),
    ] {
        if let Some(seconds) =
            seconds.filter(|seconds| !(1..=i64::from(u32::MAX)).contains(seconds))
        {
            findings.invalid(
                &policy_path.field(name),
                seconds,
                "must be a second or more",
            );
        }
    }
    if let Some(instances) = spec.executor.instances.filter(|instances| *instances < 1) {
        let path = path.field("executor").field("instances");
        findings.invalid(&path, instances, "must be at least 1");
    }
    if let Some(dynamic) = &spec.dynamic_allocation {
        check_dynamic_allocation(findings, spec, dynamic, &path.field("dynamicAllocation"));
    }
    if let Some(factor) = &spec.memory_overhead_factor {
        let accepted = factor
            .trim()
            .parse::<f64>()
            .is_ok_and(|factor| factor.is_finite() && (0.0..=1000.0).contains(&factor));
        if !accepted {
            let detail = "is not a factor; write a decimal of 0 or more, for example 0.2";
            findings.invalid(&path.field("memoryOverheadFactor"), factor.as_str(), detail);
        }
    }
}

/// The bounds must hold together, with what sparkConf says where a field is not given.
fn check_dynamic_allocation(
    findings: &mut Findings,
    spec: &SparkApplicationSpec,
    dynamic: &DynamicAllocation,
    path: &FieldPath,
) {
    let fields = [
        ("initialExecutors", dynamic.initial_executors),
        ("minExecutors", dynamic.min_executors),
        ("maxExecutors", dynamic.max_executors),
    ];
    for (name, count) in fields {
        if let Some(count) = count.filter(|count| *count < 0) {
            findings.invalid(&path.field(name), count, "must not be negative");
        }
    }
    if let Some(timeout) = dynamic
        .shuffle_tracking_timeout
        .filter(|timeout| *timeout < 0)
    {
        let detail = "must not be negative; it counts milliseconds";
        findings.invalid(&path.field("shuffleTrackingTimeout"), timeout, detail);
    }
    if !dynamic.enabled {
        return;
    }
    let bound = |given: Option<i32>, key: &str| {
        given
            .map(i64::from)
            .or_else(|| conf_int(spec, &format!("spark.dynamicAllocation.{key}")))
    };
    let least = bound(dynamic.min_executors, "minExecutors");
    let most = bound(dynamic.max_executors, "maxExecutors");
    let initial = bound(dynamic.initial_executors, "initialExecutors");
    if let Some(most) = most {
        if most < 1 {
            findings.invalid(&path.field("maxExecutors"), most, "must be at least 1");
        }
        if let Some(least) = least.filter(|least| *least > most) {
            let detail = format!("must not be more than maxExecutors, which is {most}");
            findings.invalid(&path.field("minExecutors"), least, detail);
        }
        if let Some(initial) = initial.filter(|initial| *initial > most) {
            let detail = format!("must not be more than maxExecutors, which is {most}");
            findings.invalid(&path.field("initialExecutors"), initial, detail);
        }
        if let Some(instances) = spec.executor.instances.filter(|n| i64::from(*n) > most) {
            let detail = format!("must not be more than dynamicAllocation.maxExecutors ({most})");
            findings.invalid(
                &FieldPath::new("spec.executor.instances"),
                instances,
                detail,
            );
        }
    }
    if let (Some(least), Some(initial)) = (least, initial)
        && initial < least
    {
        let detail = format!("must not be less than minExecutors, which is {least}");
        findings.invalid(&path.field("initialExecutors"), initial, detail);
    }
}

fn check_images(findings: &mut Findings, spec: &SparkApplicationSpec, path: &FieldPath) {
    for (role, pod) in [
        ("driver", &spec.driver.pod),
        ("executor", &spec.executor.pod),
    ] {
        let image = pod
            .image
            .as_deref()
            .or(spec.image.as_deref())
            .unwrap_or_default();
        if image.trim().is_empty() {
            findings.missing(
                &path.field("image"),
                format!(
                    "must be given, or spec.{role}.image; for example apache/spark:{}",
                    spec.spark_version
                ),
            );
            break;
        }
    }
    for (path, image) in [
        (path.field("image"), &spec.image),
        (path.field("driver").field("image"), &spec.driver.pod.image),
        (
            path.field("executor").field("image"),
            &spec.executor.pod.image,
        ),
    ] {
        if let Some(image) = image
            && !image.trim().is_empty()
            && image.contains(|c: char| c.is_whitespace() || c.is_control())
        {
            let detail = "must be an image name, for example apache/spark:4.3.0, without spaces";
            findings.invalid(&path, image.as_str(), detail);
        }
    }
    if let Some(policy) = &spec.image_pull_policy
        && !["Always", "IfNotPresent", "Never"].contains(&policy.as_str())
    {
        let detail = "must be Always, IfNotPresent or Never";
        findings.invalid(&path.field("imagePullPolicy"), policy.as_str(), detail);
    }
    let secrets_path = path.field("imagePullSecrets");
    for (index, secret) in spec.image_pull_secrets.iter().enumerate() {
        findings.object_name(&secrets_path.index(index), secret);
    }
    let stores_path = path.field("objectStores");
    for (index, store) in spec.object_stores.iter().enumerate() {
        findings.object_name(&stores_path.index(index), store);
    }
    check_event_log(findings, spec, path);
    check_kept_logs(findings, spec, path);
    for (name, config_map) in [
        ("sparkConfigMap", &spec.spark_config_map),
        ("hadoopConfigMap", &spec.hadoop_config_map),
    ] {
        if let Some(config_map) = config_map {
            findings.object_name(&path.field(name), config_map);
        }
    }
}

/// A history server takes what it finds beside event logs for broken ones, and its cleaner deletes those.
fn check_event_log(findings: &mut Findings, spec: &SparkApplicationSpec, path: &FieldPath) {
    let Some(store) = &spec.event_log else {
        return;
    };
    let path = path.field("eventLog");
    findings.object_name(&path, store);
    if spec.object_stores.contains(store) && !spec.spark_conf.contains_key(EVENT_LOG_DIR) {
        let detail = format!(
            "names a bucket of objectStores, whose files the cleaner of a history server could take for \
             broken event logs; use an ObjectStore for event logs alone, or name a folder that is there \
             with sparkConf[{EVENT_LOG_DIR}]"
        );
        findings.forbidden(&path, detail);
    }
}

/// What a history server does with other files of its bucket, it does with logs that are kept there, too.
fn check_kept_logs(findings: &mut Findings, spec: &SparkApplicationSpec, path: &FieldPath) {
    let Some(store) = &spec.keep_logs else {
        return;
    };
    let path = path.field("keepLogs");
    findings.object_name(&path, store);
    if store.len() > LABEL_MAX {
        let detail = format!("is a label of pods, which has at most {LABEL_MAX} characters");
        findings.invalid(&path, store.as_str(), detail);
    }
    if spec.event_log.as_ref() == Some(store) && !spec.spark_conf.contains_key(EVENT_LOG_DIR) {
        let detail = "names the bucket of eventLog, where the cleaner of a history server could take kept logs \
                      for broken event logs; use another ObjectStore";
        findings.forbidden(&path, detail);
    }
}

fn check_placement(findings: &mut Findings, spec: &SparkApplicationSpec, path: &FieldPath) {
    if spec.node_selector.is_empty() {
        return;
    }
    for (role, pod) in [
        ("driver", &spec.driver.pod),
        ("executor", &spec.executor.pod),
    ] {
        if !pod.node_selector.is_empty() {
            findings.forbidden(
                &path.field(role).field("nodeSelector"),
                "cannot be combined with spec.nodeSelector; give it for the roles alone",
            );
        }
    }
}

fn check_ingresses(findings: &mut Findings, options: &[DriverIngressOptions], path: &FieldPath) {
    let path = path.field("driverIngressOptions");
    let (mut ports, mut urls) = (BTreeSet::new(), BTreeSet::new());
    for (index, option) in options.iter().enumerate() {
        let port_path = path.index(index).field("servicePort");
        match option.service_port {
            None => findings.missing(&port_path, "must be given: it is the port of the driver"),
            Some(port) => {
                findings.port(&port_path, port);
                if !ports.insert(port) {
                    findings.invalid(&port_path, port, "is used twice; each needs its own port");
                }
            }
        }
        let url_path = path.index(index).field("ingressURLFormat");
        let url = option.ingress_url_format.as_str();
        if url.is_empty() {
            findings.missing(
                &url_path,
                "must be given, for example {{$appName}}.example.com",
            );
            continue;
        }
        findings.parses::<UrlFormat>(&url_path, url);
        if !urls.insert(url) {
            findings.invalid(&url_path, url, "is used twice; each needs its own URL");
        }
    }
}

fn check_monitoring(findings: &mut Findings, spec: &SparkApplicationSpec, path: &FieldPath) {
    let Some(prometheus) = spec.monitoring.as_ref().and_then(|m| m.prometheus.as_ref()) else {
        return;
    };
    let path = path.field("monitoring").field("prometheus");
    let port = Port {
        name: prometheus.port_name.clone(),
        protocol: "TCP".to_owned(),
        container_port: prometheus.port,
    };
    if !(1024..=49151).contains(&prometheus.port) {
        let detail = "must be from 1024 to 49151";
        findings.invalid(&path.field("port"), prometheus.port, detail);
    }
    role::check_port_name(findings, &path.field("portName"), &port.name);
    if prometheus.jmx_exporter_jar.is_empty() {
        let detail = "must be given: the path of the exporter's jar inside of the image";
        findings.missing(&path.field("jmxExporterJar"), detail);
    }
}

#[cfg(test)]
mod tests;
