//! One object as raw JSON, with the few fields every kind has.
//!
//! Objects stay JSON on purpose: what a controller does not understand in one object becomes a
//! condition on that object, never an undecodable list that stalls its neighbours.

use serde_json::{Map, Value};

use crate::kind::{Kind, ObjectKey};
use crate::plan::ObjectRef;

/// A Kubernetes object as the API served it, less what a store's trim dropped.
#[derive(Debug, Clone, PartialEq)]
pub struct Object(Value);

impl Object {
    /// Wraps a JSON object. Anything but a JSON object is treated as an object without fields.
    pub fn new(value: Value) -> Self {
        match value {
            Value::Object(_) => Self(value),
            _ => Self(Value::Object(Map::new())),
        }
    }

    /// The whole object.
    pub fn as_value(&self) -> &Value {
        &self.0
    }

    /// The whole object, by value.
    pub fn into_value(self) -> Value {
        self.0
    }

    /// `apiVersion`, or the empty string.
    pub fn api_version(&self) -> &str {
        self.text("/apiVersion")
    }

    /// `kind`, or the empty string.
    pub fn kind(&self) -> &str {
        self.text("/kind")
    }

    /// `metadata.name`, or the empty string.
    pub fn name(&self) -> &str {
        self.text("/metadata/name")
    }

    /// `metadata.namespace`; `None` for cluster-scoped objects.
    pub fn namespace(&self) -> Option<&str> {
        self.0
            .pointer("/metadata/namespace")
            .and_then(Value::as_str)
            .filter(|ns| !ns.is_empty())
    }

    /// `metadata.uid`, or the empty string.
    pub fn uid(&self) -> &str {
        self.text("/metadata/uid")
    }

    /// `metadata.resourceVersion`, or the empty string.
    pub fn resource_version(&self) -> &str {
        self.text("/metadata/resourceVersion")
    }

    /// `metadata.generation`, or 0.
    pub fn generation(&self) -> i64 {
        self.0
            .pointer("/metadata/generation")
            .and_then(Value::as_i64)
            .unwrap_or(0)
    }

    /// Whether someone asked for this object to be deleted.
    pub fn is_deleting(&self) -> bool {
        self.0
            .pointer("/metadata/deletionTimestamp")
            .is_some_and(Value::is_string)
    }

    /// One label's value.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.0.get("metadata")?.get("labels")?.get(name)?.as_str()
    }

    /// One annotation's value.
    pub fn annotation(&self, name: &str) -> Option<&str> {
        let annotations = self.0.get("metadata")?.get("annotations")?;
        annotations.get(name)?.as_str()
    }

    /// The uids of all owners.
    pub fn owner_uids(&self) -> impl Iterator<Item = &str> {
        self.owners()
            .filter_map(|owner| owner.get("uid").and_then(Value::as_str))
    }

    /// `metadata.ownerReferences`.
    pub fn owners(&self) -> impl Iterator<Item = &Value> {
        self.0
            .pointer("/metadata/ownerReferences")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
    }

    /// `spec`, or null.
    pub fn spec(&self) -> &Value {
        self.0.get("spec").unwrap_or(&Value::Null)
    }

    /// `status`, or null.
    pub fn status(&self) -> &Value {
        self.0.get("status").unwrap_or(&Value::Null)
    }

    /// The namespace and name.
    pub fn key(&self) -> ObjectKey {
        ObjectKey {
            namespace: self.namespace().map(Into::into),
            name: self.name().into(),
        }
    }

    /// A reference to this object.
    pub fn object_ref(&self) -> ObjectRef {
        ObjectRef {
            api_version: self.api_version().to_owned(),
            kind: self.kind().to_owned(),
            namespace: self.namespace().map(str::to_owned),
            name: self.name().to_owned(),
        }
    }

    /// Puts `apiVersion` and `kind` where a list left them out of its items.
    pub(crate) fn with_kind(mut self, kind: &Kind) -> Self {
        if let Value::Object(fields) = &mut self.0 {
            fields.insert("apiVersion".to_owned(), Value::String(kind.api_version()));
            fields.insert(
                "kind".to_owned(),
                Value::String(kind.kind.clone().into_owned()),
            );
        }
        self
    }

    fn text(&self, pointer: &str) -> &str {
        self.0
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn missing_and_mistyped_fields_read_as_absent() {
        for value in [
            json!(null),
            json!({}),
            json!({"metadata": {"name": 7, "labels": []}}),
        ] {
            let object = Object::new(value);
            assert_eq!(object.name(), "");
            assert_eq!(object.namespace(), None);
            assert_eq!(object.label("a"), None);
            assert!(!object.is_deleting());
            assert_eq!(object.owner_uids().count(), 0);
        }
    }
}
