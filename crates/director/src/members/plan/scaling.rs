//! What is told of roles that are autoscaled, and the questions that are asked about them.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use windlass_api::director::cluster::ClusterStatus;
use windlass_engine::plan::{Effect, EventNote};

use super::super::hooks::HookState;
use super::super::scale::{Known, ScaledRole};
use super::super::status::{ConditionKind, autoscale_of, condition, set_condition};
use super::Planner;
use super::member::ASK_AGAIN;
use crate::autoscale::Decision;

/// Why it is not known how many members there is a use for: somebody was asked.
const DEMAND_UNKNOWN: &str = "DemandUnknown";

impl Planner<'_> {
    /// Asks what is to be asked now, and looks again when the next question is due. This comes after it is
    /// known whether the cluster is as it should be: questions are no change.
    pub(super) fn ask_for_demand(&mut self) {
        for scaled in self.scaled {
            let Some(question) = &scaled.question else {
                continue;
            };
            match (question.at, self.observed.hooks.get(&question.key)) {
                (Some(at), _) if at > self.now => self.wake(at),
                // Its answer is being kept; then it can be asked anew.
                (_, Some(HookState::Over(_))) => self.wake_in(ASK_AGAIN),
                (_, Some(HookState::Running) | None) => {
                    let key = question.key.to_text();
                    self.effects.push(Effect::External { key });
                }
            }
        }
    }

    /// The conditions about autoscaling, as a HorizontalPodAutoscaler has them; none where nothing is
    /// autoscaled.
    pub(super) fn scaling_conditions(&self, status: &mut ClusterStatus) {
        let kinds = [ConditionKind::ScalingActive, ConditionKind::ScalingLimited];
        if self.scaled.is_empty() {
            let is_ours = |name: &str| kinds.iter().any(|kind| kind.as_str() == name);
            status.conditions.retain(|it| !is_ours(&it.type_));
            return;
        }
        let mut wanted = Vec::new();
        let mut unknown = Vec::new();
        let mut nobody = Vec::new();
        let mut limited = Vec::new();
        for scaled in self.scaled {
            let id = &scaled.id;
            match &scaled.demand {
                Known::Wanted(answer) => {
                    wanted.push(format!("{id}: {}", words(scaled)));
                    let most = scaled.scaling.bounds.max;
                    if answer.members > most {
                        let members = answer.members;
                        limited.push(format!("{id}: {members} wanted, and maxMembers is {most}"));
                    }
                }
                Known::Unknown(why) => unknown.push(format!("{id}: {why}")),
                Known::Nobody => {
                    let asked = &scaled.scaling.probe.role;
                    nobody.push(format!("{id}: no member of {asked} is set up"));
                }
                Known::NotYet => {}
            }
        }
        let (truth, reason, message) = if !unknown.is_empty() {
            (false, DEMAND_UNKNOWN, unknown.join("; "))
        } else if !nobody.is_empty() {
            (false, "NobodyToAsk", nobody.join("; "))
        } else if wanted.is_empty() {
            // Until somebody has answered it is as it was.
            return;
        } else {
            (true, "DemandKnown", wanted.join("; "))
        };
        let kind = ConditionKind::ScalingActive;
        set_condition(status, kind, truth, reason, &message, self.now);
        let (reason, message) = if limited.is_empty() {
            let message = "as many as are wanted are within the bounds".to_owned();
            ("DesiredWithinRange", message)
        } else {
            ("TooManyMembers", limited.join("; "))
        };
        let kind = ConditionKind::ScalingLimited;
        let truth = !limited.is_empty();
        set_condition(status, kind, truth, reason, &message, self.now);
    }

    /// What people are told of autoscaling. It is told once: by the pass that writes it into the status.
    pub(super) fn announce_scaling(&mut self, status: &ClusterStatus) {
        for scaled in self.scaled {
            let before = autoscale_of(self.before, &scaled.id);
            let desired = scaled.decision.members(scaled.current);
            let is_told = before.is_some_and(|it| u32::try_from(it.desired_members) == Ok(desired));
            let (id, current) = (&scaled.id, scaled.current);
            match scaled.decision {
                _ if is_told => {}
                Decision::Hold { .. } => {}
                Decision::Grow(members) => {
                    let why = words(scaled);
                    let note = format!("{id} grows from {current} to {members} members: {why}");
                    self.events
                        .push(EventNote::normal("ScaledUp", "Scale", note));
                }
                Decision::Shrink(members) => {
                    let bounds = scaled.scaling.bounds;
                    let why = match scaled.lull {
                        Some(lull) => {
                            format!("no more than {} wanted since {}", lull.highest, lull.since)
                        }
                        None => format!("maxMembers is {}", bounds.max),
                    };
                    let note = format!("{id} shrinks from {current} to {members} members: {why}");
                    self.events
                        .push(EventNote::normal("ScaledDown", "Scale", note));
                }
            }
        }
        if let (None, Some(unknown)) = (unknown_demand(self.before), unknown_demand(status)) {
            let note = unknown.message.clone();
            self.events
                .push(EventNote::warning(DEMAND_UNKNOWN, "Scale", note));
        }
    }
}

/// The condition that says so, where it is not known how many there is a use for.
fn unknown_demand(status: &ClusterStatus) -> Option<&Condition> {
    let active = condition(status, ConditionKind::ScalingActive);
    active.filter(|it| it.reason == DEMAND_UNKNOWN)
}

/// How many are wanted, and why.
fn words(scaled: &ScaledRole) -> String {
    match &scaled.demand {
        Known::Wanted(answer) => match &answer.message {
            Some(message) => format!("{} wanted: {message}", answer.members),
            None => format!("{} wanted", answer.members),
        },
        Known::Unknown(_) | Known::Nobody | Known::NotYet => {
            format!("minMembers is {}", scaled.scaling.bounds.min)
        }
    }
}
