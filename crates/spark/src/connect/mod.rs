//! Spark Connect servers: what one consists of ([`build`]), what is seen of it ([`observe`]), and
//! what should change ([`plan`]).
//!
//! The server is a Deployment of one pod that is replaced and never rolled over, so that an old and
//! a new server are not up at once; kubelet and Deployment start it again when it fails, with
//! their own pauses. Its pod is a driver's, made like every other one, and its executors are owned
//! by it and go with it.
//!
//! Laws:
//! - [`plan`] is pure and total, and asks for nothing once everything is as it should be;
//! - an object of the server carries the hash of what it was made from, and is applied again only
//!   when it is missing or that differs; files are in ConfigMaps that never change, so that a
//!   server reads all its life what it was started with;
//! - what policies decide holds from the next start of a server on: what they made of one that is up
//!   stands on its Deployment, with the generation of the specification it was made for;
//! - the Deployment is applied last, and nothing of somebody else's is ever applied over;
//! - a token is random, is made before the server that asks for it, and is only in its Secret: the
//!   operator may write Secrets and not read them.

mod build;
mod machine;
mod observe;
mod observed;
mod reach;

pub use build::{MADE_FOR_ANNOTATION, RULED_ANNOTATION, Ruled, Wanted, wanted, wanted_of};
pub use machine::{Decision, Spec, plan};
pub use observe::{CHILD, POD, observe};
pub use observed::{Entropy, Observed, Present, ServerPod};
pub use reach::NETWORK_POLICY;

pub use crate::lower::server::{CONNECT_PORT, CONNECT_PORT_KEY, SERVER_ROLE};

use windlass_engine::Kind;

/// `deployments.apps`.
pub const DEPLOYMENT: Kind = Kind::namespaced("apps", "v1", "Deployment", "deployments");

/// On every object of a server: the hash of what it was made from.
pub const HASH_ANNOTATION: &str = "windlass.dev/made-from";
/// On the Deployment: the Secret of the token that was made for it.
pub const TOKEN_ANNOTATION: &str = "windlass.dev/token-secret";

#[cfg(test)]
mod tests;
