//! Two operators of one cluster, and who is live for `windlass run`.

use std::process::Stdio;
use std::time::Duration;

use serde_json::json;

use crate::common::{Up, until, windlass, write};

const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn an_operator_beside_up_stands_by_and_run_finds_the_live_one() {
    let up = Up::start();
    let kubeconfig = up.data.path().join("kubeconfig").display().to_string();
    let mut second = up
        .command(&["-v", "operator", "--listen", "127.0.0.1:0", "--kubeconfig"])
        .arg(&kubeconfig)
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
    assert!(!said.contains("this process leads"), "{said}");
    assert_eq!(holder().as_deref(), Some("windlass-embedded"));
}
