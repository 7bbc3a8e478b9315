//! What was there before this worker, and what its shim has recorded since.

use jiff::Timestamp;
use rustix::process::Signal;

use super::Worker;
use crate::backend::PodUsage;
use crate::describe;
use crate::plan::{ImageSeen, Sandbox};
use crate::shim::{Ending, Life, Limitation, PodState, ShimClient};

impl Worker {
    /// Finds what an earlier agent left of this pod.
    pub(super) async fn adopt(&mut self) {
        if let Some(record) = self.dir.record() {
            self.seen.address = Some(record.address);
            self.seen.accepted_at = Some(record.accepted_at);
        }
        if self.dir.state().exists() {
            match ShimClient::connect(self.dir.path()).await {
                Ok(shim) => {
                    self.shim = Some(shim);
                    self.seen.sandbox = Sandbox::Ready;
                    // The volumes are on disk; making them again finds nothing to change.
                    self.refresh();
                }
                Err(_) => self.bury(),
            }
        }
        self.mourn_the_unrecorded();
        self.absorb();
        for (name, seen) in &mut self.seen.containers {
            // The count of short lives is not kept; the number of starts bounds it.
            seen.streak = seen.instance.as_ref().map_or(0, |(attempt, _)| *attempt);
            // Hooks of running containers were the earlier agent's. What its probes found holds until
            // ours find otherwise: nothing has happened to the container.
            let known = self.pod.status.iter().flat_map(|status| {
                status
                    .container_statuses
                    .iter()
                    .chain(&status.init_container_statuses)
                    .flatten()
            });
            if let Some(status) = known.into_iter().find(|status| status.name == *name)
                && !status.image_id.is_empty()
            {
                seen.image = ImageSeen::Present {
                    id: status.image_id.clone(),
                };
                let same = u32::try_from(status.restart_count).ok()
                    == seen.instance.as_ref().map(|(attempt, _)| *attempt);
                seen.started = same && status.started == Some(true);
                seen.ready = same && status.ready;
            }
        }
    }

    /// A container the API knows to have run, but of which no record is left, must not run again
    /// as if for the first time: its end was not seen.
    pub(super) fn mourn_the_unrecorded(&mut self) {
        let recorded = PodState::load(&self.dir.state()).ok().flatten();
        let status = self.pod.status.clone().unwrap_or_default();
        let statuses = status
            .init_container_statuses
            .iter()
            .chain(&status.container_statuses)
            .flatten();
        for status in statuses {
            let known = recorded
                .as_ref()
                .is_some_and(|s| s.containers.contains_key(&status.name));
            if known
                || status
                    .container_id
                    .as_deref()
                    .unwrap_or_default()
                    .is_empty()
            {
                continue;
            }
            let attempt = u32::try_from(status.restart_count).unwrap_or(0);
            let ended = status
                .state
                .as_ref()
                .and_then(|state| state.terminated.clone());
            let now = Timestamp::now();
            let ending = Ending {
                exit_code: ended.as_ref().map_or(137, |ended| ended.exit_code),
                signal: None,
                reason: ended
                    .as_ref()
                    .and_then(|ended| ended.reason.clone())
                    .unwrap_or_else(|| "ContainerStatusUnknown".to_owned()),
                message: ended
                    .as_ref()
                    .and_then(|ended| ended.message.clone())
                    .unwrap_or_else(|| {
                        "The container's record is gone, so its end was not seen".to_owned()
                    }),
                started_at: ended
                    .as_ref()
                    .and_then(|e| e.started_at.as_ref().map(|time| time.0)),
                finished_at: ended
                    .and_then(|e| e.finished_at.map(|time| time.0))
                    .unwrap_or(now),
            };
            let seen = self.seen.containers.entry(status.name.clone()).or_default();
            seen.instance = Some((attempt, Life::Ended(ending)));
        }
    }

    /// Takes over what the shim has recorded.
    pub(super) fn absorb(&mut self) {
        let Some(shim) = &self.shim else { return };
        let state = shim.state();
        self.take_state(&state);
    }

    pub(super) fn take_state(&mut self, state: &PodState) {
        let mut peak = 0;
        for (name, instances) in &state.containers {
            peak += instances.peak_memory;
            let seen = self.seen.containers.entry(name.clone()).or_default();
            let current = &instances.current;
            if seen.instance.as_ref().map(|(attempt, _)| *attempt) != Some(current.attempt) {
                seen.started = false;
                seen.ready = false;
                seen.condemned = None;
            }
            seen.instance = Some((current.attempt, current.life.clone()));
            seen.previous = instances
                .previous
                .as_ref()
                .and_then(|previous| match &previous.life {
                    Life::Ended(ending) => Some((previous.attempt, ending.clone())),
                    Life::Starting { .. } | Life::Running { .. } => None,
                });
        }
        let wanted = |limitation: &&Limitation| match limitation {
            Limitation::Users => describe::wants_other_users(&self.pod),
            Limitation::Limits(_) => describe::wants_limits(&self.pod),
        };
        self.seen.limitations = state
            .limitations
            .iter()
            .filter(wanted)
            .map(Limitation::to_string)
            .chain(describe::never_given(&self.pod).map(str::to_owned))
            .collect();
        if peak > 0 {
            let usage = PodUsage {
                namespace: self.pod.metadata.namespace.clone().unwrap_or_default(),
                name: self.pod.metadata.name.clone().unwrap_or_default(),
                peak_memory: peak,
            };
            self.context.streams.note_usage(&self.uid, usage);
        }
    }

    pub(super) fn shim_lost(&mut self) {
        self.shim = None;
        if self.seen.sandbox == Sandbox::Ready {
            self.seen.sandbox = Sandbox::Absent;
        }
        if self.seen.sandbox != Sandbox::Gone {
            self.bury();
        }
    }

    /// The shim is gone: its containers are killed and recorded as lost.
    pub(super) fn bury(&mut self) {
        let Ok(Some(mut state)) = PodState::load(&self.dir.state()) else {
            return;
        };
        for orphan in state.bury(Timestamp::now()) {
            orphan.signal(Signal::KILL);
        }
        if let Err(error) = state.store(&self.dir.state()) {
            tracing::warn!(%error, pod = self.uid, "a pod's record cannot be written");
        }
        self.take_state(&state);
    }
}
