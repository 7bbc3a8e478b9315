use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, EvictParams, PropagationPolicy::Background};
use serde_json::json;

use super::template;
use crate::home::Home;
use crate::kubelet::Kubelet;

#[tokio::test]
async fn a_budget_follows_its_pods_and_spares_them_from_evictions() {
    let home = Home::start().await;
    home.namespace("team").await;
    let _kubelet = Kubelet::start(&home, "team");
    let deployments = home.deployments("team");
    deployments
        .create(json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
            "spec": {
                "replicas": 3,
                "selector": {"matchLabels": {"app": "web"}},
                "template": template("web", "one"),
            },
        }))
        .await;
    let budgets = home.kind(
        "policy/v1",
        "PodDisruptionBudget",
        "poddisruptionbudgets",
        Some("team"),
    );
    budgets
        .create(json!({
            "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "web"},
            "spec": {"maxUnavailable": 1, "selector": {"matchLabels": {"app": "web"}}},
        }))
        .await;
    let settled = budgets
        .until_it("web", |web| web["status"]["disruptionsAllowed"] == 1)
        .await;
    assert_eq!(settled["status"]["expectedPods"], 3);
    assert_eq!(settled["status"]["desiredHealthy"], 2);
    home.quiet().await;

    // An eviction takes what is allowed, and the replacement gives it back.
    let pods = Api::<Pod>::namespaced(home.client.clone(), "team");
    let first = home.pods("team").list().await.remove(0);
    let name = first["metadata"]["name"].as_str().unwrap();
    pods.evict(name, &EvictParams::default()).await.unwrap();
    home.pods("team").until_gone(name).await;
    budgets
        .until_it("web", |web| {
            web["status"]["disruptionsAllowed"] == 1 && web["status"]["disruptedPods"].is_null()
        })
        .await;

    deployments
        .merge("web", json!({"spec": {"replicas": 5}}))
        .await;
    budgets
        .until_it("web", |web| web["status"]["expectedPods"] == 5)
        .await;
    deployments.delete("web", Background).await;
    budgets
        .until_it("web", |web| {
            web["status"]["expectedPods"] == 0 && web["status"]["disruptionsAllowed"] == 0
        })
        .await;
}
