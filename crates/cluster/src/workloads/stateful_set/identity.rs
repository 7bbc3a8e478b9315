//! What belongs to an ordinal: the pod, its name and its claims. Pure.

use serde_json::{Value, json};
use windlass_engine::Kind;

use super::super::keeper::Step;
use super::super::shape;
use super::{StatefulSet, World};
use crate::objects::Pod;
use crate::storage::CLAIM;

const POD_NAME: &str = "statefulset.kubernetes.io/pod-name";
const POD_INDEX: &str = "apps.kubernetes.io/pod-index";
/// The label that names the revision a pod was made of.
pub(super) const POD_REVISION: &str = "controller-revision-hash";

/// The name of the pod of an ordinal.
pub(super) fn pod_name(set: &str, ordinal: i64) -> String {
    format!("{set}-{ordinal}")
}

/// The ordinal in the name of a pod of the set.
pub(super) fn ordinal(set: &str, pod: &str) -> Option<i64> {
    let number = pod.strip_prefix(set)?.strip_prefix('-')?;
    let ordinal: i64 = number.parse().ok()?;
    (pod_name(set, ordinal) == pod).then_some(ordinal)
}

/// The names of the claims of an ordinal, with their templates.
pub(super) fn claims<'a>(
    set: &'a StatefulSet,
    name: &str,
    ordinal: i64,
) -> impl Iterator<Item = (String, &'a Value)> {
    let pod = pod_name(name, ordinal);
    set.claims.iter().map(move |template| {
        let prefix = template["metadata"]["name"].as_str().unwrap_or_default();
        (format!("{prefix}-{pod}"), template)
    })
}

/// Whether a claim of that name could belong to a pod of the set.
pub(super) fn may_be_claim_of(set: &StatefulSet, name: &str, claim: &str) -> bool {
    set.claims.iter().any(|template| {
        let prefix = template["metadata"]["name"].as_str().unwrap_or_default();
        claim
            .strip_prefix(prefix)
            .and_then(|rest| rest.strip_prefix('-'))
            .is_some_and(|pod| ordinal(name, pod).is_some())
    })
}

/// The pod of an ordinal, of a template and its revision.
pub(super) fn pod(world: &World, template: &Value, revision: &str, ordinal: i64) -> Value {
    let set = &*world.set;
    let set_name = &*world.key.name;
    let name = pod_name(set_name, ordinal);
    let mut pod = shape::pod(template, world.claimant().reference());
    let metadata = &mut pod["metadata"];
    metadata["name"] = name.as_str().into();
    metadata["generateName"] = format!("{set_name}-").into();
    metadata["labels"][POD_NAME] = name.as_str().into();
    metadata["labels"][POD_INDEX] = ordinal.to_string().into();
    metadata["labels"][POD_REVISION] = revision.into();
    let spec = &mut pod["spec"];
    let mut volumes: Vec<Value> = claims(set, set_name, ordinal)
        .map(|(claim, template)| {
            json!({
                "name": template["metadata"]["name"],
                "persistentVolumeClaim": {"claimName": claim},
            })
        })
        .collect();
    let others = spec.get("volumes").and_then(Value::as_array);
    let others: Vec<Value> = others
        .into_iter()
        .flatten()
        .filter(|volume| !volumes.iter().any(|known| known["name"] == volume["name"]))
        .cloned()
        .collect();
    volumes.extend(others);
    if !volumes.is_empty() {
        spec["volumes"] = volumes.into();
    }
    spec["hostname"] = name.into();
    if let Some(service) = &set.service {
        spec["subdomain"] = service.as_str().into();
    }
    pod
}

/// The labels a pod of the ordinal lacks.
pub(super) fn missing_labels(name: &str, pod: &Pod, ordinal: i64) -> Option<Value> {
    let mut missing = json!({});
    for (label, value) in [
        (POD_NAME, pod_name(name, ordinal)),
        (POD_INDEX, ordinal.to_string()),
    ] {
        if pod.labels.get(label) != Some(&value) {
            missing[label] = value.into();
        }
    }
    (missing != json!({})).then_some(missing)
}

/// Makes the claims of an ordinal that are not there; `None` if one of them is about to go, which
/// is to be waited for.
pub(super) fn missing_claims(world: &World, ordinal: i64) -> Option<Vec<Step>> {
    let set = &*world.set;
    let mut steps = Vec::new();
    for (name, template) in claims(set, &world.key.name, ordinal) {
        match world.claims.iter().find(|(key, _)| *key.name == *name) {
            Some((_, claim)) if claim.deleting => return None,
            Some(_) => {}
            None => {
                let mut metadata = template["metadata"].clone();
                metadata["name"] = name.as_str().into();
                for (label, value) in &set.match_labels {
                    metadata["labels"][label] = value.as_str().into();
                }
                if set.retention.with_set {
                    metadata["ownerReferences"] = json!([world.claimant().reference()]);
                }
                steps.push(Step::Create {
                    kind: CLAIM,
                    object: json!({
                        "apiVersion": "v1",
                        "kind": "PersistentVolumeClaim",
                        "metadata": metadata,
                        "spec": template["spec"],
                    }),
                    said: None,
                });
            }
        }
    }
    Some(steps)
}

/// Whether the set wants the pod of an ordinal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    Yes,
    /// Scaling down takes it away.
    NoMore,
}

/// Makes the owners of a pod's claims what the set's retention policy asks for. A claim that
/// somebody else manages is left alone.
pub(super) fn retain_claims(world: &World, pod: &Pod, ordinal: i64, wanted: Wanted) -> Vec<Step> {
    let set = &*world.set;
    let of_pod = set.retention.with_pod && wanted == Wanted::NoMore;
    let of_set = set.retention.with_set && !of_pod;
    let pod_reference = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "name": pod_name(&world.key.name, ordinal),
        "uid": pod.uid,
        "controller": true,
        "blockOwnerDeletion": true,
    });
    let sides = [
        (of_set, set.meta.uid.as_str(), world.claimant().reference()),
        (of_pod, pod.uid.as_str(), pod_reference),
    ];
    let mut steps = Vec::new();
    for (name, _) in claims(set, &world.key.name, ordinal) {
        let Some((key, claim)) = world.claims.iter().find(|(key, _)| *key.name == *name) else {
            continue;
        };
        let ours = |uid: &str| sides.iter().any(|(_, ours, _)| *ours == uid);
        let mut others = claim.owners.iter().filter(|owner| !ours(&owner.uid));
        if others.any(|owner| owner.controller) {
            continue;
        }
        let mut patch = Vec::new();
        for (wanted, uid, reference) in &sides {
            match (wanted, claim.owners.iter().any(|owner| owner.uid == *uid)) {
                (true, false) => patch.push(reference.clone()),
                (false, true) => patch.push(json!({"$patch": "delete", "uid": uid})),
                _ => {}
            }
        }
        if !patch.is_empty() {
            steps.push(Step::Patch {
                kind: CLAIM,
                name: key.name.clone(),
                patch: json!({"metadata": {"uid": claim.uid, "ownerReferences": patch}}),
            });
        }
    }
    steps
}

/// The kind of what is made for an ordinal.
pub(super) const POD: Kind = Kind::POD;
