//! The one writer: a thread that turns whatever has queued up into one durable batch.

use std::{
    collections::HashMap,
    sync::Arc,
    thread::{self, JoinHandle},
};

use parking_lot::{Mutex, RwLock};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

use super::{
    Expect, StoreError, WindowLimits, Write,
    keeper::{self, Keeper},
    memory::Memory,
    object::{Change, ChangeKind, Key, Object},
};

/// More than this in one transaction would only delay the first in line.
const BATCH: usize = 512;

/// Where the result of a command goes.
type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

pub(super) enum Command {
    Write {
        key: Key,
        expect: Expect,
        write: Write,
        reply: Reply<Arc<Object>>,
    },
    Compact {
        revision: u64,
        reply: Reply<()>,
    },
    Stop,
}

/// The handle to the thread.
pub(super) struct Writer {
    // Unbounded: every sender waits for its reply, so there are never more commands than requests.
    commands: mpsc::UnboundedSender<Command>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    pub(super) fn start(
        keeper: Keeper,
        memory: Arc<RwLock<Memory>>,
        limits: WindowLimits,
    ) -> Result<Self, StoreError> {
        let (commands, receiver) = mpsc::unbounded_channel();
        let thread = thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || run(keeper, &memory, limits, receiver))
            .map_err(|error| StoreError::Disk(format!("cannot start the writer: {error}")))?;
        Ok(Self {
            commands,
            thread: Mutex::new(Some(thread)),
        })
    }

    pub(super) fn send(&self, command: Command) -> Result<(), StoreError> {
        self.commands.send(command).map_err(|_| StoreError::Closed)
    }

    pub(super) fn stop(&self) {
        // A failed send means that the thread has stopped already.
        let _ = self.commands.send(Command::Stop);
        if let Some(thread) = self.thread.lock().take()
            && thread.join().is_err()
        {
            tracing::error!("the store's writer ended by a panic");
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A batch in the making: what the keys will be once it is on disk.
struct Batch {
    revision: u64,
    pending: HashMap<Key, Option<Arc<Object>>>,
    changes: Vec<Arc<Change>>,
    written: Vec<(Reply<Arc<Object>>, Arc<Object>)>,
    refused: Vec<(Reply<Arc<Object>>, StoreError)>,
    compactions: Vec<Reply<()>>,
    compact_to: u64,
}

fn run(
    mut keeper: Keeper,
    memory: &RwLock<Memory>,
    limits: WindowLimits,
    mut commands: mpsc::UnboundedReceiver<Command>,
) {
    let mut stopped = false;
    while !stopped {
        let Some(first) = commands.blocking_recv() else {
            return;
        };
        let ready = keeper.ready(memory);
        let mut batch = Batch::new(memory.read().revision);
        let mut next = Some(first);
        let mut taken = 0;
        while let Some(command) = next {
            match command {
                Command::Stop => {
                    stopped = true;
                    break;
                }
                Command::Write {
                    key,
                    expect,
                    write,
                    reply,
                } => {
                    batch.add(memory, key, expect, write, reply);
                }
                Command::Compact { revision, reply } => {
                    batch.compact_to = batch.compact_to.max(revision);
                    batch.compactions.push(reply);
                }
            }
            taken += 1;
            next = if taken < BATCH {
                commands.try_recv().ok()
            } else {
                None
            };
        }
        batch.finish(ready, &mut keeper, memory, limits);
    }
}

impl Batch {
    fn new(revision: u64) -> Self {
        Self {
            revision,
            pending: HashMap::new(),
            changes: Vec::new(),
            written: Vec::new(),
            refused: Vec::new(),
            compactions: Vec::new(),
            compact_to: 0,
        }
    }

    fn add(
        &mut self,
        memory: &RwLock<Memory>,
        key: Key,
        expect: Expect,
        write: Write,
        reply: Reply<Arc<Object>>,
    ) {
        let current = match self.pending.get(&key) {
            Some(pending) => pending.clone(),
            None => memory.read().get(&key).cloned(),
        };
        let as_expected = match (expect, &current) {
            (Expect::Absent, None) => true,
            (Expect::Revision(revision), Some(object)) => object.revision() == revision,
            _ => false,
        };
        if !as_expected {
            self.refused.push((reply, StoreError::Conflict { current }));
            return;
        }
        let known = current.is_some();
        let (kind, value) = match write {
            Write::Put(value) if known => (ChangeKind::Modified, value),
            Write::Put(value) => (ChangeKind::Added, value),
            Write::Delete(value) => (ChangeKind::Deleted, value),
            Write::PutAndDelete(value) => {
                let kind = if known {
                    ChangeKind::Modified
                } else {
                    ChangeKind::Added
                };
                let marked = self.change(&key, kind, value.clone(), current);
                let object = self.change(&key, ChangeKind::Deleted, value, Some(marked));
                self.written.push((reply, object));
                return;
            }
        };
        let object = self.change(&key, kind, value, current);
        self.written.push((reply, object));
    }

    /// One change, with the next revision.
    fn change(
        &mut self,
        key: &Key,
        kind: ChangeKind,
        mut value: Value,
        previous: Option<Arc<Object>>,
    ) -> Arc<Object> {
        self.revision += 1;
        set_resource_version(&mut value, self.revision);
        let object = Arc::new(Object::from_value(self.revision, &value));
        let after = (kind != ChangeKind::Deleted).then(|| Arc::clone(&object));
        self.pending.insert(key.clone(), after);
        self.changes.push(Arc::new(Change {
            key: key.clone(),
            kind,
            object: Arc::clone(&object),
            previous,
        }));
        object
    }

    /// Commits and publishes, then answers. Refusals are answered last too: they may rest on a
    /// write of this very batch, and whoever retries should find it visible.
    fn finish(
        self,
        ready: Result<(), StoreError>,
        keeper: &mut Keeper,
        memory: &RwLock<Memory>,
        limits: WindowLimits,
    ) {
        let result = if self.changes.is_empty() && self.compactions.is_empty() {
            Ok(())
        } else {
            ready.and_then(|()| {
                let compacted = memory
                    .read()
                    .compaction_for(&self.changes, limits)
                    .max(self.compact_to.min(self.revision));
                let batch = keeper::Batch {
                    changes: self.changes,
                    revision: self.revision,
                    compacted,
                };
                keeper.commit(batch, memory)
            })
        };
        // Whoever does not wait for the answer any more does not need it.
        match result {
            Ok(()) => {
                for (reply, object) in self.written {
                    let _ = reply.send(Ok(object));
                }
                for reply in self.compactions {
                    let _ = reply.send(Ok(()));
                }
            }
            Err(error) => {
                for (reply, _) in self.written {
                    let _ = reply.send(Err(error.clone()));
                }
                for reply in self.compactions {
                    let _ = reply.send(Err(error.clone()));
                }
            }
        }
        for (reply, error) in self.refused {
            let _ = reply.send(Err(error));
        }
    }
}

fn set_resource_version(value: &mut Value, revision: u64) {
    value["metadata"]["resourceVersion"] = Value::String(revision.to_string());
}
