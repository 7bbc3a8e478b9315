//! One decision: what of a history server is missing, and how it stands.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use windlass_api::spark::history::{HistoryPhase as Phase, SparkHistoryServerStatus as Status};
use windlass_engine::plan::{Basis, Effect, EventNote, ObjectRef};

use super::build::{Obstacle, Wanted};
use crate::lifecycle::Reason;
use crate::lifecycle::conditions::{self, ConditionKind, Setting, Truth};
use crate::standing::{DEPLOYMENT, Parts, Present, Seen, stopped};

/// How often to look again while something is waited for, should its end go unnoticed.
const RESYNC: SignedDuration = SignedDuration::from_secs(30);
/// The same where nothing is waited for: somebody may have changed what the operator made.
const SLOW_RESYNC: SignedDuration = SignedDuration::from_mins(10);

/// A SparkHistoryServer as decisions see it.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    /// `metadata.generation`.
    pub generation: i64,
    /// Deletion has been requested; owner references do the rest.
    pub deleting: bool,
    /// The user asked for the server not to run for now.
    pub suspend: bool,
    /// What it consists of, or why nothing can be made of it.
    pub wanted: Result<Wanted, Obstacle>,
}

/// Everything the decision may look at besides the object itself.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Observed {
    /// Its objects.
    pub seen: Seen,
    /// Objects of somebody else that have a name of ours.
    pub taken: Vec<ObjectRef>,
    /// What the API refused last.
    pub refusal: Option<String>,
}

/// What should happen.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// The status the object should have.
    pub status: Status,
    /// What to do, in order, once the status is as it should be.
    pub effects: Vec<Effect>,
    /// What to tell.
    pub notes: Vec<EventNote>,
    /// When to look again.
    pub wake_at: Option<Timestamp>,
    /// What this must rest on.
    pub basis: Basis,
}

/// Decides. Pure and total.
pub fn plan(spec: &Spec, before: &Status, observed: &Observed, now: Timestamp) -> Decision {
    let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
    if spec.deleting {
        return Decision {
            status: before.clone(),
            effects: Vec::new(),
            notes: Vec::new(),
            wake_at: None,
            basis: Basis::Cached,
        };
    }
    let mut machine = Machine {
        spec,
        before,
        observed,
        now,
        status: before.clone(),
    };
    machine.see();
    match &spec.wanted {
        Ok(wanted) => machine.serve(wanted),
        Err(obstacle) => machine.wait(obstacle),
    }
}

/// What is said of a server that does not answer, or not by its present specification.
struct Trouble {
    reason: &'static str,
    told: String,
}

impl Trouble {
    fn new(reason: &'static str, told: impl Into<String>) -> Self {
        let told = told.into();
        Self { reason, told }
    }
}

struct Machine<'a> {
    spec: &'a Spec,
    before: &'a Status,
    observed: &'a Observed,
    now: Timestamp,
    status: Status,
}

impl Machine<'_> {
    /// What is seen, whatever is wanted.
    fn see(&mut self) {
        self.status.observed_generation = Some(self.spec.generation);
        let server = self.observed.seen.servers.first();
        self.status.pod_name = server.map(|server| server.name.clone());
        let restarts = server.map(|server| server.restarts);
        self.status.restarts = restarts.filter(|it| *it > 0);
    }

    /// What cannot be made, or not yet, leaves alone what runs.
    fn wait(&mut self, obstacle: &Obstacle) -> Decision {
        let told = obstacle.problems().join("; ");
        let (truth, reason) = match obstacle {
            Obstacle::Invalid(_) => (Truth::False, "InvalidSpec"),
            Obstacle::Policy(_) => (Truth::False, "PolicyInvalid"),
            Obstacle::ObjectStore(_) => (Truth::True, "ObjectStoreNotReady"),
        };
        let of_spec = if truth == Truth::True {
            ""
        } else {
            told.as_str()
        };
        let valid = if truth == Truth::True {
            "Valid"
        } else {
            reason
        };
        self.set(ConditionKind::Validated, truth, valid, of_spec);
        let is_up = self.is_ready();
        self.status.phase = match obstacle {
            Obstacle::Invalid(_) | Obstacle::Policy(_) => Phase::Failed,
            Obstacle::ObjectStore(_) if self.spec.suspend => Phase::Suspended,
            Obstacle::ObjectStore(_) if is_up => Phase::Ready,
            Obstacle::ObjectStore(_) => Phase::Pending,
        };
        if is_up {
            let told = format!("the server answers, by what it was before: {told}");
            self.set(ConditionKind::Ready, Truth::True, "Answers", &told);
        } else {
            self.set(ConditionKind::Ready, Truth::False, reason, &told);
        }
        let pause = match obstacle {
            Obstacle::Invalid(_) => SLOW_RESYNC,
            Obstacle::Policy(_) | Obstacle::ObjectStore(_) => RESYNC,
        };
        let stop = self.stop();
        self.decide(stop.into_iter().collect(), pause)
    }

    /// To stop a server takes nothing that its specification could lack.
    fn stop(&self) -> Option<Effect> {
        let seen = &self.observed.seen;
        let is_to_run = seen.deployment.as_ref().is_some_and(|it| it.replicas > 0);
        let is_deployment = |it: &&Present| it.target.kind == DEPLOYMENT.kind;
        let deployment = seen.present.iter().find(is_deployment)?;
        (self.spec.suspend && is_to_run).then(|| Effect::Patch {
            target: deployment.target.clone(),
            patch: json!({"spec": {"replicas": 0}}),
        })
    }

    fn serve(&mut self, wanted: &Wanted) -> Decision {
        self.status.service_name = Some(wanted.service.clone());
        self.status.url = Some(wanted.url.clone());
        self.status.log_directory.clone_from(&wanted.log_directory);
        self.set(ConditionKind::Validated, Truth::True, "Valid", "");
        for (kind, reason, fields) in [
            (
                ConditionKind::FieldNotApplied,
                "NotSupported",
                &wanted.not_applied,
            ),
            (ConditionKind::PolicyApplied, "Enforced", &wanted.decided),
            (
                ConditionKind::SecretInPlainText,
                "PlainText",
                &wanted.exposed,
            ),
        ] {
            if fields.is_empty() {
                conditions::clear(&mut self.status.conditions, kind);
            } else {
                self.set(kind, Truth::True, reason, &fields.join("; "));
            }
        }
        if let Some(taken) = self.observed.taken.first() {
            let told = format!(
                "{} {} belongs to somebody else: delete it, or give the SparkHistoryServer another \
                 name",
                taken.kind, taken.name
            );
            self.set(ConditionKind::Ready, Truth::False, "NameTaken", &told);
            self.status.phase = Phase::Failed;
            return self.decide(Vec::new(), RESYNC);
        }
        let seen = &self.observed.seen;
        let stopped = self.spec.suspend.then(|| stopped(&wanted.deployment));
        let parts = Parts {
            before: &wanted.before,
            deployment: stopped.as_ref().unwrap_or(&wanted.deployment),
        };
        let effects = parts.changes(&seen.present, seen.deployment.as_ref(), None);
        let is_settled =
            effects.is_empty() && seen.deployment.as_ref().is_some_and(|it| it.rolled_out);
        self.judge(is_settled);
        let waits = !matches!(self.status.phase, Phase::Ready | Phase::Suspended);
        self.decide(effects, if waits { RESYNC } else { SLOW_RESYNC })
    }

    /// How the server stands. `is_settled` is whether what is seen is what the specification says.
    fn judge(&mut self, is_settled: bool) {
        let was_up = matches!(self.before.phase, Phase::Ready | Phase::NotReady)
            && self.before.observed_generation == Some(self.spec.generation);
        let trouble = self.trouble();
        self.status.phase = match &trouble {
            _ if self.spec.suspend => Phase::Suspended,
            None if is_settled => Phase::Ready,
            Some(trouble) if trouble.reason == FAILED || (was_up && is_settled) => Phase::NotReady,
            _ => Phase::Starting,
        };
        match trouble {
            Some(Trouble { reason, told }) => {
                self.set(ConditionKind::Ready, Truth::False, reason, &told);
            }
            None => self.set(
                ConditionKind::Ready,
                Truth::True,
                "Answers",
                "the server answers",
            ),
        }
    }

    /// Why the server does not answer.
    fn trouble(&self) -> Option<Trouble> {
        if self.spec.suspend {
            let told = "suspended: set spec.suspend to false to start it";
            return Some(Trouble::new("Suspended", told));
        }
        if self.is_ready() {
            return None;
        }
        if let Some(refusal) = &self.observed.refusal {
            return Some(Trouble::new(FAILED, refusal.as_str()));
        }
        let seen = &self.observed.seen;
        let server = seen.servers.first();
        if let Some(trouble) = server.and_then(|server| server.trouble.as_ref()) {
            return Some(Trouble::new(FAILED, trouble.as_str()));
        }
        let failure = seen.deployment.as_ref().and_then(|it| it.failure.as_ref());
        if let Some(failure) = failure {
            return Some(Trouble::new(FAILED, failure.as_str()));
        }
        Some(match server {
            Some(server) if server.restarts > 0 => {
                Trouble::new(FAILED, format!("{} does not answer yet", server.name))
            }
            Some(server) => {
                Trouble::new("Starting", format!("{} does not answer yet", server.name))
            }
            None => Trouble::new("Starting", "there is no pod yet"),
        })
    }

    fn is_ready(&self) -> bool {
        self.observed.seen.servers.iter().any(|server| server.ready)
    }

    fn set(&mut self, kind: ConditionKind, truth: Truth, reason: &str, message: &str) {
        let setting = Setting {
            kind,
            truth,
            reason,
            message,
        };
        let generation = self.spec.generation;
        conditions::set(&mut self.status.conditions, setting, generation, self.now);
    }

    fn decide(&mut self, effects: Vec<Effect>, pause: SignedDuration) -> Decision {
        let status = std::mem::take(&mut self.status);
        Decision {
            notes: announce(self.before, &status),
            status,
            effects,
            wake_at: self.now.checked_add(pause).ok(),
            basis: Basis::Cached,
        }
    }
}

/// The reason of a server that failed, or cannot be started.
const FAILED: &str = "ServerFailed";

/// What people are told of the difference between two statuses.
fn announce(before: &Status, after: &Status) -> Vec<EventNote> {
    let ready = |status: &Status| {
        conditions::find(&status.conditions, ConditionKind::Ready)
            .map(|condition| condition.message.clone())
            .unwrap_or_default()
    };
    let (was, told) = (ready(before), ready(after));
    let is_same = before.phase == after.phase;
    let says_news = !is_same || was != told;
    match after.phase {
        Phase::Ready if !is_same => {
            let pod = after.pod_name.as_deref().unwrap_or_default();
            let note = format!("{pod} answers");
            vec![EventNote::normal("ServerReady", "Follow", note)]
        }
        Phase::Starting if !is_same => {
            let note = "the server is being started".to_owned();
            vec![EventNote::normal("ServerStarting", "Start", note)]
        }
        Phase::Suspended if !is_same => {
            vec![EventNote::normal("ServerStopped", "Stop", told)]
        }
        Phase::Pending if says_news => {
            let reason = Reason::ObjectStoreNotReady;
            vec![EventNote::warning(reason.as_str(), "Wait", told)]
        }
        Phase::NotReady if says_news => {
            vec![EventNote::warning("ServerNotReady", "Follow", told)]
        }
        Phase::Failed if says_news => {
            vec![EventNote::warning("ServerInvalid", "Validate", told)]
        }
        _ => Vec::new(),
    }
}
