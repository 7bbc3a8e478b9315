//! One decision: what is seen of the pending run, what is due, what is asked for, what is trimmed.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use windlass_api::schedule::Schedule;
use windlass_api::spark::scheduled::{
    CatchUpPolicy, ConcurrencyPolicy, PendingRun, ScheduleState,
    ScheduledSparkApplicationStatus as Status, run_name, triggered_run_name,
};
use windlass_engine::plan::{Basis, EventNote};

use super::observed::{Observed, Run, RunState};
use super::spec::{Rhythm, Spec};
use super::{events, history};
use crate::lifecycle::conditions::{self, ConditionKind, Setting, Truth};

/// How many times that passed unnoticed are made up for, at most.
const MADE_UP_FOR: usize = 100;
/// How late a run may start that is not made up for.
const PUNCTUAL: i64 = 60;
/// How often to look again while something is waited for, should its end go unnoticed.
const RESYNC: SignedDuration = SignedDuration::from_secs(30);
/// A clock that was this far ahead was wrong, and what it left is not believed.
const ABSURD: i64 = 24 * 3600;

/// What should happen.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// The status the object should have.
    pub status: Status,
    /// What to do, in order, once the status is as it should be.
    pub actions: Vec<Action>,
    /// What to tell.
    pub notes: Vec<EventNote>,
    /// When to look again.
    pub wake_at: Option<Timestamp>,
    /// What this must rest on.
    pub basis: Basis,
}

/// One change to the cluster.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Create the application of this run.
    CreateRun(PendingRun),
    /// Delete exactly this application.
    DeleteRun {
        /// Its name.
        name: String,
        /// Its uid.
        uid: String,
    },
}

impl Action {
    pub(super) fn delete(run: &Run) -> Self {
        Self::DeleteRun {
            name: run.name.clone(),
            uid: run.uid.clone(),
        }
    }
}

/// Decides. Pure and total.
pub fn plan(spec: &Spec, status: &Status, observed: &Observed, now: Timestamp) -> Decision {
    let mut machine = Machine {
        spec,
        observed,
        now: whole(now),
        status: status.clone(),
        actions: Vec::new(),
        notes: Vec::new(),
        basis: Basis::Cached,
        waits: false,
    };
    if spec.deleting {
        return machine.decide(status);
    }
    machine.status.observed_generation = Some(spec.generation);
    machine.look_for_pending();
    match &spec.rhythm {
        Rhythm::Times(schedule) => machine.follow(schedule),
        Rhythm::Invalid { problems } => machine.reject(problems),
    }
    machine.trim();
    machine.create_pending(status);
    machine.decide(status)
}

struct Machine<'a> {
    spec: &'a Spec,
    observed: &'a Observed,
    now: Timestamp,
    status: Status,
    actions: Vec<Action>,
    notes: Vec<EventNote>,
    basis: Basis,
    /// Whether something is under way that the schedule itself does not wake for.
    waits: bool,
}

impl Machine<'_> {
    fn decide(self, before: &Status) -> Decision {
        let mut notes = events::announce(before, &self.status);
        notes.extend(self.notes);
        // A due time that was not decided on would wake at once, again and again.
        let next_run = self.status.next_run.as_ref().map(|next| next.0);
        let next_run = next_run.filter(|next| *next > self.now);
        let look_again = self.now.checked_add(RESYNC).ok().filter(|_| self.waits);
        let wake_at = next_run.into_iter().chain(look_again).min();
        Decision {
            status: self.status,
            actions: self.actions,
            notes,
            wake_at: wake_at.filter(|_| !self.spec.deleting),
            basis: self.basis,
        }
    }

    /// The pending run has been started when it is seen.
    fn look_for_pending(&mut self) {
        let Some(pending) = self.status.pending_run.clone() else {
            return;
        };
        if let Some(run) = self.observed.run(&pending.name) {
            self.status.last_run = Some(Time(whole(run.created)));
            self.status.last_run_name = Some(pending.name);
            self.status.pending_run = None;
        } else if self.observed.name_is_taken {
            self.notes.push(events::name_taken(&pending.name));
            self.drop_pending();
        }
    }

    fn reject(&mut self, problems: &[String]) {
        self.status.schedule_state = ScheduleState::FailedValidation;
        self.status.reason = Some(problems.join("; "));
        self.status.next_run = None;
        self.status.observed_schedule = None;
        if self.status.pending_run.is_some() {
            self.drop_pending();
        }
        self.set_validated(Truth::False, "InvalidSpec", &problems.join("\n"));
    }

    fn follow(&mut self, schedule: &Schedule) {
        self.status.next_run = self.undecided(schedule).map(Time);
        self.status.observed_schedule = Some(schedule.to_string());
        self.status.schedule_state = ScheduleState::Scheduled;
        self.set_validated(Truth::True, "SpecAccepted", "");
        self.answer_trigger();
        self.start_what_is_due(schedule);
        let refused = self.status.pending_run.as_ref().and_then(|pending| {
            let refusal = self.observed.refusal.as_ref()?;
            Some(format!("{} cannot be created: {refusal}", pending.name))
        });
        let never = || {
            let nothing = self.status.next_run.is_none() && !self.spec.suspend;
            nothing.then(|| "spec.schedule has no time within ten years; correct it".to_owned())
        };
        self.status.reason = refused.or_else(never);
    }

    /// The first time that has not been decided on.
    fn undecided(&self, schedule: &Schedule) -> Option<Timestamp> {
        // What passes while a schedule is suspended is not missed.
        if self.spec.suspend {
            return None;
        }
        let known = self.status.next_run.as_ref().map(|next| next.0);
        match (&self.status.observed_schedule, known) {
            (Some(text), Some(next)) if *text == schedule.to_string() => Some(next),
            (None, Some(next)) => self.taken_over(schedule, next),
            _ => {
                let last = self.status.last_scheduled_time.as_ref().map(|last| last.0);
                let last = last.filter(|last| last.as_second() - self.now.as_second() < ABSURD);
                let after = last.map_or(self.now, |last| last.max(self.now));
                schedule.next(self.now, after)
            }
        }
    }

    /// The next run as another operator left it. That one creates runs before it writes the next
    /// time, and does not compute it anew when the schedule changes.
    fn taken_over(&self, schedule: &Schedule, next: Timestamp) -> Option<Timestamp> {
        if next > self.now || !schedule.is_time(next) {
            return schedule.next(next, self.now);
        }
        let started = self.observed.runs.iter().map(|run| run.created).max();
        match started.filter(|started| *started >= next) {
            Some(started) => schedule.next(next, started),
            None => Some(next),
        }
    }

    fn answer_trigger(&mut self) {
        let spec = self.spec;
        let Some(trigger) = spec.trigger.as_deref().filter(|it| !it.is_empty()) else {
            return;
        };
        if self.status.last_trigger.as_deref() == Some(trigger) || self.status.pending_run.is_some()
        {
            return;
        }
        self.basis = Basis::Live;
        let name = triggered_run_name(&spec.name, trigger);
        if self.observed.run(&name).is_some() {
            self.notes.push(events::repeated(&name));
        } else {
            match self.way() {
                Way::Free => {
                    self.status.pending_run = Some(PendingRun {
                        name,
                        scheduled_time: Time(self.now),
                        trigger: Some(trigger.to_owned()),
                    });
                }
                Way::Closed => {
                    let what = format!("{name}, which was asked for,");
                    self.notes
                        .push(events::skipped(&what, &self.observed.busy_with()));
                }
                Way::Clearing => return self.make_way(),
            }
        }
        self.status.last_trigger = Some(trigger.to_owned());
    }

    fn start_what_is_due(&mut self, schedule: &Schedule) {
        let Some(next) = self.status.next_run.as_ref().map(|next| next.0) else {
            // Suspended: what was decided on before, and not yet done, is no longer wanted.
            if self.is_pending_for_schedule() {
                self.drop_pending();
            }
            return;
        };
        let too_late = |pending: &PendingRun| {
            let earliest = self.deadline();
            earliest.is_some_and(|earliest| pending.scheduled_time.0 < earliest)
        };
        if self.is_pending_for_schedule() && self.status.pending_run.as_ref().is_some_and(too_late)
        {
            self.miss_pending();
        }
        if next > self.now {
            return;
        }
        self.basis = Basis::Live;
        if self.status.pending_run.is_some() {
            // Each time has its turn, or this one is overtaken by the next.
            if !self.is_pending_for_schedule() || self.spec.catch_up == CatchUpPolicy::All {
                self.waits = true;
                return;
            }
            self.miss_pending();
        }

        let from = self.deadline().map_or(next, |earliest| earliest.max(next));
        let times = schedule.times(next, from, self.now, MADE_UP_FOR);
        let chosen = match self.spec.catch_up {
            CatchUpPolicy::All => times.latest.first().copied(),
            CatchUpPolicy::Latest | CatchUpPolicy::None => times.latest.last().copied(),
        };
        let Some(chosen) = chosen else {
            let why = "it is later than startingDeadlineSeconds and catchUpPolicy allow";
            self.notes.push(events::missed(next, why));
            self.decided_up_to(schedule, next, self.now);
            return;
        };
        let name = run_name(&self.spec.name, chosen);
        match self.way() {
            _ if self.observed.run(&name).is_some() => {
                self.decided_up_to(schedule, next, chosen);
            }
            Way::Free => {
                if chosen != next {
                    let why = format!("the operator came too late; {chosen} is run");
                    self.notes.push(events::missed(next, &why));
                }
                self.status.pending_run = Some(PendingRun {
                    name,
                    scheduled_time: Time(chosen),
                    trigger: None,
                });
                self.status.last_scheduled_time = Some(Time(chosen));
                self.decided_up_to(schedule, next, chosen);
            }
            // Each time has its turn, and waits for it.
            Way::Closed if self.spec.catch_up == CatchUpPolicy::All => self.waits = true,
            Way::Closed => {
                let what = format!("the run for {chosen}");
                self.notes
                    .push(events::skipped(&what, &self.observed.busy_with()));
                self.decided_up_to(schedule, next, chosen);
            }
            Way::Clearing => self.make_way(),
        }
    }

    fn miss_pending(&mut self) {
        if let Some(pending) = &self.status.pending_run {
            let why = "it could not be created in time";
            self.notes
                .push(events::missed(pending.scheduled_time.0, why));
        }
        self.drop_pending();
    }

    fn decided_up_to(&mut self, schedule: &Schedule, anchor: Timestamp, decided: Timestamp) {
        self.status.next_run = schedule.next(anchor, decided).map(Time);
    }

    /// The earliest time that may still be started.
    fn deadline(&self) -> Option<Timestamp> {
        let seconds = match (self.spec.catch_up, self.spec.deadline) {
            (CatchUpPolicy::None, given) => Some(given.unwrap_or(PUNCTUAL).min(PUNCTUAL)),
            (CatchUpPolicy::Latest | CatchUpPolicy::All, given) => given,
        };
        let seconds = SignedDuration::from_secs(seconds?);
        Some(self.now.checked_sub(seconds).unwrap_or(Timestamp::MIN))
    }

    fn way(&self) -> Way {
        match self.spec.concurrency {
            _ if !self.observed.is_busy() => Way::Free,
            ConcurrencyPolicy::Allow => Way::Free,
            ConcurrencyPolicy::Forbid => Way::Closed,
            ConcurrencyPolicy::Replace => Way::Clearing,
        }
    }

    /// Deletes what is live; the next run starts when nothing of it is left.
    fn make_way(&mut self) {
        self.waits = true;
        let observed = self.observed;
        let deleted: Vec<&Run> = observed.live().filter(|run| !run.deleting).collect();
        let known = |action: &Action| self.actions.contains(action);
        let actions: Vec<Action> = deleted.iter().map(|run| Action::delete(run)).collect();
        if actions.is_empty() || actions.iter().all(known) {
            return;
        }
        let names: Vec<&str> = deleted.iter().map(|run| run.name.as_str()).collect();
        self.notes.push(events::replaced(&names.join(", ")));
        self.actions.extend(actions);
    }

    fn is_pending_for_schedule(&self) -> bool {
        let pending = self.status.pending_run.as_ref();
        pending.is_some_and(|pending| pending.trigger.is_none())
    }

    /// Gives up a run that was not seen, which only a look at the API can tell.
    fn drop_pending(&mut self) {
        self.status.pending_run = None;
        self.basis = Basis::Live;
    }

    fn trim(&mut self) {
        let limits = self.spec.history;
        let last_run = self.status.last_run_name.as_deref();
        let (successful, excess) = history::trim(
            self.observed,
            RunState::Succeeded,
            limits.successful,
            last_run,
        );
        let (failed, more) =
            history::trim(self.observed, RunState::Failed, limits.failed, last_run);
        self.status.past_successful_run_names = successful;
        self.status.past_failed_run_names = failed;
        self.actions.extend(excess.into_iter().chain(more));
    }

    /// Only a run that the status has told of before is created, and only while its way is free: the
    /// policy may have changed, or another run may have come up, since it was decided on.
    fn create_pending(&mut self, before: &Status) {
        let Some(pending) = self.status.pending_run.clone() else {
            return;
        };
        self.waits = true;
        if before.pending_run.as_ref() != Some(&pending) {
            return;
        }
        self.basis = Basis::Live;
        match self.way() {
            Way::Free => self.actions.push(Action::CreateRun(pending)),
            Way::Clearing => self.make_way(),
            Way::Closed if self.spec.catch_up == CatchUpPolicy::All => {}
            Way::Closed => {
                self.notes
                    .push(events::skipped(&pending.name, &self.observed.busy_with()));
                self.drop_pending();
            }
        }
    }

    fn set_validated(&mut self, truth: Truth, reason: &str, message: &str) {
        let setting = Setting {
            kind: ConditionKind::Validated,
            truth,
            reason,
            message,
        };
        let generation = self.spec.generation;
        conditions::set(&mut self.status.conditions, setting, generation, self.now);
    }
}

/// Whether the next run may start.
enum Way {
    Free,
    /// An earlier run goes first, and the next one does not wait.
    Closed,
    /// An earlier run is to make way.
    Clearing,
}

/// Times in the precision of the API, so that a status read back equals the status written.
fn whole(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}
