//! What users and time do to an application (suspend and resume, a change that restarts it, its time
//! to live, a deletion), while a call of its operator goes wrong: every call, in every way. However
//! it goes, things end as they do when nothing goes wrong: never two drivers at once, no driver
//! beside executors of another one, nothing left over, and nothing more to write.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use kube::api::WatchEvent;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use windlass_trial::mishaps::{Mishap, Script, USUAL_STEP, complaints, scripts};

use crate::house::{House, Place, pi};
use crate::sweep::{APP, CANARY, is_live, operate, second_look, text};

/// How many lives go on at the same time.
const AT_ONCE: usize = 24;
const PATIENCE: Duration = Duration::from_mins(2);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// A life without mishaps.
struct Story {
    name: &'static str,
    application: Value,
    /// What its user does and waits for, to the last thing that is seen of it.
    act: fn(Place) -> BoxFuture<'static, ()>,
    /// How the driver of an attempt ends, if it does by itself.
    ends: fn(attempt: &str) -> Option<i32>,
    drivers: usize,
}

fn stories() -> [Story; 4] {
    let second_ends: fn(&str) -> Option<i32> = |attempt| (attempt != "1").then_some(0);
    let mut mortal = pi(APP);
    mortal["spec"]["timeToLiveSeconds"] = json!(1);
    [
        Story {
            name: "suspended and resumed",
            application: pi(APP),
            act: |place| {
                Box::pin(async move {
                    until_it_works(&place).await;
                    let suspend = json!({"spec": {"suspend": true}});
                    place.apps().merge(APP, suspend).await;
                    place.until_state(APP, "SUSPENDED").await;
                    let resume = json!({"spec": {"suspend": false}});
                    place.apps().merge(APP, resume).await;
                    place.until_state(APP, "COMPLETED").await;
                })
            },
            ends: second_ends,
            drivers: 2,
        },
        Story {
            name: "changed and restarted",
            application: pi(APP),
            act: |place| {
                Box::pin(async move {
                    until_it_works(&place).await;
                    let change = json!({"spec": {"driver": {"memory": "2g"}}});
                    place.apps().merge(APP, change).await;
                    place.until_state(APP, "COMPLETED").await;
                })
            },
            ends: second_ends,
            drivers: 2,
        },
        Story {
            name: "completed and out of time",
            application: mortal,
            act: |place| Box::pin(async move { place.apps().until_gone(APP).await }),
            ends: |_| Some(0),
            drivers: 1,
        },
        Story {
            name: "deleted while it runs",
            application: pi(APP),
            act: |place| {
                Box::pin(async move {
                    until_it_works(&place).await;
                    place.apps().delete(APP).await;
                    place.apps().until_gone(APP).await;
                })
            },
            ends: |_| None,
            drivers: 1,
        },
    ]
}

/// Waits until the driver and its executor are known to run.
async fn until_it_works(place: &Place) {
    let works = |app: &Option<Value>| {
        let executors = app.as_ref().map(|app| &app["status"]["executorState"]);
        let executors = executors.and_then(Value::as_object);
        executors.is_some_and(|them| them.values().any(|state| state == "RUNNING"))
    };
    place.apps().until(APP, works).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mishap_at_any_call_changes_nothing_about_what_users_and_time_do() {
    let house = House::empty().await;
    for story in stories() {
        let usual = Arc::new(Script::default());
        let end = match live(&house, &story, &usual, None).await {
            Ok(end) => end,
            Err(complaint) => panic!("{}: {complaint}", story.name),
        };
        let scripts = scripts(&usual, USUAL_STEP, |_| true);
        assert!(scripts.len() >= 5, "{} points were tried", scripts.len());
        println!("{}: {} points", story.name, scripts.len());
        let told = complaints(scripts, AT_ONCE, async |script| {
            live(&house, &story, &script, Some(&end)).await.err()
        });
        let told = told.await;
        assert!(told.is_empty(), "{}:\n{}", story.name, told.join("\n"));
    }
}

/// What is there in the end: the kinds and names of objects, and what the application says.
type End = Vec<String>;

/// Lives one life, which has to come to this end, and says what that was, or what was wrong.
async fn live(
    house: &House,
    story: &Story,
    script: &Arc<Script>,
    expected: Option<&End>,
) -> Result<End, String> {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let namespace = format!("story-{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let place = house.place(&namespace).await;
    script.past.set(place.revision().await).unwrap();
    let stale = matches!(script.mishap, Some((Mishap::OldList, _)));
    let witness = Arc::new(Mutex::new(Witness::default()));
    let mut tasks = JoinSet::new();
    tasks.spawn(watch_pods(place.clone(), Arc::clone(&witness), story.ends));
    let client = house.operator_client();
    tasks.spawn(operate(client, namespace.clone(), Arc::clone(script)));
    place.apps().create(story.application.clone()).await;

    let act = tokio::spawn((story.act)(place.clone()));
    match tokio::time::timeout(PATIENCE, act).await {
        Err(_elapsed) => return Err(format!("it took too long: {:?}", end(&place).await)),
        Ok(Err(panicked)) => return Err(panicked.to_string()),
        Ok(Ok(())) => {}
    }
    if let Some(expected) = expected {
        until_end(&place, expected).await?;
    }
    let second = second_look(house, &place, &namespace).await;
    let end = match expected {
        Some(expected) => {
            until_end(&place, expected).await?;
            expected.clone()
        }
        None => until_settled(&place).await?,
    };
    tasks.shutdown().await;

    let mut witness = witness.lock();
    let drivers = witness.drivers.len();
    if drivers != story.drivers {
        let complaint = format!("{drivers} drivers: {:?}", witness.drivers);
        witness.complaints.push(complaint);
    }
    // Whether executors are gone is asked with a list, which the API never answers out of the past.
    witness
        .complaints
        .retain(|complaint| !(stale && complaint.contains("executor")));
    witness.complaints.extend(second);
    if witness.complaints.is_empty() {
        Ok(end)
    } else {
        Err(witness.complaints.join("\n"))
    }
}

/// What is there once nothing is on its way any more: all that is there is owned by something that is,
/// and what only stands beside a running driver is gone.
async fn until_settled(place: &Place) -> Result<End, String> {
    let settled = async {
        while !is_settled(place).await {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    };
    let settled = tokio::time::timeout(PATIENCE, settled).await;
    let end = end(place).await;
    settled.map_err(|_elapsed| format!("it does not settle: {end:#?}"))?;
    Ok(end)
}

async fn is_settled(place: &Place) -> bool {
    let (apps, pods) = (place.apps().list().await, place.pods().list().await);
    let owners: Vec<&Value> = apps
        .iter()
        .chain(&pods)
        .map(|owner| &owner["metadata"]["uid"])
        .collect();
    let is_owned = |object: &Value| {
        let owner = &object["metadata"]["ownerReferences"][0]["uid"];
        owner.is_null() || owners.contains(&owner)
    };
    let beside = format!("{APP}-ui-svc");
    pods.iter().all(is_owned)
        && place.services().get(&beside).await.is_none()
        && place
            .budgets()
            .get(&format!("{APP}-driver"))
            .await
            .is_none()
        && place.services().list().await.iter().all(is_owned)
        && place.config_maps().list().await.iter().all(is_owned)
}

async fn until_end(place: &Place, expected: &End) -> Result<(), String> {
    let mut last = End::new();
    let waited = tokio::time::timeout(PATIENCE, async {
        loop {
            last = end(place).await;
            if last == *expected {
                return;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    });
    let waited = waited.await.is_ok();
    if waited {
        Ok(())
    } else {
        Err(format!(
            "it ends with {last:#?}\nand not with {expected:#?}"
        ))
    }
}

/// What is there now, but for what the canary needs.
async fn end(place: &Place) -> End {
    let mut found = End::new();
    for (kind, objects) in [
        ("Pod", place.pods()),
        ("Service", place.services()),
        ("ConfigMap", place.config_maps()),
        ("PodDisruptionBudget", place.budgets()),
        ("SparkApplication", place.apps()),
    ] {
        for object in objects.list().await {
            let owner = text(&object["metadata"]["labels"]["sparkoperator.k8s.io/app-name"]);
            let name = text(&object["metadata"]["name"]);
            if owner == CANARY || name.starts_with(CANARY) || name == "kube-root-ca.crt" {
                continue;
            }
            let status = &object["status"];
            let state = &status["applicationState"]["state"];
            let attempts = &status["executionAttempts"];
            found.push(format!("{kind} {} {state} {attempts}", without_ids(&name)));
        }
    }
    found.sort();
    found
}

/// A name whose ids, of which each life has its own, are left out.
fn without_ids(name: &str) -> String {
    let parts = name.split('-');
    let parts = parts.map(|part| {
        let is_id = part.len() >= 8 && part.chars().all(|it| it.is_ascii_hexdigit());
        if is_id { "ID" } else { part }
    });
    parts.collect::<Vec<_>>().join("-")
}

/// What was seen of the pods of a life, and what of it was against the laws.
#[derive(Debug, Default)]
struct Witness {
    /// The drivers there were, by uid, and whether each is alive.
    drivers: BTreeMap<String, bool>,
    /// The live executors, by name, with the uid of their driver.
    executors: BTreeMap<String, String>,
    complaints: Vec<String>,
}

impl Witness {
    fn saw(&mut self, pod: &Value, is_there: bool) {
        let lives = is_there && is_live(&text(&pod["status"]["phase"]));
        let name = text(&pod["metadata"]["name"]);
        if pod["metadata"]["labels"]["spark-role"] == "executor" {
            let driver = text(&pod["metadata"]["ownerReferences"][0]["uid"]);
            if lives {
                self.executors.insert(name, driver);
            } else {
                self.executors.remove(&name);
            }
            return;
        }
        let uid = text(&pod["metadata"]["uid"]);
        let known = self.drivers.insert(uid.clone(), lives);
        if self.drivers.values().filter(|lives| **lives).count() > 1 {
            let complaint = format!("two live drivers: {:?}", self.drivers);
            self.complaints.push(complaint);
        }
        let mut others = self.executors.iter().filter(|(_, driver)| **driver != uid);
        if let (None, Some((executor, _))) = (known, others.next()) {
            let complaint = format!("a driver came while the executor {executor} of another lived");
            self.complaints.push(complaint);
        }
    }
}

/// Follows the pods, and plays the node for each driver.
async fn watch_pods(
    place: Place,
    witness: Arc<Mutex<Witness>>,
    ends: fn(attempt: &str) -> Option<i32>,
) {
    let mut events = place.pods().watch().await;
    let mut node = JoinSet::new();
    while let Some(event) = events.next().await {
        let (pod, is_there, is_new) = match event {
            WatchEvent::Added(pod) => (pod, true, true),
            WatchEvent::Modified(pod) => (pod, true, false),
            WatchEvent::Deleted(pod) => (pod, false, false),
            WatchEvent::Bookmark(_) | WatchEvent::Error(_) => continue,
        };
        let pod = serde_json::to_value(pod).unwrap();
        let name = text(&pod["metadata"]["name"]);
        if name.starts_with(CANARY) {
            continue;
        }
        witness.lock().saw(&pod, is_there);
        if is_new && name == format!("{APP}-driver") {
            let place = place.clone();
            node.spawn(async move { run_driver(&place, &pod, ends).await });
        }
    }
}

async fn run_driver(place: &Place, driver: &Value, ends: fn(attempt: &str) -> Option<i32>) {
    place.until_startable(driver).await;
    place.driver_runs(APP).await;
    place.executor_runs(driver, 1).await;
    let attempt = text(&driver["metadata"]["labels"]["sparkoperator.k8s.io/attempt"]);
    if let Some(code) = ends(&attempt) {
        place.driver_exits(APP, code).await;
    }
}
