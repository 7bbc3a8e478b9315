//! Who owns whom, and what that means for an object. Pure.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use kube::api::{ObjectMeta, PropagationPolicy};
use windlass_engine::{Kind, ObjectKey};

/// The identity of one incarnation of an object.
pub(super) type Uid = Arc<str>;

const FOREGROUND: &str = "foregroundDeletion";
const ORPHAN: &str = "orphan";

/// What is kept of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) kind: Arc<Kind>,
    pub(super) key: ObjectKey,
    pub(super) owners: Vec<Owner>,
    pub(super) deletion: Deletion,
}

/// One owner reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) uid: Uid,
    pub(super) api_version: Box<str>,
    pub(super) kind: Box<str>,
    pub(super) name: Box<str>,
    /// Whether the owner's foreground deletion waits for this object.
    pub(super) blocks: bool,
}

/// Whether an object is being deleted, and what for it still stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deletion {
    /// It is not being deleted. Finalizers that were set beforehand keep their meaning.
    No(Policy),
    /// It is being deleted and waits for its dependents to go first.
    Foreground,
    /// It is being deleted and its dependents are to lose it as an owner first.
    Orphan,
    /// It is being deleted; the collector has no part in it.
    Other,
}

/// How an object asks its dependents to be treated.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Policy {
    /// It does not say.
    #[default]
    Background,
    /// By the `foregroundDeletion` finalizer.
    Foreground,
    /// By the `orphan` finalizer.
    Orphan,
}

/// What should happen to an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing.
    Keep,
    /// It keeps some owners; references to these lead nowhere and go.
    DropOwners(Vec<Uid>),
    /// No owner is left.
    Delete(Delete),
    /// It waits for these dependents, which deserve a look.
    Await(Vec<Uid>),
    /// Nothing blocks its foreground deletion any more.
    ReleaseForeground,
    /// These lose it as an owner, and then it may go.
    Orphan(Vec<Uid>),
}

/// How to delete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Delete {
    Background,
    Foreground,
    Orphan,
}

impl From<Delete> for PropagationPolicy {
    fn from(delete: Delete) -> Self {
        match delete {
            Delete::Background => Self::Background,
            Delete::Foreground => Self::Foreground,
            Delete::Orphan => Self::Orphan,
        }
    }
}

impl Item {
    pub(super) fn new(kind: Arc<Kind>, meta: &ObjectMeta) -> Self {
        let has = |name: &str| meta.finalizers.iter().flatten().any(|known| known == name);
        let policy = if has(ORPHAN) {
            Policy::Orphan
        } else if has(FOREGROUND) {
            Policy::Foreground
        } else {
            Policy::Background
        };
        let deletion = match (meta.deletion_timestamp.is_some(), policy) {
            (false, policy) => Deletion::No(policy),
            (true, Policy::Foreground) => Deletion::Foreground,
            (true, Policy::Orphan) => Deletion::Orphan,
            (true, Policy::Background) => Deletion::Other,
        };
        let owners = meta.owner_references.iter().flatten().map(|owner| Owner {
            uid: Uid::from(owner.uid.as_str()),
            api_version: owner.api_version.as_str().into(),
            kind: owner.kind.as_str().into(),
            name: owner.name.as_str().into(),
            blocks: owner.block_owner_deletion == Some(true),
        });
        Self {
            kind,
            key: ObjectKey {
                namespace: meta.namespace.as_deref().map(Arc::from),
                name: Arc::from(meta.name.as_deref().unwrap_or_default()),
            },
            owners: owners.collect(),
            deletion,
        }
    }

    /// Whether the collector may have something to do for it.
    fn is_of_interest(&self) -> bool {
        !self.owners.is_empty() || matches!(self.deletion, Deletion::Foreground | Deletion::Orphan)
    }
}

/// All objects that are known.
#[derive(Default)]
pub(super) struct Graph {
    items: HashMap<Uid, Item>,
    dependents: HashMap<Uid, BTreeSet<Uid>>,
}

impl Graph {
    pub(super) fn get(&self, uid: &str) -> Option<&Item> {
        self.items.get(uid)
    }

    /// Notes an object; returns who deserves a look because of it.
    pub(super) fn upsert(&mut self, uid: Uid, item: Item) -> Vec<Uid> {
        let mut look = Vec::new();
        let old = self.items.get(&uid);
        if old == Some(&item) {
            return look;
        }
        let was = old.map(|old| old.deletion);
        if item.is_of_interest() {
            look.push(Arc::clone(&uid));
        }
        if item.deletion == Deletion::Foreground && was != Some(Deletion::Foreground) {
            // Its dependents have lost a solid owner.
            look.extend(self.dependents(&uid));
        }
        let old_owners: Vec<Owner> = old.map(|old| old.owners.clone()).unwrap_or_default();
        if old_owners != item.owners {
            for owner in &old_owners {
                self.unlink(&owner.uid, &uid);
                // It may have waited for this object.
                look.push(Arc::clone(&owner.uid));
            }
            for owner in &item.owners {
                self.dependents
                    .entry(Arc::clone(&owner.uid))
                    .or_default()
                    .insert(Arc::clone(&uid));
            }
        }
        self.items.insert(uid, item);
        look
    }

    /// Forgets an object; returns who deserves a look because of it.
    pub(super) fn remove(&mut self, uid: &str) -> Vec<Uid> {
        let Some((uid, item)) = self.items.remove_entry(uid) else {
            return Vec::new();
        };
        let mut look: Vec<Uid> = self.dependents(&uid).collect();
        for owner in &item.owners {
            self.unlink(&owner.uid, &uid);
            look.push(Arc::clone(&owner.uid));
        }
        look
    }

    /// The objects of a kind.
    pub(super) fn of_kind(&self, kind: &Kind) -> Vec<Uid> {
        let of_kind = self.items.iter().filter(|(_, item)| *item.kind == *kind);
        of_kind.map(|(uid, _)| Arc::clone(uid)).collect()
    }

    /// Owners of the object that the graph does not know; only the API can tell about them.
    pub(super) fn unknown_owners<'a>(&self, item: &'a Item) -> Vec<&'a Owner> {
        item.owners
            .iter()
            .filter(|owner| self.visible_owner(item, owner).is_none())
            .collect()
    }

    /// What should happen to an object, given its live state. `absent` are the owners that the API
    /// does not have; other unknown owners exist.
    pub(super) fn decide(&self, uid: &str, item: &Item, absent: &HashSet<Uid>) -> Verdict {
        match item.deletion {
            Deletion::Other => return Verdict::Keep,
            Deletion::Orphan => {
                let dependents = self.visible_dependents(uid, item);
                return Verdict::Orphan(dependents.map(|(uid, _)| uid).collect());
            }
            Deletion::Foreground => {
                let blocking: Vec<Uid> = self
                    .visible_dependents(uid, item)
                    .filter(|(_, dependent)| {
                        dependent
                            .owners
                            .iter()
                            .any(|owner| owner.blocks && *owner.uid == *uid)
                    })
                    .map(|(uid, _)| uid)
                    .collect();
                return if blocking.is_empty() {
                    Verdict::ReleaseForeground
                } else {
                    Verdict::Await(blocking)
                };
            }
            Deletion::No(_) => {}
        }
        let mut stale = Vec::new();
        let mut waiting = false;
        let mut solid = item.owners.is_empty();
        for owner in &item.owners {
            match self.visible_owner(item, owner) {
                Some(known) if known.deletion == Deletion::Foreground => {
                    waiting = true;
                    stale.push(Arc::clone(&owner.uid));
                }
                None if absent.contains(&owner.uid) => stale.push(Arc::clone(&owner.uid)),
                Some(_) | None => solid = true,
            }
        }
        match (solid, stale.is_empty(), item.deletion) {
            (true, true, _) => Verdict::Keep,
            (true, false, _) => Verdict::DropOwners(stale),
            (false, _, Deletion::No(Policy::Orphan)) => Verdict::Delete(Delete::Orphan),
            (false, _, Deletion::No(Policy::Foreground)) => Verdict::Delete(Delete::Foreground),
            // An owner that waits for this object wants all of what it owns gone first.
            (false, _, _) if waiting && self.visible_dependents(uid, item).next().is_some() => {
                Verdict::Delete(Delete::Foreground)
            }
            (false, _, _) => Verdict::Delete(Delete::Background),
        }
    }

    /// The owner, if the reference is one the object may have: owners live in the same namespace
    /// or in none.
    fn visible_owner(&self, item: &Item, owner: &Owner) -> Option<&Item> {
        self.items.get(&owner.uid).filter(|known| {
            known.key.namespace.is_none() || known.key.namespace == item.key.namespace
        })
    }

    fn visible_dependents<'a>(
        &'a self,
        uid: &str,
        item: &'a Item,
    ) -> impl Iterator<Item = (Uid, &'a Item)> {
        let uids = self.dependents.get(uid).into_iter().flatten();
        uids.filter_map(|uid| Some((Arc::clone(uid), self.items.get(uid)?)))
            .filter(|(_, dependent)| {
                item.key.namespace.is_none() || dependent.key.namespace == item.key.namespace
            })
    }

    fn dependents(&self, uid: &str) -> impl Iterator<Item = Uid> {
        self.dependents.get(uid).into_iter().flatten().cloned()
    }

    fn unlink(&mut self, owner: &str, dependent: &str) {
        if let Some(dependents) = self.dependents.get_mut(owner) {
            dependents.remove(dependent);
            if dependents.is_empty() {
                self.dependents.remove(owner);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn item(namespace: Option<&str>, name: &str, extra: Value) -> Item {
        let mut meta = json!({"name": name, "namespace": namespace});
        for (field, value) in extra.as_object().unwrap() {
            meta[field] = value.clone();
        }
        Item::new(Arc::new(Kind::POD), &serde_json::from_value(meta).unwrap())
    }

    fn owned(owners: &[(&str, bool)]) -> Value {
        let owners: Vec<Value> = owners
            .iter()
            .map(|(uid, blocks)| {
                json!({
                    "apiVersion": "v1", "kind": "Pod", "name": uid, "uid": uid,
                    "blockOwnerDeletion": blocks,
                })
            })
            .collect();
        json!({"ownerReferences": owners})
    }

    fn deleting(finalizer: &str) -> Value {
        json!({"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": [finalizer]})
    }

    fn names(uids: &[Uid]) -> Vec<&str> {
        uids.iter().map(|uid| &**uid).collect()
    }

    fn decide(graph: &Graph, uid: &str, absent: &[&str]) -> Verdict {
        let absent = absent.iter().map(|uid| Uid::from(*uid)).collect();
        graph.decide(uid, graph.get(uid).unwrap(), &absent)
    }

    #[test]
    fn an_object_goes_with_its_last_owner_and_not_before() {
        let mut graph = Graph::default();
        graph.upsert("a".into(), item(Some("n"), "a", json!({})));
        let child = item(Some("n"), "child", owned(&[("a", false), ("gone", false)]));
        assert_eq!(names(&graph.upsert("child".into(), child)), ["child"]);
        assert_eq!(
            decide(&graph, "child", &[]),
            Verdict::Keep,
            "not proven absent"
        );
        assert_eq!(
            decide(&graph, "child", &["gone"]),
            Verdict::DropOwners(vec!["gone".into()])
        );
        assert_eq!(names(&graph.remove("a")), ["child"]);
        assert_eq!(
            decide(&graph, "child", &["a", "gone"]),
            Verdict::Delete(Delete::Background)
        );
        assert_eq!(
            decide(&graph, "child", &["gone"]),
            Verdict::DropOwners(vec!["gone".into()])
        );
    }

    #[test]
    fn an_owner_of_another_namespace_is_none() {
        let mut graph = Graph::default();
        graph.upsert("a".into(), item(Some("other"), "a", json!({})));
        graph.upsert("c".into(), item(Some("n"), "c", owned(&[("a", false)])));
        let child = graph.get("c").unwrap();
        assert_eq!(
            graph.unknown_owners(child).len(),
            1,
            "only the API can tell"
        );
        assert_eq!(
            decide(&graph, "c", &["a"]),
            Verdict::Delete(Delete::Background)
        );
        graph.upsert("root".into(), item(None, "root", json!({})));
        graph.upsert("d".into(), item(Some("n"), "d", owned(&[("root", false)])));
        assert_eq!(decide(&graph, "d", &[]), Verdict::Keep);
    }

    #[test]
    fn foreground_deletion_waits_for_the_dependents_that_block_it() {
        let mut graph = Graph::default();
        graph.upsert("top".into(), item(Some("n"), "top", json!({})));
        graph.upsert(
            "mid".into(),
            item(Some("n"), "mid", owned(&[("top", true)])),
        );
        graph.upsert(
            "leaf".into(),
            item(Some("n"), "leaf", owned(&[("mid", true)])),
        );
        graph.upsert(
            "loose".into(),
            item(Some("n"), "loose", owned(&[("top", false)])),
        );
        let look = graph.upsert("top".into(), item(Some("n"), "top", deleting(FOREGROUND)));
        assert_eq!(names(&look), ["top", "loose", "mid"]);
        assert_eq!(
            decide(&graph, "top", &[]),
            Verdict::Await(vec!["mid".into()])
        );
        assert_eq!(
            decide(&graph, "mid", &[]),
            Verdict::Delete(Delete::Foreground)
        );
        assert_eq!(
            decide(&graph, "loose", &[]),
            Verdict::Delete(Delete::Background)
        );
        assert_eq!(decide(&graph, "leaf", &[]), Verdict::Keep);
        graph.remove("leaf");
        assert_eq!(names(&graph.remove("mid")), ["top"]);
        assert_eq!(decide(&graph, "top", &[]), Verdict::ReleaseForeground);
    }

    #[test]
    fn an_orphaning_deletion_frees_the_dependents() {
        let mut graph = Graph::default();
        graph.upsert("top".into(), item(Some("n"), "top", deleting(ORPHAN)));
        graph.upsert("a".into(), item(Some("n"), "a", owned(&[("top", true)])));
        assert_eq!(
            decide(&graph, "top", &[]),
            Verdict::Orphan(vec!["a".into()])
        );
        let freed = graph.upsert("a".into(), item(Some("n"), "a", json!({})));
        assert_eq!(names(&freed), ["top"]);
        assert_eq!(decide(&graph, "top", &[]), Verdict::Orphan(vec![]));
    }

    #[test]
    fn a_finalizer_chosen_beforehand_decides_how_an_object_is_collected() {
        let mut graph = Graph::default();
        for (finalizer, policy) in [(ORPHAN, Delete::Orphan), (FOREGROUND, Delete::Foreground)] {
            let mut extra = owned(&[("gone", false)]);
            extra["finalizers"] = json!([finalizer]);
            graph.upsert("a".into(), item(Some("n"), "a", extra));
            assert_eq!(decide(&graph, "a", &["gone"]), Verdict::Delete(policy));
        }
        graph.upsert(
            "b".into(),
            item(Some("n"), "b", deleting("example.com/mine")),
        );
        assert_eq!(decide(&graph, "b", &[]), Verdict::Keep);
    }

    proptest! {
        /// After any history, the index of dependents says exactly what the items say.
        #[test]
        fn the_index_follows_the_items(
            steps in proptest::collection::vec(
                (0..6u8, proptest::option::of(proptest::collection::btree_set(0..6u8, 0..3))),
                0..40,
            ),
        ) {
            let mut graph = Graph::default();
            for (uid, owners) in steps {
                let uid = uid.to_string();
                match owners {
                    None => {
                        graph.remove(&uid);
                    }
                    Some(owners) => {
                        let owners: Vec<String> = owners.iter().map(u8::to_string).collect();
                        let owners: Vec<(&str, bool)> =
                            owners.iter().map(|owner| (owner.as_str(), true)).collect();
                        let child = item(Some("n"), &uid, owned(&owners));
                        graph.upsert(uid.as_str().into(), child);
                    }
                }
            }
            let mut expected = HashMap::<Uid, BTreeSet<Uid>>::new();
            for (uid, item) in &graph.items {
                for owner in &item.owners {
                    expected.entry(owner.uid.clone()).or_default().insert(uid.clone());
                }
            }
            prop_assert_eq!(&graph.dependents, &expected);
        }

        /// Nothing is deleted while an owner may still be there.
        #[test]
        fn a_possible_owner_protects(
            owners in proptest::collection::btree_set("[a-e]", 1..4),
            absent in proptest::collection::btree_set("[a-e]", 0..5),
        ) {
            let mut graph = Graph::default();
            let references: Vec<(&str, bool)> =
                owners.iter().map(|owner| (owner.as_str(), false)).collect();
            graph.upsert("child".into(), item(Some("n"), "child", owned(&references)));
            let gone: Vec<&str> = absent.iter().map(String::as_str).collect();
            let deleted = matches!(decide(&graph, "child", &gone), Verdict::Delete(_));
            prop_assert_eq!(deleted, owners.is_subset(&absent));
        }
    }
}
