//! What goes wrong, and what becomes of it: jobs that throw, attempts, executors that die or leave.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Child, Stdio};

use serde_json::{Value, json};

use crate::clusters::{Cluster, folder, scenarios};
use crate::common::{Kubectl, Up, processes, root, windlass, write};
use crate::real::{
    self, VERSIONS, application, completed, condition, ended, eventually, executor_names, look,
    named, sign,
};

scenarios! {
    a_job_that_fails_says_with_which_code_and_why,
    a_job_with_two_retries_runs_three_times_and_never_has_two_drivers,
    an_executor_that_is_killed_is_replaced_and_the_job_completes,
    a_driver_that_is_deleted_by_hand_is_told_and_run_again_if_wanted,
}

/// Lets a driver that needs no executors go on before they are there.
fn no_wait() -> Value {
    json!({ "spark.scheduler.minRegisteredResourcesRatio": "0" })
}

/// Ends as its argument says.
const FAILING: &str = r#"
import sys
from pyspark.sql import SparkSession

if sys.argv[1] == "exits":
    sys.exit(3)
spark = SparkSession.builder.getOrCreate()
if sys.argv[1] == "tasks":
    spark.sparkContext.parallelize([2, 1, 0], 1).map(lambda number: 1 / number).sum()
raise ValueError(f"cannot count with Spark {spark.version}")
"#;

fn a_job_that_fails_says_with_which_code_and_why(cluster: &Cluster) {
    let table = [
        ("python-throws", 1, "ValueError: cannot count"),
        ("jvm-exits", 7, ""),
        ("python-tasks", 1, "ZeroDivisionError: division by zero"),
        ("python-exits", 3, ""),
        (
            "jvm-throws",
            1,
            "java.lang.IllegalStateException: cannot count",
        ),
    ];
    // How a job fails is Spark's doing; how a pod that failed is told is the cluster's, and shows
    // in two.
    let table = match cluster {
        Cluster::Embedded(_) => &table[..],
        Cluster::Kubernetes(_) => &table[..2],
    };
    for &version in cluster.versions() {
        let folder = folder();
        write(folder.path(), "job.py", FAILING);
        let sources = [("Sum.java", include_str!("Sum.java"))];
        real::jar(folder.path(), "job.jar", version, &sources, "");
        for (what, ..) in table {
            let (language, way) = what.split_once('-').unwrap();
            let (file, mut more) = if language == "python" {
                ("job.py", json!({ "arguments": [way] }))
            } else {
                let class = "org.example.Sum";
                let more = json!({ "type": "Java", "mainClass": class, "arguments": ["4", way] });
                ("job.jar", more)
            };
            more["sparkConf"] = no_wait();
            let name = named(what, version);
            let object = application(&name, version, folder.path(), file, &more);
            cluster.apply(&object);
        }
        for &(what, code, cause) in table {
            let application = ended(cluster, &named(what, version));
            let status = &application["status"];
            let state = &status["applicationState"];
            assert_eq!(state["state"], "FAILED", "{application:#}");
            let message = state["errorMessage"].as_str().unwrap();
            let expected = format!("the driver exited with code {code}");
            assert!(message.contains(&expected), "{what} {version}: {message}");
            assert!(message.contains(cause), "{what} {version}: {message}");
            let succeeded = condition(&application, "Succeeded");
            assert_eq!(succeeded["status"], "False", "{application:#}");
            assert_eq!(succeeded["reason"], "DriverFailed", "{application:#}");
            let told = succeeded["message"].as_str().unwrap();
            assert!(told.contains(&expected), "{application:#}");
            let running = condition(&application, "Running");
            assert_eq!(running["status"], "False", "{application:#}");
            let outcome = &status["attempt"]["outcome"];
            assert_eq!(outcome["exitCode"], code, "{application:#}");
            assert_eq!(outcome["state"], "FAILED", "{application:#}");
            assert_eq!(status["executionAttempts"], 1, "{application:#}");
            assert_eq!(status["attemptHistory"], Value::Null, "{application:#}");
        }
    }
}

/// Records when each run begins and ends; no run ends well.
const RETRIED: &str = r#"
import os, sys
from pyspark.sql import SparkSession

def record(text):
    with open("/job/runs", "a") as runs:
        runs.write(text + "\n")

record("begin")
spark = SparkSession.builder.getOrCreate()
record("end")
sys.exit(4)
"#;

/// A `kubectl get --watch` that records every change of driver pods.
struct Watch {
    process: Child,
    file: tempfile::NamedTempFile,
}

impl Watch {
    fn of_drivers(cluster: &Kubectl) -> Self {
        let file = tempfile::NamedTempFile::new().unwrap();
        let process = cluster
            .kubectl(&["get", "pods", "-l", "spark-role=driver", "-o", "json"])
            .args(["--watch", "--output-watch-events"])
            .stdout(Stdio::from(file.reopen().unwrap()))
            .spawn()
            .unwrap();
        Self { process, file }
    }

    fn events(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.file.path()).unwrap();
        // The last one may still be on its way.
        serde_json::Deserializer::from_str(&text)
            .into_iter()
            .map_while(Result::ok)
            .collect()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn a_job_with_two_retries_runs_three_times_and_never_has_two_drivers(cluster: &Cluster) {
    let watch = Watch::of_drivers(cluster);
    let applications = cluster.versions().iter().map(|version| {
        let folder = folder();
        write(folder.path(), "job.py", RETRIED);
        let more = json!({
            "sparkConf": no_wait(),
            "restartPolicy": {
                "type": "OnFailure",
                "onFailureRetries": 2,
                "onFailureRetryInterval": 1,
            },
        });
        let name = named("again", version);
        let object = application(&name, version, folder.path(), "job.py", &more);
        cluster.apply(&object);
        (name, folder)
    });
    // All of them begin before the first is waited for.
    let applications: Vec<_> = applications.collect();
    for (name, folder) in applications {
        let application = ended(cluster, &name);
        let status = &application["status"];
        assert_eq!(status["applicationState"]["state"], "FAILED");
        assert_eq!(status["executionAttempts"], 3, "{application:#}");
        assert_eq!(status["attempt"]["number"], 3, "{application:#}");
        let history = status["attemptHistory"].as_array().unwrap();
        let attempts: Vec<&Value> = history.iter().chain([&status["attempt"]]).collect();
        for (index, attempt) in attempts.iter().enumerate() {
            assert_eq!(attempt["number"], index + 1, "{application:#}");
            assert_eq!(attempt["outcome"]["exitCode"], 4, "{application:#}");
            assert_eq!(attempt["outcome"]["reason"], "DriverFailed");
        }
        assert_eq!(attempts.len(), 3, "{application:#}");

        let runs = fs::read_to_string(folder.path().join("runs")).unwrap();
        let runs: Vec<&str> = runs.lines().collect();
        assert_eq!(runs, ["begin", "end"].repeat(3), "one after the other");

        let mut live = BTreeSet::new();
        let mut seen = BTreeSet::new();
        for event in watch.events() {
            let pod = &event["object"];
            if pod["metadata"]["labels"]["sparkoperator.k8s.io/app-name"] != name {
                continue;
            }
            let uid = pod["metadata"]["uid"].as_str().unwrap().to_owned();
            let over = matches!(
                pod["status"]["phase"].as_str(),
                Some("Succeeded" | "Failed")
            );
            if event["type"] == "DELETED" || over {
                live.remove(&uid);
            } else {
                live.insert(uid.clone());
            }
            seen.insert(uid);
            assert!(live.len() <= 1, "two drivers of {name} live: {live:?}");
        }
        assert_eq!(seen.len(), 3, "drivers of {name}");
    }
}

/// Waits until the test says how it ends, in its first run for ever.
const DELETED: &str = r#"
import os, time
from pyspark.sql import SparkSession

spark = SparkSession.builder.getOrCreate()
print(f"counted {spark.range(10).count()}", flush=True)
first = not os.path.exists("/job/begun")
open("/job/begun", "w").close()
deadline = time.monotonic() + 280
while first:
    if time.monotonic() > deadline:
        raise SystemExit("nobody deleted it")
    time.sleep(0.1)
spark.stop()
"#;

fn a_driver_that_is_deleted_by_hand_is_told_and_run_again_if_wanted(cluster: &Cluster) {
    let restart = |policy: Value| json!({ "restartPolicy": policy });
    let retried =
        json!({ "type": "OnFailure", "onFailureRetries": 1, "onFailureRetryInterval": 1 });
    let applications = [
        ("deleted", restart(json!({ "type": "Never" }))),
        ("deleted-again", restart(retried)),
    ]
    .map(|(name, more)| {
        let folder = folder();
        write(folder.path(), "job.py", DELETED);
        cluster.apply(&application(
            name,
            VERSIONS[1],
            folder.path(),
            "job.py",
            &more,
        ));
        (name, folder)
    });
    for (name, folder) in &applications {
        sign(cluster, name, &folder.path().join("begun"));
        cluster.kubectl_ok(&["delete", "pod", &format!("{name}-driver")]);
    }
    let told = ended(cluster, "deleted");
    assert_eq!(told["status"]["applicationState"]["state"], "FAILED");
    let message = told["status"]["applicationState"]["errorMessage"].as_str();
    let message = message.unwrap();
    assert!(message.contains("driver pod deleted-driver"), "{message}");
    assert!(message.contains("deleted"), "{message}");
    let (again, log) = completed(cluster, "deleted-again");
    assert!(log.contains("counted 10"), "{log}");
    assert_eq!(again["status"]["executionAttempts"], 2, "{again:#}");
}

/// Twice waits for two executors and lets the test kill one of them; each time the work is done
/// by two again.
const KILLED: &str = r#"
import os, time
from pyspark.sql import SparkSession

def wait_for(condition):
    deadline = time.monotonic() + 280
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit("nothing happened for too long")
        time.sleep(0.1)

def task(number):
    # Long enough to be at work when the executor dies.
    wait_for(lambda: os.path.exists(f"/job/killed-{round}"))
    return number

spark = SparkSession.builder.getOrCreate()
for round in [1, 2]:
    total = spark.sparkContext.parallelize(range(6), 6).map(task).sum()
    print(f"round {round}: {total}", flush=True)
spark.stop()
"#;

fn an_executor_that_is_killed_is_replaced_and_the_job_completes(cluster: &Cluster) {
    for &version in cluster.versions() {
        let folder = folder();
        write(folder.path(), "job.py", KILLED);
        let name = named("wounded", version);
        // Dead executors stay, so that their end can be looked at.
        let more = json!({ "executor": { "instances": 2, "deleteOnTermination": false } });
        let object = application(&name, version, folder.path(), "job.py", &more);
        cluster.apply(&object);

        let two = || {
            eventually("two executors", || {
                let names = executor_names(cluster, &name);
                (names.len() == 2).then_some(names)
            })
        };
        let first = two();
        cluster.kubectl_ok(&["delete", "pod", &first[0], "--force", "--grace-period=0"]);
        let second = two();
        assert!(!second.contains(&first[0]), "{first:?} {second:?}");
        fs::write(folder.path().join("killed-1"), "").unwrap();

        let victim = &second[0];
        let found = processes(&format!("--podName\0{victim}"));
        assert_eq!(found.len(), 1, "the process of {victim}");
        let pid = rustix::process::Pid::from_raw(found[0].cast_signed()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        let third = eventually("a third executor", || {
            let mut names = executor_names(cluster, &name);
            names.retain(|one| one != victim);
            (names.len() == 2).then_some(names)
        });
        let dead = cluster.get(&["pod", victim]).unwrap();
        let statuses = dead["status"]["containerStatuses"].as_array().unwrap();
        let terminated = &statuses[0]["state"]["terminated"];
        assert_eq!(terminated["exitCode"], 137, "{dead:#}");
        fs::write(folder.path().join("killed-2"), "").unwrap();

        let (application, log) = completed(cluster, &name);
        assert!(log.contains("round 1: 15"), "{log}");
        assert!(log.contains("round 2: 15"), "{log}");
        assert!(
            cluster.get(&["pod", victim]).is_some(),
            "it stays, as asked for"
        );
        let states = &application["status"]["executorState"];
        assert_eq!(states[victim], "FAILED", "{application:#}");
        for survivor in third {
            assert_eq!(states[&survivor], "COMPLETED", "{application:#}");
        }
    }
}

/// What jobs begin with whose tasks meet on two executors.
const MEETING: &str = r#"
import operator, os, socket, time
from pyspark.sql import SparkSession

def wait_for(condition):
    deadline = time.monotonic() + 280
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit("nothing happened for too long")
        time.sleep(0.1)

def meet(part):
    here = socket.gethostname()
    with open("/job/computed", "a") as computed:
        computed.write(f"{part} {here}\n")
    # Both executors take part: one core each, so neither can do it alone.
    open(f"/job/at-{here}", "w").close()
    wait_for(lambda: sum(name.startswith("at-") for name in os.listdir("/job")) == 2)
"#;

/// Caches what two executors computed; when one of them has left, nothing is computed again.
const CACHED: &str = r#"
def compute(part, numbers):
    meet(part)
    return [sum(numbers)]

spark = SparkSession.builder.getOrCreate()
rows = spark.sparkContext.parallelize(range(8), 4).mapPartitionsWithIndex(compute).cache()
print(f"first: {rows.sum()}", flush=True)
open("/job/cached", "w").close()
wait_for(lambda: os.path.exists("/job/left"))
print(f"second: {rows.sum()}", flush=True)
spark.stop()
"#;

#[test]
fn an_executor_that_is_deleted_leaves_gracefully_with_its_blocks_moved_away() {
    let up = Up::start();
    for version in VERSIONS {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "job.py", &format!("{MEETING}{CACHED}"));
        let application_name = named("leaving", version);
        let more = json!({
            "sparkConf": {
                "spark.decommission.enabled": "true",
                "spark.storage.decommission.enabled": "true",
                "spark.storage.decommission.rddBlocks.enabled": "true",
                "spark.storage.decommission.replicationReattemptInterval": "1s",
            },
            "executor": {
                "instances": 2,
                "terminationGracePeriodSeconds": 120,
                "lifecycle": { "preStop": { "exec": { "command": ["true"] } } },
            },
        });
        let object = application(&application_name, version, folder.path(), "job.py", &more);
        up.kubectl_with(&["apply", "-f", "-"], &object.to_string());
        sign(&up, &application_name, &folder.path().join("cached"));
        let not_applied = condition(&look(&up, &application_name), "FieldNotApplied").clone();
        let told = not_applied["message"].as_str().unwrap_or_default();
        assert!(told.contains("spec.executor.lifecycle"), "{not_applied:#}");

        let leaving = executor_names(&up, &application_name).remove(0);
        let watched = tempfile::NamedTempFile::new().unwrap();
        let mut follow = up
            .kubectl(&["logs", "-f", &leaving])
            .stdout(Stdio::from(watched.reopen().unwrap()))
            .spawn()
            .unwrap();
        up.kubectl_ok(&["delete", "pod", &leaving, "--timeout=200s"]);
        follow.wait().unwrap();
        let log = fs::read_to_string(watched.path()).unwrap();
        assert!(log.contains("Executor self-exiting due to"), "{log}");
        assert!(log.contains("Finished decommissioning"), "{log}");
        fs::write(folder.path().join("left"), "").unwrap();

        let (application, log) = completed(&up, &application_name);
        assert!(log.contains("first: 28"), "{log}");
        assert!(log.contains("second: 28"), "{log}");
        let computed = fs::read_to_string(folder.path().join("computed")).unwrap();
        assert_eq!(computed.lines().count(), 4, "computed again: {computed}");
        let states = &application["status"]["executorState"];
        assert_eq!(states[&leaving], "COMPLETED", "{application:#}");
    }
}

/// Shuffles between two executors, and reads the shuffle again when one of them has left.
const SHUFFLED: &str = r#"
def write(part, numbers):
    meet(part)
    return [(number % 2, number) for number in numbers]

spark = SparkSession.builder.getOrCreate()
pairs = spark.sparkContext.parallelize(range(8), 4).mapPartitionsWithIndex(write)
sums = pairs.reduceByKey(operator.add, 2)
print(f"first: {sums.count()}", flush=True)
open("/job/cached", "w").close()
wait_for(lambda: os.path.exists("/job/left"))
print(f"second: {sorted(sums.collect())}", flush=True)
spark.stop()
"#;

#[test]
fn an_executor_on_a_spot_node_that_leaves_mid_shuffle_costs_no_work() {
    let up = Up::start();
    for version in VERSIONS {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "job.py", &format!("{MEETING}{SHUFFLED}"));
        let application_name = named("spot", version);
        let more = json!({
            "sparkConf": { "spark.storage.decommission.replicationReattemptInterval": "1s" },
            "executor": { "instances": 2, "spot": true, "terminationGracePeriodSeconds": 120 },
        });
        let object = application(&application_name, version, folder.path(), "job.py", &more);
        up.kubectl_with(&["apply", "-f", "-"], &object.to_string());
        sign(&up, &application_name, &folder.path().join("cached"));
        let leaving = executor_names(&up, &application_name).remove(0);
        up.kubectl_ok(&["delete", "pod", &leaving, "--timeout=200s"]);
        fs::write(folder.path().join("left"), "").unwrap();

        let (application, log) = completed(&up, &application_name);
        assert!(log.contains("first: 2"), "{log}");
        assert!(log.contains("second: [(0, 12), (1, 16)]"), "{log}");
        let computed = fs::read_to_string(folder.path().join("computed")).unwrap();
        assert_eq!(computed.lines().count(), 4, "computed again: {computed}");
        let states = &application["status"]["executorState"];
        assert_eq!(states[&leaving], "COMPLETED", "{application:#}");
    }
}

#[test]
fn executors_too_large_for_the_machine_are_told_while_the_driver_waits() {
    let folder = tempfile::tempdir().unwrap();
    let job = write(folder.path(), "greedy.py", &format!("{MEETING}{CACHED}"));
    let up = Up::start();
    let told = tempfile::NamedTempFile::new().unwrap();
    let run = up
        .command(&["run", "--progress", "plain", "--driver-memory", "512m"])
        .args(["--executor-memory", "900g", &job])
        .stdout(Stdio::null())
        .stderr(Stdio::from(told.reopen().unwrap()))
        .spawn()
        .unwrap();
    let wanted = "2 executors wait: no node takes the executor pod: 0/1 nodes are available: \
                  1 Insufficient memory; lower spec.executor.memory or \
                  spec.executor.memoryOverhead";
    let text = || fs::read_to_string(told.path()).unwrap();
    eventually("the run to say why it stands still", || {
        text().contains(wanted).then_some(())
    });
    let application = look(&up, "greedy");
    assert_eq!(real::state(&application), "RUNNING", "{application:#}");
    let held_up = condition(&application, "ExecutorsHeldUp");
    assert_eq!(held_up["status"], "True", "{application:#}");
    assert_eq!(held_up["reason"], "Unschedulable", "{application:#}");
    assert_eq!(held_up["message"], wanted, "{application:#}");

    let pid = rustix::process::Pid::from_raw(run.id().cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let ended = run.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(4), "{}", text());
}

#[test]
fn a_job_that_loses_an_executor_heals() {
    let folder = tempfile::tempdir().unwrap();
    let job = folder.path().join("sales.py");
    std::fs::copy(root().join("examples/jobs/sales.py"), &job).unwrap();
    let job = job.display().to_string();
    let answer = windlass(&["run", "--progress", "plain", &job, "--lose-an-executor"]);
    assert_eq!(answer.code, 0, "{}\n{}", answer.stdout, answer.stderr);
    assert!(
        answer.stdout.contains("healed: two executors again"),
        "{}",
        answer.stdout
    );
    assert!(
        answer.stdout.contains("read 2000000 rows"),
        "{}",
        answer.stdout
    );
    assert!(answer.stderr.contains("was lost"), "{}", answer.stderr);
}
