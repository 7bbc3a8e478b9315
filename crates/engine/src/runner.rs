//! The loop of one controller: triggers in, passes out.
//!
//! Owns the queue, the state between passes and every task that works for the controller. Active
//! only during a term of leadership; when the term ends, running passes stop at their next await
//! and everything in memory is forgotten, because from then on another process may act.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use futures::FutureExt;
use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::api::ApiClient;
use crate::controller::{Class, Controller, Link};
use crate::events::Recorder;
use crate::externals::{Externals, Request};
use crate::health::Health;
use crate::kind::ObjectKey;
use crate::metrics::Metrics;
use crate::object::Object;
use crate::pass::{ObjectState, Pass, PassEnd, PassError, failure_event};
use crate::queue::{Job, Outcome, QueueConfig, WorkQueue};
use crate::store::{Store, Subscriber};
use crate::territory::Served;
use crate::view::External;

/// A timer never sleeps longer than this: wall clocks jump, and `wake_at` is wall time.
const LONGEST_SLEEP: Duration = Duration::from_mins(10);

/// How often an idle loop shows that it is alive.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// What a runner shares with the rest of the engine.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) api: ApiClient,
    pub(crate) recorder: Recorder,
    pub(crate) metrics: Metrics,
    pub(crate) health: Health,
    pub(crate) served: Served,
    pub(crate) clock: Clock,
    /// How long running passes may go on after a shutdown was asked for.
    pub(crate) drain: Duration,
}

/// Where plans get their time from.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The tokens that end a runner's work.
#[derive(Debug, Clone)]
pub(crate) struct Ends {
    /// Leadership is lost: stop at the next await.
    pub(crate) term: CancellationToken,
    /// Shutdown: take nothing new, let what runs end.
    pub(crate) shutdown: CancellationToken,
}

/// A runner whose controller's types are no longer visible.
pub(crate) trait Run: Send + Sync {
    fn name(&self) -> &'static str;
    fn primary(&self) -> &Arc<Store>;
    /// A namespace has become the engine's, and the stores know all of it.
    fn entered(&self, namespace: &str);
    fn run_term(self: Arc<Self>, ends: Ends) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}

/// The loop of one controller.
pub(crate) struct Runner<C> {
    controller: C,
    manager: String,
    primary: Arc<Store>,
    links: Vec<(Arc<Store>, Link)>,
    stores: Arc<[Arc<Store>]>,
    shared: Shared,
    queue: Mutex<WorkQueue>,
    wake: Notify,
    active: AtomicBool,
    states: Mutex<HashMap<ObjectKey, ObjectState>>,
    externals: Externals,
    requests: tokio::sync::Mutex<mpsc::UnboundedReceiver<Request>>,
}

impl<C: Controller> Runner<C> {
    /// A runner that is told of every change of its stores.
    pub(crate) fn new(
        controller: C,
        primary: Arc<Store>,
        links: Vec<(Arc<Store>, Link)>,
        shared: Shared,
        config: QueueConfig,
    ) -> Arc<Self> {
        let children = links.iter().map(|(store, _)| Arc::clone(store));
        let stores: Arc<[Arc<Store>]> = std::iter::once(Arc::clone(&primary))
            .chain(children)
            .collect();
        let (externals, requests) = Externals::new();
        let runner = Arc::new(Self {
            manager: format!("windlass-{}", controller.name()),
            controller,
            primary,
            links,
            stores,
            shared,
            queue: Mutex::new(WorkQueue::new(config)),
            wake: Notify::new(),
            active: AtomicBool::new(false),
            states: Mutex::default(),
            externals,
            requests: tokio::sync::Mutex::new(requests),
        });
        for store in runner.stores.iter() {
            let subscriber: Weak<dyn Subscriber> = Arc::<Self>::downgrade(&runner);
            store.subscribe(subscriber);
        }
        runner
    }

    fn trigger(&self, key: &ObjectKey, class: Class) {
        if !self.active.load(Ordering::Acquire) {
            return;
        }
        let now = monotonic_now();
        self.queue.lock().trigger(key, class, now, now);
        self.wake.notify_one();
    }

    /// Everything is planned once at the start of a term: what happened before is not known.
    fn begin(&self) {
        self.active.store(true, Ordering::Release);
        for object in self.primary.all(None) {
            self.trigger(&object.key(), self.controller.class(&object));
        }
    }

    fn end(&self) {
        self.active.store(false, Ordering::Release);
        self.queue.lock().clear();
        self.states.lock().clear();
        self.externals.clear();
    }

    async fn work(self: &Arc<Self>, ends: &Ends) {
        let name = self.controller.name();
        let mut requests = self.requests.lock().await;
        let mut passes: JoinSet<()> = JoinSet::new();
        let mut external_work: JoinSet<()> = JoinSet::new();
        loop {
            self.shared.health.beat(name);
            let next_timer = self.start_ready(&mut passes);
            let idle_until = monotonic_now() + HEARTBEAT;
            let sleep_until = next_timer.map_or(idle_until, |timer| timer.min(idle_until));
            tokio::select! {
                biased;
                () = ends.term.cancelled() => break,
                () = ends.shutdown.cancelled() => break,
                Some(_) = passes.join_next() => {}
                Some(_) = external_work.join_next() => {}
                Some(request) = requests.recv() => {
                    external_work.spawn(Arc::clone(self).run_external(request));
                }
                () = self.wake.notified() => {}
                () = tokio::time::sleep_until(sleep_until.into()) => {}
            }
        }
        // External work may take minutes and can be asked for again; it is not waited for.
        external_work.shutdown().await;
        let drained = async { while passes.join_next().await.is_some() {} };
        tokio::select! {
            () = ends.term.cancelled() => {}
            ended = tokio::time::timeout(self.shared.drain, drained) => {
                if ended.is_err() {
                    tracing::warn!(controller = name, "passes did not end in time and are cut off");
                }
            }
        }
        passes.shutdown().await;
    }

    /// Gives ready keys to free workers; returns when the next timer is due.
    fn start_ready(self: &Arc<Self>, passes: &mut JoinSet<()>) -> Option<Instant> {
        let mut queue = self.queue.lock();
        let now = monotonic_now();
        while let Some(job) = queue.pop(now) {
            self.shared
                .metrics
                .took_from_queue(self.controller.name(), &job);
            passes.spawn(Arc::clone(self).process(job));
        }
        self.shared.metrics.queue(self.controller.name(), &queue);
        queue.next_timer()
    }

    async fn process(self: Arc<Self>, job: Job) {
        let started = Instant::now();
        let key = &job.key;
        let mut state = self.states.lock().remove(key).unwrap_or_default();
        let now = (self.shared.clock)();
        let pass = Pass {
            controller: &self.controller,
            primary: &self.primary,
            stores: &self.stores,
            api: &self.shared.api,
            manager: &self.manager,
            recorder: &self.shared.recorder,
            externals: &self.externals,
            served: &self.shared.served,
            clock: &self.shared.clock,
            now,
        };
        // State is only ever replaced as a whole, so a panic leaves nothing half done in it.
        let end = AssertUnwindSafe(pass.run(key, &mut state))
            .catch_unwind()
            .await;
        let end = end.unwrap_or_else(|panic| {
            PassEnd::Failed(PassError::Bug(format!(
                "the plan panicked: {}",
                panic_text(&panic)
            )))
        });
        let result = self.report(key, &end, now);
        self.shared
            .metrics
            .pass(self.controller.name(), result, started.elapsed());

        let (class, outcome) = outcome(&job, &end, &state, now);
        if outcome == Outcome::Gone {
            self.externals.forget(key);
        } else if !state.is_blank() {
            self.states.lock().insert(key.clone(), state);
        }
        self.queue.lock().done(key, class, outcome, monotonic_now());
        self.wake.notify_one();
    }

    fn report(&self, key: &ObjectKey, end: &PassEnd, now: Timestamp) -> &'static str {
        let controller = self.controller.name();
        match end {
            PassEnd::Settled { .. } => "Settled",
            PassEnd::Behind { .. } => "Behind",
            PassEnd::Gone => "Gone",
            PassEnd::Failed(error) => {
                match error {
                    PassError::Bug(_) => tracing::error!(controller, %key, %error, "a pass failed"),
                    PassError::Invalid(_) => {
                        tracing::warn!(controller, %key, %error, "a pass failed");
                    }
                    _ => tracing::debug!(controller, %key, %error, "a pass failed"),
                }
                if let (Some(event), Some(object)) = (failure_event(error), self.primary.get(key)) {
                    self.shared.recorder.record(controller, &object, event, now);
                }
                error.reason()
            }
        }
    }

    async fn run_external(self: Arc<Self>, request: Request) {
        let Request { object, external } = request;
        let work = self.controller.external(object.clone(), external.clone());
        let result = match AssertUnwindSafe(work).catch_unwind().await {
            Ok(Ok(value)) => External::Done(value),
            Ok(Err(message)) => External::Failed(message),
            Err(panic) => External::Failed(format!("panicked: {}", panic_text(&panic))),
        };
        self.externals.finish(&object, external, result);
        self.trigger(&object.key(), Class::Status);
    }
}

impl<C: Controller> Run for Runner<C> {
    fn name(&self) -> &'static str {
        self.controller.name()
    }

    fn primary(&self) -> &Arc<Store> {
        &self.primary
    }

    fn entered(&self, namespace: &str) {
        for object in self.primary.all(Some(namespace)) {
            self.trigger(&object.key(), self.controller.class(&object));
        }
    }

    fn run_term(self: Arc<Self>, ends: Ends) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move {
            let synced = async {
                for store in self.stores.iter() {
                    store.wait_synced().await;
                }
            };
            tokio::select! {
                () = ends.term.cancelled() => return,
                () = ends.shutdown.cancelled() => return,
                () = self.beat_until(synced) => {}
            }
            self.begin();
            self.work(&ends).await;
            self.end();
            self.shared.health.retire(self.controller.name());
        })
    }
}

impl<C: Controller> Runner<C> {
    /// Waiting for stores is not being stuck: the loop is alive, only not ready.
    async fn beat_until(&self, done: impl Future<Output = ()>) {
        tokio::pin!(done);
        loop {
            self.shared.health.beat(self.controller.name());
            if tokio::time::timeout(HEARTBEAT, &mut done).await.is_ok() {
                return;
            }
        }
    }
}

impl<C: Controller> Subscriber for Runner<C> {
    fn changed(&self, store: &Store, old: Option<&Object>, new: Option<&Object>) {
        // A controller watches each kind once, so the kind names the store.
        let is_primary = store.kind() == self.primary.kind();
        let neighbours = if is_primary {
            self.controller.neighbours(old, new)
        } else {
            Vec::new()
        };
        if !self.active.load(Ordering::Acquire) {
            return;
        }
        for key in &neighbours {
            self.trigger(key, Class::New);
        }
        if is_primary {
            if let Some(object) = new {
                self.trigger(&object.key(), self.controller.class(object));
            } else if let Some(object) = old {
                self.trigger(&object.key(), Class::Status);
            }
        }
        for (linked, link) in &self.links {
            if store.kind() == linked.kind() {
                let mut keys: Vec<ObjectKey> = [old, new]
                    .into_iter()
                    .flatten()
                    .flat_map(|child| link.primaries(self.primary.kind(), child))
                    .collect();
                keys.sort_unstable();
                keys.dedup();
                // Something of the object runs, or has just ended.
                for key in &keys {
                    self.trigger(key, Class::Status);
                }
            }
        }
    }
}

/// When the queue should run an object again.
fn outcome(job: &Job, end: &PassEnd, state: &ObjectState, now: Timestamp) -> (Class, Outcome) {
    match end {
        PassEnd::Settled { wake_at, class } => {
            let timer = wake_at.map(|at| {
                let wait = Duration::try_from(at.duration_since(now)).unwrap_or_default();
                monotonic_now() + wait.min(LONGEST_SLEEP)
            });
            // If the watch never shows what was written, the next pass reads live.
            let again = match (timer, state.gate.deadline()) {
                (Some(timer), Some(deadline)) => Some(timer.min(deadline)),
                (timer, deadline) => timer.or(deadline),
            };
            (*class, Outcome::Settled { again })
        }
        PassEnd::Behind { until } => (job.class, Outcome::Parked { until: *until }),
        PassEnd::Gone => (Class::New, Outcome::Gone),
        PassEnd::Failed(PassError::Conflict(_)) => (job.class, Outcome::Conflicted),
        PassEnd::Failed(error) => (
            job.class,
            Outcome::Failed {
                at_least: error.at_least(),
            },
        ),
    }
}

fn monotonic_now() -> Instant {
    tokio::time::Instant::now().into_std()
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}
