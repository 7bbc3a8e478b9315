//! What a Job needs. Pure.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use windlass_engine::Kind;

use super::super::claiming::{Claimant, Keyed};
use super::super::conditions::{Conditions, Says, Times, count, status_step};
use super::super::keeper::{Plan, Said, Step, sooner, wait};
use super::super::replica_set::rank;
use super::super::shape;
use super::count::{self as counting, INDEX, Tally};
use super::{JOB, Job, Replacement, TRACKED, World, indexes, is_tracked, job_of, policy};
use crate::events::{Note, Severity};
use crate::life::Stage;
use crate::objects::Pod;

/// No pass makes or deletes more pods.
const BURST: usize = 500;
/// How long the replacement of a first failed pod waits, and of one after many.
const FIRST_PAUSE: SignedDuration = SignedDuration::from_secs(10);
const LAST_PAUSE: SignedDuration = SignedDuration::from_mins(10);

/// How a Job ends.
#[derive(Debug, Clone, PartialEq, Eq)]
struct End {
    outcome: Outcome,
    reason: String,
    message: String,
}

/// Whether it is a good end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Complete,
    Failed,
}

impl Outcome {
    /// The condition that says where the Job goes, while pods are still on their way.
    fn target(self) -> &'static str {
        match self {
            Self::Complete => "SuccessCriteriaMet",
            Self::Failed => "FailureTarget",
        }
    }

    /// The condition that says that all is over.
    fn over(self) -> &'static str {
        match self {
            Self::Complete => "Complete",
            Self::Failed => "Failed",
        }
    }
}

/// What the Job needs, or what a Job that is gone has left.
pub(super) fn plan(world: &World, now: Timestamp) -> Plan {
    let mut steps = strays(world);
    let Some(job) = world.job.as_deref().filter(|job| job.managed_here) else {
        return Plan { steps, again: None };
    };
    let claimant = claimant(world, job);
    let own = claimant.claim(&Kind::POD, &world.pods, |_, _| true, &mut steps);
    let conditions = Conditions::of(&job.status, Times::Probe);
    let over = [Outcome::Complete, Outcome::Failed]
        .into_iter()
        .find(|outcome| conditions.is_true(outcome.over()));
    if over.is_some() || job.meta.deleting {
        for (key, pod) in own.iter().filter(|(_, pod)| is_tracked(pod)) {
            steps.push(untrack(key, pod));
        }
        let again = match over {
            Some(outcome) if !job.meta.deleting => {
                expire(world, job, &conditions, outcome, now, &mut steps)
            }
            _ => None,
        };
        return Plan { steps, again };
    }
    let mut course = Course {
        world,
        job,
        claimant,
        tally: counting::tally(job, &own),
        own,
        conditions,
        started: started(job),
        now,
        again: None,
        before_status: steps,
        after_status: Vec::new(),
    };
    course.go();
    let mut steps = course.before_status;
    steps.extend(course.after_status);
    Plan {
        steps,
        again: course.again,
    }
}

fn claimant<'a>(world: &'a World, job: &'a Job) -> Claimant<'a> {
    Claimant {
        kind: JOB,
        name: &world.key.name,
        meta: &job.meta,
        matcher: &job.matcher,
    }
}

/// Pods whose Job is gone, or that were taken from it, are not kept for it.
fn strays(world: &World) -> Vec<Step> {
    let strays = world.pods.iter().filter(|(_, pod)| {
        if !is_tracked(pod) || job_of(pod) != Some(&*world.key.name) {
            return false;
        }
        match (&world.job, pod.meta.controller()) {
            (Some(job), Some(owner)) => owner.uid != job.meta.uid,
            (Some(job), None) => !job.matcher.matches(&pod.labels) || job.meta.deleting,
            (None, _) => true,
        }
    });
    strays.map(|(key, pod)| untrack(key, pod)).collect()
}

fn untrack(key: &windlass_engine::ObjectKey, pod: &Pod) -> Step {
    Step::Patch {
        kind: Kind::POD,
        name: Arc::clone(&key.name),
        patch: json!({"metadata": {
            "uid": pod.uid,
            "$deleteFromPrimitiveList/finalizers": [TRACKED],
        }}),
    }
}

/// Deletes a Job that has been over for long enough.
fn expire(
    world: &World,
    job: &Job,
    conditions: &Conditions,
    outcome: Outcome,
    now: Timestamp,
    steps: &mut Vec<Step>,
) -> Option<Duration> {
    let ttl = SignedDuration::from_secs(job.ttl?);
    let since = conditions.get(outcome.over())?["lastTransitionTime"].as_str()?;
    let expires = since.parse::<Timestamp>().ok()? + ttl;
    if now < expires {
        return Some(wait(now.duration_until(expires)));
    }
    steps.push(Step::Delete {
        kind: JOB,
        name: Arc::clone(&world.key.name),
        uid: job.meta.uid.clone(),
        said: None,
    });
    None
}

fn started(job: &Job) -> Option<Timestamp> {
    job.status["startTime"].as_str()?.parse().ok()
}

/// A pass over a Job that is not over.
struct Course<'a> {
    world: &'a World,
    job: &'a Job,
    claimant: Claimant<'a>,
    own: Vec<&'a Keyed<Pod>>,
    tally: Tally<'a>,
    conditions: Conditions,
    started: Option<Timestamp>,
    now: Timestamp,
    again: Option<Duration>,
    before_status: Vec<Step>,
    after_status: Vec<Step>,
}

impl<'a> Course<'a> {
    fn go(&mut self) {
        let resumes = !self.job.suspended && self.conditions.is_true("Suspended");
        if resumes {
            // The clock starts again.
            self.started = None;
        }
        if !self.job.suspended {
            self.started.get_or_insert(self.now);
        }
        let end = self.end();
        if let Some(end) = &end {
            self.say(end.outcome.target(), end);
            self.dismiss(end.outcome);
        } else {
            self.suspend_or_resume();
            self.provide();
        }
        // Only what the status names loses its finalizer.
        let ended = self.tally.ended.iter();
        self.after_status
            .extend(ended.map(|(key, pod)| untrack(key, pod)));
        let mut status = self.status();
        if let Some(end) = &end
            && self.tally.is_settled()
        {
            self.say(end.outcome.over(), end);
            if end.outcome == Outcome::Complete {
                status["completionTime"] = format!("{:.0}", self.now).into();
            }
            self.tell_end(end);
        }
        self.conditions.clone().put(&mut status);
        let step = status_step(&self.job.meta, &self.job.status, &status);
        self.before_status.extend(step);
    }

    /// How the Job ends, once that is certain.
    fn end(&mut self) -> Option<End> {
        for outcome in [Outcome::Failed, Outcome::Complete] {
            if let Some(known) = self.conditions.get(outcome.target())
                && known["status"] == "True"
            {
                let text = |field: &str| known[field].as_str().unwrap_or_default().to_owned();
                return Some(End {
                    outcome,
                    reason: text("reason"),
                    message: text("message"),
                });
            }
        }
        let end = |outcome: Outcome, reason: &str, message: String| {
            Some(End {
                outcome,
                reason: reason.to_owned(),
                message,
            })
        };
        if let Some(why) = &self.tally.fatal {
            return end(Outcome::Failed, "PodFailurePolicy", why.clone());
        }
        if self.tally.failed() > self.job.backoff_limit || self.restarts_are_too_many() {
            let message = "Job has reached the specified backoff limit".to_owned();
            return end(Outcome::Failed, "BackoffLimitExceeded", message);
        }
        if let (Some(deadline), Some(started), false) =
            (self.job.deadline, self.started, self.job.suspended)
        {
            let due = started + SignedDuration::from_secs(deadline);
            if due <= self.now {
                let message = "Job was active longer than specified deadline".to_owned();
                return end(Outcome::Failed, "DeadlineExceeded", message);
            }
            self.again = sooner(self.again, Some(wait(self.now.duration_until(due))));
        }
        if let Some(rule) = policy::enough(&self.job.success_policy, &self.tally.completed) {
            let message = format!("Matched rules at index {rule}");
            return end(Outcome::Complete, "SuccessPolicy", message);
        }
        let succeeded = self.tally.succeeded(self.job);
        let idle = self.tally.active.is_empty();
        let complete = match self.job.completions {
            Some(wanted) => succeeded >= wanted && (idle || wanted == 0),
            None => succeeded > 0 && idle,
        };
        let message = "Reached expected number of succeeded pods".to_owned();
        complete
            .then(|| end(Outcome::Complete, "CompletionsReached", message))
            .flatten()
    }

    /// Containers that are started again in their pod fail without the pod failing.
    fn restarts_are_too_many(&self) -> bool {
        let policy = self.job.template.pointer("/spec/restartPolicy");
        if policy.and_then(Value::as_str) != Some("OnFailure") {
            return false;
        }
        let restarts: u64 = self
            .tally
            .active
            .iter()
            .map(|(_, pod)| pod.life.restarts)
            .sum();
        let restarts = i64::try_from(restarts).unwrap_or(i64::MAX);
        match self.job.backoff_limit {
            0 => restarts > 0,
            limit => restarts >= limit,
        }
    }

    fn say(&mut self, kind: &str, end: &End) {
        let says = Says {
            kind,
            status: "True",
            reason: &end.reason,
            message: &end.message,
        };
        self.conditions.set(says, self.now);
    }

    fn tell_end(&mut self, end: &End) {
        let (severity, reason, text) = match end.outcome {
            Outcome::Complete => (Severity::Normal, "Completed", "Job completed".to_owned()),
            Outcome::Failed => {
                let reason = match end.reason.as_str() {
                    "BackoffLimitExceeded" => "BackoffLimitExceeded",
                    "DeadlineExceeded" => "DeadlineExceeded",
                    _ => "PodFailurePolicy",
                };
                (Severity::Warning, reason, end.message.clone())
            }
        };
        self.tell(severity, reason, text);
    }

    fn tell(&mut self, severity: Severity, reason: &'static str, text: String) {
        self.after_status.push(Step::Tell(Note {
            severity,
            reason,
            action: reason,
            text,
        }));
    }

    /// Ends what still runs when the Job is about to end. After a good end those pods do not count,
    /// after a bad one they count as failed.
    fn dismiss(&mut self, outcome: Outcome) {
        let active: Vec<_> = self.tally.active.clone();
        match outcome {
            Outcome::Complete => self.delete_uncounted(&active),
            Outcome::Failed => {
                for (key, pod) in active {
                    self.after_status.push(delete(key, pod));
                }
            }
        }
    }

    /// Deletes pods in a way that they do not count.
    fn delete_uncounted(&mut self, pods: &[&Keyed<Pod>]) {
        for (key, pod) in pods.iter().take(BURST) {
            if is_tracked(pod) {
                self.after_status.push(untrack(key, pod));
            }
            self.after_status.push(delete(key, pod));
        }
    }

    /// Says so where the Job was suspended or resumed.
    fn suspend_or_resume(&mut self) {
        let was = self.conditions.is_true("Suspended");
        let (status, reason, message, event) = match (self.job.suspended, was) {
            (true, false) => ("True", "JobSuspended", "Job suspended", "Suspended"),
            (false, true) => ("False", "JobResumed", "Job resumed", "Resumed"),
            _ => return,
        };
        let says = Says {
            kind: "Suspended",
            status,
            reason,
            message,
        };
        self.conditions.set(says, self.now);
        self.tell(Severity::Normal, event, message.to_owned());
    }

    /// Makes and deletes pods, so that as many are active as there should be.
    fn provide(&mut self) {
        let active = self.tally.active.clone();
        if self.job.suspended {
            return self.delete_uncounted(&active);
        }
        let succeeded = self.tally.succeeded(self.job);
        let count = active.len() as i64;
        let wanted = match self.job.completions {
            None if succeeded > 0 => count.min(self.job.parallelism),
            None => self.job.parallelism,
            Some(completions) => (completions - succeeded).clamp(0, self.job.parallelism),
        };
        let mut surplus = self.superfluous();
        let mut others: Vec<_> = rank::first_to_go(&active, self.now);
        others.retain(|(key, _)| !surplus.iter().any(|(known, _)| known == key));
        if self.job.indexed {
            others.sort_by_key(|(_, pod)| std::cmp::Reverse(counting::index(pod)));
        }
        let more = (count - surplus.len() as i64 - wanted).max(0);
        surplus.extend(others.into_iter().take(usize::try_from(more).unwrap_or(0)));
        if !surplus.is_empty() {
            return self.delete_uncounted(&surplus);
        }
        let leaving = match self.job.replacement {
            Replacement::Failed => self.tally.leaving.len() as i64,
            Replacement::Terminating => 0,
        };
        let missing = usize::try_from(wanted - count - leaving).unwrap_or(0);
        if missing == 0 {
            return;
        }
        if let Some(rest) = self.pause() {
            self.again = sooner(self.again, Some(wait(rest)));
            return;
        }
        self.make(missing.min(BURST));
    }

    /// Active pods of an index that is done, is nobody's, or has another pod.
    fn superfluous(&self) -> Vec<&'a Keyed<Pod>> {
        if !self.job.indexed {
            return Vec::new();
        }
        let mut taken = BTreeSet::new();
        let surplus = self.tally.active.iter().filter(|(_, pod)| {
            let index = counting::index(pod).filter(|index| {
                self.job.completions.is_none_or(|all| *index < all)
                    && !self.tally.completed.contains(index)
            });
            index.is_none_or(|index| !taken.insert(index))
        });
        surplus.copied().collect()
    }

    fn make(&mut self, missing: usize) {
        let owner = self.claimant.reference();
        if !self.job.indexed {
            for _ in 0..missing {
                let object = pod(
                    &self.world.key.name,
                    &self.job.template,
                    owner.clone(),
                    None,
                );
                self.after_status.push(create(object));
            }
            return;
        }
        let busy = self.tally.active.iter().chain(&self.tally.leaving);
        let busy: BTreeSet<i64> = busy
            .filter(|(_, pod)| !pod.deleting || self.job.replacement == Replacement::Failed)
            .filter_map(|(_, pod)| counting::index(pod))
            .collect();
        let free = (0..self.job.completions.unwrap_or(0))
            .filter(|index| !busy.contains(index) && !self.tally.completed.contains(index));
        for index in free.take(missing) {
            let name = &self.world.key.name;
            let object = pod(name, &self.job.template, owner.clone(), Some(index));
            self.after_status.push(create(object));
        }
    }

    /// How long to wait before another pod is made, after some have failed in a row.
    fn pause(&self) -> Option<SignedDuration> {
        let mut ends: Vec<(Timestamp, bool)> = self
            .own
            .iter()
            .filter(|(_, pod)| pod.life.has_ended())
            .map(|(_, pod)| {
                let created = pod.created.parse().ok();
                let at = pod.life.ended().or(created).unwrap_or(self.now);
                (at, pod.life.stage == Stage::Succeeded)
            })
            .collect();
        ends.sort_unstable();
        let in_a_row = ends.iter().rev().take_while(|(_, good)| !good).count();
        let (last, _) = ends.last().filter(|_| in_a_row > 0)?;
        let doublings = u32::try_from(in_a_row - 1).unwrap_or(u32::MAX).min(16);
        let pause = (FIRST_PAUSE * 2_i32.pow(doublings)).min(LAST_PAUSE);
        let until = *last + pause;
        (self.now < until).then(|| self.now.duration_until(until))
    }

    fn status(&self) -> Value {
        let tally = &self.tally;
        let (succeeded, failed) = tally.numbers(self.job);
        let ready = tally.active.iter().filter(|(_, pod)| pod.life.is_ready());
        let mut status = json!({
            "ready": ready.count(),
            "terminating": tally.leaving.len(),
            "uncountedTerminatedPods": {},
        });
        count(&mut status, "active", tally.active.len() as i64);
        count(&mut status, "succeeded", succeeded);
        count(&mut status, "failed", failed);
        for (field, uids) in [
            ("succeeded", &tally.uncounted_succeeded),
            ("failed", &tally.uncounted_failed),
        ] {
            if !uids.is_empty() {
                status["uncountedTerminatedPods"][field] = json!(uids);
            }
        }
        if !tally.completed.is_empty() {
            status["completedIndexes"] = indexes::write(&tally.completed).into();
        }
        if let Some(started) = self.started {
            status["startTime"] = format!("{started:.0}").into();
        }
        status
    }
}

fn delete(key: &windlass_engine::ObjectKey, pod: &Pod) -> Step {
    Step::Delete {
        kind: Kind::POD,
        name: Arc::clone(&key.name),
        uid: pod.uid.clone(),
        said: Some(Said {
            reason: "SuccessfulDelete",
            text: format!("Deleted pod: {}", key.name),
        }),
    }
}

fn create(object: Value) -> Step {
    Step::Create {
        kind: Kind::POD,
        object,
        said: Some(Said {
            reason: "SuccessfulCreate",
            text: "Created pod: {}".to_owned(),
        }),
    }
}

/// A pod of the Job, for an index where it is an indexed one.
fn pod(job: &str, template: &Value, owner: Value, index: Option<i64>) -> Value {
    const VARIABLE: &str = "JOB_COMPLETION_INDEX";
    let mut pod = shape::pod(template, owner);
    let metadata = &mut pod["metadata"];
    let mut finalizers = metadata["finalizers"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    finalizers.push(TRACKED.into());
    metadata["finalizers"] = finalizers.into();
    let Some(index) = index else {
        metadata["generateName"] = format!("{job}-").into();
        return pod;
    };
    metadata["generateName"] = format!("{job}-{index}-").into();
    metadata["labels"][INDEX] = index.to_string().into();
    metadata["annotations"][INDEX] = index.to_string().into();
    let spec = &mut pod["spec"];
    if spec.get("hostname").is_none() {
        spec["hostname"] = format!("{job}-{index}").into();
    }
    for list in ["containers", "initContainers"] {
        let containers = spec.get_mut(list).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            let known = container.get("env").and_then(Value::as_array).cloned();
            let mut env = known.unwrap_or_default();
            if !env.iter().any(|variable| variable["name"] == VARIABLE) {
                let path = format!("metadata.labels['{INDEX}']");
                env.push(json!({
                    "name": VARIABLE,
                    "valueFrom": {"fieldRef": {"fieldPath": path}},
                }));
                container["env"] = env.into();
            }
        }
    }
    pod
}
