//! One member: what is written on its pod, and which hook it is asked to run next.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use windlass_engine::plan::EventNote;

use super::super::hooks::{Hook, HookKey, HookState, Outcome, Report};
use super::super::marks::{Call, ConfigError, DrainOutcome, Drained, Pending, PodMarks, SetUp};
use super::super::membership::Told;
use super::super::notify::{Next, Roster, next};
use super::super::observed::ObservedPod;
use super::super::resize::{RoleView, Stage};
use super::super::state::Place;
use super::{Planner, Truth};

/// When to ask again for a hook that had not ended.
pub(super) const ASK_AGAIN: SignedDuration = SignedDuration::from_secs(1);
/// When to try again what was not possible.
const TRY_AGAIN: SignedDuration = SignedDuration::from_secs(5);
/// The longest pause before a hook that failed is run again.
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_mins(5);
/// How much of what went wrong is written on a pod, in characters.
const DETAIL_MAX: usize = 300;

/// What there is to know about a hook.
enum Asked<'o> {
    /// It has an answer.
    Answer(&'o Outcome),
    /// It is waited for, or will be tried again.
    Waiting,
}

impl<'a> Planner<'a> {
    /// All pods, and the hooks that run in them.
    pub(super) fn members(&mut self, truth: &Truth, roster: &Roster) {
        for view in self.views.clone() {
            for pod in view.pods.values().copied() {
                let marks = self.member(&view, pod, truth, roster);
                let target = self.reference("v1", "Pod", &pod.object.name);
                let patch = pod.marks.patch(target, &pod.object.uid, &marks);
                self.effects.extend(patch);
            }
        }
    }

    /// What is to be written on a pod.
    fn member(
        &mut self,
        view: &RoleView<'a>,
        pod: &'a ObservedPod,
        truth: &Truth,
        roster: &Roster,
    ) -> PodMarks {
        let mut marks = pod.marks.clone();
        let place = view.place(pod.ordinal, self.is_released(view));
        self.mark_leaving(view, pod, &mut marks);
        self.follow_copy(view, pod);
        let id = match pod.container.id() {
            Some(id) if pod.container.runs() && !pod.deleting => id,
            _ => return marks,
        };
        let may_be_set_up = match place {
            Place::Staying => true,
            Place::Leaving => view.is_needed_up(pod.ordinal),
            Place::Gone => false,
        };
        match (place, pod.marks.set_up(id)) {
            (_, SetUp::Open) if may_be_set_up => self.set_up(view, pod, id, truth, &mut marks),
            (Place::Staying, SetUp::Done) => {
                self.keep_informed(view, pod, id, truth, roster, &mut marks);
            }
            (Place::Leaving, SetUp::Done) => self.drain(view, pod, id, &mut marks),
            _ => {}
        }
        marks
    }

    /// Asks a member whose directories are copied how far that is. The answer comes when it is further than
    /// the status says, so that nobody asks in vain.
    fn follow_copy(&mut self, view: &RoleView<'a>, pod: &'a ObservedPod) {
        let Some(id) = pod.init_container.as_deref().filter(|_| !pod.deleting) else {
            return;
        };
        let name = &pod.object.name;
        let before = self.before.roles.iter().flat_map(|role| &role.members);
        let known = before
            .filter(|member| member.pod == *name)
            .find_map(|member| member.state_detail.storage_init_progress.clone())
            .unwrap_or_default();
        let asked = self.known(pod, id, |hook| matches!(hook, Hook::Progress { .. }));
        let hook = match asked {
            Some((key, _)) => key.hook.clone(),
            None => Hook::Progress {
                known: known.clone(),
            },
        };
        let text = match self.ask(key(view, pod, id, hook)) {
            Asked::Answer(Outcome::Copying { text }) => {
                self.wake_in(ASK_AGAIN);
                text.clone()
            }
            // It is no trouble that nobody knows how far it is.
            Asked::Answer(_) => {
                self.wake_in(TRY_AGAIN);
                known
            }
            Asked::Waiting => known,
        };
        if !text.is_empty() {
            self.copies.insert(name.as_str(), text);
        }
    }

    fn mark_leaving(&mut self, view: &RoleView<'a>, pod: &ObservedPod, marks: &mut PodMarks) {
        let Some(leaver) = view.leavers.get(&pod.ordinal) else {
            if marks.leaving.take().is_some() {
                marks.drained = None;
            }
            return;
        };
        if pod.ordinal < view.current || leaver.since.is_some() {
            marks.leaving = Some(leaver.since.unwrap_or(self.now));
        }
        match leaver.stage {
            Stage::Draining { until } if until > self.now => self.wake(until),
            // Held back: its time is over, and it is asked for on and on.
            Stage::Draining { until } if marks.drained.is_none() => self.is_late(pod, until, marks),
            Stage::Draining { .. } => {}
            Stage::Drained { at } => {
                let has_time = leaver.since.is_some_and(|since| since < at);
                if marks.drained.is_none() && has_time {
                    self.is_late(pod, at, marks);
                }
            }
        }
    }

    fn is_late(&mut self, pod: &ObservedPod, at: Timestamp, marks: &mut PodMarks) {
        marks.drained = Some(Drained {
            at,
            outcome: DrainOutcome::Late,
            detail: String::new(),
            failures: 0,
        });
        let note = format!(
            "{} has not done in time what it does before it goes",
            pod.object.name
        );
        self.events
            .push(EventNote::warning("DrainTimedOut", "Drain", note));
    }

    /// Sets a member up in this container.
    fn set_up(
        &mut self,
        view: &RoleView<'a>,
        pod: &'a ObservedPod,
        id: &str,
        truth: &Truth,
        marks: &mut PodMarks,
    ) {
        // What is on its way is waited for, though there may be a later configmeta.json by now.
        let known = self.known(pod, id, |hook| matches!(hook, Hook::SetUp { .. }));
        let generation = truth.told.generation;
        let hook = match known {
            Some((key, _)) => key.hook.clone(),
            None if truth.is_delivered => Hook::SetUp { generation },
            None => return,
        };
        let key = key(view, pod, id, hook.clone());
        let failed = |detail: String, report: &Report| ConfigError {
            container: id.to_owned(),
            detail,
            stdout: report.stdout.clone(),
            stderr: report.stderr.clone(),
        };
        let told = match self.ask(key) {
            Asked::Waiting => return,
            Asked::Answer(Outcome::Ended(report)) if report.code == 0 => {
                report.memo.parse().unwrap_or_else(|_| truth.told.clone())
            }
            Asked::Answer(Outcome::Restored { memo }) => {
                memo.parse().unwrap_or_else(|_| truth.told.clone())
            }
            // Nothing was called, so nothing says what was mounted but the version it was asked for.
            Asked::Answer(Outcome::Fine) if hook == (Hook::SetUp { generation }) => {
                truth.told.clone()
            }
            Asked::Answer(Outcome::Fine) => {
                self.wake_in(ASK_AGAIN);
                return;
            }
            Asked::Answer(Outcome::Ended(report)) => {
                let detail = format!("startscript --configure ended with {}", report.code);
                marks.error = Some(failed(detail, report));
                marks.trouble = None;
                return;
            }
            Asked::Answer(Outcome::Wrong { detail }) => {
                marks.error = Some(failed(short(detail), &Report::default()));
                marks.trouble = None;
                return;
            }
            Asked::Answer(Outcome::Later { detail }) => {
                marks.trouble = Some(short(detail));
                self.wake_in(TRY_AGAIN);
                return;
            }
            Asked::Answer(Outcome::Unfinished | Outcome::Copying { .. }) => return,
        };
        marks.configured = Some(id.to_owned());
        marks.meta_generation = told.generation;
        marks.told = Some(told);
        marks.pending = None;
        marks.error = None;
        marks.trouble = None;
    }

    /// Tells a member what it does not know.
    fn keep_informed(
        &mut self,
        view: &RoleView<'a>,
        pod: &'a ObservedPod,
        id: &str,
        truth: &Truth,
        roster: &Roster,
        marks: &mut PodMarks,
    ) {
        let told = marks.told.clone().unwrap_or_else(|| truth.told.clone());
        if marks.told.is_none() {
            // Somebody took it away; what it has been told is what is mounted.
            marks.told = Some(told);
            return;
        }
        match marks.pending.clone() {
            Some(pending) if pending.container == id => {
                self.notify(view, pod, id, truth, &told, pending, marks);
            }
            Some(_) => marks.pending = None,
            // Who is there is said of what is mounted.
            None if !truth.is_delivered => {}
            None => match next(view.role, &told, roster) {
                Next::Silently(told) => marks.told = Some(told),
                Next::Call(call) => {
                    marks.hooks += 1;
                    marks.pending = Some(Pending {
                        container: id.to_owned(),
                        number: marks.hooks,
                        failures: 0,
                        failed_at: None,
                        detail: String::new(),
                        call,
                    });
                }
                Next::Nothing => self.refresh(view, pod, id, truth, marks),
            },
        }
    }

    /// Runs the hook that was decided on.
    #[expect(clippy::too_many_arguments, reason = "all that a hook is about")]
    fn notify(
        &mut self,
        view: &RoleView<'a>,
        pod: &'a ObservedPod,
        id: &str,
        truth: &Truth,
        told: &Told,
        pending: Pending,
        marks: &mut PodMarks,
    ) {
        if let Some(at) = pending.failed_at {
            let pause = pause(pending.failures);
            let again = at.checked_add(pause).unwrap_or(Timestamp::MAX);
            if again > self.now {
                self.wake(again);
                return;
            }
        }
        let after = pending.call.applied_to(told);
        let is_this = |hook: &Hook| match hook {
            Hook::Notify {
                number, failures, ..
            } => (*number, *failures) == (pending.number, pending.failures),
            _ => false,
        };
        let hook = match self.known(pod, id, is_this) {
            Some((key, _)) => key.hook.clone(),
            None if truth.is_delivered => Hook::Notify {
                generation: truth.told.generation,
                number: pending.number,
                failures: pending.failures,
                call: pending.call.clone(),
                fqdns: self.fqdns(&pending.call),
                memo: after.to_string(),
            },
            None => return,
        };
        let generation = match &hook {
            Hook::Notify { generation, .. } => *generation,
            _ => 0,
        };
        let detail = match self.ask(key(view, pod, id, hook)) {
            Asked::Waiting | Asked::Answer(Outcome::Unfinished | Outcome::Copying { .. }) => return,
            Asked::Answer(Outcome::Later { .. }) => {
                self.wake_in(TRY_AGAIN);
                return;
            }
            Asked::Answer(Outcome::Ended(report)) if report.code != 0 => {
                let output = short(report.stderr.trim());
                format!(
                    "{} ended with {}: {output}",
                    words(&pending.call),
                    report.code
                )
            }
            Asked::Answer(Outcome::Wrong { detail }) => short(detail),
            Asked::Answer(Outcome::Ended(_) | Outcome::Restored { .. } | Outcome::Fine) => {
                marks.told = Some(after);
                marks.pending = None;
                marks.meta_generation = marks.meta_generation.max(generation);
                return;
            }
        };
        self.events.push(EventNote::warning(
            "MemberNotTold",
            "Notify",
            format!("{}: {detail}", pod.object.name),
        ));
        marks.pending = Some(Pending {
            failures: pending.failures.saturating_add(1),
            failed_at: Some(self.now),
            detail,
            ..pending
        });
    }

    /// Gives a member the configmeta.json of today.
    fn refresh(
        &mut self,
        view: &RoleView<'a>,
        pod: &'a ObservedPod,
        id: &str,
        truth: &Truth,
        marks: &mut PodMarks,
    ) {
        let generation = truth.told.generation;
        if marks.meta_generation >= generation {
            return;
        }
        let hook = Hook::Refresh { generation };
        match self.ask(key(view, pod, id, hook)) {
            Asked::Waiting => {}
            Asked::Answer(Outcome::Fine) => marks.meta_generation = generation,
            Asked::Answer(_) => self.wake_in(TRY_AGAIN),
        }
    }

    /// Lets a member do what it does before it goes.
    fn drain(&mut self, view: &RoleView<'a>, pod: &'a ObservedPod, id: &str, marks: &mut PodMarks) {
        let Some(leaver) = view.leavers.get(&pod.ordinal) else {
            return;
        };
        // The mark comes first: what has begun to drain does not stay.
        if !leaver.marked || !view.is_needed_up(pod.ordinal) {
            return;
        }
        let before = pod.marks.drained.as_ref();
        let failures = before.map_or(0, |drained| drained.failures);
        if let Some(drained) = before.filter(|drained| drained.outcome == DrainOutcome::Failed) {
            let again = drained.at.checked_add(pause(failures));
            let again = again.unwrap_or(Timestamp::MAX);
            if again > self.now {
                self.wake(again);
            } else {
                // From now on nobody knows what it does to the member.
                marks.drained = Some(Drained {
                    outcome: DrainOutcome::Again,
                    ..drained.clone()
                });
            }
            return;
        }
        let name = &pod.object.name;
        let detail = match self.ask(key(view, pod, id, Hook::Drain { failures })) {
            Asked::Waiting | Asked::Answer(Outcome::Unfinished | Outcome::Copying { .. }) => return,
            Asked::Answer(Outcome::Later { .. }) => {
                self.wake_in(TRY_AGAIN);
                return;
            }
            Asked::Answer(Outcome::Ended(report)) if report.code != 0 => {
                format!(
                    "ended with {}: {}",
                    report.code,
                    short(report.stderr.trim())
                )
            }
            Asked::Answer(Outcome::Wrong { detail }) => short(detail),
            Asked::Answer(Outcome::Ended(_) | Outcome::Restored { .. } | Outcome::Fine) => {
                let note = format!("{name} has done what it does before it goes");
                self.events
                    .push(EventNote::normal("MemberDrained", "Drain", note));
                marks.drained = Some(Drained {
                    at: self.now,
                    outcome: DrainOutcome::Done,
                    detail: String::new(),
                    failures,
                });
                return;
            }
        };
        let note = format!("{name} could not do what it does before it goes: {detail}");
        self.events
            .push(EventNote::warning("DrainFailed", "Drain", note));
        marks.drained = Some(Drained {
            at: self.now,
            outcome: DrainOutcome::Failed,
            detail,
            failures: failures.saturating_add(1),
        });
    }

    /// A hook of a container that is known already.
    fn known(
        &self,
        pod: &ObservedPod,
        id: &str,
        is_it: impl Fn(&Hook) -> bool,
    ) -> Option<(&'a HookKey, &'a HookState)> {
        let mut hooks = self.observed.hooks.iter();
        hooks.find(|(key, _)| key.uid == pod.object.uid && key.container == id && is_it(&key.hook))
    }

    /// The answer of a hook. One that nobody has asked for is asked for; one whose answer was seen is
    /// not, so that it can be asked for anew.
    fn ask(&mut self, key: HookKey) -> Asked<'a> {
        match self.observed.hooks.get(&key) {
            Some(HookState::Over(outcome)) => {
                if *outcome == Outcome::Unfinished {
                    self.wake_in(ASK_AGAIN);
                }
                Asked::Answer(outcome)
            }
            Some(HookState::Running) | None => {
                self.hooks.push(key.to_text());
                Asked::Waiting
            }
        }
    }

    /// The full names of the members that a call speaks of.
    pub(super) fn fqdns(&self, call: &Call) -> Vec<String> {
        let (role, members): (&str, &BTreeSet<u32>) = match call {
            Call::AddNodes { role, members } | Call::DelNodes { role, members } => (role, members),
            Call::Reconnect { .. } => return Vec::new(),
        };
        let members = members.iter();
        members
            .map(|ordinal| self.domain.fqdn(&self.names.pod(role, *ordinal)))
            .collect()
    }
}

fn key(view: &RoleView<'_>, pod: &ObservedPod, id: &str, hook: Hook) -> HookKey {
    HookKey {
        pod: pod.object.name.clone(),
        uid: pod.object.uid.clone(),
        container: id.to_owned(),
        role: view.role.id.clone(),
        hook,
    }
}

/// How long to wait after so many failures: 5 s, 10 s, 20 s, up to 5 minutes.
fn pause(failures: u32) -> SignedDuration {
    let doubled = 1_i64 << failures.saturating_sub(1).min(10);
    SignedDuration::from_secs(5 * doubled).min(LONGEST_PAUSE)
}

fn words(call: &Call) -> &'static str {
    match call {
        Call::AddNodes { .. } => "startscript --addnodes",
        Call::DelNodes { .. } => "startscript --delnodes",
        Call::Reconnect { .. } => "startscript --reconnect",
    }
}

/// The beginning of a text.
fn short(text: &str) -> String {
    text.chars().take(DETAIL_MAX).collect()
}
