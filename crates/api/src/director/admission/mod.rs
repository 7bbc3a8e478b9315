//! Whether what users ask for may be, and what it is with all its defaults.
//!
//! Who calls these functions, a webhook or a controller, has read what [`needs`] names into
//! [`Surroundings`]; nothing here reads or writes anything.
//!
//! Laws:
//! - a refusal names the field, what is wrong and what to do; all of them are told at once, except
//!   that a change of what cannot change is told alone;
//! - what was admitted is admitted again, without any change;
//! - an answer that nobody has given is no permission;
//! - what is a secret leaves as [`SecretText`], to be encrypted before the cluster is stored.
//!
//! Three rules of KubeDirector are gone with their reasons. The status is guarded by its subresource
//! and RBAC, and not by one-time marks. Hooks that are still to be called stand in no one's way, since
//! what a member is to be told follows from what is there. And a cluster that comes back from a backup
//! is not marked as being restored, since it needs nothing but its objects and their names.

mod app;
mod changes;
mod cluster;
mod config;
mod defaults;
mod kept;
mod roles;
mod surroundings;

pub use self::{
    app::{admit_app, delete_app, uses},
    cluster::{Defaulted, Request, SecretText, admit, delete_cluster},
    config::{ConfigSurroundings, admit_config, delete_config},
    kept::{Kept, KeptRole},
    surroundings::{
        AccessMode, Claim, Needs, Review, StorageClasses, Surroundings, VolumeMode, needs,
    },
};

/// The label of a cluster that KubeDirector restores from a backup.
pub const RESTORING: &str = "kubedirector.hpe.com/restoring";

/// The label that lets a cluster be deleted in spite of [`RESTORING`].
pub const ALLOW_DELETE_WHILE_RESTORING: &str = "kubedirector.hpe.com/allow-delete-while-restoring";

/// The annotation of a cluster that has a KubeDirectorStatusBackup.
pub const STATUS_BACKUP_EXISTS: &str = "kubedirector.hpe.com/status-backup-exists";

/// The annotation of a cluster that says what the names of its objects are made from: the uid it had
/// when it was made first. A cluster that is created with it comes back from a backup.
pub const IDENTITY: &str = "windlass.dev/identity";

#[cfg(test)]
pub(super) mod tests;
