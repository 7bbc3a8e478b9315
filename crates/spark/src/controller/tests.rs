use serde_json::{Value, json};
use windlass_engine::plan::Plan;
use windlass_engine::{Controller, Object};

use super::application::Findings;
use super::*;

const UID: &str = "0b6b1f3e-7f0a-4a39-9a5b-0d3f2f2b8a11";

fn pi(status: &Value) -> Object {
    Object::new(json!({
        "apiVersion": "sparkoperator.k8s.io/v1beta2",
        "kind": "SparkApplication",
        "metadata": {
            "name": "pi", "namespace": "jobs", "uid": UID, "generation": 1, "resourceVersion": "7",
        },
        "spec": {
            "type": "Python",
            "sparkVersion": "4.3.0",
            "image": "apache/spark:4.3.0",
            "mainApplicationFile": "local:///opt/spark/examples/src/main/python/pi.py",
            "driver": {"serviceAccount": "spark"},
            "executor": {"instances": 2},
        },
        "status": status,
    }))
}

fn operator() -> SparkApplications {
    spark_application(&OperatorConfig::default())
}

fn look(object: &Object, findings: &Findings) -> Plan<Value> {
    let operator = operator();
    let sight = match operator.read(object) {
        Ok(reading) => Sight::of(reading, findings),
        Err(error) => Sight::unreadable(error),
    };
    operator.plan(object, &sight, "2026-03-01T12:00:30Z".parse().unwrap())
}

/// Plans until the status stays, as the engine does.
fn settle(mut object: Object, findings: &Findings) -> (Object, Plan<Value>) {
    for _ in 0..10 {
        let plan = look(&object, findings);
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

#[test]
fn a_wrong_field_is_a_failed_application_that_names_it() {
    let mut value = pi(&Value::Null).into_value();
    value["spec"]["driver"]["memory"] = json!("much");
    value["spec"]["image"] = Value::Null;
    let (failed, plan) = settle(Object::new(value), &Findings::default());
    assert_eq!(failed.status()["applicationState"]["state"], "FAILED");
    assert_eq!(plan.effects, []);
    let message = failed.status()["applicationState"]["errorMessage"]
        .as_str()
        .unwrap();
    assert!(message.contains("spec.driver.memory"), "{message}");
    assert!(message.contains("image"), "{message}");
}

#[test]
fn an_application_that_cannot_be_decoded_fails_with_the_reason() {
    let mut value = pi(&Value::Null).into_value();
    value["spec"]["arguments"] = json!("not a list");
    let (failed, plan) = settle(Object::new(value), &Findings::default());
    assert_eq!(failed.status()["applicationState"]["state"], "FAILED");
    assert_eq!(plan.effects, []);
}

#[test]
fn an_application_without_a_readable_status_is_left_alone() {
    let broken = json!({"executionAttempts": "many"});
    let plan = look(&pi(&broken), &Findings::default());
    assert_eq!(plan.status, broken);
    assert_eq!(plan.effects, []);
}

#[test]
fn applications_with_something_to_report_go_first() {
    use windlass_engine::Class;
    let class = |state: &str| operator().class(&pi(&json!({"applicationState": {"state": state}})));
    assert_eq!(operator().class(&pi(&Value::Null)), Class::New);
    assert_eq!(class("PENDING_RERUN"), Class::New);
    assert_eq!(class("RUNNING"), Class::Status);
}
