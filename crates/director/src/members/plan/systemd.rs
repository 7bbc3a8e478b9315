//! What members of an application that needs systemd are given, and whether it runs in them.
//!
//! KubeDirector mounts the cgroups of the node into every member and waits. With cgroup v2 that helps
//! nobody, so it is done only where the configuration asks for it; what a member has, and what it lacks
//! according to itself, is a condition.

use windlass_api::director::cluster::{ClusterStatus, MemberState};
use windlass_engine::plan::EventNote;

use super::super::state::Place;
use super::super::status::{ConditionKind, set_condition};
use super::{Planner, member_state};
use crate::agent::NO_SYSTEMD;

const NOT_RUNNING: &str = "NotRunning";

impl Planner<'_> {
    /// Says it; an application that needs none has no such condition.
    pub(super) fn systemd(&mut self, status: &mut ClusterStatus) {
        let kind = ConditionKind::Systemd;
        if !self.blueprint.app.systemd {
            status.conditions.retain(|it| it.type_ != kind.as_str());
            return;
        }
        let given = self.given();
        let (starts, idles): (Vec<_>, Vec<_>) = self
            .views
            .iter()
            .filter(|view| view.role.members > 0)
            .partition(|view| !view.role.container.idle);
        let pods = starts
            .iter()
            .flat_map(|view| view.pods.range(..view.floor))
            .map(|(_, pod)| *pod);
        let lacking: Vec<String> = pods
            .filter_map(|pod| {
                let trouble = pod.marks.trouble.as_ref()?;
                let why = trouble.strip_prefix(NO_SYSTEMD)?.trim_start_matches(": ");
                Some(format!("{}: {why}", pod.object.name))
            })
            .collect();
        let are_set_up = starts.iter().all(|view| {
            (0..view.floor).all(|ordinal| {
                let pod = view.pods.get(&ordinal).copied();
                member_state(Place::Staying, pod) == MemberState::Configured
            })
        });
        let (truth, reason, message) = if !lacking.is_empty() {
            (
                false,
                NOT_RUNNING,
                format!("{}; {given}", lacking.join("; ")),
            )
        } else if starts.is_empty() {
            let roles = idles.iter().map(|view| view.role.id.as_str());
            let roles = roles.collect::<Vec<_>>().join(", ");
            let told = format!("members of {roles} idle, so that nothing starts systemd in them");
            (false, "NotStarted", format!("{told}; {given}"))
        } else if are_set_up {
            (true, "Running", given)
        } else {
            (
                false,
                "Starting",
                format!("members are being set up; {given}"),
            )
        };
        let before = self.before.conditions.iter();
        let mut before = before.filter(|it| it.type_ == kind.as_str());
        let was_told = before.any(|it| it.reason == NOT_RUNNING);
        if reason == NOT_RUNNING && !was_told {
            let note = EventNote::warning("SystemdNotRunning", "Configure", message.clone());
            self.events.push(note);
        }
        set_condition(status, kind, truth, reason, &message, self.now);
    }

    /// What a member has of what systemd needs.
    fn given(&self) -> String {
        let capabilities = match &self.blueprint.app.capabilities[..] {
            [] => "the capabilities that the container runtime gives".to_owned(),
            added => format!(
                "the capabilities {} beside the usual ones",
                added.join(", ")
            ),
        };
        let cgroups = if self.blueprint.settings.systemd_mounts {
            "the node's /sys/fs/cgroup to read and /sys/fs/cgroup/systemd to write, which is what \
             systemd needs on nodes with cgroup v1"
        } else {
            "the cgroups that the container runtime gives"
        };
        format!("members have tmpfs at /tmp, /run and /run/lock, {capabilities}, and {cgroups}")
    }
}
