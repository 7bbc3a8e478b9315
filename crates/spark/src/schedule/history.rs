//! Which ended runs are kept.

use super::machine::Action;
use super::observed::{Observed, Run, RunState};

/// The names of the runs in this state that are kept, the latest first, and what removes the rest.
///
/// Times of creation are whole seconds. Of runs that share one, the last run is the latest.
pub(super) fn trim(
    observed: &Observed,
    state: RunState,
    limit: usize,
    last_run: Option<&str>,
) -> (Vec<String>, Vec<Action>) {
    let mut ended: Vec<&Run> = observed
        .runs
        .iter()
        .filter(|run| run.state == state && !run.deleting)
        .collect();
    let age = |run: &Run| {
        let is_last = last_run == Some(run.name.as_str());
        (run.created, is_last, run.name.clone())
    };
    ended.sort_by_key(|run| std::cmp::Reverse(age(run)));
    let (kept, excess) = ended.split_at(limit.min(ended.len()));
    let kept = kept.iter().map(|run| run.name.clone()).collect();
    let removed = excess.iter().map(|run| Action::delete(run)).collect();
    (kept, removed)
}
