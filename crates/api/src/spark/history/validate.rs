//! What a SparkHistoryServer may not say. What it has in common with an application is checked as one.

use super::{
    HISTORY_PORT_KEY, LOG_DIRECTORY_KEY, LogClaim, SUFFIX, SparkHistoryServer,
    SparkHistoryServerSpec, application,
};
use crate::field::{FieldError, FieldPath, Problem};
use crate::names::DnsSubdomain;
use crate::spark::application::{self as applications, ConfValue};
use crate::spark::standing::{wrong_with_name, wrong_with_service};

/// The fields that say where event logs are.
const PLACES: &str =
    "spec.eventLog (an ObjectStore), spec.logDirectory (a URI) or spec.logClaim (a claim)";

/// Everything in the object that cannot be meant.
pub fn validate(server: &SparkHistoryServer) -> Vec<FieldError> {
    let mut findings = Vec::new();
    let spec = &server.spec;
    let at = FieldPath::new("spec");
    let name = server.metadata.name.as_deref().unwrap_or_default();
    findings.extend(wrong_with_name(name, SUFFIX));
    check_image(&mut findings, spec, &at);
    check_place(&mut findings, spec, &at);
    check_keeping(&mut findings, spec, &at);
    check_settings(&mut findings, spec, &at);
    match spec.service() {
        Ok(service) => {
            let path = at.field("service");
            let service = service.iter();
            findings.extend(service.flat_map(|it| wrong_with_service(it, &path)));
        }
        Err(errors) => findings.extend(errors),
    }
    let of_application = applications::validate(&application(server)).into_iter();
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
    const WORDS: [(&str, &str); 6] = [
        (
            "use spec.driver.serviceAccount",
            "use spec.template.spec.serviceAccountName",
        ),
        (
            "use spec.executor.serviceAccount",
            "a history server has no executors; remove it",
        ),
        (
            "set the role's serviceAccount",
            "set serviceAccountName in spec.template",
        ),
        ("use spec.driver.image", "use spec.image"),
        (
            "use spec.executor.image",
            "a history server has no executors; remove it",
        ),
        (
            "use spec.driver.kubernetesMaster",
            "a history server asks no API of Kubernetes; remove it",
        ),
    ];
    let path = match error.path.as_str().strip_prefix("spec.driver") {
        Some(inner) => FieldPath::new("spec").join(inner.trim_start_matches('.')),
        None => error.path.clone(),
    };
    let detail = WORDS
        .into_iter()
        .fold(error.detail.clone(), |detail, (there, here)| {
            detail.replace(there, here)
        });
    FieldError {
        path,
        detail,
        ..error
    }
}

fn check_image(findings: &mut Vec<FieldError>, spec: &SparkHistoryServerSpec, at: &FieldPath) {
    let is_given = |image: Option<&str>| image.is_some_and(|it| !it.trim().is_empty());
    let server = SparkHistoryServer::new("any", spec.clone());
    let of_template = application(&server).spec.driver.pod.image;
    if !is_given(spec.image.as_deref()) && !is_given(of_template.as_deref()) {
        let detail = format!(
            "must be given, or the template must name an image; for example apache/spark:{}",
            spec.spark_version
        );
        findings.push(FieldError::missing(at.field("image"), detail));
    }
}

/// Where the event logs are: exactly one place.
fn check_place(findings: &mut Vec<FieldError>, spec: &SparkHistoryServerSpec, at: &FieldPath) {
    let given = [
        ("eventLog", spec.event_log.is_some()),
        ("logDirectory", spec.log_directory.is_some()),
        ("logClaim", spec.log_claim.is_some()),
    ];
    let mut given = given
        .into_iter()
        .filter_map(|(field, is_given)| is_given.then_some(field));
    match given.next() {
        None => {
            let detail = format!("must say where event logs are: give {PLACES}");
            findings.push(FieldError::missing(at.clone(), detail));
        }
        Some(first) => {
            for other in given {
                let detail =
                    format!("is one place more than spec.{first}; give exactly one of {PLACES}");
                findings.push(FieldError::forbidden(at.field(other), detail));
            }
        }
    }
    if let Some(store) = &spec.event_log {
        check_object_name(findings, &at.field("eventLog"), store);
    }
    if let Some(directory) = &spec.log_directory
        && !is_uri(directory)
    {
        let detail = "must be a URI, such as s3a://shared/logs, hdfs://name/logs or file:/logs for a folder of the pod";
        let path = at.field("logDirectory");
        findings.push(FieldError::invalid(path, directory.as_str(), detail));
    }
    if let Some(claim) = &spec.log_claim {
        check_claim(findings, claim, &at.field("logClaim"));
    }
}

/// A scheme, and something behind it.
fn is_uri(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else {
        return false;
    };
    let is_usual = |it: char| it.is_ascii_alphanumeric() || matches!(it, '+' | '-' | '.');
    scheme.starts_with(|it: char| it.is_ascii_alphabetic())
        && scheme.chars().all(is_usual)
        && rest.starts_with('/')
        && !rest.chars().any(|it| it.is_whitespace() || it.is_control())
}

fn check_claim(findings: &mut Vec<FieldError>, claim: &LogClaim, path: &FieldPath) {
    check_object_name(findings, &path.field("claimName"), &claim.claim_name);
    if let Some(folder) = &claim.sub_path
        && (folder.starts_with('/') || folder.split('/').any(|part| part == ".."))
    {
        let detail = "must be a path inside of the volume, without .. and a slash before it";
        let path = path.field("subPath");
        findings.push(FieldError::invalid(path, folder.as_str(), detail));
    }
}

fn check_keeping(findings: &mut Vec<FieldError>, spec: &SparkHistoryServerSpec, at: &FieldPath) {
    if let Some(age) = &spec.retention
        && !is_age(age)
    {
        let detail = "must be a number with s, m, h or d behind it, such as 30d";
        let path = at.field("retention");
        findings.push(FieldError::invalid(path, age.as_str(), detail));
    }
    if let Some(count) = spec.max_files_to_retain
        && count < 1
    {
        let path = at.field("maxFilesToRetain");
        findings.push(FieldError::invalid(path, count, "must be at least 1"));
    }
}

/// What the pattern of the field says.
fn is_age(text: &str) -> bool {
    let Some(number) = text.strip_suffix(['s', 'm', 'h', 'd']) else {
        return false;
    };
    (1..=9).contains(&number.len())
        && !number.starts_with('0')
        && number.bytes().all(|it| it.is_ascii_digit())
}

fn check_settings(findings: &mut Vec<FieldError>, spec: &SparkHistoryServerSpec, at: &FieldPath) {
    let conf = at.field("sparkConf");
    if spec.spark_conf.contains_key(LOG_DIRECTORY_KEY) {
        let detail = format!("may not be set here; use {PLACES}");
        findings.push(FieldError::forbidden(conf.key(LOG_DIRECTORY_KEY), detail));
    }
    let port = spec.spark_conf.get(HISTORY_PORT_KEY);
    if let Some(port) = port.and_then(ConfValue::text)
        && !port.trim().parse::<u16>().is_ok_and(|port| port != 0)
    {
        let detail = "is not a port; pods and Services need one from 1 to 65535";
        let path = conf.key(HISTORY_PORT_KEY);
        findings.push(FieldError::invalid(path, port, detail));
    }
}

fn check_object_name(findings: &mut Vec<FieldError>, path: &FieldPath, name: &str) {
    if let Err(error) = DnsSubdomain::new(name) {
        findings.push(FieldError::invalid(path.clone(), name, error.to_string()));
    }
}
