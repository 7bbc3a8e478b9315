//! How large each set should be. Pure.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::super::claiming::{Claimant, Keyed};
use super::super::conditions::{Conditions, Says, Times};
use super::super::keeper::{Plan, Step};
use super::super::replica_set::{REPLICA_SET, ReplicaSet};
use super::{DEPLOYMENT, Deployment, Strategy, World, revision, status};
use crate::events::{Note, Severity};

/// A set with the size it is to have.
#[derive(Debug, Clone)]
pub(super) struct Sized<'a> {
    pub(super) set: &'a Keyed<ReplicaSet>,
    pub(super) replicas: i64,
}

impl Sized<'_> {
    pub(super) fn view(&self) -> &ReplicaSet {
        &self.set.1
    }
}

/// A plan in the making.
pub(super) struct Rollout<'a> {
    pub(super) world: &'a World,
    pub(super) deployment: &'a Deployment,
    /// The set of the current template.
    pub(super) new: Option<Sized<'a>>,
    /// All others, the oldest first.
    pub(super) old: Vec<Sized<'a>>,
    pub(super) conditions: Conditions,
    pub(super) collisions: Option<i64>,
    pub(super) steps: Vec<Step>,
    sizing: Sizing,
    now: Timestamp,
}

/// Why sets get another size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sizing {
    /// The rollout goes on; what sets note of the wanted number changes with their size only.
    Rollout,
    /// The wanted number has changed, which every set has to note.
    Scale,
}

/// Whether the set of the current template is made if it is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Missing {
    Make,
    Leave,
}

/// What the Deployment needs.
pub(super) fn plan(world: &World, now: Timestamp) -> Plan {
    let deployment = &*world.deployment;
    let mut steps = Vec::new();
    let claimant = Claimant {
        kind: DEPLOYMENT,
        name: &world.key.name,
        meta: &deployment.meta,
        matcher: &deployment.matcher,
    };
    let mut own = claimant.claim(&REPLICA_SET, &world.sets, |_, _| true, &mut steps);
    own.sort_by(|(a_key, a), (b_key, b)| (&a.meta.created, a_key).cmp(&(&b.meta.created, b_key)));
    let mut sized: Vec<Sized<'_>> = own
        .into_iter()
        .map(|set| Sized {
            set,
            replicas: set.1.replicas,
        })
        .collect();
    let current = sized
        .iter()
        .position(|sized| revision::is_of(deployment, sized.view()));
    let mut rollout = Rollout {
        world,
        deployment,
        new: current.map(|position| sized.remove(position)),
        old: sized,
        conditions: Conditions::of(&deployment.status, Times::Update),
        collisions: deployment.status["collisionCount"].as_i64(),
        steps,
        sizing: Sizing::Rollout,
        now,
    };
    rollout.stage();
    let again = status::due(&rollout, now);
    Plan {
        steps: rollout.steps,
        again,
    }
}

impl Rollout<'_> {
    /// Goes one stage further and says what is so.
    fn stage(&mut self) {
        if self.deployment.meta.deleting {
            return status::counts(self, self.now);
        }
        self.note_pause();
        if self.deployment.paused {
            self.number(Missing::Leave);
            self.scale();
            self.forget_history();
            return status::counts(self, self.now);
        }
        if self.size_has_changed() {
            self.number(Missing::Leave);
            self.scale();
            return status::counts(self, self.now);
        }
        match self.deployment.strategy {
            Strategy::Rolling { .. } => {
                self.number(Missing::Make);
                if !self.grow_new() && !self.shrink_old() && self.is_complete() {
                    self.forget_history();
                }
            }
            Strategy::Recreate => self.recreate(),
        }
        status::progress(self, self.now);
    }

    /// A paused rollout makes no progress, and should not time out for it.
    fn note_pause(&mut self) {
        let reason = self.conditions.reason("Progressing");
        if self.deployment.deadline.is_none() || reason == Some("ProgressDeadlineExceeded") {
            return;
        }
        let noted = reason == Some("DeploymentPaused");
        let (reason, message) = match (self.deployment.paused, noted) {
            (true, false) => ("DeploymentPaused", "Deployment is paused"),
            (false, true) => ("DeploymentResumed", "Deployment is resumed"),
            _ => return,
        };
        let says = Says {
            kind: "Progressing",
            status: "Unknown",
            reason,
            message,
        };
        self.conditions.set(says, self.now);
    }

    /// Whether somebody changed the wanted number since the sets were last sized.
    fn size_has_changed(&self) -> bool {
        let wanted = self.deployment.replicas.to_string();
        self.all().any(|sized| {
            let known = sized.view().meta.annotation(revision::DESIRED);
            sized.replicas > 0 && known.is_some_and(|known| known != wanted)
        })
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Sized<'_>> {
        self.old.iter().chain(&self.new)
    }

    fn total(&self) -> i64 {
        self.all().map(|sized| sized.replicas).sum()
    }

    /// Sees to it that the current template has a set, which bears the highest revision.
    fn number(&mut self, missing: Missing) {
        let highest = self
            .old
            .iter()
            .map(|sized| revision::number(&sized.view().meta.annotations))
            .max();
        let next = highest.unwrap_or(0) + 1;
        let Some(new) = &self.new else {
            if missing == Missing::Make {
                self.make(next);
            }
            return;
        };
        let view = new.view();
        let news = revision::news(self.deployment, &view.meta.annotations, next);
        let shown = next.max(revision::number(&view.meta.annotations));
        let mut patch = json!({});
        if !news.is_empty() {
            patch["metadata"]["annotations"] = json!(news);
        }
        if view.min_ready_seconds != self.deployment.min_ready_seconds {
            patch["spec"]["minReadySeconds"] = self.deployment.min_ready_seconds.into();
        }
        let (name, revision) = (new.set.0.name.to_string(), view.meta.revision.clone());
        if patch != json!({}) {
            patch["metadata"]["uid"] = view.meta.uid.as_str().into();
            patch["metadata"]["resourceVersion"] = revision.into();
            self.steps.push(Step::Patch {
                kind: REPLICA_SET,
                name: Arc::clone(&new.set.0.name),
                patch,
            });
        }
        self.show_revision(shown);
        if self.conditions.get("Progressing").is_none() && self.deployment.deadline.is_some() {
            let message = format!("Found new replica set \"{name}\"");
            self.say_progress("FoundNewReplicaSet", &message);
        }
    }

    /// Makes the set of the current template.
    fn make(&mut self, next: i64) {
        let name = format!(
            "{}-{}",
            self.world.key.name,
            revision::hash(self.deployment)
        );
        // A set of that name which is not of this template: the next pass tries another name.
        if self.world.sets.iter().any(|(key, _)| *key.name == *name) {
            self.collisions = Some(self.collisions.unwrap_or(0) + 1);
            return;
        }
        let room = self.deployment.replicas + self.deployment.max_surge() - self.total();
        let replicas = match self.deployment.strategy {
            Strategy::Rolling { .. } => room.clamp(0, self.deployment.replicas),
            Strategy::Recreate => self.deployment.replicas,
        };
        let object = revision::set(&self.world.key, self.deployment, next, replicas);
        self.steps.push(Step::Create {
            kind: REPLICA_SET,
            object,
            said: None,
        });
        if replicas > 0 {
            self.tell_size("up", &name, 0, replicas);
        }
        if self.deployment.deadline.is_some() {
            let message = format!("Created new replica set \"{name}\"");
            self.say_progress("NewReplicaSetCreated", &message);
        }
        self.show_revision(next);
    }

    fn say_progress(&mut self, reason: &str, message: &str) {
        let says = Says {
            kind: "Progressing",
            status: "True",
            reason,
            message,
        };
        self.conditions.set(says, self.now);
    }

    /// The Deployment shows the revision of its set.
    fn show_revision(&mut self, shown: i64) {
        let meta = &self.deployment.meta;
        let shown = shown.to_string();
        if meta.annotation(revision::REVISION) == Some(&shown) {
            return;
        }
        self.steps.push(Step::Patch {
            kind: DEPLOYMENT,
            name: Arc::clone(&self.world.key.name),
            patch: json!({"metadata": {
                "uid": meta.uid, "annotations": {revision::REVISION: shown},
            }}),
        });
    }

    /// Lets the new set grow as far as the surge allows; tells whether it did anything.
    fn grow_new(&mut self) -> bool {
        let Some(new) = &self.new else {
            // It has just been made.
            return true;
        };
        let wanted = self.deployment.replicas;
        let room = wanted + self.deployment.max_surge() - self.total();
        let size = match new.replicas {
            size if size >= wanted => wanted,
            size => size + room.clamp(0, wanted - size),
        };
        self.resize_new(size)
    }

    /// Lets the old sets shrink as far as availability allows; tells whether it did anything.
    fn shrink_old(&mut self) -> bool {
        let Some(new) = &self.new else { return false };
        if self.old.iter().all(|sized| sized.replicas == 0) {
            return false;
        }
        let enough = self.deployment.replicas - self.deployment.max_unavailable();
        let coming = new.replicas - new.view().counted("availableReplicas");
        let spare = self.total() - enough - coming;
        if spare <= 0 {
            return false;
        }
        // Pods that are of no use go first; nobody will miss them.
        let mut sizes: Vec<i64> = self.old.iter().map(|sized| sized.replicas).collect();
        let mut left = spare;
        for (size, sized) in sizes.iter_mut().zip(&self.old) {
            let useless = *size - sized.view().counted("availableReplicas");
            let less = useless.clamp(0, left);
            *size -= less;
            left -= less;
        }
        let available: i64 = self
            .all()
            .map(|sized| sized.view().counted("availableReplicas"))
            .sum();
        let mut left = (available - enough).max(0);
        for size in &mut sizes {
            let less = (*size).min(left);
            *size -= less;
            left -= less;
        }
        let mut changed = false;
        for (index, size) in sizes.into_iter().enumerate() {
            changed |= self.resize_old(index, size);
        }
        changed
    }

    /// Ends all old pods before any new one starts.
    fn recreate(&mut self) {
        self.number(Missing::Leave);
        let mut changed = false;
        for index in 0..self.old.len() {
            changed |= self.resize_old(index, 0);
        }
        if changed || self.old_pods_are_left() {
            return;
        }
        if self.new.is_none() {
            return self.number(Missing::Make);
        }
        if !self.resize_new(self.deployment.replicas) && self.is_complete() {
            self.forget_history();
        }
    }

    fn old_pods_are_left(&self) -> bool {
        self.world.pods.iter().any(|(_, pod)| {
            let owner = pod.meta.controller();
            let is_old =
                |sized: &Sized<'_>| owner.is_some_and(|owner| owner.uid == sized.view().meta.uid);
            !pod.life.has_ended() && self.old.iter().any(is_old)
        })
    }

    /// Fits the sets to a wanted number that has changed, each in proportion to its size.
    fn scale(&mut self) {
        self.sizing = Sizing::Scale;
        let wanted = self.deployment.replicas;
        let active: Vec<usize> = (0..self.old.len())
            .filter(|index| self.old[*index].replicas > 0)
            .collect();
        let new_is_active = self.new.as_ref().is_some_and(|new| new.replicas > 0);
        match (active.as_slice(), new_is_active) {
            // One set carries all, or none does.
            ([], _) if self.new.is_some() => {
                self.resize_new(wanted);
                return;
            }
            ([only], false) => {
                self.resize_old(*only, wanted);
                return;
            }
            ([], false) => {
                if let Some(latest) = self.old.len().checked_sub(1) {
                    self.resize_old(latest, wanted);
                }
                return;
            }
            _ => {}
        }
        if self.new.as_ref().is_some_and(|new| self.is_saturated(new)) {
            for index in active {
                self.resize_old(index, 0);
            }
            return;
        }
        if matches!(self.deployment.strategy, Strategy::Rolling { .. }) {
            self.scale_in_proportion(&active);
        }
    }

    /// Whether the set has been sized for the wanted number, and is as large and available.
    fn is_saturated(&self, new: &Sized<'_>) -> bool {
        let wanted = self.deployment.replicas;
        let desired = new.view().meta.annotation(revision::DESIRED);
        desired == Some(&wanted.to_string())
            && new.replicas == wanted
            && new.view().counted("availableReplicas") == wanted
    }

    fn scale_in_proportion(&mut self, active: &[usize]) {
        let wanted = self.deployment.replicas;
        let allowed = match wanted {
            0 => 0,
            wanted => wanted + self.deployment.max_surge(),
        };
        // The new set is the last one in this list, where it takes part.
        let mut parts: Vec<(Option<usize>, i64)> = active
            .iter()
            .map(|index| (Some(*index), self.old[*index].replicas))
            .collect();
        if let Some(new) = self.new.as_ref().filter(|new| new.replicas > 0) {
            parts.push((None, new.replicas));
        }
        let add = allowed - parts.iter().map(|(_, size)| size).sum::<i64>();
        // The largest first; of equal ones the newer grows first, and the older shrinks first.
        if add > 0 {
            parts.reverse();
        }
        parts.sort_by_key(|(_, size)| std::cmp::Reverse(*size));
        let mut added = 0;
        let mut sizes: Vec<i64> = Vec::new();
        for (index, size) in &parts {
            let view = match index {
                Some(index) => self.old[*index].view(),
                None => match &self.new {
                    Some(new) => new.view(),
                    None => continue,
                },
            };
            let share = share(self.deployment, view, *size);
            let rest = add - added;
            let part = match add {
                _ if rest == 0 => 0,
                add if add > 0 => share.min(rest),
                _ => share.max(rest),
            };
            added += part;
            sizes.push(size + part);
        }
        if let Some(first) = sizes.first_mut() {
            *first = (*first + add - added).max(0);
        }
        for ((index, _), size) in parts.into_iter().zip(sizes) {
            match index {
                Some(index) => self.resize_old(index, size),
                None => self.resize_new(size),
            };
        }
    }

    fn resize_new(&mut self, size: i64) -> bool {
        let Some(mut new) = self.new.take() else {
            return false;
        };
        let changed = self.resize(&mut new, size);
        self.new = Some(new);
        changed
    }

    fn resize_old(&mut self, index: usize, size: i64) -> bool {
        let Some(mut old) = self.old.get(index).cloned() else {
            return false;
        };
        let changed = self.resize(&mut old, size);
        if let Some(place) = self.old.get_mut(index) {
            place.replicas = old.replicas;
        }
        changed
    }

    /// Asks for another size, and notes what it was computed from; tells whether the size differs.
    fn resize(&mut self, sized: &mut Sized<'_>, size: i64) -> bool {
        let view = &sized.set.1;
        let name = &sized.set.0.name;
        let annotations: Map<String, Value> = revision::sizes(self.deployment)
            .into_iter()
            .filter(|(name, size)| view.meta.annotation(name) != Some(size))
            .map(|(name, size)| (name.to_owned(), size.into()))
            .collect();
        let before = sized.replicas;
        if before == size && (annotations.is_empty() || self.sizing == Sizing::Rollout) {
            return false;
        }
        let mut patch = json!({"metadata": {"uid": view.meta.uid}, "spec": {"replicas": size}});
        if !annotations.is_empty() {
            patch["metadata"]["annotations"] = annotations.into();
        }
        self.steps.push(Step::Patch {
            kind: REPLICA_SET,
            name: Arc::clone(name),
            patch,
        });
        if before != size {
            let way = if before < size { "up" } else { "down" };
            self.tell_size(way, name, before, size);
        }
        sized.replicas = size;
        before != size
    }

    fn tell_size(&mut self, way: &str, name: &str, before: i64, size: i64) {
        self.steps.push(Step::Tell(Note {
            severity: Severity::Normal,
            reason: "ScalingReplicaSet",
            action: "ScalingReplicaSet",
            text: format!("Scaled {way} replica set {name} from {before} to {size}"),
        }));
    }

    /// Whether every pod is of the current template and available.
    fn is_complete(&self) -> bool {
        status::is_complete(self.deployment, &status::of(self))
    }

    /// Deletes the oldest sets that nobody can roll back to any more.
    fn forget_history(&mut self) {
        let Some(limit) = self.deployment.history else {
            return;
        };
        let mut kept: Vec<&Sized<'_>> = self
            .old
            .iter()
            .filter(|sized| !sized.view().meta.deleting)
            .collect();
        let surplus = kept.len() - usize::try_from(limit).unwrap_or(0).min(kept.len());
        kept.sort_by_key(|sized| revision::number(&sized.view().meta.annotations));
        for sized in kept.into_iter().take(surplus) {
            let view = sized.view();
            let observed = view.counted("observedGeneration") >= view.meta.generation;
            if view.counted("replicas") == 0 && sized.replicas == 0 && observed {
                self.steps.push(Step::Delete {
                    kind: REPLICA_SET,
                    name: Arc::clone(&sized.set.0.name),
                    uid: view.meta.uid.clone(),
                    said: None,
                });
            }
        }
    }
}

/// By how much a set should change when the whole does.
fn share(deployment: &Deployment, set: &ReplicaSet, size: i64) -> i64 {
    if deployment.replicas == 0 {
        return -size;
    }
    let whole = deployment.replicas + deployment.max_surge();
    let before = set
        .meta
        .annotation(revision::MAX)
        .and_then(|max| max.parse::<i64>().ok())
        .filter(|max| *max > 0)
        .or_else(|| deployment.status["replicas"].as_i64())
        .unwrap_or(0);
    if before == 0 {
        return 0;
    }
    ((size * whole) as f64 / before as f64).round() as i64 - size
}
