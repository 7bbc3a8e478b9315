//! Buckets: ObjectStores, and what is asked of the stores they are in.
//!
//! What becomes of an ObjectStore is decided by [`plan`] from its status and what the store said last; each
//! thing that is done at a store is one of a few [`steps`], which end with a look. [`wanted`] reads what a
//! user wrote, [`defaults`] fill in what he did not, [`credentials`] read a Secret; [`clients`] speak with
//! stores about buckets, and [`contents`] about what is in them.

pub mod clients;
pub mod contents;
pub mod controller;
pub mod credentials;
pub mod defaults;
pub mod observed;
pub mod plan;
pub mod steps;
pub mod wanted;

use crate::classes::provider::Provider;

pub use self::controller::{OBJECT_STORE, ObjectStores, object_stores};

/// The settings of buckets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// Whose machines the cluster runs on, where that is not to be found out: their store is that of
    /// ObjectStores that name none.
    pub machines: Option<Provider>,
    /// The server that speaks S3 of ObjectStores that name none; without, it is the provider's own.
    pub endpoint: Option<String>,
    /// The Secret with the keys of ObjectStores that name none, which each has in its namespace; without, it
    /// is the operator's own identity.
    pub secret: Option<String>,
}
