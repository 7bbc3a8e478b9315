//! What is decided about applications, kept at hand, and whom a change of it concerns.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use serde::Deserialize as _;
use serde_json::Value;
use windlass_api::spark::SparkApplication;
use windlass_api::spark::application::SparkApplicationSpec;
use windlass_engine::api::ApiError;
use windlass_engine::store::Store;
use windlass_engine::{Child, Object, ObjectKey, View, Watch};

use super::application::SparkApplications;
use super::{OBJECT_STORE, SPARK_POLICY};
use crate::lifecycle::Reason;
use crate::lifecycle::conditions::ConditionKind;
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

    /// The same, when a bucket comes.
    pub(super) fn object_stores(self: &Arc<Self>) -> Child {
        let concerned = Arc::clone(self);
        Child::mapped(Watch::all(OBJECT_STORE), move |store| {
            concerned.of(store.namespace().unwrap_or_default())
        })
    }
}

impl SparkApplications {
    /// The application as policies make it, and what they have to say about it.
    pub(super) fn under(
        &self,
        policies: &Policies,
        app: SparkApplication,
        given: &Value,
    ) -> (Result<SparkApplication, serde_json::Error>, Decided) {
        let account = self.settings().driver_service_account.as_deref();
        let applied = policies.apply(given, account);
        let refusals = applied.refusals.iter().map(ToString::to_string);
        let decided = Decided {
            replaced: applied.replaced,
            refusals: refusals.collect(),
        };
        let spec = SparkApplicationSpec::deserialize(&applied.spec);
        (spec.map(|spec| SparkApplication { spec, ..app }), decided)
    }

    /// The policies about an application. Where it is about to be submitted, a policy that was
    /// written before counts, however late the watch of policies is.
    pub(super) async fn policies(
        &self,
        object: &Object,
        view: &View,
    ) -> Result<Policies, ApiError> {
        let state = object.status().pointer("/applicationState/state");
        let may_be_submitted = matches!(
            state.and_then(Value::as_str).unwrap_or_default(),
            "" | "PENDING_RERUN" | "RESUMING"
        );
        let namespace = object.namespace().unwrap_or_default();
        if may_be_submitted {
            self.desk.seen(view, namespace).await
        } else {
            self.desk.seen(&view.cached(), namespace).await
        }
    }
}

/// What policies have to say about an application.
#[derive(Debug, Default)]
pub(super) struct Decided {
    pub(super) replaced: Vec<String>,
    pub(super) refusals: Vec<String>,
}

/// Whether another policy, or a bucket, would change what becomes of the application.
pub(super) fn waits_for_a_policy(app: &Object) -> bool {
    let conditions = app.status()["conditions"].as_array();
    conditions.into_iter().flatten().any(|it| {
        let reasons = [
            Reason::InvalidSpec,
            Reason::PolicyInvalid,
            Reason::ObjectStoreNotReady,
        ];
        it["type"] == ConditionKind::Validated.as_str()
            && reasons.iter().any(|reason| it["reason"] == reason.as_str())
    })
}
