//! Pods that run nowhere, and say that they do.

use std::time::Duration;

use serde_json::{Value, json};

use crate::home::{Home, Objects};

/// Ends with its owner.
pub(crate) struct Kubelet(tokio::task::JoinHandle<()>);

impl Kubelet {
    /// Makes every new pod of the namespace ready.
    pub(crate) fn start(home: &Home, namespace: &str) -> Self {
        Self::with(home, namespace, |pod| {
            (pod["status"]["phase"] == "Pending").then(ready)
        })
    }

    /// Gives pods the statuses that `next` wants for them.
    pub(crate) fn with(
        home: &Home,
        namespace: &str,
        next: impl Fn(&Value) -> Option<Value> + Send + Sync + 'static,
    ) -> Self {
        let pods = home.pods(namespace);
        Self(tokio::spawn(async move {
            loop {
                for pod in pods.list().await {
                    advance(&pods, &pod, &next).await;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }))
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn advance(pods: &Objects, pod: &Value, next: &impl Fn(&Value) -> Option<Value>) {
    let name = pod["metadata"]["name"].as_str().unwrap();
    if pod["metadata"]["deletionTimestamp"].is_null()
        && let Some(status) = next(pod)
    {
        // It may be gone by now.
        let patch = json!({"metadata": {"uid": pod["metadata"]["uid"]}, "status": status});
        let _ = pods.try_merge_status(name, patch).await;
    }
}

/// The status of a pod that is ready.
pub(crate) fn ready() -> Value {
    json!({"phase": "Running", "conditions": [
        {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"},
    ]})
}

/// The status of a pod that ended long ago.
pub(crate) fn ended(code: i64) -> Value {
    let ended = json!({
        "exitCode": code,
        "startedAt": "2026-01-01T00:00:00Z",
        "finishedAt": "2026-01-01T00:00:01Z",
    });
    json!({
        "phase": if code == 0 { "Succeeded" } else { "Failed" },
        "containerStatuses": [{
            "name": "main", "image": "demo", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"terminated": ended},
        }],
    })
}
