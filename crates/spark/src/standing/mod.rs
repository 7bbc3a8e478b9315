//! Servers that stay, whatever they serve: a Spark Connect server ([`crate::connect`]) and a history server
//! ([`crate::history`]). Each is a Deployment of one pod that is replaced and never rolled over, so that an old and a
//! new server are not up at once; kubelet and Deployment start it again when it fails, with their own pauses.
//!
//! Laws:
//! - an object of a server carries the hash of what it was made from, and is applied again only when it is missing or
//!   that differs; files are in ConfigMaps that never change, so that a server reads all its life what it was started
//!   with;
//! - the Deployment is applied last, and what is stale goes after it.

mod changes;
mod observe;
mod parts;

pub use self::observe::{CHILD, DeploymentState, POD, Present, Seen, ServerPod};
pub(crate) use self::{
    changes::{Parts, stopped},
    observe::see,
    parts::{Owner, deployment, rename_file, service, service_port, stamp},
};

use windlass_engine::Kind;

/// `deployments.apps`.
pub const DEPLOYMENT: Kind = Kind::namespaced("apps", "v1", "Deployment", "deployments");

/// On every object of a server: the hash of what it was made from.
pub const HASH_ANNOTATION: &str = "windlass.dev/made-from";
/// On a Deployment: the generation of the specification that it was made for. It is no part of what the hash is of:
/// a generation may differ in nothing that matters to the server.
pub const MADE_FOR_ANNOTATION: &str = "windlass.dev/made-for-generation";
