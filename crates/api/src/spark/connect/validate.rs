//! What a SparkConnect may not say. What it has in common with an application is checked as one.

use super::{ConnectPieces, SUFFIX, SparkConnect, SparkConnectSpec, application};
use crate::field::{FieldError, FieldPath, Problem};
use crate::names::DnsSubdomain;
use crate::spark::application::{self as applications, ConfValue};
use crate::spark::standing::{wrong_with_name, wrong_with_service};

/// Settings that the operator makes, and what to do instead.
const DENIED: [(&str, &str); 3] = [
    (
        "spark.connect.authenticate.token",
        "may not be set here, where everybody reads it; use spec.access.token",
    ),
    (
        "spark.kubernetes.driver.pod.name",
        "may not be set here; each server has a pod with a name of its own",
    ),
    (
        "spark.kubernetes.executor.podNamePrefix",
        "may not be set here; a server that is started anew would find its executors' names taken",
    ),
];

/// Everything in the object that cannot be meant.
pub fn validate(connect: &SparkConnect) -> Vec<FieldError> {
    let mut findings = Vec::new();
    let spec = &connect.spec;
    let at = FieldPath::new("spec");
    let name = connect.metadata.name.as_deref().unwrap_or_default();
    findings.extend(wrong_with_name(name, SUFFIX));
    check_image(&mut findings, spec, &at);
    check_executors(&mut findings, spec, &at);
    check_idle_timeout(&mut findings, spec, &at);
    check_access(&mut findings, spec, &at);
    for (key, detail) in DENIED {
        if spec.spark_conf.contains_key(key) {
            let path = at.field("sparkConf").key(key);
            findings.push(FieldError::forbidden(path, detail));
        }
    }
    match ConnectPieces::parse(spec) {
        Ok(pieces) => {
            let path = at.field("server").field("service");
            let service = pieces.service.iter();
            findings.extend(service.flat_map(|it| wrong_with_service(it, &path)));
        }
        Err(errors) => findings.extend(errors),
    }
    let mut as_application = application(connect);
    // What is checked above in the words of this kind.
    as_application
        .spec
        .spark_conf
        .retain(|key, _| DENIED.iter().all(|(denied, _)| denied != key));
    as_application.spec.executor.instances = spec.executor.instances.filter(|count| *count > 0);
    let of_application = applications::validate(&as_application).into_iter();
    findings.extend(
        of_application
            .filter(|error| !error.path.as_str().starts_with("metadata"))
            .filter(|error| {
                error.problem != Problem::Missing || error.path.as_str() != "spec.image"
            })
            .map(in_own_words),
    );
    findings
}

/// A mistake that was found in the application of a server, by the names that its fields have here.
pub fn in_own_words(error: FieldError) -> FieldError {
    const WORDS: [(&str, &str); 5] = [
        (
            "use spec.driver.serviceAccount",
            "use spec.server.template.spec.serviceAccountName",
        ),
        (
            "use spec.executor.serviceAccount",
            "use spec.executor.template.spec.serviceAccountName",
        ),
        (
            "set the role's serviceAccount",
            "set serviceAccountName in the role's template",
        ),
        ("use spec.driver.image", "use spec.image"),
        ("use spec.executor.image", "use spec.image"),
    ];
    let path = match error.path.as_str().strip_prefix("spec.driver") {
        Some(inner) => FieldPath::new("spec")
            .field("server")
            .join(inner.trim_start_matches('.')),
        None => error.path.clone(),
    };
    let detail = WORDS
        .into_iter()
        .fold(error.detail.clone(), |detail, (there, here)| {
            detail.replace(there, here)
        })
        .replace(
            "use spec.driver.kubernetesMaster",
            "the operator sets it; remove it",
        );
    FieldError {
        path,
        detail,
        ..error
    }
}

fn check_image(findings: &mut Vec<FieldError>, spec: &SparkConnectSpec, at: &FieldPath) {
    if spec
        .image
        .as_deref()
        .is_some_and(|it| !it.trim().is_empty())
    {
        return;
    }
    let connect = SparkConnect::new("any", spec.clone());
    let of_roles = application(&connect).spec;
    if of_roles.driver.pod.image.is_none() || of_roles.executor.pod.image.is_none() {
        let detail = format!(
            "must be given, or the templates of server and executor must name an image; for \
             example apache/spark:{}",
            spec.spark_version
        );
        findings.push(FieldError::missing(at.field("image"), detail));
    }
}

fn is_dynamic(spec: &SparkConnectSpec) -> bool {
    spec.dynamic_allocation
        .as_ref()
        .is_some_and(|it| it.enabled)
}

fn check_executors(findings: &mut Vec<FieldError>, spec: &SparkConnectSpec, at: &FieldPath) {
    let path = at.field("executor").field("instances");
    match spec.executor.instances {
        Some(count) if count < 0 => {
            findings.push(FieldError::invalid(path, count, "must not be negative"));
        }
        Some(0) if !is_dynamic(spec) => {
            let detail = "must be at least 1 unless dynamicAllocation is enabled";
            findings.push(FieldError::invalid(path, 0, detail));
        }
        _ => {}
    }
}

/// Executors that stay whatever happens would keep the server from ever being idle.
fn check_idle_timeout(findings: &mut Vec<FieldError>, spec: &SparkConnectSpec, at: &FieldPath) {
    let Some(seconds) = spec.idle_timeout_seconds else {
        return;
    };
    let path = at.field("idleTimeoutSeconds");
    if !(60..=i64::from(u32::MAX)).contains(&seconds) {
        let detail = "must be at least 60";
        findings.push(FieldError::invalid(path, seconds, detail));
        return;
    }
    let in_conf = spec.spark_conf.get("spark.dynamicAllocation.minExecutors");
    let in_conf = in_conf.and_then(ConfValue::text);
    let least = spec
        .dynamic_allocation
        .as_ref()
        .and_then(|dynamic| dynamic.min_executors)
        .or_else(|| in_conf?.trim().parse().ok());
    if !is_dynamic(spec) || least.is_some_and(|least| least > 0) {
        let detail = "needs dynamicAllocation with enabled true and minExecutors 0: a server \
                      is idle when it has no executors";
        findings.push(FieldError::forbidden(path, detail));
    }
}

fn check_access(findings: &mut Vec<FieldError>, spec: &SparkConnectSpec, at: &FieldPath) {
    let Some(token) = spec.access.as_ref().and_then(|it| it.token.as_ref()) else {
        return;
    };
    let path = at.field("access").field("token");
    let major = spec.spark_version.split('.').next();
    if major
        .and_then(|it| it.parse::<u32>().ok())
        .is_some_and(|it| it < 4)
    {
        let detail = format!(
            "needs Spark 4.0 or later, and sparkVersion is {}; use spec.access.networkPolicy",
            spec.spark_version
        );
        findings.push(FieldError::forbidden(path.clone(), detail));
    }
    if let Some(secret) = &token.secret_key_ref {
        let path = path.field("secretKeyRef");
        if let Err(error) = DnsSubdomain::new(secret.name.as_str()) {
            let name = secret.name.as_str();
            findings.push(FieldError::invalid(
                path.field("name"),
                name,
                error.to_string(),
            ));
        }
        if secret.key.is_empty() {
            findings.push(FieldError::missing(path.field("key"), "must be given"));
        }
    }
}
