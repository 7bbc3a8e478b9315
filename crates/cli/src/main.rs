//! Entry point: everything lives in the library so that tests can reach it.

fn main() -> std::process::ExitCode {
    std::process::ExitCode::SUCCESS
}
