//! Whether and when an application is tried again.
//!
//! Laws: refused submissions and failed runs have budgets of their own; what the cluster did to an
//! application is not charged to it, within reason; pauses are measured from the failure, double
//! with each in a row up to a cap, and begin anew after a healthy run.

use std::time::Duration;

use super::reason::Reason;
use super::spec::{Budget, Limits, RestartKind, RestartPolicy};

/// What a try failed at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The API server refused the driver.
    Submission,
    /// A quota left no room for the driver. It was not even tried, so it waits whatever the policy.
    Quota,
    /// The driver ran, or should have run, and did not end well.
    Run,
}

impl Cause {
    /// What a refused submission with this reason failed at.
    pub fn of_submission(reason: &str) -> Self {
        if reason == Reason::QuotaExceeded.as_str() {
            Self::Quota
        } else {
            Self::Submission
        }
    }
}

/// How often it failed, this failure included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// The failures that count against the budget.
    pub charged: u32,
    /// The failures in a row, charged or not.
    pub in_a_row: u32,
}

impl Tally {
    /// The tally after a run that failed for this reason.
    ///
    /// What happens to a pod from outside is not its application's fault; but a pod that is
    /// evicted again and again most likely is itself the reason.
    pub fn after_run(before: Self, reason: &str, was_healthy: bool, limits: &Limits) -> Self {
        let streak = if was_healthy { 0 } else { before.in_a_row };
        let from_outside = [Reason::Evicted, Reason::NodeLost]
            .iter()
            .any(|outside| outside.as_str() == reason);
        let free = from_outside && streak < limits.free_failures;
        Self {
            charged: before.charged.saturating_add(u32::from(!free)),
            in_a_row: streak.saturating_add(1),
        }
    }
}

/// What follows a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Try again this long after the failure.
    Retry {
        /// The pause, measured from the failure.
        after: Duration,
    },
    /// The application has failed for good.
    GiveUp,
}

/// Decides what follows a failure. `seed` tells applications apart that failed together.
pub fn after_failure(
    policy: &RestartPolicy,
    cause: Cause,
    tally: Tally,
    limits: &Limits,
    seed: &str,
) -> Verdict {
    let budget = match cause {
        Cause::Submission | Cause::Quota => &policy.submission,
        Cause::Run => &policy.failure,
    };
    let again = match (cause, policy.kind) {
        (Cause::Quota, _) | (_, RestartKind::Always) => true,
        (_, RestartKind::Never) => false,
        (_, RestartKind::OnFailure) => tally.charged <= budget.retries,
    };
    let longest = match cause {
        Cause::Quota => limits.longest_quota_pause,
        Cause::Submission | Cause::Run => limits.longest_pause,
    };
    if again {
        Verdict::Retry {
            after: pause(budget, tally.in_a_row, longest, seed),
        }
    } else {
        Verdict::GiveUp
    }
}

/// The pause after the `failure`-th failure in a row (from 1): what the user said, then twice as
/// much each time, and up to a fifth less, so that what failed together does not come back
/// together.
fn pause(budget: &Budget, failure: u32, longest: Duration, seed: &str) -> Duration {
    let doublings = failure.saturating_sub(1);
    if doublings == 0 {
        return budget.interval;
    }
    let longest = longest.max(budget.interval);
    let factor = 2_u32.checked_pow(doublings).unwrap_or(u32::MAX);
    let pause = budget.interval.saturating_mul(factor).min(longest);
    let share = u32::from(
        seed.bytes()
            .fold(0, |sum: u8, byte| sum.wrapping_mul(31).wrapping_add(byte)),
    );
    pause.saturating_sub(pause / 5 * share / 256)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(kind: RestartKind) -> RestartPolicy {
        RestartPolicy {
            kind,
            submission: Budget {
                retries: 1,
                interval: Duration::from_secs(3),
            },
            failure: Budget {
                retries: 2,
                interval: Duration::from_secs(5),
            },
        }
    }

    fn verdict(kind: RestartKind, cause: Cause, tries: u32) -> Verdict {
        let tally = Tally {
            charged: tries,
            in_a_row: tries,
        };
        after_failure(&policy(kind), cause, tally, &Limits::default(), "")
    }

    fn retry(seconds: u64) -> Verdict {
        Verdict::Retry {
            after: Duration::from_secs(seconds),
        }
    }

    #[test]
    fn two_retries_mean_three_runs() {
        let after = |tries| verdict(RestartKind::OnFailure, Cause::Run, tries);
        assert_eq!(after(1), retry(5));
        assert_eq!(after(2), retry(10));
        assert_eq!(after(3), Verdict::GiveUp);
    }

    #[test]
    fn refused_submissions_have_a_budget_of_their_own() {
        let after = |tries| verdict(RestartKind::OnFailure, Cause::Submission, tries);
        assert_eq!(after(1), retry(3));
        assert_eq!(after(2), Verdict::GiveUp);
    }

    #[test]
    fn never_and_always_do_not_count() {
        for tries in [1, 100] {
            for cause in [Cause::Submission, Cause::Run] {
                assert_eq!(verdict(RestartKind::Never, cause, tries), Verdict::GiveUp);
                let always = verdict(RestartKind::Always, cause, tries);
                assert!(matches!(always, Verdict::Retry { .. }));
            }
        }
    }

    #[test]
    fn a_quota_is_waited_for_whatever_the_policy() {
        for kind in [
            RestartKind::Never,
            RestartKind::OnFailure,
            RestartKind::Always,
        ] {
            assert_eq!(verdict(kind, Cause::Quota, 1), retry(3));
            assert_eq!(verdict(kind, Cause::Quota, 100), retry(60));
        }
    }

    #[test]
    fn pauses_double_up_to_a_cap_and_never_exceed_it() {
        let budget = policy(RestartKind::Always).failure;
        let cap = Duration::from_mins(5);
        let seconds: Vec<u64> = [1, 2, 3, 6, 7, 40, u32::MAX]
            .iter()
            .map(|failure| pause(&budget, *failure, cap, "").as_secs())
            .collect();
        assert_eq!(seconds, [5, 10, 20, 160, 300, 300, 300]);

        let patient = Budget {
            interval: Duration::from_hours(1),
            ..budget
        };
        assert_eq!(
            pause(&patient, 9, cap, ""),
            patient.interval,
            "the user said so"
        );
    }

    #[test]
    fn what_failed_together_comes_back_apart_and_not_later_than_the_cap() {
        let budget = policy(RestartKind::Always).failure;
        let cap = Duration::from_mins(5);
        let pauses: std::collections::BTreeSet<Duration> = (0..200)
            .map(|app| pause(&budget, 9, cap, &format!("application-{app}")))
            .collect();
        assert!(pauses.len() > 100, "{}", pauses.len());
        assert!(pauses.iter().all(|it| *it <= cap && *it >= cap * 4 / 5));
        let same = |_| pause(&budget, 9, cap, "pi");
        assert_eq!(same(1), same(2), "each look comes to the same time");
    }

    #[test]
    fn what_comes_from_outside_is_not_charged_a_few_times() {
        let limits = Limits::default();
        let mut tally = Tally {
            charged: 0,
            in_a_row: 0,
        };
        for _ in 0..limits.free_failures {
            tally = Tally::after_run(tally, "Evicted", false, &limits);
            assert_eq!(tally.charged, 0);
        }
        let again = Tally::after_run(tally, "Evicted", false, &limits);
        assert_eq!(again.charged, 1);
        let after_healthy = Tally::after_run(tally, "NodeLost", true, &limits);
        assert_eq!((after_healthy.charged, after_healthy.in_a_row), (0, 1));
        assert_eq!(
            Tally::after_run(tally, "OOMKilled", false, &limits).charged,
            1
        );
    }
}
