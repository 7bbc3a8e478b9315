//! How Spark Connect servers are shown.

use jiff::Timestamp;
use kube::api::DynamicObject;
use serde_json::Value;
use windlass_spark::connect::{CONNECT_PORT, CONNECT_PORT_KEY};

use crate::findings::{Finding, paragraphs};
use crate::kinds::Kind;
use crate::shown::{age_of, ago, lines, or_none, text, time};

/// The columns of servers.
pub fn head(wide: bool) -> Vec<&'static str> {
    let mut head = vec!["NAME", "STATE", "EXECUTORS", "ADDRESS", "AGE"];
    if wide {
        head.extend(["RESTARTS", "SPARK", "IMAGE", "SERVER"]);
    }
    head.push("MESSAGE");
    head
}

/// The cells of one server.
pub fn row(connect: &DynamicObject, wide: bool, now: Timestamp) -> Vec<String> {
    let data = &connect.data;
    let mut cells = vec![
        connect.metadata.name.clone().unwrap_or_default(),
        state(data).to_owned(),
        executors(data).to_string(),
        or_none(address(data)),
        age_of(connect, now),
    ];
    if wide {
        let restarts = data["status"]["server"]["restarts"].as_i64().unwrap_or(0);
        cells.extend([
            restarts.to_string(),
            or_none(text(data, "/spec/sparkVersion")),
            or_none(text(data, "/spec/image")),
            or_none(text(data, "/status/server/podName")),
        ]);
    }
    cells.push(message(data));
    cells
}

/// How a server stands: the API's word, `New` when nobody has looked at it, and `Suspended` or
/// `Idle` for one that is stopped because it should be.
pub fn state(connect: &Value) -> &str {
    let status = &connect["status"];
    let word = status["state"].as_str().unwrap_or_default();
    let has_pod = status["server"]["podName"].is_string();
    match word {
        "" => "New",
        "NotReady" if connect["spec"]["suspend"] == true && !has_pod => "Suspended",
        "NotReady" if status["idleSince"].is_string() && !has_pod => "Idle",
        word => word,
    }
}

/// What is said of a server that is not as it should be.
pub fn message(connect: &Value) -> String {
    let conditions = connect["status"]["conditions"].as_array();
    let of = |kind: &str, status: &str| {
        let mut found = conditions.into_iter().flatten();
        found
            .find(|it| it["type"] == kind && it["status"] == status)
            .map(|it| text(it, "/message"))
    };
    of("Validated", "False")
        .or_else(|| of("ServerPodReady", "False"))
        .unwrap_or_default()
}

/// Where clients of the namespace find it.
fn address(connect: &Value) -> String {
    let service = text(connect, "/status/server/serviceName");
    if service.is_empty() {
        return service;
    }
    let port: Option<u16> = connect["spec"]["sparkConf"][CONNECT_PORT_KEY]
        .as_str()
        .and_then(|port| port.trim().parse().ok());
    let port = port.unwrap_or(CONNECT_PORT);
    format!("sc://{service}:{port}")
}

/// How many executors run.
fn executors(connect: &Value) -> i64 {
    connect["status"]["executors"]["Running"]
        .as_i64()
        .unwrap_or(0)
}

/// One server for people, with what is not well.
pub fn one(connect: &Value, findings: &[Finding], wide: bool, now: Timestamp) -> String {
    let at = |pointer: &str| text(connect, pointer);
    let since = |pointer: &str| time(connect, pointer).map_or_else(String::new, |it| ago(it, now));
    let restarts = connect["status"]["server"]["restarts"].as_i64();
    let restarts = restarts.map_or_else(String::new, |count| count.to_string());
    let name = at("/metadata/name");
    let mut rows = vec![
        ("Name", format!("{}/{name}", at("/metadata/namespace"))),
        ("State", state(connect).to_owned()),
        ("Address", address(connect)),
        ("Server", at("/status/server/podName")),
        ("Restarts", restarts),
        ("Executors", format!("{} running", executors(connect))),
        ("Unused", since("/status/idleSince")),
        ("Token", token(connect, &name)),
    ];
    if wide {
        rows.push(("Pod IP", at("/status/server/podIp")));
        rows.push(("Spark", at("/spec/sparkVersion")));
        rows.push(("Image", at("/spec/image")));
        let pods = format!("kubectl get pods -l {}={name}", Kind::Connect.pod_label());
        rows.push(("Pods", pods));
    }
    rows.push(("Message", message(connect)));
    let mut lines = lines(rows);
    lines.extend(paragraphs(findings));
    lines.join("\n")
}

/// The Secret of the token that clients must show.
fn token(connect: &Value, name: &str) -> String {
    let spec = serde_json::from_value(connect["spec"].clone());
    let spec: Option<windlass_api::spark::connect::SparkConnectSpec> = spec.ok();
    let token = spec.and_then(|spec| spec.token(name));
    token.map_or_else(String::new, |it| {
        format!("key {} of Secret {}", it.key, it.name)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_server_is_told_by_how_it_stands() {
        let now: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
        let server = |spec: Value, status: Value| {
            let mut object = json!({
                "apiVersion": "sparkoperator.k8s.io/v1alpha1",
                "kind": "SparkConnect",
                "metadata": {
                    "name": "sql", "namespace": "etl", "creationTimestamp": "2026-03-01T10:00:00Z",
                },
                "spec": {"sparkVersion": "4.3.0", "image": "apache/spark:4.3.0"},
                "status": status,
            });
            for (field, value) in spec.as_object().unwrap() {
                object["spec"][field] = value.clone();
            }
            let dynamic: DynamicObject = serde_json::from_value(object.clone()).unwrap();
            [
                row(&dynamic, false, now).join(" | "),
                row(&dynamic, true, now).join(" | "),
                one(&object, &[], true, now),
            ]
            .join("\n")
        };
        let stopped = |told: &str| {
            json!({
                "state": "NotReady",
                "conditions": [{"type": "ServerPodReady", "status": "False", "message": told}],
            })
        };
        let mut idle = stopped("stopped after 10 minutes without executors");
        idle["idleSince"] = json!("2026-03-01T11:00:00Z");
        insta::assert_snapshot!(
            [
                server(json!({}), json!(null)),
                server(
                    json!({
                        "access": {"token": {}},
                        "sparkConf": {"spark.connect.grpc.binding.port": "16000"},
                    }),
                    json!({
                        "state": "Ready",
                        "server": {
                            "podName": "sql-server-1", "podIp": "10.1.2.3",
                            "serviceName": "sql-server", "restarts": 2,
                        },
                        "executors": {"Running": 3, "Pending": 1},
                        "conditions": [{"type": "ServerPodReady", "status": "True",
                            "message": "the server answers"}],
                    }),
                ),
                server(
                    json!({"suspend": true}),
                    stopped("suspended: set spec.suspend to false")
                ),
                server(json!({"idleTimeoutSeconds": 600}), idle),
                server(
                    json!({}),
                    json!({
                        "state": "Failed",
                        "conditions": [{"type": "Validated", "status": "False",
                            "message": "spec.server.memory: much: is no size"}],
                    }),
                ),
            ]
            .join("\n\n")
        );
    }
}
