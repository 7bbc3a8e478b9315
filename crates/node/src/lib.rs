//! The embedded node agent: pods as isolated local processes.
//!
//! The agent watches the pods bound to its node and runs each as a tree of local processes. Laws:
//! - what a pod needs next is decided by a pure function; the agent only carries it out;
//! - a pod's processes belong to its shim, not to the agent: the agent may die at any time and
//!   its successor finds the same processes, their output and their exit codes;
//! - what this machine cannot do is said in the pod's status; nothing pretends.
//!
//! ```text
//! API server ──watch──> agent ──plan──> actions ──socket──> shim (one per pod) ──> containers
//! ```

mod addresses;
mod backend;
mod config;
mod describe;
mod env;
mod events;
mod exec;
mod hosts;
pub mod images;
mod inside;
mod lifeline;
mod logs;
mod node;
mod plan;
mod poddir;
mod probes;
mod proc;
mod pty;
mod quantity;
mod reexec;
mod registration;
mod sandbox;
mod shim;
mod stats;
mod volumes;
mod worker;

pub use backend::{NodeStreams, PodUsage};
pub use config::{ApiEndpoint, CapacityOverrides, LoopbackOctet, NodeConfig, NodeError, Orphans};
pub use node::{Node, end_pods};
pub use poddir::remove_tree;
pub use reexec::{REEXEC, dispatch};
pub use worker::PEAK_MEMORY_ANNOTATION;

/// Running containers that are fully resolved, without an API server: what the agent builds on.
pub mod runtime {
    pub use crate::lifeline::Lifeline;
    pub use crate::proc::ProcessId;
    pub use crate::sandbox::spec::{
        ContainerSpec, Limits, MemoryVolume, MountSpec, PodSpec, RootSpec, StdinMode, UserSpec,
    };
    pub use crate::shim::{
        Ending, Instance, Instances, Life, Limitation, PodState, Request, ShimClient, ShimError,
        spawn,
    };
}
