//! A history server that comes up and is replaced once, while a call of its operator goes wrong: every write, in
//! every way, and some of the reads. However it goes, the end is the same, and an operator that comes new to it writes
//! nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;
use windlass_trial::mishaps::{Call, Script, USUAL_STEP, complaints, scripts};

use crate::connects::answers;
use crate::histories::{names, server, until, until_pod, until_ready};
use crate::house::{House, Place};
use crate::sweep::operate;

const AT_ONCE: usize = 16;
const PATIENCE: Duration = Duration::from_mins(2);
const NAME: &str = "jobs";
/// The one that shows that an operator has looked around.
const CANARY: &str = "canary";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mishap_at_any_call_about_a_history_server_changes_nothing_about_the_end() {
    let house = House::empty().await;
    let usual = Arc::new(Script::default());
    assert_eq!(live(&house, Arc::clone(&usual)).await, None);
    let scripts = scripts(&usual, USUAL_STEP, |call| {
        call.is_write() || call.path.contains("/sparkhistoryservers")
    });
    assert!(scripts.len() >= 5, "{} points were tried", scripts.len());
    println!("a history server: {} points", scripts.len());
    let told = complaints(scripts, AT_ONCE, |script| live(&house, script)).await;
    assert!(told.is_empty(), "{}", told.join("\n"));
}

/// Lives one life, and says what was wrong about it.
async fn live(house: &House, script: Arc<Script>) -> Option<String> {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let namespace = format!("history-{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let place = house.place(&namespace).await;
    script.past.set(place.revision().await).unwrap();
    let mut tasks = JoinSet::new();
    let client = house.operator_client();
    tasks.spawn(operate(client.clone(), namespace.clone(), script));
    place.histories().create(server(NAME)).await;
    let lived = tokio::time::timeout(PATIENCE, async {
        let first = until_pod(&place, NAME, None).await;
        answers(&place, &first).await;
        until_ready(&place, NAME).await;
        let change = json!({"spec": {"memory": "2g", "retention": "30d"}});
        place.histories().merge(NAME, change).await;
        let second = until_pod(&place, NAME, Some(&first)).await;
        answers(&place, &second).await;
        until_ready(&place, NAME).await;
    });
    if lived.await.is_err() {
        let found = place.histories().get(NAME).await.unwrap_or_default();
        return Some(format!("it took too long: {:#}", found["status"]));
    }
    tasks.shutdown().await;

    // Whoever comes new finds nothing to do, but for what the last one may have left.
    for last in [false, true] {
        let script = Arc::new(Script::default());
        let of_script = Arc::clone(&script);
        tasks.spawn(operate(client.clone(), namespace.clone(), of_script));
        let looked = tokio::time::timeout(PATIENCE, look_around(&place)).await;
        if looked.is_err() {
            return Some("a new operator does not look around".to_owned());
        }
        tasks.shutdown().await;
        let calls = script.calls.lock();
        let writes: Vec<&Call> = calls
            .iter()
            .filter(|call| call.is_write() && !call.is_event() && !call.path.contains(CANARY))
            .collect();
        if last && !writes.is_empty() {
            return Some(format!("it is not quiet: {writes:?}"));
        }
    }
    for (kind, objects) in [
        ("Deployment", place.deployments()),
        ("Service", place.services()),
        ("ConfigMap", place.config_maps()),
    ] {
        let count = names(objects, NAME).await.len();
        if count != 1 {
            return Some(format!("it ends with {count} of {kind}"));
        }
    }
    let pods = place.pods().list().await;
    let is_own = |pod: &&Value| pod["metadata"]["labels"]["spark-role"] == "history-server";
    let count = pods.iter().filter(is_own).count();
    (count != 1).then(|| format!("it ends with {count} pods"))
}

/// Makes something that an operator says something about, and waits until one did.
async fn look_around(place: &Place) {
    let mut canary = server(CANARY);
    canary["spec"]["memory"] = json!("1Gi");
    place.histories().create(canary).await;
    until(place, CANARY, |it| it["status"]["phase"] == "Failed").await;
    place.histories().delete(CANARY).await;
    place.histories().until_gone(CANARY).await;
}
