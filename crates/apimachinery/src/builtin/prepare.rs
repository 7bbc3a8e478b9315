//! What the server decides itself when an object is written.

use serde_json::{Value, json};

use super::json::{
    child, entries, existing, fill, fill_zero, flag, items, items_mut, number, text,
};
use crate::quantity::Quantity;

pub(super) fn create(group: &str, kind: &str, object: &mut Value) {
    match (group, kind) {
        ("", "Pod") => pod(object),
        ("", "Namespace") => {
            object["status"] = json!({"phase": "Active"});
            if let Some(spec) = child(object, "spec")
                && !items(spec, "/finalizers")
                    .iter()
                    .any(|name| name == "kubernetes")
            {
                let mut finalizers = items(spec, "/finalizers").to_vec();
                finalizers.push("kubernetes".into());
                spec["finalizers"] = finalizers.into();
            }
        }
        ("", "PersistentVolumeClaim" | "PersistentVolume") => {
            object["status"] = json!({"phase": "Pending"});
        }
        ("", "Service") => service(object),
        ("batch", "Job") => job(object),
        ("apps", "Deployment") => fill(object, "status", json!({})),
        ("apps", "StatefulSet") => {
            fill(
                object,
                "status",
                json!({"replicas": 0, "availableReplicas": 0}),
            );
            name_of_service(object);
        }
        _ => {}
    }
}

/// A field that is written out even when it is empty.
fn name_of_service(set: &mut Value) {
    if let Some(spec) = child(set, "spec") {
        fill(spec, "serviceName", "");
    }
}

pub(super) fn update(group: &str, kind: &str, object: &mut Value, old: &Value) {
    match (group, kind) {
        ("", "Pod") => {
            let Some(spec) = child(object, "spec") else {
                return;
            };
            for field in ["priority", "preemptionPolicy"] {
                if let Some(kept) = old.get("spec").and_then(|spec| spec.get(field)) {
                    fill(spec, field, kept.clone());
                }
            }
            tolerate_node_trouble(spec);
            // Whoever writes the status may leave the class out, but not change it.
            if let Some(class) = old.pointer("/status/qosClass")
                && let Some(status) = existing(object, "status")
            {
                fill(status, "qosClass", class.clone());
            }
        }
        ("", "Service") => {
            keep_allocated(object, old);
            if let Some(spec) = existing(object, "spec") {
                addresses(spec);
            }
            drop_unused(object, old);
        }
        ("apps", "StatefulSet") => name_of_service(object),
        ("", "Secret") => {
            let kept = old.get("type").cloned();
            if text(object, "/type").is_empty()
                && let Some(kept) = kept
            {
                object["type"] = kept;
            }
        }
        _ => {}
    }
}

fn pod(object: &mut Value) {
    let class = quality_of_service(object);
    object["status"] = json!({"phase": "Pending", "qosClass": class});
    let Some(spec) = child(object, "spec") else {
        return;
    };
    fill(spec, "preemptionPolicy", "PreemptLowerPriority");
    if text(spec, "/priorityClassName").is_empty() {
        fill(spec, "priority", 0);
    }
    tolerate_node_trouble(spec);
}

/// Pods stay five minutes on a node that is not ready or not reachable, unless they say.
fn tolerate_node_trouble(spec: &mut Value) {
    for key in [
        "node.kubernetes.io/not-ready",
        "node.kubernetes.io/unreachable",
    ] {
        let tolerated = items(spec, "/tolerations").iter().any(|toleration| {
            let all = text(toleration, "/key").is_empty();
            let effect = text(toleration, "/effect");
            (all || text(toleration, "/key") == key) && matches!(effect, "" | "NoExecute")
        });
        if !tolerated {
            let mut tolerations = items(spec, "/tolerations").to_vec();
            tolerations.push(json!({
                "key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300,
            }));
            spec["tolerations"] = tolerations.into();
        }
    }
}

/// `Guaranteed`, `Burstable` or `BestEffort`, from requests and limits of CPU and memory.
fn quality_of_service(pod: &Value) -> &'static str {
    const COUNTED: [&str; 2] = ["cpu", "memory"];
    let mut requests: [Option<Quantity>; 2] = [None; 2];
    let mut limits: [Option<Quantity>; 2] = [None; 2];
    let mut every_limit_set = true;
    let containers = items(pod, "/spec/containers").iter();
    for container in containers.chain(items(pod, "/spec/initContainers")) {
        for (index, name) in COUNTED.into_iter().enumerate() {
            let amount = |kind: &str| {
                let value = container.get("resources")?.get(kind)?.get(name)?;
                let text = value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned);
                Quantity::parse(&text)
                    .ok()
                    .filter(|amount| !amount.is_zero())
            };
            let add = |sum: &mut Option<Quantity>, amount: Quantity| {
                *sum = Some(sum.map_or(amount, |sum| sum.plus(amount)));
            };
            if let Some(request) = amount("requests")
                && let Some(sum) = requests.get_mut(index)
            {
                add(sum, request);
            }
            match (amount("limits"), limits.get_mut(index)) {
                (Some(limit), Some(sum)) => add(sum, limit),
                _ => every_limit_set = false,
            }
        }
    }
    let nothing = requests.iter().chain(&limits).all(Option::is_none);
    match (nothing, every_limit_set && requests == limits) {
        (true, _) => "BestEffort",
        (false, true) => "Guaranteed",
        (false, false) => "Burstable",
    }
}

fn service(object: &mut Value) {
    object["status"] = json!({"loadBalancer": {}});
    if let Some(spec) = child(object, "spec") {
        addresses(spec);
    }
}

/// The families of a Service's addresses, and the one address as a list.
fn addresses(spec: &mut Value) {
    let address = text(spec, "/clusterIP").to_owned();
    if !address.is_empty() && items(spec, "/clusterIPs").is_empty() {
        spec["clusterIPs"] = json!([address]);
    }
    if text(spec, "/type") == "ExternalName" {
        return;
    }
    // Whoever makes the endpoints of a Service without selector may have both families.
    let headless = text(spec, "/clusterIP") == "None";
    let (policy, families) =
        if headless && entries(spec, "/selector").is_none_or(serde_json::Map::is_empty) {
            ("RequireDualStack", json!(["IPv4", "IPv6"]))
        } else {
            ("SingleStack", json!(["IPv4"]))
        };
    fill(spec, "ipFamilyPolicy", policy);
    if items(spec, "/ipFamilies").is_empty() {
        spec["ipFamilies"] = families;
    }
    if address.is_empty()
        && let Some(first) = items(spec, "/clusterIPs").first().cloned()
    {
        spec["clusterIP"] = first;
    }
}

/// What a Service of another type had, and one of this type has not, goes when it is as before.
fn drop_unused(object: &mut Value, old: &Value) {
    let of = |service: &Value, kinds: &[&str]| kinds.contains(&text(service, "/spec/type"));
    let on_nodes = ["NodePort", "LoadBalancer"];
    let accessible = |service: &Value| {
        of(service, &on_nodes)
            || of(service, &["ClusterIP"]) && !items(service, "/spec/externalIPs").is_empty()
    };
    let checked = |service: &Value| {
        of(service, &["LoadBalancer"]) && text(service, "/spec/externalTrafficPolicy") == "Local"
    };
    let ports = |service: &Value| -> Vec<i64> {
        let ports = items(service, "/spec/ports").iter();
        ports
            .filter_map(|port| number(port, "/nodePort"))
            .filter(|port| *port != 0)
            .collect()
    };
    let mut unused = Vec::new();
    if of(object, &["ExternalName"]) {
        unused.push("internalTrafficPolicy");
        if !of(old, &["ExternalName"]) {
            unused.extend(["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"]);
        }
    }
    if checked(old) && !checked(object) {
        unused.push("healthCheckNodePort");
    }
    if of(old, &["LoadBalancer"]) && !of(object, &["LoadBalancer"]) {
        unused.extend(["allocateLoadBalancerNodePorts", "loadBalancerClass"]);
    }
    if accessible(old) && !accessible(object) {
        unused.push("externalTrafficPolicy");
    }
    let known = ports(old);
    let no_ports = of(old, &on_nodes)
        && !of(object, &on_nodes)
        && ports(object).iter().all(|port| known.contains(port));
    let Some(spec) = existing(object, "spec") else {
        return;
    };
    if let Some(fields) = spec.as_object_mut() {
        let before = old.get("spec");
        fields.retain(|field, value| {
            let same = field == "internalTrafficPolicy"
                || before.and_then(|spec| spec.get(field)) == Some(&*value);
            !unused.contains(&field.as_str()) || !same
        });
    }
    if no_ports {
        for port in items_mut(spec, "/ports") {
            if let Some(port) = port.as_object_mut() {
                port.remove("nodePort");
            }
        }
    }
}

/// An update that does not name the addresses and node ports a Service was given keeps them.
fn keep_allocated(object: &mut Value, old: &Value) {
    let needs_address = |service: &Value| text(service, "/spec/type") != "ExternalName";
    let needs_port =
        |service: &Value| matches!(text(service, "/spec/type"), "NodePort" | "LoadBalancer");
    let keep_address = needs_address(object) && needs_address(old);
    let keep_ports = needs_port(object) && needs_port(old);
    let Some(spec) = existing(object, "spec") else {
        return;
    };
    if keep_address {
        for key in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
            let unset = match spec.get(key) {
                None | Some(Value::Null) => true,
                Some(Value::String(text)) => text.is_empty(),
                Some(Value::Array(items)) => items.is_empty(),
                Some(_) => false,
            };
            if unset && let Some(kept) = old.get("spec").and_then(|spec| spec.get(key)) {
                spec[key] = kept.clone();
            }
        }
    }
    // Whoever changes the one address and not the list means both.
    let address = text(spec, "/clusterIP").to_owned();
    let list = items(spec, "/clusterIPs");
    if !address.is_empty()
        && address != text(old, "/spec/clusterIP")
        && list == items(old, "/spec/clusterIPs")
    {
        spec["clusterIPs"] = json!([address]);
    }
    if keep_ports {
        // By name: all else about a port may have changed.
        let named = items(spec, "/ports").iter();
        let used: Vec<i64> = named.filter_map(|port| number(port, "/nodePort")).collect();
        for port in items_mut(spec, "/ports") {
            let ports = items(old, "/spec/ports").iter().rev();
            let mut same = ports.filter(|other| text(other, "/name") == text(port, "/name"));
            let kept = same.next().and_then(|kept| number(kept, "/nodePort"));
            if let Some(kept) = kept.filter(|kept| *kept != 0 && !used.contains(kept)) {
                fill_zero(port, "nodePort", kept);
            }
        }
        let kept = number(old, "/spec/healthCheckNodePort").unwrap_or_default();
        if kept != 0 && text(spec, "/externalTrafficPolicy") == "Local" {
            fill_zero(spec, "healthCheckNodePort", kept);
        }
    }
}

/// The selector of a Job is its own uid, unless the user takes that on.
fn job(object: &mut Value) {
    let uid = text(object, "/metadata/uid").to_owned();
    let name = text(object, "/metadata/name").to_owned();
    if uid.is_empty() || flag(object, "/spec/manualSelector") {
        return;
    }
    let Some(spec) = child(object, "spec") else {
        return;
    };
    if let Some(template) = child(spec, "template")
        && let Some(metadata) = child(template, "metadata")
        && let Some(labels) = child(metadata, "labels")
    {
        for (key, value) in [
            ("controller-uid", &uid),
            ("batch.kubernetes.io/controller-uid", &uid),
            ("job-name", &name),
            ("batch.kubernetes.io/job-name", &name),
        ] {
            labels[key] = value.as_str().into();
        }
    }
    if entries(spec, "/selector/matchLabels").is_none_or(serde_json::Map::is_empty)
        && let Some(selector) = child(spec, "selector")
    {
        selector["matchLabels"] = json!({"batch.kubernetes.io/controller-uid": uid});
    }
}
