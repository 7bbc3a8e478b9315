//! Where the embedded cluster lives on disk, and who holds it.
//!
//! A data directory is held by at most one running cluster: the holder keeps an advisory lock on
//! `up.lock` for its whole life, so a stale file never looks like a live cluster.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::embedded::{LOGS_DIR, NODE_DIR};
use crate::eventlogs::EventLogs;
use crate::exit::Failure;

/// The longest that a look at the holder keeps the lock.
const LOOK: Duration = Duration::from_millis(100);

/// A data directory.
#[derive(Debug, Clone)]
pub struct DataDir {
    root: PathBuf,
}

/// What the holder of a data directory says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Its process id.
    pub pid: i32,
    /// Whether everything is up.
    pub ready: bool,
    /// The API's address, once known.
    pub server: Option<String>,
}

/// The lock on a data directory; dropping it gives the directory free.
#[derive(Debug)]
pub struct Held {
    file: File,
}

impl DataDir {
    /// The directory that was named, else the user's own.
    pub fn resolve(named: Option<&Path>) -> Result<Self, Failure> {
        let root = match named {
            Some(path) => std::path::absolute(path).map_err(Failure::internal)?,
            None => default_root()?,
        };
        Ok(Self { root })
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// The kubeconfig for kubectl and other clients.
    pub fn kubeconfig(&self) -> PathBuf {
        self.root.join("kubeconfig")
    }

    /// The log of a detached cluster.
    pub fn log(&self) -> PathBuf {
        self.root.join("up.log")
    }

    /// Where the node keeps its pods.
    pub fn node(&self) -> PathBuf {
        self.root.join(NODE_DIR)
    }

    /// Where logs are kept.
    pub fn kept_logs(&self) -> PathBuf {
        self.root.join(LOGS_DIR)
    }

    /// The event logs of its applications, and of those that were run on clusters for one command.
    pub fn event_logs(&self) -> EventLogs {
        EventLogs::of(&self.root)
    }

    /// Takes the directory, or says who has it.
    pub fn hold(&self) -> Result<Held, Failure> {
        std::fs::create_dir_all(&self.root).map_err(|error| {
            Failure::bad_input(format!(
                "--data-dir {}: cannot be created: {error}: choose a folder you may write to",
                self.root.display()
            ))
        })?;
        let mut file = self.lock_file(true).map_err(|error| {
            Failure::bad_input(format!(
                "--data-dir {}: cannot be written: {error}: choose a folder you may write to",
                self.root.display()
            ))
        })?;
        if !lock(&file) {
            let holder = read(&mut file);
            return Err(Failure::bad_input(format!(
                "the embedded cluster of {} is already up{}: use it, or stop it with windlass down",
                self.root.display(),
                holder.map_or_else(String::new, |holder| format!(" (process {})", holder.pid))
            )));
        }
        let mut held = Held { file };
        held.announce(false, None)?;
        Ok(held)
    }

    /// The live holder, if there is one.
    pub fn holder(&self) -> Option<Holder> {
        let mut file = self.lock_file(false).ok()?;
        match flock(&file, FlockOperation::NonBlockingLockShared) {
            // Nobody holds it: what the file says is history.
            Ok(()) => None,
            Err(_) => read(&mut file),
        }
    }

    fn lock_file(&self, create: bool) -> std::io::Result<File> {
        OpenOptions::new()
            .read(true)
            .write(create)
            .create(create)
            .truncate(false)
            .open(self.root.join("up.lock"))
    }
}

impl Held {
    /// Tells others how far the start has come.
    pub fn announce(&mut self, ready: bool, server: Option<&str>) -> Result<(), Failure> {
        let holder = Holder {
            pid: i32::try_from(std::process::id()).unwrap_or_default(),
            ready,
            server: server.map(ToOwned::to_owned),
        };
        let text = serde_json::to_vec(&holder).map_err(Failure::internal)?;
        self.file.rewind().map_err(Failure::internal)?;
        self.file.set_len(0).map_err(Failure::internal)?;
        self.file.write_all(&text).map_err(Failure::internal)
    }
}

/// Locks the file, unless someone keeps it: a mere look at who holds it takes a moment too.
fn lock(file: &File) -> bool {
    let deadline = Instant::now() + LOOK;
    while flock(file, FlockOperation::NonBlockingLockExclusive).is_err() {
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(LOOK / 50);
    }
    true
}

fn read(file: &mut File) -> Option<Holder> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

fn default_root() -> Result<PathBuf, Failure> {
    if let Some(data) = std::env::var_os("XDG_DATA_HOME").filter(|value| !value.is_empty()) {
        return Ok(PathBuf::from(data).join("windlass"));
    }
    let home = std::env::home_dir()
        .filter(|home| home.is_absolute())
        .ok_or_else(|| {
            Failure::bad_input("you have no home: name a folder for the cluster with --data-dir")
        })?;
    Ok(home.join(".local/share/windlass"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_directory_has_at_most_one_holder_and_is_free_after_it() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::resolve(Some(folder.path())).unwrap();
        assert_eq!(data.holder(), None);
        let mut held = data.hold().unwrap();
        held.announce(true, Some("https://127.0.0.1:6443")).unwrap();
        let holder = data.holder().unwrap();
        assert!(holder.ready);
        assert_eq!(holder.pid, i32::try_from(std::process::id()).unwrap());
        let refused = data.hold().unwrap_err();
        assert!(
            refused.message.contains("already up"),
            "{}",
            refused.message
        );
        drop(held);
        assert_eq!(data.holder(), None);
        data.hold().unwrap();
    }
}
