//! How far the volumes of a role are that are to be larger.
//!
//! The templates of a StatefulSet's claims cannot change. So every claim asks for more first, and its volume
//! grows while its member uses it. When all have grown, the StatefulSet is replaced by one with the new
//! templates, which adopts the pods as they are. Nothing of this is remembered: how far it is shows in what
//! the role, the StatefulSet, and each claim say.
//!
//! Laws:
//! - no claim asks for less than it did, unless its storage has given up on that and has not as much yet: one
//!   that has grown by itself beyond the size is as it is to be, and so is what it asks for;
//! - the StatefulSet is replaced when all volumes of members have the size, so what turns out to be too much
//!   can be taken back until then, down to what the StatefulSet was made with;
//! - a pod is replaced for the sake of its file system only after nobody else has made that larger for a
//!   while, once, and one at a time.

use jiff::{SignedDuration, Timestamp};
use windlass_api::quantity::Quantity;

use super::observed::{ObservedClaim, ObservedPod};
use super::resize::RoleView;
use crate::names::Scheme;

/// How long the kubelet has for making a file system larger that is mounted; it looks about once a minute.
pub(super) const MOUNT_PATIENCE: SignedDuration = SignedDuration::from_mins(5);

/// The volumes of a role with storage.
#[derive(Debug, Clone)]
pub(super) struct Growth<'a> {
    /// What each is to have, as it is written.
    pub(super) size: &'a str,
    wanted: Quantity,
    /// What the StatefulSet makes them with; nothing where there is none.
    template: Option<Quantity>,
    /// The claims that have volumes, but for those of members that leave.
    claims: Vec<&'a ObservedClaim>,
    /// Members that stay are those below.
    floor: u32,
}

/// What a file system waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mount {
    /// It is done, or not its turn.
    Fine,
    /// The node does it, and has until then.
    Node(Timestamp),
    /// Its pod has to be replaced.
    Pod,
    /// That was done, and did not help.
    Nobody,
}

/// Whether a claim is for the file system of its member, and not for a raw device.
pub(super) fn is_file_system(claim: &ObservedClaim, scheme: Scheme) -> bool {
    let rest = claim.name.strip_prefix(scheme.claim_prefix());
    rest.is_some_and(|rest| rest.starts_with('-'))
}

impl<'a> Growth<'a> {
    /// Nothing of a role without storage, or of whose size nothing can be made.
    pub(super) fn of(view: &RoleView<'a>, scheme: Scheme) -> Option<Self> {
        let storage = view.role.spec.storage.as_ref()?;
        let prefix = scheme.claim_prefix();
        let claims = view.claims.values().flatten().copied();
        let claims = claims.filter(|claim| {
            is_file_system(claim, scheme)
                && !claim.deleting
                && claim.marks.leaving.is_none()
                && claim.volume.bound
        });
        Some(Self {
            size: &storage.size,
            wanted: storage.size.parse().ok()?,
            template: view.set.and_then(|set| set.storage(prefix)),
            claims: claims.collect(),
            floor: view.floor,
        })
    }

    /// The claims that are to ask for something else.
    pub(super) fn to_ask(&self) -> impl Iterator<Item = &'a ObservedClaim> + '_ {
        self.claims.iter().copied().filter(|claim| {
            let volume = &claim.volume;
            let is_too_much = volume.given_up
                && volume.request.is_some_and(|it| it > self.wanted)
                && volume.capacity.is_some_and(|it| it < self.wanted);
            volume.request.is_some_and(|it| it < self.wanted) || is_too_much
        })
    }

    /// Those of members that stay.
    pub(super) fn of_members(&self) -> impl Iterator<Item = &'a ObservedClaim> + '_ {
        let claims = self.claims.iter().copied();
        claims.filter(|claim| claim.ordinal < self.floor)
    }

    /// Whether a volume has what it is to have.
    pub(super) fn has_grown(&self, claim: &ObservedClaim) -> bool {
        claim.volume.capacity.is_none_or(|it| it >= self.wanted)
    }

    /// Whether the StatefulSet makes volumes that are too small.
    pub(super) fn has_old_template(&self) -> bool {
        self.template.is_some_and(|it| it < self.wanted)
    }

    /// Whether the StatefulSet is to be replaced now.
    pub(super) fn is_due(&self) -> bool {
        self.has_old_template() && self.of_members().all(|claim| self.has_grown(claim))
    }

    /// What the file system of a member waits for.
    pub(super) fn mount(&self, claim: &ObservedClaim, pod: &ObservedPod, now: Timestamp) -> Mount {
        let Some(since) = claim.volume.waits_since.filter(|_| !self.has_grown(claim)) else {
            return Mount::Fine;
        };
        let ends = |from: Timestamp| from.checked_add(MOUNT_PATIENCE).unwrap_or(Timestamp::MAX);
        match pod.created {
            // It has been mounted anew since.
            Some(created) if created > since => match ends(created) {
                end if end > now => Mount::Node(end),
                _ => Mount::Nobody,
            },
            _ => match ends(since) {
                end if end > now => Mount::Node(end),
                _ => Mount::Pod,
            },
        }
    }
}
