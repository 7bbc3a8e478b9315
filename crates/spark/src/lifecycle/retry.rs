//! Whether and when an application is tried again.

use std::time::Duration;

use super::spec::{Budget, RestartKind, RestartPolicy};

/// What a try failed at; each has its own budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The API server refused the driver.
    Submission,
    /// The driver ran, or should have run, and did not end well.
    Run,
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

/// Decides what follows the `tries`-th failure of this cause in a row.
pub fn after_failure(policy: &RestartPolicy, cause: Cause, tries: u32) -> Verdict {
    let budget = match cause {
        Cause::Submission => &policy.submission,
        Cause::Run => &policy.failure,
    };
    let again = match policy.kind {
        RestartKind::Never => false,
        RestartKind::OnFailure => tries <= budget.retries,
        RestartKind::Always => true,
    };
    if again {
        Verdict::Retry {
            after: pause(budget, tries),
        }
    } else {
        Verdict::GiveUp
    }
}

/// The pause before the `retry`-th repetition (from 1): the same before each.
pub fn pause(budget: &Budget, retry: u32) -> Duration {
    let _ = retry;
    budget.interval
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

    #[test]
    fn two_retries_mean_three_runs() {
        let policy = policy(RestartKind::OnFailure);
        let retry = Verdict::Retry {
            after: Duration::from_secs(5),
        };
        assert_eq!(after_failure(&policy, Cause::Run, 1), retry);
        assert_eq!(after_failure(&policy, Cause::Run, 2), retry);
        assert_eq!(after_failure(&policy, Cause::Run, 3), Verdict::GiveUp);
    }

    #[test]
    fn refused_submissions_have_a_budget_of_their_own() {
        let policy = policy(RestartKind::OnFailure);
        let retry = Verdict::Retry {
            after: Duration::from_secs(3),
        };
        assert_eq!(after_failure(&policy, Cause::Submission, 1), retry);
        assert_eq!(
            after_failure(&policy, Cause::Submission, 2),
            Verdict::GiveUp
        );
    }

    #[test]
    fn never_and_always_do_not_count() {
        for tries in [1, 100] {
            for cause in [Cause::Submission, Cause::Run] {
                let never = after_failure(&policy(RestartKind::Never), cause, tries);
                assert_eq!(never, Verdict::GiveUp);
                let always = after_failure(&policy(RestartKind::Always), cause, tries);
                assert!(matches!(always, Verdict::Retry { .. }));
            }
        }
    }
}
