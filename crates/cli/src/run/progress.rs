//! What a person is told while an application runs, decided from what was seen.
//!
//! The model takes observations (the application, its pods, the driver's stages) with the time
//! they were seen, and answers with the lines that are new. It never asks the cluster anything.

mod pod;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use self::pod::{PodView, condition, happened, time};
use super::summary::Summary;

pub use self::pod::PEAK_MEMORY;

/// Everything seen of one application so far.
#[derive(Debug, Default)]
pub struct Model {
    state: String,
    attempt: i64,
    driver: Option<PodView>,
    executors: BTreeMap<String, PodView>,
    /// How many executors the application asks for; `None` where the driver decides as it goes.
    instances: Option<usize>,
    /// The number of running executors that was told last.
    running_shown: usize,
    stages: BTreeMap<i64, Stage>,
    first_seen: Option<Timestamp>,
    ended: Option<Timestamp>,
    error: Option<String>,
    /// What the operator says of executors that cannot start: a word and a sentence.
    held_up: Option<(String, String)>,
    /// What is said while it waits for its turn.
    queued: Option<String>,
}

/// A stage as the driver's own REST API reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// Spark's stage id.
    pub id: i64,
    /// The call site, for example `count at job.py:12`.
    pub name: String,
    /// Tasks that have ended well.
    pub done: i64,
    /// All tasks of the stage.
    pub total: i64,
}

impl Model {
    /// Takes in the application and returns the new lines.
    pub fn application(&mut self, application: &Value, now: Timestamp) -> Vec<String> {
        let created = time(&application["metadata"]["creationTimestamp"]);
        self.first_seen.get_or_insert(happened(created, now));
        self.instances = instances(&application["spec"]);
        let status = &application["status"];
        let state = status["applicationState"]["state"]
            .as_str()
            .unwrap_or_default();
        let message = status["applicationState"]["errorMessage"]
            .as_str()
            .unwrap_or_default();
        let attempt = status["executionAttempts"].as_i64().unwrap_or(0);
        let mut lines = Vec::new();
        if attempt > self.attempt {
            if self.attempt > 0 {
                lines.push(format!("attempt {attempt}"));
                self.executors.clear();
                self.stages.clear();
                self.running_shown = 0;
            }
            self.attempt = attempt;
        }
        if state != self.state {
            state.clone_into(&mut self.state);
            match state {
                "" | "RUNNING" | "SUBMITTED" => {}
                // The summary says the rest.
                "COMPLETED" | "FAILED" => self.ended = Some(now),
                other => lines.push(other.to_lowercase().replace('_', " ")),
            }
        }
        let error = (!message.is_empty()).then(|| message.to_owned());
        if error != self.error {
            if let Some(message) = error.as_deref().filter(|_| self.ended.is_none()) {
                match lines.last_mut().filter(|line| !line.starts_with("attempt")) {
                    Some(state) => *state = format!("{state}: {message}"),
                    None => lines.push(message.to_owned()),
                }
            }
            self.error = error;
        }
        let held_up = condition(status, "ExecutorsHeldUp").map(|condition| {
            let text = |field: &str| condition[field].as_str().unwrap_or_default().to_owned();
            (text("reason"), text("message"))
        });
        if held_up != self.held_up {
            lines.extend(held_up.iter().map(|(_, message)| message.clone()));
            self.held_up = held_up;
        }
        let queued = crate::applications::queued(application).map(ToOwned::to_owned);
        if queued != self.queued {
            lines.extend(queued.iter().map(|message| format!("queued: {message}")));
            self.queued = queued;
        }
        lines
    }

    /// Takes in a pod of the application and returns the new lines.
    pub fn pod(&mut self, pod: &Value, deleted: bool, now: Timestamp) -> Vec<String> {
        let name = pod["metadata"]["name"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let is_driver = pod["metadata"]["labels"]["spark-role"] == "driver";
        let before = if is_driver {
            self.driver
                .clone()
                .filter(|view| view.name == name)
                .unwrap_or_default()
        } else {
            self.executors.get(&name).cloned().unwrap_or_default()
        };
        let after = PodView::observe(before.clone(), pod, deleted, now);
        let mut lines = Vec::new();
        if is_driver {
            driver_lines(&before, &after, &mut lines);
            self.driver = Some(after);
            return lines;
        }
        if let Some(end) = &after.result
            && before.result.is_none()
            && !end.is_ordinary()
        {
            lines.push(format!("executor {name} was lost: {}", end.text()));
        }
        if deleted && after.result.is_none() && after.started.is_some() && self.ended.is_none() {
            lines.push(format!(
                "executor {name} was lost: its pod was removed while it ran"
            ));
        }
        let lost = !lines.is_empty();
        if let Some(reason) = after.news(&before) {
            lines.push(format!("executor {name} waits: {reason}"));
        }
        self.executors.insert(name, after);
        let running = self.running();
        // Executors that end because the job does are no news.
        if (running > self.running_shown || lost) && self.ended.is_none() {
            lines.push(format!("executors {running} of {} running", self.wanted()));
        }
        self.running_shown = running;
        lines
    }

    /// Takes in the driver's active and finished stages and returns the new lines.
    pub fn stages(&mut self, stages: Vec<Stage>) -> Vec<String> {
        let mut lines = Vec::new();
        for stage in stages {
            let known = self.stages.get(&stage.id);
            if known != Some(&stage) {
                lines.push(format!(
                    "stage {} ({}): {}/{} tasks",
                    stage.id, stage.name, stage.done, stage.total
                ));
                self.stages.insert(stage.id, stage);
            }
        }
        lines
    }

    /// Where the application stands, in one line for a progress bar.
    pub fn headline(&self) -> String {
        let driver = match &self.driver {
            None => "waiting for the driver".to_owned(),
            Some(PodView {
                waiting: Some(reason),
                started: None,
                ..
            }) => {
                format!("driver waits: {reason}")
            }
            Some(PodView { started: None, .. }) => "driver starting".to_owned(),
            Some(PodView {
                result: Some(end), ..
            }) => format!("driver ended: {}", end.text()),
            Some(_) => "driver running".to_owned(),
        };
        let mut line = driver;
        if !self.executors.is_empty() {
            line.push_str(&format!(
                " · executors {}/{}",
                self.running(),
                self.wanted()
            ));
            if let Some((reason, _)) = &self.held_up {
                line.push_str(&format!(" ({reason})"));
            }
        }
        if let Some(stage) = self.stages.values().rfind(|stage| stage.done < stage.total) {
            line.push_str(&format!(
                " · stage {} {}/{}",
                stage.id, stage.done, stage.total
            ));
        }
        line
    }

    /// Tasks done and tasks known, over all stages seen.
    pub fn tasks(&self) -> (u64, u64) {
        self.stages.values().fold((0, 0), |(done, total), stage| {
            (
                done + u64::try_from(stage.done).unwrap_or(0),
                total + u64::try_from(stage.total).unwrap_or(0),
            )
        })
    }

    /// Whether a driver container is running now.
    pub fn driver_is_running(&self) -> bool {
        self.driver
            .as_ref()
            .is_some_and(|driver| driver.started.is_some() && driver.result.is_none())
    }

    /// The name of the driver pod, once it has been seen.
    pub fn driver_pod(&self) -> Option<&str> {
        self.driver.as_ref().map(|driver| driver.name.as_str())
    }

    /// The final account.
    pub fn summary(&self, now: Timestamp) -> Summary {
        let executors: Vec<&PodView> = self.executors.values().collect();
        Summary {
            state: self.state.clone(),
            attempts: self.attempt,
            error: self.error.clone(),
            total: self
                .ended
                .unwrap_or(now)
                .duration_since(self.first_seen.unwrap_or(now)),
            driver: self
                .driver
                .as_ref()
                .map(|driver| driver.summary(self.ended.unwrap_or(now))),
            executors: executors
                .iter()
                .map(|executor| executor.summary(self.ended.unwrap_or(now)))
                .collect(),
            executors_lost: executors
                .iter()
                .filter(|executor| executor.was_lost())
                .count(),
        }
    }

    fn running(&self) -> usize {
        self.executors
            .values()
            .filter(|executor| executor.started.is_some() && executor.ended.is_none())
            .count()
    }

    fn wanted(&self) -> usize {
        let live = self.executors.values();
        let live = live.filter(|executor| executor.ended.is_none()).count();
        // Some are replaced before the ones that were lost are gone.
        self.instances.unwrap_or(0).max(live)
    }
}

fn driver_lines(before: &PodView, after: &PodView, lines: &mut Vec<String>) {
    let name = &after.name;
    if before.created.is_none() {
        lines.push(format!("driver {name} created"));
    }
    if let Some(reason) = after.news(before) {
        lines.push(format!("driver waits: {reason}"));
    }
    if before.started.is_none() && after.started.is_some() {
        lines.push("driver running".to_owned());
    }
    if before.result.is_none()
        && let Some(end) = &after.result
    {
        lines.push(format!("driver ended: {}", end.text()));
    }
}

/// How many executors an application asks for, by the rules of its fields and of Spark; `None`
/// where they come and go.
fn instances(spec: &Value) -> Option<usize> {
    let conf = |key: &str| spec["sparkConf"][key].as_str();
    let dynamic = spec["dynamicAllocation"]["enabled"] == true
        || conf("spark.dynamicAllocation.enabled") == Some("true");
    if dynamic {
        return None;
    }
    let field = spec["executor"]["instances"].as_u64();
    let conf = || conf("spark.executor.instances")?.parse().ok();
    let number = field.or_else(conf).unwrap_or(1);
    usize::try_from(number).ok()
}
