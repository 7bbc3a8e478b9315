//! Read your writes: no plan is made on a store that has not yet seen what was done before.
//!
//! After a write the engine notes what the stores must show before the object is planned from
//! them again. Until then a pass is put off; when that takes too long (the watch is behind, or the
//! object does not match the watch's selector) the pass reads from the API instead. The same gate
//! makes reads monotonic: after a live read, an older cached state is not planned on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::kind::{Kind, ObjectKey};
use crate::object::Object;
use crate::store::Store;

/// What the stores must show before one object is planned from them.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    expectations: Vec<Expectation>,
    /// When waiting ends and reading live begins.
    deadline: Option<Instant>,
    /// The last pass ended in a way that leaves the cluster unknown.
    doubt: bool,
}

/// How the next pass reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// From the stores.
    Cached,
    /// Not yet, but at the latest at this time.
    Wait(Instant),
    /// From the API.
    Live,
}

#[derive(Debug, PartialEq, Eq)]
enum Expectation {
    /// The store of this kind has seen this revision.
    Seen { kind: Kind, revision: u64 },
    /// This incarnation is gone, or on its way.
    Deleted {
        kind: Kind,
        key: ObjectKey,
        uid: String,
    },
}

impl Gate {
    /// The API showed this object, as the reply to a write or to a live read.
    pub(crate) fn expect_seen(&mut self, kind: &Kind, object: &Object, until: Instant) {
        let Ok(revision) = object.resource_version().parse::<u64>() else {
            // A revision that cannot be compared can only be resolved by reading live.
            self.doubt = true;
            return;
        };
        self.deadline = Some(until);
        for expectation in &mut self.expectations {
            if let Expectation::Seen {
                kind: expected,
                revision: newest,
            } = expectation
                && expected == kind
            {
                *newest = revision.max(*newest);
                return;
            }
        }
        self.expectations.push(Expectation::Seen {
            kind: kind.clone(),
            revision,
        });
    }

    /// This incarnation was deleted.
    pub(crate) fn expect_deleted(
        &mut self,
        kind: &Kind,
        key: &ObjectKey,
        uid: &str,
        until: Instant,
    ) {
        self.deadline = Some(until);
        self.expectations.push(Expectation::Deleted {
            kind: kind.clone(),
            key: key.clone(),
            uid: uid.to_owned(),
        });
    }

    /// A write failed in a way that says the stores are behind, or that it may have happened.
    pub(crate) fn doubt(&mut self) {
        self.doubt = true;
    }

    /// How the next pass must read. Doubt is spent by asking: the pass it makes live either ends
    /// well or doubts again.
    pub(crate) fn verdict(&mut self, stores: &[Arc<Store>], now: Instant) -> Verdict {
        self.expectations
            .retain(|expectation| !expectation.is_met(stores));
        if std::mem::take(&mut self.doubt) {
            return Verdict::Live;
        }
        match self.deadline {
            _ if self.expectations.is_empty() => {
                self.deadline = None;
                Verdict::Cached
            }
            Some(deadline) if now < deadline => Verdict::Wait(deadline),
            _ => Verdict::Live,
        }
    }

    /// Whether there is nothing to remember.
    pub(crate) fn is_open(&self) -> bool {
        self.expectations.is_empty() && !self.doubt
    }

    /// When waiting ends, if anything is still expected.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.deadline.filter(|_| !self.expectations.is_empty())
    }
}

impl Expectation {
    fn is_met(&self, stores: &[Arc<Store>]) -> bool {
        let store_of = |kind: &Kind| stores.iter().find(|store| store.kind() == kind);
        match self {
            // Kinds without a store are always read live.
            Self::Seen { kind, revision } => {
                store_of(kind).is_none_or(|store| store.revision() >= *revision)
            }
            Self::Deleted { kind, key, uid } => store_of(kind).is_none_or(|store| {
                store
                    .get(key)
                    .is_none_or(|object| object.uid() != uid || object.is_deleting())
            }),
        }
    }
}

/// How long a pass waits for the stores before it reads live.
pub(crate) const PATIENCE: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::controller::Watch;

    fn pod(name: &str, uid: &str, revision: u64) -> Object {
        Object::new(json!({
            "metadata": {
                "namespace": "team", "name": name, "uid": uid,
                "resourceVersion": revision.to_string(),
            },
        }))
    }

    fn stores() -> (Arc<Store>, [Arc<Store>; 1]) {
        let store = Arc::new(Store::new(&Watch::all(Kind::POD), 1));
        (Arc::clone(&store), [store])
    }

    #[test]
    fn a_pass_waits_until_the_store_has_seen_the_write() {
        let now = Instant::now();
        let until = now + PATIENCE;
        let (store, stores) = stores();
        let mut gate = Gate::default();
        gate.expect_seen(&Kind::POD, &pod("a", "1", 7), until);
        assert_eq!(gate.verdict(&stores, now), Verdict::Wait(until));
        store.upsert(pod("b", "2", 6));
        assert_eq!(gate.verdict(&stores, now), Verdict::Wait(until));
        store.upsert(pod("a", "1", 7));
        assert_eq!(gate.verdict(&stores, now), Verdict::Cached);
        assert!(gate.is_open());
    }

    #[test]
    fn patience_ends_and_the_pass_reads_live_until_the_store_caught_up() {
        let now = Instant::now();
        let until = now + PATIENCE;
        let (store, stores) = stores();
        let mut gate = Gate::default();
        gate.expect_seen(&Kind::POD, &pod("a", "1", 7), until);
        assert_eq!(gate.verdict(&stores, until), Verdict::Live);
        assert_eq!(gate.verdict(&stores, until), Verdict::Live);
        store.upsert(pod("z", "9", 8));
        assert_eq!(gate.verdict(&stores, until), Verdict::Cached);
    }

    #[test]
    fn a_deletion_is_seen_when_that_incarnation_is_gone_or_terminating() {
        let now = Instant::now();
        let until = now + PATIENCE;
        let (store, stores) = stores();
        let key = pod("a", "1", 0).key();
        store.upsert(pod("a", "1", 7));
        let mut gate = Gate::default();
        gate.expect_deleted(&Kind::POD, &key, "1", until);
        assert_eq!(gate.verdict(&stores, now), Verdict::Wait(until));
        store.upsert(pod("a", "2", 9));
        assert_eq!(gate.verdict(&stores, now), Verdict::Cached);
    }

    #[test]
    fn doubt_makes_exactly_one_pass_live() {
        let now = Instant::now();
        let (_, stores) = stores();
        let mut gate = Gate::default();
        gate.doubt();
        assert_eq!(gate.verdict(&stores, now), Verdict::Live);
        assert_eq!(gate.verdict(&stores, now), Verdict::Cached);
    }
}
