//! Entry point: everything lives in the library so that tests can reach it.

use std::process::ExitCode;

fn main() -> ExitCode {
    // The node agent starts pods from this same binary. That has to come first: namespaces can
    // only be entered by a process with a single thread.
    if let Some(code) = windlass_node::dispatch(std::env::args_os()) {
        return code;
    }
    windlass::main()
}
