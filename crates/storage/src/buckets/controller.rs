//! ObjectStores on the engine: what is watched and read, and how steps are done.
//!
//! Laws:
//! - of Secrets only names and versions are kept; what is in one is read when something is to be signed with
//!   it, and is forgotten after;
//! - what stores have said is remembered by this process alone: another one asks anew;
//! - whose machines these are is looked for where something has to be chosen, and told anew to those alone
//!   who wait for it;
//! - an answer counts for the version of the Secret that its plan saw, so a watch that is late leads to one
//!   question more, and never to a row of them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret as KubeSecret;
use kube::{Api, Client as KubeClient};
use parking_lot::Mutex;
use serde::Deserialize as _;
use serde_json::Value;
use windlass_api::storage::object_store::ObjectStoreStatus;
use windlass_engine::api::ApiError;
use windlass_engine::controller::Trim;
use windlass_engine::plan::Plan;
use windlass_engine::view::External;
use windlass_engine::{Child, Class, Controller, Kind, Object, ObjectKey, View, Watch};

use super::Settings;
use super::clients::Client;
use super::credentials::Keys;
use super::defaults::Defaults;
use super::observed::{Answer, Observed, Secret, Spec, Work};
use super::plan::plan;
use super::steps::{Sight, Step, StoreError, Trouble, carry_out};
use super::wanted::Wanted;
use crate::classes::controller::{CLASS, CSI_DRIVER, NODE, PROVIDER_ID};
use crate::classes::evidence::Evidence;
use crate::classes::provider::{NodeTells, Provider};

/// `objectstores.banzaicloud.com`.
pub const OBJECT_STORE: Kind =
    Kind::namespaced("banzaicloud.com", "v1alpha1", "ObjectStore", "objectstores");
const SECRET: Kind = Kind::namespaced("", "v1", "Secret", "secrets");

/// What is kept of a Secret.
const NAME_AND_VERSION: Trim = Trim {
    name: "name-and-version",
    apply: |secret| {
        if let Some(fields) = secret.as_object_mut() {
            fields.retain(|field, _| ["apiVersion", "kind", "metadata"].contains(&field.as_str()));
        }
        if let Some(metadata) = secret["metadata"].as_object_mut() {
            let kept = ["name", "namespace", "uid", "resourceVersion"];
            metadata.retain(|field, _| kept.contains(&field.as_str()));
        }
    },
};

/// The controller of ObjectStores. It reads Secrets through `client`.
pub fn object_stores(settings: &Settings, client: KubeClient) -> ObjectStores {
    ObjectStores {
        settings: settings.clone(),
        client,
        references: Arc::default(),
        undecided: Arc::default(),
        memories: Mutex::default(),
    }
}

/// Keeps buckets as they are asked for.
pub struct ObjectStores {
    settings: Settings,
    client: KubeClient,
    references: Arc<Mutex<BTreeMap<ObjectKey, String>>>,
    undecided: Arc<Undecided>,
    memories: Mutex<HashMap<String, Memory>>,
}

/// Those for which something has to be chosen, and what the nodes have told.
#[derive(Debug, Default)]
struct Undecided {
    stores: Mutex<BTreeSet<ObjectKey>>,
    nodes: Mutex<BTreeMap<String, NodeTells>>,
}

impl Undecided {
    fn all(&self) -> Vec<ObjectKey> {
        self.stores.lock().iter().cloned().collect()
    }

    /// Nodes report every few minutes that they live, which is no news.
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

/// Whether nobody has decided yet which language the store of an ObjectStore speaks.
fn is_undecided(store: &Object) -> bool {
    let is_said = store.spec()["provider"].is_string();
    !is_said && !store.status()["bucket"].is_string()
}

/// What is remembered of an ObjectStore, by its uid.
#[derive(Debug, Default)]
struct Memory {
    /// What the last plan took for what it does not say.
    defaults: Defaults,
    answer: Option<Answer>,
    turn: u64,
    /// The version of its Secret that the last plan saw.
    version: Option<String>,
}

/// One look at an ObjectStore.
#[derive(Debug)]
pub struct Sighted {
    spec: Spec,
    status: Result<ObjectStoreStatus, String>,
    observed: Observed,
}

impl ObjectStores {
    /// What an ObjectStore gets that it does not say. There may be thousands of nodes to look at.
    async fn defaults(&self, object: &Object, view: &View) -> Result<Defaults, ApiError> {
        let is_settled = self.settings.endpoint.is_some() || self.settings.machines.is_some();
        if is_settled || !is_undecided(object) {
            return Ok(Defaults::of(&self.settings, &Evidence::default()));
        }
        let nodes = view.all(&NODE, None).await?;
        let drivers = view.all(&CSI_DRIVER, None).await?;
        let classes = view.all(&CLASS, None).await?;
        let evidence = Evidence::of(&nodes, &drivers, &classes);
        Ok(Defaults::of(&self.settings, &evidence))
    }

    /// Does a step, and says how the bucket stands, and which entries of the Secret there were.
    async fn carry_out(
        &self,
        wanted: &Wanted,
        namespace: &str,
        step: Step,
    ) -> (Vec<String>, Result<Sight, StoreError>) {
        let keys = match &wanted.secret {
            None => Keys::own(wanted),
            Some(name) => self.keys(namespace, name).await,
        };
        let keys = match keys {
            Ok(keys) => keys,
            Err(error) => return (Vec::new(), Err(error)),
        };
        let result = match Client::new(wanted, &keys).await {
            Ok(client) => carry_out(&client, step, &wanted.owner).await,
            Err(error) => Err(error),
        };
        (keys.entries(), result)
    }

    async fn keys(&self, namespace: &str, name: &str) -> Result<Keys, StoreError> {
        let secrets: Api<KubeSecret> = Api::namespaced(self.client.clone(), namespace);
        let found = secrets.get_opt(name).await.map_err(|error| {
            let text = format!("the Secret {name} cannot be read: {error}");
            StoreError::new(Trouble::Unavailable, text)
        })?;
        let found = found.ok_or_else(|| {
            let text = format!("there is no Secret {name} in this namespace");
            StoreError::new(Trouble::Credentials, text)
        })?;
        let data = found.data.unwrap_or_default().into_iter();
        Keys::of_secret(&data.map(|(name, bytes)| (name, bytes.0)).collect())
    }
}

impl Controller for ObjectStores {
    type Status = Value;
    type Observed = Sighted;

    fn name(&self) -> &'static str {
        "object-store"
    }

    fn primary(&self) -> Watch {
        Watch::all(OBJECT_STORE)
    }

    fn children(&self) -> Vec<Child> {
        let references = Arc::clone(&self.references);
        let watch = Watch::all(SECRET).trim(NAME_AND_VERSION);
        let undecided = || {
            let undecided = Arc::clone(&self.undecided);
            move |_: &Object| undecided.all()
        };
        let nodes = Arc::clone(&self.undecided);
        vec![
            Child::mapped(watch, move |secret| {
                let known = references.lock();
                let concerned = known.iter().filter(|(key, name)| {
                    key.namespace.as_deref() == secret.namespace() && *name == secret.name()
                });
                concerned.map(|(key, _)| key.clone()).collect()
            }),
            Child::mapped(Watch::all(CLASS), undecided()),
            Child::mapped(Watch::all(CSI_DRIVER), undecided()),
            Child::mapped(Watch::all(NODE).trim(PROVIDER_ID), move |node| {
                nodes.of_node(node)
            }),
        ]
    }

    fn neighbours(&self, old: Option<&Object>, new: Option<&Object>) -> Vec<ObjectKey> {
        let mut known = self.references.lock();
        let mut undecided = self.undecided.stores.lock();
        if let Some(old) = old {
            known.remove(&old.key());
            undecided.remove(&old.key());
        }
        if let Some(new) = new {
            let named = new.spec()["credentials"]["secretRef"]["name"].as_str();
            if let Some(name) = named.or(self.settings.secret.as_deref()) {
                known.insert(new.key(), name.to_owned());
            }
            if is_undecided(new) {
                undecided.insert(new.key());
            }
        }
        if let (Some(gone), None) = (old, new) {
            self.memories.lock().remove(gone.uid());
        }
        Vec::new()
    }

    fn class(&self, _object: &Object) -> Class {
        Class::Status
    }

    async fn observe(&self, object: &Object, view: &View) -> Result<Sighted, ApiError> {
        let defaults = self.defaults(object, view).await?;
        let spec = Spec::of(object, &defaults);
        let name = spec.wanted.as_ref().ok().and_then(|it| it.secret.clone());
        let secret = match name {
            None => Secret::Unneeded,
            Some(name) => {
                let key = ObjectKey {
                    namespace: object.namespace().map(Into::into),
                    name: name.as_str().into(),
                };
                match view.get(&SECRET, &key).await? {
                    Some(found) => Secret::Found(found.resource_version().to_owned()),
                    None => Secret::Missing(name),
                }
            }
        };
        let is_running = view
            .externals()
            .any(|(_, state)| *state == External::Running);
        let mut memories = self.memories.lock();
        let memory = memories.entry(object.uid().to_owned()).or_default();
        memory.version = secret.version().map(str::to_owned);
        memory.defaults = defaults;
        let status = match object.status() {
            Value::Null => Ok(ObjectStoreStatus::default()),
            status => ObjectStoreStatus::deserialize(status).map_err(|error| error.to_string()),
        };
        Ok(Sighted {
            spec,
            status,
            observed: Observed {
                secret,
                work: if is_running {
                    Work::Running
                } else {
                    Work::Idle
                },
                answer: memory.answer.clone(),
                turn: memory.turn,
                refusal: view.refusal().map(|it| it.error.to_string()),
            },
        })
    }

    fn plan(&self, object: &Object, sighted: &Sighted, now: Timestamp) -> Plan<Value> {
        // One that cannot be read is written anew; what it knew of the bucket is known by the mark.
        let before = sighted.status.clone().unwrap_or_default();
        let plan = plan(&sighted.spec, &before, &sighted.observed, now);
        let says_news = plan.status != before || sighted.status.is_err();
        plan.about(object, says_news)
    }

    async fn external(&self, object: Object, key: String) -> Result<Value, String> {
        let step = Step::of_key(&key).ok_or_else(|| format!("{key} is no step"))?;
        let (version, defaults) = {
            let memories = self.memories.lock();
            let memory = memories.get(object.uid());
            let memory = memory.ok_or("nobody has looked at it yet")?;
            (memory.version.clone(), memory.defaults.clone())
        };
        let spec = Spec::of(&object, &defaults);
        let wanted = spec.wanted.map_err(|error| error.to_string())?;
        let namespace = object.namespace().unwrap_or_default();
        let (keys, result) = self.carry_out(&wanted, namespace, step).await;
        if let Err(error) = &result {
            tracing::debug!(object = %object.key(), %key, %error, "a store gives trouble");
        }
        let mut memories = self.memories.lock();
        // Of an object that is gone meanwhile nothing is kept.
        if let Some(memory) = memories.get_mut(object.uid()) {
            let before = memory.answer.as_ref().map_or(0, |it| it.failures);
            memory.turn += 1;
            memory.answer = Some(Answer {
                question: wanted.question(version.as_deref(), spec.life.word()),
                step,
                failures: if result.is_err() {
                    before.saturating_add(1)
                } else {
                    0
                },
                result,
                keys,
                at: Timestamp::now(),
            });
        }
        Ok(Value::Null)
    }
}
