//! One decision: whether a server is to be up, what of it is missing, and how it stands.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use windlass_api::spark::connect::{
    ConnectState as State, ServerStatus, SparkConnectStatus as Status, WAKE_REQUESTED_AT,
};
use windlass_engine::plan::{Basis, Effect, EventNote};

use super::build::Wanted;
use super::observed::Observed;
use super::{MADE_FOR_ANNOTATION, TOKEN_ANNOTATION, reach};
use crate::lifecycle::conditions::{self, ConditionKind, Setting, Truth};
use crate::lifecycle::in_words;
use crate::standing::{DeploymentState, Parts, ServerPod, stopped};

/// How often to look again while something is waited for, should its end go unnoticed.
const RESYNC: SignedDuration = SignedDuration::from_secs(30);
/// The same where nothing is waited for: somebody may have changed what the operator made.
const SLOW_RESYNC: SignedDuration = SignedDuration::from_mins(10);

/// A SparkConnect as decisions see it.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    /// `metadata.generation`.
    pub generation: i64,
    /// Deletion has been requested; owner references do the rest.
    pub deleting: bool,
    /// The user asked for the server not to run for now.
    pub suspend: bool,
    /// How long a server may have no executor, where the user limits it.
    pub idle_timeout: Option<Duration>,
    /// The request to start an idle server, as it was last made.
    pub wake: Option<String>,
    /// What it consists of, or one line per problem.
    pub wanted: Result<Wanted, Vec<String>>,
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
    match &spec.wanted {
        Ok(wanted) => machine.serve(wanted),
        Err(problems) => machine.refuse(problems),
    }
}

/// Whether a server is to be up, and if not, why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Demand {
    Up,
    Suspended,
    Idle(Duration),
}

struct Machine<'a> {
    spec: &'a Spec,
    before: &'a Status,
    observed: &'a Observed,
    now: Timestamp,
    status: Status,
}

impl Machine<'_> {
    /// A specification that cannot be served leaves alone what runs.
    fn refuse(&mut self, problems: &[String]) -> Decision {
        let told = problems.join("; ");
        self.see();
        self.set(ConditionKind::Validated, Truth::False, "InvalidSpec", &told);
        self.set_readiness(Some(told.as_str()));
        self.status.state = State::Failed;
        self.decide(Vec::new(), SLOW_RESYNC, Basis::Cached)
    }

    fn serve(&mut self, wanted: &Wanted) -> Decision {
        self.see();
        self.status.server.service_name = Some(wanted.service.clone());
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
                "{} {} belongs to somebody else: delete it, or give the SparkConnect another name",
                taken.kind, taken.name
            );
            self.set_readiness(Some(&told));
            self.status.state = State::Failed;
            return self.decide(Vec::new(), RESYNC, Basis::Cached);
        }
        let demand = self.demand();
        let mut effects = self.effects(wanted, demand);
        let stops = demand != Demand::Up
            && self
                .observed
                .deployment
                .as_ref()
                .is_some_and(|it| it.replicas > 0);
        // To stop a server that somebody uses is not taken back by starting another one.
        let basis = if stops { Basis::Live } else { Basis::Cached };
        let rolled_out = |it: &DeploymentState| it.rolled_out;
        let settled =
            effects.is_empty() && self.observed.deployment.as_ref().is_some_and(rolled_out);
        self.judge(demand, settled);
        if effects.is_empty() && demand == Demand::Up {
            effects.extend(self.mark(wanted));
        }
        let waits = demand == Demand::Up && self.status.state != State::Ready;
        self.decide(effects, if waits { RESYNC } else { SLOW_RESYNC }, basis)
    }

    /// What is seen, whatever is wanted.
    fn see(&mut self) {
        self.status.observed_generation = Some(self.spec.generation);
        self.status.start_time.get_or_insert(Time(self.now));
        let server = self.observed.servers.first();
        self.status.server = ServerStatus {
            pod_name: server.map(|server| server.name.clone()),
            pod_ip: server.and_then(|server| server.ip.clone()),
            service_name: self.before.server.service_name.clone(),
            restarts: server.map(|server| server.restarts).filter(|it| *it > 0),
        };
        self.status.executors.clone_from(&self.observed.executors);
    }

    /// Whether a server is to be up. How long it has been idle is written down when that begins, so
    /// that it survives the operator.
    fn demand(&mut self) -> Demand {
        let asked = self.spec.wake != self.before.wake_requested_at;
        self.status.wake_requested_at.clone_from(&self.spec.wake);
        if self.spec.suspend {
            self.status.idle_since = None;
            return Demand::Suspended;
        }
        let Some(timeout) = self.spec.idle_timeout else {
            self.status.idle_since = None;
            return Demand::Up;
        };
        let since = self.before.idle_since.as_ref().filter(|_| !asked);
        let over = since.is_some_and(|since| later(since.0, timeout) <= self.now);
        let stopped = over
            && self
                .observed
                .deployment
                .as_ref()
                .is_some_and(|it| it.replicas == 0);
        if stopped {
            // Nothing but a request ends this: the executors that are seen are the last to go.
            return Demand::Idle(timeout);
        }
        let unused = self.is_ready() && !self.observed.has_executors();
        if !unused {
            self.status.idle_since = None;
            return Demand::Up;
        }
        let since = since.map_or(self.now, |since| since.0);
        self.status.idle_since = Some(Time(since));
        if later(since, timeout) <= self.now {
            Demand::Idle(timeout)
        } else {
            Demand::Up
        }
    }

    fn is_ready(&self) -> bool {
        self.observed.servers.iter().any(|server| server.ready)
    }

    /// What to apply and to delete, so that all is as wanted.
    fn effects(&self, wanted: &Wanted, demand: Demand) -> Vec<Effect> {
        let stopped = (demand != Demand::Up).then(|| stopped(&wanted.deployment));
        let parts = Parts {
            before: &wanted.before,
            deployment: stopped.as_ref().unwrap_or(&wanted.deployment),
        };
        let seen = self.observed.deployment.as_ref();
        parts.changes(&self.observed.present, seen, self.token(wanted))
    }

    /// What a server was made for, where it is as it should be for another generation, too. Its pods
    /// do not notice.
    fn mark(&self, wanted: &Wanted) -> Option<Effect> {
        let seen = self.observed.deployment.as_ref()?;
        let mark = wanted.deployment["metadata"]["annotations"][MADE_FOR_ANNOTATION].as_str();
        (mark.is_some() && seen.annotation(MADE_FOR_ANNOTATION) != mark)
            .then(|| Effect::Apply(wanted.deployment.clone()))
    }

    /// A token is made when no server was ever told to ask for it, and when its Secret is gone: the
    /// node says so of a server that cannot start without.
    fn token(&self, wanted: &Wanted) -> Option<Effect> {
        let secret = wanted.token.as_ref()?;
        let deployment = self.observed.deployment.as_ref();
        let made = deployment.and_then(|it| it.annotation(TOKEN_ANNOTATION));
        let made = made == Some(secret.name.as_str());
        let is_missed = |server: &ServerPod| {
            let trouble = server.trouble.as_deref().unwrap_or_default();
            trouble.starts_with("CreateContainerConfigError") && trouble.contains(&secret.name)
        };
        if made && !self.observed.servers.iter().any(is_missed) {
            return None;
        }
        let mut object = reach::token_secret(secret, self.observed.entropy.as_ref()?);
        let metadata = &wanted.deployment["metadata"];
        for field in ["namespace", "labels", "ownerReferences"] {
            object["metadata"][field] = metadata[field].clone();
        }
        Some(Effect::Apply(object))
    }

    /// How the server stands. `settled` is whether what is seen is what the specification says.
    fn judge(&mut self, demand: Demand, settled: bool) {
        let server = self.observed.servers.first();
        let failure = self
            .observed
            .deployment
            .as_ref()
            .and_then(|it| it.failure.clone());
        let told = match demand {
            Demand::Suspended => {
                Some("suspended: set spec.suspend to false to start it".to_owned())
            }
            Demand::Idle(timeout) => Some(format!(
                "stopped after {} without executors: windlass connect, or a new value of the \
                 annotation {WAKE_REQUESTED_AT}, starts it",
                in_words(timeout)
            )),
            Demand::Up if self.is_ready() => None,
            Demand::Up => Some(
                self.observed
                    .refusal
                    .clone()
                    .or_else(|| server.and_then(|server| server.trouble.clone()))
                    .or(failure)
                    .unwrap_or_else(|| match server {
                        Some(server) => format!("{} does not answer yet", server.name),
                        None => "there is no pod yet".to_owned(),
                    }),
            ),
        };
        let failing = self.observed.refusal.is_some()
            || server.is_some_and(|server| server.trouble.is_some() || server.restarts > 0);
        let was_up = matches!(self.before.state, State::Ready | State::NotReady)
            && self.before.observed_generation == Some(self.spec.generation);
        self.status.state = match demand {
            Demand::Suspended | Demand::Idle(_) => State::NotReady,
            Demand::Up if told.is_none() && settled => State::Ready,
            Demand::Up if failing || (was_up && settled) => State::NotReady,
            Demand::Up => State::Provisioning,
        };
        self.set_readiness(told.as_deref());
    }

    /// Sets the condition that users of the Kubeflow operator know, with its reasons.
    fn set_readiness(&mut self, trouble: Option<&str>) {
        let kind = ConditionKind::ServerPodReady;
        match trouble {
            None => self.set(kind, Truth::True, "ServerPodReady", "the server answers"),
            // What is wrong with the specification does not make a server less ready.
            Some(trouble) if self.is_ready() && self.spec.wanted.is_err() => {
                let told = format!("the server answers, with an earlier specification: {trouble}");
                self.set(kind, Truth::True, "ServerPodReady", &told);
            }
            Some(trouble) => self.set(kind, Truth::False, "ServerPodNotReady", trouble),
        }
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

    fn decide(&mut self, effects: Vec<Effect>, pause: SignedDuration, basis: Basis) -> Decision {
        let mut status = std::mem::take(&mut self.status);
        if status != *self.before {
            status.last_update_time = Some(Time(self.now));
        }
        let mut wake_at = self.now.checked_add(pause).ok();
        if let (Some(since), Some(timeout)) = (&status.idle_since, self.spec.idle_timeout) {
            let end = later(since.0, timeout);
            if end > self.now {
                wake_at = wake_at.map(|wake_at| wake_at.min(end));
            }
        }
        Decision {
            notes: announce(self.before, &status),
            status,
            effects,
            wake_at,
            basis,
        }
    }
}

fn later(time: Timestamp, pause: Duration) -> Timestamp {
    SignedDuration::try_from(pause)
        .ok()
        .and_then(|pause| time.checked_add(pause).ok())
        .unwrap_or(Timestamp::MAX)
}

/// What people are told of the difference between two statuses.
fn announce(before: &Status, after: &Status) -> Vec<EventNote> {
    let message = |status: &Status| {
        conditions::find(&status.conditions, ConditionKind::ServerPodReady)
            .map(|condition| condition.message.clone())
            .unwrap_or_default()
    };
    let (was, told) = (message(before), message(after));
    let same = before.state == after.state;
    match after.state {
        State::Ready if !same => {
            let pod = after.server.pod_name.as_deref().unwrap_or_default();
            let note = format!("{pod} answers");
            vec![EventNote::normal("ServerReady", "Follow", note)]
        }
        State::NotReady if !same || was != told => {
            let stopped = told.starts_with("suspended") || told.starts_with("stopped");
            vec![if stopped {
                EventNote::normal("ServerStopped", "Stop", told)
            } else {
                EventNote::warning("ServerNotReady", "Follow", told)
            }]
        }
        State::Provisioning if !same => {
            let note = "the server is being started".to_owned();
            vec![EventNote::normal("ServerProvisioning", "Start", note)]
        }
        State::Failed if !same || was != told => {
            vec![EventNote::warning("ServerInvalid", "Validate", told)]
        }
        _ => Vec::new(),
    }
}
