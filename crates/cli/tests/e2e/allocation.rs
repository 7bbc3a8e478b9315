//! Dynamic allocation for real: executors come while tasks wait, and go when nothing is left to do.

use serde_json::json;

use crate::clusters::{Cluster, folder, scenarios};
use crate::common::write;
use crate::real::{application, completed, eventually, executors, look, named, sign, state};

scenarios! {
    executors_come_under_load_and_go_when_idle,
}

/// Tasks that wait until the test has seen enough of them run, and a driver that goes on after.
const JOB: &str = r#"
import os, time
from pyspark.sql import SparkSession

def wait_for(file):
    deadline = time.monotonic() + 280
    while not os.path.exists(file):
        if time.monotonic() > deadline:
            raise SystemExit(f"{file} did not come")
        time.sleep(0.1)

def task(number):
    wait_for("/job/enough")
    return number

spark = SparkSession.builder.getOrCreate()
total = spark.sparkContext.parallelize(range(6), 6).map(task).sum()
print(f"under load: {total}", flush=True)
open("/job/idle", "w").close()
wait_for("/job/go-on")
print(f"after the rest: {spark.range(100).count()}", flush=True)
spark.stop()
"#;

fn executors_come_under_load_and_go_when_idle(cluster: &Cluster) {
    let applications = cluster.versions().iter().map(|version| {
        let folder = folder();
        write(folder.path(), "job.py", JOB);
        let more = json!({
            "dynamicAllocation": {
                "enabled": true,
                "initialExecutors": 1,
                "minExecutors": 1,
                "maxExecutors": 3,
                "shuffleTrackingEnabled": true,
            },
            "sparkConf": {
                "spark.dynamicAllocation.executorIdleTimeout": "2s",
                "spark.dynamicAllocation.schedulerBacklogTimeout": "1s",
            },
        });
        let name = named("elastic", version);
        let object = application(&name, version, folder.path(), "job.py", &more);
        cluster.apply(&object);
        (name, folder)
    });
    // All of them begin before the first is waited for.
    let applications: Vec<_> = applications.collect();
    for (name, folder) in applications {
        let at = |file: &str| folder.path().join(file);
        let count = || executors(cluster, &name).len();
        eventually("three executors under load", || {
            let count = count();
            assert!(count <= 3, "{name} has {count} executors");
            (count == 3).then_some(())
        });
        std::fs::write(at("enough"), "").unwrap();
        sign(cluster, &name, &at("idle"));
        eventually("one executor when idle", || (count() == 1).then_some(()));
        let idle = look(cluster, &name);
        assert_eq!(state(&idle), "RUNNING", "the driver goes on: {idle:#}");
        let listed = idle["status"]["executorState"].as_object().unwrap();
        assert!(listed.len() >= 3, "{idle:#}");
        std::fs::write(at("go-on"), "").unwrap();

        let (application, log) = completed(cluster, &name);
        assert!(log.contains("under load: 15"), "{log}");
        assert!(log.contains("after the rest: 100"), "{log}");
        let failed = application["status"]["executorState"]
            .as_object()
            .unwrap()
            .values()
            .filter(|state| *state == "FAILED");
        assert_eq!(
            failed.count(),
            0,
            "dismissal is no failure: {application:#}"
        );
    }
}
