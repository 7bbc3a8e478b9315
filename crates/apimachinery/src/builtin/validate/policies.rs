//! Validation of what governs others: roles, budgets, leases, resource definitions.

use std::collections::BTreeSet;

use serde_json::Value;

use super::super::json::{flag, items, number, text};
use crate::field::{FieldError, Path, quote};
use crate::names;

pub(super) fn role(kind: &str, object: &Value, errors: &mut Vec<FieldError>) {
    let rules = Path::ROOT.child("rules");
    for (index, rule) in items(object, "/rules").iter().enumerate() {
        let at = rules.index(index);
        if items(rule, "/verbs").is_empty() {
            errors.push(FieldError::required(
                at.child("verbs"),
                "verbs must contain at least one value",
            ));
        }
        if !items(rule, "/nonResourceURLs").is_empty() {
            if kind == "Role" {
                errors.push(FieldError::invalid(
                    at.child("nonResourceURLs"),
                    rule.get("nonResourceURLs").unwrap_or(&Value::Null),
                    "namespaced rules cannot apply to non-resource URLs",
                ));
            }
            continue;
        }
        if items(rule, "/apiGroups").is_empty() {
            errors.push(FieldError::required(
                at.child("apiGroups"),
                "resource rules must supply at least one api group",
            ));
        }
        if items(rule, "/resources").is_empty() {
            errors.push(FieldError::required(
                at.child("resources"),
                "resource rules must supply at least one resource",
            ));
        }
    }
}

pub(super) fn binding(kind: &str, object: &Value, errors: &mut Vec<FieldError>) {
    const RBAC: &str = "rbac.authorization.k8s.io";
    let role = Path::ROOT.child("roleRef");
    let group = text(object, "/roleRef/apiGroup");
    if group != RBAC {
        errors.push(FieldError::not_supported(
            role.child("apiGroup"),
            &group.into(),
            [RBAC],
        ));
    }
    let kinds: &[&str] = match kind {
        "RoleBinding" => &["Role", "ClusterRole"],
        _ => &["ClusterRole"],
    };
    let role_kind = text(object, "/roleRef/kind");
    if !kinds.contains(&role_kind) {
        errors.push(FieldError::not_supported(
            role.child("kind"),
            &role_kind.into(),
            kinds,
        ));
    }
    if text(object, "/roleRef/name").is_empty() {
        errors.push(FieldError::required(role.child("name"), ""));
    }
    let subjects = Path::ROOT.child("subjects");
    for (index, subject) in items(object, "/subjects").iter().enumerate() {
        let at = subjects.index(index);
        if text(subject, "/name").is_empty() {
            errors.push(FieldError::required(at.child("name"), ""));
        }
        let group = text(subject, "/apiGroup");
        let expected = match text(subject, "/kind") {
            "ServiceAccount" => {
                if kind == "ClusterRoleBinding" && text(subject, "/namespace").is_empty() {
                    errors.push(FieldError::required(at.child("namespace"), ""));
                }
                ""
            }
            "User" | "Group" => RBAC,
            other => {
                errors.push(FieldError::not_supported(
                    at.child("kind"),
                    &other.into(),
                    ["ServiceAccount", "User", "Group"],
                ));
                continue;
            }
        };
        if group != expected {
            errors.push(FieldError::not_supported(
                at.child("apiGroup"),
                &group.into(),
                [expected],
            ));
        }
    }
}

pub(super) fn disruption_budget(object: &Value, errors: &mut Vec<FieldError>) {
    let both = object.pointer("/spec/minAvailable").is_some()
        && object.pointer("/spec/maxUnavailable").is_some();
    if both {
        errors.push(FieldError::invalid(
            "spec",
            object.get("spec").unwrap_or(&Value::Null),
            "minAvailable and maxUnavailable cannot be both set",
        ));
    }
}

pub(super) fn lease(object: &Value, errors: &mut Vec<FieldError>) {
    let positive = "must be greater than 0";
    if let Some(seconds) = number(object, "/spec/leaseDurationSeconds")
        && seconds <= 0
    {
        errors.push(FieldError::invalid(
            "spec.leaseDurationSeconds",
            &seconds.into(),
            positive,
        ));
    }
    if let Some(changes) = number(object, "/spec/leaseTransitions")
        && changes < 0
    {
        errors.push(FieldError::invalid(
            "spec.leaseTransitions",
            &changes.into(),
            "must be greater than or equal to 0",
        ));
    }
}

pub(super) fn custom_resource_definition(object: &Value, errors: &mut Vec<FieldError>) {
    let spec = Path::ROOT.child("spec");
    let names_path = spec.child("names");
    let group = text(object, "/spec/group");
    let plural = text(object, "/spec/names/plural");
    if group.is_empty() {
        errors.push(FieldError::required(spec.child("group"), ""));
    } else if !group.contains('.') {
        errors.push(FieldError::invalid(
            spec.child("group"),
            &group.into(),
            "should be a domain with at least one dot",
        ));
    }
    let expected = format!("{plural}.{group}");
    let name = text(object, "/metadata/name");
    if !name.is_empty() && name != expected {
        errors.push(FieldError::invalid(
            "metadata.name",
            &name.into(),
            "must be spec.names.plural+\".\"+spec.group",
        ));
    }
    for field in ["plural", "singular", "kind", "listKind"] {
        let value = text(object, &format!("/spec/names/{field}"));
        if value.is_empty() {
            errors.push(FieldError::required(names_path.child(field), ""));
            continue;
        }
        for complaint in names::dns1035_label(&value.to_lowercase()) {
            errors.push(FieldError::invalid(
                names_path.child(field),
                &value.into(),
                complaint,
            ));
        }
    }
    let scope = text(object, "/spec/scope");
    match scope {
        "" => errors.push(FieldError::required(spec.child("scope"), "")),
        "Cluster" | "Namespaced" => {}
        other => errors.push(FieldError::not_supported(
            spec.child("scope"),
            &other.into(),
            ["Cluster", "Namespaced"],
        )),
    }
    crd_versions(object, spec, errors);
    protected_group(object, group, errors);
}

fn crd_versions(object: &Value, spec: Path<'_>, errors: &mut Vec<FieldError>) {
    let versions = spec.child("versions");
    let list = items(object, "/spec/versions");
    let stored = list
        .iter()
        .filter(|version| flag(version, "/storage"))
        .count();
    if stored != 1 {
        errors.push(FieldError::invalid(
            versions,
            &Value::from(list.iter().map(|v| text(v, "/name")).collect::<Vec<_>>()),
            "must have exactly one version marked as storage version",
        ));
    }
    let mut seen = BTreeSet::new();
    for (index, version) in list.iter().enumerate() {
        let at = versions.index(index);
        let name = text(version, "/name");
        for complaint in names::dns1035_label(name) {
            errors.push(FieldError::invalid(
                at.child("name"),
                &name.into(),
                complaint,
            ));
        }
        if !seen.insert(name) {
            errors.push(FieldError::invalid(
                at.child("name"),
                &name.into(),
                "must be unique",
            ));
        }
        if version.pointer("/schema/openAPIV3Schema").is_none() {
            let schema = at.child("schema");
            errors.push(FieldError::required(
                schema.child("openAPIV3Schema"),
                "schemas are required",
            ));
        }
    }
}

/// Groups under `k8s.io` belong to the community; using one takes a statement.
fn protected_group(object: &Value, group: &str, errors: &mut Vec<FieldError>) {
    const KEY: &str = "api-approved.kubernetes.io";
    let protected = ["k8s.io", "kubernetes.io"]
        .into_iter()
        .any(|suffix| group == suffix || group.ends_with(&format!(".{suffix}")));
    if !protected {
        return;
    }
    let metadata = Path::ROOT.child("metadata");
    let annotations = metadata.child("annotations");
    let value = text(object, "/metadata/annotations/api-approved.kubernetes.io");
    if value.is_empty() {
        errors.push(FieldError::required(
            annotations.key(KEY),
            "protected groups must have approval annotation \"api-approved.kubernetes.io\", see \
             https://github.com/kubernetes/enhancements/pull/1111",
        ));
    } else if !value.starts_with("unapproved") && !value.starts_with("http") {
        errors.push(FieldError::invalid(
            annotations.key(KEY),
            &value.into(),
            format!(
                "protected groups must have approval annotation {} with either a URL or a reason \
                 starting with \"unapproved\", see \
                 https://github.com/kubernetes/enhancements/pull/1111",
                quote(KEY)
            ),
        ));
    }
}
