//! Why a virtual cluster is not well: from what the API shows of it to causes and next steps.
//!
//! Laws:
//! - pure and total: evidence in any shape gives findings, at worst none;
//! - what the operator has decided is read off what it has written: the conditions, and the marks on pods;
//! - the first finding is the one to act on: what keeps anything from being done comes before members that
//!   do not come, and these before what is waited for;
//! - every finding carries what was seen, so that a person can check it, and what is the same with several
//!   members is told once.

mod members;

#[cfg(test)]
mod tests;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::Value;

use crate::members::ConditionKind;

/// How long an operator has for a first look.
const FIRST_LOOK: SignedDuration = SignedDuration::from_secs(15);
/// The longest line that is told, in characters.
const LONGEST_LINE: usize = 300;

/// What the API shows of a cluster.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    /// The KubeDirectorCluster.
    pub cluster: Value,
    /// Its pods.
    pub pods: Vec<Value>,
    /// The events about it and its objects.
    pub events: Vec<Value>,
    /// The claims its pods use.
    pub claims: Vec<Value>,
}

/// One thing that is not well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The stable word.
    pub cause: Cause,
    /// What is not well, on one line.
    pub what: String,
    /// What was seen that says so.
    pub evidence: Vec<String>,
    /// What to do.
    pub next: String,
}

/// What lies behind a cluster that is not well, as a stable word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Cause {
    /// No operator has looked at the cluster.
    NoOperator,
    /// The specification cannot be.
    InvalidSpec,
    /// The API server refused an object.
    Refused,
    /// The API server refused pods or claims of a StatefulSet.
    PodsRefused,
    /// No node takes a member.
    Unschedulable,
    /// A claim has no volume.
    ClaimPending,
    /// An image cannot be had.
    ImageUnavailable,
    /// Something that a pod names is not there.
    ReferenceMissing,
    /// A member needed more memory than it had.
    OutOfMemory,
    /// The first process of a member does not stay.
    ContainerEnds,
    /// The directories of a member could not be copied to its storage.
    CopyFailed,
    /// A node does not answer.
    NodeLost,
    /// systemd does not come up in members that need it.
    SystemdNotRunning,
    /// A member could not be set up.
    SetUpFailed,
    /// A member cannot be set up yet, which is tried again.
    SetUpWaits,
    /// A member could not be told of others.
    NotTold,
    /// A member that is to go does what it has to do before that.
    Draining,
    /// A member that is to go could not do what it has to do before that.
    DrainFailed,
    /// Volumes do not become larger.
    ResizeFailed,
    /// It is not known how many members there is a use for.
    DemandUnknown,
    /// More members are wanted than there may be.
    TooManyMembers,
    /// A member is set up and does not serve.
    NotReady,
    /// Something that has no word here.
    Other,
}

impl Cause {
    /// The word, as it is printed.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoOperator => "NoOperator",
            Self::InvalidSpec => "InvalidSpec",
            Self::Refused => "Refused",
            Self::PodsRefused => "PodsRefused",
            Self::Unschedulable => "Unschedulable",
            Self::ClaimPending => "ClaimPending",
            Self::ImageUnavailable => "ImageUnavailable",
            Self::ReferenceMissing => "ReferenceMissing",
            Self::OutOfMemory => "OutOfMemory",
            Self::ContainerEnds => "ContainerEnds",
            Self::CopyFailed => "CopyFailed",
            Self::NodeLost => "NodeLost",
            Self::SystemdNotRunning => "SystemdNotRunning",
            Self::SetUpFailed => "SetUpFailed",
            Self::SetUpWaits => "SetUpWaits",
            Self::NotTold => "NotTold",
            Self::Draining => "Draining",
            Self::DrainFailed => "DrainFailed",
            Self::ResizeFailed => "ResizeFailed",
            Self::DemandUnknown => "DemandUnknown",
            Self::TooManyMembers => "TooManyMembers",
            Self::NotReady => "NotReady",
            Self::Other => "Other",
        }
    }
}

/// Finds what is not well, the most important first.
pub fn diagnose(evidence: &Evidence, now: Timestamp) -> Vec<Finding> {
    let cluster = &evidence.cluster;
    if cluster["status"].is_null() {
        return nobody_looked(cluster, now).into_iter().collect();
    }
    if let Some(invalid) = invalid(cluster) {
        return vec![invalid];
    }
    let mut findings: Vec<Finding> = refused(cluster).into_iter().collect();
    findings.extend(refused_pods(evidence));
    findings.extend(members::diagnose(evidence, now));
    findings.extend(of_conditions(cluster));
    let mut findings = once(findings);
    if findings.is_empty()
        && let Some(degraded) = condition(cluster, ConditionKind::Degraded.as_str(), "True")
    {
        findings.push(Finding {
            cause: Cause::Other,
            what: one_line(text(&degraded["message"])),
            evidence: vec![seen(degraded)],
            next: format!("see windlass events cluster/{}", name(cluster)),
        });
    }
    findings.sort_by_key(|finding| finding.cause);
    findings
}

fn nobody_looked(cluster: &Value, now: Timestamp) -> Option<Finding> {
    let created = text(&cluster["metadata"]["creationTimestamp"]);
    let created: Timestamp = created.parse().ok()?;
    (now.duration_since(created) > FIRST_LOOK).then(|| Finding {
        cause: Cause::NoOperator,
        what: "no operator has looked at the cluster".to_owned(),
        evidence: vec![format!("created at {created}, and its status is empty")],
        next: "see that an operator runs with --virtual-clusters and serves this namespace: kubectl get leases -A \
               shows who leads"
            .to_owned(),
    })
}

fn invalid(cluster: &Value) -> Option<Finding> {
    let degraded = condition(cluster, ConditionKind::Degraded.as_str(), "True")?;
    (degraded["reason"] == "Invalid").then(|| Finding {
        cause: Cause::InvalidSpec,
        // All of it: each field is named with what to do.
        what: text(&degraded["message"]).to_owned(),
        evidence: vec![seen(degraded)],
        next: format!(
            "correct it with kubectl edit kubedirectorcluster {}, or make what it names; what runs of \
             the cluster is left as it is until then",
            name(cluster)
        ),
    })
}

/// What the operator itself was refused, which all else waits for.
fn refused(cluster: &Value) -> Option<Finding> {
    let degraded = condition(cluster, ConditionKind::Degraded.as_str(), "True")?;
    let message = text(&degraded["message"]);
    let at = message.find("the API refused to ")?;
    let what = one_line(&message[at..]);
    let next = if what.contains("quota") {
        "raise the namespace's ResourceQuota, or ask for less; it is tried again"
    } else {
        "change what the API says is wrong; it is tried again"
    };
    Some(Finding {
        cause: Cause::Refused,
        what,
        evidence: vec![seen(degraded)],
        next: next.to_owned(),
    })
}

/// What Kubernetes says of StatefulSets that get no pods.
fn refused_pods(evidence: &Evidence) -> Option<Finding> {
    let is_short = |set: &str| {
        let roles = list(&evidence.cluster["status"]["roles"]);
        let role = roles.iter().find(|role| role["statefulSet"] == set);
        let mut members = role.map_or(&[][..], |role| list(&role["members"])).iter();
        members.any(|member| {
            let pods = &evidence.pods;
            !pods
                .iter()
                .any(|it| it["metadata"]["name"] == member["pod"])
        })
    };
    let event = latest(evidence, "StatefulSet", |event| {
        event["reason"] == "FailedCreate" && is_short(text(&event["involvedObject"]["name"]))
    })?;
    let message = one_line(text(&event["message"]));
    let next = if message.contains("quota") {
        "raise the namespace's ResourceQuota, or ask for fewer members or less for each"
    } else if message.to_lowercase().contains("serviceaccount") {
        "make the ServiceAccount, or name another one in spec.roles[].serviceAccountName"
    } else {
        "change what the API says is wrong; it is tried again"
    };
    Some(Finding {
        cause: Cause::PodsRefused,
        what: message,
        evidence: vec![told(event)],
        next: next.to_owned(),
    })
}

/// What conditions say that no member shows.
fn of_conditions(cluster: &Value) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut of = |kind: ConditionKind, status: &str, reasons: &[&str], cause: Cause, next: &str| {
        let Some(found) = condition(cluster, kind.as_str(), status) else {
            return;
        };
        if reasons.iter().any(|reason| found["reason"] == *reason) {
            findings.push(Finding {
                cause,
                what: one_line(text(&found["message"])),
                evidence: vec![seen(found)],
                next: next.to_owned(),
            });
        }
    };
    of(
        ConditionKind::Systemd,
        "False",
        &["NotRunning"],
        Cause::SystemdNotRunning,
        "use nodes that give containers their cgroups, or set containerSpec.idle for roles that need no systemd",
    );
    of(
        ConditionKind::StorageResizing,
        "True",
        &["ResizeFailed"],
        Cause::ResizeFailed,
        "see kubectl describe pvc; while volumes have not got it, storage.size may be set back, to no less \
         than it was before",
    );
    of(
        ConditionKind::ScalingActive,
        "False",
        &["DemandUnknown"],
        Cause::DemandUnknown,
        "correct what the application's demand calls; until there is an answer nobody comes or goes",
    );
    of(
        ConditionKind::ScalingActive,
        "False",
        &["NobodyToAsk"],
        Cause::DemandUnknown,
        "a member of the role that is asked has to be set up first",
    );
    of(
        ConditionKind::ScalingLimited,
        "True",
        &["TooManyMembers"],
        Cause::TooManyMembers,
        "raise maxMembers if there is room for more",
    );
    findings
}

/// What is the same with several members is one finding, with what was seen of all.
fn once(findings: Vec<Finding>) -> Vec<Finding> {
    let mut told: Vec<Finding> = Vec::new();
    for finding in findings {
        match told.iter_mut().find(|it| it.cause == finding.cause) {
            Some(known) if known.what == finding.what => {}
            Some(known) => {
                if known.cause != Cause::SystemdNotRunning {
                    known.evidence.push(format!("and: {}", finding.what));
                }
            }
            None => told.push(finding),
        }
    }
    told
}

fn condition<'v>(cluster: &'v Value, kind: &str, status: &str) -> Option<&'v Value> {
    let mut all = list(&cluster["status"]["conditions"]).iter();
    all.find(|it| it["type"] == kind && it["status"] == status)
}

/// One line of evidence from a condition.
fn seen(condition: &Value) -> String {
    format!(
        "condition {} is {} since {}: {}",
        text(&condition["type"]),
        text(&condition["status"]),
        text(&condition["lastTransitionTime"]),
        text(&condition["reason"])
    )
}

/// The latest event of this kind about which this holds.
fn latest<'e>(
    evidence: &'e Evidence,
    kind: &str,
    holds: impl Fn(&Value) -> bool,
) -> Option<&'e Value> {
    let events = evidence.events.iter();
    let found = events.filter(|it| it["involvedObject"]["kind"] == kind && holds(it));
    found.max_by_key(|event| {
        let times = ["lastTimestamp", "eventTime", "firstTimestamp"];
        let mut times = times.iter().filter_map(|field| event[*field].as_str());
        times.next().unwrap_or_default()
    })
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

fn name(object: &Value) -> &str {
    text(&object["metadata"]["name"])
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn one_line(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(LONGEST_LINE) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line,
    }
}
