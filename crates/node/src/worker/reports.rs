//! What tasks and probes have to say, and what it means for the pod.

use jiff::Timestamp;

use super::{
    MOUNT_RETRY, MOUNT_RETRY_MAX, REFUSAL_RETRY, Report, SetUpFailure, StartOutcome, Worker,
};
use crate::events::Kind;
use crate::plan::{ImageSeen, Missing, Ongoing, Refusal, Sandbox};
use crate::probes::Finding;
use crate::shim::Life;
use jiff::SignedDuration;

impl Worker {
    pub(super) fn take_finding(&mut self, container: &str, attempt: u32, finding: Finding) {
        let Some(seen) = self.seen.containers.get_mut(container) else {
            return;
        };
        if seen.instance.as_ref().map(|(attempt, _)| *attempt) != Some(attempt) {
            return;
        }
        let news = match finding {
            Finding::Started => {
                seen.started = true;
                None
            }
            Finding::Ready(ready) => {
                seen.ready = ready;
                None
            }
            Finding::Condemned(why) => {
                seen.condemned = Some(why.clone());
                None
            }
            Finding::Unhealthy(why) => Some(why),
        };
        if let Some(why) = news {
            let events = &self.context.events;
            events.tell(&self.pod, Some(container), Kind::Warning, "Unhealthy", why);
        }
    }

    pub(super) fn take_report(&mut self, report: Report) {
        let now = Timestamp::now();
        match report {
            Report::SetUp(Ok((shim, volumes))) => {
                self.shim = Some(shim);
                self.volumes = volumes;
                self.mount_failures = 0;
                self.seen.missing = None;
                self.seen.sandbox = Sandbox::Ready;
                self.write_hosts();
            }
            Report::SetUp(Err(failure)) => {
                let wait = MOUNT_RETRY * 2_i32.saturating_pow(self.mount_failures.min(8));
                self.mount_failures += 1;
                self.seen.sandbox = Sandbox::Waiting {
                    retry_at: now + wait.min(MOUNT_RETRY_MAX),
                };
                let (reason, why) = match failure {
                    SetUpFailure::Volumes(why) => ("FailedMount", why),
                    SetUpFailure::Walls(why) => (
                        "FailedCreatePodSandBox",
                        format!("Failed to create pod sandbox: {why}"),
                    ),
                };
                self.seen.missing = Some(Missing {
                    since: self
                        .seen
                        .missing
                        .as_ref()
                        .map_or(now, |missing| missing.since),
                    why: why.clone(),
                });
                self.context
                    .events
                    .tell(&self.pod, None, Kind::Warning, reason, why);
            }
            Report::Started {
                container,
                attempt,
                outcome,
            } => {
                self.take_start(&container, attempt, outcome, now);
            }
            Report::Stopped { container } => {
                self.stops.remove(&container);
                if let Some(seen) = self.seen.containers.get_mut(&container) {
                    seen.ongoing = Ongoing::Nothing;
                }
            }
            Report::TornDown(Ok(())) => {
                self.shim = None;
                self.seen.sandbox = Sandbox::Gone;
            }
            // What it still owns shows in its record, and is stopped first.
            Report::TornDown(Err(why)) => {
                tracing::debug!(pod = self.uid, why, "a pod's shim does not go yet");
                self.seen.sandbox = Sandbox::Ready;
            }
            Report::Refreshed(Ok(volumes)) => self.volumes = volumes,
            Report::Refreshed(Err(why)) => {
                tracing::debug!(pod = self.uid, why, "volumes were not refreshed");
                self.volumes.refresh_at = Some(now + SignedDuration::from_secs(10));
            }
            Report::Removed(true) => self.gone = true,
            // Nothing of it is left here; only the API has to be asked again.
            Report::Removed(false) => self.seen.sandbox = Sandbox::Gone,
        }
    }

    pub(super) fn take_start(
        &mut self,
        name: &str,
        attempt: u32,
        outcome: StartOutcome,
        now: Timestamp,
    ) {
        let seen = self.seen.containers.entry(name.to_owned()).or_default();
        if seen.ongoing == Ongoing::Starting {
            seen.ongoing = Ongoing::Nothing;
        }
        seen.refusal = None;
        let events = &self.context.events;
        match outcome {
            StartOutcome::Running(image) => {
                seen.image = ImageSeen::Present { id: image.id };
            }
            StartOutcome::HookFailed(image, why) => {
                seen.image = ImageSeen::Present { id: image.id };
                let why = format!("PostStartHook failed: {why}");
                seen.condemned = Some(why.clone());
                events.tell(
                    &self.pod,
                    Some(name),
                    Kind::Warning,
                    "FailedPostStartHook",
                    why,
                );
            }
            StartOutcome::Abandoned => {}
            StartOutcome::NoImage { reason, message } => {
                let failures = match &seen.image {
                    ImageSeen::Missing { failures, .. } => failures + 1,
                    ImageSeen::Unknown | ImageSeen::Present { .. } => 1,
                };
                let reason = reason.to_owned();
                let text = message.clone();
                seen.image = ImageSeen::Missing {
                    reason,
                    message,
                    failures,
                    at: now,
                };
                events.tell(
                    &self.pod,
                    Some(name),
                    Kind::Warning,
                    "Failed",
                    format!("Failed to pull image: {text}"),
                );
            }
            StartOutcome::Refused(message) => {
                let reason = "CreateContainerConfigError".to_owned();
                let text = format!("Error: {message}");
                seen.refusal = Some(Refusal {
                    reason,
                    message,
                    retry_at: now + REFUSAL_RETRY,
                });
                events.tell(&self.pod, Some(name), Kind::Warning, "Failed", text);
            }
        }
        self.absorb();
        if let Some((_, Life::Ended(ending))) = self
            .seen
            .containers
            .get(name)
            .and_then(|seen| seen.instance.as_ref())
            .filter(|(a, _)| *a == attempt)
            && ending.started_at.is_none()
        {
            let text = format!("Error: {}", ending.message);
            self.context
                .events
                .tell(&self.pod, Some(name), Kind::Warning, "Failed", text);
        }
    }
}
