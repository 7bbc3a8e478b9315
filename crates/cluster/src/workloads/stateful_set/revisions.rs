//! Which template each pod is made of. Pure.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};

use super::super::claiming::Keyed;
use super::super::keeper::Step;
use super::super::shape;
use super::{REVISION, Revision, World};

const HASH: &str = "controller.kubernetes.io/hash";

/// The two templates of a set: the one it comes from and the one it goes to.
pub(super) struct Revisions<'a> {
    pub(super) current: Named,
    pub(super) update: Named,
    pub(super) collisions: i64,
    /// All of them, the oldest first.
    own: Vec<&'a Keyed<Revision>>,
}

/// A template and the name of its revision.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Named {
    pub(super) name: String,
    pub(super) template: Value,
}

/// Finds the revisions, with the steps that make them so; `Err` with the number of collisions if
/// the name of the new one is taken by something else, and another has to be tried.
pub(super) fn find<'a>(world: &'a World, steps: &mut Vec<Step>) -> Result<Revisions<'a>, i64> {
    let set = &*world.set;
    let mut own = world
        .claimant()
        .claim(&REVISION, &world.revisions, |_, _| true, steps);
    own.sort_by(|(a_key, a), (b_key, b)| (a.number, a_key).cmp(&(b.number, b_key)));
    let collisions = set.status["collisionCount"].as_i64().unwrap_or(0);
    let data = data(&set.template);
    let next = own.last().map_or(1, |(_, last)| last.number + 1);
    let equal = own.iter().rev().find(|(_, known)| known.data == data);
    let update = if let Some((key, known)) = equal {
        if known.number + 1 != next {
            // A return to an old template makes it the newest.
            steps.push(Step::Patch {
                kind: REVISION,
                name: Arc::clone(&key.name),
                patch: json!({"metadata": {"uid": known.meta.uid}, "revision": next}),
            });
        }
        key.name.to_string()
    } else {
        let hash = shape::hash(&set.template, (collisions > 0).then_some(collisions));
        let name = format!("{}-{hash}", world.key.name);
        if world.revisions.iter().any(|(key, _)| *key.name == *name) {
            return Err(collisions + 1);
        }
        let mut labels = set.template["metadata"]["labels"].clone();
        labels[HASH] = hash.into();
        let mut object = json!({
            "apiVersion": "apps/v1",
            "kind": "ControllerRevision",
            "metadata": {
                "name": name,
                "labels": labels,
                "ownerReferences": [world.claimant().reference()],
            },
            "data": data,
            "revision": next,
        });
        if !set.meta.annotations.is_empty() {
            object["metadata"]["annotations"] = json!(set.meta.annotations);
        }
        steps.push(Step::Create {
            kind: REVISION,
            object,
            said: None,
        });
        name
    };
    let update = Named {
        name: update,
        template: set.template.clone(),
    };
    let current = set.status["currentRevision"].as_str().unwrap_or_default();
    let current = own
        .iter()
        .find(|(key, _)| *key.name == *current)
        .filter(|_| current != update.name)
        .map(|(key, known)| Named {
            name: key.name.to_string(),
            template: template(&known.data),
        });
    Ok(Revisions {
        current: current.unwrap_or_else(|| update.clone()),
        update,
        collisions,
        own,
    })
}

impl Revisions<'_> {
    /// Deletes the oldest revisions that neither a pod nor the set is of.
    pub(super) fn forget(&self, limit: usize, in_use: &BTreeSet<&str>) -> Vec<Step> {
        let historic: Vec<_> = self
            .own
            .iter()
            .filter(|(key, _)| {
                let name = &*key.name;
                name != self.current.name && name != self.update.name && !in_use.contains(name)
            })
            .collect();
        let surplus = historic.len().saturating_sub(limit);
        let gone = historic.into_iter().take(surplus);
        gone.map(|(key, known)| Step::Delete {
            kind: REVISION,
            name: Arc::clone(&key.name),
            uid: known.meta.uid.clone(),
            said: None,
        })
        .collect()
    }
}

/// A template as a revision keeps it: as the patch that brings it back.
fn data(template: &Value) -> Value {
    let mut template = template.clone();
    template["$patch"] = "replace".into();
    json!({"spec": {"template": template}})
}

fn template(data: &Value) -> Value {
    let mut template = data["spec"]["template"].clone();
    if let Some(fields) = template.as_object_mut() {
        fields.remove("$patch");
    }
    template
}
