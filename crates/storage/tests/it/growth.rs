//! Claims that grow by themselves.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use windlass_storage::classes::Settings;
use windlass_storage::growth::plan::GROWN_AT;
use windlass_storage::growth::policy::{COOL_DOWN, MAX, STEP};
use windlass_trial::mishaps::{Script, USUAL_STEP, complaints, scripts};

use crate::figures::namespace;
use crate::house::{House, claim, under};

/// How long anything may take. After some mishaps a claim is looked at again after a minute only.
const PATIENCE: Duration = Duration::from_mins(3);
/// How many lives go on at the same time.
const AT_ONCE: usize = 16;

fn capacity(claim: &Value) -> &Value {
    &claim["status"]["capacity"]["storage"]
}

fn reason(claim: &Value) -> Option<&str> {
    let mut conditions = claim["status"]["conditions"].as_array()?.iter();
    let ours = conditions.find(|it| it["type"] == "windlass.dev/AutoGrow")?;
    ours["reason"].as_str()
}

/// A pod that uses claims on the node that tells.
async fn use_claims(house: &House, name: &str, claims: &[&str]) {
    let volumes: Vec<Value> = claims
        .iter()
        .map(|claim| json!({"name": claim, "persistentVolumeClaim": {"claimName": claim}}))
        .collect();
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "user"},
        "spec": {
            "nodeName": "full", "containers": [{"name": "main", "image": "none"}], "volumes": volumes,
        },
    });
    // A pod has an account, which a new namespace gets in a moment.
    house.accounts(name).until_there("default", |_| true).await;
    let pods = house.pods(name);
    pods.create(pod).await;
    let running = json!({"status": {"phase": "Running"}});
    pods.merge_status("user", running).await;
}

async fn with_node(house: &House) {
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "full"}});
    house.nodes().create(node).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_that_is_nearly_full_grows_by_a_step_and_one_at_its_most_says_so() {
    let house = House::new().await;
    with_node(&house).await;
    let name = namespace(400);
    house.namespace(&name, false).await;
    use_claims(&house, &name, &["data", "half"]).await;
    let operator = house.operate(&name, &Settings::default(), &Arc::default());
    let operator = tokio::spawn(operator);
    let claims = house.claims(&name);
    let grows = json!({ MAX: "4Gi", STEP: "2Gi", COOL_DOWN: "10m" });
    claims.create(claim("half", "local-path", &grows)).await;
    claims.create(claim("data", "local-path", &grows)).await;
    let grown = claims.until_there("data", |it| capacity(it) == "3Gi").await;
    assert!(
        grown["metadata"]["annotations"][GROWN_AT].is_string(),
        "{grown:#}"
    );
    let events = house.events(&name);
    events.until_one(|it| it["reason"] == "Growing").await;

    // It has just grown, so that it waits; with less it cannot do any more.
    let lower = json!({"metadata": {"annotations": {MAX: "3Gi"}}});
    claims.merge("data", lower).await;
    let full = claims
        .until_there("data", |it| reason(it) == Some("AtMax"))
        .await;
    assert_eq!(capacity(&full), "3Gi");
    let wrong = json!({"metadata": {"annotations": {MAX: "a lot"}}});
    claims.merge("data", wrong).await;
    claims
        .until_there("data", |it| reason(it) == Some("Invalid"))
        .await;
    let none = json!({"metadata": {"annotations": {MAX: null, STEP: null, COOL_DOWN: null}}});
    claims.merge("data", none).await;
    claims.until_there("data", |it| reason(it).is_none()).await;
    let half = claims.get("half").await.unwrap();
    assert_eq!(capacity(&half), "1Gi", "{half:#}");
    operator.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mishap_at_any_call_makes_a_claim_grow_once_all_the_same() {
    let house = House::new().await;
    with_node(&house).await;
    let usual = Arc::new(Script::default());
    assert_eq!(live(&house, Arc::clone(&usual)).await, None);
    let scripts = scripts(&usual, USUAL_STEP, |_| true);
    let calls = usual.calls.lock().len();
    println!("growth: {calls} calls, {} points", scripts.len());
    let told = complaints(scripts, AT_ONCE, |script| live(&house, script)).await;
    assert!(told.is_empty(), "{}", told.join("\n"));
}

/// Lives one life under an operator with this script, and says what was wrong about it.
async fn live(house: &House, script: Arc<Script>) -> Option<String> {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let name = namespace(NEXT.fetch_add(1, Ordering::Relaxed));
    house.namespace(&name, false).await;
    use_claims(house, &name, &["data"]).await;
    let claims = house.claims(&name);
    script.past.set(claims.revision().await).unwrap();
    let operator = house.operate(&name, &Settings::default(), &script);
    let story = async {
        let grows = json!({ MAX: "10Gi", STEP: "1Gi" });
        claims.create(claim("data", "local-path", &grows)).await;
        claims.until_there("data", |it| capacity(it) == "2Gi").await
    };
    // Whoever comes next finds out that it has just grown.
    if under(PATIENCE, operator, story).await.is_none() {
        return Some(format!("it does not grow: {:#?}", claims.list().await));
    }
    let fresh = Arc::new(Script::default());
    let operator = tokio::spawn(house.operate(&name, &Settings::default(), &fresh));
    let wrong = claim("canary", "local-path", &json!({ MAX: "a lot" }));
    claims.create(wrong).await;
    claims
        .until_there("canary", |it| reason(it) == Some("Invalid"))
        .await;
    operator.abort();
    let _ = operator.await;
    let after = claims.get("data").await.unwrap();
    let asked = &after["spec"]["resources"]["requests"]["storage"];
    (asked != "2Gi").then(|| format!("it has grown twice: {after:#}"))
}
