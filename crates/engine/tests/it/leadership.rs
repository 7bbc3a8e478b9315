//! One Lease: who acts, when acting ends, and how the end is orderly.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;
use windlass_engine::lease::LeaseConfig;

use crate::api::{Answer, FakeApi};
use crate::apps::{Running, app, builder};

fn lease(identity: &str) -> LeaseConfig {
    LeaseConfig {
        duration: Duration::from_secs(2),
        renew_deadline: Duration::from_secs(1),
        retry_period: Duration::from_millis(100),
        ..LeaseConfig::new("system", "windlass", identity)
    }
}

fn holder(api: &FakeApi) -> Value {
    api.get("leases", "system/windlass").unwrap_or_default()["spec"]["holderIdentity"].clone()
}

#[tokio::test]
async fn a_standby_takes_over_when_the_leader_gives_the_lease_back() {
    let api = FakeApi::new();
    let first = Running::start(builder(&api).lease(lease("first")));
    api.until("a leader", |api| holder(api) == "first").await;
    let second = Running::start(builder(&api).lease(lease("second")));
    api.put("apps", app("one", json!({})));
    api.until("a pod", |api| api.get("pods", "team/one-0").is_some())
        .await;
    first.stop().await;
    assert_eq!(holder(&api), "", "the Lease is given back");
    api.until("another leader", |api| holder(api) == "second")
        .await;
    api.put("apps", app("two", json!({})));
    api.until("a second pod", |api| {
        api.get("pods", "team/two-0").is_some()
    })
    .await;
    second.stop().await;
    assert_eq!(api.count("POST pods"), 2);
}

#[tokio::test]
async fn losing_the_lease_stops_effects_and_winning_it_again_resumes_them() {
    let api = FakeApi::new();
    let engine = Running::start(builder(&api).lease(lease("first")));
    api.until("a leader", |api| holder(api) == "first").await;
    // The Lease cannot be renewed, and a pass hangs in the middle of its effects.
    let (heal, healed) = watch::channel(false);
    let (lease_healed, pods_healed) = (healed.clone(), healed);
    api.hook(move |call| {
        (call.line.contains("leases") && !*lease_healed.borrow())
            .then_some(Answer::Status(503, "ServiceUnavailable"))
    });
    let mut posts = 0;
    api.hook(move |call| {
        if call.line != "POST pods team" || *pods_healed.borrow() {
            return None;
        }
        posts += 1;
        (posts == 2).then_some(Answer::Hang)
    });
    api.put("apps", app("one", json!({ "pods": 3 })));
    api.until("a pass in the middle of its effects", |api| {
        api.count("POST pods") == 2
    })
    .await;
    let before = api.writes();
    // Longer than the renew deadline: several failed tries to renew have come and gone.
    let tries = api.count("GET leases");
    api.until("the end of the term", |api| {
        api.count("GET leases") >= tries + 14
    })
    .await;
    api.edit("apps", "team/one", |app| {
        app["metadata"]["labels"] = json!({ "touched": "yes" });
    });
    assert_eq!(
        api.writes(),
        before,
        "a process without the Lease writes nothing"
    );
    heal.send_replace(true);
    api.until("all pods", |api| api.all("pods").len() == 3)
        .await;
    engine.stop().await;
}

#[tokio::test]
async fn a_shutdown_lets_running_passes_end_and_then_gives_the_lease_back() {
    let api = FakeApi::new();
    let engine = Running::start(builder(&api).lease(lease("first")));
    let (open, gate) = watch::channel(false);
    api.hook(move |call| (call.line == "POST pods team").then(|| Answer::When(gate.clone())));
    api.put("apps", app("one", json!({ "pods": 2 })));
    api.until("a running effect", |api| api.count("POST pods") == 1)
        .await;
    engine.ask_to_stop();
    api.put("apps", app("late", json!({})));
    let renewals = api.count("PUT leases");
    api.until("a renewal during the end", |api| {
        api.count("PUT leases") > renewals
    })
    .await;
    assert_eq!(holder(&api), "first", "the Lease is kept while a pass runs");
    open.send_replace(true);
    engine.stop().await;
    assert_eq!(api.all("pods").len(), 2, "the running pass went through");
    assert!(
        api.get("apps", "team/late").unwrap()["status"].is_null(),
        "no new work was taken"
    );
    assert_eq!(holder(&api), "");
}

#[tokio::test]
async fn a_pass_that_does_not_end_is_cut_off_at_the_deadline() {
    let api = FakeApi::new();
    api.fail("POST pods", usize::MAX, || Answer::Hang);
    let engine = Running::start(builder(&api).drain(Duration::from_millis(100)));
    api.put("apps", app("one", json!({})));
    api.until("a running effect", |api| api.count("POST pods") == 1)
        .await;
    engine.stop().await;
}
