//! Keeps the book of executors: who lives, who ended how, in bounded space.
//!
//! Laws: an executor that ended never lives again; each finished executor is counted once, however
//! often it is seen; what an executor does after its application ended well is no failure.

use std::collections::BTreeMap;

use windlass_api::spark::application::{ExecutorCounts, ExecutorState};

use super::observed::{ExecutorPod, PodPhase};
use super::spec::Limits;

/// The executors of one attempt: the live ones and the latest finished ones by name, all others
/// as counts, so that the status stays small however long the application runs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Book {
    /// Pod name to state.
    pub listed: BTreeMap<String, ExecutorState>,
    /// Finished executors that are no longer listed.
    pub folded: ExecutorCounts,
}

/// What the end of the attempt, if there is one, says about executors that are no longer there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outlook {
    /// The driver may still be at work.
    Working,
    /// The driver ended well.
    EndedWell,
    /// The driver did not end well.
    EndedBadly,
}

/// SIGTERM: how an executor ends that is no longer needed.
const STOPPED: i32 = 143;

/// How an executor ends that cannot reach its driver, as one that was still starting when the
/// job was done.
const DRIVER_GONE: i32 = 1;

/// The book after another look at the executors of the attempt.
pub fn keep(book: &Book, pods: &[&ExecutorPod], outlook: Outlook, limits: &Limits) -> Book {
    let mut next = Book {
        folded: book.folded,
        ..Book::default()
    };
    let mut live = Vec::new();
    let mut finished = Vec::new();

    for pod in pods {
        let before = book.listed.get(&pod.name).copied();
        let state = settled(before).unwrap_or_else(|| state_of(pod, outlook));
        if pod.is_live() && settled(before).is_none() {
            live.push((pod.id, pod.name.clone(), state));
        } else if before.is_some() || pod.id > book.folded.up_to {
            finished.push((pod.id, pod.name.clone(), state));
        }
    }
    for (name, before) in &book.listed {
        if !pods.iter().any(|pod| pod.name == *name) {
            finished.push((number_of(name), name.clone(), vanished(*before, outlook)));
        }
    }

    live.sort();
    live.truncate(limits.live_executors);
    finished.sort();
    let surplus = finished.len().saturating_sub(limits.finished_executors);
    for (id, _, state) in finished.drain(..surplus) {
        match state {
            ExecutorState::Completed => next.folded.completed += 1,
            ExecutorState::Failed => next.folded.failed += 1,
            ExecutorState::Unknown | ExecutorState::Pending | ExecutorState::Running => {
                next.folded.unknown += 1;
            }
        }
        next.folded.up_to = next.folded.up_to.max(id);
    }
    next.listed = live
        .into_iter()
        .chain(finished)
        .map(|(_, name, state)| (name, state))
        .collect();
    if outlook == Outlook::EndedWell {
        next.folded.completed += std::mem::take(&mut next.folded.unknown);
    }
    next
}

/// A state that cannot change any more.
fn settled(state: Option<ExecutorState>) -> Option<ExecutorState> {
    state.filter(|state| matches!(state, ExecutorState::Completed | ExecutorState::Failed))
}

fn state_of(pod: &ExecutorPod, outlook: Outlook) -> ExecutorState {
    match pod.phase {
        PodPhase::Pending => ExecutorState::Pending,
        PodPhase::Running => ExecutorState::Running,
        PodPhase::Succeeded => ExecutorState::Completed,
        PodPhase::Failed => {
            // An executor is told to end both by its driver and by a signal; which one wins is
            // chance, and says nothing about its work.
            let over = outlook == Outlook::EndedWell;
            match pod.exit_code {
                Some(STOPPED) if pod.terminating || over => ExecutorState::Completed,
                Some(DRIVER_GONE) if over => ExecutorState::Completed,
                _ => ExecutorState::Failed,
            }
        }
        PodPhase::Unknown => ExecutorState::Unknown,
    }
}

fn vanished(before: ExecutorState, outlook: Outlook) -> ExecutorState {
    match (before, outlook) {
        (ExecutorState::Completed | ExecutorState::Failed, _) => before,
        (_, Outlook::EndedWell) => ExecutorState::Completed,
        (ExecutorState::Unknown, _) | (_, Outlook::Working) => ExecutorState::Unknown,
        (_, Outlook::EndedBadly) => ExecutorState::Failed,
    }
}

/// Spark ends the name of an executor pod with the executor's number.
fn number_of(name: &str) -> i32 {
    name.rsplit_once("-exec-")
        .and_then(|(_, number)| number.parse().ok())
        .unwrap_or(0)
}
