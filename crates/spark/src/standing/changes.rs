//! What to apply and to delete, so that a server's objects are as wanted.

use serde_json::{Value, json};
use windlass_engine::plan::{Effect, ObjectRef};
use windlass_engine::{Kind, Object};

use super::HASH_ANNOTATION;
use super::observe::{DeploymentState, Present};
use super::parts::stamp;

/// The objects of a server as they are to be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parts<'a> {
    /// What must be there before the server.
    pub(crate) before: &'a [Value],
    /// Its Deployment.
    pub(crate) deployment: &'a Value,
}

impl Parts<'_> {
    /// All that is to be done, in order; what only some servers need stands before the Deployment.
    pub(crate) fn changes(
        &self,
        present: &[Present],
        seen: Option<&DeploymentState>,
        besides: Option<Effect>,
    ) -> Vec<Effect> {
        let delete = |present: &Present| Effect::Delete {
            target: present.target.clone(),
            uid: present.uid.clone(),
        };
        // The Kubeflow operator makes bare pods, which would be servers beside the Deployment's.
        let is_pod = |present: &&Present| present.target.kind == Kind::POD.kind;
        let mut effects: Vec<Effect> = present.iter().filter(is_pod).map(delete).collect();
        let missing = self.before.iter().filter(|object| lacks(present, object));
        effects.extend(missing.cloned().map(Effect::Apply));
        effects.extend(besides);
        let deployment = self.deployment;
        // Somebody else may have given it another number of servers.
        let was_scaled = seen.is_some_and(|seen| deployment["spec"]["replicas"] != seen.replicas);
        if lacks(present, deployment) || was_scaled {
            effects.push(Effect::Apply(deployment.clone()));
        }
        let all: Vec<ObjectRef> = self
            .before
            .iter()
            .chain([deployment])
            .map(reference)
            .collect();
        let is_stale = |it: &&Present| !is_pod(it) && !all.contains(&it.target);
        effects.extend(present.iter().filter(is_stale).map(delete));
        effects
    }
}

/// The Deployment without a server.
pub(crate) fn stopped(deployment: &Value) -> Value {
    let mut deployment = deployment.clone();
    deployment["spec"]["replicas"] = json!(0);
    stamp(&mut deployment);
    deployment
}

/// The name of an object.
fn reference(object: &Value) -> ObjectRef {
    Object::new(object.clone()).object_ref()
}

/// Whether an object is missing, or was made from something else.
fn lacks(present: &[Present], object: &Value) -> bool {
    let target = reference(object);
    let found = present.iter().find(|present| present.target == target);
    let hash = object["metadata"]["annotations"][HASH_ANNOTATION].as_str();
    found.is_none_or(|found| found.hash.as_deref() != hash)
}
