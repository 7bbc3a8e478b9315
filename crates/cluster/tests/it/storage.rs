use kube::api::PropagationPolicy::Background;
use serde_json::json;

use crate::home::{Home, eventually};

#[tokio::test]
async fn a_claim_gets_a_directory_and_takes_it_along_when_it_goes() {
    let home = Home::start().await;
    home.furnished("default").await;
    let classes = home.kind("storage.k8s.io/v1", "StorageClass", "storageclasses", None);
    classes.until("local-path", Option::is_some).await;
    let claims = home.kind(
        "v1",
        "PersistentVolumeClaim",
        "persistentvolumeclaims",
        Some("default"),
    );
    let uid = claims
        .create(json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"},
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "2Gi"}},
            },
        }))
        .await;
    let bound = claims
        .until("data", |claim| {
            claim
                .as_ref()
                .is_some_and(|claim| claim["status"]["phase"] == "Bound")
        })
        .await;
    let name = format!("pvc-{uid}");
    assert_eq!(bound["spec"]["volumeName"], *name);
    assert_eq!(bound["status"]["capacity"]["storage"], "2Gi");
    let volumes = home.kind("v1", "PersistentVolume", "persistentvolumes", None);
    let volume = volumes
        .until(&name, |volume| {
            volume
                .as_ref()
                .is_some_and(|volume| volume["status"]["phase"] == "Bound")
        })
        .await;
    let directory = home.data.path().join("volumes").join(&name);
    assert_eq!(
        volume["spec"]["hostPath"]["path"],
        *directory.to_string_lossy()
    );
    std::fs::write(directory.join("file"), "content").unwrap();
    claims.delete("data", Background).await;
    volumes.until_gone(&name).await;
    eventually("the directory is removed", || async { !directory.exists() }).await;
}

#[tokio::test]
async fn a_claim_waits_for_its_pod_grows_and_is_kept_where_its_class_says_so() {
    let home = Home::start().await;
    home.furnished("default").await;
    let classes = home.kind("storage.k8s.io/v1", "StorageClass", "storageclasses", None);
    classes
        .create(json!({
            "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "kept"},
            "provisioner": "windlass.dev/local-path", "reclaimPolicy": "Retain",
            "volumeBindingMode": "WaitForFirstConsumer", "allowVolumeExpansion": true,
        }))
        .await;
    let claims = home.claims("default");
    let uid = claims
        .create(json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"},
            "spec": {
                "accessModes": ["ReadWriteMany"], "storageClassName": "kept",
                "resources": {"requests": {"storage": "1Gi"}},
            },
        }))
        .await;
    let events = home.kind("events.k8s.io/v1", "Event", "events", Some("default"));
    eventually("the claim waits and says so", || async {
        let events = events.list().await;
        events
            .iter()
            .any(|event| event["reason"] == "WaitForFirstConsumer")
    })
    .await;
    assert_eq!(
        claims.get("data").await.unwrap()["status"]["phase"],
        "Pending"
    );

    home.pods("default")
        .create(json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "user"},
            "spec": {
                "nodeName": "one",
                "containers": [{"name": "main", "image": "demo"}],
                "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
            },
        }))
        .await;
    claims
        .until_it("data", |claim| claim["status"]["phase"] == "Bound")
        .await;
    claims
        .merge(
            "data",
            json!({"spec": {"resources": {"requests": {"storage": "4Gi"}}}}),
        )
        .await;
    claims
        .until_it("data", |claim| {
            claim["status"]["capacity"]["storage"] == "4Gi"
        })
        .await;
    let volumes = home.kind("v1", "PersistentVolume", "persistentvolumes", None);
    let name = format!("pvc-{uid}");
    let volume = volumes.get(&name).await.unwrap();
    assert_eq!(volume["spec"]["capacity"]["storage"], "4Gi");
    assert_eq!(volume["spec"]["accessModes"], json!(["ReadWriteMany"]));
    home.quiet().await;

    home.pods("default").delete("user", Background).await;
    claims.delete("data", Background).await;
    volumes
        .until_it(&name, |volume| volume["status"]["phase"] == "Released")
        .await;
    assert!(home.data.path().join("volumes").join(&name).exists());
}
