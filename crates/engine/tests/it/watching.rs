//! Stores follow the cluster through everything a watch can do.

use serde_json::json;
use tokio::sync::watch;

use crate::api::{Answer, FakeApi};
use crate::apps::{Running, app, builder, phase, set_pod_phase};

#[tokio::test]
async fn nothing_is_planned_before_every_store_has_its_first_list() {
    let api = FakeApi::new();
    let (open, gate) = watch::channel(false);
    api.hook(move |call| (call.line == "LIST pods").then(|| Answer::When(gate.clone())));
    api.put("apps", app("one", json!({})));
    api.put(
        "pods",
        json!({
            "metadata": { "namespace": "team", "name": "one-0", "labels": { "app": "one" } },
            "status": { "phase": "Running" },
        }),
    );
    let engine = Running::start(builder(&api));
    api.until("both lists", |api| api.count("LIST") == 2).await;
    assert_eq!(api.writes(), Vec::<String>::new());
    open.send_replace(true);
    api.until("adoption", |api| phase(api, "one") == "Running")
        .await;
    engine.stop().await;
    assert_eq!(
        api.count("POST pods"),
        0,
        "the pod was seen before the first plan"
    );
}

#[tokio::test]
async fn ended_watches_are_resumed_where_they_were() {
    let api = FakeApi::new();
    let engine = Running::start(builder(&api));
    api.put("apps", app("one", json!({})));
    api.until("a pod", |api| api.get("pods", "team/one-0").is_some())
        .await;
    for _ in 0..3 {
        api.end_watches();
    }
    set_pod_phase(&api, "one-0", "Running");
    api.until("running", |api| phase(api, "one") == "Running")
        .await;
    engine.stop().await;
    assert_eq!(api.count("LIST"), 2, "no list but the first of each kind");
}

#[tokio::test]
async fn a_watch_that_fell_behind_lists_again_and_sees_what_is_gone() {
    let api = FakeApi::new();
    let engine = Running::start(builder(&api));
    api.put("apps", app("one", json!({})));
    api.until("a pod", |api| api.get("pods", "team/one-0").is_some())
        .await;
    set_pod_phase(&api, "one-0", "Running");
    api.until("running", |api| phase(api, "one") == "Running")
        .await;
    // The deletion is never delivered as an event.
    api.hold("pods");
    api.remove("pods", "team/one-0");
    api.compact();
    api.release("pods");
    api.until("failed", |api| phase(api, "one") == "Failed")
        .await;
    engine.stop().await;
}

#[tokio::test]
async fn lists_that_fail_are_tried_again() {
    let api = FakeApi::new();
    api.fail("LIST", 3, || Answer::Status(500, "InternalError"));
    api.put("apps", app("one", json!({})));
    let engine = Running::start(builder(&api));
    api.until("a pod", |api| api.get("pods", "team/one-0").is_some())
        .await;
    engine.stop().await;
}

#[tokio::test]
async fn only_the_given_namespaces_are_watched() {
    let api = FakeApi::new();
    let mut elsewhere = app("far", json!({}));
    elsewhere["metadata"]["namespace"] = json!("other");
    api.put("apps", elsewhere);
    api.put("apps", app("one", json!({})));
    let engine =
        Running::start(builder(&api).namespaces(vec!["team".to_owned(), "team".to_owned()]));
    api.until("a pod", |api| api.get("pods", "team/one-0").is_some())
        .await;
    engine.stop().await;
    assert!(api.get("apps", "other/far").unwrap()["status"].is_null());
    assert!(
        api.calls()
            .iter()
            .all(|line| line != "LIST apps" && line != "LIST pods")
    );
}
