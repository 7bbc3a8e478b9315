//! Arguments of `windlass app`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Progress, Told};

/// What to do with an application of virtual clusters.
#[derive(Debug, Subcommand)]
pub enum AppCommand {
    /// Write an application that does little, to begin with.
    Init(AppFolder),
    /// Check an application and its setup package.
    Lint(AppFolder),
    /// Print the application with its setup package in a ConfigMap, for `kubectl apply -f -`.
    Package(PackageArgs),
    /// Run an application on an embedded cluster that ends with the command: set up its members, ask
    /// what they serve, add one and take it away. The exit code is the result. For root alone.
    Test(TestArgs),
}

/// A folder with an application: `app.yaml`, and `package` with the startscript.
#[derive(Debug, Args)]
pub struct AppFolder {
    /// The folder.
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
}

/// Arguments of `windlass app package`.
#[derive(Debug, Args)]
pub struct PackageArgs {
    /// The folder.
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// Write the archive alone to this file, for a web server, and print its SHA-256.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// Arguments of `windlass app test`.
#[derive(Debug, Args)]
pub struct TestArgs {
    /// The folder.
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// File with the KubeDirectorCluster to test, and what it needs (default: `cluster.yaml` of the
    /// folder, else as many members of each role as it must have, and one where it need not have any).
    #[arg(short = 'f', long = "cluster", value_name = "FILE")]
    pub cluster: Option<PathBuf>,
    /// The role that gets one member more, and then one less (default: the last one that may).
    #[arg(long, value_name = "ROLE")]
    pub grow: Option<String>,
    /// Leave all roles as they are.
    #[arg(long, conflicts_with = "grow")]
    pub no_grow: bool,
    /// How long each step may take, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    pub timeout: u64,
    /// Leave the cluster as it is after the test, until Ctrl-C.
    #[arg(long)]
    pub keep: bool,
    /// How the result is shown.
    #[arg(short, long, value_enum, default_value_t = Told::Text)]
    pub output: Told,
    /// How progress is shown, on stderr.
    #[arg(long, value_enum, default_value_t = Progress::Auto)]
    pub progress: Progress,
}
