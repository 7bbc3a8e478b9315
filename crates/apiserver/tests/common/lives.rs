//! Many lives of one store, each ended by a power cut, and what must be true in the next one.
//!
//! The laws that are checked: what was acknowledged or seen is there, at its revision, for ever;
//! what was neither is there as a whole or not at all; history has no gap and nothing twice, and
//! leads to what is listed; a watch goes on where it was.
//!
//! A seed decides everything: what is written, what is written together, when the power fails and
//! what the disk keeps. So a failure can be had again.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::future::{MaybeDone, join_all, maybe_done};
use serde_json::{Value, json};
use windlass_apiserver::store::{
    Change, ChangeKind, Durability, Expect, Key, Object, Scope, Store, StoreError, WindowLimits,
    Write,
};

use super::{
    chance::Chance,
    disk::{Disk, Survives, Trouble, When},
};

/// Few names, so that objects are changed and made again.
const NAMES: u64 = 24;
/// Small, so that history is forgotten all the time.
const WINDOW: usize = 150;
/// A life without trouble ends after so many rounds.
const ROUNDS: usize = 60;
/// The store is usable again after a failure within this.
const PATIENCE: Duration = Duration::from_mins(1);

/// What has happened, so that a test can tell whether it has tried anything.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) cuts: usize,
    /// Operations of the disk that failed while the power was on.
    pub(crate) glitches: usize,
    /// Cuts while the store was being opened.
    pub(crate) in_opening: usize,
    pub(crate) acknowledged: usize,
    /// Writes that were not acknowledged and are there.
    pub(crate) kept: usize,
    /// Writes that were not acknowledged and are not there.
    pub(crate) lost: usize,
    /// Everything the disk was told to do.
    pub(crate) digest: u64,
}

/// Lives until there were so many power cuts.
pub(crate) async fn live(seed: u64, cuts: usize, durability: Durability) -> Tally {
    let mut lives = Lives {
        durability,
        disk: Disk::default(),
        chance: Chance::of(seed),
        book: Book::default(),
        tally: Tally::default(),
    };
    while lives.tally.cuts < cuts {
        lives.one().await;
    }
    lives.tally.digest = lives.disk.digest();
    lives.tally
}

fn scope() -> Scope {
    Scope::new("", "configmaps", "")
}

fn key(name: &str) -> Key {
    Key::new("", "configmaps", "default", name)
}

struct Lives {
    durability: Durability,
    disk: Disk,
    chance: Chance,
    book: Book,
    tally: Tally,
}

impl Lives {
    async fn one(&mut self) {
        let trouble = if self.chance.percent(15) {
            Trouble::Glitch
        } else {
            Trouble::Cut
        };
        let span = if self.chance.percent(15) { 12 } else { 250 };
        let operation = 1 + self.chance.below(span);
        let when = if self.chance.percent(50) {
            When::SynchronisingFrom(operation)
        } else {
            When::At(operation)
        };
        self.disk.plan(when, trouble);
        let limits = WindowLimits {
            changes: WINDOW,
            ..WindowLimits::default()
        };
        match Store::open_on(self.disk.clone(), self.durability, limits) {
            Ok(store) => {
                self.settle(&store);
                self.life(&store, trouble).await;
            }
            Err(error) if self.disk.is_dead() => {
                assert!(error.to_string().contains("power"), "{error}");
                self.tally.in_opening += 1;
            }
            // The next try is the next life.
            Err(error) => {
                assert!(error.to_string().contains("failed once"), "{error}");
                self.tally.glitches += 1;
                return;
            }
        }
        let survives = *self.chance.pick(&[
            Survives::Nothing,
            Survives::Beginning,
            Survives::Anything,
            Survives::Anything,
            Survives::Everything,
        ]);
        self.disk.restart(survives, &mut self.chance);
        self.tally.cuts += 1;
    }

    /// Writes until something goes wrong for good.
    async fn life(&mut self, store: &Store, trouble: Trouble) {
        let mut watch = self.book.resume(store);
        for _ in 0..ROUNDS {
            let answers = self.round(store).await;
            let failed = self.note(answers);
            self.book.observe(&mut watch);
            if self.disk.is_dead() {
                return;
            }
            if failed {
                assert_eq!(trouble, Trouble::Glitch);
                self.tally.glitches += 1;
                self.recover(store).await;
                self.book.observe(&mut watch);
                continue;
            }
            self.book.replay(store.revision());
            self.book.compare_states(store);
            if self.chance.percent(5) {
                let to = self.book.settled - self.chance.below(20).min(self.book.settled);
                // It may well meet the trouble.
                let _ = store.compact(to).await;
            }
        }
        store.close();
    }

    /// Some writes at once. The first is alone in its batch, the others share the next one: that
    /// is so because the disk stands still until all are queued.
    async fn round(&mut self, store: &Store) -> Vec<(Wish, Result<Arc<Object>, StoreError>)> {
        let count = 1 + self.chance.below(6);
        let wishes = self.book.wishes(count as usize, &mut self.chance);
        let mut commits: Vec<Commit<'_>> = wishes
            .iter()
            .map(|wish| Box::pin(maybe_done(wish.send(store))))
            .collect();
        self.disk.close_gate();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let done = futures::poll!(&mut commits[0]).is_ready();
            if done || self.disk.is_waited_for() {
                break;
            }
            assert!(
                Instant::now() < deadline,
                "a write does not come to the disk"
            );
            std::thread::yield_now();
        }
        for commit in &mut commits[1..] {
            let _ = futures::poll!(commit);
        }
        self.disk.open_gate();
        let answers = join_all(commits.into_iter().map(|mut commit| async move {
            commit.as_mut().await;
            commit.as_mut().take_output().unwrap()
        }))
        .await;
        wishes.into_iter().zip(answers).collect()
    }

    /// Takes the answers down; whether any was a failure.
    fn note(&mut self, answers: Vec<(Wish, Result<Arc<Object>, StoreError>)>) -> bool {
        let mut failed = false;
        for (wish, answer) in answers {
            match answer {
                Ok(object) => {
                    self.tally.acknowledged += 1;
                    self.book.know(object.revision(), wish.fact);
                }
                Err(error) => {
                    assert!(matches!(error, StoreError::Disk(_)), "{wish:?}: {error}");
                    self.book.doubt(wish.fact);
                    failed = true;
                }
            }
        }
        failed
    }

    /// The store goes on by itself after a failure of its disk.
    async fn recover(&mut self, store: &Store) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let wish = self.book.probe();
            match wish.send(store).await {
                Ok(object) => {
                    self.book.know(object.revision(), wish.fact);
                    break;
                }
                Err(error) => {
                    assert!(Instant::now() < deadline, "{error}");
                    self.book.doubt(wish.fact);
                }
            }
            tokio::task::yield_now().await;
        }
        self.settle(store);
    }

    fn settle(&mut self, store: &Store) {
        let (kept, lost) = self.book.settle(store);
        self.tally.kept += kept;
        self.tally.lost += lost;
    }
}

type Answer = Result<Arc<Object>, StoreError>;
type Commit<'a> = Pin<Box<MaybeDone<Pin<Box<dyn Future<Output = Answer> + 'a>>>>>;

/// One change of one object. Its number is its own, and the object carries it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Fact {
    name: String,
    number: u64,
    deletes: bool,
}

impl Fact {
    /// The object as this change leaves it.
    fn value(&self) -> Value {
        // Some are as large as objects get, so that the file grows and shrinks.
        let size = match self.number {
            number if number % 97 == 0 => 200_000,
            number if number % 23 == 0 => 30_000,
            number => number % 400,
        };
        let filler = char::from(b'a' + (self.number % 26) as u8);
        json!({
            "metadata": {"name": self.name},
            "data": {
                "number": self.number.to_string(),
                "filler": filler.to_string().repeat(size as usize),
            },
        })
    }

    /// Reads a change back; every byte of the object has to be right.
    fn of(change: &Change) -> Self {
        let fact = Self::read(&change.object, change.kind == ChangeKind::Deleted);
        assert_eq!(change.key, key(&fact.name));
        fact
    }

    fn read(object: &Object, deletes: bool) -> Self {
        let mut value = object.parse();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let fact = Self {
            name: text(&value["metadata"]["name"]),
            number: text(&value["data"]["number"]).parse().unwrap(),
            deletes,
        };
        let revision = value["metadata"].as_object_mut().unwrap();
        let revision = revision.remove("resourceVersion").unwrap();
        assert_eq!(text(&revision), object.revision().to_string());
        assert_eq!(value, fact.value(), "an object is not whole");
        fact
    }
}

/// A change that is asked for.
#[derive(Debug)]
struct Wish {
    fact: Fact,
    expect: Expect,
}

impl Wish {
    fn send<'a>(&self, store: &'a Store) -> Pin<Box<dyn Future<Output = Answer> + 'a>> {
        let value = self.fact.value();
        let write = if self.fact.deletes {
            Write::Delete(value)
        } else {
            Write::Put(value)
        };
        Box::pin(store.commit(key(&self.fact.name), self.expect, write))
    }
}

/// What is known from outside.
#[derive(Default)]
struct Book {
    /// Everything that was acknowledged or seen, by its revision.
    facts: BTreeMap<u64, Fact>,
    /// The numbers of these.
    known: BTreeSet<u64>,
    /// What was asked for and not answered, by its number.
    doubts: BTreeMap<u64, Fact>,
    /// Up to this revision everything is known, and `state` is what it comes to.
    settled: u64,
    state: BTreeMap<String, (u64, Fact)>,
    /// The last revision that the watcher has seen.
    seen: u64,
    next_number: u64,
}

impl Book {
    fn know(&mut self, revision: u64, fact: Fact) {
        self.doubts.remove(&fact.number);
        match self.facts.get(&revision) {
            Some(known) => assert_eq!(*known, fact, "revision {revision} was something else"),
            None => {
                assert!(self.known.insert(fact.number), "{fact:?} is there twice");
                self.facts.insert(revision, fact);
            }
        }
    }

    fn doubt(&mut self, fact: Fact) {
        if !self.known.contains(&fact.number) {
            self.doubts.insert(fact.number, fact);
        }
    }

    /// Changes of different objects that all should work.
    fn wishes(&mut self, count: usize, chance: &mut Chance) -> Vec<Wish> {
        let mut names = BTreeSet::new();
        while names.len() < count {
            names.insert(format!("n{:02}", chance.below(NAMES)));
        }
        names
            .into_iter()
            .map(|name| {
                let deletes = self.state.contains_key(&name) && chance.percent(30);
                self.wish(name, deletes)
            })
            .collect()
    }

    /// A change of an object that nothing else changes.
    fn probe(&mut self) -> Wish {
        let name = format!("probe-{}", self.next_number);
        self.wish(name, false)
    }

    fn wish(&mut self, name: String, deletes: bool) -> Wish {
        self.next_number += 1;
        let expect = match self.state.get(&name) {
            Some((revision, _)) => Expect::Revision(*revision),
            None => Expect::Absent,
        };
        let number = self.next_number;
        Wish {
            fact: Fact {
                name,
                number,
                deletes,
            },
            expect,
        }
    }

    /// Finds out what became of what is in doubt, from the store's history; how many of these
    /// are there and how many not.
    fn settle(&mut self, store: &Store) -> (usize, usize) {
        let revision = store.revision();
        let newest = self.facts.keys().next_back().copied().unwrap_or_default();
        assert!(
            revision >= newest,
            "the store is at {revision}, and {newest} was acknowledged or seen"
        );
        let oldest = store.oldest_revision();
        assert!(oldest <= self.settled, "too much is forgotten");
        let history = store.watch(&scope(), oldest).unwrap().backlog;
        let revisions: Vec<u64> = history.iter().map(|change| change.revision()).collect();
        let expected: Vec<u64> = (oldest + 1..=revision).collect();
        assert_eq!(revisions, expected, "history has gaps");
        let mut kept = 0;
        for change in &history {
            let fact = Fact::of(change);
            let at = change.revision();
            let known = self.facts.contains_key(&at);
            assert!(
                known || self.doubts.contains_key(&fact.number),
                "nobody has asked for {fact:?} at {at}"
            );
            kept += usize::from(!known);
            self.know(at, fact);
        }
        let lost = std::mem::take(&mut self.doubts).len();
        self.replay(revision);
        self.compare_states(store);
        self.compare_past(store, &history);
        (kept, lost)
    }

    /// Brings the state to a revision up to which everything is known.
    fn replay(&mut self, revision: u64) {
        for at in self.settled + 1..=revision {
            let fact = self.facts.get(&at);
            let fact = fact.unwrap_or_else(|| panic!("nobody knows what revision {at} is"));
            if fact.deletes {
                self.state.remove(&fact.name);
            } else {
                self.state.insert(fact.name.clone(), (at, fact.clone()));
            }
        }
        self.settled = revision;
    }

    fn compare_states(&self, store: &Store) {
        let listed = states(&store.list(&scope()).objects);
        assert_eq!(listed, self.state);
    }

    /// The oldest state that is known leads to that of today by the changes since.
    fn compare_past(&self, store: &Store, history: &[Arc<Change>]) {
        let past = store.list_at(&scope(), store.oldest_revision()).unwrap();
        let mut state = states(&past.objects);
        for change in history {
            let fact = Fact::of(change);
            let before = if fact.deletes {
                state.remove(&fact.name)
            } else {
                state.insert(fact.name.clone(), (change.revision(), fact))
            };
            assert_eq!(before.is_some(), change.kind != ChangeKind::Added);
            let previous = change.previous.as_ref();
            let previous = previous.map(|object| (object.revision(), Fact::read(object, false)));
            assert_eq!(previous, before);
        }
        assert_eq!(state, self.state);
    }

    /// The watch goes on after what it has seen.
    fn resume(&mut self, store: &Store) -> tokio::sync::mpsc::Receiver<Arc<Change>> {
        if self.seen < store.oldest_revision() {
            assert!(store.watch(&scope(), self.seen).is_err());
            // A watcher lists anew then.
            self.seen = store.revision();
        }
        let subscription = store.watch(&scope(), self.seen).unwrap();
        for change in subscription.backlog {
            self.see(&change);
        }
        assert_eq!(self.seen, store.revision());
        subscription.queue
    }

    fn observe(&mut self, watch: &mut tokio::sync::mpsc::Receiver<Arc<Change>>) {
        while let Ok(change) = watch.try_recv() {
            self.see(&change);
        }
    }

    fn see(&mut self, change: &Change) {
        assert_eq!(
            change.revision(),
            self.seen + 1,
            "a watch left something out"
        );
        self.seen += 1;
        self.know(change.revision(), Fact::of(change));
    }
}

fn states(objects: &[(Key, Arc<Object>)]) -> BTreeMap<String, (u64, Fact)> {
    let state = |(at, object): &(Key, Arc<Object>)| {
        let fact = Fact::read(object, false);
        assert_eq!(*at, key(&fact.name));
        (fact.name.clone(), (object.revision(), fact))
    };
    objects.iter().map(state).collect()
}
