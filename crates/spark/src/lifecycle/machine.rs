//! One look at an application: what its status should say and what should be done.
//!
//! [`plan`] is total: it has an answer for every state, observation and spec, including those that
//! "cannot happen", because another operator, an old version or a person may have written them.
//! Each turn makes at most one transition, or acts in the state it is in; never both, because the
//! status is written before anything is done about it.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use windlass_api::spark::application::{
    ApplicationStateType as State, SparkApplicationStatus as Status,
};
use windlass_engine::plan::{Basis, EventNote};

use super::changes::{self, Changes};
use super::conditions::{self, ConditionKind, Setting, Truth};
use super::events;
use super::executors::{self, Outlook};
use super::health::{self, Ending, Health};
use super::observed::{DriverPod, ExecutorPod, Exposer, Observed};
use super::reason::Reason;
use super::spec::{Fitness, Limits, Spec};
use super::time::{later, to_the_second};

/// How soon to look again where no watch tells of a change.
const UNWATCHED: Duration = Duration::from_secs(10);

/// What one look at an application leads to.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// The status the application should have.
    pub status: Status,
    /// What to do, in order. Empty while the status differs from what is written.
    pub actions: Vec<Action>,
    /// What to tell the people who watch the application.
    pub notes: Vec<EventNote>,
    /// When to look again at the latest; `None` where nothing will ever be due.
    pub wake_at: Option<Timestamp>,
    /// What the decision must rest on before it is carried out.
    pub basis: Basis,
}

/// One thing to do. The controller knows the objects that belong to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// POST the driver pod of the intended attempt, after the group its scheduler knows it by.
    CreateDriver,
    /// Create the Service and ConfigMaps of the driver, owned by its pod.
    EnsureCompanions {
        /// The uid of the driver pod.
        driver_uid: String,
    },
    /// Delete exactly this pod without waiting for the word of its node.
    ForceDeletePod {
        /// The pod's name.
        name: String,
        /// The uid that was observed.
        uid: String,
    },
    /// Create what leads to the driver from outside.
    Expose(Exposer),
    /// Create the PodDisruptionBudget of the driver.
    EnsureBudget,
    /// Delete exactly this PodDisruptionBudget.
    DeleteBudget {
        /// The budget's name.
        name: String,
        /// The uid that was observed.
        uid: String,
    },
    /// Delete exactly this PodGroup.
    DeletePodGroup {
        /// The uid that was observed.
        uid: String,
    },
    /// Delete exactly this pod.
    DeletePod {
        /// The pod's name.
        name: String,
        /// The uid that was observed.
        uid: String,
    },
    /// Delete exactly this one of what leads to the driver.
    Withdraw {
        /// Which it is.
        exposer: Exposer,
        /// The uid that was observed.
        uid: String,
    },
    /// Delete the application itself, whose time to live is over.
    DeleteApplication,
}

/// Decides what should change for an application.
pub fn plan(
    spec: &Spec,
    limits: &Limits,
    status: &Status,
    seen: &Observed,
    now: Timestamp,
) -> Decision {
    let mut turn = Turn {
        spec,
        limits,
        seen,
        now,
        before: status,
        status: status.clone(),
        actions: Vec::new(),
        wake_at: None,
        basis: Basis::Cached,
    };
    if !spec.deleting {
        turn.step();
    }
    turn.decide()
}

/// A turn in progress.
pub(super) struct Turn<'a> {
    pub(super) spec: &'a Spec,
    pub(super) limits: &'a Limits,
    pub(super) seen: &'a Observed,
    pub(super) now: Timestamp,
    pub(super) before: &'a Status,
    pub(super) status: Status,
    actions: Vec<Action>,
    wake_at: Option<Timestamp>,
    basis: Basis,
}

impl Turn<'_> {
    fn step(&mut self) {
        self.take_over_attempt();
        self.take_over_fields();
        self.note_spec();
        if !self.state().is_terminal() {
            self.keep_executor_book();
        }
        match (self.state(), &self.status.attempt) {
            (State::New | State::PendingRerun | State::Resuming, _) => self.submit(),
            (State::SubmissionFailed, Some(_)) => self.retry_submission(),
            (State::Submitted | State::Running | State::Unknown, Some(_)) => self.follow_driver(),
            (State::Succeeding, Some(_)) => self.succeed(),
            (State::Failing, Some(_)) => self.fail(),
            (State::Invalidating, _) => self.invalidate(),
            (State::Suspending, _) => self.suspend(),
            (State::Suspended, _) => self.stay_suspended(),
            (State::Completed | State::Failed, _) => self.stay_final(),
            // Without an attempt there is nothing to wind down, and a success needs no rerun.
            (State::Succeeding, None) => self.enter(State::Completed),
            (
                State::Submitted
                | State::Running
                | State::Unknown
                | State::SubmissionFailed
                | State::Failing,
                None,
            ) => self.enter(State::New),
        }
    }

    fn decide(mut self) -> Decision {
        if self.state() != State::Running {
            conditions::clear(&mut self.status.conditions, ConditionKind::ExecutorsHeldUp);
        }
        if !self.follows_a_driver() || self.changes().next_attempt.is_empty() {
            conditions::clear(&mut self.status.conditions, ConditionKind::UpdatePending);
        }
        if !self.spec.deleting {
            self.leave_queue();
        }
        let settled = self.status == *self.before;
        if !settled {
            self.actions.clear();
        }
        if !self.state().is_terminal() && !self.spec.deleting {
            self.wake_after(self.limits.resync);
        }
        Decision {
            notes: if settled {
                Vec::new()
            } else {
                events::announce(self.before, &self.status)
            },
            status: self.status,
            actions: self.actions,
            wake_at: self.wake_at,
            basis: self.basis,
        }
    }

    /// In what the wanted spec differs from what the current attempt runs.
    pub(super) fn changes(&self) -> Changes {
        match (&self.status.attempt, &self.spec.fields) {
            (Some(attempt), Some(wanted)) if !attempt.fields.is_empty() => {
                Changes::between(&attempt.fields, wanted)
            }
            _ => Changes::default(),
        }
    }

    /// Why the user wants another run than the current or last one, if so and if it can be had.
    pub(super) fn wanted_anew(&self) -> Option<(Reason, String)> {
        if matches!(
            self.spec.fitness,
            Fitness::Unfit { .. } | Fitness::Held { .. }
        ) {
            return None;
        }
        if self.rerun_is_requested() {
            let message = "another run was requested".to_owned();
            return Some((Reason::RerunRequested, message));
        }
        let restart = self.changes().restart;
        let is_fit = matches!(self.spec.fitness, Fitness::Fit { .. });
        (is_fit && !restart.is_empty()).then(|| changed(&restart))
    }

    pub(super) fn rerun_is_requested(&self) -> bool {
        self.spec.rerun.is_some() && self.spec.rerun != self.status.rerun_requested_at
    }

    fn note_spec(&mut self) {
        self.status.observed_generation = Some(self.spec.generation);
        match &self.spec.fitness {
            Fitness::Fit {
                not_applied,
                decided,
                exposed,
            } => {
                let message = "the spec can be submitted";
                self.set(
                    ConditionKind::Validated,
                    Truth::True,
                    "SpecAccepted",
                    message,
                );
                for (kind, reason, lines) in [
                    (ConditionKind::FieldNotApplied, "NotSupported", not_applied),
                    (ConditionKind::PolicyApplied, "Enforced", decided),
                    (ConditionKind::SecretInPlainText, "PlainText", exposed),
                ] {
                    if lines.is_empty() {
                        conditions::clear(&mut self.status.conditions, kind);
                    } else {
                        self.set(kind, Truth::True, reason, &lines.join("; "));
                    }
                }
            }
            Fitness::Held { reason, problems } => {
                let message = held_back(reason, problems);
                self.set(
                    ConditionKind::Validated,
                    Truth::Unknown,
                    reason.as_str(),
                    &message,
                );
            }
            Fitness::Unfit { problems } => {
                let mut message = problems.join("; ");
                if self.follows_a_driver() {
                    message.push_str("; the running attempt keeps the spec it was submitted with");
                }
                let reason = Reason::InvalidSpec;
                self.set(
                    ConditionKind::Validated,
                    Truth::False,
                    reason.as_str(),
                    &message,
                );
            }
            Fitness::Unassessed => {}
        }
        let pending = self.changes().next_attempt;
        if pending.is_empty() || !self.follows_a_driver() {
            return;
        }
        let effect = if pending.len() == 1 { "takes" } else { "take" };
        let message = format!(
            "{} {effect} effect with the next attempt",
            changes::named(&pending)
        );
        self.set(
            ConditionKind::UpdatePending,
            Truth::True,
            "NextAttempt",
            &message,
        );
    }

    fn follows_a_driver(&self) -> bool {
        matches!(
            self.state(),
            State::Submitted | State::Running | State::Unknown
        )
    }

    fn keep_executor_book(&mut self) {
        let Some(attempt) = &self.status.attempt else {
            return;
        };
        let ended_well = match &attempt.outcome {
            // What the operator itself stops does not fail.
            Some(outcome) => Some(matches!(
                outcome.state,
                State::Completed | State::Suspended | State::Invalidating
            )),
            None => self.current_driver().and_then(|driver| {
                match health::of_driver(driver, self.limits, self.now) {
                    Health::Ended(ending) => Some(ending.is_success()),
                    Health::Pending(_) | Health::Running { .. } | Health::Unreachable(_) => None,
                }
            }),
        };
        let outlook = match ended_well {
            None => Outlook::Working,
            Some(true) => Outlook::EndedWell,
            Some(false) => Outlook::EndedBadly,
        };
        let pods: Vec<&ExecutorPod> = self.executors_of_attempt().collect();
        let book = executors::Book {
            listed: std::mem::take(&mut self.status.executor_state),
            folded: self.status.executor_counts,
        };
        let book = executors::keep(&book, &pods, outlook, self.limits);
        self.status.executor_state = book.listed;
        self.status.executor_counts = book.folded;
    }
}

// What every state is written with.
impl<'a> Turn<'a> {
    /// The executors of the current attempt.
    pub(super) fn executors_of_attempt(&self) -> impl Iterator<Item = &'a ExecutorPod> + use<'a> {
        let attempt = self.status.attempt.as_ref();
        let id = attempt.map(|attempt| attempt.spark_application_id.clone());
        let pods = self.seen.executors.iter();
        pods.filter(move |pod| id.is_some() && pod.application_id == id)
    }

    pub(super) fn state(&self) -> State {
        self.status.application_state.state
    }

    pub(super) fn enter(&mut self, state: State) {
        self.status.application_state.state = state;
    }

    pub(super) fn blame(&mut self, message: impl Into<String>) {
        self.status.application_state.error_message = Some(message.into());
    }

    pub(super) fn stamp(&self) -> Time {
        Time(to_the_second(self.now))
    }

    pub(super) fn set(&mut self, kind: ConditionKind, truth: Truth, reason: &str, message: &str) {
        let setting = Setting {
            kind,
            truth,
            reason,
            message,
        };
        conditions::set(
            &mut self.status.conditions,
            setting,
            self.spec.generation,
            self.now,
        );
    }

    pub(super) fn act(&mut self, action: Action) {
        self.actions.push(action);
    }

    /// Deletes exactly this pod, if a live look confirms that it should go.
    pub(super) fn delete_pod(&mut self, name: &str, uid: &str) {
        self.require_live();
        self.act(Action::DeletePod {
            name: name.to_owned(),
            uid: uid.to_owned(),
        });
    }

    /// Deletes exactly this pod, whose node cannot be asked.
    pub(super) fn force_delete_pod(&mut self, name: &str, uid: &str) {
        self.require_live();
        self.act(Action::ForceDeletePod {
            name: name.to_owned(),
            uid: uid.to_owned(),
        });
    }

    pub(super) fn require_live(&mut self) {
        self.basis = Basis::Live;
    }

    pub(super) fn wake_at(&mut self, at: Timestamp) {
        self.wake_at = Some(self.wake_at.map_or(at, |sooner| sooner.min(at)));
    }

    pub(super) fn wake_after(&mut self, pause: Duration) {
        self.wake_at(later(self.now, pause));
    }

    pub(super) fn wake_unwatched(&mut self) {
        self.wake_after(UNWATCHED);
    }

    /// An ending that is decided here and now.
    pub(super) fn ending_now(&self, reason: Reason, message: impl Into<String>) -> Ending {
        Ending {
            at: to_the_second(self.now),
            reason,
            message: message.into(),
            exit_code: None,
        }
    }

    /// The application has failed for good.
    pub(super) fn give_up(&mut self, reason: &str, message: &str, at: Time) {
        self.require_live();
        self.enter(State::Failed);
        self.blame(message);
        self.status.termination_time = Some(at);
        self.set(ConditionKind::Running, Truth::False, reason, message);
        self.set(ConditionKind::Succeeded, Truth::False, reason, message);
    }

    /// Forgets how to reach a web page that is gone.
    pub(super) fn forget_web_page(&mut self) {
        let info = &mut self.status.driver_info;
        info.web_ui_service_name = None;
        info.web_ui_port = None;
        info.web_ui_address = None;
        info.web_ui_node_port = None;
        info.web_ui_external_address = None;
        info.web_ui_ingress_name = None;
        info.web_ui_ingress_address = None;
    }
}

// What is there.
impl<'a> Turn<'a> {
    /// Every driver pod of this application, whichever attempt made it.
    pub(super) fn our_drivers(&self) -> impl Iterator<Item = &'a DriverPod> + use<'a> {
        let spec = self.spec;
        self.seen
            .drivers
            .iter()
            .filter(move |pod| is_owned(pod, spec))
    }

    /// The driver pod of the current attempt.
    pub(super) fn current_driver(&self) -> Option<&'a DriverPod> {
        let attempt = self.status.attempt.as_ref()?;
        let mut current = self
            .our_drivers()
            .filter(|pod| pod.submission_id.as_ref() == Some(&attempt.submission_id))
            .peekable();
        let first = current.peek().copied();
        current
            .find(|pod| pod.name == attempt.driver_pod_name)
            .or(first)
    }

    /// A pod of somebody else that stands where the driver belongs.
    pub(super) fn stranger(&self, driver_pod: &str) -> Option<&'a DriverPod> {
        self.seen
            .drivers
            .iter()
            .find(|pod| pod.name == driver_pod && !is_owned(pod, self.spec))
    }
}

/// The words for what waits until a policy is repaired, or a bucket is there.
pub(super) fn held_back(reason: &Reason, problems: &[String]) -> String {
    let until = match reason {
        Reason::ObjectStoreNotReady => "its ObjectStores are ready",
        _ => "the policy is repaired",
    };
    format!(
        "nothing is submitted before {until}: {}",
        problems.join("; ")
    )
}

/// The words for a spec that is another job's.
pub(super) fn changed(paths: &[&str]) -> (Reason, String) {
    let message = format!("{} changed", changes::named(paths));
    (Reason::SpecChanged, message)
}

fn is_owned(pod: &DriverPod, spec: &Spec) -> bool {
    pod.owner
        .as_ref()
        .is_some_and(|owner| owner.uid == spec.uid)
}
