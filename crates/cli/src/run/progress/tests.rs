//! What is told of which observations.

use jiff::SignedDuration;
use serde_json::json;

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn pod(name: &str, role: &str, state: &Value) -> Value {
    json!({
        "metadata": { "name": name, "labels": { "spark-role": role } },
        "spec": { "containers": [
            { "name": "sidecar", "args": ["x"] },
            { "name": "spark", "args": [role],
              "resources": { "limits": { "memory": "1408Mi" } } },
        ] },
        "status": {
            "conditions": [{ "type": "PodScheduled", "status": "True" }],
            "containerStatuses": [
                { "name": "sidecar", "state": { "running": {} } },
                { "name": "spark", "state": state },
            ],
        },
    })
}

#[test]
fn a_run_with_a_lost_executor_is_told_in_lines_and_a_summary() {
    let mut model = Model::default();
    let mut lines = Vec::new();
    let app = |state: &str, message: &str| {
        json!({ "spec": { "executor": { "instances": 2 } },
            "status": { "executionAttempts": 1, "applicationState": { "state": state, "errorMessage": message } } })
    };
    lines.extend(model.application(&app("", ""), at(0)));
    lines.extend(model.pod(
        &pod(
            "a-driver",
            "driver",
            &json!({ "waiting": { "reason": "ContainerCreating" } }),
        ),
        false,
        at(1),
    ));
    lines.extend(model.application(&app("SUBMITTED", ""), at(1)));
    lines.extend(model.pod(
        &pod("a-driver", "driver", &json!({ "running": {} })),
        false,
        at(2),
    ));
    lines.extend(model.application(&app("RUNNING", ""), at(2)));
    for name in ["e-1", "e-2"] {
        lines.extend(model.pod(
            &pod(name, "executor", &json!({ "running": {} })),
            false,
            at(5),
        ));
    }
    lines.extend(model.stages(vec![Stage {
        id: 0,
        name: "count at job.py:3".into(),
        done: 1,
        total: 4,
    }]));
    lines.push(format!("[{}]", model.headline()));
    let mut lost = pod(
        "e-1",
        "executor",
        &json!({ "terminated": { "exitCode": 137, "reason": "OOMKilled" } }),
    );
    lost["metadata"]["annotations"] = json!({ PEAK_MEMORY: "1476395008" });
    lines.extend(model.pod(&lost, false, at(7)));
    let mut stopped = pod(
        "e-2",
        "executor",
        &json!({ "terminated": { "exitCode": 143, "reason": "Error" } }),
    );
    stopped["metadata"]["deletionTimestamp"] = json!("2027-01-01T00:00:00Z");
    lines.extend(model.pod(&stopped, false, at(9)));
    lines.extend(model.pod(
        &pod(
            "a-driver",
            "driver",
            &json!({ "terminated": { "exitCode": 0, "reason": "Completed" } }),
        ),
        false,
        at(10),
    ));
    lines.extend(model.application(&app("COMPLETED", ""), at(10)));
    lines.push(model.summary(at(99)).to_string());
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn executors_that_cannot_start_say_why_once_and_what_to_do() {
    let mut model = Model::default();
    let running = json!({ "running": {} });
    model.pod(&pod("a-driver", "driver", &running), false, at(1));
    let mut refused = pod("e-1", "executor", &json!({}));
    refused["status"] = json!({ "conditions": [{ "type": "PodScheduled", "status": "False",
        "reason": "Unschedulable", "message": "0/1 nodes are available" }] });
    model.pod(&refused, false, at(2));
    let app = |conditions: &Value| {
        json!({
            "spec": { "executor": { "instances": 2 } },
            "status": { "executionAttempts": 1, "conditions": conditions,
                "applicationState": { "state": "RUNNING" } },
        })
    };
    let told = "2 executors wait: no node takes the executor pod; lower something";
    let held = app(&json!([{ "type": "ExecutorsHeldUp", "status": "True",
        "reason": "Unschedulable", "message": told }]));
    assert_eq!(model.application(&held, at(3)), [told]);
    assert_eq!(model.application(&held, at(4)), [""; 0]);
    let headline = "driver running · executors 0/2 (Unschedulable)";
    assert_eq!(model.headline(), headline);
    assert_eq!(model.application(&app(&json!([])), at(5)), [""; 0]);
    assert_eq!(model.headline(), "driver running · executors 0/2");
}

#[test]
fn a_driver_that_cannot_start_says_why() {
    let mut model = Model::default();
    let mut lines = Vec::new();
    let mut unschedulable = pod("a-driver", "driver", &json!({}));
    unschedulable["status"] = json!({ "conditions": [{ "type": "PodScheduled", "status": "False",
        "reason": "Unschedulable", "message": "0/1 nodes are available: 1 Insufficient memory." }] });
    lines.extend(model.pod(&unschedulable, false, at(0)));
    lines.extend(model.pod(&unschedulable, false, at(1)));
    let waiting =
        json!({ "waiting": { "reason": "ImagePullBackOff", "message": "no such image" } });
    lines.extend(model.pod(&pod("a-driver", "driver", &waiting), false, at(2)));
    lines.push(format!("[{}]", model.headline()));
    lines.extend(model.application(
        &json!({ "status": { "applicationState": {
        "state": "FAILED", "errorMessage": "the driver's image cannot be had" } } }),
        at(3),
    ));
    lines.push(model.summary(at(3)).to_string());
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn what_happened_before_anyone_looked_has_the_clusters_times() {
    let mut model = Model::default();
    let created = json!({ "metadata": { "creationTimestamp": at(0).to_string() },
        "spec": { "sparkConf": { "spark.executor.instances": "3" } } });
    model.application(&created, at(20));
    let mut driver = pod(
        "a-driver",
        "driver",
        &json!({ "running": { "startedAt": at(4).to_string() } }),
    );
    driver["metadata"]["creationTimestamp"] = json!(at(1).to_string());
    driver["status"]["conditions"][0]["lastTransitionTime"] = json!(at(2).to_string());
    model.pod(&driver, false, at(20));
    let executor = pod("e-1", "executor", &json!({ "running": {} }));
    let lines = model.pod(&executor, false, at(20));
    assert_eq!(lines, ["executors 1 of 3 running"]);
    let driver = model.summary(at(30)).driver.unwrap();
    let seconds = |duration: Option<SignedDuration>| duration.unwrap().as_secs();
    assert_eq!(seconds(driver.waiting), 1);
    assert_eq!(seconds(driver.pulling), 2);
    assert_eq!(seconds(driver.running), 26);
    assert_eq!(model.summary(at(30)).total.as_secs(), 30);
}

#[test]
fn who_waits_for_his_turn_is_told_where_he_stands() {
    let mut model = Model::default();
    let app = |truth: &str, message: &str| {
        json!({ "status": { "conditions": [
            { "type": "Admitted", "status": truth, "message": message },
        ] } })
    };
    let place = "position 2 in the queue of namespace jobs: those before it go first";
    let told = model.application(&app("False", place), at(0));
    assert_eq!(told, [format!("queued: {place}")]);
    assert_eq!(model.application(&app("False", place), at(1)), [""; 0]);
    assert_eq!(model.application(&app("True", "its turn"), at(2)), [""; 0]);
}

#[test]
fn a_reason_that_only_the_application_knows_is_told_once() {
    let mut model = Model::default();
    let app = |state: &str, message: &str| json!({ "status": { "applicationState": { "state": state, "errorMessage": message } } });
    let missing = "ConfigMap default/nope (spec.volumes) does not exist";
    assert_eq!(model.application(&app("SUBMITTED", ""), at(0)), [""; 0]);
    assert_eq!(
        model.application(&app("SUBMITTED", missing), at(1)),
        [missing]
    );
    assert_eq!(
        model.application(&app("SUBMITTED", missing), at(2)),
        [""; 0]
    );
    assert_eq!(
        model.application(&app("FAILING", "gave up"), at(3)),
        ["failing: gave up"]
    );
    assert_eq!(model.application(&app("FAILED", "gave up"), at(4)), [""; 0]);
    for (state, lines) in [
        ("ErrImagePull", 2),
        ("ImagePullBackOff", 0),
        ("ErrImagePull", 0),
    ] {
        let waiting = json!({ "waiting": { "reason": state, "message": "no" } });
        let told = model.pod(&pod("a-driver", "driver", &waiting), false, at(5));
        assert_eq!(told.len(), lines, "{told:?}");
    }
}
