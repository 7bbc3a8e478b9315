//! Counting the pods of a Job, each once. Pure.

use std::collections::BTreeSet;

use super::super::claiming::Keyed;
use super::policy::{self, Verdict};
use super::{Job, Replacement, indexes, is_tracked};
use crate::life::Stage;
use crate::objects::Pod;

/// The annotation and label that tell a pod its index.
pub(super) const INDEX: &str = "batch.kubernetes.io/job-completion-index";

/// What has become of the pods.
pub(super) struct Tally<'a> {
    /// Those that run or will.
    pub(super) active: Vec<&'a Keyed<Pod>>,
    /// Those that are about to go and have not ended.
    pub(super) leaving: Vec<&'a Keyed<Pod>>,
    /// Those that have ended and are kept by their finalizer.
    pub(super) ended: Vec<&'a Keyed<Pod>>,
    /// Numbers of pods that are counted for good.
    counted: Counted,
    /// Uids of pods that are named in the status, and become numbers when their finalizer is gone.
    pub(super) uncounted_succeeded: Vec<String>,
    pub(super) uncounted_failed: Vec<String>,
    /// The indexes that have succeeded.
    pub(super) completed: BTreeSet<i64>,
    /// Why the Job fails because of one of its pods.
    pub(super) fatal: Option<String>,
}

#[derive(Default)]
struct Counted {
    succeeded: i64,
    failed: i64,
}

/// The index a pod was made for.
pub(super) fn index(pod: &Pod) -> Option<i64> {
    pod.meta
        .annotation(INDEX)
        .or_else(|| pod.labels.get(INDEX).map(String::as_str))?
        .parse()
        .ok()
}

/// Whether a pod failed, or counts as if it had.
pub(super) fn has_failed(job: &Job, pod: &Pod) -> bool {
    match pod.life.stage {
        Stage::Failed => true,
        Stage::Succeeded => false,
        // No node will ever tell of the end of a pod that has none.
        _ => pod.deleting && (job.replacement == Replacement::Terminating || pod.node.is_none()),
    }
}

/// Counts from what the status says and what the pods are.
pub(super) fn tally<'a>(job: &Job, own: &[&'a Keyed<Pod>]) -> Tally<'a> {
    let number = |field: &str| job.status[field].as_i64().unwrap_or(0);
    let named = |field: &str| -> Vec<String> {
        let list = job.status["uncountedTerminatedPods"][field].as_array();
        let uids = list.into_iter().flatten().filter_map(|uid| uid.as_str());
        uids.map(str::to_owned).collect()
    };
    let completed = job.status["completedIndexes"].as_str();
    let mut tally = Tally {
        active: Vec::new(),
        leaving: Vec::new(),
        ended: Vec::new(),
        counted: Counted {
            succeeded: number("succeeded"),
            failed: number("failed"),
        },
        uncounted_succeeded: named("succeeded"),
        uncounted_failed: named("failed"),
        completed: indexes::read(completed.unwrap_or_default()),
        fatal: None,
    };
    tally.settle(own);
    for entry in own {
        tally.add(job, entry);
    }
    tally
}

impl<'a> Tally<'a> {
    /// Pods that are named in the status and not kept any more become numbers.
    fn settle(&mut self, own: &[&Keyed<Pod>]) {
        let kept = |uid: &String| {
            own.iter()
                .any(|(_, pod)| pod.uid == *uid && is_tracked(pod))
        };
        let sides = [
            (&mut self.uncounted_succeeded, &mut self.counted.succeeded),
            (&mut self.uncounted_failed, &mut self.counted.failed),
        ];
        for (uids, number) in sides {
            let before = uids.len();
            uids.retain(|uid| kept(uid));
            *number += (before - uids.len()) as i64;
        }
    }

    fn add(&mut self, job: &Job, entry: &'a Keyed<Pod>) {
        let (key, pod) = entry;
        let succeeded = pod.life.stage == Stage::Succeeded;
        let failed = has_failed(job, pod);
        if !pod.life.has_ended() {
            if !pod.deleting {
                self.active.push(entry);
            } else if pod.node.is_some() {
                self.leaving.push(entry);
            }
        }
        if !(succeeded || failed) || !is_tracked(pod) {
            return;
        }
        self.ended.push(entry);
        let index = index(pod).filter(|index| job.completions.is_none_or(|all| *index < all));
        if job.indexed && index.is_none() {
            return;
        }
        if succeeded {
            match index.filter(|_| job.indexed) {
                Some(index) => {
                    self.completed.insert(index);
                }
                None => name(&mut self.uncounted_succeeded, &pod.uid),
            }
            return;
        }
        match policy::judge(&job.failure_policy, key, pod) {
            Verdict::Ignored => return,
            Verdict::Counts => {}
            Verdict::Fatal(why) => {
                self.fatal.get_or_insert(why);
            }
        }
        name(&mut self.uncounted_failed, &pod.uid);
    }

    pub(super) fn succeeded(&self, job: &Job) -> i64 {
        if job.indexed {
            return self.completed.len() as i64;
        }
        self.counted.succeeded + self.uncounted_succeeded.len() as i64
    }

    pub(super) fn failed(&self) -> i64 {
        self.counted.failed + self.uncounted_failed.len() as i64
    }

    /// The numbers as the status gives them.
    pub(super) fn numbers(&self, job: &Job) -> (i64, i64) {
        let succeeded = if job.indexed {
            self.completed.len() as i64
        } else {
            self.counted.succeeded
        };
        (succeeded, self.counted.failed)
    }

    /// Whether every pod that ended is a number, and no other is left.
    pub(super) fn is_settled(&self) -> bool {
        self.active.is_empty()
            && self.leaving.is_empty()
            && self.ended.is_empty()
            && self.uncounted_succeeded.is_empty()
            && self.uncounted_failed.is_empty()
    }
}

fn name(uids: &mut Vec<String>, uid: &str) {
    if !uids.iter().any(|known| known == uid) {
        uids.push(uid.to_owned());
    }
}
