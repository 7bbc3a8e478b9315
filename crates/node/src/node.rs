//! The agent itself: starts, stops, and owns the parts.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::{self, Store};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource};
use parking_lot::Mutex;
use tokio::sync::{broadcast, mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::task::TaskTracker;

use crate::addresses::Addresses;
use crate::backend::NodeStreams;
use crate::config::{NodeConfig, NodeError, Orphans};
use crate::events::Events;
use crate::images::{self, ImageStore};
use crate::lifeline::Lifeline;
use crate::poddir::PodDir;
use crate::registration::{self, Capacity};
use crate::volumes::Source;
use crate::worker::{self, Context, SourceChange, Update};
use crate::{env, hosts};

/// How many updates of one pod wait while its worker is busy.
const UPDATES: usize = 64;
/// How many changes of ConfigMaps and Secrets a busy worker may fall behind.
const SOURCE_CHANGES: usize = 256;

/// A running node agent.
pub struct Node {
    streams: Arc<NodeStreams>,
    tasks: JoinSet<()>,
    /// Whoever still has something of a pod to look after or to remove.
    workers: TaskTracker,
}

impl Node {
    /// Registers the node and runs the pods bound to it until [`Node::shutdown`].
    ///
    /// `streams` is what was given to the API server before.
    pub async fn start(
        client: Client,
        config: NodeConfig,
        streams: Arc<NodeStreams>,
    ) -> Result<Self, NodeError> {
        let pods = config.data_dir.join("pods");
        fs::create_dir_all(&pods)
            .and_then(|()| fs::set_permissions(&pods, fs::Permissions::from_mode(0o700)))
            .map_err(NodeError::data_dir(&pods))?;
        let known = PodDir::all(&config.data_dir).map_err(NodeError::data_dir(&pods))?;
        let taken = known
            .iter()
            .filter_map(|(_, dir)| dir.record())
            .map(|record| record.address);
        let addresses = Addresses::new(config.loopback, taken.filter(|a| a.octets()[2] >= 128));
        let lifeline = match config.orphans {
            Orphans::GoOn => None,
            Orphans::End => Some(Lifeline::new().map_err(NodeError::Lifeline)?),
        };
        let capacity = Capacity::of_machine(&config);
        let uid = registration::register(&client, &config, capacity).await?;
        let mut tasks = JoinSet::new();
        tasks.spawn(registration::keep_alive(
            client.clone(),
            config.name.clone(),
            uid,
        ));
        let network = Network::watch(&client, &mut tasks);
        let (sources, _) = broadcast::channel(SOURCE_CHANGES);
        tasks.spawn(watch_sources::<ConfigMap>(
            client.clone(),
            Source::ConfigMap,
            sources.clone(),
        ));
        tasks.spawn(watch_sources::<Secret>(
            client.clone(),
            Source::Secret,
            sources.clone(),
        ));
        let events = Events::start(client.clone(), config.name.clone());
        let images = config.images.store.clone();
        let images = images.unwrap_or_else(|| config.data_dir.join("images"));
        images::sweep_store(&images);
        let context = Arc::new(Context {
            client,
            config,
            images: ImageStore::new(images),
            capacity,
            network,
            sources,
            events,
            addresses: Mutex::new(addresses),
            streams: Arc::clone(&streams),
            lifeline,
        });
        let workers = TaskTracker::new();
        tasks.spawn(watch_pods(context, known, workers.clone()));
        Ok(Self {
            streams,
            tasks,
            workers,
        })
    }

    /// What the API server talks to.
    pub fn backend(&self) -> Arc<NodeStreams> {
        Arc::clone(&self.streams)
    }

    /// Waits until nothing is left here of any pod that the API had. Pods leave the API first and
    /// this machine a moment later.
    pub async fn emptied(&self) {
        self.workers.close();
        self.workers.wait().await;
    }

    /// Stops the agent. The pods keep running for the next agent to take over, unless they were
    /// to end with this one.
    pub async fn shutdown(mut self) {
        self.tasks.shutdown().await;
    }
}

/// Kills the pods that an agent left running in its data directory, and says how many there were.
/// The next agent finds recorded how they ended. No agent may be using the directory.
pub async fn end_pods(data_dir: &Path) -> Result<usize, NodeError> {
    let pods = data_dir.join("pods");
    let known = match PodDir::all(data_dir) {
        Ok(known) => known,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(NodeError::data_dir(pods)(error)),
    };
    let ends = known.iter().map(|(_, directory)| worker::end(directory));
    let ended = futures::future::join_all(ends).await;
    Ok(ended.into_iter().filter(|ended| *ended).count())
}

/// The Services there are, as pods' names and variables tell of them.
#[derive(Clone)]
pub(crate) struct Network {
    services: Store<Service>,
    slices: Store<EndpointSlice>,
    changes: watch::Receiver<()>,
}

impl Network {
    fn watch(client: &Client, tasks: &mut JoinSet<()>) -> Self {
        let (changed, changes) = watch::channel(());
        let changed = Arc::new(changed);
        let services = reflect::<Service>(client, Arc::clone(&changed), tasks);
        let slices = reflect::<EndpointSlice>(client, changed, tasks);
        Self {
            services,
            slices,
            changes,
        }
    }

    /// Changes whenever a Service or its endpoints do.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changes.clone()
    }

    /// What a pod's `/etc/hosts` should hold now.
    pub(crate) fn hosts(&self, pod: &Pod, address: &str) -> String {
        let services = self.services.state();
        let slices = self.slices.state();
        let slices: Vec<&EndpointSlice> = slices.iter().map(Arc::as_ref).collect();
        hosts::render(pod, address, services.iter().map(Arc::as_ref), &slices)
    }

    /// The Service variables of a container that starts now.
    pub(crate) fn service_env(
        &self,
        namespace: &str,
        links: bool,
        config: &NodeConfig,
    ) -> Vec<(String, String)> {
        let services = self.services.state();
        let api = (config.api.host, config.api.port);
        env::services(services.iter().map(Arc::as_ref), namespace, links, api)
    }
}

fn reflect<K>(client: &Client, changed: Arc<watch::Sender<()>>, tasks: &mut JoinSet<()>) -> Store<K>
where
    K: Resource<DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned
        + Send
        + Sync
        + 'static,
{
    let (store, writer) = reflector::store();
    let stream = watcher(Api::<K>::all(client.clone()), watcher::Config::default())
        .default_backoff()
        .reflect(writer);
    tasks.spawn(async move {
        let mut stream = std::pin::pin!(stream);
        while let Some(event) = stream.next().await {
            match event {
                Ok(_) => changed.send_replace(()),
                Err(error) => tracing::debug!(%error, "a watch was interrupted"),
            }
        }
    });
    store
}

async fn watch_sources<K>(client: Client, kind: Source, changes: broadcast::Sender<SourceChange>)
where
    K: Resource<DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned
        + Send
        + Sync
        + 'static,
{
    let stream = watcher(
        Api::<PartialObjectMeta<K>>::all(client),
        watcher::Config::default(),
    )
    .default_backoff()
    .touched_objects();
    let mut stream = std::pin::pin!(stream);
    while let Some(event) = stream.next().await {
        match event {
            Ok(object) => {
                let namespace = object.metadata.namespace.unwrap_or_default();
                let name = object.metadata.name.unwrap_or_default();
                // Without pods there is nobody to tell.
                let _ = changes.send(SourceChange {
                    kind,
                    namespace,
                    name,
                });
            }
            Err(error) => tracing::debug!(%error, "a watch was interrupted"),
        }
    }
}

/// Gives every pod of the node a worker, and tells the workers what happens to their pods.
async fn watch_pods(context: Arc<Context>, known: Vec<(String, PodDir)>, tracker: TaskTracker) {
    let mut pods = Pods {
        context,
        workers: HashMap::new(),
        tasks: JoinSet::new(),
        tracker,
        known,
    };
    let config =
        watcher::Config::default().fields(&format!("spec.nodeName={}", pods.context.config.name));
    let api: Api<Pod> = Api::all(pods.context.client.clone());
    let mut stream = std::pin::pin!(watcher(api, config).default_backoff());
    let mut listed = BTreeSet::new();
    loop {
        tokio::select! {
            event = stream.try_next() => match event {
                Ok(Some(watcher::Event::Init)) => listed.clear(),
                Ok(Some(watcher::Event::InitApply(pod))) => {
                    listed.extend(pod.metadata.uid.clone());
                    pods.changed(pod).await;
                }
                Ok(Some(watcher::Event::InitDone)) => pods.keep_only(&listed).await,
                Ok(Some(watcher::Event::Apply(pod))) => pods.changed(pod).await,
                Ok(Some(watcher::Event::Delete(pod))) => pods.gone(&pod).await,
                Ok(None) => return,
                Err(error) => tracing::debug!(%error, "the watch of pods was interrupted"),
            },
            Some(ended) = pods.tasks.join_next(), if !pods.tasks.is_empty() => {
                if let Ok(uid) = ended {
                    pods.workers.remove(&uid);
                }
            }
        }
    }
}

struct Pods {
    context: Arc<Context>,
    workers: HashMap<String, mpsc::Sender<Update>>,
    tasks: JoinSet<String>,
    tracker: TaskTracker,
    /// Directories of earlier pods that nobody has asked for yet.
    known: Vec<(String, PodDir)>,
}

impl Pods {
    async fn changed(&mut self, pod: Pod) {
        let Some(uid) = pod.metadata.uid.clone() else {
            return;
        };
        if let Some(worker) = self.workers.get(&uid) {
            // A worker that ended has removed its pod; the watch will say so too.
            let _ = worker.send(Update::Changed(Box::new(pod))).await;
            return;
        }
        let (sender, updates) = mpsc::channel(UPDATES);
        self.workers.insert(uid.clone(), sender);
        self.known.retain(|(known, _)| *known != uid);
        let work = Box::pin(worker::run(Arc::clone(&self.context), pod, updates));
        self.tasks.spawn(self.tracker.track_future(async move {
            work.await;
            uid
        }));
    }

    async fn gone(&mut self, pod: &Pod) {
        if let Some(worker) = pod
            .metadata
            .uid
            .as_ref()
            .and_then(|uid| self.workers.get(uid))
        {
            let _ = worker.send(Update::Gone).await;
        }
    }

    /// A complete list is in: whatever is not on it is gone.
    async fn keep_only(&mut self, listed: &BTreeSet<String>) {
        for (uid, worker) in &self.workers {
            if !listed.contains(uid) {
                let _ = worker.send(Update::Gone).await;
            }
        }
        for (uid, dir) in std::mem::take(&mut self.known) {
            tracing::info!(uid, "removing what is left of a pod that is gone");
            self.tracker.spawn(worker::sweep(dir));
        }
    }
}
