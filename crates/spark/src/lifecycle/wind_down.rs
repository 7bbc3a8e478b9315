//! The states after a driver: what it left is removed, then the next attempt or the end.
//!
//! An attempt has ended when its Spark container has and a live look finds none of its executors.
//! Only then may the driver's name be used again.

use windlass_api::spark::application::ApplicationStateType as State;

use super::attempt::Round;
use super::conditions::{self, ConditionKind, Truth};
use super::health::{self, Ending, Health};
use super::machine::{Action, Turn};
use super::observed::{Beside, DriverPod, ExecutorPod};
use super::reason::Reason;
use super::retry::{self, Cause, Verdict};
use super::spec::{Fitness, NodeLoss, RestartKind};
use super::time::later;

impl Turn<'_> {
    /// `SUCCEEDING`: on to COMPLETED, or to the next run of an application that runs always.
    pub(super) fn succeed(&mut self) {
        let Some(outcome) = self
            .status
            .attempt
            .as_ref()
            .and_then(|it| it.outcome.clone())
        else {
            let ending = self.known_ending(Reason::Completed, "the driver completed");
            return self.record_outcome(State::Completed, &ending);
        };
        if !self.is_over(Drivers::MayStay) {
            return;
        }
        if self.spec.restart.kind == RestartKind::Always {
            return self.run_again(Round::Same);
        }
        self.require_live();
        self.enter(State::Completed);
        self.status.termination_time = Some(outcome.end_time.clone());
        let message = outcome.message.as_deref().unwrap_or("the driver completed");
        self.set(
            ConditionKind::Succeeded,
            Truth::True,
            Reason::Completed.as_str(),
            message,
        );
    }

    /// `FAILING`: on to the next attempt when the pause is over, or to FAILED.
    pub(super) fn fail(&mut self) {
        let Some(attempt) = self.status.attempt.clone() else {
            return;
        };
        let Some(outcome) = attempt.outcome else {
            let message = self.status.application_state.error_message.clone();
            let message = message.unwrap_or_else(|| "the driver failed".to_owned());
            let ending = self.known_ending(Reason::DriverFailed, &message);
            return self.record_outcome(State::Failed, &ending);
        };
        if !self.is_over(Drivers::MayStay) {
            return;
        }
        if self.wanted_anew().is_some() {
            return self.run_again(Round::Fresh);
        }
        let (tally, seed) = (self.tally_for_next(), &attempt.submission_id);
        match retry::after_failure(&self.spec.restart, Cause::Run, tally, self.limits, seed) {
            Verdict::Retry { after } => {
                let due = later(outcome.end_time.0, after);
                if self.now < due && !self.spec.suspend {
                    self.wake_at(due);
                } else {
                    self.run_again(Round::Same);
                }
            }
            Verdict::GiveUp => {
                let message = outcome.message.unwrap_or_default();
                self.give_up(&outcome.reason, &message, outcome.end_time);
            }
        }
    }

    /// From the states with a driver: what runs makes way for another run.
    pub(super) fn begin_restart(&mut self, reason: &Reason, message: &str) {
        let ending = self.ending_now(reason.clone(), message);
        self.record_outcome(State::Invalidating, &ending);
        self.enter(State::Invalidating);
        self.forget_web_page();
        self.set(
            ConditionKind::Running,
            Truth::False,
            reason.as_str(),
            message,
        );
    }

    /// `INVALIDATING`: what ran under the old spec goes, the new one is run.
    pub(super) fn invalidate(&mut self) {
        if self.is_over(Drivers::MustGo) {
            self.note_interruption(State::Invalidating, Reason::SpecChanged, "the spec changed");
            self.run_again(Round::Fresh);
        }
    }

    /// From any state with work left: nothing may run until the user resumes the application.
    pub(super) fn begin_suspension(&mut self) {
        self.enter(State::Suspending);
        self.forget_web_page();
        let message = "the application is being suspended";
        self.set(
            ConditionKind::Running,
            Truth::False,
            Reason::Suspended.as_str(),
            message,
        );
    }

    /// `SUSPENDING`: what runs goes.
    pub(super) fn suspend(&mut self) {
        if let Some(ending) = self.success_of_its_own() {
            self.require_live();
            return self.end_attempt(&ending);
        }
        if self.is_over(Drivers::MustGo) {
            let message = "the application was suspended";
            self.note_interruption(State::Suspended, Reason::Suspended, message);
            self.rest_suspended();
        }
    }

    /// The driver completed before it was told to go: there is nothing left to suspend.
    fn success_of_its_own(&self) -> Option<Ending> {
        let driver = self
            .current_driver()
            .filter(|it| it.terminating.is_none())?;
        match self.health(driver) {
            Health::Ended(ending) if ending.is_success() => Some(ending),
            _ => None,
        }
    }

    /// `SUSPENDED`: nothing happens until the user resumes the application.
    pub(super) fn stay_suspended(&mut self) {
        if !self.spec.suspend {
            return self.intend(self.next_number(), Round::Fresh, State::Resuming);
        }
        self.is_over(Drivers::MustGo);
    }

    /// COMPLETED and FAILED: the result stands until the user wants another one. What turns up late
    /// is removed, and an application that never ran because of its spec gets its chance when the
    /// spec is repaired.
    pub(super) fn stay_final(&mut self) {
        let retire = self.finished_drivers_go();
        for driver in self.our_drivers() {
            let live = !matches!(self.health(driver), Health::Ended(_));
            if (live || retire) && driver.terminating.is_none() {
                self.delete_pod(&driver.name, &driver.uid);
            }
        }
        self.remove_what_stands_beside();
        if self.spec_was_repaired() {
            let number = self.next_number();
            return self.intend(number, Round::Fresh, State::New);
        }
        if !self.spec.suspend && self.wanted_anew().is_some() {
            return self.run_again(Round::Fresh);
        }
        let (Some(keep), Some(ended)) = (self.spec.time_to_live, &self.status.termination_time)
        else {
            return;
        };
        let due = later(ended.0, keep);
        if due <= self.now {
            self.require_live();
            self.act(Action::DeleteApplication);
        } else {
            self.wake_at(due);
        }
    }

    /// Whether the driver pod has been kept for its log for long enough; wakes when it will have.
    fn finished_drivers_go(&mut self) -> bool {
        let (Some(keep), Some(ended)) =
            (self.limits.finished_driver, &self.status.termination_time)
        else {
            return false;
        };
        let due = later(ended.0, keep);
        if self.now < due && self.our_drivers().next().is_some() {
            self.wake_at(due);
        }
        self.now >= due
    }

    fn spec_was_repaired(&self) -> bool {
        let rejected = conditions::has_reason(
            &self.status.conditions,
            ConditionKind::Succeeded,
            Reason::InvalidSpec.as_str(),
        );
        rejected
            && self.status.application_state.state == State::Failed
            && self.before.observed_generation != Some(self.spec.generation)
            && matches!(self.spec.fitness, Fitness::Fit { .. })
    }

    pub(super) fn run_again(&mut self, round: Round) {
        self.require_live();
        if self.spec.suspend {
            self.rest_suspended();
        } else {
            self.intend(self.next_number(), round, State::PendingRerun);
        }
    }

    fn rest_suspended(&mut self) {
        self.require_live();
        self.enter(State::Suspended);
        self.status.application_state.error_message = None;
        let message = "the application is suspended: set spec.suspend to false to run it";
        self.set(
            ConditionKind::Running,
            Truth::False,
            Reason::Suspended.as_str(),
            message,
        );
    }

    fn note_interruption(&mut self, state: State, reason: Reason, message: &str) {
        let open = self
            .status
            .attempt
            .as_ref()
            .is_some_and(|attempt| attempt.outcome.is_none());
        if open {
            let ending = self.ending_now(reason, message);
            self.record_outcome(state, &ending);
        }
    }

    /// Whether nothing of the current attempt is left at work; if something is, it is told to go.
    fn is_over(&mut self, drivers: Drivers) -> bool {
        self.remove_what_stands_beside();
        self.remove_drivers(drivers) && self.remove_executors()
    }

    fn remove_drivers(&mut self, drivers: Drivers) -> bool {
        let mut gone = true;
        for driver in self.our_drivers() {
            if drivers == Drivers::MayStay && matches!(self.health(driver), Health::Ended(_)) {
                continue;
            }
            gone = false;
            let message = match self.health(driver) {
                Health::Unreachable(hold) => hold.message,
                _ => format!("waiting for driver pod {} to go", driver.name),
            };
            // A node that does not answer sends no event either.
            if let Some(due) = health::overdue_at(driver, self.limits).filter(|due| *due > self.now)
            {
                self.wake_at(due);
            }
            self.set(
                ConditionKind::Running,
                Truth::Unknown,
                "DriverLeaving",
                &message,
            );
            if self.is_forsaken(driver) {
                self.force_delete_pod(&driver.name, &driver.uid);
            } else if driver.terminating.is_none() {
                self.delete_pod(&driver.name, &driver.uid);
            }
        }
        let conditions = &self.status.conditions;
        if gone && conditions::has_reason(conditions, ConditionKind::Running, "DriverLeaving") {
            self.set(
                ConditionKind::Running,
                Truth::False,
                "DriverGone",
                "the driver is gone",
            );
        }
        gone
    }

    /// A driver that was told to go, on a node that does not answer, where the user lets it go.
    fn is_forsaken(&self, driver: &DriverPod) -> bool {
        let outcome = self
            .status
            .attempt
            .as_ref()
            .and_then(|it| it.outcome.as_ref());
        let is_lost = outcome.is_some_and(|it| it.reason == Reason::NodeLost.as_str());
        self.spec.node_loss == NodeLoss::Replace
            && matches!(self.health(driver), Health::Unreachable(_))
            && (is_lost || health::overdue(driver, self.limits, self.now))
    }

    /// Whether no executor is left; those that are, are told to go.
    pub(super) fn remove_executors(&mut self) -> bool {
        let left: Vec<&ExecutorPod> = self
            .seen
            .executors
            .iter()
            .filter(|it| it.is_live())
            .collect();
        for executor in left.iter().filter(|executor| !executor.terminating) {
            self.delete_pod(&executor.name, &executor.uid);
        }
        if !left.is_empty() {
            self.explain_wait(&left);
        }
        left.is_empty()
    }

    /// Executors go within seconds, unless their node is gone; then people want to know which.
    fn explain_wait(&mut self, left: &[&ExecutorPod]) {
        let outcome = self
            .status
            .attempt
            .as_ref()
            .and_then(|attempt| attempt.outcome.as_ref());
        let Some(ended) = outcome.map(|outcome| outcome.end_time.0) else {
            return;
        };
        let due = later(ended, self.limits.overdue_termination);
        if self.now < due {
            return self.wake_at(due);
        }
        if self.spec.node_loss == NodeLoss::Replace {
            for executor in left.iter().filter(|executor| executor.terminating) {
                self.force_delete_pod(&executor.name, &executor.uid);
            }
        }
        let place = |executor: &&ExecutorPod| match &executor.node {
            Some(node) => format!("{} on {node}", executor.name),
            None => executor.name.clone(),
        };
        let places: Vec<String> = left.iter().take(3).map(place).collect();
        let more = match left.len().saturating_sub(places.len()) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let message = format!("waiting for executors to go: {}{more}", places.join(", "));
        self.set(
            ConditionKind::Running,
            Truth::False,
            "ExecutorsLeaving",
            &message,
        );
    }

    /// What is there for a running driver only.
    fn remove_what_stands_beside(&mut self) {
        self.withdraw();
        let seen = self.seen;
        if let Beside::Ours { name, uid } = &seen.budget {
            self.require_live();
            self.act(Action::DeleteBudget {
                name: name.clone(),
                uid: uid.clone(),
            });
        }
        if let Beside::Ours { uid, .. } = &seen.pod_group {
            self.require_live();
            self.act(Action::DeletePodGroup { uid: uid.clone() });
        }
    }

    /// Nothing leads any more to what has ended.
    fn withdraw(&mut self) {
        let present = &self.seen.exposure.present;
        if present.is_empty() {
            return;
        }
        self.require_live();
        self.forget_web_page();
        for it in present {
            self.act(Action::Withdraw {
                exposer: it.exposer.clone(),
                uid: it.uid.clone(),
            });
        }
    }

    fn health(&self, driver: &DriverPod) -> Health {
        health::of_driver(driver, self.limits, self.now)
    }

    /// How the attempt ended as far as it can still be told, for states that another operator
    /// wrote.
    fn known_ending(&self, reason: Reason, message: &str) -> Ending {
        match self.current_driver().map(|driver| self.health(driver)) {
            Some(Health::Ended(ending)) if ending.is_success() == (reason == Reason::Completed) => {
                ending
            }
            _ => self.ending_now(reason, message),
        }
    }
}

/// What becomes of driver pods whose Spark container has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Drivers {
    /// They stay for their logs.
    MayStay,
    /// They make room.
    MustGo,
}
