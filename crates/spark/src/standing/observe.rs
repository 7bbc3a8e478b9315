//! What the API shows of a server's objects. Total: an object in any shape reads as something.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value};
use windlass_engine::plan::ObjectRef;
use windlass_engine::{Object, Trim};

use super::{DEPLOYMENT, HASH_ANNOTATION};
use crate::lifecycle::observed::{DriverPod, SparkContainer};
use crate::observe::{ROLE, driver_container, driver_pod};

/// What annotations of ours begin with; others are read by nobody here.
const OURS: &str = "windlass.dev/";

/// Keeps of a pod of a server what is read here.
pub const POD: Trim = Trim {
    name: "standing-pod",
    apply: trim_pod,
};

/// Keeps of the other objects of a server what is read here.
pub const CHILD: Trim = Trim {
    name: "standing-child",
    apply: trim_child,
};

/// An object that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Present {
    /// Which.
    pub target: ObjectRef,
    /// Its uid.
    pub uid: String,
    /// The hash of what it was made from.
    pub hash: Option<String>,
}

/// What a Deployment says about its pods.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeploymentState {
    /// How many servers it is to have.
    pub replicas: i64,
    /// What is written on it by us.
    pub annotations: BTreeMap<String, String>,
    /// Whether the pods it counts are those it was last told to make.
    pub rolled_out: bool,
    /// Why it cannot make pods.
    pub failure: Option<String>,
}

impl DeploymentState {
    /// An annotation of ours.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.get(key).map(String::as_str)
    }
}

/// A pod that serves, or will.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerPod {
    /// Its name.
    pub name: String,
    /// When it was created.
    pub created: Timestamp,
    /// Its address.
    pub ip: Option<String>,
    /// Whether it answers.
    pub ready: bool,
    /// How often its server was started anew.
    pub restarts: i32,
    /// What is in its way, for a person.
    pub trouble: Option<String>,
}

/// The objects of one server.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Seen {
    /// Those that its owner owns, pods of its Deployment aside.
    pub present: Vec<Present>,
    /// The Deployment, as far as it tells how the server stands.
    pub deployment: Option<DeploymentState>,
    /// The pods of servers that are not on their way out, the latest first.
    pub servers: Vec<ServerPod>,
}

/// Reads what is there. `others` are all objects with the label of the server but pods; what has
/// another owner is not its own. `role` is that of the server's pod.
pub(crate) fn see(uid: &str, others: &[Object], pods: &[Object], role: &str) -> Seen {
    let is_own = |object: &&Object| object.owner_uids().any(|owner| owner == uid);
    let own: Vec<&Object> = others.iter().chain(pods).filter(is_own).collect();
    let mut servers: Vec<ServerPod> = pods
        .iter()
        .filter(|pod| pod.label(ROLE) == Some(role) && !pod.is_deleting())
        .map(server_pod)
        .collect();
    servers.sort_by(|a, b| (b.created, &b.name).cmp(&(a.created, &a.name)));
    Seen {
        present: own.iter().map(|object| present(object)).collect(),
        deployment: own
            .iter()
            .find(|object| object.kind() == DEPLOYMENT.kind)
            .map(|object| deployment(object)),
        servers,
    }
}

fn present(object: &Object) -> Present {
    Present {
        target: object.object_ref(),
        uid: object.uid().to_owned(),
        hash: object.annotation(HASH_ANNOTATION).map(str::to_owned),
    }
}

fn deployment(object: &Object) -> DeploymentState {
    let value = object.as_value();
    let replicas = value.pointer("/spec/replicas").and_then(Value::as_i64);
    let number = |pointer: &str| value.pointer(pointer).and_then(Value::as_i64).unwrap_or(0);
    let failure = conditions(value)
        .find(|it| it["type"] == "ReplicaFailure" && it["status"] == "True")
        .and_then(|it| text(it, "/message"));
    DeploymentState {
        replicas: replicas.unwrap_or(1),
        rolled_out: number("/status/observedGeneration") >= object.generation()
            && number("/status/updatedReplicas") >= replicas.unwrap_or(1)
            && number("/status/replicas") == number("/status/updatedReplicas"),
        annotations: annotations(object),
        failure,
    }
}

fn annotations(object: &Object) -> BTreeMap<String, String> {
    let all = object.as_value().pointer("/metadata/annotations");
    let all = all.and_then(Value::as_object).into_iter().flatten();
    all.filter(|(key, _)| key.starts_with(OURS))
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect()
}

fn server_pod(pod: &Object) -> ServerPod {
    let value = pod.as_value();
    let read = driver_pod(pod);
    let status = driver_container(pod).and_then(|name| container_status(value, name));
    let restarts = status
        .and_then(|status| status.get("restartCount"))
        .and_then(Value::as_i64)
        .and_then(|count| i32::try_from(count).ok());
    let ready = conditions(value).any(|it| it["type"] == "Ready" && it["status"] == "True");
    ServerPod {
        name: pod.name().to_owned(),
        created: read.created,
        ip: text(value, "/status/podIP"),
        ready,
        restarts: restarts.unwrap_or(0),
        trouble: (!ready).then(|| trouble(&read, status)).flatten(),
    }
}

/// What is in the way of a server, the most telling first.
fn trouble(pod: &DriverPod, status: Option<&Value>) -> Option<String> {
    if let Some(why) = &pod.unschedulable {
        return Some(format!("no node takes the pod: {why}"));
    }
    if let Some(init) = &pod.failed_init {
        return Some(format!(
            "init container {} exited with {}",
            init.name, init.exit.code
        ));
    }
    let last = status.and_then(last_exit);
    let now = match &pod.spark {
        SparkContainer::Exited(exit) => {
            Some((exit.code, exit.reason.clone(), exit.message.clone()))
        }
        _ => None,
    };
    if let Some((code, reason, message)) = now.or(last) {
        let reason = reason.filter(|reason| reason != "Error");
        let reason = reason.map_or_else(String::new, |reason| format!(" ({reason})"));
        let message = message
            .as_deref()
            .and_then(last_line)
            .map_or_else(String::new, |line| format!(": {line}"));
        return Some(format!("the server exited with {code}{reason}{message}"));
    }
    if let Some(blocked) = &pod.blocked {
        let message = blocked.message.as_deref().unwrap_or_default();
        return Some(format!("{}: {message}", blocked.reason));
    }
    pod.reason.clone()
}

type Exit = (i32, Option<String>, Option<String>);

fn last_exit(status: &Value) -> Option<Exit> {
    let exit = status.pointer("/lastState/terminated")?;
    let code = exit.get("exitCode").and_then(Value::as_i64)?;
    Some((
        i32::try_from(code).unwrap_or(-1),
        text(exit, "/reason"),
        text(exit, "/message"),
    ))
}

/// The last line of a log's end that is not a part of a stack trace.
fn last_line(message: &str) -> Option<&str> {
    /// Longer lines are of no help.
    const LONGEST: usize = 300;
    let is_telling = |line: &&str| {
        let line = line.trim_start();
        !line.is_empty() && !line.starts_with("at ") && !line.starts_with("...")
    };
    let lines: Vec<&str> = message.lines().collect();
    let cause =
        lines.iter().rev().copied().find(|line| {
            is_telling(line) && (line.contains("Exception") || line.contains("Error"))
        });
    let line = cause.or_else(|| lines.iter().rev().copied().find(is_telling))?;
    let end = line
        .char_indices()
        .nth(LONGEST)
        .map_or(line.len(), |(index, _)| index);
    line.get(..end).map(str::trim)
}

fn container_status<'a>(pod: &'a Value, name: &str) -> Option<&'a Value> {
    let statuses = pod.pointer("/status/containerStatuses")?.as_array()?;
    statuses.iter().find(|status| status["name"] == *name)
}

fn conditions(object: &Value) -> impl Iterator<Item = &Value> {
    let conditions = object.pointer("/status/conditions");
    conditions.and_then(Value::as_array).into_iter().flatten()
}

fn text(value: &Value, pointer: &str) -> Option<String> {
    let text = value.pointer(pointer).and_then(Value::as_str);
    text.filter(|it| !it.is_empty()).map(str::to_owned)
}

fn trim_pod(pod: &mut Value) {
    drop_fields(pod, &["apiVersion", "kind", "metadata", "spec", "status"]);
    trim_metadata(pod);
    if let Some(spec) = pod.get_mut("spec") {
        drop_fields(spec, &["nodeName", "containers"]);
        let containers = spec.get_mut("containers").and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            drop_fields(container, &["name", "args"]);
            if let Some(args) = container.get_mut("args").and_then(Value::as_array_mut) {
                args.truncate(1);
            }
        }
    }
}

fn trim_child(object: &mut Value) {
    drop_fields(
        object,
        &["apiVersion", "kind", "metadata", "spec", "status"],
    );
    trim_metadata(object);
    if let Some(spec) = object.get_mut("spec") {
        drop_fields(spec, &["replicas"]);
    }
    if let Some(status) = object.get_mut("status") {
        drop_fields(
            status,
            &[
                "conditions",
                "observedGeneration",
                "replicas",
                "updatedReplicas",
            ],
        );
    }
}

fn trim_metadata(object: &mut Value) {
    if let Some(metadata) = object.get_mut("metadata") {
        drop_fields(
            metadata,
            &[
                "name",
                "namespace",
                "uid",
                "resourceVersion",
                "generation",
                "creationTimestamp",
                "deletionTimestamp",
                "labels",
                "annotations",
                "ownerReferences",
            ],
        );
        let annotations = metadata.get_mut("annotations");
        if let Some(annotations) = annotations.and_then(Value::as_object_mut) {
            annotations.retain(|key, _| key.starts_with(OURS));
        }
    }
}

fn drop_fields(object: &mut Value, kept: &[&str]) {
    let fields: Option<&mut Map<String, Value>> = object.as_object_mut();
    if let Some(fields) = fields {
        fields.retain(|name, _| kept.contains(&name.as_str()));
    }
}
