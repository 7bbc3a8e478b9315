//! Validation of what runs pods: Deployments, StatefulSets, Jobs and their like.

use serde_json::{Value, json};

use super::super::json::{entries, flag, items, text};
use super::super::pod::{self, not_negative, one_of};
use super::unchanged;
use crate::field::{FieldError, Path};
use crate::selectors::LabelSelector;

pub(super) fn workload(kind: &str, object: &Value, errors: &mut Vec<FieldError>) {
    let path = Path::ROOT.child("spec");
    let nothing = Value::Null;
    let spec = object.get("spec").unwrap_or(&nothing);
    not_negative(spec, "replicas", path, errors);
    not_negative(spec, "minReadySeconds", path, errors);
    not_negative(spec, "revisionHistoryLimit", path, errors);
    let selector = spec.get("selector").filter(|selector| selector.is_object());
    let template_path = path.child("template");
    match selector {
        None => {
            errors.push(FieldError::required(path.child("selector"), ""));
            // Nothing is selected, so not what the template makes either.
            let labels = spec.pointer("/template/metadata/labels");
            let metadata = template_path.child("metadata");
            errors.push(FieldError::invalid(
                metadata.child("labels"),
                labels.unwrap_or(&Value::Null),
                "`selector` does not match template `labels`",
            ));
        }
        Some(selector) => {
            let empty = entries(selector, "/matchLabels").is_none_or(serde_json::Map::is_empty)
                && items(selector, "/matchExpressions").is_empty();
            if empty {
                errors.push(FieldError::invalid(
                    path.child("selector"),
                    selector,
                    "empty selector is invalid for ".to_owned() + &workload_name(kind),
                ));
            }
            match LabelSelector::from_object(Some(selector)) {
                Err(error) => {
                    errors.push(FieldError::invalid(path.child("selector"), selector, error));
                }
                Ok(parsed) => {
                    let labels = spec.pointer("/template/metadata/labels");
                    if !empty && !parsed.matches_labels(labels.and_then(Value::as_object)) {
                        let metadata = template_path.child("metadata");
                        errors.push(FieldError::invalid(
                            metadata.child("labels"),
                            labels.unwrap_or(&Value::Null),
                            "`selector` does not match template `labels`",
                        ));
                    }
                }
            }
        }
    }
    let template = spec.get("template").unwrap_or(&nothing);
    // The claims of a StatefulSet are volumes of its pods by the time they are made.
    let mut completed = template.clone();
    for claim in items(spec, "/volumeClaimTemplates") {
        add_volume(&mut completed, text(claim, "/metadata/name"));
    }
    pod::template(&completed, template_path, errors);
    let restart = text(template, "/spec/restartPolicy");
    if !matches!(restart, "" | "Always") {
        let template_spec = template_path.child("spec");
        errors.push(FieldError::not_supported(
            template_spec.child("restartPolicy"),
            &restart.into(),
            ["Always"],
        ));
    }
    match kind {
        "Deployment" => {
            if let Some(strategy) = spec.get("strategy") {
                let at = path.child("strategy");
                one_of(strategy, "type", &["Recreate", "RollingUpdate"], at, errors);
                if text(strategy, "/type") == "Recreate" && strategy.get("rollingUpdate").is_some()
                {
                    errors.push(FieldError::forbidden(
                        at.child("rollingUpdate"),
                        "may not be specified when strategy `type` is 'Recreate'",
                    ));
                }
            }
        }
        "StatefulSet" => {
            one_of(
                spec,
                "podManagementPolicy",
                &["OrderedReady", "Parallel"],
                path,
                errors,
            );
        }
        _ => {}
    }
}

/// Adds a volume to the template, unless one of that name is there.
fn add_volume(template: &mut Value, name: &str) {
    let known = items(template, "/spec/volumes");
    if name.is_empty() || known.iter().any(|volume| text(volume, "/name") == name) {
        return;
    }
    let mut volumes = known.to_vec();
    volumes.push(json!({"name": name, "emptyDir": {}}));
    if let Some(spec) = template.get_mut("spec").filter(|spec| spec.is_object()) {
        spec["volumes"] = volumes.into();
    }
}

fn workload_name(kind: &str) -> String {
    match kind {
        "StatefulSet" => "statefulset".to_owned(),
        "DaemonSet" => "daemonset".to_owned(),
        other => other.to_lowercase(),
    }
}

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
             'template', 'updateStrategy', 'persistentVolumeClaimRetentionPolicy' and \
             'minReadySeconds' are forbidden",
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
