//! Spark Connect servers: what one consists of ([`build`]), what is seen of it ([`observe`]), and
//! what should change ([`plan`]).
//!
//! The server is one that stays ([`crate::standing`]). Its pod is a driver's, made like every other one, and its
//! executors are owned by it and go with it.
//!
//! Laws:
//! - [`plan`] is pure and total, and asks for nothing once everything is as it should be;
//! - what policies decide holds from the next start of a server on: what they made of one that is up
//!   stands on its Deployment, with the generation of the specification it was made for;
//! - nothing of somebody else's is ever applied over;
//! - a token is random, is made before the server that asks for it, and is only in its Secret: the
//!   operator may write Secrets and not read them.

mod build;
mod machine;
mod observe;
mod observed;
mod reach;

pub use build::{RULED_ANNOTATION, Ruled, Wanted, wanted, wanted_of};
pub use machine::{Decision, Spec, plan};
pub use observe::observe;
pub use observed::{Entropy, Observed};
pub use reach::NETWORK_POLICY;

pub use crate::lower::server::{CONNECT_PORT, CONNECT_PORT_KEY, SERVER_ROLE};
pub use crate::standing::{
    CHILD, DEPLOYMENT, DeploymentState, HASH_ANNOTATION, MADE_FOR_ANNOTATION, POD, Present,
    ServerPod,
};

/// On the Deployment: the Secret of the token that was made for it.
pub const TOKEN_ANNOTATION: &str = "windlass.dev/token-secret";

#[cfg(test)]
mod tests;
