//! The built-in controllers of the embedded cluster: garbage collection, namespaces, accounts,
//! Services, scheduling, workloads.
//!
//! On a real cluster kube-controller-manager, kube-scheduler and kube-proxy do this work. Here one
//! [`Cluster`] does what the embedded cluster needs of it, over a [`kube::Client`] and nothing
//! else.
//!
//! Laws:
//! - each controller decides in a pure core from trimmed copies of objects, and a thin wiring
//!   carries the decision out;
//! - destructive decisions are made from live reads and name the uid they are about;
//! - a second pass over an unchanged cluster writes nothing;
//! - [`Cluster::shutdown`] leaves no task, no listener and no connection behind.

mod api;
mod catalog;
mod endpoints;
mod events;
mod garbage;
mod life;
mod mirror;
mod namespaces;
mod objects;
mod proxy;
mod queue;
mod resources;
mod scheduler;
mod storage;
mod workloads;

pub use storage::detach_disks;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::api::Api;
use crate::catalog::Catalog;
use crate::mirror::Mirror;
use crate::objects::{Namespace, Node, Pod, Service, Slice};

/// Stands for every namespace but those of Kubernetes itself, among the job namespaces.
pub const EVERY_NAMESPACE: &str = "*";

/// What the controllers must know about the cluster they run in.
#[derive(Debug, Clone)]
pub struct ClusterConfig {
    /// The octet N of the cluster's own loopback network 127.N.0.0/16.
    pub loopback_octet: u8,
    /// The API server's CA, which every namespace gets in ConfigMap `kube-root-ca.crt`.
    pub ca_pem: String,
    /// Where the volumes of claims live, one directory for each.
    pub volumes_dir: PathBuf,
    /// The namespaces in which jobs run; [`ClusterConfig::job_manifests`] are kept there.
    /// [`EVERY_NAMESPACE`] stands for all but those of Kubernetes itself; only namespaces that are
    /// named are waited for at the start.
    pub job_namespaces: Vec<String>,
    /// Namespaced objects without a namespace, applied to every job namespace in this order. Subjects of an
    /// empty namespace are of that namespace.
    pub job_manifests: Vec<Value>,
    /// A Secret that every namespace has.
    pub shared_secret: Option<SharedSecret>,
}

/// A Secret that is the same in every namespace.
#[derive(Clone, PartialEq, Eq)]
pub struct SharedSecret {
    /// Its name.
    pub name: String,
    /// Its entries, as texts.
    pub data: BTreeMap<String, String>,
}

impl fmt::Debug for SharedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedSecret")
            .field("name", &self.name)
            .field("entries", &self.data.keys())
            .finish()
    }
}

/// Why the controllers did not start.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The octet cannot be used.
    #[error("loopback octet {0}: must be between 16 and 250")]
    LoopbackOctet(u8),
    /// A job manifest that cannot be applied.
    #[error("job manifest {index}: {reason}")]
    JobManifest {
        /// Its position in the list.
        index: usize,
        /// What is wrong with it.
        reason: &'static str,
    },
}

/// The running controllers.
#[derive(Debug)]
pub struct Cluster {
    stop: CancellationToken,
    tasks: TaskTracker,
    ready: watch::Receiver<bool>,
    ending: Arc<AtomicBool>,
}

impl Cluster {
    /// Starts all controllers. They retry for as long as the API does not answer, so this returns
    /// at once.
    pub fn start(client: kube::Client, config: ClusterConfig) -> Result<Self, ClusterError> {
        if !(16..=250).contains(&config.loopback_octet) {
            return Err(ClusterError::LoopbackOctet(config.loopback_octet));
        }
        let job_objects = namespaces::job_objects(&config)?;
        let api = Api::new(client.clone());
        let catalog = Arc::new(Catalog::new(api.clone()));
        let pods = Mirror::<Pod>::new();
        let nodes = Mirror::<Node>::new();
        let services = Mirror::<Service>::new();
        let slices = Mirror::<Slice>::new();
        let spaces = Mirror::<Namespace>::new();
        let claims = Mirror::<storage::Claim>::new();

        let garbage = garbage::Collector::new(api.clone(), Arc::clone(&catalog));
        let keeper = namespaces::Keeper::new(
            api.clone(),
            Arc::clone(&catalog),
            Arc::clone(&spaces),
            namespaces::Contents {
                ca_pem: config.ca_pem,
                job_namespaces: config.job_namespaces,
                job_objects,
                secret: config.shared_secret,
            },
        );
        let endpoints = endpoints::Publisher::new(
            api.clone(),
            Arc::clone(&services),
            Arc::clone(&pods),
            Arc::clone(&slices),
        );
        let proxy = proxy::Proxy::new(
            api.clone(),
            config.loopback_octet,
            Arc::clone(&services),
            Arc::clone(&slices),
        );
        let provisioner = storage::Provisioner::new(
            api.clone(),
            config.volumes_dir,
            Arc::clone(&pods),
            Arc::clone(&claims),
        );
        let ending = Arc::<AtomicBool>::default();
        let workloads =
            workloads::Workloads::new(&api, Arc::clone(&catalog), &pods, claims, &ending);
        let scheduler = scheduler::Scheduler::new(api, Arc::clone(&pods), Arc::clone(&nodes));

        let cluster = Self {
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            ready: keeper.ready(),
            ending,
        };
        cluster.spawn(catalog.run());
        cluster.spawn(garbage.run());
        cluster.spawn(keeper.run());
        cluster.spawn(endpoints.run());
        cluster.spawn(proxy.run());
        cluster.spawn(provisioner.run());
        cluster.spawn(workloads.run());
        cluster.spawn(scheduler.run());
        // Everyone listens by now, so no change is missed.
        cluster.spawn(pods.run(client.clone()));
        cluster.spawn(nodes.run(client.clone()));
        cluster.spawn(services.run(client.clone()));
        cluster.spawn(slices.run(client.clone()));
        cluster.spawn(spaces.run(client));
        Ok(cluster)
    }

    /// Waits until pods can be made in every job namespace that exists: its accounts, its
    /// certificate and the job manifests are there.
    pub async fn ready(&self) {
        // An error means that the controllers have been stopped; then nothing more will come.
        let _ = self.ready.clone().wait_for(|ready| *ready).await;
    }

    /// Lets workloads make no pod any more, so that those there are can be ended for good. What else
    /// the controllers do goes on.
    pub fn make_no_more_pods(&self) {
        self.ending.store(true, Ordering::Relaxed);
    }

    /// Stops every controller and waits until all their tasks are gone.
    pub async fn shutdown(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tasks.spawn(stop.run_until_cancelled_owned(work));
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
