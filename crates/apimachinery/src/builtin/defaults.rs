//! Default values, kind by kind.

use serde_json::{Value, json};

use super::empty::{counts, pod_status, times};
use super::json::{Object, child, existing, fill, fill_zero, items_mut, text};

pub(super) fn apply(group: &str, kind: &str, object: &mut Value) {
    match (group, kind) {
        ("", "Pod") => {
            pod(object);
            pod_status(object);
        }
        ("", "PodTemplate") => template(object, "template"),
        ("", "Service") => {
            service(object);
            if let Some(status) = existing(object, "status") {
                child(status, "loadBalancer");
            }
            times(object, "/status/conditions", &["lastTransitionTime"]);
        }
        ("", "Secret") => secret(object),
        ("", "Namespace") => namespace(object),
        ("", "PersistentVolumeClaim") => claim(object),
        ("", "PersistentVolume") => {
            if let Some(status) = child(object, "status") {
                fill(status, "phase", "Pending");
            }
            if let Some(spec) = child(object, "spec") {
                fill(spec, "persistentVolumeReclaimPolicy", "Retain");
                fill(spec, "volumeMode", "Filesystem");
            }
        }
        ("", "Endpoints") => {
            for subset in items_mut(object, "/subsets") {
                for port in items_mut(subset, "/ports") {
                    fill(port, "protocol", "TCP");
                }
            }
        }
        ("", "Node") => {
            let capacity = object.pointer("/status/capacity").cloned();
            if let (Some(status), Some(capacity)) = (existing(object, "status"), capacity) {
                fill(status, "allocatable", capacity);
            }
        }
        ("", "LimitRange") => limit_range(object),
        ("", "ReplicationController") => workload(object, replicas),
        ("apps", "Deployment") => {
            workload(object, deployment);
            let fields = ["lastUpdateTime", "lastTransitionTime"];
            times(object, "/status/conditions", &fields);
        }
        ("apps", "ReplicaSet") => {
            workload(object, replicas);
            counts(object, &["replicas"]);
            times(object, "/status/conditions", &["lastTransitionTime"]);
        }
        ("apps", "StatefulSet") => {
            workload(object, stateful_set);
            counts(object, &["replicas", "availableReplicas"]);
            times(object, "/status/conditions", &["lastTransitionTime"]);
        }
        ("apps", "DaemonSet") => workload(object, daemon_set),
        ("batch", "Job") => {
            inherit_template_labels(object);
            workload(object, job);
        }
        ("batch", "CronJob") => cron_job(object),
        ("discovery.k8s.io", "EndpointSlice") => {
            for port in items_mut(object, "/ports") {
                if port.get("name").is_none_or(Value::is_null) {
                    port["name"] = "".into();
                }
                fill(port, "protocol", "TCP");
            }
        }
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => binding(object),
        ("scheduling.k8s.io", "PriorityClass") => {
            fill(object, "preemptionPolicy", "PreemptLowerPriority");
        }
        ("storage.k8s.io", "StorageClass") => {
            fill(object, "reclaimPolicy", "Delete");
            fill(object, "volumeBindingMode", "Immediate");
        }
        ("networking.k8s.io", "NetworkPolicy") => network_policy(object),
        ("autoscaling", "HorizontalPodAutoscaler") => {
            if let Some(spec) = child(object, "spec") {
                fill(spec, "minReplicas", 1);
            }
        }
        ("apiextensions.k8s.io", "CustomResourceDefinition") => custom_resource_definition(object),
        (
            "admissionregistration.k8s.io",
            "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration",
        ) => webhooks(object, kind),
        _ => {}
    }
}

fn pod(object: &mut Value) {
    let Some(spec) = child(object, "spec") else {
        return;
    };
    pod_spec(spec);
    // Only pods: templates keep it, and are warned of it.
    if spec
        .get("terminationGracePeriodSeconds")
        .and_then(Value::as_i64)
        .is_some_and(|seconds| seconds < 0)
    {
        spec["terminationGracePeriodSeconds"] = 1.into();
    }
    fill(spec, "enableServiceLinks", true);
    let host_network = spec
        .get("hostNetwork")
        .and_then(Value::as_bool)
        .unwrap_or_default();
    for list in ["/containers", "/initContainers"] {
        for container in items_mut(spec, list) {
            requests_from_limits(container);
            if host_network {
                for port in items_mut(container, "/ports") {
                    let number = port.get("containerPort").and_then(Value::as_i64);
                    fill_zero(port, "hostPort", number.unwrap_or_default());
                }
            }
        }
    }
}

fn requests_from_limits(container: &mut Value) {
    let Some(Value::Object(limits)) = container.pointer("/resources/limits").cloned() else {
        return;
    };
    let Some(resources) = existing(container, "resources") else {
        return;
    };
    let Some(Value::Object(requests)) = child(resources, "requests") else {
        return;
    };
    for (name, limit) in limits {
        requests.entry(name).or_insert(limit);
    }
}

fn template(parent: &mut Value, key: &str) {
    let Some(template) = child(parent, key) else {
        return;
    };
    if let Some(spec) = child(template, "spec") {
        pod_spec(spec);
    }
}

fn pod_spec(spec: &mut Value) {
    fill(spec, "dnsPolicy", "ClusterFirst");
    fill(spec, "restartPolicy", "Always");
    fill(spec, "terminationGracePeriodSeconds", 30);
    fill(spec, "schedulerName", "default-scheduler");
    child(spec, "securityContext");
    // The old name of the field is kept in step with the new one.
    let account = match text(spec, "/serviceAccountName") {
        "" => text(spec, "/serviceAccount").to_owned(),
        name => name.to_owned(),
    };
    if !account.is_empty() {
        fill(spec, "serviceAccountName", account.clone());
        spec["serviceAccount"] = account.into();
    }
    for list in ["/containers", "/initContainers", "/ephemeralContainers"] {
        for item in items_mut(spec, list) {
            container(item);
        }
    }
    for item in items_mut(spec, "/volumes") {
        volume(item);
    }
}

fn container(container: &mut Value) {
    let pull_policy = if is_latest(text(container, "/image")) {
        "Always"
    } else {
        "IfNotPresent"
    };
    fill(container, "imagePullPolicy", pull_policy);
    fill(container, "terminationMessagePath", "/dev/termination-log");
    fill(container, "terminationMessagePolicy", "File");
    child(container, "resources");
    for port in items_mut(container, "/ports") {
        fill(port, "protocol", "TCP");
    }
    for variable in items_mut(container, "/env") {
        field_reference(variable.pointer_mut("/valueFrom/fieldRef"));
    }
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(found) = existing(container, name) {
            probe(found);
        }
    }
    for pointer in ["/lifecycle/postStart/httpGet", "/lifecycle/preStop/httpGet"] {
        if let Some(action) = container.pointer_mut(pointer) {
            http_get(action);
        }
    }
}

/// Whether an image reference means the tag `latest`.
fn is_latest(image: &str) -> bool {
    // What is no name of an image has no tag.
    if image.contains(char::is_whitespace) {
        return false;
    }
    let (name, digest) = match image.split_once('@') {
        Some((name, _)) => (name, true),
        None => (image, false),
    };
    let last = name.rsplit('/').next().unwrap_or_default();
    match last.split_once(':') {
        Some((_, tag)) => tag == "latest",
        None => !digest && !last.is_empty(),
    }
}

fn probe(probe: &mut Value) {
    fill_zero(probe, "timeoutSeconds", 1);
    fill_zero(probe, "periodSeconds", 10);
    fill_zero(probe, "successThreshold", 1);
    fill_zero(probe, "failureThreshold", 3);
    if let Some(action) = existing(probe, "httpGet") {
        http_get(action);
    }
    if let Some(action) = existing(probe, "grpc") {
        fill(action, "service", "");
    }
}

fn http_get(action: &mut Value) {
    fill(action, "path", "/");
    fill(action, "scheme", "HTTP");
}

fn field_reference(reference: Option<&mut Value>) {
    if let Some(reference) = reference {
        fill(reference, "apiVersion", "v1");
    }
}

fn volume(volume: &mut Value) {
    let Some(entries) = volume.as_object_mut() else {
        return;
    };
    entries.retain(|_, source| !source.is_null());
    if !entries.keys().any(|key| key != "name") {
        entries.insert("emptyDir".to_owned(), json!({}));
    }
    for name in ["secret", "configMap", "downwardAPI", "projected"] {
        if let Some(source) = existing(volume, name) {
            fill(source, "defaultMode", 0o644);
        }
    }
    if let Some(source) = existing(volume, "hostPath") {
        fill(source, "type", "");
    }
    for item in items_mut(volume, "/downwardAPI/items") {
        field_reference(item.get_mut("fieldRef"));
    }
    for source in items_mut(volume, "/projected/sources") {
        if let Some(token) = existing(source, "serviceAccountToken") {
            fill(token, "expirationSeconds", 3600);
        }
        for item in items_mut(source, "/downwardAPI/items") {
            field_reference(item.get_mut("fieldRef"));
        }
    }
    if let Some(spec) = volume.pointer_mut("/ephemeral/volumeClaimTemplate/spec") {
        fill(spec, "volumeMode", "Filesystem");
    }
}

fn service(object: &mut Value) {
    let Some(spec) = child(object, "spec") else {
        return;
    };
    fill(spec, "sessionAffinity", "None");
    fill(spec, "type", "ClusterIP");
    let timeout = spec.pointer("/sessionAffinityConfig/clientIP/timeoutSeconds");
    match text(spec, "/sessionAffinity") {
        "ClientIP" if timeout.is_none() => {
            spec["sessionAffinityConfig"] = json!({"clientIP": {"timeoutSeconds": 10800}});
        }
        "None" => {
            if let Some(spec) = spec.as_object_mut() {
                spec.remove("sessionAffinityConfig");
            }
        }
        _ => {}
    }
    let kind = text(spec, "/type").to_owned();
    for port in items_mut(spec, "/ports") {
        fill(port, "protocol", "TCP");
        let number = port.get("port").cloned().unwrap_or_default();
        let unset = match port.get("targetPort") {
            None | Some(Value::Null) => true,
            Some(target) => target.as_i64() == Some(0) || target.as_str() == Some(""),
        };
        if unset && number.is_i64() {
            port["targetPort"] = number;
        }
    }
    let external_addresses = spec.pointer("/externalIPs").is_some_and(Value::is_array);
    let external = matches!(kind.as_str(), "NodePort" | "LoadBalancer")
        || (kind == "ClusterIP" && external_addresses);
    if external {
        fill(spec, "externalTrafficPolicy", "Cluster");
    }
    if kind != "ExternalName" {
        fill(spec, "internalTrafficPolicy", "Cluster");
    }
    if kind == "LoadBalancer" {
        fill(spec, "allocateLoadBalancerNodePorts", true);
    }
}

/// `stringData` is write-only: it is encoded into `data`.
fn secret(object: &mut Value) {
    use base64::Engine as _;
    fill(object, "type", "Opaque");
    let Some(entries) = object.as_object_mut() else {
        return;
    };
    let Some(Value::Object(plain)) = entries.remove("stringData") else {
        return;
    };
    if plain.is_empty() {
        return;
    }
    let Some(Value::Object(data)) = child(object, "data") else {
        return;
    };
    for (key, value) in plain {
        let text = value.as_str().unwrap_or_default();
        let encoded = base64::engine::general_purpose::STANDARD.encode(text);
        data.insert(key, encoded.into());
    }
}

fn namespace(object: &mut Value) {
    let name = text(object, "/metadata/name").to_owned();
    if !name.is_empty()
        && let Some(metadata) = child(object, "metadata")
        && let Some(labels) = child(metadata, "labels")
    {
        labels["kubernetes.io/metadata.name"] = name.into();
    }
    if let Some(status) = child(object, "status") {
        fill(status, "phase", "Active");
    }
}

fn claim(object: &mut Value) {
    if let Some(status) = child(object, "status") {
        fill(status, "phase", "Pending");
    }
    if let Some(spec) = child(object, "spec") {
        fill(spec, "volumeMode", "Filesystem");
    }
}

/// A container may not get less than the least, nor more than the most, by saying nothing.
fn limit_range(object: &mut Value) {
    for limit in items_mut(object, "/spec/limits") {
        if text(limit, "/type") != "Container" {
            continue;
        }
        for (from, to) in [
            ("max", "default"),
            ("default", "defaultRequest"),
            ("min", "defaultRequest"),
        ] {
            let known = limit.get(from).and_then(Value::as_object).cloned();
            for (name, amount) in known.into_iter().flatten() {
                if let Some(list) = child(limit, to)
                    && list.get(&name).is_none()
                {
                    list[name] = amount;
                }
            }
        }
    }
}

fn workload(object: &mut Value, own: fn(&mut Value)) {
    if let Some(spec) = child(object, "spec") {
        own(spec);
        template(spec, "template");
    }
}

fn replicas(spec: &mut Value) {
    fill(spec, "replicas", 1);
}

fn deployment(spec: &mut Value) {
    fill(spec, "replicas", 1);
    fill(spec, "revisionHistoryLimit", 10);
    fill(spec, "progressDeadlineSeconds", 600);
    let Some(strategy) = child(spec, "strategy") else {
        return;
    };
    fill(strategy, "type", "RollingUpdate");
    if text(strategy, "/type") == "RollingUpdate"
        && let Some(rolling) = child(strategy, "rollingUpdate")
    {
        fill(rolling, "maxUnavailable", "25%");
        fill(rolling, "maxSurge", "25%");
    }
}

fn stateful_set(spec: &mut Value) {
    fill(spec, "replicas", 1);
    fill(spec, "revisionHistoryLimit", 10);
    fill(spec, "podManagementPolicy", "OrderedReady");
    if let Some(strategy) = child(spec, "updateStrategy") {
        if text(strategy, "/type").is_empty() {
            fill(strategy, "type", "RollingUpdate");
            child(strategy, "rollingUpdate");
        }
        if text(strategy, "/type") == "RollingUpdate"
            && let Some(rolling) = existing(strategy, "rollingUpdate")
        {
            fill(rolling, "partition", 0);
        }
    }
    if let Some(policy) = child(spec, "persistentVolumeClaimRetentionPolicy") {
        fill(policy, "whenDeleted", "Retain");
        fill(policy, "whenScaled", "Retain");
    }
    for template in items_mut(spec, "/volumeClaimTemplates") {
        fill(template, "apiVersion", "v1");
        fill(template, "kind", "PersistentVolumeClaim");
        claim(template);
    }
}

fn daemon_set(spec: &mut Value) {
    fill(spec, "revisionHistoryLimit", 10);
    let Some(strategy) = child(spec, "updateStrategy") else {
        return;
    };
    fill(strategy, "type", "RollingUpdate");
    if text(strategy, "/type") == "RollingUpdate"
        && let Some(rolling) = child(strategy, "rollingUpdate")
    {
        fill(rolling, "maxUnavailable", 1);
        fill(rolling, "maxSurge", 0);
    }
}

/// A Job without labels takes those of its pods.
fn inherit_template_labels(object: &mut Value) {
    let labels = object.pointer("/spec/template/metadata/labels").cloned();
    let own = object
        .pointer("/metadata/labels")
        .and_then(Value::as_object);
    if let Some(labels) = labels.filter(|labels| labels.is_object())
        && own.is_none_or(Object::is_empty)
        && let Some(metadata) = child(object, "metadata")
    {
        metadata["labels"] = labels;
    }
}

fn job(spec: &mut Value) {
    if spec.get("completions").is_none() && spec.get("parallelism").is_none() {
        fill(spec, "completions", 1);
    }
    fill(spec, "parallelism", 1);
    let limit = if spec.get("backoffLimitPerIndex").is_some() {
        i32::MAX
    } else {
        6
    };
    fill(spec, "backoffLimit", limit);
    fill(spec, "completionMode", "NonIndexed");
    fill(spec, "suspend", false);
    fill(spec, "manualSelector", false);
    let replacement = if spec.get("podFailurePolicy").is_some() {
        "Failed"
    } else {
        "TerminatingOrFailed"
    };
    fill(spec, "podReplacementPolicy", replacement);
}

fn cron_job(object: &mut Value) {
    let Some(spec) = child(object, "spec") else {
        return;
    };
    fill(spec, "concurrencyPolicy", "Allow");
    fill(spec, "suspend", false);
    fill(spec, "successfulJobsHistoryLimit", 3);
    fill(spec, "failedJobsHistoryLimit", 1);
    // The embedded Job spec is defaulted when the Job is made, its pod template already here.
    if let Some(template_of_job) = child(spec, "jobTemplate")
        && let Some(job_spec) = child(template_of_job, "spec")
    {
        template(job_spec, "template");
    }
}

fn binding(object: &mut Value) {
    const RBAC: &str = "rbac.authorization.k8s.io";
    if let Some(role) = existing(object, "roleRef") {
        fill(role, "apiGroup", RBAC);
    }
    for subject in items_mut(object, "/subjects") {
        if matches!(text(subject, "/kind"), "User" | "Group") {
            fill(subject, "apiGroup", RBAC);
        }
    }
}

fn network_policy(object: &mut Value) {
    let Some(spec) = child(object, "spec") else {
        return;
    };
    if spec
        .get("policyTypes")
        .and_then(Value::as_array)
        .is_none_or(Vec::is_empty)
    {
        let mut types = vec!["Ingress"];
        if spec.get("egress").is_some() {
            types.push("Egress");
        }
        spec["policyTypes"] = json!(types);
    }
    for direction in ["/ingress", "/egress"] {
        for rule in items_mut(spec, direction) {
            for port in items_mut(rule, "/ports") {
                fill(port, "protocol", "TCP");
            }
        }
    }
}

fn custom_resource_definition(object: &mut Value) {
    let kind = text(object, "/spec/names/kind").to_owned();
    let Some(spec) = child(object, "spec") else {
        return;
    };
    if let Some(names) = child(spec, "names") {
        fill(names, "singular", kind.to_lowercase());
        if !kind.is_empty() {
            fill(names, "listKind", format!("{kind}List"));
        }
    }
    if let Some(conversion) = child(spec, "conversion") {
        fill(conversion, "strategy", "None");
        if let Some(service) = conversion.pointer_mut("/webhook/clientConfig/service") {
            fill(service, "port", 443);
        }
    }
}

fn webhooks(object: &mut Value, kind: &str) {
    for webhook in items_mut(object, "/webhooks") {
        fill(webhook, "failurePolicy", "Fail");
        fill(webhook, "matchPolicy", "Equivalent");
        fill(webhook, "timeoutSeconds", 10);
        child(webhook, "namespaceSelector");
        child(webhook, "objectSelector");
        if kind == "MutatingWebhookConfiguration" {
            fill(webhook, "reinvocationPolicy", "Never");
        }
        if let Some(service) = webhook.pointer_mut("/clientConfig/service") {
            fill(service, "port", 443);
        }
        for rule in items_mut(webhook, "/rules") {
            fill(rule, "scope", "*");
        }
    }
}
