//! What a person is told while an application runs, decided from what was seen.
//!
//! The model takes observations (the application, its pods, the driver's stages) with the time
//! they were seen, and answers with the lines that are new. It never asks the cluster anything.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::summary::{PodSummary, Summary};

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

/// What matters of a pod, with the times at which it was first seen in each phase.
#[derive(Debug, Clone, Default)]
pub(super) struct PodView {
    name: String,
    created: Option<Timestamp>,
    scheduled: Option<Timestamp>,
    started: Option<Timestamp>,
    ended: Option<Timestamp>,
    waiting: Option<String>,
    result: Option<End>,
    /// The memory limit of the Spark container, in bytes, as the node reported it.
    memory_limit: Option<u64>,
    peak_memory: Option<u64>,
}

/// How a container ended.
#[derive(Debug, Clone, PartialEq, Eq)]
struct End {
    exit_code: i64,
    reason: String,
    deleted_first: bool,
}

impl End {
    /// An executor that is told to stop ends with 0 or 143, whichever of the driver's message and
    /// the signal arrives first; both are an ordinary end.
    fn is_ordinary(&self) -> bool {
        self.exit_code == 0 || (self.exit_code == 143 && self.deleted_first)
    }

    fn text(&self) -> String {
        match self.reason.as_str() {
            "" | "Error" | "Completed" => format!("exit code {}", self.exit_code),
            reason => format!("{reason}, exit code {}", self.exit_code),
        }
    }
}

/// Annotation by which the embedded node tells the peak memory of a pod, in bytes.
pub const PEAK_MEMORY: &str = "windlass.dev/peak-memory";

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

impl PodView {
    fn observe(mut self, pod: &Value, deleted: bool, now: Timestamp) -> Self {
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
    fn news(&self, before: &Self) -> Option<&str> {
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
    fn was_lost(&self) -> bool {
        match &self.result {
            Some(end) => !end.is_ordinary(),
            // It vanished without an exit code.
            None => self.started.is_some() && self.ended.is_some(),
        }
    }

    fn summary(&self, now: Timestamp) -> PodSummary {
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
fn happened(recorded: Option<Timestamp>, seen: Timestamp) -> Timestamp {
    match recorded {
        Some(recorded) if seen.duration_since(recorded) > SignedDuration::from_secs(1) => recorded,
        _ => seen,
    }
}

fn time(value: &Value) -> Option<Timestamp> {
    value.as_str()?.parse().ok()
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

/// The condition of this type in a status.
fn condition<'a>(status: &'a Value, kind: &str) -> Option<&'a Value> {
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn pod(name: &str, role: &str, state: &Value) -> Value {
        json!({
            "metadata": { "name": name, "labels": { "spark-role": role } },
            "spec": { "containers": [
                { "name": "sidecar", "args": ["x"] },
                { "name": "spark", "args": [role],
                  "resources": { "limits": { "memory": "1408Mi" } } },
            ] },
            "status": {
                "conditions": [{ "type": "PodScheduled", "status": "True" }],
                "containerStatuses": [
                    { "name": "sidecar", "state": { "running": {} } },
                    { "name": "spark", "state": state },
                ],
            },
        })
    }

    #[test]
    fn a_run_with_a_lost_executor_is_told_in_lines_and_a_summary() {
        let mut model = Model::default();
        let mut lines = Vec::new();
        let app = |state: &str, message: &str| {
            json!({ "spec": { "executor": { "instances": 2 } },
                "status": { "executionAttempts": 1, "applicationState": { "state": state, "errorMessage": message } } })
        };
        lines.extend(model.application(&app("", ""), at(0)));
        lines.extend(model.pod(
            &pod(
                "a-driver",
                "driver",
                &json!({ "waiting": { "reason": "ContainerCreating" } }),
            ),
            false,
            at(1),
        ));
        lines.extend(model.application(&app("SUBMITTED", ""), at(1)));
        lines.extend(model.pod(
            &pod("a-driver", "driver", &json!({ "running": {} })),
            false,
            at(2),
        ));
        lines.extend(model.application(&app("RUNNING", ""), at(2)));
        for name in ["e-1", "e-2"] {
            lines.extend(model.pod(
                &pod(name, "executor", &json!({ "running": {} })),
                false,
                at(5),
            ));
        }
        lines.extend(model.stages(vec![Stage {
            id: 0,
            name: "count at job.py:3".into(),
            done: 1,
            total: 4,
        }]));
        lines.push(format!("[{}]", model.headline()));
        let mut lost = pod(
            "e-1",
            "executor",
            &json!({ "terminated": { "exitCode": 137, "reason": "OOMKilled" } }),
        );
        lost["metadata"]["annotations"] = json!({ PEAK_MEMORY: "1476395008" });
        lines.extend(model.pod(&lost, false, at(7)));
        let mut stopped = pod(
            "e-2",
            "executor",
            &json!({ "terminated": { "exitCode": 143, "reason": "Error" } }),
        );
        stopped["metadata"]["deletionTimestamp"] = json!("2027-01-01T00:00:00Z");
        lines.extend(model.pod(&stopped, false, at(9)));
        lines.extend(model.pod(
            &pod(
                "a-driver",
                "driver",
                &json!({ "terminated": { "exitCode": 0, "reason": "Completed" } }),
            ),
            false,
            at(10),
        ));
        lines.extend(model.application(&app("COMPLETED", ""), at(10)));
        lines.push(model.summary(at(99)).to_string());
        insta::assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn executors_that_cannot_start_say_why_once_and_what_to_do() {
        let mut model = Model::default();
        let running = json!({ "running": {} });
        model.pod(&pod("a-driver", "driver", &running), false, at(1));
        let mut refused = pod("e-1", "executor", &json!({}));
        refused["status"] = json!({ "conditions": [{ "type": "PodScheduled", "status": "False",
            "reason": "Unschedulable", "message": "0/1 nodes are available" }] });
        model.pod(&refused, false, at(2));
        let app = |conditions: &Value| {
            json!({
                "spec": { "executor": { "instances": 2 } },
                "status": { "executionAttempts": 1, "conditions": conditions,
                    "applicationState": { "state": "RUNNING" } },
            })
        };
        let told = "2 executors wait: no node takes the executor pod; lower something";
        let held = app(&json!([{ "type": "ExecutorsHeldUp", "status": "True",
            "reason": "Unschedulable", "message": told }]));
        assert_eq!(model.application(&held, at(3)), [told]);
        assert_eq!(model.application(&held, at(4)), [""; 0]);
        let headline = "driver running · executors 0/2 (Unschedulable)";
        assert_eq!(model.headline(), headline);
        assert_eq!(model.application(&app(&json!([])), at(5)), [""; 0]);
        assert_eq!(model.headline(), "driver running · executors 0/2");
    }

    #[test]
    fn a_driver_that_cannot_start_says_why() {
        let mut model = Model::default();
        let mut lines = Vec::new();
        let mut unschedulable = pod("a-driver", "driver", &json!({}));
        unschedulable["status"] = json!({ "conditions": [{ "type": "PodScheduled", "status": "False",
            "reason": "Unschedulable", "message": "0/1 nodes are available: 1 Insufficient memory." }] });
        lines.extend(model.pod(&unschedulable, false, at(0)));
        lines.extend(model.pod(&unschedulable, false, at(1)));
        let waiting =
            json!({ "waiting": { "reason": "ImagePullBackOff", "message": "no such image" } });
        lines.extend(model.pod(&pod("a-driver", "driver", &waiting), false, at(2)));
        lines.push(format!("[{}]", model.headline()));
        lines.extend(model.application(
            &json!({ "status": { "applicationState": {
            "state": "FAILED", "errorMessage": "the driver's image cannot be had" } } }),
            at(3),
        ));
        lines.push(model.summary(at(3)).to_string());
        insta::assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn what_happened_before_anyone_looked_has_the_clusters_times() {
        let mut model = Model::default();
        let created = json!({ "metadata": { "creationTimestamp": at(0).to_string() },
            "spec": { "sparkConf": { "spark.executor.instances": "3" } } });
        model.application(&created, at(20));
        let mut driver = pod(
            "a-driver",
            "driver",
            &json!({ "running": { "startedAt": at(4).to_string() } }),
        );
        driver["metadata"]["creationTimestamp"] = json!(at(1).to_string());
        driver["status"]["conditions"][0]["lastTransitionTime"] = json!(at(2).to_string());
        model.pod(&driver, false, at(20));
        let executor = pod("e-1", "executor", &json!({ "running": {} }));
        let lines = model.pod(&executor, false, at(20));
        assert_eq!(lines, ["executors 1 of 3 running"]);
        let driver = model.summary(at(30)).driver.unwrap();
        let seconds = |duration: Option<SignedDuration>| duration.unwrap().as_secs();
        assert_eq!(seconds(driver.waiting), 1);
        assert_eq!(seconds(driver.pulling), 2);
        assert_eq!(seconds(driver.running), 26);
        assert_eq!(model.summary(at(30)).total.as_secs(), 30);
    }

    #[test]
    fn who_waits_for_his_turn_is_told_where_he_stands() {
        let mut model = Model::default();
        let app = |truth: &str, message: &str| {
            json!({ "status": { "conditions": [
                { "type": "Admitted", "status": truth, "message": message },
            ] } })
        };
        let place = "position 2 in the queue of namespace jobs: those before it go first";
        let told = model.application(&app("False", place), at(0));
        assert_eq!(told, [format!("queued: {place}")]);
        assert_eq!(model.application(&app("False", place), at(1)), [""; 0]);
        assert_eq!(model.application(&app("True", "its turn"), at(2)), [""; 0]);
    }

    #[test]
    fn a_reason_that_only_the_application_knows_is_told_once() {
        let mut model = Model::default();
        let app = |state: &str, message: &str| json!({ "status": { "applicationState": { "state": state, "errorMessage": message } } });
        let missing = "ConfigMap default/nope (spec.volumes) does not exist";
        assert_eq!(model.application(&app("SUBMITTED", ""), at(0)), [""; 0]);
        assert_eq!(
            model.application(&app("SUBMITTED", missing), at(1)),
            [missing]
        );
        assert_eq!(
            model.application(&app("SUBMITTED", missing), at(2)),
            [""; 0]
        );
        assert_eq!(
            model.application(&app("FAILING", "gave up"), at(3)),
            ["failing: gave up"]
        );
        assert_eq!(model.application(&app("FAILED", "gave up"), at(4)), [""; 0]);
        for (state, lines) in [
            ("ErrImagePull", 2),
            ("ImagePullBackOff", 0),
            ("ErrImagePull", 0),
        ] {
            let waiting = json!({ "waiting": { "reason": state, "message": "no" } });
            let told = model.pod(&pod("a-driver", "driver", &waiting), false, at(5));
            assert_eq!(told.len(), lines, "{told:?}");
        }
    }
}
