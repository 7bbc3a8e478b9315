//! A controller for the tests: an App runs one pod, and follows it to its end.

use std::sync::LazyLock;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::sync::Barrier;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use windlass_engine::api::ApiError;
use windlass_engine::engine::EngineError;
use windlass_engine::plan::{Basis, Effect, EventNote, Plan, Severity};
use windlass_engine::view::{External, Refusal};
use windlass_engine::{
    Child, Class, Controller, Engine, EngineBuilder, Kind, Object, QueueConfig, View, Watch,
};

use crate::api::FakeApi;

const APP: Kind = Kind::namespaced("test.windlass.dev", "v1", "App", "apps");

/// `spec.pods`: how many pods to create, one effect each. `spec.hook`: an external effect to run
/// first. `spec.beside`: two external effects that end together. A name of `bad` makes the plan panic.
pub(crate) struct Apps;

pub(crate) struct Seen {
    pods: Vec<Object>,
    refusal: Option<Refusal>,
    hook: Option<External>,
    beside: bool,
}

/// Where the two of `spec.beside` meet.
static MEETING: LazyLock<Barrier> = LazyLock::new(|| Barrier::new(BESIDE.len()));
const BESIDE: [&str; 2] = ["left", "right"];

impl Controller for Apps {
    type Status = Value;
    type Observed = Seen;

    fn name(&self) -> &'static str {
        "apps"
    }

    fn primary(&self) -> Watch {
        Watch::all(APP)
    }

    fn children(&self) -> Vec<Child> {
        vec![Child::labelled(
            Watch::all(Kind::POD).labels("app").index("app"),
            "app",
        )]
    }

    fn class(&self, object: &Object) -> Class {
        if object.status().is_null() {
            Class::New
        } else {
            Class::Status
        }
    }

    async fn observe(&self, object: &Object, view: &View) -> Result<Seen, ApiError> {
        Ok(Seen {
            pods: view
                .labelled(&Kind::POD, object.namespace(), "app", object.name())
                .await?,
            refusal: view.refusal().cloned(),
            hook: view.external("hook").cloned(),
            beside: BESIDE
                .iter()
                .all(|key| matches!(view.external(key), Some(External::Done(_)))),
        })
    }

    fn plan(&self, object: &Object, seen: &Seen, now: Timestamp) -> Plan<Value> {
        assert!(object.name() != "bad", "this plan always panics");
        let before = object.status()["phase"].as_str().unwrap_or("New");
        let phases: Vec<&str> = seen
            .pods
            .iter()
            .filter_map(|pod| pod.status()["phase"].as_str())
            .collect();
        let wanted = object.spec()["pods"].as_u64().unwrap_or(1) as usize;
        let mut note = Value::Null;
        let phase = match before {
            "Completed" | "Failed" => before,
            "New" => "Pending",
            "Running" if phases.is_empty() => "Failed",
            _ if phases.contains(&"Succeeded") => "Completed",
            _ if phases.contains(&"Running") => "Running",
            _ => match &seen.refusal {
                Some(refusal) if refusal.error.code == 422 => {
                    note = json!(refusal.error.reason);
                    "Failed"
                }
                _ => before,
            },
        };
        if phase == before && !object.status()["note"].is_null() {
            note = object.status()["note"].clone();
        }
        let mut effects = Vec::new();
        if phase == "Pending"
            && !object.spec()["hook"].is_null()
            && object.status()["hook"].is_null()
        {
            effects.push(Effect::External {
                key: "hook".to_owned(),
            });
        }
        if phase == "Pending" {
            effects.extend((0..wanted).filter_map(|index| {
                let name = format!("{}-{index}", object.name());
                let exists = seen.pods.iter().any(|pod| pod.name() == name);
                (!exists).then(|| Effect::Create(pod(object, &name)))
            }));
        }
        if object.spec()["cleanup"] == true && phase == "Completed" {
            effects.extend(seen.pods.iter().map(|pod| Effect::Delete {
                target: pod.object_ref(),
                uid: pod.uid().to_owned(),
            }));
        }
        let hook = match &seen.hook {
            Some(External::Done(value)) => value.clone(),
            _ => object.status()["hook"].clone(),
        };
        let is_final = matches!(phase, "Completed" | "Failed");
        let mut status = json!({ "phase": phase, "note": note, "hook": hook });
        if object.spec()["beside"] == true {
            let met = seen.beside || object.status()["met"] == true;
            status["met"] = json!(met);
            if !met {
                effects.extend(BESIDE.map(|key| Effect::External {
                    key: key.to_owned(),
                }));
            }
        }
        Plan {
            status,
            effects,
            events: vec![EventNote {
                severity: Severity::Normal,
                reason: phase.to_owned(),
                action: "Follow".to_owned(),
                note: format!("the app is {phase}"),
            }],
            wake_at: (!is_final).then(|| now + SignedDuration::from_mins(5)),
            basis: if is_final && phase != before {
                Basis::Live
            } else {
                Basis::Cached
            },
        }
    }

    async fn external(&self, object: Object, key: String) -> Result<Value, String> {
        if BESIDE.contains(&key.as_str()) {
            MEETING.wait().await;
        }
        Ok(json!(format!("{key} of {}", object.name())))
    }
}

fn pod(app: &Object, name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "namespace": app.namespace(),
            "name": name,
            "labels": if app.spec()["unlabelled"] == true { json!({}) } else { json!({ "app": app.name() }) },
        },
        "spec": { "containers": [{ "name": "main", "image": "none" }] },
    })
}

/// An App as a user would create it.
pub(crate) fn app(name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "test.windlass.dev/v1",
        "kind": "App",
        "metadata": { "namespace": "team", "name": name },
        "spec": spec,
    })
}

pub(crate) fn phase(api: &FakeApi, name: &str) -> String {
    let app = api.get("apps", &format!("team/{name}")).unwrap_or_default();
    app["status"]["phase"].as_str().unwrap_or("New").to_owned()
}

/// What the node agent would write.
pub(crate) fn set_pod_phase(api: &FakeApi, name: &str, phase: &str) {
    api.edit("pods", &format!("team/{name}"), |pod| {
        pod["status"] = json!({ "phase": phase });
    });
}

pub(crate) fn builder(api: &FakeApi) -> EngineBuilder {
    let queue = QueueConfig {
        backoff_base: Duration::from_millis(10),
        backoff_cap: Duration::from_millis(200),
        ..QueueConfig::default()
    };
    Engine::builder(api.client()).controller(Apps, queue)
}

/// An engine that runs until it is stopped.
pub(crate) struct Running {
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), EngineError>>,
}

impl Running {
    pub(crate) fn start(builder: EngineBuilder) -> Self {
        let shutdown = CancellationToken::new();
        let engine = builder.build().unwrap();
        let task = tokio::spawn(engine.run(shutdown.clone()));
        Self { shutdown, task }
    }

    pub(crate) fn ask_to_stop(&self) {
        self.shutdown.cancel();
    }

    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        tokio::time::timeout(crate::api::DEADLINE, self.task)
            .await
            .unwrap()
            .unwrap()
            .unwrap();
    }
}

#[tokio::test]
async fn an_app_is_followed_from_its_start_to_its_end_and_then_left_alone() {
    let api = FakeApi::new();
    let engine = Running::start(builder(&api));
    api.put("apps", app("one", json!({})));
    api.until("a pod", |api| api.get("pods", "team/one-0").is_some())
        .await;
    set_pod_phase(&api, "one-0", "Running");
    api.until("running", |api| phase(api, "one") == "Running")
        .await;
    set_pod_phase(&api, "one-0", "Succeeded");
    api.until("completed", |api| phase(api, "one") == "Completed")
        .await;

    // Quiet when done: another app proves that the queue has gone past the touched one.
    let writes = api.count("PUT apps/status team/one");
    api.edit("apps", "team/one", |app| {
        app["metadata"]["labels"] = json!({ "touched": "yes" });
    });
    api.put("apps", app("two", json!({})));
    api.until("the next app", |api| {
        api.get("pods", "team/two-0").is_some()
    })
    .await;
    assert_eq!(api.count("PUT apps/status team/one"), writes);
    assert_eq!(api.count("POST pods team"), 2);
    engine.stop().await;
}

#[tokio::test]
async fn the_result_of_external_work_comes_back_as_an_observation() {
    let api = FakeApi::new();
    let engine = Running::start(builder(&api));
    api.put("apps", app("one", json!({ "hook": true })));
    api.until("the hook's result", |api| {
        api.get("apps", "team/one").unwrap()["status"]["hook"] == "hook of one"
    })
    .await;
    api.until("the pod after it", |api| {
        api.get("pods", "team/one-0").is_some()
    })
    .await;
    let writes = api.writes();
    let position = |line: &str| writes.iter().rposition(|write| write == line).unwrap();
    assert!(
        position("PUT apps/status team/one") < position("POST pods team"),
        "{writes:?}"
    );
    engine.stop().await;
}

#[tokio::test]
async fn external_work_in_a_row_runs_side_by_side() {
    let api = FakeApi::new();
    let engine = Running::start(builder(&api));
    api.put("apps", app("one", json!({ "beside": true })));
    api.until("the results of both", |api| {
        api.get("apps", "team/one").unwrap()["status"]["met"] == true
    })
    .await;
    engine.stop().await;
}

#[tokio::test]
async fn events_tell_of_changes_once_and_name_the_object() {
    let api = FakeApi::new();
    let engine = Running::start(builder(&api));
    api.put("apps", app("one", json!({})));
    api.until("an event", |api| {
        api.all("events")
            .iter()
            .any(|event| event["reason"] == "Pending")
    })
    .await;
    engine.stop().await;
    let events = api.all("events");
    let pending: Vec<_> = events
        .iter()
        .filter(|event| event["reason"] == "Pending")
        .collect();
    let uid = &api.get("apps", "team/one").unwrap()["metadata"]["uid"];
    assert_eq!(&pending[0]["regarding"]["uid"], uid);
    assert_eq!(pending[0]["reportingController"], "windlass/apps");
}
