//! Defaults and validation of built-in kinds, as kube-apiserver applies them.
//!
//! Covered are the kinds that clients of the embedded API server touch; others get metadata checks
//! only. The order of a write is: [`default`], [`prepare_create`] or [`prepare_update`], then
//! [`validate_create`] or [`validate_update`]. Objects are expected to have passed
//! [`crate::schema::type_mismatch`]: what has the wrong JSON type is treated as absent here.

mod defaults;
mod empty;
mod json;
mod metadata;
mod pod;
mod pod_update;
mod prepare;
mod probes;
mod service;
mod validate;
mod volumes;
mod warnings;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod workload_tests;

use serde_json::Value;

pub use metadata::{validate_metadata, validate_metadata_update};
pub use warnings::warnings;

use crate::field::FieldError;

/// Fills in the defaults of a kind. Idempotent; applied to every decoded object.
pub fn default(group: &str, version: &str, kind: &str, object: &mut Value) {
    let _ = version;
    defaults::apply(group, kind, object);
}

/// Sets what only the server decides when an object is created: initial phases, quality of
/// service class, finalizers of namespaces, selectors of Jobs.
///
/// `metadata.name` and `metadata.uid` must be set already.
pub fn prepare_create(group: &str, version: &str, kind: &str, object: &mut Value) {
    let _ = version;
    prepare::create(group, kind, object);
}

/// Carries over what an update may leave out: the addresses and node ports of a Service, the
/// generated labels of a Job's template.
pub fn prepare_update(group: &str, version: &str, kind: &str, object: &mut Value, old: &Value) {
    let _ = version;
    prepare::update(group, kind, object, old);
}

/// Validates a new object.
pub fn validate_create(group: &str, version: &str, kind: &str, object: &Value) -> Vec<FieldError> {
    let _ = version;
    let mut errors = metadata::validate(object, metadata::name_rule(group, kind));
    metadata::finalizers(group, object, &mut errors);
    validate::create(group, kind, object, &mut errors);
    errors
}

/// Validates a replacement of `old`, including what may not change.
pub fn validate_update(
    group: &str,
    version: &str,
    kind: &str,
    object: &Value,
    old: &Value,
) -> Vec<FieldError> {
    let _ = version;
    let mut errors = metadata::validate_update(object, old);
    metadata::finalizers(group, object, &mut errors);
    validate::update(group, kind, object, old, &mut errors);
    errors
}

/// Validates a replacement of `old` by way of the status, of which nothing else changes.
pub fn validate_status(group: &str, kind: &str, object: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = metadata::validate_update(object, old);
    validate::status(group, kind, object, old, &mut errors);
    errors
}
