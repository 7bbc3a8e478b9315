//! What readers see: the objects, the window of recent changes, and who watches.
//!
//! Laws: a reader sees only what is durable; the window holds every change after `compacted`, in
//! order and once; a watcher is registered and gets its backlog under the same lock that publishes
//! changes, so nothing falls between.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    ops::Bound,
    sync::Arc,
};

use tokio::sync::mpsc;

use super::{
    WATCH_QUEUE, WindowLimits,
    object::{Change, ChangeKind, Key, Object, Scope},
};

/// The committed state.
pub(super) struct Memory {
    pub(super) revision: u64,
    pub(super) compacted: u64,
    objects: BTreeMap<Key, Arc<Object>>,
    window: VecDeque<Arc<Change>>,
    window_bytes: usize,
    watchers: HashMap<String, Vec<Watcher>>,
}

struct Watcher {
    scope: Scope,
    /// It asked for what happens after this revision, which may be one to come.
    after: u64,
    queue: mpsc::Sender<Arc<Change>>,
}

/// Objects in key order, at a revision.
#[derive(Debug)]
pub struct Snapshot {
    /// The state of the whole store that this is a part of.
    pub revision: u64,
    /// The objects in the scope.
    pub objects: Vec<(Key, Arc<Object>)>,
}

/// A running watch. When `queue` ends, the watcher was too slow or the store closed; either way
/// the client resumes from the last revision it saw.
#[derive(Debug)]
pub struct Subscription {
    /// Changes that had happened before the watch was registered.
    pub backlog: Vec<Arc<Change>>,
    /// Changes from then on.
    pub queue: mpsc::Receiver<Arc<Change>>,
    /// The revision at registration; the backlog ends there.
    pub revision: u64,
}

/// The asked revision is older than the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooOld {
    /// The oldest revision that could be asked for.
    pub oldest: u64,
}

impl Memory {
    pub(super) fn new(
        revision: u64,
        compacted: u64,
        objects: BTreeMap<Key, Arc<Object>>,
        window: VecDeque<Arc<Change>>,
    ) -> Self {
        let window_bytes = window.iter().map(|change| change.weight()).sum();
        let watchers = HashMap::new();
        Self {
            revision,
            compacted,
            objects,
            window,
            window_bytes,
            watchers,
        }
    }

    pub(super) fn get(&self, key: &Key) -> Option<&Arc<Object>> {
        self.objects.get(key)
    }

    /// The object as it was: what the first change after `revision` replaced.
    pub(super) fn get_at(&self, key: &Key, revision: u64) -> Result<Option<Arc<Object>>, TooOld> {
        if revision < self.compacted {
            return Err(TooOld {
                oldest: self.compacted,
            });
        }
        let after = self
            .window
            .partition_point(|change| change.revision() <= revision);
        let next = self.window.range(after..).find(|change| change.key == *key);
        Ok(match next {
            Some(change) => change.previous.clone(),
            None => self.objects.get(key).cloned(),
        })
    }

    pub(super) fn list(&self, scope: &Scope) -> Snapshot {
        let start = Bound::Included(Key::from_stored(scope.prefix()));
        let objects = self
            .objects
            .range((start, Bound::Unbounded))
            .take_while(|(key, _)| scope.contains(key))
            .map(|(key, object)| (key.clone(), Arc::clone(object)))
            .collect();
        Snapshot {
            revision: self.revision,
            objects,
        }
    }

    /// The scope as it was: today's state with the changes since then undone.
    pub(super) fn list_at(&self, scope: &Scope, revision: u64) -> Result<Snapshot, TooOld> {
        if revision >= self.revision {
            return Ok(self.list(scope));
        }
        if revision < self.compacted {
            return Err(TooOld {
                oldest: self.compacted,
            });
        }
        let mut objects: BTreeMap<Key, Arc<Object>> =
            self.list(scope).objects.into_iter().collect();
        let since = self
            .window
            .iter()
            .rev()
            .take_while(|change| change.revision() > revision);
        for change in since.filter(|change| scope.contains(&change.key)) {
            match &change.previous {
                Some(previous) => {
                    objects.insert(change.key.clone(), Arc::clone(previous));
                }
                None => {
                    objects.remove(&change.key);
                }
            }
        }
        Ok(Snapshot {
            revision,
            objects: objects.into_iter().collect(),
        })
    }

    /// Watches what happens after `revision`.
    pub(super) fn watch(&mut self, scope: &Scope, revision: u64) -> Result<Subscription, TooOld> {
        if revision < self.compacted {
            return Err(TooOld {
                oldest: self.compacted,
            });
        }
        let backlog = self
            .window
            .iter()
            .skip(
                self.window
                    .partition_point(|change| change.revision() <= revision),
            )
            .filter(|change| scope.contains(&change.key))
            .cloned()
            .collect();
        let (sender, queue) = mpsc::channel(WATCH_QUEUE);
        let resource = resource_prefix(scope.prefix()).to_owned();
        let watchers = self.watchers.entry(resource).or_default();
        watchers.retain(|watcher| !watcher.queue.is_closed());
        watchers.push(Watcher {
            scope: scope.clone(),
            after: revision,
            queue: sender,
        });
        Ok(Subscription {
            backlog,
            queue,
            revision: self.revision,
        })
    }

    /// Makes a durable batch visible and tells the watchers.
    pub(super) fn publish(&mut self, changes: Vec<Arc<Change>>, compacted: u64) {
        for change in changes {
            match change.kind {
                ChangeKind::Added | ChangeKind::Modified => {
                    self.objects
                        .insert(change.key.clone(), Arc::clone(&change.object));
                }
                ChangeKind::Deleted => {
                    self.objects.remove(&change.key);
                }
            }
            self.revision = change.revision();
            self.window_bytes += change.weight();
            if let Some(watchers) = self.watchers.get_mut(change.key.resource_prefix()) {
                // A full queue means a watcher that does not keep up: it is ended, never waited for.
                watchers.retain(|watcher| {
                    !watcher.scope.contains(&change.key)
                        || change.revision() <= watcher.after
                        || watcher.queue.try_send(Arc::clone(&change)).is_ok()
                });
            }
            self.window.push_back(change);
        }
        self.forget_until(compacted);
    }

    pub(super) fn forget_until(&mut self, compacted: u64) {
        while self
            .window
            .front()
            .is_some_and(|change| change.revision() <= compacted)
        {
            if let Some(change) = self.window.pop_front() {
                self.window_bytes -= change.weight();
            }
        }
        self.compacted = self.compacted.max(compacted);
    }

    /// Up to where the log has to be forgotten once `incoming` is added, to stay in the limits.
    pub(super) fn compaction_for(&self, incoming: &[Arc<Change>], limits: WindowLimits) -> u64 {
        let mut count = self.window.len() + incoming.len();
        let mut bytes =
            self.window_bytes + incoming.iter().map(|change| change.weight()).sum::<usize>();
        let mut compacted = self.compacted;
        for change in &self.window {
            if count <= limits.changes && bytes <= limits.bytes {
                break;
            }
            count -= 1;
            bytes -= change.weight();
            compacted = change.revision();
        }
        compacted
    }

    /// Ends all watches.
    pub(super) fn close(&mut self) {
        self.watchers.clear();
    }
}

fn resource_prefix(prefix: &str) -> &str {
    let mut slashes = prefix.match_indices('/');
    slashes.next();
    slashes.next().map_or(prefix, |(at, _)| &prefix[..=at])
}
