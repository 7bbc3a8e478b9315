//! Roles whose number of members follows from what their application has to do.
//!
//! # Flow
//! The application says of a role how demand is asked: a call in a member, of its startscript or of a
//! program ([`Demand`](windlass_api::director::app::Demand)). The cluster says of the role between which
//! bounds its number of members follows the answers
//! ([`Autoscale`](windlass_api::director::cluster::Autoscale)). While no member of the role leaves, the
//! first member that is set up of the role that is asked is asked again, some seconds after its last
//! answer. An answer is a number of members ([`Answer`]), whatever the application counts by itself: what
//! a core, a partition or a queue is, nobody knows here. [`decide`] makes of the answer, and of what it was
//! before, how many members there are to be; from there on all is as if a user had written that number.
//!
//! # Where the number is kept
//! On the objects, as everything that decisions rest on. How many members there are is what the StatefulSet
//! has in replicas, less those that are marked as leaving; growing writes the former, shrinking the latter,
//! and neither is taken back. So nobody writes the cluster's specification: `members` stays what its user
//! wrote, kubectl apply and whoever keeps manifests in a repository have nothing to fight with, and it is
//! where a role begins that has no StatefulSet yet. An operator that is new finds the number where the last
//! one has left it, and two of them that believe to lead write the same absolute number. A
//! HorizontalPodAutoscaler writes spec.replicas in its place, which is why manifests are told to leave that
//! out.
//!
//! Since when fewer are wanted ([`Lull`]) is in the status. When it is lost, it is waited for anew: nobody
//! goes too early. The last answer is in the memory of the process alone; a new process asks at once.
//!
//! # Guarantees
//! - The number is within the bounds, and bounds that change hold at once.
//! - Members come as soon as they are wanted. Some go only when fewer were wanted in every answer of the
//!   whole delay, and then no more than were superfluous in all of them: so what comes and goes within the
//!   delay moves nobody.
//! - What is not known lets nobody come or go, and ends a lull: demand may have been high unseen.
//! - The same answer again asks for nothing more; with more demand there are never fewer members.
//!
//! # Caveats
//! - A StatefulSet takes the members with the highest ordinals away, whether they are idle or not. What they
//!   have to hand on, they hand on in their drain.
//! - While members of a role leave, it does not grow: whoever is marked goes.
//! - An application that is asked for demand must count what is in use, too, or it loses it.

mod answer;
mod scaling;

use jiff::{SignedDuration, Timestamp};

pub(crate) use answer::shorten;
pub use answer::{Answer, Sample};
pub use scaling::{Probe, Scaling};

/// Between which bounds a role is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The fewest members.
    pub min: u32,
    /// The most; not fewer than the fewest.
    pub max: u32,
    /// For how long fewer must have been wanted before some go.
    pub scale_down_delay: SignedDuration,
}

/// A time in which fewer members are wanted than there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lull {
    /// Since when.
    pub since: Timestamp,
    /// The most that were wanted since then, within the bounds.
    pub highest: u32,
}

/// What is done about the number of members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It stays.
    Hold {
        /// If nothing else is asked for meanwhile, some go at this time.
        until: Option<Timestamp>,
    },
    /// There are to be so many, which is more.
    Grow(u32),
    /// There are to be so many, which is fewer.
    Shrink(u32),
}

impl Bounds {
    /// The nearest number within the bounds.
    pub fn clamp(&self, members: u32) -> u32 {
        members.min(self.max).max(self.min)
    }
}

impl Decision {
    /// How many there are to be, when there are so many.
    pub fn members(self, current: u32) -> u32 {
        match self {
            Self::Hold { .. } => current,
            Self::Grow(members) | Self::Shrink(members) => members,
        }
    }
}

/// Decides how many members there are to be, when there are `current` and `wanted` is what the
/// application has a use for, if that is known. The second value is the lull as it is now; while some are
/// to go it stays, so that the same is decided until they are marked.
pub fn decide(
    bounds: Bounds,
    lull: Option<Lull>,
    wanted: Option<u32>,
    now: Timestamp,
    current: u32,
) -> (Decision, Option<Lull>) {
    const STAY: Decision = Decision::Hold { until: None };
    if current > bounds.max {
        return (Decision::Shrink(bounds.clamp(current)), None);
    }
    let wanted = match wanted {
        Some(wanted) => bounds.clamp(wanted),
        None if current < bounds.min => bounds.min,
        None => return (STAY, None),
    };
    if wanted >= current {
        let decision = if wanted > current {
            Decision::Grow(wanted)
        } else {
            STAY
        };
        return (decision, None);
    }
    // One of which more were wanted than there are is of another time.
    let lull = lull.filter(|lull| lull.highest < current);
    let lull = lull.map_or(
        Lull {
            since: now,
            highest: wanted,
        },
        |lull| Lull {
            since: lull.since.min(now),
            highest: bounds.clamp(lull.highest.max(wanted)),
        },
    );
    let until = lull.since.checked_add(bounds.scale_down_delay);
    let until = until.unwrap_or(Timestamp::MAX);
    let decision = if until <= now {
        Decision::Shrink(lull.highest)
    } else {
        Decision::Hold { until: Some(until) }
    };
    (decision, Some(lull))
}

#[cfg(test)]
mod tests;
