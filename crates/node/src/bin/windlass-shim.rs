//! The re-executed faces of the agent alone: what tests, and programs that embed the node without
//! being re-executable themselves, name as `NodeConfig::exe`.

use std::process::ExitCode;

fn main() -> ExitCode {
    windlass_node::dispatch(std::env::args_os()).unwrap_or(ExitCode::from(2))
}
