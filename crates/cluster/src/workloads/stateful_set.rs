//! StatefulSets: pods with names, places and volumes of their own.
//!
//! A pod is known by its ordinal, which is part of its name, so that there are never two of one.
//! [`plan`] says which pods come and go, [`identity`] what a pod of an ordinal is, [`revisions`]
//! which template it is made of.

mod identity;
mod plan;
mod revisions;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;
use windlass_engine::{Kind, ObjectKey};

use super::beside;
use super::claiming::{Claimant, Keeping, Keyed, Owned, wake_keepers};
use super::keeper::{Plan, Workload};
use super::shape::Amount;
use crate::api::{Api, CallError};
use crate::life::{Matcher, Meta};
use crate::mirror::{Mirror, View, read_all, read_one};
use crate::objects::{Labels, Pod, field, text};
use crate::queue::Queue;
use crate::storage::Claim;

const STATEFUL_SET: Kind = Kind::namespaced("apps", "v1", "StatefulSet", "statefulsets");
const REVISION: Kind = Kind::namespaced("apps", "v1", "ControllerRevision", "controllerrevisions");

/// A StatefulSet.
#[derive(Debug, Clone)]
pub(super) struct StatefulSet {
    pub(super) meta: Meta,
    pub(super) replicas: i64,
    /// The first ordinal.
    start: i64,
    min_ready_seconds: i64,
    matcher: Matcher,
    /// The plain part of the selector, which claims are labelled with.
    match_labels: Labels,
    template: Value,
    claims: Vec<Value>,
    service: Option<String>,
    order: Order,
    update: Update,
    retention: Retention,
    history: usize,
    status: Value,
}

/// Whether pods wait for each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// Each starts when those before it are ready, and goes when those after it are gone.
    OneByOne,
    Parallel,
}

/// How pods of an old revision are replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Update {
    /// By whoever deletes them.
    OnDelete,
    /// From the last one down to the partition.
    Rolling {
        partition: Option<i64>,
        max_unavailable: Option<Amount>,
    },
}

/// Which claims go with what they were made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Retention {
    /// They go with the set.
    with_set: bool,
    /// They go with a pod that scaling down takes away.
    with_pod: bool,
}

impl View for StatefulSet {
    const KIND: Kind = STATEFUL_SET;

    fn read(object: Value) -> Result<Self, serde_json::Error> {
        let is = |pointer: &str, value: &str| text(&object, pointer).as_deref() == Some(value);
        let history: Option<i64> = field(&object, "/spec/revisionHistoryLimit")?;
        let retention = "/spec/persistentVolumeClaimRetentionPolicy";
        Ok(Self {
            meta: Meta::read(&object)?,
            replicas: field::<Option<i64>>(&object, "/spec/replicas")?.unwrap_or(1),
            start: field(&object, "/spec/ordinals/start")?,
            min_ready_seconds: field(&object, "/spec/minReadySeconds")?,
            matcher: Matcher::read(object.pointer("/spec/selector")),
            match_labels: field(&object, "/spec/selector/matchLabels")?,
            template: field(&object, "/spec/template")?,
            claims: field(&object, "/spec/volumeClaimTemplates")?,
            service: text(&object, "/spec/serviceName"),
            order: if is("/spec/podManagementPolicy", "Parallel") {
                Order::Parallel
            } else {
                Order::OneByOne
            },
            update: if is("/spec/updateStrategy/type", "OnDelete") {
                Update::OnDelete
            } else {
                let rolling = "/spec/updateStrategy/rollingUpdate";
                Update::Rolling {
                    partition: field(&object, &format!("{rolling}/partition"))?,
                    max_unavailable: Amount::read(
                        object.pointer(&format!("{rolling}/maxUnavailable")),
                    ),
                }
            },
            retention: Retention {
                with_set: is(&format!("{retention}/whenDeleted"), "Delete"),
                with_pod: is(&format!("{retention}/whenScaled"), "Delete"),
            },
            history: usize::try_from(history.unwrap_or(10)).unwrap_or(0),
            status: field(&object, "/status")?,
        })
    }
}

/// A revision of a template.
#[derive(Debug, Clone)]
pub(super) struct Revision {
    meta: Meta,
    number: i64,
    data: Value,
}

impl View for Revision {
    const KIND: Kind = REVISION;

    fn read(object: Value) -> Result<Self, serde_json::Error> {
        Ok(Self {
            meta: Meta::read(&object)?,
            number: field(&object, "/revision")?,
            data: field(&object, "/data")?,
        })
    }
}

impl Owned for Revision {
    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn labels(&self) -> &Labels {
        &self.meta.labels
    }
}

/// A set and what there is in its namespace.
pub(super) struct World {
    key: ObjectKey,
    set: Arc<StatefulSet>,
    pods: Vec<Keyed<Pod>>,
    revisions: Vec<Keyed<Revision>>,
    claims: Vec<Keyed<Claim>>,
}

impl World {
    fn claimant(&self) -> Claimant<'_> {
        Claimant {
            kind: STATEFUL_SET,
            name: &self.key.name,
            meta: &self.set.meta,
            matcher: &self.set.matcher,
        }
    }
}

/// Keeps StatefulSets.
pub(super) struct StatefulSets {
    sets: Arc<Mirror<StatefulSet>>,
    revisions: Arc<Mirror<Revision>>,
    pods: Arc<Mirror<Pod>>,
    claims: Arc<Mirror<Claim>>,
}

impl Keeping for StatefulSet {
    fn matcher(&self) -> &Matcher {
        &self.matcher
    }
}

impl StatefulSets {
    pub(super) fn new(
        sets: Arc<Mirror<StatefulSet>>,
        pods: Arc<Mirror<Pod>>,
        claims: Arc<Mirror<Claim>>,
    ) -> Self {
        Self {
            sets,
            revisions: Mirror::new(),
            pods,
            claims,
        }
    }
}

impl Workload for StatefulSets {
    const KIND: Kind = STATEFUL_SET;
    const NAME: &'static str = "statefulset-controller";
    type World = World;

    async fn follow(&self, client: kube::Client) {
        let sets = Arc::clone(&self.sets).run(client.clone());
        let revisions = Arc::clone(&self.revisions).run(client);
        tokio::join!(sets, revisions);
    }

    async fn synced(&self) {
        self.sets.synced().await;
        self.revisions.synced().await;
        self.pods.synced().await;
        self.claims.synced().await;
    }

    fn wake(&self, queue: &Arc<Queue<ObjectKey>>) {
        let wake = Arc::clone(queue);
        self.sets
            .listen(move |change| wake.push(change.key.clone()));
        let wake = Arc::clone(queue);
        self.revisions.listen(move |change| {
            for revision in [change.old, change.new].into_iter().flatten() {
                if let Some(owner) = revision.meta.controller() {
                    wake.push(beside(change.key, &owner.name));
                }
            }
        });
        let wake = Arc::clone(queue);
        let sets = Arc::clone(&self.sets);
        self.pods.listen(move |change| {
            for pod in [change.old, change.new].into_iter().flatten() {
                wake_keepers(&wake, &sets, change.key, pod);
            }
        });
        let wake = Arc::clone(queue);
        let sets = Arc::clone(&self.sets);
        self.claims.listen(move |change| {
            for (key, set) in sets.in_namespace(change.key.namespace.as_deref()) {
                if identity::may_be_claim_of(&set, &key.name, &change.key.name) {
                    wake.push(key);
                }
            }
        });
    }

    fn seen(&self, key: &ObjectKey) -> Option<World> {
        let namespace = key.namespace.as_deref();
        Some(World {
            key: key.clone(),
            set: self.sets.get(key)?,
            pods: self.pods.in_namespace(namespace),
            revisions: self.revisions.in_namespace(namespace),
            claims: self.claims.in_namespace(namespace),
        })
    }

    async fn read(&self, api: &Api, key: &ObjectKey) -> Result<Option<World>, CallError> {
        let Some(set) = read_one::<StatefulSet>(api, key).await? else {
            return Ok(None);
        };
        let namespace = key.namespace.as_deref();
        Ok(Some(World {
            key: key.clone(),
            set,
            pods: read_all(api, namespace).await?,
            revisions: read_all(api, namespace).await?,
            claims: read_all(api, namespace).await?,
        }))
    }

    fn plan(world: &World, now: Timestamp) -> Plan {
        plan::plan(world, now)
    }

    fn uid(world: &World) -> &str {
        &world.set.meta.uid
    }
}
