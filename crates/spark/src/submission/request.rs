//! What a submission is made from.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use super::{SparkVersion, SubmitIds};

/// Spark settings by key.
pub type Conf = BTreeMap<String, String>;

/// One submission, completely: nothing else influences the result.
#[derive(Debug, Clone)]
pub struct SubmitRequest {
    /// The Spark that will run in the image.
    pub version: SparkVersion,
    /// The settings, as `--conf` and properties files give them (keys `spark.*`).
    pub conf: Conf,
    /// What the driver runs.
    pub main: MainResource,
    /// Its arguments, passed verbatim.
    pub args: Vec<String>,
    /// The user to impersonate.
    pub proxy_user: Option<String>,
    /// Pod templates given as data.
    pub templates: Templates,
    /// The machine the submission comes from.
    pub client: Client,
    /// What Spark would draw at random.
    pub ids: SubmitIds,
}

/// What the driver runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MainResource {
    /// A JVM class.
    Java {
        /// The jar; none when the class is in the image already.
        jar: Option<String>,
        /// The class with the main method.
        class: String,
    },
    /// A Python program.
    Python {
        /// The `.py` file.
        file: String,
    },
    /// An R program.
    R {
        /// The `.R` file.
        file: String,
    },
}

/// Pod templates given as data instead of as files of the client. They win over
/// `spark.kubernetes.{driver,executor}.podTemplateFile`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Templates {
    /// The pod the driver pod is made from.
    pub driver: Option<Value>,
    /// The pod the driver will make executors from.
    pub executor: Option<Value>,
}

/// The machine the submission comes from, as far as Spark looks at it.
#[derive(Debug, Clone)]
pub struct Client {
    /// The user, unless `SPARK_USER` says otherwise.
    pub user: String,
    /// Environment variables.
    pub env: BTreeMap<String, String>,
    /// Files.
    pub files: Arc<dyn ClientFiles>,
}

impl Client {
    /// A client without environment and files: the operator.
    pub fn bare(user: &str) -> Self {
        Self {
            user: user.to_owned(),
            env: BTreeMap::new(),
            files: Arc::new(NoFiles),
        }
    }
}

/// Read access to the files of the client.
pub trait ClientFiles: fmt::Debug + Send + Sync {
    /// Whether the client has files at all; without any, a local path is refused as such.
    fn available(&self) -> bool {
        true
    }
    /// The content of a file.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
    /// The entries of a directory, in any order.
    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>>;
    /// The entry a path leads to, links followed.
    fn stat(&self, path: &Path) -> io::Result<DirEntry>;
    /// What relative paths start from.
    fn current_dir(&self) -> String;
}

/// One entry of a directory of the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirEntry {
    /// The last part of its path.
    pub name: String,
    /// A regular file, as opposed to a directory.
    pub is_file: bool,
    /// Its size in bytes.
    pub len: u64,
}

/// The client that has no files.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoFiles;

impl ClientFiles for NoFiles {
    fn available(&self) -> bool {
        false
    }
    fn read(&self, _: &Path) -> io::Result<Vec<u8>> {
        Err(io::ErrorKind::NotFound.into())
    }
    fn list(&self, _: &Path) -> io::Result<Vec<DirEntry>> {
        Err(io::ErrorKind::NotFound.into())
    }
    fn stat(&self, _: &Path) -> io::Result<DirEntry> {
        Err(io::ErrorKind::NotFound.into())
    }
    fn current_dir(&self) -> String {
        "/".to_owned()
    }
}
