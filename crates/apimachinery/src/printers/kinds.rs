//! Columns and rows of the built-in kinds.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::cells::{
    NONE, access_modes, age, containers, count, first_three, has_condition, is_terminating, items,
    labels, name, number, or_none, selector, since, text, text_or,
};
use super::{duration, pods};

/// Heading, type and priority.
type Head = (&'static str, &'static str, i64);
type Row = fn(&Value, Timestamp) -> Vec<Value>;

const NAME: Head = ("Name", "string", 0);
const AGE: Head = ("Age", "string", 0);
const CONTAINERS: Head = ("Containers", "string", 1);
const IMAGES: Head = ("Images", "string", 1);
const SELECTOR: Head = ("Selector", "string", 1);

pub(super) fn find(group: &str, kind: &str) -> (&'static [Head], Row) {
    match (group, kind) {
        ("", "Pod") => (
            &[
                NAME,
                ("Ready", "string", 0),
                ("Status", "string", 0),
                ("Restarts", "string", 0),
                AGE,
                ("IP", "string", 1),
                ("Node", "string", 1),
                ("Nominated Node", "string", 1),
                ("Readiness Gates", "string", 1),
            ],
            pods::row,
        ),
        ("", "Service") => (
            &[
                NAME,
                ("Type", "string", 0),
                ("Cluster-IP", "string", 0),
                ("External-IP", "string", 0),
                ("Port(s)", "string", 0),
                AGE,
                SELECTOR,
            ],
            service,
        ),
        ("", "Node") => (
            &[
                NAME,
                ("Status", "string", 0),
                ("Roles", "string", 0),
                AGE,
                ("Version", "string", 0),
                ("Internal-IP", "string", 1),
                ("External-IP", "string", 1),
                ("OS-Image", "string", 1),
                ("Kernel-Version", "string", 1),
                ("Container-Runtime", "string", 1),
            ],
            node,
        ),
        ("" | "events.k8s.io", "Event") => (
            &[
                ("Last Seen", "string", 0),
                ("Type", "string", 0),
                ("Reason", "string", 0),
                ("Object", "string", 0),
                ("Subobject", "string", 1),
                ("Source", "string", 1),
                ("Message", "string", 0),
                ("First Seen", "string", 1),
                ("Count", "string", 1),
                ("Name", "string", 1),
            ],
            event,
        ),
        ("", "Namespace") => (&[NAME, ("Status", "string", 0), AGE], |o, now| {
            vec![name(o), text(o, "/status/phase").into(), age(o, now)]
        }),
        ("", "ConfigMap") => (&[NAME, ("Data", "string", 0), AGE], |o, now| {
            vec![
                name(o),
                (count(o, "/data") + count(o, "/binaryData")).into(),
                age(o, now),
            ]
        }),
        ("", "Secret") => (
            &[NAME, ("Type", "string", 0), ("Data", "string", 0), AGE],
            |o, now| {
                vec![
                    name(o),
                    text(o, "/type").into(),
                    count(o, "/data").into(),
                    age(o, now),
                ]
            },
        ),
        ("", "ServiceAccount") => (&[NAME, ("Secrets", "string", 0), AGE], |o, now| {
            vec![name(o), count(o, "/secrets").into(), age(o, now)]
        }),
        ("", "Endpoints") => (&[NAME, ("Endpoints", "string", 0), AGE], |o, now| {
            vec![name(o), endpoints(o), age(o, now)]
        }),
        ("discovery.k8s.io", "EndpointSlice") => (
            &[
                NAME,
                ("AddressType", "string", 0),
                ("Ports", "string", 0),
                ("Endpoints", "string", 0),
                AGE,
            ],
            endpoint_slice,
        ),
        ("", "PersistentVolumeClaim") => (
            &[
                NAME,
                ("Status", "string", 0),
                ("Volume", "string", 0),
                ("Capacity", "string", 0),
                ("Access Modes", "string", 0),
                ("StorageClass", "string", 0),
                ("VolumeAttributesClass", "string", 0),
                AGE,
                ("VolumeMode", "string", 1),
            ],
            claim,
        ),
        ("", "PersistentVolume") => (
            &[
                NAME,
                ("Capacity", "string", 0),
                ("Access Modes", "string", 0),
                ("Reclaim Policy", "string", 0),
                ("Status", "string", 0),
                ("Claim", "string", 0),
                ("StorageClass", "string", 0),
                ("VolumeAttributesClass", "string", 0),
                ("Reason", "string", 0),
                AGE,
                ("VolumeMode", "string", 1),
            ],
            volume,
        ),
        ("", "ResourceQuota") => (
            &[NAME, AGE, ("Request", "string", 0), ("Limit", "string", 0)],
            quota,
        ),
        ("apps", "Deployment") => (
            &[
                NAME,
                ("Ready", "string", 0),
                ("Up-to-date", "string", 0),
                ("Available", "string", 0),
                AGE,
                CONTAINERS,
                IMAGES,
                SELECTOR,
            ],
            deployment,
        ),
        ("apps", "ReplicaSet") | ("", "ReplicationController") => (
            &[
                NAME,
                ("Desired", "integer", 0),
                ("Current", "integer", 0),
                ("Ready", "integer", 0),
                AGE,
                CONTAINERS,
                IMAGES,
                SELECTOR,
            ],
            replica_set,
        ),
        ("apps", "StatefulSet") => (
            &[NAME, ("Ready", "string", 0), AGE, CONTAINERS, IMAGES],
            stateful_set,
        ),
        ("apps", "DaemonSet") => (
            &[
                NAME,
                ("Desired", "integer", 0),
                ("Current", "integer", 0),
                ("Ready", "integer", 0),
                ("Up-to-date", "integer", 0),
                ("Available", "integer", 0),
                ("Node Selector", "string", 0),
                AGE,
                CONTAINERS,
                IMAGES,
                SELECTOR,
            ],
            daemon_set,
        ),
        ("batch", "Job") => (
            &[
                NAME,
                ("Status", "string", 0),
                ("Completions", "string", 0),
                ("Duration", "string", 0),
                AGE,
                CONTAINERS,
                IMAGES,
                SELECTOR,
            ],
            job,
        ),
        ("batch", "CronJob") => (
            &[
                NAME,
                ("Schedule", "string", 0),
                ("Timezone", "string", 0),
                ("Suspend", "boolean", 0),
                ("Active", "integer", 0),
                ("Last Schedule", "string", 0),
                AGE,
                CONTAINERS,
                IMAGES,
                SELECTOR,
            ],
            cron_job,
        ),
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => (
            &[
                NAME,
                ("Role", "string", 0),
                AGE,
                ("Users", "string", 1),
                ("Groups", "string", 1),
                ("ServiceAccounts", "string", 1),
            ],
            binding,
        ),
        ("coordination.k8s.io", "Lease") => (&[NAME, ("Holder", "string", 0), AGE], |o, now| {
            vec![name(o), text(o, "/spec/holderIdentity").into(), age(o, now)]
        }),
        ("storage.k8s.io", "StorageClass") => (
            &[
                NAME,
                ("Provisioner", "string", 0),
                ("ReclaimPolicy", "string", 0),
                ("VolumeBindingMode", "string", 0),
                ("AllowVolumeExpansion", "string", 0),
                AGE,
            ],
            storage_class,
        ),
        ("policy", "PodDisruptionBudget") => (
            &[
                NAME,
                ("Min Available", "string", 0),
                ("Max Unavailable", "string", 0),
                ("Allowed Disruptions", "integer", 0),
                AGE,
            ],
            disruption_budget,
        ),
        ("scheduling.k8s.io", "PriorityClass") => (
            &[
                NAME,
                ("Value", "integer", 0),
                ("Global-Default", "boolean", 0),
                AGE,
                ("PreemptionPolicy", "string", 1),
            ],
            |o, now| {
                let default = o
                    .get("globalDefault")
                    .and_then(Value::as_bool)
                    .unwrap_or_default();
                vec![
                    name(o),
                    number(o, "/value").into(),
                    default.into(),
                    age(o, now),
                    text(o, "/preemptionPolicy").into(),
                ]
            },
        ),
        ("networking.k8s.io", "NetworkPolicy") => {
            (&[NAME, ("Pod-Selector", "string", 0), AGE], |o, now| {
                vec![name(o), selector(o, "/spec/podSelector"), age(o, now)]
            })
        }
        ("networking.k8s.io", "Ingress") => (
            &[
                NAME,
                ("Class", "string", 0),
                ("Hosts", "string", 0),
                ("Address", "string", 0),
                ("Ports", "string", 0),
                AGE,
            ],
            ingress,
        ),
        _ => (&[NAME, ("Created At", "date", 0)], |o, _| {
            vec![name(o), text(o, "/metadata/creationTimestamp").into()]
        }),
    }
}

fn service(o: &Value, now: Timestamp) -> Vec<Value> {
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

fn node(o: &Value, now: Timestamp) -> Vec<Value> {
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
fn event(o: &Value, now: Timestamp) -> Vec<Value> {
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

fn endpoints(o: &Value) -> Value {
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

fn endpoint_slice(o: &Value, now: Timestamp) -> Vec<Value> {
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

fn claim(o: &Value, now: Timestamp) -> Vec<Value> {
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

fn volume(o: &Value, now: Timestamp) -> Vec<Value> {
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

fn quota(o: &Value, now: Timestamp) -> Vec<Value> {
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

const POD_CONTAINERS: &str = "/spec/template/spec/containers";

fn deployment(o: &Value, now: Timestamp) -> Vec<Value> {
    let [names, images] = containers(o, POD_CONTAINERS);
    vec![
        name(o),
        ready_of(o),
        number(o, "/status/updatedReplicas").into(),
        number(o, "/status/availableReplicas").into(),
        age(o, now),
        names,
        images,
        selector(o, "/spec/selector"),
    ]
}

fn ready_of(o: &Value) -> Value {
    format!(
        "{}/{}",
        number(o, "/status/readyReplicas"),
        number(o, "/spec/replicas")
    )
    .into()
}

fn replica_set(o: &Value, now: Timestamp) -> Vec<Value> {
    let [names, images] = containers(o, POD_CONTAINERS);
    // Replication controllers select by a plain map.
    let is_map = o.pointer("/spec/selector/matchLabels").is_none()
        && o.pointer("/spec/selector/matchExpressions").is_none();
    vec![
        name(o),
        number(o, "/spec/replicas").into(),
        number(o, "/status/replicas").into(),
        number(o, "/status/readyReplicas").into(),
        age(o, now),
        names,
        images,
        if is_map {
            labels(o, "/spec/selector")
        } else {
            selector(o, "/spec/selector")
        },
    ]
}

fn stateful_set(o: &Value, now: Timestamp) -> Vec<Value> {
    let [names, images] = containers(o, POD_CONTAINERS);
    vec![name(o), ready_of(o), age(o, now), names, images]
}

fn daemon_set(o: &Value, now: Timestamp) -> Vec<Value> {
    let [names, images] = containers(o, POD_CONTAINERS);
    let status = |field: &str| Value::from(number(o, &format!("/status/{field}")));
    vec![
        name(o),
        status("desiredNumberScheduled"),
        status("currentNumberScheduled"),
        status("numberReady"),
        status("updatedNumberScheduled"),
        status("numberAvailable"),
        labels(o, "/spec/template/spec/nodeSelector"),
        age(o, now),
        names,
        images,
        selector(o, "/spec/selector"),
    ]
}

fn job(o: &Value, now: Timestamp) -> Vec<Value> {
    let status = if has_condition(o, "Complete", "True") {
        "Complete"
    } else if has_condition(o, "Failed", "True") {
        "Failed"
    } else if is_terminating(o) {
        "Terminating"
    } else if has_condition(o, "Suspended", "True") {
        "Suspended"
    } else if has_condition(o, "FailureTarget", "True") {
        "FailureTarget"
    } else {
        "Running"
    };
    let succeeded = number(o, "/status/succeeded");
    let completions = match o.pointer("/spec/completions").and_then(Value::as_i64) {
        Some(wanted) => format!("{succeeded}/{wanted}"),
        None => match number(o, "/spec/parallelism") {
            ..=1 => format!("{succeeded}/1"),
            parallel => format!("{succeeded}/1 of {parallel}"),
        },
    };
    let started = text(o, "/status/startTime").parse::<Timestamp>().ok();
    let ended = text(o, "/status/completionTime")
        .parse::<Timestamp>()
        .unwrap_or(now);
    let [names, images] = containers(o, POD_CONTAINERS);
    vec![
        name(o),
        status.into(),
        completions.into(),
        started
            .map(|started| duration::since(started, ended))
            .unwrap_or_default()
            .into(),
        age(o, now),
        names,
        images,
        selector(o, "/spec/selector"),
    ]
}

fn cron_job(o: &Value, now: Timestamp) -> Vec<Value> {
    let last = match text(o, "/status/lastScheduleTime") {
        "" => NONE.to_owned(),
        _ => since(o, "/status/lastScheduleTime", now),
    };
    let suspended = o.pointer("/spec/suspend").and_then(Value::as_bool);
    let [names, images] = containers(o, "/spec/jobTemplate/spec/template/spec/containers");
    vec![
        name(o),
        text(o, "/spec/schedule").into(),
        text_or(o, "/spec/timeZone", NONE),
        suspended
            .map_or_else(|| "<unset>".to_owned(), title_case)
            .into(),
        count(o, "/status/active").into(),
        last.into(),
        age(o, now),
        names,
        images,
        selector(o, "/spec/jobTemplate/spec/selector"),
    ]
}

fn title_case(flag: bool) -> String {
    if flag { "True" } else { "False" }.to_owned()
}

fn binding(o: &Value, now: Timestamp) -> Vec<Value> {
    let subjects = |kind: &str| {
        let names: Vec<String> = items(o, "/subjects")
            .iter()
            .filter(|subject| text(subject, "/kind") == kind)
            .map(|subject| match text(subject, "/namespace") {
                "" => text(subject, "/name").to_owned(),
                namespace => format!("{namespace}/{}", text(subject, "/name")),
            })
            .collect();
        Value::from(names.join(", "))
    };
    vec![
        name(o),
        format!("{}/{}", text(o, "/roleRef/kind"), text(o, "/roleRef/name")).into(),
        age(o, now),
        subjects("User"),
        subjects("Group"),
        subjects("ServiceAccount"),
    ]
}

fn storage_class(o: &Value, now: Timestamp) -> Vec<Value> {
    let default = "/metadata/annotations/storageclass.kubernetes.io~1is-default-class";
    let mark = if text(o, default) == "true" {
        " (default)"
    } else {
        ""
    };
    let expands = o
        .get("allowVolumeExpansion")
        .and_then(Value::as_bool)
        .unwrap_or_default();
    vec![
        format!("{}{mark}", text(o, "/metadata/name")).into(),
        text(o, "/provisioner").into(),
        text_or(o, "/reclaimPolicy", "Delete"),
        text_or(o, "/volumeBindingMode", "Immediate"),
        expands.into(),
        age(o, now),
    ]
}

fn disruption_budget(o: &Value, now: Timestamp) -> Vec<Value> {
    let amount = |pointer: &str| match o.pointer(pointer) {
        None | Some(Value::Null) => json!("N/A"),
        Some(Value::String(text)) => text.as_str().into(),
        Some(other) => other.to_string().into(),
    };
    vec![
        name(o),
        amount("/spec/minAvailable"),
        amount("/spec/maxUnavailable"),
        number(o, "/status/disruptionsAllowed").into(),
        age(o, now),
    ]
}

fn ingress(o: &Value, now: Timestamp) -> Vec<Value> {
    let hosts: Vec<String> = items(o, "/spec/rules")
        .iter()
        .map(|rule| text(rule, "/host").to_owned())
        .filter(|host| !host.is_empty())
        .collect();
    let addresses: Vec<&str> = items(o, "/status/loadBalancer/ingress")
        .iter()
        .map(|entry| match text(entry, "/ip") {
            "" => text(entry, "/hostname"),
            address => address,
        })
        .collect();
    let ports = if items(o, "/spec/tls").is_empty() {
        "80"
    } else {
        "80, 443"
    };
    vec![
        name(o),
        text_or(o, "/spec/ingressClassName", NONE),
        first_three(&hosts, "*"),
        addresses.join(",").into(),
        ports.into(),
        age(o, now),
    ]
}
