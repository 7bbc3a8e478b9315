//! What the decision needs to know of a schedule's specification.

use windlass_api::schedule::Schedule;
use windlass_api::spark::scheduled::{CatchUpPolicy, ConcurrencyPolicy};

/// The schedule as the decision sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    /// The object's name.
    pub name: String,
    /// `metadata.generation`, reported back as `observedGeneration`.
    pub generation: i64,
    /// Deletion has been requested; owner references do the rest.
    pub deleting: bool,
    /// No runs are to be started for times of the schedule.
    pub suspend: bool,
    /// When there are runs, if that can be told.
    pub rhythm: Rhythm,
    /// What happens when a run is due while an earlier one is live.
    pub concurrency: ConcurrencyPolicy,
    /// Which times that passed unnoticed are made up for.
    pub catch_up: CatchUpPolicy,
    /// How many seconds late a run may start, where that is limited.
    pub deadline: Option<i64>,
    /// How many ended runs are kept.
    pub history: History,
    /// The request for a run now, whether or not it was dealt with.
    pub trigger: Option<String>,
}

/// When there are runs.
#[derive(Debug, Clone, PartialEq)]
pub enum Rhythm {
    /// At the times of this schedule.
    Times(Box<Schedule>),
    /// Never, before the user corrects the object.
    Invalid {
        /// One line per problem, each naming the field, what is wrong and what to do.
        problems: Vec<String>,
    },
}

/// How many ended runs are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct History {
    /// Of those that succeeded.
    pub successful: usize,
    /// Of those that failed.
    pub failed: usize,
}

impl History {
    /// For a specification that cannot be read: nothing is removed by guessing.
    pub const EVERYTHING: Self = Self {
        successful: usize::MAX,
        failed: usize::MAX,
    };
}
