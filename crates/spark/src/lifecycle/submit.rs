//! The states before a driver exists: intent, submission, refusal.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use windlass_api::spark::application::{ApplicationStateType as State, Attempt};

use super::attempt::Round;
use super::conditions::{ConditionKind, Truth};
use super::machine::{Action, Turn, held_back};
use super::observed::{DriverPod, Refusal, Subject};
use super::reason::Reason;
use super::retry::{self, Cause, Tally, Verdict};
use super::spec::Fitness;
use super::time::{later, to_the_second};

impl Turn<'_> {
    /// New, `PENDING_RERUN` and `RESUMING`: the driver is to be created.
    pub(super) fn submit(&mut self) {
        if self.state() != State::New && self.status.attempt.is_some() && !self.submitted_here() {
            // Another operator decided to submit once more: our attempt needs names of its own, and
            // a driver that is still there is the one before it.
            return self.intend(self.next_number(), Round::Same, self.state());
        }
        if let Some(driver) = self.current_driver() {
            return self.acknowledge(driver);
        }
        if self.spec.suspend {
            return self.begin_suspension();
        }
        if let Fitness::Unfit { problems } = &self.spec.fitness {
            return self.reject_spec(problems);
        }
        if let Fitness::Held { reason, problems } = &self.spec.fitness {
            return self.hold_back(reason, &held_back(reason, problems));
        }
        let Some(attempt) = self.status.attempt.clone() else {
            return self.intend(1, Round::Fresh, State::New);
        };
        if !self.submitted_here() {
            // Another operator has begun, and there is no driver of it.
            return self.intend(self.next_number(), Round::Same, self.state());
        }
        self.follow_spec();
        if attempt.driver_pod_name != self.spec.driver_pod {
            return self.intend_other_name();
        }
        if !self.clear_the_way(&attempt) {
            return;
        }
        if let Some(refusal) = self.refusal_of(&attempt) {
            let (reason, message) = explain(refusal, &self.spec.namespace);
            return self.refuse(reason, &message);
        }
        if !self.is_its_turn() {
            return;
        }
        self.require_live();
        self.act(Action::CreateDriver);
    }

    /// `SUBMISSION_FAILED`: the budget decides whether and when it is tried again.
    pub(super) fn retry_submission(&mut self) {
        // The refusal may have been a lost answer.
        if let Some(driver) = self.current_driver() {
            return self.acknowledge(driver);
        }
        if self.spec.suspend {
            return self.begin_suspension();
        }
        let Some(attempt) = self.status.attempt.clone() else {
            return;
        };
        let Some(outcome) = &attempt.outcome else {
            // Another operator wrote this state; the pause starts where we took over.
            let message = self.status.application_state.error_message.clone();
            let message = message.unwrap_or_else(|| "the driver was refused".to_owned());
            return self.refuse(Reason::SubmissionRefused, &message);
        };
        if self.wanted_anew().is_some() {
            return self.run_again(Round::Fresh);
        }
        let cause = Cause::of_submission(&outcome.reason);
        let tally = Tally {
            charged: attempt.submission,
            in_a_row: attempt.submission.saturating_add(attempt.deferrals),
        };
        let seed = &attempt.submission_id;
        match retry::after_failure(&self.spec.restart, cause, tally, self.limits, seed) {
            Verdict::Retry { after } => {
                let due = later(outcome.end_time.0, after);
                if self.now < due {
                    return self.wake_at(due);
                }
                let stamp = self.stamp();
                if let Some(attempt) = &mut self.status.attempt {
                    let count = match cause {
                        Cause::Quota => &mut attempt.deferrals,
                        Cause::Submission | Cause::Run => &mut attempt.submission,
                    };
                    *count = count.saturating_add(1);
                    attempt.outcome = None;
                }
                self.status.last_submission_attempt_time = Some(stamp);
                self.enter(State::PendingRerun);
            }
            Verdict::GiveUp => {
                let message = outcome.message.clone().unwrap_or_default();
                self.give_up(&outcome.reason, &message, outcome.end_time.clone());
            }
        }
    }

    /// The driver pod of the intended attempt is there: only now does the attempt count.
    fn acknowledge(&mut self, driver: &DriverPod) {
        if let Some(attempt) = &mut self.status.attempt {
            attempt.outcome = None;
            attempt.submitted_time = Some(Time(to_the_second(driver.created)));
            attempt.driver_pod_name.clone_from(&driver.name);
            if let Some(id) = &driver.application_id {
                attempt.spark_application_id.clone_from(id);
            }
            self.status.execution_attempts = count(attempt.runs());
            self.status.submission_attempts = count(attempt.submission);
            self.status.spark_application_id = Some(attempt.spark_application_id.clone());
        }
        self.status.driver_info.pod_name = Some(driver.name.clone());
        self.status.application_state.error_message = None;
        self.keep_place();
        self.enter(State::Submitted);
        let message = format!("driver pod {} was created", driver.name);
        self.set(
            ConditionKind::Running,
            Truth::False,
            "DriverPending",
            &message,
        );
    }

    /// The user gave the driver another name before it was created.
    fn intend_other_name(&mut self) {
        self.require_live();
        let name = self.spec.driver_pod.clone();
        self.status.driver_info.pod_name = Some(name.clone());
        if let Some(attempt) = &mut self.status.attempt {
            attempt.driver_pod_name = name;
        }
    }

    /// Whether nothing stands where the driver goes, and no other driver of ours is left.
    fn clear_the_way(&mut self, attempt: &Attempt) -> bool {
        let mut clear = true;
        for old in self.our_drivers() {
            clear = false;
            let message = format!("waiting for the earlier driver pod {} to go", old.name);
            self.set(
                ConditionKind::Running,
                Truth::False,
                "WaitingForOldDriver",
                &message,
            );
            if old.terminating.is_none() {
                self.delete_pod(&old.name, &old.uid);
            }
        }
        clear &= self.remove_executors();
        let Some(stranger) = self.stranger(&attempt.driver_pod_name) else {
            return clear;
        };
        self.wake_unwatched();
        let owner = match &stranger.owner {
            Some(owner) => format!("{} {}", owner.kind, owner.name),
            None => "nobody".to_owned(),
        };
        let leaving =
            stranger.terminating.is_some() || stranger.owner.as_ref().is_some_and(|it| it.gone);
        let due = later(attempt.created_time.0, self.limits.taken_name);
        if leaving && self.now < due {
            let message = format!(
                "waiting for pod {} of {owner} to go: it has the name",
                stranger.name
            );
            self.set(
                ConditionKind::Running,
                Truth::False,
                "WaitingForName",
                &message,
            );
        } else {
            self.require_live();
            self.refuse(
                Reason::DriverNameTaken,
                &format!(
                    "pod {} exists already and belongs to {owner}: delete it, or choose another \
                     name in spec.driver.podName",
                    stranger.name
                ),
            );
        }
        false
    }

    /// What the API server said to this try, not to one before it.
    fn refusal_of(&self, attempt: &Attempt) -> Option<&Refusal> {
        let tried = self.status.last_submission_attempt_time.as_ref();
        let tried = tried.unwrap_or(&attempt.created_time).0;
        self.seen
            .refusal
            .as_ref()
            .filter(|refusal| refusal.subject != Subject::Companion && refusal.at >= tried)
    }

    fn refuse(&mut self, reason: Reason, message: &str) {
        let ending = self.ending_now(reason, message);
        self.record_outcome(State::SubmissionFailed, &ending);
        if let Some(attempt) = &self.status.attempt {
            self.status.submission_attempts = count(attempt.submission);
        }
        self.enter(State::SubmissionFailed);
        self.blame(message);
        self.set(
            ConditionKind::Running,
            Truth::False,
            ending.reason.as_str(),
            message,
        );
    }

    /// Nothing is decided about the application: when what it waits for is there it goes on from here.
    fn hold_back(&mut self, reason: &Reason, message: &str) {
        self.blame(message);
        self.set(
            ConditionKind::Running,
            Truth::False,
            reason.as_str(),
            message,
        );
    }

    fn reject_spec(&mut self, problems: &[String]) {
        let message = format!("the spec cannot be submitted: {}", problems.join("; "));
        let ending = self.ending_now(Reason::InvalidSpec, &message);
        self.record_outcome(State::Failed, &ending);
        self.give_up(Reason::InvalidSpec.as_str(), &message, Time(ending.at));
    }
}

fn count(n: u32) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}

/// Says what a refusal means and what to do about it.
fn explain(refusal: &Refusal, namespace: &str) -> (Reason, String) {
    let said = super::health::one_line(&refusal.message);
    if let Some(account) = missing_service_account(&said) {
        let message = format!(
            "ServiceAccount {account} does not exist in namespace {namespace}: name another one in \
             spec.driver.serviceAccount, or run `kubectl create serviceaccount {account} -n \
             {namespace}` and `kubectl create rolebinding {account}-spark-driver -n {namespace} \
             --role windlass-spark-driver --serviceaccount {namespace}:{account}`"
        );
        return (Reason::ServiceAccountMissing, message);
    }
    match refusal.code {
        404 if refusal.subject == Subject::PodGroup => (
            Reason::SubmissionRefused,
            "the cluster knows no PodGroups of spec.batchScheduler: install that scheduler, or \
             name another one"
                .to_owned(),
        ),
        _ if refusal.subject == Subject::PodGroup => (
            Reason::SubmissionRefused,
            format!("the API server refused the PodGroup: {said}"),
        ),
        403 if said.contains("exceeded quota") => (
            Reason::QuotaExceeded,
            match refusal.subject {
                Subject::CheckpointClaim => {
                    format!("a ResourceQuota has no room for the claim of checkpointdir: {said}")
                }
                Subject::Driver | Subject::PodGroup | Subject::Companion => {
                    format!("a ResourceQuota has no room for the driver: {said}")
                }
            },
        ),
        _ if refusal.subject == Subject::CheckpointClaim => (
            Reason::SubmissionRefused,
            format!("the API server refused the claim of spark.kubernetes.checkpointdir: {said}"),
        ),
        _ => (
            Reason::SubmissionRefused,
            format!("the API server refused the driver pod: {said}"),
        ),
    }
}

/// `... error looking up service account jobs/spark: serviceaccount "spark" not found`
fn missing_service_account(said: &str) -> Option<&str> {
    let (_, rest) = said.split_once("serviceaccount \"")?;
    let (name, rest) = rest.split_once('"')?;
    rest.contains("not found").then_some(name)
}
