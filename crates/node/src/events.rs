//! What the node tells the people who watch a pod.

use std::collections::HashMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::api::Patch;
use kube::{Api, Client};
use serde_json::json;
use tokio::sync::mpsc;

use crate::config::{patching, posting};

/// How many events wait for a slow API before new ones are dropped: they are news, not state.
const QUEUE: usize = 256;
/// How many different events are remembered, so that a repetition only counts up.
const REMEMBERED: usize = 4096;

/// Sends events without making anybody wait.
#[derive(Debug, Clone)]
pub(crate) struct Events(mpsc::Sender<Note>);

/// How an event is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// As it should be.
    Normal,
    /// Someone may have to act.
    Warning,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Note {
    namespace: String,
    pod: String,
    uid: String,
    field: Option<String>,
    kind: Kind,
    reason: &'static str,
    message: String,
}

impl Events {
    /// Starts the sender; it ends with its last handle.
    pub(crate) fn start(client: Client, node: String) -> Self {
        let (sender, receiver) = mpsc::channel(QUEUE);
        tokio::spawn(send_all(client, node, receiver));
        Self(sender)
    }

    /// Tells something about a pod, or about one of its containers.
    pub(crate) fn tell(
        &self,
        pod: &Pod,
        container: Option<&str>,
        kind: Kind,
        reason: &'static str,
        message: impl Into<String>,
    ) {
        let init = pod
            .spec
            .iter()
            .flat_map(|spec| spec.init_containers.iter().flatten());
        let is_init = |name: &str| init.clone().any(|container| container.name == name);
        let field = container.map(|name| {
            let list = if is_init(name) {
                "initContainers"
            } else {
                "containers"
            };
            format!("spec.{list}{{{name}}}")
        });
        let note = Note {
            namespace: pod.metadata.namespace.clone().unwrap_or_default(),
            pod: pod.metadata.name.clone().unwrap_or_default(),
            uid: pod.metadata.uid.clone().unwrap_or_default(),
            field,
            kind,
            reason,
            message: message.into(),
        };
        // A full queue means the API cannot keep up; the pod's status still says what matters.
        let _ = self.0.try_send(note);
    }
}

async fn send_all(client: Client, node: String, mut notes: mpsc::Receiver<Note>) {
    let mut sent: HashMap<Note, (String, i32)> = HashMap::new();
    while let Some(note) = notes.recv().await {
        if sent.len() >= REMEMBERED {
            sent.clear();
        }
        let api: Api<Event> = Api::namespaced(client.clone(), &note.namespace);
        let now = Time(Timestamp::now());
        if let Some((name, count)) = sent.get_mut(&note) {
            *count += 1;
            let patch = json!({"count": *count, "lastTimestamp": now});
            let patched = api.patch(name, &patching(), &Patch::Merge(patch)).await;
            if patched.is_ok() {
                continue;
            }
        }
        let digits = Timestamp::now().as_nanosecond();
        let name = format!("{}.{digits:x}", note.pod);
        let event = Event {
            metadata: ObjectMeta {
                name: Some(name.clone()),
                namespace: Some(note.namespace.clone()),
                ..ObjectMeta::default()
            },
            involved_object: ObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("Pod".to_owned()),
                name: Some(note.pod.clone()),
                namespace: Some(note.namespace.clone()),
                uid: Some(note.uid.clone()),
                field_path: note.field.clone(),
                ..ObjectReference::default()
            },
            type_: Some(note.kind.name().to_owned()),
            reason: Some(note.reason.to_owned()),
            message: Some(note.message.clone()),
            source: Some(EventSource {
                component: Some("kubelet".to_owned()),
                host: Some(node.clone()),
            }),
            first_timestamp: Some(now.clone()),
            last_timestamp: Some(now),
            count: Some(1),
            reporting_component: Some("kubelet".to_owned()),
            reporting_instance: Some(node.clone()),
            ..Event::default()
        };
        match api.create(&posting(), &event).await {
            Ok(_) => {
                sent.insert(note, (name, 1));
            }
            Err(error) => tracing::debug!(%error, reason = note.reason, "an event was not taken"),
        }
    }
}
