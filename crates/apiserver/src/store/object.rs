//! What the store holds: objects at a revision, and the changes between revisions.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use serde_json::{Map, Value};

/// The place of an object: `group/resource/namespace/name`, or `group/resource/name` when the
/// resource is not namespaced. Byte order of keys is the order of lists.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Arc<str>);

impl Key {
    /// The key of one object. An empty `namespace` means a cluster-scoped resource.
    pub fn new(group: &str, resource: &str, namespace: &str, name: &str) -> Self {
        let mut key = Scope::new(group, resource, namespace).0;
        key.push_str(name);
        Self(key.into())
    }

    /// A key that was written out before.
    pub(super) fn from_stored(text: &str) -> Self {
        Self(text.into())
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The prefix all objects of this key's resource share.
    pub(super) fn resource_prefix(&self) -> &str {
        let mut slashes = self.0.match_indices('/');
        slashes.next();
        slashes.next().map_or(&self.0, |(at, _)| &self.0[..=at])
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A range of keys: all objects of a resource, or those in one namespace.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Scope(String);

impl Scope {
    /// All objects of `resource` in `namespace`, or everywhere when `namespace` is empty.
    pub fn new(group: &str, resource: &str, namespace: &str) -> Self {
        let mut prefix = String::with_capacity(
            group.len() + resource.len() + namespace.len() + 4 + "a-usual-object-name".len(),
        );
        for part in [group, resource] {
            prefix.push_str(part);
            prefix.push('/');
        }
        if !namespace.is_empty() {
            prefix.push_str(namespace);
            prefix.push('/');
        }
        Self(prefix)
    }

    /// The prefix that every key in the scope starts with.
    pub fn prefix(&self) -> &str {
        &self.0
    }

    /// Whether the key lies in this scope.
    pub fn contains(&self, key: &Key) -> bool {
        key.0.starts_with(&self.0)
    }
}

/// An object as it was at a revision.
///
/// The JSON text is the object; parsed, it is several times as large. So only what selectors look
/// at is kept in parsed form, and the whole only once somebody wants it kept.
pub struct Object {
    revision: u64,
    json: Bytes,
    facts: OnceLock<Value>,
    value: OnceLock<Value>,
}

impl Object {
    pub(super) fn from_json(revision: u64, json: Bytes) -> Self {
        Self {
            revision,
            json,
            facts: OnceLock::new(),
            value: OnceLock::new(),
        }
    }

    #[expect(
        clippy::expect_used,
        reason = "only a map whose keys are no strings cannot be JSON"
    )]
    pub(super) fn from_value(revision: u64, value: &Value) -> Self {
        let json = serde_json::to_vec(value).expect("a JSON value is JSON");
        Self {
            revision,
            // It may be kept for long: without the room that it grew into.
            json: Bytes::from(json.into_boxed_slice()),
            facts: OnceLock::from(facts(value)),
            value: OnceLock::new(),
        }
    }

    #[cfg(test)]
    pub(crate) fn for_tests(revision: u64, value: &Value) -> Self {
        Self::from_value(revision, value)
    }

    /// The revision that wrote this state; also its `metadata.resourceVersion`.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The same state, seen at a later revision.
    pub(crate) fn at_revision(&self, revision: u64) -> Self {
        let mut value = self.parse();
        value["metadata"]["resourceVersion"] = Value::String(revision.to_string());
        Self::from_value(revision, &value)
    }

    /// The object as JSON text, `metadata.resourceVersion` included.
    pub fn json(&self) -> &Bytes {
        &self.json
    }

    /// The object as a JSON value, for one use.
    #[expect(
        clippy::expect_used,
        reason = "the store writes only text it made from a value"
    )]
    pub fn parse(&self) -> Value {
        serde_json::from_slice(&self.json)
            .expect("stored JSON was serialised by this store and is checksummed on disk")
    }

    /// The object as a JSON value that stays in memory: for kinds that are few and often read.
    pub fn value(&self) -> &Value {
        self.value.get_or_init(|| self.parse())
    }

    /// What identifies the object and what selectors look at: name, namespace, uid, labels, and
    /// the plain values at the top of `spec`, `status` and their like.
    pub fn facts(&self) -> &Value {
        self.facts.get_or_init(|| facts(&self.parse()))
    }
}

/// The parts of objects whose plain values field selectors name.
const SELECTABLE: [&str; 4] = ["spec", "status", "involvedObject", "source"];

fn facts(value: &Value) -> Value {
    let Some(fields) = value.as_object() else {
        return Value::Null;
    };
    let mut facts = Map::new();
    for (name, field) in fields {
        let kept = match field {
            Value::Object(inner) if name == "metadata" => {
                let kept = ["name", "namespace", "uid", "labels"];
                let kept = kept
                    .into_iter()
                    .filter_map(|name| inner.get_key_value(name));
                Value::Object(
                    kept.map(|(name, value)| (name.clone(), value.clone()))
                        .collect(),
                )
            }
            Value::Object(inner) if SELECTABLE.contains(&name.as_str()) => {
                let plain = inner.iter().filter(|(_, value)| is_plain(value));
                Value::Object(
                    plain
                        .map(|(name, value)| (name.clone(), value.clone()))
                        .collect(),
                )
            }
            plain if is_plain(plain) => plain.clone(),
            _ => continue,
        };
        facts.insert(name.clone(), kept);
    }
    Value::Object(facts)
}

/// The longest text that counts as a plain value: names and phases, not the data of a ConfigMap.
const PLAIN_BYTES: usize = 256;

fn is_plain(value: &Value) -> bool {
    match value {
        Value::String(text) => text.len() <= PLAIN_BYTES,
        Value::Bool(_) | Value::Number(_) => true,
        Value::Null | Value::Array(_) | Value::Object(_) => false,
    }
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Object@{} {}",
            self.revision,
            String::from_utf8_lossy(&self.json)
        )
    }
}

/// What happened to a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// The key did not exist before.
    Added,
    /// The key existed and has a new state.
    Modified,
    /// The key is gone.
    Deleted,
}

/// One revision of the store: exactly one key changed.
#[derive(Debug)]
pub struct Change {
    /// What changed.
    pub key: Key,
    /// How it changed.
    pub kind: ChangeKind,
    /// The new state; for a deletion the last state, carrying the deletion's revision.
    pub object: Arc<Object>,
    /// The state before, when there was one.
    pub previous: Option<Arc<Object>>,
}

impl Change {
    /// The revision this change made.
    pub fn revision(&self) -> u64 {
        self.object.revision
    }

    /// About how many bytes remembering this change costs.
    pub(super) fn weight(&self) -> usize {
        self.key.as_str().len() + self.object.json.len()
    }
}
