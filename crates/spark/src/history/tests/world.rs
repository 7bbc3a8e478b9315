//! A cluster in which an operator and the Deployment's controller act by turns.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use windlass_api::spark::SparkHistoryServer;
use windlass_api::spark::history::SparkHistoryServerStatus as Status;
use windlass_engine::Object;
use windlass_engine::plan::{Effect, EventNote, ObjectRef};

use super::{ruled, stores};
use crate::history::{Decision, HISTORY_ROLE, Observed, Spec, plan, wanted};
use crate::lower::Settings;
use crate::lower::tests::merge;
use crate::standing::{CHILD, POD, see};
use crate::stores::Stores;

pub(super) const UID: &str = "5f0c1f0e-3c1b-4a53-9d2c-2f6a55a8a001";

/// Everything there is.
pub(super) struct World {
    pub(super) server: SparkHistoryServer,
    pub(super) stores: Stores,
    pub(super) status: Status,
    pub(super) objects: BTreeMap<ObjectRef, Value>,
    pub(super) pods: BTreeMap<String, Value>,
    pub(super) now: Timestamp,
    pub(super) told: Vec<EventNote>,
    writes: Vec<String>,
}

impl World {
    pub(super) fn new(server: SparkHistoryServer) -> Self {
        Self {
            server,
            stores: stores("http://minio:9000"),
            status: Status::default(),
            objects: BTreeMap::new(),
            pods: BTreeMap::new(),
            now: "2026-03-01T12:00:00Z".parse().unwrap(),
            told: Vec::new(),
            writes: Vec::new(),
        }
    }

    /// A server that answers.
    pub(super) fn up(server: SparkHistoryServer) -> Self {
        let mut world = Self::new(server);
        world.settle();
        world.roll_out();
        world.answers();
        world.settle();
        world.written();
        world
    }

    fn spec(&self) -> Spec {
        Spec {
            generation: self.server.metadata.generation.unwrap_or(1),
            deleting: false,
            suspend: self.server.spec.suspend,
            wanted: wanted(
                &ruled(&self.server),
                Some(&self.stores),
                &Settings::default(),
            ),
        }
    }

    fn observed(&self) -> Observed {
        let is_own = |object: &&Value| object["metadata"]["ownerReferences"][0]["uid"] == UID;
        let trimmed = |object: &Value, trim: fn(&mut Value)| {
            let mut object = object.clone();
            trim(&mut object);
            Object::new(object)
        };
        let own = self.objects.values().filter(is_own);
        let others: Vec<Object> = own.map(|it| trimmed(it, CHILD.apply)).collect();
        let pods: Vec<Object> = self
            .pods
            .values()
            .map(|it| trimmed(it, POD.apply))
            .collect();
        let foreign = self.objects.iter().filter(|(_, object)| !is_own(object));
        Observed {
            seen: see(UID, &others, &pods, HISTORY_ROLE),
            taken: foreign.map(|(target, _)| target.clone()).collect(),
            refusal: None,
        }
    }

    /// The operator works until there is nothing to do.
    pub(super) fn settle(&mut self) {
        for _ in 0..10 {
            let decision = self.look();
            if decision.status == self.status && decision.effects.is_empty() {
                return;
            }
            self.carry_out(&decision);
        }
        panic!("it does not settle: {:#?}", self.status);
    }

    /// Looks once, and checks the law that every plan obeys.
    pub(super) fn look(&self) -> Decision {
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
                let status = before.map(|it| it["status"].clone()).unwrap_or_default();
                let mut object = object.clone();
                object["metadata"]["uid"] = json!(format!("uid-of-{}", target.name));
                object["metadata"]["generation"] = json!(generation + 1);
                object["status"] = status;
                self.objects.insert(target, object);
            }
            Effect::Patch { target, patch } => {
                self.writes
                    .push(format!("patch {} {}", target.kind, target.name));
                let object = self.objects.get_mut(target).unwrap();
                let generation = object["metadata"]["generation"].as_i64().unwrap();
                object["metadata"]["generation"] = json!(generation + 1);
                merge(object, patch.clone());
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

    /// The Deployment's controller does what it is told: no pods but those of the last template.
    pub(super) fn roll_out(&mut self) {
        let mut objects = self.objects.iter_mut();
        let found = objects.find(|(target, _)| target.kind == "Deployment");
        let Some((_, deployment)) = found else {
            return;
        };
        let replicas = deployment["spec"]["replicas"].as_i64().unwrap();
        let generation = deployment["metadata"]["generation"].clone();
        deployment["status"] = json!({
            "observedGeneration": generation, "replicas": replicas, "updatedReplicas": replicas,
        });
        let name = format!("jobs-history-{generation}");
        self.pods.retain(|kept, _| *kept == name && replicas > 0);
        if replicas > 0 && !self.pods.contains_key(&name) {
            let mut pod = deployment["spec"]["template"].clone();
            pod["apiVersion"] = json!("v1");
            pod["kind"] = json!("Pod");
            pod["metadata"]["name"] = json!(name);
            pod["metadata"]["creationTimestamp"] = json!(self.now);
            pod["status"] = json!({"phase": "Pending"});
            self.pods.insert(name, pod);
        }
    }

    /// The server's pod says this of itself.
    pub(super) fn pod_says(&mut self, status: &Value) {
        let pod = self.pods.values_mut().next().unwrap();
        pod["status"] = status.clone();
    }

    pub(super) fn answers(&mut self) {
        self.pod_says(&json!({
            "phase": "Running", "podIP": "10.0.0.7",
            "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [{
                "name": "spark-kubernetes-driver", "ready": true, "restartCount": 0,
                "state": {"running": {"startedAt": "2026-03-01T12:00:00Z"}},
            }],
        }));
    }

    pub(super) fn later(&mut self, seconds: i64) {
        self.now += SignedDuration::from_secs(seconds);
    }

    /// The user changes the specification.
    pub(super) fn change(&mut self, change: impl FnOnce(&mut SparkHistoryServer)) {
        change(&mut self.server);
        let generation = self.server.metadata.generation.unwrap_or(1) + 1;
        self.server.metadata.generation = Some(generation);
    }

    /// What was written since the last time this was asked.
    pub(super) fn written(&mut self) -> Vec<String> {
        std::mem::take(&mut self.writes)
    }

    /// How the server stands, in the words of the status.
    pub(super) fn told(&self) -> String {
        let conditions = self.status.conditions.iter();
        let mut ready = conditions.filter(|it| it.type_ == "Ready");
        let ready = ready.next().map_or_else(String::new, |it| {
            format!("{} {}: {}", it.status, it.reason, it.message)
        });
        let phase = serde_json::to_value(self.status.phase).unwrap();
        format!("{} ({ready})", phase.as_str().unwrap())
    }
}
