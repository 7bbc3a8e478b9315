//! Validation of what runs pods: Deployments, StatefulSets, Jobs and their like.

use serde_json::{Value, json};

use super::super::json::{entries, flag, items, number, text};
use super::super::metadata;
use super::super::pod::{self, NEGATIVE, not_negative, one_of};
use super::unchanged;
use crate::field::{FieldError, Path, quote};
use crate::names;
use crate::selectors::LabelSelector;

/// A Deployment, in the order in which kube-apiserver looks at it.
pub(super) fn deployment(object: &Value, errors: &mut Vec<FieldError>) {
    let path = Path::ROOT.child("spec");
    let nothing = Value::Null;
    let spec = object.get("spec").unwrap_or(&nothing);
    not_negative(spec, "replicas", path, errors);
    if let Some(selector) = selector("deployment", spec, path, errors) {
        let template = spec.get("template").unwrap_or(&nothing);
        selected(&selector, template, path.child("template"), errors);
        pod::template(template, path.child("template"), errors);
        always_restarts(template, path.child("template"), errors);
        no_deadline("ReplicaSet", template, path.child("template"), errors);
    }
    deployment_strategy(spec, path, errors);
    not_negative(spec, "minReadySeconds", path, errors);
    not_negative(spec, "revisionHistoryLimit", path, errors);
    not_negative(spec, "progressDeadlineSeconds", path, errors);
    if let Some(deadline) = number(spec, "/progressDeadlineSeconds")
        && deadline <= number(spec, "/minReadySeconds").unwrap_or_default()
    {
        errors.push(FieldError::invalid(
            path.child("progressDeadlineSeconds"),
            &deadline.into(),
            "must be greater than minReadySeconds",
        ));
    }
}

fn deployment_strategy(spec: &Value, path: Path<'_>, errors: &mut Vec<FieldError>) {
    let path = path.child("strategy");
    let rolling = spec.pointer("/strategy/rollingUpdate");
    let at = path.child("rollingUpdate");
    match text(spec, "/strategy/type") {
        "Recreate" if rolling.is_some() => errors.push(FieldError::forbidden(
            at,
            "may not be specified when strategy `type` is 'Recreate'",
        )),
        "Recreate" => {}
        "RollingUpdate" => {
            let Some(rolling) = rolling else {
                errors.push(FieldError::required(
                    at,
                    "this should be defaulted and never be nil",
                ));
                return;
            };
            let unavailable = rolling.get("maxUnavailable").unwrap_or(&Value::Null);
            let surge = rolling.get("maxSurge").unwrap_or(&Value::Null);
            amount_or_percent(unavailable, at.child("maxUnavailable"), errors);
            amount_or_percent(surge, at.child("maxSurge"), errors);
            if amount_of(unavailable) == 0 && amount_of(surge) == 0 {
                errors.push(FieldError::invalid(
                    at.child("maxUnavailable"),
                    unavailable,
                    "may not be 0 when `maxSurge` is 0",
                ));
            }
            not_over_all(unavailable, at.child("maxUnavailable"), errors);
        }
        other => {
            // The whole strategy is shown, as Go's type has it.
            let rolling = rolling.map_or_else(
                || "null".to_owned(),
                |rolling| {
                    let field = |name: &str| rolling.get(name).unwrap_or(&Value::Null).to_string();
                    let (unavailable, surge) = (field("maxUnavailable"), field("maxSurge"));
                    format!("{{\"MaxUnavailable\":{unavailable},\"MaxSurge\":{surge}}}")
                },
            );
            let shown = format!("{{\"Type\":{},\"RollingUpdate\":{rolling}}}", quote(other));
            let mut error =
                FieldError::not_supported(path, &Value::Null, ["Recreate", "RollingUpdate"]);
            error.message = error.message.replacen("null", &shown, 1);
            errors.push(error);
        }
    }
}

/// A number that is not negative, or a percentage.
fn amount_or_percent(value: &Value, path: Path<'_>, errors: &mut Vec<FieldError>) {
    match value {
        Value::String(text) if !is_percent(text) => errors.push(FieldError::invalid(
            path,
            value,
            "a valid percent string must be a numeric string followed by an ending '%' (e.g. \
             '1%',  or '93%', regex used for validation is '[0-9]+%')",
        )),
        Value::Number(amount) if amount.as_i64().is_some_and(|amount| amount < 0) => {
            errors.push(FieldError::invalid(path, value, NEGATIVE));
        }
        _ => {}
    }
}

fn is_percent(text: &str) -> bool {
    text.strip_suffix('%').is_some_and(|digits| {
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// The number in it; none is zero.
fn amount_of(value: &Value) -> i64 {
    match value {
        Value::String(text) if is_percent(text) => {
            text.trim_end_matches('%').parse().unwrap_or_default()
        }
        other => other.as_i64().unwrap_or_default(),
    }
}

fn not_over_all(value: &Value, path: Path<'_>, errors: &mut Vec<FieldError>) {
    if value.as_str().is_some_and(is_percent) && amount_of(value) > 100 {
        errors.push(FieldError::invalid(
            path,
            value,
            "must not be greater than 100%",
        ));
    }
}

/// A new StatefulSet. Later, what cannot change any more is not looked at again.
pub(super) fn stateful_set(object: &Value, errors: &mut Vec<FieldError>) {
    stateful_set_spec(object, true, true, errors);
}

fn stateful_set_spec(object: &Value, new: bool, template: bool, errors: &mut Vec<FieldError>) {
    let path = Path::ROOT.child("spec");
    let nothing = Value::Null;
    let spec = object.get("spec").unwrap_or(&nothing);
    match text(spec, "/podManagementPolicy") {
        "" => errors.push(FieldError::required(path.child("podManagementPolicy"), "")),
        "OrderedReady" | "Parallel" => {}
        other => errors.push(FieldError::invalid(
            path.child("podManagementPolicy"),
            &other.into(),
            "must be 'OrderedReady' or 'Parallel'",
        )),
    }
    stateful_set_strategy(spec, path, errors);
    if let Some(policy) = spec.get("persistentVolumeClaimRetentionPolicy") {
        let at = path.child("persistentVolumeClaimRetentionPolicy");
        one_of(policy, "whenDeleted", &["Retain", "Delete"], at, errors);
        one_of(policy, "whenScaled", &["Retain", "Delete"], at, errors);
    }
    not_negative(spec, "replicas", path, errors);
    not_negative(spec, "minReadySeconds", path, errors);
    if let Some(start) = number(spec, "/ordinals/start").filter(|start| *start < 0) {
        errors.push(FieldError::invalid(
            path.child("ordinals.start"),
            &start.into(),
            NEGATIVE,
        ));
    }
    let service = text(spec, "/serviceName");
    if new && !service.is_empty() {
        for complaint in names::dns1123_label(service) {
            errors.push(FieldError::invalid(
                path.child("serviceName"),
                &service.into(),
                complaint,
            ));
        }
    }
    if let Some(selector) = selector("statefulset", spec, path, errors) {
        let at = path.child("template");
        let mut completed = spec.get("template").cloned().unwrap_or_default();
        selected(&selector, &completed, at, errors);
        // The claims of a StatefulSet are volumes of its pods by the time they are made, and so
        // are their names known.
        let claims = items(spec, "/volumeClaimTemplates").iter();
        let claimed: Vec<&str> = claims.map(|claim| text(claim, "/metadata/name")).collect();
        add_volumes(&mut completed, &claimed);
        if let Some(spec) = completed.get_mut("spec").and_then(Value::as_object_mut) {
            spec.remove("hostname");
            spec.remove("subdomain");
        }
        if template {
            pod::template(&completed, at, errors);
        }
    }
    let template = spec.get("template").unwrap_or(&nothing);
    always_restarts(template, path.child("template"), errors);
    no_deadline("StatefulSet", template, path.child("template"), errors);
}

fn stateful_set_strategy(spec: &Value, path: Path<'_>, errors: &mut Vec<FieldError>) {
    let path = path.child("updateStrategy");
    let rolling = spec.pointer("/updateStrategy/rollingUpdate");
    let at = path.child("rollingUpdate");
    let in_go = |rolling: &Value| {
        let field = |name: &str| rolling.get(name).unwrap_or(&Value::Null).to_string();
        let (partition, unavailable) = (field("partition"), field("maxUnavailable"));
        format!("{{\"Partition\":{partition},\"MaxUnavailable\":{unavailable}}}")
    };
    match text(spec, "/updateStrategy/type") {
        "" => errors.push(FieldError::required(path, "")),
        "OnDelete" => {
            if let Some(rolling) = rolling {
                errors.push(FieldError::invalid_as(
                    at,
                    in_go(rolling),
                    "only allowed for updateStrategy 'RollingUpdate'",
                ));
            }
        }
        "RollingUpdate" => {
            let Some(rolling) = rolling else { return };
            not_negative(rolling, "partition", at, errors);
            if let Some(unavailable) = rolling.get("maxUnavailable") {
                let at = at.child("maxUnavailable");
                amount_or_percent(unavailable, at, errors);
                if amount_of(unavailable) == 0 {
                    errors.push(FieldError::invalid(at, unavailable, "cannot be 0"));
                }
                not_over_all(unavailable, at, errors);
            }
        }
        other => {
            let rolling = rolling.map_or_else(|| "null".to_owned(), in_go);
            errors.push(FieldError::invalid_as(
                path,
                format!("{{\"Type\":{},\"RollingUpdate\":{rolling}}}", quote(other)),
                "must be 'RollingUpdate' or 'OnDelete'",
            ));
        }
    }
}

/// ReplicaSets and DaemonSets.
pub(super) fn workload(kind: &str, object: &Value, errors: &mut Vec<FieldError>) {
    let path = Path::ROOT.child("spec");
    let nothing = Value::Null;
    let spec = object.get("spec").unwrap_or(&nothing);
    not_negative(spec, "replicas", path, errors);
    not_negative(spec, "minReadySeconds", path, errors);
    not_negative(spec, "revisionHistoryLimit", path, errors);
    if let Some(selector) = selector(&kind.to_lowercase(), spec, path, errors) {
        let template = spec.get("template").unwrap_or(&nothing);
        selected(&selector, template, path.child("template"), errors);
        pod::template(template, path.child("template"), errors);
        always_restarts(template, path.child("template"), errors);
    }
}

/// The selector, which may be missing; `None` if it makes no sense.
fn selector(
    workload: &str,
    spec: &Value,
    path: Path<'_>,
    errors: &mut Vec<FieldError>,
) -> Option<LabelSelector> {
    let path = path.child("selector");
    let given = spec.get("selector").filter(|given| given.is_object());
    if let Some(given) = given {
        requirements(given, path, errors);
        if entries(given, "/matchLabels").is_none_or(serde_json::Map::is_empty)
            && items(given, "/matchExpressions").is_empty()
        {
            errors.push(FieldError::invalid_as(
                path,
                shown(Some(given)),
                format!("empty selector is invalid for {workload}"),
            ));
        }
    } else {
        errors.push(FieldError::required(path, ""));
    }
    match LabelSelector::from_object(given) {
        Ok(selector) => Some(selector),
        Err(_) => {
            let why = if workload == "statefulset" {
                ""
            } else {
                "invalid label selector"
            };
            errors.push(FieldError::invalid_as(path, shown(given), why));
            None
        }
    }
}

/// A selector with its fields in the order that they have in Go.
fn shown(selector: Option<&Value>) -> String {
    let Some(selector) = selector.filter(|selector| selector.is_object()) else {
        return "null".to_owned();
    };
    let fields: Vec<String> = ["matchLabels", "matchExpressions"]
        .iter()
        .filter_map(|field| Some(format!("\"{field}\":{}", selector.get(field)?)))
        .collect();
    format!("{{{}}}", fields.join(","))
}

/// What a selector selects stays the same.
pub(super) fn same_selector(object: &Value, old: &Value, errors: &mut Vec<FieldError>) {
    let after = object.pointer("/spec/selector");
    if after != old.pointer("/spec/selector") {
        errors.push(FieldError::invalid_as(
            "spec.selector",
            shown(after),
            "field is immutable",
        ));
    }
}

fn requirements(selector: &Value, path: Path<'_>, errors: &mut Vec<FieldError>) {
    metadata::labels(selector, "/matchLabels", path.child("matchLabels"), errors);
    let list = path.child("matchExpressions");
    for (index, expression) in items(selector, "/matchExpressions").iter().enumerate() {
        let at = list.index(index);
        let values = items(expression, "/values");
        match text(expression, "/operator") {
            "In" | "NotIn" if values.is_empty() => errors.push(FieldError::required(
                at.child("values"),
                "must be specified when `operator` is 'In' or 'NotIn'",
            )),
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                errors.push(FieldError::forbidden(
                    at.child("values"),
                    "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
                ));
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => errors.push(FieldError::invalid(
                at.child("operator"),
                &other.into(),
                "not a valid selector operator",
            )),
        }
        let key = text(expression, "/key");
        for complaint in names::qualified_name(key) {
            errors.push(FieldError::invalid(at.child("key"), &key.into(), complaint));
        }
        for (index, value) in values.iter().enumerate() {
            for complaint in names::label_value(value.as_str().unwrap_or_default()) {
                let list = at.child("values");
                errors.push(FieldError::invalid(list.index(index), value, complaint));
            }
        }
    }
}

/// What a template makes has to be selected; an empty selector has been complained of already.
fn selected(
    selector: &LabelSelector,
    template: &Value,
    path: Path<'_>,
    errors: &mut Vec<FieldError>,
) {
    let labels = template.pointer("/metadata/labels");
    if !selector.matches_labels(labels.and_then(Value::as_object)) {
        let metadata = path.child("metadata");
        errors.push(FieldError::invalid(
            metadata.child("labels"),
            labels.unwrap_or(&Value::Null),
            "`selector` does not match template `labels`",
        ));
    }
}

fn always_restarts(template: &Value, path: Path<'_>, errors: &mut Vec<FieldError>) {
    let restart = text(template, "/spec/restartPolicy");
    if !matches!(restart, "" | "Always") {
        let spec = path.child("spec");
        errors.push(FieldError::not_supported(
            spec.child("restartPolicy"),
            &restart.into(),
            ["Always"],
        ));
    }
}

fn no_deadline(kind: &str, template: &Value, path: Path<'_>, errors: &mut Vec<FieldError>) {
    if number(template, "/spec/activeDeadlineSeconds").is_some() {
        let spec = path.child("spec");
        errors.push(FieldError::forbidden(
            spec.child("activeDeadlineSeconds"),
            format!("activeDeadlineSeconds in {kind} is not Supported"),
        ));
    }
}

/// The counts of a status: none is negative, and none exceeds what it is a part of.
pub(super) fn status(kind: &str, object: &Value, old: &Value, errors: &mut Vec<FieldError>) {
    let path = Path::ROOT.child("status");
    let nothing = Value::Null;
    let status = object.get("status").unwrap_or(&nothing);
    let (counts, parts, within_ready): (&[&str], &[&str], &str) = match kind {
        "Deployment" => (
            &[
                "observedGeneration",
                "replicas",
                "updatedReplicas",
                "readyReplicas",
                "availableReplicas",
                "unavailableReplicas",
                "terminatingReplicas",
                "collisionCount",
            ],
            &["updatedReplicas", "readyReplicas", "availableReplicas"],
            "cannot be greater than readyReplicas",
        ),
        "StatefulSet" => (
            &[
                "replicas",
                "readyReplicas",
                "currentReplicas",
                "updatedReplicas",
                "availableReplicas",
                "observedGeneration",
                "collisionCount",
            ],
            &[
                "readyReplicas",
                "currentReplicas",
                "updatedReplicas",
                "availableReplicas",
            ],
            "cannot be greater than status.readyReplicas",
        ),
        _ => return,
    };
    let count = |field: &str| number(status, &format!("/{field}")).unwrap_or_default();
    for field in counts {
        not_negative(status, field, path, errors);
    }
    for field in parts {
        if count(field) > count("replicas") {
            errors.push(FieldError::invalid(
                path.child(field),
                &count(field).into(),
                "cannot be greater than status.replicas",
            ));
        }
    }
    if count("availableReplicas") > count("readyReplicas") {
        errors.push(FieldError::invalid(
            path.child("availableReplicas"),
            &count("availableReplicas").into(),
            within_ready,
        ));
    }
    let before = number(old, "/status/collisionCount").unwrap_or_default();
    if count("collisionCount") < before {
        errors.push(FieldError::invalid(
            path.child("collisionCount"),
            &count("collisionCount").into(),
            "cannot be decremented",
        ));
    }
}

/// Puts volumes of these names before those of the template, in place of any of the same name.
fn add_volumes(template: &mut Value, claimed: &[&str]) {
    if claimed.is_empty() {
        return;
    }
    let own = items(template, "/spec/volumes").iter();
    let own = own.filter(|volume| !claimed.contains(&text(volume, "/name")));
    let claims = claimed
        .iter()
        .map(|name| json!({"name": name, "persistentVolumeClaim": {"claimName": name}}));
    let volumes: Vec<Value> = claims.chain(own.cloned()).collect();
    if let Some(spec) = template.get_mut("spec").filter(|spec| spec.is_object()) {
        spec["volumes"] = volumes.into();
    }
}

/// Only some of a StatefulSet may change; a template that was wrong before is not looked at again.
pub(super) fn stateful_set_update(object: &Value, old: &Value, errors: &mut Vec<FieldError>) {
    const CHANGEABLE: [&str; 7] = [
        "replicas",
        "ordinals",
        "template",
        "updateStrategy",
        "persistentVolumeClaimRetentionPolicy",
        "minReadySeconds",
        "revisionHistoryLimit",
    ];
    let mut before = Vec::new();
    stateful_set_spec(old, false, true, &mut before);
    stateful_set_spec(object, false, before.is_empty(), errors);
    let fixed = |set: &Value| {
        let mut spec = set.get("spec").cloned().unwrap_or_default();
        if let Some(spec) = spec.as_object_mut() {
            spec.retain(|field, _| !CHANGEABLE.contains(&field.as_str()));
        }
        spec
    };
    if fixed(object) != fixed(old) {
        errors.push(FieldError::forbidden(
            "spec",
            "updates to statefulset spec for fields other than 'replicas', 'ordinals', \
             'template', 'updateStrategy', 'revisionHistoryLimit', \
             'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
        ));
    }
}

pub(super) fn job(spec: &Value, path: Path<'_>, errors: &mut Vec<FieldError>) {
    for field in [
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
    ] {
        not_negative(spec, field, path, errors);
    }
    one_of(
        spec,
        "completionMode",
        &["Indexed", "NonIndexed"],
        path,
        errors,
    );
    let template_path = path.child("template");
    let template = spec.get("template").unwrap_or(&Value::Null);
    pod::template(template, template_path, errors);
    let template_spec = template_path.child("spec");
    match text(template, "/spec/restartPolicy") {
        "" | "Always" => errors.push(FieldError::required(
            template_spec.child("restartPolicy"),
            "valid values: \"OnFailure\", \"Never\"",
        )),
        "OnFailure" | "Never" => {}
        other => errors.push(FieldError::not_supported(
            template_spec.child("restartPolicy"),
            &other.into(),
            ["OnFailure", "Never"],
        )),
    }
}

pub(super) fn job_update(object: &Value, old: &Value, errors: &mut Vec<FieldError>) {
    job(
        object.get("spec").unwrap_or(&Value::Null),
        Path::ROOT.child("spec"),
        errors,
    );
    for field in [
        "spec.selector",
        "spec.completionMode",
        "spec.podFailurePolicy",
    ] {
        unchanged(object, old, field, errors);
    }
    if text(object, "/spec/completionMode") != "Indexed" {
        unchanged(object, old, "spec.completions", errors);
    }
    // A suspended Job that has not started may still be placed elsewhere.
    let never_started = flag(old, "/spec/suspend") && old.pointer("/status/startTime").is_none();
    if !never_started {
        unchanged(object, old, "spec.template", errors);
    }
}

pub(super) fn cron_job(object: &Value, errors: &mut Vec<FieldError>) {
    let path = Path::ROOT.child("spec");
    let nothing = Value::Null;
    let spec = object.get("spec").unwrap_or(&nothing);
    let schedule = text(spec, "/schedule");
    if schedule.is_empty() {
        errors.push(FieldError::required(path.child("schedule"), ""));
    } else if schedule.contains("TZ") {
        errors.push(FieldError::invalid(
            path.child("schedule"),
            &schedule.into(),
            "cannot use TZ or CRON_TZ in schedule, use timeZone field instead",
        ));
    }
    one_of(
        spec,
        "concurrencyPolicy",
        &["Allow", "Forbid", "Replace"],
        path,
        errors,
    );
    for field in [
        "startingDeadlineSeconds",
        "successfulJobsHistoryLimit",
        "failedJobsHistoryLimit",
    ] {
        not_negative(spec, field, path, errors);
    }
    let job_template = path.child("jobTemplate");
    let job_spec = spec.pointer("/jobTemplate/spec").unwrap_or(&nothing);
    job(job_spec, job_template.child("spec"), errors);
}
