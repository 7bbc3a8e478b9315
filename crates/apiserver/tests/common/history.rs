//! What a watch must have told, as a pure function of what has happened.
//!
//! The laws are those that etcd's robustness tests check: events are ordered, unique, atomic (a
//! change is one event), complete, the same over any resumption, never behind a bookmark, only
//! about what is selected, and with the state before where they carry it.

use std::collections::BTreeMap;

/// Namespace and name.
pub(crate) type Place = (String, String);

/// As much of an object as tells its states apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct State {
    /// No two states of any object have the same one.
    pub(crate) number: u64,
    /// Whether its labels are those that some watchers select.
    pub(crate) marked: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Added,
    Modified,
    Deleted,
}

/// What a watch tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Told {
    Event {
        revision: u64,
        kind: Kind,
        place: Place,
        state: State,
    },
    Bookmark(u64),
}

impl Told {
    pub(crate) fn revision(&self) -> u64 {
        match self {
            Self::Event { revision, .. } | Self::Bookmark(revision) => *revision,
        }
    }
}

/// What a watcher asks for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Selection {
    /// Everywhere when there is none.
    pub(crate) namespace: Option<String>,
    pub(crate) marked_only: bool,
}

impl Selection {
    fn admits(&self, place: &Place, state: State) -> bool {
        let here = self.namespace.as_ref().is_none_or(|ns| *ns == place.0);
        here && (state.marked || !self.marked_only)
    }
}

/// One list and the watch that went on from there, however often it was resumed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Record {
    pub(crate) start: u64,
    pub(crate) listed: BTreeMap<Place, State>,
    pub(crate) told: Vec<Told>,
}

/// One change of one object.
#[derive(Debug, Clone)]
struct Change {
    revision: u64,
    place: Place,
    before: Option<State>,
    after: Option<State>,
}

/// Everything that has happened, in order.
#[derive(Debug, Default)]
pub(crate) struct Truth {
    start: BTreeMap<Place, State>,
    changes: Vec<Change>,
}

impl Truth {
    /// Takes a watch of everything for the truth, if it can be true.
    pub(crate) fn of(record: &Record) -> Result<Self, String> {
        let mut changes: Vec<Change> = Vec::new();
        let mut states = record.listed.clone();
        for told in &record.told {
            let Told::Event {
                revision,
                kind,
                place,
                state,
            } = told
            else {
                continue;
            };
            let before = states.get(place).copied();
            let after = (*kind != Kind::Deleted).then_some(*state);
            let fits = match kind {
                Kind::Added => before.is_none(),
                Kind::Modified => before.is_some(),
                Kind::Deleted => before == Some(*state),
            };
            if !fits {
                return Err(format!("{told:?} cannot follow {before:?}"));
            }
            match after {
                Some(state) => states.insert(place.clone(), state),
                None => states.remove(place),
            };
            changes.push(Change {
                revision: *revision,
                place: place.clone(),
                before,
                after,
            });
        }
        if !changes.is_sorted_by(|a, b| a.revision < b.revision) {
            return Err("events are not in the order of their revisions".to_owned());
        }
        Ok(Self {
            start: record.listed.clone(),
            changes,
        })
    }

    /// The state at a revision.
    pub(crate) fn at(&self, revision: u64, selection: &Selection) -> BTreeMap<Place, State> {
        let mut states = self.start.clone();
        for change in &self.changes {
            if change.revision > revision {
                break;
            }
            match change.after {
                Some(state) => states.insert(change.place.clone(), state),
                None => states.remove(&change.place),
            };
        }
        states.retain(|place, state| selection.admits(place, *state));
        states
    }

    /// Whether an object was given this state at this revision.
    pub(crate) fn has_put(&self, revision: u64, place: &Place, state: State) -> bool {
        let found = self.changes.binary_search_by_key(&revision, |c| c.revision);
        found.is_ok_and(|at| {
            let change = &self.changes[at];
            change.place == *place && change.after == Some(state)
        })
    }

    /// Whether an object was deleted when its state was this one.
    pub(crate) fn has_deletion(&self, place: &Place, last: State) -> bool {
        self.changes.iter().any(|change| {
            change.place == *place && change.before == Some(last) && change.after.is_none()
        })
    }

    /// Numbers of all states there were.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = u64> {
        let after = self.changes.iter().filter_map(|change| change.after);
        after.map(|state| state.number)
    }

    /// What a watch must have told between two revisions.
    fn events(&self, selection: &Selection, after: u64, until: u64) -> Vec<Told> {
        let span = self
            .changes
            .iter()
            .filter(|change| after < change.revision && change.revision <= until);
        span.filter_map(|change| {
            let admitted = |state: &State| selection.admits(&change.place, *state);
            let (kind, state) = match (
                change.before.filter(admitted),
                change.after.filter(admitted),
            ) {
                (None, None) => return None,
                (None, Some(state)) => (Kind::Added, state),
                (Some(_), Some(state)) => (Kind::Modified, state),
                (Some(last), None) => (Kind::Deleted, last),
            };
            Some(Told::Event {
                revision: change.revision,
                kind,
                place: change.place.clone(),
                state,
            })
        })
        .collect()
    }
}

/// What is wrong with what a watcher was told; nothing if it is all right.
pub(crate) fn fault(record: &Record, selection: &Selection, truth: &Truth) -> Option<String> {
    let listed = truth.at(record.start, selection);
    if record.listed != listed {
        return Some(format!(
            "the list at {} was {:?}, and is {listed:?}",
            record.start, record.listed
        ));
    }
    let mut reached = record.start;
    for told in &record.told {
        let in_order = match told {
            Told::Event { revision, .. } => *revision > reached,
            Told::Bookmark(revision) => *revision >= reached,
        };
        if !in_order {
            return Some(format!("{told:?} came after {reached}"));
        }
        reached = told.revision();
    }
    let is_event = |told: &&Told| matches!(told, Told::Event { .. });
    let told: Vec<&Told> = record.told.iter().filter(is_event).collect();
    let expected = truth.events(selection, record.start, reached);
    let first = (0..told.len().max(expected.len()))
        .find(|at| told.get(*at).copied() != expected.get(*at))?;
    Some(format!(
        "event {first} was {:?}, and should have been {:?}",
        told.get(first),
        expected.get(first)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(revision: u64, kind: Kind, name: &str, number: u64, marked: bool) -> Told {
        Told::Event {
            revision,
            kind,
            place: ("a".to_owned(), name.to_owned()),
            state: State { number, marked },
        }
    }

    fn everything() -> Record {
        use Kind::{Added, Deleted, Modified};
        Record {
            told: vec![
                event(3, Added, "x", 1, true),
                event(5, Added, "y", 2, false),
                event(6, Modified, "x", 3, false),
                event(8, Modified, "x", 4, true),
                event(9, Deleted, "x", 4, true),
                event(11, Modified, "y", 5, true),
            ],
            ..Record::default()
        }
    }

    fn marked() -> Record {
        use Kind::{Added, Deleted};
        Record {
            told: vec![
                event(3, Added, "x", 1, true),
                event(6, Deleted, "x", 1, true),
                Told::Bookmark(7),
                event(8, Added, "x", 4, true),
                event(9, Deleted, "x", 4, true),
                Told::Bookmark(10),
                event(11, Added, "y", 5, true),
            ],
            ..Record::default()
        }
    }

    fn selection() -> Selection {
        Selection {
            namespace: Some("a".to_owned()),
            marked_only: true,
        }
    }

    #[test]
    fn a_true_record_has_no_fault_however_early_it_ends() {
        let truth = Truth::of(&everything()).unwrap();
        assert_eq!(fault(&everything(), &Selection::default(), &truth), None);
        for length in 0..=marked().told.len() {
            let mut record = marked();
            record.told.truncate(length);
            assert_eq!(fault(&record, &selection(), &truth), None);
        }
        // One that began with a list.
        let late = Record {
            start: 8,
            listed: truth.at(8, &selection()),
            told: marked().told.split_off(4),
        };
        assert_eq!(late.listed.len(), 1);
        assert_eq!(fault(&late, &selection(), &truth), None);
    }

    /// What makes a record false, and how that is told.
    type Case = (&'static str, fn(&mut Record), &'static str);

    #[test]
    fn every_broken_law_is_found() {
        let cases: &[Case] = &[
            (
                "unique",
                |r| r.told.insert(1, r.told[0].clone()),
                "came after",
            ),
            ("ordered", |r| r.told.swap(0, 1), "came after"),
            ("complete", |r| drop(r.told.remove(3)), "should have been"),
            (
                "complete up to the bookmark",
                |r| drop(r.told.drain(1..2)),
                "should have been",
            ),
            (
                "resumable from a bookmark",
                |r| r.told[2] = Told::Bookmark(8),
                "came after",
            ),
            (
                "not ahead of what was told at the end",
                |r| {
                    r.told.pop();
                    r.told[5] = Told::Bookmark(11);
                },
                "should have been",
            ),
            (
                "filtered",
                |r| r.told.insert(1, event(5, Kind::Added, "y", 2, false)),
                "should have been",
            ),
            (
                "the state before",
                |r| r.told[1] = event(6, Kind::Deleted, "x", 3, true),
                "should have been",
            ),
            (
                "the list",
                |r| {
                    r.start = 4;
                    r.told.remove(0);
                },
                "the list at 4",
            ),
        ];
        let truth = Truth::of(&everything()).unwrap();
        for (law, breaks, words) in cases {
            let mut record = marked();
            breaks(&mut record);
            let found = fault(&record, &selection(), &truth);
            let found = found.unwrap_or_else(|| panic!("{law} is broken, and nobody sees it"));
            assert!(found.contains(words), "{law}: {found}");
        }
    }

    #[test]
    fn what_cannot_be_true_is_not_taken_for_the_truth() {
        for at in 0..5 {
            let mut record = everything();
            record.told.remove(at);
            let possible = Truth::of(&record).is_ok();
            // Nothing that is left tells of a change that others follow, or of the last one.
            assert_eq!(possible, [2, 4].contains(&at), "without event {at}");
        }
    }
}
