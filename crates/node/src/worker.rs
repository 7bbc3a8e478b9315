//! The worker of one pod: sees, plans, acts, and sees again.
//!
//! It alone owns what is known of its pod. Work that takes time runs in tasks whose reports come
//! back through one channel; a task that is repeated after a crash finds its work done.

mod adopt;
mod reports;
mod steps;
mod tasks;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Container, Pod, PodStatus};
use kube::api::Patch;
use kube::{Api, Client};
use parking_lot::Mutex;
use rustix::process::Signal;
use serde_json::json;
use tokio::sync::{broadcast, mpsc};
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::addresses::Addresses;
use crate::backend::NodeStreams;
use crate::config::{NodeConfig, patching};
use crate::env::Facts;
use crate::events::Events;
use crate::exec::Entrance;
use crate::images::{Image, ImageStore};
use crate::lifeline::Lifeline;
use crate::node::Network;
use crate::plan::{Ongoing, Sandbox, Seen, news, plan};
use crate::poddir::PodDir;
use crate::probes::{self, Finding, Target};
use crate::registration::Capacity;
use crate::shim::{Life, PodState, ShimClient};
use crate::volumes::{self, Source, Volumes};

/// The annotation that keeps what a pod used, in bytes, after it has ended.
pub const PEAK_MEMORY_ANNOTATION: &str = "windlass.dev/peak-memory";

/// How long to wait before asking the API again after it failed.
const API_RETRY: SignedDuration = SignedDuration::from_secs(1);
/// The first and the longest wait for something a volume refers to; its appearance wakes earlier.
const MOUNT_RETRY: SignedDuration = SignedDuration::from_millis(300);
const MOUNT_RETRY_MAX: SignedDuration = SignedDuration::from_secs(10);
/// How long to wait before describing a container again that could not be described.
const REFUSAL_RETRY: SignedDuration = SignedDuration::from_secs(2);
/// Without any news a pod is looked at this often.
const IDLE: Duration = Duration::from_mins(1);

/// What all workers share.
pub(crate) struct Context {
    pub(crate) client: Client,
    pub(crate) config: NodeConfig,
    pub(crate) capacity: Capacity,
    pub(crate) network: Network,
    pub(crate) sources: broadcast::Sender<SourceChange>,
    pub(crate) events: Events,
    pub(crate) addresses: Mutex<Addresses>,
    pub(crate) images: ImageStore,
    pub(crate) streams: Arc<NodeStreams>,
    /// Held where pods end with the agent.
    pub(crate) lifeline: Option<Lifeline>,
}

/// A ConfigMap or Secret that has changed.
#[derive(Debug, Clone)]
pub(crate) struct SourceChange {
    pub(crate) kind: Source,
    pub(crate) namespace: String,
    pub(crate) name: String,
}

/// What the agent tells a worker.
#[derive(Debug)]
pub(crate) enum Update {
    /// The pod as the API has it now.
    Changed(Box<Pod>),
    /// The API has it no more.
    Gone,
}

/// What a task has to report.
enum Report {
    SetUp(Result<(ShimClient, Volumes), SetUpFailure>),
    Started {
        container: String,
        attempt: u32,
        outcome: StartOutcome,
    },
    Stopped {
        container: String,
    },
    /// The shim is gone, or why it stays.
    TornDown(Result<(), String>),
    Refreshed(Result<Volumes, String>),
    Removed(bool),
}

/// Why a pod's walls do not stand yet; the text is for its events.
enum SetUpFailure {
    /// A volume is not there.
    Volumes(String),
    /// The machine did not let them be made.
    Walls(String),
}

/// What came of starting a container.
enum StartOutcome {
    /// The shim has taken it, and its start hook (if any) is through.
    Running(Box<Image>),
    /// It runs, but its start hook failed.
    HookFailed(Box<Image>, String),
    /// The image cannot be had.
    NoImage {
        reason: &'static str,
        message: String,
    },
    /// It cannot be described.
    Refused(String),
    /// The pod is to end, so it was not started after all.
    Abandoned,
}

/// Runs a pod until nothing of it is left.
pub(crate) async fn run(context: Arc<Context>, pod: Pod, updates: mpsc::Receiver<Update>) {
    let uid = pod.metadata.uid.clone().unwrap_or_default();
    let Some(dir) = PodDir::new(&context.config.data_dir, &uid) else {
        tracing::error!(uid, "a pod's uid cannot be a directory's name");
        return;
    };
    let (findings, found) = mpsc::channel(64);
    let mut worker = Worker {
        seen: Seen {
            host: Some(Ipv4Addr::LOCALHOST),
            ..Seen::default()
        },
        context,
        pod,
        dir,
        uid,
        shim: None,
        volumes: Volumes::default(),
        tasks: JoinSet::new(),
        stops: BTreeMap::new(),
        probes: BTreeMap::new(),
        findings,
        written: None,
        annotated: false,
        mount_failures: 0,
        ending: CancellationToken::new(),
        gone: false,
    };
    worker.adopt().await;
    worker.serve(updates, found).await;
}

struct Worker {
    context: Arc<Context>,
    pod: Pod,
    dir: PodDir,
    uid: String,
    seen: Seen,
    shim: Option<ShimClient>,
    volumes: Volumes,
    tasks: JoinSet<Report>,
    stops: BTreeMap<String, AbortHandle>,
    probes: BTreeMap<String, (u32, AbortHandle)>,
    findings: mpsc::Sender<(String, u32, Finding)>,
    written: Option<PodStatus>,
    annotated: bool,
    mount_failures: u32,
    /// Cancelled when the API wants the pod deleted.
    ending: CancellationToken,
    gone: bool,
}

impl Worker {
    async fn serve(
        &mut self,
        mut updates: mpsc::Receiver<Update>,
        mut found: mpsc::Receiver<(String, u32, Finding)>,
    ) {
        let mut network = self.context.network.changes();
        let mut sources = self.context.sources.subscribe();
        loop {
            self.absorb();
            self.keep_probes();
            let wake_at = match self.advance().await {
                Progress::Over => return,
                Progress::Until(wake_at) => wake_at,
            };
            let pause = wake_at.map_or(IDLE, |at| {
                Duration::try_from(at.duration_since(Timestamp::now())).unwrap_or_default()
            });
            tokio::select! {
                update = updates.recv() => match update {
                    Some(Update::Changed(pod)) => self.take_in(*pod),
                    Some(Update::Gone) => self.gone = true,
                    // The agent stops; the pod goes on without it.
                    None => return,
                },
                alive = changed(self.shim.as_mut()) => if !alive { self.shim_lost() },
                Some(report) = self.tasks.join_next(), if !self.tasks.is_empty() => {
                    // A task that was stopped on purpose has nothing to report.
                    if let Ok(report) = report { self.take_report(report) }
                }
                Some((container, attempt, finding)) = found.recv() => {
                    self.take_finding(&container, attempt, finding);
                }
                Ok(()) = network.changed() => self.write_hosts(),
                change = sources.recv() => self.source_changed(change.ok()),
                () = tokio::time::sleep(pause.min(IDLE)) => self.refresh_if_due(),
            }
        }
    }

    fn take_in(&mut self, pod: Pod) {
        let version = |pod: &Pod| -> u64 {
            let text = pod.metadata.resource_version.as_deref().unwrap_or_default();
            text.parse().unwrap_or(u64::MAX)
        };
        // What the watch delivers may be older than the answer to our own write.
        if version(&pod) >= version(&self.pod) {
            if pod.metadata.deletion_timestamp.is_some() {
                self.ending.cancel();
            }
            self.pod = pod;
            self.write_hosts();
        }
    }

    /// Starts probes of instances that run, and ends those of instances that do not.
    fn keep_probes(&mut self) {
        let containers = containers(&self.pod);
        let (Some(address), exe) = (self.seen.address, &self.context.config.exe) else {
            return;
        };
        for container in containers {
            let name = &container.name;
            let Some(seen) = self.seen.containers.get_mut(name) else {
                continue;
            };
            let running = match (&seen.instance, seen.ongoing) {
                // While it is being started, its start hook has not been run.
                (Some((attempt, Life::Running { process, .. })), Ongoing::Nothing)
                    if seen.condemned.is_none() =>
                {
                    Some((*attempt, *process))
                }
                _ => None,
            };
            match (running, self.probes.get(name)) {
                (Some((attempt, _)), Some((probed, _))) if attempt == *probed => {}
                (Some((attempt, process)), old) => {
                    if let Some((_, task)) = old {
                        task.abort();
                    }
                    // Where nobody is to be asked, running is enough, and shows at once.
                    seen.started |= container.startup_probe.is_none();
                    seen.ready |= seen.started && container.readiness_probe.is_none();
                    let entrance = Entrance::new(exe, process, &self.dir.container(name, attempt));
                    let target = Target {
                        container: container.clone(),
                        address,
                        entrance,
                    };
                    let task =
                        tokio::spawn(forward_findings(target, attempt, self.findings.clone()));
                    self.probes
                        .insert(name.clone(), (attempt, task.abort_handle()));
                }
                (None, Some((_, task))) => {
                    task.abort();
                    self.probes.remove(name);
                }
                (None, None) => {}
            }
        }
    }

    /// Plans, writes the status, and takes the steps.
    async fn advance(&mut self) -> Progress {
        if self.gone {
            return self.leave().await;
        }
        let now = Timestamp::now();
        let decision = plan(&self.pod, &self.seen, now);
        if !self.write_status(&decision.status).await {
            return Progress::Until(Some(now + API_RETRY));
        }
        if self.gone {
            return self.leave().await;
        }
        for step in decision.steps {
            self.take(step);
        }
        let refresh_at = self
            .volumes
            .refresh_at
            .filter(|_| self.seen.sandbox == Sandbox::Ready);
        Progress::Until(decision.wake_at.into_iter().chain(refresh_at).min())
    }

    /// Writes the status where it differs from what was written last; `false` to try again later.
    async fn write_status(&mut self, status: &PodStatus) -> bool {
        if self.written.as_ref() == Some(status) {
            return true;
        }
        let namespace = self.pod.metadata.namespace.clone().unwrap_or_default();
        let name = self.pod.metadata.name.clone().unwrap_or_default();
        let api: Api<Pod> = Api::namespaced(self.context.client.clone(), &namespace);
        let over = matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"));
        if over && !self.annotated {
            self.annotated = true;
            self.annotate_usage(&api, &name).await;
        }
        // The uid keeps a successor of the same name from getting this pod's status.
        let patch = json!({"metadata": {"uid": self.uid}, "status": status});
        match api
            .patch_status(&name, &patching(), &Patch::Merge(patch))
            .await
        {
            Ok(pod) => {
                self.written = Some(status.clone());
                for news in news(&self.pod, status) {
                    let container = Some(news.container.as_str());
                    let events = &self.context.events;
                    events.tell(&self.pod, container, news.kind, "BackOff", news.message);
                }
                self.take_in(pod);
                true
            }
            Err(kube::Error::Api(error)) if error.is_not_found() || error.is_conflict() => {
                // A conflict over the uid means a successor; the watch will say which it is.
                self.gone = error.is_not_found() || self.was_replaced(&api, &name).await;
                self.gone
            }
            Err(error) => {
                tracing::debug!(%error, pod = self.uid, "a pod's status was not taken");
                false
            }
        }
    }

    async fn was_replaced(&self, api: &Api<Pod>, name: &str) -> bool {
        match api.get_opt(name).await {
            Ok(found) => found.is_none_or(|pod| pod.metadata.uid.as_deref() != Some(&self.uid)),
            Err(_) => false,
        }
    }

    async fn annotate_usage(&self, api: &Api<Pod>, name: &str) {
        let Some(usage) = self.context.streams.usage().get(&self.uid).cloned() else {
            return;
        };
        let annotations = json!({PEAK_MEMORY_ANNOTATION: usage.peak_memory.to_string()});
        let patch = json!({"metadata": {"uid": self.uid, "annotations": annotations}});
        let patched = api.patch(name, &patching(), &Patch::Merge(patch)).await;
        if let Err(error) = patched {
            tracing::debug!(%error, pod = self.uid, "a pod's usage was not recorded");
        }
    }

    /// The API has the pod no more: whatever is left of it here goes at once.
    async fn leave(&mut self) -> Progress {
        for (_, task) in self.probes.values() {
            task.abort();
        }
        self.tasks.shutdown().await;
        if self.shim.is_none() {
            // A set-up that was under way may have got as far as a shim.
            self.shim = ShimClient::connect(self.dir.path()).await.ok();
        }
        if let Some(shim) = self.shim.take() {
            tasks::kill_everything(shim).await;
        } else {
            self.bury();
        }
        if let Err(error) = self.dir.remove() {
            tracing::warn!(%error, pod = self.uid, "a pod's directory stays behind");
        }
        if let Some(address) = self
            .seen
            .address
            .filter(|address| !address.eq(&Ipv4Addr::LOCALHOST))
        {
            self.context.addresses.lock().release(address);
        }
        Progress::Over
    }

    fn uses_host_network(&self) -> bool {
        self.pod
            .spec
            .as_ref()
            .is_some_and(|spec| spec.host_network == Some(true))
    }

    fn hosts_text(&self, address: Ipv4Addr) -> String {
        self.context.network.hosts(&self.pod, &address.to_string())
    }

    fn write_hosts(&self) {
        let Some(address) = self.seen.address else {
            return;
        };
        if self.seen.sandbox == Sandbox::Ready
            && let Err(error) = crate::hosts::rewrite(&self.dir.hosts(), &self.hosts_text(address))
        {
            tracing::warn!(%error, pod = self.uid, "a pod's hosts file cannot be written");
        }
    }

    fn source_changed(&mut self, change: Option<SourceChange>) {
        // `None`: some changes were missed, and any of them may have been ours.
        let ours = change.is_none_or(|change| {
            self.pod.metadata.namespace.as_deref() == Some(&change.namespace)
                && volumes::shows(&self.pod, change.kind, &change.name)
        });
        if !ours {
            return;
        }
        match self.seen.sandbox {
            Sandbox::Ready => self.refresh(),
            Sandbox::Waiting { .. } => {
                self.seen.sandbox = Sandbox::Waiting {
                    retry_at: Timestamp::now(),
                };
            }
            Sandbox::Absent | Sandbox::Making | Sandbox::Gone => {}
        }
    }

    fn refresh_if_due(&mut self) {
        let due = self
            .volumes
            .refresh_at
            .is_some_and(|at| at <= Timestamp::now());
        if due && self.seen.sandbox == Sandbox::Ready {
            self.volumes.refresh_at = None;
            self.refresh();
        }
    }

    /// Brings the volumes that show API objects up to date.
    fn refresh(&mut self) {
        let context = Arc::clone(&self.context);
        let (pod, dir) = (self.pod.clone(), self.dir.clone());
        let address = self.seen.address.unwrap_or(Ipv4Addr::LOCALHOST);
        self.tasks.spawn(async move {
            let facts = context.facts(&pod, address);
            let made = volumes::materialize(&context.client, &facts, dir.path(), Timestamp::now());
            Report::Refreshed(made.await.map_err(|error| tasks::chain(&error)))
        });
    }
}

impl Context {
    /// What a pod's fields resolve to.
    fn facts<'a>(&self, pod: &'a Pod, address: Ipv4Addr) -> Facts<'a> {
        Facts {
            pod,
            address,
            host: Ipv4Addr::LOCALHOST,
            cpu_millis: self.capacity.cpu_millis,
            memory_bytes: self.capacity.memory_bytes,
        }
    }
}

/// Whether the worker goes on.
enum Progress {
    /// Look again then, or when something is heard.
    Until(Option<Timestamp>),
    /// Nothing of the pod is left.
    Over,
}

async fn forward_findings(
    target: Target,
    attempt: u32,
    findings: mpsc::Sender<(String, u32, Finding)>,
) {
    let name = target.container.name.clone();
    let (sender, mut receiver) = mpsc::channel(8);
    let forward = async {
        while let Some(finding) = receiver.recv().await {
            if findings
                .send((name.clone(), attempt, finding))
                .await
                .is_err()
            {
                return;
            }
        }
    };
    tokio::join!(probes::watch(target, sender), forward);
}

async fn changed(shim: Option<&mut ShimClient>) -> bool {
    match shim {
        Some(shim) => shim.changed().await,
        None => std::future::pending().await,
    }
}

fn containers(pod: &Pod) -> Vec<Container> {
    let spec = pod.spec.clone().unwrap_or_default();
    spec.init_containers
        .into_iter()
        .flatten()
        .chain(spec.containers)
        .collect()
}

fn container(pod: &Pod, name: &str) -> Option<Container> {
    containers(pod)
        .into_iter()
        .find(|container| container.name == name)
}

/// Kills what runs in a pod's directory without an agent; `false` when nothing did.
pub(crate) async fn end(dir: &PodDir) -> bool {
    match ShimClient::connect(dir.path()).await {
        Ok(shim) => {
            tasks::kill_everything(shim).await;
            true
        }
        Err(_) => false,
    }
}

/// Removes what was left of pods the API does not know any more.
pub(crate) async fn sweep(dir: PodDir) {
    if !end(&dir).await
        && let Ok(Some(mut state)) = PodState::load(&dir.state())
    {
        for orphan in state.bury(Timestamp::now()) {
            orphan.signal(Signal::KILL);
        }
    }
    if let Err(error) = dir.remove() {
        tracing::warn!(%error, dir = %dir.path().display(), "a pod's directory stays behind");
    }
}
