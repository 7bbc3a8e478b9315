//! Metadata: names, labels, annotations, owners, finalizers.

use serde_json::Value;

use super::json::{entries, items, text};
use crate::field::{FieldError, FieldErrorKind, Path};
use crate::names;

/// What is said of a text that is no address.
pub(super) const NO_ADDRESS: &str = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";

const ANNOTATIONS_MAX: usize = 256 * 1024;

/// What a kind demands of its names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NameRule {
    Subdomain,
    Label,
    ServiceLabel,
    PathSegment,
}

impl NameRule {
    fn check(self, name: &str) -> Vec<String> {
        match self {
            Self::Subdomain => names::dns1123_subdomain(name),
            Self::Label => names::dns1123_label(name),
            Self::ServiceLabel => names::dns1035_label(name),
            Self::PathSegment => names::path_segment(name),
        }
    }
}

pub(super) fn name_rule(group: &str, kind: &str) -> NameRule {
    match (group, kind) {
        ("", "Namespace") | ("apps", "StatefulSet") => NameRule::Label,
        ("", "Service") => NameRule::ServiceLabel,
        ("rbac.authorization.k8s.io", _) | ("certificates.k8s.io", "CertificateSigningRequest") => {
            NameRule::PathSegment
        }
        _ => NameRule::Subdomain,
    }
}

/// Validates the metadata of any object, custom ones too, when it is created.
pub fn validate_metadata(object: &Value, namespaced: bool) -> Vec<FieldError> {
    let mut errors = validate(object, NameRule::Subdomain);
    let namespace = text(object, "/metadata/namespace");
    if namespaced && namespace.is_empty() {
        errors.push(FieldError::required("metadata.namespace", ""));
    } else if !namespaced && !namespace.is_empty() {
        errors.push(FieldError::forbidden(
            "metadata.namespace",
            "not allowed on this type",
        ));
    }
    errors
}

/// Validates a change of metadata of any object, custom ones too.
pub fn validate_metadata_update(object: &Value, old: &Value, namespaced: bool) -> Vec<FieldError> {
    let _ = namespaced;
    validate_update(object, old)
}

pub(super) fn validate(object: &Value, rule: NameRule) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let name = text(object, "/metadata/name");
    let prefix = text(object, "/metadata/generateName");
    // The random tail of a generated name is fine wherever the prefix is.
    let trimmed = prefix
        .strip_suffix('-')
        .map_or_else(|| prefix.to_owned(), |p| format!("{p}a"));
    if !prefix.is_empty() {
        for complaint in rule.check(&trimmed) {
            errors.push(FieldError::invalid(
                "metadata.generateName",
                &prefix.into(),
                complaint,
            ));
        }
    }
    if name.is_empty() {
        if prefix.is_empty() {
            errors.push(FieldError::required(
                "metadata.name",
                "name or generateName is required",
            ));
        }
    } else {
        for complaint in rule.check(name) {
            errors.push(FieldError::invalid(
                "metadata.name",
                &name.into(),
                complaint,
            ));
        }
    }
    let namespace = text(object, "/metadata/namespace");
    if !namespace.is_empty() {
        for complaint in names::dns1123_label(namespace) {
            errors.push(FieldError::invalid(
                "metadata.namespace",
                &namespace.into(),
                complaint,
            ));
        }
    }
    common(object, &mut errors);
    errors
}

pub(super) fn validate_update(object: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for field in [
        "name",
        "namespace",
        "uid",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
    ] {
        let pointer = format!("/metadata/{field}");
        let value = object.pointer(&pointer).unwrap_or(&Value::Null);
        let before = old.pointer(&pointer).unwrap_or(&Value::Null);
        if value != before && !value.is_null() {
            errors.push(FieldError::invalid(
                format!("metadata.{field}"),
                value,
                "field is immutable",
            ));
        }
    }
    common(object, &mut errors);
    if old.pointer("/metadata/deletionTimestamp").is_some() {
        let before = items(old, "/metadata/finalizers");
        let added: Vec<String> = items(object, "/metadata/finalizers")
            .iter()
            .filter(|name| !before.contains(name))
            .map(Value::to_string)
            .collect();
        if !added.is_empty() {
            errors.push(FieldError::forbidden(
                "metadata.finalizers",
                format!(
                    "no new finalizers can be added if the object is being deleted, found new \
                     finalizers []string{{{}}}",
                    added.join(", ")
                ),
            ));
        }
    }
    errors
}

fn common(object: &Value, errors: &mut Vec<FieldError>) {
    let metadata = Path::new("metadata");
    labels(object, "/metadata/labels", metadata.child("labels"), errors);
    annotations(
        object,
        "/metadata/annotations",
        metadata.child("annotations"),
        errors,
    );
    for finalizer in items(object, "/metadata/finalizers") {
        let name = finalizer.as_str().unwrap_or_default();
        for complaint in names::qualified_name(name) {
            errors.push(FieldError::invalid(
                "metadata.finalizers",
                finalizer,
                complaint,
            ));
        }
    }
    owners(object, errors);
}

/// Finalizers of the built-in kinds have a domain, but for those of Kubernetes itself.
pub(super) fn finalizers(group: &str, object: &Value, errors: &mut Vec<FieldError>) {
    const STANDARD: [&str; 3] = ["kubernetes", "orphan", "foregroundDeletion"];
    if ["apiextensions.k8s.io", "admissionregistration.k8s.io"].contains(&group) {
        return;
    }
    for (index, finalizer) in items(object, "/metadata/finalizers").iter().enumerate() {
        let name = finalizer.as_str().unwrap_or_default();
        if !name.contains('/') && !STANDARD.contains(&name) {
            errors.push(FieldError::invalid(
                format!("metadata.finalizers[{index}]"),
                finalizer,
                "name is neither a standard finalizer name nor is it fully qualified",
            ));
        }
    }
}

fn owners(object: &Value, errors: &mut Vec<FieldError>) {
    let references = items(object, "/metadata/ownerReferences");
    let mut controllers = Vec::new();
    for owner in references {
        for (field, message) in [
            ("apiVersion", "version must not be empty"),
            ("kind", "must not be empty"),
            ("name", "must not be empty"),
            ("uid", "must not be empty"),
        ] {
            if text(owner, &format!("/{field}")).is_empty() {
                errors.push(FieldError::invalid(
                    format!("metadata.ownerReferences.{field}"),
                    &"".into(),
                    message,
                ));
            }
        }
        if owner
            .get("controller")
            .and_then(Value::as_bool)
            .unwrap_or_default()
        {
            controllers.push(format!("{}/{}", text(owner, "/kind"), text(owner, "/name")));
        }
    }
    if let [first, second, ..] = controllers.as_slice() {
        let references: Vec<String> = references.iter().map(owner_text).collect();
        errors.push(FieldError {
            kind: FieldErrorKind::Invalid,
            field: "metadata.ownerReferences".to_owned(),
            message: format!(
                "Invalid value: [{}]: Only one reference can have Controller set to true. Found \
                 \"true\" in references for {first} and {second}",
                references.join(",")
            ),
        });
    }
}

/// A reference as kube-apiserver shows it, in the order of its type.
fn owner_text(owner: &Value) -> String {
    const FIELDS: [&str; 6] = [
        "apiVersion",
        "kind",
        "name",
        "uid",
        "controller",
        "blockOwnerDeletion",
    ];
    let fields: Vec<String> = FIELDS
        .iter()
        .filter_map(|field| Some(format!("\"{field}\":{}", owner.get(field)?)))
        .collect();
    format!("{{{}}}", fields.join(","))
}

/// Labels, wherever they stand.
pub(super) fn labels(object: &Value, pointer: &str, path: Path<'_>, errors: &mut Vec<FieldError>) {
    for (key, value) in entries(object, pointer).into_iter().flatten() {
        for complaint in names::qualified_name(key) {
            errors.push(FieldError::invalid(path, &key.as_str().into(), complaint));
        }
        for complaint in names::label_value(value.as_str().unwrap_or_default()) {
            errors.push(FieldError::invalid(path, value, complaint));
        }
    }
}

/// Annotations, wherever they stand.
pub(super) fn annotations(
    object: &Value,
    pointer: &str,
    path: Path<'_>,
    errors: &mut Vec<FieldError>,
) {
    let mut size = 0;
    for (key, value) in entries(object, pointer).into_iter().flatten() {
        size += key.len() + value.as_str().map_or(0, str::len);
        // Upper case is a mistake of old that is still allowed.
        for complaint in names::qualified_name(&key.to_lowercase()) {
            errors.push(FieldError::invalid(path, &key.as_str().into(), complaint));
        }
    }
    if size > ANNOTATIONS_MAX {
        errors.push(FieldError::too_long(path, ANNOTATIONS_MAX));
    }
}
