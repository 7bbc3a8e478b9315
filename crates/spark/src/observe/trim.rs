//! What is kept in memory of pods and of the objects beside them.
//!
//! An executor pod of a real cluster is 10 KiB of JSON, of which decisions need a few hundred
//! bytes; with five thousand applications that is the difference between megabytes and gigabytes.

use serde_json::{Map, Value, json};
use windlass_api::spark::{application::URL, original::APP_ID_LABEL, scheduled::SCHEDULE_LABEL};
use windlass_engine::Trim;

use super::{APP_NAME, APP_SELECTOR, EXECUTOR_ID, LAUNCHED_BY, ROLE, SUBMISSION_ID};

/// Keeps of a pod what [`super::driver_pod`] and [`super::executor_pod`] read.
pub const POD: Trim = Trim {
    name: "spark-pod",
    apply: trim_pod,
};

/// Keeps of a ConfigMap its identity.
pub const CHILD: Trim = Trim {
    name: "spark-child",
    apply: trim_child,
};

/// Keeps of what leads to a driver its identity, and what [`super::exposure`] reads.
pub const EXPOSER: Trim = Trim {
    name: "spark-exposer",
    apply: trim_exposer,
};

/// Keeps of a ResourceQuota its limits.
pub const QUOTA: Trim = Trim {
    name: "spark-quota",
    apply: trim_quota,
};

/// Keeps of the application of a run what [`super::run`] reads.
pub const RUN: Trim = Trim {
    name: "spark-run",
    apply: |run| trim_to_state(run, &["applicationState"]),
};

/// Keeps of the driver pod of a run whether it has ended.
pub const DRIVER_OF_RUN: Trim = Trim {
    name: "spark-driver-of-run",
    apply: |pod| trim_to_state(pod, &["phase"]),
};

const METADATA: [&str; 8] = [
    "name",
    "namespace",
    "uid",
    "resourceVersion",
    "creationTimestamp",
    "deletionTimestamp",
    "labels",
    "ownerReferences",
];
const LABELS: [&str; 8] = [
    APP_ID_LABEL,
    SCHEDULE_LABEL,
    APP_NAME,
    APP_SELECTOR,
    EXECUTOR_ID,
    LAUNCHED_BY,
    ROLE,
    SUBMISSION_ID,
];

fn trim_quota(quota: &mut Value) {
    trim_metadata(quota);
    if let Value::Object(fields) = quota {
        keep(fields, &["apiVersion", "kind", "metadata", "spec"]);
    }
    with(quota, "spec", |spec| keep(spec, &["hard"]));
}

fn trim_pod(pod: &mut Value) {
    trim_metadata(pod);
    with(pod, "spec", |spec| {
        keep(spec, &["nodeName", "containers"]);
        each(spec, "containers", |container| {
            keep(container, &["name", "args"]);
            if let Some(args) = container.get_mut("args").and_then(Value::as_array_mut) {
                args.truncate(1);
            }
        });
    });
    with(pod, "status", |status| {
        keep(
            status,
            &[
                "phase",
                "reason",
                "message",
                "conditions",
                "containerStatuses",
                "initContainerStatuses",
            ],
        );
        if let Some(conditions) = status.get_mut("conditions").and_then(Value::as_array_mut) {
            conditions.retain(|it| {
                (it["type"] == "PodScheduled" && it["status"] == "False")
                    || (it["type"] == "DisruptionTarget" && it["status"] == "True")
            });
        }
        for statuses in ["containerStatuses", "initContainerStatuses"] {
            each(status, statuses, |container| {
                keep(container, &["name", "image", "state"]);
            });
        }
    });
}

fn trim_to_state(object: &mut Value, status_fields: &[&str]) {
    trim_metadata(object);
    if let Value::Object(fields) = object {
        keep(fields, &["apiVersion", "kind", "metadata", "status"]);
    }
    with(object, "status", |status| keep(status, status_fields));
}

fn trim_child(object: &mut Value) {
    trim_metadata(object);
    if let Value::Object(fields) = object {
        keep(fields, &["apiVersion", "kind", "metadata"]);
    }
}

fn trim_exposer(object: &mut Value) {
    let url = object
        .get("metadata")
        .and_then(|it| it.get("annotations"))
        .and_then(|it| it.get(URL))
        .cloned();
    trim_metadata(object);
    if let Value::Object(fields) = object {
        keep(
            fields,
            &["apiVersion", "kind", "metadata", "spec", "status"],
        );
    }
    if let Some(url) = url {
        with(object, "metadata", |metadata| {
            metadata.insert("annotations".to_owned(), json!({ URL: url }));
        });
    }
    with(object, "spec", |spec| keep(spec, &["clusterIP", "ports"]));
    with(object, "status", |status| keep(status, &["loadBalancer"]));
}

fn trim_metadata(object: &mut Value) {
    with(object, "metadata", |metadata| {
        keep(metadata, &METADATA);
        if let Some(labels) = metadata.get_mut("labels").and_then(Value::as_object_mut) {
            keep(labels, &LABELS);
        }
    });
}

fn with(object: &mut Value, field: &str, edit: impl FnOnce(&mut Map<String, Value>)) {
    if let Some(fields) = object.get_mut(field).and_then(Value::as_object_mut) {
        edit(fields);
    }
}

fn each(fields: &mut Map<String, Value>, list: &str, edit: impl Fn(&mut Map<String, Value>)) {
    let items = fields.get_mut(list).and_then(Value::as_array_mut);
    items
        .into_iter()
        .flatten()
        .filter_map(Value::as_object_mut)
        .for_each(edit);
}

fn keep(fields: &mut Map<String, Value>, names: &[&str]) {
    fields.retain(|name, _| names.contains(&name.as_str()));
}
