//! What the controller says of clusters that nobody has refused.

use serde_json::{Value, json};

use crate::room::{Room, app, cluster, condition};

#[tokio::test]
async fn nothing_is_made_of_a_cluster_that_may_not_be_and_who_corrects_it_gets_it() {
    let room = Room::start().await;
    room.apps().try_create(app()).await.unwrap();
    let wrong = cluster("prod", &json!({"members": 0, "serviceAccountName": "db"}));
    room.clusters().try_create(wrong).await.unwrap();
    let told = room
        .clusters()
        .until_there("prod", |it| condition(it, "Degraded", "True").is_some())
        .await;
    let message = condition(&told, "Degraded", "True").unwrap();
    for expected in [
        "spec.roles[0].members: 0: must be at least 1",
        "spec.roles[0].serviceAccountName: \"db\": is no ServiceAccount of this namespace; create",
    ] {
        assert!(message.contains(expected), "{message}");
    }
    assert!(condition(&told, "Ready", "False").is_some(), "{told:#}");
    assert!(room.sets().list().await.is_empty());
    let services = room.here("v1", "Service").list().await;
    assert!(services.is_empty(), "{services:#?}");
    let events = room.here("events.k8s.io/v1", "Event");
    let told = events
        .until_one(|it| it["reason"] == "ClusterInvalid")
        .await;
    assert!(
        told["note"].to_string().contains("spec.roles[0].members"),
        "{told:#}"
    );

    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "db"}});
    room.here("v1", "ServiceAccount")
        .try_create(account)
        .await
        .unwrap();
    let clusters = room.clusters();
    let path = "/spec/roles/0/members";
    clusters.try_replace("prod", path, json!(2)).await.unwrap();
    room.clusters()
        .until_there("prod", |it| condition(it, "Degraded", "False").is_some())
        .await;
    let set = only_set(&room).await;
    assert_eq!(set["spec"]["replicas"], 2);
    let account = &set["spec"]["template"]["spec"]["serviceAccountName"];
    assert_eq!(account, "db");
}

#[tokio::test]
async fn a_change_that_may_not_be_touches_nothing_of_what_runs() {
    let room = Room::start().await;
    room.apps().try_create(app()).await.unwrap();
    let clusters = room.clusters();
    clusters
        .try_create(cluster("prod", &json!({})))
        .await
        .unwrap();
    let has_set = |it: &Value| it["status"]["roles"][0]["statefulSet"].is_string();
    clusters.until_there("prod", has_set).await;
    let before = only_set(&room).await;
    let name = before["metadata"]["name"].as_str().unwrap();
    assert!(name.starts_with("kdss-"), "{name}");

    type Change = fn(&mut Value);
    let changes: [(Change, &str); 3] = [
        (
            |spec| spec["namingScheme"] = json!("CrNameRole"),
            "spec.namingScheme: cannot change",
        ),
        (
            |spec| {
                spec["roles"][0]["fileInjections"] =
                    json!([{"srcURL": "https://example.com/a", "destDir": "/opt"}]);
            },
            "spec.roles[0].fileInjections: cannot change while the role has members",
        ),
        (
            |spec| spec["roles"][0]["secret"] = json!({"name": "certs", "mountPath": "/certs"}),
            "spec.roles[0].secret.name: \"certs\": is no Secret of this namespace",
        ),
    ];
    for (change, expected) in changes {
        let good = clusters.get("prod").await.unwrap()["spec"].clone();
        let mut wrong = good.clone();
        change(&mut wrong);
        wrong["roles"][0]["members"] = json!(5);
        clusters
            .try_merge("prod", json!({"spec": wrong}))
            .await
            .unwrap();
        let is_told =
            |it: &Value| condition(it, "Degraded", "True").is_some_and(|it| it.contains(expected));
        clusters.until_there("prod", is_told).await;
        let set = only_set(&room).await;
        assert_eq!(set["metadata"]["name"], name);
        assert_eq!(set["spec"], before["spec"], "{expected}");

        let mut back = good.clone();
        if good.get("namingScheme").is_none() {
            back["namingScheme"] = Value::Null;
        }
        clusters
            .try_merge("prod", json!({"spec": back}))
            .await
            .unwrap();
        let is_well = |it: &Value| {
            it["status"]["observedGeneration"] == it["metadata"]["generation"]
                && condition(it, "Degraded", "False").is_some()
        };
        clusters.until_there("prod", is_well).await;
        assert_eq!(only_set(&room).await["spec"], before["spec"]);
    }
}

#[tokio::test]
async fn what_somebody_else_makes_of_what_was_made_is_put_right() {
    let room = Room::start().await;
    room.apps().try_create(app()).await.unwrap();
    let clusters = room.clusters();
    clusters
        .try_create(cluster("prod", &json!({})))
        .await
        .unwrap();
    let set = only_set(&room).await;
    let name = set["metadata"]["name"].as_str().unwrap();
    let image = |set: &Value| set["spec"]["template"]["spec"]["containers"][0]["image"].clone();
    assert_eq!(image(&set), "example/db:1");
    let mut containers = set["spec"]["template"]["spec"]["containers"].clone();
    containers[0]["image"] = json!("example/other:1");
    let change = json!({"spec": {"template": {"spec": {"containers": containers}}}});
    let changed = room.sets().try_merge(name, change).await.unwrap();
    assert_eq!(image(&changed), "example/other:1");
    let is_back = |it: &Value| image(it) == "example/db:1";
    room.sets().until_there(name, is_back).await;

    let services = room.here("v1", "Service");
    let headless = clusters.get("prod").await.unwrap()["status"]["clusterService"].take();
    let headless = headless.as_str().unwrap();
    let change = json!({"spec": {"publishNotReadyAddresses": false}});
    services.try_merge(headless, change).await.unwrap();
    let is_back = |it: &Value| it["spec"]["publishNotReadyAddresses"] == true;
    let service = services.until_there(headless, is_back).await;

    // What others add stays, and after that there is nothing to write.
    let own = json!({"metadata": {"annotations": {"example.com/note": "keep"}}});
    let noted = services.try_merge(headless, own).await.unwrap();
    assert_ne!(
        noted["metadata"]["resourceVersion"],
        service["metadata"]["resourceVersion"]
    );
    let patched = clusters.try_replace("prod", "/spec/roles/0/members", json!(3));
    let patched = patched.await.unwrap();
    clusters
        .until_there("prod", |it| {
            it["status"]["observedGeneration"] == patched["metadata"]["generation"]
        })
        .await;
    let after = services.get(headless).await.unwrap();
    assert_eq!(
        after["metadata"]["resourceVersion"],
        noted["metadata"]["resourceVersion"]
    );
}

#[tokio::test]
async fn a_configuration_says_what_a_cluster_does_not_and_not_afterwards() {
    let room = Room::start().await;
    room.apps().try_create(app()).await.unwrap();
    let config = |naming: &str| {
        json!({
            "apiVersion": "kubedirector.hpe.com/v1beta1",
            "kind": "KubeDirectorConfig",
            "metadata": {"name": "kd-global-config"},
            "spec": {"defaultNamingScheme": naming},
        })
    };
    room.configs()
        .try_create(config("CrNameRole"))
        .await
        .unwrap();
    let clusters = room.clusters();
    clusters
        .try_create(cluster("prod", &json!({})))
        .await
        .unwrap();
    let has_set = |it: &Value| it["status"]["roles"][0]["statefulSet"].is_string();
    let made = clusters.until_there("prod", has_set).await;
    let name = made["status"]["roles"][0]["statefulSet"].as_str().unwrap();
    assert!(name.starts_with("prod-seed-"), "{name}");
    let configs = room.configs();
    let told = configs.try_merge("kd-global-config", config("UID")).await;
    told.unwrap();
    let patched = clusters.try_replace("prod", "/spec/roles/0/members", json!(3));
    let patched = patched.await.unwrap();
    let seen = clusters
        .until_there("prod", |it| {
            it["status"]["observedGeneration"] == patched["metadata"]["generation"]
        })
        .await;
    assert_eq!(seen["status"]["roles"][0]["statefulSet"], *name);
    assert!(condition(&seen, "Degraded", "False").is_some(), "{seen:#}");
}

/// The one StatefulSet. What is decided is told before it is made.
async fn only_set(room: &Room) -> Value {
    let sets = room.sets();
    let set = sets.until_one(|it| it["spec"]["replicas"] == 2).await;
    assert_eq!(sets.list().await.len(), 1);
    set
}
