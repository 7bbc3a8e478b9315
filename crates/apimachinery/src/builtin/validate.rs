//! Validation, kind by kind.

mod policies;
mod webhooks;
mod workloads;

use serde_json::Value;

use super::json::{entries, flag, items, text};
use super::pod::one_of;
use super::{pod, pod_update, service};
use crate::field::{FieldError, Path};
use crate::names;
use crate::quantity::Quantity;

const MEBIBYTE: usize = 1024 * 1024;

pub(super) fn create(group: &str, kind: &str, object: &Value, errors: &mut Vec<FieldError>) {
    let spec_path = Path::ROOT.child("spec");
    match (group, kind) {
        ("", "Pod") => pod::pod(object, errors),
        ("", "PodTemplate") => {
            pod::template(
                object.get("template").unwrap_or(&Value::Null),
                Path::ROOT.child("template"),
                errors,
            );
        }
        ("", "Service") => service::validate(object, errors),
        ("", "ConfigMap") => config_map(object, errors),
        ("", "Secret") => secret(object, errors),
        ("", "PersistentVolumeClaim") => claim(object, errors),
        ("" | "events.k8s.io", "Event") => event(object, errors),
        ("apps", "Deployment") => workloads::deployment(object, errors),
        ("apps", "StatefulSet") => workloads::stateful_set(object, errors),
        ("apps", "ReplicaSet" | "DaemonSet") => workloads::workload(kind, object, errors),
        ("batch", "Job") => workloads::job(
            object.get("spec").unwrap_or(&Value::Null),
            spec_path,
            errors,
        ),
        ("batch", "CronJob") => workloads::cron_job(object, errors),
        ("rbac.authorization.k8s.io", "Role" | "ClusterRole") => {
            policies::role(kind, object, errors);
        }
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => {
            policies::binding(kind, object, errors);
        }
        ("policy", "PodDisruptionBudget") => policies::disruption_budget(object, errors),
        ("coordination.k8s.io", "Lease") => policies::lease(object, errors),
        ("storage.k8s.io", "StorageClass") if text(object, "/provisioner").is_empty() => {
            errors.push(FieldError::required("provisioner", ""));
        }
        ("apiextensions.k8s.io", "CustomResourceDefinition") => {
            policies::custom_resource_definition(object, errors);
        }
        (
            "admissionregistration.k8s.io",
            "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration",
        ) => webhooks::configuration(object, errors),
        _ => {}
    }
}

pub(super) fn update(
    group: &str,
    kind: &str,
    object: &Value,
    old: &Value,
    errors: &mut Vec<FieldError>,
) {
    match (group, kind) {
        ("", "Pod") => pod_update::update(object, old, errors),
        ("", "Service") => {
            service::update(object, old, errors);
            service::validate(object, errors);
        }
        ("", "ConfigMap") => {
            immutable_data(object, old, &["data", "binaryData"], errors);
            config_map(object, errors);
        }
        ("", "Secret") => {
            unchanged(object, old, "type", errors);
            immutable_data(object, old, &["data"], errors);
            secret(object, errors);
        }
        ("", "PersistentVolumeClaim") => claim_update(object, old, errors),
        ("apps", "StatefulSet") => {
            workloads::stateful_set_update(object, old, errors);
        }
        ("apps", "Deployment") => {
            workloads::deployment(object, errors);
            workloads::same_selector(object, old, errors);
        }
        ("apps", "ReplicaSet" | "DaemonSet") => {
            workloads::workload(kind, object, errors);
            workloads::same_selector(object, old, errors);
        }
        ("batch", "Job") => workloads::job_update(object, old, errors),
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => {
            policies::binding(kind, object, errors);
            let after = object.get("roleRef");
            if after != old.get("roleRef") {
                errors.push(FieldError::invalid(
                    "roleRef",
                    after.unwrap_or(&Value::Null),
                    "cannot change roleRef",
                ));
            }
        }
        ("storage.k8s.io", "StorageClass") => {
            for field in [
                "provisioner",
                "parameters",
                "reclaimPolicy",
                "volumeBindingMode",
            ] {
                unchanged(object, old, field, errors);
            }
        }
        ("scheduling.k8s.io", "PriorityClass") => unchanged(object, old, "value", errors),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => {
            for field in [
                "spec.group",
                "spec.scope",
                "spec.names.kind",
                "spec.names.plural",
            ] {
                unchanged(object, old, field, errors);
            }
            policies::custom_resource_definition(object, errors);
        }
        _ => create(group, kind, object, errors),
    }
}

/// A change of the status alone.
pub(super) fn status(
    group: &str,
    kind: &str,
    object: &Value,
    old: &Value,
    errors: &mut Vec<FieldError>,
) {
    match (group, kind) {
        ("", "Pod") => pod_update::status(object, old, errors),
        ("apps", _) => workloads::status(kind, object, old, errors),
        _ => {}
    }
}

pub(super) fn unchanged(object: &Value, old: &Value, field: &str, errors: &mut Vec<FieldError>) {
    let pointer = format!("/{}", field.replace('.', "/"));
    let after = object.pointer(&pointer).unwrap_or(&Value::Null);
    if after != old.pointer(&pointer).unwrap_or(&Value::Null) {
        errors.push(FieldError::invalid(field, after, "field is immutable"));
    }
}

fn immutable_data(object: &Value, old: &Value, fields: &[&str], errors: &mut Vec<FieldError>) {
    if !flag(old, "/immutable") {
        return;
    }
    let mut forbid = |field: &str| {
        errors.push(FieldError::forbidden(
            field,
            "field is immutable when `immutable` is set",
        ));
    };
    if !flag(object, "/immutable") {
        forbid("immutable");
    }
    for field in fields {
        if object.get(field) != old.get(field) {
            forbid(field);
        }
    }
}

fn config_map(object: &Value, errors: &mut Vec<FieldError>) {
    let mut size = 0;
    for field in ["data", "binaryData"] {
        let at = Path::ROOT.child(field);
        for (key, value) in entries(object, &format!("/{field}")).into_iter().flatten() {
            size += value.as_str().map_or(0, str::len);
            for complaint in names::config_map_key(key) {
                errors.push(FieldError::invalid(
                    at.key(key),
                    &key.as_str().into(),
                    complaint,
                ));
            }
            if field == "data"
                && entries(object, "/binaryData").is_some_and(|o| o.contains_key(key))
            {
                errors.push(FieldError::invalid(
                    at.key(key),
                    &key.as_str().into(),
                    "duplicate of key present in binaryData",
                ));
            }
        }
    }
    if size > MEBIBYTE {
        errors.push(FieldError::too_long("", MEBIBYTE));
    }
}

fn secret(object: &Value, errors: &mut Vec<FieldError>) {
    let at = Path::ROOT.child("data");
    let data = entries(object, "/data");
    let mut size = 0;
    for (key, value) in data.into_iter().flatten() {
        // Base64 makes four characters of three bytes.
        size += value.as_str().map_or(0, str::len) / 4 * 3;
        for complaint in names::config_map_key(key) {
            errors.push(FieldError::invalid(
                at.key(key),
                &key.as_str().into(),
                complaint,
            ));
        }
    }
    if size > MEBIBYTE {
        errors.push(FieldError::too_long("data", MEBIBYTE));
    }
    let required: &[&str] = match text(object, "/type") {
        "kubernetes.io/tls" => &["tls.crt", "tls.key"],
        "kubernetes.io/dockerconfigjson" => &[".dockerconfigjson"],
        "kubernetes.io/dockercfg" => &[".dockercfg"],
        "kubernetes.io/ssh-auth" => &["ssh-privatekey"],
        _ => &[],
    };
    for key in required {
        if !data.is_some_and(|data| data.contains_key(*key)) {
            errors.push(FieldError::required(at.key(key), ""));
        }
    }
    let basic = ["username", "password"];
    if text(object, "/type") == "kubernetes.io/basic-auth"
        && !basic
            .iter()
            .any(|key| data.is_some_and(|data| data.contains_key(*key)))
    {
        for key in basic {
            errors.push(FieldError::required(at.key(key), ""));
        }
    }
    if text(object, "/type") == "kubernetes.io/service-account-token"
        && text(
            object,
            "/metadata/annotations/kubernetes.io~1service-account.name",
        )
        .is_empty()
    {
        let metadata = Path::ROOT.child("metadata");
        let annotations = metadata.child("annotations");
        errors.push(FieldError::required(
            annotations.key("kubernetes.io/service-account.name"),
            "",
        ));
    }
}

fn claim(object: &Value, errors: &mut Vec<FieldError>) {
    let spec = Path::ROOT.child("spec");
    let modes = [
        "ReadOnlyMany",
        "ReadWriteMany",
        "ReadWriteOnce",
        "ReadWriteOncePod",
    ];
    let given = items(object, "/spec/accessModes");
    if given.is_empty() {
        errors.push(FieldError::required(
            spec.child("accessModes"),
            "at least 1 access mode is required",
        ));
    }
    for mode in given {
        if !mode.as_str().is_some_and(|mode| modes.contains(&mode)) {
            errors.push(FieldError::not_supported(
                spec.child("accessModes"),
                mode,
                modes,
            ));
        }
    }
    let resources = spec.child("resources");
    let requests = resources.child("requests");
    match object.pointer("/spec/resources/requests/storage") {
        None => errors.push(FieldError::required(requests.key("storage"), "")),
        Some(size) => {
            let text = size
                .as_str()
                .map_or_else(|| size.to_string(), str::to_owned);
            let positive =
                Quantity::parse(&text).is_ok_and(|size| !size.is_negative() && !size.is_zero());
            if !positive {
                errors.push(FieldError::invalid(
                    requests.key("storage"),
                    size,
                    "must be greater than zero",
                ));
            }
        }
    }
    if let Some(volume_mode) = object.get("spec") {
        one_of(
            volume_mode,
            "volumeMode",
            &["Block", "Filesystem"],
            spec,
            errors,
        );
    }
}

fn claim_update(object: &Value, old: &Value, errors: &mut Vec<FieldError>) {
    let bound = text(old, "/status/phase") == "Bound";
    let fixed = |claim: &Value| {
        let mut spec = claim.get("spec").cloned().unwrap_or_default();
        if let Some(spec) = spec.as_object_mut() {
            spec.remove("volumeAttributesClassName");
            // Binding fills in the volume, and late defaulting the class.
            if text(old, "/spec/volumeName").is_empty() {
                spec.remove("volumeName");
            }
            if old.pointer("/spec/storageClassName").is_none() {
                spec.remove("storageClassName");
            }
            if bound && let Some(Value::Object(resources)) = spec.get_mut("resources") {
                resources.remove("requests");
            }
        }
        spec
    };
    if fixed(object) != fixed(old) {
        errors.push(FieldError::forbidden(
            "spec",
            "spec is immutable after creation except resources.requests and \
             volumeAttributesClassName for bound claims",
        ));
    }
    let size =
        |claim: &Value| Quantity::parse(text(claim, "/spec/resources/requests/storage")).ok();
    if let (Some(after), Some(before)) = (size(object), size(old))
        && after < before
    {
        errors.push(FieldError::forbidden(
            "spec.resources.requests.storage",
            "field can not be less than status.capacity",
        ));
    }
}

fn event(object: &Value, errors: &mut Vec<FieldError>) {
    let involved = ["/involvedObject/namespace", "/regarding/namespace"]
        .into_iter()
        .map(|pointer| text(object, pointer))
        .find(|namespace| !namespace.is_empty())
        .unwrap_or_default();
    let own = text(object, "/metadata/namespace");
    let fits = if involved.is_empty() {
        matches!(own, "" | "default")
    } else {
        involved == own
    };
    if !fits {
        errors.push(FieldError::invalid(
            "involvedObject.namespace",
            &involved.into(),
            "does not match event.namespace",
        ));
    }
}
