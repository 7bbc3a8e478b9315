//! The one binary: arguments, output and wiring.
//!
//! Reading order: [`args`] says what a user can ask for, [`exit`] what the process answers,
//! [`connect`] which cluster a command talks to, [`embedded`] what the embedded cluster is made
//! of, [`run`] the command most people start with, [`kinds`] how an object is named, [`shown`] how it
//! is printed.

pub mod applications;
pub mod args;
pub mod clusters;
pub mod commands;
pub mod connect;
pub mod connects;
pub mod datadir;
pub mod embedded;
pub mod eventlogs;
pub mod evidence;
pub mod exit;
pub mod findings;
pub mod histories;
pub mod kinds;
pub mod manifest;
pub mod output;
pub mod podlog;
pub mod run;
pub mod schedules;
pub mod scratch;
pub mod shown;
pub mod sparks;
pub mod upload;

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser as _};
use tracing_subscriber::EnvFilter;

use args::{Cli, Command};
use exit::{Exit, Failure};

/// Parses the command line and does what it says.
pub fn main() -> ExitCode {
    let cli = match parsed() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are answers, everything else is bad input.
            let _ = error.print();
            return if error.use_stderr() {
                Exit::BadInput
            } else {
                Exit::Completed
            }
            .into();
        }
    };
    log_to_stderr(cli.verbose);
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return end(Err(Failure::internal(error))),
    };
    end(runtime.block_on(act(cli.command)))
}

/// What kubectl finds as its plugin `kubectl windlass` when it is in the path.
const PLUGIN: &str = "kubectl-windlass";

/// The command line. Under the name of a kubectl plugin, commands are about kubectl's cluster.
fn parsed() -> Result<Cli, clap::Error> {
    let name = std::env::args_os().next().unwrap_or_default();
    let is_plugin = std::path::Path::new(&name)
        .file_name()
        .is_some_and(|name| name == PLUGIN);
    if !is_plugin {
        return Cli::try_parse();
    }
    let command = Cli::command().bin_name("kubectl windlass");
    let matches = command.try_get_matches()?;
    let mut cli = Cli::from_arg_matches(&matches)?;
    cli.command.as_plugin();
    Ok(cli)
}

async fn act(command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Run(args) => Box::pin(run::run(*args)).await,
        Command::Up(args) => Box::pin(commands::up::up(args)).await,
        Command::Down(args) => commands::up::down(args).await,
        Command::Status(args) => commands::status::status(args).await,
        Command::Trigger(args) => commands::trigger::trigger(args).await,
        Command::Submit(args) => Box::pin(commands::submit::submit(*args)).await,
        Command::List(args) => commands::list::list(args).await,
        Command::Why(args) => commands::why::why(args).await,
        Command::Logs(args) => commands::logs::logs(args).await,
        Command::Events(args) => commands::events::events(args).await,
        Command::Forward(args) => commands::forward::forward(args).await,
        Command::Ui(args) => commands::ui::ui(args).await,
        Command::Connect(args) => Box::pin(commands::connect::connect(args)).await,
        Command::Wait(args) => commands::wait::wait(args).await,
        Command::Suspend(args) => commands::change::suspend(args).await,
        Command::Resume(args) => commands::change::resume(args).await,
        Command::Rerun(args) => commands::change::rerun(args).await,
        Command::Diff(args) => commands::diff::diff(args).await,
        Command::Delete(args) => commands::change::delete(args).await,
        Command::Render(args) => commands::render::render(args),
        Command::Validate(args) => commands::render::validate(args),
        Command::Operator(args) => Box::pin(commands::operator::operator(*args)).await,
        Command::Warm(args) => commands::warm::warm(args).await,
        Command::Install(args) => commands::install::install(&args),
        Command::Check(args) => Box::pin(commands::check::check(args)).await,
        Command::Cloud(args) => commands::cloud::cloud(args).await,
        Command::Images(args) => commands::images::images(&args),
        Command::App { command } => Box::pin(commands::app::app(command)).await,
        Command::Tenant { command } => Box::pin(commands::tenant::tenant(command)).await,
        Command::Crd => {
            let documents = windlass_api::parse::to_yaml_documents(&windlass_api::crds())
                .map_err(Failure::internal)?;
            output::data(documents.trim_end())
        }
        Command::Completion { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "windlass", &mut script);
            output::data(String::from_utf8_lossy(&script).trim_end())
        }
        Command::Version => output::data(&format!("windlass {}", env!("CARGO_PKG_VERSION"))),
    }
}

fn end(result: Result<Exit, Failure>) -> ExitCode {
    match result {
        Ok(exit) => exit.into(),
        Err(failure) => {
            output::talk(&format!("windlass: {}", failure.message));
            failure.exit.into()
        }
    }
}

/// `RUST_LOG` wins over `-v`; without either only warnings are shown.
fn log_to_stderr(verbose: u8) {
    let default = match verbose {
        // The client logs every failed call, which its caller tells about or tries again; TLS logs
        // how Java's clients say goodbye; the endpoint for buckets every request that asks for what is not there.
        0 => "warn,kube_client=off,rustls=error,s3s=off",
        1 => "info,windlass=info,s3s=off",
        _ => {
            "info,windlass=debug,windlass_engine=debug,windlass_spark=debug,windlass_node=debug,windlass_cluster=debug,windlass_apiserver=debug,windlass_s3=debug,s3s=off"
        }
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
}
