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
