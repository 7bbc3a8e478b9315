use kube::api::PropagationPolicy::Background;
use serde_json::{Value, json};
use windlass_apiserver::Verb;
use windlass_apiserver::faults::{Calls, Fault, When};

use super::{counts, reason, template};
use crate::home::{Home, eventually};
use crate::kubelet::{Kubelet, ended, ready};

fn workload(api_version: &str, kind: &str, name: &str) -> Value {
    json!({
        "apiVersion": api_version, "kind": kind, "metadata": {"name": name},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": name}},
            "template": template(name, "one"),
        },
    })
}

#[tokio::test]
async fn what_is_as_it_should_be_is_not_written_again() {
    let home = Home::start().await;
    home.namespace("team").await;
    let _kubelet = Kubelet::with(&home, "team", |pod| {
        let pending = pod["status"]["phase"] == "Pending";
        let of_job = pod["metadata"]["labels"]["job-name"].is_string();
        pending.then(|| if of_job { ended(0) } else { ready() })
    });
    let team = Some("team");
    let deployments = home.deployments("team");
    let sets = home.kind("apps/v1", "StatefulSet", "statefulsets", team);
    let jobs = home.kind("batch/v1", "Job", "jobs", team);
    let budgets = home.kind(
        "policy/v1",
        "PodDisruptionBudget",
        "poddisruptionbudgets",
        team,
    );
    deployments
        .create(workload("apps/v1", "Deployment", "web"))
        .await;
    sets.create(workload("apps/v1", "StatefulSet", "db")).await;
    jobs.create(json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "sum"},
        "spec": {"completions": 2, "template": {"spec": {
            "restartPolicy": "Never", "containers": [{"name": "main", "image": "demo"}],
        }}},
    }))
    .await;
    budgets
        .create(json!({
            "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "web"},
            "spec": {"maxUnavailable": 1, "selector": {"matchLabels": {"app": "web"}}},
        }))
        .await;
    deployments
        .until_it("web", |web| counts(web, "availableReplicas", 2))
        .await;
    sets.until_it("db", |db| counts(db, "availableReplicas", 2))
        .await;
    jobs.until_it("sum", |sum| !reason(sum, "Complete").is_empty())
        .await;
    budgets
        .until_it("web", |web| web["status"]["disruptionsAllowed"] == 1)
        .await;
    home.quiet().await;

    // Every controller looks again, also at what depends on it.
    let calls = Calls::verb(Verb::Patch).by("system:cluster");
    let patches = home
        .server
        .faults()
        .inject(calls, When::Nth(u64::MAX), Fault::Duplicate);
    let touch = json!({"metadata": {"labels": {"touched": "yes"}}});
    deployments.merge("web", touch.clone()).await;
    sets.merge("db", touch.clone()).await;
    jobs.merge("sum", touch.clone()).await;
    budgets.merge("web", touch.clone()).await;
    for set in home.replica_sets("team").list().await {
        let name = set["metadata"]["name"].as_str().unwrap();
        home.replica_sets("team").merge(name, touch.clone()).await;
    }
    home.quiet().await;
    assert_eq!(patches.seen(), 0);

    // A change that matters is written, so that the silence above means something.
    let pod = home
        .pods("team")
        .list()
        .await
        .into_iter()
        .find(|pod| pod["metadata"]["labels"]["app"] == "web");
    let name = pod.unwrap()["metadata"]["name"]
        .as_str()
        .unwrap()
        .to_owned();
    home.pods("team").delete(&name, Background).await;
    eventually("the loss is noticed", || async { patches.seen() > 0 }).await;
}

#[tokio::test]
async fn before_the_end_of_the_cluster_no_pod_is_replaced_and_none_is_kept() {
    let home = Home::start().await;
    home.namespace("team").await;
    let _kubelet = Kubelet::start(&home, "team");
    let team = Some("team");
    let deployments = home.deployments("team");
    let sets = home.kind("apps/v1", "StatefulSet", "statefulsets", team);
    let jobs = home.kind("batch/v1", "Job", "jobs", team);
    deployments
        .create(workload("apps/v1", "Deployment", "web"))
        .await;
    sets.create(workload("apps/v1", "StatefulSet", "db")).await;
    jobs.create(json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "sum"},
        "spec": {"template": {"spec": {
            "restartPolicy": "Never", "containers": [{"name": "main", "image": "demo"}],
        }}},
    }))
    .await;
    deployments
        .until_it("web", |web| counts(web, "availableReplicas", 2))
        .await;
    sets.until_it("db", |db| counts(db, "availableReplicas", 2))
        .await;
    jobs.until_it("sum", |sum| counts(sum, "ready", 1)).await;
    home.cluster.as_ref().unwrap().make_no_more_pods();
    let pods = home.pods("team");
    for pod in pods.list().await {
        let name = pod["metadata"]["name"].as_str().unwrap();
        pods.delete(name, Background).await;
    }
    eventually("all pods are gone", || async {
        pods.list().await.is_empty()
    })
    .await;
    home.quiet().await;
    assert_eq!(pods.list().await, [Value::Null; 0]);
}
