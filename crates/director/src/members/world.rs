//! A world in which plans are carried out: an API server that keeps objects, a StatefulSet controller,
//! kubelets, members with scripts, and an operator that may die between any two writes.

mod growing;
mod member;
mod objects;
mod restarts;
mod scaling;
mod stories;

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use windlass_api::director::cluster::{AutoGrow, ClusterStatus, RoleStorage};
use windlass_engine::plan::{Effect, Plan};

use self::member::Script;
use super::auto_grow::AutoGrowMarks;
use super::*;
use crate::agent::Command;
use crate::autoscale::Sample;
use crate::blueprint::Blueprint;
use crate::build::Seed;
use crate::configmeta::{ConnectedConfigMap, Connections};
use crate::samples;

/// Seconds that a member of the sample has for its drain.
const DRAIN_SECONDS: i64 = 600;

/// The bounds of workers that are autoscaled.
const FEWEST: u32 = 1;
const MOST: u32 = 4;

/// What the user asks for.
#[derive(Debug, Clone)]
struct Wish {
    workers: u32,
    image: u32,
    connection: u32,
    storage: bool,
    /// How much of it, in GiB.
    size: u32,
    /// When its volumes grow by themselves.
    auto_grow: Option<AutoGrow>,
    holds: bool,
}

#[derive(Debug, Clone)]
struct World {
    wish: Wish,
    now: Timestamp,
    uids: u64,
    headless: Option<Present>,
    delivery: Option<Secret>,
    sets: BTreeMap<String, Set>,
    pods: BTreeMap<String, Pod>,
    claims: BTreeMap<String, Claim>,
    services: BTreeMap<String, Present>,
    status: ClusterStatus,
    /// What is written on the cluster about its first uid.
    identity: Option<String>,
    /// How often it came back from a backup.
    restored: usize,
    hooks: BTreeMap<HookKey, HookState>,
    /// What is wrong with what happened.
    faults: Vec<String>,
    /// Every script that was begun, as `pod: arguments`.
    calls: Vec<String>,
    /// Writes since somebody looked.
    writes: u32,
    /// How many workers there is a use for, where they are autoscaled.
    demand: Option<Demand>,
    /// Whether file systems grow only when they are mounted.
    grows_on_mount: bool,
    /// What this process was answered.
    demands: BTreeMap<String, Sample>,
}

/// What the application answers that is asked for demand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Demand {
    Wants(u32),
    DoesNotKnow,
}

#[derive(Debug, Clone)]
struct Secret {
    object: Present,
    generation: u64,
    content: String,
    memo: String,
}

#[derive(Debug, Clone)]
struct Set {
    object: Present,
    role: String,
    replicas: u32,
    template: String,
    /// The uid in the templates of its claims, where it has some.
    owner_of_claims: Option<String>,
    /// What they ask for, in GiB.
    size: u32,
}

#[derive(Debug, Clone)]
struct Pod {
    uid: String,
    role: String,
    ordinal: u32,
    made_from: String,
    deleting: bool,
    created: Timestamp,
    container: Option<Running>,
    /// The container that its status tells of, which comes late.
    reported: Option<String>,
    annotations: BTreeMap<String, String>,
    /// The memo and the generation that are mounted.
    mounted: (u64, String),
}

#[derive(Debug, Clone)]
struct Running {
    id: String,
    script: Script,
}

#[derive(Debug, Clone)]
struct Claim {
    uid: String,
    role: String,
    ordinal: u32,
    annotations: BTreeMap<String, String>,
    owned: bool,
    /// What it asks for and has, in GiB.
    request: u32,
    capacity: u32,
    /// To what it has grown by itself.
    by_itself: Option<u32>,
    /// Since when its file system waits to be mounted anew.
    waits_since: Option<Timestamp>,
    /// What is kept of a member's script.
    volume: Option<Script>,
}

impl World {
    fn new(wish: Wish) -> Self {
        Self {
            wish,
            now: "2026-01-01T00:00:00Z".parse().unwrap(),
            uids: 0,
            headless: None,
            delivery: None,
            sets: BTreeMap::new(),
            pods: BTreeMap::new(),
            claims: BTreeMap::new(),
            services: BTreeMap::new(),
            status: ClusterStatus::default(),
            identity: None,
            restored: 0,
            hooks: BTreeMap::new(),
            faults: Vec::new(),
            calls: Vec::new(),
            writes: 0,
            demand: None,
            grows_on_mount: false,
            demands: BTreeMap::new(),
        }
    }

    fn uid(&mut self) -> String {
        self.uids += 1;
        format!("uid-{}", self.uids)
    }

    fn blueprint(&self) -> Blueprint {
        let mut blueprint = match self.demand {
            Some(_) => samples::autoscaled_spark(FEWEST, MOST),
            None => samples::spark(self.wish.workers),
        };
        blueprint.uid.push_str(&"'".repeat(self.restored));
        blueprint.identity.clone_from(&self.identity);
        for role in &mut blueprint.roles {
            role.image = format!("image:{}", self.wish.image);
            if role.id == "worker" && self.wish.storage {
                role.spec.storage = Some(RoleStorage {
                    size: format!("{}Gi", self.wish.size),
                    storage_class_name: None,
                    auto_grow: self.wish.auto_grow.clone(),
                });
            }
            if let Some(drain) = role.drain.as_mut().filter(|_| self.wish.holds) {
                drain.on_failure = Some(windlass_api::director::app::DrainFailure::Hold);
            }
        }
        blueprint
    }

    fn connections(&self) -> Connections {
        let map = |version: u32| ConnectedConfigMap {
            kind: "model".to_owned(),
            name: format!("model-{version}"),
            ..ConnectedConfigMap::default()
        };
        let version = Some(self.wish.connection).filter(|it| *it > 0);
        Connections {
            config_maps: version.map(map).into_iter().collect(),
            ..Connections::default()
        }
    }

    fn plan(&self) -> Plan<ClusterStatus> {
        let spec = Spec {
            generation: 1,
            deleting: false,
            blueprint: Ok(self.blueprint()),
        };
        plan(&spec, &self.status, &self.observed(), self.now)
    }

    /// One pass of the operator as the engine makes it, which dies before this effect.
    fn pass(&mut self, dies_before: Option<usize>) {
        let mut plan = self.plan();
        for _ in 0..8 {
            if plan.status == self.status {
                break;
            }
            self.status = plan.status;
            self.writes += 1;
            plan = self.plan();
        }
        assert_eq!(plan.status, self.status, "the plan still changes");
        for (index, effect) in plan.effects.iter().enumerate() {
            if dies_before == Some(index) {
                // Another process knows nothing of what this one has asked, or was answered.
                self.hooks.clear();
                self.demands.clear();
                return;
            }
            self.carry_out(effect);
        }
        let asked: BTreeSet<&str> = plan
            .effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::External { key } => Some(key.as_str()),
                _ => None,
            })
            .collect();
        self.hooks.retain(|key, state| {
            *state == HookState::Running || asked.contains(key.to_text().as_str())
        });
    }

    /// The StatefulSet controller does one thing, if there is one, or whoever provides volumes.
    fn control(&mut self) -> bool {
        if self.provide() {
            return true;
        }
        for (name, set) in self.sets.clone() {
            let too_many = self
                .pods
                .iter()
                .find(|(_, pod)| {
                    pod.role == set.role && pod.ordinal >= set.replicas && !pod.deleting
                })
                .map(|(name, _)| name.clone());
            if let Some(pod) = too_many {
                self.take_away(&pod);
                return true;
            }
            for ordinal in 0..set.replicas {
                let pod = format!("{name}-{ordinal}");
                if !self.pods.contains_key(&pod) {
                    self.make_pod(&pod, &set, ordinal);
                    return true;
                }
            }
        }
        false
    }

    fn make_pod(&mut self, name: &str, set: &Set, ordinal: u32) {
        let claim = format!("p-{name}");
        if set.owner_of_claims.is_some() && !self.claims.contains_key(&claim) {
            let uid = self.uid();
            let made = Claim {
                uid,
                role: set.role.clone(),
                ordinal,
                annotations: BTreeMap::new(),
                owned: false,
                request: set.size,
                capacity: set.size,
                by_itself: None,
                waits_since: None,
                volume: None,
            };
            self.claims.insert(claim.clone(), made);
        }
        if let Some(claim) = self.claims.get_mut(&claim)
            && claim.waits_since.take().is_some()
        {
            claim.capacity = claim.request;
        }
        let uid = self.uid();
        let pod = Pod {
            uid,
            role: set.role.clone(),
            ordinal,
            made_from: set.template.clone(),
            created: self.now,
            deleting: false,
            container: None,
            reported: None,
            annotations: BTreeMap::new(),
            mounted: (0, String::new()),
        };
        self.pods.insert(name.to_owned(), pod);
    }

    /// The StatefulSet controller takes a pod away because there are to be fewer. This is what must not
    /// come too early.
    fn take_away(&mut self, name: &str) {
        let Some(pod) = self.pods.get_mut(name) else {
            return;
        };
        pod.deleting = true;
        let marks = PodMarks::read(&pod.annotations);
        let Some(running) = &pod.container else {
            return;
        };
        let is_worker = pod.role == "worker";
        let is_set_up = marks.configured.as_deref() == Some(running.id.as_str());
        let deadline = marks
            .leaving
            .map(|since| since + SignedDuration::from_secs(DRAIN_SECONDS));
        let is_late = deadline.is_some_and(|deadline| deadline <= self.now);
        if is_worker && is_set_up && !running.script.is_drained() && !is_late {
            self.faults
                .push(format!("{name} went before it was drained"));
        }
        if is_worker && is_set_up && self.wish.holds && !running.script.is_drained_well() {
            self.faults
                .push(format!("{name} went though it is held back"));
        }
    }

    /// The kubelet of a pod does one thing, if there is one.
    fn kubelet(&mut self, name: &str) -> bool {
        let delivery = self.delivery.clone();
        let Some(pod) = self.pods.get_mut(name) else {
            return false;
        };
        if pod.deleting {
            self.stop(name);
            self.pods.remove(name);
            return true;
        }
        if let Some(delivery) = &delivery
            && pod.mounted.0 != delivery.generation
        {
            pod.mounted = (delivery.generation, delivery.memo.clone());
            return true;
        }
        if pod.container.is_none() && delivery.is_some() {
            self.start(name);
            return true;
        }
        let runs = pod.container.as_ref().map(|it| it.id.clone());
        let is_news = pod.reported != runs;
        pod.reported = runs;
        is_news
    }

    fn start(&mut self, name: &str) {
        let kept = self
            .claims
            .get(&format!("p-{name}"))
            .and_then(|claim| claim.volume.clone());
        self.uids += 1;
        let id = format!("container-{}", self.uids);
        if let Some(pod) = self.pods.get_mut(name) {
            let script = kept.unwrap_or_default().in_a_new_container();
            pod.container = Some(Running { id, script });
        }
    }

    /// The container ends; its storage has what it wrote.
    fn stop(&mut self, name: &str) {
        let running = self.pods.get_mut(name).and_then(|pod| pod.container.take());
        if let (Some(running), Some(claim)) = (running, self.claims.get_mut(&format!("p-{name}"))) {
            claim.volume = Some(running.script);
        }
    }

    /// One of the execs that run gets on. Which ones of the scripts that were begun go on does not
    /// depend on that.
    fn exec(&mut self, key: &HookKey) {
        self.exec_around(key, None);
    }

    /// The same, and the container is restarted before the command of this number.
    fn exec_around(&mut self, key: &HookKey, restart: Option<usize>) {
        let blueprint = self.blueprint();
        let mut outcome = self.answer(key, &key.commands(&blueprint), restart);
        if let Hook::Demand { of } = &key.hook {
            outcome = match (outcome, self.demand) {
                (Outcome::Ended(_), Some(Demand::Wants(members))) => Outcome::Ended(Report {
                    stdout: members.to_string(),
                    ..Report::default()
                }),
                (Outcome::Ended(_), _) => Outcome::Later {
                    detail: "ended with 1: nobody knows".to_owned(),
                },
                (outcome, _) => outcome,
            };
            let sample = Sample::new(self.now, outcome.demand());
            self.demands.insert(of.clone(), sample);
        }
        self.hooks.insert(key.clone(), HookState::Over(outcome));
    }

    fn answer(&mut self, key: &HookKey, commands: &[Command], restart: Option<usize>) -> Outcome {
        for (number, command) in commands.iter().enumerate() {
            if restart == Some(number) {
                self.stop(&key.pod);
                self.start(&key.pod);
            }
            let Some(pod) = self.pods.get_mut(&key.pod).filter(|pod| pod.uid == key.uid) else {
                return Outcome::Later {
                    detail: "the pod is gone".to_owned(),
                };
            };
            // An exec knows the container by its name, and there is always one of that.
            let Some(running) = pod.container.as_mut() else {
                return Outcome::Later {
                    detail: "the container is gone".to_owned(),
                };
            };
            let (to, mounted) = (key.addressee(number), &pod.mounted);
            let answer = running.script.ask(to, command, mounted, &mut self.faults);
            if let Some(call) = running.script.begun.take() {
                self.calls.push(format!("{}: {call}", key.pod));
            }
            if let Some(outcome) = Outcome::of_answer(answer) {
                return outcome;
            }
        }
        Outcome::Fine
    }

    /// A script that runs somewhere ends.
    fn finish(&mut self, name: &str, code: i32) -> bool {
        let pod = self.pods.get_mut(name);
        let Some(running) = pod.and_then(|pod| pod.container.as_mut()) else {
            return false;
        };
        running.script.finish(name, code, &mut self.faults)
    }

    /// Everybody does what is to be done, until nothing is.
    fn settle(&mut self) {
        let mut calm = 0;
        for round in 0.. {
            assert!(round < 600, "no end: {:#?}", self.plan().effects);
            self.writes = 0;
            self.pass(None);
            let mut moved = false;
            while self.control() {
                moved = true;
            }
            for name in self.pods.keys().cloned().collect::<Vec<String>>() {
                while self.kubelet(&name) {
                    moved = true;
                }
                moved |= self.finish(&name, 0);
            }
            let running: Vec<HookKey> = self.hooks.keys().cloned().collect();
            for key in running {
                if self.hooks[&key] == HookState::Running {
                    self.exec(&key);
                    // There is no end of questions.
                    moved |= !is_question(&key);
                }
            }
            if self.demand.is_some() {
                // An answer is looked at when it comes.
                self.pass(None);
            }
            moved |= self.writes > 0;
            // The longest pause that anything waits for is one of minutes.
            self.now += SignedDuration::from_secs(if moved { 5 } else { 60 });
            calm = if moved { 0 } else { calm + 1 };
            if calm > 12 {
                break;
            }
        }
        self.check_end();
    }

    /// What holds once nothing is to be done any more.
    fn check_end(&self) {
        assert!(
            self.faults.is_empty(),
            "{:#?}\n{:#?}",
            self.faults,
            self.calls
        );
        let mut plan = self.plan();
        plan.effects.retain(|effect| match effect {
            Effect::External { key } => !is_question(&HookKey::of_text(key).unwrap()),
            _ => true,
        });
        assert!(plan.effects.is_empty(), "{:#?}", plan.effects);
        let first = samples::spark(0).uid;
        let identity = self.identity.as_ref();
        assert_eq!(identity, Some(&first), "names are made from another uid");
        let owner = self.blueprint().uid;
        for set in self.sets.values() {
            let of = set.owner_of_claims.as_ref();
            assert!(of.is_none_or(|it| *it == owner), "claims of {of:?}");
        }
        self.check_sizes();
        let workers = self.workers();
        assert_eq!(self.sets.len(), if workers > 0 { 2 } else { 1 });
        assert_eq!(plan.status, self.status);
        let wanted = Membership::first([("controller", 1), ("worker", workers)]);
        let mut found = Membership::default();
        for (name, pod) in &self.pods {
            found.add(&pod.role, &BTreeSet::from([pod.ordinal]));
            let running = pod
                .container
                .as_ref()
                .unwrap_or_else(|| panic!("{name} is down"));
            let marks = PodMarks::read(&pod.annotations);
            assert_eq!(marks.set_up(&running.id), SetUp::Done, "{name}");
            assert_eq!(running.script.knows, wanted, "{name} knows something else");
            assert_eq!(running.script.hears_of, self.version(), "{name}");
            assert_eq!(pod.mounted.0, marks.meta_generation, "{name}");
            let set = self.sets.values().find(|set| set.role == pod.role).unwrap();
            assert_eq!(pod.made_from, set.template, "{name} is of yesterday");
        }
        assert_eq!(found, wanted);
        // Whoever is not wanted any more in the moment of a restore, and was never asked to go, leaves its data:
        // nobody knows whether a StatefulSet that was to come back had more members.
        let is_kept = |claim: &&Claim| {
            let leaving = ClaimMarks::read(&claim.annotations).leaving;
            self.restored > 0 && leaving.is_none() && claim.ordinal >= workers
        };
        let kept = self.claims.values().filter(is_kept).count();
        let claims = if self.wish.storage { workers } else { 0 };
        assert_eq!((self.claims.len() - kept) as u32, claims);
        assert_eq!(self.services.len() as u32, 1 + workers);
        assert_eq!(
            self.status.state,
            windlass_api::director::cluster::ClusterState::Configured
        );
    }

    /// How many workers there are to be in the end.
    fn workers(&self) -> u32 {
        match self.demand {
            None => self.wish.workers,
            Some(Demand::Wants(members)) => members.clamp(FEWEST, MOST),
            // As many as there are.
            Some(Demand::DoesNotKnow) => {
                let mut sets = self.sets.values();
                sets.find(|set| set.role == "worker").unwrap().replicas
            }
        }
    }

    fn version(&self) -> String {
        let told = self
            .delivery
            .as_ref()
            .map(|it| it.memo.parse::<Told>().unwrap());
        told.unwrap().connections.as_str().to_owned()
    }
}

fn is_question(key: &HookKey) -> bool {
    matches!(key.hook, Hook::Demand { .. })
}

fn text<'v>(value: &'v Value, path: &str) -> &'v str {
    value
        .pointer(path)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn merge(annotations: &mut BTreeMap<String, String>, patch: &Value) {
    for (key, value) in patch.as_object().into_iter().flatten() {
        match value.as_str() {
            Some(text) => annotations.insert(key.clone(), text.to_owned()),
            None => annotations.remove(key),
        };
    }
}

fn seed() -> Seed {
    Seed::new("a seed")
}

fn nothing() -> Value {
    json!(null)
}
