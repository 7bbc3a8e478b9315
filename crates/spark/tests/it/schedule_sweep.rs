//! A schedule that is asked for two runs, one after the other, while a call about it goes wrong:
//! every such call, in every way. However it goes, there are two runs, and the last one is kept.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::StreamExt;
use kube::api::WatchEvent;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use windlass_trial::mishaps::{Call, Script, USUAL_STEP, complaints, scripts};

use crate::house::{House, Place};
use crate::schedules::{SELDOM, names, run_to_its_end, schedule, trigger, until};
use crate::sweep::operate;

const AT_ONCE: usize = 16;
const PATIENCE: Duration = Duration::from_mins(2);
const NAME: &str = "report";

/// How often a run with each name was created.
type Created = Arc<Mutex<BTreeMap<String, usize>>>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mishap_at_any_call_about_a_schedule_leads_to_no_run_more_and_none_less() {
    let house = House::empty().await;
    let usual = Arc::new(Script::default());
    assert_eq!(live(&house, Arc::clone(&usual)).await, None);
    let scripts = scripts(&usual, USUAL_STEP, is_about_schedules);
    assert!(scripts.len() >= 5, "{} points were tried", scripts.len());
    println!("a schedule: {} points", scripts.len());
    let told = complaints(scripts, AT_ONCE, |script| live(&house, script)).await;
    assert!(told.is_empty(), "{}", told.join("\n"));
}

fn is_about_schedules(call: &Call) -> bool {
    let creates = call.method == "POST" && call.path.ends_with("/sparkapplications");
    let deletes = call.method == "DELETE" && call.path.contains("/sparkapplications");
    call.path.contains("/scheduledsparkapplications") || creates || deletes
}

/// Lives one life, and says what was wrong about it.
async fn live(house: &House, script: Arc<Script>) -> Option<String> {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let namespace = format!("sweep-{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let place = house.place(&namespace).await;
    let created = Created::default();
    script.past.set(place.revision().await).unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(watch_runs(place.clone(), Arc::clone(&created)));
    tasks.spawn(operate(house.operator_client(), namespace, script));
    let mut scheduled = schedule(NAME, SELDOM);
    scheduled["spec"]["concurrencyPolicy"] = json!("Replace");
    place.schedules().create(scheduled).await;

    let lived = tokio::time::timeout(PATIENCE, async {
        let mut expected: BTreeMap<String, usize> = BTreeMap::new();
        for request in ["one", "two"] {
            let run = trigger(&place, NAME, request).await;
            place.apps().until(&run, Option::is_some).await;
            run_to_its_end(&place, &run, 0).await;
            until(&place, NAME, |it| {
                names(&it["status"], "pastSuccessfulRunNames") == [run.as_str()]
            })
            .await;
            for earlier in expected.keys() {
                place.apps().until_gone(earlier).await;
            }
            expected.insert(run, 1);
        }
        expected
    });
    let Ok(expected) = lived.await else {
        let found = place.schedules().get(NAME).await.unwrap_or_default();
        return Some(format!("it took too long: {:#}", found["status"]));
    };
    let status = place.schedules().get(NAME).await.unwrap_or_default()["status"].clone();
    tasks.shutdown().await;
    let created = created.lock().clone();
    if created != expected {
        return Some(format!("runs: {created:?}, expected: {expected:?}"));
    }
    (status["pendingRun"] != Value::Null).then(|| format!("{status:#}"))
}

async fn watch_runs(place: Place, created: Created) {
    let mut events = place.apps().watch().await;
    while let Some(event) = events.next().await {
        if let WatchEvent::Added(app) = event {
            let name = app.metadata.name.unwrap_or_default();
            *created.lock().entry(name).or_default() += 1;
        }
    }
}
