//! How a driver pod is doing, in one word and one line a person understands.
//!
//! The result of a job is the exit of its Spark container. The pod's phase only speaks where the
//! container does not: a sidecar that fails or lives on changes nothing.

use jiff::Timestamp;

use super::observed::{
    Blocked, Disruption, DriverPod, ExecutorPod, Exit, PodPhase, SparkContainer,
};
use super::reason::Reason;
use super::spec::Limits;
use super::time::{later, to_the_second};
use super::{cause, remedy};

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
    /// What is in the way.
    pub obstacle: Obstacle,
}

impl Hold {
    /// Someone may have to act.
    pub fn is_troubling(&self) -> bool {
        self.obstacle != Obstacle::Nothing
    }
}

/// What is in the way of a pod, as far as it tells how long it is worth waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Obstacle {
    /// Nothing; a start takes its time.
    Nothing,
    /// An image that cannot be had.
    Image,
    /// No node would take the pod even if nothing else ran there.
    Misfit,
    /// A volume or variable of something that is not there.
    Reference,
    /// Something else.
    Other,
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

/// When it is too long ago that the node should have ended the pod, if it should.
pub fn overdue_at(pod: &DriverPod, limits: &Limits) -> Option<Timestamp> {
    let by = pod.terminating.filter(|_| pod.node.is_some())?;
    Some(later(by, limits.overdue_termination))
}

/// Whether the node should have ended the pod by now.
pub fn overdue(pod: &DriverPod, limits: &Limits, now: Timestamp) -> bool {
    overdue_at(pod, limits).is_some_and(|due| due <= now)
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
        obstacle: Obstacle::Other,
    };
    if pod.phase == PodPhase::Unknown || pod.reason.as_deref() == Some("NodeLost") {
        return Some(stuck(
            "DriverUnreachable",
            format!("node {node} does not answer"),
        ));
    }
    overdue_at(pod, limits).filter(|due| *due <= now).map(|_| {
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
        .and_then(cause::of)
        .map(|line| format!(": {line}"));
    let said = said.unwrap_or_default();
    let advice = exit.message.as_deref().and_then(remedy::of);
    let advice = advice.map_or_else(String::new, |it| format!("; {}", it.next));
    let (reason, message) = match (exit.code, exit.reason.as_deref()) {
        (0, _) => (Reason::Completed, "the driver completed".to_owned()),
        _ if pod.reason.as_deref() == Some("Evicted") => (Reason::Evicted, evicted(pod)),
        // What a driver does that is told to go is not what made it go.
        _ if pod.disruption.is_some() => (Reason::Evicted, evicted(pod)),
        (code, Some("OOMKilled")) => (
            Reason::OomKilled,
            format!(
                "the driver was killed because it used more memory than its limit (OOMKilled, \
                 exit code {code}): raise spec.driver.memory or spec.driver.memoryOverhead"
            ),
        ),
        (code @ (137 | 143), _) if pod.terminating.is_some() => (
            Reason::DriverFailed,
            format!(
                "driver pod {} was deleted while the driver ran (exit code {code})",
                pod.name
            ),
        ),
        // What a program logs last before it is killed does not say why it was.
        (code @ 137, _) => (
            Reason::DriverFailed,
            format!("the driver was killed (exit code {code}, SIGKILL)"),
        ),
        (code @ 143, _) => (
            Reason::DriverFailed,
            format!("the driver was stopped from outside (exit code {code}, SIGTERM)"),
        ),
        (code, Some(reason)) if !matches!(reason, "Error" | "Completed") => (
            Reason::Other(reason.to_owned()),
            format!("the driver could not run ({reason}, exit code {code}){said}"),
        ),
        (code, _) => (
            Reason::DriverFailed,
            format!("the driver exited with code {code}{said}{advice}"),
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
        let said = init.exit.message.as_deref().and_then(cause::of);
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
        // A pod that a taint or a drain ended before it ran.
        None if pod.disruption.is_some() => (Reason::Evicted, evicted(pod)),
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
    match &pod.disruption {
        Some(Disruption { reason, message }) => {
            let said = message.as_deref().or(pod.message.as_deref());
            let what = format!("the driver was evicted from {node} ({reason})");
            with_words(&what, said)
        }
        None => said_by_pod(pod, &format!("the driver was evicted from {node}")),
    }
}

fn said_by_pod(pod: &DriverPod, what: &str) -> String {
    with_words(what, pod.message.as_deref())
}

fn with_words(what: &str, said: Option<&str>) -> String {
    match said.map(one_line).filter(|said| !said.is_empty()) {
        Some(said) => format!("{what}: {said}"),
        None => what.to_owned(),
    }
}

fn hold(pod: &DriverPod) -> Hold {
    let calm = |reason: &str, message: String| Hold {
        reason: reason.to_owned(),
        message,
        obstacle: Obstacle::Nothing,
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
        return unschedulable_hold("driver", why);
    }
    if let Some(blocked) = &pod.blocked {
        return blocked_hold("driver", &pod.name, blocked);
    }
    match &pod.node {
        None => calm("Scheduling", "the driver pod waits for a node".to_owned()),
        Some(node) => calm(
            "ContainerCreating",
            format!("the driver's containers are being created on {node}"),
        ),
    }
}

/// What keeps executors from starting: the trouble of the first one, and how many have some.
pub fn of_executors<'a>(pods: impl Iterator<Item = &'a ExecutorPod>) -> Option<Hold> {
    let is_held = |pod: &&ExecutorPod| {
        pod.phase == PodPhase::Pending
            && !pod.terminating
            && (pod.unschedulable.is_some() || pod.blocked.is_some())
    };
    let mut held: Vec<&ExecutorPod> = pods.filter(is_held).collect();
    held.sort_by_key(|pod| pod.id);
    let first = held.first()?;
    let hold = match (&first.unschedulable, &first.blocked) {
        (Some(why), _) => unschedulable_hold("executor", why),
        (None, Some(blocked)) => blocked_hold("executor", &first.name, blocked),
        (None, None) => return None,
    };
    let count = match held.len() {
        1 => "1 executor waits".to_owned(),
        count => format!("{count} executors wait"),
    };
    Some(Hold {
        message: format!("{count}: {}", hold.message),
        ..hold
    })
}

/// The scheduler tells at length what it tried; what counts is why no node fits, and whether one
/// ever could.
fn unschedulable_hold(role: &str, why: &str) -> Hold {
    let (what, tried) = why.split_once(" preemption: ").unwrap_or((why, ""));
    let never = tried.contains("Preemption is not helpful")
        && !tried.contains("No preemption victims found");
    let advice: Vec<String> = ADVICE
        .iter()
        .filter(|(word, _)| what.contains(word))
        .map(|(_, advice)| advice.replace("ROLE", role))
        .collect();
    // Since Kubernetes 1.34 it also tells of claims of devices that it did not try to free.
    let what = what.trim_end_matches(',');
    let what = what
        .strip_suffix(" no new claims to deallocate")
        .unwrap_or(what);
    let what = one_line(what.trim_end_matches('.'));
    Hold {
        reason: "Unschedulable".to_owned(),
        message: if advice.is_empty() {
            format!("no node takes the {role} pod: {what}")
        } else {
            format!(
                "no node takes the {role} pod: {what}; {}",
                advice.join(", ")
            )
        },
        obstacle: if never {
            Obstacle::Misfit
        } else {
            Obstacle::Other
        },
    }
}

/// What a word of the scheduler means for the application, where ROLE is driver or executor.
const ADVICE: [(&str, &str); 4] = [
    (
        "Insufficient cpu",
        "lower spec.ROLE.cores or spec.ROLE.coreRequest",
    ),
    (
        "Insufficient memory",
        "lower spec.ROLE.memory or spec.ROLE.memoryOverhead",
    ),
    (
        "node affinity/selector",
        "check spec.nodeSelector, spec.ROLE.nodeSelector and spec.ROLE.affinity",
    ),
    ("taint", "see spec.ROLE.tolerations"),
];

fn blocked_hold(role: &str, pod: &str, blocked: &Blocked) -> Hold {
    let image = blocked.image.as_deref().unwrap_or("of Spark");
    let word = blocked.reason.as_str();
    let (reason, obstacle, what) = match word {
        // Nodes change between these words every few seconds; it is one and the same trouble.
        "ImagePullBackOff" | "ErrImagePull" | "ErrImageNeverPull" | "RegistryUnavailable" => (
            IMAGE_PULL,
            Obstacle::Image,
            format!("image {image} (spec.image or spec.{role}.image) cannot be pulled ({word})"),
        ),
        "InvalidImageName" => (
            word,
            Obstacle::Image,
            format!("spec.image: {image} is not an image name"),
        ),
        "CreateContainerConfigError" => (
            word,
            Obstacle::Reference,
            format!("the {role}'s container cannot be configured ({word})"),
        ),
        "ContainerCreating" | "PodInitializing" => (
            word,
            Obstacle::Reference,
            format!("the {role}'s volumes cannot be set up"),
        ),
        _ => (
            word,
            Obstacle::Other,
            format!("the {role}'s container does not start ({word})"),
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
            None => format!("{what}: see `kubectl describe pod {pod}`"),
        },
        obstacle,
    }
}

/// The reason of every hold that is about an image; what the node said first says most.
pub(super) const IMAGE_PULL: &str = "ImagePullBackOff";

/// The longest message that is taken over from elsewhere, in characters.
const LONGEST_MESSAGE: usize = 500;

/// Text from elsewhere on one line, not too long.
pub(crate) fn one_line(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(LONGEST_MESSAGE) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line,
    }
}
