//! The states in which a driver exists: following what it does.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use windlass_api::names::AttemptId;
use windlass_api::spark::application::ApplicationStateType as State;

use super::conditions::{self, ConditionKind, Truth};
use super::health::{self, Ending, Health, Hold, Obstacle};
use super::machine::{Action, Turn, changed};
use super::observed::{Beside, Companions, DriverPod, Subject};
use super::reason::Reason;
use super::spec::{Fitness, NodeLoss};
use super::time::{in_words, later, to_the_second};

impl Turn<'_> {
    /// `SUBMITTED`, `RUNNING` and `UNKNOWN`: the state follows the driver.
    pub(super) fn follow_driver(&mut self) {
        let Some(driver) = self.current_driver() else {
            return self.miss_driver();
        };
        let health = health::of_driver(driver, self.limits, self.now);
        if let Health::Ended(ending) = health {
            return self.end_attempt(&ending);
        }
        if self.spec.suspend {
            return self.begin_suspension();
        }
        if let Some((reason, message)) = self.wanted_anew() {
            return self.begin_restart(&reason, &message);
        }
        self.remove_other_drivers(driver);
        // A node that does not answer sends no event either.
        if let Some(due) = health::overdue_at(driver, self.limits).filter(|due| *due > self.now) {
            self.wake_at(due);
        }
        match health {
            Health::Pending(hold) => self.await_start(driver, hold),
            Health::Running { since } => {
                self.enter(State::Running);
                self.status.application_state.error_message = None;
                let since = Time(to_the_second(since.unwrap_or(self.now)));
                self.note_pod_reason(None);
                let started = self
                    .status
                    .driver_info
                    .start_time
                    .get_or_insert(since)
                    .clone();
                if let Some(attempt) = &mut self.status.attempt {
                    attempt.start_time = Some(started);
                }
                let message = format!("driver pod {} runs", driver.name);
                self.set(
                    ConditionKind::Running,
                    Truth::True,
                    "DriverRunning",
                    &message,
                );
                self.note_executors();
                self.show_web_page();
                self.expose();
                self.ensure_budget();
            }
            Health::Unreachable(hold) => {
                self.note_pod_reason(Some(&hold.reason));
                if self.is_given_up(driver) {
                    return self.give_up_node(driver);
                }
                self.enter(State::Unknown);
                self.blame(hold.message.clone());
                self.set(
                    ConditionKind::Running,
                    Truth::Unknown,
                    &hold.reason,
                    &hold.message,
                );
            }
            Health::Ended(_) => {}
        }
    }

    /// The attempt is over; what follows is winding down.
    pub(super) fn end_attempt(&mut self, ending: &Ending) {
        let state = if ending.is_success() {
            State::Completed
        } else {
            State::Failed
        };
        self.record_outcome(state, ending);
        self.forget_web_page();
        if ending.is_success() {
            self.enter(State::Succeeding);
            self.status.application_state.error_message = None;
            self.note_pod_reason(None);
        } else {
            self.enter(State::Failing);
            self.blame(ending.message.clone());
            self.note_pod_reason(Some(ending.reason.as_str()));
        }
        self.set(
            ConditionKind::Running,
            Truth::False,
            ending.reason.as_str(),
            &ending.message,
        );
    }

    /// Whether the user lets a driver go whose node has been silent for long enough.
    fn is_given_up(&mut self, driver: &DriverPod) -> bool {
        if self.spec.node_loss == NodeLoss::Wait {
            return false;
        }
        let since = self.status.driver_info.pod_reason_since.as_ref();
        let since = since.map_or(self.now, |since| since.0);
        let due = later(since, self.limits.silent_node);
        if self.now < due {
            self.wake_at(due);
        }
        // Whoever asked for the deletion knows that the driver ends.
        self.now >= due
            || (driver.terminating.is_some() && health::overdue(driver, self.limits, self.now))
    }

    fn give_up_node(&mut self, driver: &DriverPod) {
        self.require_live();
        let node = driver.node.as_deref().unwrap_or("of the driver");
        let message = format!(
            "node {node} does not answer, and restartPolicy.nodeLoss is Replace: driver pod {} is \
             given up",
            driver.name
        );
        let ending = self.ending_now(Reason::NodeLost, message);
        self.end_attempt(&ending);
    }

    fn await_start(&mut self, driver: &DriverPod, hold: Hold) {
        let started = self
            .status
            .attempt
            .as_ref()
            .is_some_and(|it| it.start_time.is_some());
        if started {
            // A container that ran never waits again: the store lags behind the status.
            return;
        }
        let mut hold = self.companion_trouble().unwrap_or(hold);
        if let Some(known) = self.known_image_trouble(&hold) {
            hold.message = known;
        }
        let troubling = hold.is_troubling();
        // Nothing is lost by replacing what does not get off the ground, and the change may be
        // what was missing.
        let pending = self.changes().next_attempt;
        if troubling && !pending.is_empty() && matches!(self.spec.fitness, Fitness::Fit { .. }) {
            let (reason, message) = changed(&pending);
            return self.begin_restart(&reason, &message);
        }
        self.note_pod_reason(troubling.then_some(&hold.reason));
        if let Some(ending) = self.give_up_waiting(driver, &hold) {
            self.require_live();
            return self.end_attempt(&ending);
        }
        self.enter(State::Submitted);
        self.status.application_state.error_message = troubling.then(|| hold.message.clone());
        self.set(
            ConditionKind::Running,
            Truth::False,
            &hold.reason,
            &hold.message,
        );
        if self.seen.companions == Companions::Missing && self.submitted_here() {
            self.act(Action::EnsureCompanions {
                driver_uid: driver.uid.clone(),
            });
        }
        self.expose();
    }

    /// How the attempt ends if waiting is over; otherwise it wakes when it will be.
    ///
    /// Every start has a deadline; what waiting seldom mends has an earlier one, counted from when
    /// it was first seen.
    fn give_up_waiting(&mut self, driver: &DriverPod, hold: &Hold) -> Option<Ending> {
        let since = self.status.driver_info.pod_reason_since.clone();
        let patience = self.limits.patience(hold.obstacle);
        let earlier = since.zip(patience).map(|(since, patience)| {
            let reason = Reason::Other(hold.reason.clone());
            (later(since.0, patience), patience, reason)
        });
        let patience = self.limits.pending_driver;
        let general = (
            later(driver.created, patience),
            patience,
            Reason::DriverStartDeadline,
        );
        let (deadline, patience, reason) = match earlier {
            Some(earlier) if earlier.0 < general.0 => earlier,
            _ => general,
        };
        if self.now < deadline {
            self.wake_at(deadline);
            return None;
        }
        let message = format!(
            "the driver did not start within {}: {}",
            in_words(patience),
            hold.message
        );
        Some(self.ending_now(reason, message))
    }

    /// Says what keeps executors from starting. The driver goes on waiting for them, as Spark does,
    /// so the application runs; but a person may wait for ever and should know.
    fn note_executors(&mut self) {
        match health::of_executors(self.executors_of_attempt()) {
            Some(hold) => self.set(
                ConditionKind::ExecutorsHeldUp,
                Truth::True,
                &hold.reason,
                &hold.message,
            ),
            None => {
                conditions::clear(&mut self.status.conditions, ConditionKind::ExecutorsHeldUp);
            }
        }
    }

    /// Says why the pod is not well, and since when.
    fn note_pod_reason(&mut self, reason: Option<&str>) {
        let now = self.stamp();
        let info = &mut self.status.driver_info;
        if info.pod_reason.as_deref() != reason {
            info.pod_reason = reason.map(ToOwned::to_owned);
            info.pod_reason_since = reason.map(|_| now);
        }
    }

    /// Only the first try to pull an image says what is wrong; later ones say that it is tried
    /// again.
    fn known_image_trouble(&self, hold: &Hold) -> Option<String> {
        let running = conditions::find(&self.status.conditions, ConditionKind::Running)?;
        let same = hold.reason == health::IMAGE_PULL && running.reason == health::IMAGE_PULL;
        same.then(|| running.message.clone())
    }

    /// The driver waits for objects that the API server does not let us create.
    fn companion_trouble(&self) -> Option<Hold> {
        let refusal = self.seen.refusal.as_ref()?;
        (refusal.subject == Subject::Companion && self.seen.companions == Companions::Missing).then(
            || Hold {
                reason: Reason::SubmissionRefused.as_str().to_owned(),
                message: format!(
                    "the API server refuses an object the driver needs: {}",
                    health::one_line(&refusal.message)
                ),
                obstacle: Obstacle::Other,
            },
        )
    }

    /// Drivers that another operator submitted bring their Service and ConfigMaps along.
    pub(super) fn submitted_here(&self) -> bool {
        self.status.attempt.as_ref().is_some_and(|attempt| {
            AttemptId::new(&self.spec.uid, attempt.number).submission_id() == attempt.submission_id
        })
    }

    /// One application has one driver, whatever was created under which name.
    fn remove_other_drivers(&mut self, driver: &DriverPod) {
        for other in self.our_drivers().filter(|pod| pod.uid != driver.uid) {
            if other.terminating.is_none() {
                self.delete_pod(&other.name, &other.uid);
            }
        }
    }

    /// A store may lag, and an API server may lose its latest writes: a missing driver is given a
    /// moment to come back before the attempt is over.
    fn miss_driver(&mut self) {
        self.require_live();
        let missing = Reason::DriverMissing.as_str();
        let noticed = conditions::find(&self.status.conditions, ConditionKind::Running)
            .filter(|running| running.reason == missing)
            .map(|running| running.last_transition_time.0);
        let name = self.status.driver_info.pod_name.clone().unwrap_or_default();
        let Some(noticed) = noticed else {
            let message = format!("driver pod {name} is not there");
            return self.set(ConditionKind::Running, Truth::Unknown, missing, &message);
        };
        let due = later(noticed, self.limits.missing_driver);
        if self.now < due {
            return self.wake_at(due);
        }
        let message = format!("driver pod {name} was deleted before the driver ended");
        let ending = self.ending_now(Reason::DriverMissing, message);
        self.end_attempt(&ending);
    }

    /// A driver that runs has something to lose.
    fn ensure_budget(&mut self) {
        if self.spec.protected && self.seen.budget == Beside::Absent {
            self.act(Action::EnsureBudget);
        }
    }

    /// What leads to the driver is made as the attempt was submitted: a change of that waits for
    /// the next one, as it does for the pod.
    fn expose(&mut self) {
        let pending = self.changes().next_attempt;
        if EXPOSING_FIELDS.iter().any(|field| pending.contains(field)) {
            return;
        }
        for exposer in &self.seen.exposure.missing {
            self.act(Action::Expose(exposer.clone()));
        }
    }

    /// Before the driver runs nobody answers there, and it needs no status write of its own.
    fn show_web_page(&mut self) {
        let page = &self.seen.exposure.web_page;
        let info = &mut self.status.driver_info;
        if let Some(service) = &page.service {
            info.web_ui_service_name = Some(service.name.clone());
            info.web_ui_port = service.port.map(i32::from);
            info.web_ui_address.clone_from(&service.address);
            info.web_ui_node_port = service.node_port.map(i32::from);
            info.web_ui_external_address
                .clone_from(&service.external_address);
        }
        if let Some(route) = &page.route {
            info.web_ui_ingress_name = Some(route.name.clone());
            info.web_ui_ingress_address.clone_from(&route.address);
        }
    }
}

/// The fields that say what leads to the driver.
const EXPOSING_FIELDS: [&str; 3] = ["sparkUIOptions", "driverIngressOptions", "monitoring"];
