//! The applications that are there: what becomes of them, and which nobody has taken up.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize as _;
use serde_json::Value;
use windlass_api::spark::SparkApplication;

use super::{Category, Facts, Finding, Look, Scope, Stage, listed, name, namespace, text};

/// A new application is taken up within moments where an operator lives.
const PATIENCE: SignedDuration = SignedDuration::from_secs(60);
/// How many names a finding has.
const NAMED: usize = 5;

pub(super) fn judge(scope: &Scope, facts: &Facts, now: Timestamp) -> Vec<Finding> {
    let applications = match &facts.applications {
        Look::Refused(why) => {
            return vec![Finding::unseen(Category::Applications, "applications", why)];
        }
        Look::Seen(applications) => applications,
    };
    let mut findings = vec![overview(scope.stage, applications)];
    findings.extend(unreadable(applications));
    findings.extend(client_mode(applications));
    if scope.stage == Stage::After {
        findings.extend(forgotten(applications, now));
    }
    findings
}

fn overview(stage: Stage, applications: &[Value]) -> Finding {
    if applications.is_empty() {
        return Finding::ok(Category::Applications, "none is there yet");
    }
    let mut states: BTreeMap<&str, usize> = BTreeMap::new();
    for application in applications {
        *states.entry(state(application)).or_default() += 1;
    }
    let counts: Vec<String> = states
        .iter()
        .map(|(state, count)| format!("{count} {state}"))
        .collect();
    let then = match stage {
        Stage::Before => "; what runs goes on, and what has ended stays as it is",
        Stage::After => "",
    };
    Finding::ok(Category::Applications, format!("{}{then}", listed(&counts)))
}

/// Those that have not ended and that we cannot read.
fn unreadable(applications: &[Value]) -> impl Iterator<Item = Finding> {
    let of_interest = applications
        .iter()
        .filter(|it| !matches!(state(it), "COMPLETED" | "FAILED"));
    let errors = of_interest.filter_map(|it| {
        let error = SparkApplication::deserialize(it).err()?;
        Some((it, error))
    });
    errors.take(NAMED).map(|(it, error)| {
        Finding::problem(
            Category::Applications,
            format!("{} cannot be read: {error}", full_name(it)),
            format!(
                "kubectl --namespace {} edit sparkapplication {}",
                namespace(it),
                name(it)
            ),
        )
    })
}

/// Client mode runs the driver inside the operator, which Windlass does not do.
fn client_mode(applications: &[Value]) -> Option<Finding> {
    let names = named(
        applications
            .iter()
            .filter(|it| text(it, "/spec/mode") == "client" && state(it) == "New"),
    )?;
    Some(Finding::note(
        Category::Applications,
        format!("client mode is refused: {names}"),
        Some("set mode to cluster".to_owned()),
    ))
}

fn forgotten(applications: &[Value], now: Timestamp) -> Option<Finding> {
    let is_old = |it: &&Value| {
        let created = text(it, "/metadata/creationTimestamp").parse::<Timestamp>();
        created.is_ok_and(|created| now.duration_since(created) > PATIENCE)
    };
    let nobodys = |it: &&Value| it.pointer("/status").is_none_or(Value::is_null);
    let names = named(applications.iter().filter(is_old).filter(nobodys))?;
    Some(Finding::problem(
        Category::Applications,
        format!("nobody has taken up {names}"),
        "see that an operator leads, and that it serves this namespace",
    ))
}

/// The first few names, and how many more there are.
fn named<'a>(applications: impl Iterator<Item = &'a Value>) -> Option<String> {
    let names: Vec<String> = applications.map(full_name).collect();
    match names.len() {
        0 => None,
        count if count <= NAMED => Some(listed(&names)),
        count => Some(format!(
            "{} and {} more",
            names[..NAMED].join(", "),
            count - NAMED
        )),
    }
}

fn full_name(application: &Value) -> String {
    format!("{}/{}", namespace(application), name(application))
}

fn state(application: &Value) -> &str {
    match text(application, "/status/applicationState/state") {
        "" => "New",
        state => state,
    }
}
