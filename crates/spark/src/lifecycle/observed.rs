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
    /// What has the name of the application's UI Service.
    pub ui_service: UiService,
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
            ui_service: UiService::Absent,
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

/// What has the name of the application's UI Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UiService {
    /// Nothing.
    Absent,
    /// The Service of this application.
    Ours {
        /// The Service's name.
        name: String,
        /// The Service's uid.
        uid: String,
        /// Its port, once it is known.
        port: Option<u16>,
        /// `address:port` inside of the cluster, once it has one.
        address: Option<String>,
    },
    /// A Service of somebody else, which stays as it is.
    Foreign,
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
    /// One of the objects beside it.
    Companion,
}
