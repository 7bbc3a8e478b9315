//! The StatefulSet of a role.

use serde_json::{Value, json};
use windlass_api::director::admission::KeptRole;
use windlass_api::director::cluster::BlockStorage;

use super::{HASH_ANNOTATION, KEPT_ANNOTATION, hash, metadata, owner, pod, role_selector};
use crate::blueprint::{Blueprint, Role};
use crate::names::{Names, block_claim_template};

/// The StatefulSet of a role, with so many replicas, which its hash does not speak of.
///
/// Pods come and go side by side, and none is replaced by the StatefulSet controller itself: members
/// are replaced one after another, when all others serve. The templates of claims can never change,
/// so `claims` are those of a StatefulSet that is there, and it is kept how much they ask for.
pub fn stateful_set(
    blueprint: &Blueprint,
    names: &Names,
    role: &Role,
    replicas: u32,
    claims: Option<&Value>,
) -> Value {
    let mut template = pod::template(blueprint, names, role);
    let made_from = hash(&template);
    template["metadata"]["annotations"][HASH_ANNOTATION] = json!(made_from);
    let mut spec = json!({
        "serviceName": names.headless,
        "podManagementPolicy": "Parallel",
        "updateStrategy": {"type": "OnDelete"},
        "revisionHistoryLimit": 1,
        "selector": {"matchLabels": role_selector(blueprint, role)},
        "template": template,
    });
    let own = claim_templates(blueprint, role);
    let claims_of_set = claims;
    let claims = claims.cloned().unwrap_or(Value::Array(own));
    if claims.as_array().is_some_and(|claims| !claims.is_empty()) {
        spec["volumeClaimTemplates"] = claims;
    }
    let mut metadata = metadata(blueprint, names.stateful_set(&role.id), Some(role));
    metadata["annotations"][HASH_ANNOTATION] = json!(made_from);
    let naming = blueprint.scheme.naming();
    let mut kept = role.spec.clone();
    let prefix = blueprint.scheme.claim_prefix();
    let made_with = claims_of_set.and_then(|claims| storage_size(claims, prefix));
    if let (Some(storage), Some(size)) = (&mut kept.storage, made_with) {
        size.clone_into(&mut storage.size);
    }
    let kept = KeptRole::of(blueprint.app.catalog, naming, &kept);
    // Serializing plain data cannot fail.
    let kept = serde_json::to_string(&kept).unwrap_or_default();
    metadata["annotations"][KEPT_ANNOTATION] = json!(kept);
    spec["replicas"] = json!(replicas);
    json!({
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": metadata,
        "spec": spec,
    })
}

/// How much the file system of a member is to have by these templates, where one of this name is among
/// them.
pub fn storage_size<'c>(claims: &'c Value, prefix: &str) -> Option<&'c str> {
    let mut claims = claims.as_array().into_iter().flatten();
    let claim = claims.find(|claim| claim["metadata"]["name"] == prefix)?;
    claim["spec"]["resources"]["requests"]["storage"].as_str()
}

/// Storage of a member: one file system and so many raw devices.
fn claim_templates(blueprint: &Blueprint, role: &Role) -> Vec<Value> {
    let claim = |name: String, size: &str, class: Option<&String>, mode: &str| {
        let mut claim = json!({
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {
                "name": name,
                "labels": super::labels(blueprint, Some(role)),
                "ownerReferences": [owner(blueprint)],
            },
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "volumeMode": mode,
                "resources": {"requests": {"storage": size}},
            },
        });
        if let Some(class) = class {
            claim["spec"]["storageClassName"] = json!(class);
        }
        claim
    };
    let mut claims = Vec::new();
    if let Some(storage) = &role.spec.storage {
        let name = blueprint.scheme.claim_prefix().to_owned();
        let class = storage.storage_class_name.as_ref();
        claims.push(claim(name, &storage.size, class, "Filesystem"));
    }
    if let Some(storage) = &role.spec.block_storage {
        let size = storage
            .size
            .as_deref()
            .unwrap_or(BlockStorage::DEFAULT_SIZE);
        let class = storage.storage_class_name.as_ref();
        for index in 0..u32::try_from(storage.num_devices).unwrap_or(0) {
            claims.push(claim(block_claim_template(index), size, class, "Block"));
        }
    }
    claims
}
