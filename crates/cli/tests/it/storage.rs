//! Claims of classes that are not there, under kubectl, on a cluster that makes them.

use std::time::Duration;

use serde_json::{Value, json};

use crate::common::{Up, until};

/// Nothing here takes longer on a busy machine.
const PATIENCE: Duration = Duration::from_mins(2);

/// A cluster whose operator makes classes.
fn start() -> Up {
    Up::with("--storage")
}

fn claim(name: &str, class: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": "team"},
        "spec": {
            "storageClassName": class,
            "accessModes": ["ReadWriteMany"],
            "resources": {"requests": {"storage": "1Mi"}},
        },
    })
}

/// A pod that runs this in a shell, with the claim at `/data`.
fn pod(name: &str, script: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "team"},
        "spec": {
            "restartPolicy": "Never",
            "containers": [{
                "name": "main",
                "image": "local/host:latest",
                "command": ["sh", "-ec", script],
                "volumeMounts": [{"name": "data", "mountPath": "/data"}],
            }],
            "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
        },
    })
}

fn succeeded(up: &Up, name: &str) {
    let namespaced = ["--namespace", "team", "pod", name];
    until("the pod to end", PATIENCE, || {
        let phase = up.get(&namespaced)?["status"]["phase"].clone();
        assert_ne!(phase, "Failed");
        (phase == "Succeeded").then_some(())
    });
}

#[test]
fn pods_use_a_claim_of_a_class_that_nobody_has_made_and_the_cluster_stays_so() {
    let up = start();
    up.kubectl_ok(&["create", "namespace", "team"]);
    up.apply(&claim("data", "made-up"));
    up.apply(&pod("writes", "echo kept >/data/word"));
    // Nobody has asked for classes yet.
    let class = ["storageclass", "made-up"];
    assert_eq!(up.get(&class), None);
    let label = "windlass.dev/storage-classes=make";
    up.kubectl_ok(&["label", "namespace", "team", label]);
    succeeded(&up, "writes");
    up.apply(&pod("reads", "grep kept /data/word"));
    succeeded(&up, "reads");
    let class = up.get(&class).unwrap();
    assert_eq!(class["provisioner"], "windlass.dev/local-path");

    // The next start of the same cluster needs no flag.
    let up = Up::on(up.kill());
    up.apply(&claim("more", "made-up-later"));
    until("the claim to be bound", PATIENCE, || {
        let claim = up.get(&["--namespace", "team", "pvc", "more"])?;
        (claim["status"]["phase"] == "Bound").then_some(())
    });
    let told = up.windlass(&["cloud", "-o", "json"]);
    assert_eq!(told.code, 0, "{}", told.stderr);
    let told: Value = serde_json::from_str(&told.stdout).unwrap();
    assert_eq!(told["provider"], Value::Null);
    let drivers = told["drivers"].as_array().unwrap();
    let has = |name: &str| drivers.iter().any(|it| it["name"] == name);
    assert!(has("windlass.dev/local-path"), "{drivers:?}");
    let gets = told["claims"].as_array().unwrap();
    let provisioners = gets.iter().map(|it| &it["class"]["provisioner"]);
    assert!(
        provisioners
            .into_iter()
            .all(|it| it == "windlass.dev/local-path"),
        "{gets:?}"
    );
}

#[test]
fn a_claim_that_can_have_no_class_says_why_in_kubectls_words() {
    let up = start();
    up.kubectl_ok(&["create", "namespace", "team"]);
    let label = "windlass.dev/storage-classes=make";
    up.kubectl_ok(&["label", "namespace", "team", label]);
    let mut wanting = claim("data", "made-up");
    let driver = json!({"windlass.dev/storage-driver": "ebs.csi.aws.com"});
    wanting["metadata"]["annotations"] = driver;
    up.apply(&wanting);
    let words = "ebs.csi.aws.com is not installed: there is no CSIDriver of that name";
    until("the condition and the event", PATIENCE, || {
        let text = up.kubectl_ok(&["--namespace", "team", "describe", "pvc", "data"]);
        let (before, events) = text.split_once("Events:")?;
        (before.contains(words) && events.contains("DriverNotInstalled")).then_some(())
    });
}
