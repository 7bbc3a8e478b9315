//! `windlass events`: what the operator and the cluster have said about an application, a schedule, a
//! Connect server or a virtual cluster.

use std::collections::HashMap;
use std::pin::pin;

use futures::StreamExt as _;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Event;
use kube::Api;
use kube::api::{DynamicObject, ListParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use serde_json::Value;
use windlass_api::spark::{connect, history};

use crate::applications::{Place, state};
use crate::args::EventsArgs;
use crate::evidence::claims_of;
use crate::exit::{Exit, Failure};
use crate::kinds::{Kind, Subject};
use crate::output::{data, out, table, talk};
use crate::run::outage::Pace;
use crate::run::preflight::api_failure;
use crate::schedules;
use crate::shown::age;

/// Prints the events.
pub async fn events(args: EventsArgs) -> Result<Exit, Failure> {
    let place = Place::open(&args.place).await?;
    let subject = &args.object;
    let object = place.object(subject).await?;
    if args.follow {
        return follow(&place, subject, &object).await;
    }
    let mut found = about(&place, subject, &object).await?;
    if found.is_empty() {
        talk(&format!(
            "no events about {} (clusters keep them for an hour)",
            place.about(subject)
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

/// The events about an application or server, its pods and their claims, or about a schedule and
/// its runs.
pub async fn about(
    place: &Place,
    subject: &Subject,
    object: &DynamicObject,
) -> Result<Vec<Event>, Failure> {
    let api: Api<Event> = Api::namespaced(place.client.clone(), &place.namespace);
    let all = api
        .list(&ListParams::default())
        .await
        .map_err(api_failure)?;
    let subjects = Subjects::of(place, subject, object).await?;
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
    /// Families of which some may be gone.
    families: Vec<Family>,
}

/// Objects whose names have the same beginning, and then so many words with dashes between them.
struct Family {
    kind: &'static str,
    prefix: String,
    words: usize,
}

impl Family {
    fn has(&self, kind: &str, name: &str) -> bool {
        let rest = name.strip_prefix(self.prefix.as_str());
        kind == self.kind && rest.is_some_and(|rest| rest.split('-').count() == self.words)
    }
}

impl Subjects {
    async fn of(place: &Place, subject: &Subject, object: &DynamicObject) -> Result<Self, Failure> {
        let name = &subject.name;
        let mut all = Self {
            names: vec![(subject.kind.resource().kind, name.clone())],
            families: Vec::new(),
        };
        match subject.kind {
            Kind::Application => {
                let driver = object.data["status"]["driverInfo"]["podName"].as_str();
                all.names
                    .extend(driver.map(|pod| ("Pod".to_owned(), pod.to_owned())));
            }
            Kind::Schedule => {
                let runs = schedules::runs(place, name).await?;
                let runs = runs.into_iter().filter_map(|run| run.metadata.name);
                let kind = Kind::Application.resource().kind;
                all.names.extend(runs.map(|run| (kind.clone(), run)));
                return Ok(all);
            }
            Kind::Connect | Kind::History => {
                let is_connect = subject.kind == Kind::Connect;
                let (server, service) = if is_connect {
                    (connect::server_name(name), "/status/server/serviceName")
                } else {
                    (history::server_name(name), "/status/serviceName")
                };
                // A Deployment puts a hash behind its name, and a ReplicaSet a few letters.
                all.families = [("ReplicaSet", 1), ("Pod", 2)]
                    .map(|(kind, words)| Family {
                        kind,
                        prefix: format!("{server}-"),
                        words,
                    })
                    .into();
                let service = object.data.pointer(service).and_then(Value::as_str);
                let service = service.map(|service| ("Service".to_owned(), service.to_owned()));
                all.names.extend(service);
                all.names.push(("Deployment".to_owned(), server));
            }
            Kind::Cluster => all.add_roles(object),
        }
        all.add_pods(place, subject, object).await?;
        Ok(all)
    }

    /// What a virtual cluster has by its status: StatefulSets, and all that is named after them.
    fn add_roles(&mut self, cluster: &DynamicObject) {
        let roles = cluster.data["status"]["roles"].as_array();
        for role in roles.into_iter().flatten() {
            let Some(set) = role["statefulSet"].as_str() else {
                continue;
            };
            self.names.push(("StatefulSet".to_owned(), set.to_owned()));
            self.families.push(Family {
                kind: "Pod",
                prefix: format!("{set}-"),
                words: 1,
            });
            for member in role["members"].as_array().into_iter().flatten() {
                let parts = [("service", "Service"), ("pvc", "PersistentVolumeClaim")];
                let named = parts.iter().filter_map(|(field, kind)| {
                    let name = member[*field].as_str().filter(|it| !it.is_empty())?;
                    Some(((*kind).to_owned(), name.to_owned()))
                });
                self.names.extend(named);
            }
        }
    }

    async fn add_pods(
        &mut self,
        place: &Place,
        subject: &Subject,
        object: &DynamicObject,
    ) -> Result<(), Failure> {
        let params = ListParams::default().labels(&subject.selector());
        let pods = place.pods().list(&params).await.map_err(api_failure)?;
        for pod in &pods {
            let pod_name = pod.metadata.name.clone().unwrap_or_default();
            // Executors are named like their first one, up to its number.
            if let Some((prefix, _)) = pod_name.split_once("-exec-") {
                self.families.push(Family {
                    kind: "Pod",
                    prefix: format!("{prefix}-exec-"),
                    words: 1,
                });
            }
            self.names.push(("Pod".to_owned(), pod_name));
            let claims = claims_of(pod).map(|claim| ("PersistentVolumeClaim".to_owned(), claim));
            self.names.extend(claims);
        }
        if let Some(executors) = object.data["status"]["executorState"].as_object() {
            let pods = executors.keys().map(|pod| ("Pod".to_owned(), pod.clone()));
            self.names.extend(pods);
        }
        Ok(())
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
        is_named || self.families.iter().any(|family| family.has(kind, name))
    }
}

/// Prints events as they come, until the application has ended, or what has no end is gone.
async fn follow(place: &Place, subject: &Subject, object: &DynamicObject) -> Result<Exit, Failure> {
    let name = &subject.name;
    let api: Api<Event> = Api::namespaced(place.client.clone(), &place.namespace);
    let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let mut objects = pin!(watcher(place.api(subject.kind), config).backoff(Pace::default()));
    let mut events = pin!(watcher(api, watcher::Config::default()).backoff(Pace::default()));
    let mut told: HashMap<String, Option<i32>> = HashMap::new();
    let mut subjects = Subjects::of(place, subject, object).await?;
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
                    subjects = Subjects::of(place, subject, object).await?;
                }
                if subjects.include(&event) {
                    told.insert(uid, event.count);
                    out(&line(&event));
                }
            }
            Some(seen) = objects.next() => match seen {
                Ok(watcher::Event::Apply(found) | watcher::Event::InitApply(found)) => {
                    let is_over = matches!(state(&found), "COMPLETED" | "FAILED");
                    if subject.kind == Kind::Application && is_over {
                        return last(place, subject, &found, &mut told).await;
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
    subject: &Subject,
    object: &DynamicObject,
    told: &mut HashMap<String, Option<i32>>,
) -> Result<Exit, Failure> {
    let mut found = about(place, subject, object).await?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_not_told_what_was_said_of_another_whose_name_begins_alike() {
        let pods = Family {
            kind: "Pod",
            prefix: "sql-server-".to_owned(),
            words: 2,
        };
        assert!(pods.has("Pod", "sql-server-7d9c5-x2x4z"));
        assert!(!pods.has("Pod", "sql-server-2-server-7d9c5-x2x4z"));
        assert!(!pods.has("ReplicaSet", "sql-server-7d9c5"));
        assert!(!pods.has("Pod", "sql"));
    }
}
