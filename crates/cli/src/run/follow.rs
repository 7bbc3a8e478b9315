//! Follows one application from its creation to its end.
//!
//! Watches feed the [`Model`], the driver's log goes to stdout as it is written, and Ctrl-C asks
//! what to do. The verdict is the application's own state, never the end of a stream; a cluster that
//! goes away is waited for.

use std::collections::HashMap;
use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{BoxFuture, OptionFuture};
use futures::stream::{BoxStream, StreamExt as _};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ApiResource, DeleteParams, DynamicObject};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::interrupts::{Interrupt, Interrupts};
use super::outage::{self, Pace};
use super::progress::Model;
use super::screen::Screen;
use super::{preflight, stages};
use crate::exit::{Exit, Failure};
use crate::podlog::PodLog;

/// How often the driver is asked for its stages.
const STAGE_PERIOD: Duration = Duration::from_millis(700);
/// How long the driver's log may be silent after the application has ended.
const LOG_PATIENCE: Duration = Duration::from_secs(5);
/// How long a stopped application may take to be gone.
const STOP_PATIENCE: Duration = Duration::from_mins(1);

/// The application to follow.
#[derive(Debug, Clone)]
pub struct Target {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid: a successor of the same name is not followed.
    pub uid: String,
    /// Whether the cluster goes on when this process ends.
    pub cluster_stays: bool,
    /// The port of the driver's UI.
    pub ui_port: u16,
    /// How long a cluster that does not answer is waited for.
    pub patience: Duration,
}

/// The API of SparkApplications in a namespace.
pub fn applications(client: Client, namespace: &str) -> Api<DynamicObject> {
    Api::namespaced_with(client, namespace, &application_resource())
}

/// The SparkApplication resource.
pub fn application_resource() -> ApiResource {
    ApiResource {
        group: "sparkoperator.k8s.io".to_owned(),
        version: "v1beta2".to_owned(),
        api_version: "sparkoperator.k8s.io/v1beta2".to_owned(),
        kind: "SparkApplication".to_owned(),
        plural: "sparkapplications".to_owned(),
    }
}

/// Label by which the operator marks the pods of an application.
pub const APP_NAME_LABEL: &str = "sparkoperator.k8s.io/app-name";

/// Something that was seen.
enum Seen {
    Application(Value),
    ApplicationGone,
    Pod(Value, bool),
    /// A watch broke: the cluster may be away.
    Trouble,
}

/// Follows the application and tells how it ended.
pub async fn follow(
    client: &Client,
    target: &Target,
    screen: &mut Screen,
    interrupts: &mut Interrupts,
) -> Result<Exit, Failure> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), &target.namespace);
    let mut seen = observations(client, target);
    let mut model = Model::default();
    let (log_sender, mut log) = mpsc::channel::<Vec<u8>>(64);
    let mut log_task: Option<(String, JoinHandle<()>)> = None;
    let mut stage_clock = tokio::time::interval(STAGE_PERIOD);
    stage_clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let (stage_sender, mut stage_results) = mpsc::channel(1);
    let mut stage_task: Option<JoinHandle<()>> = None;
    let mut away: Option<BoxFuture<'static, bool>> = None;

    let exit = loop {
        screen.headline(&model.headline());
        tokio::select! {
            observation = seen.next() => {
                let now = Timestamp::now();
                let lines = match observation {
                    Some(Seen::Application(application)) => {
                        let lines = model.application(&application, now);
                        print(screen, &lines);
                        match application["status"]["applicationState"]["state"].as_str() {
                            Some("COMPLETED") => break Exit::Completed,
                            Some("FAILED") => break Exit::JobFailed,
                            _ => Vec::new(),
                        }
                    }
                    Some(Seen::Pod(pod, deleted)) => {
                        let lines = model.pod(&pod, deleted, now);
                        if let Some((uid, container)) = loggable_driver(&pod)
                            && log_task.as_ref().is_none_or(|(known, _)| *known != uid)
                        {
                            let log = PodLog {
                                pods: pods.clone(),
                                pod: pod["metadata"]["name"].as_str().unwrap_or_default().to_owned(),
                                uid: uid.clone(),
                                container,
                                tail: None,
                                patience: target.patience,
                            };
                            let sender = log_sender.clone();
                            // A log that cannot be had is no result; the application's state is.
                            let task = tokio::spawn(async move { drop(log.follow(sender).await) });
                            log_task = Some((uid, task));
                        }
                        lines
                    }
                    Some(Seen::Trouble) => {
                        if away.is_none() && !outage::answers(client).await {
                            screen.say(&outage::beginning(target.patience).to_string());
                            away = Some(outage::until_over(client.clone(), target.patience).boxed());
                        }
                        Vec::new()
                    }
                    Some(Seen::ApplicationGone) => {
                        screen.pause();
                        screen.say(&format!(
                            "the application {}/{} was deleted before it ended", target.namespace, target.name
                        ));
                        return Ok(Exit::Stopped);
                    }
                    None => return Err(Failure::cluster("the watch of the application ended")),
                };
                print(screen, &lines);
            }
            Some(bytes) = log.recv() => screen.log(&bytes),
            is_over = OptionFuture::from(away.as_mut()), if away.is_some() => {
                if is_over != Some(true) {
                    return Err(outage::lasting(target));
                }
                away = None;
                screen.say("the cluster is back");
            }
            Some(found) = stage_results.recv() => print(screen, &model.stages(found)),
            _ = stage_clock.tick(), if model.driver_is_running() => {
                let idle = stage_task.as_ref().is_none_or(JoinHandle::is_finished);
                if let Some(driver) = model.driver_pod().filter(|_| idle) {
                    let (pods, driver, port) = (pods.clone(), driver.to_owned(), target.ui_port);
                    let sender = stage_sender.clone();
                    stage_task = Some(tokio::spawn(async move {
                        if let Some(found) = stages::fetch(&pods, &driver, port).await {
                            // The receiver is gone only when the run is over.
                            let _ = sender.send(found).await;
                        }
                    }));
                }
            }
            interrupt = interrupts.next() => {
                screen.pause();
                match what_to_do(interrupt, interrupts, target).await {
                    Answer::Continue => screen.say("going on"),
                    Answer::Leave => {
                        screen.say(&format!(
                            "left running: windlass logs -f {} follows it, windlass run --attach picks it up again",
                            target.name
                        ));
                        return Ok(Exit::Stopped);
                    }
                    Answer::Stop => return stop(client, target, screen, interrupts).await,
                }
            }
        }
    };

    if let Some(task) = stage_task {
        task.abort();
    }
    drop(log_sender);
    loop {
        match tokio::time::timeout(LOG_PATIENCE, log.recv()).await {
            Ok(Some(bytes)) => screen.log(&bytes),
            Ok(None) => break,
            Err(_) if outage::answers(client).await => break,
            Err(_) => {
                screen.say(&outage::beginning(target.patience).to_string());
                if !outage::until_over(client.clone(), target.patience).await {
                    break;
                }
            }
        }
    }
    if let Some((_, task)) = log_task {
        task.abort();
    }
    screen.pause();
    // Pods that ended with the application carry their last figures; take one more look.
    if let Ok(list) = pods
        .list(&kube::api::ListParams::default().labels(&pod_selector(target)))
        .await
    {
        for pod in list {
            if let Ok(pod) = serde_json::to_value(pod) {
                model.pod(&pod, false, Timestamp::now());
            }
        }
    }
    screen.say(&model.summary(Timestamp::now()).to_string());
    Ok(exit)
}

fn print(screen: &Screen, lines: &[String]) {
    for line in lines {
        screen.line(line);
    }
}

fn pod_selector(target: &Target) -> String {
    format!("{APP_NAME_LABEL}={}", target.name)
}

/// The application and its pods, as one stream that outlives broken watches.
fn observations(client: &Client, target: &Target) -> BoxStream<'static, Seen> {
    let application = watcher(
        applications(client.clone(), &target.namespace),
        watcher::Config::default().fields(&format!("metadata.name={}", target.name)),
    )
    .backoff(Pace::default());
    let uid = target.uid.clone();
    let mut listed = false;
    let application = application.filter_map(move |event| {
        let seen = match event {
            Ok(watcher::Event::Apply(object) | watcher::Event::InitApply(object)) => {
                listed = true;
                if object.metadata.uid.as_deref() == Some(uid.as_str()) {
                    serde_json::to_value(object).ok().map(Seen::Application)
                } else {
                    Some(Seen::ApplicationGone)
                }
            }
            Ok(watcher::Event::Delete(_)) => Some(Seen::ApplicationGone),
            Ok(watcher::Event::Init) => {
                listed = false;
                None
            }
            // Deleted while nobody watched.
            Ok(watcher::Event::InitDone) if !listed => Some(Seen::ApplicationGone),
            Ok(watcher::Event::InitDone) => None,
            Err(_) => Some(Seen::Trouble),
        };
        std::future::ready(seen)
    });
    let pods: Api<Pod> = Api::namespaced(client.clone(), &target.namespace);
    let mut known = Known::default();
    let pods = watcher(
        pods,
        watcher::Config::default().labels(&pod_selector(target)),
    )
    .backoff(Pace::default())
    .flat_map(move |event| {
        futures::stream::iter(match event {
            Ok(event) => known.pods(event),
            Err(_) => vec![Seen::Trouble],
        })
    });
    futures::stream::select(application, pods).boxed()
}

/// The pods there are, to find out which were deleted while nobody watched.
#[derive(Default)]
struct Known {
    pods: HashMap<String, Value>,
    before_listing: HashMap<String, Value>,
}

impl Known {
    fn pods(&mut self, event: watcher::Event<Pod>) -> Vec<Seen> {
        let (pod, deleted) = match event {
            watcher::Event::Apply(pod) | watcher::Event::InitApply(pod) => (pod, false),
            watcher::Event::Delete(pod) => (pod, true),
            watcher::Event::Init => {
                self.before_listing.extend(self.pods.drain());
                return Vec::new();
            }
            watcher::Event::InitDone => {
                let gone = self.before_listing.drain();
                return gone.map(|(_, pod)| Seen::Pod(pod, true)).collect();
            }
        };
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        let Ok(pod) = serde_json::to_value(pod) else {
            return Vec::new();
        };
        self.before_listing.remove(&uid);
        if deleted {
            self.pods.remove(&uid);
        } else {
            self.pods.insert(uid, pod.clone());
        }
        vec![Seen::Pod(pod, deleted)]
    }
}

/// Uid and Spark container of a driver pod whose container has started.
fn loggable_driver(pod: &Value) -> Option<(String, String)> {
    if pod["metadata"]["labels"]["spark-role"] != "driver" {
        return None;
    }
    let container = pod["spec"]["containers"]
        .as_array()?
        .iter()
        .find(|container| container["args"][0] == "driver")?["name"]
        .as_str()?;
    let status = pod["status"]["containerStatuses"]
        .as_array()?
        .iter()
        .find(|status| status["name"] == container)?;
    let started =
        status["state"].get("running").is_some() || status["state"].get("terminated").is_some();
    let uid = pod["metadata"]["uid"].as_str()?;
    started.then(|| (uid.to_owned(), container.to_owned()))
}

/// What the user wants after Ctrl-C.
enum Answer {
    Stop,
    Continue,
    Leave,
}

/// Asks the user, where there is one to ask.
async fn what_to_do(interrupt: Interrupt, interrupts: &mut Interrupts, target: &Target) -> Answer {
    if interrupt == Interrupt::Told || !std::io::stdin().is_terminal() {
        return Answer::Stop;
    }
    let choices = if target.cluster_stays {
        "[s]top the application, [l]eave it running, [c]ontinue following? "
    } else {
        "[s]top the application, [c]ontinue following? "
    };
    loop {
        let _ = write!(std::io::stderr().lock(), "\n{choices}");
        // A thread of its own, since the runtime waits for those it has: where another signal is
        // the answer, nobody is to wait for the line.
        let (sender, line) = oneshot::channel();
        std::thread::spawn(move || {
            let mut line = String::new();
            let read = std::io::stdin().read_line(&mut line);
            // Whoever asked may be gone.
            let _ = sender.send(read.is_ok_and(|length| length > 0).then_some(line));
        });
        let line = tokio::select! {
            line = line => line.ok().flatten(),
            // A second Ctrl-C means it.
            _ = interrupts.next() => return Answer::Stop,
        };
        // A terminal that is gone answers no more.
        let Some(line) = line else {
            return Answer::Stop;
        };
        match line.trim().chars().next() {
            Some('s' | 'S') => return Answer::Stop,
            Some('c' | 'C') => return Answer::Continue,
            Some('l' | 'L') if target.cluster_stays => return Answer::Leave,
            _ => {}
        }
    }
}

/// Deletes the application and waits until its pods are gone.
async fn stop(
    client: &Client,
    target: &Target,
    screen: &Screen,
    interrupts: &mut Interrupts,
) -> Result<Exit, Failure> {
    screen.say(&format!("stopping {}", target.name));
    tokio::select! {
        gone = delete_and_wait(client, target, screen) => gone?,
        _ = interrupts.next() => {
            screen.say(&format!("{} is deleted; its pods are still ending", target.name));
            return Ok(Exit::Stopped);
        }
    }
    screen.say(&format!("stopped: {} and its pods are gone", target.name));
    Ok(Exit::Stopped)
}

/// Deletes exactly this application and waits until it and its pods are gone.
pub async fn delete_and_wait(
    client: &Client,
    target: &Target,
    screen: &Screen,
) -> Result<(), Failure> {
    let applications = applications(client.clone(), &target.namespace);
    let pods: Api<Pod> = Api::namespaced(client.clone(), &target.namespace);
    let params = DeleteParams {
        preconditions: Some(kube::api::Preconditions {
            uid: Some(target.uid.clone()),
            resource_version: None,
        }),
        ..DeleteParams::background()
    };
    match applications.delete(&target.name, &params).await {
        Ok(_) => {}
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {}
        Err(error) => return Err(preflight::api_failure(error)),
    }
    let selector = kube::api::ListParams::default().labels(&pod_selector(target));
    let mut events = watcher(
        pods.clone(),
        watcher::Config::default().labels(&pod_selector(target)),
    )
    .default_backoff()
    .boxed();
    let gone = async {
        loop {
            let left = pods
                .list_metadata(&selector)
                .await
                .map_or(1, |list| list.items.len());
            let exists = applications
                .get_metadata_opt(&target.name)
                .await
                .is_ok_and(|found| {
                    found.and_then(|object| object.metadata.uid).as_deref()
                        == Some(target.uid.as_str())
                });
            if left == 0 && !exists {
                return;
            }
            screen.headline(&format!("waiting for {left} pods to end"));
            let _ = tokio::time::timeout(Duration::from_millis(500), events.next()).await;
        }
    };
    tokio::time::timeout(STOP_PATIENCE, gone)
        .await
        .map_err(|_| {
            Failure::cluster(format!(
                "the pods of {}/{} are not gone after {} s: see kubectl get pods -l {}",
                target.namespace,
                target.name,
                STOP_PATIENCE.as_secs(),
                pod_selector(target)
            ))
        })
}
