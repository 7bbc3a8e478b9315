//! The embedded API server, without a node.

use std::sync::Arc;

use anyhow::Context as _;
use windlass_apiserver::{ApiServer, Config, User};
use windlass_streaming::backend::NoNode;

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
