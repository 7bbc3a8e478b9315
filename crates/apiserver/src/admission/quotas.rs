//! The ResourceQuotas of a namespace: charged when something is written, counted again when
//! something goes.
//!
//! Laws: what is written has been charged before; while a count is taken, nothing that has been
//! charged is still to be written, so that no charge is lost; a charge for something that was not
//! written is taken back by the next count, which that brings about.

use std::{collections::BTreeSet, sync::Arc};

use jiff::Timestamp;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::{Notify, OwnedRwLockReadGuard, RwLock};
use windlass_apimachinery::{
    amounts::Amounts,
    quantity::Quantity,
    quota::{self, Item},
};

use crate::{
    http::Call,
    metadata,
    server::Server,
    status::{ApiError, ApiResult},
    store::{Expect, Key, Object, Scope, StoreError, Write},
};

const QUOTAS: &str = "resourcequotas";
/// How often a charge is computed again when somebody else charges the same quota.
const ATTEMPTS: usize = 64;

/// What is going on with the quotas of one cluster.
#[derive(Default)]
pub(crate) struct Quotas {
    /// Held for reading from a charge to its write, and for writing by a count.
    in_flight: Arc<RwLock<()>>,
    /// Namespaces to be counted.
    stale: Arc<Stale>,
}

#[derive(Default)]
struct Stale {
    namespaces: Mutex<BTreeSet<String>>,
    news: Notify,
}

impl Stale {
    fn note(&self, namespace: &str) {
        self.namespaces.lock().insert(namespace.to_owned());
        self.news.notify_one();
    }
}

/// What has been charged for a write that is not done yet.
pub(crate) struct Charge {
    _in_flight: OwnedRwLockReadGuard<()>,
    stale: Arc<Stale>,
    namespace: String,
    written: bool,
}

impl Charge {
    /// The write is done.
    pub(crate) fn settle(mut self) {
        self.written = true;
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        if !self.written {
            self.stale.note(&self.namespace);
        }
    }
}

/// Charges the quotas of the namespace for a write, or refuses it. A dry run is not charged.
pub(crate) async fn charge(
    call: &Call,
    object: &Value,
    old: Option<&Value>,
    dry_run: bool,
) -> ApiResult<Option<Charge>> {
    if !is_charged(call, old) || quotas(&call.server, &call.target.namespace).is_empty() {
        return Ok(None);
    }
    let server = &call.server;
    let in_flight = Arc::clone(&server.quotas.in_flight).read_owned().await;
    for _ in 0..ATTEMPTS {
        if charged(call, object, old, dry_run).await? {
            return Ok(Some(Charge {
                _in_flight: in_flight,
                stale: Arc::clone(&server.quotas.stale),
                namespace: call.target.namespace.clone(),
                written: dry_run,
            }));
        }
    }
    Err(ApiError::internal(
        "the quotas of the namespace change too often",
    ))
}

/// Tries once; not done means that somebody else was faster.
async fn charged(
    call: &Call,
    object: &Value,
    old: Option<&Value>,
    dry_run: bool,
) -> ApiResult<bool> {
    let item = Item {
        group: &call.resource.group,
        plural: &call.resource.plural,
        object,
    };
    // All quotas have to agree before one is charged.
    let mut next: Vec<(Key, Arc<Object>, Amounts)> = Vec::new();
    for (key, quota) in quotas(&call.server, &call.target.namespace) {
        match quota::charge(quota.value(), item, old, Timestamp::now()) {
            Ok(Some(used)) => next.push((key, quota, used)),
            Ok(None) => {}
            Err(why) => {
                let (group, plural) = (&call.resource.group, &call.resource.plural);
                let name = metadata::text(object, "name");
                return Err(ApiError::forbidden(group, plural, name, why));
            }
        }
    }
    if dry_run {
        return Ok(true);
    }
    for (key, quota, used) in next {
        let mut value = quota.value().clone();
        value["status"]["used"] = used.to_value();
        let expect = Expect::Revision(quota.revision());
        match call
            .server
            .store
            .commit(key, expect, Write::Put(value))
            .await
        {
            Ok(_) => {}
            Err(StoreError::Conflict { .. }) => {
                // Those charged already are counted again.
                call.server.quotas.stale.note(&call.target.namespace);
                return Ok(false);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(true)
}

/// Whether a write of this kind can use more than before.
fn is_charged(call: &Call, old: Option<&Value>) -> bool {
    let grows = call.resource.group.is_empty()
        && matches!(
            call.resource.plural.as_str(),
            "services" | "persistentvolumeclaims"
        );
    call.resource.namespaced && call.target.subresource.is_empty() && (old.is_none() || grows)
}

/// Has a namespace counted again, if it has quotas: something in it has gone or ended.
pub(crate) fn note_less(server: &Server, namespace: &str) {
    if !namespace.is_empty() && !quotas(server, namespace).is_empty() {
        server.quotas.stale.note(namespace);
    }
}

/// Counts namespaces again whenever that is needed.
pub(crate) async fn keep_counted(server: Arc<Server>) {
    // What was charged and not written when the server ended is not known any more.
    let all = server.store.list(&Scope::new("", QUOTAS, ""));
    for (_, quota) in all.objects {
        server
            .quotas
            .stale
            .note(metadata::text(quota.facts(), "namespace"));
    }
    loop {
        let stale = std::mem::take(&mut *server.quotas.stale.namespaces.lock());
        for namespace in stale {
            count(&server, &namespace).await;
        }
        server.quotas.stale.news.notified().await;
    }
}

/// Brings the status of a namespace's quotas up to date with what is there.
pub(crate) async fn count(server: &Server, namespace: &str) {
    let _nothing_in_flight = server.quotas.in_flight.write().await;
    for (key, quota) in quotas(server, namespace) {
        let status = counted(server, quota.value(), namespace);
        if quota.value()["status"] == status {
            continue;
        }
        let mut next = quota.value().clone();
        next["status"] = status;
        let expect = Expect::Revision(quota.revision());
        match server.store.commit(key, expect, Write::Put(next)).await {
            Ok(_) | Err(StoreError::Closed | StoreError::Full(_)) => {}
            // Its own change has it counted again.
            Err(StoreError::Conflict { .. }) => server.quotas.stale.note(namespace),
            Err(error) => {
                tracing::warn!(%error, namespace, "a quota could not be brought up to date");
            }
        }
    }
}

fn counted(server: &Server, quota: &Value, namespace: &str) -> Value {
    let hard = Amounts::read(&quota["spec"]["hard"]);
    let mut used = Amounts::default();
    for (name, _) in hard.iter() {
        used.set(name, Quantity::of_units(0));
    }
    let now = Timestamp::now();
    for (group, plural) in quota::counted(hard.iter().map(|(name, _)| name)) {
        let scope = Scope::new(&group, &plural, namespace);
        for (_, object) in server.store.list(&scope).objects {
            let value = object.parse();
            let item = Item {
                group: &group,
                plural: &plural,
                object: &value,
            };
            if item.is_in_scope(quota) {
                used.add(&item.usage(now).only(|name, _| hard.get(name).is_some()));
            }
        }
    }
    json!({"hard": hard.to_value(), "used": used.to_value()})
}

fn quotas(server: &Server, namespace: &str) -> Vec<(Key, Arc<Object>)> {
    server
        .store
        .list(&Scope::new("", QUOTAS, namespace))
        .objects
}
