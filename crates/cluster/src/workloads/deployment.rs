//! Deployments: one ReplicaSet per revision of a template, and the way from one to the next.
//!
//! A pass brings a rollout one stage further: the next stage begins when the status of the sets
//! shows what the last one did. Which set is how large is decided in [`rollout`]; what the world is
//! told in [`status`].

mod revision;
mod rollout;
mod status;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;
use windlass_engine::{Kind, ObjectKey};

use super::beside;
use super::claiming::Keyed;
use super::keeper::{Plan, Workload};
use super::replica_set::ReplicaSet;
use super::shape::{Amount, Rounding};
use crate::api::{Api, CallError};
use crate::life::{Matcher, Meta};
use crate::mirror::{Mirror, View, read_all, read_one};
use crate::objects::{Pod, field, text};
use crate::queue::Queue;

const DEPLOYMENT: Kind = Kind::namespaced("apps", "v1", "Deployment", "deployments");

/// A Deployment.
#[derive(Debug, Clone, Default)]
pub(super) struct Deployment {
    pub(super) meta: Meta,
    pub(super) replicas: i64,
    min_ready_seconds: i64,
    matcher: Matcher,
    selector: Value,
    template: Value,
    paused: bool,
    strategy: Strategy,
    /// How many sets of old revisions are kept.
    history: Option<i64>,
    /// The seconds a rollout may take without any progress.
    deadline: Option<i64>,
    status: Value,
}

/// How the pods of the old revision give way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Strategy {
    /// All of them first.
    #[default]
    Recreate,
    /// By and by.
    Rolling {
        max_surge: Option<Amount>,
        max_unavailable: Option<Amount>,
    },
}

impl View for Deployment {
    const KIND: Kind = DEPLOYMENT;

    fn read(object: Value) -> Result<Self, serde_json::Error> {
        let amount = |field: &str| {
            let pointer = format!("/spec/strategy/rollingUpdate/{field}");
            Amount::read(object.pointer(&pointer))
        };
        let strategy = match text(&object, "/spec/strategy/type").as_deref() {
            Some("Recreate") => Strategy::Recreate,
            _ => Strategy::Rolling {
                max_surge: amount("maxSurge"),
                max_unavailable: amount("maxUnavailable"),
            },
        };
        // The largest number stands for none.
        let bounded = |number: Option<i64>| number.filter(|number| *number != i64::from(i32::MAX));
        Ok(Self {
            meta: Meta::read(&object)?,
            replicas: field::<Option<i64>>(&object, "/spec/replicas")?.unwrap_or(1),
            min_ready_seconds: field(&object, "/spec/minReadySeconds")?,
            matcher: Matcher::read(object.pointer("/spec/selector")),
            selector: field(&object, "/spec/selector")?,
            template: field(&object, "/spec/template")?,
            paused: field(&object, "/spec/paused")?,
            strategy,
            history: bounded(field(&object, "/spec/revisionHistoryLimit")?),
            deadline: bounded(field(&object, "/spec/progressDeadlineSeconds")?),
            status: field(&object, "/status")?,
        })
    }
}

impl Deployment {
    /// How many pods there may be beyond the wanted number, and how many of that number may be
    /// unavailable; never neither, as nothing could move then.
    fn leeway(&self) -> (i64, i64) {
        let Strategy::Rolling {
            max_surge,
            max_unavailable,
        } = self.strategy
        else {
            return (0, 0);
        };
        let surge = max_surge.map_or(0, |amount| amount.of(self.replicas, Rounding::Up));
        let unavailable =
            max_unavailable.map_or(0, |amount| amount.of(self.replicas, Rounding::Down));
        if surge == 0 && unavailable == 0 {
            return (0, 1);
        }
        (surge, unavailable)
    }

    fn max_surge(&self) -> i64 {
        self.leeway().0
    }

    fn max_unavailable(&self) -> i64 {
        if self.replicas == 0 {
            return 0;
        }
        self.leeway().1.min(self.replicas)
    }
}

/// A Deployment, the sets of its namespace, and the pods where it matters whether any are left.
pub(super) struct World {
    key: ObjectKey,
    deployment: Arc<Deployment>,
    sets: Vec<Keyed<ReplicaSet>>,
    pods: Vec<Keyed<Pod>>,
}

/// Keeps Deployments.
pub(super) struct Deployments {
    deployments: Arc<Mirror<Deployment>>,
    sets: Arc<Mirror<ReplicaSet>>,
    pods: Arc<Mirror<Pod>>,
}

impl Deployments {
    pub(super) fn new(
        deployments: Arc<Mirror<Deployment>>,
        sets: Arc<Mirror<ReplicaSet>>,
        pods: Arc<Mirror<Pod>>,
    ) -> Self {
        Self {
            deployments,
            sets,
            pods,
        }
    }
}

impl Workload for Deployments {
    const KIND: Kind = DEPLOYMENT;
    const NAME: &'static str = "deployment-controller";
    type World = World;

    async fn follow(&self, client: kube::Client) {
        Arc::clone(&self.deployments).run(client).await;
    }

    async fn synced(&self) {
        self.deployments.synced().await;
        self.sets.synced().await;
        self.pods.synced().await;
    }

    fn wake(&self, queue: &Arc<Queue<ObjectKey>>) {
        let wake = Arc::clone(queue);
        self.deployments
            .listen(move |change| wake.push(change.key.clone()));
        let wake = Arc::clone(queue);
        let deployments = Arc::clone(&self.deployments);
        self.sets.listen(move |change| {
            for set in [change.old, change.new].into_iter().flatten() {
                match set.meta.controller() {
                    Some(owner) => wake.push(beside(change.key, &owner.name)),
                    None => {
                        let all = deployments.in_namespace(change.key.namespace.as_deref());
                        for (key, deployment) in all {
                            if deployment.matcher.matches(&set.meta.labels) {
                                wake.push(key);
                            }
                        }
                    }
                }
            }
        });
        let wake = Arc::clone(queue);
        let sets = Arc::clone(&self.sets);
        self.pods.listen(move |change| {
            // Whoever recreates waits for the last old pod.
            let holds = |pod: &Pod| !pod.life.has_ended();
            if !change.old.is_some_and(holds) || change.new.is_some_and(holds) {
                return;
            }
            let owner = change.old.and_then(|pod| pod.meta.controller());
            let set = owner.and_then(|owner| sets.get(&beside(change.key, &owner.name)));
            if let Some(owner) = set.as_ref().and_then(|set| set.meta.controller()) {
                wake.push(beside(change.key, &owner.name));
            }
        });
    }

    fn seen(&self, key: &ObjectKey) -> Option<World> {
        let deployment = self.deployments.get(key)?;
        let namespace = key.namespace.as_deref();
        Some(World {
            key: key.clone(),
            pods: match deployment.strategy {
                Strategy::Recreate => self.pods.in_namespace(namespace),
                Strategy::Rolling { .. } => Vec::new(),
            },
            deployment,
            sets: self.sets.in_namespace(namespace),
        })
    }

    async fn read(&self, api: &Api, key: &ObjectKey) -> Result<Option<World>, CallError> {
        let Some(deployment) = read_one::<Deployment>(api, key).await? else {
            return Ok(None);
        };
        let namespace = key.namespace.as_deref();
        Ok(Some(World {
            key: key.clone(),
            pods: match deployment.strategy {
                Strategy::Recreate => read_all(api, namespace).await?,
                Strategy::Rolling { .. } => Vec::new(),
            },
            deployment,
            sets: read_all(api, namespace).await?,
        }))
    }

    fn plan(world: &World, now: Timestamp) -> Plan {
        rollout::plan(world, now)
    }

    fn uid(world: &World) -> &str {
        &world.deployment.meta.uid
    }
}
