//! Images: which names this machine can stand in for and with what, and how the others are had.
//!
//! [`ImageConfig::resolve`] is pure and says what a name stands for; [`provide`] looks at the
//! files, unpacks and pulls.
//!
//! | name | stands for |
//! |---|---|
//! | `[docker.io/][library/\|apache/]spark[-py]:TAG` | the configured Spark of the tag's minor version |
//! | `[docker.io/][library/]cassandra:TAG` | the configured Cassandra, where it is of that version |
//! | `[docker.io/]PUBLISHER/NAME:TAG` | other configured software, likewise |
//! | `local/host:latest` | the programs of this machine, for plain commands |
//! | `dir:/absolute/path` | a root file system in a directory, with an optional `config.json` |
//! | `oci:/absolute/path[:TAG]` | an image in a directory of the OCI image layout |
//! | any other | an image of a registry, as everywhere |
//!
//! A directory image's `config.json` is the `config` object of an OCI image configuration
//! (`Env`, `Entrypoint`, `Cmd`, `WorkingDir`, `User`).

mod credentials;
mod layers;
mod layout;
mod provide;
mod reference;
mod registry;
mod store;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

pub(crate) use credentials::Credentials;
pub use provide::{Image, ImageRoot};
pub(crate) use provide::{ImageRequest, Origin, Provided, PullPolicy, provide};
pub use reference::{ImageError, ImageSource, SparkMinor};
pub(crate) use store::{ImageStore, sweep as sweep_store};

/// The image that offers the machine's own programs.
pub const HOST_IMAGE: &str = "local/host:latest";

/// The installations image names are resolved to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageConfig {
    /// Installed Sparks by minor version.
    pub spark: BTreeMap<SparkMinor, SparkInstallation>,
    /// Other installed software, by the name that its image has on Docker Hub, such as `library/cassandra`.
    pub software: BTreeMap<String, SoftwareInstallation>,
    /// What the user can run to get the Spark of a minor version, with `{minor}` in its place:
    /// shown when an image cannot be had.
    pub install_hint: Option<String>,
    /// Where unpacked and pulled images are kept; by default below the node's data directory.
    pub store: Option<PathBuf>,
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
    /// An archive of Spark's classes for its JVMs to start from, with the class path it holds for
    /// in a file of the same name and `.classpath`.
    pub class_archive: Option<PathBuf>,
}

/// Installed software: its directory is `/opt/NAME` in containers, which `NAME_HOME` says, too; the name is the
/// last part of that of its image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SoftwareInstallation {
    /// Its version, which a tag names as a whole or by its first parts.
    pub version: String,
    /// The directory with `lib/`.
    pub home: PathBuf,
    /// What it runs on.
    pub runtime: Runtime,
}

/// What installed software runs on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Runtime {
    /// The Java installation; `None` means whatever `java` is on the machine's PATH.
    Java(Option<PathBuf>),
    /// The software's directory is a virtual environment of Python.
    Python,
}

/// Bytes as lower case hexadecimal digits, as digests are written.
fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}
