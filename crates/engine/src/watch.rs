//! Keeps a store up to date: kube's watcher in, store changes out.
//!
//! Laws: a list that was complete replaces the store's part at once; a watch that ended is resumed
//! where it was; one that fell out of the server's window is listed again; errors are retried with
//! a backoff that starts short and has a cap; a list that hangs is abandoned and begun again.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use kube::api::ObjectMeta;
use kube::core::DynamicResourceScope;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, Resource};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::kind::Kind;
use crate::metrics::Metrics;
use crate::object::Object;
use crate::store::{Prepared, Store};

/// The first wait after an error, and the longest.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(30));

/// A watch that held this long without an error starts over with the first wait.
const HEALTHY: Duration = Duration::from_mins(1);

/// How long the next piece of a list may take.
const LIST_PATIENCE: Duration = Duration::from_mins(1);

/// Feeds one part of a store (a namespace, or everything) until `stop`; `listed` is called once,
/// after the first full list.
pub(crate) async fn feed(
    store: Arc<Store>,
    client: Client,
    namespace: Option<String>,
    metrics: Metrics,
    listed: impl FnOnce() + Send + 'static,
    stop: CancellationToken,
) {
    let mut feed = Feed {
        store,
        namespace,
        metrics,
        list: None,
        listed: Some(Box::new(listed)),
    };
    let mut backoff = Backoff::new();
    loop {
        // A watcher only ends by being abandoned: its list hung.
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = feed.follow(&client, &mut backoff) => {}
        }
    }
}

struct Feed {
    store: Arc<Store>,
    namespace: Option<String>,
    metrics: Metrics,
    /// The list that is being read.
    list: Option<Vec<Prepared>>,
    /// Who waits for the first list; nobody any more once it was there.
    listed: Option<Box<dyn FnOnce() + Send>>,
}

impl Feed {
    async fn follow(&mut self, client: &Client, backoff: &mut Backoff) {
        let kind = self.store.kind().clone();
        let api: Api<Raw> = match &self.namespace {
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, &kind),
            None => Api::all_with(client.clone(), &kind),
        };
        let config = watcher::Config {
            label_selector: self.store.label_selector().map(str::to_owned),
            ..watcher::Config::default()
        };
        self.list = None;
        let mut events = watcher::watcher(api, config).boxed();
        let mut listing = true;
        loop {
            let next = if listing {
                match tokio::time::timeout(LIST_PATIENCE, events.try_next()).await {
                    Ok(next) => next,
                    Err(_elapsed) => {
                        tracing::warn!(%kind, "a list did not go on and is begun again");
                        self.metrics.watch_failed(&kind);
                        return;
                    }
                }
            } else {
                events.try_next().await
            };
            match next {
                Ok(Some(event)) => {
                    match &event {
                        Event::Init => listing = true,
                        Event::InitDone => listing = false,
                        _ => {}
                    }
                    self.take(event);
                }
                Ok(None) => return,
                Err(error) => {
                    self.metrics.watch_failed(&kind);
                    let wait = backoff.next(Instant::now());
                    if self.listed.is_none() {
                        tracing::debug!(%kind, %error, ?wait, "a watch failed");
                    } else {
                        tracing::warn!(%kind, %error, ?wait, "the first list failed");
                    }
                    self.store.set_problem(Some(error.to_string()));
                    tokio::time::sleep(wait).await;
                }
            }
        }
    }

    fn take(&mut self, event: Event<Raw>) {
        if !matches!(event, Event::Init) && self.store.problem().is_some() {
            self.store.set_problem(None);
        }
        match event {
            Event::Init => self.list = Some(Vec::new()),
            Event::InitApply(raw) => {
                let prepared = self.store.prepare(raw.object(self.store.kind()));
                self.list.get_or_insert_default().push(prepared);
            }
            Event::InitDone => {
                let list = self.list.take().unwrap_or_default();
                self.store.replace(self.namespace.as_deref(), list);
                self.metrics.listed(self.store.kind());
                if let Some(listed) = self.listed.take() {
                    listed();
                }
            }
            Event::Apply(raw) => self.store.upsert(raw.object(self.store.kind())),
            Event::Delete(raw) => self.store.remove(&raw.object(self.store.kind())),
        }
        self.metrics
            .store_size(self.store.kind(), self.store.len(), self.store.text_bytes());
    }
}

struct Backoff {
    next: Duration,
    last_error: Option<Instant>,
}

impl Backoff {
    fn new() -> Self {
        Self {
            next: BACKOFF.0,
            last_error: None,
        }
    }

    fn next(&mut self, now: Instant) -> Duration {
        if self
            .last_error
            .is_some_and(|last| now.duration_since(last) > HEALTHY + self.next)
        {
            self.next = BACKOFF.0;
        }
        self.last_error = Some(now);
        let wait = self.next;
        self.next = (self.next * 2).min(BACKOFF.1);
        wait
    }
}

/// An object as it comes, with just enough typing for kube's watcher.
#[derive(Debug, Clone)]
struct Raw {
    meta: ObjectMeta,
    value: Value,
}

impl Raw {
    fn object(self, kind: &Kind) -> Object {
        Object::new(self.value).with_kind(kind)
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let object = Object::new(Value::deserialize(deserializer)?);
        // The watcher resumes from the resourceVersion and needs nothing else.
        let meta = ObjectMeta {
            name: Some(object.name().to_owned()),
            resource_version: Some(object.resource_version().to_owned()),
            ..ObjectMeta::default()
        };
        Ok(Self {
            meta,
            value: object.into_value(),
        })
    }
}

impl Resource for Raw {
    type DynamicType = Kind;
    type Scope = DynamicResourceScope;

    fn kind(kind: &Kind) -> Cow<'_, str> {
        Cow::Borrowed(&kind.kind)
    }

    fn group(kind: &Kind) -> Cow<'_, str> {
        Cow::Borrowed(&kind.group)
    }

    fn version(kind: &Kind) -> Cow<'_, str> {
        Cow::Borrowed(&kind.version)
    }

    fn plural(kind: &Kind) -> Cow<'_, str> {
        Cow::Borrowed(&kind.plural)
    }

    fn meta(&self) -> &ObjectMeta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.meta
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_backoff_grows_to_its_cap_and_starts_over_after_a_healthy_time() {
        let mut backoff = Backoff::new();
        let mut now = Instant::now();
        let mut last = Duration::ZERO;
        for _ in 0..20 {
            let wait = backoff.next(now);
            assert!(wait >= last && wait <= BACKOFF.1);
            last = wait;
            now += wait;
        }
        assert_eq!(last, BACKOFF.1);
        assert_eq!(backoff.next(now + HEALTHY + BACKOFF.1 * 2), BACKOFF.0);
    }
}
