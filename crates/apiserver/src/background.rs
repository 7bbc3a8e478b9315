//! What the server does on its own: forgetting old events, emptying definitions that go, and
//! counting what quotas limit.

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval};

use crate::{
    admission::quotas,
    bootstrap, crd, metadata,
    server::Server,
    store::{ChangeKind, Expect, Key, Object, Scope, StoreError, Write},
};

/// How long events are kept after their last change.
const EVENT_LIFETIME: SignedDuration = SignedDuration::from_hours(1);
const SWEEP_INTERVAL: Duration = Duration::from_mins(5);

/// Starts the tasks; they end when the server stops.
pub(crate) fn start(server: &Arc<Server>) {
    server
        .tasks
        .spawn(while_running(Arc::clone(server), sweep_events));
    server
        .tasks
        .spawn(while_running(Arc::clone(server), empty_definitions));
    server
        .tasks
        .spawn(while_running(Arc::clone(server), keep_own_service));
    server
        .tasks
        .spawn(while_running(Arc::clone(server), quotas::keep_counted));
}

async fn while_running<F>(server: Arc<Server>, task: impl FnOnce(Arc<Server>) -> F)
where
    F: Future<Output = ()>,
{
    let stop = server.stop.clone();
    tokio::select! {
        () = stop.cancelled() => {}
        () = task(server) => {}
    }
}

async fn sweep_events(server: Arc<Server>) {
    let mut ticks = interval(SWEEP_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let oldest = Timestamp::now() - EVENT_LIFETIME;
        for (key, event) in server.store.list(&Scope::new("", "events", "")).objects {
            if last_seen(&event.parse()).is_some_and(|seen| seen < oldest) {
                remove(&server, key, &event).await;
            }
        }
    }
}

/// When an event was last heard of.
fn last_seen(event: &Value) -> Option<Timestamp> {
    [
        &event["series"]["lastObservedTime"],
        &event["lastTimestamp"],
        &event["eventTime"],
        &event["metadata"]["creationTimestamp"],
    ]
    .into_iter()
    .filter_map(Value::as_str)
    .filter_map(|time| time.parse().ok())
    .max()
}

/// Puts the API's own Service back when somebody deletes it: `kubectl delete all --all` does.
async fn keep_own_service(server: Arc<Server>) {
    let services = Scope::new("", "services", "default");
    let own = Key::new("", "services", "default", "kubernetes");
    while !server.stop.is_cancelled() {
        let (_, mut subscription) = server.store.list_and_watch(&services);
        if server.store.get(&own).is_none()
            && let Err(error) = bootstrap::run(&server).await
        {
            tracing::warn!(%error, "the Service of the API is missing");
        }
        while let Some(change) = subscription.queue.recv().await {
            if change.key == own && change.kind == ChangeKind::Deleted {
                break;
            }
        }
    }
}

/// Deletes the objects of every definition that is being deleted, and then lets it go.
async fn empty_definitions(server: Arc<Server>) {
    let definitions = Scope::new(crd::GROUP, "customresourcedefinitions", "");
    loop {
        let (snapshot, mut subscription) = server.store.list_and_watch(&definitions);
        let going: Vec<Arc<Object>> = snapshot
            .objects
            .into_iter()
            .map(|(_, definition)| definition)
            .filter(|definition| {
                metadata::is_deleting(definition.value())
                    && metadata::finalizers(definition.value()).contains(crd::CLEANUP_FINALIZER)
            })
            .collect();
        let mut unfinished = false;
        for definition in &going {
            unfinished |= !empty(&server, definition).await;
        }
        // What still has finalizers is looked at again; otherwise a change brings the next round.
        let pause = if unfinished {
            Duration::from_millis(200)
        } else {
            Duration::from_hours(1)
        };
        tokio::select! {
            change = subscription.queue.recv() => if change.is_none() && server.stop.is_cancelled() {
                return;
            },
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Deletes the objects of a definition; once there are none, removes the finalizer. Says whether
/// it is done.
async fn empty(server: &Arc<Server>, definition: &Arc<Object>) -> bool {
    let value = definition.value();
    let text = |field: &Value| field.as_str().unwrap_or_default().to_owned();
    let group = text(&value["spec"]["group"]);
    let plural = text(&value["spec"]["names"]["plural"]);
    let objects = server.store.list(&Scope::new(&group, &plural, "")).objects;
    if objects.is_empty() {
        let mut next = value.clone();
        let mut finalizers = metadata::finalizers(value);
        finalizers.remove(crd::CLEANUP_FINALIZER);
        next["metadata"]["finalizers"] = json!(finalizers);
        let write = if finalizers.is_empty() {
            Write::Delete(next)
        } else {
            Write::Put(next)
        };
        let name = metadata::text(value, "name");
        let key = Key::new(crd::GROUP, "customresourcedefinitions", "", name);
        let expect = Expect::Revision(definition.revision());
        let done = server.store.commit(key, expect, write).await.is_ok();
        server.registry.refresh(&server.store);
        return done;
    }
    for (key, object) in objects {
        let mut next = object.parse();
        if metadata::finalizers(&next).is_empty() {
            remove(server, key, &object).await;
        } else if !metadata::is_deleting(&next) {
            next["metadata"]["deletionTimestamp"] = json!(metadata::now());
            next["metadata"]["deletionGracePeriodSeconds"] = json!(0);
            let expect = Expect::Revision(object.revision());
            log(server.store.commit(key, expect, Write::Put(next)).await);
        }
    }
    false
}

async fn remove(server: &Server, key: Key, object: &Object) {
    let write = Write::Delete(object.parse());
    log(server
        .store
        .commit(key, Expect::Revision(object.revision()), write)
        .await);
}

/// A conflict means that somebody else changed the object: the next round sees it. That there is
/// no room the store says itself, once.
fn log(result: Result<Arc<Object>, StoreError>) {
    match result {
        Ok(_) | Err(StoreError::Conflict { .. } | StoreError::Closed | StoreError::Full(_)) => {}
        Err(error) => tracing::warn!(%error, "a background write failed"),
    }
}
