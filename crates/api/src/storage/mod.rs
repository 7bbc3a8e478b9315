//! Storage: the kinds of `banzaicloud.com/v1alpha1`.

use serde_json::Value;

/// The CRDs of storage, as JSON objects to apply.
///
/// They are none of [`crate::crds`], because the operator serves them only where it is told to.
pub fn crds() -> Vec<Value> {
    Vec::new()
}
