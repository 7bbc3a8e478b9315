//! A cluster in which an operator and the Deployment's controller act by turns.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use windlass_api::spark::SparkConnect;
use windlass_api::spark::connect::SparkConnectStatus as Status;
use windlass_engine::Object;
use windlass_engine::plan::{Effect, EventNote, ObjectRef};

use crate::connect::{CHILD, Decision, Entropy, Observed, POD, Spec, observe, plan, wanted};
use crate::lower::Settings;

pub(super) const UID: &str = "5f0c1f0e-3c1b-4a53-9d2c-2f6a55a8a001";

/// Everything there is.
pub(super) struct World {
    pub(super) connect: SparkConnect,
    pub(super) status: Status,
    pub(super) objects: BTreeMap<ObjectRef, Value>,
    pub(super) pods: BTreeMap<String, Value>,
    pub(super) now: Timestamp,
    pub(super) told: Vec<EventNote>,
    pub(super) wake_at: Option<Timestamp>,
    pub(super) wake: Option<String>,
    pub(super) writes: Vec<String>,
    tokens: usize,
}

impl World {
    pub(super) fn new(connect: SparkConnect) -> Self {
        Self {
            connect,
            status: Status::default(),
            objects: BTreeMap::new(),
            pods: BTreeMap::new(),
            now: "2026-03-01T12:00:00Z".parse().unwrap(),
            told: Vec::new(),
            wake_at: None,
            wake: None,
            writes: Vec::new(),
            tokens: 0,
        }
    }

    pub(super) fn spec(&self) -> Spec {
        let spec = &self.connect.spec;
        Spec {
            generation: self.connect.metadata.generation.unwrap_or(1),
            deleting: false,
            suspend: spec.suspend,
            idle_timeout: spec
                .idle_timeout_seconds
                .map(|seconds| std::time::Duration::from_secs(seconds.unsigned_abs())),
            wake: self.wake.clone(),
            wanted: wanted(&self.connect, &Settings::default()),
        }
    }

    pub(super) fn observed(&mut self) -> Observed {
        let is_own = |object: &&Value| object["metadata"]["ownerReferences"][0]["uid"] == UID;
        let trimmed = |mut object: Value, trim: fn(&mut Value)| {
            trim(&mut object);
            Object::new(object)
        };
        let others: Vec<Object> = self
            .objects
            .values()
            .filter(|it| it["kind"] != "Secret")
            .filter(is_own)
            .map(|it| trimmed(it.clone(), CHILD.apply))
            .collect();
        let pods: Vec<Object> = self
            .pods
            .values()
            .map(|it| trimmed(it.clone(), POD.apply))
            .collect();
        let taken = self
            .objects
            .iter()
            .filter(|(_, object)| !is_own(object))
            .map(|(target, _)| target.clone())
            .collect();
        self.tokens += 1;
        Observed {
            entropy: Some(Entropy::fixed(&format!("token-{}", self.tokens))),
            ..observe(UID, &others, &pods, taken)
        }
    }

    /// The operator works until there is nothing to do.
    pub(super) fn settle(&mut self) {
        for _ in 0..10 {
            let decision = self.look();
            if decision.status == self.status && decision.effects.is_empty() {
                self.wake_at = decision.wake_at;
                return;
            }
            self.carry_out(&decision);
        }
        panic!("it does not settle: {:#?}", self.status);
    }

    /// Looks once, and checks the law that every plan obeys.
    pub(super) fn look(&mut self) -> Decision {
        let (spec, observed) = (self.spec(), self.observed());
        let first = plan(&spec, &self.status, &observed, self.now);
        let again = plan(&spec, &first.status, &observed, self.now);
        assert_eq!(first.status, again.status, "it is not stable");
        assert!(first.wake_at.is_some_and(|at| at > self.now));
        first
    }

    fn carry_out(&mut self, decision: &Decision) {
        self.told.extend(decision.notes.iter().cloned());
        if decision.status != self.status {
            self.status = decision.status.clone();
            return;
        }
        for effect in &decision.effects {
            self.do_to(effect);
        }
    }

    fn do_to(&mut self, effect: &Effect) {
        match effect {
            Effect::Apply(object) => {
                let target = Object::new(object.clone()).object_ref();
                self.writes
                    .push(format!("apply {} {}", target.kind, target.name));
                let before = self.objects.get(&target);
                let generation = before
                    .and_then(|it| it["metadata"]["generation"].as_i64())
                    .unwrap_or(0);
                let is_other = before.is_none_or(|it| it["spec"] != object["spec"]);
                let status = before.map(|it| it["status"].clone()).unwrap_or_default();
                let mut object = object.clone();
                object["metadata"]["uid"] = json!(format!("uid-of-{}", target.name));
                // What stands around the specification makes no new generation.
                object["metadata"]["generation"] = json!(generation + i64::from(is_other));
                object["status"] = status;
                self.objects.insert(target, object);
            }
            Effect::Delete { target, .. } => {
                self.writes
                    .push(format!("delete {} {}", target.kind, target.name));
                self.objects.remove(target);
                self.pods.remove(&target.name);
            }
            other => panic!("{other:?}"),
        }
    }

    fn deployment(&mut self) -> Option<&mut Value> {
        let mut objects = self.objects.iter_mut();
        objects
            .find(|(target, _)| target.kind == "Deployment")
            .map(|(_, object)| object)
    }

    /// The Deployment's controller does what it is told: no pods but those of the last template.
    pub(super) fn roll_out(&mut self) {
        let Some(deployment) = self.deployment() else {
            return;
        };
        let replicas = deployment["spec"]["replicas"].as_i64().unwrap();
        let generation = deployment["metadata"]["generation"].clone();
        deployment["status"] = json!({
            "observedGeneration": generation, "replicas": replicas, "updatedReplicas": replicas,
        });
        let template = deployment["spec"]["template"].clone();
        let name = format!("sql-server-{generation}");
        self.pods
            .retain(|kept, pod| pod["kept"] == true || (*kept == name && replicas > 0));
        if replicas > 0 && !self.pods.contains_key(&name) {
            let mut pod = template;
            pod["apiVersion"] = json!("v1");
            pod["kind"] = json!("Pod");
            pod["metadata"]["name"] = json!(name);
            pod["metadata"]["creationTimestamp"] = json!(self.now);
            pod["status"] = json!({"phase": "Pending"});
            self.pods.insert(name, pod);
        }
    }

    /// The server's pod says this of itself.
    pub(super) fn server(&mut self, status: &Value) {
        let is_server =
            |pod: &&mut Value| pod["metadata"]["labels"]["spark-role"] == "connect-server";
        let server = self.pods.values_mut().find(is_server).unwrap();
        server["status"] = status.clone();
    }

    pub(super) fn server_answers(&mut self) {
        self.server(&json!({
            "phase": "Running", "podIP": "10.0.0.7",
            "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [{
                "name": "spark-kubernetes-driver", "ready": true, "restartCount": 0,
                "state": {"running": {"startedAt": "2026-03-01T12:00:00Z"}},
            }],
        }));
    }

    /// So many executors run.
    pub(super) fn executors(&mut self, count: usize) {
        self.pods.retain(|name, _| !name.starts_with("executor"));
        for number in 0..count {
            let name = format!("executor-{number}");
            let pod = json!({
                "apiVersion": "v1", "kind": "Pod", "kept": true,
                "metadata": {"name": name, "labels": {
                    "spark-role": "executor", "sparkoperator.k8s.io/connect-name": "sql",
                }},
                "status": {"phase": "Running"},
            });
            self.pods.insert(name, pod);
        }
    }

    pub(super) fn later(&mut self, seconds: i64) {
        self.now += SignedDuration::from_secs(seconds);
    }

    /// The user changes the specification.
    pub(super) fn change(&mut self, change: impl FnOnce(&mut SparkConnect)) {
        change(&mut self.connect);
        let generation = self.connect.metadata.generation.unwrap_or(1) + 1;
        self.connect.metadata.generation = Some(generation);
    }

    /// A server that answers.
    pub(super) fn up(connect: SparkConnect) -> Self {
        let mut world = Self::new(connect);
        world.settle();
        world.roll_out();
        world.server_answers();
        world.settle();
        world
    }

    /// What was written since the last time this was asked.
    pub(super) fn written(&mut self) -> Vec<String> {
        std::mem::take(&mut self.writes)
    }

    /// How the server stands, in the words of the status.
    pub(super) fn told(&self) -> String {
        let ready = self
            .status
            .conditions
            .iter()
            .find(|it| it.type_ == "ServerPodReady");
        let ready = ready.map_or_else(String::new, |it| format!("{}: {}", it.status, it.message));
        let state = serde_json::to_value(self.status.state).unwrap();
        format!("{} ({ready})", state.as_str().unwrap())
    }
}
