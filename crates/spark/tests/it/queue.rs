//! Namespaces with limits: however many applications there are and whatever befalls the operator,
//! no more run than may, and all of them do.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::StreamExt;
use kube::api::WatchEvent;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use windlass_trial::mishaps::{Script, USUAL_STEP, scripts};

use crate::house::{House, Place, pi};
use crate::sweep::operate;

const APP_NAME: &str = "sparkoperator.k8s.io/app-name";
/// How long one life may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// The limits of a namespace.
fn limits(hard: Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ResourceQuota",
        "metadata": {"name": "spark"}, "spec": {"hard": hard},
    })
}

/// The drivers of a namespace as they come and go.
#[derive(Debug, Default)]
struct Drivers {
    /// The last phase of each, by application; `None` once it is gone.
    phases: BTreeMap<String, Option<String>>,
    /// The applications in the order in which their drivers came.
    order: Vec<String>,
    /// So many were there at the same time at most.
    most: usize,
}

impl Drivers {
    fn note(&mut self, app: &str, phase: Option<String>) {
        if !self.phases.contains_key(app) {
            self.order.push(app.to_owned());
        }
        self.phases.insert(app.to_owned(), phase);
        let live = |phase: &&String| !matches!(phase.as_str(), "Succeeded" | "Failed");
        let live = self.phases.values().flatten().filter(live).count();
        self.most = self.most.max(live);
    }
}

/// Follows the drivers; of each that comes `run` makes the rest of its life.
async fn follow<F>(place: Place, drivers: Arc<Mutex<Drivers>>, run: impl Fn(Place, Value) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut events = place.pods().watch().await;
    let mut lives = JoinSet::new();
    while let Some(event) = events.next().await {
        let (pod, gone) = match &event {
            WatchEvent::Added(pod) | WatchEvent::Modified(pod) => (pod, false),
            WatchEvent::Deleted(pod) => (pod, true),
            WatchEvent::Bookmark(_) | WatchEvent::Error(_) => continue,
        };
        let pod = serde_json::to_value(pod).unwrap();
        let labels = &pod["metadata"]["labels"];
        if labels["spark-role"] != "driver" {
            continue;
        }
        let app = labels[APP_NAME].as_str().unwrap().to_owned();
        let phase = pod["status"]["phase"].as_str().unwrap_or("Pending");
        let phase = (!gone).then(|| phase.to_owned());
        drivers.lock().note(&app, phase);
        if matches!(event, WatchEvent::Added(_)) {
            lives.spawn(run(place.clone(), pod));
        }
    }
}

fn app_of(driver: &Value) -> String {
    let name = driver["metadata"]["labels"][APP_NAME].as_str();
    name.unwrap().to_owned()
}

async fn until_completed(place: &Place, names: &[String]) {
    for name in names {
        place.until_state(name, "COMPLETED").await;
    }
}

/// Each application is a driver and two executors; the node has room for nine pods. Were drivers
/// let in by themselves, nine of them would fill it and wait for executors for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_applications_on_a_node_that_fits_three_all_complete() {
    let house = House::start().await;
    let place = house.place("crowd").await;
    place
        .quotas()
        .create(limits(json!({"windlass.dev/cpu": "9"})))
        .await;
    let drivers = Arc::new(Mutex::new(Drivers::default()));
    let node = Arc::new(Semaphore::new(9));
    let mut tasks = JoinSet::new();
    tasks.spawn(follow(place.clone(), Arc::clone(&drivers), {
        let node = Arc::clone(&node);
        move |place, driver| {
            let node = Arc::clone(&node);
            async move {
                let app = app_of(&driver);
                // The driver takes its room first, and then waits for its executors.
                let room = node.acquire().await.unwrap();
                place.until_startable(&driver).await;
                place.driver_runs(&app).await;
                let more = [node.acquire().await, node.acquire().await];
                place.executor_runs(&driver, 1).await;
                place.executor_runs(&driver, 2).await;
                place.driver_exits(&app, 0).await;
                place.until_state(&app, "COMPLETED").await;
                drop((room, more));
            }
        }
    }));
    let names: Vec<String> = (0..50).map(|number| format!("job-{number:02}")).collect();
    for name in &names {
        place.apps().create(pi(name)).await;
    }
    let waiting = place
        .apps()
        .until("job-49", |app| {
            let conditions = app
                .iter()
                .filter_map(|app| app["status"]["conditions"].as_array());
            conditions
                .flatten()
                .any(|it| it["type"] == "Admitted" && it["status"] == "False")
        })
        .await;
    let said = waiting["status"]["conditions"].to_string();
    assert!(said.contains("in the queue of namespace crowd"), "{said}");
    until_completed(&place, &names).await;

    let drivers = drivers.lock();
    assert!(drivers.most <= 3, "{} drivers at once", drivers.most);
    assert_eq!(drivers.order.len(), 50);
    for (place, name) in drivers.order.iter().enumerate() {
        let rank = names.iter().position(|known| known == name).unwrap();
        assert!(
            rank.abs_diff(place) <= 6,
            "{name} came as number {place}: {:?}",
            drivers.order
        );
    }
}

#[tokio::test]
async fn raising_and_removing_the_limits_lets_those_go_that_wait() {
    let house = House::start().await;
    let place = house.place("limits").await;
    place
        .quotas()
        .create(limits(json!({"windlass.dev/running": "0"})))
        .await;
    for name in ["a", "b", "c"] {
        place.apps().create(pi(name)).await;
        place
            .apps()
            .until(name, |app| {
                app.as_ref()
                    .is_some_and(|app| app["status"]["admission"].is_object())
            })
            .await;
    }
    assert!(place.pods().list().await.is_empty());
    let raised = json!({"spec": {"hard": {"windlass.dev/running": "1"}}});
    place.quotas().merge("spark", raised).await;
    place.until_driver("a", 1).await;
    assert!(place.pods().get("b-driver").await.is_none());
    place.quotas().delete("spark").await;
    place.until_driver("b", 1).await;
    place.until_driver("c", 1).await;
}

#[tokio::test]
async fn a_higher_priority_goes_first() {
    let house = House::start().await;
    let place = house.place("priority").await;
    let quota = limits(json!({"windlass.dev/running": "1"}));
    place.quotas().create(quota).await;
    place.apps().create(pi("first")).await;
    place.until_driver("first", 1).await;
    for (name, priority) in [("low", "-1"), ("usual", "0"), ("urgent", "7")] {
        let mut app = pi(name);
        app["metadata"]["annotations"] = json!({"windlass.dev/priority": priority});
        place.apps().create(app).await;
        place
            .apps()
            .until(name, |app| {
                app.as_ref()
                    .is_some_and(|app| app["status"]["admission"].is_object())
            })
            .await;
    }
    for (name, next) in [("first", "urgent"), ("urgent", "usual"), ("usual", "low")] {
        place.driver_runs(name).await;
        place.driver_exits(name, 0).await;
        place.until_state(name, "COMPLETED").await;
        place.until_driver(next, 1).await;
    }
}

/// How many lives go on at the same time.
const AT_ONCE: usize = 16;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mishap_at_any_call_lets_nobody_in_too_much_and_keeps_nobody_out() {
    let house = House::empty().await;
    let usual = Arc::new(Script::default());
    assert_eq!(live(&house, vec![Arc::clone(&usual)]).await, None);
    let scripts = scripts(&usual, USUAL_STEP, |call| {
        !call.is_write() || call.path.contains("/status")
    });
    assert!(scripts.len() >= 5, "{} points were tried", scripts.len());
    println!("a queue: {} points", scripts.len());
    live_all(&house, scripts.into_iter().map(|it| vec![it]).collect()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_operators_at_once_let_in_no_more_than_one_would() {
    let house = House::empty().await;
    let pairs = (0..8).map(|number| {
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

async fn live_all(house: &House, lives: Vec<Vec<Arc<Script>>>) {
    let told: Vec<String> = futures::stream::iter(lives)
        .map(|scripts| async move {
            let complaint = live(house, scripts.clone()).await?;
            let mishaps: Vec<_> = scripts.iter().map(|script| script.mishap).collect();
            Some(format!("{mishaps:?}: {complaint}"))
        })
        .buffer_unordered(AT_ONCE)
        .filter_map(std::future::ready)
        .collect()
        .await;
    assert!(told.is_empty(), "{}", told.join("\n"));
}

/// Three applications where one may run. Says what was wrong.
async fn live(house: &House, scripts: Vec<Arc<Script>>) -> Option<String> {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let namespace = format!("queue-{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let place = house.place(&namespace).await;
    let quota = limits(json!({"windlass.dev/running": "1"}));
    place.quotas().create(quota).await;
    let drivers = Arc::new(Mutex::new(Drivers::default()));
    let mut tasks = JoinSet::new();
    tasks.spawn(follow(
        place.clone(),
        Arc::clone(&drivers),
        |place, driver| async move {
            let app = app_of(&driver);
            place.until_startable(&driver).await;
            place.driver_runs(&app).await;
            place.executor_runs(&driver, 1).await;
            place.driver_exits(&app, 0).await;
        },
    ));
    let names: Vec<String> = ["a", "b", "c"].map(str::to_owned).into();
    let past = place.revision().await;
    for name in &names {
        place.apps().create(pi(name)).await;
    }
    for script in scripts {
        script.past.set(past.clone()).unwrap();
        let client = house.operator_client();
        tasks.spawn(operate(client, namespace.clone(), script));
    }
    let ended = tokio::time::timeout(PATIENCE, until_completed(&place, &names));
    let ended = ended.await.is_ok();
    tasks.shutdown().await;
    let drivers = drivers.lock();
    if !ended {
        return Some(format!("not all ended: {drivers:?}"));
    }
    if drivers.most > 1 {
        return Some(format!("{} drivers at once: {drivers:?}", drivers.most));
    }
    let runs = drivers.order.len();
    (runs != 3).then(|| format!("{runs} drivers: {drivers:?}"))
}
