//! Puts controllers, stores, leadership, events and probes together, and ends them in order.
//!
//! Every task the engine starts is owned by [`Engine::run`] and joined before it returns. The end
//! goes from the inside out: no new passes, running passes finish within their deadline, the Lease
//! is given back, events are flushed, watches and probes stop.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::Client;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::api::ApiClient;
use crate::controller::{Controller, Link, Watch};
use crate::events::{EventWriter, recorder};
use crate::health::{self, Health, Role};
use crate::kind::Kind;
use crate::lease::{self, Leadership, LeaseConfig};
use crate::metrics::Metrics;
use crate::queue::QueueConfig;
use crate::runner::{Clock, Ends, Run, Runner, Shared};
use crate::store::Store;
use crate::territory::{self, Keeper, Served, Territory};
use crate::watch::feed;
use crate::webhook::{Webhook, WebhookConfig};

/// How long one API call may take, unless told otherwise.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// How long running passes may go on after a shutdown was asked for, unless told otherwise.
const DRAIN: Duration = Duration::from_secs(20);

/// How long queued events may take to be written at the end.
const EVENT_FLUSH: Duration = Duration::from_secs(5);

/// Controllers that are ready to run.
pub struct Engine {
    api: ApiClient,
    metrics: Metrics,
    health: Health,
    territory: Territory,
    /// The namespaces with the label, where that decides.
    namespaces: Option<Arc<Store>>,
    served: Served,
    stores: Vec<Arc<Store>>,
    runners: Vec<Arc<dyn Run>>,
    event_writer: EventWriter,
    lease: Option<LeaseConfig>,
    probes: Option<TcpListener>,
    webhook: Option<Webhook>,
}

/// Collects what an [`Engine`] is made of.
pub struct EngineBuilder {
    client: Client,
    component: String,
    identity: String,
    territory: Territory,
    lease: Option<LeaseConfig>,
    probes: Option<TcpListener>,
    webhook: Option<WebhookConfig>,
    metrics: Metrics,
    clock: Clock,
    call_timeout: Duration,
    drain: Duration,
    controllers: Vec<MakeRunner>,
}

/// Makes a controller's loop once it is known what controllers share.
type MakeRunner = Box<dyn FnOnce(&mut Stores<'_>, Shared) -> Result<Arc<dyn Run>, BuildError>>;

/// Why an engine could not be put together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// A view looks kinds up by name, so each may be watched once per controller.
    #[error("controller {controller} watches {kind} twice; merge the two watches")]
    WatchedTwice {
        /// The controller.
        controller: &'static str,
        /// The kind.
        kind: String,
    },
    /// Names are used as field managers and metric labels.
    #[error("two controllers are named {0}; names must be unique")]
    NamedTwice(&'static str),
    /// A queue without workers would never do anything.
    #[error("controller {0} has a concurrency of 0; it must be at least 1")]
    NoWorkers(&'static str),
    /// A leader must stop acting before others may start.
    #[error(
        "the lease's renew deadline ({renew_deadline:?}) must be shorter than its duration \
         ({duration:?}) and longer than its retry period ({retry_period:?})"
    )]
    LeaseTimes {
        /// The configured renew deadline.
        renew_deadline: Duration,
        /// The configured duration.
        duration: Duration,
        /// The configured retry period.
        retry_period: Duration,
    },
    /// The library that does TLS refuses its settings.
    #[error("the webhook cannot be served: {0}")]
    Tls(String),
}

/// Why an engine stopped without being asked to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// One of the engine's own tasks ended; everything else was shut down in order.
    #[error("the engine's {0} task ended unexpectedly")]
    TaskEnded(&'static str),
    /// One of the engine's own tasks panicked; everything else was shut down in order.
    #[error("a task of the engine panicked: {0}")]
    TaskPanicked(String),
}

impl Engine {
    /// Starts to put an engine together. Build the client with [`crate::api::client`], so that
    /// calls are retried by the engine alone.
    pub fn builder(client: Client) -> EngineBuilder {
        EngineBuilder {
            client,
            component: "windlass".to_owned(),
            identity: "windlass".to_owned(),
            territory: Territory::default(),
            lease: None,
            probes: None,
            webhook: None,
            metrics: Metrics::new(),
            clock: Arc::new(Timestamp::now),
            call_timeout: CALL_TIMEOUT,
            drain: DRAIN,
            controllers: Vec::new(),
        }
    }

    /// What the engine knows of its own state, for other servers and for waiting.
    pub fn health(&self) -> Health {
        self.health.clone()
    }

    /// The engine's metrics.
    pub fn metrics(&self) -> Metrics {
        self.metrics.clone()
    }

    /// The store of the primary objects of the controller with this name.
    pub fn primary(&self, controller: &str) -> Option<Arc<Store>> {
        let runner = self.runners.iter().find(|it| it.name() == controller)?;
        Some(Arc::clone(runner.primary()))
    }

    /// The store of a kind that some controller watches, for other readers; the first one where there
    /// are several.
    pub fn store(&self, kind: &Kind) -> Option<Arc<Store>> {
        let store = self.stores.iter().find(|store| store.kind() == kind)?;
        Some(Arc::clone(store))
    }

    /// Runs until `shutdown`, or until one of its own tasks fails.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), EngineError> {
        let end = Endings::default();
        let mut background: JoinSet<&'static str> = JoinSet::new();
        for store in &self.stores {
            for part in self.territory.parts(store.kind().scope) {
                let listed = Arc::clone(store);
                let task = feed(
                    Arc::clone(store),
                    self.api.client().clone(),
                    part,
                    self.metrics.clone(),
                    move || listed.part_synced(),
                    end.background.clone(),
                );
                background.spawn(named("watch", task));
            }
        }
        if let Some(namespaces) = self.namespaces {
            let keeper = Keeper {
                namespaces,
                stores: self.stores.clone(),
                runners: self.runners.clone(),
                served: self.served.clone(),
                client: self.api.client().clone(),
                metrics: self.metrics.clone(),
            };
            let task = keeper.keep(end.background.clone());
            background.spawn(named("namespaces", task));
        }
        if let Some(listener) = self.probes {
            let (health, metrics) = (self.health.clone(), self.metrics.clone());
            let task = health::serve(listener, health, metrics, end.background.clone());
            background.spawn(named("probe server", task));
        }
        let (leadership, mut terms) = watch::channel(Leadership::default());
        if let Some(webhook) = self.webhook {
            let stop = end.background.clone();
            let (server, keeper) = webhook.tasks(self.api.clone(), self.health.clone(), stop);
            background.spawn(named("webhook server", server));
            background.spawn(named("webhook certificates", keeper));
        }
        match self.lease {
            Some(config) => {
                let task = lease::seek(config, self.api.clone(), leadership, end.lease.clone());
                background.spawn(named("lease", task));
            }
            None => {
                leadership.send_replace(Leadership::Leader(CancellationToken::new()));
                // Nobody will ever say otherwise, so nobody must wait to be told.
                drop(leadership);
            }
        }
        let mut events = JoinSet::new();
        events.spawn(self.event_writer.run(end.events.clone()));

        let mut result = Ok(());
        while result.is_ok() && !shutdown.is_cancelled() {
            let role = terms.borrow_and_update().clone();
            show_role(&role, &self.health, &self.metrics);
            result = match role {
                Leadership::Leader(term) => {
                    let ends = Ends {
                        term,
                        shutdown: shutdown.child_token(),
                    };
                    run_term(&self.runners, &ends, &mut background).await
                }
                Leadership::Unknown | Leadership::Standby => tokio::select! {
                    () = shutdown.cancelled() => Ok(()),
                    // Without a lease task nothing changes any more.
                    Ok(()) = terms.changed() => Ok(()),
                    Some(ended) = background.join_next() => Err(unexpected(ended)),
                },
            };
        }

        end.lease.cancel();
        let _ = terms
            .wait_for(|role| !matches!(role, Leadership::Leader(_)))
            .await;
        show_role(&Leadership::Standby, &self.health, &self.metrics);
        end.events.cancel();
        let flushed = async { while events.join_next().await.is_some() {} };
        if tokio::time::timeout(EVENT_FLUSH, flushed).await.is_err() {
            events.shutdown().await;
        }
        end.background.cancel();
        while background.join_next().await.is_some() {}
        result
    }
}

/// The tokens that end the parts of an engine, in the order they are cancelled.
#[derive(Default)]
struct Endings {
    lease: CancellationToken,
    events: CancellationToken,
    background: CancellationToken,
}

/// Runs every controller for one term; returns when all have ended.
async fn run_term(
    runners: &[Arc<dyn Run>],
    ends: &Ends,
    background: &mut JoinSet<&'static str>,
) -> Result<(), EngineError> {
    let mut loops: JoinSet<&'static str> = JoinSet::new();
    for runner in runners {
        loops.spawn(named(
            runner.name(),
            Arc::clone(runner).run_term(ends.clone()),
        ));
    }
    let mut result = Ok(());
    loop {
        tokio::select! {
            ended = loops.join_next() => match ended {
                None => return result,
                Some(Ok(_)) if ends.term.is_cancelled() || ends.shutdown.is_cancelled() => {}
                Some(ended) => result = result.and(Err(unexpected(ended))),
            },
            Some(ended) = background.join_next() => result = result.and(Err(unexpected(ended))),
        }
        if result.is_err() {
            // Leave in good order: what runs may finish.
            ends.shutdown.cancel();
        }
    }
}

async fn named(name: &'static str, task: impl Future<Output = ()>) -> &'static str {
    task.await;
    name
}

fn unexpected(ended: Result<&'static str, tokio::task::JoinError>) -> EngineError {
    match ended {
        Ok(name) => EngineError::TaskEnded(name),
        Err(error) => EngineError::TaskPanicked(error.to_string()),
    }
}

fn show_role(role: &Leadership, health: &Health, metrics: &Metrics) {
    let role = match role {
        Leadership::Unknown => Role::Unknown,
        Leadership::Standby => Role::Standby,
        Leadership::Leader(_) => Role::Leader,
    };
    health.set_role(role);
    metrics.leading(role == Role::Leader);
}

impl EngineBuilder {
    /// Adds a controller with this many workers.
    #[must_use]
    pub fn controller<C: Controller>(mut self, controller: C, queue: QueueConfig) -> Self {
        self.controllers.push(Box::new(move |stores, shared| {
            stores.runner(controller, shared, queue)
        }));
        self
    }

    /// Watches these namespaces only; without any, the whole cluster.
    #[must_use]
    pub fn namespaces(self, namespaces: Vec<String>) -> Self {
        self.territory(Territory::of_namespaces(namespaces))
    }

    /// Is responsible for these objects only.
    #[must_use]
    pub fn territory(mut self, territory: Territory) -> Self {
        self.territory = territory;
        self
    }

    /// Acts only while holding this Lease; without one, always.
    #[must_use]
    pub fn lease(mut self, lease: LeaseConfig) -> Self {
        self.lease = Some(lease);
        self
    }

    /// Serves `/healthz`, `/readyz` and `/metrics` on this listener.
    #[must_use]
    pub fn probes(mut self, listener: TcpListener) -> Self {
        self.probes = Some(listener);
        self
    }

    /// Answers API servers that ask about writes, whether this process leads or not.
    #[must_use]
    pub fn webhook(mut self, webhook: WebhookConfig) -> Self {
        self.webhook = Some(webhook);
        self
    }

    /// What events name as their reporter: the program and this process of it.
    #[must_use]
    pub fn reporter(mut self, component: &str, instance: &str) -> Self {
        component.clone_into(&mut self.component);
        instance.clone_into(&mut self.identity);
        self
    }

    /// Adds the engine's numbers to these metrics.
    #[must_use]
    pub fn metrics(mut self, metrics: Metrics) -> Self {
        self.metrics = metrics;
        self
    }

    /// The time plans are made at.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// How long one API call may take.
    #[must_use]
    pub fn call_timeout(mut self, timeout: Duration) -> Self {
        self.call_timeout = timeout;
        self
    }

    /// How long running passes may go on after a shutdown was asked for.
    #[must_use]
    pub fn drain(mut self, drain: Duration) -> Self {
        self.drain = drain;
        self
    }

    /// Puts the engine together. Nothing runs before [`Engine::run`].
    pub fn build(self) -> Result<Engine, BuildError> {
        if let Some(lease) = &self.lease {
            check_times(lease)?;
        }
        let api = ApiClient::new(self.client, self.call_timeout, self.metrics.clone());
        let (recorder, event_writer) = recorder(
            api.clone(),
            self.metrics.clone(),
            &self.component,
            &self.identity,
        );
        let health = Health::default();
        let served = Served::of(&self.territory);
        let shared = Shared {
            api: api.clone(),
            recorder,
            metrics: self.metrics.clone(),
            health: health.clone(),
            served: served.clone(),
            clock: self.clock,
            drain: self.drain,
        };
        let mut stores = Stores {
            territory: &self.territory,
            by_watch: HashMap::new(),
        };
        let mut runners: Vec<Arc<dyn Run>> = Vec::new();
        for make in self.controllers {
            let runner = make(&mut stores, shared.clone())?;
            if runners.iter().any(|known| known.name() == runner.name()) {
                return Err(BuildError::NamedTwice(runner.name()));
            }
            runners.push(runner);
        }
        let mut stores: Vec<Arc<Store>> = stores.by_watch.into_values().collect();
        stores.sort_by(|a, b| a.kind().cmp(b.kind()));
        let namespaces = territory::namespaces(&self.territory);
        for store in stores.iter().chain(&namespaces) {
            health.watch_store(Arc::clone(store));
        }
        let webhook = self.webhook.map(Webhook::of).transpose();
        let webhook = webhook.map_err(|error| BuildError::Tls(error.to_string()))?;
        Ok(Engine {
            api,
            metrics: self.metrics,
            health,
            territory: self.territory,
            namespaces,
            served,
            stores,
            runners,
            event_writer,
            lease: self.lease,
            probes: self.probes,
            webhook,
        })
    }
}

fn check_times(lease: &LeaseConfig) -> Result<(), BuildError> {
    let LeaseConfig {
        duration,
        renew_deadline,
        retry_period,
        ..
    } = *lease;
    if retry_period < renew_deadline && renew_deadline < duration {
        return Ok(());
    }
    Err(BuildError::LeaseTimes {
        renew_deadline,
        duration,
        retry_period,
    })
}

/// One store per distinct watch, shared by all controllers.
struct Stores<'a> {
    territory: &'a Territory,
    by_watch: HashMap<Watch, Arc<Store>>,
}

impl Stores<'_> {
    fn of(&mut self, watch: &Watch) -> Arc<Store> {
        let parts = self.territory.first_lists(watch.kind.scope);
        let store = self
            .by_watch
            .entry(watch.clone())
            .or_insert_with(|| Arc::new(Store::new(watch, parts)));
        Arc::clone(store)
    }

    fn runner<C: Controller>(
        &mut self,
        controller: C,
        shared: Shared,
        queue: QueueConfig,
    ) -> Result<Arc<dyn Run>, BuildError> {
        let name = controller.name();
        if queue.concurrency == 0 {
            return Err(BuildError::NoWorkers(name));
        }
        let primary = self.territory.primary(controller.primary());
        let children = controller.children();
        let mut kinds = vec![&primary.kind];
        for child in &children {
            if kinds.contains(&&child.watch.kind) {
                let kind = child.watch.kind.to_string();
                return Err(BuildError::WatchedTwice {
                    controller: name,
                    kind,
                });
            }
            kinds.push(&child.watch.kind);
        }
        let primary = self.of(&primary);
        let links: Vec<(Arc<Store>, Link)> = children
            .into_iter()
            .map(|child| (self.of(&child.watch), child.link))
            .collect();
        Ok(Runner::new(controller, primary, links, shared, queue))
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use kube::client::Body;

    use super::*;
    use crate::api::ApiError;
    use crate::controller::{Child, Class};
    use crate::kind::ObjectKey;
    use crate::object::Object;
    use crate::plan::{Basis, Plan};
    use crate::view::View;

    struct Idle {
        name: &'static str,
        primary: Kind,
        children: Vec<Kind>,
    }

    impl Controller for Idle {
        type Status = ();
        type Observed = ();

        fn name(&self) -> &'static str {
            self.name
        }

        fn primary(&self) -> Watch {
            Watch::all(self.primary.clone())
        }

        fn children(&self) -> Vec<Child> {
            self.children
                .iter()
                .cloned()
                .map(Watch::all)
                .map(Child::owned)
                .collect()
        }

        fn class(&self, _: &Object) -> Class {
            Class::New
        }

        async fn observe(&self, _: &Object, _: &View) -> Result<(), ApiError> {
            Ok(())
        }

        fn plan(&self, _: &Object, (): &(), _: Timestamp) -> Plan<()> {
            Plan {
                status: (),
                effects: vec![],
                events: vec![],
                wake_at: None,
                basis: Basis::Cached,
            }
        }
    }

    fn idle(name: &'static str, primary: Kind, children: Vec<Kind>) -> Idle {
        Idle {
            name,
            primary,
            children,
        }
    }

    fn builder() -> EngineBuilder {
        let nobody = tower::service_fn(|_: http::Request<Body>| {
            std::future::pending::<Result<http::Response<Body>, Infallible>>()
        });
        Engine::builder(Client::new(nobody, "default"))
    }

    #[tokio::test]
    async fn controllers_share_a_store_when_they_watch_the_same() {
        let engine = builder()
            .controller(
                idle("a", Kind::SERVICE, vec![Kind::POD]),
                QueueConfig::default(),
            )
            .controller(
                idle("b", Kind::CONFIG_MAP, vec![Kind::POD]),
                QueueConfig::default(),
            )
            .build()
            .unwrap();
        let kinds: Vec<_> = engine
            .stores
            .iter()
            .map(|store| store.kind().to_string())
            .collect();
        assert_eq!(kinds, ["configmaps", "pods", "services"]);
    }

    #[tokio::test]
    async fn mistakes_in_the_wiring_are_refused() {
        let queue = QueueConfig::default();
        let twice = builder()
            .controller(idle("a", Kind::POD, vec![Kind::POD]), queue)
            .build();
        let watched = BuildError::WatchedTwice {
            controller: "a",
            kind: "pods".to_owned(),
        };
        assert_eq!(twice.err(), Some(watched));
        let named = builder()
            .controller(idle("a", Kind::POD, vec![]), queue)
            .controller(idle("a", Kind::SERVICE, vec![]), queue)
            .build();
        assert_eq!(named.err(), Some(BuildError::NamedTwice("a")));
        let none = QueueConfig {
            concurrency: 0,
            ..queue
        };
        let lazy = builder()
            .controller(idle("a", Kind::POD, vec![]), none)
            .build();
        assert_eq!(lazy.err(), Some(BuildError::NoWorkers("a")));
        let mut lease = LeaseConfig::new("system", "windlass", "me");
        lease.renew_deadline = lease.duration;
        assert!(matches!(
            builder().lease(lease).build().err(),
            Some(BuildError::LeaseTimes { .. })
        ));
    }

    #[test]
    fn a_link_by_owner_follows_group_and_kind_whatever_the_version() {
        let pod = Object::new(serde_json::json!({
            "metadata": {
                "namespace": "team", "name": "p",
                "ownerReferences": [
                    { "apiVersion": "apps/v1beta1", "kind": "Deployment", "name": "mine" },
                    { "apiVersion": "other/v1", "kind": "Deployment", "name": "not-mine" },
                ],
            },
        }));
        let deployments = Kind::namespaced("apps", "v1", "Deployment", "deployments");
        let found = Link::Owner.primaries(&deployments, &pod);
        assert_eq!(found, [ObjectKey::namespaced("team", "mine")]);
    }
}
