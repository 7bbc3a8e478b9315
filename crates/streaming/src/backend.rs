//! The seam between the API server, which speaks the wire protocols, and whatever runs the pods.
//!
//! The API server calls a [`NodeBackend`]; the node agent implements it. Neither knows the other.

use std::pin::Pin;

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;

/// Bytes a process produces.
pub type Reader = Pin<Box<dyn AsyncRead + Send>>;
/// Bytes a process consumes; shutting it down is end of file.
pub type Writer = Pin<Box<dyn AsyncWrite + Send>>;

/// A connection in both directions.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A container of a pod, as the API server has looked it up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerRef {
    /// Namespace of the pod.
    pub namespace: String,
    /// Name of the pod.
    pub pod: String,
    /// Uid of the pod, so that a successor of the same name is never served by mistake.
    pub uid: String,
    /// Name of the container (init and ephemeral containers too).
    pub container: String,
}

/// The query of a pod's `log` subresource.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogOptions {
    /// Keep the stream open and send what comes.
    pub follow: bool,
    /// The last terminated instance of the container instead of the current one.
    pub previous: bool,
    /// Prefix each line with an RFC 3339 time in nanoseconds.
    pub timestamps: bool,
    /// Only the last so many lines.
    pub tail_lines: Option<u64>,
    /// Only what was written in the last so many seconds.
    pub since_seconds: Option<u64>,
    /// Only what was written since this time.
    pub since_time: Option<String>,
    /// Stop after so many bytes.
    pub limit_bytes: Option<u64>,
}

/// The query of a pod's `exec` and `attach` subresources.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExecOptions {
    /// The command and its arguments; empty for attach.
    pub command: Vec<String>,
    /// Whether the client sends standard input.
    pub stdin: bool,
    /// Whether the client wants standard output.
    pub stdout: bool,
    /// Whether the client wants standard error.
    pub stderr: bool,
    /// Whether to allocate a terminal (then there is no separate standard error).
    pub tty: bool,
}

/// The size of the client's terminal, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct TerminalSize {
    /// Columns.
    pub width: u16,
    /// Rows.
    pub height: u16,
}

/// A running command inside a container.
///
/// Dropping it means that nobody listens any more: the client went away, or the server stops. What
/// becomes of the command is the node's decision.
pub struct Process {
    /// Where standard input goes, when it was asked for.
    pub stdin: Option<Writer>,
    /// Standard output, when it was asked for.
    pub stdout: Option<Reader>,
    /// Standard error, when it was asked for.
    pub stderr: Option<Reader>,
    /// Where new terminal sizes go, when there is a terminal.
    pub resize: Option<mpsc::Sender<TerminalSize>>,
    /// Resolves to the exit code once the command has ended and its output is complete.
    pub exit: BoxFuture<'static, Result<i32, BackendError>>,
}

/// Why the node refused; the API server turns it into a `Status`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BackendError {
    /// 404.
    #[error("{0}")]
    NotFound(String),
    /// 400: for example the container has not started yet.
    #[error("{0}")]
    BadRequest(String),
    /// 500.
    #[error("{0}")]
    Internal(String),
}

/// What a node offers to the API server. What it says nothing about is answered as where no node is.
pub trait NodeBackend: Send + Sync + 'static {
    /// The container's log.
    fn logs(
        &self,
        _container: ContainerRef,
        _options: LogOptions,
    ) -> BoxFuture<'static, Result<BoxStream<'static, Result<Bytes, BackendError>>, BackendError>>
    {
        no_node()
    }

    /// Starts a command in the container.
    fn exec(
        &self,
        _container: ContainerRef,
        _options: ExecOptions,
    ) -> BoxFuture<'static, Result<Process, BackendError>> {
        no_node()
    }

    /// Attaches to the container's main process.
    fn attach(
        &self,
        _container: ContainerRef,
        _options: ExecOptions,
    ) -> BoxFuture<'static, Result<Process, BackendError>> {
        no_node()
    }

    /// Connects to a port of the pod.
    fn port_forward(
        &self,
        _pod: ContainerRef,
        _port: u16,
    ) -> BoxFuture<'static, Result<Box<dyn Duplex>, BackendError>> {
        no_node()
    }

    /// How full the volumes of the pods of this node are, as a kubelet tells at `stats/summary`.
    fn stats(&self, node: String) -> BoxFuture<'static, Result<serde_json::Value, BackendError>> {
        not_found(format!("node {node} has no statistics"))
    }
}

fn no_node<T: Send + 'static>() -> BoxFuture<'static, Result<T, BackendError>> {
    not_found("no node".to_owned())
}

fn not_found<T: Send + 'static>(why: String) -> BoxFuture<'static, Result<T, BackendError>> {
    futures::future::ready(Err(BackendError::NotFound(why))).boxed()
}

/// Stands for a node where none runs: an API server alone, in tests of what does not ask one.
#[derive(Debug, Clone, Copy)]
pub struct NoNode;

impl NodeBackend for NoNode {}
