//! Keeps the file in use: a file that a write has failed on is closed, and opened again for a later
//! write, since the database refuses everything after a failed operation.
//!
//! Laws
//! - A batch whose commit failed may be in the file all the same. The file decides when it is
//!   opened again, and what it holds is published before anything is written on top of it.
//! - A file that is neither at the last published revision nor at that of the batch in doubt is
//!   not written to.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::RwLock;

use super::{Durability, StoreError, disk::Disk, medium::Medium, memory::Memory, object::Change};

/// The least time between two tries to open the file again.
const RETRY: Duration = Duration::from_millis(100);
/// Opening again may mean to check a large file: it gets at most one part of this many of the time.
const RETRY_SHARE: u32 = 4;

/// How often a disk that takes some writes and refuses others is worth a line.
const QUIET: Duration = Duration::from_secs(10);

/// What is written in one transaction.
pub(super) struct Batch {
    pub(super) changes: Vec<Arc<Change>>,
    pub(super) revision: u64,
    pub(super) compacted: u64,
}

/// The file and what is known about it.
pub(super) struct Keeper {
    medium: Box<dyn Medium>,
    durability: Durability,
    file: File,
    told: Told,
}

/// What the log says of the file.
#[derive(Default)]
struct Told {
    /// When it was last told that writes are refused.
    at: Option<Instant>,
    /// Whether it was not told yet that they are taken again.
    open: bool,
}

enum File {
    Open(Disk),
    /// A write has failed.
    Closed {
        /// What every write is told until the file is open again.
        error: StoreError,
        /// The batch that failed, and may be in the file.
        in_doubt: Option<Batch>,
        next_try: Instant,
    },
}

impl Keeper {
    pub(super) fn new(medium: Box<dyn Medium>, durability: Durability, disk: Disk) -> Self {
        Self {
            medium,
            durability,
            file: File::Open(disk),
            told: Told::default(),
        }
    }

    /// Opens the file if it is closed, and publishes what turned out to be in it. Without this a
    /// batch must not be made, since it might rest on what is not the last revision.
    pub(super) fn ready(&mut self, memory: &RwLock<Memory>) -> Result<(), StoreError> {
        let File::Closed {
            error,
            in_doubt,
            next_try,
        } = &mut self.file
        else {
            return Ok(());
        };
        let started = Instant::now();
        if started < *next_try {
            return Err(error.clone());
        }
        let published = memory.read().revision;
        let opened = Disk::open(&*self.medium, self.durability).and_then(|disk| {
            let found = disk.revision()?;
            Ok((disk, found))
        });
        let refused = match opened {
            Ok((disk, found)) => {
                let decided = in_doubt.take_if(|batch| batch.revision == found);
                if let Some(batch) = decided {
                    memory.write().publish(batch.changes, batch.compacted);
                } else if found != published {
                    return Err(self.unusable(found, published));
                }
                self.file = File::Open(disk);
                return Ok(());
            }
            Err(refused) => refused,
        };
        *error = refused.clone();
        *next_try = Instant::now() + RETRY.max(started.elapsed() * RETRY_SHARE);
        Err(refused)
    }

    /// Writes a batch and publishes it.
    pub(super) fn commit(
        &mut self,
        batch: Batch,
        memory: &RwLock<Memory>,
    ) -> Result<(), StoreError> {
        let disk = match &self.file {
            File::Open(disk) => disk,
            File::Closed { error, .. } => return Err(error.clone()),
        };
        let result = disk.commit(&batch.changes, batch.revision, batch.compacted);
        match result {
            Ok(()) => {
                memory.write().publish(batch.changes, batch.compacted);
                if std::mem::take(&mut self.told.open) {
                    tracing::warn!("the object store takes writes again");
                }
            }
            Err(error) => {
                if self.told.at.is_none_or(|at| at.elapsed() > QUIET) {
                    tracing::error!(
                        "{error}; until then writes are refused, and what is stored can be read"
                    );
                    self.told = Told {
                        at: Some(Instant::now()),
                        open: true,
                    };
                }
                self.file = File::Closed {
                    error: error.clone(),
                    in_doubt: Some(batch),
                    next_try: Instant::now(),
                };
                return Err(error);
            }
        }
        Ok(())
    }

    fn unusable(&mut self, found: u64, published: u64) -> StoreError {
        let error = StoreError::Disk(format!(
            "{} is at revision {found}, but {published} was acknowledged: nothing is written to \
             it any more",
            self.medium
        ));
        tracing::error!("{error}");
        self.file = File::Closed {
            error: error.clone(),
            in_doubt: None,
            // It does not get better by itself.
            next_try: Instant::now() + Duration::from_hours(1),
        };
        error
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::{BTreeMap, VecDeque},
        path::Path,
    };

    use serde_json::json;

    use super::super::medium::LocalFile;
    use super::super::object::{ChangeKind, Key, Object};
    use super::*;

    fn batch(revision: u64) -> Batch {
        let value = json!({"metadata": {"name": "a", "resourceVersion": revision.to_string()}});
        let change = Change {
            key: Key::new("", "configmaps", "default", "a"),
            kind: ChangeKind::Added,
            object: Arc::new(Object::from_value(revision, &value)),
            previous: None,
        };
        Batch {
            changes: vec![Arc::new(change)],
            revision,
            compacted: 0,
        }
    }

    /// A keeper whose write of `in_doubt` has failed, on a file that is at revision `found`.
    fn failed(folder: &Path, in_doubt: u64, found: u64) -> (Keeper, RwLock<Memory>) {
        let file = LocalFile::at(&folder.join("objects.redb"));
        let disk = Disk::open(&file, Durability::None).unwrap();
        if found > 0 {
            let batch = batch(found);
            disk.commit(&batch.changes, found, 0).unwrap();
        }
        drop(disk);
        let keeper = Keeper {
            medium: Box::new(file),
            durability: Durability::None,
            file: File::Closed {
                error: StoreError::Full("no".to_owned()),
                in_doubt: Some(batch(in_doubt)),
                next_try: Instant::now(),
            },
            told: Told::default(),
        };
        let memory = Memory::new(0, 0, BTreeMap::new(), VecDeque::new());
        (keeper, RwLock::new(memory))
    }

    #[test]
    fn what_became_of_a_failed_batch_is_what_the_file_says() {
        for (found, visible) in [(0, false), (1, true)] {
            let folder = tempfile::tempdir().unwrap();
            let (mut keeper, memory) = failed(folder.path(), 1, found);
            keeper.ready(&memory).unwrap();
            let key = Key::new("", "configmaps", "default", "a");
            assert_eq!(memory.read().get(&key).is_some(), visible);
            assert_eq!(memory.read().revision, found);
            keeper.commit(batch(found + 1), &memory).unwrap();
            assert_eq!(memory.read().revision, found + 1);
        }
    }

    #[test]
    fn a_file_that_is_not_the_one_that_was_written_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (mut keeper, memory) = failed(folder.path(), 1, 7);
        for _ in 0..2 {
            let refused = keeper.ready(&memory).unwrap_err().to_string();
            assert!(refused.contains("at revision 7, but 0 was"), "{refused}");
            assert!(keeper.commit(batch(1), &memory).is_err());
        }
    }
}
