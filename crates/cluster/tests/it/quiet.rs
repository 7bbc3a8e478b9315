use serde_json::json;

use crate::home::Home;

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
    home.quiet().await;
}
