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

mod backend;
mod config;
pub mod images;
mod node;
mod reexec;

pub use backend::NodeStreams;
pub use config::{ApiEndpoint, CapacityOverrides, LoopbackOctet, NodeConfig, NodeError};
pub use node::Node;
pub use reexec::{REEXEC, dispatch};
