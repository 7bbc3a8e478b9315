//! The page of a job that is over: real Spark's event log on this machine, shown by Spark's history server. Those in
//! buckets and on claims are among the long tests.

use serde_json::json;

use crate::applications::ok;
use crate::common::page::Page;
use crate::common::{Up, until_no_process, write};

/// Calls itself something else than its application is called.
const JOB: &str = "from pyspark.sql import SparkSession\n\
    spark = SparkSession.builder.appName('Counting').getOrCreate()\n\
    print('counted', spark.range(1000).count())\n";

#[test]
fn a_job_has_its_page_when_it_is_over_and_when_it_and_its_cluster_are_gone() {
    let up = Up::start();
    let job = write(up.data.path(), "count.py", JOB);
    let answer = up.windlass(&["run", "--name", "count", "--executors", "1", &job]);
    assert_eq!(answer.code, 0, "{}\n{}", answer.stdout, answer.stderr);
    let logs = up.data.path().join("event-logs");
    let marker = format!("logDirectory=file:{}", logs.display());

    let page = Page::of(&up, "count");
    let id = page.id_of("Counting");
    page.interrupt();
    until_no_process(&marker);

    for gone in [&["delete", "count"][..], &["down"]] {
        let answer = up.windlass(gone);
        assert_eq!(answer.code, 0, "{}\n{}", answer.stdout, answer.stderr);
    }
    let page = Page::of(&up, "count");
    assert_eq!(page.id_of("Counting"), id);
    page.interrupt();
    until_no_process(&marker);
}

/// Is no Spark, but answers as a history server does.
const SERVER: &str = "mkdir -p /tmp/page/api/v1; echo 4.3.0 >/tmp/page/api/v1/version; \
    echo the server starts; exec python3 -m http.server 18080 \
    --bind $SPARK_DRIVER_BIND_ADDRESS --directory /tmp/page";

#[test]
fn a_history_server_of_a_file_is_there_for_as_long_as_somebody_looks() {
    let up = Up::start();
    let file = json!({
        "apiVersion": "windlass.dev/v1alpha1", "kind": "SparkHistoryServer",
        "metadata": {"name": "jobs"},
        "spec": {
            "sparkVersion": "4.3.0", "image": "local/host:latest",
            "logDirectory": "file:/tmp",
            "memory": "64m",
            "template": {"spec": {
                "terminationGracePeriodSeconds": 1,
                "containers": [{
                    "name": "server",
                    "command": ["sh", "-c", SERVER],
                    "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}},
                }],
            }},
        },
    });
    let file = write(up.data.path(), "server.json", &file.to_string());
    let page = Page::that_leads(&up, &["run", "-f", &file]);
    assert_eq!(page.get("/api/v1/version"), "4.3.0\n");
    let there = up.windlass(&["run", "-f", &file]);
    assert_eq!(there.code, 2);
    assert!(
        there.stderr.contains("windlass ui history/jobs uses it"),
        "{}",
        there.stderr
    );
    let log = ok(up.windlass(&["logs", "history/jobs"]));
    assert!(log.contains("the server starts"), "{log}");
    let events = ok(up.windlass(&["events", "history/jobs"]));
    assert!(events.contains("ServerReady"), "{events}");
    page.interrupt();
    assert_eq!(up.get(&["sparkhistoryserver", "jobs"]), None);
}
