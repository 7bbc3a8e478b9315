//! Why a history server is not well.

use jiff::Timestamp;

use super::server::{current, of_pod};
use super::surroundings::{nobody_looked, nodes};
use super::{Cause, Evidence, Finding, list, only_once, text, told, warnings_about};
use crate::lifecycle::Reason;
use crate::lifecycle::health::one_line;
use crate::lower::history::HISTORY_ROLE;

/// What to do about a file system that a server does not know.
const MISSING_CLASS: &str = "give it the file system of the event logs: by spark.jars.packages in spec.sparkConf \
    (org.apache.hadoop:hadoop-aws of the image's Hadoop for s3a://), by an image that has it, or by jars that \
    spec.template mounts and spark.driver.extraClassPath names";

/// Finds what is not well with a SparkHistoryServer, which the evidence has in the place of the application; the most
/// important first.
pub fn diagnose_history(evidence: &Evidence, now: Timestamp) -> Vec<Finding> {
    let mut findings: Vec<Finding> = verdict(evidence, now).into_iter().collect();
    if evidence.application["spec"]["suspend"] != true {
        findings.extend(nodes(evidence));
    }
    for finding in &mut findings {
        if matches!(
            finding.cause,
            Cause::ClassMissing | Cause::FileSystemMissing
        ) {
            MISSING_CLASS.clone_into(&mut finding.next);
        }
        finding.next = in_own_words(&finding.next);
    }
    only_once(findings)
}

/// Advice about an application, by the names that its fields have here.
fn in_own_words(next: &str) -> String {
    const WORDS: [(&str, &str); 6] = [
        (
            "spec.image or spec.driver.image",
            "spec.image, or the image in spec.template",
        ),
        (
            "spec.image or spec.server.image",
            "spec.image, or the image in spec.template",
        ),
        ("spec.imagePullSecrets", "imagePullSecrets in spec.template"),
        ("spec.volumes, spec.server.env or envFrom", "spec.template"),
        (
            "spec.driver.memoryOverhead",
            "spark.driver.memoryOverhead in spec.sparkConf",
        ),
        ("spec.driver.", "spec."),
    ];
    WORDS
        .into_iter()
        .fold(next.to_owned(), |next, (there, here)| {
            next.replace(there, here)
        })
        .replace("spec.server.", "spec.")
}

/// What keeps the server from answering.
fn verdict(evidence: &Evidence, now: Timestamp) -> Option<Finding> {
    let server = &evidence.application;
    let (spec, status) = (&server["spec"], &server["status"]);
    let (name, phase) = (text(&server["metadata"]["name"]), text(&status["phase"]));
    let condition = |kind: &str| {
        let of_kind = |it: &&serde_json::Value| it["type"] == kind && it["status"] == "False";
        list(&status["conditions"]).iter().find(of_kind)
    };
    if phase.is_empty() {
        return nobody_looked(server, "SparkHistoryServer", now);
    }
    if let Some(invalid) = condition("Validated") {
        return Some(Finding {
            cause: Cause::InvalidSpec,
            what: one_line(text(&invalid["message"])),
            evidence: vec![format!(
                "phase {phase}, reason {}",
                text(&invalid["reason"])
            )],
            next: "correct the spec; what runs of the server is left alone until then".to_owned(),
        });
    }
    if phase == "Ready" {
        return None;
    }
    let trouble = condition("Ready");
    let reason = trouble.map_or("", |it| text(&it["reason"]));
    let message = trouble.map_or("", |it| text(&it["message"]));
    let finding = |cause, next: String| {
        let since = trouble.map(|it| text(&it["lastTransitionTime"]));
        let since = since.map(|it| format!("condition Ready is False since {it}: {reason}"));
        Finding {
            cause,
            what: one_line(message),
            evidence: since.into_iter().collect(),
            next,
        }
    };
    if spec["suspend"] == true {
        let next = format!("windlass resume history/{name} starts it");
        return Some(finding(Cause::Suspended, next));
    }
    if reason == Reason::ObjectStoreNotReady.as_str() {
        let store = text(&spec["eventLog"]);
        let next = if store.is_empty() {
            "see how its ObjectStores stand: kubectl get objectstores".to_owned()
        } else {
            format!("see how it stands, or make it: kubectl describe objectstore {store}")
        };
        return Some(finding(Cause::ReferenceMissing, next));
    }
    let subject = format!("history/{name}");
    if let Some(found) = current(evidence, HISTORY_ROLE)
        && let Some(finding) = of_pod(evidence, found, &subject, message, now)
    {
        return Some(finding);
    }
    // It is on its way, and nothing is said against it yet.
    trouble?;
    let next = format!("see windlass events {subject} and windlass logs {subject}");
    let mut found = finding(Cause::Other, next);
    let event = warnings_about(evidence, "SparkHistoryServer", name);
    found.evidence.extend(event.last().map(|event| told(event)));
    Some(found)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::PodEvidence;
    use super::*;

    fn server(spec: &Value, phase: &str, condition: &str, reason: &str, told: &str) -> Evidence {
        let status = match phase {
            "" => Value::Null,
            phase => json!({
                "phase": phase,
                "conditions": [{
                    "type": condition, "status": "False", "reason": reason, "message": told,
                    "lastTransitionTime": "2026-03-01T12:01:00Z",
                }],
            }),
        };
        Evidence {
            application: json!({
                "metadata": {
                    "name": "jobs", "namespace": "team", "creationTimestamp": "2026-03-01T12:00:00Z",
                },
                "spec": spec,
                "status": status,
            }),
            ..Evidence::default()
        }
    }

    fn with_pod(status: &Value, log: &str) -> Evidence {
        let told = "as the operator says";
        let mut evidence = server(&json!({}), "NotReady", "Ready", "ServerFailed", told);
        evidence.pods.push(PodEvidence {
            pod: json!({
                "metadata": {
                    "name": "jobs-history-1", "namespace": "team", "uid": "u",
                    "creationTimestamp": "2026-03-01T12:00:00Z",
                    "labels": {"spark-role": HISTORY_ROLE},
                },
                "spec": {"containers": [{"name": "spark-kubernetes-driver", "args": ["driver"]}]},
                "status": status,
            }),
            logs: [("spark-kubernetes-driver".to_owned(), log.to_owned())].into(),
        });
        evidence
    }

    fn ended(code: i32, reason: &str) -> Value {
        json!({"phase": "Running", "containerStatuses": [{
            "name": "spark-kubernetes-driver",
            "state": {"waiting": {"reason": "CrashLoopBackOff"}},
            "lastState": {"terminated": {"exitCode": code, "reason": reason}},
        }]})
    }

    fn cases() -> Vec<(&'static str, Evidence)> {
        let of_bucket = json!({"eventLog": "history"});
        let waits = "spec.eventLog: the ObjectStore history cannot be used: CredentialsRefused: no";
        vec![
            ("nobody looked", server(&json!({}), "", "", "", "")),
            (
                "invalid",
                server(
                    &json!({}),
                    "Failed",
                    "Validated",
                    "InvalidSpec",
                    "spec.memory: much: is no size",
                ),
            ),
            (
                "suspended",
                server(
                    &json!({"suspend": true}),
                    "Suspended",
                    "Ready",
                    "Suspended",
                    "suspended",
                ),
            ),
            (
                "no bucket",
                server(&of_bucket, "Pending", "Ready", "ObjectStoreNotReady", waits),
            ),
            (
                "no file system",
                with_pod(
                    &ended(1, "Error"),
                    "java.lang.ClassNotFoundException: Class org.apache.hadoop.fs.s3a.S3AFileSystem not found",
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
                "on its way",
                server(
                    &json!({}),
                    "Starting",
                    "Ready",
                    "Starting",
                    "there is no pod yet",
                ),
            ),
        ]
    }

    #[test]
    fn every_trouble_of_a_history_server_is_told_with_cause_evidence_and_next_step() {
        let now = "2026-03-01T12:10:00Z".parse().unwrap();
        let told = cases().into_iter().map(|(name, evidence)| {
            let findings = diagnose_history(&evidence, now);
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
        let mut well = server(&json!({}), "Ready", "Other", "", "");
        assert_eq!(diagnose_history(&well, now), []);
        for odd in [
            json!(null),
            json!({"status": []}),
            json!({"status": {"phase": 1}}),
        ] {
            well.application = odd;
            diagnose_history(&well, now);
        }
        diagnose_history(&with_pod(&json!("odd"), ""), now);
    }
}
