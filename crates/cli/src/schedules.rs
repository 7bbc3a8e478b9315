//! What the commands about schedules share: where they are, and how they are shown.

use jiff::Timestamp;
use kube::api::{ApiResource, DynamicObject};
use kube::{Api, Client};
use serde_json::{Value, json};
use windlass_api::spark::ScheduledSparkApplication;

use crate::applications::{Place, Scope, age, document};
use crate::args::Show;
use crate::exit::{Exit, Failure};
use crate::output::{data, table};
use crate::run::preflight::api_failure;

/// Where the API serves them.
pub fn resource() -> ApiResource {
    ApiResource {
        group: "sparkoperator.k8s.io".to_owned(),
        version: "v1beta2".to_owned(),
        api_version: "sparkoperator.k8s.io/v1beta2".to_owned(),
        kind: "ScheduledSparkApplication".to_owned(),
        plural: "scheduledsparkapplications".to_owned(),
    }
}

/// The schedules of a namespace.
pub fn schedules(client: Client, namespace: &str) -> Api<DynamicObject> {
    Api::namespaced_with(client, namespace, &resource())
}

/// What to say when a call about a schedule was not answered as hoped.
pub fn failure(place: &Place, name: &str, error: kube::Error) -> Failure {
    match error {
        kube::Error::Api(status) if status.code == 404 => Failure::bad_input(format!(
            "no schedule {}/{name}: see windlass list --schedules for what there is",
            place.namespace
        )),
        error => api_failure(error),
    }
}

/// A schedule that must be there.
pub async fn schedule(place: &Place, name: &str) -> Result<ScheduledSparkApplication, Failure> {
    let found = schedules(place.client.clone(), &place.namespace)
        .get(name)
        .await;
    let found = found.map_err(|error| failure(place, name, error))?;
    let value = serde_json::to_value(found).map_err(Failure::internal)?;
    serde_json::from_value(value).map_err(|error| {
        Failure::bad_input(format!(
            "schedule {}/{name} cannot be read: {error}: repair it with kubectl edit",
            place.namespace
        ))
    })
}

/// Prints schedules.
pub fn show(found: Vec<DynamicObject>, how: Show, scope: Scope) -> Result<Exit, Failure> {
    match how {
        Show::Table | Show::Wide => {
            let mut head = vec!["NAME", "SCHEDULE", "STATE", "LAST RUN", "NEXT RUN"];
            if scope == Scope::AllNamespaces {
                head.insert(0, "NAMESPACE");
            }
            if how == Show::Wide {
                head.extend(["TIME ZONE", "LAST RUN NAME"]);
            }
            head.push("REASON");
            let now = Timestamp::now();
            let rows: Vec<Vec<String>> = found.iter().map(|it| row(it, how, scope, now)).collect();
            data(&table(&head, &rows))
        }
        Show::Name => {
            let names = found.iter().map(|it| {
                let name = it.metadata.name.as_deref().unwrap_or_default();
                format!("scheduledsparkapplication.sparkoperator.k8s.io/{name}")
            });
            data(&names.collect::<Vec<_>>().join("\n"))
        }
        Show::Json | Show::Yaml => {
            let mut items = Vec::new();
            for mut object in found {
                object.types = Some(kube::api::TypeMeta {
                    api_version: resource().api_version,
                    kind: resource().kind,
                });
                object.metadata.managed_fields = None;
                items.push(serde_json::to_value(object).map_err(Failure::internal)?);
            }
            let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
            document(&list, how == Show::Json)
        }
    }
}

fn row(schedule: &DynamicObject, how: Show, scope: Scope, now: Timestamp) -> Vec<String> {
    let text = |pointer: &str| {
        let value = schedule.data.pointer(pointer);
        value.and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let or_none = |text: String| {
        if text.is_empty() {
            "-".to_owned()
        } else {
            text
        }
    };
    let time = |pointer: &str| text(pointer).parse::<Timestamp>().ok();
    let ago = |time: Timestamp| format!("{} ago", age(now.duration_since(time).as_secs()));
    let until = |time: Timestamp| format!("in {}", age(time.duration_since(now).as_secs()));
    let state = match (
        schedule.data["spec"]["suspend"].as_bool(),
        text("/status/scheduleState"),
    ) {
        (Some(true), _) => "Suspended".to_owned(),
        (_, state) if state.is_empty() => "New".to_owned(),
        (_, state) => state,
    };
    let mut cells = vec![
        schedule.metadata.name.clone().unwrap_or_default(),
        text("/spec/schedule"),
        state,
        time("/status/lastRun").map_or_else(|| "-".to_owned(), ago),
        time("/status/nextRun").map_or_else(|| "-".to_owned(), until),
    ];
    if scope == Scope::AllNamespaces {
        cells.insert(0, schedule.metadata.namespace.clone().unwrap_or_default());
    }
    if how == Show::Wide {
        cells.push(or_none(text("/spec/timeZone")));
        cells.push(or_none(text("/status/lastRunName")));
    }
    cells.push(text("/status/reason"));
    cells
}

#[cfg(test)]
mod tests {
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
            let narrow = row(&object, Show::Table, Scope::Namespace, now).join(" | ");
            let wide = row(&object, Show::Wide, Scope::AllNamespaces, now).join(" | ");
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
}
