//! What a schedule may not say. Its template is checked as the application it becomes.

use kube::api::ObjectMeta;

use super::{ScheduledSparkApplication, ScheduledSparkApplicationSpec, run_name};
use crate::field::{FieldError, FieldPath};
use crate::names::{DnsLabel, NameError, ServiceName};
use crate::schedule::{Schedule, Zone};
use crate::spark::SparkApplication;
use crate::spark::application;

/// Everything in the object that cannot be meant.
pub fn validate(scheduled: &ScheduledSparkApplication) -> Vec<FieldError> {
    let mut findings = Vec::new();
    let name = scheduled.metadata.name.as_deref().unwrap_or_default();
    if let Err(error) = ServiceName::new(name) {
        findings.push(wrong_name("name", name, &error));
    }
    let namespace = scheduled.metadata.namespace.as_deref();
    if let Some((namespace, Err(error))) = namespace.map(|it| (it, DnsLabel::new(it))) {
        findings.push(wrong_name("namespace", namespace, &error));
    }
    let spec = &scheduled.spec;
    if let Err(errors) = schedule(spec) {
        findings.extend(errors);
    }
    let at = FieldPath::new("spec");
    let least = [
        (
            "successfulRunHistoryLimit",
            i64::from(spec.successful_run_history_limit),
            0,
        ),
        (
            "failedRunHistoryLimit",
            i64::from(spec.failed_run_history_limit),
            0,
        ),
        (
            "startingDeadlineSeconds",
            spec.starting_deadline_seconds.unwrap_or(1),
            1,
        ),
    ];
    for (field, value, least) in least {
        if value < least {
            let detail = format!("must be at least {least}");
            findings.push(FieldError::invalid(at.field(field), value, detail));
        }
    }
    let run = template(scheduled, run_name(name, jiff::Timestamp::UNIX_EPOCH));
    let within = at.field("template");
    // The names of runs are made here, so only the specification can be wrong.
    let of_template = application::validate(&run).into_iter().filter_map(|error| {
        let inner = error.path.as_str().strip_prefix("spec")?;
        Some(FieldError {
            path: within.join(inner.trim_start_matches('.')),
            ..error
        })
    });
    findings.extend(of_template);
    findings
}

/// The schedule, or what is wrong with it.
pub fn schedule(spec: &ScheduledSparkApplicationSpec) -> Result<Schedule, Vec<FieldError>> {
    let at = FieldPath::new("spec");
    let zone = Zone::new(&spec.time_zone).map_err(|error| {
        FieldError::invalid(
            at.field("timeZone"),
            spec.time_zone.as_str(),
            error.to_string(),
        )
    });
    let known = zone.clone().unwrap_or_else(|_| Zone::utc());
    let schedule = Schedule::new(&spec.schedule, known).map_err(|error| {
        FieldError::invalid(
            at.field("schedule"),
            spec.schedule.as_str(),
            error.to_string(),
        )
    });
    match (zone, schedule) {
        (Ok(_), Ok(schedule)) => Ok(schedule),
        (zone, schedule) => Err(zone.err().into_iter().chain(schedule.err()).collect()),
    }
}

/// The application of the run with this name.
pub fn template(scheduled: &ScheduledSparkApplication, name: String) -> SparkApplication {
    SparkApplication {
        metadata: ObjectMeta {
            name: Some(name),
            namespace: scheduled.metadata.namespace.clone(),
            ..ObjectMeta::default()
        },
        spec: scheduled.spec.template.clone(),
        status: None,
    }
}

fn wrong_name(field: &str, name: &str, error: &NameError) -> FieldError {
    let path = FieldPath::new("metadata").field(field);
    FieldError::invalid(path, name, error.to_string())
}
