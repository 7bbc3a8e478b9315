//! Scheduling: pending pods get a node, or their status says why they do not.
//!
//! [`plan`] decides about all pending pods at once, from what is; the wiring binds. A pod that was
//! bound counts on its node from that moment on, although the copy of the pods shows it later.

mod fit;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;
use serde_json::json;
use tokio::time::Instant;
use windlass_engine::{Kind, ObjectKey};

use crate::api::{Api, CallError};
use crate::events::{Events, Note, Severity, Subject};
use crate::mirror::Mirror;
use crate::objects::{Node, Phase, Pod};
use crate::queue::Queue;
use fit::Cluster;

const NAME: &str = "default-scheduler";
/// How long a binding may take to show in the copy of the pods before it is looked at again.
const ASSUMED_FOR: Duration = Duration::from_secs(30);
/// A pass about all pending pods has this one key.
const PASS: &str = "pending pods";

/// What becomes of a pending pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Decision {
    /// It goes to this node.
    Bind { pod: ObjectKey, node: String },
    /// It stays pending, for this reason.
    Refuse { pod: ObjectKey, message: String },
}

/// Decides about every pending pod, the most important first and then the oldest. A pod that is
/// given a node takes its share before the next one is looked at.
pub(crate) fn plan(
    pods: &[(ObjectKey, Arc<Pod>)],
    nodes: &[(ObjectKey, Arc<Node>)],
    assumed: &HashMap<String, String>,
) -> Vec<Decision> {
    let mut cluster = Cluster::new(nodes);
    let mut pending = Vec::new();
    for (key, pod) in pods {
        let node = pod.node.as_ref().or_else(|| assumed.get(&pod.uid));
        match node {
            Some(node) if pod.phase == Phase::Live => cluster.occupy(node, pod),
            None if is_pending(pod) => pending.push((key, pod)),
            _ => {}
        }
    }
    pending.sort_by_key(|(key, pod)| {
        let demands = &pod.demands;
        (
            std::cmp::Reverse(demands.priority),
            pod.created.clone(),
            (*key).clone(),
        )
    });
    pending
        .into_iter()
        .map(|(key, pod)| {
            let pod_key = key.clone();
            match cluster.place(pod) {
                Ok(node) => {
                    cluster.occupy(&node, pod);
                    Decision::Bind { pod: pod_key, node }
                }
                Err(message) => Decision::Refuse {
                    pod: pod_key,
                    message,
                },
            }
        })
        .collect()
}

/// Whether the pod waits for this scheduler.
fn is_pending(pod: &Pod) -> bool {
    pod.node.is_none()
        && !pod.deleting
        && pod.phase == Phase::Live
        && !pod.demands.gated
        && pod.demands.scheduler == NAME
}

/// Carries decisions out.
pub(crate) struct Scheduler {
    api: Api,
    events: Events,
    pods: Arc<Mirror<Pod>>,
    nodes: Arc<Mirror<Node>>,
    queue: Arc<Queue<&'static str>>,
    memory: Mutex<Memory>,
}

/// What was done and does not show yet; by the uid of the pod.
#[derive(Default)]
struct Memory {
    bound: HashMap<String, (String, Instant)>,
    refused: HashMap<String, String>,
}

impl Scheduler {
    pub(crate) fn new(api: Api, pods: Arc<Mirror<Pod>>, nodes: Arc<Mirror<Node>>) -> Self {
        let queue = Arc::new(Queue::new());
        let wake = Arc::clone(&queue);
        pods.listen(move |change| {
            // A new pending pod, or capacity that has become free.
            let held = |pod: &Pod| pod.node.is_some() && pod.phase == Phase::Live;
            let freed = change.old.is_some_and(held) && !change.new.is_some_and(held);
            if freed || change.new.is_some_and(is_pending) {
                wake.push(PASS);
            }
        });
        let wake = Arc::clone(&queue);
        nodes.listen(move |change| {
            let same = |a: &Node, b: &Node| {
                a.labels == b.labels
                    && a.taints == b.taints
                    && a.unschedulable == b.unschedulable
                    && a.allocatable == b.allocatable
            };
            // Heartbeats change nothing that matters here.
            if !matches!((change.old, change.new), (Some(old), Some(new)) if same(old, new)) {
                wake.push(PASS);
            }
        });
        Self {
            events: Events::new(api.clone(), NAME),
            api,
            pods,
            nodes,
            queue,
            memory: Mutex::default(),
        }
    }

    pub(crate) async fn run(self) {
        self.pods.synced().await;
        self.nodes.synced().await;
        self.queue.work("scheduler", |_| self.pass()).await;
    }

    async fn pass(&self) -> Result<Option<Duration>, CallError> {
        let pods = self.pods.all();
        let assumed = self.assumed(&pods);
        let decisions = plan(&pods, &self.nodes.all(), &assumed);
        let mut failed = None;
        for decision in decisions {
            let done = match &decision {
                Decision::Bind { pod, node } => self.bind(pod, node).await,
                Decision::Refuse { pod, message } => self.refuse(pod, message).await,
            };
            // One pod that cannot be bound does not hold up the others.
            if let Err(error) = done {
                tracing::debug!(?decision, %error, "decision not carried out");
                failed = Some(error);
            }
        }
        failed.map_or(Ok(None), Err)
    }

    /// Forgets what the copy of the pods shows by now.
    fn assumed(&self, pods: &[(ObjectKey, Arc<Pod>)]) -> HashMap<String, String> {
        let waiting: HashMap<&str, &Pod> = pods
            .iter()
            .filter(|(_, pod)| pod.node.is_none())
            .map(|(_, pod)| (pod.uid.as_str(), pod.as_ref()))
            .collect();
        let mut memory = self.memory.lock();
        memory.bound.retain(|uid, (_, since)| {
            waiting.contains_key(uid.as_str()) && since.elapsed() < ASSUMED_FOR
        });
        memory
            .refused
            .retain(|uid, _| waiting.contains_key(uid.as_str()));
        memory
            .bound
            .iter()
            .map(|(uid, (node, _))| (uid.clone(), node.clone()))
            .collect()
    }

    async fn bind(&self, key: &ObjectKey, node: &str) -> Result<(), CallError> {
        let Some(pod) = self.pods.get(key) else {
            return Ok(());
        };
        let binding = json!({
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": &*key.name, "namespace": key.namespace.as_deref(), "uid": pod.uid},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        });
        match self
            .api
            .create_subresource(&Kind::POD, key, "binding", &binding)
            .await
        {
            Ok(_) => {}
            // Someone else bound it, or it is another pod by now: the watch will tell.
            Err(CallError::Conflict(_) | CallError::NotFound(_)) => return Ok(()),
            Err(error) => return Err(error),
        }
        self.memory
            .lock()
            .bound
            .insert(pod.uid.clone(), (node.to_owned(), Instant::now()));
        let note = Note {
            severity: Severity::Normal,
            reason: "Scheduled",
            action: "Binding",
            text: format!("Successfully assigned {key} to {node}"),
        };
        self.events.publish(&subject(key, &pod), &note).await;
        Ok(())
    }

    async fn refuse(&self, key: &ObjectKey, message: &str) -> Result<(), CallError> {
        let Some(pod) = self.pods.get(key) else {
            return Ok(());
        };
        let shown = pod.demands.verdict.as_ref();
        let shows = shown.is_some_and(|verdict| {
            verdict.status == "False"
                && verdict.reason == "Unschedulable"
                && verdict.message == message
        });
        let told = self.memory.lock().refused.get(&pod.uid).cloned();
        if shows || told.as_deref() == Some(message) {
            return Ok(());
        }
        let mut condition = json!({
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": message,
            "lastProbeTime": null,
        });
        if shown.is_none_or(|verdict| verdict.status != "False") {
            condition["lastTransitionTime"] = format!("{:.0}", Timestamp::now()).into();
        }
        let patch = json!({
            "metadata": {"uid": pod.uid},
            "status": {"conditions": [condition]},
        });
        match self.api.merge_status(&Kind::POD, key, &patch).await {
            Ok(_) => {}
            Err(CallError::NotFound(_) | CallError::Conflict(_)) => return Ok(()),
            Err(error) => return Err(error),
        }
        self.memory
            .lock()
            .refused
            .insert(pod.uid.clone(), message.to_owned());
        let note = Note {
            severity: Severity::Warning,
            reason: "FailedScheduling",
            action: "Scheduling",
            text: message.to_owned(),
        };
        self.events.publish(&subject(key, &pod), &note).await;
        Ok(())
    }
}

fn subject<'a>(key: &'a ObjectKey, pod: &'a Pod) -> Subject<'a> {
    Subject {
        kind: Kind::POD,
        key,
        uid: &pod.uid,
    }
}

#[cfg(test)]
#[path = "scheduler/tests.rs"]
mod tests;
