//! Running another command inside a container that runs already.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use serde::{Deserialize, Serialize};

use super::container::{command, find_program, in_user_namespace, read_spec};
use super::namespace::{die_with_parent, join, own_session, own_terminal};
use super::privileges;
use crate::proc::ProcessId;

/// The exit code of a command that could not be found, as shells have it.
const NOT_FOUND: u8 = 127;
/// The exit code of a command that could not be run.
const NOT_RUN: u8 = 126;

/// What to run and where; passed as JSON on the command line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EnterRequest {
    /// The container's first process.
    pub(crate) process: ProcessId,
    /// The container's spec.
    pub(crate) spec: PathBuf,
    /// The program and its arguments.
    pub(crate) argv: Vec<String>,
    /// Whether standard input is a terminal the command should own.
    pub(crate) tty: bool,
}

/// Runs the command to its end and exits as it does; standard streams are inherited.
pub(crate) fn enter(request: &EnterRequest) -> ExitCode {
    match try_enter(request) {
        Ok(code) => ExitCode::from(code),
        Err((code, message)) => {
            let _ = writeln!(std::io::stderr(), "{message}");
            ExitCode::from(code)
        }
    }
}

fn try_enter(request: &EnterRequest) -> Result<u8, (u8, String)> {
    let failed = |what: &str, error: &dyn std::fmt::Display| (NOT_RUN, format!("{what}: {error}"));
    let spec = read_spec(&request.spec).map_err(|e| failed("read the container's spec", &e))?;
    if !request.process.is_alive() {
        return Err((NOT_RUN, "the container is not running".to_owned()));
    }
    for file in &spec.cgroups {
        fs::write(file, std::process::id().to_string())
            .map_err(|e| failed("join the container's cgroup", &e))?;
    }
    join(request.process.pid).map_err(|e| failed("join the container", &e))?;
    rustix::process::chdir(&spec.working_dir)
        .map_err(|e| failed("enter the working directory", &e))?;
    let mut env = spec.env.clone();
    if request.tty && env.iter().all(|(name, _)| name != "TERM") {
        env.push(("TERM".to_owned(), "xterm".to_owned()));
    }
    let program =
        find_program(&request.argv, &env, &spec.working_dir).map_err(|e| (NOT_FOUND, e))?;
    privileges::assume(&spec.user, in_container_user_namespace())
        .map_err(|e| failed("become the container's user", &e))?;
    let mut command = command(&program, &request.argv, &env);
    if request.tty {
        own_terminal(&mut command);
    } else {
        own_session(&mut command);
    }
    // Set last: changing the session or the user would clear it.
    die_with_parent(&mut command);
    let status = command
        .status()
        .map_err(|e| failed(&program.display().to_string(), &e))?;
    Ok(crate::proc::exit_code(status))
}

/// After joining, `/proc` is the container's and does not know this process; but the container's
/// first process shares the answer.
fn in_container_user_namespace() -> bool {
    fs::read_to_string("/proc/1/uid_map").map_or_else(
        |_| in_user_namespace(),
        |map| map.split_whitespace().collect::<Vec<_>>() != ["0", "0", "4294967295"],
    )
}
