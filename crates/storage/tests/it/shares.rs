//! Claims of classes of shares, and their NFS servers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use windlass_storage::nfs::plan::CONDITION;
use windlass_trial::mishaps::{Script, USUAL_STEP, complaints, scripts};

use crate::house::{House, claim, under};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_mins(2);
/// How many lives go on at the same time.
const AT_ONCE: usize = 16;

fn reason(claim: &Value) -> Option<&str> {
    let conditions = claim["status"]["conditions"].as_array()?;
    let known = conditions.iter().find(|it| it["type"] == CONDITION)?;
    known["reason"].as_str()
}

/// A claim of many, as large as that.
fn shared(name: &str, class: &str, size: &str, annotations: &Value) -> Value {
    let mut shared = claim(name, class, annotations);
    shared["spec"]["accessModes"] = json!(["ReadWriteMany"]);
    shared["spec"]["resources"]["requests"]["storage"] = json!(size);
    shared
}

fn asked(size: &'static str) -> impl Fn(&Value) -> bool {
    move |disk| disk["spec"]["resources"]["requests"]["storage"] == size
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_classes_have_two_servers_whose_disks_have_room_for_all_their_claims() {
    let house = House::new().await;
    house.namespace("team", true).await;
    house.install("nfs.csi.k8s.io").await;
    let servers = house.servers("shares").await;
    let operator = tokio::spawn(house.serve_shares("team", "shares", &Arc::default()));
    let claims = house.claims("team");
    claims
        .create(shared("one", "nfs-one", "10Gi", &json!({})))
        .await;
    let wanted = json!({"windlass.dev/storage-nfs": "server"});
    claims.create(shared("two", "shared", "5Gi", &wanted)).await;
    for (class, server, size) in [
        ("nfs-one", "nfs-nfs-one", "12Gi"),
        ("shared", "nfs-shared", "7Gi"),
    ] {
        let made = house.classes().until_there(class, |_| true).await;
        assert_eq!(made["provisioner"], "nfs.csi.k8s.io");
        let service = servers.services.get(server).await.unwrap();
        let address = &service["spec"]["clusterIP"];
        assert!(address.is_string());
        assert_eq!(&made["parameters"]["server"], address);
        let set = servers.sets.get(server).await.unwrap();
        let pod = &set["spec"]["template"]["spec"];
        let disk = format!("{server}-data");
        let claimed = &pod["volumes"][0]["persistentVolumeClaim"]["claimName"];
        assert_eq!(claimed, disk.as_str());
        servers.disks.until_there(&disk, asked(size)).await;
    }
    // Another claim of the class, wherever it is, has the same server, and its disk grows.
    claims
        .create(shared("more", "nfs-one", "20Gi", &json!({})))
        .await;
    servers
        .disks
        .until_there("nfs-nfs-one-data", asked("32Gi"))
        .await;
    assert_eq!(servers.sets.list().await.len(), 2);
    // What asks for something else than a share is told so, and has no part in it.
    let mut raw = shared("raw", "nfs-one", "1Gi", &json!({}));
    raw["spec"]["volumeMode"] = json!("Block");
    claims.create(raw).await;
    claims
        .until_there("raw", |it| reason(it) == Some("InvalidClaim"))
        .await;
    // Where nobody wants classes there are none.
    house.namespace("quiet", false).await;
    let quiet = shared("quiet", "nfs-quiet", "1Gi", &json!({}));
    house.claims("quiet").create(quiet).await;
    claims
        .create(shared("last", "nfs-last", "1Gi", &json!({})))
        .await;
    house.classes().until_there("nfs-last", |_| true).await;
    assert_eq!(house.classes().get("nfs-quiet").await, None);
    operator.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_never_takes_what_is_somebody_elses() {
    let house = House::new().await;
    house.namespace("team", true).await;
    let servers = house.servers("shares").await;
    let foreign = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "nfs-nfs-taken"},
        "spec": {"ports": [{"port": 80}]},
    });
    servers.services.create(foreign).await;
    let by_hand = json!({
        "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "nfs-by-hand"},
        "provisioner": "example.com/nfs",
    });
    house.classes().create(by_hand).await;
    let operator = tokio::spawn(house.serve_shares("team", "shares", &Arc::default()));
    let claims = house.claims("team");
    claims
        .create(shared("own", "nfs-by-hand", "1Gi", &json!({})))
        .await;
    claims
        .create(shared("data", "nfs-taken", "1Gi", &json!({})))
        .await;
    claims
        .until_there("data", |it| reason(it) == Some("NameTaken"))
        .await;
    assert_eq!(house.classes().get("nfs-taken").await, None);
    // Without a driver the servers make their volumes themselves.
    claims
        .create(shared("good", "nfs-good", "1Gi", &json!({})))
        .await;
    let class = house.classes().until_there("nfs-good", |_| true).await;
    assert_eq!(class["provisioner"], "windlass.dev/nfs-nfs-good");
    let names: Vec<Value> = servers.sets.list().await;
    let names: Vec<&str> = names
        .iter()
        .filter_map(|it| it["metadata"]["name"].as_str())
        .collect();
    assert_eq!(names, ["nfs-nfs-good"]);
    operator.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mishap_at_any_call_changes_nothing_about_the_server_of_a_class() {
    let house = House::new().await;
    house.install("nfs.csi.k8s.io").await;
    let usual = Arc::new(Script::default());
    assert_eq!(live(&house, Arc::clone(&usual)).await, None);
    let scripts = scripts(&usual, USUAL_STEP, |_| true);
    let calls = usual.calls.lock().len();
    println!("a share: {calls} calls, {} points", scripts.len());
    let told = complaints(scripts, AT_ONCE, |script| live(&house, script)).await;
    assert!(told.is_empty(), "{}", told.join("\n"));
}

/// Lives one life under an operator with this script, and says what was wrong about it.
async fn live(house: &House, script: Arc<Script>) -> Option<String> {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let name = format!("nfs-{}", NEXT.fetch_add(1, Ordering::Relaxed));
    house.namespace(&name, true).await;
    let claims = house.claims(&name);
    script.past.set(claims.revision().await).unwrap();
    let home = format!("{name}-servers");
    let servers = house.servers(&home).await;
    let operator = house.serve_shares(&name, &home, &script);
    let story = async {
        claims.create(shared("one", &name, "1Gi", &json!({}))).await;
        let class = house.classes().until_there(&name, |_| true).await;
        claims.create(shared("two", &name, "2Gi", &json!({}))).await;
        let disk = format!("nfs-{name}-data");
        servers.disks.until_there(&disk, asked("5Gi")).await;
        let service = servers.services.get(&format!("nfs-{name}")).await;
        let service = service.ok_or("the Service is gone")?;
        let counts = (
            servers.sets.list().await.len(),
            servers.disks.list().await.len(),
        );
        if class["parameters"]["server"] != service["spec"]["clusterIP"] || counts != (1, 1) {
            return Err(format!("{class:#} {service:#} {counts:?}"));
        }
        Ok::<_, String>(())
    };
    match under(PATIENCE, operator, story).await {
        Some(story) => story.err(),
        None => Some(format!("it does not end: {:#?}", claims.list().await)),
    }
}
