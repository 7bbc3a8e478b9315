//! Which image names this machine can stand in for, and with what.
//!
//! There is no registry: an image name is resolved to something that is installed already.
//! [`ImageConfig::resolve`] is pure; [`provide`] looks at the files the answer names.
//!
//! | name | stands for |
//! |---|---|
//! | `[docker.io/][library/\|apache/]spark[-py]:TAG` | the configured Spark of the tag's minor version |
//! | `local/host:latest` | the programs of this machine, for plain commands |
//! | `dir:/absolute/path` | a root file system in a directory, with an optional `config.json` |
//!
//! A directory image's `config.json` is the `config` object of an OCI image configuration
//! (`Env`, `Entrypoint`, `Cmd`, `WorkingDir`, `User`).

mod provide;
mod reference;

use std::collections::BTreeMap;
use std::path::PathBuf;

pub use provide::{Image, ImageRoot, provide};
pub use reference::{ImageError, ImageSource, SparkMinor};

/// The image that offers the machine's own programs.
pub const HOST_IMAGE: &str = "local/host:latest";

/// The installations image names are resolved to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageConfig {
    /// Installed Sparks by minor version.
    pub spark: BTreeMap<SparkMinor, SparkInstallation>,
    /// What the user can run to get the Spark of a minor version, with `{minor}` in its place:
    /// shown when an image cannot be had.
    pub install_hint: Option<String>,
}

/// One installed Spark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SparkInstallation {
    /// The directory with `bin/spark-submit` and `jars/`.
    pub spark_home: PathBuf,
    /// The Python interpreter drivers and executors use unless they say otherwise.
    pub python: Option<PathBuf>,
    /// The Java installation; `None` means whatever `java` is on the machine's PATH.
    pub java_home: Option<PathBuf>,
}
