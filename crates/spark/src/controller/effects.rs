//! From what the state machine wants done to the objects it concerns.

use serde_json::Value;
use windlass_engine::plan::{Effect, ObjectRef};
use windlass_engine::{Kind, Object, ObjectKey};

use super::application::SparkApplications;
use super::sight::Reading;
use super::{POD_DISRUPTION_BUDGET, kind_of};
use crate::lifecycle::Action;
use crate::lifecycle::observed::Subject;
use crate::lower;

/// The effects these actions stand for, in order.
pub(super) fn effects_of(
    controller: &SparkApplications,
    object: &Object,
    reading: &Reading,
    actions: &[Action],
) -> Vec<Effect> {
    // Only a few states need to know what is submitted; the others lower when they act.
    let needed = actions.iter().any(|action| {
        matches!(
            action,
            Action::CreateDriver | Action::EnsureCompanions { .. }
        )
    });
    let made = match &reading.lowered {
        None if needed => controller.lower(reading).and_then(Result::ok),
        _ => None,
    };
    let lowered = reading.lowered.as_ref().or(made.as_ref());
    let submission = lowered.map(|lowered| &lowered.submission);

    let mut effects = Vec::new();
    let mut exposed = None;
    for action in actions {
        match action {
            Action::CreateDriver => {
                let before = lowered.map(|it| [it.checkpoint_claim.clone(), it.pod_group.clone()]);
                let before = before.into_iter().flatten().flatten();
                effects.extend(before.map(Effect::Apply));
                effects.extend(submission.map(|it| Effect::Create(it.driver.clone())));
            }
            Action::EnsureCompanions { driver_uid } => {
                let objects = submission
                    .map(|it| it.owned_by(driver_uid))
                    .unwrap_or_default();
                effects.extend(objects.into_iter().map(Effect::Apply));
            }
            Action::Expose(exposer) => {
                let made = exposed.get_or_insert_with(|| controller.exposed(reading));
                let object = made.iter().find(|(it, _)| it == exposer);
                effects.extend(object.map(|(_, object)| Effect::Create(object.clone())));
            }
            Action::DeletePod { name, uid } => {
                effects.push(delete(&Kind::POD, object, name, uid));
            }
            Action::ForceDeletePod { name, uid } => {
                if let Effect::Delete { target, uid } = delete(&Kind::POD, object, name, uid) {
                    effects.push(Effect::ForceDelete { target, uid });
                }
            }
            Action::Withdraw { exposer, uid } => {
                effects.push(delete(&kind_of(exposer.kind), object, &exposer.name, uid));
            }
            Action::EnsureBudget => {
                let budget = reading.app.as_ref().map(lower::disruption_budget);
                effects.extend(budget.map(Effect::Create));
            }
            Action::DeleteBudget { name, uid } => {
                effects.push(delete(&POD_DISRUPTION_BUDGET, object, name, uid));
            }
            Action::DeletePodGroup { uid } => {
                let group = reading.app.as_ref().and_then(lower::pod_group_ref);
                effects.extend(group.map(|target| Effect::Delete {
                    target,
                    uid: uid.clone(),
                }));
            }
            Action::DeleteApplication => effects.push(Effect::Delete {
                target: object.object_ref(),
                uid: object.uid().to_owned(),
            }),
        }
    }
    effects
}

/// What a refused effect was about; `None` for what an application can do without.
pub(super) fn subject_of(effect: &Effect) -> Option<Subject> {
    let is_pod = |body: &Value| body["kind"] == *Kind::POD.kind;
    // Those that a driver asks for are its own.
    let is_checkpoint_claim = |body: &Value| {
        body["kind"] == "PersistentVolumeClaim" && body["metadata"]["ownerReferences"].is_null()
    };
    match effect {
        Effect::Create(body) if is_pod(body) => Some(Subject::Driver),
        Effect::Apply(body) if body["kind"] == "PodGroup" => Some(Subject::PodGroup),
        Effect::Apply(body) if is_checkpoint_claim(body) => Some(Subject::CheckpointClaim),
        Effect::Apply(_) => Some(Subject::Companion),
        Effect::Create(_)
        | Effect::ApplyStatus(_)
        | Effect::Patch { .. }
        | Effect::Delete { .. }
        | Effect::ForceDelete { .. }
        | Effect::Orphan { .. }
        | Effect::External { .. } => None,
    }
}

fn delete(kind: &Kind, object: &Object, name: &str, uid: &str) -> Effect {
    let key = ObjectKey {
        namespace: object.namespace().map(Into::into),
        name: name.into(),
    };
    let target: ObjectRef = kind.object_ref(&key);
    Effect::Delete {
        target,
        uid: uid.to_owned(),
    }
}
