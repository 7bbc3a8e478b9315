//! Validation of pods and pod templates.

use std::collections::BTreeSet;

use serde_json::Value;

use super::json::{entries, items, number, text};
use super::{metadata, volumes};
use crate::field::{FieldError, Path};
use crate::names;
use crate::quantity::Quantity;

const PULL_POLICIES: [&str; 3] = ["Always", "IfNotPresent", "Never"];
const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];
const RESTART_POLICIES: [&str; 3] = ["Always", "Never", "OnFailure"];
const DNS_POLICIES: [&str; 4] = ["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"];
const FIELD_PATHS: [&str; 11] = [
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

/// Validates the metadata and spec of a pod template.
pub(super) fn template(template: &Value, path: Path<'_>, errors: &mut Vec<FieldError>) {
    let meta = path.child("metadata");
    metadata::labels(template, "/metadata/labels", meta.child("labels"), errors);
    metadata::annotations(
        template,
        "/metadata/annotations",
        meta.child("annotations"),
        errors,
    );
    let nothing = Value::Null;
    spec(
        template.get("spec").unwrap_or(&nothing),
        path.child("spec"),
        errors,
    );
}

/// Validates a pod spec.
pub(super) fn spec(spec: &Value, path: Path<'_>, errors: &mut Vec<FieldError>) {
    let volume_names = volumes::volumes(spec, path, errors);
    let mut names_seen = BTreeSet::new();
    let regular = items(spec, "/containers");
    if regular.is_empty() {
        errors.push(FieldError::required(path.child("containers"), ""));
    }
    for (list, containers) in [
        ("containers", regular),
        ("initContainers", items(spec, "/initContainers")),
    ] {
        let list = path.child(list);
        for (index, container) in containers.iter().enumerate() {
            let at = list.index(index);
            container_name(container, at, &mut names_seen, errors);
            self::container(container, &volume_names, at, errors);
        }
    }
    one_of(spec, "restartPolicy", &RESTART_POLICIES, path, errors);
    one_of(spec, "dnsPolicy", &DNS_POLICIES, path, errors);
    metadata::labels(spec, "/nodeSelector", path.child("nodeSelector"), errors);
    for (field, rule) in [
        (
            "serviceAccountName",
            names::dns1123_subdomain as fn(&str) -> Vec<String>,
        ),
        ("nodeName", names::dns1123_subdomain),
        ("hostname", names::dns1123_label),
        ("subdomain", names::dns1123_label),
        ("priorityClassName", names::dns1123_subdomain),
    ] {
        let value = text(spec, &format!("/{field}"));
        if !value.is_empty() {
            for complaint in rule(value) {
                errors.push(FieldError::invalid(
                    path.child(field),
                    &value.into(),
                    complaint,
                ));
            }
        }
    }
    not_negative(spec, "terminationGracePeriodSeconds", path, errors);
    if let Some(seconds) = number(spec, "/activeDeadlineSeconds")
        && !(1..=i64::from(i32::MAX)).contains(&seconds)
    {
        errors.push(FieldError::invalid(
            path.child("activeDeadlineSeconds"),
            &seconds.into(),
            "must be between 1 and 2147483647, inclusive",
        ));
    }
    tolerations(spec, path, errors);
}

fn container_name(
    container: &Value,
    path: Path<'_>,
    seen: &mut BTreeSet<String>,
    errors: &mut Vec<FieldError>,
) {
    let name = text(container, "/name");
    if name.is_empty() {
        errors.push(FieldError::required(path.child("name"), ""));
        return;
    }
    for complaint in names::dns1123_label(name) {
        errors.push(FieldError::invalid(
            path.child("name"),
            &name.into(),
            complaint,
        ));
    }
    if !seen.insert(name.to_owned()) {
        errors.push(FieldError::duplicate(path.child("name"), &name.into()));
    }
}

fn container(
    container: &Value,
    volume_names: &BTreeSet<String>,
    path: Path<'_>,
    errors: &mut Vec<FieldError>,
) {
    let image = text(container, "/image");
    if image.is_empty() {
        errors.push(FieldError::required(path.child("image"), ""));
    } else if image.trim() != image {
        errors.push(FieldError::invalid(
            path.child("image"),
            &image.into(),
            "must not have leading or trailing whitespace",
        ));
    }
    one_of(container, "imagePullPolicy", &PULL_POLICIES, path, errors);
    one_of(
        container,
        "terminationMessagePolicy",
        &["FallbackToLogsOnError", "File"],
        path,
        errors,
    );
    ports(container, path, errors);
    environment(container, path, errors);
    volumes::mounts(container, volume_names, path, errors);
    resources(container, path, errors);
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = container.get(name).filter(|probe| probe.is_object()) {
            self::probe(name, probe, path.child(name), errors);
        }
    }
}

fn ports(container: &Value, path: Path<'_>, errors: &mut Vec<FieldError>) {
    let list = path.child("ports");
    let mut seen = BTreeSet::new();
    for (index, port) in items(container, "/ports").iter().enumerate() {
        let at = list.index(index);
        let name = text(port, "/name");
        if !name.is_empty() {
            for complaint in names::port_name(name) {
                errors.push(FieldError::invalid(
                    at.child("name"),
                    &name.into(),
                    complaint,
                ));
            }
            if !seen.insert(name) {
                errors.push(FieldError::duplicate(at.child("name"), &name.into()));
            }
        }
        match number(port, "/containerPort").unwrap_or_default() {
            0 => errors.push(FieldError::required(at.child("containerPort"), "")),
            value => port_range(value, at.child("containerPort"), errors),
        }
        match number(port, "/hostPort").unwrap_or_default() {
            0 => {}
            value => port_range(value, at.child("hostPort"), errors),
        }
        one_of(port, "protocol", &PROTOCOLS, at, errors);
    }
}

/// Complains about a number that is no port.
pub(super) fn port_range(value: i64, path: Path<'_>, errors: &mut Vec<FieldError>) {
    for complaint in names::port_number(value) {
        errors.push(FieldError::invalid(path, &value.into(), complaint));
    }
}

fn environment(container: &Value, path: Path<'_>, errors: &mut Vec<FieldError>) {
    let list = path.child("env");
    for (index, variable) in items(container, "/env").iter().enumerate() {
        let at = list.index(index);
        let name = text(variable, "/name");
        if name.is_empty() {
            errors.push(FieldError::required(at.child("name"), ""));
        } else {
            for complaint in names::environment_variable(name) {
                errors.push(FieldError::invalid(
                    at.child("name"),
                    &name.into(),
                    complaint,
                ));
            }
        }
        let Some(source) = variable
            .get("valueFrom")
            .filter(|source| source.is_object())
        else {
            continue;
        };
        let at = at.child("valueFrom");
        let sources = source.as_object().map_or(0, serde_json::Map::len);
        if !text(variable, "/value").is_empty() {
            if sources > 0 {
                errors.push(FieldError::invalid(
                    at,
                    &"".into(),
                    "may not be specified when `value` is not empty",
                ));
            }
        } else if sources == 0 {
            errors.push(FieldError::invalid(
                at,
                &"".into(),
                "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or \
                 `secretKeyRef`",
            ));
        } else if sources > 1 {
            errors.push(FieldError::invalid(
                at,
                &"".into(),
                "may not have more than one field specified at a time",
            ));
        }
        value_source(source, at, errors);
    }
    let list = path.child("envFrom");
    for (index, source) in items(container, "/envFrom").iter().enumerate() {
        let at = list.index(index);
        let kinds: Vec<&str> = ["configMapRef", "secretRef"]
            .into_iter()
            .filter(|kind| source.get(kind).is_some_and(Value::is_object))
            .collect();
        match kinds.as_slice() {
            [] => errors.push(FieldError::invalid(
                at,
                &"".into(),
                "must specify one of: `configMapRef` or `secretRef`",
            )),
            [kind] => {
                if text(source, &format!("/{kind}/name")).is_empty() {
                    errors.push(FieldError::required(at.child(kind).child("name"), ""));
                }
            }
            _ => errors.push(FieldError::invalid(
                at,
                &"".into(),
                "may not have more than one field specified at a time",
            )),
        }
    }
}

fn value_source(source: &Value, path: Path<'_>, errors: &mut Vec<FieldError>) {
    for kind in ["configMapKeyRef", "secretKeyRef"] {
        if let Some(reference) = source.get(kind).filter(|reference| reference.is_object()) {
            let at = path.child(kind);
            if text(reference, "/name").is_empty() {
                errors.push(FieldError::required(at.child("name"), ""));
            }
            let key = text(reference, "/key");
            if key.is_empty() {
                errors.push(FieldError::required(at.child("key"), ""));
            } else {
                for complaint in names::config_map_key(key) {
                    errors.push(FieldError::invalid(at.child("key"), &key.into(), complaint));
                }
            }
        }
    }
    if let Some(reference) = source
        .get("fieldRef")
        .filter(|reference| reference.is_object())
    {
        let at = path.child("fieldRef");
        let at = at.child("fieldPath");
        let field = text(reference, "/fieldPath");
        let base = field.split('[').next().unwrap_or_default();
        if field.is_empty() {
            errors.push(FieldError::required(at, ""));
        } else if !FIELD_PATHS.contains(&base) {
            errors.push(FieldError::not_supported(at, &field.into(), FIELD_PATHS));
        }
    }
    if source.get("resourceFieldRef").is_some_and(Value::is_object)
        && text(source, "/resourceFieldRef/resource").is_empty()
    {
        errors.push(FieldError::required(
            path.child("resourceFieldRef").child("resource"),
            "",
        ));
    }
}

fn resources(container: &Value, path: Path<'_>, errors: &mut Vec<FieldError>) {
    let path = path.child("resources");
    let amount = |value: &Value| {
        let text = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        Quantity::parse(&text)
    };
    for kind in ["limits", "requests"] {
        let at = path.child(kind);
        let list = entries(container, &format!("/resources/{kind}"));
        for (name, value) in list.into_iter().flatten() {
            for complaint in names::qualified_name(name) {
                errors.push(FieldError::invalid(
                    at.key(name),
                    &name.as_str().into(),
                    complaint,
                ));
            }
            match amount(value) {
                Err(error) => errors.push(FieldError::invalid(at.key(name), value, error)),
                Ok(amount) if amount.is_negative() => errors.push(FieldError::invalid(
                    at.key(name),
                    value,
                    "must be greater than or equal to 0",
                )),
                Ok(_) => {}
            }
        }
    }
    let requests = entries(container, "/resources/requests");
    for (name, request) in requests.into_iter().flatten() {
        let limit = entries(container, "/resources/limits").and_then(|limits| limits.get(name));
        if let Some(limit) = limit
            && let (Ok(requested), Ok(allowed)) = (amount(request), amount(limit))
            && requested > allowed
        {
            errors.push(FieldError::invalid(
                path.child("requests"),
                &requested.to_string().into(),
                format!("must be less than or equal to {name} limit of {allowed}"),
            ));
        }
    }
}

fn probe(name: &str, probe: &Value, path: Path<'_>, errors: &mut Vec<FieldError>) {
    let handlers = ["exec", "httpGet", "tcpSocket", "grpc"];
    let given: Vec<&str> = handlers
        .into_iter()
        .filter(|handler| probe.get(handler).is_some_and(Value::is_object))
        .collect();
    if given.is_empty() {
        errors.push(FieldError::required(path, "must specify a handler type"));
    }
    for handler in given.iter().skip(1) {
        errors.push(FieldError::forbidden(
            path.child(handler),
            "may not specify more than 1 handler type",
        ));
    }
    for field in [
        "initialDelaySeconds",
        "timeoutSeconds",
        "periodSeconds",
        "failureThreshold",
    ] {
        not_negative(probe, field, path, errors);
    }
    if name != "readinessProbe"
        && let Some(successes) = number(probe, "/successThreshold")
        && successes != 1
    {
        errors.push(FieldError::invalid(
            path.child("successThreshold"),
            &successes.into(),
            "must be 1",
        ));
    }
}

fn tolerations(spec: &Value, path: Path<'_>, errors: &mut Vec<FieldError>) {
    let list = path.child("tolerations");
    for (index, toleration) in items(spec, "/tolerations").iter().enumerate() {
        let at = list.index(index);
        let key = text(toleration, "/key");
        let operator = text(toleration, "/operator");
        if key.is_empty() {
            if operator != "Exists" {
                errors.push(FieldError::invalid(
                    at.child("operator"),
                    &operator.into(),
                    "operator must be Exists when `key` is empty, which means \"match all values \
                     and all keys\"",
                ));
            }
        } else {
            for complaint in names::qualified_name(key) {
                errors.push(FieldError::invalid(at.child("key"), &key.into(), complaint));
            }
        }
        if operator == "Exists" && !text(toleration, "/value").is_empty() {
            errors.push(FieldError::invalid(
                at.child("operator"),
                &text(toleration, "/value").into(),
                "value must be empty when `operator` is 'Exists'",
            ));
        }
        if !matches!(operator, "" | "Equal" | "Exists") {
            errors.push(FieldError::not_supported(
                at.child("operator"),
                &operator.into(),
                ["Equal", "Exists"],
            ));
        }
        let effect = text(toleration, "/effect");
        if !matches!(effect, "" | "NoSchedule" | "PreferNoSchedule" | "NoExecute") {
            errors.push(FieldError::not_supported(
                at.child("effect"),
                &effect.into(),
                ["NoSchedule", "PreferNoSchedule", "NoExecute"],
            ));
        }
    }
}

/// A pod's spec is fixed, but for images, deadlines and added tolerations.
pub(super) fn update(object: &Value, old: &Value, errors: &mut Vec<FieldError>) {
    let path = Path::new("spec");
    for list in ["containers", "initContainers"] {
        let pointer = format!("/spec/{list}");
        if items(object, &pointer).len() != items(old, &pointer).len() {
            let what = if list == "containers" {
                "containers"
            } else {
                "init containers"
            };
            errors.push(FieldError::forbidden(
                path.child(list),
                format!("pod updates may not add or remove {what}"),
            ));
            return;
        }
        for (index, container) in items(object, &pointer).iter().enumerate() {
            if text(container, "/image").is_empty() {
                let list = path.child(list);
                errors.push(FieldError::required(list.index(index).child("image"), ""));
            }
        }
    }
    let before = number(old, "/spec/activeDeadlineSeconds");
    let after = number(object, "/spec/activeDeadlineSeconds");
    let at = path.child("activeDeadlineSeconds");
    match (before, after) {
        (Some(before), Some(after)) if after > before => errors.push(FieldError::invalid(
            at,
            &after.into(),
            "must be less than or equal to previous value",
        )),
        (Some(_), None) => errors.push(FieldError::invalid(
            at,
            &Value::Null,
            "must not update from a positive integer to nil value",
        )),
        _ => {}
    }
    let kept = items(old, "/spec/tolerations");
    if !kept
        .iter()
        .all(|toleration| items(object, "/spec/tolerations").contains(toleration))
    {
        errors.push(FieldError::forbidden(
            path.child("tolerations"),
            "existing toleration can not be modified except its tolerationSeconds",
        ));
    }
    if without_mutable(object) != without_mutable(old) {
        errors.push(FieldError::forbidden(
            path,
            "pod updates may not change fields other than \
             `spec.containers[*].image`,`spec.initContainers[*].image`,\
             `spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing \
             tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was \
             previously negative)",
        ));
    }
}

fn without_mutable(pod: &Value) -> Value {
    let mut spec = pod.get("spec").cloned().unwrap_or_default();
    if let Some(spec) = spec.as_object_mut() {
        for field in ["activeDeadlineSeconds", "tolerations", "schedulingGates"] {
            spec.remove(field);
        }
    }
    for list in ["containers", "initContainers"] {
        for container in super::json::items_mut(&mut spec, &format!("/{list}")) {
            if let Some(container) = container.as_object_mut() {
                container.remove("image");
            }
        }
    }
    spec
}

/// Complains about a set text that is none of these.
pub(super) fn one_of(
    object: &Value,
    field: &str,
    allowed: &[&str],
    path: Path<'_>,
    errors: &mut Vec<FieldError>,
) {
    let value = text(object, &format!("/{field}"));
    if !value.is_empty() && !allowed.contains(&value) {
        errors.push(FieldError::not_supported(
            path.child(field),
            &value.into(),
            allowed,
        ));
    }
}

/// Complains about a set number below zero.
pub(super) fn not_negative(
    object: &Value,
    field: &str,
    path: Path<'_>,
    errors: &mut Vec<FieldError>,
) {
    if let Some(value) = number(object, &format!("/{field}"))
        && value < 0
    {
        errors.push(FieldError::invalid(
            path.child(field),
            &value.into(),
            "must be greater than or equal to 0",
        ));
    }
}
