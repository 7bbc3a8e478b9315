//! Spark's history server as a child of this command, for the event logs of this machine.
//!
//! It is that of the newest Spark which images stand for here, listens on 127.0.0.1 alone, writes nothing, and is
//! gone with the command.

use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStderr, Command};
use windlass_spark::eventlogs::APPLICATION;

use crate::eventlogs::EventLogs;
use crate::exit::Failure;
use crate::sparks;

/// How long it may take until it answers.
const START_PATIENCE: Duration = Duration::from_mins(1);
/// How long it may take to find the logs, from its first answer on.
const SCAN_PATIENCE: Duration = Duration::from_secs(20);
/// Between two looks at it.
const PAUSE: Duration = Duration::from_millis(100);
/// How many logs are read for the one of an application that is deleted, the newest first.
const LOOKED_AT: usize = 20;
/// How much of what it says is kept for when it ends by itself, in lines.
const LAST_WORDS: usize = 10;

/// Which page is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted<'a> {
    /// Of the application that Spark calls so.
    Id(&'a str),
    /// Of the last run of this application, by its namespace and name.
    LastOf { namespace: &'a str, name: &'a str },
}

/// A history server.
#[derive(Debug)]
pub(super) struct HistoryServer {
    child: Child,
    port: u16,
    said: Arc<Mutex<VecDeque<String>>>,
    /// How many logs there were when it was started.
    logs: usize,
}

impl HistoryServer {
    /// Starts it at a port, and returns when it answers.
    pub(super) async fn start(logs: &EventLogs, port: u16) -> Result<Self, Failure> {
        let mut child = command(logs, port)?.spawn().map_err(|error| {
            Failure::bad_input(format!(
                "Java cannot be started for Spark's history server: {error}: install it, or set JAVA_HOME"
            ))
        })?;
        let said = Arc::default();
        if let Some(stderr) = child.stderr.take() {
            tokio::spawn(listen_to(stderr, Arc::clone(&said)));
        }
        let mut server = Self {
            child,
            port,
            said,
            logs: logs.count(),
        };
        let deadline = Instant::now() + START_PATIENCE;
        while server.list().await?.is_none() {
            if Instant::now() > deadline {
                return Err(server.failure("does not answer"));
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(server)
    }

    /// What Spark calls the application whose page is wanted, once its event log was found; `None` when there is none.
    pub(super) async fn find(&mut self, wanted: Wanted<'_>) -> Result<Option<String>, Failure> {
        let deadline = Instant::now() + SCAN_PATIENCE;
        loop {
            let runs = self.list().await?.unwrap_or_default();
            match wanted {
                Wanted::Id(id) if runs.iter().any(|run| run == id) => {
                    return Ok(Some(id.to_owned()));
                }
                Wanted::LastOf { namespace, name }
                    if runs.len() >= self.logs || Instant::now() > deadline =>
                {
                    return Ok(self.last_of(&runs, &format!("{namespace}/{name}")).await);
                }
                Wanted::Id(_) if Instant::now() > deadline => return Ok(None),
                Wanted::Id(_) | Wanted::LastOf { .. } => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    /// Ends when the server does, and says so.
    pub(super) async fn ended(&mut self) -> Failure {
        match self.child.wait().await {
            Ok(status) => self.failure(&format!("ended with {status}")),
            Err(error) => Failure::internal(error),
        }
    }

    async fn last_of(&self, runs: &[String], application: &str) -> Option<String> {
        for id in runs.iter().take(LOOKED_AT) {
            let path = format!("/api/v1/applications/{id}/environment");
            let environment = get(self.port, &path).await;
            if let Ok(Some(environment)) = environment
                && is_of(&environment, application)
            {
                return Some(id.clone());
            }
        }
        None
    }

    /// The runs it knows, the newest first; `None` when it does not answer yet.
    async fn list(&mut self) -> Result<Option<Vec<String>>, Failure> {
        if let Some(status) = self.child.try_wait().map_err(Failure::internal)? {
            return Err(self.failure(&format!("ended with {status}")));
        }
        let answer = get(self.port, "/api/v1/applications").await;
        Ok(answer.ok().flatten().map(|list| newest_first(&list)))
    }

    fn failure(&self, what: &str) -> Failure {
        let said: Vec<String> = self.said.lock().iter().cloned().collect();
        Failure::cluster(format!(
            "Spark's history server {what}; its last words:\n{}",
            said.join("\n")
        ))
    }
}

/// The settings are Spark's own, "Monitoring and Instrumentation".
fn command(logs: &EventLogs, port: u16) -> Result<Command, Failure> {
    let spark = sparks::newest_found()?;
    let java = sparks::java_home();
    let java = java.map_or_else(|| "java".into(), |home| home.join("bin/java"));
    let mut command = Command::new(java);
    command
        // It lives for a few pages.
        .args(["-Xmx1g", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
        .arg(format!(
            "-Dspark.history.fs.logDirectory=file:{}",
            logs.folder().display()
        ))
        .arg(format!("-Dspark.history.ui.port={port}"))
        // It would listen at the next port otherwise, where nobody looks.
        .arg("-Dspark.port.maxRetries=0")
        .arg("-Dspark.history.fs.update.interval=2s")
        .arg("-cp")
        .arg(spark.home.join("jars/*"))
        .arg("org.apache.spark.deploy.history.HistoryServer")
        .env("SPARK_HOME", &spark.home)
        .env("SPARK_LOCAL_IP", Ipv4Addr::LOCALHOST.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    Ok(command)
}

async fn listen_to(stderr: ChildStderr, said: Arc<Mutex<VecDeque<String>>>) {
    let mut lines = BufReader::new(stderr).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let mut said = said.lock();
        if said.len() == LAST_WORDS {
            said.pop_front();
        }
        said.push_back(line);
    }
}

/// The answer to a question; `None` when it is another one than hoped.
async fn get(port: u16, path: &str) -> anyhow::Result<Option<Value>> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let request = http::Request::get(path)
        .header("host", "localhost")
        .body(Empty::<Bytes>::new())?;
    let answer = async {
        let response = sender.send_request(request).await?;
        let is_good = response.status().is_success();
        let body = response.into_body().collect().await?.to_bytes();
        if !is_good {
            return Ok(None);
        }
        anyhow::Ok(Some(serde_json::from_slice(&body)?))
    }
    .await;
    connection.abort();
    answer
}

/// The ids of the applications of a list, by when they were started.
fn newest_first(list: &Value) -> Vec<String> {
    let started = |run: &Value| {
        let attempts = run["attempts"].as_array().into_iter().flatten();
        attempts
            .filter_map(|attempt| attempt["startTimeEpoch"].as_i64())
            .max()
    };
    let mut runs: Vec<&Value> = list.as_array().into_iter().flatten().collect();
    runs.sort_by_key(|run| std::cmp::Reverse(started(run)));
    let ids = runs.into_iter().filter_map(|run| run["id"].as_str());
    ids.map(str::to_owned).collect()
}

/// Whether a run with these settings was one of the application.
fn is_of(environment: &Value, application: &str) -> bool {
    let mut settings = environment["sparkProperties"]
        .as_array()
        .into_iter()
        .flatten();
    settings.any(|setting| setting[0] == APPLICATION && setting[1] == application)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_newest_run_is_looked_at_first() {
        let list = json!([
            {"id": "spark-1", "name": "PythonPi", "attempts": [{"startTimeEpoch": 1000}]},
            {"id": "spark-3", "name": "PythonPi", "attempts": [{"startTimeEpoch": 3000}]},
            {"id": "spark-2", "name": "Other", "attempts": []},
        ]);
        assert_eq!(newest_first(&list), ["spark-3", "spark-1", "spark-2"]);
        assert_eq!(newest_first(&Value::Null), [""; 0]);
    }

    #[test]
    fn a_run_is_of_the_application_that_its_settings_name_whatever_the_program_calls_itself() {
        let environment = json!({"sparkProperties": [
            ["spark.app.name", "PythonPi"],
            ["spark.windlass.application", "default/pi"],
        ]});
        assert!(is_of(&environment, "default/pi"));
        assert!(!is_of(&environment, "default/PythonPi"));
        assert!(!is_of(&json!({}), "default/pi"));
    }
}
