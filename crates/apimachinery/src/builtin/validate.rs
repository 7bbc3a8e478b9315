//! Validation, kind by kind.

use serde_json::Value;

use super::json::{entries, flag, items, number, text};
use super::pod::{not_negative, one_of};
use super::{pod, service};
use crate::field::{FieldError, Path, quote};
use crate::names;
use crate::quantity::Quantity;
use crate::selectors::LabelSelector;

const MEBIBYTE: usize = 1024 * 1024;
const SPEC: Path<'static> = Path::ROOT;

pub(super) fn create(group: &str, kind: &str, object: &Value, errors: &mut Vec<FieldError>) {
    let spec_path = SPEC.child("spec");
    match (group, kind) {
        ("", "Pod") => pod::spec(
            object.get("spec").unwrap_or(&Value::Null),
            spec_path,
            errors,
        ),
        ("", "PodTemplate") => {
            pod::template(
                object.get("template").unwrap_or(&Value::Null),
                SPEC.child("template"),
                errors,
            );
        }
        ("", "Service") => service::validate(object, errors),
        ("", "ConfigMap") => config_map(object, errors),
        ("", "Secret") => secret(object, errors),
        ("", "PersistentVolumeClaim") => claim(object, errors),
        ("" | "events.k8s.io", "Event") => event(object, errors),
        ("apps", "Deployment" | "ReplicaSet" | "DaemonSet" | "StatefulSet") => {
            workload(kind, object, errors);
        }
        ("batch", "Job") => job(
            object.get("spec").unwrap_or(&Value::Null),
            spec_path,
            errors,
        ),
        ("batch", "CronJob") => cron_job(object, errors),
        ("rbac.authorization.k8s.io", "Role" | "ClusterRole") => role(kind, object, errors),
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => {
            binding(kind, object, errors);
        }
        ("policy", "PodDisruptionBudget") => disruption_budget(object, errors),
        ("coordination.k8s.io", "Lease") => lease(object, errors),
        ("storage.k8s.io", "StorageClass") if text(object, "/provisioner").is_empty() => {
            errors.push(FieldError::required("provisioner", ""));
        }
        ("apiextensions.k8s.io", "CustomResourceDefinition") => {
            custom_resource_definition(object, errors);
        }
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
        ("", "Pod") => pod::update(object, old, errors),
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
            stateful_set_update(object, old, errors);
            workload(kind, object, errors);
        }
        ("apps", "Deployment" | "ReplicaSet" | "DaemonSet") => {
            unchanged(object, old, "spec.selector", errors);
            workload(kind, object, errors);
        }
        ("batch", "Job") => job_update(object, old, errors),
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => {
            binding(kind, object, errors);
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
            custom_resource_definition(object, errors);
        }
        _ => create(group, kind, object, errors),
    }
}

fn unchanged(object: &Value, old: &Value, field: &str, errors: &mut Vec<FieldError>) {
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
        let at = SPEC.child(field);
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
    let at = SPEC.child("data");
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
        let metadata = SPEC.child("metadata");
        let annotations = metadata.child("annotations");
        errors.push(FieldError::required(
            annotations.key("kubernetes.io/service-account.name"),
            "",
        ));
    }
}

fn claim(object: &Value, errors: &mut Vec<FieldError>) {
    let spec = SPEC.child("spec");
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

fn workload(kind: &str, object: &Value, errors: &mut Vec<FieldError>) {
    let path = SPEC.child("spec");
    let nothing = Value::Null;
    let spec = object.get("spec").unwrap_or(&nothing);
    not_negative(spec, "replicas", path, errors);
    not_negative(spec, "minReadySeconds", path, errors);
    not_negative(spec, "revisionHistoryLimit", path, errors);
    let selector = spec.get("selector").filter(|selector| selector.is_object());
    let template_path = path.child("template");
    match selector {
        None => errors.push(FieldError::required(path.child("selector"), "")),
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
    pod::template(template, template_path, errors);
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

fn workload_name(kind: &str) -> String {
    match kind {
        "StatefulSet" => "statefulset".to_owned(),
        "DaemonSet" => "daemonset".to_owned(),
        other => other.to_lowercase(),
    }
}

fn stateful_set_update(object: &Value, old: &Value, errors: &mut Vec<FieldError>) {
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

fn job(spec: &Value, path: Path<'_>, errors: &mut Vec<FieldError>) {
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

fn job_update(object: &Value, old: &Value, errors: &mut Vec<FieldError>) {
    job(
        object.get("spec").unwrap_or(&Value::Null),
        SPEC.child("spec"),
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

fn cron_job(object: &Value, errors: &mut Vec<FieldError>) {
    let path = SPEC.child("spec");
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

fn role(kind: &str, object: &Value, errors: &mut Vec<FieldError>) {
    let rules = SPEC.child("rules");
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

fn binding(kind: &str, object: &Value, errors: &mut Vec<FieldError>) {
    const RBAC: &str = "rbac.authorization.k8s.io";
    let role = SPEC.child("roleRef");
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
    let subjects = SPEC.child("subjects");
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

fn disruption_budget(object: &Value, errors: &mut Vec<FieldError>) {
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

fn lease(object: &Value, errors: &mut Vec<FieldError>) {
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

fn custom_resource_definition(object: &Value, errors: &mut Vec<FieldError>) {
    let spec = SPEC.child("spec");
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
    let mut seen = std::collections::BTreeSet::new();
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
    let metadata = SPEC.child("metadata");
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
