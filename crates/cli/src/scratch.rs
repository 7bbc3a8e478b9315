//! Folders of clusters that live as long as one command.
//!
//! A folder is locked for as long as its command runs. The kernel gives the lock free however the
//! command ends, so what an earlier one left behind when it was killed can be told from what is
//! in use, and is removed by the next.

use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use windlass_node::remove_tree;

use crate::exit::Failure;

/// What the names of the folders begin with.
const PREFIX: &str = "windlass-run-";
/// How often another command may take a new folder for an old one before this one gives up.
const ATTEMPTS: u32 = 8;

/// A folder for one command, removed with the value.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    _lock: File,
}

impl Scratch {
    /// Makes a folder below `parent`, and removes those that nobody uses any more.
    pub fn new(parent: &Path) -> Result<Self, Failure> {
        sweep(parent);
        let cannot = |path: &Path, error: std::io::Error| {
            Failure::bad_input(format!(
                "{} cannot be created: {error}: set TMPDIR to a folder you may write to",
                path.display()
            ))
        };
        let mut tries = 0;
        loop {
            tries += 1;
            let name = format!(
                "{PREFIX}{}-{:x}",
                std::process::id(),
                jiff::Timestamp::now().as_nanosecond()
            );
            let path = parent.join(name);
            std::fs::create_dir(&path).map_err(|error| cannot(&path, error))?;
            match lock(&path) {
                Ok(Some(lock)) => return Ok(Self { path, _lock: lock }),
                // Someone who was sweeping came between the two steps.
                Ok(None) if tries < ATTEMPTS => {}
                Ok(None) => return Err(cannot(&path, std::io::ErrorKind::ResourceBusy.into())),
                Err(error) => return Err(cannot(&path, error)),
            }
        }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = remove_tree(&self.path) {
            tracing::warn!(%error, folder = %self.path.display(), "a scratch folder stays behind");
        }
    }
}

/// Locks a folder; `None` when it is in use or has just been removed.
fn lock(path: &Path) -> std::io::Result<Option<File>> {
    let folder = match File::open(path) {
        Ok(folder) => folder,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if flock(&folder, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Ok(None);
    }
    let same = std::fs::metadata(path).is_ok_and(|now| {
        folder
            .metadata()
            .is_ok_and(|locked| (now.dev(), now.ino()) == (locked.dev(), locked.ino()))
    });
    Ok(same.then_some(folder))
}

/// Removes the folders whose commands are gone. What belongs to other users stays.
fn sweep(parent: &Path) {
    let Ok(entries) = std::fs::read_dir(parent) else {
        return;
    };
    for entry in entries.flatten() {
        let ours = entry.file_name().to_string_lossy().starts_with(PREFIX)
            && entry.metadata().is_ok_and(|found| {
                found.is_dir() && found.uid() == rustix::process::geteuid().as_raw()
            });
        if !ours {
            continue;
        }
        if let Ok(Some(_lock)) = lock(&entry.path())
            && let Err(error) = remove_tree(&entry.path())
        {
            tracing::debug!(%error, folder = %entry.path().display(), "an old scratch folder stays");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_command_left_is_removed_and_what_is_in_use_stays() {
        let parent = tempfile::tempdir().unwrap();
        let names = || {
            let mut names: Vec<_> = std::fs::read_dir(parent.path())
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .collect();
            names.sort();
            names
        };
        let abandoned = parent.path().join("windlass-run-1-2/node/pods");
        std::fs::create_dir_all(&abandoned).unwrap();
        let strange = parent.path().join("windlass-else");
        std::fs::create_dir(&strange).unwrap();

        let first = Scratch::new(parent.path()).unwrap();
        let second = Scratch::new(parent.path()).unwrap();
        let mut expected = vec![
            strange.clone(),
            first.path().to_owned(),
            second.path().to_owned(),
        ];
        expected.sort();
        assert_eq!(names(), expected);
        drop((first, second));
        assert_eq!(names(), [strange]);
    }

    #[test]
    fn a_folder_that_cannot_be_made_says_what_to_do() {
        let failure = Scratch::new(Path::new("/proc/none")).unwrap_err();
        assert!(failure.message.contains("TMPDIR"), "{}", failure.message);
    }
}
