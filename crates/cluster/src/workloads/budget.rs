//! PodDisruptionBudgets: how many pods may be evicted right now.
//!
//! An eviction takes one disruption out of the status and notes the pod there; this controller
//! counts again. Both name the revision they rest on, so that neither undoes the other.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use windlass_engine::{Kind, ObjectKey};

use super::beside;
use super::claiming::Keyed;
use super::conditions::difference;
use super::deployment::Deployment;
use super::keeper::{Plan, Step, Workload, sooner, wait};
use super::replica_set::ReplicaSet;
use super::shape::{Amount, Rounding};
use super::stateful_set::StatefulSet;
use crate::api::{Api, CallError};
use crate::catalog::Catalog;
use crate::life::{Matcher, Meta, Owner};
use crate::mirror::{Mirror, View, read_all, read_one};
use crate::objects::{Pod, field};
use crate::queue::Queue;

const BUDGET: Kind = Kind::namespaced(
    "policy",
    "v1",
    "PodDisruptionBudget",
    "poddisruptionbudgets",
);
/// A pod that was to be evicted and is still there after this will stay.
const EVICTION_TAKES: SignedDuration = SignedDuration::from_mins(2);

/// A PodDisruptionBudget.
#[derive(Debug, Clone)]
pub(super) struct Budget {
    meta: Meta,
    matcher: Matcher,
    limit: Limit,
    status: Value,
}

/// What the budget asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Limit {
    MinAvailable(Amount),
    MaxUnavailable(Amount),
}

impl View for Budget {
    const KIND: Kind = BUDGET;

    fn read(object: Value) -> Result<Self, serde_json::Error> {
        let amount = |field: &str| Amount::read(object.pointer(field));
        Ok(Self {
            meta: Meta::read(&object)?,
            matcher: Matcher::read(object.pointer("/spec/selector")),
            limit: match amount("/spec/maxUnavailable") {
                Some(most) => Limit::MaxUnavailable(most),
                None => {
                    // Whoever says nothing wants one.
                    let least = amount("/spec/minAvailable").unwrap_or(Amount::Number(1));
                    Limit::MinAvailable(least)
                }
            },
            status: field(&object, "/status")?,
        })
    }
}

impl Budget {
    /// Whether it matters how many pods there should be, and not only how many there are.
    fn needs_sizes(&self) -> bool {
        !matches!(self.limit, Limit::MinAvailable(Amount::Number(_)))
    }
}

/// How large the controllers of the pods should be, by their uid.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Sizes {
    Known(BTreeMap<String, i64>),
    /// The copies do not tell.
    Unread,
    /// One of them has no size.
    None {
        kind: String,
        name: String,
    },
}

/// A budget, its pods, and the sizes of their controllers.
pub(super) struct World {
    budget: Arc<Budget>,
    pods: Vec<Keyed<Pod>>,
    sizes: Sizes,
}

/// Keeps PodDisruptionBudgets.
pub(super) struct Budgets {
    budgets: Arc<Mirror<Budget>>,
    pods: Arc<Mirror<Pod>>,
    sets: Arc<Mirror<ReplicaSet>>,
    deployments: Arc<Mirror<Deployment>>,
    stateful_sets: Arc<Mirror<StatefulSet>>,
    catalog: Arc<Catalog>,
}

impl Budgets {
    pub(super) fn new(
        pods: Arc<Mirror<Pod>>,
        sets: Arc<Mirror<ReplicaSet>>,
        deployments: Arc<Mirror<Deployment>>,
        stateful_sets: Arc<Mirror<StatefulSet>>,
        catalog: Arc<Catalog>,
    ) -> Self {
        Self {
            budgets: Mirror::new(),
            pods,
            sets,
            deployments,
            stateful_sets,
            catalog,
        }
    }

    /// Asks for a look at all budgets of the namespace whenever a size in it changes.
    fn wake_by<T: View>(
        &self,
        sizes: &Mirror<T>,
        size: impl Fn(&T) -> i64 + Send + Sync + 'static,
        queue: &Arc<Queue<ObjectKey>>,
    ) {
        let wake = Arc::clone(queue);
        let budgets = Arc::clone(&self.budgets);
        sizes.listen(move |change| {
            if change.old.map(&size) != change.new.map(&size) {
                for (key, _) in budgets.in_namespace(change.key.namespace.as_deref()) {
                    wake.push(key);
                }
            }
        });
    }

    /// The size of a controller, as the copies have it.
    fn seen_size(&self, namespace: &ObjectKey, owner: &Owner) -> Option<(String, i64)> {
        let key = beside(namespace, &owner.name);
        match owner.kind.as_str() {
            "ReplicaSet" => {
                let set = self.sets.get(&key)?;
                match set.meta.controller() {
                    Some(above) if above.kind == "Deployment" => {
                        let above = self.deployments.get(&beside(namespace, &above.name))?;
                        Some((above.meta.uid.clone(), above.replicas))
                    }
                    _ => Some((set.meta.uid.clone(), set.replicas)),
                }
            }
            "StatefulSet" => {
                let set = self.stateful_sets.get(&key)?;
                Some((set.meta.uid.clone(), set.replicas))
            }
            _ => None,
        }
    }

    /// The size of a controller, as the API has it; `None` if it has none.
    async fn read_size(
        &self,
        api: &Api,
        namespace: &ObjectKey,
        owner: &Owner,
    ) -> Result<Option<(String, i64)>, CallError> {
        let key = beside(namespace, &owner.name);
        if owner.kind == "ReplicaSet" {
            let Some(set) = read_one::<ReplicaSet>(api, &key).await? else {
                return Ok(None);
            };
            if let Some(above) = set.meta.controller()
                && above.kind == "Deployment"
            {
                let above = beside(namespace, &above.name);
                let above = read_one::<Deployment>(api, &above).await?;
                return Ok(above.map(|above| (above.meta.uid.clone(), above.replicas)));
            }
            return Ok(Some((set.meta.uid.clone(), set.replicas)));
        }
        let Some(kind) = self.catalog.find(&owner.api_version, &owner.kind).await? else {
            return Ok(None);
        };
        let scale = api.get_subresource(&kind, &key, "scale").await?;
        Ok(scale.map(|scale| {
            let replicas = scale.pointer("/spec/replicas").and_then(Value::as_i64);
            (owner.uid.clone(), replicas.unwrap_or(0))
        }))
    }
}

/// The distinct controllers of the pods.
fn controllers(pods: &[Keyed<Pod>]) -> Vec<&Owner> {
    let mut controllers: Vec<&Owner> = Vec::new();
    for owner in pods.iter().filter_map(|(_, pod)| pod.meta.controller()) {
        if !controllers.iter().any(|known| known.uid == owner.uid) {
            controllers.push(owner);
        }
    }
    controllers
}

impl Workload for Budgets {
    const KIND: Kind = BUDGET;
    const NAME: &'static str = "disruption-controller";
    type World = World;

    async fn follow(&self, client: kube::Client) {
        Arc::clone(&self.budgets).run(client).await;
    }

    async fn synced(&self) {
        self.budgets.synced().await;
        self.pods.synced().await;
        self.sets.synced().await;
        self.deployments.synced().await;
        self.stateful_sets.synced().await;
    }

    fn wake(&self, queue: &Arc<Queue<ObjectKey>>) {
        let wake = Arc::clone(queue);
        self.budgets
            .listen(move |change| wake.push(change.key.clone()));
        self.wake_by(&self.sets, |set| set.replicas, queue);
        self.wake_by(&self.deployments, |above| above.replicas, queue);
        self.wake_by(&self.stateful_sets, |set| set.replicas, queue);
        let wake = Arc::clone(queue);
        let budgets = Arc::clone(&self.budgets);
        self.pods.listen(move |change| {
            for (key, budget) in budgets.in_namespace(change.key.namespace.as_deref()) {
                let mut sides = [change.old, change.new].into_iter().flatten();
                if sides.any(|pod| budget.matcher.matches(&pod.labels)) {
                    wake.push(key);
                }
            }
        });
    }

    fn seen(&self, key: &ObjectKey) -> Option<World> {
        let budget = self.budgets.get(key)?;
        let mut pods = self.pods.in_namespace(key.namespace.as_deref());
        pods.retain(|(_, pod)| budget.matcher.matches(&pod.labels));
        let sizes = if budget.needs_sizes() {
            let sizes = controllers(&pods)
                .into_iter()
                .map(|owner| self.seen_size(key, owner));
            sizes
                .collect::<Option<BTreeMap<_, _>>>()
                .map_or(Sizes::Unread, Sizes::Known)
        } else {
            Sizes::Known(BTreeMap::new())
        };
        Some(World {
            budget,
            pods,
            sizes,
        })
    }

    fn is_incomplete(world: &World) -> bool {
        world.sizes == Sizes::Unread
    }

    async fn read(&self, api: &Api, key: &ObjectKey) -> Result<Option<World>, CallError> {
        let Some(budget) = read_one::<Budget>(api, key).await? else {
            return Ok(None);
        };
        let mut pods = read_all::<Pod>(api, key.namespace.as_deref()).await?;
        pods.retain(|(_, pod)| budget.matcher.matches(&pod.labels));
        let mut known = BTreeMap::new();
        let mut without = None;
        if budget.needs_sizes() {
            for owner in controllers(&pods) {
                match self.read_size(api, key, owner).await? {
                    Some((uid, size)) => {
                        known.insert(uid, size);
                    }
                    None => {
                        without = Some(Sizes::None {
                            kind: owner.kind.clone(),
                            name: owner.name.clone(),
                        });
                    }
                }
            }
        }
        Ok(Some(World {
            budget,
            pods,
            sizes: without.unwrap_or(Sizes::Known(known)),
        }))
    }

    fn plan(world: &World, now: Timestamp) -> Plan {
        plan(world, now)
    }

    fn uid(world: &World) -> &str {
        &world.budget.meta.uid
    }
}

/// What the status should say.
fn plan(world: &World, now: Timestamp) -> Plan {
    let budget = &*world.budget;
    let mut again = None;
    let mut disrupted = json!({});
    let noted = budget.status["disruptedPods"].as_object();
    for (name, since) in noted.into_iter().flatten() {
        let pod = world.pods.iter().find(|(key, _)| *key.name == **name);
        let due = since
            .as_str()
            .and_then(|since| since.parse::<Timestamp>().ok())
            .map(|since| since + EVICTION_TAKES);
        if let (Some((_, pod)), Some(due)) = (pod, due)
            && !pod.deleting
            && now < due
        {
            disrupted[name] = since.clone();
            again = sooner(again, Some(wait(now.duration_until(due))));
        }
    }
    let healthy = world.pods.iter().filter(|(key, pod)| {
        pod.life.is_ready() && !pod.deleting && disrupted.get(&*key.name).is_none()
    });
    let healthy = healthy.count() as i64;
    let mut status = json!({
        "observedGeneration": budget.meta.generation,
        "currentHealthy": healthy,
    });
    let said = match &world.sizes {
        Sizes::Unread => return Plan::default(),
        Sizes::None { kind, name } => {
            for field in ["desiredHealthy", "expectedPods"] {
                status[field] = budget.status[field].as_i64().unwrap_or(0).into();
            }
            status["disruptionsAllowed"] = 0.into();
            let message = format!("{kind} {name} does not implement the scale subresource");
            ("False", "SyncFailed", message)
        }
        Sizes::Known(sizes) => {
            let wanted: i64 = sizes.values().sum();
            let (expected, desired) = match budget.limit {
                Limit::MinAvailable(Amount::Number(least)) => (world.pods.len() as i64, least),
                Limit::MinAvailable(least) => (wanted, least.of(wanted, Rounding::Up)),
                Limit::MaxUnavailable(most) => {
                    (wanted, (wanted - most.of(wanted, Rounding::Up)).max(0))
                }
            };
            let allowed = if expected > 0 {
                (healthy - desired).max(0)
            } else {
                0
            };
            status["expectedPods"] = expected.into();
            status["desiredHealthy"] = desired.into();
            status["disruptionsAllowed"] = allowed.into();
            if allowed > 0 {
                ("True", "SufficientPods", String::new())
            } else {
                ("False", "InsufficientPods", String::new())
            }
        }
    };
    if disrupted != json!({}) {
        status["disruptedPods"] = disrupted;
    }
    status["conditions"] = condition(budget, said, now);
    let patch = difference(&budget.status, &status).map(|status| Step::Status {
        patch: json!({
            "metadata": {"uid": budget.meta.uid, "resourceVersion": budget.meta.revision},
            "status": status,
        }),
    });
    Plan {
        steps: patch.into_iter().collect(),
        again,
    }
}

/// The one condition of a budget, among those of others.
fn condition(
    budget: &Budget,
    (status, reason, message): (&str, &str, String),
    now: Timestamp,
) -> Value {
    const KIND: &str = "DisruptionAllowed";
    let known = budget.status["conditions"].as_array().cloned();
    let mut conditions = known.unwrap_or_default();
    let before = conditions.iter().find(|known| known["type"] == KIND);
    let since = before
        .filter(|known| known["status"] == status)
        .map(|known| known["lastTransitionTime"].clone());
    let condition = json!({
        "type": KIND,
        "status": status,
        "reason": reason,
        "message": message,
        "observedGeneration": budget.meta.generation,
        "lastTransitionTime": since.unwrap_or_else(|| format!("{now:.0}").into()),
    });
    conditions.retain(|known| known["type"] != KIND);
    conditions.push(condition);
    conditions.into()
}
