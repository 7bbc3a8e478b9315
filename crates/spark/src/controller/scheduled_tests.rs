use serde_json::{Value, json};
use windlass_engine::plan::{Effect, Plan};
use windlass_engine::{Controller, Object};

use super::*;
use crate::policy::Policies;
use crate::rbac::operator_rules;
use crate::schedule::{Observed, Run, RunState};

const UID: &str = "7f0a4a39-9a5b-4d3f-8f2b-0b6b1f3e8a11";

fn nightly(status: &Value) -> Object {
    Object::new(json!({
        "apiVersion": "sparkoperator.k8s.io/v1beta2",
        "kind": "ScheduledSparkApplication",
        "metadata": {
            "name": "nightly", "namespace": "jobs", "uid": UID, "generation": 3,
            "resourceVersion": "7", "labels": {"team": "etl"},
        },
        "spec": {
            "schedule": "0 2 * * *",
            "template": {
                "type": "Python",
                "sparkVersion": "4.3.0",
                "image": "apache/spark:4.3.0",
                "mainApplicationFile": "local:///app.py",
                "sparkConf": {"spark.speculation": true},
                "driver": {},
                "executor": {"instances": 2},
            },
        },
        "status": status,
    }))
}

fn controller() -> ScheduledSparkApplications {
    scheduled_spark_application(&OperatorConfig::default())
}

fn look(object: &Object, observed: Observed, now: &str) -> Plan<Value> {
    let reading = controller()
        .read(object, &Policies::default())
        .map(Box::new);
    let sight = ScheduleSight { reading, observed };
    controller().plan(object, &sight, now.parse().unwrap())
}

/// Plans until the status stays, as the engine does.
fn settle(mut object: Object, observed: &Observed, now: &str) -> (Object, Plan<Value>) {
    for _ in 0..10 {
        let plan = look(&object, observed.clone(), now);
        let mut value = object.as_value().clone();
        value["status"] = plan.status.clone();
        let next = Object::new(value);
        if next == object {
            return (object, plan);
        }
        object = next;
    }
    panic!("the status never settles");
}

fn with(object: Object, pointer: &str, value: Value) -> Object {
    let mut changed = object.into_value();
    *changed.pointer_mut(pointer).unwrap() = value;
    Object::new(changed)
}

/// The application that is due at two o'clock.
fn due(object: Object) -> (Object, Value) {
    let nothing = Observed::default();
    let (object, _) = settle(object, &nothing, "2026-03-01T01:00:00Z");
    let (object, plan) = settle(object, &nothing, "2026-03-01T02:00:00.5Z");
    match &plan.effects[..] {
        [Effect::Create(application)] => (object, application.clone()),
        other => panic!("one application is created: {other:?}"),
    }
}

#[test]
fn a_run_is_the_template_as_it_is_stored_with_the_labels_of_the_schedule() {
    let (object, application) = due(nightly(&Value::Null));
    assert_eq!(application["spec"], object.spec()["template"]);
    insta::assert_yaml_snapshot!(application["metadata"]);
}

#[test]
fn nothing_is_done_that_the_rules_do_not_allow() {
    let allows = |resource: &str, verb: &str| {
        operator_rules(&[]).iter().any(|rule| {
            rule.resources.iter().flatten().any(|it| it == resource)
                && rule.verbs.iter().any(|it| it == verb)
        })
    };
    for (resource, verbs) in [
        ("scheduledsparkapplications", vec!["get", "list", "watch"]),
        ("scheduledsparkapplications/status", vec!["update"]),
        // The owner reference of a run blocks the deletion of its owner.
        ("scheduledsparkapplications/finalizers", vec!["update"]),
        (
            "sparkapplications",
            vec!["get", "list", "watch", "create", "delete"],
        ),
        ("pods", vec!["list", "watch"]),
    ] {
        for verb in verbs {
            assert!(allows(resource, verb), "{verb} {resource}");
        }
    }
    for verb in ["create", "delete", "patch", "update"] {
        assert!(!allows("scheduledsparkapplications", verb), "{verb}");
    }
}

#[test]
fn an_ended_run_beyond_the_limit_is_deleted_by_uid() {
    let run = |name: &str, created: &str| Run {
        name: name.to_owned(),
        uid: format!("uid-{name}"),
        created: created.parse().unwrap(),
        state: RunState::Succeeded,
        deleting: false,
    };
    let observed = Observed {
        runs: vec![
            run("new", "2026-02-28T02:00:00Z"),
            run("old", "2026-02-27T02:00:00Z"),
        ],
        ..Observed::default()
    };
    let (object, plan) = settle(nightly(&Value::Null), &observed, "2026-03-01T01:00:00Z");
    assert_eq!(object.status()["pastSuccessfulRunNames"], json!(["new"]));
    let [Effect::Delete { target, uid }] = &plan.effects[..] else {
        panic!("the old run is deleted: {:?}", plan.effects);
    };
    assert_eq!(
        (target.kind.as_str(), target.name.as_str(), uid.as_str()),
        ("SparkApplication", "old", "uid-old")
    );
    assert_eq!(target.namespace.as_deref(), Some("jobs"));
}

#[test]
fn wrong_fields_of_schedule_and_template_are_told_together_and_early() {
    let object = with(nightly(&Value::Null), "/spec/schedule", json!("0 26 * * *"));
    let object = with(object, "/spec/template/driver", json!({"memory": "much"}));
    let (failed, plan) = settle(object, &Observed::default(), "2026-03-01T01:00:00Z");
    assert_eq!((plan.effects, plan.wake_at), (vec![], None));
    let status = failed.status();
    assert_eq!(status["scheduleState"], "FailedValidation");
    let reason = status["reason"].as_str().unwrap();
    for field in [
        "spec.schedule: \"0 26 * * *\"",
        "spec.template.driver.memory",
    ] {
        assert!(reason.contains(field), "{reason}");
    }
    assert_eq!(status["conditions"][0]["status"], "False");
    assert_eq!(status["observedGeneration"], 3);
}

#[test]
fn a_schedule_that_cannot_be_decoded_fails_with_the_reason_and_keeps_its_runs() {
    let object = with(
        nightly(&Value::Null),
        "/spec/template/executor",
        json!("two"),
    );
    let ended = |number: u32| Run {
        name: format!("nightly-{number}"),
        uid: number.to_string(),
        created: jiff::Timestamp::UNIX_EPOCH,
        state: RunState::Failed,
        deleting: false,
    };
    let observed = Observed {
        runs: (0..5).map(ended).collect(),
        ..Observed::default()
    };
    let (failed, plan) = settle(object, &observed, "2026-03-01T01:00:00Z");
    assert_eq!(failed.status()["scheduleState"], "FailedValidation");
    assert_eq!(plan.effects, []);
}

#[test]
fn a_schedule_without_a_readable_status_is_left_alone() {
    let broken = json!({"nextRun": "soon"});
    let plan = look(
        &nightly(&broken),
        Observed::default(),
        "2026-03-01T02:00:00Z",
    );
    assert_eq!(plan.status, broken);
    assert_eq!(plan.effects, []);
    assert_eq!(plan.events[0].reason, "StatusUnreadable");
}

#[test]
fn a_request_reaches_the_run_it_asks_for() {
    let mut value = nightly(&Value::Null).into_value();
    value["metadata"]["annotations"] = json!({"sparkoperator.k8s.io/trigger": "please"});
    let (object, plan) = settle(
        Object::new(value),
        &Observed::default(),
        "2026-03-01T01:00:00Z",
    );
    let [Effect::Create(application)] = &plan.effects[..] else {
        panic!("one application is created: {:?}", plan.effects);
    };
    let annotations = &application["metadata"]["annotations"];
    assert_eq!(annotations["sparkoperator.k8s.io/trigger"], "please");
    assert_eq!(object.status()["lastTrigger"], "please");
}
