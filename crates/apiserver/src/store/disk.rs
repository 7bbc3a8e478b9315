//! The durable form: one redb file with the objects, the log of recent changes, and counters.
//!
//! One transaction writes a whole batch of changes, so what is on disk is always the state at one
//! revision together with the log that led to it. After a failed operation the file has to be
//! closed and opened again; [`super::keeper`] does that.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
};

use bytes::{Buf, Bytes};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

use super::{
    Durability, StoreError,
    medium::Medium,
    object::{Change, ChangeKind, Key, Object},
};

const OBJECTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("objects");
const LOG: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("log");
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const REVISION: &str = "revision";
const COMPACTED: &str = "compacted";

/// redb's page cache; reads are served from memory, so it only has to hold what a batch touches.
const CACHE_BYTES: usize = 4 * 1024 * 1024;

/// The open file.
pub(super) struct Disk {
    database: Database,
    durability: redb::Durability,
}

/// Everything that was on disk.
pub(super) struct Loaded {
    pub(super) revision: u64,
    pub(super) compacted: u64,
    pub(super) objects: BTreeMap<Key, Arc<Object>>,
    pub(super) window: VecDeque<Arc<Change>>,
}

impl Disk {
    pub(super) fn open(medium: &dyn Medium, durability: Durability) -> Result<Self, StoreError> {
        let mut builder = redb::Builder::new();
        builder.set_cache_size(CACHE_BYTES);
        let database = medium.open(&builder)?;
        let durability = match durability {
            Durability::Immediate => redb::Durability::Immediate,
            Durability::None => redb::Durability::None,
        };
        let transaction = database.begin_write()?;
        transaction.open_table(OBJECTS)?;
        transaction.open_table(LOG)?;
        transaction.open_table(META)?;
        transaction.commit()?;
        Ok(Self {
            database,
            durability,
        })
    }

    /// The revision of the last batch that is in the file.
    pub(super) fn revision(&self) -> Result<u64, StoreError> {
        let meta = self.database.begin_read()?.open_table(META)?;
        Ok(meta.get(REVISION)?.map_or(0, |guard| guard.value()))
    }

    /// Writes a batch and forgets the log up to and including `compacted`. When this fails the
    /// batch may be in the file all the same.
    pub(super) fn commit(
        &self,
        changes: &[Arc<Change>],
        revision: u64,
        compacted: u64,
    ) -> Result<(), StoreError> {
        let mut transaction = self.database.begin_write()?;
        transaction
            .set_durability(self.durability)
            .map_err(|error| StoreError::Disk(error.to_string()))?;
        {
            let mut objects = transaction.open_table(OBJECTS)?;
            let mut log = transaction.open_table(LOG)?;
            let mut meta = transaction.open_table(META)?;
            for change in changes {
                match change.kind {
                    ChangeKind::Added | ChangeKind::Modified => {
                        objects.insert(change.key.as_str(), &change.object.json()[..])?;
                    }
                    ChangeKind::Deleted => {
                        objects.remove(change.key.as_str())?;
                    }
                }
                log.insert(change.revision(), &encode(change)[..])?;
            }
            log.retain_in(..=compacted, |_, _| false)?;
            meta.insert(REVISION, revision)?;
            meta.insert(COMPACTED, compacted)?;
        }
        transaction.commit()?;
        Ok(())
    }

    /// Reads everything.
    pub(super) fn load(&self) -> Result<Loaded, StoreError> {
        load(&self.database)
    }
}

fn load(database: &Database) -> Result<Loaded, StoreError> {
    let transaction = database.begin_read()?;
    let meta = transaction.open_table(META)?;
    let counter = |name: &str| -> Result<u64, StoreError> {
        Ok(meta.get(name)?.map_or(0, |guard| guard.value()))
    };
    let revision = counter(REVISION)?;
    let compacted = counter(COMPACTED)?;

    let mut objects = BTreeMap::new();
    for row in transaction.open_table(OBJECTS)?.iter()? {
        let (key, json) = row?;
        let key = Key::from_stored(key.value());
        let json = Bytes::copy_from_slice(json.value());
        objects.insert(key, Arc::new(Object::from_json(0, json)));
    }

    let mut window: VecDeque<Arc<Change>> = VecDeque::new();
    // The state before a change is usually the state after an earlier one: share it.
    let mut latest: HashMap<Key, Arc<Object>> = HashMap::new();
    for row in transaction.open_table(LOG)?.iter()? {
        let (number, bytes) = row?;
        let change = decode(
            number.value(),
            Bytes::copy_from_slice(bytes.value()),
            &latest,
        )?;
        latest.insert(change.key.clone(), Arc::clone(&change.object));
        window.push_back(Arc::new(change));
    }
    for (key, object) in &mut objects {
        *object = match latest.get(key) {
            Some(shared) => Arc::clone(shared),
            None => Arc::new(Object::from_json(
                revision_in(object)?,
                object.json().clone(),
            )),
        };
    }
    Ok(Loaded {
        revision,
        compacted,
        objects,
        window,
    })
}

/// The revision an object carries in its own metadata, read without parsing the whole object.
fn revision_in(object: &Object) -> Result<u64, StoreError> {
    #[derive(serde::Deserialize)]
    struct Outer {
        metadata: Meta,
    }
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Meta {
        resource_version: String,
    }
    let outer: Outer = serde_json::from_slice(object.json())
        .map_err(|error| StoreError::Disk(format!("a stored object cannot be read: {error}")))?;
    outer.metadata.resource_version.parse().map_err(|_| {
        StoreError::Disk("a stored object has no numeric metadata.resourceVersion".to_owned())
    })
}

/// Log rows are: kind (1 byte), length of the key (4 bytes), key, length of the object (4 bytes),
/// object, and the state before (the rest, empty when there was none).
fn encode(change: &Change) -> Vec<u8> {
    let previous: &[u8] = change.previous.as_ref().map_or(&[], |object| object.json());
    let mut row = Vec::with_capacity(change.weight() + previous.len() + 9);
    row.push(match change.kind {
        ChangeKind::Added => 0,
        ChangeKind::Modified => 1,
        ChangeKind::Deleted => 2,
    });
    for part in [change.key.as_str().as_bytes(), change.object.json()] {
        row.extend_from_slice(&(part.len() as u32).to_be_bytes());
        row.extend_from_slice(part);
    }
    row.extend_from_slice(previous);
    row
}

fn decode(
    revision: u64,
    mut row: Bytes,
    latest: &HashMap<Key, Arc<Object>>,
) -> Result<Change, StoreError> {
    let torn = || StoreError::Disk(format!("log row {revision} is not complete"));
    if row.is_empty() {
        return Err(torn());
    }
    let kind = match row.get_u8() {
        0 => ChangeKind::Added,
        1 => ChangeKind::Modified,
        2 => ChangeKind::Deleted,
        _ => return Err(torn()),
    };
    let mut part = || -> Result<Bytes, StoreError> {
        if row.len() < 4 {
            return Err(torn());
        }
        let length = row.get_u32() as usize;
        if row.len() < length {
            return Err(torn());
        }
        Ok(row.split_to(length))
    };
    let key = part()?;
    let json = part()?;
    let key = Key::from_stored(std::str::from_utf8(&key).map_err(|_| torn())?);
    let previous = if row.is_empty() {
        None
    } else if let Some(shared) = latest.get(&key) {
        Some(Arc::clone(shared))
    } else {
        let before = Object::from_json(0, row);
        let revision = revision_in(&before)?;
        Some(Arc::new(Object::from_json(revision, before.json().clone())))
    };
    Ok(Change {
        key,
        kind,
        object: Arc::new(Object::from_json(revision, json)),
        previous,
    })
}
