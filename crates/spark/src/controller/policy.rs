//! The restart policy of an application, as the state machine takes it.

use std::time::Duration;

use windlass_api::spark::SparkApplication;
use windlass_api::spark::application::{NodeLossPolicy, Resolved, RestartPolicyType};

use crate::lifecycle::spec::{Budget, NodeLoss, RestartKind, RestartPolicy};

/// What happens after an attempt.
pub(super) fn restart_policy(app: &SparkApplication) -> RestartPolicy {
    let retries = Resolved::of(&app.spec).retries;
    let budget = |retries, seconds: u32| Budget {
        retries,
        interval: Duration::from_secs(seconds.into()),
    };
    RestartPolicy {
        kind: match retries.policy {
            RestartPolicyType::Never => RestartKind::Never,
            RestartPolicyType::OnFailure => RestartKind::OnFailure,
            RestartPolicyType::Always => RestartKind::Always,
        },
        submission: budget(
            retries.on_submission_failure,
            retries.on_submission_failure_interval,
        ),
        failure: budget(retries.on_failure, retries.on_failure_interval),
    }
}

/// What happens to a driver whose node does not answer.
pub(super) fn node_loss(app: &SparkApplication) -> NodeLoss {
    match app.spec.restart_policy.node_loss.unwrap_or_default() {
        NodeLossPolicy::Wait => NodeLoss::Wait,
        NodeLossPolicy::Replace => NodeLoss::Replace,
    }
}

/// What an application that cannot be read has.
pub(super) fn no_restart() -> RestartPolicy {
    let budget = Budget {
        retries: 0,
        interval: Duration::ZERO,
    };
    RestartPolicy {
        kind: RestartKind::Never,
        submission: budget,
        failure: budget,
    }
}
