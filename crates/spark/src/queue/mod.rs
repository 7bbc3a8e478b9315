//! Whose turn it is: applications of a namespace that may run only so many, or so much, at once.
//!
//! # Laws
//! - **Whole applications.** An application counts with its driver and the fewest executors it can
//!   do with, from the moment it is let in until it has ended; so drivers alone never fill a place.
//! - **First come, first served.** Of those that wait, the one with the highest priority goes
//!   first, then the one that was created first. Nobody passes one that waits before it, so a large
//!   application waits no longer than those that run when its turn comes. What could not even run
//!   alone stands aside and holds up nobody.
//! - **Written before it counts.** That an application is let in is in its status before its driver
//!   exists; whoever was let in looks at all others again afterwards, live, and goes on only if
//!   all of them together fit. Of two that were let in at the same time at least the second to look
//!   sees the other, whatever process let them in: together they never exceed the limits. Who
//!   sees that he is one too many steps back, unless it is only for those behind him: they do.
//! - **Nothing is remembered.** The line follows from the applications there are; [`Ledger`] only
//!   keeps it at hand.

mod entry;
mod ledger;
mod line;
mod policy;

#[cfg(test)]
mod tests;

use std::fmt;

use crate::resources::Amounts;

pub(crate) use self::entry::is_older_than_attempt;
pub use self::entry::{Entry, PRIORITY, Place, Rank};
pub use self::ledger::Ledger;
pub use self::line::Line;
pub use self::policy::{Bound, CPU_KEY, MEMORY_KEY, Policy, RUNNING_KEY};

/// What an application takes of what is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Share {
    /// Thousandths of a CPU.
    pub milli_cpu: u64,
    /// Bytes.
    pub memory: u64,
}

impl Share {
    /// Of all that is requested, what may be limited.
    pub fn of(requests: &Amounts) -> Self {
        let count = |amount: Option<i64>| match amount {
            Some(amount) => u64::try_from(amount).unwrap_or(0),
            // Beyond what can be counted.
            None => u64::MAX,
        };
        Self {
            milli_cpu: count(requests.get("cpu").millis()),
            memory: count(requests.get("memory").units()),
        }
    }
}

/// What several applications take together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// How many they are.
    pub applications: u64,
    /// What they take.
    pub share: Share,
}

impl Usage {
    /// With one more.
    #[must_use]
    pub fn and(self, share: Share) -> Self {
        self.plus(Self {
            applications: 1,
            share,
        })
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            applications: self.applications.saturating_add(other.applications),
            share: Share {
                milli_cpu: self.share.milli_cpu.saturating_add(other.share.milli_cpu),
                memory: self.share.memory.saturating_add(other.share.memory),
            },
        }
    }
}

/// What an application sees of its queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The limits of the namespace.
    pub policy: Policy,
    /// What others take that have their place.
    pub held: Usage,
    /// What those take that were let in just now and go before it.
    pub claimed_before: Usage,
    /// What those take that were let in just now and go after it.
    pub claimed_behind: Usage,
    /// What those take that wait before it.
    pub ahead: Usage,
}

impl Standing {
    /// What all others take together that were let in.
    fn taken(&self) -> Usage {
        self.held
            .plus(self.claimed_before)
            .plus(self.claimed_behind)
    }
}

/// What becomes of an application that wants to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is its turn, and there is room.
    Go,
    /// It waits.
    Wait {
        /// Its place among those that wait, from 1.
        position: u64,
        /// What leaves no room; `None` where only those before it have to go first.
        bound: Option<Bound>,
    },
    /// It would not fit if it were alone.
    TooLarge {
        /// What it exceeds.
        bound: Bound,
    },
}

/// Decides about an application that waits.
pub fn decide(standing: &Standing, share: Share) -> Verdict {
    let Standing { policy, ahead, .. } = standing;
    let taken = standing.taken();
    if let Some(bound) = policy.too_small_for(share) {
        return Verdict::TooLarge {
            bound: bound.clone(),
        };
    }
    let position = ahead.applications.saturating_add(1);
    if let Some(bound) = policy.exceeded_by(taken.and(share)) {
        return Verdict::Wait {
            position,
            bound: Some(bound.clone()),
        };
    }
    match policy.exceeded_by(taken.plus(*ahead).and(share)) {
        Some(_) => Verdict::Wait {
            position,
            bound: None,
        },
        None => Verdict::Go,
    }
}

/// What becomes of an application that was let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// There is room beside all others: it may run.
    Stands,
    /// There will be room as soon as those behind it have stepped back.
    Awaits,
    /// It is one too many.
    StepsBack,
}

/// Decides about an application that was let in, by a live look at the others.
pub fn confirm(standing: &Standing, share: Share) -> Claim {
    let fits = |taken: Usage| standing.policy.exceeded_by(taken.and(share)).is_none();
    if fits(standing.taken()) {
        Claim::Stands
    } else if fits(standing.held.plus(standing.claimed_before)) {
        Claim::Awaits
    } else {
        Claim::StepsBack
    }
}

/// A position as it is told: the first ones exactly; of the others so much that it does not have
/// to be written anew whenever somebody else has his turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position(pub u64);

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            exact @ 0..=10 => write!(f, "position {exact}"),
            tens @ 11..=100 => write!(f, "position over {}", (tens - 1) / 10 * 10),
            hundreds => write!(f, "position over {}", (hundreds - 1) / 100 * 100),
        }
    }
}
