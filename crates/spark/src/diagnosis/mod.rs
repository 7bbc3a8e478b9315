//! Why an application, a schedule or a server is not well: from what the cluster shows to causes and next
//! steps.
//!
//! Laws:
//! - pure and total: evidence in any shape gives findings, at worst none;
//! - what is said of a driver is what its status says, because both ask the lifecycle's health;
//! - the first finding is the one to act on: what ended the application, or what it waits for,
//!   comes before what merely accompanies it;
//! - every finding carries what was seen, so that a person can check it.

mod history;
mod pods;
mod schedule;
mod server;
mod surroundings;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use windlass_engine::Object;

use crate::lifecycle::health::one_line;
pub use crate::lifecycle::remedy::Cause;
pub use history::diagnose_history;
pub use schedule::diagnose_schedule;
pub use server::diagnose_server;

/// What the cluster shows of an application, as its API gives it.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    /// The SparkApplication, SparkConnect or SparkHistoryServer.
    pub application: Value,
    /// Its pods, of all attempts.
    pub pods: Vec<PodEvidence>,
    /// The events about the application, its pods and claims.
    pub events: Vec<Value>,
    /// The nodes its pods were bound to.
    pub nodes: Vec<Value>,
    /// The claims its pods use.
    pub claims: Vec<Value>,
    /// The quotas of the namespace.
    pub quotas: Vec<Value>,
    /// What was looked for by its name and is not there.
    pub missing: Vec<Missing>,
}

/// A pod and the ends of its containers' logs.
#[derive(Debug, Clone, Default)]
pub struct PodEvidence {
    /// The pod.
    pub pod: Value,
    /// The end of the log, by container, where it was read.
    pub logs: BTreeMap<String, String>,
}

/// An object that something names and that does not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
}

/// One thing that is not well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The stable word.
    #[serde(serialize_with = "word")]
    pub cause: Cause,
    /// What is not well, on one line.
    pub what: String,
    /// What was seen that says so.
    pub evidence: Vec<String>,
    /// What to do.
    pub next: String,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls it with a reference"
)]
fn word<S: serde::Serializer>(cause: &Cause, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(cause.as_str())
}

/// Finds what is not well, the most important first.
pub fn diagnose(evidence: &Evidence, now: Timestamp) -> Vec<Finding> {
    let mut findings = Vec::new();
    let state = text(&evidence.application["status"]["applicationState"]["state"]);
    findings.extend(surroundings::queued(&evidence.application));
    if findings.is_empty() && !matches!(state, "SUSPENDED" | "SUSPENDING") {
        findings.extend(pods::driver(evidence, now));
    }
    if findings.is_empty() {
        findings.extend(surroundings::application(evidence, now));
    }
    findings.extend(pods::executors(evidence));
    findings.extend(pods::sidecars(evidence));
    findings.extend(surroundings::nodes(evidence));
    only_once(findings)
}

/// The same trouble of ten executors is one, and a node explains the pods on it.
fn only_once(mut findings: Vec<Finding>) -> Vec<Finding> {
    let mut known = Vec::new();
    findings.retain(|finding| {
        let is_new = !known.contains(&finding.cause) || finding.cause == Cause::SidecarFailed;
        known.push(finding.cause);
        is_new
    });
    findings
}

/// The pod an application's status is about: the current attempt's driver, else the newest.
fn current_driver(evidence: &Evidence) -> Option<&PodEvidence> {
    let submission = &evidence.application["status"]["submissionID"];
    let drivers = || {
        evidence
            .pods
            .iter()
            .filter(|it| role(&it.pod) == Some("driver"))
    };
    let of_attempt = |it: &&PodEvidence| {
        it.pod["metadata"]["labels"][crate::observe::SUBMISSION_ID] == *submission
    };
    if submission.is_string() {
        return drivers().find(of_attempt);
    }
    drivers().max_by_key(|it| text(&it.pod["metadata"]["creationTimestamp"]).to_owned())
}

fn role(pod: &Value) -> Option<&str> {
    pod["metadata"]["labels"][crate::observe::ROLE].as_str()
}

/// The events about an object, the latest last, told as kubectl tells them.
fn events_about<'a>(evidence: &'a Evidence, kind: &str, name: &str) -> Vec<&'a Value> {
    let about = |event: &&Value| {
        event["involvedObject"]["kind"] == kind && event["involvedObject"]["name"] == name
    };
    let mut found: Vec<&Value> = evidence.events.iter().filter(about).collect();
    found.sort_by_key(|event| {
        let times = ["lastTimestamp", "eventTime", "firstTimestamp"];
        times
            .iter()
            .find_map(|field| event[*field].as_str())
            .unwrap_or_default()
    });
    found
}

fn warnings_about<'a>(evidence: &'a Evidence, kind: &str, name: &str) -> Vec<&'a Value> {
    let mut found = events_about(evidence, kind, name);
    found.retain(|event| event["type"] == "Warning");
    found
}

/// One line of evidence from an event.
fn told(event: &Value) -> String {
    format!(
        "event {} of {}: {}",
        text(&event["reason"]),
        text(&event["involvedObject"]["name"]),
        one_line(text(&event["message"]))
    )
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn object(pod: &Value) -> Object {
    Object::new(pod.clone())
}
