//! The other faces of the binary: processes the agent starts from its own executable.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use crate::config::Orphans;
use crate::{sandbox, shim};

/// The first argument that marks a re-executed process.
pub const REEXEC: &str = "__shim";

/// Runs a re-executed process to its end, or returns `None` for an ordinary start.
///
/// `main` must call this before anything else, above all before an async runtime starts:
/// namespaces can only be entered by a process with a single thread.
///
/// ```no_run
/// # use std::process::ExitCode;
/// fn main() -> ExitCode {
///     if let Some(code) = windlass_node::dispatch(std::env::args_os()) {
///         return code;
///     }
///     // ... the program proper
///     ExitCode::SUCCESS
/// }
/// ```
pub fn dispatch(args: impl IntoIterator<Item = OsString>) -> Option<ExitCode> {
    let mut args = args.into_iter().skip(1);
    if args.next()? != REEXEC {
        return None;
    }
    Some(run(&args.collect::<Vec<_>>()))
}

/// The exit code of a command line only a different version of the binary could have written.
const BAD_USAGE: u8 = 2;

fn run(args: &[OsString]) -> ExitCode {
    let texts: Vec<&str> = args.iter().filter_map(|arg| arg.to_str()).collect();
    match texts.as_slice() {
        ["run", pod_dir] => shim::run(Path::new(pod_dir), Orphans::GoOn),
        ["run-with-agent", pod_dir] => shim::run(Path::new(pod_dir), Orphans::End),
        ["hatch", spec, channel] => match channel.parse() {
            Ok(channel) => sandbox::hatch(Path::new(spec), channel),
            Err(_) => ExitCode::from(BAD_USAGE),
        },
        ["launch", spec, channel] => match channel.parse() {
            Ok(channel) => sandbox::launch(Path::new(spec), channel),
            Err(_) => ExitCode::from(BAD_USAGE),
        },
        ["enter", request] => match serde_json::from_str(request) {
            Ok(request) => sandbox::enter(&request),
            Err(_) => ExitCode::from(BAD_USAGE),
        },
        _ => ExitCode::from(BAD_USAGE),
    }
}
