//! What is: the pods and services of one application, reduced to what decisions rest on.

use jiff::Timestamp;

use crate::queue::Standing;

/// Everything the state machine may look at besides the application itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// Every pod that is a driver of this application or stands where its driver belongs.
    pub drivers: Vec<DriverPod>,
    /// The executor pods of the current attempt.
    pub executors: Vec<ExecutorPod>,
    /// Whether the driver's Service and ConfigMaps are all there.
    pub companions: Companions,
    /// What leads to the driver from outside of its pod.
    pub exposure: Exposure,
    /// What has the name of the driver's PodDisruptionBudget.
    pub budget: Beside,
    /// What has the name of the application's PodGroup.
    pub pod_group: Beside,
    /// What the API server refused when it was last asked to create something.
    pub refusal: Option<Refusal>,
    /// Its place among the applications of its namespace, where that has limits and the
    /// application is about to be submitted.
    pub standing: Option<Standing>,
}

impl Observed {
    /// An observation in which nothing exists.
    pub fn nothing() -> Self {
        Self {
            drivers: Vec::new(),
            executors: Vec::new(),
            companions: Companions::Missing,
            exposure: Exposure::default(),
            budget: Beside::Absent,
            pod_group: Beside::Absent,
            refusal: None,
            standing: None,
        }
    }
}

/// The objects a driver needs beside its pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Companions {
    /// All exist.
    Complete,
    /// At least one is not there yet.
    Missing,
}

/// What leads to a driver from outside of its pod, as far as it exists.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exposure {
    /// This application's own, less what is being deleted already.
    pub present: Vec<Present>,
    /// What the current attempt should have and nothing has the name of.
    pub missing: Vec<Exposer>,
    /// How the driver's web page is reached.
    pub web_page: WebPage,
}

/// An object that leads to a driver, or tells who measures it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Exposer {
    /// What it is.
    pub kind: ExposerKind,
    /// Its name.
    pub name: String,
}

/// The kinds of objects that expose a driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ExposerKind {
    /// Gives it an address.
    Service,
    /// Gives it a URL.
    Ingress,
    /// Gives it a URL, too, by the Gateway API.
    HttpRoute,
    /// Tells Prometheus of it.
    PodMonitor,
}

impl ExposerKind {
    /// Every kind, in the order in which they are made.
    pub const ALL: [Self; 4] = [
        Self::Service,
        Self::Ingress,
        Self::HttpRoute,
        Self::PodMonitor,
    ];
}

/// One that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Present {
    /// Which it is.
    pub exposer: Exposer,
    /// Its uid.
    pub uid: String,
}

/// How the driver's web page is reached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WebPage {
    /// By its Service.
    pub service: Option<PageService>,
    /// By its Ingress or HTTPRoute.
    pub route: Option<PageRoute>,
}

/// The Service of a web page.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PageService {
    /// Its name.
    pub name: String,
    /// Its port, once it is known.
    pub port: Option<u16>,
    /// The same port of every node, where it has one.
    pub node_port: Option<u16>,
    /// `address:port` inside of the cluster, once it has one.
    pub address: Option<String>,
    /// `address:port` of its load balancer, once it has one.
    pub external_address: Option<String>,
}

/// The Ingress or HTTPRoute of a web page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRoute {
    /// Its name.
    pub name: String,
    /// The URL that it was made for.
    pub address: Option<String>,
}

/// What has the name of an object that stands beside the driver while it runs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Beside {
    /// Nothing, or nobody has to know.
    #[default]
    Absent,
    /// The object of this application.
    Ours {
        /// The object's name.
        name: String,
        /// The object's uid.
        uid: String,
    },
    /// An object of somebody else, which stays as it is.
    Foreign,
}

/// A pod that holds, or may hold, the driver of this application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriverPod {
    /// The pod's name.
    pub name: String,
    /// The pod's uid.
    pub uid: String,
    /// When the pod was created.
    pub created: Timestamp,
    /// The controlling owner, if it has one.
    pub owner: Option<Owner>,
    /// The label that says which submission made it.
    pub submission_id: Option<String>,
    /// The label Spark selects its application by.
    pub application_id: Option<String>,
    /// When the pod should be gone, once its deletion has been requested.
    pub terminating: Option<Timestamp>,
    /// The node it was bound to.
    pub node: Option<String>,
    /// The pod's phase.
    pub phase: PodPhase,
    /// The pod's own reason (`Evicted`, `NodeLost`, ...).
    pub reason: Option<String>,
    /// The sentence that belongs to the reason.
    pub message: Option<String>,
    /// Why the cluster ended it for reasons of its own (drain, preemption, taint).
    pub disruption: Option<Disruption>,
    /// Why no node takes the pod, in the scheduler's words.
    pub unschedulable: Option<String>,
    /// What keeps a container from starting, where the node says more than "creating".
    pub blocked: Option<Blocked>,
    /// An init container that failed, which ends the pod.
    pub failed_init: Option<FailedInit>,
    /// The container that runs Spark.
    pub spark: SparkContainer,
}

/// The controlling owner of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The owner's kind.
    pub kind: String,
    /// The owner's name.
    pub name: String,
    /// The owner's uid.
    pub uid: String,
    /// No object with this uid exists any more: the pod is about to be collected.
    pub gone: bool,
}

/// A pod's phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PodPhase {
    /// Accepted, not yet running.
    Pending,
    /// At least one container runs or is being restarted.
    Running,
    /// All containers ended well.
    Succeeded,
    /// All containers ended, at least one badly, or the pod was given up.
    Failed,
    /// Its node does not answer.
    Unknown,
}

/// The cluster ended a pod for reasons of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disruption {
    /// The cluster's word (`EvictionByEvictionAPI`, `PreemptionByScheduler`, ...).
    pub reason: String,
    /// The cluster's sentence.
    pub message: Option<String>,
}

/// Why a container has not started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocked {
    /// The node's word for it (`ImagePullBackOff`, `CreateContainerConfigError`, ...).
    pub reason: String,
    /// The node's sentence.
    pub message: Option<String>,
    /// The image of the container, for a readable message.
    pub image: Option<String>,
}

/// An init container that ended badly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedInit {
    /// The container's name.
    pub name: String,
    /// How it ended.
    pub exit: Exit,
}

/// The container that runs Spark, found by its name or its first argument, never by position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SparkContainer {
    /// The node has not reported it.
    Unreported,
    /// It has not started.
    Waiting,
    /// It runs.
    Running {
        /// Since when.
        since: Option<Timestamp>,
    },
    /// It ended; with restart policy `Never` it never starts again.
    Exited(Exit),
}

/// How a container ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    /// The exit code, or 128 plus the signal.
    pub code: i32,
    /// The node's reason (`OOMKilled`, `Error`, `Completed`).
    pub reason: Option<String>,
    /// The container's termination message, or more of its log where that was cut off.
    pub message: Option<String>,
    /// When it started.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

/// An executor pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecutorPod {
    /// The pod's name.
    pub name: String,
    /// The pod's uid.
    pub uid: String,
    /// Spark's number of this executor, from 1; 0 if it carries none.
    pub id: i32,
    /// The label Spark selects its application by.
    pub application_id: Option<String>,
    /// Its deletion has been requested.
    pub terminating: bool,
    /// The pod's phase.
    pub phase: PodPhase,
    /// The exit code of its Spark container.
    pub exit_code: Option<i32>,
    /// The node it runs on.
    pub node: Option<String>,
    /// Why no node takes the pod, in the scheduler's words.
    pub unschedulable: Option<String>,
    /// What keeps a container from starting, where the node says more than "creating".
    pub blocked: Option<Blocked>,
}

impl ExecutorPod {
    /// Whether a process of it may still be at work.
    pub fn is_live(&self) -> bool {
        !matches!(self.phase, PodPhase::Succeeded | PodPhase::Failed)
    }
}

/// The API server refused to create something: the same request would be refused again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What was to be created.
    pub subject: Subject,
    /// When it was refused.
    pub at: Timestamp,
    /// The HTTP code of the answer.
    pub code: u16,
    /// The API server's sentence.
    pub message: String,
}

/// What a refusal is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// The driver pod itself.
    Driver,
    /// The group that its scheduler knows it by, which has to be there before.
    PodGroup,
    /// The claim for its checkpoints, which has to be there before, too.
    CheckpointClaim,
    /// One of the objects beside it.
    Companion,
}
