//! What the commands about schedules share: reading one, and how one is shown.

use jiff::Timestamp;
use kube::api::{DynamicObject, ListParams};
use serde_json::Value;
use windlass_api::spark::ScheduledSparkApplication;
use windlass_api::spark::scheduled::SCHEDULE_LABEL;

use crate::applications::{self, Place};
use crate::exit::Failure;
use crate::findings::{Finding, paragraphs};
use crate::kinds::Subject;
use crate::output::table;
use crate::run::preflight::api_failure;
use crate::shown::{age, ago, lines, or_none, text, time};

/// A schedule that must be there.
pub async fn schedule(
    place: &Place,
    subject: &Subject,
) -> Result<ScheduledSparkApplication, Failure> {
    let found = place.object(subject).await?;
    let value = serde_json::to_value(found).map_err(Failure::internal)?;
    serde_json::from_value(value).map_err(|error| {
        Failure::bad_input(format!(
            "{} cannot be read: {error}: repair it with kubectl edit",
            place.about(subject)
        ))
    })
}

/// The runs of a schedule that are there, the latest first.
pub async fn runs(place: &Place, name: &str) -> Result<Vec<DynamicObject>, Failure> {
    let params = ListParams::default().labels(&format!("{SCHEDULE_LABEL}={name}"));
    let found = place.applications().list(&params).await;
    let mut runs = found.map_err(api_failure)?.items;
    runs.sort_by_key(|run| std::cmp::Reverse(run.metadata.creation_timestamp.clone()));
    Ok(runs)
}

/// The columns of schedules.
pub fn head(wide: bool) -> Vec<&'static str> {
    let mut head = vec!["NAME", "SCHEDULE", "STATE", "LAST RUN", "NEXT RUN"];
    if wide {
        head.extend(["TIME ZONE", "LAST RUN NAME"]);
    }
    head.push("REASON");
    head
}

/// The cells of one schedule.
pub fn row(schedule: &DynamicObject, wide: bool, now: Timestamp) -> Vec<String> {
    let data = &schedule.data;
    let last = time(data, "/status/lastRun").map_or_else(String::new, |time| ago(time, now));
    let mut cells = vec![
        schedule.metadata.name.clone().unwrap_or_default(),
        text(data, "/spec/schedule"),
        state(data),
        or_none(last),
        or_none(next(data, now)),
    ];
    if wide {
        cells.push(or_none(text(data, "/spec/timeZone")));
        cells.push(or_none(text(data, "/status/lastRunName")));
    }
    cells.push(text(data, "/status/reason"));
    cells
}

/// Whether a schedule is followed, in one word.
pub fn state(schedule: &Value) -> String {
    match (
        schedule["spec"]["suspend"].as_bool(),
        text(schedule, "/status/scheduleState"),
    ) {
        (Some(true), _) => "Suspended".to_owned(),
        (_, state) if state.is_empty() => "New".to_owned(),
        (_, state) => state,
    }
}

/// When the next run is due; a suspended schedule starts none.
fn next(schedule: &Value, now: Timestamp) -> String {
    match time(schedule, "/status/nextRun") {
        Some(time) if schedule["spec"]["suspend"] != true => {
            format!("in {}", age(time.duration_since(now).as_secs()))
        }
        _ => String::new(),
    }
}

/// One schedule for people, with its runs and with what is not well.
pub fn one(
    schedule: &Value,
    runs: &[DynamicObject],
    findings: &[Finding],
    wide: bool,
    now: Timestamp,
) -> String {
    let at = |pointer: &str| text(schedule, pointer);
    let with_time = |told: String, pointer: &str| {
        if told.is_empty() {
            told
        } else {
            format!("{told}, at {}", at(pointer))
        }
    };
    let last = time(schedule, "/status/lastRun").map_or_else(String::new, |it| ago(it, now));
    let last = with_time(last, "/status/lastRun");
    let zone = at("/spec/timeZone");
    let zone = match zone.as_str() {
        "" | "Local" => "UTC",
        zone => zone,
    };
    let mut rows = vec![
        (
            "Name",
            format!("{}/{}", at("/metadata/namespace"), at("/metadata/name")),
        ),
        ("State", state(schedule)),
        ("Schedule", format!("{} ({zone})", at("/spec/schedule"))),
        (
            "Next run",
            with_time(next(schedule, now), "/status/nextRun"),
        ),
        ("Last run", last),
        ("Starting", at("/status/pendingRun/name")),
        ("Overlap", at("/spec/concurrencyPolicy")),
    ];
    if wide {
        rows.push(("Missed", at("/spec/catchUpPolicy")));
        rows.push(("Spark", at("/spec/template/sparkVersion")));
        rows.push(("Image", at("/spec/template/image")));
    }
    rows.push(("Message", at("/status/reason")));
    let mut lines = lines(rows);
    if !runs.is_empty() {
        lines.push(String::new());
        let cells: Vec<Vec<String>> = runs
            .iter()
            .map(|run| applications::row(run, wide, now))
            .collect();
        let mut head = applications::head(wide);
        if let Some(name) = head.first_mut() {
            *name = "RUN";
        }
        lines.push(table(&head, &cells));
    }
    lines.extend(paragraphs(findings));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_row_tells_when_it_ran_and_when_it_runs() {
        let now: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
        let cells = |spec: Value, status: Value| {
            let object: DynamicObject = serde_json::from_value(json!({
                "metadata": {"name": "nightly", "namespace": "etl"},
                "spec": spec,
                "status": status,
            }))
            .unwrap();
            let narrow = row(&object, false, now).join(" | ");
            let wide = row(&object, true, now).join(" | ");
            format!("{narrow}\n{wide}")
        };
        insta::assert_snapshot!(
            [
                cells(json!({"schedule": "@daily"}), json!({})),
                cells(
                    json!({"schedule": "0 3 * * *", "timeZone": "Europe/Berlin"}),
                    json!({
                        "scheduleState": "Scheduled", "lastRunName": "nightly-1",
                        "lastRun": "2026-03-01T02:00:00Z", "nextRun": "2026-03-02T02:00:00Z",
                    }),
                ),
                cells(
                    json!({"schedule": "@daily", "suspend": true}),
                    json!({"scheduleState": "Scheduled"})
                ),
                cells(
                    json!({"schedule": "daily"}),
                    json!({"scheduleState": "FailedValidation", "reason": "spec.schedule: ..."}),
                ),
            ]
            .join("\n\n")
        );
    }

    #[test]
    fn a_schedule_is_told_with_its_runs() {
        let now: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
        let schedule = json!({
            "metadata": {"name": "nightly", "namespace": "etl"},
            "spec": {
                "schedule": "0 3 * * *", "timeZone": "Europe/Berlin", "concurrencyPolicy": "Forbid",
                "template": {"sparkVersion": "4.3.0", "image": "apache/spark:4.3.0"},
            },
            "status": {
                "scheduleState": "Scheduled", "lastRunName": "nightly-1",
                "lastRun": "2026-03-01T02:00:00Z", "nextRun": "2026-03-02T02:00:00Z",
            },
        });
        let run: DynamicObject = serde_json::from_value(json!({
            "metadata": {"name": "nightly-1", "creationTimestamp": "2026-03-01T02:00:00Z"},
            "status": {"applicationState": {"state": "COMPLETED"}, "executionAttempts": 1},
        }))
        .unwrap();
        let mut suspended = schedule.clone();
        suspended["spec"]["suspend"] = json!(true);
        let new = json!({
            "metadata": {"name": "new", "namespace": "etl"},
            "spec": {"schedule": "@daily", "timeZone": "Local"},
        });
        insta::assert_snapshot!(
            [
                one(&schedule, &[run], &[], true, now),
                one(&suspended, &[], &[], false, now),
                one(&new, &[], &[], false, now),
            ]
            .join("\n\n")
        );
    }
}
