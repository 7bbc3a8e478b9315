//! Waiting for one's turn, where the namespace limits what may run at once.
//!
//! The place is in the status (`status.admission`): with what it counts as from the first look on,
//! and since when it is held once it is the application's turn. It is held until the application
//! has ended, is suspended, could not be submitted, or becomes another job.

use std::time::Duration;

use windlass_api::spark::application::{Admission, ApplicationStateType as State};

use super::conditions::{self, ConditionKind, Truth};
use super::machine::Turn;
use crate::queue::{self, Claim, Position, Share, Verdict};

/// The reason of the condition `Admitted` while the application waits.
pub(crate) const QUEUED: &str = "Queued";
/// Its reason once the application may run.
pub(crate) const ADMITTED: &str = "Admitted";
/// Its reason when the application would not fit if it were alone.
pub(crate) const TOO_LARGE: &str = "ExceedsQueue";

/// So many at the front of the queue look again often; the others are told of what concerns them
/// when it comes to them.
const FRONT: u64 = 4;
const LOOK_AT_ONCE: Duration = Duration::from_secs(1);
const LOOK_OFTEN: Duration = Duration::from_secs(15);
const LOOK_SELDOM: Duration = Duration::from_mins(2);

impl Turn<'_> {
    /// Whether the driver may be created. If it is not the application's turn, its place in the
    /// queue is what the status says next.
    pub(super) fn is_its_turn(&mut self) -> bool {
        let (seen, spec) = (self.seen, self.spec);
        let Some(standing) = &seen.standing else {
            // Nothing is limited any more: who waited goes, who was let in stays it.
            if self.place_is_held() == Some(false) {
                self.give_up_place();
            }
            return true;
        };
        let Some(least) = &spec.least else {
            // Before a submission it is always known; without it nothing can be decided.
            return false;
        };
        let share = Share::of(least);
        let held_since = self
            .status
            .admission
            .as_ref()
            .and_then(|admission| admission.admitted_time.clone());
        let wanted = |admitted_time| {
            Some(Admission {
                cpu: least.get("cpu").to_string(),
                memory: least.get("memory").to_string(),
                admitted_time,
            })
        };
        if let Some(since) = held_since {
            let is_counted_right = self.status.admission == wanted(Some(since.clone()));
            let attempt = self.status.attempt.as_ref();
            let is_older = queue::is_older_than_attempt(
                Some(since.0),
                attempt.map(|attempt| attempt.created_time.0),
            );
            let claim = if is_counted_right && is_older {
                Claim::Stands
            } else {
                queue::confirm(standing, share)
            };
            // All others must be seen as they are after this was written: see the laws of the
            // queue.
            self.require_live();
            if claim != Claim::StepsBack {
                if !is_counted_right {
                    self.status.admission = wanted(Some(self.stamp()));
                }
                if claim == Claim::Awaits {
                    self.wake_after(LOOK_AT_ONCE);
                }
                return is_counted_right && claim == Claim::Stands;
            }
        }
        match queue::decide(standing, share) {
            Verdict::Go => {
                self.status.admission = wanted(Some(self.stamp()));
                self.set(
                    ConditionKind::Admitted,
                    Truth::True,
                    ADMITTED,
                    "it is the application's turn",
                );
            }
            Verdict::Wait { position, bound } => {
                let why = match bound {
                    Some(bound) => bound.to_string(),
                    None => "those before it go first".to_owned(),
                };
                let message = format!(
                    "{} in the queue of namespace {}: {why}",
                    Position(position),
                    spec.namespace
                );
                self.set(ConditionKind::Admitted, Truth::False, QUEUED, &message);
                self.status.admission = wanted(None);
                self.wake_after(if position <= FRONT {
                    LOOK_OFTEN
                } else {
                    LOOK_SELDOM
                });
            }
            Verdict::TooLarge { bound } => {
                let message = format!(
                    "the driver and the fewest executors it can do with request cpu {} and memory \
                     {}, and {bound}: ask for less, or raise the limit",
                    least.get("cpu"),
                    least.get("memory")
                );
                self.set(ConditionKind::Admitted, Truth::False, TOO_LARGE, &message);
                self.status.admission = wanted(None);
                self.wake_after(LOOK_SELDOM);
            }
        }
        false
    }

    /// A driver is there: the place is taken, whoever gave it.
    pub(super) fn keep_place(&mut self) {
        let now = self.stamp();
        if self.place_is_held() != Some(false) {
            return;
        }
        if let Some(admission) = &mut self.status.admission {
            admission.admitted_time = Some(now);
        }
        self.set(
            ConditionKind::Admitted,
            Truth::True,
            ADMITTED,
            "its driver exists",
        );
    }

    /// Leaves the queue, or gives the place in it to the next.
    pub(super) fn give_up_place(&mut self) {
        self.status.admission = None;
        conditions::clear(&mut self.status.conditions, ConditionKind::Admitted);
    }

    /// Whoever neither runs nor is about to has no place.
    pub(super) fn leave_queue(&mut self) {
        let stays = match self.state() {
            State::New | State::PendingRerun | State::Resuming => true,
            State::Submitted
            | State::Running
            | State::Unknown
            | State::Succeeding
            | State::Failing
            | State::Invalidating
            | State::Suspending => self.place_is_held() == Some(true),
            State::Completed | State::Failed | State::SubmissionFailed | State::Suspended => false,
        };
        if !stays {
            self.give_up_place();
        }
    }

    /// Whether the place is held; `None` where there is none.
    fn place_is_held(&self) -> Option<bool> {
        let admission = self.status.admission.as_ref()?;
        Some(admission.admitted_time.is_some())
    }
}
