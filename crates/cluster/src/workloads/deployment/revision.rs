//! The set of each revision: which one is the current template's, and what it is told of it.

use serde_json::{Value, json};
use windlass_engine::ObjectKey;

use super::super::claiming::Claimant;
use super::super::replica_set::ReplicaSet;
use super::super::shape;
use super::{DEPLOYMENT, Deployment};
use crate::objects::Labels;

pub(super) const HASH: &str = "pod-template-hash";
pub(super) const REVISION: &str = "deployment.kubernetes.io/revision";
const HISTORY: &str = "deployment.kubernetes.io/revision-history";
pub(super) const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
pub(super) const MAX: &str = "deployment.kubernetes.io/max-replicas";
/// What a Deployment says of itself alone.
const OWN: [&str; 5] = [
    REVISION,
    HISTORY,
    DESIRED,
    MAX,
    "deprecated.deployment.rollback.to",
];
/// A set remembers no more of its earlier revisions than this many characters.
const HISTORY_LENGTH: usize = 2000;

/// Whether the set was made of the Deployment's template.
pub(super) fn is_of(deployment: &Deployment, set: &ReplicaSet) -> bool {
    let bare = |template: &Value| {
        let mut bare = shape::without_label(template, HASH);
        drop_empty(&mut bare, "/metadata", "labels");
        drop_empty(&mut bare, "/metadata", "annotations");
        drop_empty(&mut bare, "", "metadata");
        bare
    };
    bare(&deployment.template) == bare(&set.template)
}

/// An empty map means the same as none.
fn drop_empty(value: &mut Value, parent: &str, field: &str) {
    if let Some(parent) = value.pointer_mut(parent).and_then(Value::as_object_mut)
        && parent
            .get(field)
            .and_then(Value::as_object)
            .is_some_and(serde_json::Map::is_empty)
    {
        parent.remove(field);
    }
}

/// The number of a revision; a set that is not numbered is older than all.
pub(super) fn number(annotations: &Labels) -> i64 {
    annotations
        .get(REVISION)
        .and_then(|revision| revision.parse().ok())
        .unwrap_or(0)
}

/// The annotations that tell how large the whole is.
pub(super) fn sizes(deployment: &Deployment) -> [(&'static str, String); 2] {
    [
        (DESIRED, deployment.replicas.to_string()),
        (
            MAX,
            (deployment.replicas + deployment.max_surge()).to_string(),
        ),
    ]
}

/// The annotations of the current set that have to change, so that it shows its revision and what
/// its Deployment is annotated with.
pub(super) fn news(deployment: &Deployment, known: &Labels, revision: i64) -> Labels {
    let mut news: Labels = deployment
        .meta
        .annotations
        .iter()
        .filter(|(name, value)| !OWN.contains(&name.as_str()) && known.get(*name) != Some(*value))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let before = number(known);
    if before < revision {
        news.insert(REVISION.to_owned(), revision.to_string());
        if before > 0 {
            let mut history: Vec<&str> = known
                .get(HISTORY)
                .map(|history| history.split(',').collect())
                .unwrap_or_default();
            let before = before.to_string();
            history.push(&before);
            let length = |history: &[&str]| history.iter().map(|one| one.len() + 1).sum::<usize>();
            while length(&history) > HISTORY_LENGTH {
                history.remove(0);
            }
            news.insert(HISTORY.to_owned(), history.join(","));
        }
    }
    news
}

/// The hash that names the set of the current template.
pub(super) fn hash(deployment: &Deployment) -> String {
    let collisions = deployment.status["collisionCount"].as_i64();
    shape::hash(&deployment.template, collisions)
}

/// A set of the current template.
pub(super) fn set(key: &ObjectKey, deployment: &Deployment, revision: i64, replicas: i64) -> Value {
    let hash = hash(deployment);
    let mut template = deployment.template.clone();
    template["metadata"]["labels"][HASH] = hash.as_str().into();
    let mut selector = deployment.selector.clone();
    selector["matchLabels"][HASH] = hash.as_str().into();
    let mut annotations = news(deployment, &Labels::new(), revision);
    annotations.extend(sizes(deployment).map(|(name, size)| (name.to_owned(), size)));
    let claimant = Claimant {
        kind: DEPLOYMENT,
        name: &key.name,
        meta: &deployment.meta,
        matcher: &deployment.matcher,
    };
    let mut spec = json!({
        "replicas": replicas,
        "selector": selector,
        "template": template,
    });
    if deployment.min_ready_seconds != 0 {
        spec["minReadySeconds"] = deployment.min_ready_seconds.into();
    }
    json!({
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": format!("{}-{hash}", key.name),
            "labels": template["metadata"]["labels"],
            "annotations": annotations,
            "ownerReferences": [claimant.reference()],
        },
        "spec": spec,
    })
}
