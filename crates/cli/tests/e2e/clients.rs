//! The clients that people use, on the embedded cluster, each a session that is recorded: the
//! Python client, the informers of client-node and client-go, and kube; and Airflow, by its guide.
//! kubectl has a test of its own, and Spark's client is in every test with a job.
//!
//! The programs are in `crates/cli/tests/clients`, with the versions of what they use;
//! `hack/setup.sh --clients` installs these. A program prints what it saw, ends badly when that is
//! not as on any cluster, and may ask for a restart: then the control plane is killed.

mod airflow;
mod controller;
mod lease;
mod uploads;

use std::fs::File;
use std::future::Future;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};

use crate::common::{Up, root, until};

/// Nothing here takes longer on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_mins(3);
/// What a program says when it wants the control plane to be killed and started again.
const RESTART: &str = "please restart\n";

#[test]
fn the_python_client_lists_watches_patches_and_runs_commands() {
    let python = installed("python", "requirements.txt").join("bin/python3");
    let mut session = Command::new(python);
    session.arg(source("python").join("session.py"));
    insta::assert_snapshot!("python", told(Up::start(), session));
}

#[test]
fn an_informer_of_client_node_goes_on_after_a_restart() {
    let modules = installed("node", "package-lock.json").join("node_modules");
    // Programs find packages beside themselves.
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(modules, folder.path().join("node_modules")).unwrap();
    let program = folder.path().join("informer.mjs");
    std::fs::copy(source("node").join("informer.mjs"), &program).unwrap();
    let mut informer = Command::new("node");
    informer.arg(program);
    insta::assert_snapshot!("node", told(Up::start(), informer));
}

#[test]
fn an_informer_of_client_go_goes_on_after_a_restart() {
    installed("go", "go.sum");
    // What it uses is compiled already; the program is today's.
    let folder = tempfile::tempdir().unwrap();
    let informer = folder.path().join("informer");
    let go = Command::new(root().join("hack/go.sh")).output().unwrap();
    let go = String::from_utf8(go.stdout).unwrap();
    let built = Command::new(go.trim())
        .args([
            "build",
            "-mod=readonly",
            "-trimpath",
            "-buildvcs=false",
            "-o",
        ])
        .arg(&informer)
        .arg(".")
        .current_dir(source("go"))
        .env("CGO_ENABLED", "0")
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "{errors}");
    insta::assert_snapshot!("go", told(Up::start(), Command::new(informer)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_controller_of_kube_goes_on_after_a_restart() {
    insta::assert_snapshot!("controller", controller::session(Up::start()).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_has_one_holder_of_many_candidates_of_kube() {
    insta::assert_snapshot!("lease", lease::session(Up::start()).await);
}

/// A client of kube for this cluster.
async fn kube_client(up: &Up) -> kube::Client {
    let file = Kubeconfig::read_from(up.data.path().join("kubeconfig")).unwrap();
    let config = kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await;
    kube::Client::try_from(config.unwrap()).unwrap()
}

/// Waits until what is asked for is there.
async fn eventually<T, F>(what: &str, mut ask: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let answer = tokio::time::timeout(PATIENCE, asking).await;
    answer.unwrap_or_else(|_| panic!("waited {PATIENCE:?} for {what}"))
}

/// The folder of a client's program.
fn source(client: &str) -> PathBuf {
    root().join("crates/cli/tests/clients").join(client)
}

/// Where the client is installed, at the versions of this list.
pub(crate) fn installed(client: &str, list: &str) -> PathBuf {
    let folder = windlass::sparks::cache().join("clients").join(client);
    let wanted = std::fs::read(source(client).join(list)).unwrap();
    let found = std::fs::read(folder.join(".complete")).unwrap_or_default();
    assert!(
        wanted == found,
        "{} does not have what {client}/{list} names: make e2e installs it",
        folder.display()
    );
    folder
}

/// Runs a client to its end, and returns what it has printed.
fn told(up: Up, command: Command) -> String {
    let mut client = Client::start(&up, command);
    let mut up = Some(up);
    until("the client to end", PATIENCE, || {
        if client.asks_for_restart() {
            up = up.take().map(|up| Up::on(up.kill()));
            client.go_on();
        }
        client
            .process
            .try_wait()
            .expect("a child can be waited for")
    });
    client.end()
}

/// A client program that runs.
struct Client {
    process: Child,
    folder: tempfile::TempDir,
    restarts: usize,
}

impl Client {
    fn start(up: &Up, mut command: Command) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| File::create(folder.path().join(name)).unwrap();
        let process = command
            .env("KUBECONFIG", up.data.path().join("kubeconfig"))
            .env("HOME", folder.path())
            .env("TMPDIR", folder.path())
            .env("PYTHONUNBUFFERED", "1")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::piped())
            .stdout(file("stdout"))
            .stderr(file("stderr"))
            .spawn()
            .expect("the client is installed (make e2e installs it)");
        Self {
            process,
            folder,
            restarts: 0,
        }
    }

    fn read(&self, name: &str) -> String {
        read(&self.folder.path().join(name))
    }

    fn asks_for_restart(&self) -> bool {
        self.read("stdout").matches(RESTART).count() > self.restarts
    }

    fn go_on(&mut self) {
        self.restarts += 1;
        let input = self.process.stdin.as_mut().expect("its input is a pipe");
        input.write_all(b"\n").expect("the client reads its input");
    }

    fn end(mut self) -> String {
        let status = self.process.wait().unwrap();
        let (out, errors) = (self.read("stdout"), self.read("stderr"));
        assert!(status.success(), "{status}\n{out}\n{errors}");
        out
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // A failed test leaves it running.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}
