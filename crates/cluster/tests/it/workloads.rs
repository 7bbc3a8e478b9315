//! Workloads, with pods that only say that they run.

mod budgets;
mod deployments;
mod jobs;
mod settled;
mod stateful_sets;

use std::collections::BTreeSet;

use serde_json::{Value, json};

/// A template of pods labelled `app: NAME`.
pub(crate) fn template(app: &str, image: &str) -> Value {
    json!({
        "metadata": {"labels": {"app": app}},
        "spec": {"containers": [{"name": "main", "image": image}]},
    })
}

/// The uids of objects.
pub(crate) fn uids(objects: &[Value]) -> BTreeSet<String> {
    let uid = |object: &Value| object["metadata"]["uid"].as_str().unwrap().to_owned();
    objects.iter().map(uid).collect()
}

/// Whether a field of the status is this number; absent is zero.
pub(crate) fn counts(object: &Value, field: &str, number: i64) -> bool {
    object["status"][field].as_i64().unwrap_or(0) == number
}

/// What a condition of the object gives as its reason.
pub(crate) fn reason(object: &Value, kind: &str) -> String {
    let conditions = object["status"]["conditions"].as_array();
    let mut found = conditions
        .into_iter()
        .flatten()
        .filter(|known| known["type"] == kind);
    let reason = found.next().and_then(|known| known["reason"].as_str());
    reason.unwrap_or_default().to_owned()
}
