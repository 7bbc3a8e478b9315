//! What is known of a pod from one look to the next, and how it is told.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::run::summary::PodSummary;

/// Annotation by which the embedded node tells the peak memory of a pod, in bytes.
pub const PEAK_MEMORY: &str = "windlass.dev/peak-memory";

/// What matters of a pod, with the times at which it was first seen in each phase.
#[derive(Debug, Clone, Default)]
pub(super) struct PodView {
    pub(super) name: String,
    pub(super) created: Option<Timestamp>,
    scheduled: Option<Timestamp>,
    pub(super) started: Option<Timestamp>,
    pub(super) ended: Option<Timestamp>,
    pub(super) waiting: Option<String>,
    pub(super) result: Option<End>,
    /// The memory limit of the Spark container, in bytes, as the node reported it.
    memory_limit: Option<u64>,
    peak_memory: Option<u64>,
}

/// How a container ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct End {
    exit_code: i64,
    reason: String,
    deleted_first: bool,
}

impl End {
    /// An executor that is told to stop ends with 0 or 143, whichever of the driver's message and
    /// the signal arrives first; both are an ordinary end.
    pub(super) fn is_ordinary(&self) -> bool {
        self.exit_code == 0 || (self.exit_code == 143 && self.deleted_first)
    }

    pub(super) fn text(&self) -> String {
        match self.reason.as_str() {
            "" | "Error" | "Completed" => format!("exit code {}", self.exit_code),
            reason => format!("{reason}, exit code {}", self.exit_code),
        }
    }
}

impl PodView {
    pub(super) fn observe(mut self, pod: &Value, deleted: bool, now: Timestamp) -> Self {
        let metadata = &pod["metadata"];
        metadata["name"]
            .as_str()
            .unwrap_or_default()
            .clone_into(&mut self.name);
        let created = time(&metadata["creationTimestamp"]);
        self.created.get_or_insert(happened(created, now));
        let status = &pod["status"];
        if let Some(scheduled) = condition(status, "PodScheduled") {
            if scheduled["status"] == "True" {
                let since = time(&scheduled["lastTransitionTime"]);
                self.scheduled.get_or_insert(happened(since, now));
                self.waiting = None;
            } else if let Some(reason) = scheduled["reason"].as_str() {
                self.waiting = Some(reason_and_message(reason, &scheduled["message"]));
            }
        }
        let spark = spark_container(pod);
        if let Some((container, container_status)) = spark {
            let state = &container_status["state"];
            if let Some(waiting) = state.get("waiting") {
                // Waits of every healthy pod are no news.
                let reason = waiting["reason"].as_str().unwrap_or_default();
                self.waiting = (!matches!(reason, "" | "ContainerCreating" | "PodInitializing"))
                    .then(|| reason_and_message(reason, &waiting["message"]));
            }
            if let Some(running) = state.get("running") {
                let since = time(&running["startedAt"]);
                self.started.get_or_insert(happened(since, now));
                self.waiting = None;
            }
            if let Some(terminated) = state.get("terminated") {
                let (from, to) = (&terminated["startedAt"], &terminated["finishedAt"]);
                self.started.get_or_insert(happened(time(from), now));
                self.ended.get_or_insert(happened(time(to), now));
                self.waiting = None;
                self.result.get_or_insert_with(|| End {
                    exit_code: terminated["exitCode"].as_i64().unwrap_or(-1),
                    reason: terminated["reason"].as_str().unwrap_or_default().to_owned(),
                    deleted_first: metadata.get("deletionTimestamp").is_some(),
                });
            }
            self.memory_limit = container["resources"]["limits"]["memory"]
                .as_str()
                .and_then(|text| text.parse::<windlass_api::quantity::Quantity>().ok())
                .and_then(|quantity| quantity.units())
                .and_then(|bytes| u64::try_from(bytes).ok())
                .or(self.memory_limit);
        }
        if let Some(peak) = metadata["annotations"][PEAK_MEMORY].as_str() {
            self.peak_memory = peak.parse().ok().or(self.peak_memory);
        }
        if deleted || matches!(status["phase"].as_str(), Some("Failed" | "Succeeded")) {
            self.ended.get_or_insert(now);
        }
        self
    }

    /// Why it waits, where that is not known yet. Pulling an image again and again alternates
    /// between two reasons for the same thing.
    pub(super) fn news(&self, before: &Self) -> Option<&str> {
        let of_an_image = |reason: &str| {
            reason.starts_with("ErrImagePull") || reason.starts_with("ImagePullBackOff")
        };
        let now = self.waiting.as_deref().filter(|_| self.started.is_none())?;
        let known = match before.waiting.as_deref() {
            Some(old) => old == now || (of_an_image(old) && of_an_image(now)),
            None => false,
        };
        (!known).then_some(now)
    }

    /// Whether it ended before it was told to.
    pub(super) fn was_lost(&self) -> bool {
        match &self.result {
            Some(end) => !end.is_ordinary(),
            // It vanished without an exit code.
            None => self.started.is_some() && self.ended.is_some(),
        }
    }

    pub(super) fn summary(&self, now: Timestamp) -> PodSummary {
        let between = |from: Option<Timestamp>, to: Option<Timestamp>| {
            from.zip(to)
                .map(|(from, to)| to.duration_since(from).max(SignedDuration::ZERO))
        };
        let over = self.ended.unwrap_or(now);
        PodSummary {
            waiting: between(self.created, self.scheduled.or(self.started).or(Some(over))),
            pulling: between(self.scheduled, self.started.or(Some(over))),
            running: between(self.started, self.ended.or(Some(now))),
            peak_memory: self.peak_memory,
            memory_limit: self.memory_limit,
        }
    }
}

/// When something happened: as it was seen, or as the cluster has it where that is long before.
/// The cluster's times have whole seconds only.
pub(super) fn happened(recorded: Option<Timestamp>, seen: Timestamp) -> Timestamp {
    match recorded {
        Some(recorded) if seen.duration_since(recorded) > SignedDuration::from_secs(1) => recorded,
        _ => seen,
    }
}

pub(super) fn time(value: &Value) -> Option<Timestamp> {
    value.as_str()?.parse().ok()
}

/// The condition of this type in a status.
pub(super) fn condition<'a>(status: &'a Value, kind: &str) -> Option<&'a Value> {
    let mut conditions = status["conditions"].as_array()?.iter();
    conditions.find(|condition| condition["type"] == kind)
}

/// The Spark container of a pod and its status: by the arguments Spark gives it, never by position.
fn spark_container(pod: &Value) -> Option<(&Value, &Value)> {
    let containers = pod["spec"]["containers"].as_array()?;
    let container = containers
        .iter()
        .find(|container| matches!(container["args"][0].as_str(), Some("driver" | "executor")))
        .or_else(|| containers.first())?;
    let status = pod["status"]["containerStatuses"]
        .as_array()?
        .iter()
        .find(|status| status["name"] == container["name"])?;
    Some((container, status))
}

fn reason_and_message(reason: &str, message: &Value) -> String {
    match message.as_str() {
        Some(message) if !message.is_empty() => format!("{reason}: {message}"),
        _ => reason.to_owned(),
    }
}
