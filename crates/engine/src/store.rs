//! What the engine keeps of the cluster: one store per watch, shared by all controllers.
//!
//! Laws:
//! - an object is kept as compact JSON text, not as a tree: a tree of maps costs over 600 bytes
//!   per map, text costs what it says, and parsing a trimmed object takes microseconds;
//! - the fields that identify an object are kept once, outside of the text (see [`shelf`]);
//! - a full list replaces its part of the store at once; what the list does not name is gone;
//! - whoever subscribed is told of every difference, with the old and the new object, after the
//!   store already shows the new state.

mod shelf;

use std::collections::HashSet;
use std::sync::Weak;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::{Mutex, RwLock};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::watch;

use crate::controller::{Trim, Watch};
use crate::kind::{Kind, ObjectKey};
use crate::object::Object;
use crate::selector::Selector;
pub(crate) use shelf::Prepared;
use shelf::{IndexBy, Shelf};

/// The objects of one kind that one selector matches, trimmed.
pub struct Store {
    kind: Kind,
    label_selector: Option<String>,
    selector: Selector,
    indexed_labels: Vec<&'static str>,
    trim: Trim,
    shelf: RwLock<Shelf>,
    /// The newest resourceVersion any event or list showed.
    revision: AtomicU64,
    /// Watches that have not yet delivered their first full list.
    unsynced: AtomicUsize,
    synced: watch::Sender<bool>,
    /// Why the watch does not go on, while it does not.
    problem: Mutex<Option<String>>,
    subscribers: Mutex<Vec<Weak<dyn Subscriber>>>,
}

/// Is told of every change of a store.
pub(crate) trait Subscriber: Send + Sync {
    /// One object changed. At least one side is present. Must not block.
    fn changed(&self, store: &Store, old: Option<&Object>, new: Option<&Object>);
}

impl Store {
    /// An empty store for a watch that is delivered in `parts` (one per namespace watched).
    pub(crate) fn new(watch: &Watch, parts: usize) -> Self {
        let labels = watch.indexes.iter().map(|label| IndexBy::Label(label));
        let indexes = labels.chain(watch.owner_index.then_some(IndexBy::Owner));
        Self {
            kind: watch.kind.clone(),
            label_selector: watch.label_selector.clone(),
            selector: selector_of(watch),
            indexed_labels: watch.indexes.clone(),
            trim: watch.trim,
            shelf: RwLock::new(Shelf::new(watch.kind.clone(), indexes)),
            revision: AtomicU64::new(0),
            unsynced: AtomicUsize::new(parts),
            synced: watch::Sender::new(parts == 0),
            problem: Mutex::new(None),
            subscribers: Mutex::new(Vec::new()),
        }
    }

    /// The kind of the objects.
    pub fn kind(&self) -> &Kind {
        &self.kind
    }

    /// The selector of the watch.
    pub fn label_selector(&self) -> Option<&str> {
        self.label_selector.as_deref()
    }

    /// Whether the watch would show this object.
    pub(crate) fn selects(&self, object: &Object) -> bool {
        self.selector.selects(object)
    }

    /// How many objects are kept.
    pub fn len(&self) -> usize {
        self.shelf.read().len()
    }

    /// Whether no object is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many bytes of JSON text are kept.
    pub fn text_bytes(&self) -> usize {
        self.shelf.read().text_bytes()
    }

    /// Whether every part has delivered its first full list.
    pub fn is_synced(&self) -> bool {
        *self.synced.borrow()
    }

    /// Why the watch does not go on, if it does not.
    pub fn problem(&self) -> Option<String> {
        self.problem.lock().clone()
    }

    /// Waits until every part has delivered its first full list.
    pub async fn wait_synced(&self) {
        // The sender lives in `self`, so waiting can only end with the value.
        let _ = self.synced.subscribe().wait_for(|synced| *synced).await;
    }

    /// The newest resourceVersion seen, or 0.
    pub fn revision(&self) -> u64 {
        self.revision.load(Ordering::Acquire)
    }

    /// One object.
    pub fn get(&self, key: &ObjectKey) -> Option<Object> {
        self.shelf
            .read()
            .get(key)
            .map(|entry| entry.restore(&self.kind))
    }

    /// All objects of a namespace, or of all, in the order of their keys.
    pub fn all(&self, namespace: Option<&str>) -> Vec<Object> {
        self.shelf.read().all(namespace)
    }

    /// What `T` reads of each object, in no particular order, for looks at all of them: no object is
    /// built for it. Of the metadata it finds neither name, namespace, uid nor resourceVersion.
    /// What does not read as `T` is left out.
    pub fn read_all<T: DeserializeOwned>(&self) -> Vec<(ObjectKey, T)> {
        // Reading takes a while, in which watches go on.
        let entries = self.shelf.read().entries();
        let read = entries.iter().filter_map(|entry| entry.read());
        read.collect()
    }

    /// All keys, in no particular order.
    pub fn keys(&self) -> Vec<ObjectKey> {
        self.shelf.read().keys().cloned().collect()
    }

    /// The objects of a namespace that name this uid among their owners, in the order of keys.
    /// Without [`Watch::index_owners`] this costs a scan.
    pub fn owned(&self, namespace: Option<&str>, owner_uid: &str) -> Vec<Object> {
        self.shelf.read().find(IndexBy::Owner, owner_uid, namespace)
    }

    /// The objects of a namespace that carry this label value, in the order of keys. Without
    /// [`Watch::index`] for the label this costs a scan.
    pub fn labelled(&self, namespace: Option<&str>, label: &str, value: &str) -> Vec<Object> {
        let shelf = self.shelf.read();
        match self
            .indexed_labels
            .iter()
            .find(|indexed| **indexed == label)
        {
            Some(label) => shelf.find(IndexBy::Label(label), value, namespace),
            None => {
                let mut objects = shelf.all(namespace);
                objects.retain(|object| object.label(label) == Some(value));
                objects
            }
        }
    }

    /// An object as this store would keep it.
    pub fn trimmed(&self, object: Object) -> Object {
        let mut value = object.into_value();
        trim_metadata(&mut value);
        (self.trim.apply)(&mut value);
        Object::new(value)
    }

    /// Objects as this store would keep them.
    pub fn trimmed_all(&self, objects: Vec<Object>) -> Vec<Object> {
        objects
            .into_iter()
            .map(|object| self.trimmed(object))
            .collect()
    }

    /// The watch's selector and one more requirement.
    pub fn selector_and(&self, requirement: &str) -> String {
        match &self.label_selector {
            Some(selector) => format!("{selector},{requirement}"),
            None => requirement.to_owned(),
        }
    }

    pub(crate) fn subscribe(&self, subscriber: Weak<dyn Subscriber>) {
        self.subscribers.lock().push(subscriber);
    }

    /// An object in the form it is kept in, so that a long list never stands in memory as trees.
    pub(crate) fn prepare(&self, object: Object) -> Prepared {
        self.shelf.read().prepare(&self.trimmed(object))
    }

    /// An object was added or changed.
    pub(crate) fn upsert(&self, object: Object) {
        let new = self.trimmed(object);
        let old = {
            let mut shelf = self.shelf.write();
            let prepared = shelf.prepare(&new);
            self.note_revision(prepared.revision());
            shelf.insert(prepared)
        };
        self.notify(old.as_ref(), Some(&new));
    }

    /// An object was deleted.
    pub(crate) fn remove(&self, object: &Object) {
        self.note_revision(object.resource_version().parse().ok());
        let old = self.shelf.write().remove(&object.key());
        if let Some(old) = old {
            self.notify(Some(&old), None);
        }
    }

    /// A full list of one part (a namespace, or everything) replaces what was known of it.
    pub(crate) fn replace(&self, part: Option<&str>, list: Vec<Prepared>) {
        let mut differences = Vec::new();
        {
            let mut shelf = self.shelf.write();
            let listed: HashSet<&ObjectKey> = list.iter().map(Prepared::key).collect();
            let gone: Vec<ObjectKey> = shelf
                .keys()
                .filter(|key| part.is_none() || key.namespace.as_deref() == part)
                .filter(|key| !listed.contains(*key))
                .cloned()
                .collect();
            for key in gone {
                differences.push((shelf.remove(&key), None));
            }
            for prepared in list {
                self.note_revision(prepared.revision());
                let key = prepared.key().clone();
                if shelf
                    .get(&key)
                    .is_some_and(|known| prepared.is_same_as(known))
                {
                    continue;
                }
                let old = shelf.insert(prepared);
                differences.push((old, shelf.get(&key).map(|entry| entry.restore(&self.kind))));
            }
        }
        for (old, new) in &differences {
            self.notify(old.as_ref(), new.as_ref());
        }
    }

    /// The watch of a part stopped for this reason, or goes on again.
    pub(crate) fn set_problem(&self, problem: Option<String>) {
        *self.problem.lock() = problem;
    }

    /// One part has its first full list.
    pub(crate) fn part_synced(&self) {
        if self.unsynced.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.synced.send_replace(true);
        }
    }

    fn note_revision(&self, revision: Option<u64>) {
        if let Some(revision) = revision {
            self.revision.fetch_max(revision, Ordering::AcqRel);
        }
    }

    fn notify(&self, old: Option<&Object>, new: Option<&Object>) {
        // The list only grows while the engine is put together, so cloning it is rare and short.
        let subscribers = self.subscribers.lock().clone();
        for subscriber in subscribers.iter().filter_map(Weak::upgrade) {
            subscriber.changed(self, old, new);
        }
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("kind", &self.kind)
            .field("label_selector", &self.label_selector)
            .field("objects", &self.len())
            .field("synced", &self.is_synced())
            .finish_non_exhaustive()
    }
}

/// A controller's own selector that cannot be read is taken to match: the API has the last word.
fn selector_of(watch: &Watch) -> Selector {
    let text = watch.label_selector.as_deref().unwrap_or_default();
    text.parse().unwrap_or_default()
}

fn trim_metadata(value: &mut Value) {
    let Some(Value::Object(metadata)) = value.get_mut("metadata") else {
        return;
    };
    metadata.remove("managedFields");
    if let Some(Value::Object(annotations)) = metadata.get_mut("annotations") {
        annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
        if annotations.is_empty() {
            metadata.remove("annotations");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const POD_TRIM: Trim = Trim {
        name: "test-pod",
        apply: |pod| {
            if let Some(fields) = pod.as_object_mut() {
                fields.remove("spec");
            }
        },
    };

    fn store() -> Store {
        Store::new(
            &Watch::all(Kind::POD)
                .index("app")
                .index_owners()
                .trim(POD_TRIM),
            1,
        )
    }

    fn pod(namespace: &str, name: &str, app: &str, owner: &str, revision: u64) -> Object {
        Object::new(json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "namespace": namespace, "name": name, "uid": format!("uid-{name}"),
                "resourceVersion": revision.to_string(),
                "labels": { "app": app },
                "ownerReferences": [{ "uid": owner }],
                "managedFields": [{ "manager": "someone" }],
            },
            "spec": { "containers": [] },
            "status": { "phase": "Running" },
        }))
    }

    fn names(objects: &[Object]) -> Vec<&str> {
        objects.iter().map(Object::name).collect()
    }

    #[derive(Default)]
    struct Log(Mutex<Vec<(Option<String>, Option<String>)>>);

    impl Subscriber for Log {
        fn changed(&self, _: &Store, old: Option<&Object>, new: Option<&Object>) {
            let shown =
                |object: &Object| format!("{}@{}", object.name(), object.resource_version());
            self.0.lock().push((old.map(shown), new.map(shown)));
        }
    }

    #[test]
    fn what_is_read_is_what_was_written_less_the_trim() {
        let store = store();
        store.upsert(pod("team", "a", "x", "o", 7));
        let found = store.get(&ObjectKey::namespaced("team", "a")).unwrap();
        insta::assert_yaml_snapshot!(found.as_value());
        assert_eq!(store.trimmed(pod("team", "a", "x", "o", 7)), found);
    }

    #[test]
    fn indexes_follow_changes_and_respect_namespaces() {
        let store = store();
        store.upsert(pod("one", "a", "x", "o", 1));
        store.upsert(pod("two", "b", "x", "o", 2));
        store.upsert(pod("one", "c", "y", "p", 3));
        assert_eq!(names(&store.labelled(Some("one"), "app", "x")), ["a"]);
        assert_eq!(names(&store.labelled(None, "app", "x")), ["a", "b"]);
        assert_eq!(names(&store.owned(Some("one"), "p")), ["c"]);
        store.upsert(pod("one", "c", "x", "o", 4));
        assert_eq!(names(&store.labelled(Some("one"), "app", "x")), ["a", "c"]);
        assert!(store.owned(None, "p").is_empty());
        store.remove(&pod("one", "a", "x", "o", 5));
        assert_eq!(names(&store.owned(Some("one"), "o")), ["c"]);
        assert_eq!(store.revision(), 5, "deletions move the revision");
    }

    #[test]
    fn a_list_replaces_its_part_and_tells_only_differences() {
        let store = store();
        let log = Arc::new(Log::default());
        store.upsert(pod("one", "gone", "x", "o", 1));
        store.upsert(pod("one", "same", "x", "o", 2));
        store.upsert(pod("one", "changed", "x", "o", 3));
        store.upsert(pod("two", "elsewhere", "x", "o", 4));
        let subscriber: Arc<dyn Subscriber> = log.clone();
        store.subscribe(Arc::downgrade(&subscriber));
        let list = [
            pod("one", "same", "x", "o", 2),
            pod("one", "changed", "x", "o", 9),
            pod("one", "new", "x", "o", 8),
        ];
        store.replace(
            Some("one"),
            list.into_iter().map(|pod| store.prepare(pod)).collect(),
        );
        assert_eq!(
            names(&store.all(None)),
            ["changed", "new", "same", "elsewhere"]
        );
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(
            *log.0.lock(),
            [
                (text("gone@1"), None),
                (text("changed@3"), text("changed@9")),
                (None, text("new@8")),
            ]
        );
    }

    #[test]
    fn a_store_is_synced_when_every_part_is() {
        let store = Store::new(&Watch::all(Kind::POD), 2);
        store.part_synced();
        assert!(!store.is_synced());
        store.part_synced();
        assert!(store.is_synced());
    }

    #[test]
    fn a_look_at_all_objects_reads_only_what_it_is_about() {
        #[derive(serde::Deserialize)]
        struct Phase {
            status: PhaseOf,
        }
        #[derive(serde::Deserialize)]
        struct PhaseOf {
            phase: String,
        }
        let store = store();
        store.upsert(pod("team", "a", "x", "o", 7));
        let mut odd = pod("team", "b", "x", "o", 8).into_value();
        odd["status"] = json!("none");
        store.upsert(Object::new(odd));
        let [(key, read)] = &store.read_all::<Phase>()[..] else {
            panic!("one object has a phase");
        };
        assert_eq!(*key, ObjectKey::namespaced("team", "a"));
        assert_eq!(read.status.phase, "Running");
    }

    /// The goal is 5 KiB for an application with 6 pods; the pods are most of it.
    #[test]
    fn a_trimmed_pod_is_a_few_hundred_bytes_of_text() {
        let store = store();
        store.upsert(pod(
            "team",
            "spark-pi-0123456789abcdef-exec-1",
            "spark-0123456789",
            "o",
            7,
        ));
        assert!(store.text_bytes() < 200, "{} bytes", store.text_bytes());
    }

    proptest! {
        #[test]
        fn indexes_always_agree_with_a_scan(
            changes in prop::collection::vec((0..6_u8, 0..3_u8, 0..3_u8, any::<bool>()), 1..60),
        ) {
            let store = store();
            for (revision, (name, app, owner, delete)) in changes.into_iter().enumerate() {
                let pod = pod(
                    "team", &format!("p{name}"), &format!("a{app}"), &format!("o{owner}"),
                    revision as u64 + 1,
                );
                if delete { store.remove(&pod) } else { store.upsert(pod) }
                let all = store.all(None);
                for value in 0..3 {
                    let app = format!("a{value}");
                    let with_app: Vec<_> =
                        all.iter().filter(|pod| pod.label("app") == Some(&app)).cloned().collect();
                    prop_assert_eq!(store.labelled(None, "app", &app), with_app);
                    let owner = format!("o{value}");
                    let with_owner: Vec<_> = all
                        .iter()
                        .filter(|pod| pod.owner_uids().any(|uid| uid == owner))
                        .cloned()
                        .collect();
                    prop_assert_eq!(store.owned(None, &owner), with_owner);
                }
                prop_assert_eq!(store.text_bytes() > 0, !store.is_empty());
            }
        }
    }
}
