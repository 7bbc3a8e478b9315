//! What is: the runs of one schedule, reduced to what decisions rest on.

use jiff::Timestamp;

/// Everything the decision may look at besides the schedule itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Observed {
    /// The applications that this schedule owns.
    pub runs: Vec<Run>,
    /// Driver pods that have not ended and whose application is gone.
    pub orphans: Vec<String>,
    /// Whether an object of somebody else has the name of the pending run.
    pub name_is_taken: bool,
    /// Why the API refused to create the pending run.
    pub refusal: Option<String>,
}

/// One application of a schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// When it was created.
    pub created: Timestamp,
    /// How it stands.
    pub state: RunState,
    /// Its deletion has been requested.
    pub deleting: bool,
}

/// How a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunState {
    /// It has not ended, or may run again.
    Live,
    /// It completed.
    Succeeded,
    /// It failed for good.
    Failed,
}

impl Observed {
    /// The run with this name.
    pub(super) fn run(&self, name: &str) -> Option<&Run> {
        self.runs.iter().find(|run| run.name == name)
    }

    /// The runs that have not ended.
    pub(super) fn live(&self) -> impl Iterator<Item = &Run> {
        self.runs.iter().filter(|run| run.state == RunState::Live)
    }

    /// Whether anything of an earlier run may still be at work.
    pub(super) fn is_busy(&self) -> bool {
        self.live().next().is_some() || !self.orphans.is_empty()
    }

    /// What is at work, for a person.
    pub(super) fn busy_with(&self) -> String {
        let runs = self.live().map(|run| run.name.as_str());
        let pods = self.orphans.iter().map(String::as_str);
        runs.chain(pods).collect::<Vec<_>>().join(", ")
    }
}
