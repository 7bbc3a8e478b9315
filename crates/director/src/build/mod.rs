//! The objects of a cluster, made from its [`Blueprint`](crate::blueprint::Blueprint) alone.
//!
//! Laws:
//! - the same blueprint makes the same objects, and nothing in a pod's template depends on how many
//!   members there are or on what they are connected to: growing restarts nobody;
//! - each object carries the hash of what it was made from, and so does each pod, by its template:
//!   what is out of date shows without a comparison of what the API server has made of it;
//! - no object but the Secret of the delivery has a secret in it.

mod delivery;
mod persist;
mod pod;
mod readiness;
mod services;
mod stateful_set;

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

pub use delivery::{DELIVERY_TYPE, Delivery, Seed, content_hash, delivery_secret};
pub use persist::persistent_directories;
pub use pod::{APP_CONTAINER, INIT_CONTAINER};
pub use services::{budget, headless_service, member_service};
pub use stateful_set::{stateful_set, storage_size};

use crate::blueprint::{Blueprint, Role};
use crate::names::{
    APP_LABEL, CATALOG_LABEL, CLUSTER_LABEL, HEADLESS_LABEL, ORIGINAL_LABELS,
    PRETTY_NAME_ANNOTATION, ROLE_LABEL, Scheme, label_value,
};

/// Where clusters are served, and their kind.
pub const CLUSTER_KIND: (&str, &str) = ("kubedirector.hpe.com/v1beta1", "KubeDirectorCluster");

/// On every object, and on every pod: the hash of what it was made from.
pub const HASH_ANNOTATION: &str = "windlass.dev/made-from";
/// On every StatefulSet: what of the role it was made from cannot change, as
/// [`KeptRole`](windlass_api::director::admission::KeptRole).
pub const KEPT_ANNOTATION: &str = "windlass.dev/kept";
/// On the Secret of the delivery: the version of configmeta.json in it.
pub const GENERATION_ANNOTATION: &str = "windlass.dev/generation";
/// On the Secret of the delivery: the hash of what the members are told.
pub const CONTENT_ANNOTATION: &str = "windlass.dev/content";

/// The metadata of an object of the cluster, or of one of its roles.
fn metadata(blueprint: &Blueprint, name: &str, role: Option<&Role>) -> Value {
    json!({
        "name": name,
        "namespace": blueprint.namespace,
        "labels": labels(blueprint, role),
        "annotations": {PRETTY_NAME_ANNOTATION: blueprint.app.pretty_name},
        "ownerReferences": [owner(blueprint)],
    })
}

/// The reference by which an object is the cluster's. Its deletion waits for none of them.
pub fn owner(blueprint: &Blueprint) -> Value {
    let (api_version, kind) = CLUSTER_KIND;
    json!({
        "apiVersion": api_version,
        "kind": kind,
        "name": blueprint.name,
        "uid": blueprint.uid,
        "controller": true,
        "blockOwnerDeletion": false,
    })
}

fn labels(blueprint: &Blueprint, role: Option<&Role>) -> Value {
    let cluster = label_value(&blueprint.name);
    let mut labels = json!({
        CLUSTER_LABEL: cluster,
        APP_LABEL: label_value(&blueprint.app.name),
        CATALOG_LABEL: blueprint.app.catalog.as_str(),
    });
    if let Some(role) = role {
        labels[ROLE_LABEL] = json!(role.id);
    }
    if blueprint.scheme == Scheme::Original {
        let [original_cluster, original_role, _] = ORIGINAL_LABELS;
        labels[original_cluster] = json!(cluster);
        if let Some(role) = role {
            labels[original_role] = json!(role.id);
        }
    }
    labels
}

/// What the pods of a cluster have beside [`labels`]: what its headless Service selects.
fn headless_labels(blueprint: &Blueprint) -> Map<String, Value> {
    let cluster = json!(label_value(&blueprint.name));
    let mut labels = Map::new();
    if blueprint.scheme == Scheme::Original {
        let [_, _, original] = ORIGINAL_LABELS;
        labels.insert(original.to_owned(), cluster.clone());
    }
    labels.insert(HEADLESS_LABEL.to_owned(), cluster);
    labels
}

/// What a StatefulSet and a budget select the pods of a role by.
fn role_selector(blueprint: &Blueprint, role: &Role) -> Value {
    json!({
        CLUSTER_LABEL: label_value(&blueprint.name),
        ROLE_LABEL: role.id,
    })
}

/// Puts all of `more` into the object, over what is there.
pub(crate) fn extend<K: Into<String>, V: Into<Value>>(
    object: &mut Value,
    more: impl IntoIterator<Item = (K, V)>,
) {
    for (key, value) in more {
        object[key.into()] = value.into();
    }
}

/// Writes the hash of an object on it.
fn stamp(object: &mut Value) {
    let hash = hash(object);
    object["metadata"]["annotations"][HASH_ANNOTATION] = json!(hash);
}

/// 16 hex digits that stand for a value.
pub(crate) fn hash(value: &Value) -> String {
    hash_text(&value.to_string())
}

/// 16 hex digits that stand for a text.
pub(crate) fn hash_text(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    let (head, _) = digest.split_at(8);
    head.iter()
        .fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

#[cfg(test)]
mod copy_tests;
#[cfg(test)]
mod tests;
