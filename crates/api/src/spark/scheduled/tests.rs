use serde_json::{Value, json};

use super::*;
use crate::decode::decode;
use crate::names::ServiceName;
use crate::parse;

fn good() -> Value {
    json!({
        "apiVersion": "sparkoperator.k8s.io/v1beta2",
        "kind": "ScheduledSparkApplication",
        "metadata": {"name": "nightly", "namespace": "jobs"},
        "spec": {
            "schedule": "0 2 * * *",
            "template": {
                "type": "Python",
                "sparkVersion": "4.3.0",
                "image": "apache/spark:4.3.0",
                "mainApplicationFile": "local:///app.py",
                "driver": {"memory": "512m"},
                "executor": {"instances": 1},
            },
        },
    })
}

fn read(object: &Value) -> ScheduledSparkApplication {
    decode(object).unwrap_or_else(|error| panic!("{error}"))
}

/// The shape of the manifests that users of the Kubeflow operator have.
#[test]
fn a_manifest_of_kubeflow_users_decodes_and_is_valid() {
    let text = include_str!("../../../testdata/scheduled/spark-pi-scheduled.yaml");
    let object = parse::objects(text).unwrap().remove(0);
    let scheduled = read(&object);
    assert_eq!(validate(&scheduled), []);
    assert_eq!(scheduled.spec.schedule, "@every 3m");
    assert_eq!(scheduled.spec.concurrency_policy, ConcurrencyPolicy::Allow);
    assert_eq!(scheduled.spec.failed_run_history_limit, 3);
    assert_eq!(scheduled.spec.template.driver.pod.cores, Some(1));
}

#[test]
fn what_nobody_says_has_a_default() {
    let spec = read(&good()).spec;
    assert_eq!(spec.time_zone, "Local");
    assert!(!spec.suspend);
    assert_eq!(spec.concurrency_policy, ConcurrencyPolicy::Allow);
    assert_eq!(spec.catch_up_policy, CatchUpPolicy::Latest);
    assert_eq!(
        (
            spec.successful_run_history_limit,
            spec.failed_run_history_limit
        ),
        (1, 1)
    );
    assert_eq!(spec.starting_deadline_seconds, None);
    let crd = serde_json::to_value(<ScheduledSparkApplication as kube::CustomResourceExt>::crd());
    let schema = &crd.unwrap()["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    let fields = &schema["properties"]["spec"]["properties"];
    for (field, default) in [
        ("timeZone", json!("Local")),
        ("suspend", json!(false)),
        ("concurrencyPolicy", json!("Allow")),
        ("catchUpPolicy", json!("Latest")),
        ("successfulRunHistoryLimit", json!(1)),
        ("failedRunHistoryLimit", json!(1)),
    ] {
        assert_eq!(fields[field]["default"], default, "{field}");
    }
}

#[test]
fn each_mistake_is_told_with_its_field_and_what_to_do() {
    let long = "a".repeat(64);
    let cases = [
        ("/metadata/name", json!(long)),
        ("/metadata/name", json!("Nightly")),
        ("/spec/schedule", json!("")),
        ("/spec/schedule", json!("0 25 * * *")),
        ("/spec/schedule", json!("TZ=Nowhere 0 2 * * *")),
        ("/spec/schedule", json!("@nightly")),
        ("/spec/timeZone", json!("Nowhere")),
        ("/spec/successfulRunHistoryLimit", json!(-1)),
        ("/spec/failedRunHistoryLimit", json!(-1)),
        ("/spec/startingDeadlineSeconds", json!(0)),
        ("/spec/template/driver/memory", json!("much")),
        ("/spec/template/mode", json!("client")),
        ("/spec/template/sparkConf", json!({"spark.master": "local"})),
        (
            "/spec/template/sparkConf",
            json!({"spark.kubernetes.namespace": "other"}),
        ),
        ("/spec/template/volumes", json!([{"name": 1}])),
    ];
    let mut told = String::new();
    for (pointer, value) in cases {
        let mut scheduled = good();
        let mut place = &mut scheduled;
        for name in pointer.trim_start_matches('/').split('/') {
            place = &mut place[name];
        }
        *place = value.clone();
        // The schema says the same of some; the types are what the operator reads.
        let scheduled: ScheduledSparkApplication = serde_json::from_value(scheduled).unwrap();
        let found = validate(&scheduled);
        assert!(!found.is_empty(), "{pointer} = {value} was accepted");
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        told.push_str(&format!("# {pointer} = {value}\n{}\n\n", found.join("\n")));
    }
    insta::assert_snapshot!(told);
}

#[test]
fn what_the_schema_refuses_is_told_by_it() {
    for (field, value, expected) in [
        (
            "concurrencyPolicy",
            json!("Replaces"),
            "did you mean Replace?",
        ),
        (
            "catchUpPolicy",
            json!("Some"),
            "must be one of Latest, All, None",
        ),
        ("startingDeadlineSeconds", json!(0), "must be at least 1"),
        ("shedule", json!("@daily"), "did you mean \"schedule\"?"),
    ] {
        let mut scheduled = good();
        scheduled["spec"][field] = value;
        let error = decode::<ScheduledSparkApplication>(&scheduled).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn a_status_that_the_kubeflow_operator_left_is_read_and_kept() {
    let status = json!({
        "lastRun": "2026-03-01T02:00:00Z",
        "nextRun": null,
        "lastRunName": "nightly-1772330400123456789",
        "pastSuccessfulRunNames": ["nightly-1772330400123456789"],
        "scheduleState": "Validating",
        "reason": "because",
    });
    let read: ScheduledSparkApplicationStatus = serde_json::from_value(status).unwrap();
    assert_eq!(read.next_run, None);
    assert_eq!(read.schedule_state, ScheduleState::Validating);
    let written = serde_json::to_value(&read).unwrap();
    assert_eq!(written["lastRunName"], "nightly-1772330400123456789");
    assert_eq!(written.get("nextRun"), None);
}

#[test]
fn names_of_runs_follow_from_what_they_are_for_and_leave_room() {
    let time = "2026-03-01T02:00:00Z".parse().unwrap();
    assert_eq!(run_name("nightly", time), "nightly-1772330400");
    assert_eq!(
        triggered_run_name("nightly", "again"),
        triggered_run_name("nightly", "again")
    );
    assert_ne!(
        triggered_run_name("nightly", "again"),
        triggered_run_name("nightly", "once more")
    );
    let long = ["a", "b"].map(|last| format!("{}{last}", "n".repeat(62)));
    let names = long.map(|name| [run_name(&name, time), triggered_run_name(&name, "x")]);
    for name in names.iter().flatten() {
        assert!(ServiceName::new(format!("{name}-driver")).is_ok(), "{name}");
    }
    assert_ne!(names[0], names[1]);
}
