//! What the API shows of a server's objects. Total: an object in any shape reads as something.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use windlass_engine::plan::ObjectRef;
use windlass_engine::{Object, Trim};

use super::observed::{DeploymentState, Observed, Present, ServerPod};
use super::{DEPLOYMENT, HASH_ANNOTATION, MADE_FOR_ANNOTATION, RULED_ANNOTATION, TOKEN_ANNOTATION};
use crate::lifecycle::observed::{DriverPod, SparkContainer};
use crate::lower::server::SERVER_ROLE;
use crate::observe::{ROLE, driver_container, driver_pod};

/// Keeps of a pod of a server what is read here.
pub const POD: Trim = Trim {
    name: "spark-connect-pod",
    apply: trim_pod,
};

/// Keeps of the other objects of a server what is read here.
pub const CHILD: Trim = Trim {
    name: "spark-connect-child",
    apply: trim_child,
};

/// Reads what is there. `others` are all objects with the label of the server but pods; what has
/// another owner is not its own.
pub fn observe(uid: &str, others: &[Object], pods: &[Object], taken: Vec<ObjectRef>) -> Observed {
    let is_own = |object: &&Object| object.owner_uids().any(|owner| owner == uid);
    let own: Vec<&Object> = others.iter().chain(pods).filter(is_own).collect();
    let role = |pod: &Object| pod.label(ROLE).unwrap_or_default().to_owned();
    let mut servers: Vec<ServerPod> = pods
        .iter()
        .filter(|pod| role(pod) == SERVER_ROLE && !pod.is_deleting())
        .map(server_pod)
        .collect();
    servers.sort_by(|a, b| (b.created, &b.name).cmp(&(a.created, &a.name)));
    let mut executors = BTreeMap::new();
    for pod in pods.iter().filter(|pod| role(pod) == "executor") {
        let phase = text(pod.as_value(), "/status/phase");
        let phase = phase.unwrap_or_else(|| "Pending".to_owned());
        *executors.entry(phase).or_insert(0) += 1;
    }
    Observed {
        deployment: own
            .iter()
            .find(|object| object.kind() == DEPLOYMENT.kind)
            .map(|object| deployment(object)),
        present: own.iter().map(|object| present(object)).collect(),
        taken,
        servers,
        executors,
        refusal: None,
        entropy: None,
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
        token_secret: object.annotation(TOKEN_ANNOTATION).map(str::to_owned),
        made_for: object.annotation(MADE_FOR_ANNOTATION).map(str::to_owned),
        failure,
    }
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
        if let Some(annotations) = metadata.get_mut("annotations") {
            drop_fields(
                annotations,
                &[
                    HASH_ANNOTATION,
                    TOKEN_ANNOTATION,
                    MADE_FOR_ANNOTATION,
                    RULED_ANNOTATION,
                ],
            );
        }
    }
}

fn drop_fields(object: &mut Value, kept: &[&str]) {
    let fields: Option<&mut Map<String, Value>> = object.as_object_mut();
    if let Some(fields) = fields {
        fields.retain(|name, _| kept.contains(&name.as_str()));
    }
}
