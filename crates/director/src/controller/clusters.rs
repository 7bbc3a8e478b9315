//! KubeDirectorClusters on the engine: read, observe, decide, and run hooks.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use kube::Client;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;
use windlass_api::director::admission::{Kept, KeptRole};
use windlass_api::director::cluster::{ClusterStatus, Connections as Wanted};
use windlass_engine::api::ApiError;
use windlass_engine::plan::Plan;
use windlass_engine::{Child, Class, Controller, Kind, Object, ObjectKey, View, Watch};

use super::index::{Connection, Shared};
use super::{
    APP, BUDGET, CLAIM, CLUSTER, CONFIG, DirectorConfig, SECRET, STATEFUL_SET, exec, sight, sources,
};
use crate::around::{Lately, Reader};
use crate::autoscale::Sample;
use crate::blueprint::Blueprint;
use crate::build::{KEPT_ANNOTATION, Seed};
use crate::configmeta::Connections;
use crate::members::{
    self, Belonging, Hook, HookKey, HookState, Observed, ObservedClaim, ObservedDelivery,
    ObservedPod, ObservedSet, Outcome, Present, Spec,
};
use crate::names::{
    CLUSTER_LABEL, CONFIG_MAP_TYPE_LABEL, ROLE_LABEL, SECRET_TYPE_LABEL, label_value,
};

/// How often a name that somebody else has leads to the next one before the plan says so.
const NAMES_TRIED: usize = 8;

/// Keeps virtual clusters as they are specified.
pub struct KubeDirectorClusters {
    home: String,
    serves_budgets: bool,
    lets_claims_grow: bool,
    client: Client,
    references: Shared,
    /// What random texts of new clusters come from: of this process, so that a plan that is made twice
    /// draws the same.
    salt: String,
    /// What each cluster is to be, by its uid, as of the last look: what a hook is made from.
    blueprints: Mutex<HashMap<String, Arc<Blueprint>>>,
    /// How many members there is a use for, by the cluster's uid and the role, as it was answered last.
    demands: Mutex<HashMap<String, BTreeMap<String, Sample>>>,
    /// Since when each object of a cluster is what it is, by the cluster's uid.
    revisions: Mutex<HashMap<String, Revisions>>,
    /// What clusters need, and was there a moment ago.
    lately: Lately,
}

/// When a revision of an object was seen first, by the uid.
type Revisions = HashMap<String, (String, Instant)>;

/// For how long after an object has changed it is looked at whether it is still as it was made. Should the API
/// keep something in other words that nobody has thought of, it is applied in vain no longer than this.
const LOOKED_AT: Duration = Duration::from_secs(20);

/// One look at a cluster.
#[derive(Debug)]
pub struct ClusterSight {
    status: Result<ClusterStatus, String>,
    spec: Spec,
    observed: Observed,
}

impl KubeDirectorClusters {
    pub(super) fn new(config: DirectorConfig, client: Client) -> Self {
        Self {
            home: config.home,
            serves_budgets: config.serves_budgets,
            lets_claims_grow: config.lets_claims_grow,
            client,
            references: Shared::default(),
            salt: Uuid::new_v4().simple().to_string(),
            blueprints: Mutex::default(),
            demands: Mutex::default(),
            revisions: Mutex::default(),
            lately: Lately::default(),
        }
    }

    fn reader<'a>(&'a self, view: &'a View) -> Reader<'a> {
        Reader::controller(view, &self.lately, &self.home)
    }

    /// What another cluster is: one whose specification may not be is what it was.
    async fn other(&self, object: &Object, view: &View) -> Result<Option<Blueprint>, ApiError> {
        let kept = kept(object, view).await?;
        if let Ok(blueprint) = sources::blueprint(object, &kept, self.reader(view)).await? {
            return Ok(Some(blueprint));
        }
        let known = self.blueprints.lock().get(object.uid()).cloned();
        match known {
            Some(known) => Ok(Some((*known).clone())),
            None => sources::described(object, self.reader(view)).await,
        }
    }

    /// Leaves out what objects are that have been like that for a while.
    fn look_at_changes(&self, cluster: &str, observed: &mut Observed) {
        let now = Instant::now();
        let mut known = self.revisions.lock();
        let before = known.remove(cluster).unwrap_or_default();
        let mut seen = Revisions::new();
        let sets = observed.sets.values_mut().map(|set| &mut set.object);
        let services = observed.services.iter_mut().chain(&mut observed.headless);
        for object in sets.chain(services).chain(&mut observed.budgets) {
            let Some(content) = &object.content else {
                continue;
            };
            let since = match before.get(&object.uid) {
                Some((revision, since)) if *revision == content.revision => *since,
                _ => now,
            };
            seen.insert(object.uid.clone(), (content.revision.clone(), since));
            if now.duration_since(since) > LOOKED_AT {
                object.content = None;
            }
        }
        known.insert(cluster.to_owned(), seen);
    }

    fn remember(&self, uid: &str, blueprint: &Blueprint) {
        let mut known = self.blueprints.lock();
        if known.get(uid).is_none_or(|it| **it != *blueprint) {
            known.insert(uid.to_owned(), Arc::new(blueprint.clone()));
        }
    }

    /// What the cluster is connected to, as far as it is there.
    async fn connections(
        &self,
        object: &Object,
        wanted: &Wanted,
        view: &View,
    ) -> Result<Connections, ApiError> {
        let mut found = Connections::default();
        let key = |name: &String| ObjectKey {
            namespace: object.namespace().map(Into::into),
            name: name.as_str().into(),
        };
        for name in &wanted.clusters {
            let Some(other) = view.get(&CLUSTER, &key(name)).await? else {
                continue;
            };
            let Some(blueprint) = self.other(&other, view).await? else {
                continue;
            };
            let observed = self.own_objects(&other, view).await?;
            let names = observed.names(&blueprint);
            let sizes = &observed.sets;
            let seed = observed.delivery.as_ref().and_then(|it| it.seed.clone());
            found.clusters.push(blueprint.describe(
                &names,
                |role| {
                    let staying = members::standing(role, &observed);
                    sizes
                        .get(&role.id)
                        .map_or(0, |set| set.replicas.min(staying))
                },
                |role| seed.as_ref().map(|seed| seed.token(&role.id)),
            ));
        }
        for name in &wanted.configmaps {
            let map = view.get(&Kind::CONFIG_MAP, &key(name)).await?;
            found
                .config_maps
                .extend(map.as_ref().and_then(sight::config_map));
        }
        for name in &wanted.secrets {
            let secret = view.get(&SECRET, &key(name)).await?;
            found
                .secrets
                .extend(secret.as_ref().and_then(sight::secret));
        }
        Ok(found)
    }

    /// What the cluster has made.
    async fn own_objects(&self, cluster: &Object, view: &View) -> Result<Observed, ApiError> {
        let label = label_value(cluster.name());
        let namespace = cluster.namespace();
        let labelled =
            async |kind: &Kind| view.labelled(kind, namespace, CLUSTER_LABEL, &label).await;
        let present = |objects: &[Object]| {
            let objects = objects.iter();
            objects
                .filter_map(|it| Present::of(it, cluster))
                .collect::<Vec<_>>()
        };
        let (sets, strays) = sets(&labelled(&STATEFUL_SET).await?, cluster);
        let pods = labelled(&Kind::POD).await?;
        let claims = labelled(&CLAIM).await?;
        let (headless, services): (Vec<Object>, Vec<Object>) = labelled(&Kind::SERVICE)
            .await?
            .into_iter()
            .partition(|service| service.spec()["clusterIP"] == "None");
        let secrets = labelled(&SECRET).await?;
        let secrets = secrets.iter();
        let deliveries = secrets.filter_map(|secret| ObservedDelivery::of(secret, cluster));
        let budgets = if self.serves_budgets {
            labelled(&BUDGET).await?
        } else {
            Vec::new()
        };
        let is_lost = |present: &Present| present.belonging != Belonging::Own;
        Ok(Observed {
            headless: present(&headless).into_iter().min_by_key(is_lost),
            sets,
            strays,
            pods: pods.iter().filter_map(ObservedPod::of).collect(),
            claims: claims
                .iter()
                .filter_map(|claim| ObservedClaim::of(claim, cluster))
                .collect(),
            services: present(&services),
            budgets: present(&budgets),
            delivery: deliveries.min_by_key(|it| is_lost(&it.object)),
            lets_claims_grow: self.lets_claims_grow,
            ..Observed::default()
        })
    }
}

/// What the cluster's StatefulSets were made from. One that no earlier version wrote it on keeps nothing.
async fn kept(cluster: &Object, view: &View) -> Result<Kept, ApiError> {
    let label = label_value(cluster.name());
    let namespace = cluster.namespace();
    let sets = view
        .labelled(&STATEFUL_SET, namespace, CLUSTER_LABEL, &label)
        .await?;
    let own = sets
        .iter()
        .filter(|set| Present::of(set, cluster).is_some());
    let roles = own.filter_map(|set| {
        let kept: KeptRole = serde_json::from_str(set.annotation(KEPT_ANNOTATION)?).ok()?;
        Some((set.label(ROLE_LABEL)?.to_owned(), kept))
    });
    Ok(roles.collect())
}

/// The StatefulSets of the cluster by role, its own before those of nobody; and the names of what nobody
/// owns and is one too many.
fn sets(objects: &[Object], cluster: &Object) -> (BTreeMap<String, ObservedSet>, Vec<String>) {
    let found = objects.iter();
    let mut found: Vec<(String, ObservedSet)> = found
        .filter_map(|set| ObservedSet::of(set, cluster))
        .collect();
    found.sort_by_key(|(_, set)| {
        let is_lost = set.object.belonging != Belonging::Own;
        (is_lost, set.object.name.clone())
    });
    let (mut sets, mut strays) = (BTreeMap::new(), Vec::new());
    for (role, set) in found {
        let is_lost = set.object.belonging != Belonging::Own;
        match sets.entry(role) {
            Entry::Vacant(free) => {
                free.insert(set);
            }
            Entry::Occupied(_) if is_lost => strays.push(set.object.name),
            Entry::Occupied(_) => {}
        }
    }
    (sets, strays)
}

/// Names of StatefulSets and headless Services that others have. What has not our label is in no store.
async fn taken(
    blueprint: &Blueprint,
    observed: &mut Observed,
    cluster: &Object,
    view: &View,
) -> Result<(), ApiError> {
    let mut free = BTreeSet::new();
    for _ in 0..NAMES_TRIED {
        let names = observed.names(blueprint);
        let sets = blueprint.roles.iter().filter(|role| role.has_set());
        let sets = sets.filter(|role| !observed.sets.contains_key(&role.id));
        let mut wanted: Vec<(Kind, String)> = sets
            .map(|role| (STATEFUL_SET, names.stateful_set(&role.id).to_owned()))
            .collect();
        if observed.headless.is_none() {
            wanted.push((Kind::SERVICE, names.headless.clone()));
        }
        wanted.retain(|(_, name)| !free.contains(name));
        if wanted.is_empty() {
            return Ok(());
        }
        for (kind, name) in wanted {
            let key = ObjectKey {
                namespace: cluster.namespace().map(Into::into),
                name: name.as_str().into(),
            };
            match view.live().get(&kind, &key).await? {
                Some(found) if Present::of(&found, cluster).is_none() => {
                    observed.taken.insert(name);
                }
                _ => {
                    free.insert(name);
                }
            }
        }
    }
    Ok(())
}

/// Hooks that run, and results that no plan has made use of yet.
fn hooks(view: &View) -> BTreeMap<HookKey, HookState> {
    let states = view.externals();
    let states = states.filter_map(|(key, state)| Some((HookKey::of_text(key)?, state.into())));
    states.collect()
}

impl Controller for KubeDirectorClusters {
    type Status = Value;
    type Observed = ClusterSight;

    fn name(&self) -> &'static str {
        "kubedirector-cluster"
    }

    fn primary(&self) -> Watch {
        Watch::all(CLUSTER)
    }

    fn children(&self) -> Vec<Child> {
        let labelled = |kind| {
            let watch = Watch::all(kind).labels(CLUSTER_LABEL).index(CLUSTER_LABEL);
            Child::labelled(watch, CLUSTER_LABEL)
        };
        let kinds = [STATEFUL_SET, Kind::POD, CLAIM, Kind::SERVICE];
        let mut children: Vec<Child> = kinds.map(labelled).into();
        children.extend(self.serves_budgets.then(|| labelled(BUDGET)));
        let (references, home) = (Arc::clone(&self.references), self.home.clone());
        children.push(Child::mapped(Watch::all(APP), move |app| {
            references.of_app(app, &home)
        }));
        let references = Arc::clone(&self.references);
        children.push(Child::mapped(Watch::all(CONFIG), move |_| references.all()));
        let references = Arc::clone(&self.references);
        let watch = Watch::all(Kind::CONFIG_MAP).labels(CONFIG_MAP_TYPE_LABEL);
        children.push(Child::mapped(watch, move |map| {
            references.connected_to(Connection::ConfigMap, map)
        }));
        // Those of deliveries are among them.
        let references = Arc::clone(&self.references);
        let watch = Watch::all(SECRET)
            .labels(SECRET_TYPE_LABEL)
            .index(CLUSTER_LABEL);
        children.push(Child::mapped(watch, move |secret| {
            let mut concerned = references.connected_to(Connection::Secret, secret);
            concerned.extend(secret.label(CLUSTER_LABEL).map(|name| ObjectKey {
                namespace: secret.namespace().map(Into::into),
                name: name.into(),
            }));
            concerned
        }));
        children
    }

    /// Clusters that are connected to this one are told how it stands.
    fn neighbours(&self, old: Option<&Object>, new: Option<&Object>) -> Vec<ObjectKey> {
        self.references.note(old, new);
        if let (Some(gone), None) = (old, new) {
            self.blueprints.lock().remove(gone.uid());
            self.demands.lock().remove(gone.uid());
            self.revisions.lock().remove(gone.uid());
        }
        let changed = new.or(old);
        changed.map_or_else(Vec::new, |cluster| {
            self.references.connected_to(Connection::Cluster, cluster)
        })
    }

    fn class(&self, _object: &Object) -> Class {
        Class::Status
    }

    async fn observe(&self, object: &Object, view: &View) -> Result<ClusterSight, ApiError> {
        let status = match object.status() {
            Value::Null => Ok(ClusterStatus::default()),
            status => ClusterStatus::deserialize(status).map_err(|error| error.to_string()),
        };
        let blueprint = if object.is_deleting() {
            Err(Vec::new())
        } else {
            let kept = kept(object, view).await?;
            let blueprint = sources::blueprint(object, &kept, self.reader(view)).await?;
            blueprint.map(|blueprint| blueprint.as_served(self.serves_budgets))
        };
        let mut observed = Observed::default();
        if let Ok(blueprint) = &blueprint {
            self.remember(object.uid(), blueprint);
            observed = self.own_objects(object, view).await?;
            self.look_at_changes(object.uid(), &mut observed);
            taken(blueprint, &mut observed, object, view).await?;
            let names = observed.names(blueprint);
            observed = observed.only_of(&names);
            let wanted = Wanted::deserialize(&object.spec()["connections"]).unwrap_or_default();
            observed.connections = self.connections(object, &wanted, view).await?;
            observed.hooks = hooks(view);
            let demands = self.demands.lock().get(object.uid()).cloned();
            observed.demands = demands.unwrap_or_default();
            let refusal = view.refusal();
            observed.refusal = refusal.map(|it| format!("the API refused to {}", it.error));
            let needs_seed = observed
                .delivery
                .as_ref()
                .is_none_or(|it| it.seed.is_none());
            observed.entropy =
                needs_seed.then(|| Seed::new(Seed::new(self.salt.as_str()).digest(object.uid())));
        }
        Ok(ClusterSight {
            status,
            spec: Spec {
                generation: object.generation(),
                deleting: object.is_deleting(),
                blueprint,
            },
            observed,
        })
    }

    fn plan(&self, object: &Object, sight: &ClusterSight, now: Timestamp) -> Plan<Value> {
        let before = match &sight.status {
            Ok(before) => before.clone(),
            // It is no memory, so it is written anew.
            Err(_) => ClusterStatus::default(),
        };
        let plan = members::plan(&sight.spec, &before, &sight.observed, now);
        let says_news = plan.status != before || sight.status.is_err();
        plan.about(object, says_news)
    }

    async fn external(&self, object: Object, key: String) -> Result<Value, String> {
        let key = HookKey::of_text(&key).ok_or_else(|| format!("{key} is no hook"))?;
        let blueprint = self.blueprints.lock().get(object.uid()).cloned();
        let blueprint = blueprint.ok_or("the cluster is gone")?;
        let namespace = object.namespace().unwrap_or_default();
        let mut outcome = Outcome::Fine;
        for (number, command) in key.commands(&blueprint).iter().enumerate() {
            let to = key.addressee(number);
            let answer = exec::run(&self.client, namespace, &key.pod, to, command).await;
            if let Some(over) = Outcome::of_answer(answer) {
                outcome = over;
                break;
            }
        }
        if let Hook::Demand { of } = key.hook {
            let sample = Sample::new(Timestamp::now(), outcome.demand());
            // Of a cluster that is gone meanwhile nothing is kept.
            if self.blueprints.lock().contains_key(object.uid()) {
                let mut demands = self.demands.lock();
                let of_cluster = demands.entry(object.uid().to_owned()).or_default();
                of_cluster.insert(of, sample);
            }
        }
        Ok(outcome.to_value())
    }
}
