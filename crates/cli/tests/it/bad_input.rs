//! Wrong input is refused with one clear message, before anything is started.

use crate::common::{windlass, write};

const GOOD: &str = "
apiVersion: sparkoperator.k8s.io/v1beta2
kind: SparkApplication
metadata: {name: app}
spec:
  type: Python
  mode: cluster
  sparkVersion: 4.3.0
  image: apache/spark:4.3.0
  mainApplicationFile: local:///opt/job.py
  driver: {cores: 1, memory: 512m}
  executor: {instances: 1, cores: 1, memory: 512m}
";

#[test]
fn every_mistake_in_a_manifest_is_told_with_its_field() {
    let folder = tempfile::tempdir().unwrap();
    let changed = |from: &str, to: &str| {
        assert!(GOOD.contains(from));
        GOOD.replace(from, to)
    };
    let long = "a".repeat(64);
    let cases = [
        (
            "an unknown field",
            changed(
                "sparkVersion: 4.3.0",
                "sparkVersion: 4.3.0\n  sparkVerison: 4.3.0",
            ),
        ),
        ("a wrong type", changed("instances: 1", "instances: many")),
        (
            "a name that is too long",
            changed("name: app", &format!("name: {long}")),
        ),
        (
            "memory that is none",
            changed("memory: 512m}\n  executor", "memory: lots}\n  executor"),
        ),
        (
            "no application",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n".to_owned(),
        ),
        ("no manifest", "just a text\n".to_owned()),
        ("nothing", String::new()),
        ("no YAML", "a: [1\n".to_owned()),
        (
            "a local file",
            changed("local:///opt/job.py", "/opt/job.py"),
        ),
        ("client mode", changed("mode: cluster", "mode: client")),
        (
            "a number beyond all bounds",
            changed(
                "cores: 1, memory: 512m}\n  exec",
                "cores: 3000000000, memory: 512m}\n  exec",
            ),
        ),
        (
            "a key that a terminal would obey",
            format!("{GOOD}  deps: {{\"a\\n\\e[2Jb\": c}}\n"),
        ),
        (
            "an object beside it without a name",
            format!("{GOOD}---\napiVersion: v1\nkind: ConfigMap\n"),
        ),
        ("a text beside it", format!("{GOOD}---\njust a text\n")),
        (
            "the second of two",
            format!("{GOOD}---\n{}", changed("mode: cluster", "mode: client")),
        ),
    ];
    let mut transcript = String::new();
    for (name, text) in cases {
        write(folder.path(), "app.yaml", &text);
        let file = folder.path().join("app.yaml").display().to_string();
        let answer = windlass(&["validate", "-f", &file]);
        assert_eq!(answer.code, 2, "{name}: {}", answer.stderr);
        assert_eq!(answer.stdout, "", "{name}");
        let run = windlass(&["run", "--progress", "off", "-f", &file]);
        assert_eq!(run.code, 2, "{name}: {}", run.stderr);
        transcript.push_str(&format!(
            "# {name}\n{}",
            answer.stderr.replace(&file, "app.yaml")
        ));
    }
    insta::assert_snapshot!(transcript);
}

#[test]
fn files_and_arguments_that_do_not_fit_are_refused() {
    let answers: Vec<String> = [
        &["run", "no-such-job.py"][..],
        &["run", "-f", "no-such.yaml"],
        &["validate", "-f", "/"],
        &[
            "render",
            "--spark-version",
            "4.3.0",
            "--",
            "--deploy-mode",
            "cluster",
            "local:///a.py",
        ],
        &["logs", "app", "--data-dir", "/nonexistent/windlass"],
    ]
    .iter()
    .map(|arguments| {
        let answer = windlass(arguments);
        format!(
            "$ windlass {}\n{}exit code {}",
            arguments.join(" "),
            answer.stderr,
            answer.code
        )
    })
    .collect();
    insta::assert_snapshot!(answers.join("\n"));
}

#[test]
fn where_logs_are_kept_and_for_how_long_is_refused_before_a_cluster_is_asked() {
    for (arguments, words) in [
        (&["operator", "--keep-logs=s3://logs"][..], "is an address"),
        (
            &["operator", "--keep-logs=objectstore/logs"],
            "objectstore/NAMESPACE/NAME",
        ),
        (
            &["operator", "--keep-logs=objectstore/team/logs"],
            "add it, or name a folder",
        ),
        (
            &["operator", "--keep-logs=/l", "--log-retention=-1h"],
            "duration such as 168h",
        ),
        (
            &["operator", "--keep-logs=/l", "--log-size=4Ki"],
            "at least 1Mi",
        ),
        (
            &["install", "--storage", "--keep-logs=/l"],
            "--keep-logs-claim",
        ),
        (
            &["install", "--keep-logs=objectstore/team/logs"],
            "--storage",
        ),
        (
            &["logs", "sales", "--kept=objectstore/team"],
            "objectstore/NAMESPACE/NAME",
        ),
    ] {
        let answer = windlass(arguments);
        assert_eq!(answer.code, 2, "{arguments:?}: {}", answer.stderr);
        assert!(
            answer.stderr.contains(words),
            "{arguments:?}: {}",
            answer.stderr
        );
    }
}
