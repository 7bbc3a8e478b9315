use http::StatusCode;
use kube::api::PropagationPolicy::{Background, Orphan};
use serde_json::{Value, json};
use windlass_apiserver::Verb;
use windlass_apiserver::faults::{Calls, Fault, When};

use super::{counts, reason, template, uids};
use crate::home::{Home, eventually};
use crate::kubelet::Kubelet;

fn deployment(replicas: i64, image: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": template("web", image),
        },
    })
}

fn set(replicas: i64) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "web"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": template("web", "one"),
        },
    })
}

fn complete(deployment: &Value, replicas: i64) -> bool {
    ["replicas", "updatedReplicas", "availableReplicas"]
        .iter()
        .all(|field| counts(deployment, field, replicas))
        && deployment["status"]["observedGeneration"] == deployment["metadata"]["generation"]
        && reason(deployment, "Progressing") == "NewReplicaSetAvailable"
}

#[tokio::test]
async fn a_deployment_rolls_out_scales_and_is_quiet_in_between() {
    let home = Home::start().await;
    home.namespace("team").await;
    let _kubelet = Kubelet::start(&home, "team");
    let (deployments, sets) = (home.deployments("team"), home.replica_sets("team"));
    deployments.create(deployment(3, "one")).await;
    deployments.until_it("web", |web| complete(web, 3)).await;
    let pods = home.pods("team").list().await;
    assert_eq!(pods.len(), 3);
    let owner = &pods[0]["metadata"]["ownerReferences"][0];
    assert_eq!(
        (&owner["kind"], &owner["controller"]),
        (&json!("ReplicaSet"), &json!(true))
    );
    let name = pods[0]["metadata"]["name"].as_str().unwrap();
    let prefix = format!("{}-", owner["name"].as_str().unwrap());
    assert!(name.starts_with(&prefix), "{name} of {prefix}");
    home.quiet().await;

    let patch = json!({"spec": {"template": template("web", "two")}});
    deployments.merge("web", patch).await;
    deployments.until_it("web", |web| complete(web, 3)).await;
    eventually("only pods of the new image are left", || async {
        let pods = home.pods("team").list().await;
        let new = |pod: &Value| pod["spec"]["containers"][0]["image"] == "two";
        pods.len() == 3 && pods.iter().all(new)
    })
    .await;
    assert_eq!(sets.list().await.len(), 2);

    deployments
        .merge("web", json!({"spec": {"replicas": 5}}))
        .await;
    deployments.until_it("web", |web| complete(web, 5)).await;
    deployments
        .merge("web", json!({"spec": {"replicas": 1}}))
        .await;
    deployments.until_it("web", |web| complete(web, 1)).await;
    home.quiet().await;
    let web = deployments.get("web").await.unwrap();
    assert_eq!(
        web["metadata"]["annotations"]["deployment.kubernetes.io/revision"],
        "2"
    );

    deployments.delete("web", Background).await;
    eventually("sets and pods go with their Deployment", || async {
        sets.list().await.is_empty() && home.pods("team").list().await.is_empty()
    })
    .await;
}

#[tokio::test]
async fn what_an_orphaning_deletion_leaves_is_adopted_again() {
    let home = Home::start().await;
    home.namespace("team").await;
    let _kubelet = Kubelet::start(&home, "team");
    let (deployments, sets) = (home.deployments("team"), home.replica_sets("team"));
    deployments.create(deployment(2, "one")).await;
    deployments.until_it("web", |web| complete(web, 2)).await;
    let before = uids(&home.pods("team").list().await);
    deployments.delete("web", Orphan).await;
    deployments.until_gone("web").await;
    let left = sets.list().await;
    assert_eq!(left[0]["metadata"]["ownerReferences"], Value::Null);
    let uid = deployments.create(deployment(2, "one")).await;
    deployments.until_it("web", |web| complete(web, 2)).await;
    let adopted = sets.list().await;
    assert_eq!(uids(&adopted), uids(&left));
    assert_eq!(adopted[0]["metadata"]["ownerReferences"][0]["uid"], *uid);
    assert_eq!(uids(&home.pods("team").list().await), before);
}

#[tokio::test]
async fn a_set_replaces_what_is_lost_adopts_what_fits_and_lets_go_what_does_not() {
    let home = Home::start().await;
    home.namespace("team").await;
    let _kubelet = Kubelet::start(&home, "team");
    let (sets, pods) = (home.replica_sets("team"), home.pods("team"));
    let mut orphan = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "orphan"}});
    let shape = template("web", "one");
    orphan["metadata"]["labels"] = shape["metadata"]["labels"].clone();
    orphan["spec"] = shape["spec"].clone();
    pods.create(orphan).await;
    let uid = sets.create(set(2)).await;
    sets.until_it("web", |web| counts(web, "readyReplicas", 2))
        .await;
    let orphan = pods.get("orphan").await.unwrap();
    assert_eq!(orphan["metadata"]["ownerReferences"][0]["uid"], *uid);
    assert_eq!(pods.list().await.len(), 2, "it counts");

    pods.merge("orphan", json!({"metadata": {"labels": {"app": "debug"}}}))
        .await;
    eventually(
        "a pod that does not fit any more is free and replaced",
        || async {
            let orphan = pods.get("orphan").await.unwrap();
            orphan["metadata"]["ownerReferences"].is_null() && pods.list().await.len() == 3
        },
    )
    .await;

    let lost = pods
        .list()
        .await
        .into_iter()
        .find(|pod| pod["metadata"]["ownerReferences"][0]["uid"] == *uid);
    let lost = lost.unwrap()["metadata"]["name"]
        .as_str()
        .unwrap()
        .to_owned();
    pods.delete(&lost, Background).await;
    eventually("a lost pod is replaced", || async {
        let web = sets.get("web").await.unwrap();
        pods.get(&lost).await.is_none() && counts(&web, "readyReplicas", 2)
    })
    .await;
    home.quiet().await;
}

#[tokio::test]
async fn a_refused_pod_shows_in_the_status_until_there_is_room() {
    let home = Home::start().await;
    home.namespace("team").await;
    let _kubelet = Kubelet::start(&home, "team");
    let calls = Calls::verb(Verb::Create).on("", "pods").subresource("");
    let rule =
        home.server
            .faults()
            .inject(calls, When::Always, Fault::Refuse(StatusCode::FORBIDDEN));
    let deployments = home.deployments("team");
    deployments.create(deployment(1, "one")).await;
    deployments
        .until_it("web", |web| reason(web, "ReplicaFailure") == "FailedCreate")
        .await;
    let events = home.kind("events.k8s.io/v1", "Event", "events", Some("team"));
    let told = events.list().await;
    let told: Vec<_> = told
        .iter()
        .filter(|event| event["reason"] == "FailedCreate")
        .collect();
    assert_eq!(told.len(), 1, "it is told once: {:#?}", events.list().await);
    rule.remove();
    let web = deployments.until_it("web", |web| complete(web, 1)).await;
    assert_eq!(reason(&web, "ReplicaFailure"), "");
}

#[tokio::test]
async fn faults_make_neither_too_many_nor_too_few_pods() {
    let faults = [
        Fault::Refuse(StatusCode::SERVICE_UNAVAILABLE),
        Fault::LoseAnswer(StatusCode::GATEWAY_TIMEOUT),
        Fault::Duplicate,
    ];
    for fault in faults {
        let home = Home::start().await;
        home.namespace("team").await;
        let _kubelet = Kubelet::start(&home, "team");
        for verb in [Verb::Create, Verb::Patch, Verb::Delete] {
            let calls = Calls::verb(verb).by("system:cluster");
            home.server
                .faults()
                .inject(calls, When::First(3), fault.clone());
        }
        let deployments = home.deployments("team");
        deployments.create(deployment(3, "one")).await;
        deployments.until_it("web", |web| complete(web, 3)).await;
        deployments
            .merge("web", json!({"spec": {"template": template("web", "two")}}))
            .await;
        deployments.until_it("web", |web| complete(web, 3)).await;
        eventually("three pods are left", || async {
            home.pods("team").list().await.len() == 3
        })
        .await;
        home.quiet().await;
        assert_eq!(home.pods("team").list().await.len(), 3);
        assert_eq!(home.replica_sets("team").list().await.len(), 2);
    }
}
