//! Whose an object is: adoption of what a selector matches, release of what it does not.

use std::sync::Arc;

use serde_json::{Value, json};
use windlass_engine::{Kind, ObjectKey};

use super::beside;
use super::keeper::Step;
use crate::life::{Matcher, Meta};
use crate::mirror::{Mirror, View};
use crate::objects::{Labels, Pod};
use crate::queue::Queue;

/// What can be owned.
pub(super) trait Owned {
    fn meta(&self) -> &Meta;
    fn labels(&self) -> &Labels;
}

/// Who keeps owned objects, and takes those in that nobody owns.
pub(super) trait Keeping: View {
    fn matcher(&self) -> &Matcher;
}

/// Wakes whoever keeps an object that changed: its controller, or all who could take it in.
pub(super) fn wake_keepers<K: Keeping, O: Owned>(
    queue: &Queue<ObjectKey>,
    keepers: &Mirror<K>,
    key: &ObjectKey,
    owned: &O,
) {
    match owned.meta().controller() {
        Some(owner) if owner.kind == K::KIND.kind => queue.push(beside(key, &owner.name)),
        Some(_) => {}
        None => {
            for (key, keeper) in keepers.in_namespace(key.namespace.as_deref()) {
                if keeper.matcher().matches(owned.labels()) {
                    queue.push(key);
                }
            }
        }
    }
}

impl Owned for Pod {
    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn labels(&self) -> &Labels {
        &self.labels
    }
}

/// Who owns.
#[derive(Debug, Clone)]
pub(super) struct Claimant<'a> {
    pub(super) kind: Kind,
    pub(super) name: &'a str,
    pub(super) meta: &'a Meta,
    pub(super) matcher: &'a Matcher,
}

/// Objects with their keys, as copies and lists give them.
pub(super) type Keyed<T> = (ObjectKey, Arc<T>);

impl Claimant<'_> {
    /// The reference that makes an object its own.
    pub(super) fn reference(&self) -> Value {
        json!({
            "apiVersion": self.kind.api_version(),
            "kind": self.kind.kind,
            "name": self.name,
            "uid": self.meta.uid,
            "controller": true,
            "blockOwnerDeletion": true,
        })
    }

    /// Those of the objects that are its own, with the steps that make it so.
    pub(super) fn claim<'o, T: Owned>(
        &self,
        kind: &Kind,
        objects: &'o [Keyed<T>],
        may_adopt: impl Fn(&ObjectKey, &T) -> bool,
        steps: &mut Vec<Step>,
    ) -> Vec<&'o Keyed<T>> {
        let mut own = Vec::new();
        for entry in objects {
            let (key, object) = entry;
            let meta = object.meta();
            let matches = self.matcher.matches(object.labels());
            let patch = match meta.controller() {
                Some(owner) if owner.uid != self.meta.uid => continue,
                Some(_) if matches => {
                    own.push(entry);
                    continue;
                }
                Some(_) if self.meta.deleting => continue,
                Some(_) => json!([{"$patch": "delete", "uid": self.meta.uid}]),
                None if self.meta.deleting || meta.deleting => continue,
                None if matches && may_adopt(key, object) => {
                    own.push(entry);
                    json!([self.reference()])
                }
                None => continue,
            };
            steps.push(Step::Patch {
                kind: kind.clone(),
                name: Arc::clone(&key.name),
                patch: json!({"metadata": {"uid": meta.uid, "ownerReferences": patch}}),
            });
        }
        own
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mirror::View;

    fn pod(name: &str, app: &str, owner: Option<&str>, deleting: bool) -> Keyed<Pod> {
        let mut object =
            json!({"metadata": {"uid": format!("uid-{name}"), "labels": {"app": app}}});
        if let Some(owner) = owner {
            object["metadata"]["ownerReferences"] = json!([{"uid": owner, "controller": true}]);
        }
        if deleting {
            object["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        }
        (
            ObjectKey::namespaced("team", name),
            Arc::new(Pod::read(object).unwrap()),
        )
    }

    #[test]
    fn what_matches_is_adopted_what_does_not_is_released_and_the_rest_is_left_alone() {
        let pods = [
            pod("own", "web", Some("me"), false),
            pod("orphan", "web", None, false),
            pod("strayed", "db", Some("me"), false),
            pod("other", "web", Some("you"), false),
            pod("leaving", "web", None, true),
            pod("stranger", "db", None, false),
        ];
        let mut meta = Meta {
            uid: "me".to_owned(),
            ..Meta::default()
        };
        let matcher = Matcher::read(Some(&json!({"matchLabels": {"app": "web"}})));
        let claim = |meta: &Meta| {
            let claimant = Claimant {
                kind: Kind::POD,
                name: "web",
                meta,
                matcher: &matcher,
            };
            let mut steps = Vec::new();
            let own = claimant.claim(&Kind::POD, &pods, |_, _| true, &mut steps);
            let own: Vec<String> = own.iter().map(|(key, _)| key.name.to_string()).collect();
            let patched: Vec<String> = steps
                .iter()
                .map(|step| match step {
                    Step::Patch { name, patch, .. } => {
                        let how = &patch["metadata"]["ownerReferences"][0]["$patch"];
                        format!("{name} {}", how.as_str().unwrap_or("adopt"))
                    }
                    other => panic!("{other:?}"),
                })
                .collect();
            (own, patched)
        };
        let (own, patched) = claim(&meta);
        assert_eq!(own, ["own", "orphan"]);
        assert_eq!(patched, ["orphan adopt", "strayed delete"]);
        meta.deleting = true;
        let (own, patched) = claim(&meta);
        assert_eq!(own, ["own"]);
        assert_eq!(patched, Vec::<String>::new());
    }
}
