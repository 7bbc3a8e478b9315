//! What the tests of the binary share: running it, waiting with a deadline, and reading its files.

#![allow(dead_code, reason = "each test binary uses a part of this")]

pub(crate) mod page;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// The binary under test.
pub(crate) const WINDLASS: &str = env!("CARGO_BIN_EXE_windlass");

/// The repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// What a command answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Answer {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// Runs windlass to its end.
pub(crate) fn windlass<S: AsRef<std::ffi::OsStr>>(arguments: &[S]) -> Answer {
    let output = Command::new(WINDLASS)
        .args(arguments)
        .stdin(Stdio::null())
        .env_remove("RUST_LOG")
        .env_remove("WINDLASS_DATA_DIR")
        .output()
        .expect("windlass starts");
    output.into()
}

/// Runs a session of a shell in this home, whose `windlass` is the one of this test; a cluster that it leaves
/// is stopped.
pub(crate) fn shell_session(home: &Path, session: &str) -> Answer {
    let programs = home.join("bin");
    std::fs::create_dir(&programs).expect("the home is new");
    std::os::unix::fs::symlink(WINDLASS, programs.join("windlass")).expect("it can be linked");
    let shell = |script: &str| -> Answer {
        let path = std::env::var("PATH").expect("there is a path");
        let mut bash = Command::new("bash");
        bash.args(["-c", script])
            .current_dir(home)
            .env("HOME", home)
            .env("PATH", format!("{}:{path}", programs.display()))
            .env_remove("XDG_DATA_HOME")
            .env_remove("WINDLASS_DATA_DIR")
            .stdin(Stdio::null());
        bash.output().expect("bash starts").into()
    };
    let answer = shell(session);
    // A session that failed leaves its cluster.
    shell("windlass down");
    answer
}

/// kubectl, for one cluster and namespace.
#[derive(Debug)]
pub(crate) struct Kubectl {
    pub(crate) kubeconfig: PathBuf,
    pub(crate) home: PathBuf,
}

impl Kubectl {
    /// A kubectl command against this cluster.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("kubectl");
        command
            .args(arguments)
            .env("KUBECONFIG", &self.kubeconfig)
            // kubectl keeps what it has discovered of a server.
            .env("HOME", &self.home)
            .stdin(Stdio::null());
        command
    }

    /// Gives kubectl a manifest on its standard input; it must succeed.
    pub(crate) fn kubectl_with(&self, arguments: &[&str], manifest: &str) -> String {
        use std::io::Write as _;
        let mut child = self
            .kubectl(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("kubectl is installed (make test installs it)");
        let mut stdin = child.stdin.take().expect("its input is a pipe");
        stdin
            .write_all(manifest.as_bytes())
            .expect("kubectl reads its input");
        drop(stdin);
        let answer: Answer = child.wait_with_output().expect("kubectl ends").into();
        assert_eq!(answer.code, 0, "kubectl {arguments:?}: {}", answer.stderr);
        answer.stdout
    }

    /// Creates or changes an object.
    pub(crate) fn apply(&self, object: &serde_json::Value) {
        self.kubectl_with(&["apply", "-f", "-"], &object.to_string());
    }

    /// Runs kubectl, which must succeed, and returns what it printed.
    pub(crate) fn kubectl_ok(&self, arguments: &[&str]) -> String {
        let answer: Answer = self
            .kubectl(arguments)
            .output()
            .expect("kubectl is installed (make test installs it)")
            .into();
        assert_eq!(
            answer.code, 0,
            "kubectl {arguments:?}: {}{}",
            answer.stdout, answer.stderr
        );
        answer.stdout
    }

    /// The object as JSON, if it exists.
    pub(crate) fn get(&self, what: &[&str]) -> Option<serde_json::Value> {
        let mut arguments = vec!["get", "--ignore-not-found", "-o", "json"];
        arguments.extend(what);
        let text = self.kubectl_ok(&arguments);
        (!text.trim().is_empty()).then(|| serde_json::from_str(&text).expect("kubectl prints JSON"))
    }
}

/// A `windlass up` of its own, ended with the test.
pub(crate) struct Up {
    pub(crate) data: tempfile::TempDir,
    kubectl: Kubectl,
    process: Child,
}

impl Up {
    /// Starts a cluster on an empty data directory.
    pub(crate) fn start() -> Self {
        Self::on(tempfile::tempdir().expect("a scratch folder"))
    }

    /// Starts a cluster on an empty data directory with flags, separated by spaces.
    pub(crate) fn with(flags: &str) -> Self {
        Self::on_with(tempfile::tempdir().expect("a scratch folder"), flags)
    }

    /// Starts a cluster on a data directory.
    pub(crate) fn on(data: tempfile::TempDir) -> Self {
        Self::on_with(data, "")
    }

    /// Starts a cluster on a data directory with flags, separated by spaces.
    pub(crate) fn on_with(data: tempfile::TempDir, flags: &str) -> Self {
        Self::launched(data, Command::new(WINDLASS), flags)
    }

    /// Starts a cluster by a command that becomes windlass with the arguments it gets, flags included.
    pub(crate) fn launched(data: tempfile::TempDir, mut windlass: Command, flags: &str) -> Self {
        let process = windlass
            .args(["-v", "up", "--port", "0", "--data-dir"])
            .arg(data.path())
            .args(flags.split_whitespace())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(data.path().join("stderr.log")).expect("a log"))
            .spawn()
            .expect("windlass starts");
        let kubectl = Kubectl {
            kubeconfig: data.path().join("kubeconfig"),
            home: data.path().to_owned(),
        };
        let mut up = Self {
            data,
            kubectl,
            process,
        };
        up.wait_until_ready();
        up
    }

    fn wait_until_ready(&mut self) {
        let lock = self.data.path().join("up.lock");
        let process = &mut self.process;
        // What an earlier holder has written may still be there.
        let pid = format!("\"pid\":{},", process.id());
        let log = self.data.path().join("stderr.log");
        until("the cluster to be ready", Duration::from_secs(30), || {
            if let Some(status) = process.try_wait().expect("a child can be waited for") {
                panic!(
                    "up ended with {status}: {}",
                    std::fs::read_to_string(&log).unwrap_or_default()
                );
            }
            let text = std::fs::read_to_string(&lock).unwrap_or_default();
            (text.contains(&pid) && text.contains("\"ready\":true")).then_some(())
        });
    }

    /// Runs windlass against this cluster.
    pub(crate) fn windlass(&self, arguments: &[&str]) -> Answer {
        let output = self.command(arguments).output().expect("windlass starts");
        output.into()
    }

    /// A windlass command against this cluster.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(WINDLASS);
        command
            .args(arguments)
            .env("WINDLASS_DATA_DIR", self.data.path())
            .env_remove("RUST_LOG")
            .stdin(Stdio::null());
        command
    }

    /// The process id of the control plane.
    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Waits until the control plane has ended by itself, and gives its data back.
    pub(crate) fn ended(mut self) -> tempfile::TempDir {
        let process = &mut self.process;
        until("the control plane to end", Duration::from_secs(30), || {
            process.try_wait().expect("a child can be waited for")
        });
        let data = tempfile::tempdir().expect("a scratch folder");
        std::mem::replace(&mut self.data, data)
    }

    /// Kills the control plane as a crash would, and gives its data back.
    pub(crate) fn kill(mut self) -> tempfile::TempDir {
        self.process
            .kill()
            .expect("the control plane can be killed");
        self.process.wait().expect("a child can be waited for");
        let data = tempfile::tempdir().expect("a scratch folder");
        std::mem::replace(&mut self.data, data)
    }
}

impl std::ops::Deref for Up {
    type Target = Kubectl;

    fn deref(&self) -> &Kubectl {
        &self.kubectl
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        if let Ok(None) = self.process.try_wait() {
            let _ = Command::new(WINDLASS)
                .arg("down")
                .env("WINDLASS_DATA_DIR", self.data.path())
                .output();
            let _ = self.process.wait();
        }
        if std::thread::panicking() {
            let log =
                std::fs::read_to_string(self.data.path().join("stderr.log")).unwrap_or_default();
            eprintln!("--- the control plane said:\n{log}");
        }
    }
}

/// Waits until the condition gives a value.
pub(crate) fn until<T>(
    what: &str,
    patience: Duration,
    mut condition: impl FnMut() -> Option<T>,
) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < deadline, "waited {patience:?} for {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The processes of this machine whose command line holds the marker.
pub(crate) fn processes(marker: &str) -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").expect("/proc can be read");
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).contains(marker)
        })
        .collect()
}

/// Waits until no process has the marker in its command line.
pub(crate) fn until_no_process(marker: &str) {
    until(
        &format!("the processes of {marker} to be gone"),
        Duration::from_secs(15),
        || processes(marker).is_empty().then_some(()),
    );
}

/// Writes a file of a test.
pub(crate) fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).expect("a file of the test can be written");
    path.to_str().expect("scratch folders are UTF-8").to_owned()
}

/// The commands of the `sh` blocks of a document, without comments.
pub(crate) fn shell_lines(markdown: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut in_block = false;
    for line in markdown.lines() {
        if line.starts_with("```") {
            in_block = line == "```sh";
        } else if in_block {
            let command = line.split_once(" # ").map_or(line, |(command, _)| command);
            let command = command.trim();
            if !command.is_empty() && !command.starts_with('#') {
                lines.push(command.to_owned());
            }
        }
    }
    lines
}
