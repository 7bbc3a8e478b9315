//! A Spark Connect server with real clients: PySpark runs queries on it through `windlass connect`.

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::clusters::{Cluster, scenarios};
use crate::common::{Answer, Kubectl, WINDLASS, root};
use crate::real::{VERSIONS, condition, eventually};

scenarios! {
    a_pyspark_client_runs_queries_on_a_server_that_is_started_again_when_it_fails,
}

const NAME: &str = "sql";

/// Queries with executors, and what they give, in the terms of a session that is a remote one.
const QUERIES: &str = r#"
import sys
from pyspark.sql import SparkSession, functions as f

spark = SparkSession.builder.getOrCreate()
assert type(spark).__module__.startswith("pyspark.sql.connect."), type(spark)
numbers = spark.range(1000).withColumn("rest", f.col("id") % 3)
sums = numbers.groupBy("rest").agg(f.sum("id").alias("sum")).orderBy("rest").collect()
print("sums", [row["sum"] for row in sums], sys.argv[1:], flush=True)
words = spark.createDataFrame([("a", 1), ("b", 2)], ["word", "count"]).toPandas()
print("words", words["count"].sum(), flush=True)
spark.stop()
"#;

/// The same client without the token.
const STRANGER: &str = r#"
import os
from pyspark.sql import SparkSession

del os.environ["SPARK_CONNECT_AUTHENTICATE_TOKEN"]
try:
    SparkSession.builder.getOrCreate().range(1).collect()
except Exception as error:
    print("refused:", error, flush=True)
"#;

fn server(version: &str) -> Value {
    let quick = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC";
    json!({
        "apiVersion": "sparkoperator.k8s.io/v1alpha1",
        "kind": "SparkConnect",
        "metadata": {"name": NAME},
        "spec": {
            "sparkVersion": version,
            "image": format!("apache/spark:{version}"),
            "sparkConf": {
                "spark.driver.defaultJavaOptions": quick,
                "spark.executor.defaultJavaOptions": quick,
                "spark.kubernetes.driver.request.cores": "100m",
                "spark.kubernetes.executor.request.cores": "100m",
                "spark.dynamicAllocation.executorIdleTimeout": "5s",
                "spark.sql.shuffle.partitions": "2",
            },
            "server": {
                "memory": "768m",
                "template": {"spec": {"serviceAccountName": "spark"}},
            },
            "executor": {"memory": "512m"},
            // Executors with shuffle files would stay as long as their session.
            "dynamicAllocation": {
                "enabled": true, "maxExecutors": 2, "shuffleTrackingTimeout": 5000,
            },
            "access": {"token": {}},
        },
    })
}

/// Runs a program on the server.
fn connect(cluster: &Kubectl, program: &str, arguments: &[&str]) -> Answer {
    let folder = tempfile::tempdir().unwrap();
    let program = crate::common::write(folder.path(), "program.py", program);
    let output = Command::new(WINDLASS)
        .args(["connect", NAME, "--timeout", "600", "--kubeconfig"])
        .arg(&cluster.kubeconfig)
        .args(["--", &program])
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    output.into()
}

fn look(cluster: &Kubectl) -> Value {
    cluster.get(&["sparkconnect", NAME]).unwrap()
}

fn until(cluster: &Kubectl, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    eventually(what, || {
        let found = look(cluster);
        wanted(&found).then_some(found)
    })
}

/// The client has what it needs on this machine.
fn require_client(version: &str) {
    let list = root().join("crates/cli/tests/clients/connect/requirements.txt");
    let marker = windlass::sparks::cache().join("spark").join(version);
    let found = std::fs::read(marker.join(".connect")).unwrap_or_default();
    assert!(
        std::fs::read(list).unwrap() == found,
        "the client of Spark Connect {version} is not installed: run hack/setup.sh --clients {version}"
    );
}

fn a_pyspark_client_runs_queries_on_a_server_that_is_started_again_when_it_fails(
    cluster: &Cluster,
) {
    let version = VERSIONS[1];
    require_client(version);
    cluster.apply(&server(version));
    let answer = connect(cluster, QUERIES, &["2026"]);
    let told = format!("{}\n{}", answer.stdout, answer.stderr);
    let log = || cluster.kubectl_ok(&["logs", "deployment/sql-server", "--tail=200"]);
    assert_eq!(answer.code, 0, "{told}\n{:#}\n{}", look(cluster), log());
    let sums = "sums [166833, 166167, 166500] ['2026']";
    assert!(answer.stdout.contains(sums), "{told}");
    assert!(answer.stdout.contains("words 3"), "{told}");
    // The executors have come for the queries, and go.
    let ready = until(cluster, "no executor", |it| {
        it["status"]["executors"].is_null()
    });
    assert_eq!(
        condition(&ready, "ServerPodReady")["status"],
        "True",
        "{ready:#}"
    );

    let answer = connect(cluster, STRANGER, &[]);
    assert!(
        answer.stdout.contains("refused:"),
        "{}{}",
        answer.stdout,
        answer.stderr
    );

    // What ends by itself is started again in its place, with executors of its own.
    let pod = ready["status"]["server"]["podName"].as_str().unwrap();
    cluster.kubectl_ok(&["exec", pod, "--", "sh", "-c", "kill 1"]);
    until(cluster, "another start", |it| {
        it["status"]["server"]["restarts"].as_i64().unwrap_or(0) > 0
    });
    until(cluster, "the server to answer", |it| {
        it["status"]["state"] == "Ready"
    });
    let answer = connect(cluster, QUERIES, &[]);
    assert_eq!(answer.code, 0, "{}{}", answer.stdout, answer.stderr);

    let suspend = ["patch", "sparkconnect", NAME, "--type=merge", "-p"];
    cluster.kubectl_ok(&[&suspend[..], &[r#"{"spec": {"suspend": true}}"#]].concat());
    let label = format!("sparkoperator.k8s.io/connect-name={NAME}");
    eventually("the pods to be gone", || {
        let pods = cluster.kubectl_ok(&["get", "pods", "-o", "name", "-l", &label]);
        pods.trim().is_empty().then_some(())
    });
    let answer = connect(cluster, QUERIES, &[]);
    assert_eq!(answer.code, 2, "{}{}", answer.stdout, answer.stderr);
    assert!(answer.stderr.contains("is suspended"), "{}", answer.stderr);
}
