//! How a driver pod is doing, in one word and one line a person understands.
//!
//! The result of a job is the exit of its Spark container. The pod's phase only speaks where the
//! container does not: a sidecar that fails or lives on changes nothing.

use jiff::Timestamp;

use super::observed::{DriverPod, Exit, PodPhase, SparkContainer};
use super::reason::Reason;
use super::spec::Limits;
use super::time::{later, to_the_second};

/// How a driver pod is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// The Spark container has not started.
    Pending(Hold),
    /// The Spark container runs.
    Running {
        /// Since when.
        since: Option<Timestamp>,
    },
    /// The Spark container, or the pod before it, ended for good.
    Ended(Ending),
    /// Nobody can tell whether it runs; it is not replaced before its pod is gone.
    Unreachable(Hold),
}

/// Why something has not happened yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// The stable word.
    pub reason: String,
    /// One line for a person.
    pub message: String,
    /// Someone may have to act.
    pub troubling: bool,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// When, measured where it happened.
    pub at: Timestamp,
    /// The stable word for it.
    pub reason: Reason,
    /// One line for a person.
    pub message: String,
    /// The exit code of the container that decided it, where there was one.
    pub exit_code: Option<i32>,
}

impl Ending {
    /// Whether the attempt ended well.
    pub fn is_success(&self) -> bool {
        self.reason == Reason::Completed
    }
}

/// Judges a driver pod.
pub fn of_driver(pod: &DriverPod, limits: &Limits, now: Timestamp) -> Health {
    if let SparkContainer::Exited(exit) = &pod.spark {
        return Health::Ended(ending_of_container(pod, exit, now));
    }
    if let Some(hold) = unreachable(pod, limits, now) {
        return Health::Unreachable(hold);
    }
    match (pod.phase, &pod.spark) {
        (PodPhase::Succeeded, _) => Health::Ended(Ending {
            at: to_the_second(now),
            reason: Reason::Completed,
            message: "the driver pod succeeded".to_owned(),
            exit_code: None,
        }),
        (PodPhase::Failed, _) => Health::Ended(ending_of_pod(pod, now)),
        (_, SparkContainer::Running { since }) => Health::Running { since: *since },
        // Some node agents report the phase before the containers.
        (PodPhase::Running, SparkContainer::Unreported) => Health::Running { since: None },
        (PodPhase::Pending | PodPhase::Running | PodPhase::Unknown, _) => {
            Health::Pending(hold(pod))
        }
    }
}

fn unreachable(pod: &DriverPod, limits: &Limits, now: Timestamp) -> Option<Hold> {
    if matches!(pod.phase, PodPhase::Succeeded | PodPhase::Failed) {
        return None;
    }
    let node = pod.node.as_deref().unwrap_or("its node");
    let stuck = |reason: &str, what: String| Hold {
        reason: reason.to_owned(),
        message: format!(
            "{what}; the driver is replaced only when pod {} is gone: bring the node back, or \
             delete the node if it is lost",
            pod.name
        ),
        troubling: true,
    };
    if pod.phase == PodPhase::Unknown || pod.reason.as_deref() == Some("NodeLost") {
        return Some(stuck(
            "DriverUnreachable",
            format!("node {node} does not answer"),
        ));
    }
    let overdue = |by: Timestamp| later(by, limits.overdue_termination) <= now;
    (pod.node.is_some() && pod.terminating.is_some_and(overdue)).then(|| {
        stuck(
            "DriverTerminationOverdue",
            format!("node {node} does not end pod {}", pod.name),
        )
    })
}

fn ending_of_container(pod: &DriverPod, exit: &Exit, now: Timestamp) -> Ending {
    let said = exit
        .message
        .as_deref()
        .and_then(last_line)
        .map(|line| format!(": {line}"));
    let said = said.unwrap_or_default();
    let (reason, message) = match (exit.code, exit.reason.as_deref()) {
        (0, _) => (Reason::Completed, "the driver completed".to_owned()),
        _ if pod.reason.as_deref() == Some("Evicted") => (Reason::Evicted, evicted(pod)),
        (code, Some("OOMKilled")) => (
            Reason::OomKilled,
            format!(
                "the driver was killed because it used more memory than its limit (OOMKilled, \
                 exit code {code}): raise spec.driver.memory or spec.driver.memoryOverhead"
            ),
        ),
        (code @ 137, _) => (
            Reason::DriverFailed,
            format!("the driver was killed (exit code {code}, SIGKILL){said}"),
        ),
        (code @ 143, _) => (
            Reason::DriverFailed,
            format!("the driver was stopped from outside (exit code {code}, SIGTERM){said}"),
        ),
        (code, Some(reason)) if !matches!(reason, "Error" | "Completed") => (
            Reason::Other(reason.to_owned()),
            format!("the driver could not run ({reason}, exit code {code}){said}"),
        ),
        (code, _) => (
            Reason::DriverFailed,
            format!("the driver exited with code {code}{said}"),
        ),
    };
    Ending {
        at: to_the_second(exit.finished_at.unwrap_or(now)),
        reason,
        message,
        exit_code: Some(exit.code),
    }
}

fn ending_of_pod(pod: &DriverPod, now: Timestamp) -> Ending {
    let at = |time: Option<Timestamp>| to_the_second(time.unwrap_or(now));
    if let Some(init) = &pod.failed_init {
        let said = init.exit.message.as_deref().and_then(last_line);
        let said = said.map(|line| format!(": {line}")).unwrap_or_default();
        return Ending {
            at: at(init.exit.finished_at),
            reason: Reason::InitContainerFailed,
            message: format!(
                "init container {} of the driver exited with code {}{said}",
                init.name, init.exit.code
            ),
            exit_code: Some(init.exit.code),
        };
    }
    let (reason, message) = match pod.reason.as_deref() {
        Some("Evicted") => (Reason::Evicted, evicted(pod)),
        Some("NodeLost") => (
            Reason::NodeLost,
            said_by_pod(pod, "the driver's node was lost"),
        ),
        Some(word) => (
            Reason::Other(word.to_owned()),
            said_by_pod(pod, &format!("the driver pod failed ({word})")),
        ),
        None => (
            Reason::DriverFailed,
            said_by_pod(
                pod,
                "the driver pod failed before its Spark container reported an exit code",
            ),
        ),
    };
    Ending {
        at: at(None),
        reason,
        message,
        exit_code: None,
    }
}

fn evicted(pod: &DriverPod) -> String {
    let node = pod.node.as_deref().unwrap_or("its node");
    said_by_pod(pod, &format!("the driver was evicted from {node}"))
}

fn said_by_pod(pod: &DriverPod, what: &str) -> String {
    match pod
        .message
        .as_deref()
        .map(one_line)
        .filter(|said| !said.is_empty())
    {
        Some(said) => format!("{what}: {said}"),
        None => what.to_owned(),
    }
}

fn hold(pod: &DriverPod) -> Hold {
    let calm = |reason: &str, message: String| Hold {
        reason: reason.to_owned(),
        message,
        troubling: false,
    };
    if pod.terminating.is_some() {
        return calm(
            "DriverTerminating",
            format!(
                "driver pod {} was deleted before the driver started",
                pod.name
            ),
        );
    }
    if let Some(why) = &pod.unschedulable {
        return Hold {
            reason: "Unschedulable".to_owned(),
            message: format!("no node takes the driver pod: {}", one_line(why)),
            troubling: true,
        };
    }
    if let Some(blocked) = &pod.blocked {
        return blocked_hold(pod, blocked);
    }
    match &pod.node {
        None => calm("Scheduling", "the driver pod waits for a node".to_owned()),
        Some(node) => calm(
            "ContainerCreating",
            format!("the driver's containers are being created on {node}"),
        ),
    }
}

fn blocked_hold(pod: &DriverPod, blocked: &super::observed::Blocked) -> Hold {
    let image = blocked.image.as_deref().unwrap_or("of the driver");
    let word = blocked.reason.as_str();
    let (reason, what) = match word {
        // Nodes change between these words every few seconds; it is one and the same trouble.
        "ImagePullBackOff" | "ErrImagePull" | "ErrImageNeverPull" | "RegistryUnavailable" => (
            IMAGE_PULL,
            format!("image {image} cannot be pulled ({word})"),
        ),
        "InvalidImageName" => (word, format!("spec.image: {image} is not an image name")),
        "CreateContainerConfigError" => (
            word,
            format!("the driver's container cannot be configured ({word})"),
        ),
        _ => (
            word,
            format!("the driver's container does not start ({word})"),
        ),
    };
    let said = blocked
        .message
        .as_deref()
        .map(one_line)
        .filter(|said| !said.is_empty());
    Hold {
        reason: reason.to_owned(),
        message: match said {
            Some(said) => format!("{what}: {said}"),
            None => format!("{what}: see `kubectl describe pod {}`", pod.name),
        },
        troubling: true,
    }
}

/// The reason of every hold that is about an image; what the node said first says most.
pub(super) const IMAGE_PULL: &str = "ImagePullBackOff";

/// The longest message that is taken over from elsewhere, in characters.
const LONGEST_MESSAGE: usize = 500;

/// Text from elsewhere on one line, not too long.
pub(super) fn one_line(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(LONGEST_MESSAGE) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line,
    }
}

/// Programs say what went wrong last.
fn last_line(text: &str) -> Option<String> {
    text.lines()
        .rev()
        .map(one_line)
        .find(|line| !line.is_empty())
}
