//! Two operators of one cluster, and who is live for `windlass run`.

use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::common::{Up, WINDLASS, until, windlass, write};

const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn an_operator_beside_up_stands_by_and_run_finds_the_live_one() {
    let up = Up::start();
    let kubeconfig = up.data.path().join("kubeconfig").display().to_string();
    let mut second = up
        .command(&["-v", "operator", "--listen", "127.0.0.1:0", "--kubeconfig"])
        .args([kubeconfig.as_str(), "--ui-gateway", "edge/shared"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let holder = || {
        let lease = ["-n", "windlass-system", "lease", "windlass-operator"];
        let lease = up.get(&lease)?;
        lease["spec"]["holderIdentity"].as_str().map(str::to_owned)
    };
    let held = until("the Lease to be held", PATIENCE, holder);
    assert_eq!(held, "windlass-embedded");

    // It fails at once, for want of its account: by an operator that is live.
    let application = json!({
        "apiVersion": "sparkoperator.k8s.io/v1beta2",
        "kind": "SparkApplication",
        "metadata": {"name": "fails"},
        "spec": {
            "type": "Python",
            "mode": "cluster",
            "sparkVersion": "4.3.0",
            "image": "apache/spark:4.3.0",
            "mainApplicationFile": "local:///opt/job.py",
            "driver": {"memory": "512m", "serviceAccount": "nobody"},
            "executor": {"instances": 1, "memory": "512m"},
        },
    });
    let file = write(up.data.path(), "app.json", &application.to_string());
    let answer = windlass(&["run", "--kubeconfig", &kubeconfig, "-f", &file]);
    assert_eq!(answer.code, 1, "{}", answer.stderr);
    assert!(answer.stderr.contains("nobody"), "{}", answer.stderr);

    let pid = rustix::process::Pid::from_raw(second.id().cast_signed()).unwrap();
    assert!(second.try_wait().unwrap().is_none(), "it stands by");
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let output = second.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("serves every namespace"), "{said}");
    let missing = "the cluster does not serve httproutes.gateway.networking.k8s.io";
    assert!(said.contains(missing), "{said}");
    assert!(!said.contains("this process leads"), "{said}");
    assert_eq!(holder().as_deref(), Some("windlass-embedded"));
}

#[test]
fn an_operator_without_rights_for_what_it_is_to_make_says_so_and_works() {
    let up = Up::start();
    for (group, kind) in [
        ("gateway.networking.k8s.io", "HTTPRoute"),
        ("monitoring.coreos.com", "PodMonitor"),
    ] {
        up.apply(&definition(group, kind));
    }
    let home = "windlass-system";
    let token = ["-n", home, "create", "token", "windlass-operator"];
    let token = up.kubectl_ok(&token);
    let kubeconfig = up.data.path().join("kubeconfig").display().to_string();
    let text = std::fs::read_to_string(&kubeconfig).unwrap();
    let mut config = windlass_api::parse::objects(&text).unwrap().remove(0);
    config["users"][0]["user"] = json!({ "token": token.trim() });
    let limited = write(up.data.path(), "limited", &config.to_string());
    let log = up.data.path().join("operator.log");
    let mut operator = up
        .command(&[
            "operator",
            "--listen",
            "127.0.0.1:0",
            "--kubeconfig",
            &limited,
        ])
        .args(["--ui-gateway", "edge/shared", "--pod-monitors"])
        .stderr(std::fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    let said = until("the operator to serve", PATIENCE, || {
        let said = std::fs::read_to_string(&log).unwrap();
        assert!(operator.try_wait().unwrap().is_none(), "{said}");
        said.contains("serves every namespace").then_some(said)
    });
    operator.kill().unwrap();
    operator.wait().unwrap();
    for expected in [
        "this operator may not get httproutes.gateway.networking.k8s.io: applications are told so and \
         run without; apply what windlass install prints with --ui-gateway",
        "this operator may not get podmonitors.monitoring.coreos.com",
    ] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
}

/// The definition of a kind that is no part of Kubernetes itself.
fn definition(group: &str, kind: &str) -> Value {
    let plural = format!("{}s", kind.to_lowercase());
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": format!("{plural}.{group}"),
            "annotations": {"api-approved.kubernetes.io": "unapproved, for a test"},
        },
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": plural, "singular": kind.to_lowercase(), "kind": kind},
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {
                    "type": "object", "x-kubernetes-preserve-unknown-fields": true,
                }},
            }],
        },
    })
}

#[test]
fn an_operator_that_is_stopped_before_the_cluster_has_answered_ends_at_once() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "silent",
        "contexts": [{ "name": "silent", "context": { "cluster": "silent", "user": "nobody" } }],
        "clusters": [{
            "name": "silent",
            "cluster": { "server": format!("http://{}", silent.local_addr().unwrap()) },
        }],
        "users": [{ "name": "nobody", "user": {} }],
    });
    let file = write(folder.path(), "kubeconfig", &kubeconfig.to_string());
    let mut operator = Command::new(WINDLASS)
        .args(["operator", "--listen", "127.0.0.1:0", "--kubeconfig", &file])
        .spawn()
        .unwrap();
    let connection = silent.accept().unwrap();
    let pid = rustix::process::Pid::from_raw(operator.id().cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let status = until("the operator to end", PATIENCE, || {
        operator.try_wait().unwrap()
    });
    // By its own choice: the first process of a container has no other way.
    assert_eq!(status.code(), Some(0));
    drop(connection);
}
