//! Where everything of a pod is on disk.

use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::shim::{STATE, write_durably};

/// A pod's directory, `<data>/pods/<uid>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PodDir(PathBuf);

/// What the agent keeps about a pod beside the shim's record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PodRecord {
    /// Its namespace.
    pub(crate) namespace: String,
    /// Its name.
    pub(crate) name: String,
    /// Its address.
    pub(crate) address: Ipv4Addr,
    /// When the agent took it on.
    pub(crate) accepted_at: Timestamp,
}

impl PodDir {
    /// The directory of the pod with this uid; uids come from the API and are checked all the same,
    /// for they become part of a path.
    pub(crate) fn new(data_dir: &Path, uid: &str) -> Option<Self> {
        let sound = !uid.is_empty() && uid.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        sound.then(|| Self(data_dir.join("pods").join(uid)))
    }

    /// The directories of all pods, by uid.
    pub(crate) fn all(data_dir: &Path) -> io::Result<Vec<(String, Self)>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(data_dir.join("pods"))? {
            let uid = entry?.file_name().to_string_lossy().into_owned();
            if let Some(directory) = Self::new(data_dir, &uid) {
                found.push((uid, directory));
            }
        }
        Ok(found)
    }

    /// Makes it; only its owner may look inside.
    pub(crate) fn create(&self) -> io::Result<()> {
        fs::create_dir_all(&self.0)?;
        fs::set_permissions(&self.0, fs::Permissions::from_mode(0o700))
    }

    /// Removes everything.
    pub(crate) fn remove(&self) -> io::Result<()> {
        remove_tree(&self.0)
    }

    /// The directory itself.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// The shim's record.
    pub(crate) fn state(&self) -> PathBuf {
        self.0.join(STATE)
    }

    /// The pod's `/etc/hosts`.
    pub(crate) fn hosts(&self) -> PathBuf {
        self.0.join("hosts")
    }

    /// The pod's `/etc/hostname`.
    pub(crate) fn hostname(&self) -> PathBuf {
        self.0.join("hostname")
    }

    /// The pod's `/etc/resolv.conf`.
    pub(crate) fn resolv_conf(&self) -> PathBuf {
        self.0.join("resolv.conf")
    }

    /// One instance's own directory.
    pub(crate) fn container(&self, name: &str, attempt: u32) -> PathBuf {
        self.0
            .join("containers")
            .join(name)
            .join(attempt.to_string())
    }

    /// One instance's log.
    pub(crate) fn log(&self, name: &str, attempt: u32) -> PathBuf {
        self.0
            .join("logs")
            .join(name)
            .join(format!("{attempt}.log"))
    }

    /// The agent's record, if there is one.
    pub(crate) fn record(&self) -> Option<PodRecord> {
        serde_json::from_slice(&fs::read(self.record_file()).ok()?).ok()
    }

    /// Writes the agent's record.
    pub(crate) fn write_record(&self, record: &PodRecord) -> io::Result<()> {
        write_durably(&self.record_file(), &serde_json::to_vec(record)?)
    }

    fn record_file(&self) -> PathBuf {
        self.0.join("record.json")
    }
}

/// Removes a directory with everything in it, whatever its permissions: overlays leave directories
/// that not even their owner may open, and so may programs.
pub fn remove_tree(path: &Path) -> io::Result<()> {
    let removed = match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            open_up(path)?;
            fs::remove_dir_all(path)
        }
        other => other,
    };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Lets the owner into every directory of a tree, parts of which others may be removing.
fn open_up(directory: &Path) -> io::Result<()> {
    let opened = fs::set_permissions(directory, fs::Permissions::from_mode(0o700))
        .and_then(|()| fs::read_dir(directory));
    let entries = match opened {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    for entry in entries {
        let entry = entry?;
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => open_up(&entry.path())?,
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_its_owner_may_not_open_is_removed() {
        let outer = tempfile::tempdir().unwrap();
        let closed = outer.path().join("pod/work/work");
        fs::create_dir_all(&closed).unwrap();
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
        remove_tree(&outer.path().join("pod")).unwrap();
        remove_tree(&outer.path().join("pod")).unwrap();
        assert_eq!(fs::read_dir(outer.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_tree_can_be_opened_while_somebody_else_removes_it() {
        let outer = tempfile::tempdir().unwrap();
        for round in 0..20 {
            let tree = outer.path().join(round.to_string());
            for leaf in 0..50 {
                fs::create_dir_all(tree.join(format!("work/{leaf}"))).unwrap();
            }
            std::thread::scope(|threads| {
                let remover = threads.spawn(|| remove_tree(&tree));
                open_up(&tree).unwrap();
                remover.join().unwrap().unwrap();
            });
            assert!(!tree.exists());
        }
    }
}
