//! The order law: what is written when, and what stops what.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::watch;

use crate::api::{Answer, FakeApi};
use crate::apps::{Running, app, builder, phase, set_pod_phase};

#[tokio::test]
async fn the_status_is_written_before_the_first_effect() {
    let api = FakeApi::new();
    let engine = Running::start(builder(&api));
    api.put("apps", app("one", json!({})));
    api.until("a pod", |api| api.get("pods", "team/one-0").is_some())
        .await;
    engine.stop().await;
    assert_eq!(api.writes(), ["PUT apps/status team/one", "POST pods team"]);
}

#[tokio::test]
async fn no_effect_happens_while_the_status_cannot_be_written() {
    let api = FakeApi::new();
    api.fail("PUT apps/status", 3, || {
        Answer::Status(503, "ServiceUnavailable")
    });
    let engine = Running::start(builder(&api));
    api.put("apps", app("one", json!({})));
    api.until("a pod", |api| api.get("pods", "team/one-0").is_some())
        .await;
    engine.stop().await;
    let writes = api.writes();
    assert_eq!(writes[..4], ["PUT apps/status team/one"; 4]);
    assert_eq!(writes[4], "POST pods team");
}

#[tokio::test]
async fn a_conflict_is_observed_again_and_a_final_state_is_never_turned_back() {
    let api = FakeApi::new();
    let other = api.clone();
    let mut first = true;
    // Someone else finishes the app between our read and our write.
    api.hook(move |call| {
        if call.line == "PUT apps/status team/one" && std::mem::take(&mut first) {
            let other = other.clone();
            tokio::spawn(async move {
                other.edit("apps", "team/one", |app| {
                    app["status"] = json!({ "phase": "Completed" });
                });
            });
            return Some(Answer::Status(409, "Conflict"));
        }
        None
    });
    api.put("apps", app("one", json!({})));
    let engine = Running::start(builder(&api));
    api.until("completed", |api| phase(api, "one") == "Completed")
        .await;
    api.put("apps", app("two", json!({})));
    api.until("the next app", |api| {
        api.get("pods", "team/two-0").is_some()
    })
    .await;
    engine.stop().await;
    assert_eq!(phase(&api, "one"), "Completed");
    let versions: Vec<_> = api
        .bodies("PUT apps/status")
        .iter()
        .map(|body| body["metadata"]["resourceVersion"].is_string())
        .collect();
    assert!(versions.iter().all(|has_precondition| *has_precondition));
}

#[tokio::test]
async fn effects_stop_at_the_first_error() {
    let api = FakeApi::new();
    let mut posts = 0;
    api.hook(move |call| {
        if call.line != "POST pods team" {
            return None;
        }
        posts += 1;
        (posts == 2).then_some(Answer::Status(503, "ServiceUnavailable"))
    });
    let engine = Running::start(builder(&api));
    api.put("apps", app("one", json!({ "pods": 3 })));
    api.until("all pods", |api| api.all("pods").len() == 3)
        .await;
    engine.stop().await;
    let names: Vec<_> = api
        .bodies("POST pods")
        .iter()
        .map(|body| body["metadata"]["name"].as_str().unwrap().to_owned())
        .collect();
    // The third is not tried after the second failed, and the first is not made twice.
    assert_eq!(names, ["one-0", "one-1", "one-1", "one-2"]);
}

#[tokio::test]
async fn a_write_that_happened_without_an_answer_is_not_done_again() {
    let api = FakeApi::new();
    api.hold("pods");
    api.fail("POST pods", 1, || Answer::DoneBut(504, "Timeout"));
    let engine = Running::start(builder(&api));
    api.put("apps", app("one", json!({})));
    api.until("a live list", |api| api.count("LIST pods team") >= 1)
        .await;
    api.release("pods");
    set_pod_phase(&api, "one-0", "Running");
    api.until("running", |api| phase(api, "one") == "Running")
        .await;
    engine.stop().await;
    assert_eq!(api.count("POST pods"), 1);
}

#[tokio::test]
async fn a_call_that_hangs_ends_with_its_timeout_and_is_made_again() {
    let api = FakeApi::new();
    api.fail("POST pods", 1, || Answer::Hang);
    let engine = Running::start(builder(&api).call_timeout(Duration::from_millis(200)));
    api.put("apps", app("one", json!({})));
    api.until("a pod", |api| api.get("pods", "team/one-0").is_some())
        .await;
    engine.stop().await;
    assert_eq!(api.count("POST pods"), 2);
}

#[tokio::test]
async fn what_exists_already_is_read_live_and_planned_again() {
    let api = FakeApi::new();
    let engine = Running::start(builder(&api));
    api.put("apps", app("zero", json!({})));
    api.until("a first pod", |api| {
        api.get("pods", "team/zero-0").is_some()
    })
    .await;
    // The pod is there, and runs, but no watch has shown it.
    api.hold("pods");
    api.put(
        "pods",
        json!({
            "metadata": { "namespace": "team", "name": "one-0", "labels": { "app": "one" } },
            "status": { "phase": "Running" },
        }),
    );
    api.put("apps", app("one", json!({})));
    api.until("adoption", |api| phase(api, "one") == "Running")
        .await;
    engine.stop().await;
    assert_eq!(api.bodies("POST pods").len(), 2, "one try per app");
}

#[tokio::test]
async fn own_writes_are_awaited_before_the_next_plan_from_the_stores() {
    let api = FakeApi::new();
    let engine = Running::start(builder(&api));
    api.put("apps", app("zero", json!({})));
    api.until("a first pod", |api| {
        api.get("pods", "team/zero-0").is_some()
    })
    .await;
    api.hold("pods");
    api.put("apps", app("one", json!({})));
    api.until("a pod", |api| api.get("pods", "team/one-0").is_some())
        .await;
    for touch in 0..5 {
        api.edit("apps", "team/one", |app| {
            app["metadata"]["labels"] = json!({ "n": touch.to_string() });
        });
    }
    api.put("apps", app("two", json!({})));
    api.until("another pod", |api| api.get("pods", "team/two-0").is_some())
        .await;
    api.release("pods");
    set_pod_phase(&api, "one-0", "Running");
    api.until("running", |api| phase(api, "one") == "Running")
        .await;
    engine.stop().await;
    assert_eq!(api.count("POST pods"), 3, "{:?}", api.writes());
}

#[tokio::test]
async fn when_the_stores_stay_behind_the_plan_is_made_from_live_reads() {
    let api = FakeApi::new();
    let engine = Running::start(builder(&api));
    api.put("apps", app("zero", json!({})));
    api.until("a first pod", |api| {
        api.get("pods", "team/zero-0").is_some()
    })
    .await;
    api.hold("pods");
    api.put("apps", app("one", json!({})));
    api.until("a pod", |api| api.get("pods", "team/one-0").is_some())
        .await;
    set_pod_phase(&api, "one-0", "Running");
    api.until("running, though no watch says so", |api| {
        phase(api, "one") == "Running"
    })
    .await;
    engine.stop().await;
}

#[tokio::test]
async fn final_decisions_are_confirmed_by_a_live_read() {
    let api = FakeApi::new();
    let engine = Running::start(builder(&api));
    api.put("apps", app("one", json!({})));
    api.until("a pod", |api| api.get("pods", "team/one-0").is_some())
        .await;
    set_pod_phase(&api, "one-0", "Running");
    api.until("running", |api| phase(api, "one") == "Running")
        .await;
    // The watch shows the pod going, but it is there again by the time it matters.
    let pod = api.get("pods", "team/one-0").unwrap();
    let (open, gate) = watch::channel(false);
    let mut first = true;
    api.hook(move |call| {
        (call.line == "GET apps team/one" && std::mem::take(&mut first))
            .then(|| Answer::When(gate.clone()))
    });
    api.remove("pods", "team/one-0");
    api.until("a live read", |api| api.count("GET apps team/one") == 1)
        .await;
    api.put("pods", pod);
    open.send_replace(true);
    set_pod_phase(&api, "one-0", "Succeeded");
    api.until("completed", |api| phase(api, "one") == "Completed")
        .await;
    engine.stop().await;
    let phases: Vec<_> = api
        .bodies("PUT apps/status")
        .iter()
        .map(|body| body["status"]["phase"].clone())
        .collect();
    assert_eq!(
        phases,
        ["Pending", "Running", "Completed"],
        "it never looked failed"
    );
}

#[tokio::test]
async fn deletions_name_the_incarnation_that_was_observed() {
    let api = FakeApi::new();
    let engine = Running::start(builder(&api));
    api.put("apps", app("one", json!({ "cleanup": true })));
    api.until("a pod", |api| api.get("pods", "team/one-0").is_some())
        .await;
    let uid = api.get("pods", "team/one-0").unwrap()["metadata"]["uid"].clone();
    // By the time the deletion arrives, another pod has the name.
    let other = api.clone();
    let mut first = true;
    api.hook(move |call| {
        if call.line == "DELETE pods team/one-0" && std::mem::take(&mut first) {
            let state = other.clone();
            let (open, gate) = watch::channel(false);
            tokio::spawn(async move {
                let mut pod = state.get("pods", "team/one-0").unwrap();
                state.remove("pods", "team/one-0");
                pod["metadata"]["labels"] = json!({ "app": "someone-else" });
                state.put("pods", pod);
                open.send_replace(true);
                open.closed().await;
            });
            return Some(Answer::When(gate));
        }
        None
    });
    set_pod_phase(&api, "one-0", "Succeeded");
    api.until("a deletion", |api| api.count("DELETE pods") == 1)
        .await;
    api.put("apps", app("two", json!({})));
    api.until("the next app", |api| {
        api.get("pods", "team/two-0").is_some()
    })
    .await;
    engine.stop().await;
    assert_eq!(api.bodies("DELETE pods")[0]["preconditions"]["uid"], uid);
    let survivor = api.get("pods", "team/one-0").unwrap();
    assert_ne!(survivor["metadata"]["uid"], uid);
}

#[tokio::test]
async fn a_refused_effect_comes_back_as_an_observation() {
    let api = FakeApi::new();
    api.fail("POST pods", usize::MAX, || Answer::Status(422, "Invalid"));
    let engine = Running::start(builder(&api));
    api.put("apps", app("one", json!({})));
    api.until("failed", |api| phase(api, "one") == "Failed")
        .await;
    engine.stop().await;
    assert_eq!(
        api.get("apps", "team/one").unwrap()["status"]["note"],
        "Invalid"
    );
    assert_eq!(
        api.count("POST pods"),
        1,
        "the same request is not repeated"
    );
}

#[tokio::test]
async fn what_is_forbidden_today_is_tried_again() {
    let api = FakeApi::new();
    api.fail("POST pods", 1, || Answer::Status(403, "Forbidden"));
    let engine = Running::start(builder(&api));
    api.put("apps", app("one", json!({})));
    api.until("a warning", |api| {
        api.all("events")
            .iter()
            .any(|event| event["reason"] == "Refused")
    })
    .await;
    api.until("a pod", |api| api.get("pods", "team/one-0").is_some())
        .await;
    engine.stop().await;
}

#[tokio::test]
async fn a_status_field_the_api_drops_stops_the_effects_and_is_named() {
    let api = FakeApi::new();
    api.prune_status("phase");
    let engine = Running::start(builder(&api));
    api.put("apps", app("one", json!({})));
    api.until("a warning that names the field", |api| {
        api.all("events").iter().any(|event| {
            event["reason"] == "InternalError"
                && event["note"]
                    .as_str()
                    .is_some_and(|note| note.contains("status.phase"))
        })
    })
    .await;
    engine.stop().await;
    assert!(
        api.writes()
            .iter()
            .all(|line| line == "PUT apps/status team/one")
    );
}

#[tokio::test]
async fn a_plan_that_panics_is_confined_to_its_object() {
    let api = FakeApi::new();
    api.put("apps", app("bad", json!({})));
    let engine = Running::start(builder(&api));
    api.put("apps", app("good", json!({})));
    api.until("its neighbour's pod", |api| {
        api.get("pods", "team/good-0").is_some()
    })
    .await;
    api.until("a warning", |api| {
        api.all("events")
            .iter()
            .any(|event| event["reason"] == "InternalError" && event["regarding"]["name"] == "bad")
    })
    .await;
    engine.stop().await;
    assert!(api.get("apps", "team/bad").unwrap()["status"].is_null());
}

#[tokio::test]
async fn what_no_watch_shows_is_not_waited_for() {
    let api = FakeApi::new();
    let engine = Running::start(builder(&api));
    // The pods of this app lack the label the watch selects by.
    api.put("apps", app("one", json!({ "unlabelled": true })));
    api.until("a pod", |api| api.get("pods", "team/one-0").is_some())
        .await;
    let started = Instant::now();
    api.edit("apps", "team/one", |app| {
        app["metadata"]["labels"] = json!({ "touched": "yes" });
    });
    api.until("the next plan", |api| api.count("POST pods") >= 2)
        .await;
    assert!(started.elapsed() < Duration::from_secs(2), "it was held up");
    engine.stop().await;
}
