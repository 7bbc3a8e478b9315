//! The work queue: which object is planned next.
//!
//! A pure state machine: time is passed in, nothing waits, nothing is spawned. Laws:
//! - a key runs at most once at a time; a trigger that arrives while it runs is held;
//! - no trigger is lost: after it, the key runs at least once more;
//! - triggers are merged, and the earliest time wins;
//! - status work goes before new work, but new work gets one turn in [`NEW_WORK_SHARE`];
//! - within a class, namespaces take turns, and within a namespace the oldest goes first;
//! - a key that fails waits longer each time, up to a cap, with jitter that depends only on the
//!   key and the count, so that many keys that failed together do not come back together;
//! - a trigger cuts such a wait short, but not below [`COOLING`]: a key that fails and by failing
//!   triggers itself must not spin.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::controller::Class;
use crate::kind::ObjectKey;

/// At least one of this many turns goes to new work, however much status work is ready, so that a
/// cluster that is always busy still starts something.
pub const NEW_WORK_SHARE: u32 = 8;

/// How long a failed key is left alone at most, however it is triggered.
pub const COOLING: Duration = Duration::from_secs(5);

/// Limits of a queue.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct QueueConfig {
    /// How many keys may run at once.
    pub concurrency: usize,
    /// The first wait after a failure.
    pub backoff_base: Duration,
    /// The longest wait after failures.
    pub backoff_cap: Duration,
}

impl Default for QueueConfig {
    fn default() -> Self {
        Self {
            concurrency: 16,
            backoff_base: Duration::from_millis(200),
            backoff_cap: Duration::from_mins(5),
        }
    }
}

/// Keys that wait, are ready, or run.
#[derive(Debug)]
pub struct WorkQueue {
    config: QueueConfig,
    entries: HashMap<ObjectKey, Entry>,
    timers: BTreeSet<(Instant, ObjectKey)>,
    new: Lane,
    status: Lane,
    running: usize,
    status_turns: u32,
    next_ticket: u64,
}

/// A key that was handed out to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Which object.
    pub key: ObjectKey,
    /// The class it was ready in.
    pub class: Class,
    /// How long it was ready.
    pub waited: Duration,
    /// How often in a row it has failed.
    pub failures: u32,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It went through; run again at this time at the latest.
    Settled {
        /// `None` waits for a trigger.
        again: Option<Instant>,
    },
    /// It could not start yet; run again at this time at the latest. Neither success nor failure.
    Parked {
        /// When to try again.
        until: Instant,
    },
    /// It failed; run again after its backoff, and not before `at_least` has passed.
    Failed {
        /// What the error asks for.
        at_least: Duration,
    },
    /// It lost a race. The first in a row is bad luck and runs again at once; from then on it is
    /// a failure.
    Conflicted,
    /// The object is gone.
    Gone,
}

#[derive(Debug)]
struct Entry {
    place: Place,
    class: Class,
    failures: u32,
    /// After a failure: triggers do not run it earlier.
    not_before: Option<Instant>,
}

#[derive(Debug)]
enum Place {
    /// Nothing to do; the entry only remembers failures.
    Idle,
    Waiting {
        at: Instant,
    },
    Ready {
        since: Instant,
        ticket: u64,
    },
    Running {
        held: Option<Instant>,
    },
}

/// One class of ready keys. Entries whose ticket is no longer current are skipped.
#[derive(Debug, Default)]
struct Lane {
    turns: VecDeque<Option<Arc<str>>>,
    by_namespace: HashMap<Option<Arc<str>>, VecDeque<(ObjectKey, u64)>>,
    ready: usize,
}

impl WorkQueue {
    /// An empty queue.
    pub fn new(config: QueueConfig) -> Self {
        Self {
            config,
            entries: HashMap::new(),
            timers: BTreeSet::new(),
            new: Lane::default(),
            status: Lane::default(),
            running: 0,
            status_turns: 0,
            next_ticket: 0,
        }
    }

    /// How many keys of a class are ready and wait for a worker.
    pub fn depth(&self, class: Class) -> usize {
        match class {
            Class::New => self.new.ready,
            Class::Status => self.status.ready,
        }
    }

    /// How many keys run.
    pub fn running(&self) -> usize {
        self.running
    }

    /// When the next timer is due.
    pub fn next_timer(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// Asks for a run of `key` at `at`, or at once if that has passed. Returns whether the key
    /// became ready by this.
    pub fn trigger(&mut self, key: &ObjectKey, class: Class, at: Instant, now: Instant) -> bool {
        let entry = self.entries.entry(key.clone()).or_insert(Entry {
            place: Place::Idle,
            class,
            failures: 0,
            not_before: None,
        });
        let floored = entry.not_before.map_or(at, |floor| at.max(floor));
        let promoted = class > entry.class;
        match &mut entry.place {
            Place::Running { held } => {
                *held = Some(held.map_or(at, |earlier| earlier.min(at)));
                entry.class = entry.class.max(class);
                false
            }
            Place::Ready { since, ticket } if promoted => {
                let (since, old_class) = (*since, entry.class);
                *ticket = self.next_ticket;
                self.next_ticket += 1;
                entry.class = class;
                let ticket = *ticket;
                debug_assert!(since <= now, "a key is ready since a time that has passed");
                self.lane(old_class).ready -= 1;
                self.lane(class).push(key.clone(), ticket);
                false
            }
            Place::Ready { .. } => false,
            Place::Idle => {
                entry.class = class;
                self.schedule(key, floored, now)
            }
            Place::Waiting { at: earlier } => {
                let earliest = floored.min(*earlier);
                entry.class = entry.class.max(class);
                self.schedule(key, earliest, now)
            }
        }
    }

    /// Hands out the next key to run, if one is ready and a worker is free.
    pub fn pop(&mut self, now: Instant) -> Option<Job> {
        while let Some((at, _)) = self.timers.first()
            && *at <= now
        {
            let (at, key) = self.timers.pop_first()?;
            self.make_ready(&key, at);
        }
        if self.running >= self.config.concurrency {
            return None;
        }
        let class = match (self.status.ready, self.new.ready) {
            (0, 0) => return None,
            (0, _) => Class::New,
            (_, 0) => Class::Status,
            _ if self.status_turns + 1 >= NEW_WORK_SHARE => Class::New,
            _ => Class::Status,
        };
        self.status_turns = match class {
            Class::Status => self.status_turns.saturating_add(1),
            Class::New => 0,
        };
        let entries = &self.entries;
        let is_current = |key: &ObjectKey, expected: u64| {
            matches!(entries.get(key).map(|entry| &entry.place),
                Some(Place::Ready { ticket, .. }) if *ticket == expected)
        };
        let key = match class {
            Class::New => self.new.pop(is_current),
            Class::Status => self.status.pop(is_current),
        }?;
        let entry = self.entries.get_mut(&key)?;
        let waited = match entry.place {
            Place::Ready { since, .. } => now.saturating_duration_since(since),
            _ => Duration::ZERO,
        };
        entry.place = Place::Running { held: None };
        // What is held while it runs brings its own class.
        let failures = entry.failures;
        entry.class = Class::New;
        self.running += 1;
        Some(Job {
            key,
            class,
            waited,
            failures,
        })
    }

    /// Takes back a key that ran. `class` is what the object is now.
    pub fn done(&mut self, key: &ObjectKey, class: Class, outcome: Outcome, now: Instant) {
        let Some(entry) = self.entries.get_mut(key) else {
            return;
        };
        let Place::Running { held } = entry.place else {
            return;
        };
        self.running -= 1;
        entry.place = Place::Idle;
        entry.class = entry.class.max(class);
        let next = match outcome {
            Outcome::Settled { again } => {
                entry.failures = 0;
                entry.not_before = None;
                again
            }
            Outcome::Parked { until } => Some(until),
            Outcome::Conflicted if entry.failures == 0 => {
                entry.failures = 1;
                Some(now)
            }
            Outcome::Conflicted => Some(entry.fail(&self.config, key, Duration::ZERO, now)),
            Outcome::Failed { at_least } => Some(entry.fail(&self.config, key, at_least, now)),
            Outcome::Gone => {
                entry.failures = 0;
                entry.not_before = None;
                None
            }
        };
        let held = held.map(|at| entry.not_before.map_or(at, |floor| at.max(floor)));
        match (next, held) {
            (None, None) => {
                self.entries.remove(key);
            }
            (Some(at), None) | (None, Some(at)) => {
                self.schedule(key, at, now);
            }
            (Some(at), Some(held)) => {
                self.schedule(key, at.min(held), now);
            }
        }
    }

    /// Forgets everything. Keys that still run may be given back to [`WorkQueue::done`]; nothing
    /// comes of it.
    pub fn clear(&mut self) {
        *self = Self::new(self.config);
    }

    /// Puts an idle or waiting key where `at` says. Returns whether it became ready.
    fn schedule(&mut self, key: &ObjectKey, at: Instant, now: Instant) -> bool {
        let Some(entry) = self.entries.get_mut(key) else {
            return false;
        };
        if let Place::Waiting { at: earlier } = entry.place {
            self.timers.remove(&(earlier, key.clone()));
        }
        if at <= now {
            self.make_ready(key, now);
            return true;
        }
        entry.place = Place::Waiting { at };
        self.timers.insert((at, key.clone()));
        false
    }

    fn make_ready(&mut self, key: &ObjectKey, since: Instant) {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        let Some(entry) = self.entries.get_mut(key) else {
            return;
        };
        entry.place = Place::Ready { since, ticket };
        let class = entry.class;
        self.lane(class).push(key.clone(), ticket);
    }

    fn lane(&mut self, class: Class) -> &mut Lane {
        match class {
            Class::New => &mut self.new,
            Class::Status => &mut self.status,
        }
    }
}

impl Entry {
    /// Counts a failure; returns when to run again if nothing happens.
    fn fail(
        &mut self,
        config: &QueueConfig,
        key: &ObjectKey,
        at_least: Duration,
        now: Instant,
    ) -> Instant {
        self.failures = self.failures.saturating_add(1);
        let wait = backoff(config, key, self.failures);
        self.not_before = Some(now + wait.min(COOLING));
        now + wait.max(at_least)
    }
}

impl Lane {
    fn push(&mut self, key: ObjectKey, ticket: u64) {
        let namespace = key.namespace.clone();
        let queue = self.by_namespace.entry(namespace.clone()).or_default();
        if queue.is_empty() {
            self.turns.push_back(namespace);
        }
        queue.push_back((key, ticket));
        self.ready += 1;
    }

    /// The oldest current key of the namespace whose turn it is.
    fn pop(&mut self, is_current: impl Fn(&ObjectKey, u64) -> bool) -> Option<ObjectKey> {
        while let Some(namespace) = self.turns.pop_front() {
            let queue = self.by_namespace.get_mut(&namespace)?;
            let mut found = None;
            while let Some((key, ticket)) = queue.pop_front() {
                if is_current(&key, ticket) {
                    found = Some(key);
                    break;
                }
            }
            if queue.is_empty() {
                self.by_namespace.remove(&namespace);
            } else {
                self.turns.push_back(namespace);
            }
            if found.is_some() {
                self.ready -= 1;
                return found;
            }
        }
        None
    }
}

/// Doubles from the base to the cap; between three quarters of that and all of it, by a hash.
fn backoff(config: &QueueConfig, key: &ObjectKey, failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(30);
    let full = config
        .backoff_base
        .saturating_mul(1 << doublings)
        .min(config.backoff_cap);
    let mut hasher = DefaultHasher::new();
    (key, failures).hash(&mut hasher);
    let share = (hasher.finish() % 1024) as f64 / 1024.0;
    full.mul_f64(0.75 + 0.25 * share)
}

#[cfg(test)]
mod tests;
