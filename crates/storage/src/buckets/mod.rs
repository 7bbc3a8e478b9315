//! Buckets: ObjectStores, and what is asked of the stores they are in.
//!
//! What becomes of an ObjectStore is decided by [`plan`] from its status and what the store said last; each
//! thing that is done at a store is one of a few [`steps`], which end with a look. [`wanted`] reads what a
//! user wrote, [`credentials`] a Secret; [`clients`] speak with stores about buckets, and [`contents`] about what
//! is in them.

pub mod clients;
pub mod contents;
pub mod controller;
pub mod credentials;
pub mod observed;
pub mod plan;
pub mod steps;
pub mod wanted;

use windlass_api::storage::object_store::Provider;

pub use self::controller::{OBJECT_STORE, ObjectStores, object_stores};

/// The settings of buckets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// The language of the store of the cloud that this is, if that is known: that of ObjectStores that
    /// name none.
    pub default_provider: Option<Provider>,
}
