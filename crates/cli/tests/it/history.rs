//! The page of a job that is over: real Spark's event log on this machine, shown by Spark's history server.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Stdio};

use serde_json::Value;

use crate::common::{Up, until_no_process, write};

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
        let mut command = up
            .command(&["ui", name, "--no-browser"])
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
