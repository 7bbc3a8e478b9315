//! The page of a job that is over: real Spark's event log on this machine, shown by Spark's history server; and one on
//! a claim, shown by a SparkHistoryServer.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::applications::ok;
use crate::common::{Up, until, until_no_process, write};

const PATIENCE: Duration = Duration::from_mins(2);

/// Calls itself something else than its application is called.
const JOB: &str = "from pyspark.sql import SparkSession\n\
    spark = SparkSession.builder.appName('Counting').getOrCreate()\n\
    print('counted', spark.range(1000).count())\n";

/// A `windlass ui`, and the page that it leads to.
struct Page {
    command: Child,
    address: String,
    path: String,
}

impl Page {
    fn of(up: &Up, name: &str) -> Self {
        Self::that_leads(up, &["ui", name, "--no-browser"])
    }

    /// Of a command that prints a URL and leads there.
    fn that_leads(up: &Up, arguments: &[&str]) -> Self {
        let mut command = up
            .command(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut url = String::new();
        let mut stdout = BufReader::new(command.stdout.take().unwrap());
        stdout.read_line(&mut url).unwrap();
        let rest = url.trim().strip_prefix("http://");
        let (address, path) = rest.and_then(|rest| rest.split_once('/')).expect("a URL");
        Self {
            command,
            address: address.to_owned(),
            path: format!("/{path}"),
        }
    }

    /// What is at a path; the server leads elsewhere while it reads an event log for the first time.
    fn get(&self, path: &str) -> String {
        let mut path = path.to_owned();
        for _ in 0..5 {
            let mut stream = TcpStream::connect(&self.address).unwrap();
            let host = &self.address;
            write!(stream, "GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n").unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).unwrap();
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            let elsewhere = head
                .lines()
                .find_map(|line| line.strip_prefix("Location: "));
            let Some(elsewhere) = elsewhere else {
                assert!(head.contains(" 200 "), "{path}: {head}");
                return body.to_owned();
            };
            let origin = format!("http://{}", self.address);
            let place = elsewhere.strip_prefix(&origin).unwrap_or(elsewhere);
            place.trim().clone_into(&mut path);
        }
        panic!("the server leads on and on, at last to {path}");
    }

    /// The application as Spark calls it, once its page and its stages were there.
    fn id(&self) -> String {
        let id = self.path.strip_prefix("/history/").expect("its own page");
        let id = id.trim_end_matches('/').to_owned();
        let page = self.get(&format!("{}jobs/", self.path));
        assert!(page.contains("Counting"), "{page}");
        let stages = self.get(&format!("/api/v1/applications/{id}/stages"));
        let stages: Value = serde_json::from_str(&stages).unwrap();
        assert!(!stages.as_array().unwrap().is_empty(), "{stages}");
        id
    }

    fn interrupt(mut self) {
        self.ask_to_end();
        assert!(self.command.wait().unwrap().success());
    }

    fn ends_by_itself(mut self, code: i32) {
        let ended = until("the command to end", PATIENCE, || {
            self.command.try_wait().unwrap()
        });
        assert_eq!(ended.code(), Some(code));
    }

    fn ask_to_end(&self) {
        let pid = rustix::process::Pid::from_raw(self.command.id().cast_signed()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    }
}

impl Drop for Page {
    /// A command that is killed would leave its server.
    fn drop(&mut self) {
        if let Ok(None) = self.command.try_wait() {
            self.ask_to_end();
            let _ = self.command.wait();
        }
    }
}

#[test]
fn a_job_has_its_page_when_it_is_over_and_when_it_and_its_cluster_are_gone() {
    let up = Up::start();
    let job = write(up.data.path(), "count.py", JOB);
    let answer = up.windlass(&["run", "--name", "count", "--executors", "1", &job]);
    assert_eq!(answer.code, 0, "{}\n{}", answer.stdout, answer.stderr);
    let logs = up.data.path().join("event-logs");
    let marker = format!("logDirectory=file:{}", logs.display());

    let page = Page::of(&up, "count");
    let id = page.id();
    page.interrupt();
    until_no_process(&marker);

    for gone in [&["delete", "count"][..], &["down"]] {
        let answer = up.windlass(gone);
        assert_eq!(answer.code, 0, "{}\n{}", answer.stdout, answer.stderr);
    }
    let page = Page::of(&up, "count");
    assert_eq!(page.id(), id);
    page.interrupt();
    until_no_process(&marker);
}

/// An application that writes its event log to a claim.
fn job() -> Value {
    json!({
        "apiVersion": "sparkoperator.k8s.io/v1beta2",
        "kind": "SparkApplication",
        "metadata": {"name": "count"},
        "spec": {
            "type": "Python", "sparkVersion": "4.3.0", "image": "apache/spark:4.3.0",
            "mainApplicationFile": "local:///etc/job/count.py",
            "sparkConf": {
                "spark.eventLog.enabled": "true",
                "spark.eventLog.dir": "file:/logs/spark",
            },
            "volumes": [{"name": "logs", "persistentVolumeClaim": {"claimName": "logs"}}],
            "driver": {
                "memory": "512m",
                "coreRequest": "100m",
                "configMaps": [{"name": "job", "path": "/etc/job"}],
                "volumeMounts": [{"name": "logs", "mountPath": "/logs"}],
                // Spark wants the folder to be there.
                "initContainers": [{
                    "name": "folder", "image": "local/host:latest",
                    "command": ["sh", "-c", "mkdir -p /logs/spark && chmod 777 /logs/spark"],
                    "volumeMounts": [{"name": "logs", "mountPath": "/logs"}],
                }],
            },
            "executor": {"instances": 1, "memory": "512m", "coreRequest": "100m"},
        },
    })
}

#[test]
fn a_history_server_shows_what_a_job_has_written_on_a_claim() {
    let up = Up::start();
    up.apply(&json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "logs"},
        "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}},
    }));
    up.apply(&json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "job"},
        "data": {"count.py": JOB},
    }));
    up.apply(&job());
    ok(up.windlass(&["wait", "count", "--timeout", "120"]));
    let nowhere = up.windlass(&["ui", "count", "--no-browser"]);
    assert_eq!(nowhere.code, 2);
    assert!(
        nowhere.stderr.contains("make a SparkHistoryServer"),
        "{}",
        nowhere.stderr
    );

    up.apply(&json!({
        "apiVersion": "windlass.dev/v1alpha1", "kind": "SparkHistoryServer",
        "metadata": {"name": "jobs"},
        "spec": {
            "sparkVersion": "4.3.0", "image": "apache/spark:4.3.0",
            "logClaim": {"claimName": "logs", "subPath": "spark"},
            "memory": "512m",
            "sparkConf": {
                "spark.history.fs.update.interval": "1s",
                "spark.kubernetes.driver.request.cores": "100m",
            },
        },
    }));
    let told = ok(up.windlass(&["wait", "history/jobs", "--timeout", "120"]));
    assert_eq!(told, "history server default/jobs Ready\n");
    let table = ok(up.windlass(&["list", "histories"]));
    assert!(table.starts_with("NAME   PHASE   LOGS"), "{table}");
    assert!(table.contains("claim/logs"), "{table}");
    assert!(
        table.contains("http://jobs-history.default:18080"),
        "{table}"
    );
    let why = ok(up.windlass(&["why", "history/jobs"]));
    assert!(why.contains("nothing is found to be wrong"), "{why}");

    let list = Page::of(&up, "history/jobs");
    assert_eq!(list.path, "/");
    until("the event log to be read", PATIENCE, || {
        let known = list.get("/api/v1/applications");
        known.contains("Counting").then_some(())
    });
    list.interrupt();
    let page = Page::of(&up, "count");
    page.id();

    ok(up.windlass(&["suspend", "history/jobs"]));
    ok(up.windlass(&[
        "wait",
        "history/jobs",
        "--for",
        "suspended",
        "--timeout",
        "60",
    ]));
    // It was led to a pod that is gone by then.
    page.ends_by_itself(3);
    let stopped = up.windlass(&["ui", "count", "--no-browser"]);
    assert!(
        stopped
            .stderr
            .contains("history server default/jobs is Suspended"),
        "{}",
        stopped.stderr
    );
    ok(up.windlass(&["delete", "history/jobs"]));
    assert_eq!(up.get(&["deployment", "jobs-history"]), None);
}

/// Is no Spark, but answers as a history server does.
const SERVER: &str = "mkdir -p /tmp/page/api/v1; echo 4.3.0 >/tmp/page/api/v1/version; \
    echo the server starts; exec python3 -m http.server 18080 \
    --bind $SPARK_DRIVER_BIND_ADDRESS --directory /tmp/page";

#[test]
fn a_history_server_of_a_file_is_there_for_as_long_as_somebody_looks() {
    let up = Up::start();
    let file = json!({
        "apiVersion": "windlass.dev/v1alpha1", "kind": "SparkHistoryServer",
        "metadata": {"name": "jobs"},
        "spec": {
            "sparkVersion": "4.3.0", "image": "local/host:latest",
            "logDirectory": "file:/tmp",
            "memory": "64m",
            "template": {"spec": {
                "terminationGracePeriodSeconds": 1,
                "containers": [{
                    "name": "server",
                    "command": ["sh", "-c", SERVER],
                    "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}},
                }],
            }},
        },
    });
    let file = write(up.data.path(), "server.json", &file.to_string());
    let page = Page::that_leads(&up, &["run", "-f", &file]);
    assert_eq!(page.get("/api/v1/version"), "4.3.0\n");
    let there = up.windlass(&["run", "-f", &file]);
    assert_eq!(there.code, 2);
    assert!(
        there.stderr.contains("windlass ui history/jobs uses it"),
        "{}",
        there.stderr
    );
    let log = ok(up.windlass(&["logs", "history/jobs"]));
    assert!(log.contains("the server starts"), "{log}");
    let events = ok(up.windlass(&["events", "history/jobs"]));
    assert!(events.contains("ServerReady"), "{events}");
    page.interrupt();
    assert_eq!(up.get(&["sparkhistoryserver", "jobs"]), None);
}
