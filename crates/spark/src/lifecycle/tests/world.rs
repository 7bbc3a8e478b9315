//! A small world: an API server with one application, its pods and services, nodes that run them,
//! and an operator that works as the engine does, from caches that lag and in a process that dies.

use std::collections::BTreeSet;

use jiff::Timestamp;
use windlass_api::spark::application::{
    ApplicationStateType as State, SparkApplicationStatus as Status,
};

use super::fixtures::{at, driver, executor, exit, exposed, fields, pi, unexposed};
use crate::lifecycle::changes::Changes;
use crate::lifecycle::observed::{
    Companions, DriverPod, ExecutorPod, Observed, PodPhase, Refusal, SparkContainer, Subject,
};
use crate::lifecycle::spec::{Limits, RestartPolicy, Spec};
use crate::lifecycle::{Action, plan};
use windlass_engine::plan::Basis;

/// What the API server holds.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Cluster {
    pub(super) revision: u64,
    pub(super) spec: Spec,
    pub(super) status: Status,
    pub(super) drivers: Vec<DriverPod>,
    pub(super) executors: Vec<ExecutorPod>,
    /// The uid of the Service of the web page.
    pub(super) ui: Option<String>,
    /// The uids of drivers whose Service and ConfigMaps exist.
    pub(super) equipped: BTreeSet<String>,
    /// The application is gone.
    pub(super) deleted: bool,
}

/// Something that happens.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// The operator makes one pass; it dies after so many writes, if it gets that far.
    Pass { dies_after: Option<usize> },
    /// The operator's caches catch up.
    Refresh,
    /// A new operator process finds an API server that answers from the past.
    TimeTravel(usize),
    /// The watch of pods falls behind all others.
    PodsLag(usize),
    /// The request of an operator that died arrives after all.
    LateRequest,
    /// Time goes by.
    Wait(i64),
    /// The node starts a driver that has all it needs.
    DriverStarts,
    /// The Spark container ends.
    DriverExits(i32),
    /// The driver asks for an executor.
    ExecutorAppears,
    /// An executor ends.
    ExecutorEnds(i32),
    /// Nodes end what is terminating, and the garbage collector follows.
    Reap,
    /// Someone deletes the driver.
    DriverIsDeleted,
    /// The driver's node stops answering, or answers again.
    NodeFlips,
    /// The API server begins, or ceases, to refuse driver pods.
    RefusalFlips,
    /// The user suspends or resumes.
    SuspendFlips,
    /// The user gives the driver another name.
    DriverIsRenamed,
    /// The user changes what is run.
    ImageChanges,
    /// The user changes a label.
    LabelChanges,
    /// The user asks for another run.
    RerunIsRequested,
}

/// The world, and what must never happen in it.
pub(super) struct World {
    pub(super) cluster: Cluster,
    past: Vec<Cluster>,
    cache: Cluster,
    refusal: Option<Refusal>,
    refusing: bool,
    in_flight: Option<DriverPod>,
    seconds: i64,
    pub(super) writes: usize,
    /// The submission id of every driver that ever started, in order.
    pub(super) started: Vec<String>,
    limits: Limits,
}

impl World {
    pub(super) fn new(restart: RestartPolicy) -> Self {
        let cluster = Cluster {
            revision: 1,
            spec: Spec {
                fields: Some(fields("a", "x")),
                ..pi(restart)
            },
            status: Status::default(),
            drivers: Vec::new(),
            executors: Vec::new(),
            ui: None,
            equipped: BTreeSet::new(),
            deleted: false,
        };
        Self {
            past: vec![cluster.clone()],
            cache: cluster.clone(),
            cluster,
            refusal: None,
            refusing: false,
            in_flight: None,
            seconds: 0,
            writes: 0,
            started: Vec::new(),
            limits: Limits::default(),
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        at(self.seconds)
    }

    pub(super) fn state(&self) -> State {
        self.cluster.status.application_state.state
    }

    pub(super) fn step(&mut self, step: &Step) {
        let before = self.cluster.clone();
        match *step {
            Step::Pass { dies_after } => self.pass(dies_after),
            Step::Refresh => self.cache = self.cluster.clone(),
            Step::TimeTravel(back) => {
                let index = self.past.len().saturating_sub(1 + back % self.past.len());
                self.cache = self.past[index].clone();
                self.refusal = None;
            }
            Step::PodsLag(back) => {
                let index = self.past.len().saturating_sub(1 + back % self.past.len());
                self.cache.drivers.clone_from(&self.past[index].drivers);
                self.cache.executors.clone_from(&self.past[index].executors);
            }
            Step::LateRequest => self.deliver(),
            Step::Wait(seconds) => self.seconds += seconds,
            Step::DriverStarts => self.start_driver(),
            Step::DriverExits(code) => self.exit_driver(code),
            Step::ExecutorAppears => self.add_executor(),
            Step::ExecutorEnds(code) => {
                if let Some(pod) = self.cluster.executors.iter_mut().find(|pod| pod.is_live()) {
                    *pod = pod.clone().ended(code);
                }
            }
            Step::Reap => self.reap(),
            Step::DriverIsDeleted => {
                let now = self.now();
                if let Some(pod) = self.cluster.drivers.first_mut() {
                    pod.terminating.get_or_insert(now);
                }
            }
            Step::NodeFlips => {
                for pod in &mut self.cluster.drivers {
                    pod.phase = match pod.phase {
                        PodPhase::Running => PodPhase::Unknown,
                        PodPhase::Unknown => PodPhase::Running,
                        other => other,
                    };
                }
            }
            Step::RefusalFlips => self.refusing = !self.refusing,
            Step::SuspendFlips => self.cluster.spec.suspend = !self.cluster.spec.suspend,
            Step::DriverIsRenamed => {
                let spec = &mut self.cluster.spec;
                spec.driver_pod = if spec.driver_pod == "pi-driver" {
                    "other"
                } else {
                    "pi-driver"
                }
                .into();
                spec.generation += 1;
            }
            Step::ImageChanges => self.change("image"),
            Step::LabelChanges => self.change("driver.labels"),
            Step::RerunIsRequested => {
                self.cluster.spec.rerun = Some(format!("request {}", self.cluster.revision));
            }
        }
        if self.cluster != before {
            self.cluster.revision += 1;
            self.past.push(self.cluster.clone());
        }
        self.check(&before);
    }

    fn change(&mut self, path: &str) {
        let revision = self.cluster.revision;
        let spec = &mut self.cluster.spec;
        let fields = spec.fields.get_or_insert_default();
        let value = if fields.get(path).is_some_and(|was| was.len() > 1) {
            "a".to_owned()
        } else {
            format!("a{revision}")
        };
        fields.insert(path.to_owned(), value);
        spec.generation += 1;
    }

    /// Whether the user wants another run than the one this status tells of.
    pub(super) fn is_wish_open(cluster: &Cluster) -> bool {
        let (spec, status) = (&cluster.spec, &cluster.status);
        let ran = status.attempt.as_ref().map(|attempt| &attempt.fields);
        let changes = ran
            .zip(spec.fields.as_ref())
            .map(|(ran, wanted)| Changes::between(ran, wanted));
        (spec.rerun.is_some() && spec.rerun != status.rerun_requested_at)
            || changes.is_some_and(|changes| !changes.restart.is_empty())
    }

    /// The laws of safety, after every step.
    fn check(&self, before: &Cluster) {
        let alive = self
            .cluster
            .drivers
            .iter()
            .filter(|pod| is_alive(pod))
            .count();
        assert!(
            alive <= 1,
            "{alive} live drivers: {:#?}",
            self.cluster.drivers
        );
        let (was, is) = (
            before.status.application_state.state,
            self.cluster.status.application_state.state,
        );
        let stays = !was.is_terminal() || was == is;
        assert!(stays || Self::is_wish_open(before), "{was:?} became {is:?}");
        let number = |cluster: &Cluster| cluster.status.attempt.as_ref().map_or(0, |it| it.number);
        assert!(
            number(before) <= number(&self.cluster),
            "an attempt came back"
        );
        let mut distinct = self.started.clone();
        distinct.sort();
        distinct.dedup();
        assert_eq!(distinct.len(), self.started.len(), "an attempt ran twice");
    }
}

fn is_alive(pod: &DriverPod) -> bool {
    !matches!(pod.spark, SparkContainer::Exited(_))
        && !matches!(pod.phase, PodPhase::Succeeded | PodPhase::Failed)
}

// The operator.
impl World {
    /// One pass as the engine makes it.
    pub(super) fn pass(&mut self, dies_after: Option<usize>) {
        let mut left = dies_after.unwrap_or(usize::MAX);
        let mut live = false;
        for _ in 0..12 {
            if self.cluster.deleted {
                return;
            }
            let cluster = if live { &self.cluster } else { &self.cache };
            let seen = self.observe(cluster);
            let decision = plan(
                &cluster.spec,
                &self.limits,
                &cluster.status,
                &seen,
                self.now(),
            );
            let changes = decision.status != cluster.status || !decision.actions.is_empty();
            if !live && changes && decision.basis == Basis::Live {
                live = true;
                continue;
            }
            if decision.status != cluster.status {
                if cluster.status != self.cluster.status || cluster.spec != self.cluster.spec {
                    // A conflict: look again.
                    live = true;
                    continue;
                }
                if left == 0 {
                    return self.die();
                }
                left -= 1;
                self.writes += 1;
                self.cluster.status = decision.status;
                self.cluster.revision += 1;
                self.past.push(self.cluster.clone());
                self.cache = self.cluster.clone();
                continue;
            }
            let mut refused = false;
            for action in decision.actions {
                if left == 0 {
                    if action == Action::CreateDriver {
                        self.in_flight = Some(self.driver_of(&decision.status));
                    }
                    return self.die();
                }
                left -= 1;
                self.writes += 1;
                if !self.act(&action, &decision.status) {
                    refused = true;
                    break;
                }
            }
            if !refused {
                self.refusal = None;
                self.cache = self.cluster.clone();
                return;
            }
            live = true;
        }
        panic!("a pass without end");
    }

    fn die(&mut self) {
        self.refusal = None;
        self.cache = self.cluster.clone();
    }

    /// The driver pod this intent asks for.
    fn driver_of(&self, status: &Status) -> DriverPod {
        let attempt = status.attempt.as_ref();
        let number = attempt.map_or(0, |attempt| attempt.number);
        DriverPod {
            uid: format!("driver-{number}-{}", self.cluster.revision),
            name: attempt
                .map(|attempt| attempt.driver_pod_name.clone())
                .unwrap_or_default(),
            created: self.now(),
            ..driver(number)
        }
    }

    /// No operator can keep a request from arriving late; names keep it from doing harm, as long
    /// as the user does not change them meanwhile.
    fn deliver(&mut self) {
        let Some(pod) = self.in_flight.take() else {
            return;
        };
        let taken = self
            .cluster
            .drivers
            .iter()
            .any(|other| other.name == pod.name);
        let renamed = self
            .cluster
            .drivers
            .iter()
            .any(|other| other.name != pod.name)
            || self.cluster.spec.driver_pod != pod.name;
        let ran = pod
            .submission_id
            .as_ref()
            .is_some_and(|id| self.started.contains(id));
        if !taken && !renamed && !ran {
            self.cluster.drivers.push(pod);
        }
    }

    fn observe(&self, cluster: &Cluster) -> Observed {
        let equipped = cluster
            .drivers
            .iter()
            .all(|pod| cluster.equipped.contains(&pod.uid));
        Observed {
            drivers: cluster.drivers.clone(),
            executors: cluster.executors.clone(),
            companions: if equipped {
                Companions::Complete
            } else {
                Companions::Missing
            },
            exposure: cluster.ui.as_deref().map_or_else(unexposed, exposed),
            refusal: self.refusal.clone(),
            ..Observed::nothing()
        }
    }

    /// Does one thing; `false` if the API server says no, or that it is there already.
    fn act(&mut self, action: &Action, status: &Status) -> bool {
        let now = self.now();
        let new_driver = self.driver_of(status);
        let cluster = &mut self.cluster;
        match action {
            Action::CreateDriver => {
                if cluster
                    .drivers
                    .iter()
                    .any(|pod| pod.name == new_driver.name)
                {
                    return false;
                }
                if self.refusing {
                    // What is charged and what is waited for take turns.
                    let message = if self.seconds % 2 == 0 {
                        "exceeded quota: small"
                    } else {
                        "pods is forbidden"
                    };
                    let message = message.to_owned();
                    let subject = Subject::Driver;
                    self.refusal = Some(Refusal {
                        subject,
                        at: now,
                        code: 403,
                        message,
                    });
                    return false;
                }
                cluster.drivers.push(new_driver);
            }
            Action::EnsureCompanions { driver_uid } => {
                cluster.equipped.insert(driver_uid.clone());
            }
            Action::Expose(_) => {
                if cluster.ui.is_some() {
                    return false;
                }
                cluster.ui = Some(format!("ui-{}", cluster.revision));
            }
            Action::DeletePod { uid, .. } => {
                if let Some(pod) = cluster.drivers.iter_mut().find(|pod| pod.uid == *uid) {
                    pod.terminating.get_or_insert(now);
                }
                if let Some(pod) = cluster.executors.iter_mut().find(|pod| pod.uid == *uid) {
                    pod.terminating = true;
                }
            }
            Action::ForceDeletePod { uid, .. } => {
                cluster.drivers.retain(|pod| pod.uid != *uid);
                cluster.executors.retain(|pod| pod.uid != *uid);
            }
            Action::Withdraw { uid, .. } => {
                if cluster.ui.as_ref() == Some(uid) {
                    cluster.ui = None;
                }
            }
            Action::EnsureBudget | Action::DeleteBudget { .. } | Action::DeletePodGroup { .. } => {}
            Action::DeleteApplication => cluster.deleted = true,
        }
        cluster.revision += 1;
        self.past.push(self.cluster.clone());
        true
    }
}

// The nodes.
impl World {
    fn start_driver(&mut self) {
        let now = self.now();
        let equipped = self.cluster.equipped.clone();
        let waits = |pod: &&mut DriverPod| {
            pod.phase == PodPhase::Pending
                && pod.terminating.is_none()
                && equipped.contains(&pod.uid)
        };
        if let Some(pod) = self.cluster.drivers.iter_mut().find(waits) {
            *pod = pod.clone().running();
            pod.spark = SparkContainer::Running { since: Some(now) };
            self.started.extend(pod.submission_id.clone());
        }
    }

    fn exit_driver(&mut self, code: i32) {
        let now = self.now();
        let runs = |pod: &&mut DriverPod| matches!(pod.spark, SparkContainer::Running { .. });
        if let Some(pod) = self.cluster.drivers.iter_mut().find(runs) {
            *pod = pod.clone().exited(code);
            pod.spark = SparkContainer::Exited(crate::lifecycle::observed::Exit {
                finished_at: Some(now),
                ..exit(code)
            });
        }
    }

    fn add_executor(&mut self) {
        let runs = |pod: &&DriverPod| matches!(pod.spark, SparkContainer::Running { .. });
        if let Some(pod) = self.cluster.drivers.iter().find(runs) {
            let mut new = executor(1, 1 + i32::try_from(self.cluster.revision).unwrap());
            new.uid = format!("executor-{}", self.cluster.revision);
            new.name = format!("pi-exec-{}", self.cluster.revision);
            new.application_id.clone_from(&pod.application_id);
            self.cluster.executors.push(new);
        }
    }

    fn reap(&mut self) {
        let cluster = &mut self.cluster;
        cluster
            .drivers
            .retain(|pod| pod.terminating.is_none() || pod.phase == PodPhase::Unknown);
        cluster.executors.retain(|pod| !pod.terminating);
        let owners: Vec<_> = cluster
            .drivers
            .iter()
            .map(|pod| pod.application_id.clone())
            .collect();
        for orphan in cluster
            .executors
            .iter_mut()
            .filter(|pod| !owners.contains(&pod.application_id))
        {
            orphan.terminating = true;
        }
    }

    /// Lets everything that is due happen: caches catch up, nodes do their work, the user does not
    /// stand in the way, drivers end with `code`.
    pub(super) fn calm_down(&mut self, code: i32) {
        self.refusing = false;
        for pod in &mut self.cluster.drivers {
            if pod.phase == PodPhase::Unknown {
                pod.phase = PodPhase::Running;
            }
        }
        for _ in 0..60 {
            for step in [
                Step::Refresh,
                Step::Pass { dies_after: None },
                Step::DriverStarts,
                Step::Refresh,
                Step::Pass { dies_after: None },
                Step::DriverExits(code),
                Step::Refresh,
                Step::Pass { dies_after: None },
                Step::Reap,
                Step::Wait(7),
            ] {
                self.step(&step);
            }
        }
    }
}
