//! Which logs are copied, on the engine: each pod that Spark or Windlass has labelled is one, from the start
//! of its Spark container on.
//!
//! Copying is an external effect that lasts as long as the log. It ends with the leadership, and the next
//! leader goes on where the segments end. What a shelf is to lose is looked for beside it, so that no log waits
//! for that.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::{Api, Client};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;
use windlass_api::spark::application::KEEP_LOGS_LABEL;
use windlass_engine::api::ApiError;
use windlass_engine::controller::Trim;
use windlass_engine::plan::{Effect, EventNote, Plan};
use windlass_engine::{Class, Controller, Kind, Object, ObjectKey, View, Watch};

use super::copy::Copy;
use super::shelf::{About, Bucket, Shelf, Slot};
use super::{AskedFor, BucketName, JOINING, KeptIn, STREAMS, Settings};
use crate::buckets::contents::Contents;

/// The annotation of a namespace that says how long its logs are kept: `168h`, `90m`.
pub const RETENTION: &str = "windlass.dev/log-retention";

/// `driver`, `executor` or `connect-server`, on every pod of Spark.
const ROLE: &str = "spark-role";
/// The application or server that a pod belongs to.
const OWNERS: [&str; 2] = [
    "sparkoperator.k8s.io/app-name",
    "sparkoperator.k8s.io/connect-name",
];
/// Spark's id of the attempt.
const RUN: &str = "spark-app-selector";
/// Spark's number of an executor.
const EXECUTOR: &str = "spark-exec-id";
/// The one external effect of a pod.
const COPY: &str = "copy";
/// How often trouble is looked at.
const LOOK_AGAIN: SignedDuration = SignedDuration::from_mins(1);
/// How often logs are looked at that may be deleted.
const SWEEP: Duration = Duration::from_mins(10);

/// What is kept of a pod in memory.
const WHOSE_LOG: Trim = Trim {
    name: "whose-log",
    apply: |pod| {
        if let Some(metadata) = pod["metadata"].as_object_mut() {
            metadata.remove("annotations");
        }
        let container = container(pod).unwrap_or_default();
        pod["spec"] = json!({"containers": [{"name": container}]});
    },
};

/// How long an operator that ends waits for the last lines to be kept.
const FAREWELL: Duration = Duration::from_secs(10);

/// The controller of kept logs. It reads them, and the ObjectStores that they go to, through `client`.
pub fn kept_logs(settings: &Settings, client: Client) -> KeptLogs {
    KeptLogs {
        settings: settings.clone(),
        client,
        streams: Arc::new(Semaphore::new(STREAMS)),
        joining: Arc::new(Semaphore::new(JOINING)),
        memories: Mutex::default(),
        shelves: Mutex::default(),
        swept: Mutex::default(),
        last_words: TaskTracker::new(),
    }
}

/// Copies logs.
pub struct KeptLogs {
    settings: Settings,
    client: Client,
    streams: Arc<Semaphore>,
    joining: Arc<Semaphore>,
    memories: Mutex<HashMap<String, Memory>>,
    shelves: Mutex<HashMap<KeptIn, Shelf>>,
    swept: Mutex<HashMap<KeptIn, tokio::time::Instant>>,
    last_words: TaskTracker,
}

/// The lines that were on their way to a bucket when their operator was told to stop.
#[derive(Debug, Clone)]
pub struct LastWords(TaskTracker);

impl LastWords {
    /// Waits until they are kept, once nothing is copied any more; not for long.
    pub async fn kept(self) {
        self.0.close();
        let _ = tokio::time::timeout(FAREWELL, self.0.wait()).await;
    }
}

/// What is remembered of a pod, by its uid.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Memory {
    /// All of its log is kept.
    is_whole: bool,
    /// Why it is not copied now.
    trouble: Option<String>,
}

impl KeptLogs {
    /// What is to be waited for after the engine has ended.
    pub fn last_words(&self) -> LastWords {
        LastWords(self.last_words.clone())
    }

    fn tell(&self, uid: &str, change: impl FnOnce(&mut Memory)) {
        // Of a pod that is gone meanwhile nothing is kept.
        if let Some(memory) = self.memories.lock().get_mut(uid) {
            change(memory);
        }
    }

    /// Where this is, as a shelf that others use, too: a bucket's credentials are read for all of them.
    fn shelf(&self, place: &KeptIn) -> Shelf {
        let mut shelves = self.shelves.lock();
        let made = || match place {
            KeptIn::Folder(folder) => Shelf::folder(folder),
            KeptIn::Bucket(bucket) => {
                let (namespace, name) = (bucket.namespace(), bucket.name());
                let contents = Contents::new(self.client.clone(), namespace, name);
                Shelf::bucket(Bucket::named(Arc::new(contents), bucket.prefix()))
            }
        };
        shelves.entry(place.clone()).or_insert_with(made).clone()
    }

    /// Deletes logs that nobody wants any more, now and then: those of one namespace where only its own are
    /// there.
    async fn sweep(&self, place: &KeptIn, shelf: &Shelf, namespace: &str) {
        let now = tokio::time::Instant::now();
        {
            let mut swept = self.swept.lock();
            if swept.get(place).is_some_and(|last| now < *last + SWEEP) {
                return;
            }
            swept.insert(place.clone(), now);
        }
        let namespaces = if self.settings.kept_in.as_ref() == Some(place) {
            match shelf.namespaces().await {
                Ok(names) => names,
                Err(error) => return tracing::warn!(%place, %error, "old logs stay"),
            }
        } else {
            vec![namespace.to_owned()]
        };
        for name in namespaces {
            let Some(retention) = self.retention(&name).await else {
                continue;
            };
            let lives: Vec<String> = self.memories.lock().keys().cloned().collect();
            let lives = |uid: &str| lives.iter().any(|it| it == uid);
            match shelf.sweep(&name, retention, Timestamp::now(), lives).await {
                Ok(0) => {}
                Ok(count) => tracing::info!(namespace = name, count, "old logs are deleted"),
                Err(error) => tracing::warn!(namespace = name, %error, "old logs stay"),
            }
        }
    }

    /// How long logs of a namespace are kept; nothing is deleted where that is not known.
    async fn retention(&self, namespace: &str) -> Option<SignedDuration> {
        let found = Api::<Namespace>::all(self.client.clone())
            .get_opt(namespace)
            .await;
        let found = match found {
            Ok(found) => found,
            // This operator may not look at namespaces, so that they cannot say anything to it.
            Err(kube::Error::Api(status)) if status.code == 403 => {
                return Some(self.settings.retention);
            }
            Err(_) => return None,
        };
        let annotations = found.and_then(|it| it.metadata.annotations);
        let said = annotations.and_then(|it| it.get(RETENTION).cloned());
        match retention(said.as_deref(), self.settings.retention) {
            Ok(retention) => Some(retention),
            Err(error) => {
                tracing::warn!(namespace, error, "logs are not deleted");
                None
            }
        }
    }
}

/// What an annotation says, or what counts without.
fn retention(said: Option<&str>, default: SignedDuration) -> Result<SignedDuration, String> {
    let Some(text) = said else { return Ok(default) };
    super::retention(text)
        .ok_or_else(|| format!("{RETENTION}: {text:?} is no duration, such as 168h"))
}

impl Controller for KeptLogs {
    type Status = Value;
    type Observed = Memory;

    fn name(&self) -> &'static str {
        "kept-logs"
    }

    fn primary(&self) -> Watch {
        // Where only those are kept whose application says so, no memory is spent on others.
        let selector = match self.settings.kept_in {
            Some(_) => ROLE.to_owned(),
            None => format!("{ROLE},{KEEP_LOGS_LABEL}"),
        };
        Watch::all(Kind::POD).labels(selector).trim(WHOSE_LOG)
    }

    fn neighbours(&self, old: Option<&Object>, new: Option<&Object>) -> Vec<ObjectKey> {
        let mut memories = self.memories.lock();
        if let Some(old) = old
            && new.is_none_or(|new| new.uid() != old.uid())
        {
            memories.remove(old.uid());
        }
        if let Some(new) = new {
            memories.entry(new.uid().to_owned()).or_default();
        }
        Vec::new()
    }

    fn class(&self, _object: &Object) -> Class {
        Class::Status
    }

    async fn observe(&self, object: &Object, _view: &View) -> Result<Memory, ApiError> {
        let memories = self.memories.lock();
        Ok(memories.get(object.uid()).cloned().unwrap_or_default())
    }

    fn plan(&self, object: &Object, memory: &Memory, now: Timestamp) -> Plan<Value> {
        plan(object, memory, now)
    }

    async fn external(&self, object: Object, _key: String) -> Result<Value, String> {
        let Some((slot, about)) = log_of(&object) else {
            return Ok(Value::Null);
        };
        let uid = slot.uid.clone();
        let Some(place) = place_of(&object, &self.settings) else {
            self.tell(&uid, |memory| memory.is_whole = true);
            return Ok(Value::Null);
        };
        let shelf = self.shelf(&place);
        let namespace = slot.namespace.clone();
        let copy = Copy {
            pods: Api::<Pod>::namespaced(self.client.clone(), &slot.namespace),
            shelf: shelf.clone(),
            slot,
            about,
            limit: self.settings.size,
            joining: Arc::clone(&self.joining),
            last_words: self.last_words.clone(),
        };
        let copying = async {
            let permit = self.streams.acquire().await;
            copy.run(|trouble| {
                if let Some(trouble) = &trouble {
                    tracing::debug!(pod = %object.key(), trouble, "a log is not copied");
                }
                self.tell(&uid, |memory| memory.trouble = trouble);
            })
            .await;
            self.tell(&uid, |memory| memory.is_whole = true);
            drop(permit);
        };
        futures::join!(copying, self.sweep(&place, &shelf, &namespace));
        Ok(Value::Null)
    }
}

/// Where the log of a pod goes: where its application says so, else where the operator keeps all others.
fn place_of(pod: &Object, settings: &Settings) -> Option<KeptIn> {
    let named = pod.label(KEEP_LOGS_LABEL).filter(|it| !it.is_empty());
    match (settings.asked_for, named, pod.namespace()) {
        (AskedFor::Served, Some(name), Some(namespace)) => {
            Some(KeptIn::Bucket(BucketName::new(namespace, name)))
        }
        _ => settings.kept_in.clone(),
    }
}

/// Decides whether the log of a pod is copied. Pure.
fn plan(object: &Object, memory: &Memory, now: Timestamp) -> Plan<Value> {
    let mut plan = Plan::nothing(object);
    if memory.is_whole || log_of(object).is_none() {
        return plan;
    }
    plan.effects.push(Effect::External {
        key: COPY.to_owned(),
    });
    plan.wake_at = now.checked_add(LOOK_AGAIN).ok();
    if let Some(trouble) = &memory.trouble {
        let note = EventNote::warning("LogNotKept", "KeepLog", trouble.clone());
        plan.events.push(note);
    }
    plan
}

/// The log that there is of a pod, once its container has been started.
fn log_of(pod: &Object) -> Option<(Slot, About)> {
    let application = OWNERS.iter().find_map(|label| pod.label(label))?;
    // A label may be empty, and a folder may not.
    if application.is_empty() {
        return None;
    }
    let container = pod.spec()["containers"][0]["name"].as_str()?;
    let statuses = pod.status()["containerStatuses"].as_array()?;
    let state = &statuses.iter().find(|it| it["name"] == container)?["state"];
    if state["running"].is_null() && state["terminated"].is_null() {
        return None;
    }
    let created = pod.as_value()["metadata"]["creationTimestamp"].as_str()?;
    let slot = Slot {
        namespace: pod.namespace()?.to_owned(),
        application: application.to_owned(),
        uid: pod.uid().to_owned(),
    };
    let about = About {
        pod: pod.name().to_owned(),
        role: pod.label(ROLE)?.to_owned(),
        executor: pod.label(EXECUTOR).and_then(|it| it.parse().ok()),
        run: pod.label(RUN).unwrap_or_default().to_owned(),
        container: container.to_owned(),
        created: created.parse().ok()?,
    };
    Some((slot, about))
}

/// The container that Spark runs in: its first argument says so, else it is the first one.
fn container(pod: &Value) -> Option<String> {
    let containers = pod["spec"]["containers"].as_array()?;
    let is_spark = |it: &&Value| matches!(it["args"][0].as_str(), Some("driver" | "executor"));
    let found = containers.iter().find(is_spark).or(containers.first())?;
    Some(found["name"].as_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(labels: Value, state: Value) -> Object {
        let mut pod = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": "sales-exec-1", "namespace": "team", "uid": "u1", "labels": labels,
                "creationTimestamp": "2026-11-30T06:00:00Z", "annotations": {"much": "of it"},
            },
            "spec": {"containers": [
                {"name": "proxy", "args": ["serve"]},
                {"name": "spark", "args": ["executor"], "image": "apache/spark:4.3.0"},
            ]},
            "status": {"containerStatuses": [
                {"name": "proxy", "state": {"running": {}}},
                {"name": "spark", "state": state},
            ]},
        });
        (WHOSE_LOG.apply)(&mut pod);
        Object::new(pod)
    }

    fn labels() -> Value {
        json!({
            "spark-role": "executor", "spark-exec-id": "1", "spark-app-selector": "spark-a",
            "sparkoperator.k8s.io/app-name": "sales",
        })
    }

    #[test]
    fn the_log_of_the_spark_container_is_copied_from_its_start_until_it_is_whole() {
        let idle = Memory::default();
        let whole = Memory {
            is_whole: true,
            ..Memory::default()
        };
        let strange = json!({"spark-role": "driver"});
        for (labels, state, memory, copies) in [
            (labels(), json!({"waiting": {}}), &idle, false),
            (labels(), json!({"running": {}}), &idle, true),
            (labels(), json!({"terminated": {}}), &idle, true),
            (labels(), json!({"terminated": {}}), &whole, false),
            (strange, json!({"running": {}}), &idle, false),
        ] {
            let pod = pod(labels, state);
            let plan = plan(&pod, memory, Timestamp::UNIX_EPOCH);
            assert_eq!(plan.effects.len(), usize::from(copies), "{pod:?}");
            assert_eq!(plan.wake_at.is_some(), copies, "{pod:?}");
            assert_eq!(plan.status, *pod.status());
        }
        let (slot, about) = log_of(&pod(labels(), json!({"running": {}}))).unwrap();
        assert_eq!((&*slot.application, &*slot.uid), ("sales", "u1"));
        assert_eq!((&*about.container, about.executor), ("spark", Some(1)));
        assert_eq!(about.run, "spark-a");
    }

    #[test]
    fn an_application_says_where_its_logs_go_before_the_operator_does() {
        let all = Settings {
            kept_in: Some(KeptIn::Folder("/logs".into())),
            asked_for: AskedFor::Served,
            retention: crate::logs::RETENTION,
            size: crate::logs::SIZE,
        };
        let nobody = Settings {
            asked_for: AskedFor::Unserved,
            ..all.clone()
        };
        let only = Settings {
            kept_in: None,
            ..all.clone()
        };
        let own = Some("objectstore/team/history");
        for (settings, label, expected) in [
            (&all, None, Some("/logs")),
            (&all, Some("history"), own),
            (&nobody, Some("history"), Some("/logs")),
            (&only, Some("history"), own),
            (&only, Some(""), None),
            (&only, None, None),
        ] {
            let mut labels = labels();
            if let Some(label) = label {
                labels[KEEP_LOGS_LABEL] = json!(label);
            }
            let pod = pod(labels, json!({"running": {}}));
            let place = place_of(&pod, settings).map(|it| it.to_string());
            assert_eq!(place.as_deref(), expected, "{label:?}");
        }
    }

    #[test]
    fn trouble_is_told_on_the_pod() {
        let memory = Memory {
            trouble: Some("the log cannot be kept: no space left".to_owned()),
            ..Memory::default()
        };
        let pod = pod(labels(), json!({"running": {}}));
        let plan = plan(&pod, &memory, Timestamp::UNIX_EPOCH);
        assert_eq!(plan.events[0].reason, "LogNotKept");
        assert!(plan.events[0].note.contains("no space left"));
    }

    #[test]
    fn a_namespace_says_how_long_its_logs_are_kept_and_a_mistake_deletes_nothing() {
        let week = super::super::RETENTION;
        assert_eq!(retention(None, week), Ok(week));
        for (text, hours) in [("24h", 24), ("720h", 720), ("0s", 0)] {
            let said = retention(Some(text), week);
            assert_eq!(said, Ok(SignedDuration::from_hours(hours)), "{text}");
        }
        for text in ["", "a week", "-1h", "24"] {
            let told = retention(Some(text), week).unwrap_err();
            assert!(told.contains(RETENTION), "{told}");
        }
    }
}
