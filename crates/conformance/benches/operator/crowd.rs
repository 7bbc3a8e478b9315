//! Many applications at once, from their creation to their end.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use kube::Client;
use kube::api::{
    Api, ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams, WatchEvent,
    WatchParams,
};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::{Notify, Semaphore, mpsc};

use crate::contender::Contender;
use crate::operator::Operator;
use crate::table::Figure::{self, Cost, Rate};

const NAMESPACE: &str = "default";
/// How many creations, and how many statuses of pods, are under way at a time.
const IN_FLIGHT: usize = 32;
/// How long a driver works.
const WORK: Duration = Duration::from_secs(2);
/// How long all of it may take.
const PATIENCE: Duration = Duration::from_mins(10);
/// The calls that change something, by the verbs of the operator's metrics.
const WRITES: [&str; 6] = [
    "create",
    "update-status",
    "update",
    "apply",
    "patch",
    "delete",
];

/// Who waits for a ConfigMap, by its name.
type Settings = Mutex<HashMap<String, Arc<Notify>>>;

/// What was seen, in the order in which it is told.
pub(crate) async fn measure(
    contender: &Contender,
    windlass: &Path,
    count: usize,
) -> anyhow::Result<Vec<(&'static str, Figure)>> {
    let client = contender.client();
    furnish(&client).await?;
    let operator = Operator::start(windlass, contender.kubeconfig()).await?;
    let (cpu, idle) = (operator.cpu_seconds()?, operator.resident_mib()?);
    let before = calls(&operator).await?;

    let run = tokio::time::timeout(PATIENCE, live(&client, count));
    let lives = run.await.context("not all applications have ended")??;

    let per_application = |total: f64| total / count as f64;
    let after = calls(&operator).await?;
    let memory = operator.resident_mib()?;
    let mut figures = vec![
        (
            "applications created",
            Rate(count as f64 / lives.created.as_secs_f64(), "/s"),
        ),
        (
            "until the last driver exists, from the first creation",
            Cost(lives.last_driver.as_secs_f64(), "s"),
        ),
        (
            "until the last driver exists, from the last creation",
            Cost(
                (lives.last_driver.saturating_sub(lives.created)).as_secs_f64(),
                "s",
            ),
        ),
        (
            "until the last application has completed",
            Cost(lives.all.as_secs_f64(), "s"),
        ),
        (
            "status behind the cluster, p50",
            Cost(percentile(&lives.lags, 50) * 1e3, "ms"),
        ),
        (
            "the same, p99",
            Cost(percentile(&lives.lags, 99) * 1e3, "ms"),
        ),
        (
            "CPU of the operator for an application",
            Cost(per_application(operator.cpu_seconds()? - cpu) * 1e3, "ms"),
        ),
        ("memory of the operator, idle", Cost(idle, "MiB")),
        (
            "memory of the operator for an application",
            Cost(per_application(memory - idle) * 1024.0, "KiB"),
        ),
        (
            "events for an application",
            Cost(per_application(after.events - before.events), ""),
        ),
        (
            "writes for an application, events left out",
            Cost(per_application(after.writes() - before.writes()), ""),
        ),
    ];
    let names = [
        "of these, objects created",
        "statuses",
        "objects replaced",
        "objects applied",
        "objects patched",
        "objects deleted",
    ];
    for (at, name) in names.into_iter().enumerate() {
        let number = after.by_verb[at] - before.by_verb[at];
        figures.push((name, Cost(per_application(number), "")));
    }
    let reads = after.reads - before.reads;
    figures.push(("reads for an application", Cost(per_application(reads), "")));
    Ok(figures)
}

/// How often the operator has called.
struct Calls {
    by_verb: [f64; 6],
    reads: f64,
    events: f64,
}

impl Calls {
    fn writes(&self) -> f64 {
        self.by_verb.iter().sum()
    }
}

async fn calls(operator: &Operator) -> anyhow::Result<Calls> {
    const CALLS: &str = "windlass_api_requests_total";
    let mut by_verb = [0.0; 6];
    for (number, verb) in by_verb.iter_mut().zip(WRITES) {
        *number = operator.counted(CALLS, &format!("verb=\"{verb}\"")).await?;
    }
    let events = operator
        .counted("windlass_events_total", "outcome=\"written\"")
        .await?;
    // Events are created, too, and patched when they happen again.
    by_verb[0] -= events;
    let reads = operator.counted(CALLS, "verb=\"get\"").await?
        + operator.counted(CALLS, "verb=\"list\"").await?;
    Ok(Calls {
        by_verb,
        reads,
        events,
    })
}

/// What the applications need.
async fn furnish(client: &Client) -> anyhow::Result<()> {
    let definitions = api(
        client,
        "apiextensions.k8s.io",
        "v1",
        "CustomResourceDefinition",
        false,
    );
    for definition in windlass_api::crds() {
        let definition: DynamicObject = serde_json::from_value(definition)?;
        let created = definitions
            .create(&PostParams::default(), &definition)
            .await?;
        let name = created.metadata.name.unwrap_or_default();
        loop {
            let found = definitions.get(&name).await?;
            let conditions = found.data["status"]["conditions"].as_array().cloned();
            let is_served = |it: &Value| it["type"] == "Established" && it["status"] == "True";
            if conditions.iter().flatten().any(is_served) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    let accounts = api(client, "", "v1", "ServiceAccount", true);
    let account = json!({
        "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "spark"},
    });
    accounts
        .create(&PostParams::default(), &serde_json::from_value(account)?)
        .await?;
    // A definition that is established may take a moment to be served.
    let applications = applications(client);
    while applications.list(&Default::default()).await.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

struct Lives {
    created: Duration,
    last_driver: Duration,
    all: Duration,
    /// From the answer to a driver's new status until the application shows it, in seconds.
    lags: Vec<f64>,
}

async fn live(client: &Client, count: usize) -> anyhow::Result<Lives> {
    let begun = Instant::now();
    let (drivers_seen, mut drivers) = mpsc::unbounded_channel();
    let (states_seen, mut states) = mpsc::unbounded_channel();
    let (told, mut telling) = mpsc::unbounded_channel::<(String, &'static str, Instant)>();
    let pods = api(client, "", "v1", "Pod", true);
    let drivers_only = WatchParams::default()
        .labels("spark-role=driver")
        .timeout(290);
    tokio::spawn(follow(pods.clone(), drivers_only, drivers_seen));
    let everything = WatchParams::default().timeout(290);
    tokio::spawn(follow(
        applications(client),
        everything.clone(),
        states_seen,
    ));
    let (settings_seen, mut settings_made) = mpsc::unbounded_channel::<(DynamicObject, Instant)>();
    let config_maps = api(client, "", "v1", "ConfigMap", true);
    tokio::spawn(follow(config_maps, everything, settings_seen));
    let settings = Arc::new(Settings::default());
    tokio::spawn({
        let settings = Arc::clone(&settings);
        async move {
            while let Some((object, _)) = settings_made.recv().await {
                let name = object.metadata.name.unwrap_or_default();
                settings.lock().entry(name).or_default().notify_one();
            }
        }
    });

    let apps = applications(client);
    let create = stream::iter((0..count).map(Ok)).try_for_each_concurrent(IN_FLIGHT, |number| {
        let apps = apps.clone();
        async move {
            let application = serde_json::from_value(application(number))?;
            apps.create(&PostParams::default(), &application).await?;
            anyhow::Ok(())
        }
    });
    let created = async {
        create.await?;
        anyhow::Ok(begun.elapsed())
    };
    let kubelet = async {
        let slots = Arc::new(Semaphore::new(IN_FLIGHT));
        let mut seen = std::collections::HashSet::new();
        let mut last = begun.elapsed();
        while seen.len() < count {
            let (pod, at): (DynamicObject, Instant) = drivers
                .recv()
                .await
                .context("the watch of pods has ended")?;
            let name = pod.metadata.name.unwrap_or_default();
            if !seen.insert(name.clone()) {
                continue;
            }
            last = at.duration_since(begun);
            let run = run_driver(pods.clone(), name, Arc::clone(&slots), told.clone());
            let needs = needs(&pod.data, &settings);
            tokio::spawn(async move {
                for one in needs {
                    one.notified().await;
                }
                run.await
            });
        }
        anyhow::Ok(last)
    };
    let watcher = async {
        let mut shown: HashMap<(String, String), Instant> = HashMap::new();
        let mut completed = 0;
        while completed < count {
            let (app, at): (DynamicObject, Instant) = states
                .recv()
                .await
                .context("the watch of applications has ended")?;
            let state = app.data["status"]["applicationState"]["state"].as_str();
            let state = state.unwrap_or_default().to_owned();
            if matches!(state.as_str(), "FAILED" | "SUBMISSION_FAILED") {
                bail!("an application failed: {:#}", app.data["status"]);
            }
            let name = app.metadata.name.unwrap_or_default();
            let is_new = shown.insert((name.clone(), state.clone()), at).is_none();
            completed += usize::from(is_new && state == "COMPLETED");
        }
        anyhow::Ok((shown, begun.elapsed()))
    };
    let (created, last_driver, (shown, all)) = tokio::try_join!(created, kubelet, watcher)?;
    drop(told);
    let mut lags = Vec::new();
    while let Ok((app, state, at)) = telling.try_recv() {
        if let Some(seen) = shown.get(&(app, state.to_owned())) {
            lags.push(seen.saturating_duration_since(at).as_secs_f64());
        }
    }
    lags.sort_by(f64::total_cmp);
    Ok(Lives {
        created,
        last_driver,
        all,
        lags,
    })
}

/// Passes on every object that a watch shows, with the time.
async fn follow(
    api: Api<DynamicObject>,
    params: WatchParams,
    seen: mpsc::UnboundedSender<(DynamicObject, Instant)>,
) -> anyhow::Result<()> {
    let mut events = api.watch(&params, "0").await?.boxed();
    while let Some(event) = events.try_next().await? {
        if let WatchEvent::Added(object) | WatchEvent::Modified(object) = event
            && seen.send((object, Instant::now())).is_err()
        {
            break;
        }
    }
    Ok(())
}

/// The ConfigMaps without which a kubelet does not start this pod.
fn needs(pod: &Value, settings: &Settings) -> Vec<Arc<Notify>> {
    let mut settings = settings.lock();
    let volumes = pod["spec"]["volumes"].as_array();
    let names = volumes
        .into_iter()
        .flatten()
        .filter_map(|volume| volume["configMap"]["name"].as_str());
    names
        .map(|name| Arc::clone(settings.entry(name.to_owned()).or_default()))
        .collect()
}

/// What a kubelet writes while a driver starts, works and ends.
async fn run_driver(
    pods: Api<DynamicObject>,
    name: String,
    slots: Arc<Semaphore>,
    told: mpsc::UnboundedSender<(String, &'static str, Instant)>,
) -> anyhow::Result<()> {
    let app = name.trim_end_matches("-driver").to_owned();
    let container = |state: Value| {
        json!([{
            "name": "spark-kubernetes-driver", "image": "spark", "imageID": "", "ready": true,
            "restartCount": 0, "state": state,
        }])
    };
    let running = json!({"running": {"startedAt": "2026-01-02T03:04:05Z"}});
    let ended = json!({"terminated": {"exitCode": 0, "reason": "Completed"}});
    for (phase, state, shown) in [
        ("Running", running, "RUNNING"),
        ("Succeeded", ended, "COMPLETED"),
    ] {
        let status = json!({"status": {"phase": phase, "containerStatuses": container(state)}});
        let slot = slots.acquire().await?;
        pods.patch_status(&name, &PatchParams::default(), &Patch::Merge(&status))
            .await?;
        drop(slot);
        let _ = told.send((app.clone(), shown, Instant::now()));
        if shown == "RUNNING" {
            tokio::time::sleep(WORK).await;
        }
    }
    Ok(())
}

fn percentile(sorted: &[f64], share: usize) -> f64 {
    let at = (sorted.len() * share / 100).min(sorted.len().saturating_sub(1));
    sorted.get(at).copied().unwrap_or_default()
}

fn application(number: usize) -> Value {
    json!({
        "apiVersion": "sparkoperator.k8s.io/v1beta2",
        "kind": "SparkApplication",
        "metadata": {"name": format!("app-{number:05}")},
        "spec": {
            "type": "Python",
            "mode": "cluster",
            "sparkVersion": "4.3.0",
            "image": "apache/spark:4.3.0",
            "mainApplicationFile": "local:///opt/spark/examples/src/main/python/pi.py",
            "driver": {"cores": 1, "memory": "512m"},
            "executor": {"instances": 2, "cores": 1, "memory": "512m"},
        },
    })
}

fn applications(client: &Client) -> Api<DynamicObject> {
    api(
        client,
        "sparkoperator.k8s.io",
        "v1beta2",
        "SparkApplication",
        true,
    )
}

fn api(
    client: &Client,
    group: &str,
    version: &str,
    kind: &str,
    namespaced: bool,
) -> Api<DynamicObject> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    if namespaced {
        Api::namespaced_with(client.clone(), NAMESPACE, &resource)
    } else {
        Api::all_with(client.clone(), &resource)
    }
}
