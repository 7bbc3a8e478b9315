//! The examples do what their comments say, with real Spark on both clusters.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::clusters::{Cluster, scenarios};
use crate::common::{Up, root, windlass, write};
use crate::executor_fields::AGENT;
use crate::real::{self, QUICK_START, completed, drivers, eventually};

scenarios! {
    examples_do_what_their_comments_say,
    a_scheduled_example_runs_when_it_is_triggered_and_one_with_a_time_to_live_goes_by_itself,
}

const PI: &str = "Pi is roughly 3.1";

/// Examples of applications that end well, and what their drivers print.
const APPLICATIONS: &[(&str, &[&str])] = &[
    ("spark-pi", &[PI]),
    ("python", &["there are 1229 primes below 10000"]),
    ("configmap", &["counted 9 words, 8 of them different"]),
    (
        "emptydir",
        &["7 groups of 1000 numbers", "shuffled through /scratch"],
    ),
    (
        "env-and-secrets",
        &["hello ada in Madrid", "the key has 11 characters"],
    ),
    ("custom-resources", &[PI]),
    ("dynamic-allocation", &[PI]),
    ("exposure", &[PI]),
    ("kube-scheduler", &[PI]),
    ("pod-template", &[PI]),
    (
        "prometheus",
        &["measured with 8090:/etc/metrics/conf/prometheus.yaml", PI],
    ),
    ("prometheus-servlet", &[PI]),
];

/// Examples that other tests are about, the one whose jar is in Spark's own images only, and those
/// that need a scheduler which neither cluster has.
const ELSEWHERE: [&str; 8] = [
    "jvm",
    "original",
    "retries",
    "scheduled",
    "spark-connect",
    "ttl",
    "volcano",
    "yunikorn",
];

/// How many run at once.
const AT_ONCE: usize = 3;

#[test]
fn every_example_is_in_a_table() {
    let files = fs::read_dir(root().join("examples")).unwrap();
    let names = files.filter_map(|entry| {
        let path = entry.unwrap().path();
        let is_manifest = path.extension().is_some_and(|it| it == "yaml");
        is_manifest.then(|| path.file_stem().unwrap().to_str().unwrap().to_owned())
    });
    let known = APPLICATIONS.iter().map(|(name, _)| *name).chain(ELSEWHERE);
    let known: BTreeSet<String> = known.map(str::to_owned).collect();
    assert_eq!(names.collect::<BTreeSet<_>>(), known);
}

fn examples_do_what_their_comments_say(cluster: &Cluster) {
    // What stands for the exporter says how it was called.
    let folder = tempfile::tempdir().unwrap();
    let sources = [("Agent.java", AGENT)];
    let manifest = "Premain-Class: Agent\n";
    real::jar(folder.path(), "agent.jar", "4.3.0", &sources, manifest);
    let jar = folder.path().join("agent.jar");
    let file = format!("--from-file=jmx_prometheus_javaagent.jar={}", jar.display());
    cluster.kubectl_ok(&["create", "configmap", "jmx-exporter", &file]);

    for some in APPLICATIONS.chunks(AT_ONCE) {
        for (example, _) in some {
            apply(cluster, example);
        }
        for (example, says) in some {
            let (_, log) = completed(cluster, example);
            for text in *says {
                assert!(log.contains(text), "{example}: {text:?}\n{log}");
            }
        }
    }
    let driver = |example: &str| drivers(cluster, example).pop().unwrap();
    let pod = driver("custom-resources");
    assert_eq!(
        spark_container(&pod)["resources"],
        json!({
            "requests": { "cpu": "250m", "memory": "768Mi" },
            "limits": { "cpu": "1", "memory": "768Mi" },
        })
    );
    let scheduler = &driver("kube-scheduler")["spec"]["schedulerName"];
    assert_eq!(scheduler, "default-scheduler");
    let port = &driver("prometheus")["metadata"]["annotations"]["prometheus.io/port"];
    assert_eq!(port, "8090");
}

fn a_scheduled_example_runs_when_it_is_triggered_and_one_with_a_time_to_live_goes_by_itself(
    cluster: &Cluster,
) {
    apply(cluster, "ttl");
    apply(cluster, "scheduled");
    let kubeconfig = cluster.kubeconfig.display().to_string();
    let trigger = ["trigger", "nightly-pi", "--kubeconfig", &kubeconfig];
    let answer = windlass(&trigger);
    assert_eq!(answer.code, 0, "{}", answer.stderr);
    let (_, log) = completed(cluster, "ttl");
    assert!(log.contains(PI), "{log}");
    let (_, log) = completed(cluster, answer.stdout.trim());
    assert!(log.contains(PI), "{log}");
    eventually("ttl to go", || {
        let application = cluster.get(&["sparkapplication", "ttl"]);
        application.is_none().then_some(())
    });
    eventually("its driver to go", || {
        drivers(cluster, "ttl").is_empty().then_some(())
    });
}

/// Applies an example in the namespace of the cluster's scenario, asking for little enough for a
/// node of two cores.
fn apply(cluster: &Cluster, example: &str) {
    let file = root().join(format!("examples/{example}.yaml"));
    let text = fs::read_to_string(file).unwrap();
    for mut object in windlass_api::parse::objects(&text).unwrap() {
        if let Some(metadata) = object["metadata"].as_object_mut() {
            metadata.remove("namespace");
        }
        match object["kind"].as_str() {
            Some("SparkApplication") => make_small(&mut object["spec"]),
            Some("ScheduledSparkApplication") => make_small(&mut object["spec"]["template"]),
            _ => {}
        }
        cluster.apply(&object);
    }
}

/// A file in the folder with an example whose JVMs start quickly.
fn small(folder: &Path, example: &str) -> String {
    let file = root().join(format!("examples/{example}.yaml"));
    let text = fs::read_to_string(file).unwrap();
    let mut documents = String::new();
    for mut object in windlass_api::parse::objects(&text).unwrap() {
        if object["kind"] == "SparkApplication" {
            start_quickly(&mut object["spec"]);
        }
        documents.push_str("---\n");
        documents.push_str(&windlass_api::parse::to_yaml(&object).unwrap());
    }
    write(folder, &format!("{example}.yaml"), &documents)
}

fn start_quickly(spec: &mut Value) {
    for role in ["driver", "executor"] {
        let options = format!("spark.{role}.defaultJavaOptions");
        spec["sparkConf"][options.as_str()] = json!(QUICK_START);
    }
}

fn make_small(spec: &mut Value) {
    start_quickly(spec);
    for role in ["driver", "executor"] {
        let request = &mut spec[role]["coreRequest"];
        if request.is_null() {
            *request = json!("100m");
        }
    }
}

fn spark_container(pod: &Value) -> &Value {
    let containers = pod["spec"]["containers"].as_array().unwrap();
    let mut containers = containers.iter();
    let spark = containers.find(|one| one["name"] == "spark-kubernetes-driver");
    spark.unwrap()
}

#[test]
fn an_example_that_fails_is_run_again_twice() {
    let folder = tempfile::tempdir().unwrap();
    let file = small(folder.path(), "retries");
    let answer = windlass(&["run", "--progress", "plain", "-f", &file]);
    let told = format!("{}\n{}", answer.stdout, answer.stderr);
    assert_eq!(answer.code, 1, "{told}");
    assert!(told.contains("the source is not there yet"), "{told}");
    assert!(answer.stderr.contains("attempt 3"), "{told}");
    assert!(!answer.stderr.contains("attempt 4"), "{told}");
}

#[test]
fn an_application_of_the_first_operator_runs_by_itself_and_where_its_api_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let file = small(folder.path(), "original");
    let answer = windlass(&["run", "--progress", "off", "-f", &file]);
    assert_eq!(answer.code, 0, "{}\n{}", answer.stdout, answer.stderr);
    assert!(answer.stdout.contains(PI), "{}", answer.stdout);

    let up = Up::with("--original-api");
    up.kubectl_ok(&["apply", "-f", &file]);
    let original = eventually("the application to end", || {
        let found = up.get(&["sparkapplications.spark-operator.k8s.io", "original"])?;
        let ends = ["COMPLETED", "FAILED"].map(|end| json!(end));
        ends.contains(&found["status"]["applicationState"]["state"])
            .then_some(found)
    });
    let log = up.kubectl_ok(&["logs", "original-driver"]);
    assert!(log.contains(PI), "{log}");
    let status = &original["status"];
    assert_eq!(status["applicationState"]["state"], "COMPLETED");
    assert_eq!(status["driverInfo"]["podName"], "original-driver");
    let executors = status["executorState"].as_object().unwrap();
    assert!(executors.values().all(|it| it == "COMPLETED"), "{status:#}");
    assert_eq!(executors.len(), 1, "{status:#}");
}
