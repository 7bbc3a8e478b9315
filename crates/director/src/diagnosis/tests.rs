use serde_json::{Value, json};

use super::*;
use crate::members::annotations;
use crate::names::ROLE_LABEL;

const NOW: &str = "2026-03-01T12:10:00Z";

fn condition_of(kind: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({
        "type": kind, "status": status, "reason": reason, "message": message,
        "lastTransitionTime": "2026-03-01T12:01:00Z",
    })
}

/// A cluster with these conditions, and a member `db-0` with this pod.
fn evidence(conditions: &[Value], pod: Value) -> Evidence {
    let mut pods = Vec::new();
    if !pod.is_null() {
        let mut member = json!({
            "metadata": {
                "name": "db-0", "uid": "u", "labels": {ROLE_LABEL: "seed"}, "annotations": {},
            },
            "spec": {"nodeName": "n1", "volumes": [
                {"persistentVolumeClaim": {"claimName": "p-db-0"}},
            ]},
        });
        for (field, value) in pod.as_object().unwrap() {
            if field == "annotations" {
                member["metadata"]["annotations"] = value.clone();
            } else {
                member[field] = value.clone();
            }
        }
        pods.push(member);
    }
    Evidence {
        cluster: json!({
            "metadata": {
                "name": "db", "namespace": "team", "creationTimestamp": "2026-03-01T12:00:00Z",
            },
            "status": {
                "state": "updating", "conditions": conditions,
                "roles": [{"id": "seed", "statefulSet": "db", "members": [{"pod": "db-0"}]}],
            },
        }),
        pods,
        ..Evidence::default()
    }
}

fn up() -> Value {
    json!({
        "phase": "Running",
        "conditions": [{"type": "Ready", "status": "True"}],
        "containerStatuses": [{
            "name": "app", "containerID": "x://1", "state": {"running": {}}, "image": "example/db:1",
        }],
    })
}

fn app(state: Value, last: Value) -> Value {
    json!({"status": {"phase": "Pending", "containerStatuses": [{
        "name": "app", "image": "example/db:1", "state": state, "lastState": last,
    }]}})
}

fn marked(marks: Value) -> Value {
    let mut annotations = json!({annotations::CONFIGURED: "x://1"});
    for (key, value) in marks.as_object().unwrap() {
        annotations[key] = match value {
            Value::String(text) => json!(text),
            value => json!(value.to_string()),
        };
    }
    json!({"status": up(), "annotations": annotations})
}

fn event(kind: &str, name: &str, reason: &str, message: &str) -> Value {
    json!({
        "type": "Warning", "reason": reason, "message": message,
        "lastTimestamp": "2026-03-01T12:05:00Z",
        "involvedObject": {"kind": kind, "name": name},
    })
}

fn cases() -> Vec<(&'static str, Evidence)> {
    let degraded = |reason: &str, message: &str| condition_of("Degraded", "True", reason, message);
    let mut new = evidence(&[], Value::Null);
    new.cluster["status"] = Value::Null;
    let unscheduled = json!({"status": {"phase": "Pending", "conditions": [{
        "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
        "message": "0/3 nodes are available: 3 Insufficient memory.",
    }]}});
    let mut pending = evidence(&[], unscheduled.clone());
    pending.claims = vec![json!({"metadata": {"name": "p-db-0"}, "status": {"phase": "Pending"}})];
    pending.events = vec![event(
        "PersistentVolumeClaim",
        "p-db-0",
        "ProvisioningFailed",
        "no room",
    )];
    let mut quota = evidence(&[], Value::Null);
    quota.events = vec![event(
        "StatefulSet",
        "db",
        "FailedCreate",
        "create Pod db-0 in StatefulSet db failed error: pods \"db-0\" is forbidden: exceeded quota: small",
    )];
    let mut sick = evidence(&[], marked(json!({})));
    sick.pods[0]["status"]["conditions"] = json!([{"type": "Ready", "status": "False"}]);
    sick.events = vec![event(
        "Pod",
        "db-0",
        "Unhealthy",
        "Readiness probe failed: connection refused",
    )];
    let crash = json!({"waiting": {"reason": "CrashLoopBackOff"}});
    let copy = json!({"status": {"phase": "Pending", "initContainerStatuses": [{
        "name": "init", "state": {"waiting": {"reason": "CrashLoopBackOff"}},
        "lastState": {"terminated": {"exitCode": 1, "reason": "Error"}},
    }]}});
    let no_image = json!({"status": {"phase": "Pending", "initContainerStatuses": [{
        "name": "init", "image": "db:9", "state": {"waiting": {
            "reason": "ImagePullBackOff", "message": "Back-off pulling image \"db:9\"",
        }},
    }], "containerStatuses": [{
        "name": "app", "image": "db:9", "state": {"waiting": {"reason": "PodInitializing"}},
    }]}});
    let lost = json!({"status": {
        "phase": "Running", "containerStatuses": up()["containerStatuses"],
        "conditions": [{"type": "Ready", "status": "False", "reason": "NodeStatusUnknown"}],
    }});
    let of = |pod: Value| evidence(&[], pod);
    let failed = json!({
        "container": "x://1", "detail": "startscript --configure ended with 3",
        "stdout": "begins\n", "stderr": "one\n\nno such host\n",
    });
    let with_trouble = |trouble: &str| {
        of(marked(
            json!({annotations::CONFIGURED: "x://0", annotations::TROUBLE: trouble}),
        ))
    };
    let leaving = "2026-03-01T12:08:00Z";
    let drained = |outcome: &str| {
        of(marked(json!({
            annotations::LEAVING: leaving,
            annotations::DRAINED: {
                "at": "2026-03-01T12:09:00Z", "outcome": outcome, "detail": "ended with 1: busy",
            },
        })))
    };
    let pending_hook = json!({
        "container": "x://1", "number": 2, "failures": 3,
        "detail": "startscript --addnodes ended with 1: no",
        "call": {"addnodes": {"role": "seed", "members": "1"}},
    });
    vec![
        ("nobody looked", new),
        (
            "invalid",
            evidence(
                &[degraded(
                    "Invalid",
                    "spec.app: \"db\": is no KubeDirectorApp; create it first",
                )],
                Value::Null,
            ),
        ),
        (
            "refused",
            evidence(
                &[degraded(
                    "MembersInTrouble",
                    "the API refused to create services: exceeded quota",
                )],
                Value::Null,
            ),
        ),
        ("pods refused", quota),
        ("no node", of(unscheduled)),
        ("no volume", pending),
        (
            "image",
            of(app(
                json!({"waiting": {"reason": "ImagePullBackOff", "message": "not found"}}),
                Value::Null,
            )),
        ),
        (
            "reference",
            of(app(
                json!({"waiting": {
                    "reason": "CreateContainerConfigError", "message": "secret \"keys\" not found",
                }}),
                Value::Null,
            )),
        ),
        (
            "memory",
            of(app(
                crash.clone(),
                json!({"terminated": {"exitCode": 137, "reason": "OOMKilled"}}),
            )),
        ),
        (
            "does not stay",
            of(app(
                crash,
                json!({"terminated": {"exitCode": 0, "reason": "Completed"}}),
            )),
        ),
        ("copy", of(copy)),
        ("image of the copy", of(no_image)),
        ("node lost", of(lost)),
        (
            "set up failed",
            of(marked(
                json!({annotations::CONFIGURED: "x://0", annotations::CONFIG_ERROR: failed}),
            )),
        ),
        (
            "package",
            with_trouble("cannot fetch the package http://nowhere/db.tgz"),
        ),
        (
            "systemd",
            with_trouble("systemd does not run here: the node mounts no cgroups in this container"),
        ),
        ("drains", of(marked(json!({annotations::LEAVING: leaving})))),
        ("drain failed", drained("failed")),
        (
            "not told",
            of(marked(json!({annotations::PENDING: pending_hook}))),
        ),
        ("not ready", sick),
        (
            "resize",
            evidence(
                &[condition_of(
                    "StorageResizing",
                    "True",
                    "ResizeFailed",
                    "seed: 0 of 1 volumes have 9Gi",
                )],
                marked(json!({})),
            ),
        ),
        (
            "demand",
            evidence(
                &[condition_of(
                    "ScalingActive",
                    "False",
                    "DemandUnknown",
                    "seed: ended with 1",
                )],
                marked(json!({})),
            ),
        ),
        (
            "limited",
            evidence(
                &[condition_of(
                    "ScalingLimited",
                    "True",
                    "TooManyMembers",
                    "seed: 9 wanted, and maxMembers is 4",
                )],
                marked(json!({})),
            ),
        ),
        (
            "something else",
            evidence(
                &[degraded(
                    "MembersInTrouble",
                    "the StatefulSet x has the labels of this cluster",
                )],
                marked(json!({})),
            ),
        ),
    ]
}

#[test]
fn every_trouble_of_a_cluster_is_told_with_cause_evidence_and_next_step() {
    let told = cases().into_iter().map(|(name, evidence)| {
        let findings = diagnose(&evidence, NOW.parse().unwrap());
        assert_eq!(findings.len(), 1, "{name}: {findings:#?}");
        let found = &findings[0];
        let seen = [&[String::new()][..], &found.evidence]
            .concat()
            .join("\n  ");
        format!(
            "{name}: {}: {}{seen}\n  -> {}",
            found.cause.as_str(),
            found.what,
            found.next
        )
    });
    insta::assert_snapshot!(told.collect::<Vec<_>>().join("\n"));
}

#[test]
fn a_word_is_printed_as_it_is_serialized() {
    for (_, evidence) in cases() {
        for finding in diagnose(&evidence, NOW.parse().unwrap()) {
            assert_eq!(json!(finding.cause), finding.cause.as_str());
        }
    }
}

#[test]
fn the_same_trouble_of_several_members_is_told_once_and_what_all_waits_for_first() {
    let mut all = cases().into_iter();
    let mut of = |wanted: &str| all.find(|(name, _)| *name == wanted).unwrap().1;
    let mut both = of("no node");
    let mut second = both.pods[0].clone();
    second["metadata"]["name"] = json!("db-1");
    both.pods.push(second);
    let failed = of("set up failed").pods[0].clone();
    both.pods.insert(0, failed);
    let findings = diagnose(&both, NOW.parse().unwrap());
    let causes: Vec<Cause> = findings.iter().map(|it| it.cause).collect();
    assert_eq!(causes, [Cause::Unschedulable, Cause::SetUpFailed]);
    let last = findings[0].evidence.last().unwrap();
    assert!(last.starts_with("and: db-1 finds no node"), "{last}");
}

#[test]
fn a_cluster_that_is_well_has_no_findings_and_no_shape_is_an_error() {
    let now = NOW.parse().unwrap();
    assert_eq!(diagnose(&evidence(&[], marked(json!({}))), now), []);
    for odd in [
        json!(null),
        json!({"status": []}),
        json!({"status": {"conditions": 1}}),
    ] {
        let evidence = Evidence {
            cluster: odd.clone(),
            pods: vec![odd],
            ..Evidence::default()
        };
        diagnose(&evidence, now);
    }
}
