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
    ApplicationStateType as State, Attempt, AttemptOutcome, DriverInfo, ExecutorCounts,
    SparkApplicationStatus as Status,
};
use windlass_engine::plan::{Basis, EventNote};

use super::changes::{self, Changes, Fields};
use super::conditions::{self, ConditionKind, Setting, Truth};
use super::events;
use super::executors::{self, Outlook};
use super::health::{self, Ending, Health};
use super::observed::{DriverPod, ExecutorPod, Exposer, Observed};
use super::reason::Reason;
use super::retry::Tally;
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

    /// An application that another operator began has a submission id but no attempt yet.
    fn take_over_attempt(&mut self) {
        if self.status.attempt.is_some() {
            return;
        }
        if let Some(id) = self.unrecorded_submission() {
            self.status.submission_id = Some(id);
        }
        let status = &self.status;
        let Some(submission_id) = &status.submission_id else {
            return;
        };
        self.status.attempt = Some(Attempt {
            number: u32::try_from(status.execution_attempts).unwrap_or(0).max(1),
            round_start: 1,
            submission: u32::try_from(status.submission_attempts)
                .unwrap_or(0)
                .max(1),
            deferrals: 0,
            charged_failures: None,
            failure_streak: 0,
            submission_id: submission_id.clone(),
            spark_application_id: status.spark_application_id.clone().unwrap_or_default(),
            driver_pod_name: status
                .driver_info
                .pod_name
                .clone()
                .unwrap_or_else(|| self.spec.driver_pod.clone()),
            generation: None,
            fields: Fields::new(),
            created_time: status
                .last_submission_attempt_time
                .clone()
                .unwrap_or(self.stamp()),
            submitted_time: None,
            start_time: None,
            outcome: None,
        });
    }

    /// The submission of a driver that another operator started without writing so: it writes when
    /// it is done, and may die before that, or submit again and then tell that the name is taken.
    fn unrecorded_submission(&self) -> Option<String> {
        if !matches!(self.state(), State::New | State::SubmissionFailed) {
            return None;
        }
        let mut drivers = self.our_drivers().filter(|pod| pod.terminating.is_none());
        match (drivers.next(), drivers.next()) {
            (Some(driver), None) => driver.submission_id.clone(),
            _ => None,
        }
    }

    /// What another operator, or an earlier version of this one, ran is not known by field: what is
    /// wanted now stands for it, and only later changes count.
    fn take_over_fields(&mut self) {
        if let (Some(attempt), Some(fields)) = (&mut self.status.attempt, &self.spec.fields)
            && attempt.fields.is_empty()
        {
            attempt.fields.clone_from(fields);
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

    fn rerun_is_requested(&self) -> bool {
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
            Fitness::Held { problems } => {
                let message = held_back(problems);
                let reason = Reason::PolicyInvalid;
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

    /// Records the intent to run attempt `number`, with every name it will use.
    pub(super) fn intend(&mut self, number: u32, round: Round, state: State) {
        let round_start = match (round, &self.status.attempt) {
            (Round::Same, Some(attempt)) => attempt.round_start.min(number),
            (Round::Same | Round::Fresh, _) => number,
        };
        let (driver_pod, stamp) = (self.spec.driver_pod.clone(), self.stamp());
        let mut attempt = Attempt::new(&self.spec.uid, number, driver_pod.clone(), stamp.clone());
        attempt.round_start = round_start;
        attempt.generation = Some(self.spec.generation);
        attempt.fields = self.wanted_fields();
        if round == Round::Same {
            let tally = self.tally_for_next();
            let uncharged = number.saturating_sub(round_start);
            attempt.charged_failures = (tally.charged != uncharged).then_some(tally.charged);
            attempt.failure_streak = tally.in_a_row;
        }
        if self.spec.rerun.is_some() {
            self.status.rerun_requested_at.clone_from(&self.spec.rerun);
        }
        self.status.archive_attempt();
        self.status.submission_id = Some(attempt.submission_id.clone());
        self.status.spark_application_id = Some(attempt.spark_application_id.clone());
        self.status.last_submission_attempt_time = Some(stamp);
        self.status.attempt = Some(attempt);
        self.status.termination_time = None;
        self.status.submission_attempts = 0;
        if round == Round::Fresh {
            self.status.execution_attempts = 0;
            self.give_up_place();
        }
        self.status.driver_info = DriverInfo {
            pod_name: Some(driver_pod),
            ..DriverInfo::default()
        };
        self.status.executor_state.clear();
        self.status.executor_counts = ExecutorCounts::default();
        self.status.application_state.error_message = None;
        self.enter(state);
        let message = format!("attempt {number} is about to be submitted");
        self.set(ConditionKind::Running, Truth::False, "Submitting", &message);
        self.set(
            ConditionKind::Succeeded,
            Truth::Unknown,
            "InProgress",
            "the application has not ended",
        );
    }

    /// What an attempt that is intended now runs, by field.
    fn wanted_fields(&self) -> Fields {
        let known = self.status.attempt.as_ref().map(|it| &it.fields);
        let wanted = self.spec.fields.as_ref().or(known);
        wanted.cloned().unwrap_or_default()
    }

    /// Before its driver exists, an attempt follows the spec; and any request for a run is granted
    /// with it.
    pub(super) fn follow_spec(&mut self) {
        if self.rerun_is_requested() {
            self.status.rerun_requested_at.clone_from(&self.spec.rerun);
        }
        let (generation, fields) = (Some(self.spec.generation), self.wanted_fields());
        let Some(attempt) = &mut self.status.attempt else {
            return;
        };
        if attempt.generation != generation || attempt.fields != fields {
            attempt.generation = generation;
            attempt.fields = fields;
            // Not if a driver of the spec before is there after all.
            self.require_live();
        }
    }

    /// The failures up to and including the current attempt's.
    pub(super) fn tally_for_next(&self) -> Tally {
        let Some(attempt) = &self.status.attempt else {
            return Tally {
                charged: 0,
                in_a_row: 0,
            };
        };
        let before = Tally {
            charged: attempt.charged_before(),
            in_a_row: attempt.failure_streak,
        };
        match &attempt.outcome {
            Some(outcome) if outcome.state == State::Failed => {
                let started = attempt.start_time.as_ref();
                let was_healthy = started.is_some_and(|started| {
                    outcome.end_time.0 >= later(started.0, self.limits.healthy_run)
                });
                Tally::after_run(before, &outcome.reason, was_healthy, self.limits)
            }
            Some(outcome) if outcome.state == State::Completed => Tally {
                charged: before.charged,
                in_a_row: 0,
            },
            _ => before,
        }
    }

    /// The number of the attempt after the current one.
    pub(super) fn next_number(&self) -> u32 {
        self.status
            .attempt
            .as_ref()
            .map_or(1, |attempt| attempt.number.saturating_add(1))
    }

    /// Records how the current attempt ended, in the state it ended in.
    pub(super) fn record_outcome(&mut self, state: State, ending: &Ending) {
        if let Some(attempt) = &mut self.status.attempt {
            attempt.outcome = Some(AttemptOutcome {
                state,
                reason: ending.reason.as_str().to_owned(),
                message: Some(ending.message.clone()),
                exit_code: ending.exit_code,
                end_time: Time(to_the_second(ending.at)),
            });
        }
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

/// Whether an attempt counts against the restart budget of those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Round {
    /// It is a retry.
    Same,
    /// The user asked for it: by creating, resuming or changing the application.
    Fresh,
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

/// The words for what waits until a policy is repaired.
pub(super) fn held_back(problems: &[String]) -> String {
    format!(
        "nothing is submitted before the policy is repaired: {}",
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
