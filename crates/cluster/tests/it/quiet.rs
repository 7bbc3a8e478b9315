use std::cell::Cell;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::home::{Home, eventually};

#[tokio::test]
async fn a_settled_cluster_is_quiet() {
    let home = Home::start().await;
    home.namespace("team").await;
    let services = home.kind("v1", "Service", "services", Some("team"));
    services
        .create(json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
            "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]},
        }))
        .await;
    let pods = home.pods("team");
    pods.create(json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "waiting"},
        "spec": {"containers": [{"name": "main", "image": "demo"}]},
    }))
    .await;
    let endpoints = home.kind("v1", "Endpoints", "endpoints", Some("team"));
    endpoints.until("web", Option::is_some).await;
    pods.until("waiting", |pod| {
        pod.as_ref()
            .is_some_and(|pod| pod["status"]["conditions"].is_array())
    })
    .await;
    let last = Cell::new((0, Instant::now()));
    eventually("nothing is written for half a second", || async {
        let (revision, since) = last.get();
        if home.server.revision() != revision {
            last.set((home.server.revision(), Instant::now()));
        }
        revision == home.server.revision() && since.elapsed() > Duration::from_millis(500)
    })
    .await;
}
