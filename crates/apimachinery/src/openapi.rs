//! The OpenAPI v3 documents the API serves: embedded ones of built-in groups, built ones of CRDs.
//!
//! Documents are kept compressed and decoded per request, so that serving them costs no memory
//! while nobody asks.

use serde_json::Value;

/// The built-in group versions with a document, as they stand in the index (`api/v1`,
/// `apis/apps/v1`).
pub fn builtin_paths() -> impl Iterator<Item = &'static str> {
    std::iter::empty()
}

/// The document of a built-in group version, as JSON text.
pub fn builtin_document(path: &str) -> Option<Vec<u8>> {
    let _ = path;
    None
}

/// The index served at `/openapi/v3`: every built-in document and these of custom groups, each a
/// path (`apis/example.com/v1`) with a text that changes when the document does.
pub fn v3_index<'a>(custom: impl IntoIterator<Item = (&'a str, &'a str)>) -> Value {
    let _ = custom.into_iter().count();
    serde_json::json!({"paths": {}})
}

/// One custom kind of a group version.
#[derive(Debug, Clone)]
pub struct CustomKind<'a> {
    /// The kind.
    pub kind: &'a str,
    /// The plural resource name.
    pub plural: &'a str,
    /// Whether objects live in namespaces.
    pub namespaced: bool,
    /// Whether there is a status subresource.
    pub status: bool,
    /// Whether there is a scale subresource.
    pub scale: bool,
    /// The `openAPIV3Schema` of this version.
    pub schema: &'a Value,
}

/// The document of a custom group version.
pub fn custom_document(group: &str, version: &str, kinds: &[CustomKind<'_>]) -> Value {
    let _ = (group, version, kinds);
    serde_json::json!({"openapi": "3.0.0"})
}
