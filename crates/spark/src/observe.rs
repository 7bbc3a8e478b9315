//! What the API shows of pods, and of what leads to them, reduced to what the state machine decides on.
//!
//! Laws:
//! - total: an object in any shape reads as something, at worst as "not reported yet";
//! - what is read here, and nothing else, is what the trims keep in memory.

mod exposure;
mod trim;

use jiff::Timestamp;
use serde_json::Value;
use windlass_engine::Object;

use crate::lifecycle::observed::{
    Beside, Blocked, Disruption, DriverPod, ExecutorPod, Exit, FailedInit, Owner, PodPhase,
    SparkContainer,
};
use crate::schedule::{Run, RunState};

pub use exposure::exposure;
pub use trim::{CHILD, DRIVER_OF_RUN, EXPOSER, POD, QUOTA, RUN};

/// The application a pod, Service or ConfigMap belongs to.
pub const APP_NAME: &str = "sparkoperator.k8s.io/app-name";
/// Every pod of an operated application carries it with the value `true`.
pub const LAUNCHED_BY: &str = "sparkoperator.k8s.io/launched-by-spark-operator";
/// The submission that made a pod.
pub const SUBMISSION_ID: &str = "sparkoperator.k8s.io/submission-id";
/// Spark's id of the application, on everything Spark makes.
pub const APP_SELECTOR: &str = "spark-app-selector";
/// `driver` or `executor`.
pub const ROLE: &str = "spark-role";
/// Spark's number of an executor.
pub const EXECUTOR_ID: &str = "spark-exec-id";

/// What a pod does for Spark. It is the first argument of its Spark container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It runs the driver.
    Driver,
    /// It runs an executor.
    Executor,
}

impl Role {
    /// The role a pod is labelled with.
    pub fn of(pod: &Object) -> Option<Self> {
        [Self::Driver, Self::Executor]
            .into_iter()
            .find(|role| pod.label(ROLE) == Some(role.word()))
    }

    fn word(self) -> &'static str {
        match self {
            Self::Driver => "driver",
            Self::Executor => "executor",
        }
    }

    fn default_container(self) -> &'static str {
        match self {
            Self::Driver => "spark-kubernetes-driver",
            Self::Executor => "spark-kubernetes-executor",
        }
    }
}

/// Reads a pod that holds, or stands in the place of, a driver.
pub fn driver_pod(pod: &Object) -> DriverPod {
    let value = pod.as_value();
    let container = spark_container(value, Role::Driver);
    let status = container.and_then(|name| container_status(value, "containerStatuses", name));
    DriverPod {
        name: pod.name().to_owned(),
        uid: pod.uid().to_owned(),
        created: time(value, "/metadata/creationTimestamp").unwrap_or(Timestamp::UNIX_EPOCH),
        owner: controller(pod),
        submission_id: pod.label(SUBMISSION_ID).map(str::to_owned),
        application_id: pod.label(APP_SELECTOR).map(str::to_owned),
        terminating: time(value, "/metadata/deletionTimestamp"),
        node: text(value, "/spec/nodeName"),
        phase: phase(value),
        reason: text(value, "/status/reason"),
        message: text(value, "/status/message"),
        disruption: disruption(value),
        unschedulable: unschedulable(value),
        blocked: blocked(value, container),
        failed_init: failed_init(value),
        spark: status.map_or(SparkContainer::Unreported, container_state),
    }
}

/// The name of the container that runs Spark in a driver pod.
pub fn driver_container(pod: &Object) -> Option<&str> {
    spark_container(pod.as_value(), Role::Driver)
}

/// Reads an executor pod.
pub fn executor_pod(pod: &Object) -> ExecutorPod {
    let value = pod.as_value();
    let container = spark_container(value, Role::Executor);
    let status = container.and_then(|name| container_status(value, "containerStatuses", name));
    let state = status.map(container_state);
    ExecutorPod {
        name: pod.name().to_owned(),
        uid: pod.uid().to_owned(),
        id: pod
            .label(EXECUTOR_ID)
            .and_then(|id| id.parse().ok())
            .unwrap_or(0),
        application_id: pod.label(APP_SELECTOR).map(str::to_owned),
        terminating: pod.is_deleting(),
        phase: phase(value),
        exit_code: match state {
            Some(SparkContainer::Exited(exit)) => Some(exit.code),
            _ => None,
        },
        node: text(value, "/spec/nodeName"),
        unschedulable: unschedulable(value),
        blocked: blocked(value, container),
    }
}

/// Reads the application of a run.
pub fn run(application: &Object) -> Run {
    let value = application.as_value();
    let state = value.pointer("/status/applicationState/state");
    Run {
        name: application.name().to_owned(),
        uid: application.uid().to_owned(),
        created: time(value, "/metadata/creationTimestamp").unwrap_or(Timestamp::UNIX_EPOCH),
        state: match state.and_then(Value::as_str) {
            Some("COMPLETED") => RunState::Succeeded,
            Some("FAILED") => RunState::Failed,
            _ => RunState::Live,
        },
        deleting: application.is_deleting(),
    }
}

/// Whether a pod runs a driver that has not ended.
pub fn is_live_driver(pod: &Object) -> bool {
    let ended = matches!(
        phase(pod.as_value()),
        PodPhase::Succeeded | PodPhase::Failed
    );
    Role::of(pod) == Some(Role::Driver) && !ended
}

/// Reads what has the name of an object beside the driver of the application with this uid.
pub fn beside(object: Option<&Object>, application_uid: &str) -> Beside {
    match object {
        None => Beside::Absent,
        Some(object) if object.owner_uids().any(|uid| uid == application_uid) => Beside::Ours {
            name: object.name().to_owned(),
            uid: object.uid().to_owned(),
        },
        Some(_) => Beside::Foreign,
    }
}

/// The name of the container that runs Spark: told by its first argument, else by Spark's default
/// name, else the only one there is. Never told by position: sidecars may come first.
fn spark_container(pod: &Value, role: Role) -> Option<&str> {
    let containers = list(pod, "/spec/containers");
    let mut by_argument = containers
        .iter()
        .filter(|it| it.pointer("/args/0").and_then(Value::as_str) == Some(role.word()));
    let found = match (by_argument.next(), by_argument.next(), containers) {
        (Some(only), None, _) | (None, None, [only]) => Some(only),
        _ => containers
            .iter()
            .find(|it| it["name"] == role.default_container()),
    };
    found?.get("name").and_then(Value::as_str)
}

fn container_status<'a>(pod: &'a Value, list_name: &str, container: &str) -> Option<&'a Value> {
    list(pod, &format!("/status/{list_name}"))
        .iter()
        .find(|status| status.get("name").and_then(Value::as_str) == Some(container))
}

fn container_state(status: &Value) -> SparkContainer {
    let Some(state) = status.get("state") else {
        return SparkContainer::Waiting;
    };
    if let Some(terminated) = state.get("terminated").filter(|it| it.is_object()) {
        return SparkContainer::Exited(exit(terminated));
    }
    match state.get("running").filter(|it| it.is_object()) {
        Some(running) => SparkContainer::Running {
            since: time(running, "/startedAt"),
        },
        None => SparkContainer::Waiting,
    }
}

fn exit(terminated: &Value) -> Exit {
    Exit {
        code: terminated
            .get("exitCode")
            .and_then(Value::as_i64)
            .and_then(|code| i32::try_from(code).ok())
            .unwrap_or(-1),
        reason: text(terminated, "/reason"),
        message: text(terminated, "/message"),
        started_at: time(terminated, "/startedAt"),
        finished_at: time(terminated, "/finishedAt"),
    }
}

/// What nodes say of a container on its way to start; with a message, something is in its way.
const ON_THE_WAY: [&str; 2] = ["ContainerCreating", "PodInitializing"];

/// The first init container, or else the Spark container, that cannot start. Sidecars do not hold
/// up Spark.
fn blocked(pod: &Value, container: Option<&str>) -> Option<Blocked> {
    let spark = container.and_then(|name| container_status(pod, "containerStatuses", name));
    list(pod, "/status/initContainerStatuses")
        .iter()
        .chain(spark)
        .find_map(|status| {
            let waiting = status.pointer("/state/waiting")?;
            let (reason, message) = (text(waiting, "/reason")?, text(waiting, "/message"));
            if ON_THE_WAY.contains(&reason.as_str()) && message.is_none() {
                return None;
            }
            Some(Blocked {
                reason,
                message,
                image: text(status, "/image"),
            })
        })
}

fn failed_init(pod: &Value) -> Option<FailedInit> {
    list(pod, "/status/initContainerStatuses")
        .iter()
        .find_map(|status| {
            let exit = exit(status.pointer("/state/terminated")?);
            let name = text(status, "/name")?;
            (exit.code != 0).then_some(FailedInit { name, exit })
        })
}

fn disruption(pod: &Value) -> Option<Disruption> {
    let is_target = |condition: &&Value| {
        condition.get("type").and_then(Value::as_str) == Some("DisruptionTarget")
            && condition.get("status").and_then(Value::as_str) == Some("True")
    };
    let target = list(pod, "/status/conditions").iter().find(is_target)?;
    Some(Disruption {
        reason: text(target, "/reason").unwrap_or_else(|| "DisruptionTarget".to_owned()),
        message: text(target, "/message"),
    })
}

fn unschedulable(pod: &Value) -> Option<String> {
    let is_refused = |condition: &&Value| {
        condition.get("type").and_then(Value::as_str) == Some("PodScheduled")
            && condition.get("status").and_then(Value::as_str) == Some("False")
            && condition.get("reason").and_then(Value::as_str) == Some("Unschedulable")
    };
    let refused = list(pod, "/status/conditions").iter().find(is_refused)?;
    Some(text(refused, "/message").unwrap_or_else(|| "the scheduler gave no reason".to_owned()))
}

fn controller(pod: &Object) -> Option<Owner> {
    let is_controller =
        |owner: &&Value| owner.get("controller").and_then(Value::as_bool) == Some(true);
    let owner = pod
        .owners()
        .find(is_controller)
        .or_else(|| pod.owners().next())?;
    Some(Owner {
        kind: text(owner, "/kind")?,
        name: text(owner, "/name")?,
        uid: text(owner, "/uid")?,
        gone: false,
    })
}

fn phase(pod: &Value) -> PodPhase {
    match pod.pointer("/status/phase").and_then(Value::as_str) {
        Some("Running") => PodPhase::Running,
        Some("Succeeded") => PodPhase::Succeeded,
        Some("Failed") => PodPhase::Failed,
        Some("Unknown") => PodPhase::Unknown,
        _ => PodPhase::Pending,
    }
}

fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value
        .pointer(pointer)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

fn text(value: &Value, pointer: &str) -> Option<String> {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .filter(|it| !it.is_empty())
        .map(str::to_owned)
}

fn time(value: &Value, pointer: &str) -> Option<Timestamp> {
    value.pointer(pointer)?.as_str()?.parse().ok()
}

#[cfg(test)]
mod tests;
