//! What a Deployment says of itself. Pure.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::super::conditions::{Conditions, Says, count, status_step};
use super::super::keeper::wait;
use super::Deployment;
use super::rollout::Rollout;

const PROGRESSING: &str = "Progressing";
const FAILURE: &str = "ReplicaFailure";
const COMPLETE: &str = "NewReplicaSetAvailable";
const LATE: &str = "ProgressDeadlineExceeded";

/// The numbers as the sets report them, without conditions.
pub(super) fn of(rollout: &Rollout<'_>) -> Value {
    let sum = |field: &str| -> i64 {
        let sets = rollout.all();
        sets.map(|sized| sized.view().counted(field)).sum()
    };
    let available = sum("availableReplicas");
    let wanted: i64 = rollout.all().map(|sized| sized.replicas).sum();
    let updated = rollout
        .new
        .as_ref()
        .map_or(0, |new| new.view().counted("replicas"));
    let mut status = json!({"observedGeneration": rollout.deployment.meta.generation});
    count(&mut status, "replicas", sum("replicas"));
    count(&mut status, "updatedReplicas", updated);
    count(&mut status, "readyReplicas", sum("readyReplicas"));
    count(&mut status, "availableReplicas", available);
    count(
        &mut status,
        "unavailableReplicas",
        (wanted - available).max(0),
    );
    if let Some(collisions) = rollout.collisions {
        status["collisionCount"] = collisions.into();
    }
    status
}

/// Writes the numbers; about progress it says what was said before.
pub(super) fn counts(rollout: &mut Rollout<'_>, now: Timestamp) {
    let status = of(rollout);
    write(rollout, status, now);
}

/// Writes the numbers, and what they say about the progress of the rollout.
pub(super) fn progress(rollout: &mut Rollout<'_>, now: Timestamp) {
    let deployment = rollout.deployment;
    let status = of(rollout);
    let shown = rollout.new.as_ref().map(|new| new.set.0.name.to_string());
    let whose = match &shown {
        Some(name) => format!("ReplicaSet \"{name}\""),
        None => format!("Deployment \"{}\"", rollout.world.key.name),
    };
    let conditions = &mut rollout.conditions;
    match deployment.deadline {
        None => conditions.remove(PROGRESSING),
        Some(deadline) => {
            let number = |field: &str| status[field].as_i64().unwrap_or(0);
            let settled = number("replicas") == number("updatedReplicas")
                && conditions.reason(PROGRESSING) == Some(COMPLETE);
            let says = |status: &'static str, reason: &'static str, what: &str| {
                (status, reason, format!("{whose} {what}"))
            };
            let said = if settled {
                None
            } else if is_complete(deployment, &status) {
                Some(says("True", COMPLETE, "has successfully progressed."))
            } else if has_progressed(&deployment.status, &status) {
                Some(says("True", "ReplicaSetUpdated", "is progressing."))
            } else if is_late(conditions, deadline, now) {
                Some(says("False", LATE, "has timed out progressing."))
            } else {
                None
            };
            if let Some((status, reason, message)) = said {
                let says = Says {
                    kind: PROGRESSING,
                    status,
                    reason,
                    message: &message,
                };
                // Each step forward counts, so its time is kept.
                if reason == "ReplicaSetUpdated" {
                    conditions.renew(says, now);
                } else {
                    conditions.set(says, now);
                }
            }
        }
    }
    let failure = rollout.new.iter().chain(&rollout.old).find_map(|sized| {
        let conditions = sized.view().status["conditions"].as_array()?;
        let failure = conditions.iter().find(|known| known["type"] == FAILURE)?;
        (failure["status"] == "True").then(|| failure.clone())
    });
    match failure {
        Some(failure) => rollout.conditions.adopt(FAILURE, &failure, now),
        None => rollout.conditions.remove(FAILURE),
    }
    write(rollout, status, now);
}

fn write(rollout: &mut Rollout<'_>, mut status: Value, now: Timestamp) {
    let deployment = rollout.deployment;
    let enough = deployment.replicas - deployment.max_unavailable();
    let available = status["availableReplicas"].as_i64().unwrap_or(0) >= enough;
    let says = if available {
        Says {
            kind: "Available",
            status: "True",
            reason: "MinimumReplicasAvailable",
            message: "Deployment has minimum availability.",
        }
    } else {
        Says {
            kind: "Available",
            status: "False",
            reason: "MinimumReplicasUnavailable",
            message: "Deployment does not have minimum availability.",
        }
    };
    rollout.conditions.set(says, now);
    rollout.conditions.clone().put(&mut status);
    let step = status_step(&deployment.meta, &deployment.status, &status);
    rollout.steps.extend(step);
}

/// Whether every pod is of the current template and available, and no other is left.
pub(super) fn is_complete(deployment: &Deployment, status: &Value) -> bool {
    ["updatedReplicas", "replicas", "availableReplicas"]
        .iter()
        .all(|field| status[field].as_i64().unwrap_or(0) == deployment.replicas)
}

fn has_progressed(before: &Value, after: &Value) -> bool {
    let number = |status: &Value, field: &str| status[field].as_i64().unwrap_or(0);
    let old = |status: &Value| number(status, "replicas") - number(status, "updatedReplicas");
    let more = |field: &str| number(after, field) > number(before, field);
    more("updatedReplicas")
        || old(after) < old(before)
        || more("readyReplicas")
        || more("availableReplicas")
}

fn is_late(conditions: &Conditions, deadline: i64, now: Timestamp) -> bool {
    match conditions.reason(PROGRESSING) {
        None | Some(COMPLETE) => false,
        Some(LATE) => true,
        Some(_) => updated(conditions).is_some_and(|since| since + seconds(deadline) < now),
    }
}

fn updated(conditions: &Conditions) -> Option<Timestamp> {
    conditions.get(PROGRESSING)?["lastUpdateTime"]
        .as_str()?
        .parse()
        .ok()
}

fn seconds(deadline: i64) -> SignedDuration {
    SignedDuration::from_secs(deadline)
}

/// When the rollout will be late, if it can be.
pub(super) fn due(rollout: &Rollout<'_>, now: Timestamp) -> Option<Duration> {
    let deadline = rollout.deployment.deadline?;
    let waits = !matches!(
        rollout.conditions.reason(PROGRESSING),
        None | Some(COMPLETE | LATE | "DeploymentPaused")
    );
    let since = updated(&rollout.conditions).filter(|_| waits)?;
    let rest = now.duration_until(since + seconds(deadline + 1));
    Some(wait(rest.max(SignedDuration::ZERO)))
}
