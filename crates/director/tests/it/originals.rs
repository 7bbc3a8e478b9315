//! Objects of the first KubeDirector, served as those of today that they own.

use serde_json::{Value, json};

use crate::room::Room;

const API: &str = "kubedirector.bluedata.io/v1alpha1";

fn app() -> Value {
    json!({
        "apiVersion": API,
        "kind": "KubeDirectorApp",
        "metadata": {"name": "spark"},
        "spec": {
            "label": {"name": "Spark"},
            "distro_id": "bluedata/spark",
            "version": "1.0",
            "image": {"repoTag": "bluedata/spark:1"},
            "setup_package": {
                "config_api_version": 7, "import_url": "http://example.com/appconfig.tgz",
            },
            "services": [{"id": "ssh", "label": {"name": "SSH"}, "endpoint": {"port": 22}}],
            "roles": [{"id": "controller", "cardinality": "1"}, {"id": "worker", "cardinality": "0+"}],
            "config": {
                "selected_roles": ["controller", "worker"],
                "role_services": [{"role_id": "controller", "service_ids": ["ssh"]}],
            },
        },
    })
}

fn cluster(workers: u32) -> Value {
    let resources = json!({"limits": {"memory": "4Gi", "cpu": "2"}});
    json!({
        "apiVersion": API,
        "kind": "KubeDirectorCluster",
        "metadata": {"name": "sql"},
        "spec": {
            "app": "spark",
            "roles": [
                {"name": "controller", "replicas": 1, "resources": resources},
                {"name": "worker", "replicas": workers, "resources": resources},
            ],
        },
    })
}

#[tokio::test]
async fn a_cluster_of_that_time_has_one_of_today_and_says_how_it_stands_in_its_own_words() {
    let room = Room::start().await;
    room.here(API, "KubeDirectorApp")
        .try_create(app())
        .await
        .unwrap();
    let originals = room.here(API, "KubeDirectorCluster");
    originals.try_create(cluster(1)).await.unwrap();
    let stands = |it: &Value| it["status"]["roles"][1]["members"][0]["pod"].is_string();
    let seen = originals.until_there("sql", stands).await;
    let status = &seen["status"];
    assert_eq!(status["state"], "creating", "{status:#}");
    let controller = &status["roles"][0];
    let set = controller["statefulSet"].as_str().unwrap();
    assert!(set.starts_with("sql-controller-"), "{set}");
    let member = &controller["members"][0];
    assert_eq!(member["state"], "create_pending");
    assert_eq!(member["service"], format!("svc-{set}-0"));
    let made = room.clusters().get("sql").await.unwrap();
    assert_eq!(
        made["metadata"]["ownerReferences"][0]["uid"],
        seen["metadata"]["uid"]
    );
    assert_eq!(made["spec"]["serviceType"], "NodePort");

    let patched = originals.try_merge("sql", cluster(3)).await.unwrap();
    let has_three = |it: &Value| {
        let workers = it["status"]["roles"][1]["members"].as_array();
        it["status"]["observedGeneration"] == patched["metadata"]["generation"]
            && workers.is_some_and(|workers| workers.len() == 3)
    };
    originals.until_there("sql", has_three).await;

    // A change that cannot be is told, and nothing of it arrives.
    let wrong = originals.try_replace("sql", "/spec/roles/1/replicas", json!(-1));
    wrong.await.unwrap();
    let told = originals
        .until_there("sql", |it| it["status"]["message"].is_string())
        .await;
    let message = told["status"]["message"].as_str().unwrap();
    assert!(message.contains("spec.roles[1]"), "{message}");
    let kept = room.clusters().get("sql").await.unwrap();
    assert_eq!(kept["spec"]["roles"][1]["members"], 3);
}
