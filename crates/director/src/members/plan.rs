//! One decision about one cluster.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use windlass_api::director::cluster::{ClusterStatus, MemberState};
use windlass_engine::plan::{Basis, Effect, EventNote, ObjectRef, Plan};

use super::marks::SetUp;
use super::membership::{ConnectionsVersion, Membership, Told};
use super::notify::Roster;
use super::observed::{Observed, ObservedPod};
use super::resize::RoleView;
use super::scale::{ScaledRole, scaled};
use super::state::{Place, Presence, state};
use super::status::{self, ConditionKind, MemberLine, set_condition};
use crate::blueprint::{Blueprint, Role};
use crate::build::{Delivery, content_hash};
use crate::configmeta::{Document, MemberDescription, connections_text};
use crate::names::{Domain, Names};

mod growth;
mod member;
mod objects;
mod scaling;
mod systemd;
#[cfg(test)]
mod tests;

/// How often to look again while something is waited for, should its end go unnoticed.
const RESYNC: SignedDuration = SignedDuration::from_secs(30);
/// The same where nothing is waited for: somebody may have changed what the operator made.
const SLOW_RESYNC: SignedDuration = SignedDuration::from_mins(10);

/// A cluster as decisions see it.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    /// `metadata.generation`.
    pub generation: i64,
    /// Deletion has been requested; owner references do the rest.
    pub deleting: bool,
    /// What it is to be, or one line per problem.
    pub blueprint: Result<Blueprint, Vec<String>>,
}

/// Decides. Pure and total.
pub fn plan(
    spec: &Spec,
    before: &ClusterStatus,
    observed: &Observed,
    now: Timestamp,
) -> Plan<ClusterStatus> {
    let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
    if spec.deleting {
        return nothing_to_do(before.clone());
    }
    match &spec.blueprint {
        Ok(blueprint) => {
            let (blueprint, scaled) = scaled(blueprint, before, observed, now);
            Planner::new(&blueprint, before, observed, now, &scaled).decide()
        }
        Err(problems) => invalid(spec, before, problems, now),
    }
}

fn nothing_to_do(status: ClusterStatus) -> Plan<ClusterStatus> {
    Plan {
        status,
        effects: Vec::new(),
        events: Vec::new(),
        wake_at: None,
        basis: Basis::Cached,
    }
}

/// What is there stays as it is.
fn invalid(
    spec: &Spec,
    before: &ClusterStatus,
    problems: &[String],
    now: Timestamp,
) -> Plan<ClusterStatus> {
    let mut status = before.clone();
    status.observed_generation = Some(spec.generation);
    let told = problems.join("; ");
    for kind in [ConditionKind::Ready, ConditionKind::Progressing] {
        set_condition(&mut status, kind, false, "Invalid", &told, now);
    }
    set_condition(
        &mut status,
        ConditionKind::Degraded,
        true,
        "Invalid",
        &told,
        now,
    );
    let events = if status == *before {
        Vec::new()
    } else {
        vec![EventNote::warning("ClusterInvalid", "Validate", told)]
    };
    Plan {
        events,
        // An application that is not there yet may come.
        wake_at: now.checked_add(RESYNC).ok(),
        ..nothing_to_do(status)
    }
}

/// The decision in the making.
struct Planner<'a> {
    blueprint: &'a Blueprint,
    before: &'a ClusterStatus,
    observed: &'a Observed,
    now: Timestamp,
    names: Names,
    domain: Domain,
    views: Vec<RoleView<'a>>,
    /// Roles that are autoscaled: the blueprint has as many members of them as there are to be.
    scaled: &'a [ScaledRole],
    /// Roles whose leavers may go.
    released: BTreeSet<&'a str>,
    effects: Vec<Effect>,
    /// Keys of hooks, which are effects, too, and the last ones.
    hooks: Vec<String>,
    events: Vec<EventNote>,
    basis: Basis,
    wake_at: Option<Timestamp>,
    /// What is in the way, one line each.
    troubles: Vec<String>,
    /// How far the copies of members' directories are, by pod.
    copies: BTreeMap<&'a str, String>,
}

/// What the members are to know.
struct Truth {
    delivery: Delivery,
    content: String,
    connections: ConnectionsVersion,
    /// Whether it is in the Secret already.
    is_delivered: bool,
    told: Told,
}

impl<'a> Planner<'a> {
    fn new(
        blueprint: &'a Blueprint,
        before: &'a ClusterStatus,
        observed: &'a Observed,
        now: Timestamp,
        scaled: &'a [ScaledRole],
    ) -> Self {
        let names = observed.names(blueprint);
        let roles = blueprint.roles.iter();
        Self {
            domain: blueprint.domain(&names),
            names,
            views: roles
                .map(|role| RoleView::new(role, observed, now))
                .collect(),
            blueprint,
            before,
            observed,
            now,
            scaled,
            released: BTreeSet::new(),
            effects: Vec::new(),
            hooks: Vec::new(),
            events: Vec::new(),
            basis: Basis::Cached,
            wake_at: None,
            troubles: Vec::new(),
            copies: BTreeMap::new(),
        }
    }

    fn decide(mut self) -> Plan<ClusterStatus> {
        let Some(truth) = self.truth() else {
            // Without a random text nothing can begin; the next look has one.
            return Plan {
                wake_at: self.now.checked_add(SignedDuration::from_secs(1)).ok(),
                ..nothing_to_do(self.before.clone())
            };
        };
        let roster = self.roster(&truth);
        self.released = self.released();
        self.adopt();
        self.services_first(&truth);
        // A mark is taken back from claims first: as long as the pod has it, its reason is known.
        self.claims();
        self.members(&truth, &roster);
        self.sets();
        self.member_services();
        self.leftovers();
        self.replace_one(&roster);
        self.conclude(&truth)
    }

    /// What the members are to know; nothing while there is no random text for it.
    fn truth(&self) -> Option<Truth> {
        let observed = self.observed;
        let known = observed.delivery.as_ref();
        let seed = known
            .and_then(|it| it.seed.clone())
            .or(observed.entropy.clone())?;
        let floors: BTreeMap<&str, u32> = self
            .views
            .iter()
            .map(|view| (view.role.id.as_str(), view.floor))
            .collect();
        let floor = |role: &str| floors.get(role).copied().unwrap_or(0);
        let description = self.blueprint.describe(
            &self.names,
            |role| floor(&role.id),
            |role| Some(seed.token(&role.id)),
        );
        let leaving: Vec<(String, MemberDescription)> = self
            .views
            .iter()
            .flat_map(|view| {
                let pods = view.leavers.keys().filter(|it| view.pods.contains_key(it));
                pods.map(|it| (view.role.id.clone(), view.role.member(&self.names, *it)))
            })
            .collect();
        let document = Document::of(&description, &observed.connections, &leaving);
        let connections = connections_text(&observed.connections).map_or_else(
            ConnectionsVersion::default,
            |text| {
                let digest = seed.digest(&text);
                ConnectionsVersion::new(digest.chars().take(16).collect::<String>())
            },
        );
        let members = Membership::first(floors);
        let staying: Vec<String> = members
            .roles()
            .flat_map(|(role, ordinals)| {
                ordinals
                    .iter()
                    .map(|it| self.names.pod(role, *it))
                    .collect::<Vec<String>>()
            })
            .collect();
        let summary = format!("{} {members}", connections.as_str());
        let staying = staying.iter().map(String::as_str);
        let content = content_hash(&document, staying, &summary, &seed);
        let is_delivered = known.is_some_and(|it| it.content == content);
        let generation = match known {
            Some(known) if is_delivered => known.generation,
            // Should the Secret have been lost, members still know how far it was.
            known => {
                let pods = observed.pods.iter().map(|pod| pod.marks.meta_generation);
                let latest = pods.chain(known.map(|it| it.generation)).max();
                latest.unwrap_or(0).saturating_add(1)
            }
        };
        let told = Told {
            generation,
            connections: connections.clone(),
            members,
        };
        let delivery = Delivery {
            generation,
            document,
            memo: told.to_string(),
            seed,
        };
        Some(Truth {
            delivery,
            content,
            connections,
            is_delivered,
            told,
        })
    }

    /// Who is there.
    fn roster(&self, truth: &Truth) -> Roster {
        let mut roster = Roster {
            connections: truth.connections.clone(),
            ..Roster::default()
        };
        // No ordinal is above this one.
        let all = 0..=windlass_api::director::cluster::MEMBERS_MAX as u32;
        for view in &self.views {
            let id = &view.role.id;
            let staying = 0..view.floor;
            let up = staying.clone().filter(|ordinal| {
                let pod = view.pods.get(ordinal);
                pod.is_some_and(|pod| {
                    member_state(Place::Staying, Some(pod)) == MemberState::Configured
                })
            });
            roster.up.add(id, &up.collect());
            // Those that go together are taken leave of together.
            let kept: BTreeSet<u32> = if view.is_drained() {
                staying.collect()
            } else {
                all.clone().collect()
            };
            roster.kept.add(id, &kept);
        }
        roster
    }

    /// Roles whose leavers nobody waits for any more.
    fn released(&mut self) -> BTreeSet<&'a str> {
        let mut released = BTreeSet::new();
        let mut wakes = Vec::new();
        for view in &self.views {
            if view.leavers.is_empty() || !view.is_drained() {
                continue;
            }
            let ends = view.patience_ends();
            if self.is_forgotten(view) || ends.is_none_or(|ends| ends <= self.now) {
                let role: &'a Role = view.role;
                released.insert(role.id.as_str());
            } else {
                wakes.extend(ends);
            }
        }
        for wake in wakes {
            self.wake(wake);
        }
        released
    }

    /// Whether no member that stays knows any that leaves. One that is being set up may have read of
    /// them; of one that never came, nobody has to take leave before it goes.
    fn is_forgotten(&self, of: &RoleView<'_>) -> bool {
        let leavers = of.leavers.iter().filter(|(_, it)| it.since.is_some());
        let leavers: Vec<u32> = leavers.map(|(ordinal, _)| *ordinal).collect();
        let knows = |told: &Told| {
            let mut leavers = leavers.iter();
            leavers.any(|ordinal| told.members.contains(&of.role.id, *ordinal))
        };
        let forgets = |pod: &ObservedPod| match member_state(Place::Staying, Some(pod)) {
            MemberState::Creating => false,
            MemberState::Configured => !pod.marks.told.as_ref().is_some_and(knows),
            _ => true,
        };
        let mut staying = self
            .views
            .iter()
            .flat_map(|view| view.pods.range(..view.floor));
        leavers.is_empty() || staying.all(|(_, pod)| forgets(pod))
    }

    fn is_released(&self, view: &RoleView<'_>) -> bool {
        self.released.contains(view.role.id.as_str())
    }

    /// Looks again at this time at the latest.
    fn wake(&mut self, at: Timestamp) {
        self.wake_at = Some(self.wake_at.map_or(at, |known| known.min(at)));
    }

    fn wake_in(&mut self, pause: SignedDuration) {
        if let Ok(at) = self.now.checked_add(pause) {
            self.wake(at);
        }
    }

    fn reference(&self, api_version: &str, kind: &str, name: &str) -> ObjectRef {
        ObjectRef {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            namespace: Some(self.blueprint.namespace.clone()),
            name: name.to_owned(),
        }
    }

    /// The status, and all that was decided.
    fn conclude(mut self, truth: &Truth) -> Plan<ClusterStatus> {
        let hooks = std::mem::take(&mut self.hooks);
        let hooks = hooks.into_iter().map(|key| Effect::External { key });
        self.effects.extend(hooks);
        let mut status = self.before.clone();
        status.observed_generation = Some(self.blueprint.generation);
        status.restore_progress = None;
        status.cluster_service = Some(self.names.headless.clone());
        status.spec_generation_to_process = i64::try_from(truth.told.generation).ok();
        status.last_connection_hash = Some(truth.connections.as_str().to_owned());
        status.roles = self.roles();
        let ids = status.roles.iter().flat_map(|role| &role.members);
        status.last_node_id = ids.map(|member| member.node_id).max();
        status.member_state_rollup = status::rollup(&status.roles);
        let mut members = status.roles.iter().flat_map(|role| &role.members);
        let are_stable = members
            .all(|it| matches!(it.state, MemberState::Configured | MemberState::ConfigError));
        let is_settled = self.effects.is_empty() && are_stable && self.wake_at.is_none();
        status.state = status::state(self.before.state, is_settled);
        // Members go on while their volumes grow.
        let growing = self.growing();
        self.growth_troubles(&growing);
        self.conditions(&mut status, is_settled);
        self.growth_condition(&growing, &mut status);
        self.auto_grow_condition(&mut status);
        self.scaling_conditions(&mut status);
        self.announce_scaling(&status);
        let mut events = status::announce(self.before, &status);
        events.append(&mut self.events);
        let pause = if is_settled { SLOW_RESYNC } else { RESYNC };
        self.wake_in(pause);
        for wake in growing.wakes {
            self.wake(wake);
        }
        self.ask_for_demand();
        self.effects.extend(growing.effects);
        Plan {
            status,
            effects: self.effects,
            events,
            wake_at: self.wake_at,
            basis: self.basis,
        }
    }

    fn conditions(&mut self, status: &mut ClusterStatus, is_settled: bool) {
        let rollup = status.member_state_rollup;
        if rollup.config_errors {
            let members = status.roles.iter().flat_map(|role| &role.members);
            let failed = members.filter(|it| it.state == MemberState::ConfigError);
            let names: Vec<&str> = failed.map(|it| it.pod.as_str()).collect();
            self.troubles
                .push(format!("could not be set up: {}", names.join(", ")));
        }
        for pod in &self.observed.pods {
            if let Some(error) = &pod.scheduling_error {
                self.troubles
                    .push(format!("{} finds no node: {error}", pod.object.name));
            }
            if let Some(trouble) = pod.trouble.as_ref().or(pod.marks.trouble.as_ref()) {
                self.troubles
                    .push(format!("{}: {trouble}", pod.object.name));
            }
            let failing = pod.marks.pending.as_ref().filter(|it| it.failures > 0);
            if let Some(pending) = failing {
                self.troubles
                    .push(format!("{}: {}", pod.object.name, pending.detail));
            }
        }
        for set in &self.observed.strays {
            self.troubles.push(format!(
                "the StatefulSet {set} has the labels of this cluster, which has another one for that \
                 role: delete it, or delete the cluster and restore it again"
            ));
        }
        self.troubles.extend(self.observed.refusal.clone());
        let staying = self
            .views
            .iter()
            .flat_map(|view| view.pods.range(..view.floor));
        let waiting: Vec<&str> = staying
            .filter(|(_, pod)| !pod.ready)
            .map(|(_, pod)| pod.object.name.as_str())
            .collect();
        let changing = self.changing();
        let (truth, reason, message) = if !is_settled {
            (false, "MembersChanging", changing.clone())
        } else if rollup.config_errors {
            (false, "ConfigErrors", self.troubles.join("; "))
        } else if waiting.is_empty() {
            (
                true,
                "Configured",
                "all members are as specified".to_owned(),
            )
        } else {
            (
                false,
                "MembersNotReady",
                format!("not ready: {}", waiting.join(", ")),
            )
        };
        set_condition(
            status,
            ConditionKind::Ready,
            truth,
            reason,
            &message,
            self.now,
        );
        let (reason, message) = if is_settled {
            ("Settled", "nobody comes or goes")
        } else {
            ("MembersChanging", changing.as_str())
        };
        let kind = ConditionKind::Progressing;
        set_condition(status, kind, !is_settled, reason, message, self.now);
        let (reason, message) = if self.troubles.is_empty() {
            ("AsExpected", "nothing is in the way".to_owned())
        } else {
            ("MembersInTrouble", self.troubles.join("; "))
        };
        let kind = ConditionKind::Degraded;
        let is_degraded = !self.troubles.is_empty();
        set_condition(status, kind, is_degraded, reason, &message, self.now);
        self.systemd(status);
    }

    /// What goes on while not all is as it is to be.
    fn changing(&self) -> String {
        let copies = self.copies.iter();
        let copies: Vec<String> = copies
            .map(|(pod, text)| format!("{pod} copies its directories: {text}"))
            .collect();
        if copies.is_empty() {
            "members come, go or are set up".to_owned()
        } else {
            copies.join("; ")
        }
    }

    fn roles(&self) -> Vec<windlass_api::director::cluster::RoleStatus> {
        let shown = self
            .views
            .iter()
            .filter(|view| view.role.members > 0 || view.set.is_some() || !view.pods.is_empty());
        shown.map(|view| self.role_status(view)).collect()
    }

    fn role_status(&self, view: &RoleView<'_>) -> windlass_api::director::cluster::RoleStatus {
        let role = view.role;
        let leaving = view.leavers.keys().copied();
        let leaving = leaving.filter(|it| view.pods.contains_key(it) || *it < view.current);
        let lines: Vec<MemberLine<'_>> = (0..view.floor)
            .chain(leaving)
            .map(|ordinal| {
                let pod_name = self.names.pod(&role.id, ordinal);
                let pod = view.pods.get(&ordinal).copied();
                let place = view.place(ordinal, self.is_released(view));
                let call = pod
                    .and_then(|pod| pod.marks.pending.as_ref())
                    .map(|it| &it.call);
                MemberLine {
                    service: (!role.ports().is_empty())
                        .then(|| self.names.scheme.member_service(&pod_name)),
                    claim: role
                        .has_storage()
                        .then(|| self.names.scheme.claim(&pod_name)),
                    node_id: role.node_id(ordinal),
                    block_devices: role.block_devices(),
                    state: member_state(place, pod),
                    copied: self.copies.get(pod_name.as_str()).cloned(),
                    fqdns: call.map_or_else(Vec::new, |call| self.fqdns(call)),
                    pod,
                    pod_name,
                }
            })
            .collect();
        let keys = role.spec.secret_keys.iter();
        let keys = keys
            .filter(|key| !key.encrypted_value.is_empty())
            .map(|key| (key.name.clone(), key.encrypted_value.clone()));
        let set = self.names.stateful_set(&role.id);
        let scaled = self.scaled.iter().find(|it| it.id == role.id);
        let scaled = scaled.map(|it| it.status(status::autoscale_of(self.before, &role.id)));
        status::role(&role.id, set, keys.collect(), &lines, scaled)
    }
}

/// How the member that is this pod stands.
fn member_state(place: Place, pod: Option<&ObservedPod>) -> MemberState {
    let id = pod
        .filter(|pod| !pod.deleting)
        .and_then(|pod| Some((pod, pod.container.id()?)));
    match id {
        Some((pod, id)) => state(place, Presence::Up, pod.marks.set_up(id)),
        None => state(place, Presence::Away, SetUp::Open),
    }
}
