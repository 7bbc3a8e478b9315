//! What is left of an application when it is deleted: its event log in a bucket, which a history server shows, and
//! what it has printed, in the same bucket.

use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::common::{Up, WINDLASS, until};

/// Nothing here takes longer on a busy machine.
const PATIENCE: Duration = Duration::from_mins(2);
/// Where Hadoop's file system for S3 is in containers.
const JARS: &str = "/opt/hadoop-aws";

/// What pods of Spark need to get at it.
fn jars() -> (Value, Value) {
    let folder = windlass::sparks::cache().join("hadoop-aws-3.5/3.5.0/lib");
    assert!(folder.exists(), "make e2e installs {}", folder.display());
    (
        json!([{"name": "jars", "hostPath": {"path": folder, "type": "Directory"}}]),
        json!([{"name": "jars", "mountPath": JARS, "readOnly": true}]),
    )
}

fn job() -> Value {
    let (volumes, mounts) = jars();
    json!({
        "apiVersion": "sparkoperator.k8s.io/v1beta2",
        "kind": "SparkApplication",
        "metadata": {"name": "pi"},
        "spec": {
            "type": "Python", "sparkVersion": "4.3.0", "image": "apache/spark:4.3.0",
            "mainApplicationFile": "local:///opt/spark/examples/src/main/python/pi.py",
            "arguments": ["2"],
            "eventLog": "history",
            "keepLogs": "history",
            "sparkConf": {"spark.driver.extraClassPath": format!("{JARS}/*")},
            "volumes": volumes,
            "driver": {"cores": 1, "volumeMounts": mounts},
            "executor": {"instances": 1, "cores": 1},
        },
    })
}

fn history_server() -> Value {
    let (volumes, mounts) = jars();
    json!({
        "apiVersion": "windlass.dev/v1alpha1",
        "kind": "SparkHistoryServer",
        "metadata": {"name": "jobs"},
        "spec": {
            "sparkVersion": "4.3.0", "image": "apache/spark:4.3.0",
            "eventLog": "history",
            "memory": "512m",
            "sparkConf": {
                "spark.driver.extraClassPath": format!("{JARS}/*"),
                "spark.history.fs.update.interval": "1s",
            },
            "template": {"spec": {
                "containers": [{"name": "history-server", "volumeMounts": mounts}],
                "volumes": volumes,
            }},
        },
    })
}

#[test]
fn an_application_that_is_deleted_is_in_the_history_of_its_bucket_and_so_is_its_log() {
    let mut up = Command::new("sh");
    let line = format!("exec {WINDLASS} \"$@\" --storage --s3");
    up.args(["-c", &line, "sh"]);
    let up = Up::launched(tempfile::tempdir().unwrap(), up);
    // A bucket that needs nothing but a name.
    up.apply(&json!({
        "apiVersion": "banzaicloud.com/v1alpha1",
        "kind": "ObjectStore",
        "metadata": {"name": "history"},
        "spec": {"name": "spark-history"},
    }));
    up.apply(&history_server());
    up.apply(&job());
    let ended = up.windlass(&["wait", "pi", "--timeout", "240"]);
    let printed = up.windlass(&["logs", "pi"]).stdout;
    assert_eq!(ended.code, 0, "{}\n{printed}", ended.stderr);
    assert!(printed.contains("Pi is roughly"), "{printed}");

    up.kubectl_ok(&["delete", "sparkapplication", "pi"]);
    until("every pod of it to be gone", PATIENCE, || {
        let those = "spark-role in (driver,executor)";
        let pods = up.kubectl_ok(&["get", "pods", "-l", those, "-o", "name"]);
        pods.is_empty().then_some(())
    });
    until("its log to be whole", PATIENCE, || {
        let answer = up.windlass(&["logs", "--kept", "objectstore/default/history", "pi"]);
        let is_whole = answer.code == 0 && !answer.stderr.contains("its end");
        (is_whole && answer.stdout == printed).then_some(())
    });

    let ready = up.windlass(&["wait", "history/jobs", "--timeout", "240"]);
    assert_eq!(ready.code, 0, "{}", ready.stderr);
    let mut ui = up.command(&["ui", "history/jobs", "--no-browser"]);
    let mut ui = ui.stdout(Stdio::piped()).spawn().unwrap();
    let url = first_line(&mut ui);
    until("the history server to list it", PATIENCE, || {
        let all = format!("{url}api/v1/applications?status=completed");
        let answer = Command::new("curl").args(["-sfL", &all]).output().unwrap();
        let listed: Value = serde_json::from_slice(&answer.stdout).ok()?;
        (listed[0]["name"] == "PythonPi").then_some(())
    });
    ui.kill().unwrap();
    ui.wait().unwrap();
}

fn first_line(command: &mut std::process::Child) -> String {
    use std::io::BufRead as _;
    let mut line = String::new();
    let stdout = command.stdout.take().unwrap();
    std::io::BufReader::new(stdout)
        .read_line(&mut line)
        .unwrap();
    line.trim().to_owned()
}
