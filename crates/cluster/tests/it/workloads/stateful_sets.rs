use http::StatusCode;
use kube::api::PropagationPolicy::{Background, Orphan};
use serde_json::{Value, json};
use windlass_apiserver::Verb;
use windlass_apiserver::faults::{Calls, Fault, When};

use super::{counts, template, uids};
use crate::home::{Home, Objects, eventually};
use crate::kubelet::Kubelet;

fn set(replicas: i64) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db"},
        "spec": {
            "replicas": replicas,
            "serviceName": "dbs",
            "selector": {"matchLabels": {"app": "db"}},
            "template": template("db", "one"),
            "persistentVolumeClaimRetentionPolicy": {
                "whenDeleted": "Delete", "whenScaled": "Retain",
            },
            "volumeClaimTemplates": [{
                "metadata": {"name": "data"},
                "spec": {
                    "accessModes": ["ReadWriteOnce"],
                    "resources": {"requests": {"storage": "1Gi"}},
                },
            }],
        },
    })
}

fn sets(home: &Home) -> Objects {
    home.kind("apps/v1", "StatefulSet", "statefulsets", Some("team"))
}

fn settled(set: &Value, replicas: i64) -> bool {
    let status = &set["status"];
    [
        "replicas",
        "readyReplicas",
        "availableReplicas",
        "updatedReplicas",
        "currentReplicas",
    ]
    .iter()
    .all(|field| counts(set, field, replicas))
        && status["observedGeneration"] == set["metadata"]["generation"]
        && status["currentRevision"] == status["updateRevision"]
}

async fn names(objects: &Objects) -> Vec<String> {
    let name = |object: &Value| object["metadata"]["name"].as_str().unwrap().to_owned();
    let mut names: Vec<String> = objects.list().await.iter().map(name).collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_set_lives_with_its_claims_and_they_go_with_it() {
    let home = Home::start().await;
    home.namespace("team").await;
    let _kubelet = Kubelet::start(&home, "team");
    let (sets, pods, claims) = (sets(&home), home.pods("team"), home.claims("team"));
    sets.create(set(3)).await;
    sets.until_it("db", |db| settled(db, 3)).await;
    assert_eq!(names(&pods).await, ["db-0", "db-1", "db-2"]);
    let times: Vec<String> = pods
        .list()
        .await
        .iter()
        .map(|pod| pod["metadata"]["creationTimestamp"].to_string())
        .collect();
    assert!(times.is_sorted(), "{times:?}");
    claims
        .until_it("data-db-2", |claim| claim["status"]["phase"] == "Bound")
        .await;
    home.quiet().await;

    sets.merge("db", json!({"spec": {"replicas": 1}})).await;
    sets.until_it("db", |db| settled(db, 1)).await;
    assert_eq!(
        names(&claims).await.len(),
        3,
        "they stay for a pod that comes again"
    );
    sets.merge(
        "db",
        json!({"spec": {"replicas": 2, "template": template("db", "two")}}),
    )
    .await;
    sets.until_it("db", |db| settled(db, 2)).await;
    for pod in pods.list().await {
        assert_eq!(pod["spec"]["containers"][0]["image"], "two");
    }
    let revisions = home.kind(
        "apps/v1",
        "ControllerRevision",
        "controllerrevisions",
        Some("team"),
    );
    assert_eq!(revisions.list().await.len(), 2);
    home.quiet().await;

    sets.delete("db", Background).await;
    eventually("everything goes with the set", || async {
        pods.list().await.is_empty()
            && revisions.list().await.is_empty()
            && claims.list().await.is_empty()
    })
    .await;
}

#[tokio::test]
async fn pods_that_are_left_behind_are_adopted_by_a_set_of_the_same_name() {
    let home = Home::start().await;
    home.namespace("team").await;
    let _kubelet = Kubelet::start(&home, "team");
    let (sets, pods) = (sets(&home), home.pods("team"));
    sets.create(set(2)).await;
    sets.until_it("db", |db| settled(db, 2)).await;
    let before = uids(&pods.list().await);
    sets.delete("db", Orphan).await;
    sets.until_gone("db").await;
    sets.create(set(2)).await;
    sets.until_it("db", |db| settled(db, 2)).await;
    assert_eq!(uids(&pods.list().await), before);
    home.quiet().await;
}

#[tokio::test]
async fn faults_make_no_set_lose_its_order() {
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
        let sets = sets(&home);
        sets.create(set(2)).await;
        sets.until_it("db", |db| settled(db, 2)).await;
        sets.merge("db", json!({"spec": {"template": template("db", "two")}}))
            .await;
        sets.until_it("db", |db| settled(db, 2)).await;
        home.quiet().await;
        assert_eq!(names(&home.pods("team")).await, ["db-0", "db-1"]);
    }
}
