//! Manifests of the first Spark operator, and a cluster that serves them.

use std::time::Duration;

use crate::common::{Up, root, until, windlass, write};

/// Long enough for whatever has to happen; nothing waits for it when all is well.
const PATIENCE: Duration = Duration::from_mins(2);

fn old_manifest() -> String {
    let file = root().join("crates/api/testdata/original/example.yaml");
    file.display().to_string()
}

#[test]
fn a_manifest_of_that_time_is_refused_with_its_fields_or_run_with_an_image_of_today() {
    let old = old_manifest();
    for command in [
        &["validate", "-f", &old][..],
        &["render", "-f", &old],
        &["run", "-f", &old],
    ] {
        let answer = windlass(command);
        assert_eq!(answer.code, 2, "{command:?}: {}", answer.stderr);
        for field in ["spec.driver.image", "spec.executor.image"] {
            assert!(answer.stderr.contains(field), "{}", answer.stderr);
        }
        assert!(
            answer.stderr.contains("--original-image"),
            "{}",
            answer.stderr
        );
    }
    let image = ["--original-image", "apache/spark:4.3.0"];
    let validate = [&["validate", "-f", &old][..], &image].concat();
    let answer = windlass(&validate);
    assert_eq!(answer.code, 0, "{}", answer.stderr);
    insta::assert_snapshot!(answer.stderr.replace(&old, "old.yaml"));
    let render = [&["render", "-o", "json", "-f", &old][..], &image].concat();
    let answer = windlass(&render);
    assert_eq!(answer.code, 0, "{}", answer.stderr);
    let list: serde_json::Value = serde_json::from_str(&answer.stdout).unwrap();
    let items = list["items"].as_array().unwrap();
    let driver = items.iter().find(|it| it["kind"] == "Pod").unwrap();
    let spark = &driver["spec"]["containers"][0];
    assert_eq!(spark["image"], "apache/spark:4.3.0");
    assert_eq!(spark["resources"]["requests"]["cpu"], "100m");

    let answer = windlass(&["validate", "-f", &old, "--original-image", "apache/spark"]);
    assert_eq!(answer.code, 2);
    assert!(
        answer
            .stderr
            .contains("does not begin with a version of Spark"),
        "{}",
        answer.stderr
    );
}

#[test]
fn what_the_user_submits_is_valid_and_is_not_submitted() {
    let folder = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(old_manifest()).unwrap();
    let text = text.replace("submissionByUser: false", "submissionByUser: true");
    let file = write(folder.path(), "own.yaml", &text);
    let answer = windlass(&["validate", "-f", &file]);
    assert_eq!(answer.code, 0, "{}", answer.stderr);
    for command in ["render", "run"] {
        let answer = windlass(&[command, "-f", &file]);
        assert_eq!(answer.code, 2);
        let told = answer.stderr.replace(&file, "own.yaml");
        assert_eq!(
            told.trim_end(),
            "windlass: own.yaml: spec.submissionByUser: is true, so nothing is submitted for it: \
             apply the file with kubectl and call spark-submit yourself, or set it to false"
        );
    }
}

#[test]
fn policies_judge_the_manifests_of_every_kind_before_there_is_a_cluster() {
    let folder = tempfile::tempdir().unwrap();
    let policy = write(
        folder.path(),
        "policy.yaml",
        "
apiVersion: windlass.dev/v1alpha1
kind: SparkPolicy
metadata: {name: team}
spec:
  allowedImages: [registry.example.com/*]
  imageAliases: [{name: current, image: registry.example.com/spark:4.3.0, sparkVersion: 4.3.0}]
  deniedSparkConf: [spark.hadoop.fs.s3a.endpoint]
  enforced: {driver: {memory: 512m}}
",
    );
    let original = |image: &str, conf: &str| {
        format!(
            "
apiVersion: spark-operator.k8s.io/v1alpha1
kind: SparkApplication
metadata: {{name: first, annotations: {{windlass.dev/spark-version: 4.3.0}}}}
spec:
  type: Python
  mainApplicationFile: local:///job.py
  sparkConf: {{{conf}}}
  driver: {{image: {image}, memory: 8g}}
  executor: {{image: {image}, instances: 1}}
"
        )
    };
    let application = "
    type: Python
    mode: cluster
    sparkVersion: 4.3.0
    image: apache/spark:4.3.0
    mainApplicationFile: local:///job.py
    driver: {}
    executor: {instances: 1}
";
    let judged = |text: &str| {
        let file = write(folder.path(), "file.yaml", text);
        let answer = windlass(&["validate", "-f", &file, "--policy", &policy]);
        (answer.code, answer.stderr.replace(&file, "file.yaml"))
    };
    let (code, told) = judged(&original("current", ""));
    assert_eq!(code, 0, "{told}");
    let note = "note: file.yaml: spec.driver.memory is decided by SparkPolicy team";
    assert!(told.contains(note), "{told}");
    for (text, field) in [
        (original("apache/spark:4.3.0", ""), "spec.driver.image: "),
        (
            original("current", "spark.hadoop.fs.s3a.endpoint: http://elsewhere"),
            "spec.sparkConf[spark.hadoop.fs.s3a.endpoint]: ",
        ),
        (
            format!(
                "
apiVersion: sparkoperator.k8s.io/v1beta2
kind: ScheduledSparkApplication
metadata: {{name: nightly}}
spec:
  schedule: '@daily'
  template:{application}"
            ),
            "spec.template.image: ",
        ),
        (
            "
apiVersion: sparkoperator.k8s.io/v1alpha1
kind: SparkConnect
metadata: {name: sql}
spec:
  sparkVersion: 4.3.0
  image: apache/spark:4.3.0
  server: {}
  executor: {instances: 1}
"
            .to_owned(),
            "spec.image: ",
        ),
    ] {
        let (code, told) = judged(&text);
        assert_eq!(code, 2, "{told}");
        assert!(told.contains(&format!("file.yaml: {field}")), "{told}");
        assert!(told.contains("SparkPolicy team"), "{told}");
    }
}

#[test]
fn a_cluster_serves_the_first_api_where_it_is_asked_to_and_goes_on_doing_so() {
    let data = tempfile::tempdir().unwrap();
    let up = Up::on_with(data, "--original-api");
    up.kubectl_ok(&["apply", "-f", &old_manifest()]);
    let kind = "sparkapplications.spark-operator.k8s.io";
    let refused = until("the application to be refused", PATIENCE, || {
        let found = up.get(&[kind, "first-example"])?;
        (found["status"]["applicationState"]["state"] == "FAILED").then_some(found)
    });
    let app_id = refused["status"]["appId"].as_str().unwrap();
    let table = up.kubectl_ok(&["get", kind]);
    let cells: Vec<&str> = table.split_whitespace().collect();
    assert_eq!(
        cells[..8],
        [
            "NAME",
            "STATUS",
            "APP",
            "DRIVER",
            "FINISH",
            "AGE",
            "first-example",
            "FAILED"
        ]
    );
    assert_eq!(cells[8], app_id);
    // This is why it is not served unasked.
    let plain = up.kubectl_ok(&["get", "sparkapplications", "-o", "name"]);
    assert_eq!(
        plain.trim(),
        "sparkapplication.spark-operator.k8s.io/first-example"
    );
    assert_eq!(up.kubectl_ok(&["get", "sparkapp", "-o", "name"]), "");

    // The next one of the same data follows what it finds.
    let up = Up::on(up.kill());
    up.kubectl_ok(&["delete", kind, "first-example"]);
    let own = std::fs::read_to_string(old_manifest()).unwrap();
    let own = own.replace("submissionByUser: false", "submissionByUser: true");
    let file = write(up.data.path(), "own.yaml", &own);
    up.kubectl_ok(&["apply", "-f", &file]);
    until("the application to be followed", PATIENCE, || {
        let found = up.get(&[kind, "first-example"])?;
        (found["status"]["applicationState"]["state"] == "NEW").then_some(())
    });
}
