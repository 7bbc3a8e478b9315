//! Claims that name classes which are not there.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use windlass_storage::classes::Settings;
use windlass_storage::classes::claim::DRIVER;
use windlass_storage::classes::metadata::Endpoints;
use windlass_storage::classes::plan::CONDITION;
use windlass_trial::mishaps::{Script, USUAL_STEP, complaints, scripts};

use crate::house::{House, claim, under};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_mins(2);
/// How many lives go on at the same time.
const AT_ONCE: usize = 16;

fn condition(claim: &Value) -> Option<&Value> {
    let conditions = claim["status"]["conditions"].as_array()?;
    conditions.iter().find(|it| it["type"] == CONDITION)
}

fn reason(claim: &Value) -> Option<&str> {
    condition(claim)?["reason"].as_str()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_of_a_class_that_is_not_there_gets_one_and_a_volume() {
    let house = House::new().await;
    house.namespace("team", true).await;
    let operator = house.operate("team", &Settings::default(), &Arc::default());
    let operator = tokio::spawn(operator);
    // Here the provisioner of the embedded cluster is the only one.
    let claims = house.claims("team");
    claims.create(claim("data", "made-up", &json!({}))).await;
    let bound = |it: &Value| it["status"]["phase"] == "Bound";
    claims.until_there("data", bound).await;
    let class = house.classes().get("made-up").await.unwrap();
    assert_eq!(class["provisioner"], "windlass.dev/local-path");
    let metadata = &class["metadata"];
    assert_eq!(
        metadata["labels"]["app.kubernetes.io/managed-by"],
        "windlass"
    );
    assert_eq!(
        metadata["annotations"]["windlass.dev/made-for"],
        "team/data"
    );
    house
        .events("team")
        .until_one(|it| it["reason"] == "StorageClassMade")
        .await;
    operator.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_claims_that_are_meant_get_classes() {
    let house = House::new().await;
    house.namespace("quiet", false).await;
    let settings = Settings {
        names: vec!["for-all-*".parse().unwrap()],
        ..Settings::default()
    };
    let operator = tokio::spawn(house.operate("quiet", &settings, &Arc::default()));
    let claims = house.claims("quiet");
    let volume = json!({
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "by-hand"},
        "spec": {
            "storageClassName": "for-all-by-hand",
            "accessModes": ["ReadWriteOnce"],
            "capacity": {"storage": "1Mi"},
            "hostPath": {"path": "/nowhere"},
        },
    });
    house.volumes().create(volume).await;
    claims.create(claim("other", "other", &json!({}))).await;
    claims.create(claim("empty", "", &json!({}))).await;
    // It is too small, so it stays without the claim.
    let by_hand = claim("by-hand", "for-all-by-hand", &json!({}));
    claims.create(by_hand).await;
    claims.create(claim("meant", "for-all-1", &json!({}))).await;
    house.classes().until_there("for-all-1", |_| true).await;
    // The namespace changes its mind.
    let label = json!({"metadata": {"labels": {"windlass.dev/storage-classes": "make"}}});
    house.namespaces().merge("quiet", label).await;
    house.classes().until_there("other", |_| true).await;
    let names = house.classes().list().await;
    let names: Vec<&str> = names
        .iter()
        .filter_map(|it| it["metadata"]["name"].as_str())
        // Those of the embedded cluster, of which one is not everywhere.
        .filter(|name| !name.starts_with("local-"))
        .collect();
    assert_eq!(names, ["for-all-1", "other"]);
    assert_eq!(condition(&claims.get("by-hand").await.unwrap()), None);
    operator.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_and_drivers_that_come_later_decide_then() {
    let house = House::new().await;
    house.namespace("late", true).await;
    let node = json!({
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": "one"},
        "spec": {"providerID": "aws:///eu-west-1a/i-1"},
    });
    let operator = house.operate("late", &Settings::default(), &Arc::default());
    let operator = tokio::spawn(operator);
    let claims = house.claims("late");
    let shared = {
        let mut shared = claim("shared", "shared", &json!({DRIVER: "efs.csi.aws.com"}));
        shared["spec"]["accessModes"] = json!(["ReadWriteMany"]);
        shared
    };
    claims.create(shared).await;
    let is = |wanted: &'static str| move |it: &Value| reason(it) == Some(wanted);
    claims.until_there("shared", is("DriverNotInstalled")).await;
    let warned = |it: &Value| it["reason"] == "DriverNotInstalled" && it["type"] == "Warning";
    house.events("late").until_one(warned).await;
    house.nodes().create(node).await;
    house.install("efs.csi.aws.com").await;
    claims.until_there("shared", is("ParametersMissing")).await;
    // What the driver has to be told is in a class that somebody makes.
    let by_keeper = json!({
        "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "efs"},
        "provisioner": "efs.csi.aws.com",
        "parameters": {"provisioningMode": "efs-ap", "fileSystemId": "fs-1", "directoryPerms": "770"},
    });
    house.classes().create(by_keeper).await;
    let class = house.classes().until_there("shared", |_| true).await;
    assert_eq!(class["parameters"]["fileSystemId"], "fs-1");
    claims
        .until_there("shared", |it| condition(it).is_none())
        .await;
    operator.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_metadata_service_decides_where_nothing_else_does() {
    let house = House::new().await;
    house.namespace("asking", true).await;
    // Disks of two providers could be made, and no node tells whose machine it is.
    house.install("ebs.csi.aws.com").await;
    house.install("dobs.csi.digitalocean.com").await;
    let address = droplet().await;
    let endpoints = Endpoints {
        usual: address.clone(),
        alibaba: address,
        patience: Duration::from_secs(20),
    };
    let operator = tokio::spawn(house.operate_asking("asking", endpoints));
    let claims = house.claims("asking");
    claims.create(claim("data", "asked", &json!({}))).await;
    let class = house.classes().until_there("asked", |_| true).await;
    assert_eq!(class["provisioner"], "dobs.csi.digitalocean.com");
    let why = &class["metadata"]["annotations"]["windlass.dev/made-because"];
    let why = why.as_str().unwrap();
    assert!(why.starts_with("these are machines of digitalocean, by the metadata service"));
    assert!(
        why.contains("the CSI drivers would have it be aws"),
        "{why}"
    );
    operator.abort();
}

/// The metadata service of a machine of DigitalOcean's, at an address of its own.
async fn droplet() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = vec![0; 4096];
                let read = stream.read(&mut head).await.unwrap_or_default();
                let head = String::from_utf8_lossy(&head[..read]).into_owned();
                let (status, body) = if head.starts_with("GET /metadata/v1.json ") {
                    ("200 OK", r#"{"droplet_id": 1}"#)
                } else {
                    ("404 Not Found", "")
                };
                let length = body.len();
                let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{body}");
                let _ = stream.write_all(answer.as_bytes()).await;
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mishap_at_any_call_changes_nothing_about_what_a_claim_gets() {
    let house = House::new().await;
    let usual = Arc::new(Script::default());
    assert_eq!(live(&house, Arc::clone(&usual)).await, None);
    let scripts = scripts(&usual, USUAL_STEP, |_| true);
    let calls = usual.calls.lock().len();
    println!("a claim: {calls} calls, {} points", scripts.len());
    let told = complaints(scripts, AT_ONCE, |script| live(&house, script)).await;
    assert!(told.is_empty(), "{}", told.join("\n"));
}

/// Lives one life under an operator with this script, and says what was wrong about it.
async fn live(house: &House, script: Arc<Script>) -> Option<String> {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let name = format!("life-{}", NEXT.fetch_add(1, Ordering::Relaxed));
    house.namespace(&name, true).await;
    script
        .past
        .set(house.claims(&name).revision().await)
        .unwrap();
    let operator = house.operate(&name, &Settings::default(), &script);
    match under(PATIENCE, operator, tell(house, &name)).await {
        Some(story) => story.err(),
        None => {
            let claims = house.claims(&name).list().await;
            Some(format!("it does not end: {claims:#?}"))
        }
    }
}

/// A claim waits for a driver, is told so, and gets its class when the driver comes. The error is what was
/// against the laws.
async fn tell(house: &House, name: &str) -> Result<(), String> {
    let driver = format!("{name}.example.com");
    let claims = house.claims(name);
    let hints = json!({ DRIVER: driver });
    let mut data = claim("data", name, &hints);
    data["metadata"]["labels"] = json!({"mine": "kept"});
    claims.create(data).await;
    claims
        .until_there("data", |it| reason(it) == Some("DriverNotInstalled"))
        .await;
    if house.classes().get(name).await.is_some() {
        return Err("there is a class without a driver".to_owned());
    }
    house.install(&driver).await;
    let class = house.classes().until_there(name, |_| true).await;
    let after = claims
        .until_there("data", |it| condition(it).is_none())
        .await;
    if class["provisioner"] != driver.as_str() || after["status"]["phase"] != "Pending" {
        return Err(format!("{class:#} {after:#}"));
    }
    let metadata = &after["metadata"];
    let is_kept = metadata["annotations"][DRIVER] == driver.as_str();
    if !is_kept || metadata["labels"] != json!({"mine": "kept"}) {
        return Err(format!("what is the user's has changed: {after:#}"));
    }
    // Another look, by a new operator, finds nothing to do about it.
    let fresh = Arc::new(Script::default());
    let operator = tokio::spawn(house.operate(name, &Settings::default(), &fresh));
    let canary = format!("{name}-canary");
    claims.create(claim("canary", &canary, &json!({}))).await;
    house.classes().until_there(&canary, |_| true).await;
    operator.abort();
    let _ = operator.await;
    let calls = fresh.calls.lock();
    let writes = calls.iter().filter(|it| it.is_write() && !it.is_event());
    let about: Vec<String> = writes
        .filter(|it| it.path.contains("/data"))
        .map(|it| format!("{it:?}"))
        .collect();
    if about.is_empty() {
        Ok(())
    } else {
        Err(format!("a second look was followed by {about:#?}"))
    }
}
