//! The objects of one store and their indexes, small.
//!
//! An operator that follows thousands of applications keeps tens of thousands of pods, so every
//! field counts: one allocation per object holds its key and its compact identity, the table and
//! the indexes hold nothing but pointers to it, and namespaces are shared.

use std::borrow::Borrow;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::kind::{Kind, ObjectKey};
use crate::object::Object;

/// The objects of one kind.
#[derive(Debug)]
pub(crate) struct Shelf {
    kind: Kind,
    entries: HashSet<ByKey>,
    indexes: Vec<Index>,
    namespaces: HashSet<Arc<str>>,
    text_bytes: usize,
}

/// What an index lists objects under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IndexBy {
    /// The uid of each owner.
    Owner,
    /// The value of a label.
    Label(&'static str),
}

/// One object as it is kept.
#[derive(Debug)]
pub(crate) struct Entry {
    key: ObjectKey,
    uid: Uid,
    revision: Revision,
    /// The object as JSON, without what identifies it.
    text: Box<str>,
}

/// An object on its way onto the shelf: what is kept, and what each index lists it under.
pub(crate) struct Prepared {
    entry: Entry,
    index_values: Vec<Vec<Box<str>>>,
}

#[derive(Debug)]
struct Index {
    by: IndexBy,
    lists: HashMap<Box<str>, Vec<Arc<Entry>>>,
}

/// An entry that is looked up by its key.
#[derive(Debug)]
struct ByKey(Arc<Entry>);

/// A uid; the usual form takes 16 bytes instead of 36 and an allocation.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Uid {
    Uuid([u8; 16]),
    Other(Box<str>),
}

/// A resourceVersion; every API server in use counts in decimal.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Revision {
    Number(u64),
    Other(Box<str>),
}

impl Shelf {
    pub(crate) fn new(kind: Kind, indexes: impl IntoIterator<Item = IndexBy>) -> Self {
        let indexes = indexes.into_iter().map(|by| Index {
            by,
            lists: HashMap::new(),
        });
        Self {
            kind,
            entries: HashSet::new(),
            indexes: indexes.collect(),
            namespaces: HashSet::new(),
            text_bytes: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn text_bytes(&self) -> usize {
        self.text_bytes
    }

    pub(crate) fn get(&self, key: &ObjectKey) -> Option<&Entry> {
        self.entries.get(key).map(|entry| &*entry.0)
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &ObjectKey> {
        self.entries.iter().map(|entry| &entry.0.key)
    }

    /// Every entry, for a look that outlasts the lock.
    pub(crate) fn entries(&self) -> Vec<Arc<Entry>> {
        self.entries
            .iter()
            .map(|entry| Arc::clone(&entry.0))
            .collect()
    }

    /// The objects of a namespace (or all), in the order of their keys.
    pub(crate) fn all(&self, namespace: Option<&str>) -> Vec<Object> {
        self.restore_all(self.entries.iter().map(|entry| &*entry.0), namespace)
    }

    /// The objects of a namespace (or all) that stand under a value, in the order of their keys.
    /// Without an index for it this costs a scan.
    pub(crate) fn find(&self, by: IndexBy, value: &str, namespace: Option<&str>) -> Vec<Object> {
        match self.indexes.iter().find(|index| index.by == by) {
            Some(index) => {
                let listed = index.lists.get(value).into_iter().flatten();
                self.restore_all(listed.map(|entry| &**entry), namespace)
            }
            None => {
                let mut objects = self.all(namespace);
                objects.retain(|object| by.values(object).any(|found| found == value));
                objects
            }
        }
    }

    pub(crate) fn prepare(&self, object: &Object) -> Prepared {
        let values = self
            .indexes
            .iter()
            .map(|index| index.by.values(object).map(Box::from));
        Prepared {
            entry: Entry::new(object),
            index_values: values.map(Iterator::collect).collect(),
        }
    }

    /// Puts an object in its place; returns what stood there.
    pub(crate) fn insert(&mut self, prepared: Prepared) -> Option<Object> {
        let Prepared {
            mut entry,
            index_values,
        } = prepared;
        if let Some(namespace) = &mut entry.key.namespace {
            if let Some(known) = self.namespaces.get(namespace) {
                *namespace = Arc::clone(known);
            } else {
                self.namespaces.insert(Arc::clone(namespace));
            }
        }
        let old = self.remove(&entry.key);
        let entry = Arc::new(entry);
        for (index, values) in self.indexes.iter_mut().zip(index_values) {
            for value in values {
                index
                    .lists
                    .entry(value)
                    .or_default()
                    .push(Arc::clone(&entry));
            }
        }
        self.text_bytes += entry.text.len();
        self.entries.insert(ByKey(entry));
        old
    }

    pub(crate) fn remove(&mut self, key: &ObjectKey) -> Option<Object> {
        let ByKey(entry) = self.entries.take(key)?;
        self.text_bytes -= entry.text.len();
        let old = entry.restore(&self.kind);
        for index in &mut self.indexes {
            for value in index.by.values(&old) {
                index.remove(value, &entry);
            }
        }
        Some(old)
    }

    fn restore_all<'a>(
        &self,
        entries: impl Iterator<Item = &'a Entry>,
        namespace: Option<&str>,
    ) -> Vec<Object> {
        let is_inside =
            |entry: &&Entry| namespace.is_none() || entry.key.namespace.as_deref() == namespace;
        let mut entries: Vec<&Entry> = entries.filter(is_inside).collect();
        entries.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        entries
            .into_iter()
            .map(|entry| entry.restore(&self.kind))
            .collect()
    }
}

impl IndexBy {
    fn values(self, object: &Object) -> impl Iterator<Item = &str> {
        let (owners, label) = match self {
            Self::Owner => (Some(object.owner_uids()), None),
            Self::Label(label) => (None, object.label(label)),
        };
        owners.into_iter().flatten().chain(label)
    }
}

impl Index {
    fn remove(&mut self, value: &str, entry: &Arc<Entry>) {
        if let Some(list) = self.lists.get_mut(value) {
            if let Some(position) = list.iter().position(|listed| Arc::ptr_eq(listed, entry)) {
                list.swap_remove(position);
            }
            if list.is_empty() {
                self.lists.remove(value);
            }
        }
    }
}

impl Prepared {
    pub(crate) fn key(&self) -> &ObjectKey {
        &self.entry.key
    }

    pub(crate) fn revision(&self) -> Option<u64> {
        self.entry.revision.number()
    }

    /// Whether this is what the shelf has already.
    pub(crate) fn is_same_as(&self, known: &Entry) -> bool {
        self.entry.revision == known.revision && self.entry.uid == known.uid
    }
}

impl Entry {
    fn new(object: &Object) -> Self {
        let mut value = object.as_value().clone();
        if let Some(fields) = value.as_object_mut() {
            fields.remove("apiVersion");
            fields.remove("kind");
        }
        if let Some(Value::Object(metadata)) = value.get_mut("metadata") {
            for identity in ["name", "namespace", "uid", "resourceVersion"] {
                metadata.remove(identity);
            }
        }
        Self {
            key: object.key(),
            uid: Uid::new(object.uid()),
            revision: Revision::new(object.resource_version()),
            text: value.to_string().into_boxed_str(),
        }
    }

    /// A part of the object.
    pub(crate) fn read<T: DeserializeOwned>(&self) -> Option<(ObjectKey, T)> {
        let read = serde_json::from_str(&self.text).ok()?;
        Some((self.key.clone(), read))
    }

    pub(crate) fn restore(&self, kind: &Kind) -> Object {
        let mut value: Value = serde_json::from_str(&self.text).unwrap_or_default();
        if let Some(Value::Object(metadata)) = value.get_mut("metadata") {
            metadata.insert("name".to_owned(), Value::from(&*self.key.name));
            if let Some(namespace) = &self.key.namespace {
                metadata.insert("namespace".to_owned(), Value::from(&**namespace));
            }
            metadata.insert("uid".to_owned(), Value::from(self.uid.to_string()));
            metadata.insert(
                "resourceVersion".to_owned(),
                Value::from(self.revision.to_string()),
            );
        }
        Object::new(value).with_kind(kind)
    }
}

impl Borrow<ObjectKey> for ByKey {
    fn borrow(&self) -> &ObjectKey {
        &self.0.key
    }
}

impl PartialEq for ByKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.key == other.0.key
    }
}

impl Eq for ByKey {}

impl Hash for ByKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.key.hash(state);
    }
}

impl Uid {
    fn new(text: &str) -> Self {
        match parse_uuid(text) {
            Some(bytes) => Self::Uuid(bytes),
            None => Self::Other(text.into()),
        }
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Other(text) => f.write_str(text),
            Self::Uuid(bytes) => {
                for (position, byte) in bytes.iter().enumerate() {
                    if [4, 6, 8, 10].contains(&position) {
                        f.write_str("-")?;
                    }
                    write!(f, "{byte:02x}")?;
                }
                Ok(())
            }
        }
    }
}

/// Reads the one spelling that [`Uid`]'s `Display` writes: lower case, with hyphens.
fn parse_uuid(text: &str) -> Option<[u8; 16]> {
    let text = text.as_bytes();
    if text.len() != 36 || [8, 13, 18, 23].iter().any(|hyphen| text[*hyphen] != b'-') {
        return None;
    }
    let mut digits = text
        .iter()
        .enumerate()
        .filter(|(at, _)| ![8, 13, 18, 23].contains(at));
    let mut next = || match *digits.next()?.1 {
        digit @ b'0'..=b'9' => Some(digit - b'0'),
        digit @ b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; 16];
    for byte in &mut bytes {
        *byte = next()? << 4 | next()?;
    }
    Some(bytes)
}

impl Revision {
    fn new(text: &str) -> Self {
        match text.parse::<u64>() {
            Ok(number) if number.to_string() == text => Self::Number(number),
            _ => Self::Other(text.into()),
        }
    }

    fn number(&self) -> Option<u64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Other(_) => None,
        }
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Other(text) => f.write_str(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_usual_uids_and_revisions_are_kept_small() {
        let uid = Uid::new("6e2a9a3e-1f0b-4c57-9d53-0123456789ab");
        assert!(matches!(uid, Uid::Uuid(_)));
        assert!(matches!(
            Revision::new("18446744073709551615"),
            Revision::Number(u64::MAX)
        ));
    }

    proptest! {
        #[test]
        fn uids_and_revisions_are_given_back_as_they_came(
            text in prop_oneof![
                "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
                "[0-9A-F]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
                "[+0]?[0-9]{0,20}",
                ".{0,40}",
            ],
        ) {
            prop_assert_eq!(Uid::new(&text).to_string(), text.clone());
            prop_assert_eq!(Revision::new(&text).to_string(), text);
        }
    }
}
