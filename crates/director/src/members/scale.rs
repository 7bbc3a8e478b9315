//! How many members the roles are to have whose number nobody has written down.
//!
//! What is there, and what the application has answered last, goes into
//! [`decide`](crate::autoscale::decide); what comes out takes the place of the number that a user would have
//! written, and all other decisions know nothing of it.

use std::borrow::Cow;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use windlass_api::director::cluster::{AutoscaleStatus, ClusterStatus};

use super::hooks::{Hook, HookKey};
use super::marks::SetUp;
use super::observed::{Observed, ObservedPod};
use super::resize::RoleView;
use crate::autoscale::{Answer, Decision, Lull, Scaling, decide};
use crate::blueprint::{Blueprint, Role};

/// A role that is autoscaled.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ScaledRole {
    pub(super) id: String,
    pub(super) scaling: Scaling,
    /// How many members stay, as the objects have it.
    pub(super) current: u32,
    pub(super) decision: Decision,
    pub(super) lull: Option<Lull>,
    pub(super) demand: Known,
    /// What is to be asked, and when.
    pub(super) question: Option<Question>,
}

/// What is known of how many members there is a use for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Known {
    /// So many, a moment ago.
    Wanted(Answer),
    /// It is not, for this reason.
    Unknown(String),
    /// There is no member that could be asked.
    Nobody,
    /// Nobody has answered yet: all stays as it was.
    NotYet,
}

/// A question that will be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Question {
    pub(super) key: HookKey,
    /// Not before; at once when not given.
    pub(super) at: Option<Timestamp>,
}

/// How many members of a role stay, whether somebody wrote that down or not, as far as its objects tell.
pub fn standing(role: &Role, observed: &Observed) -> u32 {
    if role.scaling.is_none() {
        return role.members;
    }
    // Who stays does not depend on the time.
    as_it_stands(role, observed, Timestamp::UNIX_EPOCH).0
}

/// All roles that are autoscaled, and the blueprint with as many members of them as there are to be.
pub(super) fn scaled<'b>(
    blueprint: &'b Blueprint,
    before: &ClusterStatus,
    observed: &Observed,
    now: Timestamp,
) -> (Cow<'b, Blueprint>, Vec<ScaledRole>) {
    let roles = blueprint.roles.iter().filter_map(|role| {
        let scaling = role.scaling.as_ref()?;
        let before = before.roles.iter().find(|it| it.id == role.id);
        let before = before.and_then(|it| it.autoscale.as_ref());
        Some(scaled_role(role, scaling, before, observed, now))
    });
    let scaled: Vec<ScaledRole> = roles.collect();
    let mut blueprint = Cow::Borrowed(blueprint);
    for own in &scaled {
        let members = own.decision.members(own.current);
        let roles = &mut blueprint.to_mut().roles;
        for role in roles.iter_mut().filter(|role| role.id == own.id) {
            role.members = members;
        }
    }
    (blueprint, scaled)
}

fn scaled_role(
    role: &Role,
    scaling: &Scaling,
    before: Option<&AutoscaleStatus>,
    observed: &Observed,
    now: Timestamp,
) -> ScaledRole {
    let (current, is_leaving) = as_it_stands(role, observed, now);
    let member = to_ask(observed, &scaling.probe.role);
    let (period, timeout) = (scaling.probe.period, scaling.probe.timeout());
    let sample = observed.demands.get(&role.id);
    let sample = sample.filter(|it| it.is_fresh(period, timeout, now));
    let demand = match (member, sample) {
        (None, _) => Known::Nobody,
        (Some(_), None) => Known::NotYet,
        (Some(_), Some(sample)) => match sample.answer() {
            Ok(answer) => Known::Wanted(answer.clone()),
            Err(why) => Known::Unknown(why.clone()),
        },
    };
    let lull = before.and_then(lull_of).filter(|_| !is_leaving);
    let (decision, lull) = match &demand {
        // Whoever is asked now may not know yet that some go.
        _ if is_leaving => (decide(scaling.bounds, None, None, now, current).0, None),
        Known::Wanted(answer) => decide(scaling.bounds, lull, Some(answer.members), now, current),
        Known::Unknown(_) | Known::Nobody => decide(scaling.bounds, lull, None, now, current),
        Known::NotYet => (decide(scaling.bounds, None, None, now, current).0, lull),
    };
    let question = member.filter(|_| !is_leaving).map(|pod| Question {
        key: HookKey {
            pod: pod.object.name.clone(),
            uid: pod.object.uid.clone(),
            container: pod.container.id().unwrap_or_default().to_owned(),
            role: pod.role.clone(),
            hook: Hook::Demand {
                of: role.id.clone(),
            },
        },
        at: sample.map(|sample| sample.next(period)),
    });
    ScaledRole {
        id: role.id.clone(),
        scaling: scaling.clone(),
        current,
        decision,
        lull,
        demand,
        question,
    }
}

/// How many members stay, and whether others are still leaving.
fn as_it_stands(role: &Role, observed: &Observed, now: Timestamp) -> (u32, bool) {
    let pods = observed.pods.iter().filter(|pod| pod.role == role.id);
    let above_pods = pods.map(|pod| pod.ordinal + 1).max();
    let set = observed.sets.get(&role.id).map(|set| set.replicas);
    let Some(there) = set.or(above_pods) else {
        return (role.members, false);
    };
    let mut all = role.clone();
    all.members = there;
    let view = RoleView::new(&all, observed, now);
    (view.floor, !view.leavers.is_empty())
}

/// The first member of a role that can be asked something.
fn to_ask<'o>(observed: &'o Observed, role: &str) -> Option<&'o ObservedPod> {
    let pods = observed.pods.iter().filter(|pod| pod.role == role);
    let up = pods.filter(|pod| {
        let set_up = pod.container.id().map(|id| pod.marks.set_up(id));
        let stays = !pod.deleting && pod.marks.leaving.is_none();
        stays && pod.container.runs() && set_up == Some(SetUp::Done)
    });
    up.min_by_key(|pod| pod.ordinal)
}

fn lull_of(status: &AutoscaleStatus) -> Option<Lull> {
    Some(Lull {
        since: status.lower_since.as_ref()?.0,
        highest: u32::try_from(status.highest_since?).ok()?,
    })
}

impl ScaledRole {
    /// As the status has it.
    pub(super) fn status(&self, before: Option<&AutoscaleStatus>) -> AutoscaleStatus {
        let signed = |members: u32| i32::try_from(members).unwrap_or(i32::MAX);
        AutoscaleStatus {
            desired_members: signed(self.decision.members(self.current)),
            demanded_members: match &self.demand {
                Known::Wanted(answer) => Some(signed(answer.members)),
                Known::Unknown(_) | Known::Nobody => None,
                Known::NotYet => before.and_then(|it| it.demanded_members),
            },
            lower_since: self.lull.map(|lull| Time(lull.since)),
            highest_since: self.lull.map(|lull| signed(lull.highest)),
        }
    }
}
