//! The user-space service proxy: ClusterIP:port really listens, and leads to a ready endpoint.
//!
//! [`table`] says which addresses lead where, from Services and EndpointSlices; the wiring keeps
//! one listener for each address. A listener that goes takes its connections with it, and the
//! number of connections of all listeners together is bounded.

mod forward;
mod table;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Display;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Semaphore;
use windlass_engine::ObjectKey;

use crate::api::Api;
use crate::events::{Events, Note, Severity, Subject};
use crate::mirror::Mirror;
use crate::objects::{SERVICE, Service, Slice};
use crate::queue::Queue;
use forward::Listener;
use table::{Route, Table};

/// How many connections all Services together may have.
const CONNECTIONS: usize = 8192;
/// Services and slices come in bursts; one look a little later sees them all.
const SETTLE: Duration = Duration::from_millis(5);
/// How soon an address that could not be bound is tried again.
const BIND_AGAIN: Duration = Duration::from_secs(5);
/// A pass about all Services has this one key.
const PASS: &str = "services";

/// Keeps the listeners.
pub(crate) struct Proxy {
    events: Events,
    octet: u8,
    services: Arc<Mirror<Service>>,
    slices: Arc<Mirror<Slice>>,
    queue: Arc<Queue<&'static str>>,
    connections: Arc<Semaphore>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    listeners: HashMap<SocketAddr, Listener>,
    /// What the events have said already: the uid of the Service and what was wrong.
    told: HashSet<(String, String)>,
}

impl Proxy {
    pub(crate) fn new(
        api: Api,
        octet: u8,
        services: Arc<Mirror<Service>>,
        slices: Arc<Mirror<Slice>>,
    ) -> Self {
        let queue = Arc::new(Queue::new());
        let wake = Arc::clone(&queue);
        services.listen(move |change| {
            if change.old != change.new {
                wake.push_after(PASS, SETTLE);
            }
        });
        let wake = Arc::clone(&queue);
        slices.listen(move |change| {
            if change.old != change.new {
                wake.push_after(PASS, SETTLE);
            }
        });
        Self {
            events: Events::new(api, "windlass-proxy"),
            octet,
            services,
            slices,
            queue,
            connections: Arc::new(Semaphore::new(CONNECTIONS)),
            state: Mutex::default(),
        }
    }

    pub(crate) async fn run(self) {
        self.services.synced().await;
        self.slices.synced().await;
        self.queue.work("service proxy", |_| self.pass()).await;
    }

    async fn pass(&self) -> Result<Option<Duration>, Never> {
        let services = self.services.all();
        let network = Ipv4Addr::new(127, self.octet, 0, 0);
        let Table { routes, refused } = table::table(network, &services, &self.slices.all());
        let missing = self.keep(routes);
        let mut complaints = refused;
        for (address, route) in missing {
            match Listener::bind(address, route.clone(), Arc::clone(&self.connections)).await {
                Ok(listener) => {
                    self.state.lock().listeners.insert(address, listener);
                }
                Err(error) => complaints.push((
                    route.service.clone(),
                    format!("Cannot listen on {address}: {error}"),
                )),
            }
        }
        let again = (!complaints.is_empty()).then_some(BIND_AGAIN);
        self.complain(&services, complaints).await;
        Ok(again)
    }

    /// Ends listeners that lead nowhere any more, tells the others their route, and returns what
    /// is not listened to yet.
    fn keep(&self, mut routes: BTreeMap<SocketAddr, Route>) -> BTreeMap<SocketAddr, Route> {
        self.state
            .lock()
            .listeners
            .retain(|address, listener| match routes.remove(address) {
                Some(route) => {
                    listener.reroute(route);
                    true
                }
                None => false,
            });
        routes
    }

    /// Says once for each Service what it cannot have.
    async fn complain(
        &self,
        services: &[(ObjectKey, Arc<Service>)],
        complaints: Vec<(ObjectKey, String)>,
    ) {
        let by_key: HashMap<&ObjectKey, &Arc<Service>> = services
            .iter()
            .map(|(key, service)| (key, service))
            .collect();
        let live: HashSet<&str> = by_key.values().map(|service| &*service.uid).collect();
        self.state
            .lock()
            .told
            .retain(|(uid, _)| live.contains(uid.as_str()));
        for (key, text) in complaints {
            let Some(service) = by_key.get(&key) else {
                continue;
            };
            let news = (service.uid.clone(), text.clone());
            if !self.state.lock().told.insert(news) {
                continue;
            }
            let subject = Subject {
                kind: SERVICE,
                key: &key,
                uid: &service.uid,
            };
            let note = Note {
                severity: Severity::Warning,
                reason: "ProxyFailed",
                action: "Listen",
                text,
            };
            self.events.publish(&subject, &note).await;
        }
    }
}

/// A pass does what it can and reports the rest.
#[derive(Debug)]
enum Never {}

impl Display for Never {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match *self {}
    }
}
