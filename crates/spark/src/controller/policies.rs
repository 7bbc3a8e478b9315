//! What is decided about applications, kept at hand, and whom a change of it concerns.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use windlass_engine::api::ApiError;
use windlass_engine::store::Store;
use windlass_engine::{Child, Object, ObjectKey, View, Watch};

use super::SPARK_POLICY;
use crate::policy::{Layer, Policies, Read};

/// Reads SparkPolicies, each version of one once.
#[derive(Debug, Default)]
pub struct PolicyDesk {
    operators: Vec<Arc<Layer>>,
    known: Mutex<HashMap<ObjectKey, (String, Arc<Read>)>>,
    /// What the operator's watch shows, for those who have no view.
    store: OnceLock<Arc<Store>>,
}

impl PolicyDesk {
    /// With the policies of the operator.
    pub fn new(operators: Vec<Arc<Layer>>) -> Self {
        Self {
            operators,
            ..Self::default()
        }
    }

    /// Gives it the store of an engine that watches SparkPolicies.
    pub fn open(&self, store: Option<Arc<Store>>) {
        if let Some(store) = store {
            // An engine has one store of them, so a second one would be the same.
            let _ = self.store.set(store);
        }
    }

    /// The policies of a namespace, as far as the operator's watch shows them.
    pub fn shown(&self, namespace: &str) -> Policies {
        let shown = self.store.get();
        let shown = shown.map(|store| store.all(Some(namespace)));
        self.of(&shown.unwrap_or_default(), namespace)
    }

    /// The policies of a namespace, as a view shows them.
    pub(super) async fn seen(&self, view: &View, namespace: &str) -> Result<Policies, ApiError> {
        let found = view.all(&SPARK_POLICY, Some(namespace)).await?;
        Ok(self.of(&found, namespace))
    }

    fn of(&self, found: &[Object], namespace: &str) -> Policies {
        let mut known = self.known.lock();
        known.retain(|key, _| {
            key.namespace.as_deref() != Some(namespace)
                || found.iter().any(|object| object.name() == &*key.name)
        });
        let read: Vec<Arc<Read>> = found
            .iter()
            .map(|object| {
                let version = object.resource_version();
                let entry = known.entry(object.key());
                let entry = entry.or_insert_with(|| fresh(object));
                if entry.0 != version {
                    *entry = fresh(object);
                }
                Arc::clone(&entry.1)
            })
            .collect();
        Policies::of(&self.operators, read.iter().map(|it| &**it), namespace)
    }
}

fn fresh(object: &Object) -> (String, Arc<Read>) {
    let version = object.resource_version().to_owned();
    (version, Arc::new(Layer::read(object)))
}

/// Objects of a kind that a change of policies concerns, by namespace.
#[derive(Debug, Default)]
pub(super) struct Concerned(Mutex<HashMap<Arc<str>, BTreeSet<Arc<str>>>>);

impl Concerned {
    /// An object changed; `concerned` tells whether it waits for the word of a policy.
    pub(super) fn note(
        &self,
        old: Option<&Object>,
        new: Option<&Object>,
        concerned: impl Fn(&Object) -> bool,
    ) {
        let Some(object) = new.or(old) else {
            return;
        };
        let namespace: Arc<str> = object.namespace().unwrap_or_default().into();
        let mut all = self.0.lock();
        if new.is_some_and(concerned) {
            all.entry(namespace)
                .or_default()
                .insert(object.name().into());
        } else if let Some(names) = all.get_mut(&namespace) {
            names.remove(object.name());
            if names.is_empty() {
                all.remove(&namespace);
            }
        }
    }

    fn of(&self, namespace: &str) -> Vec<ObjectKey> {
        let all = self.0.lock();
        let Some((namespace, names)) = all.get_key_value(namespace) else {
            return Vec::new();
        };
        let key = |name: &Arc<str>| ObjectKey::namespaced(Arc::clone(namespace), Arc::clone(name));
        names.iter().map(key).collect()
    }

    /// Whoever waits for the word of a policy looks again when one changes.
    pub(super) fn policies(self: &Arc<Self>) -> Child {
        let concerned = Arc::clone(self);
        Child::mapped(Watch::all(SPARK_POLICY), move |policy| {
            concerned.of(policy.namespace().unwrap_or_default())
        })
    }
}
