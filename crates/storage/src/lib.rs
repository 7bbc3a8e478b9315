//! Storage: classes that fit the cluster for claims that name one which is not there, buckets,
//! volumes that grow by themselves, and logs that are kept.
//!
//! All but the controllers and what asks a provider's servers is pure: decisions are made from values.
//!
//! Laws:
//! - nothing is guessed: without a driver that is installed there is no class, and whoever wrote the claim
//!   is told what is missing;
//! - what users or other programs made is never changed and never deleted.

pub mod buckets;
pub mod classes;
mod condition;
pub mod growth;
pub mod logs;
pub mod nfs;
pub mod rbac;

/// The settings of the operator of storage.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StorageConfig {
    /// Which claims get classes, and how it is known which.
    pub classes: classes::Settings,
    /// How buckets are had.
    pub buckets: buckets::Settings,
    /// Whether claims may grow by themselves.
    pub growth: Growth,
    /// How NFS servers are made, if they are.
    pub nfs: Option<nfs::Settings>,
}

/// Whether claims may grow by themselves, for which kubelets are asked how full volumes are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Growth {
    /// No.
    #[default]
    Off,
    /// Those whose annotations say so.
    OnRequest,
}
