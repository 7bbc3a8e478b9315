//! Airflow's operator and sensor for Spark applications, set up and used as the guide says.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::json;

use super::{installed, read, source};
use crate::common::{Answer, Kubectl, Up, WINDLASS, root, shell_lines, until};
use crate::real::PATIENCE;

/// What `hack/setup.sh --catalog` has done before.
const DONE: [&str; 3] = [
    "python3 -m venv ~/airflow-venv",
    "source ~/airflow-venv/bin/activate",
    "pip install -r crates/cli/tests/clients/airflow/requirements.txt",
];

/// Fails when it is told to, so that Airflow is seen to show the log before the end.
const JOB: &str = r#"
import pathlib, time

# Airflow shows a line when the next one has come.
print("waiting for the word", flush=True)
print("still waiting", flush=True)
deadline = time.monotonic() + 280
while not pathlib.Path("/tmp/fail").exists() and time.monotonic() < deadline:
    time.sleep(0.1)
raise SystemExit("the source is gone")
"#;

#[test]
fn airflow_shows_the_log_of_a_job_and_its_task_ends_as_the_job_does() {
    let home = Home::new();
    let guide = home.follow("docs/airflow.md");
    assert!(guide.contains("Pi is roughly 3.1"), "{guide}");
    // It removes the application of a task that has ended.
    assert!(guide.contains("No resources found"), "{guide}");

    let up = Up::start();
    up.apply(&json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": { "name": "job" },
        "data": { "job.py": JOB },
    }));
    let mut failures = home.start("failures", &account(&up));
    until("the driver's log at Airflow", PATIENCE, || {
        let told = failures.told();
        assert!(failures.runs(), "{told}");
        told.contains("waiting for the word").then_some(())
    });
    up.kubectl_ok(&["exec", "shown-driver", "--", "touch", "/tmp/fail"]);
    let status = until("Airflow to end", PATIENCE, || {
        failures.process.try_wait().expect("it can be waited for")
    });
    let told = failures.told();
    assert_eq!(status.code(), Some(1), "{told}");
    for text in [
        // Of the application that had failed when Airflow looked first.
        "Spark Job Failed. Error stack: ",
        "/nowhere/job.py",
        // Of the driver whose log it followed.
        "the source is gone",
        "Pod shown-driver returned a failure",
        // Of the sensor.
        "Spark application failed with state: FAILED",
    ] {
        assert!(told.contains(text), "{text:?} {told}");
    }
}

/// A kubeconfig of the account that the guide gives Airflow.
fn account(up: &Up) -> PathBuf {
    let rules = root().join("examples/airflow/account.yaml");
    up.kubectl_ok(&["apply", "-f", &rules.display().to_string()]);
    let token = up.kubectl_ok(&["create", "token", "airflow"]);
    let own = Kubectl {
        kubeconfig: up.data.path().join("airflow-kubeconfig"),
        home: up.home.clone(),
    };
    fs::copy(&up.kubeconfig, &own.kubeconfig).unwrap();
    let credentials = [
        "config",
        "set-credentials",
        "airflow",
        "--token",
        token.trim(),
    ];
    own.kubectl_ok(&credentials);
    own.kubectl_ok(&["config", "set-context", "--current", "--user=airflow"]);
    own.kubeconfig
}

/// The home of somebody who has Airflow.
struct Home {
    folder: tempfile::TempDir,
    airflow: PathBuf,
}

impl Home {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let airflow = installed("airflow", "requirements.txt");
        for directory in ["bin", "tmp", "examples/airflow", "failures"] {
            fs::create_dir_all(folder.path().join(directory)).unwrap();
        }
        std::os::unix::fs::symlink(WINDLASS, folder.path().join("bin/windlass")).unwrap();
        for file in [
            "spark-pi.yaml",
            "airflow/spark_pi.py",
            "airflow/account.yaml",
        ] {
            let example = Path::new("examples").join(file);
            fs::copy(root().join(&example), folder.path().join(&example)).unwrap();
        }
        let failures = source("airflow").join("failures.py");
        fs::copy(failures, folder.path().join("failures/failures.py")).unwrap();
        Self { folder, airflow }
    }

    /// A shell of this user.
    fn bash(&self, script: &str) -> Command {
        let path = std::env::var("PATH").unwrap();
        let home = self.folder.path();
        let programs = [home.join("bin"), self.airflow.join("bin")];
        let [own, airflow] = programs.map(|folder| folder.display().to_string());
        let mut bash = Command::new("bash");
        bash.args(["-c", script])
            .current_dir(home)
            .env("PATH", format!("{own}:{airflow}:{path}"))
            .env("HOME", home)
            .env("TMPDIR", home.join("tmp"))
            .env("WINDLASS_CACHE", windlass::sparks::cache())
            .env_remove("WINDLASS_DATA_DIR")
            .env_remove("XDG_DATA_HOME")
            .stdin(Stdio::null());
        bash
    }

    /// Runs the commands of the guide, and returns what they printed.
    fn follow(&self, document: &str) -> String {
        let text = fs::read_to_string(root().join(document)).unwrap();
        let mut script = String::from("set -euo pipefail\nexec 2>&1\n");
        let mut done = DONE.to_vec();
        for line in shell_lines(&text) {
            if done.contains(&line.as_str()) {
                done.retain(|listed| *listed != line);
                continue;
            }
            // Other clusters of this machine may have the usual port.
            let line = line.replace("windlass up --detach", "windlass up --detach --port 0");
            script.push_str(&format!("echo '+ {}'\n{line}\n", line.replace('\'', "")));
        }
        assert!(done.is_empty(), "{document} does not show {done:?}");
        let answer = Answer::from(self.bash(&script).output().unwrap());
        // A session that failed leaves its cluster.
        let _ = self.bash("windlass down").output();
        assert_eq!(answer.code, 0, "{document}:\n{script}\n{}", answer.stdout);
        answer.stdout
    }

    /// Starts a DAG of the tests on the cluster of this kubeconfig.
    fn start(&self, dag: &str, kubeconfig: &Path) -> Airflow {
        let output = self.folder.path().join("output");
        // In the place of the shell, so that it can be ended by its number.
        let script = format!("exec airflow dags test {dag} >output 2>&1");
        let process = self
            .bash(&script)
            .env("AIRFLOW_HOME", self.folder.path().join("airflow"))
            .env("AIRFLOW__CORE__LOAD_EXAMPLES", "false")
            .env("AIRFLOW__CORE__DAGS_FOLDER", self.folder.path().join(dag))
            .env("KUBECONFIG", kubeconfig)
            .spawn()
            .unwrap();
        Airflow { process, output }
    }
}

/// Airflow at work.
struct Airflow {
    process: Child,
    output: PathBuf,
}

impl Airflow {
    fn told(&self) -> String {
        read(&self.output)
    }

    fn runs(&mut self) -> bool {
        matches!(self.process.try_wait(), Ok(None))
    }
}

impl Drop for Airflow {
    fn drop(&mut self) {
        // A failed test leaves it running.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
