//! What the API knows about the shape of a kind, in a form small enough to keep for all of them.
//!
//! A [`TypeSchema`] answers the structural questions of patches, server-side apply and field
//! validation: which fields exist, how lists and maps merge, which key identifies a list item.
//! It says nothing about values being *valid*; that is [`crate::builtin`] and
//! [`crate::structural`].

use std::sync::Arc;

use serde_json::Value;

/// The shape of one kind. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct TypeSchema {
    inner: Arc<Inner>,
}

#[derive(Debug)]
enum Inner {
    Deduced,
}

/// A CRD schema that cannot be turned into a [`TypeSchema`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the schema cannot be used for field management: {0}")]
pub struct SchemaError(String);

/// A value whose JSON type does not fit the field it is in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("json: cannot unmarshal {found} into Go struct field {owner}.{path} of type {expected}")]
pub struct TypeMismatch {
    /// The JSON type found (`string`, `number`, `bool`, `object`, `array`).
    pub found: &'static str,
    /// The message that declares the field (`DeploymentSpec`).
    pub owner: String,
    /// The field, from the top (`spec.replicas`).
    pub path: String,
    /// The type wanted (`int32`).
    pub expected: String,
}

/// The schema of a built-in kind, from the embedded OpenAPI of Kubernetes.
pub fn builtin(group: &str, version: &str, kind: &str) -> Option<TypeSchema> {
    let _ = (group, version, kind);
    None
}

/// The schema of a custom kind, from the `openAPIV3Schema` of its CRD version.
///
/// `metadata` always has the shape of `ObjectMeta`, whatever the CRD says.
pub fn from_crd(open_api_v3_schema: &Value) -> Result<TypeSchema, SchemaError> {
    let _ = open_api_v3_schema;
    Ok(deduced())
}

/// The schema of a kind nothing is known about: maps merge by key, lists are atomic.
pub fn deduced() -> TypeSchema {
    TypeSchema {
        inner: Arc::new(Inner::Deduced),
    }
}

impl TypeSchema {
    /// Whether nothing is known about the kind.
    pub fn is_deduced(&self) -> bool {
        matches!(*self.inner, Inner::Deduced)
    }
}

/// The fields of `object` that the schema does not know, as `unknown field "spec.foo"`.
pub fn unknown_fields(schema: &TypeSchema, object: &Value) -> Vec<String> {
    let _ = (schema, object);
    Vec::new()
}

/// The keys that occur twice in one JSON object of `text`, as `duplicate field "spec.foo"`.
///
/// Text that is not JSON has no duplicates: the decoder reports it.
pub fn duplicate_fields(text: &[u8]) -> Vec<String> {
    let _ = text;
    Vec::new()
}

/// The first value whose JSON type does not fit its field, as a decoder of Go types reports it.
pub fn type_mismatch(schema: &TypeSchema, object: &Value) -> Option<TypeMismatch> {
    let _ = (schema, object);
    None
}

/// Brings a decoded built-in object into the form in which the API stores it: unknown fields,
/// nulls, and empty optional lists and maps go; quantities become canonical.
pub fn normalize(schema: &TypeSchema, object: &mut Value) {
    let _ = (schema, object);
}
