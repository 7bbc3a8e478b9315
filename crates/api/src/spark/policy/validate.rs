//! What a policy may not say.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use kube::CustomResourceExt as _;
use serde_json::{Value, json};

use super::{ImagePattern, Pattern, SparkPolicy, SparkPolicySpec};
use crate::decode::typed;
use crate::field::{FieldError, FieldPath};
use crate::names::DnsSubdomain;
use crate::schema;
use crate::spark::SparkApplication;
use crate::spark::application;

/// What an application is, and is called: nobody else's affair.
const ITS_OWN: [&str; 7] = [
    "type",
    "mode",
    "suspend",
    "mainClass",
    "mainApplicationFile",
    "arguments",
    "driver.podName",
];

/// The setting that names the driver's pod.
const POD_NAME_KEY: &str = "spark.kubernetes.driver.pod.name";

/// Everything in the policy that cannot be meant.
pub fn validate(policy: &SparkPolicy) -> Vec<FieldError> {
    let mut findings = Vec::new();
    let spec = &policy.spec;
    let at = FieldPath::new("spec");
    check_aliases(&mut findings, spec, &at);
    check_patterns(&mut findings, spec, &at);
    for (field, template) in [("defaults", &spec.defaults), ("enforced", &spec.enforced)] {
        if let Some(template) = template {
            check_template(&mut findings, template, &at.field(field));
        }
    }
    let by_definition = "/restartPolicy/type";
    let default = spec.defaults.as_ref();
    if default.is_some_and(|it| it.pointer(by_definition).is_some()) {
        let path = at.field("defaults").field("restartPolicy").field("type");
        let detail = "never holds, since every application has a restartPolicy.type as soon as it \
                      is stored; write it under spec.enforced";
        findings.push(FieldError::forbidden(path, detail));
    }
    findings
}

fn check_aliases(findings: &mut Vec<FieldError>, spec: &SparkPolicySpec, at: &FieldPath) {
    let mut names = BTreeSet::new();
    for (index, alias) in spec.image_aliases.iter().enumerate() {
        let at = at.field("imageAliases").index(index);
        let name = alias.name.as_str();
        if let Err(error) = DnsSubdomain::new(name) {
            findings.push(FieldError::invalid(
                at.field("name"),
                name,
                error.to_string(),
            ));
        }
        if name.starts_with(|c: char| c.is_ascii_digit()) {
            let detail = "begins with a digit, as versions do; write for example spark-4.3";
            findings.push(FieldError::invalid(at.field("name"), name, detail));
        }
        if !names.insert(name) {
            let detail = "is the name of an alias above; give it another one";
            findings.push(FieldError::invalid(at.field("name"), name, detail));
        }
        let image = alias.image.as_str();
        if image.trim().is_empty() || image.contains(char::is_whitespace) {
            let detail = "must be an image, for example apache/spark:4.3.0";
            findings.push(FieldError::invalid(at.field("image"), image, detail));
        }
        if spec.image_aliases.iter().any(|other| other.name == image) {
            let detail = "is the name of an alias; write the image itself";
            findings.push(FieldError::invalid(at.field("image"), image, detail));
        }
        let version = alias.spark_version.as_str();
        let numbers: Vec<&str> = version.split('.').collect();
        let is_number = |it: &&&str| it.bytes().all(|c| c.is_ascii_digit()) && !it.is_empty();
        if numbers.len() < 2 || numbers.iter().take(2).filter(is_number).count() < 2 {
            let detail = "must be the version of Spark, for example 4.3.0";
            findings.push(FieldError::invalid(
                at.field("sparkVersion"),
                version,
                detail,
            ));
        }
    }
}

fn check_patterns(findings: &mut Vec<FieldError>, spec: &SparkPolicySpec, at: &FieldPath) {
    let lists = [
        ("allowedImages", &spec.allowed_images),
        ("allowedServiceAccounts", &spec.allowed_service_accounts),
    ];
    for (field, list) in lists {
        let at = at.field(field);
        if list.as_ref().is_some_and(Vec::is_empty) {
            let detail = "allows nothing; name what is allowed, or remove the field to allow all";
            findings.push(FieldError::missing(at.clone(), detail));
        }
        for (index, text) in list.iter().flatten().enumerate() {
            let read = match field {
                "allowedImages" => ImagePattern::new(text).map(drop),
                _ => Pattern::new(text).map(drop),
            };
            if let Err(error) = read {
                let at = at.index(index);
                findings.push(FieldError::invalid(at, text.as_str(), error.to_string()));
            }
        }
    }
    for (index, text) in spec.denied_spark_conf.iter().enumerate() {
        if let Err(error) = Pattern::new(text) {
            let at = at.field("deniedSparkConf").index(index);
            findings.push(FieldError::invalid(at, text.as_str(), error.to_string()));
        }
    }
}

/// A part of a specification is checked as one: its fields by the schema, and what they mean by the
/// rules of an application that has them and is right otherwise.
fn check_template(findings: &mut Vec<FieldError>, template: &Value, at: &FieldPath) {
    let before = findings.len();
    for field in ITS_OWN {
        let pointer = format!("/{}", field.replace('.', "/"));
        if template.pointer(&pointer).is_some() {
            let path = at.join(field);
            let detail = "says what an application is, which is for the application; remove it";
            findings.push(FieldError::forbidden(path, detail));
        }
    }
    let settings = template.get("sparkConf");
    if settings.is_some_and(|it| it.get(POD_NAME_KEY).is_some()) {
        let path = at.field("sparkConf").key(POD_NAME_KEY);
        let detail = "names one pod, and many applications would have it; remove it";
        findings.push(FieldError::forbidden(path, detail));
    }
    findings.extend(schema::check(partial_schema(), template, at));
    if findings.len() > before {
        return;
    }
    let mut whole = json!({
        "apiVersion": "sparkoperator.k8s.io/v1beta2",
        "kind": "SparkApplication",
        "metadata": {"name": "any"},
        "spec": {
            "type": "Python", "sparkVersion": "4.3.0", "image": "any",
            "mainApplicationFile": "local:///any.py", "driver": {}, "executor": {},
        },
    });
    put(&mut whole["spec"], template);
    // An alias may stand where a version belongs.
    whole["spec"]["sparkVersion"] = json!("4.3.0");
    match typed::<SparkApplication>(&whole, &FieldPath::root()) {
        Ok(application) => {
            let of_template = application::validate(&application).into_iter();
            findings.extend(of_template.filter_map(|error| below(error, at)));
        }
        Err(error) => findings.extend(below(error, at)),
    }
}

/// A mistake in a specification, where it stands in the policy.
fn below(error: FieldError, at: &FieldPath) -> Option<FieldError> {
    let inner = error.path.as_str().strip_prefix("spec")?;
    Some(FieldError {
        path: at.join(inner.trim_start_matches('.')),
        ..error
    })
}

fn put(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (name, value) in from {
                put(into.entry(name).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from.clone(),
    }
}

/// The schema of a specification of which any part may be missing.
fn partial_schema() -> &'static Value {
    static SCHEMA: OnceLock<Value> = OnceLock::new();
    SCHEMA.get_or_init(|| {
        let crd = serde_json::to_value(SparkApplication::crd()).unwrap_or_default();
        let versions = &crd["spec"]["versions"][0];
        let mut schema = versions["schema"]["openAPIV3Schema"]["properties"]["spec"].clone();
        ask_for_nothing(&mut schema);
        schema
    })
}

/// Members of lists are whole: only what stands outside of lists may be missing.
fn ask_for_nothing(schema: &mut Value) {
    let Some(fields) = schema.as_object_mut() else {
        return;
    };
    fields.remove("required");
    if let Some(Value::Object(properties)) = fields.get_mut("properties") {
        properties.values_mut().for_each(ask_for_nothing);
    }
}
