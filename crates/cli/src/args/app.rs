//! Arguments of `windlass app`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// What to do with an application of virtual clusters.
#[derive(Debug, Subcommand)]
pub enum AppCommand {
    /// Write an application that does little, to begin with.
    Init(AppFolder),
    /// Check an application and its setup package.
    Lint(AppFolder),
    /// Print the application with its setup package in a ConfigMap, for `kubectl apply -f -`.
    Package(PackageArgs),
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
