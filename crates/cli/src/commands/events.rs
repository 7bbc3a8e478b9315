//! `windlass events`: what the operator and the cluster have said about an application.

use std::collections::HashMap;
use std::pin::pin;

use futures::StreamExt as _;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Event;
use kube::Api;
use kube::api::{DynamicObject, ListParams};
use kube::runtime::{WatchStreamExt as _, watcher};

use crate::applications::{Place, age, state};
use crate::args::EventsArgs;
use crate::evidence::claims_of;
use crate::exit::{Exit, Failure};
use crate::output::{data, out, table, talk};
use crate::run::follow::APP_NAME_LABEL;
use crate::run::outage::Pace;
use crate::run::preflight::api_failure;

/// Prints the events.
pub async fn events(args: EventsArgs) -> Result<Exit, Failure> {
    let place = Place::open(&args.place).await?;
    let application = place.application(&args.name).await?;
    if args.follow {
        return follow(&place, &application).await;
    }
    let mut found = about(&place, &application).await?;
    if found.is_empty() {
        talk(&format!(
            "no events about {}/{} (clusters keep them for an hour)",
            place.namespace, args.name
        ));
        return Ok(Exit::Completed);
    }
    found.sort_by_key(time);
    let now = Timestamp::now();
    let rows: Vec<Vec<String>> = found.iter().map(|event| row(event, now)).collect();
    data(&table(
        &["AGE", "TYPE", "REASON", "OBJECT", "MESSAGE"],
        &rows,
    ))
}

/// The events about an application, its pods and their claims.
pub async fn about(place: &Place, application: &DynamicObject) -> Result<Vec<Event>, Failure> {
    let api: Api<Event> = Api::namespaced(place.client.clone(), &place.namespace);
    let all = api
        .list(&ListParams::default())
        .await
        .map_err(api_failure)?;
    let subjects = Subjects::of(place, application).await?;
    Ok(all
        .items
        .into_iter()
        .filter(|event| subjects.include(event))
        .collect())
}

/// The objects whose events are of interest.
struct Subjects {
    /// Kind and name.
    names: Vec<(String, String)>,
    /// Pods that are gone had names that begin like this.
    pod_prefixes: Vec<String>,
}

impl Subjects {
    async fn of(place: &Place, application: &DynamicObject) -> Result<Self, Failure> {
        let name = application.metadata.name.clone().unwrap_or_default();
        let selector = format!("{APP_NAME_LABEL}={name}");
        let params = ListParams::default().labels(&selector);
        let pods = place.pods().list(&params).await.map_err(api_failure)?;
        let mut names = vec![("SparkApplication".to_owned(), name.clone())];
        let mut pod_prefixes = Vec::new();
        let driver = application.data["status"]["driverInfo"]["podName"].as_str();
        names.extend(driver.map(|pod| ("Pod".to_owned(), pod.to_owned())));
        for pod in &pods {
            let pod_name = pod.metadata.name.clone().unwrap_or_default();
            // Executors are named like their first one, up to its number.
            if let Some((prefix, _)) = pod_name.split_once("-exec-") {
                pod_prefixes.push(format!("{prefix}-exec-"));
            }
            names.push(("Pod".to_owned(), pod_name));
            let claims = claims_of(pod).map(|claim| ("PersistentVolumeClaim".to_owned(), claim));
            names.extend(claims);
        }
        if let Some(executors) = application.data["status"]["executorState"].as_object() {
            names.extend(executors.keys().map(|pod| ("Pod".to_owned(), pod.clone())));
        }
        Ok(Self {
            names,
            pod_prefixes,
        })
    }

    fn include(&self, event: &Event) -> bool {
        let object = &event.involved_object;
        let (Some(kind), Some(name)) = (&object.kind, &object.name) else {
            return false;
        };
        let is_named = self
            .names
            .iter()
            .any(|(known, subject)| known == kind && subject == name);
        let is_gone_executor = kind == "Pod"
            && self
                .pod_prefixes
                .iter()
                .any(|prefix| name.starts_with(prefix));
        is_named || is_gone_executor
    }
}

/// Prints events as they come, until the application has ended.
async fn follow(place: &Place, application: &DynamicObject) -> Result<Exit, Failure> {
    let name = application.metadata.name.clone().unwrap_or_default();
    let api: Api<Event> = Api::namespaced(place.client.clone(), &place.namespace);
    let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let mut applications = pin!(watcher(place.applications(), config).backoff(Pace::default()));
    let mut events = pin!(watcher(api, watcher::Config::default()).backoff(Pace::default()));
    let mut told: HashMap<String, Option<i32>> = HashMap::new();
    let mut subjects = Subjects::of(place, application).await?;
    loop {
        tokio::select! {
            // What was said before the end is told before it.
            biased;
            Some(event) = events.next() => {
                let (event, is_new) = match event {
                    Ok(watcher::Event::Apply(event)) => (event, true),
                    Ok(watcher::Event::InitApply(event)) => (event, false),
                    Ok(watcher::Event::Delete(_) | watcher::Event::Init | watcher::Event::InitDone) | Err(_) => {
                        continue;
                    }
                };
                let uid = event.metadata.uid.clone().unwrap_or_default();
                if told.get(&uid) == Some(&event.count) {
                    continue;
                }
                // The event may be about a pod that has just come.
                if is_new && !subjects.include(&event) {
                    subjects = Subjects::of(place, application).await?;
                }
                if subjects.include(&event) {
                    told.insert(uid, event.count);
                    out(&line(&event));
                }
            }
            Some(seen) = applications.next() => match seen {
                Ok(watcher::Event::Apply(found) | watcher::Event::InitApply(found)) => {
                    match state(&found) {
                        "COMPLETED" | "FAILED" => return last(place, &found, &mut told).await,
                        _ => {}
                    }
                }
                Ok(watcher::Event::Delete(_)) => return Ok(Exit::Completed),
                Ok(watcher::Event::Init | watcher::Event::InitDone) | Err(_) => {}
            },
            else => return Err(Failure::cluster("the watch of the events ended")),
        }
    }
}

/// Tells what came last, which the watch may not have brought yet.
async fn last(
    place: &Place,
    application: &DynamicObject,
    told: &mut HashMap<String, Option<i32>>,
) -> Result<Exit, Failure> {
    let mut found = about(place, application).await?;
    found.sort_by_key(time);
    for event in found {
        let uid = event.metadata.uid.clone().unwrap_or_default();
        if told.insert(uid, event.count) != Some(event.count) {
            out(&line(&event));
        }
    }
    Ok(Exit::Completed)
}

fn time(event: &Event) -> Option<Timestamp> {
    let series = event
        .series
        .as_ref()
        .and_then(|it| it.last_observed_time.as_ref());
    let last = event.last_timestamp.as_ref().map(|time| time.0);
    last.or(series.map(|time| time.0))
        .or(event.event_time.as_ref().map(|time| time.0))
        .or(event
            .metadata
            .creation_timestamp
            .as_ref()
            .map(|time| time.0))
}

fn row(event: &Event, now: Timestamp) -> Vec<String> {
    let since = time(event).map_or_else(String::new, |at| age(now.duration_since(at).as_secs()));
    let count = event.count.filter(|count| *count > 1);
    let message = event.message.clone().unwrap_or_default();
    let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
    vec![
        since,
        event.type_.clone().unwrap_or_default(),
        event.reason.clone().unwrap_or_default(),
        format!(
            "{}/{}",
            event
                .involved_object
                .kind
                .as_deref()
                .unwrap_or_default()
                .to_lowercase(),
            event.involved_object.name.as_deref().unwrap_or_default()
        ),
        match count {
            Some(count) => format!("{message} ({count} times)"),
            None => message,
        },
    ]
}

fn line(event: &Event) -> String {
    let at = time(event).map_or_else(String::new, |at| at.strftime("%H:%M:%S").to_string());
    let cells = row(event, Timestamp::now());
    format!("{at} {}", cells[1..].join("  "))
}
