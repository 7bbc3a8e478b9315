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

#[test]
fn the_jvms_of_a_job_take_their_classes_from_the_archive_that_warm_made() {
    let cache = tempfile::tempdir().unwrap();
    symlink(
        windlass::sparks::cache().join("spark"),
        cache.path().join("spark"),
    )
    .unwrap();
    let windlass = |arguments: &[&str]| -> Answer {
        let mut command = Command::new(WINDLASS);
        command.args(arguments).env("WINDLASS_CACHE", cache.path());
        let answer = command.env_remove("WINDLASS_DATA_DIR").output().unwrap();
        answer.into()
    };

    let unknown = windlass(&["warm", "2.4.8"]);
    assert_eq!(unknown.code, 2, "{}", unknown.stderr);
    assert!(
        unknown.stderr.contains("Spark 2.4.8 is not installed"),
        "{}",
        unknown.stderr
    );

    for version in real::VERSIONS {
        let made = windlass(&["warm", version]);
        assert_eq!(made.code, 0, "{}", made.stderr);
        assert_eq!(made.stdout, "");
        let again = windlass(&["warm", version]);
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
        let run = windlass(&["run", "--progress", "plain", "-f", &manifest]);
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
            assert_eq!(
                source, "shared objects file (top)",
                "{class} of Spark {version}"
            );
        }
    }
    let left: Vec<_> = std::fs::read_dir(cache.path().join("classes"))
        .unwrap()
        .collect();
    assert_eq!(
        left.len(),
        real::VERSIONS.len(),
        "nothing half made is left: {left:?}"
    );
}
