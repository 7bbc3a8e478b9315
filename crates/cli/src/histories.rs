//! How history servers are shown.

use jiff::Timestamp;
use kube::api::DynamicObject;
use serde_json::Value;

use crate::findings::{Finding, paragraphs};
use crate::kinds::Kind;
use crate::shown::{age_of, lines, or_none, text};

/// The columns of servers.
pub fn head(wide: bool) -> Vec<&'static str> {
    let mut head = vec!["NAME", "PHASE", "LOGS", "URL", "AGE"];
    if wide {
        head.extend(["RESTARTS", "SPARK", "IMAGE", "SERVER"]);
    }
    head.push("MESSAGE");
    head
}

/// The cells of one server.
pub fn row(server: &DynamicObject, wide: bool, now: Timestamp) -> Vec<String> {
    let data = &server.data;
    let mut cells = vec![
        server.metadata.name.clone().unwrap_or_default(),
        state(data).to_owned(),
        or_none(logs(data)),
        or_none(text(data, "/status/url")),
        age_of(server, now),
    ];
    if wide {
        let restarts = data["status"]["restarts"].as_i64().unwrap_or(0);
        cells.extend([
            restarts.to_string(),
            or_none(text(data, "/spec/sparkVersion")),
            or_none(text(data, "/spec/image")),
            or_none(text(data, "/status/podName")),
        ]);
    }
    cells.push(message(data));
    cells
}

/// How a server stands: the API's word, and `New` when nobody has looked at it.
pub fn state(server: &Value) -> &str {
    let phase = server["status"]["phase"].as_str().unwrap_or_default();
    if phase.is_empty() { "New" } else { phase }
}

/// What is said of a server that is not as it should be.
pub fn message(server: &Value) -> String {
    let conditions = server["status"]["conditions"].as_array();
    let of = |kind: &str| {
        let mut found = conditions.into_iter().flatten();
        found
            .find(|it| it["type"] == kind && it["status"] == "False")
            .map(|it| text(it, "/message"))
    };
    of("Validated").or_else(|| of("Ready")).unwrap_or_default()
}

/// Whose event logs it shows: those of an ObjectStore, of a claim, or of a directory.
fn logs(server: &Value) -> String {
    let spec = &server["spec"];
    let named = [
        ("objectstore", &spec["eventLog"]),
        ("claim", &spec["logClaim"]["claimName"]),
    ];
    let named = named
        .into_iter()
        .find_map(|(what, name)| Some(format!("{what}/{}", name.as_str()?)));
    named.unwrap_or_else(|| text(server, "/spec/logDirectory"))
}

/// One server for people, with what is not well.
pub fn one(server: &Value, findings: &[Finding], wide: bool) -> String {
    let at = |pointer: &str| text(server, pointer);
    let restarts = server["status"]["restarts"].as_i64();
    let name = at("/metadata/name");
    let retention = at("/spec/retention");
    let mut rows = vec![
        ("Name", format!("{}/{name}", at("/metadata/namespace"))),
        ("Phase", state(server).to_owned()),
        ("Logs", logs(server)),
        ("Kept for", retention),
        ("URL", at("/status/url")),
        ("Server", at("/status/podName")),
        (
            "Restarts",
            restarts.map_or_else(String::new, |count| count.to_string()),
        ),
    ];
    if wide {
        rows.push(("Directory", at("/status/logDirectory")));
        rows.push(("Service", at("/status/serviceName")));
        rows.push(("Spark", at("/spec/sparkVersion")));
        rows.push(("Image", at("/spec/image")));
        let pods = format!("kubectl get pods -l {}={name}", Kind::History.pod_label());
        rows.push(("Pods", pods));
    }
    rows.push(("Message", message(server)));
    let mut lines = lines(rows);
    lines.extend(paragraphs(findings));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_server_is_told_by_how_it_stands_and_whose_logs_it_shows() {
        let now: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
        let server = |logs: Value, status: Value| {
            let mut object = json!({
                "apiVersion": "windlass.dev/v1alpha1",
                "kind": "SparkHistoryServer",
                "metadata": {
                    "name": "jobs", "namespace": "etl", "creationTimestamp": "2026-03-01T10:00:00Z",
                },
                "spec": {"sparkVersion": "4.3.0", "image": "apache/spark:4.3.0", "retention": "30d"},
                "status": status,
            });
            for (field, value) in logs.as_object().unwrap() {
                object["spec"][field] = value.clone();
            }
            let dynamic: DynamicObject = serde_json::from_value(object.clone()).unwrap();
            [
                row(&dynamic, false, now).join(" | "),
                row(&dynamic, true, now).join(" | "),
                one(&object, &[], true),
            ]
            .join("\n")
        };
        let condition =
            |kind: &str, told: &str| json!([{"type": kind, "status": "False", "message": told}]);
        insta::assert_snapshot!(
            [
                server(json!({"eventLog": "history"}), json!(null)),
                server(
                    json!({"eventLog": "history"}),
                    json!({
                        "phase": "Pending",
                        "conditions": condition("Ready", "spec.eventLog: there is none"),
                    }),
                ),
                server(
                    json!({"logClaim": {"claimName": "logs"}}),
                    json!({
                        "phase": "Ready", "url": "http://jobs-history.etl:18080", "restarts": 2,
                        "serviceName": "jobs-history", "podName": "jobs-history-1",
                        "logDirectory": "file:/spark-events",
                        "conditions": [{"type": "Ready", "status": "True", "message": "the server answers"}],
                    }),
                ),
                server(
                    json!({"logDirectory": "s3a://shared/logs"}),
                    json!({
                        "phase": "Failed",
                        "conditions": condition("Validated", "spec.memory: much: is no size"),
                    }),
                ),
            ]
            .join("\n\n")
        );
    }
}
