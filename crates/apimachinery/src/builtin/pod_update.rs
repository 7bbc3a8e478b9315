//! What may change about a pod, and about its status.

use serde_json::Value;

use super::json::{items, items_mut, number, text};
use super::{metadata, pod};
use crate::field::{FieldError, Path};
use crate::names;

const SYSTEM_CONDITIONS: [&str; 3] = ["PodScheduled", "Ready", "Initialized"];

/// A pod's spec is fixed, but for images, a nearer deadline and added tolerations.
pub(super) fn update(object: &Value, old: &Value, errors: &mut Vec<FieldError>) {
    pod::pod(object, errors);
    let path = Path::new("spec");
    for list in ["containers", "initContainers"] {
        let pointer = format!("/spec/{list}");
        let list = path.child(list);
        if items(object, &pointer).len() != items(old, &pointer).len() {
            errors.push(FieldError::forbidden(
                list,
                "pod updates may not add or remove containers",
            ));
            return;
        }
        for (index, container) in items(object, &pointer).iter().enumerate() {
            if text(container, "/image").is_empty() {
                errors.push(FieldError::required(list.index(index).child("image"), ""));
            }
            pod::image_without_blanks(container, list.index(index), errors);
        }
    }
    if deadline(object, old, path, errors).is_err() {
        return;
    }
    let added = items(old, "/spec/tolerations").iter().all(|kept| {
        items(object, "/spec/tolerations")
            .iter()
            .any(|toleration| same_but_seconds(kept, toleration))
    });
    if added {
        pod::tolerations(object.get("spec").unwrap_or(&Value::Null), path, errors);
    } else {
        errors.push(FieldError::forbidden(
            path.child("tolerations"),
            "existing toleration can not be modified except its tolerationSeconds",
        ));
    }
    if without_mutable(object, old) != without_mutable(old, old) {
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

/// What makes further complaints pointless has been said.
struct Stop;

fn deadline(
    object: &Value,
    old: &Value,
    path: Path<'_>,
    errors: &mut Vec<FieldError>,
) -> Result<(), Stop> {
    let before = number(old, "/spec/activeDeadlineSeconds");
    let after = number(object, "/spec/activeDeadlineSeconds");
    let at = path.child("activeDeadlineSeconds");
    match (before, after) {
        (_, Some(after)) if !(0..=i64::from(i32::MAX)).contains(&after) => {
            errors.push(FieldError::invalid(
                at,
                &after.into(),
                "must be between 0 and 2147483647, inclusive",
            ));
            Err(Stop)
        }
        (Some(before), Some(after)) if after > before => {
            errors.push(FieldError::invalid(
                at,
                &after.into(),
                "must be less than or equal to previous value",
            ));
            Err(Stop)
        }
        (Some(_), None) => {
            errors.push(FieldError::invalid(
                at,
                &Value::Null,
                "must not update from a positive integer to nil value",
            ));
            Ok(())
        }
        _ => Ok(()),
    }
}

fn same_but_seconds(a: &Value, b: &Value) -> bool {
    ["key", "operator", "value", "effect"]
        .iter()
        .all(|field| text(a, &format!("/{field}")) == text(b, &format!("/{field}")))
}

fn without_mutable(pod: &Value, old: &Value) -> Value {
    let mut spec = pod.get("spec").cloned().unwrap_or_default();
    if let Some(spec) = spec.as_object_mut() {
        for field in ["activeDeadlineSeconds", "tolerations", "schedulingGates"] {
            spec.remove(field);
        }
        let grace = "terminationGracePeriodSeconds";
        if number(old, &format!("/spec/{grace}")).is_some_and(|seconds| seconds < 0)
            && spec
                .get(grace)
                .and_then(Value::as_i64)
                .is_some_and(|seconds| seconds <= 1)
        {
            spec.remove(grace);
        }
    }
    for list in ["containers", "initContainers"] {
        for container in items_mut(&mut spec, &format!("/{list}")) {
            if let Some(container) = container.as_object_mut() {
                container.remove("image");
            }
        }
    }
    spec
}

/// A change of the status alone.
pub(super) fn status(object: &Value, old: &Value, errors: &mut Vec<FieldError>) {
    let path = Path::new("status");
    let list = path.child("conditions");
    for (index, condition) in items(object, "/status/conditions").iter().enumerate() {
        let kind = text(condition, "/type");
        if SYSTEM_CONDITIONS.contains(&kind) {
            continue;
        }
        for complaint in names::qualified_name(kind) {
            errors.push(FieldError::invalid(
                list.index(index).child("Type"),
                &kind.into(),
                complaint,
            ));
        }
    }
    let class = object.pointer("/status/qosClass").unwrap_or(&Value::Null);
    if class != old.pointer("/status/qosClass").unwrap_or(&Value::Null) {
        errors.push(FieldError::invalid(
            path.child("qosClass"),
            class,
            "field is immutable",
        ));
    }
    let list = path.child("podIPs");
    for (index, address) in items(object, "/status/podIPs").iter().enumerate() {
        let ip = text(address, "/ip");
        if ip.parse::<std::net::IpAddr>().is_err() {
            errors.push(FieldError::invalid(
                list.index(index),
                &ip.into(),
                metadata::NO_ADDRESS,
            ));
        }
    }
}
