//! ReplicaSets: as many pods of a template as are wanted, whichever they are.

pub(super) mod rank;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};
use windlass_engine::{Kind, ObjectKey};

use super::claiming::{Claimant, Keeping, Keyed, Owned, wake_keepers};
use super::conditions::{Conditions, Says, Times, count, status_step};
use super::keeper::{Plan, Said, Step, Workload, sooner, wait};
use super::shape;
use crate::api::{Api, CallError};
use crate::life::{Available, Matcher, Meta};
use crate::mirror::{Mirror, View, read_all, read_one};
use crate::objects::{Labels, Pod, field};
use crate::queue::Queue;

pub(super) const REPLICA_SET: Kind = Kind::namespaced("apps", "v1", "ReplicaSet", "replicasets");
/// No pass makes or deletes more pods, so that one large set does not hold up the others.
const BURST: usize = 500;

/// A ReplicaSet.
#[derive(Debug, Clone, Default)]
pub(super) struct ReplicaSet {
    pub(super) meta: Meta,
    pub(super) replicas: i64,
    pub(super) min_ready_seconds: i64,
    pub(super) matcher: Matcher,
    pub(super) template: Value,
    pub(super) status: Value,
}

impl View for ReplicaSet {
    const KIND: Kind = REPLICA_SET;

    fn read(object: Value) -> Result<Self, serde_json::Error> {
        Ok(Self {
            meta: Meta::read(&object)?,
            replicas: field::<Option<i64>>(&object, "/spec/replicas")?.unwrap_or(1),
            min_ready_seconds: field(&object, "/spec/minReadySeconds")?,
            matcher: Matcher::read(object.pointer("/spec/selector")),
            template: field(&object, "/spec/template")?,
            status: field(&object, "/status")?,
        })
    }
}

impl Owned for ReplicaSet {
    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn labels(&self) -> &Labels {
        &self.meta.labels
    }
}

impl ReplicaSet {
    /// A number of its status; absent is zero.
    pub(super) fn counted(&self, field: &str) -> i64 {
        self.status[field].as_i64().unwrap_or(0)
    }
}

/// A set and the pods of its namespace that are its own or could be.
pub(super) struct World {
    key: ObjectKey,
    set: Arc<ReplicaSet>,
    pods: Vec<Keyed<Pod>>,
}

/// Keeps ReplicaSets.
pub(super) struct ReplicaSets {
    sets: Arc<Mirror<ReplicaSet>>,
    pods: Arc<Mirror<Pod>>,
}

impl Keeping for ReplicaSet {
    fn matcher(&self) -> &Matcher {
        &self.matcher
    }
}

impl ReplicaSets {
    pub(super) fn new(sets: Arc<Mirror<ReplicaSet>>, pods: Arc<Mirror<Pod>>) -> Self {
        Self { sets, pods }
    }
}

impl Workload for ReplicaSets {
    const KIND: Kind = REPLICA_SET;
    const NAME: &'static str = "replicaset-controller";
    type World = World;

    async fn follow(&self, client: kube::Client) {
        Arc::clone(&self.sets).run(client).await;
    }

    async fn synced(&self) {
        self.sets.synced().await;
        self.pods.synced().await;
    }

    fn wake(&self, queue: &Arc<Queue<ObjectKey>>) {
        let wake = Arc::clone(queue);
        self.sets
            .listen(move |change| wake.push(change.key.clone()));
        let wake = Arc::clone(queue);
        let sets = Arc::clone(&self.sets);
        self.pods.listen(move |change| {
            for pod in [change.old, change.new].into_iter().flatten() {
                wake_keepers(&wake, &sets, change.key, pod);
            }
        });
    }

    fn seen(&self, key: &ObjectKey) -> Option<World> {
        let set = self.sets.get(key)?;
        let pods = self.pods.in_namespace(key.namespace.as_deref());
        Some(World {
            key: key.clone(),
            set,
            pods,
        })
    }

    async fn read(&self, api: &Api, key: &ObjectKey) -> Result<Option<World>, CallError> {
        let Some(set) = read_one::<ReplicaSet>(api, key).await? else {
            return Ok(None);
        };
        let pods = read_all::<Pod>(api, key.namespace.as_deref()).await?;
        Ok(Some(World {
            key: key.clone(),
            set,
            pods,
        }))
    }

    fn plan(world: &World, now: Timestamp) -> Plan {
        plan(world, now)
    }

    fn uid(world: &World) -> &str {
        &world.set.meta.uid
    }

    fn refused(world: &World, reason: &str, now: Timestamp) -> Vec<Step> {
        let own = world.claim(&mut Vec::new());
        let mut conditions = Conditions::of(&world.set.status, Times::Transition);
        conditions.set(
            Says {
                kind: "ReplicaFailure",
                status: "True",
                reason: "FailedCreate",
                message: reason,
            },
            now,
        );
        let (after, _) = status(&world.set, &own, conditions, now);
        let step = status_step(&world.set.meta, &world.set.status, &after);
        step.into_iter().collect()
    }
}

/// What the set needs.
fn plan(world: &World, now: Timestamp) -> Plan {
    let set = &world.set;
    let mut steps = Vec::new();
    let own = world.claim(&mut steps);
    let active = own.iter().filter(|(_, pod)| is_active(pod)).count() as i64;
    let surplus = active - set.replicas;
    let mut conditions = Conditions::of(&set.status, Times::Transition);
    if surplus == 0 || set.meta.deleting {
        conditions.remove("ReplicaFailure");
    }
    let (after, again) = status(set, &own, conditions, now);
    steps.extend(status_step(&set.meta, &set.status, &after));
    if set.meta.deleting {
        return Plan { steps, again };
    }
    if surplus < 0 {
        let claimant = world.claimant();
        for _ in 0..surplus.unsigned_abs().min(BURST as u64) {
            let mut object = shape::pod(&set.template, claimant.reference());
            object["metadata"]["generateName"] = format!("{}-", world.key.name).into();
            steps.push(Step::Create {
                kind: Kind::POD,
                object,
                said: Some(Said {
                    reason: "SuccessfulCreate",
                    text: "Created pod: {}".to_owned(),
                }),
            });
        }
    } else {
        let surplus = usize::try_from(surplus).unwrap_or(0).min(BURST);
        for (key, pod) in rank::first_to_go(&own, now).into_iter().take(surplus) {
            steps.push(Step::Delete {
                kind: Kind::POD,
                name: Arc::clone(&key.name),
                uid: pod.uid.clone(),
                said: Some(Said {
                    reason: "SuccessfulDelete",
                    text: format!("Deleted pod: {}", key.name),
                }),
            });
        }
    }
    Plan { steps, again }
}

/// Whether a pod counts: it has not ended and is not about to.
pub(super) fn is_active(pod: &Pod) -> bool {
    !pod.life.has_ended() && !pod.deleting
}

impl World {
    fn claimant(&self) -> Claimant<'_> {
        Claimant {
            kind: REPLICA_SET,
            name: &self.key.name,
            meta: &self.set.meta,
            matcher: &self.set.matcher,
        }
    }

    fn claim(&self, steps: &mut Vec<Step>) -> Vec<&Keyed<Pod>> {
        let alive = |_: &ObjectKey, pod: &Pod| !pod.life.has_ended();
        self.claimant().claim(&Kind::POD, &self.pods, alive, steps)
    }
}

/// The status as it should be, and when it changes by itself.
fn status(
    set: &ReplicaSet,
    own: &[&Keyed<Pod>],
    conditions: Conditions,
    now: Timestamp,
) -> (Value, Option<std::time::Duration>) {
    let wanted = set.template.pointer("/metadata/labels");
    let wanted: Labels = wanted
        .and_then(|labels| serde_json::from_value(labels.clone()).ok())
        .unwrap_or_default();
    let (mut replicas, mut labelled, mut ready, mut available) = (0, 0, 0, 0);
    let mut again = None;
    for (_, pod) in own {
        if !is_active(pod) {
            continue;
        }
        replicas += 1;
        let bears = |(label, value): (&String, &String)| pod.labels.get(label) == Some(value);
        if wanted.iter().all(bears) {
            labelled += 1;
        }
        if !pod.life.is_ready() {
            continue;
        }
        ready += 1;
        match pod.life.available(set.min_ready_seconds, now) {
            Available::Yes => available += 1,
            Available::No => {}
            Available::In(rest) => again = sooner(again, Some(wait(rest))),
        }
    }
    let mut status = json!({
        "replicas": replicas,
        "observedGeneration": set.meta.generation,
    });
    count(&mut status, "fullyLabeledReplicas", labelled);
    count(&mut status, "readyReplicas", ready);
    count(&mut status, "availableReplicas", available);
    conditions.put(&mut status);
    (status, again)
}
