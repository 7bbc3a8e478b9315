//! Columns and rows of the built-in kinds.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::cells::{NONE, age, count, first_three, items, name, number, selector, text, text_or};
use super::{core, pods, workloads};

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
            core::service,
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
            core::node,
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
            core::event,
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
            vec![name(o), core::endpoints(o), age(o, now)]
        }),
        ("discovery.k8s.io", "EndpointSlice") => (
            &[
                NAME,
                ("AddressType", "string", 0),
                ("Ports", "string", 0),
                ("Endpoints", "string", 0),
                AGE,
            ],
            core::endpoint_slice,
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
            core::claim,
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
            core::volume,
        ),
        ("", "ResourceQuota") => (
            &[NAME, AGE, ("Request", "string", 0), ("Limit", "string", 0)],
            core::quota,
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
            workloads::deployment,
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
            workloads::replica_set,
        ),
        ("apps", "StatefulSet") => (
            &[NAME, ("Ready", "string", 0), AGE, CONTAINERS, IMAGES],
            workloads::stateful_set,
        ),
        ("apps", "ControllerRevision") => (
            &[
                NAME,
                ("Controller", "string", 0),
                ("Revision", "integer", 0),
                AGE,
            ],
            workloads::revision,
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
            workloads::daemon_set,
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
            workloads::job,
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
            workloads::cron_job,
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
