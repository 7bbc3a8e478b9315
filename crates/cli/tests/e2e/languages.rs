//! Python and a JVM class on every version, with YAML and without.

use std::path::Path;

use crate::clusters::{Cluster, folder, scenarios};
use crate::common::write;
use crate::real::{self, QUICK_START, VERSIONS, completed, named};

scenarios! {
    manifests_run_python_and_a_jvm_class_on_every_version,
}

const PYTHON: &str = r#"
import sys
from pyspark.sql import SparkSession

spark = SparkSession.builder.getOrCreate()
numbers = spark.sparkContext.parallelize(range(int(sys.argv[1])), 2)
print(f"the sum is {numbers.map(lambda number: number).sum()} with Spark {spark.version}")
spark.stop()
"#;

/// Prepares the two programs of a version.
fn programs(folder: &Path, version: &str) {
    write(folder, "sum.py", PYTHON);
    let sources = [("Sum.java", include_str!("Sum.java"))];
    real::jar(folder, "sum.jar", version, &sources, "");
}

/// A manifest as a person writes it.
fn manifest(name: &str, version: &str, folder: &Path, program: &str) -> String {
    format!(
        "\
apiVersion: sparkoperator.k8s.io/v1beta2
kind: SparkApplication
metadata:
  name: {name}
spec:
  {program}
  arguments: [\"100\"]
  mode: cluster
  sparkVersion: {version}
  image: apache/spark:{version}
  sparkConf:
    spark.driver.defaultJavaOptions: {QUICK_START}
    spark.executor.defaultJavaOptions: {QUICK_START}
  restartPolicy:
    type: Never
  volumes:
    - name: programs
      hostPath:
        path: {}
  driver:
    cores: 1
    coreRequest: 100m
    memory: 512m
    serviceAccount: spark
    volumeMounts:
      - name: programs
        mountPath: /programs
  executor:
    instances: 1
    coreRequest: 100m
    memory: 512m
    volumeMounts:
      - name: programs
        mountPath: /programs
",
        folder.display()
    )
}

fn manifests_run_python_and_a_jvm_class_on_every_version(cluster: &Cluster) {
    for version in VERSIONS {
        let folder = folder();
        programs(folder.path(), version);
        let python = "{type: Python, mainApplicationFile: local:///programs/sum.py}";
        let jvm = "{type: Java, mainClass: org.example.Sum, mainApplicationFile: local:///programs/sum.jar}";
        // Both at once, as on any cluster.
        let applications = [("python", python), ("jvm", jvm)].map(|(what, program)| {
            let fields = program.trim_matches(['{', '}']).replace(", ", "\n  ");
            let name = named(what, version);
            let text = manifest(&name, version, folder.path(), &fields);
            cluster.kubectl_with(&["apply", "-f", "-"], &text);
            name
        });
        for name in applications {
            let (_, log) = completed(cluster, &name);
            let expected = format!("the sum is 4950 with Spark {version}");
            assert!(log.contains(&expected), "{name}: {log}");
        }
    }
}

/// Each language once: what differs between versions is in the manifests' test, and a job without a
/// manifest is one with a manifest that the command line has written.
#[test]
fn programs_run_without_a_manifest_on_every_version() {
    let quick =
        ["driver", "executor"].map(|role| format!("spark.{role}.defaultJavaOptions={QUICK_START}"));
    let python = &["sum.py"][..];
    let jvm = &["--class", "org.example.Sum", "sum.jar"][..];
    for (version, program) in VERSIONS.into_iter().zip([jvm, python]) {
        let folder = tempfile::tempdir().unwrap();
        programs(folder.path(), version);
        let small = [
            "run",
            "--progress",
            "plain",
            "--spark-version",
            version,
            "--executors",
            "1",
            "--executor-memory",
            "512m",
            "--driver-memory",
            "512m",
            "--conf",
            &quick[0],
            "--conf",
            &quick[1],
        ];
        let (file, class) = program.split_last().unwrap();
        let file = folder.path().join(file).display().to_string();
        let line = [&small[..], class, &[&file, "100"]].concat();
        let before = std::fs::read(&file).unwrap();
        let answer = crate::common::windlass(&line);
        let told = format!(
            "{version} {program:?}: {}\n{}",
            answer.stdout, answer.stderr
        );
        assert_eq!(answer.code, 0, "{told}");
        let expected = format!("the sum is 4950 with Spark {version}");
        assert!(answer.stdout.contains(&expected), "{told}");
        assert!(answer.stderr.contains("COMPLETED in"), "{told}");
        // Spark deletes what it copies onto itself.
        assert_eq!(std::fs::read(&file).unwrap(), before);
    }
}

#[test]
fn a_python_program_finds_and_leaves_files_beside_itself() {
    let folder = tempfile::tempdir().unwrap();
    let job = r#"
from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()
print("read", open("words.txt").read().strip(), spark.read.text("words.txt").count())
spark.range(7).write.parquet("numbers")
"#;
    let job = crate::common::write(folder.path(), "job.py", job);
    crate::common::write(folder.path(), "words.txt", "one\ntwo\n");
    let answer = crate::common::windlass(&["run", "--executors", "1", &job]);
    let told = format!("{}\n{}", answer.stdout, answer.stderr);
    assert_eq!(answer.code, 0, "{told}");
    assert!(answer.stdout.contains("read one\ntwo 2"), "{told}");
    assert!(folder.path().join("numbers/_SUCCESS").exists(), "{told}");
}
