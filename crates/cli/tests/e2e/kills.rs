//! The control plane is killed at every stage of one real job, which must not notice.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::common::{Answer, Up, until, write};
use crate::real::QUICK_START;

const PATIENCE: Duration = Duration::from_mins(5);
const NAME: &str = "killed";

/// Says when its executors have worked, talks until it is told to end, and counts what it said.
const JOB: &str = r#"
import os, sys, time
from pyspark.sql import SparkSession

signs = sys.argv[1]
spark = SparkSession.builder.getOrCreate()
count = spark.sparkContext.parallelize(range(100), 4).count()
open(os.path.join(signs, "worked"), "w").close()
lines = 0
while not os.path.exists(os.path.join(signs, "end")):
    print("line", lines, flush=True)
    lines += 1
    time.sleep(0.01)
again = spark.sparkContext.parallelize(range(100), 4).count()
spark.stop()
print("said", lines, "counted", count, again, flush=True)
"#;

/// The application; its driver waits for a ConfigMap.
fn application(version: &str, signs: &Path) -> Value {
    let signs = signs.display().to_string();
    let mounts = json!([
        {"name": "late", "mountPath": "/late"},
        {"name": "signs", "mountPath": signs},
    ]);
    json!({
        "apiVersion": "sparkoperator.k8s.io/v1beta2",
        "kind": "SparkApplication",
        "metadata": {"name": NAME},
        "spec": {
            "type": "Python",
            "mode": "cluster",
            "sparkVersion": version,
            "image": format!("apache/spark:{version}"),
            "mainApplicationFile": format!("local://{signs}/job.py"),
            "arguments": [signs],
            "sparkConf": {
                "spark.driver.defaultJavaOptions": QUICK_START,
                "spark.executor.defaultJavaOptions": QUICK_START,
            },
            "volumes": [
                {"name": "late", "configMap": {"name": "late"}},
                {"name": "signs", "hostPath": {"path": signs}},
            ],
            "driver": {"cores": 1, "memory": "512m", "volumeMounts": mounts},
            "executor": {"instances": 2, "cores": 1, "memory": "512m"},
        },
    })
}

/// A process that no other one can be taken for: its id, and when it was started.
type Process = (u32, String);

/// The JVMs of the job that were ever seen, each under what it is: the driver, or an executor.
type Seen = BTreeMap<String, BTreeSet<Process>>;

/// The JVMs of drivers and executors that run now. Executors are known by the application's id,
/// which stands in the command line, as the folder of the job does in the driver's.
fn jvms(marker: &str) -> Vec<(String, Process)> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let found: Vec<(u32, String, Process)> = entries
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let line = std::fs::read(entry.path().join("cmdline")).ok()?;
            let what = role(&String::from_utf8_lossy(&line), marker)?;
            let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
            let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
            let parent = fields.get(1)?.parse().ok()?;
            Some((parent, what, (pid, (*fields.get(19)?).to_owned())))
        })
        .collect();
    // A JVM that starts another program looks like two for a moment.
    let pids: BTreeSet<u32> = found.iter().map(|(_, _, (pid, _))| *pid).collect();
    let real = found
        .into_iter()
        .filter(|(parent, ..)| !pids.contains(parent));
    real.map(|(_, what, process)| (what, process)).collect()
}

/// What the JVM of a command line is to the job.
fn role(line: &str, marker: &str) -> Option<String> {
    let words: Vec<&str> = line.split('\0').collect();
    let after = |option: &str| {
        let at = words.iter().position(|word| *word == option)?;
        words.get(at + 1).copied()
    };
    let class = words
        .iter()
        .find(|word| word.starts_with("org.apache.spark."))?;
    if !words[0].ends_with("/java") {
        return None;
    }
    if *class == "org.apache.spark.deploy.SparkSubmit" {
        return line.contains(marker).then(|| "driver".to_owned());
    }
    let executor = class.ends_with("KubernetesExecutorBackend");
    executor.then(|| {
        Some(format!(
            "{} {}",
            after("--app-id")?,
            after("--executor-id")?
        ))
    })?
}

/// Looks for JVMs until it is told to stop, whether the cluster is up or not.
struct Watch {
    over: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<Seen>,
}

impl Watch {
    fn start(marker: String) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&over);
        let thread = std::thread::spawn(move || {
            let mut seen = Seen::new();
            while !told.load(Ordering::Relaxed) {
                for (what, process) in jvms(&marker) {
                    seen.entry(what).or_default().insert(process);
                }
                std::thread::sleep(Duration::from_millis(25));
            }
            seen
        });
        Self { over, thread }
    }

    fn end(self) -> Seen {
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

fn driver(marker: &str) -> Option<Process> {
    let mut found = jvms(marker).into_iter();
    found.find_map(|(what, process)| (what == "driver").then_some(process))
}

/// A command that goes on while the test does; what it says is shown when the test fails.
struct Beside {
    child: Child,
    folder: PathBuf,
}

impl Beside {
    fn start(up: &Up, folder: &Path, arguments: &[&str]) -> Self {
        let folder = folder.join(format!("{}-said", arguments[0]));
        std::fs::create_dir(&folder).unwrap();
        let file = |name: &str| std::fs::File::create(folder.join(name)).unwrap();
        let mut command = up.command(arguments);
        command.stdout(file("stdout")).stderr(file("stderr"));
        let child = command.spawn().unwrap();
        Self { child, folder }
    }

    fn said(&self, stream: &str) -> String {
        std::fs::read_to_string(self.folder.join(stream)).unwrap()
    }

    /// Waits for its end.
    fn end(&mut self) -> Answer {
        let status = until("a command to end", PATIENCE, || {
            self.child.try_wait().unwrap()
        });
        Answer {
            code: status.code().unwrap_or(-1),
            stdout: self.said("stdout"),
            stderr: self.said("stderr"),
        }
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        // It has ended already, unless the test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let (out, err) = (self.said("stdout"), self.said("stderr"));
            eprintln!("--- {} said:\n{err}{out}", self.folder.display());
        }
    }
}

fn settings(up: &Up) -> Vec<Vec<u8>> {
    ["kubeconfig", "api/port", "api/pki/ca.crt"]
        .map(|file| std::fs::read(up.data.path().join(file)).unwrap())
        .to_vec()
}

fn driver_pod(up: &Up) -> Option<Value> {
    up.get(&["pod", &format!("{NAME}-driver")])
}

fn a_job_goes_through_kills_of_the_control_plane(version: &str) {
    let folder = tempfile::tempdir().unwrap();
    let signs = folder.path();
    let marker = signs.display().to_string();
    write(signs, "job.py", JOB);
    let file = write(signs, "app.json", &application(version, signs).to_string());
    let sign = |name: &str| signs.join(name).exists().then_some(());
    let watch = Watch::start(marker.clone());

    let up = Up::start();
    let before = settings(&up);
    let token = up.kubectl_ok(&["create", "token", "default"]);
    up.kubectl_ok(&["create", "configmap", "kept", "--from-literal=a=b"]);
    let run = ["run", "--progress", "plain", "-f", &file];
    let mut run = Beside::start(&up, signs, &run);

    // The driver is pending.
    let pod = until("the driver to wait", PATIENCE, || {
        driver_pod(&up)
            .filter(|pod| pod["status"]["containerStatuses"][0]["state"]["waiting"].is_object())
    });
    let up = Up::on(up.kill());
    up.kubectl_ok(&["create", "configmap", "late", "--from-literal=a=b"]);

    // The driver is starting.
    let process = until("the driver to start", PATIENCE, || driver(&marker));
    let up = Up::on(up.kill());
    assert_eq!(driver(&marker).as_ref(), Some(&process), "{version}");
    until("the driver to be found again", PATIENCE, || {
        driver_pod(&up).filter(|pod| pod["status"]["phase"] == "Running")
    });
    let mut logs = Beside::start(&up, signs, &["logs", "-f", NAME]);

    // The executors work.
    until("the executors to have worked", PATIENCE, || sign("worked"));
    let up = Up::on(up.kill());
    assert_eq!(driver(&marker).as_ref(), Some(&process), "{version}");

    // The job ends.
    write(signs, "end", "");
    until("the driver to end", PATIENCE, || {
        driver(&marker).is_none().then_some(())
    });
    let up = Up::on(up.kill());
    let application = until("the result to be recorded", PATIENCE, || {
        up.get(&["sparkapplication", NAME])
            .filter(|found| found["status"]["applicationState"]["state"] == "COMPLETED")
    });
    assert_eq!(
        application["status"]["executionAttempts"], 1,
        "{application:#}"
    );
    let run = run.end();
    assert_eq!(run.code, 0, "{version}: {}", run.stderr);
    let logs = logs.end();
    assert_eq!(logs.code, 0, "{version}: {}", logs.stderr);

    // Nothing was done twice.
    let after = driver_pod(&up).unwrap();
    assert_eq!(after["metadata"]["uid"], pod["metadata"]["uid"]);
    assert_eq!(after["status"]["containerStatuses"][0]["restartCount"], 0);
    let id = application["status"]["sparkApplicationId"]
        .as_str()
        .unwrap();
    let mut seen = watch.end();
    seen.retain(|what, _| what == "driver" || what.starts_with(id));
    let expected = ["driver".to_owned(), format!("{id} 1"), format!("{id} 2")];
    let names: Vec<&String> = seen.keys().collect();
    assert_eq!(names, expected.iter().collect::<Vec<_>>(), "{version}");
    for (what, processes) in &seen {
        assert_eq!(processes.len(), 1, "{version}: {what} {processes:?}");
    }

    // The log is whole, whoever read it and however.
    let whole = up.windlass(&["logs", NAME]).stdout;
    let said: Vec<&str> = whole
        .lines()
        .filter(|line| line.starts_with("line "))
        .collect();
    let count = said.len();
    assert!(
        count > 0 && whole.contains(&format!("said {count} counted 100 100")),
        "{whole}"
    );
    let numbered: Vec<String> = (0..count).map(|number| format!("line {number}")).collect();
    assert_eq!(said, numbered, "{version}");
    assert_eq!(run.stdout, whole, "{version}: windlass run\n{}", run.stderr);
    assert_eq!(
        logs.stdout, whole,
        "{version}: windlass logs -f\n{}",
        logs.stderr
    );
    assert!(run.stderr.contains("the cluster is back"), "{}", run.stderr);
    for noise in ["lost", "ERROR", "WARN"] {
        assert!(!run.stderr.contains(noise), "{}", run.stderr);
    }

    // All else is as before.
    assert_eq!(settings(&up), before);
    assert!(up.get(&["configmap", "kept"]).is_some());
    up.kubectl_ok(&["--token", token.trim(), "auth", "whoami"]);
}

#[test]
fn a_job_of_spark_4_3_does_not_notice_that_the_control_plane_is_killed() {
    a_job_goes_through_kills_of_the_control_plane("4.3.0");
}

#[test]
fn a_job_of_spark_3_5_does_not_notice_that_the_control_plane_is_killed() {
    a_job_goes_through_kills_of_the_control_plane("3.5.9");
}
