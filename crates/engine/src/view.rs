//! The eyes of a controller: one way to read, from the stores or from the API.
//!
//! `observe` is written once against a [`View`]. Usually it answers from the shared stores and
//! costs nothing; when the engine confirms a final or destructive decision it answers from the
//! API, through the same trims, so that the plan cannot tell the difference.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use crate::api::{ApiClient, ApiError};
use crate::kind::{Kind, ObjectKey};
use crate::object::Object;
use crate::plan::Effect;
use crate::store::Store;

/// Reads on behalf of one object's plan.
#[derive(Debug, Clone)]
pub struct View {
    freshness: Freshness,
    stores: Arc<[Arc<Store>]>,
    api: ApiClient,
    memory: Arc<Memory>,
}

/// Where a view's answers come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// From the stores that the watches keep.
    Cached,
    /// From the API, now.
    Live,
}

/// What became of an external effect.
#[derive(Debug, Clone, PartialEq)]
pub enum External {
    /// It runs.
    Running,
    /// It ended with a value.
    Done(Value),
    /// It ended with an error message.
    Failed(String),
}

/// An effect the API refused: the same request would be refused again.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    /// What was asked.
    pub effect: Effect,
    /// What the API answered.
    pub error: ApiError,
    /// How often in a row the same effect was refused.
    pub times: u32,
    /// When it was first refused.
    pub since: Timestamp,
}

/// What the engine remembers for an object between passes and shows to its plan. It never decides
/// about safety: all of it may be lost with the process.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Memory {
    pub(crate) externals: BTreeMap<String, External>,
    pub(crate) refusal: Option<Refusal>,
}

impl View {
    pub(crate) fn new(
        freshness: Freshness,
        stores: Arc<[Arc<Store>]>,
        api: ApiClient,
        memory: Arc<Memory>,
    ) -> Self {
        Self {
            freshness,
            stores,
            api,
            memory,
        }
    }

    /// Where the answers come from.
    pub fn freshness(&self) -> Freshness {
        self.freshness
    }

    /// The same view, but answered by the API.
    #[must_use]
    pub fn live(&self) -> Self {
        Self {
            freshness: Freshness::Live,
            ..self.clone()
        }
    }

    /// The same view, but answered from the stores: for what need not be of this moment.
    #[must_use]
    pub fn cached(&self) -> Self {
        Self {
            freshness: Freshness::Cached,
            ..self.clone()
        }
    }

    /// The objects in a namespace, or in all, in the order of their names.
    pub async fn all(&self, kind: &Kind, namespace: Option<&str>) -> Result<Vec<Object>, ApiError> {
        match (self.store(kind), self.freshness) {
            (Some(store), Freshness::Cached) => Ok(store.all(namespace)),
            (Some(store), Freshness::Live) => {
                let selector = store.label_selector();
                let found = self.api.list(kind, namespace, selector).await?;
                Ok(store.trimmed_all(found))
            }
            (None, _) => self.api.list(kind, namespace, None).await,
        }
    }

    /// One object by name. Kinds the controller does not watch are always read from the API.
    pub async fn get(&self, kind: &Kind, key: &ObjectKey) -> Result<Option<Object>, ApiError> {
        match (self.store(kind), self.freshness) {
            (Some(store), Freshness::Cached) => Ok(store.get(key)),
            (Some(store), Freshness::Live) => Ok(self
                .api
                .get(kind, key)
                .await?
                .map(|object| store.trimmed(object))),
            (None, _) => self.api.get(kind, key).await,
        }
    }

    /// The objects in a namespace that carry this label value, in the order of their names.
    pub async fn labelled(
        &self,
        kind: &Kind,
        namespace: Option<&str>,
        label: &str,
        value: &str,
    ) -> Result<Vec<Object>, ApiError> {
        let equals = format!("{label}={value}");
        match (self.store(kind), self.freshness) {
            (Some(store), Freshness::Cached) => Ok(store.labelled(namespace, label, value)),
            (Some(store), Freshness::Live) => {
                let selector = store.selector_and(&equals);
                let found = self.api.list(kind, namespace, Some(&selector)).await?;
                Ok(store.trimmed_all(found))
            }
            (None, _) => self.api.list(kind, namespace, Some(&equals)).await,
        }
    }

    /// The objects in a namespace that name this uid among their owners, in the order of names.
    ///
    /// A live answer lists the namespace with the watch's selector; prefer [`View::labelled`] for
    /// kinds with many objects.
    pub async fn owned(
        &self,
        kind: &Kind,
        namespace: Option<&str>,
        owner_uid: &str,
    ) -> Result<Vec<Object>, ApiError> {
        let found = match (self.store(kind), self.freshness) {
            (Some(store), Freshness::Cached) => return Ok(store.owned(namespace, owner_uid)),
            (Some(store), Freshness::Live) => {
                let found = self
                    .api
                    .list(kind, namespace, store.label_selector())
                    .await?;
                store.trimmed_all(found)
            }
            (None, _) => self.api.list(kind, namespace, None).await?,
        };
        let is_owned = |object: &Object| object.owner_uids().any(|uid| uid == owner_uid);
        Ok(found.into_iter().filter(is_owned).collect())
    }

    /// All external effects of this object that run, or whose results no plan has seen yet.
    pub fn externals(&self) -> impl Iterator<Item = (&str, &External)> {
        let known = self.memory.externals.iter();
        known.map(|(key, external)| (key.as_str(), external))
    }

    /// What became of an external effect; `None` if it was never started, or is forgotten.
    pub fn external(&self, key: &str) -> Option<&External> {
        self.memory.externals.get(key)
    }

    /// The last effect of this object, if the API refused it. It is seen until a pass goes
    /// through; a plan that asks for the same effect again lets it be tried again, after a while.
    pub fn refusal(&self) -> Option<&Refusal> {
        self.memory.refusal.as_ref()
    }

    /// The client, for reads that are not about objects (logs, discovery). It must not write.
    pub fn api(&self) -> &ApiClient {
        &self.api
    }

    fn store(&self, kind: &Kind) -> Option<&Arc<Store>> {
        self.stores.iter().find(|store| store.kind() == kind)
    }
}
