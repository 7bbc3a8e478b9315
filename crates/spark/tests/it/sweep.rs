//! One application that fails once and then completes, while a call of its operator goes wrong:
//! every call, in every way. However it goes, the laws hold.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::StreamExt;
use kube::api::WatchEvent;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use windlass_trial::mishaps::{Script, USUAL_STEP, scripts};

use crate::house::{House, Place, pi};

/// How many lives go on at the same time.
const AT_ONCE: usize = 24;
/// How long one life may take.
const PATIENCE: Duration = Duration::from_mins(2);
/// How often its end is looked for.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// The application of every life.
pub(crate) const APP: &str = "pi";
/// The one that shows that an operator has looked around.
pub(crate) const CANARY: &str = "canary";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mishap_at_any_call_changes_nothing_about_the_end() {
    let house = House::empty().await;
    let usual = Arc::new(Script::default());
    let complaints = live(&house, vec![Arc::clone(&usual)]).await;
    assert!(complaints.is_empty(), "{complaints:#?}");
    let scripts = scripts(&usual, USUAL_STEP, |_| true);
    println!("failing, retried and completed: {} points", scripts.len());
    let scripts = scripts.into_iter().map(|script| vec![script]);
    live_all(&house, scripts.collect()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_operators_at_once_do_together_what_one_does() {
    let house = House::empty().await;
    let pairs = (0..12).map(|number| {
        let delayed = |delay| {
            Arc::new(Script {
                delay: Duration::from_millis(delay),
                ..Script::default()
            })
        };
        vec![delayed(0), delayed(3 * number)]
    });
    live_all(&house, pairs.collect()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_that_can_tell_nothing_does_its_work() {
    let house = House::empty().await;
    let script = Script {
        no_events: true,
        ..Script::default()
    };
    live_all(&house, vec![vec![Arc::new(script)]]).await;
}

/// Lives all these lives, some at a time, and tells of all that went wrong.
async fn live_all(house: &House, lives: Vec<Vec<Arc<Script>>>) {
    let told: Vec<String> = futures::stream::iter(lives)
        .map(|scripts| async {
            let complaints = live(house, scripts.clone()).await;
            if complaints.is_empty() {
                return None;
            }
            let mut told = String::new();
            for script in scripts {
                let calls = script.calls.lock();
                let _ = writeln!(told, "{:?} after {} calls", script.mishap, calls.len());
                for (number, call) in calls.iter().enumerate().filter(|(_, c)| !c.is_event()) {
                    let _ = writeln!(told, "  {} {call:?}", number + 1);
                }
            }
            let _ = writeln!(told, "{complaints:#?}");
            Some(told)
        })
        .buffer_unordered(AT_ONCE)
        .filter_map(std::future::ready)
        .collect()
        .await;
    assert!(
        told.is_empty(),
        "{} lives went wrong:\n{}",
        told.len(),
        told.join("\n")
    );
}

/// Lives one life under operators with these scripts, and says what was wrong about it.
async fn live(house: &House, scripts: Vec<Arc<Script>>) -> Vec<String> {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let name = format!("life-{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let place = house.place(&name).await;
    let witness = Arc::new(Mutex::new(Witness::default()));
    let mut tasks = JoinSet::new();
    tasks.spawn(watch_pods(place.clone(), Arc::clone(&witness)));
    tasks.spawn(watch_app(place.clone(), Arc::clone(&witness)));
    let past = place.revision().await;
    for script in &scripts {
        script.past.set(past.clone()).unwrap();
        tasks.spawn(operate(
            house.operator_client(),
            name.clone(),
            Arc::clone(script),
        ));
    }
    let mut app = pi(APP);
    app["spec"]["restartPolicy"] =
        json!({"type": "OnFailure", "onFailureRetries": 2, "onFailureRetryInterval": 1});
    place.apps().create(app).await;
    let ended = tokio::time::timeout(PATIENCE, until_ended(&place));
    if ended.await.is_err() {
        let app = place.apps().get(APP).await.unwrap_or_default();
        witness
            .lock()
            .complain(format!("it did not end: {:#}", app["status"]));
        return std::mem::take(&mut witness.lock().complaints);
    }
    let done = place.apps().get(APP).await.unwrap_or_default();
    let driver = place.pods().get(&format!("{APP}-driver")).await;
    {
        let mut witness = witness.lock();
        let status = &done["status"];
        if status["executionAttempts"] != 2 {
            witness.complain(format!("two runs were due: {status:#}"));
        }
        if witness.drivers.len() != 2 {
            let drivers = format!("{:?}", witness.drivers);
            witness.complain(format!("two drivers were due: {drivers}"));
        }
        if driver.is_none() {
            witness.complain("the last driver is gone, and its log with it".to_owned());
        }
    }

    let complaints = second_look(house, &place, &name).await;
    tasks.shutdown().await;
    let app = place.apps().get(APP).await;
    let left = place.pods().get(&format!("{APP}-driver")).await;
    let mut witness = witness.lock();
    witness.complaints.extend(complaints);
    if app != Some(done) {
        witness.complain("the application changed after its end".to_owned());
    }
    if uid(left.as_ref()) != uid(driver.as_ref()) {
        witness.complain("the last driver was replaced after its end".to_owned());
    }
    std::mem::take(&mut witness.complaints)
}

/// Another look, by a new operator, finds nothing to do about the application. Says what it did.
pub(crate) async fn second_look(house: &House, place: &Place, namespace: &str) -> Vec<String> {
    let fresh = Arc::new(Script::default());
    let client = house.operator_client();
    let operator = tokio::spawn(operate(client, namespace.to_owned(), Arc::clone(&fresh)));
    place.apps().create(pi(CANARY)).await;
    place
        .pods()
        .until(&format!("{CANARY}-driver"), Option::is_some)
        .await;
    operator.abort();
    let _ = operator.await;
    let calls = fresh.calls.lock();
    let about = format!("/{APP}");
    let writes = calls
        .iter()
        .filter(|call| call.is_write() && !call.is_event() && call.path.contains(&about));
    writes
        .map(|call| format!("a second look was followed by {call:?}"))
        .collect()
}

/// Waits until nothing is left to do for the application.
async fn until_ended(place: &Place) {
    loop {
        let app = place.apps().get(APP).await.unwrap_or_default();
        if app["status"]["applicationState"]["state"] == "COMPLETED"
            && place
                .services()
                .get(&format!("{APP}-ui-svc"))
                .await
                .is_none()
            && place
                .budgets()
                .get(&format!("{APP}-driver"))
                .await
                .is_none()
        {
            return;
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Runs an operator by its script, and another one when that has died of it.
pub(crate) async fn operate(client: kube::Client, namespace: String, script: Arc<Script>) {
    let places = [namespace];
    let run = |client| House::operate(client, &places, CancellationToken::new());
    tokio::select! {
        () = run(script.client(client.clone())) => {}
        () = script.death.cancelled() => run(client).await,
    }
}

/// What was seen of a life, and what of it was against the laws.
#[derive(Debug, Default)]
struct Witness {
    /// The drivers there were, by uid, with their last phase; `None` once they are gone.
    drivers: BTreeMap<String, Option<String>>,
    attempts: i64,
    completed: bool,
    complaints: Vec<String>,
}

impl Witness {
    fn complain(&mut self, complaint: String) {
        self.complaints.push(complaint);
    }

    fn saw_driver(&mut self, pod: &Value) {
        let uid = text(&pod["metadata"]["uid"]);
        let phase = text(&pod["status"]["phase"]);
        self.drivers.insert(uid, Some(phase));
        let live = self
            .drivers
            .values()
            .flatten()
            .filter(|phase| is_live(phase));
        if live.count() > 1 {
            self.complain(format!("two live drivers: {:?}", self.drivers));
        }
    }

    fn missed_driver(&mut self, pod: &Value) {
        let uid = text(&pod["metadata"]["uid"]);
        if let Some(Some(phase)) = self.drivers.insert(uid.clone(), None)
            && is_live(&phase)
        {
            self.complain(format!("driver {uid} was deleted while it was {phase}"));
        }
    }

    fn saw_app(&mut self, app: &Value) {
        let status = &app["status"];
        let state = text(&status["applicationState"]["state"]);
        if self.completed && state != "COMPLETED" {
            self.complain(format!("COMPLETED became {state}"));
        }
        self.completed |= state == "COMPLETED";
        if state == "FAILED" {
            self.complain(format!("it failed: {status:#}"));
        }
        let attempts = status["executionAttempts"].as_i64().unwrap_or(0);
        if attempts < self.attempts {
            self.complain(format!("attempt {} became {attempts}", self.attempts));
        }
        self.attempts = attempts;
    }
}

pub(crate) fn is_live(phase: &str) -> bool {
    !matches!(phase, "Succeeded" | "Failed")
}

fn uid(object: Option<&Value>) -> Option<String> {
    object.map(|object| text(&object["metadata"]["uid"]))
}

pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Follows the pods, and plays the node for each driver of the application.
async fn watch_pods(place: Place, witness: Arc<Mutex<Witness>>) {
    let mut events = place.pods().watch().await;
    let mut node = JoinSet::new();
    while let Some(event) = events.next().await {
        let pod = match &event {
            WatchEvent::Added(pod) | WatchEvent::Modified(pod) | WatchEvent::Deleted(pod) => {
                serde_json::to_value(pod).unwrap()
            }
            WatchEvent::Bookmark(_) | WatchEvent::Error(_) => continue,
        };
        if pod["metadata"]["name"] != format!("{APP}-driver") {
            continue;
        }
        match event {
            WatchEvent::Deleted(_) => witness.lock().missed_driver(&pod),
            _ => witness.lock().saw_driver(&pod),
        }
        if matches!(event, WatchEvent::Added(_)) {
            let place = place.clone();
            node.spawn(async move { run_driver(&place, &pod).await });
        }
    }
}

/// The life of a driver on its node: the first attempt fails, every other succeeds.
async fn run_driver(place: &Place, driver: &Value) {
    place.until_startable(driver).await;
    let first = driver["metadata"]["labels"]["sparkoperator.k8s.io/attempt"] == "1";
    place.driver_runs(APP).await;
    place.executor_runs(driver, 1).await;
    place.driver_exits(APP, i32::from(first)).await;
}

async fn watch_app(place: Place, witness: Arc<Mutex<Witness>>) {
    let mut events = place.apps().watch().await;
    while let Some(event) = events.next().await {
        if let WatchEvent::Added(app) | WatchEvent::Modified(app) = event
            && app.metadata.name.as_deref() == Some(APP)
        {
            witness.lock().saw_app(&serde_json::to_value(app).unwrap());
        }
    }
}
