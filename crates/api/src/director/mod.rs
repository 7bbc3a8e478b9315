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

mod amount;
pub mod app;
mod cardinality;
pub mod cluster;
pub mod config;
mod inherit;
pub mod original;
mod rules;
mod secret;

pub use self::{
    amount::{Amount, Amounts, DisruptionBudget},
    app::KubeDirectorApp,
    cardinality::{Cardinality, CardinalityError, CardinalityText},
    cluster::KubeDirectorCluster,
    config::{KubeDirectorConfig, KubeDirectorStatusBackup},
    inherit::Inheritable,
    secret::Hidden,
};

/// The API group, and the prefix of KubeDirector's labels and annotations.
pub const GROUP: &str = "kubedirector.hpe.com";

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls it with a reference"
)]
pub(crate) const fn is_false(value: &bool) -> bool {
    !*value
}
