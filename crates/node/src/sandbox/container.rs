//! The two short-lived processes between the shim and a container's program.
//!
//! ```text
//! shim ── hatch (new namespaces; ends at once) ── launch (first process inside) ══exec══> program
//! ```
//!
//! They speak with the shim over one inherited socket: hatch names the pid, launch waits for the
//! shim's word that the pid is on disk, builds the root, and execs. The socket closing without
//! another word means the program runs; anything else is why it does not.

use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use rustix::process::Resource;
use serde::{Deserialize, Serialize};

use super::namespace::{isolate_container, take_descriptor};
use super::spec::ContainerSpec;
use super::{privileges, rootfs};
use crate::reexec::REEXEC;

/// What the two processes tell the shim, one JSON object per line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum LaunchReport {
    /// The container's first process, as the shim sees it.
    Pid(u32),
    /// Why the program does not run.
    Failed {
        /// PascalCase, for the container's status.
        reason: String,
        /// A sentence.
        message: String,
    },
}

/// Makes the container's namespaces and its first process, then leaves.
pub(crate) fn hatch(spec_file: &Path, channel: RawFd) -> ExitCode {
    let mut channel = match take_descriptor(channel) {
        Ok(descriptor) => UnixStream::from(descriptor),
        Err(_) => return ExitCode::FAILURE,
    };
    match try_hatch(spec_file, &channel) {
        Ok(pid) => {
            report(&mut channel, &LaunchReport::Pid(pid));
            ExitCode::SUCCESS
        }
        Err(error) => {
            report(
                &mut channel,
                &LaunchReport::Failed {
                    reason: "CreateContainerError".to_owned(),
                    message: error.to_string(),
                },
            );
            ExitCode::FAILURE
        }
    }
}

fn try_hatch(spec_file: &Path, channel: &UnixStream) -> io::Result<u32> {
    let spec = read_spec(spec_file)?;
    for file in &spec.cgroups {
        fs::write(file, std::process::id().to_string())?;
    }
    isolate_container()?;
    // The child needs the channel too, under a number it is told.
    let inherited = channel.try_clone()?;
    rustix::io::fcntl_setfd(&inherited, rustix::io::FdFlags::empty())?;
    let child = Command::new("/proc/self/exe")
        .args([REEXEC, "launch"])
        .arg(spec_file)
        .arg(inherited.as_raw_fd().to_string())
        .env_clear()
        .stdin(Stdio::inherit())
        .stdout(Stdio::inherit())
        .stderr(Stdio::inherit())
        .spawn()?;
    Ok(child.id())
}

/// Builds the container's root around this process and becomes its program.
pub(crate) fn launch(spec_file: &Path, channel: RawFd) -> ExitCode {
    let mut channel = match take_descriptor(channel) {
        Ok(descriptor) => UnixStream::from(descriptor),
        Err(_) => return ExitCode::FAILURE,
    };
    let failure = match try_launch(spec_file, &mut channel) {
        Err(failure) => failure,
        Ok(never) => match never {},
    };
    report(&mut channel, &failure);
    ExitCode::from(128)
}

enum Never {}

fn try_launch(spec_file: &Path, channel: &mut UnixStream) -> Result<Never, LaunchReport> {
    let create = |message: String| LaunchReport::Failed {
        reason: "CreateContainerError".to_owned(),
        message,
    };
    let spec = read_spec(spec_file).map_err(|error| create(error.to_string()))?;
    let mut word = [0];
    let go = channel
        .read(&mut word)
        .map_err(|error| create(error.to_string()))?;
    if go == 0 {
        return Err(create(
            "the pod's shim ended before the container started".to_owned(),
        ));
    }
    let in_user_namespace = in_user_namespace();
    // Before the root is built: a stricter mask of the agent's would lock other users out of it.
    rustix::process::umask(rustix::fs::Mode::from_bits_truncate(0o022));
    rootfs::enter_private_root(&spec).map_err(|error| create(error.to_string()))?;
    let start = |message: String| LaunchReport::Failed {
        reason: "StartError".to_owned(),
        message,
    };
    // Inheriting whatever limit the agent was started with would make pods differ by terminal.
    let files = rustix::process::getrlimit(Resource::Nofile);
    let raised = rustix::process::Rlimit {
        current: files.maximum,
        maximum: files.maximum,
    };
    rustix::process::setrlimit(Resource::Nofile, raised).map_err(|e| start(e.to_string()))?;
    rustix::process::setsid().map_err(|error| start(error.to_string()))?;
    if spec.tty {
        rustix::process::ioctl_tiocsctty(std::io::stdin())
            .map_err(|error| start(format!("take the terminal: {error}")))?;
    }
    privileges::assume(&spec.user, in_user_namespace)
        .map_err(|error| start(format!("become the container's user: {error}")))?;
    rustix::process::chdir(&spec.working_dir).map_err(|error| {
        start(format!(
            "working directory {}: {error}",
            spec.working_dir.display()
        ))
    })?;
    let program = find_program(&spec.argv, &spec.env, &spec.working_dir).map_err(start)?;
    let error = command(&program, &spec.argv, &spec.env).exec();
    Err(start(format!("exec {}: {error}", program.display())))
}

/// The command line of a container or of something that runs in it.
pub(super) fn command(program: &Path, argv: &[String], env: &[(String, String)]) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .envs(env.iter().map(|(name, value)| (name, value)));
    if let Some((name, arguments)) = argv.split_first() {
        command.arg0(name).args(arguments);
    }
    command
}

/// Finds a program as `execvp` does, with the error texts container runtimes use.
pub(super) fn find_program(
    argv: &[String],
    env: &[(String, String)],
    working_dir: &Path,
) -> Result<PathBuf, String> {
    let name = argv
        .first()
        .filter(|name| !name.is_empty())
        .ok_or("no command specified")?;
    if name.contains('/') {
        let path = working_dir.join(name);
        return match fs::metadata(&path) {
            Ok(metadata) if metadata.is_dir() => Err(format!("exec: \"{name}\": is a directory")),
            Ok(_) => Ok(path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(format!(
                "exec: \"{name}\": stat {name}: no such file or directory"
            )),
            Err(error) => Err(format!("exec: \"{name}\": {error}")),
        };
    }
    let path = env
        .iter()
        .rev()
        .find(|(key, _)| key == "PATH")
        .map_or("", |(_, value)| value);
    path.split(':')
        .map(|directory| working_dir.join(directory).join(name))
        .find(|candidate| is_executable(candidate))
        .ok_or_else(|| format!("exec: \"{name}\": executable file not found in $PATH"))
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(path)
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// Whether this process lives in a user namespace of its own.
pub(super) fn in_user_namespace() -> bool {
    // The machine's own namespace maps every id to itself.
    fs::read_to_string("/proc/self/uid_map")
        .is_ok_and(|map| map.split_whitespace().collect::<Vec<_>>() != ["0", "0", "4294967295"])
}

pub(super) fn read_spec(file: &Path) -> io::Result<ContainerSpec> {
    let bytes = fs::read(file)?;
    serde_json::from_slice(&bytes)
        .map_err(|error| io::Error::other(format!("{}: {error}", file.display())))
}

fn report(channel: &mut UnixStream, report: &LaunchReport) {
    // If the shim is gone there is nobody left to tell.
    if let Ok(mut line) = serde_json::to_vec(report) {
        line.push(b'\n');
        let _ = channel.write_all(&line);
    }
}
