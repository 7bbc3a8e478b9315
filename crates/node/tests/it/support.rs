//! What the tests share: a pod of its own for each test, as root or as an ordinary user.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use windlass_node::runtime::{
    ContainerSpec, Ending, Life, Limits, PodSpec, PodState, Request, RootSpec, ShimClient,
    StdinMode, UserSpec, spawn,
};

/// Nothing in these tests takes longer on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// Who a pod's shim runs as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    /// The user of the test itself.
    Me,
    /// An ordinary user without any capability.
    Nobody,
}

/// A pod without an API server.
pub(crate) struct TestPod {
    pub(crate) dir: PathBuf,
    pub(crate) shim: ShimClient,
    exe: PathBuf,
    _data: tempfile::TempDir,
}

impl TestPod {
    pub(crate) async fn start(who: Who) -> Self {
        Self::start_with(
            who,
            PodSpec {
                hostname: Some("a-pod".to_owned()),
                ..PodSpec::default()
            },
        )
        .await
    }

    pub(crate) async fn start_with(who: Who, mut pod: PodSpec) -> Self {
        let data = tempfile::tempdir().unwrap();
        let dir = data.path().join("pods/uid");
        fs::create_dir_all(&dir).unwrap();
        for volume in &mut pod.memory_volumes {
            volume.path = dir.join(&volume.path);
        }
        pod.id = data
            .path()
            .file_name()
            .unwrap()
            .to_string_lossy()
            .trim_matches('.')
            .to_owned();
        let exe = executable(who, data.path());
        let shim = spawn(&exe, &dir, &pod, None).await.unwrap();
        Self {
            dir,
            shim,
            exe,
            _data: data,
        }
    }

    /// A container that runs a shell script on the machine's own programs.
    pub(crate) fn script(&self, name: &str, script: &str) -> ContainerSpec {
        let dir = self.dir.join("containers").join(name).join("0");
        ContainerSpec {
            name: name.to_owned(),
            attempt: 0,
            argv: ["sh", "-c", script].map(str::to_owned).to_vec(),
            env: vec![
                ("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin".to_owned()),
                ("HOME".to_owned(), "/root".to_owned()),
            ],
            working_dir: PathBuf::from("/"),
            root: RootSpec::Host {
                overlays: vec![],
                exposed: vec![],
                scripts: vec![],
                read_only: false,
            },
            mounts: vec![],
            hidden: vec![],
            user: UserSpec::default(),
            stdin: StdinMode::Null,
            tty: false,
            limits: Limits::default(),
            log: self.dir.join("logs").join(name).join("0.log"),
            dir,
            message_from_log: false,
            cgroups: vec![],
        }
    }

    /// Starts the container and waits for its end; returns it with the container's output.
    pub(crate) async fn run(&mut self, spec: ContainerSpec) -> (Ending, String) {
        let name = spec.name.clone();
        let log = spec.log.clone();
        self.shim
            .request(Request::Start(Box::new(spec)))
            .await
            .unwrap();
        let ending = self.ending(&name).await;
        (ending, output(&log))
    }

    pub(crate) async fn ending(&mut self, name: &str) -> Ending {
        let life = self.until(|state| match state.life(name) {
            Some(Life::Ended(ending)) => Some(ending.clone()),
            _ => None,
        });
        life.await
    }

    /// Waits until the state shows something.
    pub(crate) async fn until<T>(&mut self, find: impl Fn(&PodState) -> Option<T>) -> T {
        let wait = async {
            loop {
                if let Some(found) = find(&self.shim.state()) {
                    return found;
                }
                assert!(
                    self.shim.changed().await,
                    "the shim is gone: {}",
                    self.complaints()
                );
            }
        };
        match tokio::time::timeout(DEADLINE, wait).await {
            Ok(found) => found,
            Err(elapsed) => panic!("still waiting after {elapsed}: {}", self.dir.display()),
        }
    }

    pub(crate) fn exe(&self) -> &Path {
        &self.exe
    }

    fn complaints(&self) -> String {
        fs::read_to_string(self.dir.join("shim.log")).unwrap_or_default()
    }
}

/// The text of a log, without times and streams.
pub(crate) fn output(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines = text.lines().filter_map(|line| line.splitn(4, ' ').nth(3));
    lines.flat_map(|line| [line, "\n"]).collect()
}

/// The binary the shim runs from; for an ordinary user, a copy where that user may read it, behind
/// a script that gives up every privilege first.
pub(crate) fn executable(who: Who, data: &Path) -> PathBuf {
    let exe = PathBuf::from(env!("CARGO_BIN_EXE_windlass-shim"));
    if who == Who::Me {
        return exe;
    }
    let copy = data.join("windlass-shim");
    fs::copy(exe, &copy).unwrap();
    let script = data.join("as-nobody");
    let text = format!(
        "#!/bin/sh\nexec setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all {} \"$@\"\n",
        copy.display()
    );
    fs::write(&script, text).unwrap();
    for path in [&copy, &script] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    give_away(data);
    script
}

fn give_away(path: &Path) {
    std::os::unix::fs::chown(path, Some(65534), Some(65534)).unwrap();
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            give_away(&entry.unwrap().path());
        }
    }
}
