//! Claims that grow by themselves, on the engine. Which node a volume is on is known by the pods that use it,
//! so that only nodes with such volumes are asked.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::future::try_join_all;
use jiff::Timestamp;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::time::Instant;
use windlass_engine::api::ApiError;
use windlass_engine::plan::{Effect, Plan};
use windlass_engine::{Child, Class, Controller, Kind, Object, ObjectKey, View, Watch};

use super::decide;
use super::plan::{Observed, plan, policy};
use super::usage::{Usage, of_node};
use crate::classes::controller::{CLAIM, CLASS};

/// How long figures and the places of pods are good for: less than the time between two looks.
const LATELY: Duration = Duration::from_secs(40);

/// Where the claims of a namespace are: the nodes, by the claim's name.
type Places = Arc<BTreeMap<String, BTreeSet<String>>>;
/// How full the claims on a node are.
type Figures = Arc<BTreeMap<ObjectKey, Usage>>;

/// Lets claims grow.
#[derive(Default)]
pub struct GrowingClaims {
    places: Lately<Places>,
    figures: Lately<Figures>,
}

/// What was read lately, by the name of a namespace or node.
struct Lately<T>(Mutex<BTreeMap<String, (Instant, T)>>);

impl<T> Default for Lately<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone> Lately<T> {
    fn get(&self, name: &str) -> Option<T> {
        let mut all = self.0.lock();
        all.retain(|_, (when, _)| when.elapsed() < LATELY);
        all.get(name).map(|(_, known)| known.clone())
    }

    fn keep(&self, name: &str, known: &T) {
        let entry = (Instant::now(), known.clone());
        self.0.lock().insert(name.to_owned(), entry);
    }
}

impl GrowingClaims {
    /// How full a claim is; nothing where no pod uses it, or its node does not tell.
    async fn usage(&self, claim: &ObjectKey, view: &View) -> Result<Option<Usage>, ApiError> {
        let places = self.places(claim, view).await?;
        let nodes = places.get(&*claim.name).into_iter().flatten();
        let figures = try_join_all(nodes.map(|node| self.figures(node, view))).await?;
        let known = figures.iter().filter_map(|figures| figures.get(claim));
        Ok(known.max_by_key(|usage| usage.used).copied())
    }

    async fn places(&self, claim: &ObjectKey, view: &View) -> Result<Places, ApiError> {
        let namespace = claim.namespace.as_deref().unwrap_or_default();
        if let Some(known) = self.places.get(namespace) {
            return Ok(known);
        }
        let pods = view.api().list(&Kind::POD, Some(namespace), None).await?;
        let mut places: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for pod in pods.iter().filter(|pod| pod.status()["phase"] == "Running") {
            let Some(node) = pod.spec()["nodeName"].as_str() else {
                continue;
            };
            for volume in pod.spec()["volumes"].as_array().into_iter().flatten() {
                let name = match volume["persistentVolumeClaim"]["claimName"].as_str() {
                    Some(name) => name.to_owned(),
                    // The claim of an ephemeral volume has a name that follows from the pod's.
                    None if volume["ephemeral"].is_object() => {
                        format!(
                            "{}-{}",
                            pod.name(),
                            volume["name"].as_str().unwrap_or_default()
                        )
                    }
                    None => continue,
                };
                places.entry(name).or_default().insert(node.to_owned());
            }
        }
        let places = Arc::new(places);
        self.places.keep(namespace, &places);
        Ok(places)
    }

    /// What a node tells. It is asked again soon when it does not answer, and not when it has nothing to tell.
    async fn figures(&self, node: &str, view: &View) -> Result<Figures, ApiError> {
        if let Some(known) = self.figures.get(node) {
            return Ok(known);
        }
        let figures = match view.api().node_summary(node).await {
            Ok(summary) => Arc::new(of_node(&summary)),
            Err(error) if !error.fault.is_refusal() => return Err(error),
            Err(error) => {
                tracing::warn!(node, %error, "nobody knows how full the volumes of this node are");
                Figures::default()
            }
        };
        self.figures.keep(node, &figures);
        Ok(figures)
    }
}

impl Controller for GrowingClaims {
    type Status = Value;
    type Observed = Observed;

    fn name(&self) -> &'static str {
        "storage-growth"
    }

    fn primary(&self) -> Watch {
        Watch::all(CLAIM)
    }

    fn children(&self) -> Vec<Child> {
        // A class that may grow by now is seen at the next look, a minute later at most.
        vec![Child::mapped(Watch::all(CLASS), |_| Vec::new())]
    }

    fn class(&self, _object: &Object) -> Class {
        Class::Status
    }

    async fn observe(&self, object: &Object, view: &View) -> Result<Observed, ApiError> {
        if !matches!(policy(object), Ok(Some(_))) || object.is_deleting() {
            return Ok(Observed::default());
        }
        let name = object.spec()["storageClassName"].as_str();
        let class = match name {
            Some(name) => view.get(&CLASS, &ObjectKey::cluster(name)).await?,
            None => None,
        };
        let refusal = view.refusal();
        let refusal = refusal.filter(|it| matches!(it.effect, Effect::Patch { .. }));
        Ok(Observed {
            class: class.as_ref().map(class_of),
            usage: self.usage(&object.key(), view).await?,
            refusal: refusal.map(|it| it.error.message.clone()),
        })
    }

    fn plan(&self, object: &Object, observed: &Observed, now: Timestamp) -> Plan<Value> {
        plan(object, observed, now)
    }
}

fn class_of(object: &Object) -> decide::Class {
    decide::Class {
        name: object.name().to_owned(),
        provisioner: object.as_value()["provisioner"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
        expands: object.as_value()["allowVolumeExpansion"] == true,
    }
}
