//! Which members of a role stay, which leave, and when they go.
//!
//! A StatefulSet takes the members with the highest ordinals away. Before it is told to, each of them
//! is marked, has done what its application wants it to do, and is forgotten by the members that
//! stay. The mark is on the pod and on its claims, and it is not taken back: a member that has begun
//! to leave goes, with its claims, and the one that comes in its place is another one. Only one whose
//! application holds it back after it failed may stay.
//!
//! Laws:
//! - no replica is taken away before all that leave are marked and drained, or their time is over;
//! - no claim is deleted that was not marked, and none whose pod is there;
//! - a role grows only when nothing of it leaves.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use windlass_api::director::app::{Drain, DrainFailure};
use windlass_api::director::cluster::AutoGrow;

use super::marks::{DrainOutcome, SetUp};
use super::observed::{Observed, ObservedClaim, ObservedPod, ObservedSet};
use super::state::Place;
use crate::blueprint::Role;

/// How long members that stay have to take leave of those that go, beyond their own time.
pub const NOTIFY_PATIENCE: SignedDuration = SignedDuration::from_mins(5);

/// One role and what there is of it.
#[derive(Debug, Clone)]
pub(super) struct RoleView<'a> {
    pub(super) role: &'a Role,
    pub(super) set: Option<&'a ObservedSet>,
    pub(super) pods: BTreeMap<u32, &'a ObservedPod>,
    pub(super) claims: BTreeMap<u32, Vec<&'a ObservedClaim>>,
    /// How many replicas there are to be, as the StatefulSet was told last.
    pub(super) current: u32,
    /// The members that stay are those below.
    pub(super) floor: u32,
    /// The others, by ordinal.
    pub(super) leavers: BTreeMap<u32, Leaver>,
}

/// A member that leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Leaver {
    /// Since when, as its pod or claims have it.
    pub(super) since: Option<Timestamp>,
    /// Whether all that there is of it has the mark.
    pub(super) marked: bool,
    /// How far it is.
    pub(super) stage: Stage,
}

/// How far a member is that leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// It has something to do, and this long for it.
    Draining { until: Timestamp },
    /// It has nothing to do any more, since then.
    Drained { at: Timestamp },
}

impl<'a> RoleView<'a> {
    pub(super) fn new(role: &'a Role, observed: &'a Observed, now: Timestamp) -> Self {
        let pods = observed.pods.iter().filter(|pod| pod.role == role.id);
        let mut claims: BTreeMap<u32, Vec<&ObservedClaim>> = BTreeMap::new();
        for claim in observed.claims.iter().filter(|claim| claim.role == role.id) {
            claims.entry(claim.ordinal).or_default().push(claim);
        }
        let pods: BTreeMap<u32, &ObservedPod> = pods.map(|pod| (pod.ordinal, pod)).collect();
        let set = observed.sets.get(&role.id);
        let above_pods = pods.keys().next_back().map_or(0, |last| last + 1);
        let mut view = Self {
            role,
            set,
            current: set.map_or(above_pods, |set| set.replicas),
            pods,
            claims,
            floor: role.members,
            leavers: BTreeMap::new(),
        };
        let marked = view
            .ordinals()
            .filter(|it| view.is_marked(*it) && !view.is_held_back(*it));
        let lowest = marked.min();
        view.floor = lowest.map_or(role.members, |lowest| lowest.min(role.members));
        let slots = view.floor..view.current;
        let there = view.ordinals().filter(|ordinal| {
            *ordinal >= view.floor && (view.pods.contains_key(ordinal) || view.is_marked(*ordinal))
        });
        let leavers: BTreeMap<u32, Leaver> = slots
            .chain(there)
            .map(|ordinal| (ordinal, view.leaver(ordinal, now)))
            .collect();
        view.leavers = leavers;
        view
    }

    /// When and how far its volumes grow by themselves.
    pub(super) fn auto_grow(&self) -> Option<&'a AutoGrow> {
        let storage = self.role.spec.storage.as_ref();
        storage.and_then(|storage| storage.auto_grow.as_ref())
    }

    /// Where a member is to be.
    pub(super) fn place(&self, ordinal: u32, released: bool) -> Place {
        if ordinal < self.floor {
            Place::Staying
        } else if released {
            Place::Gone
        } else {
            Place::Leaving
        }
    }

    /// Whether all that leave have done what they have to do.
    pub(super) fn is_drained(&self) -> bool {
        let mut leavers = self.leavers.values();
        leavers.all(|it| it.marked && matches!(it.stage, Stage::Drained { .. }))
    }

    /// Until when those that stay may take leave.
    pub(super) fn patience_ends(&self) -> Option<Timestamp> {
        let ends = self
            .leavers
            .values()
            .filter(|leaver| leaver.since.is_some())
            .filter_map(|leaver| match leaver.stage {
                Stage::Drained { at } => at.checked_add(NOTIFY_PATIENCE).ok(),
                Stage::Draining { .. } => None,
            });
        ends.max()
    }

    /// How many replicas the StatefulSet is to have.
    pub(super) fn replicas(&self, released: bool) -> u32 {
        if self.leavers.is_empty() {
            self.role.members
        } else if released {
            self.current.min(self.floor)
        } else {
            self.current
        }
    }

    /// Whether a claim can go: its member left, and nothing will make its pod again.
    pub(super) fn is_left(&self, claim: &ObservedClaim) -> bool {
        claim.marks.leaving.is_some()
            && claim.ordinal >= self.floor
            && claim.ordinal >= self.current
            && !self.pods.contains_key(&claim.ordinal)
    }

    /// Whether a member leaves that may have something to do, so that it is set up again after a
    /// restart: what is on its storage is not to be lost.
    pub(super) fn is_needed_up(&self, ordinal: u32) -> bool {
        let leaver = self.leavers.get(&ordinal);
        leaver.is_some_and(|it| matches!(it.stage, Stage::Draining { .. }))
    }

    /// Whether a member that is to leave was held back by its application, and is wanted again. One
    /// whose hook may still run goes on leaving: what it does to the member is not known.
    fn is_held_back(&self, ordinal: u32) -> bool {
        let holds = self
            .drain()
            .is_some_and(|it| it.on_failure() == DrainFailure::Hold);
        let pod = self.pods.get(&ordinal);
        let drained = pod.and_then(|pod| pod.marks.drained.as_ref());
        let failed = drained.is_some_and(|it| it.outcome == DrainOutcome::Failed);
        holds && failed && ordinal < self.role.members && ordinal < self.current
    }

    fn ordinals(&self) -> impl Iterator<Item = u32> + '_ {
        self.pods.keys().chain(self.claims.keys()).copied()
    }

    fn is_marked(&self, ordinal: u32) -> bool {
        self.since(ordinal).is_some()
    }

    fn since(&self, ordinal: u32) -> Option<Timestamp> {
        let pod = self.pods.get(&ordinal).and_then(|pod| pod.marks.leaving);
        let claims = self.claims.get(&ordinal).into_iter().flatten();
        claims
            .filter_map(|claim| claim.marks.leaving)
            .chain(pod)
            .min()
    }

    fn leaver(&self, ordinal: u32, now: Timestamp) -> Leaver {
        let pod = self.pods.get(&ordinal);
        let claims = self.claims.get(&ordinal).map_or(&[][..], Vec::as_slice);
        // What goes already is not marked any more.
        let is_open = ordinal < self.current;
        let pod_marked = pod.is_none_or(|pod| pod.marks.leaving.is_some());
        let claims_marked = claims.iter().all(|claim| claim.marks.leaving.is_some());
        let since = self.since(ordinal);
        Leaver {
            since,
            marked: !is_open || (pod_marked && claims_marked),
            stage: self.stage(ordinal, since.unwrap_or(now), now),
        }
    }

    fn stage(&self, ordinal: u32, since: Timestamp, now: Timestamp) -> Stage {
        let Some(drain) = self
            .drain()
            .filter(|_| self.has_something_at_stake(ordinal))
        else {
            return Stage::Drained { at: since };
        };
        let timeout = SignedDuration::from_secs(i64::from(drain.timeout()));
        let until = since.checked_add(timeout).unwrap_or(Timestamp::MAX);
        let drained = self
            .pods
            .get(&ordinal)
            .and_then(|pod| pod.marks.drained.as_ref());
        let proceeds = drain.on_failure() == DrainFailure::Proceed;
        match drained {
            Some(drained) if drained.outcome == DrainOutcome::Done || proceeds => {
                Stage::Drained { at: drained.at }
            }
            _ if proceeds && until <= now => Stage::Drained { at: until },
            _ => Stage::Draining { until },
        }
    }

    /// What members do before they go, if they can do it.
    pub(super) fn drain(&self) -> Option<&'a Drain> {
        let drain = self.role.drain.as_ref()?;
        let can =
            drain.command.is_some() || (drain.arguments.is_some() && self.role.package.is_some());
        can.then_some(drain)
    }

    /// Whether there is something that would be lost if a member went just so: it is set up, or was
    /// and has storage.
    fn has_something_at_stake(&self, ordinal: u32) -> bool {
        if ordinal >= self.current {
            return false;
        }
        let pod = self.pods.get(&ordinal);
        let mut claims = self.claims.get(&ordinal).into_iter().flatten();
        let in_use = claims.any(|claim| claim.marks.in_use);
        let was_up = pod.is_some_and(|pod| pod.marks.configured.is_some());
        let is_up = pod.is_some_and(|pod| {
            let id = pod.container.id();
            id.is_some_and(|id| pod.marks.set_up(id) == SetUp::Done)
        });
        is_up || (self.role.has_storage() && (in_use || was_up))
    }
}
