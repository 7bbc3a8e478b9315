//! Events that people see in `kubectl describe`.

use jiff::Timestamp;
use serde_json::{Value, json};
use windlass_engine::{Kind, ObjectKey};

use crate::api::Api;

/// The object an event is about.
#[derive(Debug, Clone)]
pub(crate) struct Subject<'a> {
    pub(crate) kind: Kind,
    pub(crate) key: &'a ObjectKey,
    pub(crate) uid: &'a str,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Note {
    pub(crate) severity: Severity,
    pub(crate) reason: &'static str,
    pub(crate) action: &'static str,
    pub(crate) text: String,
}

/// How the event is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Severity {
    Normal,
    Warning,
}

/// Writes events in the name of one controller.
#[derive(Clone)]
pub(crate) struct Events {
    api: Api,
    controller: &'static str,
}

impl Events {
    pub(crate) fn new(api: Api, controller: &'static str) -> Self {
        Self { api, controller }
    }

    /// Publishes the event. One that cannot be written is lost: nothing depends on it.
    pub(crate) async fn publish(&self, subject: &Subject<'_>, note: &Note) {
        let event = event(subject, note, self.controller, Timestamp::now());
        let namespace = event["metadata"]["namespace"].as_str();
        if let Err(error) = self.api.create(&Kind::EVENT, namespace, &event).await {
            tracing::debug!(object = %subject.key, reason = note.reason, %error, "event lost");
        }
    }
}

fn event(subject: &Subject<'_>, note: &Note, controller: &str, now: Timestamp) -> Value {
    let target = subject.kind.object_ref(subject.key);
    // Events of cluster-scoped objects live in the default namespace.
    let namespace = target.namespace.as_deref().unwrap_or("default");
    json!({
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {
            "name": format!("{}.{:x}", target.name, now.as_nanosecond()),
            "namespace": namespace,
        },
        "eventTime": format!("{now:.6}"),
        "reportingController": controller,
        "reportingInstance": controller,
        "type": match note.severity {
            Severity::Normal => "Normal",
            Severity::Warning => "Warning",
        },
        "reason": note.reason,
        "action": note.action,
        "note": note.text,
        "regarding": {
            "apiVersion": target.api_version,
            "kind": target.kind,
            "name": target.name,
            "namespace": target.namespace,
            "uid": subject.uid,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_names_its_object_and_its_time_in_microseconds() {
        let key = ObjectKey::namespaced("team", "web");
        let subject = Subject {
            kind: Kind::POD,
            key: &key,
            uid: "u-1",
        };
        let note = Note {
            severity: Severity::Warning,
            reason: "FailedScheduling",
            action: "Scheduling",
            text: "no nodes".to_owned(),
        };
        let now = "2026-01-02T03:04:05.123456789Z".parse().unwrap();
        let event = event(&subject, &note, "default-scheduler", now);
        assert_eq!(event["eventTime"], "2026-01-02T03:04:05.123456Z");
        assert_eq!(event["metadata"]["namespace"], "team");
        assert_eq!(event["regarding"]["uid"], "u-1");
        assert_eq!(event["type"], "Warning");
    }
}
