//! Storage: the kinds of `banzaicloud.com/v1alpha1`.

pub mod growth;
pub mod hadoop;
pub mod object_store;

use kube::CustomResourceExt as _;
use serde_json::Value;

pub use self::object_store::ObjectStore;

/// The CRDs of storage, as JSON objects to apply.
///
/// They are none of [`crate::crds`], because the operator serves them only where it is told to.
pub fn crds() -> Vec<Value> {
    vec![crate::to_object(&ObjectStore::crd())]
}
