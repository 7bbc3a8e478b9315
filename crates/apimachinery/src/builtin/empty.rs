//! What Go writes out of a status although it is empty: null for a time, zero for a count.

use serde_json::Value;

use super::json::{child, existing, fill, items_mut};

/// Times that are written out as null when there is none.
pub(super) fn times(object: &mut Value, list: &str, fields: &[&str]) {
    for item in items_mut(object, list) {
        unset(item, fields);
    }
}

fn unset(item: &mut Value, fields: &[&str]) {
    if let Some(item) = item.as_object_mut() {
        for field in fields {
            item.entry(*field).or_insert(Value::Null);
        }
    }
}

/// Counts of a status that are written out also when they are zero.
pub(super) fn counts(object: &mut Value, fields: &[&str]) {
    if let Some(status) = existing(object, "status") {
        for field in fields {
            fill(status, field, 0);
        }
    }
}

/// Parts of a pod's status that are written out also when they are empty.
pub(super) fn pod_status(object: &mut Value) {
    let fields = ["lastProbeTime", "lastTransitionTime"];
    times(object, "/status/conditions", &fields);
    for list in [
        "/status/containerStatuses",
        "/status/initContainerStatuses",
        "/status/ephemeralContainerStatuses",
    ] {
        for container in items_mut(object, list) {
            fill(container, "image", "");
            fill(container, "imageID", "");
            fill(container, "ready", false);
            fill(container, "restartCount", 0);
            for state in ["state", "lastState"] {
                let Some(state) = child(container, state) else {
                    continue;
                };
                if let Some(running) = existing(state, "running") {
                    unset(running, &["startedAt"]);
                }
                if let Some(ended) = existing(state, "terminated") {
                    fill(ended, "exitCode", 0);
                    unset(ended, &["startedAt", "finishedAt"]);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::default;

    #[test]
    fn what_is_not_said_of_a_status_is_written_as_go_does() {
        let cases = [
            (
                ("", "Pod"),
                json!({
                    "conditions": [{"type": "Ready", "status": "True"}],
                    "containerStatuses": [{"name": "a", "state": {"running": {}}}],
                }),
                json!({
                    "conditions": [{
                        "type": "Ready", "status": "True",
                        "lastProbeTime": null, "lastTransitionTime": null,
                    }],
                    "containerStatuses": [{
                        "name": "a", "image": "", "imageID": "", "ready": false,
                        "restartCount": 0, "lastState": {},
                        "state": {"running": {"startedAt": null}},
                    }],
                }),
            ),
            (("", "Service"), json!({}), json!({"loadBalancer": {}})),
            (
                ("apps", "Deployment"),
                json!({"conditions": [{"type": "A", "lastUpdateTime": "2026-01-02T03:04:05Z"}]}),
                json!({"conditions": [{
                    "type": "A", "lastUpdateTime": "2026-01-02T03:04:05Z",
                    "lastTransitionTime": null,
                }]}),
            ),
            (
                ("apps", "StatefulSet"),
                json!({"replicas": 2}),
                json!({"replicas": 2, "availableReplicas": 0}),
            ),
        ];
        for ((group, kind), given, expected) in cases {
            let mut object = json!({"status": given});
            default(group, "v1", kind, &mut object);
            assert_eq!(object["status"], expected, "{kind}");
        }
    }
}
