//! What the node agent is told when it starts.

use std::fmt;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::str::FromStr;

use kube::api::{PatchParams, PostParams};

use crate::images::ImageConfig;

/// Who the agent is among the managers of an object's fields.
const MANAGER: &str = "windlass-node";

/// How the agent patches.
pub(crate) fn patching() -> PatchParams {
    PatchParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PatchParams::default()
    }
}

/// How the agent creates.
pub(crate) fn posting() -> PostParams {
    PostParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PostParams::default()
    }
}

/// Everything the agent needs to know; nothing of it changes while it runs.
#[derive(Debug, Clone)]
pub struct NodeConfig {
    /// Name of the Node object, and what `spec.nodeName` must say for a pod to run here.
    pub name: String,
    /// The agent keeps everything below this directory; pods never see it.
    pub data_dir: PathBuf,
    /// The cluster's share of 127.0.0.0/8.
    pub loopback: LoopbackOctet,
    /// The binary that is started again for every pod; its `main` must call [`crate::dispatch`].
    pub exe: PathBuf,
    /// Which images this machine can stand in for.
    pub images: ImageConfig,
    /// Where pods reach the API.
    pub api: ApiEndpoint,
    /// What the Node object claims to have, where that is not what the machine has.
    pub capacity: CapacityOverrides,
    /// What becomes of pods when the agent's process ends, in whatever way.
    pub orphans: Orphans,
}

/// What becomes of pods when their agent is gone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Orphans {
    /// They go on, and the next agent on the same data takes them over.
    #[default]
    GoOn,
    /// They are killed at once.
    End,
}

/// Where pods reach the API server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ApiEndpoint {
    /// The cluster IP of the Service `default/kubernetes`.
    pub host: Ipv4Addr,
    /// The port that really listens there: 443, or another one where 443 needs privileges.
    pub port: u16,
}

/// Overrides of what the node says it has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CapacityOverrides {
    /// Thousandths of a core.
    pub cpu_millis: Option<u64>,
    /// Bytes of memory.
    pub memory_bytes: Option<u64>,
    /// Pods at once.
    pub pods: Option<u32>,
}

/// The second octet of a cluster's loopback addresses, 16 to 250.
///
/// Services live in `127.N.0.0/17`, pods in `127.N.128.0/17`; the range leaves out the addresses
/// that programs commonly bind by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LoopbackOctet(u8);

impl LoopbackOctet {
    /// Checks the range.
    pub fn new(octet: u8) -> Result<Self, NodeError> {
        if (16..=250).contains(&octet) {
            Ok(Self(octet))
        } else {
            Err(NodeError::LoopbackOctet(octet.to_string()))
        }
    }

    /// The number itself.
    pub fn get(self) -> u8 {
        self.0
    }
}

impl FromStr for LoopbackOctet {
    type Err = NodeError;

    fn from_str(text: &str) -> Result<Self, NodeError> {
        let octet = text
            .parse()
            .map_err(|_| NodeError::LoopbackOctet(text.to_owned()))?;
        Self::new(octet)
    }
}

impl fmt::Display for LoopbackOctet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why the agent could not start, or a request of its own failed.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The octet is out of range.
    #[error("loopback octet {0} is not a number from 16 to 250; choose one no other cluster uses")]
    LoopbackOctet(String),
    /// The data directory cannot be used.
    #[error("the node's data directory {path} cannot be used; check that it exists and is yours")]
    DataDir {
        /// The directory or file in it.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The API refused something the agent cannot do without.
    #[error("the API server refused to {what}")]
    Api {
        /// The action, in words that follow "refused to".
        what: &'static str,
        /// The refusal.
        #[source]
        source: Box<kube::Error>,
    },
    /// The machine gives no pipe to tell pods of the agent's end.
    #[error("the node cannot make a pipe; check the limit of open files (ulimit -n)")]
    Lifeline(#[source] std::io::Error),
    /// No pod address is free.
    #[error("no pod address is left in 127.{0}.128.0/17; delete pods that are no longer needed")]
    AddressesExhausted(LoopbackOctet),
}

impl NodeError {
    pub(crate) fn data_dir(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::DataDir { path, source }
    }

    pub(crate) fn api(what: &'static str) -> impl FnOnce(kube::Error) -> Self {
        move |source| Self::Api {
            what,
            source: Box::new(source),
        }
    }
}
