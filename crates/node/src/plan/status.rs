//! The status a pod shows, in the shapes the kubelet gives it.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    Container, ContainerState, ContainerStateRunning, ContainerStateTerminated,
    ContainerStateWaiting, ContainerStatus, HostIP, Pod, PodCondition, PodIP, PodStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use sha2::{Digest, Sha256};

use super::pod::{Role, next_streak};
use super::restart_delay;
use super::seen::{ContainerSeen, ImageSeen, Ongoing, Sandbox, Seen};
use crate::shim::{Ending, Life};

/// How long a failed look for an image shows as such before it shows as a wait.
pub(super) const IMAGE_ERROR_SHOWN: jiff::SignedDuration = jiff::SignedDuration::from_secs(1);

/// How long something may be missing before the status says so.
const MISSING_SHOWN: jiff::SignedDuration = jiff::SignedDuration::from_secs(2);

/// The condition that lists what this machine cannot do for the pod.
const LIMITATIONS: &str = "windlass.dev/FullyIsolated";

/// The conditions the node owns; others on the pod are left alone.
const OWNED: [&str; 6] = [
    "PodReadyToStartContainers",
    "Initialized",
    "Ready",
    "ContainersReady",
    "PodScheduled",
    LIMITATIONS,
];

/// Whether the pod has ended for good, as the API has it.
pub(super) fn is_final(pod: &Pod) -> bool {
    let phase = pod
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

/// Builds the status. `ending` says that nothing runs any more and nothing will.
pub(super) fn build(
    units: &[(Role, &Container)],
    pod: &Pod,
    seen: &Seen,
    now: Timestamp,
    ending: bool,
    failure: Option<(&'static str, &'static str)>,
) -> PodStatus {
    let old = pod.status.clone().unwrap_or_default();
    // The API keeps whole seconds; finer times would differ from what comes back.
    let second = |time: Timestamp| Timestamp::from_second(time.as_second()).unwrap_or(time);
    let initialized = is_initialized(units, seen);
    let uid = pod.metadata.uid.as_deref().unwrap_or_default();
    let status_of = |(role, container): &(Role, &Container)| {
        let previous = old
            .init_container_statuses
            .iter()
            .chain(&old.container_statuses)
            .flatten()
            .find(|status| status.name == container.name);
        let again = !ending && !is_final(pod) && will_restart(*role, container, pod, seen);
        container_status(
            uid,
            *role,
            container,
            seen,
            previous,
            initialized,
            again,
            now,
        )
    };
    let (init, main): (Vec<_>, Vec<_>) = units.iter().partition(|(role, _)| *role != Role::Main);
    let init: Vec<ContainerStatus> = init.into_iter().map(status_of).collect();
    let main: Vec<ContainerStatus> = main.into_iter().map(status_of).collect();
    let failed_before = is_final(pod);
    let phase = if failed_before {
        old.phase.clone().unwrap_or_default()
    } else {
        phase(&main, initialized, ending, failure.is_some()).to_owned()
    };
    let (reason, message) = match failure {
        Some((reason, message)) => (Some(reason.to_owned()), Some(message.to_owned())),
        None => (old.reason.clone(), old.message.clone()),
    };
    let address = seen
        .address
        .map(|address| address.to_string())
        .or(old.pod_ip.clone());
    let host = seen
        .host
        .map(|address| address.to_string())
        .or(old.host_ip.clone());
    let mut status = PodStatus {
        pod_ips: address.clone().map(|ip| vec![PodIP { ip }]),
        pod_ip: address,
        host_ips: host.clone().map(|ip| vec![HostIP { ip }]),
        host_ip: host,
        start_time: old
            .start_time
            .clone()
            .or(seen.accepted_at.map(second).map(Time)),
        qos_class: old
            .qos_class
            .clone()
            .or_else(|| Some(quality(units).to_owned())),
        init_container_statuses: (!init.is_empty()).then_some(init),
        container_statuses: Some(main),
        reason,
        message,
        phase: Some(phase),
        ..old.clone()
    };
    status.conditions = Some(conditions(
        units,
        pod,
        seen,
        &status,
        &old,
        second(now),
        initialized,
    ));
    status
}

fn is_initialized(units: &[(Role, &Container)], seen: &Seen) -> bool {
    let nothing = ContainerSeen::default();
    let of = |container: &Container| seen.containers.get(&container.name).unwrap_or(&nothing);
    let past = units
        .iter()
        .any(|(role, c)| *role == Role::Main && of(c).instance.is_some());
    past || units.iter().all(|(role, container)| match role {
        Role::Main => true,
        Role::Init => of(container)
            .ending()
            .is_some_and(|ending| ending.exit_code == 0),
        Role::Sidecar => of(container).started,
    })
}

#[expect(
    clippy::too_many_arguments,
    reason = "one call, and every argument is a fact of its own"
)]
fn container_status(
    uid: &str,
    role: Role,
    container: &Container,
    all: &Seen,
    previous: Option<&ContainerStatus>,
    initialized: bool,
    restarts: bool,
    now: Timestamp,
) -> ContainerStatus {
    let nothing = ContainerSeen::default();
    let seen = all.containers.get(&container.name).unwrap_or(&nothing);
    // What an earlier agent saw is better than nothing, once the records are gone.
    if seen.instance.is_none()
        && all.sandbox == Sandbox::Gone
        && let Some(previous) = previous
    {
        return previous.clone();
    }
    let id = |attempt: u32| container_id(uid, &container.name, attempt);
    let ended = |attempt: u32, ending: &Ending| ContainerState {
        terminated: Some(terminated(&id(attempt), ending)),
        ..ContainerState::default()
    };
    let waiting = |reason: &str, message: Option<String>| ContainerState {
        waiting: Some(ContainerStateWaiting {
            reason: Some(reason.to_owned()),
            message,
        }),
        ..ContainerState::default()
    };
    let mut last_state = seen
        .previous
        .as_ref()
        .map(|(attempt, ending)| ended(*attempt, ending));
    let retrying = waits_for_retry(seen, now);
    let state = match &seen.instance {
        // Until its start hook is through, a container counts as being created.
        Some((_, Life::Running { started_at, .. })) if seen.ongoing != Ongoing::Starting => {
            ContainerState {
                running: Some(ContainerStateRunning {
                    started_at: Some(Time(*started_at)),
                }),
                ..ContainerState::default()
            }
        }
        Some((attempt, Life::Ended(ending))) => match retrying {
            Some((reason, message)) => {
                last_state = Some(ended(*attempt, ending));
                waiting(&reason, Some(message))
            }
            None if restarts && seen.ongoing == Ongoing::Nothing && next_streak(seen) >= 2 => {
                last_state = Some(ended(*attempt, ending));
                let delay = restart_delay(next_streak(seen)).as_secs();
                let message = format!(
                    "back-off {delay}s restarting failed container={}",
                    container.name
                );
                waiting("CrashLoopBackOff", Some(message))
            }
            None => ended(*attempt, ending),
        },
        Some((_, Life::Starting { .. } | Life::Running { .. })) | None => match retrying {
            Some((reason, message)) => waiting(&reason, Some(message)),
            None if role == Role::Main && !initialized => waiting("PodInitializing", None),
            None if role != Role::Main
                && seen.ongoing == Ongoing::Nothing
                && all.sandbox == Sandbox::Ready =>
            {
                waiting("PodInitializing", None)
            }
            None => waiting("ContainerCreating", missing_for_long(all, now)),
        },
    };
    let running = state.running.is_some();
    let succeeded = state
        .terminated
        .as_ref()
        .is_some_and(|ended| ended.exit_code == 0);
    ContainerStatus {
        name: container.name.clone(),
        image: container.image.clone().unwrap_or_default(),
        image_id: match &seen.image {
            ImageSeen::Present { id } => id.clone(),
            ImageSeen::Unknown | ImageSeen::Missing { .. } => previous
                .map(|status| status.image_id.clone())
                .unwrap_or_default(),
        },
        container_id: seen
            .instance
            .as_ref()
            .filter(|(_, life)| !matches!(life, Life::Starting { .. }))
            .map(|(attempt, _)| id(*attempt)),
        ready: match role {
            Role::Init => succeeded,
            Role::Sidecar | Role::Main => running && seen.started && seen.ready,
        },
        started: Some(running && seen.started),
        restart_count: seen
            .instance
            .as_ref()
            .map_or(0, |(attempt, _)| *attempt as i32),
        state: Some(state),
        last_state,
        ..ContainerStatus::default()
    }
}

/// The runtime's name for one instance of a container.
pub(super) fn container_id(uid: &str, container: &str, attempt: u32) -> String {
    let digest = Sha256::digest(format!("{uid}/{container}/{attempt}"));
    format!("windlass://{digest:x}")
}

fn terminated(id: &str, ending: &Ending) -> ContainerStateTerminated {
    ContainerStateTerminated {
        container_id: Some(id.to_owned()),
        exit_code: ending.exit_code,
        // Runtimes report a killed program by its exit code alone.
        signal: None,
        reason: Some(ending.reason.clone()),
        message: (!ending.message.is_empty()).then(|| ending.message.clone()),
        started_at: ending.started_at.map(Time),
        finished_at: Some(Time(ending.finished_at)),
    }
}

/// What the walls wait for, once it is more than the moment in which a controller creates what its
/// pod mounts. The kubelet only tells of it in events; the status says it where people look first.
fn missing_for_long(seen: &Seen, now: Timestamp) -> Option<String> {
    seen.missing
        .as_ref()
        .filter(|missing| now.duration_since(missing.since) >= MISSING_SHOWN)
        .map(|missing| missing.why.clone())
}

/// Why a container that should start does not, if something is in its way.
fn waits_for_retry(seen: &ContainerSeen, now: Timestamp) -> Option<(String, String)> {
    if let ImageSeen::Missing {
        reason,
        message,
        at,
        ..
    } = &seen.image
    {
        let fresh = now.duration_since(*at) < IMAGE_ERROR_SHOWN;
        return Some(if fresh || reason != "ErrImagePull" {
            (reason.clone(), message.clone())
        } else {
            (
                "ImagePullBackOff".to_owned(),
                format!("Back-off pulling image: {reason}: {message}"),
            )
        });
    }
    seen.refusal
        .as_ref()
        .map(|refusal| (refusal.reason.clone(), refusal.message.clone()))
}

/// Whether an ended container is going to run again.
fn will_restart(role: Role, container: &Container, pod: &Pod, seen: &Seen) -> bool {
    let policy = pod
        .spec
        .as_ref()
        .and_then(|spec| spec.restart_policy.as_deref());
    let ending = seen
        .containers
        .get(&container.name)
        .and_then(ContainerSeen::ending);
    let success = ending.is_some_and(|ending| ending.exit_code == 0);
    let deleting = pod.metadata.deletion_timestamp.is_some();
    !deleting
        && match role {
            Role::Sidecar => true,
            Role::Init => policy != Some("Never") && !success,
            Role::Main => match policy {
                Some("Never") => false,
                Some("OnFailure") => !success,
                _ => true,
            },
        }
}

fn phase(main: &[ContainerStatus], initialized: bool, ending: bool, failed: bool) -> &'static str {
    let succeeded = |status: &ContainerStatus| {
        let state = status
            .state
            .as_ref()
            .and_then(|state| state.terminated.as_ref());
        state.is_some_and(|ended| ended.exit_code == 0)
    };
    if ending {
        return if !failed && !main.is_empty() && main.iter().all(succeeded) {
            "Succeeded"
        } else {
            "Failed"
        };
    }
    let never_ran = |status: &ContainerStatus| {
        let waiting = status
            .state
            .as_ref()
            .is_some_and(|state| state.waiting.is_some());
        waiting && status.last_state.is_none()
    };
    if !initialized || main.iter().any(never_ran) {
        "Pending"
    } else {
        "Running"
    }
}

fn conditions(
    units: &[(Role, &Container)],
    pod: &Pod,
    seen: &Seen,
    status: &PodStatus,
    old: &PodStatus,
    now: Timestamp,
    initialized: bool,
) -> Vec<PodCondition> {
    let succeeded = status.phase.as_deref() == Some("Succeeded");
    let failed = status.phase.as_deref() == Some("Failed");
    let names = |kind: fn(Role) -> bool, bad: &dyn Fn(&ContainerStatus) -> bool| {
        let statuses = status
            .init_container_statuses
            .iter()
            .chain(&status.container_statuses);
        let all: Vec<&ContainerStatus> = statuses.flatten().collect();
        let of = |name: &str| all.iter().copied().find(|status| status.name == name);
        let found: Vec<&str> = units
            .iter()
            .filter(|(role, c)| kind(*role) && of(&c.name).is_none_or(bad))
            .map(|(_, c)| c.name.as_str())
            .collect();
        found.join(" ")
    };
    let unready = names(|role| role != Role::Init, &|status| !status.ready);
    let incomplete = names(|role| role != Role::Main, &|status| match &status.state {
        Some(state) if state.terminated.is_some() => !status.ready,
        _ => status.started != Some(true),
    });
    let containers_ready: Verdict = if succeeded {
        Err(("PodCompleted", String::new()))
    } else if failed {
        Err(("PodFailed", String::new()))
    } else if unready.is_empty() {
        Ok(())
    } else {
        Err((
            "ContainersNotReady",
            format!("containers with unready status: [{unready}]"),
        ))
    };
    let gates = pod
        .spec
        .iter()
        .flat_map(|spec| spec.readiness_gates.iter().flatten());
    let closed: Vec<&str> = gates
        .map(|gate| gate.condition_type.as_str())
        .filter(|gate| {
            let conditions = old.conditions.iter().flatten();
            !conditions
                .into_iter()
                .any(|c| c.type_ == **gate && c.status == "True")
        })
        .collect();
    let ready: Verdict = match &containers_ready {
        Ok(()) if !closed.is_empty() => Err((
            "ReadinessGatesNotReady",
            format!(
                "corresponding condition of pod readiness gate \"{}\" is not \"True\".",
                closed[0]
            ),
        )),
        other => other.clone(),
    };
    let initialized: Verdict = if succeeded || initialized {
        Ok(())
    } else {
        Err((
            "ContainersNotInitialized",
            format!("containers with incomplete status: [{incomplete}]"),
        ))
    };
    let walls: Verdict = match seen.sandbox {
        Sandbox::Ready => Ok(()),
        Sandbox::Absent | Sandbox::Making | Sandbox::Waiting { .. } | Sandbox::Gone => {
            Err(("", String::new()))
        }
    };
    let mut wanted = vec![
        ("PodReadyToStartContainers", walls),
        ("Initialized", initialized),
        ("Ready", ready),
        ("ContainersReady", containers_ready),
        ("PodScheduled", Ok(())),
    ];
    if !seen.limitations.is_empty() {
        wanted.push((
            LIMITATIONS,
            Err(("NotOnThisMachine", seen.limitations.join("; "))),
        ));
    }
    let previous = |kind: &str| {
        old.conditions
            .iter()
            .flatten()
            .find(|condition| condition.type_ == kind)
    };
    let mut conditions: Vec<PodCondition> = wanted
        .into_iter()
        .map(|(kind, verdict)| {
            let status = if verdict.is_ok() { "True" } else { "False" };
            let (reason, message) = verdict.err().unwrap_or_default();
            let since = previous(kind)
                .filter(|before| before.status == status)
                .and_then(|before| before.last_transition_time.clone());
            PodCondition {
                type_: kind.to_owned(),
                status: status.to_owned(),
                reason: (!reason.is_empty()).then(|| reason.to_owned()),
                message: (!message.is_empty()).then_some(message),
                last_transition_time: Some(since.unwrap_or(Time(now))),
                ..PodCondition::default()
            }
        })
        .collect();
    let foreign = old
        .conditions
        .iter()
        .flatten()
        .filter(|c| !OWNED.contains(&c.type_.as_str()));
    conditions.extend(foreign.cloned());
    conditions
}

/// A condition that holds, or why it does not.
type Verdict = Result<(), (&'static str, String)>;

/// The quality of service class the containers' resources amount to.
fn quality(units: &[(Role, &Container)]) -> &'static str {
    let mut any = false;
    let mut all_equal = true;
    for (_, container) in units {
        let resources = container.resources.clone().unwrap_or_default();
        let limits = resources.limits.unwrap_or_default();
        // A missing request defaults to the limit.
        let mut requests = resources.requests.unwrap_or_default();
        for name in ["cpu", "memory"] {
            if let Some(limit) = limits.get(name) {
                requests
                    .entry(name.to_owned())
                    .or_insert_with(|| limit.clone());
            }
            any |= requests.contains_key(name) || limits.contains_key(name);
            all_equal &= limits
                .get(name)
                .is_some_and(|limit| requests.get(name) == Some(limit));
        }
    }
    match (any, all_equal) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}
