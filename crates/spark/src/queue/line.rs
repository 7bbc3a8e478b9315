//! The line of one namespace: who holds a place, and who waits in which order.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::{Entry, Place, Policy, Rank, Share, Standing, Usage};

/// The applications of one namespace that hold a place or wait for one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Line {
    entries: HashMap<Arc<str>, Entry>,
    waiting: BTreeMap<Rank, Share>,
}

impl Line {
    /// Takes note of an application as it is now; says whether that concerns the others.
    pub fn note(&mut self, entry: Entry) -> bool {
        let name = Arc::clone(entry.rank.name());
        if self.entries.get(&name) == Some(&entry) {
            return false;
        }
        let was_there = self.forget(&name);
        match entry.place {
            Place::Outside => return was_there,
            Place::Holds(_) | Place::Claims(_) => {}
            Place::Waits(share) => {
                self.waiting.insert(entry.rank.clone(), share);
            }
        }
        self.entries.insert(name, entry);
        true
    }

    /// Forgets an application that is gone; says whether it was there.
    pub fn forget(&mut self, name: &str) -> bool {
        let Some(entry) = self.entries.remove(name) else {
            return false;
        };
        self.waiting.remove(&entry.rank);
        true
    }

    /// Whether nobody is in it.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Those that wait, the first one first.
    pub fn waiting(&self) -> impl Iterator<Item = &Arc<str>> {
        self.waiting.keys().map(Rank::name)
    }

    /// Those that were let in and have to see whether there is room.
    pub fn claiming(&self) -> impl Iterator<Item = &Arc<str>> {
        let entries = self.entries.iter();
        let claims = entries.filter(|(_, entry)| matches!(entry.place, Place::Claims(_)));
        claims.map(|(name, _)| name)
    }

    /// What an application of this rank sees, whether it is in the line itself or not.
    pub fn standing(&self, me: &Rank, policy: Policy) -> Standing {
        let nothing = Usage::default();
        let (mut held, mut claimed_before, mut claimed_behind) = (nothing, nothing, nothing);
        for (name, entry) in &self.entries {
            match entry.place {
                _ if name == me.name() => {}
                Place::Holds(share) => held = held.and(share),
                Place::Claims(share) if entry.rank < *me => {
                    claimed_before = claimed_before.and(share);
                }
                Place::Claims(share) => claimed_behind = claimed_behind.and(share),
                Place::Waits(_) | Place::Outside => {}
            }
        }
        // Who could not even run alone stands aside.
        let ahead = self
            .waiting
            .range(..me.clone())
            .filter(|(rank, share)| {
                rank.name() != me.name() && policy.too_small_for(**share).is_none()
            })
            .fold(Usage::default(), |sum, (_, share)| sum.and(*share));
        Standing {
            policy,
            held,
            claimed_before,
            claimed_behind,
            ahead,
        }
    }
}

impl FromIterator<Entry> for Line {
    fn from_iter<I: IntoIterator<Item = Entry>>(entries: I) -> Self {
        let mut line = Self::default();
        for entry in entries {
            line.note(entry);
        }
        line
    }
}
