//! Why a Spark Connect server is not well, and what any server's pod tells.

use jiff::Timestamp;
use serde_json::Value;

use super::pods::{executors, held, last_lines};
use super::surroundings::nodes;
use super::{
    Cause, Evidence, Finding, PodEvidence, list, object, only_once, role, text, told,
    warnings_about,
};
use crate::lifecycle::health::{self, Health, one_line};
use crate::lifecycle::remedy;
use crate::lifecycle::spec::Limits;
use crate::lower::server::SERVER_ROLE;
use crate::observe;

/// What to do about a class that a server does not find.
const MISSING_CLASS: &str = "add the jar that has it, by spark.jars or spark.jars.packages in \
    spec.sparkConf; the images of Spark 3.5 lack the server itself, which is \
    org.apache.spark:spark-connect_2.12 of the same version";

/// Finds what is not well with a SparkConnect, which the evidence has in the place of the application;
/// the most important first.
pub fn diagnose_server(evidence: &Evidence, now: Timestamp) -> Vec<Finding> {
    let connect = &evidence.application;
    let mut findings: Vec<Finding> = verdict(evidence, now).into_iter().collect();
    let suspended = connect["spec"]["suspend"] == true;
    if !suspended {
        findings.extend(executors(evidence));
        findings.extend(nodes(evidence));
    }
    for finding in &mut findings {
        if finding.cause == Cause::ClassMissing {
            MISSING_CLASS.clone_into(&mut finding.next);
        }
        finding.next = in_own_words(&finding.next);
    }
    only_once(findings)
}

/// Advice about an application, by the names that its fields have here.
fn in_own_words(next: &str) -> String {
    const WORDS: [(&str, &str); 8] = [
        (
            "spec.image or spec.server.image",
            "spec.image, or the image in spec.server.template",
        ),
        (
            "spec.image or spec.executor.image",
            "spec.image, or the image in spec.executor.template",
        ),
        ("spec.imagePullSecrets", "imagePullSecrets in the template"),
        (
            "spec.volumes, spec.server.env or envFrom",
            "spec.server.template",
        ),
        (
            "spec.volumes, spec.executor.env or envFrom",
            "spec.executor.template",
        ),
        (
            "spec.driver.memoryOverhead",
            "spark.driver.memoryOverhead in spec.sparkConf",
        ),
        (
            "spec.executor.memoryOverhead",
            "spark.executor.memoryOverhead in spec.sparkConf",
        ),
        ("spec.driver.", "spec.server."),
    ];
    WORDS
        .into_iter()
        .fold(next.to_owned(), |next, (there, here)| {
            next.replace(there, here)
        })
}

/// What keeps the server from answering.
fn verdict(evidence: &Evidence, now: Timestamp) -> Option<Finding> {
    let connect = &evidence.application;
    let status = &connect["status"];
    let (name, state) = (text(&connect["metadata"]["name"]), text(&status["state"]));
    let condition = |kind: &str| {
        let of_kind = |it: &&Value| it["type"] == kind && it["status"] == "False";
        list(&status["conditions"]).iter().find(of_kind)
    };
    let trouble = condition("ServerPodReady");
    let message = trouble.map_or("", |it| text(&it["message"]));
    let since = trouble.map(|it| {
        let (reason, since) = (text(&it["reason"]), text(&it["lastTransitionTime"]));
        format!("condition ServerPodReady is False since {since}: {reason}")
    });
    let finding = |cause, next: String| {
        Some(Finding {
            cause,
            what: one_line(message),
            evidence: since.iter().cloned().collect(),
            next,
        })
    };
    if state.is_empty() {
        return super::surroundings::nobody_looked(connect, "SparkConnect", now);
    }
    if let Some(invalid) = condition("Validated") {
        return Some(Finding {
            cause: Cause::InvalidSpec,
            what: one_line(text(&invalid["message"])),
            evidence: vec![format!(
                "state {state}, reason {}",
                text(&invalid["reason"])
            )],
            next: "correct the spec; what runs of the server is left alone until then".to_owned(),
        });
    }
    if state == "Ready" {
        return None;
    }
    if connect["spec"]["suspend"] == true {
        return finding(
            Cause::Suspended,
            format!("windlass resume connect/{name} starts it"),
        );
    }
    let server = current(evidence, SERVER_ROLE);
    if server.is_none() && status["idleSince"].is_string() {
        return finding(
            Cause::Suspended,
            format!("windlass connect {name}, or windlass resume connect/{name}, starts it"),
        );
    }
    if let Some(found) = server
        && let Some(finding) = of_pod(evidence, found, &format!("connect/{name}"), message, now)
    {
        return Some(finding);
    }
    // It is on its way, and nothing is said against it yet.
    trouble?;
    let mut found = finding(
        Cause::Other,
        format!("see windlass events connect/{name} and windlass logs connect/{name}"),
    )?;
    let event = warnings_about(evidence, "SparkConnect", name);
    found.evidence.extend(event.last().map(|event| told(event)));
    Some(found)
}

/// The server's pod: the newest, since there is never more than one that counts.
pub(super) fn current<'a>(evidence: &'a Evidence, of_role: &str) -> Option<&'a PodEvidence> {
    let servers = evidence.pods.iter();
    servers
        .filter(|it| role(&it.pod) == Some(of_role))
        .max_by_key(|it| text(&it.pod["metadata"]["creationTimestamp"]).to_owned())
}

/// What the pod and its log tell; the subject is how commands name the server. A server that ends is started again in its pod, so its last end
/// counts, whatever the container waits for since.
pub(super) fn of_pod(
    evidence: &Evidence,
    found: &PodEvidence,
    subject: &str,
    message: &str,
    now: Timestamp,
) -> Option<Finding> {
    let as_object = object(&found.pod);
    let container = observe::driver_container(&as_object).unwrap_or_default();
    let pod = observe::driver_pod(&as_object);
    let status = list(&found.pod["status"]["containerStatuses"])
        .iter()
        .find(|it| it["name"] == container);
    let last = status.and_then(|status| {
        let states = ["state", "lastState"].map(|of| &status[of]["terminated"]);
        states.into_iter().find(|it| it.is_object())
    });
    if let Some(last) = last {
        let code = last["exitCode"].as_i64().unwrap_or_default();
        let reason = text(&last["reason"]);
        let log = found.logs.get(container).map_or("", String::as_str);
        let known = remedy::of(log).or_else(|| remedy::of(text(&last["message"])));
        let mut seen = vec![format!("pod {}: exit code {code} ({reason})", pod.name)];
        let (cause, next) = match &known {
            _ if reason == "OOMKilled" => (
                Cause::DriverOutOfMemory,
                "raise spec.driver.memoryOverhead (Python and native memory), or spec.driver.memory \
                 (the heap)"
                    .to_owned(),
            ),
            Some(remedy) => {
                seen.push(format!("log: {}", remedy.line));
                (remedy.cause, remedy.next.to_owned())
            }
            None => {
                seen.extend(last_lines(log).into_iter().map(|line| format!("log: {line}")));
                (
                    Cause::Other,
                    format!("read all of its log: windlass logs {subject}"),
                )
            }
        };
        return Some(Finding {
            cause,
            what: one_line(message),
            evidence: seen,
            next,
        });
    }
    match health::of_driver(&pod, &Limits::default(), now) {
        Health::Pending(hold) => {
            let mut found = held(evidence, &pod.name, "server", &hold)?;
            if !message.is_empty() {
                found.what = one_line(message);
            }
            Some(found)
        }
        Health::Unreachable(_) => Some(Finding {
            cause: Cause::NodeLost,
            what: one_line(message),
            evidence: vec![format!(
                "pod {} is on node {}",
                pod.name,
                pod.node.as_deref().unwrap_or("?")
            )],
            next: format!(
                "look at the node: kubectl describe node {}",
                pod.node.as_deref().unwrap_or("NODE")
            ),
        }),
        Health::Running { .. } | Health::Ended(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn server(spec: &Value, state: &str, told: &str) -> Evidence {
        let status = match state {
            "" => Value::Null,
            state => json!({
                "state": state,
                "conditions": [{
                    "type": "ServerPodReady", "status": "False", "reason": "ServerPodNotReady",
                    "message": told, "lastTransitionTime": "2026-03-01T12:01:00Z",
                }],
            }),
        };
        Evidence {
            application: json!({
                "metadata": {
                    "name": "sql", "namespace": "jobs", "creationTimestamp": "2026-03-01T12:00:00Z",
                },
                "spec": spec,
                "status": status,
            }),
            ..Evidence::default()
        }
    }

    fn with_pod(status: &Value, log: &str) -> Evidence {
        let mut evidence = server(&json!({}), "NotReady", "as the operator says");
        evidence.pods.push(PodEvidence {
            pod: json!({
                "metadata": {
                    "name": "sql-server-1", "namespace": "jobs", "uid": "u",
                    "creationTimestamp": "2026-03-01T12:00:00Z",
                    "labels": {"spark-role": SERVER_ROLE},
                },
                "spec": {"containers": [{"name": "spark-kubernetes-driver", "args": ["driver"]}]},
                "status": status,
            }),
            logs: [("spark-kubernetes-driver".to_owned(), log.to_owned())].into(),
        });
        evidence
    }

    fn container(state: &Value, last: &Value) -> Value {
        json!({"phase": "Running", "containerStatuses": [{
            "name": "spark-kubernetes-driver", "state": state, "lastState": last,
        }]})
    }

    fn cases() -> Vec<(&'static str, Evidence)> {
        let ended = |code: i32, reason: &str| {
            let waiting = json!({"waiting": {"reason": "CrashLoopBackOff"}});
            let last = json!({"terminated": {"exitCode": code, "reason": reason}});
            container(&waiting, &last)
        };
        let mut idle = server(
            &json!({"idleTimeoutSeconds": 600}),
            "NotReady",
            "stopped after 10m",
        );
        idle.application["status"]["idleSince"] = json!("2026-03-01T12:00:00Z");
        let mut invalid = server(&json!({}), "Failed", "");
        invalid.application["status"]["conditions"] = json!([{
            "type": "Validated", "status": "False", "reason": "InvalidSpec",
            "message": "spec.server.memory: much: is no size",
        }]);
        let mut refused = server(&json!({}), "Provisioning", "the API refused to create pods");
        refused.events.push(json!({
            "type": "Warning", "reason": "ServerNotReady", "message": "exceeded quota",
            "involvedObject": {"kind": "SparkConnect", "name": "sql"},
        }));
        vec![
            ("nobody looked", server(&json!({}), "", "")),
            ("invalid", invalid),
            (
                "suspended",
                server(&json!({"suspend": true}), "NotReady", "suspended"),
            ),
            ("idle", idle),
            ("refused", refused),
            (
                "missing class",
                with_pod(
                    &ended(101, "Error"),
                    "Error: Failed to load class org.apache.spark.sql.connect.service.SparkConnectServer.",
                ),
            ),
            ("memory", with_pod(&ended(137, "OOMKilled"), "")),
            ("unknown", with_pod(&ended(3, "Error"), "starting\nno idea")),
            (
                "image",
                with_pod(
                    &json!({"phase": "Pending", "containerStatuses": [{
                        "name": "spark-kubernetes-driver", "image": "registry.example/spark:9",
                        "state": {"waiting": {"reason": "ImagePullBackOff", "message": "not found"}},
                    }]}),
                    "",
                ),
            ),
            (
                "no room",
                with_pod(
                    &json!({"phase": "Pending", "conditions": [{
                        "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
                        "message": "0/1 nodes are available: 1 Insufficient cpu.",
                    }]}),
                    "",
                ),
            ),
        ]
    }

    #[test]
    fn every_trouble_of_a_server_is_told_with_cause_evidence_and_next_step() {
        let now = "2026-03-01T12:10:00Z".parse().unwrap();
        let told = cases().into_iter().map(|(name, evidence)| {
            let findings = diagnose_server(&evidence, now);
            let first = findings
                .first()
                .unwrap_or_else(|| panic!("{name}: nothing is found"));
            format!(
                "{name}: {}: {}\n  {}\n  -> {}",
                first.cause.as_str(),
                first.what,
                first.evidence.join("\n  "),
                first.next
            )
        });
        insta::assert_snapshot!(told.collect::<Vec<_>>().join("\n"));
    }

    #[test]
    fn a_server_that_answers_has_no_findings_and_no_shape_is_an_error() {
        let now = "2026-03-01T12:10:00Z".parse().unwrap();
        let mut well = with_pod(&container(&json!({"running": {}}), &json!({})), "");
        well.application["status"] = json!({"state": "Ready"});
        assert_eq!(diagnose_server(&well, now), []);
        for odd in [
            json!(null),
            json!({"status": []}),
            json!({"status": {"state": 1}}),
        ] {
            let evidence = Evidence {
                application: odd,
                ..Evidence::default()
            };
            diagnose_server(&evidence, now);
        }
        diagnose_server(&with_pod(&json!("odd"), ""), now);
    }
}
