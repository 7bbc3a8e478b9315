//! Which pods of a set come and go. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::claiming::Keyed;
use super::super::conditions::{Conditions, Times, count, status_step};
use super::super::keeper::{Plan, Said, Step, sooner, wait};
use super::super::shape::Rounding;
use super::identity::{self, POD, POD_REVISION, Wanted};
use super::revisions::{self, Named, Revisions};
use super::{Order, StatefulSet, Update, World};
use crate::life::Available;
use crate::objects::Pod;

/// Whether there is more to do in this pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// The next pod may be looked at.
    Goes,
    /// Something has to happen first.
    Waits,
}

/// What is known of the pods of a set.
struct Pods<'a> {
    world: &'a World,
    set: &'a StatefulSet,
    revisions: &'a Revisions<'a>,
    by_ordinal: BTreeMap<i64, &'a Keyed<Pod>>,
    now: Timestamp,
}

/// What the set needs.
pub(super) fn plan(world: &World, now: Timestamp) -> Plan {
    let set = &*world.set;
    let mut steps = Vec::new();
    let name = &*world.key.name;
    let is_member =
        |key: &windlass_engine::ObjectKey, _: &Pod| identity::ordinal(name, &key.name).is_some();
    let own = world
        .claimant()
        .claim(&POD, &world.pods, is_member, &mut steps);
    let by_ordinal = own
        .into_iter()
        .filter_map(|entry| Some((identity::ordinal(name, &entry.0.name)?, entry)))
        .collect();
    if set.meta.deleting {
        return Plan { steps, again: None };
    }
    let revisions = match revisions::find(world, &mut steps) {
        Ok(revisions) => revisions,
        Err(collisions) => {
            let mut after = set.status.clone();
            after["collisionCount"] = collisions.into();
            steps.extend(status_step(&set.meta, &set.status, &after));
            return Plan { steps, again: None };
        }
    };
    let pods = Pods {
        world,
        set,
        revisions: &revisions,
        by_ordinal,
        now,
    };
    let status = pods.status();
    steps.extend(status_step(&set.meta, &set.status, &status));
    pods.work(&mut steps);
    let in_use: BTreeSet<&str> = pods
        .by_ordinal
        .values()
        .filter_map(|(_, pod)| pod.labels.get(POD_REVISION).map(String::as_str))
        .collect();
    steps.extend(revisions.forget(set.history, &in_use));
    Plan {
        steps,
        again: pods.again(),
    }
}

impl Pods<'_> {
    fn wanted(&self) -> std::ops::Range<i64> {
        self.set.start..self.set.start + self.set.replicas
    }

    /// Goes through the pods in their order for as long as none of them has to be waited for.
    fn work(&self, steps: &mut Vec<Step>) {
        for ordinal in self.wanted() {
            if self.provide(ordinal, steps) == Turn::Waits && self.set.order == Order::OneByOne {
                return;
            }
        }
        let condemned: Vec<i64> = self
            .by_ordinal
            .keys()
            .rev()
            .filter(|ordinal| !self.wanted().contains(ordinal))
            .copied()
            .collect();
        let weakest = condemned
            .iter()
            .rev()
            .find(|ordinal| !self.is_available(**ordinal))
            .copied();
        for ordinal in condemned {
            if self.condemn(ordinal, weakest, steps) == Turn::Waits
                && self.set.order == Order::OneByOne
            {
                return;
            }
        }
        self.renew(steps);
    }

    /// Sees to it that there is a pod of the ordinal, and that it is as it should be.
    fn provide(&self, ordinal: i64, steps: &mut Vec<Step>) -> Turn {
        let Some((key, pod)) = self.by_ordinal.get(&ordinal) else {
            self.make(ordinal, steps);
            return Turn::Waits;
        };
        if pod.life.has_ended() {
            if !pod.deleting {
                self.delete(ordinal, steps);
            }
            return Turn::Waits;
        }
        if !pod.deleting {
            if let Some(missing) = identity::missing_claims(self.world, ordinal) {
                steps.extend(missing);
            }
            steps.extend(identity::retain_claims(
                self.world,
                pod,
                ordinal,
                Wanted::Yes,
            ));
            if let Some(labels) = identity::missing_labels(&self.world.key.name, pod, ordinal) {
                steps.push(Step::Patch {
                    kind: POD,
                    name: Arc::clone(&key.name),
                    patch: json!({"metadata": {"uid": pod.uid, "labels": labels}}),
                });
            }
        }
        if self.is_available(ordinal) {
            Turn::Goes
        } else {
            Turn::Waits
        }
    }

    fn make(&self, ordinal: i64, steps: &mut Vec<Step>) {
        let name = identity::pod_name(&self.world.key.name, ordinal);
        // A pod of that name which is somebody else's is in the way.
        if self.world.pods.iter().any(|(key, _)| *key.name == *name) {
            return;
        }
        let Some(claims) = identity::missing_claims(self.world, ordinal) else {
            return;
        };
        steps.extend(claims);
        let of = self.revision_for(ordinal);
        steps.push(Step::Create {
            kind: POD,
            object: identity::pod(self.world, &of.template, &of.name, ordinal),
            said: Some(Said {
                reason: "SuccessfulCreate",
                text: format!(
                    "create Pod {name} in StatefulSet {} successful",
                    self.world.key.name
                ),
            }),
        });
    }

    /// A pod below the partition is still made of the old template.
    fn revision_for(&self, ordinal: i64) -> &Named {
        let index = ordinal - self.set.start;
        let old = match self.set.update {
            Update::OnDelete => 0,
            Update::Rolling {
                partition: Some(partition),
                ..
            } => partition,
            Update::Rolling {
                partition: None, ..
            } => self.set.status["currentReplicas"].as_i64().unwrap_or(0),
        };
        if index < old {
            &self.revisions.current
        } else {
            &self.revisions.update
        }
    }

    fn delete(&self, ordinal: i64, steps: &mut Vec<Step>) {
        if let Some((key, pod)) = self.by_ordinal.get(&ordinal) {
            steps.push(Step::Delete {
                kind: POD,
                name: Arc::clone(&key.name),
                uid: pod.uid.clone(),
                said: Some(Said {
                    reason: "SuccessfulDelete",
                    text: format!(
                        "delete Pod {} in StatefulSet {} successful",
                        key.name, self.world.key.name
                    ),
                }),
            });
        }
    }

    /// Takes away a pod that is not wanted any more. One by one, a pod that is not available holds
    /// up the rest, unless it is the one that holds up all others.
    fn condemn(&self, ordinal: i64, weakest: Option<i64>, steps: &mut Vec<Step>) -> Turn {
        let Some((_, pod)) = self.by_ordinal.get(&ordinal) else {
            return Turn::Goes;
        };
        if pod.deleting {
            return Turn::Waits;
        }
        let one_by_one = self.set.order == Order::OneByOne;
        if one_by_one && !self.is_available(ordinal) && weakest != Some(ordinal) {
            return Turn::Waits;
        }
        steps.extend(identity::retain_claims(
            self.world,
            pod,
            ordinal,
            Wanted::NoMore,
        ));
        self.delete(ordinal, steps);
        Turn::Waits
    }

    /// Replaces pods of an old revision, from the last one down, as many at a time as may be
    /// unavailable.
    fn renew(&self, steps: &mut Vec<Step>) {
        let Update::Rolling {
            partition,
            max_unavailable,
        } = self.set.update
        else {
            return;
        };
        let most = max_unavailable.map_or(1, |most| most.of(self.set.replicas, Rounding::Down));
        let most = most.max(1);
        let unavailable = |ordinals: std::ops::Range<i64>| {
            let gone = ordinals.filter(|ordinal| !self.is_available(*ordinal));
            gone.count() as i64
        };
        let mut gone = match most {
            // Only those above hold up a pod that is replaced by itself.
            1 => 0,
            _ => unavailable(self.wanted()),
        };
        let first = self.set.start + partition.unwrap_or(0);
        for ordinal in self.wanted().rev().filter(|ordinal| *ordinal >= first) {
            let Some((_, pod)) = self.by_ordinal.get(&ordinal) else {
                return;
            };
            let available = self.is_available(ordinal);
            let old = pod.labels.get(POD_REVISION) != Some(&self.revisions.update.name);
            if old && !pod.deleting {
                let costs = i64::from(available || most == 1);
                if gone + costs > most {
                    return;
                }
                self.delete(ordinal, steps);
                gone += costs;
            } else if !available && most == 1 {
                return;
            }
        }
    }

    fn is_available(&self, ordinal: i64) -> bool {
        self.by_ordinal.get(&ordinal).is_some_and(|(_, pod)| {
            let seconds = self.set.min_ready_seconds;
            pod.life.runs()
                && !pod.deleting
                && pod.life.available(seconds, self.now) == Available::Yes
        })
    }

    fn status(&self) -> Value {
        let set = self.set;
        let (mut replicas, mut ready, mut available) = (0, 0, 0);
        let (mut current, mut updated) = (0, 0);
        for (ordinal, (_, pod)) in &self.by_ordinal {
            replicas += 1;
            ready += i64::from(pod.life.runs());
            available += i64::from(self.is_available(*ordinal));
            if !pod.deleting {
                let revision = pod.labels.get(POD_REVISION);
                current += i64::from(revision == Some(&self.revisions.current.name));
                updated += i64::from(revision == Some(&self.revisions.update.name));
            }
        }
        let mut current_revision = &self.revisions.current.name;
        let update_revision = &self.revisions.update.name;
        let rolls = matches!(set.update, Update::Rolling { .. });
        // All pods are new and ready: what was the new revision is the current one from now on.
        if rolls
            && updated == set.replicas
            && ready == set.replicas
            && replicas == set.replicas
            && current_revision != update_revision
        {
            current_revision = update_revision;
            current = updated;
        }
        let mut status = json!({
            "observedGeneration": set.meta.generation,
            "replicas": replicas,
            "availableReplicas": available,
            "currentRevision": current_revision,
            "updateRevision": update_revision,
            "collisionCount": self.revisions.collisions,
        });
        count(&mut status, "readyReplicas", ready);
        count(&mut status, "currentReplicas", current);
        count(&mut status, "updatedReplicas", updated);
        Conditions::of(&set.status, Times::Transition).put(&mut status);
        status
    }

    /// When the next pod becomes available by itself.
    fn again(&self) -> Option<Duration> {
        let rests = self.by_ordinal.values().map(|(_, pod)| {
            match pod.life.available(self.set.min_ready_seconds, self.now) {
                Available::In(rest) => Some(wait(rest)),
                Available::Yes | Available::No => None,
            }
        });
        rests.fold(None, sooner)
    }
}
