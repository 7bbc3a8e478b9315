//! Why a schedule starts no runs.

use jiff::Timestamp;
use serde_json::Value;

use super::surroundings::nobody_looked;
use super::{Cause, Finding, one_line, text};

/// Finds what keeps a ScheduledSparkApplication from starting runs. How its runs fare is told of them.
pub fn diagnose_schedule(schedule: &Value, now: Timestamp) -> Vec<Finding> {
    verdict(schedule, now).into_iter().collect()
}

fn verdict(schedule: &Value, now: Timestamp) -> Option<Finding> {
    let (spec, status) = (&schedule["spec"], &schedule["status"]);
    let name = text(&schedule["metadata"]["name"]);
    let (state, reason) = (text(&status["scheduleState"]), text(&status["reason"]));
    let seen = || {
        let (last, next) = (text(&status["lastRun"]), text(&status["nextRun"]));
        let or_none = |text: &str| if text.is_empty() { "none" } else { text }.to_owned();
        vec![format!(
            "state {state}, last run {}, next run {}",
            or_none(last),
            or_none(next)
        )]
    };
    if state.is_empty() {
        return nobody_looked(schedule, "ScheduledSparkApplication", now);
    }
    if state == "FailedValidation" {
        return Some(Finding {
            cause: Cause::InvalidSpec,
            what: one_line(reason),
            evidence: seen(),
            next: "correct the spec; the schedule is followed as soon as it is right".to_owned(),
        });
    }
    if spec["suspend"] == true {
        return Some(Finding {
            cause: Cause::Suspended,
            what: "the schedule is suspended".to_owned(),
            evidence: seen(),
            next: format!("windlass resume schedule/{name} lets it start runs again"),
        });
    }
    (!reason.is_empty()).then(|| Finding {
        cause: Cause::Other,
        what: one_line(reason),
        evidence: seen(),
        next: format!("see windlass events schedule/{name}"),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_keeps_a_schedule_from_starting_runs_is_told() {
        let now = "2026-03-01T12:10:00Z".parse().unwrap();
        let told = |spec: Value, status: Value| {
            let schedule = json!({
                "metadata": {"name": "nightly", "creationTimestamp": "2026-03-01T12:00:00Z"},
                "spec": spec,
                "status": status,
            });
            let findings = diagnose_schedule(&schedule, now);
            let findings = findings.iter().map(|it| {
                let (cause, evidence) = (it.cause.as_str(), it.evidence.join("; "));
                format!("{cause}: {} [{evidence}] -> {}", it.what, it.next)
            });
            findings.collect::<Vec<_>>().join("\n")
        };
        let followed = json!({"scheduleState": "Scheduled", "nextRun": "2026-03-02T02:00:00Z"});
        let mut held = followed.clone();
        held["reason"] = json!("the earlier run is still being deleted");
        let wrong = json!({"scheduleState": "FailedValidation", "reason": "spec.schedule: daily"});
        assert_eq!(told(json!({}), followed.clone()), "");
        insta::assert_snapshot!(
            [
                told(json!({}), json!(null)),
                told(json!({}), wrong),
                told(json!({"suspend": true}), followed),
                told(json!({}), held),
            ]
            .join("\n")
        );
    }
}
