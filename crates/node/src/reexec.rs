//! The other faces of the binary: processes the agent starts from its own executable.

use std::ffi::OsString;
use std::process::ExitCode;

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
    Some(ExitCode::from(2))
}
