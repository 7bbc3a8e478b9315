//! What there is to be of objects, and what of them is not to be any more.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use windlass_api::director::admission::IDENTITY;
use windlass_api::director::cluster::MemberState;
use windlass_engine::plan::{Basis, Effect, EventNote};

use super::super::belonging::Belonging;
use super::super::growth::is_file_system;
use super::super::notify::{Next, Roster, next};
use super::super::observed::{ObservedPod, Present};
use super::super::resize::RoleView;
use super::super::state::Place;
use super::super::upkeep::holds;
use super::{Planner, Truth, member_state};
use crate::build::{
    CLUSTER_KIND, HASH_ANNOTATION, budget, delivery_secret, extend, headless_service,
    member_service, owner, stateful_set,
};

impl<'a> Planner<'a> {
    /// Makes what nobody owns the cluster's own before anything else: what has an owner that is no more is
    /// being collected. And it writes on the cluster what the names are made from, before there are any,
    /// so that they stay the same when all that is here comes back from a backup.
    pub(super) fn adopt(&mut self) {
        let observed = self.observed;
        let (api_version, kind) = CLUSTER_KIND;
        if self.blueprint.identity.is_none() {
            self.effects.push(Effect::Patch {
                target: self.reference(api_version, kind, &self.blueprint.name),
                patch: json!({"metadata": {
                    "uid": self.blueprint.uid,
                    "annotations": {IDENTITY: self.blueprint.subject().uid},
                }}),
            });
        }
        let sets = observed.sets.values();
        let delivery = observed.delivery.iter().map(|it| &it.object);
        let kinds: [(&str, &str, Vec<&Present>); 5] = [
            (
                "apps/v1",
                "StatefulSet",
                sets.map(|set| &set.object).collect(),
            ),
            ("v1", "Secret", delivery.collect()),
            ("v1", "Service", observed.headless.iter().collect()),
            ("v1", "Service", observed.services.iter().collect()),
            (
                "policy/v1",
                "PodDisruptionBudget",
                observed.budgets.iter().collect(),
            ),
        ];
        let mut adopted = Vec::new();
        for (api_version, kind, objects) in kinds {
            for object in objects {
                let Belonging::Lost { others } = &object.belonging else {
                    continue;
                };
                adopted.push(object.name.as_str());
                self.effects.push(Effect::Patch {
                    target: self.reference(api_version, kind, &object.name),
                    patch: json!({"metadata": {
                        "uid": object.uid,
                        "ownerReferences": self.owners(others),
                    }}),
                });
            }
        }
        if !adopted.is_empty() {
            let note = format!(
                "what nobody owned is the cluster's again: {}",
                adopted.join(", ")
            );
            self.events
                .push(EventNote::normal("Adopted", "Adopt", note));
        }
    }

    fn owners(&self, others: &[Value]) -> Value {
        let own = std::iter::once(owner(self.blueprint));
        others.iter().cloned().chain(own).collect()
    }

    /// What must be there before any pod: their names, and what is mounted in them.
    pub(super) fn services_first(&mut self, truth: &Truth) {
        let headless = headless_service(self.blueprint, &self.names);
        if differs(self.observed.headless.as_ref(), &headless) {
            self.effects.push(Effect::Apply(headless));
        }
        let secret = delivery_secret(self.blueprint, &self.names, &truth.delivery, &truth.content);
        let present = self.observed.delivery.as_ref().map(|it| &it.object);
        if differs(present, &secret) {
            self.effects.push(Effect::Apply(secret));
        }
    }

    /// What is written on claims: that they go with the cluster, that something is on them, that their member
    /// leaves, and what their role says of growing.
    pub(super) fn claims(&mut self) {
        let mut effects = Vec::new();
        for view in &self.views {
            for (ordinal, claims) in &view.claims {
                let pod = view.pods.get(ordinal);
                for claim in claims.iter().filter(|claim| !claim.deleting) {
                    let mut marks = claim.marks;
                    marks.in_use |= pod.is_some_and(|pod| pod.marks.configured.is_some());
                    if *ordinal < view.floor {
                        marks.leaving = None;
                    } else if let Some(leaver) = view.leavers.get(ordinal) {
                        let is_open = *ordinal < view.current || leaver.since.is_some();
                        marks.leaving = is_open.then(|| leaver.since.unwrap_or(self.now));
                    }
                    // A role that the cluster has no more says nothing.
                    let is_told =
                        view.role.has_set() && is_file_system(claim, self.blueprint.scheme);
                    let told = is_told.then(|| claim.auto_grow.difference(view.auto_grow()));
                    let told = told.unwrap_or_default();
                    if marks == claim.marks && claim.belonging == Belonging::Own && told.is_empty()
                    {
                        continue;
                    }
                    let mut annotations = marks.annotations();
                    extend(&mut annotations, told);
                    let mut metadata = json!({
                        "uid": claim.uid,
                        "annotations": annotations,
                    });
                    if let Belonging::Lost { others } = &claim.belonging {
                        metadata["ownerReferences"] = self.owners(others);
                    }
                    effects.push(Effect::Patch {
                        target: self.reference("v1", "PersistentVolumeClaim", &claim.name),
                        patch: json!({"metadata": metadata}),
                    });
                }
            }
        }
        self.effects.extend(effects);
    }

    /// The StatefulSets and their budgets.
    pub(super) fn sets(&mut self) {
        let mut effects = Vec::new();
        let mut is_smaller = false;
        let mut is_waiting = false;
        for view in &self.views {
            let role = view.role;
            let replicas = view.replicas(self.is_released(view));
            is_smaller |= replicas < view.current;
            let target =
                || self.reference("apps/v1", "StatefulSet", self.names.stateful_set(&role.id));
            // A role that the cluster has no more says nothing about its pods.
            let is_told = role.has_set();
            match view.set {
                None if is_told => {
                    let set = stateful_set(self.blueprint, &self.names, role, replicas, None);
                    effects.push(Effect::Apply(set));
                }
                // Nobody else takes away what a StatefulSet has left that is not made again.
                None if self.is_released(view) => {
                    let pods = view.pods.values().filter(|pod| !pod.deleting);
                    effects.extend(pods.map(|pod| Effect::Delete {
                        target: self.reference("v1", "Pod", &pod.object.name),
                        uid: pod.object.uid.clone(),
                    }));
                }
                None => {}
                // When it is gone there is another one, which adopts what it has left.
                Some(set) if set.deleting => is_waiting = true,
                Some(set)
                    if is_told
                        && (set.makes_claims_of_others(&self.blueprint.uid)
                            || self.has_grown(view)) =>
                {
                    effects.push(Effect::Orphan {
                        target: target(),
                        uid: set.object.uid.clone(),
                    });
                }
                Some(set) if !is_told && is_empty(view) => effects.push(Effect::Delete {
                    target: target(),
                    uid: set.object.uid.clone(),
                }),
                Some(set) => {
                    let claims = set.claims.as_ref();
                    let wanted = stateful_set(self.blueprint, &self.names, role, replicas, claims);
                    if is_told && differs(Some(&set.object), &wanted) {
                        effects.push(Effect::Apply(wanted));
                    } else if set.replicas != replicas {
                        effects.push(Effect::Patch {
                            target: target(),
                            patch: json!({
                                "metadata": {"uid": set.object.uid},
                                "spec": {"replicas": replicas},
                            }),
                        });
                    }
                }
            }
            if let Some(budget) = budget(self.blueprint, &self.names, role).filter(|_| is_told) {
                let name = self.names.budget(&role.id);
                let present = self.observed.budgets.iter().find(|it| it.name == name);
                if differs(present, &budget) {
                    effects.push(Effect::Apply(budget));
                }
            }
        }
        if is_smaller {
            self.basis = Basis::Live;
        }
        if is_waiting {
            self.wake_in(super::RESYNC);
        }
        self.effects.extend(effects);
    }

    /// A Service for each member that stays.
    pub(super) fn member_services(&mut self) {
        let mut effects = Vec::new();
        for view in &self.views {
            for ordinal in 0..view.floor {
                let service = member_service(self.blueprint, &self.names, view.role, ordinal);
                let Some(service) = service else { continue };
                let name = service["metadata"]["name"].as_str().unwrap_or_default();
                let present = self.observed.services.iter().find(|it| it.name == name);
                if differs(present, &service) {
                    effects.push(Effect::Apply(service));
                }
            }
        }
        self.effects.extend(effects);
    }

    /// What nobody needs any more.
    pub(super) fn leftovers(&mut self) {
        let mut effects = Vec::new();
        let mut services = BTreeSet::new();
        let mut budgets = BTreeSet::new();
        for view in &self.views {
            let role = view.role;
            if role.has_set() && role.budget.is_some() {
                budgets.insert(self.names.budget(&role.id));
            }
            if !role.ports().is_empty() {
                let leaving = view.leavers.keys().copied();
                let leaving = leaving.filter(|it| view.pods.contains_key(it) || *it < view.current);
                let members = (0..view.floor).chain(leaving);
                services.extend(members.map(|ordinal| {
                    let pod = self.names.pod(&role.id, ordinal);
                    self.names.scheme.member_service(&pod)
                }));
            }
            for claim in view.claims.values().flatten() {
                if view.is_left(claim) && !claim.deleting {
                    effects.push(Effect::Delete {
                        target: self.reference("v1", "PersistentVolumeClaim", &claim.name),
                        uid: claim.uid.clone(),
                    });
                }
            }
        }
        let stale = |kept: &BTreeSet<String>, present: &'a [Present]| {
            let present = present.iter();
            present
                .filter(|it| !kept.contains(&it.name))
                .collect::<Vec<&Present>>()
        };
        for service in stale(&services, &self.observed.services) {
            effects.push(Effect::Delete {
                target: self.reference("v1", "Service", &service.name),
                uid: service.uid.clone(),
            });
        }
        for budget in stale(&budgets, &self.observed.budgets) {
            effects.push(Effect::Delete {
                target: self.reference("policy/v1", "PodDisruptionBudget", &budget.name),
                uid: budget.uid.clone(),
            });
        }
        self.effects.extend(effects);
    }

    /// Replaces one member whose pod was made from something else than today: one that does not serve
    /// anyway, or else one while all others do and know of each other.
    pub(super) fn replace_one(&mut self, roster: &Roster) {
        let busy = self.views.iter().any(|view| {
            let is_short = u32::try_from(view.pods.range(..view.floor).count()) != Ok(view.floor);
            let has_deleting = view.pods.values().any(|pod| pod.deleting);
            let is_remade = view.set.is_some_and(|set| set.deleting);
            has_deleting
                || is_remade
                || (is_short && view.set.is_some())
                || !view.leavers.is_empty()
        });
        if busy {
            return;
        }
        let mut outdated: Vec<(&RoleView<'a>, &'a ObservedPod)> = Vec::new();
        let mut all_well = true;
        for view in &self.views {
            let is_told = view.role.has_set();
            let template = is_told.then(|| self.template_hash(view)).flatten();
            // The StatefulSet would make the same pod again.
            let is_set = view.set.is_some_and(|set| set.object.made_from == template);
            for pod in view.pods.range(..view.floor).map(|(_, pod)| *pod) {
                all_well &= is_well(view, pod, roster);
                let is_old = is_set && template.is_some() && pod.object.made_from != template;
                if is_old || self.has_to_mount(view, pod) {
                    outdated.push((view, pod));
                }
            }
        }
        let broken = outdated.iter().rev().find(|(_, pod)| {
            member_state(Place::Staying, Some(pod)) != MemberState::Configured || !pod.ready
        });
        let next = broken.or(outdated.last().filter(|_| all_well));
        if let Some((_, pod)) = next {
            self.effects.push(Effect::Delete {
                target: self.reference("v1", "Pod", &pod.object.name),
                uid: pod.object.uid.clone(),
            });
        }
        let is_waiting = !outdated.is_empty();
        if is_waiting {
            self.wake_in(super::RESYNC);
        }
    }

    fn template_hash(&self, view: &RoleView<'_>) -> Option<String> {
        let set = stateful_set(self.blueprint, &self.names, view.role, 0, None);
        made_from(&set).map(str::to_owned)
    }
}

/// Whether a member serves and knows all it is to know.
fn is_well(view: &RoleView<'_>, pod: &ObservedPod, roster: &Roster) -> bool {
    let told = pod.marks.told.as_ref();
    member_state(Place::Staying, Some(pod)) == MemberState::Configured
        && pod.ready
        && pod.marks.pending.is_none()
        && told.is_some_and(|told| next(view.role, told, roster) == Next::Nothing)
}

/// Whether there is nothing left of a role but its StatefulSet.
fn is_empty(view: &RoleView<'_>) -> bool {
    view.pods.is_empty() && view.leavers.is_empty() && view.current == 0
}

/// Whether an object is missing, was made from something else, or is not any more what was made.
fn differs(present: Option<&Present>, wanted: &Value) -> bool {
    present.is_none_or(|present| {
        present.made_from.as_deref() != made_from(wanted) || is_changed(present, wanted)
    })
}

/// Whether somebody else has changed an object.
fn is_changed(present: &Present, wanted: &Value) -> bool {
    let Some(content) = &present.content else {
        return false;
    };
    let mut spec = wanted["spec"].clone();
    if let Some(fields) = spec
        .as_object_mut()
        .filter(|_| wanted["kind"] == "StatefulSet")
    {
        // All else cannot change, or is decided on apart.
        fields.retain(|field, _| matches!(field.as_str(), "template" | "updateStrategy"));
    }
    !holds(&content.spec, &spec) || !holds(&content.labels, &wanted["metadata"]["labels"])
}

fn made_from(object: &Value) -> Option<&str> {
    object["metadata"]["annotations"][HASH_ANNOTATION].as_str()
}
