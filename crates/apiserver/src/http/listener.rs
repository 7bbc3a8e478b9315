//! TLS listeners: accept, shake hands, serve HTTP/1.1 or HTTP/2, until told to stop.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use rustls::pki_types::CertificateDer;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

use super::{Peer, body, serve};
use crate::{auth::certificate_user, server::Server};

/// A client that has not finished its handshake by then is not coming.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long running requests may take to finish after a stop.
const DRAIN: Duration = Duration::from_secs(2);

/// Accepts connections until the server stops.
pub(crate) async fn run(server: Arc<Server>, listener: TcpListener, acceptor: TlsAcceptor) {
    loop {
        let accepted = tokio::select! {
            () = server.stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, address)) => {
                let server_of_connection = Arc::clone(&server);
                let acceptor = acceptor.clone();
                server.tasks.spawn(async move {
                    if let Err(error) = connection(server_of_connection, stream, acceptor).await {
                        tracing::debug!(%address, %error, "a connection ended early");
                    }
                });
            }
            Err(error) => {
                // Out of file descriptors, most likely: let some connections end first.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Binds a TCP listener.
pub(crate) async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).await
}

async fn connection(
    server: Arc<Server>,
    stream: TcpStream,
    acceptor: TlsAcceptor,
) -> Result<(), body::BoxError> {
    stream.set_nodelay(true)?;
    let stream = tokio::select! {
        () = server.stop.cancelled() => return Ok(()),
        stream = timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)) => stream??,
    };
    let certificate: Option<CertificateDer<'static>> = stream
        .get_ref()
        .1
        .peer_certificates()
        .and_then(|chain| chain.first().cloned())
        .map(CertificateDer::into_owned);
    let peer = Peer::Remote(certificate.as_ref().and_then(certificate_user));
    http(server, peer, stream).await
}

/// Serves HTTP on a connection of any kind.
pub(crate) async fn http<S>(
    server: Arc<Server>,
    peer: Peer,
    stream: S,
) -> Result<(), body::BoxError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let peer = Arc::new(peer);
    let service_server = Arc::clone(&server);
    let service = service_fn(move |request: http::Request<Incoming>| {
        let server = Arc::clone(&service_server);
        let peer = Arc::clone(&peer);
        async move { Ok::<_, Infallible>(serve(server, peer, request.map(body::boxed)).await) }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    // Between two requests a connection may rest for as long as the client likes.
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(None);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(1000);
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    tokio::pin!(connection);
    tokio::select! {
        result = connection.as_mut() => return result,
        () = server.stop.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    timeout(DRAIN, connection).await?
}
