//! The embedded API server, without a node.

use std::sync::Arc;

use anyhow::Context as _;
use futures::{FutureExt as _, future::BoxFuture, stream::BoxStream};
use windlass_apiserver::{ApiServer, Config, User};
use windlass_streaming::backend::{
    BackendError, ContainerRef, Duplex, ExecOptions, LogOptions, NodeBackend, Process,
};

/// A server in this process, with a directory that goes with it.
pub struct Embedded {
    server: ApiServer,
    _directory: tempfile::TempDir,
}

impl Embedded {
    /// Starts one.
    pub async fn start() -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        let mut config = Config::for_tests(directory.path().join("data"));
        config.listen = false;
        let server = ApiServer::start(config, Arc::new(NoNode))
            .await
            .context("the embedded server does not start")?;
        Ok(Self {
            server,
            _directory: directory,
        })
    }

    /// A client that may do everything.
    pub fn client(&self) -> kube::Client {
        self.server.client(User::admin())
    }
}

/// No sequence starts a container.
struct NoNode;

fn nothing<T>() -> BoxFuture<'static, Result<T, BackendError>> {
    async { Err(BackendError::BadRequest("there is no node".to_owned())) }.boxed()
}

impl NodeBackend for NoNode {
    fn logs(
        &self,
        _: ContainerRef,
        _: LogOptions,
    ) -> BoxFuture<
        'static,
        Result<BoxStream<'static, Result<bytes::Bytes, BackendError>>, BackendError>,
    > {
        async { Err(BackendError::BadRequest("there is no node".to_owned())) }.boxed()
    }

    fn exec(
        &self,
        _: ContainerRef,
        _: ExecOptions,
    ) -> BoxFuture<'static, Result<Process, BackendError>> {
        nothing()
    }

    fn attach(
        &self,
        _: ContainerRef,
        _: ExecOptions,
    ) -> BoxFuture<'static, Result<Process, BackendError>> {
        nothing()
    }

    fn port_forward(
        &self,
        _: ContainerRef,
        _: u16,
    ) -> BoxFuture<'static, Result<Box<dyn Duplex>, BackendError>> {
        async { Err(BackendError::BadRequest("there is no node".to_owned())) }.boxed()
    }
}
