//! The server as a tower service: a `kube::Client` without TCP and TLS.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use futures::future::BoxFuture;
use http::{Request, Response, header};
use hyper_util::rt::TokioIo;
use tower::Service;

use super::{Peer, body, listener, serve};
use crate::{server::Server, user::User};

/// How many bytes an upgraded connection may hold in flight.
const PIPE_BYTES: usize = 64 * 1024;

/// Answers requests as a given user.
#[derive(Clone)]
pub(crate) struct InProcess {
    server: Arc<Server>,
    user: User,
}

impl InProcess {
    pub(crate) fn new(server: Arc<Server>, user: User) -> Self {
        Self { server, user }
    }
}

impl Service<Request<kube::client::Body>> for InProcess {
    type Response = Response<body::Body>;
    type Error = body::BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<kube::client::Body>) -> Self::Future {
        let server = Arc::clone(&self.server);
        let peer = Peer::Local(self.user.clone());
        Box::pin(async move {
            if request.headers().contains_key(header::UPGRADE) {
                upgrade(server, peer, request).await
            } else {
                Ok(serve(server, Arc::new(peer), request.map(body::boxed)).await)
            }
        })
    }
}

/// Upgrades belong to a connection, so these requests get one: a pipe in memory.
async fn upgrade(
    server: Arc<Server>,
    peer: Peer,
    mut request: Request<kube::client::Body>,
) -> Result<Response<body::Body>, body::BoxError> {
    let (near, far) = tokio::io::duplex(PIPE_BYTES);
    let tasks = server.tasks.clone();
    tasks.spawn(async move {
        if let Err(error) = listener::http(server, peer, far).await {
            tracing::debug!(%error, "an in-process connection ended early");
        }
    });
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(near)).await?;
    tasks.spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "an in-process connection ended early");
        }
    });
    let path = request
        .uri()
        .path_and_query()
        .map_or("/", |path| path.as_str())
        .parse()?;
    *request.uri_mut() = path;
    Ok(sender.send_request(request).await?.map(body::boxed))
}
