//! Volumes that grow: what their claims are asked for, and what people are told of it.

use jiff::Timestamp;
use serde_json::json;
use windlass_api::director::cluster::ClusterStatus;
use windlass_engine::plan::{Effect, EventNote};

use super::super::growth::{Growth, Mount};
use super::super::observed::ObservedPod;
use super::super::resize::RoleView;
use super::super::status::{ConditionKind, condition, set_condition};
use super::Planner;

/// How it goes on with volumes that are to be larger.
#[derive(Debug, Default)]
pub(super) struct Growing {
    /// What the API is asked for. It may refuse that, so all else comes first.
    pub(super) effects: Vec<Effect>,
    /// When to look again, should nothing be heard.
    pub(super) wakes: Vec<Timestamp>,
    /// A line for each role whose volumes grow; none when all have their size.
    lines: Vec<String>,
    /// What is in the way.
    troubles: Vec<String>,
}

impl<'a> Planner<'a> {
    /// What there is to do and to say.
    pub(super) fn growing(&self) -> Growing {
        let mut growing = Growing::default();
        for view in self.views.iter().filter(|view| view.role.has_set()) {
            if let Some(growth) = Growth::of(view, self.blueprint.scheme) {
                self.grow(view, &growth, &mut growing);
            }
        }
        growing
    }

    fn grow(&self, view: &RoleView<'a>, growth: &Growth<'a>, growing: &mut Growing) {
        let size = growth.size;
        growing
            .effects
            .extend(growth.to_ask().map(|claim| Effect::Patch {
                target: self.reference("v1", "PersistentVolumeClaim", &claim.name),
                patch: json!({
                    // It may have grown by itself in the meantime, to more than this.
                    "metadata": {"uid": claim.uid, "resourceVersion": claim.revision},
                    "spec": {"resources": {"requests": {"storage": size}}},
                }),
            }));
        let (mut all, mut grown) = (0_u32, 0_u32);
        let mut details = Vec::new();
        for claim in growth.of_members() {
            all += 1;
            if growth.has_grown(claim) {
                grown += 1;
                continue;
            }
            let name = &claim.name;
            if let Some(trouble) = &claim.volume.trouble {
                let told = format!("the volume of {name} does not grow to {size}: {trouble}");
                growing.troubles.push(told);
            }
            let pod = view.pods.get(&claim.ordinal);
            match pod.map_or(Mount::Fine, |pod| growth.mount(claim, pod, self.now)) {
                Mount::Fine => {}
                Mount::Node(until) => growing.wakes.push(until),
                Mount::Pod => details.push(format!("{name} needs its pod to be replaced")),
                Mount::Nobody => growing.troubles.push(format!(
                    "the file system of {name} has not grown, though its pod was replaced for that"
                )),
            }
        }
        if grown < all || growth.has_old_template() {
            let mut line = format!("{}: {grown} of {all} volumes have {size}", view.role.id);
            for detail in details {
                line += ", ";
                line += &detail;
            }
            growing.lines.push(line);
        }
    }

    /// Whether the StatefulSet of a role is to be replaced by one that makes larger volumes. Not while members
    /// leave: they are a reason to touch it, too.
    pub(super) fn has_grown(&self, view: &RoleView<'a>) -> bool {
        let growth = Growth::of(view, self.blueprint.scheme);
        view.leavers.is_empty() && growth.is_some_and(|growth| growth.is_due())
    }

    /// Whether a pod has to be replaced, so that its file system is mounted, and made larger, anew.
    pub(super) fn has_to_mount(&self, view: &RoleView<'a>, pod: &ObservedPod) -> bool {
        let Some(growth) = Growth::of(view, self.blueprint.scheme) else {
            return false;
        };
        let mut claims = growth.of_members().filter(|it| it.ordinal == pod.ordinal);
        claims.any(|claim| growth.mount(claim, pod, self.now) == Mount::Pod)
    }

    /// Says how it goes on; of volumes that never grew there is no such condition.
    pub(super) fn growth_condition(&mut self, growing: &Growing, status: &mut ClusterStatus) {
        let kind = ConditionKind::StorageResizing;
        let before = condition(self.before, kind);
        let was_going_on = before.is_some_and(|it| it.status == "True");
        let mut told = growing.lines.clone();
        told.extend(growing.troubles.iter().cloned());
        let message = told.join("; ");
        if !growing.lines.is_empty() {
            let reason = if growing.troubles.is_empty() {
                "VolumesGrow"
            } else {
                "ResizeFailed"
            };
            set_condition(status, kind, true, reason, &message, self.now);
            if !was_going_on {
                let note = EventNote::normal("VolumesGrow", "Resize", message);
                self.events.push(note);
            }
        } else if before.is_some() {
            let message = "all volumes have the size that is specified";
            set_condition(status, kind, false, "Resized", message, self.now);
            if was_going_on {
                let note = EventNote::normal("VolumesGrown", "Resize", message.to_owned());
                self.events.push(note);
            }
        }
    }

    /// Says whether volumes grow by themselves whose roles say so; where none does, there is no such
    /// condition.
    pub(super) fn auto_grow_condition(&mut self, status: &mut ClusterStatus) {
        let kind = ConditionKind::AutoGrowActive;
        let views = self.views.iter().filter(|view| view.role.has_set());
        let roles = views.filter(|view| view.auto_grow().is_some());
        let roles: Vec<&str> = roles.map(|view| view.role.id.as_str()).collect();
        if roles.is_empty() {
            status.conditions.retain(|it| it.type_ != kind.as_str());
            return;
        }
        let roles = roles.join(", ");
        if self.observed.lets_claims_grow {
            let message = format!("volumes of {roles} grow by themselves, as their claims say");
            set_condition(status, kind, true, "VolumesGrow", &message, self.now);
            return;
        }
        let message = format!(
            "volumes of {roles} do not grow by themselves: this operator was started without \
             --storage --storage-auto-grow, so nothing reads storage.autoGrow"
        );
        let before = condition(self.before, kind);
        if before.is_none_or(|it| it.status != "False") {
            let note = EventNote::warning("AutoGrowOff", "Resize", message.clone());
            self.events.push(note);
        }
        set_condition(status, kind, false, "AutoGrowOff", &message, self.now);
    }

    /// What is in the way of it.
    pub(super) fn growth_troubles(&mut self, growing: &Growing) {
        self.troubles.extend(growing.troubles.iter().cloned());
    }
}
