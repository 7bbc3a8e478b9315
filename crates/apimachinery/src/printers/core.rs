//! Rows of the core kinds: services, nodes, events, endpoints, volumes.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::cells::{
    NONE, access_modes, age, first_three, is_terminating, items, labels, name, number, or_none,
    since, text, text_or,
};

pub(super) fn service(o: &Value, now: Timestamp) -> Vec<Value> {
    let kind = text(o, "/spec/type");
    let mut external: Vec<&str> = items(o, "/spec/externalIPs")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let external = match kind {
        "ExternalName" => text(o, "/spec/externalName").into(),
        "LoadBalancer" => {
            let mut given: Vec<&str> = items(o, "/status/loadBalancer/ingress")
                .iter()
                .map(|ingress| match text(ingress, "/ip") {
                    "" => text(ingress, "/hostname"),
                    address => address,
                })
                .collect();
            given.append(&mut external);
            if given.is_empty() {
                json!("<pending>")
            } else {
                given.join(",").into()
            }
        }
        _ => or_none(external.join(",")),
    };
    let ports: Vec<String> = items(o, "/spec/ports")
        .iter()
        .map(|port| {
            let (number_, protocol) = (number(port, "/port"), text(port, "/protocol"));
            match number(port, "/nodePort") {
                0 => format!("{number_}/{protocol}"),
                node_port => format!("{number_}:{node_port}/{protocol}"),
            }
        })
        .collect();
    vec![
        name(o),
        kind.into(),
        text_or(o, "/spec/clusterIP", NONE),
        external,
        or_none(ports.join(",")),
        age(o, now),
        labels(o, "/spec/selector"),
    ]
}

pub(super) fn node(o: &Value, now: Timestamp) -> Vec<Value> {
    let ready = items(o, "/status/conditions")
        .iter()
        .find(|c| text(c, "/type") == "Ready");
    let mut status = match ready.map(|condition| text(condition, "/status")) {
        Some("True") => "Ready".to_owned(),
        Some(_) => "NotReady".to_owned(),
        None => "Unknown".to_owned(),
    };
    if o.pointer("/spec/unschedulable")
        .and_then(Value::as_bool)
        .unwrap_or_default()
    {
        status.push_str(",SchedulingDisabled");
    }
    let all = o.pointer("/metadata/labels").and_then(Value::as_object);
    let roles: Vec<&str> = all
        .into_iter()
        .flatten()
        .filter_map(
            |(key, value)| match key.strip_prefix("node-role.kubernetes.io/") {
                Some(role) => Some(role),
                None if key == "kubernetes.io/role" => value.as_str(),
                None => None,
            },
        )
        .filter(|role| !role.is_empty())
        .collect();
    let address = |kind: &str| {
        let found = items(o, "/status/addresses")
            .iter()
            .find(|entry| text(entry, "/type") == kind);
        found.map_or_else(|| json!(NONE), |entry| text_or(entry, "/address", NONE))
    };
    let info = |field: &str| text_or(o, &format!("/status/nodeInfo/{field}"), "<unknown>");
    vec![
        name(o),
        status.into(),
        or_none(roles.join(",")),
        age(o, now),
        text(o, "/status/nodeInfo/kubeletVersion").into(),
        address("InternalIP"),
        address("ExternalIP"),
        info("osImage"),
        info("kernelVersion"),
        info("containerRuntimeVersion"),
    ]
}

/// Events are stored once and shown through two groups with different field names.
pub(super) fn event(o: &Value, now: Timestamp) -> Vec<Value> {
    let either = |core: &str, other: &str| match text(o, core) {
        "" => text(o, other).to_owned(),
        found => found.to_owned(),
    };
    let when = |pointers: &[&str]| {
        pointers
            .iter()
            .find(|pointer| !text(o, pointer).is_empty())
            .map_or_else(|| "<unknown>".to_owned(), |pointer| since(o, pointer, now))
    };
    let first = when(&["/firstTimestamp", "/deprecatedFirstTimestamp", "/eventTime"]);
    let last = when(&[
        "/series/lastObservedTime",
        "/lastTimestamp",
        "/deprecatedLastTimestamp",
        "/firstTimestamp",
        "/deprecatedFirstTimestamp",
        "/eventTime",
    ]);
    let count = ["/series/count", "/count", "/deprecatedCount"]
        .into_iter()
        .map(|pointer| number(o, pointer))
        .find(|count| *count > 0)
        .unwrap_or(1);
    let kind = either("/involvedObject/kind", "/regarding/kind").to_lowercase();
    let target = match either("/involvedObject/name", "/regarding/name").as_str() {
        "" => kind,
        name => format!("{kind}/{name}"),
    };
    let component = [
        "/source/component",
        "/deprecatedSource/component",
        "/reportingComponent",
        "/reportingController",
    ];
    let host = [
        "/source/host",
        "/deprecatedSource/host",
        "/reportingInstance",
    ];
    let first_set = |pointers: &[&str]| {
        pointers
            .iter()
            .map(|pointer| text(o, pointer))
            .find(|text| !text.is_empty())
    };
    let source = match (first_set(&component).unwrap_or_default(), first_set(&host)) {
        (component, None) => component.to_owned(),
        (component, Some(host)) => format!("{component}, {host}"),
    };
    vec![
        last.into(),
        text(o, "/type").into(),
        text(o, "/reason").into(),
        target.into(),
        either("/involvedObject/fieldPath", "/regarding/fieldPath").into(),
        source.into(),
        either("/message", "/note").trim().into(),
        first.into(),
        count.into(),
        name(o),
    ]
}

pub(super) fn endpoints(o: &Value) -> Value {
    let mut all = Vec::new();
    for subset in items(o, "/subsets") {
        let addresses = items(subset, "/addresses")
            .iter()
            .map(|address| text(address, "/ip"));
        let ports = items(subset, "/ports");
        if ports.is_empty() {
            all.extend(addresses.map(str::to_owned));
        } else {
            for port in ports {
                let port = number(port, "/port");
                all.extend(addresses.clone().map(|address| format!("{address}:{port}")));
            }
        }
    }
    first_three(&all, NONE)
}

pub(super) fn endpoint_slice(o: &Value, now: Timestamp) -> Vec<Value> {
    let ports: Vec<String> = items(o, "/ports")
        .iter()
        .map(|port| match number(port, "/port") {
            0 => "*".to_owned(),
            port => port.to_string(),
        })
        .collect();
    let addresses: Vec<String> = items(o, "/endpoints")
        .iter()
        .flat_map(|endpoint| items(endpoint, "/addresses"))
        .filter_map(|address| address.as_str().map(str::to_owned))
        .collect();
    vec![
        name(o),
        text(o, "/addressType").into(),
        first_three(&ports, "<unset>"),
        first_three(&addresses, "<unset>"),
        age(o, now),
    ]
}

pub(super) fn claim(o: &Value, now: Timestamp) -> Vec<Value> {
    let bound = !text(o, "/spec/volumeName").is_empty();
    let phase = if is_terminating(o) {
        "Terminating"
    } else {
        text(o, "/status/phase")
    };
    let (capacity, modes) = if bound {
        (
            text(o, "/status/capacity/storage").into(),
            access_modes(o, "/status/accessModes"),
        )
    } else {
        (json!(""), json!(""))
    };
    vec![
        name(o),
        phase.into(),
        text(o, "/spec/volumeName").into(),
        capacity,
        modes,
        text(o, "/spec/storageClassName").into(),
        text_or(o, "/spec/volumeAttributesClassName", "<unset>"),
        age(o, now),
        text_or(o, "/spec/volumeMode", "<unset>"),
    ]
}

pub(super) fn volume(o: &Value, now: Timestamp) -> Vec<Value> {
    let phase = if is_terminating(o) {
        "Terminating"
    } else {
        text(o, "/status/phase")
    };
    let claim = match o.pointer("/spec/claimRef") {
        Some(claim) => format!("{}/{}", text(claim, "/namespace"), text(claim, "/name")),
        None => String::new(),
    };
    vec![
        name(o),
        text(o, "/spec/capacity/storage").into(),
        access_modes(o, "/spec/accessModes"),
        text(o, "/spec/persistentVolumeReclaimPolicy").into(),
        phase.into(),
        claim.into(),
        text(o, "/spec/storageClassName").into(),
        text_or(o, "/spec/volumeAttributesClassName", "<unset>"),
        text(o, "/status/reason").into(),
        age(o, now),
        text_or(o, "/spec/volumeMode", "<unset>"),
    ]
}

pub(super) fn quota(o: &Value, now: Timestamp) -> Vec<Value> {
    let (mut requests, mut limits) = (Vec::new(), Vec::new());
    let hard = o.pointer("/status/hard").and_then(Value::as_object);
    for (resource, hard) in hard.into_iter().flatten() {
        let used = o
            .pointer("/status/used")
            .and_then(|used| used.get(resource));
        let used = used.and_then(Value::as_str).unwrap_or("0");
        let line = format!("{resource}: {used}/{}", hard.as_str().unwrap_or_default());
        if resource.starts_with("limits.") {
            limits.push(line);
        } else {
            requests.push(line);
        }
    }
    vec![
        name(o),
        age(o, now),
        requests.join(", ").into(),
        limits.join(", ").into(),
    ]
}
