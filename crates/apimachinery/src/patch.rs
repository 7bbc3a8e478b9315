//! The three patch formats a client can send: JSON patch, JSON merge patch, strategic merge patch.
//!
//! All are pure: document and patch in, new document out. Server-side apply is in
//! [`crate::managed`].

mod strategic;

#[cfg(test)]
mod tests;

use json_patch::PatchOperation;
use serde_json::Value;

pub use strategic::strategic_merge;

/// The most operations one JSON patch may have.
pub const MAX_JSON_PATCH_OPERATIONS: usize = 10_000;

/// A patch that cannot be applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// The patch itself cannot be understood.
    #[error("{0}")]
    Malformed(String),
    /// A strategic merge patch asks for something that is none of its directives, or does not say
    /// which item it means.
    #[error("{0}")]
    UnknownDirective(String),
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
            Self::UnknownDirective(_) => 500,
            Self::TooLarge { .. } => 413,
            Self::Rejected(_) => 422,
        }
    }

    /// The `reason` of the `Status`.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "BadRequest",
            Self::UnknownDirective(_) => "",
            Self::TooLarge { .. } => "RequestEntityTooLarge",
            Self::Rejected(_) => "Invalid",
        }
    }
}

/// Applies an RFC 6902 patch as Kubernetes understands it: a `test` for null passes where the last
/// step of the path is absent.
pub fn json_patch(document: &Value, patch: &Value) -> Result<Value, PatchError> {
    let operations = patch.as_array().ok_or_else(|| {
        PatchError::Malformed(
            "error decoding patch: json: cannot unmarshal object into Go value of type \
             []handlers.jsonPatchOp"
                .to_owned(),
        )
    })?;
    if operations.len() > MAX_JSON_PATCH_OPERATIONS {
        return Err(PatchError::TooLarge {
            max: MAX_JSON_PATCH_OPERATIONS,
            got: operations.len(),
        });
    }
    let mut result = document.clone();
    for (index, operation) in operations.iter().enumerate() {
        let mut operation: PatchOperation = serde_json::from_value(operation.clone())
            .map_err(|error| PatchError::Rejected(format!("operation {index}: {error}")))?;
        if tests_absence(&operation, &result) {
            continue;
        }
        operation = replacing_nothing(operation, &result);
        json_patch::patch_unsafe(&mut result, std::slice::from_ref(&operation)).map_err(
            |error| {
                PatchError::Rejected(format!("operation {index} ({operation}): {}", error.kind))
            },
        )?;
    }
    Ok(result)
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

/// Kubernetes lets a field be replaced that is not there.
fn replacing_nothing(operation: PatchOperation, document: &Value) -> PatchOperation {
    match operation {
        PatchOperation::Replace(replace) => {
            let path = replace.path.as_str();
            let parent = path
                .rsplit_once('/')
                .and_then(|(parent, _)| document.pointer(parent));
            if document.pointer(path).is_none() && parent.is_some_and(Value::is_object) {
                PatchOperation::Add(json_patch::AddOperation {
                    path: replace.path,
                    value: replace.value,
                })
            } else {
                PatchOperation::Replace(replace)
            }
        }
        other => other,
    }
}

/// Whether the operation asks for null where there is nothing. Finalizer helpers rely on it.
fn tests_absence(operation: &PatchOperation, document: &Value) -> bool {
    let PatchOperation::Test(test) = operation else {
        return false;
    };
    let path = test.path.as_str();
    let Some((parent, _)) = path.rsplit_once('/') else {
        return false;
    };
    test.value.is_null()
        && document.pointer(path).is_none()
        && document
            .pointer(parent)
            .is_some_and(|parent| parent.is_object())
}
