//! What is left of an application when it is deleted: its event log in a bucket or on a claim, which a history server
//! shows, and what it has printed, in another bucket.

use std::time::Duration;

use serde_json::{Value, json};

use crate::common::page::Page;
use crate::common::{Answer, Up, until};

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
            "keepLogs": "printed",
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
    let up = Up::with("--storage --s3");
    // Buckets that need nothing but a name. A history server has its own for itself.
    for (name, bucket) in [("history", "spark-history"), ("printed", "spark-logs")] {
        up.apply(&json!({
            "apiVersion": "banzaicloud.com/v1alpha1",
            "kind": "ObjectStore",
            "metadata": {"name": name},
            "spec": {"name": bucket},
        }));
    }
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
        let answer = up.windlass(&["logs", "--kept", "objectstore/default/printed", "pi"]);
        let is_whole = answer.code == 0 && !answer.stderr.contains("its end");
        (is_whole && answer.stdout == printed).then_some(())
    });

    let ready = up.windlass(&["wait", "history/jobs", "--timeout", "240"]);
    assert_eq!(ready.code, 0, "{}", ready.stderr);
    let page = Page::that_leads(&up, &["ui", "history/jobs", "--no-browser"]);
    until("the history server to list it", PATIENCE, || {
        let all = page.get("/api/v1/applications?status=completed");
        let listed: Value = serde_json::from_str(&all).ok()?;
        (listed[0]["name"] == "PythonPi").then_some(())
    });
    page.interrupt();
}

/// Calls itself something else than its application is called.
const JOB: &str = "from pyspark.sql import SparkSession\n\
    spark = SparkSession.builder.appName('Counting').getOrCreate()\n\
    print('counted', spark.range(1000).count())\n";

/// An application that writes its event log to a claim.
fn job_with_a_claim() -> Value {
    json!({
        "apiVersion": "sparkoperator.k8s.io/v1beta2",
        "kind": "SparkApplication",
        "metadata": {"name": "count"},
        "spec": {
            "type": "Python", "sparkVersion": "4.3.0", "image": "apache/spark:4.3.0",
            "mainApplicationFile": "local:///etc/job/count.py",
            "sparkConf": {
                "spark.eventLog.enabled": "true",
                "spark.eventLog.dir": "file:/logs/spark",
            },
            "volumes": [{"name": "logs", "persistentVolumeClaim": {"claimName": "logs"}}],
            "driver": {
                "memory": "512m",
                "coreRequest": "100m",
                "configMaps": [{"name": "job", "path": "/etc/job"}],
                "volumeMounts": [{"name": "logs", "mountPath": "/logs"}],
                // Spark wants the folder to be there.
                "initContainers": [{
                    "name": "folder", "image": "local/host:latest",
                    "command": ["sh", "-c", "mkdir -p /logs/spark && chmod 777 /logs/spark"],
                    "volumeMounts": [{"name": "logs", "mountPath": "/logs"}],
                }],
            },
            "executor": {"instances": 1, "memory": "512m", "coreRequest": "100m"},
        },
    })
}

#[test]
fn a_history_server_shows_what_a_job_has_written_on_a_claim() {
    let up = Up::start();
    up.apply(&json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "logs"},
        "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}},
    }));
    up.apply(&json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "job"},
        "data": {"count.py": JOB},
    }));
    up.apply(&job_with_a_claim());
    ok(up.windlass(&["wait", "count", "--timeout", "120"]));
    let nowhere = up.windlass(&["ui", "count", "--no-browser"]);
    assert_eq!(nowhere.code, 2);
    assert!(
        nowhere.stderr.contains("make a SparkHistoryServer"),
        "{}",
        nowhere.stderr
    );

    up.apply(&json!({
        "apiVersion": "windlass.dev/v1alpha1", "kind": "SparkHistoryServer",
        "metadata": {"name": "jobs"},
        "spec": {
            "sparkVersion": "4.3.0", "image": "apache/spark:4.3.0",
            "logClaim": {"claimName": "logs", "subPath": "spark"},
            "memory": "512m",
            "sparkConf": {
                "spark.history.fs.update.interval": "1s",
                "spark.kubernetes.driver.request.cores": "100m",
            },
        },
    }));
    let told = ok(up.windlass(&["wait", "history/jobs", "--timeout", "120"]));
    assert_eq!(told, "history server default/jobs Ready\n");
    let table = ok(up.windlass(&["list", "histories"]));
    assert!(table.starts_with("NAME   PHASE   LOGS"), "{table}");
    assert!(table.contains("claim/logs"), "{table}");
    assert!(
        table.contains("http://jobs-history.default:18080"),
        "{table}"
    );
    let why = ok(up.windlass(&["why", "history/jobs"]));
    assert!(why.contains("nothing is found to be wrong"), "{why}");

    let list = Page::of(&up, "history/jobs");
    assert_eq!(list.path, "/");
    until("the event log to be read", PATIENCE, || {
        let known = list.get("/api/v1/applications");
        known.contains("Counting").then_some(())
    });
    list.interrupt();
    let page = Page::of(&up, "count");
    page.id_of("Counting");

    ok(up.windlass(&["suspend", "history/jobs"]));
    ok(up.windlass(&[
        "wait",
        "history/jobs",
        "--for",
        "suspended",
        "--timeout",
        "60",
    ]));
    // It was led to a pod that is gone by then.
    page.ends_by_itself(3);
    let stopped = up.windlass(&["ui", "count", "--no-browser"]);
    assert!(
        stopped
            .stderr
            .contains("history server default/jobs is Suspended"),
        "{}",
        stopped.stderr
    );
    ok(up.windlass(&["delete", "history/jobs"]));
    assert_eq!(up.get(&["deployment", "jobs-history"]), None);
}

fn ok(answer: Answer) -> String {
    assert_eq!(answer.code, 0, "{}{}", answer.stdout, answer.stderr);
    answer.stdout
}

/// An application whose driver runs a shell script.
fn job_without_spark(name: &str, script: &str) -> Value {
    json!({
        "apiVersion": "sparkoperator.k8s.io/v1beta2",
        "kind": "SparkApplication",
        "metadata": {"name": name},
        "spec": {
            "type": "Python", "sparkVersion": "4.3.0", "image": "local/host:latest",
            "mainApplicationFile": "local:///opt/job.py",
            "driver": {
                "coreRequest": "10m", "memory": "64m", "memoryOverhead": "64m",
                "template": {"spec": {"terminationGracePeriodSeconds": 10, "containers": [
                    {"name": "spark-kubernetes-driver", "command": ["sh", "-c", script]},
                ]}},
            },
            "executor": {"instances": 1},
        },
    })
}

#[test]
fn a_log_whose_pod_was_gone_before_it_was_read_says_that_its_end_may_be_missing() {
    let data = tempfile::tempdir().unwrap();
    let logs = data.path().join("logs");
    std::fs::create_dir(&logs).unwrap();
    // Nothing can be kept while there is a file in the place of a folder.
    std::fs::write(logs.join("default"), "").unwrap();
    let up = Up::on(data);
    up.apply(&job_without_spark("says", "echo something; sleep 1000"));
    until("the trouble to be told", PATIENCE, || {
        let events = up.get(&["events"])?;
        let mut events = events["items"].as_array()?.iter();
        events.any(|it| it["reason"] == "LogNotKept").then_some(())
    });
    up.kubectl_ok(&["delete", "sparkapplication", "says"]);
    until("its pod to be gone", PATIENCE, || {
        up.get(&["pod", "says-driver"]).is_none().then_some(())
    });
    let logs = up.data.path().join("logs");
    std::fs::remove_file(logs.join("default")).unwrap();
    until("it to be told that the log is cut off", PATIENCE, || {
        let answer = up.windlass(&["logs", "says"]);
        answer
            .stderr
            .contains("its end may be missing")
            .then_some(())
    });
}
