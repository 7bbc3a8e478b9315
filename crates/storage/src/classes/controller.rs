//! Claims on the engine: what is watched, what is read, and who is asked.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::time::Instant;
use windlass_engine::api::ApiError;
use windlass_engine::plan::{Effect, Plan};
use windlass_engine::{Child, Class, Controller, Kind, Object, ObjectKey, Trim, View, Watch};

use super::claim::{Claim, Phase};
use super::decide::{Around, ignored};
use super::evidence::{Evidence, Metadata, trim_node};
use super::metadata::{Endpoints, ask};
use super::plan::{Observed, plan};
use super::provider::{NodeTells, Provider};
use super::settings::Settings;

/// Claims for storage.
pub const CLAIM: Kind =
    Kind::namespaced("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims");
/// Volumes.
pub const VOLUME: Kind = Kind::cluster("", "v1", "PersistentVolume", "persistentvolumes");
/// Nodes.
pub const NODE: Kind = Kind::cluster("", "v1", "Node", "nodes");
/// Classes of storage.
pub const CLASS: Kind = Kind::cluster("storage.k8s.io", "v1", "StorageClass", "storageclasses");
/// CSI drivers.
pub const CSI_DRIVER: Kind = Kind::cluster("storage.k8s.io", "v1", "CSIDriver", "csidrivers");

/// By which a volume that a provisioner has made is known.
pub(crate) const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";
/// How long a look at all volumes is good for.
pub(crate) const LATELY: Duration = Duration::from_secs(20);
/// How long an answer of metadata services is good for.
const ANSWERS: Duration = Duration::from_mins(10);

/// Of a node nothing matters but whose machine it is.
pub(crate) const PROVIDER_ID: Trim = Trim {
    name: "provider-id",
    apply: trim_node,
};
/// Of a namespace nothing matters but its labels.
pub(crate) const LABELS: Trim = Trim {
    name: "labels",
    apply: |namespace| {
        if let Some(fields) = namespace.as_object_mut() {
            fields.retain(|name, _| ["apiVersion", "kind", "metadata"].contains(&name.as_str()));
        }
    },
};

/// Makes classes for claims.
pub struct Claims {
    settings: Settings,
    endpoints: Endpoints,
    waiting: Arc<Waiting>,
    /// The classes of volumes that are made by hand, as of the last look.
    by_hand: Mutex<Option<(Instant, Arc<BTreeSet<String>>)>>,
    answers: Mutex<Option<(Instant, BTreeSet<Provider>)>>,
}

/// The claims that have no volume yet, and what nodes have told.
#[derive(Debug, Default)]
struct Waiting {
    claims: Mutex<BTreeSet<ObjectKey>>,
    nodes: Mutex<BTreeMap<String, NodeTells>>,
}

impl Claims {
    /// The controller, which asks the usual metadata services where it may ask any.
    pub fn new(settings: Settings) -> Self {
        Self::asking(settings, Endpoints::default())
    }

    /// The controller, which asks these metadata services.
    pub fn asking(settings: Settings, endpoints: Endpoints) -> Self {
        Self {
            settings,
            endpoints,
            waiting: Arc::default(),
            by_hand: Mutex::default(),
            answers: Mutex::default(),
        }
    }

    /// Whether volumes of this class are made by hand.
    async fn has_own_volumes(&self, class: &str, view: &View) -> Result<bool, ApiError> {
        let lately = self.by_hand.lock().clone();
        if let Some((when, classes)) = lately
            && when.elapsed() < LATELY
        {
            return Ok(classes.contains(class));
        }
        let volumes = view.api().list(&VOLUME, None, None).await?;
        let by_hand = volumes
            .iter()
            .filter(|it| it.annotation(PROVISIONED_BY).is_none());
        let classes = by_hand.filter_map(|it| it.spec()["storageClassName"].as_str());
        let classes: BTreeSet<String> = classes.map(str::to_owned).collect();
        let has = classes.contains(class);
        *self.by_hand.lock() = Some((Instant::now(), Arc::new(classes)));
        Ok(has)
    }

    fn answers(&self) -> Metadata {
        let answers = self.answers.lock();
        match &*answers {
            Some((when, known)) if when.elapsed() < ANSWERS => Metadata::Asked(known.clone()),
            _ => Metadata::NotAsked,
        }
    }
}

impl Waiting {
    fn note(&self, old: Option<&Object>, new: Option<&Object>) {
        let waits = |object: &&Object| {
            let claim = Claim::of(object);
            let names_one = claim.class.as_ref().is_some_and(|it| !it.is_empty());
            claim.phase == Phase::Pending && names_one && !claim.is_deleting
        };
        let mut claims = self.claims.lock();
        match (old, new.filter(waits)) {
            (_, Some(claim)) => {
                claims.insert(claim.key());
            }
            (Some(gone), None) => {
                claims.remove(&gone.key());
            }
            (None, None) => {}
        }
    }

    fn all(&self) -> Vec<ObjectKey> {
        self.claims.lock().iter().cloned().collect()
    }

    fn in_namespace(&self, namespace: &str) -> Vec<ObjectKey> {
        let claims = self.claims.lock();
        let found = claims
            .iter()
            .filter(|it| it.namespace.as_deref() == Some(namespace));
        found.cloned().collect()
    }

    /// Nodes report every few minutes that they live. Only one that tells something else than before
    /// is news for claims.
    fn of_node(&self, node: &Object) -> Vec<ObjectKey> {
        let id = node.spec()["providerID"].as_str().unwrap_or_default();
        let tells = Provider::of_node(id);
        let before = self.nodes.lock().insert(node.name().to_owned(), tells);
        if before == Some(tells) {
            Vec::new()
        } else {
            self.all()
        }
    }
}

impl Controller for Claims {
    type Status = Value;
    type Observed = Observed;

    fn name(&self) -> &'static str {
        "storage-classes"
    }

    fn primary(&self) -> Watch {
        Watch::all(CLAIM)
    }

    fn children(&self) -> Vec<Child> {
        let all = || {
            let waiting = Arc::clone(&self.waiting);
            move |_: &Object| waiting.all()
        };
        let (nodes, namespaces) = (Arc::clone(&self.waiting), Arc::clone(&self.waiting));
        vec![
            Child::mapped(Watch::all(CLASS), all()),
            Child::mapped(Watch::all(CSI_DRIVER), all()),
            Child::mapped(Watch::all(NODE).trim(PROVIDER_ID), move |node| {
                nodes.of_node(node)
            }),
            Child::mapped(Watch::all(Kind::NAMESPACE).trim(LABELS), move |namespace| {
                namespaces.in_namespace(namespace.name())
            }),
        ]
    }

    fn neighbours(&self, old: Option<&Object>, new: Option<&Object>) -> Vec<ObjectKey> {
        self.waiting.note(old, new);
        Vec::new()
    }

    fn class(&self, _object: &Object) -> Class {
        Class::New
    }

    async fn observe(&self, object: &Object, view: &View) -> Result<Observed, ApiError> {
        let claim = Claim::of(object);
        // Most claims are no concern of ours, whatever is around them.
        let at_best = Around {
            is_wanted: true,
            ..Around::default()
        };
        if ignored(&claim, &at_best, &self.settings).is_some() {
            return Ok(Observed::default());
        }
        let classes = view.all(&CLASS, None).await?;
        let key = ObjectKey::cluster(claim.namespace.as_str());
        let namespace = view.get(&Kind::NAMESPACE, &key).await?;
        let mut around = Around {
            is_wanted: namespace.as_ref().is_some_and(Settings::is_wanted_in),
            has_own_volumes: false,
            evidence: Evidence::of(&[], &[], &classes),
        };
        // Nor are those whose class is there: there may be thousands of nodes to look at.
        if ignored(&claim, &around, &self.settings).is_none() {
            let nodes = view.all(&NODE, None).await?;
            let drivers = view.all(&CSI_DRIVER, None).await?;
            around.evidence = Evidence::of(&nodes, &drivers, &classes);
            around.evidence.metadata = self.answers();
            let class = claim.class.as_deref().unwrap_or_default();
            around.has_own_volumes = self.has_own_volumes(class, view).await?;
        }
        let refusal = view.refusal();
        let refusal = refusal.filter(|it| matches!(it.effect, Effect::Create(_)));
        Ok(Observed {
            around,
            refusal: refusal.map(|it| it.error.message.clone()),
        })
    }

    fn plan(&self, object: &Object, observed: &Observed, now: Timestamp) -> Plan<Value> {
        plan(object, observed, &self.settings, now)
    }

    async fn external(&self, _object: Object, _key: String) -> Result<Value, String> {
        let known = match self.answers() {
            Metadata::Asked(known) => known,
            Metadata::NotAsked => {
                let known = ask(&self.endpoints).await;
                *self.answers.lock() = Some((Instant::now(), known.clone()));
                known
            }
        };
        Ok(json!(known))
    }
}
