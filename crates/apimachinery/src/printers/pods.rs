//! The row of a pod: its status in one word is a story of its own.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::cells::{NONE, age, is_terminating, items, name, number, text, text_or};
use super::duration;

pub(super) fn row(pod: &Value, now: Timestamp) -> Vec<Value> {
    let summary = summarize(pod);
    let restarts = match summary.last_restart {
        Some(time) if summary.restarts > 0 => {
            format!("{} ({} ago)", summary.restarts, duration::since(time, now))
        }
        _ => summary.restarts.to_string(),
    };
    let address = items(pod, "/status/podIPs")
        .first()
        .map(|entry| text(entry, "/ip"));
    vec![
        name(pod),
        format!("{}/{}", summary.ready, summary.total).into(),
        summary.status.into(),
        restarts.into(),
        age(pod, now),
        match address.unwrap_or_else(|| text(pod, "/status/podIP")) {
            "" => json!(NONE),
            address => json!(address),
        },
        text_or(pod, "/spec/nodeName", NONE),
        text_or(pod, "/status/nominatedNodeName", NONE),
        readiness_gates(pod),
    ]
}

/// A row of a pod that has ended says so.
pub(super) fn conditions(pod: &Value) -> Option<Value> {
    let (reason, message) = match text(pod, "/status/phase") {
        "Succeeded" => ("Succeeded", "The pod has completed successfully."),
        "Failed" => ("Failed", "The pod failed."),
        _ => return None,
    };
    Some(json!([
        { "type": "Completed", "status": "True", "reason": reason, "message": message },
    ]))
}

struct Summary {
    status: String,
    ready: usize,
    total: usize,
    restarts: i64,
    last_restart: Option<Timestamp>,
}

fn summarize(pod: &Value) -> Summary {
    let phase = text(pod, "/status/phase");
    let mut summary = Summary {
        status: match text(pod, "/status/reason") {
            "" => phase.to_owned(),
            reason => reason.to_owned(),
        },
        ready: 0,
        total: items(pod, "/spec/containers").len(),
        restarts: 0,
        last_restart: None,
    };
    let conditions = items(pod, "/status/conditions");
    let gated = |condition: &Value| {
        text(condition, "/type") == "PodScheduled"
            && text(condition, "/reason") == "SchedulingGated"
    };
    if conditions.iter().any(gated) {
        "SchedulingGated".clone_into(&mut summary.status);
    }
    let is_true = |kind: &str| {
        conditions
            .iter()
            .any(|c| text(c, "/type") == kind && text(c, "/status") == "True")
    };
    let mut sidecars = Sidecars::default();
    let initializing = initialize(pod, &mut summary, &mut sidecars);
    if !initializing || is_true("Initialized") {
        summary.restarts = sidecars.restarts;
        summary.last_restart = sidecars.last_restart;
        let running = run(pod, &mut summary);
        // A finished container does not hide one that still runs.
        if summary.status == "Completed" && running {
            let status = if is_true("Ready") {
                "Running"
            } else {
                "NotReady"
            };
            status.clone_into(&mut summary.status);
        }
    }
    if is_terminating(pod) {
        if text(pod, "/status/reason") == "NodeLost" {
            "Unknown".clone_into(&mut summary.status);
        } else if !matches!(phase, "Succeeded" | "Failed") {
            "Terminating".clone_into(&mut summary.status);
        }
    }
    summary
}

#[derive(Default)]
struct Sidecars {
    restarts: i64,
    last_restart: Option<Timestamp>,
}

/// Goes through the init containers; tells whether one of them still holds the pod back.
fn initialize(pod: &Value, summary: &mut Summary, sidecars: &mut Sidecars) -> bool {
    let init = items(pod, "/spec/initContainers");
    let restarts_always = |container: &&Value| text(container, "/restartPolicy") == "Always";
    summary.total += init.iter().filter(restarts_always).count();
    for (index, status) in items(pod, "/status/initContainerStatuses")
        .iter()
        .enumerate()
    {
        let sidecar = init
            .iter()
            .filter(restarts_always)
            .any(|container| text(container, "/name") == text(status, "/name"));
        count_restarts(status, &mut summary.restarts, &mut summary.last_restart);
        if sidecar {
            count_restarts(status, &mut sidecars.restarts, &mut sidecars.last_restart);
        }
        let terminated = status.pointer("/state/terminated");
        let waiting = text(status, "/state/waiting/reason");
        let started = status
            .get("started")
            .and_then(Value::as_bool)
            .unwrap_or_default();
        match terminated {
            Some(end) if number(end, "/exitCode") == 0 => continue,
            _ if sidecar && started => {
                if is_ready(status) {
                    summary.ready += 1;
                }
                continue;
            }
            Some(end) => summary.status = format!("Init:{}", ending(end)),
            None if !matches!(waiting, "" | "PodInitializing") => {
                summary.status = format!("Init:{waiting}");
            }
            None => summary.status = format!("Init:{index}/{}", init.len()),
        }
        return true;
    }
    false
}

/// Goes through the containers, the first one last so that it decides; tells whether one runs.
fn run(pod: &Value, summary: &mut Summary) -> bool {
    let mut running = false;
    for status in items(pod, "/status/containerStatuses").iter().rev() {
        count_restarts(status, &mut summary.restarts, &mut summary.last_restart);
        let waiting = text(status, "/state/waiting/reason");
        if !waiting.is_empty() {
            waiting.clone_into(&mut summary.status);
        } else if let Some(end) = status.pointer("/state/terminated") {
            summary.status = ending(end);
        } else if is_ready(status) && status.pointer("/state/running").is_some() {
            running = true;
            summary.ready += 1;
        }
    }
    running
}

fn ending(terminated: &Value) -> String {
    match (text(terminated, "/reason"), number(terminated, "/signal")) {
        ("", 0) => format!("ExitCode:{}", number(terminated, "/exitCode")),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_owned(),
    }
}

fn is_ready(status: &Value) -> bool {
    status
        .get("ready")
        .and_then(Value::as_bool)
        .unwrap_or_default()
}

fn count_restarts(status: &Value, restarts: &mut i64, last: &mut Option<Timestamp>) {
    *restarts += number(status, "/restartCount");
    let finished = text(status, "/lastState/terminated/finishedAt")
        .parse::<Timestamp>()
        .ok();
    *last = (*last).max(finished);
}

fn readiness_gates(pod: &Value) -> Value {
    let gates = items(pod, "/spec/readinessGates");
    if gates.is_empty() {
        return NONE.into();
    }
    let open = gates.iter().filter(|gate| {
        items(pod, "/status/conditions").iter().any(|condition| {
            condition.get("type") == gate.get("conditionType")
                && text(condition, "/status") == "True"
        })
    });
    format!("{}/{}", open.count(), gates.len()).into()
}
