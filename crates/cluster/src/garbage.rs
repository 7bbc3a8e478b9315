//! Garbage collection by owner references.
//!
//! Every kind that can be watched is, custom resources as they appear, by metadata alone; the
//! [`graph`] keeps who owns whom. Nothing is deleted because of what a watch did not say: before a
//! deletion the object and the owners the graph does not know are read live, and the deletion
//! names the uid.

mod graph;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use kube::api::{ApiResource, DynamicObject, ObjectMeta, PartialObjectMeta, PropagationPolicy};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event};
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;
use windlass_engine::kind::Scope;
use windlass_engine::{Kind, ObjectKey};

use crate::api::{Api, CallError};
use crate::catalog::{Catalog, Kinds};
use crate::mirror::resource;
use crate::queue::Queue;
use graph::{Deletion, Graph, Item, Owner, Uid, Verdict};

/// Looks at the same time: one deletion of a job frees many objects.
const WORKERS: usize = 4;
/// An owner that exists but is not in the graph (yet) is asked for again after this.
const UNKNOWN_OWNER: Duration = Duration::from_secs(30);

/// Collects garbage.
pub(crate) struct Collector {
    api: Api,
    catalog: Arc<Catalog>,
    graph: Mutex<Graph>,
    queue: Queue<Look>,
    /// Watches without their first list, and one for the first look at the catalog.
    unsynced: watch::Sender<usize>,
}

/// The object that deserves a look.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Look(Uid);

impl fmt::Display for Look {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What every object has.
#[derive(Deserialize)]
struct Bare {
    #[serde(default)]
    metadata: ObjectMeta,
}

impl Collector {
    pub(crate) fn new(api: Api, catalog: Arc<Catalog>) -> Arc<Self> {
        Arc::new(Self {
            api,
            catalog,
            graph: Mutex::default(),
            queue: Queue::new(),
            unsynced: watch::Sender::new(1),
        })
    }

    pub(crate) async fn run(self: Arc<Self>) {
        let work = async {
            // The first kinds are all listed before anything is judged.
            let _ = self.unsynced.subscribe().wait_for(|left| *left == 0).await;
            let worker = || self.queue.work("garbage collector", |look| self.pass(look));
            futures::future::join_all((0..WORKERS).map(|_| worker())).await;
        };
        tokio::join!(Arc::clone(&self).follow_kinds(), work);
    }

    /// Watches each kind for as long as it is served.
    async fn follow_kinds(self: Arc<Self>) {
        let mut served = self.catalog.subscribe();
        let mut watches = JoinSet::new();
        let mut running = HashMap::new();
        let mut first_look = Synced(Some(&self.unsynced));
        loop {
            let kinds: Kinds = Arc::clone(&served.borrow_and_update());
            let wanted: HashSet<&Kind> = kinds.iter().filter(|kind| is_collected(kind)).collect();
            running.retain(|kind, watch: &mut tokio::task::AbortHandle| {
                let keep = wanted.contains(kind);
                if !keep {
                    watch.abort();
                    self.forget(kind);
                }
                keep
            });
            for kind in wanted {
                if !running.contains_key(kind) {
                    self.unsynced.send_modify(|left| *left += 1);
                    let follow = Arc::clone(&self).follow(Arc::new(kind.clone()));
                    running.insert(kind.clone(), watches.spawn(follow));
                }
            }
            if !kinds.is_empty() {
                first_look.done();
            }
            if served.changed().await.is_err() {
                return;
            }
        }
    }

    async fn follow(self: Arc<Self>, kind: Arc<Kind>) {
        let served: ApiResource = resource(&kind);
        let api = kube::Api::<PartialObjectMeta<DynamicObject>>::all_with(
            self.api.client().clone(),
            &served,
        );
        let config = watcher::Config::default();
        let mut events = pin!(watcher::watcher(api, config).default_backoff());
        let mut synced = Synced(Some(&self.unsynced));
        let mut listed = HashSet::new();
        while let Some(event) = events.next().await {
            match event {
                Ok(Event::Init) => listed.clear(),
                Ok(Event::InitApply(object)) => {
                    listed.extend(self.upsert(&kind, &object.metadata));
                }
                Ok(Event::InitDone) => {
                    let known = self.graph.lock().of_kind(&kind);
                    let gone = known.into_iter().filter(|uid| !listed.contains(uid));
                    gone.for_each(|uid| self.remove(&uid));
                    listed = HashSet::new();
                    synced.done();
                }
                Ok(Event::Apply(object)) => {
                    self.upsert(&kind, &object.metadata);
                }
                Ok(Event::Delete(object)) => {
                    self.remove(object.metadata.uid.as_deref().unwrap_or_default());
                }
                Err(error) => {
                    tracing::debug!(%kind, %error, "watch interrupted");
                    // A kind that cannot be listed must not hold up all the others.
                    synced.done();
                }
            }
        }
    }

    fn upsert(&self, kind: &Arc<Kind>, meta: &ObjectMeta) -> Option<Uid> {
        let uid = Uid::from(meta.uid.as_deref()?);
        let item = Item::new(Arc::clone(kind), meta);
        let look = self.graph.lock().upsert(Arc::clone(&uid), item);
        self.look_at(look);
        Some(uid)
    }

    fn remove(&self, uid: &str) {
        let look = self.graph.lock().remove(uid);
        self.look_at(look);
    }

    /// The kind is not served any more, so its objects are gone.
    fn forget(&self, kind: &Kind) {
        let known = self.graph.lock().of_kind(kind);
        for uid in &known {
            self.remove(uid);
        }
    }

    fn look_at(&self, uids: Vec<Uid>) {
        for uid in uids {
            self.queue.push(Look(uid));
        }
    }

    async fn pass(&self, look: Look) -> Result<Option<Duration>, CallError> {
        let Look(uid) = look;
        let Some(known) = self.graph.lock().get(&uid).cloned() else {
            return Ok(None);
        };
        if self.is_settled(&uid, &known) {
            return Ok(None);
        }
        let Some(live) = self.api.get_metadata(&known.kind, &known.key).await? else {
            return Ok(None);
        };
        let Ok(Bare { metadata }) = Bare::deserialize(&live) else {
            return Ok(None);
        };
        if metadata.uid.as_deref() != Some(&uid) {
            return Ok(None);
        }
        let item = Item::new(Arc::clone(&known.kind), &metadata);
        let unknown: Vec<Owner> = {
            let graph = self.graph.lock();
            let owners = graph.unknown_owners(&item);
            owners.into_iter().cloned().collect()
        };
        let mut absent = HashSet::new();
        for owner in &unknown {
            if self.is_absent(owner, &item.key).await? {
                absent.insert(Arc::clone(&owner.uid));
            }
        }
        let verdict = self.graph.lock().decide(&uid, &item, &absent);
        let again = absent.len() < unknown.len();
        self.carry_out(&uid, &item, &metadata, verdict).await?;
        Ok(again.then_some(UNKNOWN_OWNER))
    }

    /// Whether the graph alone shows that nothing is to be done: the common case, without a call.
    fn is_settled(&self, uid: &str, item: &Item) -> bool {
        let graph = self.graph.lock();
        match item.deletion {
            Deletion::Other => true,
            Deletion::Foreground | Deletion::Orphan => false,
            Deletion::No(_) => {
                graph.unknown_owners(item).is_empty()
                    && graph.decide(uid, item, &HashSet::new()) == Verdict::Keep
            }
        }
    }

    /// Whether the API does not have this incarnation of the owner, where the object may own it.
    async fn is_absent(&self, owner: &Owner, dependent: &ObjectKey) -> Result<bool, CallError> {
        let kind = self
            .catalog
            .find(&owner.api_version, &owner.kind)
            .await?
            .ok_or_else(|| {
                CallError::NotFound(format!(
                    "kind {} of {} that owns {dependent}",
                    owner.kind, owner.api_version
                ))
            })?;
        let namespace = match (kind.scope, &dependent.namespace) {
            (Scope::Cluster, _) => None,
            (Scope::Namespaced, Some(namespace)) => Some(Arc::clone(namespace)),
            (Scope::Namespaced, None) => {
                // The reference leads nowhere, but it is a mistake rather than garbage.
                tracing::warn!(%dependent, owner = %owner.name, "a cluster-scoped object names a namespaced owner");
                return Ok(false);
            }
        };
        let key = ObjectKey {
            namespace,
            name: Arc::from(&*owner.name),
        };
        let live = self.api.get_metadata(&kind, &key).await?;
        let uid = live.as_ref().and_then(|live| live.pointer("/metadata/uid"));
        Ok(uid.and_then(Value::as_str) != Some(&owner.uid))
    }

    async fn carry_out(
        &self,
        uid: &Uid,
        item: &Item,
        meta: &ObjectMeta,
        verdict: Verdict,
    ) -> Result<(), CallError> {
        match verdict {
            Verdict::Keep => Ok(()),
            Verdict::DropOwners(stale) => self.drop_owners(item, meta, &stale).await,
            Verdict::Delete(how) => {
                let policy = PropagationPolicy::from(how);
                tracing::info!(kind = %item.kind, key = %item.key, ?policy, "collecting garbage");
                self.api.delete(&item.kind, &item.key, uid, policy).await
            }
            Verdict::Await(blocking) => {
                self.look_at(blocking);
                Ok(())
            }
            Verdict::ReleaseForeground => {
                self.drop_finalizer(item, meta, "foregroundDeletion").await
            }
            Verdict::Orphan(dependents) => {
                for dependent in dependents {
                    self.orphan(&dependent, uid).await?;
                }
                self.drop_finalizer(item, meta, "orphan").await
            }
        }
    }

    async fn orphan(&self, dependent: &str, owner: &Uid) -> Result<(), CallError> {
        let Some(item) = self.graph.lock().get(dependent).cloned() else {
            return Ok(());
        };
        let Some(live) = self.api.get_metadata(&item.kind, &item.key).await? else {
            return Ok(());
        };
        match Bare::deserialize(&live) {
            Ok(Bare { metadata }) if metadata.uid.as_deref() == Some(dependent) => {
                let stale = [Arc::clone(owner)];
                self.drop_owners(&item, &metadata, &stale).await
            }
            _ => Ok(()),
        }
    }

    async fn drop_owners(
        &self,
        item: &Item,
        meta: &ObjectMeta,
        stale: &[Uid],
    ) -> Result<(), CallError> {
        let references = meta.owner_references.clone().unwrap_or_default();
        let kept: Vec<_> = references
            .iter()
            .filter(|owner| !stale.iter().any(|uid| **uid == *owner.uid))
            .collect();
        if kept.len() == references.len() {
            return Ok(());
        }
        self.patch_metadata(item, meta, json!({"ownerReferences": kept}))
            .await
    }

    async fn drop_finalizer(
        &self,
        item: &Item,
        meta: &ObjectMeta,
        finalizer: &str,
    ) -> Result<(), CallError> {
        let kept: Vec<&String> = meta
            .finalizers
            .iter()
            .flatten()
            .filter(|known| *known != finalizer)
            .collect();
        self.patch_metadata(item, meta, json!({"finalizers": kept}))
            .await
    }

    /// Changes exactly the object that was read; a newer one is looked at again.
    async fn patch_metadata(
        &self,
        item: &Item,
        meta: &ObjectMeta,
        mut change: Value,
    ) -> Result<(), CallError> {
        change["uid"] = meta.uid.clone().into();
        change["resourceVersion"] = meta.resource_version.clone().into();
        let patch = json!({"metadata": change});
        match self.api.merge(&item.kind, &item.key, &patch).await {
            Ok(_) | Err(CallError::NotFound(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Counts a watch as unsynced until its first list is in, or its task has ended.
struct Synced<'a>(Option<&'a watch::Sender<usize>>);

impl Synced<'_> {
    fn done(&mut self) {
        if let Some(unsynced) = self.0.take() {
            unsynced.send_modify(|left| *left -= 1);
        }
    }
}

impl Drop for Synced<'_> {
    fn drop(&mut self) {
        self.done();
    }
}

/// Events expire by themselves, are many, and are never owned.
fn is_collected(kind: &Kind) -> bool {
    kind.kind != "Event"
}
