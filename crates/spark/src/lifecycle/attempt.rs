//! The attempt that an application's status is about: intended with every name it will use, taken over
//! from another operator, recorded when it ends; and what it counts against the budget of retries.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use windlass_api::spark::application::{
    ApplicationStateType as State, Attempt, AttemptOutcome, DriverInfo, ExecutorCounts,
};

use super::changes::Fields;
use super::conditions::{ConditionKind, Truth};
use super::health::Ending;
use super::machine::Turn;
use super::retry::Tally;
use super::time::{later, to_the_second};

/// Whether an attempt counts against the restart budget of those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Round {
    /// It is a retry.
    Same,
    /// The user asked for it: by creating, resuming or changing the application.
    Fresh,
}

impl Turn<'_> {
    /// An application that another operator began has a submission id but no attempt yet.
    pub(super) fn take_over_attempt(&mut self) {
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
    pub(super) fn take_over_fields(&mut self) {
        if let (Some(attempt), Some(fields)) = (&mut self.status.attempt, &self.spec.fields)
            && attempt.fields.is_empty()
        {
            attempt.fields.clone_from(fields);
        }
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
}
