//! What a container is to the shim: everything resolved, nothing left to look up.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// One start of one container. Written to the pod's directory (it holds secrets, so only its
/// owner may read it) and read again by every process that enters the container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerSpec {
    /// The container's name in the pod.
    pub name: String,
    /// Counts the starts of this container, from 0.
    pub attempt: u32,
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// The whole environment.
    pub env: Vec<(String, String)>,
    /// Made when missing.
    pub working_dir: PathBuf,
    /// What is underneath.
    pub root: RootSpec,
    /// What is mounted over it.
    pub mounts: Vec<MountSpec>,
    /// Host paths that must not show, wherever they would appear.
    pub hidden: Vec<PathBuf>,
    /// Who runs it.
    pub user: UserSpec,
    /// What happens to standard input.
    pub stdin: StdinMode,
    /// Whether it has a terminal.
    pub tty: bool,
    /// What it may use.
    pub limits: Limits,
    /// The container's own writable directory on the host.
    pub dir: PathBuf,
    /// Where its output goes.
    pub log: PathBuf,
    /// Whether the end of the log stands in for a missing termination message.
    pub message_from_log: bool,
    /// `cgroup.procs` files its processes are written to; filled in by the shim.
    #[serde(default)]
    pub cgroups: Vec<PathBuf>,
}

impl ContainerSpec {
    /// The host side of the container's termination message file.
    pub(crate) fn termination_log(&self) -> PathBuf {
        self.dir.join("termination-log")
    }

    /// Where the spec itself is kept.
    pub(crate) fn file(&self) -> PathBuf {
        self.dir.join("spec.json")
    }
}

/// What a container's root is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RootSpec {
    /// The machine's root: system directories with a private writable layer.
    Host {
        /// (source, place): laid over with a private writable layer.
        overlays: Vec<(PathBuf, PathBuf)>,
        /// Shown read-only at their own paths.
        exposed: Vec<PathBuf>,
        /// Executable files put in place.
        scripts: Vec<(PathBuf, String)>,
        /// Whether nothing of it may be written.
        read_only: bool,
    },
    /// A root file system in a directory, with a private writable layer.
    Directory {
        /// The directory.
        lower: PathBuf,
        /// Whether it may not be written.
        read_only: bool,
    },
}

/// One mount in the container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountSpec {
    /// What is mounted, a path on the host (as the pod's shim sees it).
    pub source: PathBuf,
    /// A path below the source; links in it are followed inside the source only.
    pub sub_path: Option<PathBuf>,
    /// Where.
    pub target: PathBuf,
    /// Whether it may not be written.
    pub read_only: bool,
}

/// A memory-backed volume, mounted once for all containers of the pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryVolume {
    /// Where on the host path (visible to the pod only).
    pub path: PathBuf,
    /// Bytes it may hold.
    pub size: Option<u64>,
    /// The group it belongs to, if not root's.
    #[serde(default)]
    pub group: Option<u32>,
}

/// The pod's part of the walls, made once by the shim.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodSpec {
    /// Shown by `hostname`; `None` keeps the machine's (hostNetwork).
    pub hostname: Option<String>,
    /// Memory-backed volumes.
    pub memory_volumes: Vec<MemoryVolume>,
    /// Names the pod in cgroup paths.
    pub id: String,
}

/// Who a container's processes are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserSpec {
    /// `None`: whoever the node runs pods as.
    pub uid: Option<u32>,
    /// The primary group.
    pub gid: Option<u32>,
    /// Additional groups.
    pub groups: Vec<u32>,
    /// Whether set-user-id programs have no effect.
    pub no_new_privileges: bool,
    /// Whether all capabilities are kept.
    pub privileged: bool,
    /// Capabilities beyond the usual ones, without `CAP_`.
    pub add_capabilities: Vec<String>,
    /// Capabilities taken away; `ALL` takes every one.
    pub drop_capabilities: Vec<String>,
}

/// What happens to a container's standard input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum StdinMode {
    /// It is empty.
    Null,
    /// It stays open for whoever attaches.
    Open,
    /// It ends when the first client that attached leaves.
    Once,
}

/// What a container may use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes.
    pub memory: Option<u64>,
    /// Thousandths of a core.
    pub cpu_millis: Option<u64>,
    /// The share of the processor under contention, in thousandths of a core.
    pub cpu_request_millis: Option<u64>,
}
