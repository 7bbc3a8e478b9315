//! The members of a cluster: who they are, what they are told, who comes and who goes.
//!
//! [`plan`] decides from what is ([`Observed`]) and what is to be (a
//! [`Blueprint`](crate::blueprint::Blueprint)) what to write and which hooks to run. Its memory is on
//! the objects: what a member was told is on its pod ([`marks`]) and, where it has storage, in the
//! member itself.
//!
//! A member comes like this: its StatefulSet makes the pod; its container runs; a hook writes
//! configmeta.json, installs the package and starts `startscript --configure`; that ends well, which
//! is written on the pod; the others are told. It goes like this: pod and claims are marked; its own
//! hook runs; the others are told; the StatefulSet is made smaller; claims and Service are deleted.
//!
//! Volumes grow while their members use them, and then the StatefulSet is replaced by one that makes volumes
//! of the new size (`growth`).
//!
//! Where nobody has said how many members a role has, `scale` makes a number of what the application was
//! asked for, before anything else is decided ([`autoscale`](crate::autoscale)).
//!
//! Laws:
//! - [`plan`] is pure and total, and asks for nothing once everything is as it should be;
//! - no container is set up twice, and none that was is told a change twice, whoever dies in between:
//!   what a member is told is written before it is told, and it is asked about until it answers;
//! - a member hears the net difference between who is there and who it knows;
//! - no member goes before it is drained and forgotten, or its time is over;
//! - hooks come last among the effects, so that none waits for another one's end.

mod auto_grow;
mod belonging;
mod growth;
mod hooks;
mod marks;
mod membership;
mod notify;
mod observed;
mod plan;
mod read;
mod resize;
mod scale;
mod state;
mod status;
mod upkeep;

pub use belonging::Belonging;
pub use hooks::{Hook, HookKey, HookState, Outcome, Report, arguments};
pub use marks::{Call, ClaimMarks, ConfigError, DrainOutcome, Drained, Pending, PodMarks, SetUp};
pub use membership::{ConnectionsVersion, Membership, NotMembers, Told};
pub use notify::{Next, Roster, differences, next};
pub use observed::{
    Container, Content, Observed, ObservedClaim, ObservedDelivery, ObservedPod, ObservedSet,
    ObservedVolume, Present,
};
pub use plan::{Spec, plan};
pub use resize::NOTIFY_PATIENCE;
pub use scale::standing;
pub use state::{Place, Presence, state};
pub use status::ConditionKind;

/// The annotations by which pods and claims are marked.
pub mod annotations {
    pub use super::marks::{
        CONFIG_ERROR, CONFIGURED, DRAINED, HOOKS, IN_USE, LEAVING, META_GENERATION, PENDING, TOLD,
        TROUBLE,
    };
}

#[cfg(test)]
mod world;
