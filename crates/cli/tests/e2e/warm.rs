//! `windlass warm`: the JVMs of later jobs take Spark's classes from the archive.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use crate::common::{Answer, WINDLASS, write};
use crate::real;

const JOB: &str = r#"
from pyspark.sql import SparkSession

spark = SparkSession.builder.getOrCreate()
print("the count is", spark.sparkContext.parallelize(range(10), 2).count())
spark.stop()
"#;

/// Where a JVM says that a class came from, in the log of loaded classes.
fn source_of(class: &str, log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap();
    let line = text
        .lines()
        .find(|line| line.contains(&format!(" {class} ")));
    let line = line.unwrap_or_else(|| panic!("{class} is not in {}", log.display()));
    line.split_once("source: ").unwrap().1.to_owned()
}

/// Runs windlass with a cache of this test, or with the one that other tests use, too.
fn windlass(cache: Option<&Path>, arguments: &[&str]) -> Answer {
    let mut command = Command::new(WINDLASS);
    command.args(arguments).env_remove("WINDLASS_DATA_DIR");
    if let Some(cache) = cache {
        command.env("WINDLASS_CACHE", cache);
    }
    command.output().unwrap().into()
}

#[test]
fn the_jvms_of_a_job_take_their_classes_from_the_archive_that_warm_made() {
    let unknown = windlass(None, &["warm", "2.4.8"]);
    assert_eq!(unknown.code, 2, "{}", unknown.stderr);
    let told = "Spark 2.4.8 is not installed";
    assert!(unknown.stderr.contains(told), "{}", unknown.stderr);

    // The archive of the oldest version is the one that `make e2e` has made for all tests.
    let [oldest, newest] = real::VERSIONS;
    classes_come_from_the_archive(None, oldest);

    let cache = tempfile::tempdir().unwrap();
    let sparks = ::windlass::sparks::cache().join("spark");
    symlink(sparks, cache.path().join("spark")).unwrap();
    let made = windlass(Some(cache.path()), &["warm", newest]);
    assert_eq!(made.code, 0, "{}", made.stderr);
    assert_eq!(made.stdout, "");
    classes_come_from_the_archive(Some(cache.path()), newest);
    let left: Vec<_> = std::fs::read_dir(cache.path().join("classes"))
        .unwrap()
        .collect();
    assert_eq!(left.len(), 1, "nothing half made is left: {left:?}");
}

/// A job of a version, of which there is an archive, uses it in driver and executors.
fn classes_come_from_the_archive(cache: Option<&Path>, version: &str) {
    let again = windlass(cache, &["warm", version]);
    let nothing = format!("Spark {version}: its classes are archived already\n");
    assert_eq!((again.code, again.stderr), (0, nothing));

    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "job.py", JOB);
    let log = |role: &str| format!("-Xlog:class+load:file=/job/{role}.log");
    let name = real::named("warm", version);
    let more = serde_json::json!({
        "driver": { "javaOptions": log("driver") },
        "executor": { "javaOptions": log("executor") },
    });
    let application = real::application(&name, version, folder.path(), "job.py", &more);
    let manifest = write(folder.path(), "app.yaml", &application.to_string());
    let run = windlass(cache, &["run", "--progress", "plain", "-f", &manifest]);
    assert_eq!(run.code, 0, "{}\n{}", run.stdout, run.stderr);
    assert!(run.stdout.contains("the count is 10"), "{}", run.stdout);
    for (class, role) in [
        ("org.apache.spark.SparkContext", "driver"),
        (
            "org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBackend",
            "executor",
        ),
        ("org.apache.spark.executor.Executor", "executor"),
    ] {
        let source = source_of(class, &folder.path().join(format!("{role}.log")));
        let expected = "shared objects file (top)";
        assert_eq!(source, expected, "{class} of Spark {version}");
    }
}
