use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use windlass_api::spark::OriginalSparkApplication;
use windlass_api::spark::application::{
    ApplicationState, ApplicationStateType as State, DriverInfo, ExecutorState,
    SparkApplicationStatus,
};
use windlass_api::spark::original::{
    ApplicationStateType as Word, OldImages, SparkApplicationStatus as Status,
};

use super::{Action, Decision, Observed, Spec, Standing, Twin, Wish, plan, project, wanted};
use crate::lifecycle::observed::{DriverPod, ExecutorPod, Exit, PodPhase, SparkContainer};

mod following;
mod running;
mod words;

fn at(text: &str) -> Timestamp {
    text.parse()
        .unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn now() -> Timestamp {
    at("2026-11-29T12:00:00Z")
}

fn original() -> OriginalSparkApplication {
    serde_json::from_value(json!({
        "apiVersion": "spark-operator.k8s.io/v1alpha1",
        "kind": "SparkApplication",
        "metadata": {"name": "estimate", "namespace": "jobs", "uid": "uid-1"},
        "spec": {
            "type": "Python",
            "mode": "cluster",
            "mainApplicationFile": "local:///opt/spark/examples/src/main/python/pi.py",
            "deps": {},
            "driver": {"cores": "0.1", "image": "apache/spark:4.3.0"},
            "executor": {"cores": "1", "image": "apache/spark:4.3.0", "instances": 2},
            "submissionByUser": false,
        },
    }))
    .unwrap()
}

fn spec(wish: Wish) -> Spec {
    Spec {
        name: "estimate".to_owned(),
        app_id: "estimate-17".to_owned(),
        generation: 1,
        deleting: false,
        wish,
    }
}

fn to_run(original: &OriginalSparkApplication) -> Wish {
    let wanted = wanted(original, &OldImages::Refuse).unwrap();
    Wish::Run(Box::new(wanted))
}

/// An original with what is around it, whose plans are carried out.
struct World {
    spec: Spec,
    status: Status,
    observed: Observed,
    now: Timestamp,
    told: Vec<String>,
    created: usize,
}

impl World {
    fn new(wish: Wish) -> Self {
        Self {
            spec: spec(wish),
            status: Status::default(),
            observed: Observed::nothing(),
            now: now(),
            told: Vec::new(),
            created: 0,
        }
    }

    fn plan(&self) -> Decision {
        plan(&self.spec, &self.status, &self.observed, self.now)
    }

    /// Carries plans out until one asks for nothing, which the next one must do, too.
    fn settle(&mut self) -> Decision {
        for _ in 0..6 {
            let decision = self.plan();
            if decision.status != self.status {
                self.status = decision.status;
                self.tell(&decision.notes);
                continue;
            }
            let Some(action) = &decision.action else {
                return decision;
            };
            self.tell(&decision.notes);
            self.act(action);
        }
        panic!("no rest: {:#?}", self.plan());
    }

    fn tell(&mut self, notes: &[windlass_engine::plan::EventNote]) {
        let lines = notes.iter();
        self.told
            .extend(lines.map(|note| format!("{}: {}", note.reason, note.note)));
    }

    fn act(&mut self, action: &Action) {
        match action {
            Action::Create(object) => {
                self.created += 1;
                let annotation = &object["metadata"]["annotations"][super::MADE_FROM];
                self.observed.standing = Standing::Ours(Box::new(Twin {
                    uid: format!("twin-{}", self.created),
                    made_from: annotation.as_str().map(str::to_owned),
                    spec: object["spec"].clone(),
                    status: SparkApplicationStatus::default(),
                    deleting: false,
                }));
            }
            Action::Change(patch) => {
                let twin = self.twin();
                assert_eq!(patch["metadata"]["uid"], json!(twin.uid));
                let annotation = &patch["metadata"]["annotations"][super::MADE_FROM];
                twin.made_from = annotation.as_str().map(str::to_owned);
                merge(&mut twin.spec, &patch["spec"]);
            }
        }
    }

    fn twin(&mut self) -> &mut Twin {
        match &mut self.observed.standing {
            Standing::Ours(twin) => twin,
            other => panic!("no SparkApplication of ours: {other:?}"),
        }
    }

    fn twin_is(&mut self, state: State) {
        self.twin().status.application_state.state = state;
    }
}

/// RFC 7396.
fn merge(target: &mut Value, patch: &Value) {
    let Some(fields) = patch.as_object() else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let Some(object) = target.as_object_mut() else {
        return;
    };
    for (key, value) in fields {
        if value.is_null() {
            object.remove(key);
        } else {
            merge(object.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}
