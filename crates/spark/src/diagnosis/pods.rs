//! What pods and their logs tell.

use jiff::Timestamp;
use serde_json::Value;

use super::surroundings::{blocked_by_claim, named_and_not_there, reference_trouble};
use super::{
    Cause, Evidence, Finding, PodEvidence, current_driver, events_about, list, object, role, text,
    told, warnings_about,
};
use crate::lifecycle::health::{self, Ending, Health, Hold, Obstacle, one_line};
use crate::lifecycle::observed::{DriverPod, ExecutorPod, Exit, PodPhase, SparkContainer};
use crate::lifecycle::spec::Limits;
use crate::lifecycle::{Reason, cause, remedy};
use crate::observe;

/// How many lines of a log are shown.
const SHOWN_LINES: usize = 3;

/// What is not well with the driver.
pub(super) fn driver(evidence: &Evidence, now: Timestamp) -> Option<Finding> {
    let found = current_driver(evidence)?;
    let container = observe::driver_container(&object(&found.pod)).map(str::to_owned);
    let log = container
        .as_ref()
        .and_then(|name| found.logs.get(name))
        .map_or("", String::as_str);
    let mut pod = observe::driver_pod(&object(&found.pod));
    // The log says more than the end of it that the status keeps.
    if let SparkContainer::Exited(exit) = &mut pod.spark
        && !log.trim().is_empty()
    {
        exit.message = Some(log.to_owned());
    }
    match health::of_driver(&pod, &Limits::default(), now) {
        Health::Ended(ending) if ending.is_success() => None,
        Health::Ended(ending) => Some(ended(evidence, &pod, &ending, log)),
        Health::Pending(hold) => held(evidence, &pod.name, "driver", &hold),
        Health::Unreachable(hold) => Some(Finding {
            cause: Cause::NodeLost,
            what: hold.message,
            evidence: vec![format!(
                "pod {} is on node {}, phase {}",
                pod.name,
                pod.node.as_deref().unwrap_or("?"),
                text(&found.pod["status"]["phase"]),
            )],
            next: format!(
                "look at the node: kubectl describe node {}",
                pod.node.as_deref().unwrap_or("NODE")
            ),
        }),
        Health::Running { .. } => lost_executors(log),
    }
}

/// The driver runs, and tells of executors it loses again and again.
fn lost_executors(log: &str) -> Option<Finding> {
    let remedy = remedy::of_lost_executors(log)?;
    Some(Finding {
        cause: remedy.cause,
        what: "executors are killed for their memory while the driver runs".to_owned(),
        evidence: vec![format!("log of the driver: {}", remedy.line)],
        next: remedy.next.to_owned(),
    })
}

fn ended(evidence: &Evidence, pod: &DriverPod, ending: &Ending, log: &str) -> Finding {
    let exit = match &pod.spark {
        SparkContainer::Exited(exit) => Some(exit),
        _ => None,
    };
    let mut seen = vec![exit_line(&pod.name, exit, pod.reason.as_deref())];
    let own_words = exit.and_then(|exit| exit.message.as_deref());
    let known = own_words.and_then(remedy::of);
    let said = own_words.and_then(cause::of);
    let from_log = |seen: &mut Vec<String>| {
        let lines = [
            known.as_ref().map(|remedy| remedy.line.clone()),
            said.clone(),
        ];
        let mut lines: Vec<String> = lines.into_iter().flatten().collect();
        lines.dedup();
        if lines.is_empty() {
            lines = last_lines(log);
        }
        seen.extend(lines.into_iter().map(|line| format!("log: {line}")));
    };
    let (cause, next) = match (&ending.reason, &known) {
        (Reason::OomKilled, _) => (
            Cause::DriverOutOfMemory,
            "raise spec.driver.memoryOverhead (Python and native memory) or spec.driver.memory (the heap)".to_owned(),
        ),
        (Reason::Evicted, _) => (Cause::Evicted, evicted_next(pod.message.as_deref())),
        (Reason::NodeLost, _) => (
            Cause::NodeLost,
            "nothing of the job: spec.restartPolicy OnFailure runs it again on another node".to_owned(),
        ),
        (Reason::InitContainerFailed, _) => {
            let name = pod.failed_init.as_ref().map_or("", |init| &init.name);
            let log = format!("kubectl logs {} -c {name}", pod.name);
            (Cause::InitContainerFailed, format!("read its log: {log}"))
        }
        (Reason::DriverFailed, Some(remedy)) => {
            from_log(&mut seen);
            (remedy.cause, remedy.next.to_owned())
        }
        (Reason::DriverFailed, None) => {
            if let Some(finding) = disrupted(evidence, pod, ending, &seen) {
                return finding;
            }
            from_log(&mut seen);
            match (ending.exit_code, said) {
                (Some(137), _) => (
                    Cause::Killed,
                    "most often it is memory: raise spec.driver.memoryOverhead, and look for OOM in kubectl describe \
                     node"
                        .to_owned(),
                ),
                (Some(143), _) => (
                    Cause::Killed,
                    "look for who stopped it: windlass events, and the node's events".to_owned(),
                ),
                (_, Some(_)) => (
                    Cause::UserException,
                    format!("it is the job's own error: correct the job; all of its log: windlass logs {}", application(evidence)),
                ),
                _ => (
                    Cause::Other,
                    format!("read all of its log: windlass logs {}", application(evidence)),
                ),
            }
        }
        (Reason::Other(word), _) if word == "Preempting" || word == "Preempted" => (
            Cause::Evicted,
            "give the job a higher spec.driver.priorityClassName, or let spec.restartPolicy run it again".to_owned(),
        ),
        (_, known) => {
            from_log(&mut seen);
            match known {
                Some(remedy) => (remedy.cause, remedy.next.to_owned()),
                None => (
                    Cause::Other,
                    format!("see kubectl describe pod {}", pod.name),
                ),
            }
        }
    };
    let advice = format!("; {next}");
    let what = ending.message.strip_suffix(&advice);
    Finding {
        cause,
        what: what.unwrap_or(&ending.message).to_owned(),
        evidence: seen,
        next,
    }
}

/// A pod that the cluster put out says so in a condition, or only in an event.
fn disrupted(
    evidence: &Evidence,
    pod: &DriverPod,
    ending: &Ending,
    seen: &[String],
) -> Option<Finding> {
    let found = current_driver(evidence)?;
    let condition = list(&found.pod["status"]["conditions"])
        .iter()
        .find(|it| it["type"] == "DisruptionTarget" && it["status"] == "True");
    let told_by_event = events_about(evidence, "Pod", &pod.name)
        .into_iter()
        .rev()
        .find(|event| {
            matches!(
                text(&event["reason"]),
                "TaintManagerEviction" | "Evicted" | "Preempted" | "NodeNotReady"
            )
        });
    let (word, line) = match (condition, told_by_event) {
        (Some(it), _) => (
            text(&it["reason"]),
            format!(
                "condition DisruptionTarget of {}: {}: {}",
                pod.name,
                text(&it["reason"]),
                one_line(text(&it["message"]))
            ),
        ),
        (None, Some(event)) => (text(&event["reason"]), told(event)),
        (None, None) if pod.terminating.is_some() => {
            return Some(Finding {
                cause: Cause::PodDeleted,
                what: ending.message.clone(),
                evidence: seen.to_vec(),
                next:
                    "look for who deleted the pod; spec.restartPolicy OnFailure runs the job again"
                        .to_owned(),
            });
        }
        (None, None) => return None,
    };
    let cause = match word {
        "DeletionByTaintManager" | "TaintManagerEviction" | "NodeNotReady" | "DeletionByPodGC" => {
            Cause::NodeLost
        }
        _ => Cause::Evicted,
    };
    let mut seen = seen.to_vec();
    seen.push(line);
    Some(Finding {
        cause,
        what: ending.message.clone(),
        evidence: seen,
        next: "nothing of the job: spec.restartPolicy OnFailure runs it again; look at the node with kubectl describe \
               node"
            .to_owned(),
    })
}

fn evicted_next(message: Option<&str>) -> String {
    let message = message.unwrap_or_default();
    if message.contains("ephemeral") || message.contains("disk") {
        "give Spark room for shuffle files: a volume named spark-local-dir-1, or request ephemeral storage in the \
         template"
            .to_owned()
    } else if message.contains("memory") {
        "raise spec.driver.memoryOverhead so that the pod requests what it uses; spec.restartPolicy OnFailure runs it \
         again"
            .to_owned()
    } else {
        "spec.restartPolicy OnFailure runs it again elsewhere; look at the node with kubectl describe node".to_owned()
    }
}

/// What a pod waits for.
pub(super) fn held(evidence: &Evidence, pod: &str, role: &str, hold: &Hold) -> Option<Finding> {
    let mut seen = vec![format!("pod {pod} waits: {}", hold.reason)];
    let warnings = warnings_about(evidence, "Pod", pod);
    seen.extend(warnings.into_iter().rev().take(SHOWN_LINES).map(told));
    if let Some(finding) = blocked_by_claim(evidence, pod, hold, &seen) {
        return Some(finding);
    }
    let finding = |cause, next: String| Finding {
        cause,
        what: hold.message.clone(),
        evidence: seen.clone(),
        next,
    };
    let describe = format!("see kubectl describe pod {pod}");
    match hold.obstacle {
        Obstacle::Image => Some(finding(
            Cause::ImageUnavailable,
            format!(
                "check the name and tag of spec.image or spec.{role}.image, and for a private registry \
                 spec.imagePullSecrets"
            ),
        )),
        Obstacle::Reference => Some(finding(Cause::ReferenceMissing, named_and_not_there(role))),
        Obstacle::Misfit => Some(finding(
            Cause::Unschedulable,
            format!(
                "no node could ever take it: make spec.{role} smaller or less choosy, or add such a node"
            ),
        )),
        Obstacle::Other if hold.reason == "Unschedulable" => Some(finding(
            Cause::Unschedulable,
            format!(
                "wait until room is free, make spec.{role} smaller, or add nodes: kubectl describe nodes shows what is \
                 taken"
            ),
        )),
        Obstacle::Other => Some(finding(Cause::Other, describe)),
        Obstacle::Nothing => reference_trouble(evidence, pod, role, &hold.message),
    }
}

/// What is not well with the executors.
pub(super) fn executors(evidence: &Evidence) -> Vec<Finding> {
    let application = &evidence.application["status"]["sparkApplicationId"];
    let of_attempt = |it: &&PodEvidence| {
        role(&it.pod) == Some("executor")
            && (application.is_null()
                || it.pod["metadata"]["labels"][observe::APP_SELECTOR] == *application)
    };
    let found: Vec<&PodEvidence> = evidence.pods.iter().filter(of_attempt).collect();
    let pods: Vec<ExecutorPod> = found
        .iter()
        .map(|it| observe::executor_pod(&object(&it.pod)))
        .collect();
    let mut findings: Vec<Finding> = found
        .iter()
        .zip(&pods)
        .filter_map(|(it, pod)| failed_executor(it, pod))
        .collect();
    if let Some(hold) = health::of_executors(pods.iter()) {
        let is_first = |pod: &&ExecutorPod| {
            pod.phase == PodPhase::Pending && (pod.unschedulable.is_some() || pod.blocked.is_some())
        };
        let mut waiting: Vec<&ExecutorPod> = pods.iter().filter(is_first).collect();
        waiting.sort_by_key(|pod| pod.id);
        let name = waiting.first().map_or("", |pod| &pod.name);
        findings.extend(held(evidence, name, "executor", &hold));
    }
    findings
}

fn failed_executor(it: &PodEvidence, pod: &ExecutorPod) -> Option<Finding> {
    if pod.phase != PodPhase::Failed {
        return None;
    }
    let status = list(&it.pod["status"]["containerStatuses"])
        .iter()
        .find(|status| status["state"]["terminated"]["exitCode"].as_i64() != Some(0))
        .map_or(&Value::Null, |status| &status["state"]["terminated"]);
    let word = text(&status["reason"]);
    let code = pod.exit_code.unwrap_or_default();
    let log = it.logs.values().next().map_or("", String::as_str);
    let mut seen = vec![format!("pod {}: exit code {code} {word}", pod.name)];
    let said = remedy::of(log);
    seen.extend(said.iter().map(|it| format!("log: {}", it.line)));
    let of_pod = text(&it.pod["status"]["reason"]);
    let finding = |cause, what: String, next: String| {
        Some(Finding {
            cause,
            what,
            evidence: seen.clone(),
            next,
        })
    };
    if word == "OOMKilled" || code == 52 {
        return finding(
            Cause::ExecutorOutOfMemory,
            format!(
                "executor {} was killed because it used more memory than it has",
                pod.id
            ),
            "raise spec.executor.memoryOverhead (memory outside of the heap, Python) or spec.executor.memory".to_owned(),
        );
    }
    if of_pod == "Evicted" {
        return finding(
            Cause::Evicted,
            format!(
                "executor {} was evicted: {}",
                pod.id,
                one_line(text(&it.pod["status"]["message"]))
            ),
            "Spark replaces it; if it happens often raise spec.executor.memoryOverhead or give it more local storage"
                .to_owned(),
        );
    }
    let said = said?;
    finding(
        said.cause,
        format!("executor {} exited with code {code}", pod.id),
        said.next.to_owned(),
    )
}

/// Containers beside Spark's that failed or cannot start.
pub(super) fn sidecars(evidence: &Evidence) -> Vec<Finding> {
    let Some(found) = current_driver(evidence) else {
        return Vec::new();
    };
    let name = text(&found.pod["metadata"]["name"]);
    let pod = object(&found.pod);
    let spark = observe::driver_container(&pod);
    list(&found.pod["status"]["containerStatuses"])
        .iter()
        .filter(|status| status["name"].as_str() != spark)
        .filter_map(|status| {
            let sidecar = text(&status["name"]);
            let (what, mut seen) = sidecar_trouble(sidecar, status)?;
            let log = found.logs.get(sidecar).map_or("", String::as_str);
            seen.extend(last_lines(log).into_iter().map(|line| format!("log: {line}")));
            Some(Finding {
                cause: Cause::SidecarFailed,
                what,
                evidence: seen,
                next: format!(
                    "the result of the job is Spark's own; for the sidecar see kubectl logs {name} -c {sidecar} and \
                     spec.driver.sidecars"
                ),
            })
        })
        .collect()
}

fn sidecar_trouble(name: &str, status: &Value) -> Option<(String, Vec<String>)> {
    let ended = [
        &status["state"]["terminated"],
        &status["lastState"]["terminated"],
    ];
    let badly = |it: &&&Value| {
        it["exitCode"]
            .as_i64()
            .is_some_and(|code| !matches!(code, 0 | 143))
    };
    if let Some(ended) = ended.iter().find(badly) {
        let line = format!(
            "container {name}: exit code {} {}",
            ended["exitCode"],
            text(&ended["reason"])
        );
        return Some((format!("sidecar {name} of the driver failed"), vec![line]));
    }
    let waiting = &status["state"]["waiting"];
    let word = text(&waiting["reason"]);
    if word.is_empty() || matches!(word, "ContainerCreating" | "PodInitializing") {
        return None;
    }
    let line = format!(
        "container {name} waits: {word}: {}",
        one_line(text(&waiting["message"]))
    );
    Some((
        format!("sidecar {name} of the driver does not start"),
        vec![line],
    ))
}

fn exit_line(pod: &str, exit: Option<&Exit>, of_pod: Option<&str>) -> String {
    match (exit, of_pod) {
        (Some(exit), _) => format!(
            "pod {pod}: exit code {}{}",
            exit.code,
            exit.reason
                .as_deref()
                .map(|word| format!(" ({word})"))
                .unwrap_or_default()
        ),
        (None, Some(word)) => format!("pod {pod}: {word}"),
        (None, None) => format!("pod {pod}: no exit code"),
    }
}

pub(super) fn last_lines(log: &str) -> Vec<String> {
    let lines: Vec<&str> = log.lines().filter(|line| !line.trim().is_empty()).collect();
    let from = lines.len().saturating_sub(SHOWN_LINES);
    lines[from..].iter().map(|line| one_line(line)).collect()
}

fn application(evidence: &Evidence) -> String {
    let metadata = &evidence.application["metadata"];
    format!(
        "-n {} {}",
        text(&metadata["namespace"]),
        text(&metadata["name"])
    )
}
