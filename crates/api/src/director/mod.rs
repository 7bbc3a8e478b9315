//! Virtual clusters: the kinds of KubeDirector, `kubedirector.hpe.com/v1beta1`.
//!
//! A [`KubeDirectorApp`] says what an application is made of, a [`KubeDirectorCluster`] says which one is
//! wanted, of what size; a [`KubeDirectorConfig`] has what holds for all of them.
//!
//! Laws:
//! - JSON names, spellings and values are those that users of KubeDirector have; fields of ours are
//!   optional and say so, and changes to the served version only add;
//! - what a schema can refuse the CRD refuses, by its patterns and rules; the rest is said by pure
//!   functions, and whoever calls them has read what they need into plain structs;
//! - a secret of these kinds has a type that shows nothing to `Debug`.

pub mod admission;
mod amount;
pub mod app;
mod cardinality;
pub mod cluster;
pub mod config;
mod findings;
mod inherit;
pub mod original;
mod rules;
mod secret;

use kube::CustomResourceExt as _;
use serde_json::Value;

pub use self::{
    amount::{Amount, Amounts, DisruptionBudget},
    app::KubeDirectorApp,
    cardinality::{Cardinality, CardinalityError, CardinalityText},
    cluster::KubeDirectorCluster,
    config::{KubeDirectorConfig, KubeDirectorStatusBackup},
    inherit::Inheritable,
    secret::Hidden,
};

/// The CRDs of virtual clusters, as JSON objects to apply.
///
/// They are none of [`crate::crds`] as long as the operator does not serve them.
pub fn crds() -> Vec<Value> {
    [
        KubeDirectorApp::crd(),
        KubeDirectorCluster::crd(),
        KubeDirectorConfig::crd(),
        KubeDirectorStatusBackup::crd(),
    ]
    .iter()
    .map(crate::to_object)
    .collect()
}

/// The CRDs of the first KubeDirector, as JSON objects to apply. Their plurals are those of today's, so
/// they are served only where they are asked for.
pub fn original_crds() -> Vec<Value> {
    [
        original::KubeDirectorApp::crd(),
        original::KubeDirectorCluster::crd(),
    ]
    .iter()
    .map(crate::to_object)
    .collect()
}

/// The API group, and the prefix of KubeDirector's labels and annotations.
pub const GROUP: &str = "kubedirector.hpe.com";

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls it with a reference"
)]
pub(crate) const fn is_false(value: &bool) -> bool {
    !*value
}

#[cfg(test)]
mod served;
#[cfg(test)]
mod tests;
