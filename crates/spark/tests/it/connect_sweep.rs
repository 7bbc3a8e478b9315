//! A server that comes up and is replaced once, while a call of its operator goes wrong: every
//! write, in every way, and some of the reads. However it goes, the end is the same, and an operator
//! that comes new to it writes nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;

use crate::connects::{answers, names, server, until, until_pod, until_ready};
use windlass_trial::mishaps::{Call, Script, USUAL_STEP, complaints, scripts};

use crate::house::{House, Place};
use crate::sweep::operate;

const AT_ONCE: usize = 16;
const PATIENCE: Duration = Duration::from_mins(2);
const NAME: &str = "sql";
/// The one that shows that an operator has looked around.
const CANARY: &str = "canary";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mishap_at_any_call_about_a_server_changes_nothing_about_the_end() {
    let house = House::empty().await;
    let usual = Arc::new(Script::default());
    assert_eq!(live(&house, Arc::clone(&usual)).await, None);
    let scripts = scripts(&usual, USUAL_STEP, |call| {
        call.is_write() || call.path.contains("/sparkconnects")
    });
    assert!(scripts.len() >= 5, "{} points were tried", scripts.len());
    println!("a server: {} points", scripts.len());
    let told = complaints(scripts, AT_ONCE, |script| live(&house, script)).await;
    assert!(told.is_empty(), "{}", told.join("\n"));
}

/// Lives one life, and says what was wrong about it.
async fn live(house: &House, script: Arc<Script>) -> Option<String> {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let namespace = format!("connect-{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let place = house.place(&namespace).await;
    script.past.set(place.revision().await).unwrap();
    let mut tasks = JoinSet::new();
    let client = house.operator_client();
    tasks.spawn(operate(client.clone(), namespace.clone(), script));
    let mut connect = server(NAME);
    connect["spec"]["access"] = json!({"token": {}, "networkPolicy": {}});
    place.connects().create(connect).await;
    let lived = tokio::time::timeout(PATIENCE, async {
        let first = until_pod(&place, NAME, None).await;
        answers(&place, &first).await;
        until_ready(&place, NAME).await;
        let token = place.secrets().get("sql-connect-token").await;
        let change = json!({"spec": {"server": {"memory": "2g"}}});
        place.connects().merge(NAME, change).await;
        let second = until_pod(&place, NAME, Some(&first)).await;
        answers(&place, &second).await;
        until_ready(&place, NAME).await;
        token
    });
    let Ok(token) = lived.await else {
        let found = place.connects().get(NAME).await.unwrap_or_default();
        return Some(format!("it took too long: {:#}", found["status"]));
    };
    tasks.shutdown().await;

    // Whoever comes new finds nothing to do, but for what the last one may have left.
    for last in [false, true] {
        let script = Arc::new(Script::default());
        tasks.spawn(operate(
            client.clone(),
            namespace.clone(),
            Arc::clone(&script),
        ));
        if tokio::time::timeout(PATIENCE, look_around(&place))
            .await
            .is_err()
        {
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
    let mut found = Vec::new();
    for (kind, objects) in [
        ("Deployment", place.deployments()),
        ("Service", place.services()),
        ("ConfigMap", place.config_maps()),
        ("NetworkPolicy", place.network_policies()),
        ("Secret", place.secrets()),
    ] {
        let count = names(objects, NAME).await.len();
        found.push(format!("{kind} {count}"));
    }
    let expected = [
        "Deployment 1",
        "Service 1",
        "ConfigMap 2",
        "NetworkPolicy 2",
        "Secret 1",
    ];
    if found != expected {
        return Some(format!("it ends with {found:?}"));
    }
    let same = place.secrets().get("sql-connect-token").await;
    let data = |secret: &Option<serde_json::Value>| secret.as_ref().map(|it| it["data"].clone());
    (data(&same) != data(&token)).then(|| "the token has changed".to_owned())
}

/// Makes something that an operator says something about, and waits until one did.
async fn look_around(place: &Place) {
    let mut canary = server(CANARY);
    canary["spec"]["executor"]["memory"] = json!("1Gi");
    place.connects().create(canary).await;
    until(place, CANARY, |it| it["status"]["state"] == "Failed").await;
    place.connects().delete(CANARY).await;
    place.connects().until_gone(CANARY).await;
}
