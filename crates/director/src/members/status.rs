//! What people read: KubeDirector's fields, and conditions.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use windlass_api::director::cluster::{
    AutoscaleStatus, ClusterState, ClusterStatus, ContainerState, MemberState, MemberStateRollup,
    MemberStatus, NotifyCommand, RoleStatus, STORAGE_RESIZING, StateDetail,
};
use windlass_engine::plan::EventNote;

use super::hooks;
use super::marks::{Call, PodMarks};
use super::observed::ObservedPod;

/// A condition of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConditionKind {
    /// Every member is there, set up and ready, and nobody comes or goes.
    Ready,
    /// Members come, go, or are set up or told something.
    Progressing,
    /// Something is in the way of what is asked for.
    Degraded,
    /// It is known how many members of the roles that are autoscaled there is a use for.
    ScalingActive,
    /// More are wanted of one of them than it may have.
    ScalingLimited,
    /// Volumes of members become larger.
    StorageResizing,
    /// Volumes grow by themselves whose roles say so.
    AutoGrowActive,
    /// systemd runs in the members of an application that needs it, as far as their nodes let it.
    Systemd,
}

impl ConditionKind {
    /// Its type.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::Progressing => "Progressing",
            Self::Degraded => "Degraded",
            Self::ScalingActive => "ScalingActive",
            Self::ScalingLimited => "ScalingLimited",
            Self::StorageResizing => STORAGE_RESIZING,
            Self::AutoGrowActive => "AutoGrowActive",
            Self::Systemd => "SystemdRuns",
        }
    }
}

/// A member, as far as its status goes.
#[derive(Debug, Clone)]
pub(super) struct MemberLine<'a> {
    pub(super) pod_name: String,
    pub(super) service: Option<String>,
    pub(super) claim: Option<String>,
    pub(super) node_id: u32,
    pub(super) block_devices: Vec<String>,
    pub(super) state: MemberState,
    pub(super) pod: Option<&'a ObservedPod>,
    /// How far the copy of its directories is.
    pub(super) copied: Option<String>,
    /// The names of the members that its pending hook speaks of.
    pub(super) fqdns: Vec<String>,
}

/// The status of a role.
pub(super) fn role(
    id: &str,
    stateful_set: &str,
    secret_keys: BTreeMap<String, String>,
    members: &[MemberLine<'_>],
    autoscale: Option<AutoscaleStatus>,
) -> RoleStatus {
    RoleStatus {
        id: id.to_owned(),
        stateful_set: stateful_set.to_owned(),
        encrypted_secret_keys: secret_keys,
        members: members.iter().map(member).collect(),
        autoscale,
    }
}

fn member(line: &MemberLine<'_>) -> MemberStatus {
    MemberStatus {
        pod: line.pod_name.clone(),
        // KubeDirector's word for a role that serves nothing.
        service: line.service.clone().unwrap_or_else(|| "n/a".to_owned()),
        pvc: line.claim.clone().unwrap_or_default(),
        state: line.state,
        state_detail: detail(line),
        node_id: i64::from(line.node_id),
        block_device_paths: line.block_devices.clone(),
        ..MemberStatus::default()
    }
}

fn detail(line: &MemberLine<'_>) -> StateDetail {
    let Some(pod) = line.pod else {
        return StateDetail {
            last_known_container_state: Some(ContainerState::Absent),
            ..StateDetail::default()
        };
    };
    let marks = &pod.marks;
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let generation = |generation: u64| i64::try_from(generation).ok().filter(|it| *it > 0);
    let error = marks
        .error
        .as_ref()
        .filter(|error| pod.container.id() == Some(error.container.as_str()));
    StateDetail {
        config_error_detail: error.map(|error| error.detail.clone()),
        last_config_data_generation: generation(marks.meta_generation),
        last_setup_generation: marks
            .told
            .as_ref()
            .and_then(|told| generation(told.generation)),
        configuring_container: (line.state == MemberState::Creating)
            .then(|| pod.container.id().map(str::to_owned))
            .flatten(),
        last_configured_container: marks.configured.clone(),
        last_known_container_state: Some(pod.container.state()),
        pending_notify_cmds: pending(marks, &line.fqdns),
        last_connection_version: None,
        start_script_stdout_message: error.and_then(|error| some(&error.stdout)),
        start_script_stderr_message: error.and_then(|error| some(&error.stderr)),
        scheduling_error_message: pod.scheduling_error.clone(),
        storage_init_progress: line.copied.clone(),
    }
}

fn pending(marks: &PodMarks, fqdns: &[String]) -> Vec<NotifyCommand> {
    let command = |call: &Call| NotifyCommand {
        arguments: hooks::arguments(call, fqdns),
    };
    marks.pending.iter().map(|it| command(&it.call)).collect()
}

/// What holds for some of the members.
pub(super) fn rollup(roles: &[RoleStatus]) -> MemberStateRollup {
    let mut rollup = MemberStateRollup::default();
    for member in roles.iter().flat_map(|role| &role.members) {
        let detail = &member.state_detail;
        match member.state {
            MemberState::CreatePending
            | MemberState::Creating
            | MemberState::DeletePending
            | MemberState::Deleting => rollup.membership_changing = true,
            MemberState::ConfigError => rollup.config_errors = true,
            MemberState::Configured | MemberState::Unknown => {}
        }
        match detail.last_known_container_state.unwrap_or_default() {
            ContainerState::Running => {}
            ContainerState::Initializing => rollup.members_initializing = true,
            ContainerState::Waiting => rollup.members_waiting = true,
            ContainerState::Unresponsive
            | ContainerState::Terminated
            | ContainerState::Absent
            | ContainerState::Unknown => rollup.members_down = true,
        }
        let was_up = detail.last_configured_container.is_some();
        let comes = matches!(
            member.state,
            MemberState::CreatePending | MemberState::Creating
        );
        rollup.members_restarting |= was_up && comes;
        rollup.members_not_scheduled |= detail.scheduling_error_message.is_some();
    }
    rollup
}

/// How the cluster stands. It is being created until all is as specified for the first time; whether
/// that has been, only the status before tells, and without it a cluster is taken for a new one.
pub(super) fn state(before: ClusterState, stable: bool) -> ClusterState {
    match (stable, before) {
        (true, _) => ClusterState::Configured,
        (false, ClusterState::New | ClusterState::Creating) => ClusterState::Creating,
        (false, _) => ClusterState::Updating,
    }
}

/// A condition.
pub(super) fn condition(status: &ClusterStatus, kind: ConditionKind) -> Option<&Condition> {
    let mut conditions = status.conditions.iter();
    conditions.find(|it| it.type_ == kind.as_str())
}

/// What the number of members of a role follows from.
pub(super) fn autoscale_of<'s>(
    status: &'s ClusterStatus,
    role: &str,
) -> Option<&'s AutoscaleStatus> {
    let role = status.roles.iter().find(|it| it.id == role)?;
    role.autoscale.as_ref()
}

/// Sets a condition; its time changes only with its truth.
pub(super) fn set_condition(
    status: &mut ClusterStatus,
    kind: ConditionKind,
    truth: bool,
    reason: &str,
    message: &str,
    now: Timestamp,
) {
    let word = if truth { "True" } else { "False" };
    let found = status
        .conditions
        .iter_mut()
        .find(|it| it.type_ == kind.as_str());
    match found {
        Some(condition) => {
            if condition.status != word {
                condition.last_transition_time = Time(now);
            }
            word.clone_into(&mut condition.status);
            reason.clone_into(&mut condition.reason);
            message.clone_into(&mut condition.message);
            condition.observed_generation = status.observed_generation;
        }
        None => status.conditions.push(Condition {
            last_transition_time: Time(now),
            message: message.to_owned(),
            observed_generation: status.observed_generation,
            reason: reason.to_owned(),
            status: word.to_owned(),
            type_: kind.as_str().to_owned(),
        }),
    }
}

/// What people are told of the difference between two statuses.
pub(super) fn announce(before: &ClusterStatus, after: &ClusterStatus) -> Vec<EventNote> {
    let mut notes = Vec::new();
    if before.state != after.state {
        match after.state {
            ClusterState::Configured => {
                let count: usize = after.roles.iter().map(|role| role.members.len()).sum();
                let note = format!("all {count} members are as specified");
                notes.push(EventNote::normal("ClusterConfigured", "Configure", note));
            }
            ClusterState::Creating => {
                let note = "the members are being made".to_owned();
                notes.push(EventNote::normal("ClusterCreating", "Create", note));
            }
            ClusterState::Updating => {
                let note = "members come, go or are set up anew".to_owned();
                notes.push(EventNote::normal("ClusterUpdating", "Update", note));
            }
            ClusterState::New | ClusterState::SpecModified | ClusterState::Unknown => {}
        }
    }
    let old: BTreeMap<&str, MemberState> = members(before)
        .map(|it| (it.pod.as_str(), it.state))
        .collect();
    for member in members(after) {
        let was = old.get(member.pod.as_str()).copied();
        if was == Some(member.state) {
            continue;
        }
        let pod = &member.pod;
        match member.state {
            MemberState::ConfigError => {
                let detail = member.state_detail.config_error_detail.as_deref();
                let note = format!("{pod} could not be set up: {}", detail.unwrap_or_default());
                notes.push(EventNote::warning("MemberConfigError", "Configure", note));
            }
            MemberState::DeletePending => {
                let note = format!("{pod} is to go");
                notes.push(EventNote::normal("MemberLeaving", "Drain", note));
            }
            MemberState::CreatePending
            | MemberState::Creating
            | MemberState::Configured
            | MemberState::Deleting
            | MemberState::Unknown => {}
        }
    }
    notes
}

fn members(status: &ClusterStatus) -> impl Iterator<Item = &MemberStatus> {
    status.roles.iter().flat_map(|role| &role.members)
}
