//! The script that runs inside of members, how it is called, and what it answers.
//!
//! It is mounted, not installed, so an operator brings its own version along and needs nothing of an
//! image but a POSIX shell. Each call says what is to be true; the script does what is missing and
//! starts no hook twice, so an operator that died in between simply asks again.

use thiserror::Error;

use crate::build::{APP_CONTAINER, INIT_CONTAINER};

/// The script, as it is mounted.
pub const SCRIPT: &str = include_str!("agent.sh");
/// What answers scripts that ask about their cluster, as it is mounted; whoever installs it puts a
/// line with the interpreter before it.
pub const CONFIGCLI: &str = include_str!("configcli.py");
/// The same for images without Python.
pub const CONFIGCLI_WITHOUT_PYTHON: &str = include_str!("configcli.sh");
/// What tells the kubelet whether several services of a member serve, as it is mounted.
pub const PROBE: &str = include_str!("probe.sh");

/// What says how far the copy of a member's directories is, in the container that makes it.
const PROGRESS: &str = include_str!("progress.sh");
/// What a member begins with that says why the journal of systemd does not run in it.
pub const NO_SYSTEMD: &str = "systemd does not run here";

/// Where the script and all that a member is told are mounted.
pub const MOUNT: &str = "/opt/windlass";
/// Where a setup package from a ConfigMap is mounted.
pub const PACKAGE_MOUNT: &str = "/opt/windlass-package";

/// The same call may succeed later (EX_TEMPFAIL).
const LATER: i32 = 75;
/// The script does not know what it is asked for (EX_USAGE): it is that of an earlier operator, until
/// the kubelet has refreshed what is mounted.
const ANOTHER_SCRIPT: i32 = 64;
/// What stands for nothing in the place of an argument.
const NONE: &str = "-";

/// What a member is asked to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Write configmeta.json once this generation of it is mounted.
    Meta {
        /// The member's pod.
        pod: String,
        /// The least generation.
        generation: u64,
        /// How long to wait for it.
        seconds: u32,
    },
    /// Wait for the journal of systemd.
    Journald {
        /// How long.
        seconds: u32,
    },
    /// Install configcli and the setup package.
    Prepare {
        /// Whether /usr is kept on storage.
        layout: Layout,
        /// The package.
        package: Option<Package>,
    },
    /// Put a file into a directory.
    Inject(Injection),
    /// Start a hook, or ask how it goes.
    Run(Run),
    /// Call something that answers at once, as often as it is asked.
    Ask(Ask),
    /// Say how far the copy of its directories is, once that is another text.
    Progress {
        /// The text that is known.
        known: String,
        /// How long to wait for another one.
        seconds: u32,
    },
}

/// Where setup keeps what it installs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Layout {
    /// In /opt and /usr, which are kept on storage as a whole.
    Old,
    /// Outside of them, with links in /usr/bin.
    New,
}

/// Where a setup package comes from, as the member sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// An http or https URL, or an absolute path.
    pub source: String,
    /// The SHA-256 it must have, in hex digits.
    pub sha256: Option<String>,
}

/// A file that is put into a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Injection {
    /// It is put there once per id and container.
    pub id: String,
    /// Where it is fetched from.
    pub url: String,
    /// The directory.
    pub directory: String,
    /// Its permission bits.
    pub mode: Option<u32>,
    /// Its user.
    pub owner: Option<String>,
    /// Its group.
    pub group: Option<String>,
}

/// A hook that is started once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// What is called.
    pub what: What,
    /// It is started once per id and container.
    pub id: String,
    /// The container it is for, as files about it name it.
    pub container: String,
    /// How long to wait for its end before the answer is that it runs.
    pub seconds: u32,
    /// How many bytes of its output to show.
    pub log_limit: u32,
    /// What the member has been told once this has ended well. Of what configmeta.json says, where
    /// nothing is given.
    pub memo: Option<String>,
    /// The arguments, or the whole command line.
    pub arguments: Vec<String>,
}

/// Whom a command is for. Kubernetes takes it to whatever container runs in whatever pod has the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addressee<'a> {
    /// The uid of the pod.
    pub uid: &'a str,
    /// The container.
    pub container: &'a str,
    /// Whether the command begins to set up the container that runs, which is called so from then on.
    /// All others do nothing in a container that does not have the name.
    pub enters: bool,
}

/// A question that is asked on and on: nothing is kept of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// What is called.
    pub what: What,
    /// How long to wait for its end before it is ended.
    pub seconds: u32,
    /// How many bytes of what it wrote as errors to show.
    pub log_limit: u32,
    /// The arguments, or the whole command line.
    pub arguments: Vec<String>,
}

/// What a hook calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum What {
    /// The startscript that sets the member up: done once, also for all later containers of a member
    /// whose storage has it.
    Configure,
    /// The startscript.
    Startscript,
    /// A program of the image.
    Program,
}

/// What a member has answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// It is as asked.
    Fine,
    /// The copy of its directories is so far.
    Copying(String),
    /// The hook has not ended.
    Running,
    /// The hook has ended.
    Done(Ended),
    /// The hook had ended well before this container was started.
    Restored {
        /// What the member had been told.
        memo: String,
    },
    /// What was asked has written this.
    Said(String),
}

/// How a hook ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ended {
    /// The exit code.
    pub code: i32,
    /// What the member has been told if it ended well.
    pub memo: String,
    /// The end of what it wrote.
    pub stdout: String,
    /// The end of what it wrote as errors.
    pub stderr: String,
}

/// Why a member did not do what it was asked to do.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Trouble {
    /// The same call may succeed later.
    #[error("{0}")]
    Later(String),
    /// Only a change of what is asked for, or of the image, can help.
    #[error("{0}")]
    Wrong(String),
}

impl Command {
    /// The container that it is run in.
    pub fn container(&self) -> &'static str {
        match self {
            Self::Progress { .. } => INIT_CONTAINER,
            _ => APP_CONTAINER,
        }
    }

    /// The command line that an exec runs.
    pub fn argv(&self) -> Vec<String> {
        if let Self::Progress { known, seconds } = self {
            let seconds = seconds.to_string();
            return ["sh", "-c", PROGRESS, "progress", known, &seconds]
                .map(str::to_owned)
                .into();
        }
        let mut argv = vec!["sh".to_owned(), format!("{MOUNT}/agent")];
        let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| NONE.to_owned());
        argv.extend(match self {
            Self::Meta {
                pod,
                generation,
                seconds,
            } => vec![
                "meta".to_owned(),
                pod.clone(),
                generation.to_string(),
                seconds.to_string(),
            ],
            Self::Journald { seconds } => vec!["journald".to_owned(), seconds.to_string()],
            Self::Prepare { layout, package } => vec![
                "prepare".to_owned(),
                layout.word().to_owned(),
                or_none(&package.as_ref().map(|package| package.source.clone())),
                or_none(&package.as_ref().and_then(|package| package.sha256.clone())),
            ],
            Self::Inject(injection) => vec![
                "inject".to_owned(),
                injection.id.clone(),
                injection.url.clone(),
                injection.directory.clone(),
                or_none(&injection.mode.map(|mode| format!("{mode:o}"))),
                or_none(&injection.owner),
                or_none(&injection.group),
            ],
            Self::Run(run) => {
                let mut words = vec![
                    "run".to_owned(),
                    run.what.word().to_owned(),
                    run.id.clone(),
                    run.container.clone(),
                    run.seconds.to_string(),
                    run.log_limit.to_string(),
                    or_none(&run.memo),
                    "--".to_owned(),
                ];
                words.extend(run.arguments.iter().cloned());
                words
            }
            Self::Ask(ask) => {
                let mut words = vec![
                    "ask".to_owned(),
                    ask.what.word().to_owned(),
                    ask.seconds.to_string(),
                    ask.log_limit.to_string(),
                    "--".to_owned(),
                ];
                words.extend(ask.arguments.iter().cloned());
                words
            }
            // It is no command of the script, which is not mounted there.
            Self::Progress { .. } => Vec::new(),
        });
        argv
    }

    /// The same, for this pod and container and no other.
    pub fn argv_for(&self, to: Addressee<'_>) -> Vec<String> {
        let mut argv = self.argv();
        if !matches!(self, Self::Progress { .. }) {
            let container = if to.enters { "--enter" } else { "--container" };
            let options = ["--pod", to.uid, container, to.container];
            drop(argv.splice(2..2, options.map(str::to_owned)));
        }
        argv
    }

    /// What an exec of this command has answered, from its exit code and what it wrote.
    ///
    /// # Errors
    /// When the member did not do what it was asked to do.
    pub fn read(&self, code: i32, stdout: &[u8], stderr: &[u8]) -> Result<Reply, Trouble> {
        let told = String::from_utf8_lossy(stderr).trim().to_owned();
        match code {
            0 => {}
            LATER | ANOTHER_SCRIPT => return Err(Trouble::Later(told)),
            126 | 127 => {
                let told = format!("the image has no shell to set it up with: {told}");
                return Err(Trouble::Wrong(told));
            }
            // Killed, or ended together with its container.
            code if !(0..=128).contains(&code) => {
                return Err(Trouble::Later(format!("ended with {code}: {told}")));
            }
            _ => return Err(Trouble::Wrong(told)),
        }
        match self {
            Self::Run(_) => {
                read_run(stdout).ok_or_else(|| Trouble::Later("the answer broke off".to_owned()))
            }
            Self::Ask(_) => Ok(Reply::Said(String::from_utf8_lossy(stdout).into_owned())),
            Self::Progress { .. } => {
                let text = String::from_utf8_lossy(stdout);
                Ok(Reply::Copying(text.trim().to_owned()))
            }
            _ => Ok(Reply::Fine),
        }
    }
}

impl Layout {
    fn word(self) -> &'static str {
        match self {
            Self::Old => "old",
            Self::New => "new",
        }
    }
}

impl What {
    fn word(self) -> &'static str {
        match self {
            Self::Configure => "configure",
            Self::Startscript => "startscript",
            Self::Program => "command",
        }
    }
}

fn read_run(stdout: &[u8]) -> Option<Reply> {
    let mut rest = stdout;
    let state = line(&mut rest)?;
    if state == "running" {
        return Some(Reply::Running);
    }
    let memo = line(&mut rest)?;
    let memo = memo
        .strip_prefix("memo ")
        .or((memo == "memo").then_some(""))?;
    let memo = memo.to_owned();
    if state == "restored" {
        return Some(Reply::Restored { memo });
    }
    let code = state.strip_prefix("done ")?.parse().ok()?;
    Some(Reply::Done(Ended {
        code,
        memo,
        stdout: tail(&mut rest, "stdout ")?,
        stderr: tail(&mut rest, "stderr ")?,
    }))
}

fn line(rest: &mut &[u8]) -> Option<String> {
    let end = rest.iter().position(|byte| *byte == b'\n')?;
    let line = String::from_utf8_lossy(rest.get(..end)?).into_owned();
    *rest = rest.get(end + 1..)?;
    Some(line)
}

fn tail(rest: &mut &[u8], name: &str) -> Option<String> {
    let length: usize = line(rest)?.strip_prefix(name)?.parse().ok()?;
    let text = String::from_utf8_lossy(rest.get(..length)?).into_owned();
    *rest = rest.get(length + 1..)?;
    Some(text)
}

#[cfg(test)]
mod tests;
