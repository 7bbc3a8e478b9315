//! The entries of `metadata.managedFields`, decoded and encoded.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::set::Set;
use crate::field::quote;

/// What tells two entries apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Identity {
    pub(super) operation: Operation,
    pub(super) manager: String,
    /// Empty for applies: one manager applies through one entry whatever the version.
    api_version: String,
    pub(super) subresource: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Operation {
    Apply,
    Update,
}

impl Identity {
    pub(super) fn new(
        operation: Operation,
        manager: &str,
        api_version: &str,
        subresource: &str,
    ) -> Self {
        let manager = if manager.is_empty() {
            "unknown"
        } else {
            manager
        };
        let api_version = match operation {
            Operation::Apply => "",
            Operation::Update => api_version,
        };
        Self {
            operation,
            manager: manager.to_owned(),
            api_version: api_version.to_owned(),
            subresource: subresource.to_owned(),
        }
    }

    /// The order in which conflicts name managers: that of their entries as text.
    pub(super) fn in_messages(&self, time: Option<Timestamp>) -> impl Ord + use<> {
        let time = match self.operation {
            Operation::Apply => None,
            Operation::Update => time,
        };
        (
            self.manager.clone(),
            self.operation,
            self.api_version.clone(),
            time,
            self.subresource.is_empty(),
            self.subresource.clone(),
        )
    }

    /// How conflicts name this manager.
    pub(super) fn describe(&self) -> String {
        let mut text = quote(&self.manager);
        if !self.subresource.is_empty() {
            text.push_str(&format!(" with subresource {}", quote(&self.subresource)));
        }
        if self.operation == Operation::Update {
            text.push_str(&format!(" using {}", self.api_version));
        }
        text
    }
}

/// What one manager owns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owned {
    pub(super) set: Set,
    pub(super) api_version: String,
    pub(super) time: Option<Timestamp>,
}

pub(super) type Managers = BTreeMap<Identity, Owned>;

/// Reads the entries of an object. `None` if one of them cannot be understood.
pub(super) fn decode(object: &Value) -> Option<Managers> {
    let mut managers = Managers::new();
    for entry in object
        .pointer("/metadata/managedFields")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        let text = |key| entry.get(key).and_then(Value::as_str).unwrap_or_default();
        let operation = match text("operation") {
            "Apply" => Operation::Apply,
            "Update" => Operation::Update,
            _ => return None,
        };
        let api_version = text("apiVersion");
        if api_version.is_empty() || text("fieldsType") != "FieldsV1" {
            return None;
        }
        let set = match entry.get("fieldsV1") {
            None | Some(Value::Null) => Set::default(),
            Some(fields) => Set::decode(fields)?,
        };
        let identity = Identity::new(operation, text("manager"), api_version, text("subresource"));
        let time = text("time").parse().ok();
        managers.insert(
            identity,
            Owned {
                set,
                api_version: api_version.to_owned(),
                time,
            },
        );
    }
    Some(managers)
}

/// Writes the entries of an object, ordered as upstream orders them.
pub(super) fn encode(object: &mut Value, managers: &Managers) {
    let Some(object) = object.as_object_mut() else {
        return;
    };
    let metadata = object
        .entry("metadata")
        .or_insert_with(|| Value::Object(Map::new()));
    let Some(metadata) = metadata.as_object_mut() else {
        return;
    };
    if managers.is_empty() {
        metadata.remove("managedFields");
        return;
    }
    let mut ordered: Vec<(&Identity, &Owned)> = managers.iter().collect();
    ordered.sort_by_key(|(identity, owned)| {
        let second = owned.time.map(Timestamp::as_second).unwrap_or_default();
        (
            identity.operation,
            second,
            &identity.manager,
            &owned.api_version,
            &identity.subresource,
        )
    });
    let entries: Vec<Value> = ordered.into_iter().map(entry).collect();
    metadata.insert("managedFields".to_owned(), Value::Array(entries));
}

fn entry((identity, owned): (&Identity, &Owned)) -> Value {
    let mut entry = json!({
        "manager": identity.manager,
        "operation": match identity.operation {
            Operation::Apply => "Apply",
            Operation::Update => "Update",
        },
        "apiVersion": owned.api_version,
        "fieldsType": "FieldsV1",
        "fieldsV1": owned.set.encode(),
    });
    if let Some(time) = owned.time {
        entry["time"] = time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string().into();
    }
    if !identity.subresource.is_empty() {
        entry["subresource"] = identity.subresource.as_str().into();
    }
    entry
}

/// Removes all entries.
pub(super) fn clear(object: &mut Value) {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
}
