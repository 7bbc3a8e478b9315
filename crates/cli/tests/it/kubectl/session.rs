//! Running kubectl, keeping what it says, and taking out what differs from run to run.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use regex::Regex;

use super::PATIENCE;
use crate::common::{Answer, Up, until};

/// One cluster, one kubectl, one transcript.
pub(super) struct Session {
    up: Up,
    kubectl: String,
    /// The minor version of kubectl.
    pub(super) minor: u32,
    transcript: String,
}

impl Session {
    pub(super) fn start(up: Up) -> Self {
        let kubectl = std::env::var("WINDLASS_KUBECTL").unwrap_or_else(|_| "kubectl".to_owned());
        let mut session = Self {
            up,
            kubectl,
            minor: 0,
            transcript: String::new(),
        };
        let version = session.answer(&["version", "--client", "-o", "json"]);
        let version: serde_json::Value = serde_json::from_str(&version.stdout)
            .unwrap_or_else(|error| panic!("kubectl has no version ({error}): {version:?}"));
        let minor = version["clientVersion"]["minor"]
            .as_str()
            .unwrap_or_default();
        session.minor = minor
            .trim_end_matches('+')
            .parse()
            .expect("a minor version");
        session
    }

    pub(super) fn folder(&self) -> &Path {
        self.up.data.path()
    }

    pub(super) fn chapter(&mut self, title: &str) {
        let _ = writeln!(self.transcript, "\n## {title}\n");
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.kubectl);
        command
            .args(arguments)
            .env("KUBECONFIG", self.folder().join("kubeconfig"))
            .env("HOME", self.folder())
            .env("TERM", "dumb")
            .stdin(Stdio::null());
        command
    }

    /// Runs kubectl to its end, aside from the transcript.
    pub(super) fn answer(&self, arguments: &[&str]) -> Answer {
        let output = self.command(arguments).output();
        output
            .expect("kubectl is installed (make test installs it)")
            .into()
    }

    /// Standard output of a command that has to work, aside from the transcript.
    pub(super) fn quiet(&self, arguments: &[&str]) -> String {
        let answer = self.answer(arguments);
        assert_eq!(answer.code, 0, "kubectl {arguments:?}: {answer:?}");
        answer.stdout
    }

    /// Runs kubectl and keeps what it says; returns that unredacted.
    pub(super) fn says(&mut self, arguments: &[&str]) -> String {
        self.says_given(arguments, "")
    }

    /// The same with something on standard input.
    pub(super) fn says_given(&mut self, arguments: &[&str], input: &str) -> String {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("kubectl is installed (make test installs it)");
        let mut stdin = child.stdin.take().expect("a pipe");
        // A kubectl that has ended early does not read its input.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        let answer: Answer = child
            .wait_with_output()
            .expect("kubectl can be waited for")
            .into();
        let said = format!("{}{}", answer.stdout, answer.stderr);
        self.keep(arguments, &said, answer.code);
        said
    }

    fn keep(&mut self, arguments: &[&str], said: &str, code: i32) {
        let words: Vec<String> = arguments.iter().map(|word| quoted(word)).collect();
        let command = redact(&words.join(" "), self.folder());
        let said = redact(said, self.folder());
        let _ = writeln!(
            self.transcript,
            "$ kubectl {}\n{}",
            command.trim_end(),
            said.trim_end()
        );
        if code != 0 {
            let _ = writeln!(self.transcript, "[exit code {code}]");
        }
        self.transcript.push('\n');
    }

    /// Repeats a command until its output has the text.
    pub(super) fn eventually(&self, arguments: &[&str], text: &str) {
        until(&format!("{text:?} in {arguments:?}"), PATIENCE, || {
            self.answer(arguments).stdout.contains(text).then_some(())
        });
    }

    /// The same, and keeps the answer that has it.
    pub(super) fn says_eventually(&mut self, arguments: &[&str], text: &str) {
        let answer = until(&format!("{text:?} in {arguments:?}"), PATIENCE, || {
            let answer = self.answer(arguments);
            answer.stdout.contains(text).then_some(answer)
        });
        let said = format!("{}{}", answer.stdout, answer.stderr);
        self.keep(arguments, &said, answer.code);
    }

    /// Starts a command that watches, and waits until it does: what happens from now on it sees.
    pub(super) fn watching(&self, arguments: &[&str]) -> Stream {
        let mut command = self.command(arguments);
        command.arg("-v=6");
        let stream = Stream::of(command);
        until(&format!("kubectl {arguments:?} to watch"), PATIENCE, || {
            stream.logged().contains("watch=true").then_some(())
        });
        stream
    }

    /// Starts a command that goes on.
    pub(super) fn stream(&self, arguments: &[&str]) -> Stream {
        Stream::of(self.command(arguments))
    }

    /// What a server in a pod answers through `kubectl port-forward`, once it has the text.
    pub(super) fn through_port(&self, pod: &str, port: u16, path: &str, text: &str) -> String {
        until(
            &format!("an answer on port {port} of {pod}"),
            PATIENCE,
            || {
                let forward = self.stream(&["port-forward", pod, &format!(":{port}")]);
                let said = forward.until(|text| text.contains("127.0.0.1:"));
                let local = said.split("127.0.0.1:").nth(1)?.split(' ').next()?;
                let answer = fetch(local.parse().ok()?, path);
                forward.end();
                answer.filter(|answer| answer.contains(text))
            },
        )
    }

    /// Compares the transcript with the snapshot for this minor version of kubectl.
    pub(super) fn compare(self) {
        let name = format!("session_with_kubectl_1_{}", self.minor);
        insta::assert_snapshot!(name, self.transcript);
    }
}

/// A body of HTTP/1.0, without a client of its own.
fn fetch(port: u16, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

/// A command that goes on, and what it has said so far.
pub(super) struct Stream {
    child: Child,
    said: Arc<Mutex<String>>,
    logged: Arc<Mutex<String>>,
}

impl Stream {
    fn of(mut command: Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("kubectl is installed (make test installs it)");
        let said = listen(child.stdout.take().expect("a pipe"));
        let logged = listen(child.stderr.take().expect("a pipe"));
        Self {
            child,
            said,
            logged,
        }
    }

    fn said(&self) -> String {
        self.said.lock().expect("no listener panics").clone()
    }

    /// What it wrote to standard error.
    fn logged(&self) -> String {
        self.logged.lock().expect("no listener panics").clone()
    }

    /// Waits until what was said satisfies the condition.
    pub(super) fn until(&self, condition: impl Fn(&str) -> bool) -> String {
        let deadline = std::time::Instant::now() + PATIENCE;
        loop {
            let said = self.said();
            if condition(&said) {
                return said;
            }
            assert!(std::time::Instant::now() < deadline, "heard only:\n{said}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until the command has ended by itself.
    pub(super) fn until_ended(mut self) -> String {
        until("a command to end", PATIENCE, || {
            self.child.try_wait().expect("a child can be waited for")
        });
        self.until(|said| !said.is_empty())
    }

    /// Ends the command.
    pub(super) fn end(self) {
        drop(self);
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Collects the lines of a pipe as they come.
fn listen(pipe: impl Read + Send + 'static) -> Arc<Mutex<String>> {
    let text = Arc::new(Mutex::new(String::new()));
    let heard = Arc::clone(&text);
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            let mut heard = heard.lock().expect("no listener panics");
            heard.push_str(&line);
            heard.push('\n');
        }
    });
    text
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_=./,:@".contains(c);
    if word.chars().all(plain) && !word.is_empty() {
        return word.to_owned();
    }
    let word: Vec<&str> = word.split_whitespace().collect();
    format!("'{}'", word.join(" "))
}

/// Takes out what differs from run to run and from machine to machine, and the widths of columns
/// that follow from it.
fn redact(text: &str, folder: &Path) -> String {
    let mut text = text.replace(&folder.display().to_string(), "FOLDER");
    for (pattern, instead) in [
        (r"\x1b\[[0-9;]*m", ""),
        (r"(?m)^Client Version: .*$", "Client Version: THIS"),
        (r"(?m)^Kustomize Version: .*\n", ""),
        // Whether kubectl comes in time to see these differs.
        (
            r"(?m)^.* (FailedMount|SparkDriverPending|SparkExecutorPending) .*\n",
            "",
        ),
        (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "UID"),
        (r"[0-9a-f]{32,}", "HASH"),
        (r"\b[0-9a-f]{16}\b", "HASH"),
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "TIME"),
        (r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4}", "TIME"),
        (r"127\.0\.0\.1:\d+", "LOCALHOST:PORT"),
        (r"127\.0\.0\.1", "LOCALHOST"),
        (r"127\.\d+\.(12[89]|1[3-9]\d|2\d\d)\.\d+", "POD_IP"),
        (r"127\.\d+\.\d+\.\d+", "CLUSTER_IP"),
        // What an ordinary user's cluster has besides: another port for the API, and a condition
        // that says what this machine does not let it do.
        (r"CLUSTER_IP:6443\b", "CLUSTER_IP:443"),
        (r"(?m)^  windlass\.dev/FullyIsolated .*\n", ""),
        (
            r"(?m)^  - last.*\n(?:    .*\n)*?    type: windlass\.dev/FullyIsolated\n",
            "",
        ),
        (
            r#"(?m)^ +k:\{"type":"windlass\.dev/FullyIsolated"\}:\n(?: {12}.*\n)*"#,
            "",
        ),
        (r"kube-api-access-\w{5}", "kube-api-access-XXXXX"),
        (
            r"(resourceVersion: |Resource Version: +)\S+",
            "${1}REVISION",
        ),
        // Whole minutes are ages up to ten; more of them are shares of a processor here.
        (
            r"(?m)(^| {2,}|\(|over )(\d+m\d+s|[2-9]m|\d+s)( ago\)|\)| {2,}|$)",
            "${1}AGE$3",
        ),
        (r"(?m)^(  (cpu|memory): +)\S+$", "${1}AMOUNT"),
        (r"\(\d+%\)", "(PERCENT)"),
        (
            r"(?m)^(  (Machine ID|System UUID|Boot ID|Kernel Version|OS Image|Architecture): +).*$",
            "${1}FACT",
        ),
        (r"kubernetes.io/arch=\w+", "kubernetes.io/arch=FACT"),
        (r"(?m)^( *Image ID: +spark).*$", "$1:FACT"),
    ] {
        let pattern = Regex::new(pattern).expect("a pattern of the test");
        text = pattern.replace_all(&text, instead).into_owned();
    }
    let text = text.replace(env!("CARGO_PKG_VERSION"), "VERSION");
    let columns = Regex::new(r"(\S) {2,}").expect("a pattern of the test");
    let rows: Vec<String> = text
        .lines()
        .map(|line| columns.replace_all(line.trim_end(), "$1  ").into_owned())
        .collect();
    rows.join("\n")
}
