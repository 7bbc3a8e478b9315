//! The store: every object, every recent change, durable and in order.
//!
//! Laws
//! - One writer. Each change has one revision, revisions have no gaps, and each is one change.
//! - A write is acknowledged after its batch is on disk; readers and watchers never see anything
//!   that could still be lost.
//! - Watch history is ordered, unique and resumable from any revision in the window.
//! - A disk that refuses writes costs the writes it refuses and nothing else: reads go on, and
//!   writes do as soon as the disk takes them again.

mod disk;
mod keeper;
mod medium;
mod memory;
mod object;
mod writer;

use std::{path::Path, sync::Arc};

use parking_lot::RwLock;
use serde_json::Value;
use tokio::sync::oneshot;

pub use medium::Medium;
pub use memory::{Snapshot, Subscription, TooOld};
pub use object::{Change, ChangeKind, Key, Object, Scope};

use disk::Disk;
use keeper::Keeper;
use medium::LocalFile;
use memory::Memory;
use writer::{Command, Writer};

/// How many changes a watcher may lag behind before it is ended.
const WATCH_QUEUE: usize = 4096;

/// Whether an acknowledged write survives the death of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// Every batch is synchronised to disk before it is acknowledged.
    #[default]
    Immediate,
    /// Nothing is synchronised: for tests that do not care about crashes.
    None,
}

/// How much history is kept for watchers and consistent lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowLimits {
    /// At most so many changes.
    pub changes: usize,
    /// At most so many bytes of objects.
    pub bytes: usize,
}

impl Default for WindowLimits {
    fn default() -> Self {
        Self {
            changes: 8192,
            bytes: 24 * 1024 * 1024,
        }
    }
}

/// What a write expects to find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// No object under this key.
    Absent,
    /// The object as of this revision.
    Revision(u64),
}

/// A change somebody wants.
#[derive(Debug)]
pub enum Write {
    /// The key's new state; `metadata.resourceVersion` is filled in.
    Put(Value),
    /// The key goes; the value is its last state, for the watchers.
    Delete(Value),
    /// Both, one after the other, with nothing in between: two changes with a revision each.
    PutAndDelete(Value),
}

/// Why a write did not happen.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The key is not in the expected state. Read again and decide again.
    #[error("the object has changed")]
    Conflict {
        /// What is there now.
        current: Option<Arc<Object>>,
    },
    /// The store is shutting down.
    #[error("the store is closed")]
    Closed,
    /// There is no room for the write. It can be tried again once there is.
    #[error(
        "there is no room left for the object store ({0}): free space on its disk and try again"
    )]
    Full(String),
    /// The file cannot be read or written.
    #[error("the object store's file: {0}")]
    Disk(String),
}

impl From<std::io::Error> for StoreError {
    fn from(error: std::io::Error) -> Self {
        use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        match error.kind() {
            StorageFull | QuotaExceeded | FileTooLarge => Self::Full(error.to_string()),
            _ => Self::Disk(error.to_string()),
        }
    }
}

impl From<redb::Error> for StoreError {
    fn from(error: redb::Error) -> Self {
        match error {
            redb::Error::Io(error) => error.into(),
            error => Self::Disk(error.to_string()),
        }
    }
}

macro_rules! disk_errors {
    ($($error:ty),*) => {$(
        impl From<$error> for StoreError {
            fn from(error: $error) -> Self {
                redb::Error::from(error).into()
            }
        }
    )*};
}
disk_errors!(
    redb::DatabaseError,
    redb::TransactionError,
    redb::TableError,
    redb::StorageError,
    redb::CommitError
);

/// A handle to the store; clones share it.
#[derive(Clone)]
pub struct Store {
    memory: Arc<RwLock<Memory>>,
    writer: Arc<Writer>,
}

impl Store {
    /// Opens or creates the store's file and starts its writer.
    pub fn open(
        path: &Path,
        durability: Durability,
        limits: WindowLimits,
    ) -> Result<Self, StoreError> {
        Self::open_on(LocalFile::at(path), durability, limits)
    }

    /// The same on something else than a file of this machine.
    pub fn open_on(
        medium: impl Medium,
        durability: Durability,
        limits: WindowLimits,
    ) -> Result<Self, StoreError> {
        let disk = Disk::open(&medium, durability)?;
        let loaded = disk.load()?;
        let memory = Arc::new(RwLock::new(Memory::new(
            loaded.revision,
            loaded.compacted,
            loaded.objects,
            loaded.window,
        )));
        let keeper = Keeper::new(Box::new(medium), durability, disk);
        let writer = Writer::start(keeper, Arc::clone(&memory), limits)?;
        Ok(Self {
            memory,
            writer: Arc::new(writer),
        })
    }

    /// The revision of the last durable write.
    pub fn revision(&self) -> u64 {
        self.memory.read().revision
    }

    /// The oldest revision that a watch or a list may ask for.
    pub fn oldest_revision(&self) -> u64 {
        self.memory.read().compacted
    }

    /// The object under a key.
    pub fn get(&self, key: &Key) -> Option<Arc<Object>> {
        self.memory.read().get(key).cloned()
    }

    /// The object under a key as of a revision in the window.
    pub fn get_at(&self, key: &Key, revision: u64) -> Result<Option<Arc<Object>>, TooOld> {
        self.memory.read().get_at(key, revision)
    }

    /// All objects in a scope, now.
    pub fn list(&self, scope: &Scope) -> Snapshot {
        self.memory.read().list(scope)
    }

    /// All objects in a scope as of a revision in the window.
    pub fn list_at(&self, scope: &Scope, revision: u64) -> Result<Snapshot, TooOld> {
        self.memory.read().list_at(scope, revision)
    }

    /// Watches a scope for changes after `revision`.
    pub fn watch(&self, scope: &Scope, revision: u64) -> Result<Subscription, TooOld> {
        self.memory.write().watch(scope, revision)
    }

    /// The scope as it is, and everything that happens to it from there.
    pub fn list_and_watch(&self, scope: &Scope) -> (Snapshot, Subscription) {
        let mut memory = self.memory.write();
        let snapshot = memory.list(scope);
        let revision = memory.revision;
        let subscription = memory.watch(scope, revision).unwrap_or_else(|_| {
            unreachable!("the current revision is never older than the window")
        });
        (snapshot, subscription)
    }

    /// Performs one write if the key is as expected; returns when it is durable and visible.
    pub async fn commit(
        &self,
        key: Key,
        expect: Expect,
        write: Write,
    ) -> Result<Arc<Object>, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.writer.send(Command::Write {
            key,
            expect,
            write,
            reply,
        })?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    /// Forgets the history up to and including `revision`.
    pub async fn compact(&self, revision: u64) -> Result<(), StoreError> {
        let (reply, answer) = oneshot::channel();
        self.writer.send(Command::Compact { revision, reply })?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    /// Finishes the writes in hand, ends all watches and closes the file.
    pub fn close(&self) {
        self.writer.stop();
        self.memory.write().close();
    }
}
