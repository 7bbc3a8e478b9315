//! What cannot work, against one running cluster: each trouble has one message that names the
//! field and what to do, and the applications beside it go on.

use std::time::Duration;

use serde_json::{Value, json};

use crate::common::{Answer, Up, until, windlass, write};

/// No run here starts Spark, so none takes long.
const PATIENCE: Duration = Duration::from_secs(30);

fn application(name: &str) -> Value {
    json!({
        "apiVersion": "sparkoperator.k8s.io/v1beta2",
        "kind": "SparkApplication",
        "metadata": {"name": name},
        "spec": {
            "type": "Python",
            "mode": "cluster",
            "sparkVersion": "4.3.0",
            "image": "apache/spark:4.3.0",
            "mainApplicationFile": "local:///opt/job.py",
            "driver": {"cores": 1, "memory": "512m"},
            "executor": {"instances": 1, "cores": 1, "memory": "512m"},
        },
    })
}

/// The application with values put in, by the path of the field.
fn changed(name: &str, changes: &[(&str, Value)]) -> Value {
    let mut application = application(name);
    for (path, value) in changes {
        let mut place = &mut application["spec"];
        for field in path.split('.') {
            place = &mut place[field];
        }
        *place = value.clone();
    }
    application
}

fn apply(up: &Up, objects: &[Value]) {
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
    let file = write(up.data.path(), "list.json", &list.to_string());
    up.kubectl_ok(&["create", "-f", &file]);
}

fn state(up: &Up, name: &str) -> (String, String) {
    let found = up.get(&["sparkapplication", name]).unwrap_or_default();
    let state = &found["status"]["applicationState"];
    let text = |field: &str| state[field].as_str().unwrap_or_default().to_owned();
    (text("state"), text("errorMessage"))
}

fn message(up: &Up, name: &str, wanted: &str) -> String {
    until(&format!("{name} to say why"), PATIENCE, || {
        let (state, message) = state(up, name);
        (state == wanted && !message.is_empty()).then_some(message)
    })
}

#[test]
fn every_trouble_of_an_application_is_told_and_leaves_the_others_alone() {
    let up = Up::start();
    let mounts = json!([{"name": "v", "mountPath": "/v"}]);
    let troubles = [
        (
            "image",
            "SUBMITTED",
            vec![("image", json!("localhost:1/none:1"))],
        ),
        (
            "version",
            "SUBMITTED",
            vec![
                ("image", json!("apache/spark:9.9.1")),
                ("sparkVersion", json!("9.9.1")),
            ],
        ),
        ("cores", "SUBMITTED", vec![("driver.cores", json!(1000))]),
        ("memory", "SUBMITTED", vec![("driver.memory", json!("1t"))]),
        (
            "volume",
            "SUBMITTED",
            vec![
                (
                    "volumes",
                    json!([{"name": "v", "configMap": {"name": "nope"}}]),
                ),
                ("driver.volumeMounts", mounts.clone()),
            ],
        ),
        (
            "variables",
            "SUBMITTED",
            vec![("driver.envFrom", json!([{"secretRef": {"name": "nope"}}]))],
        ),
        (
            "account",
            "FAILED",
            vec![("driver.serviceAccount", json!("nobody"))],
        ),
        ("mount", "FAILED", vec![("driver.volumeMounts", mounts)]),
        (
            "template",
            "FAILED",
            vec![(
                "driver.template",
                json!({"spec": {"containers": [
                    {"name": "spark-kubernetes-driver", "resources": {"limits": {"cpu": "lots"}}},
                ]}}),
            )],
        ),
        (
            "same-pod",
            "FAILED",
            vec![("driver.podName", json!("image-driver"))],
        ),
    ];
    let first = &troubles[0];
    apply(&up, &[changed(first.0, &first.2)]);
    message(&up, first.0, first.1);
    let rest: Vec<Value> = troubles[1..]
        .iter()
        .map(|(name, _, changes)| changed(name, changes))
        .collect();
    apply(&up, &rest);
    let told: Vec<String> = troubles
        .iter()
        .map(|(name, state, _)| format!("{name}: {}", message(&up, name, state)))
        .collect();
    let told = told.join("\n");
    let (before, after) = told.split_once("(installed: ").unwrap();
    let (_, after) = after.split_once(')').unwrap();
    insta::assert_snapshot!(format!("{before}(installed: ...){after}"));

    // What can never be had on this machine is soon given up; what may still come is not.
    let ended = message(&up, "cores", "FAILED");
    assert!(ended.starts_with("the driver did not start within 15s"));
    assert_eq!(state(&up, "volume").0, "SUBMITTED");

    let answer = up.windlass(&["run", "-n", "nope", "-f", &{
        write(up.data.path(), "app.json", &application("a").to_string())
    }]);
    assert_eq!(answer.code, 2, "{}", answer.stderr);
    assert!(
        answer.stderr.contains("kubectl create namespace nope"),
        "{}",
        answer.stderr
    );
    let log = std::fs::read_to_string(up.data.path().join("stderr.log")).unwrap();
    assert!(!log.contains("panicked"), "{log}");
}

#[test]
fn a_run_that_can_never_start_ends_with_the_reason_whatever_its_namespace() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(
        folder.path(),
        "app.json",
        &changed("big", &[("driver.memory", json!("1t"))]).to_string(),
    );
    let answer = windlass(&["run", "-n", "jobs", "--progress", "plain", "-f", &file]);
    assert_eq!(answer.code, 1, "{}", answer.stderr);
    assert!(
        answer.stderr.contains("driver waits: Unschedulable"),
        "{}",
        answer.stderr
    );
    assert!(
        answer.stderr.contains("lower spec.driver.memory"),
        "{}",
        answer.stderr
    );
}

#[test]
fn a_data_directory_that_cannot_be_used_is_refused_with_what_to_do() {
    let up = Up::start();
    let data = up.data.path().display().to_string();
    let answer = windlass(&["up", "--data-dir", &data]);
    assert_eq!(answer.code, 2, "{}", answer.stderr);
    assert!(answer.stderr.contains("already up"), "{}", answer.stderr);

    let port = std::fs::read_to_string(up.data.path().join("api/port")).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let folder = elsewhere.path().display().to_string();
    let answer = windlass(&["up", "--data-dir", &folder, "--port", port.trim()]);
    assert_eq!(answer.code, 3, "{}", answer.stderr);
    assert!(answer.stderr.contains("another port"), "{}", answer.stderr);

    let good = up.kill();
    for (file, text) in [
        ("api/pki/ca.key", ""),
        ("api/pki/ca.crt", "garbage"),
        ("api/pki/admin.token", ""),
        ("api/objects.redb", "garbage"),
        ("loopback-octet", "300"),
    ] {
        let path = good.path().join(file);
        let before = std::fs::read(&path).unwrap();
        std::fs::write(&path, text).unwrap();
        let answer: Answer = windlass(&["up", "--data-dir", &data]);
        assert!(matches!(answer.code, 2 | 3), "{file}: {}", answer.stderr);
        assert!(
            answer.stderr.contains(&path.display().to_string()),
            "{file}: {}",
            answer.stderr
        );
        std::fs::write(&path, before).unwrap();
    }

    let again = Up::on(good);
    assert_eq!(
        std::fs::read_to_string(again.data.path().join("api/port")).unwrap(),
        port,
        "the port is kept"
    );
}
