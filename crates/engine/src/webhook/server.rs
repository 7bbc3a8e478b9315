//! Serves reviews over TLS, with whatever certificate is the current one.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::{Route, review};
use crate::accept::accept;
use crate::api::ApiClient;

/// The API server takes objects of up to 3 MiB, and sends the old one along.
const BODY_LIMIT: usize = 16 * 1024 * 1024;
/// How long a client may take to greet, and to send its request.
const PATIENCE: Duration = Duration::from_secs(10);

/// Answers until `stop`.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    routes: Vec<Route>,
    api: ApiClient,
    stop: CancellationToken,
) {
    let acceptor = TlsAcceptor::from(tls);
    let served = Arc::new(Served { routes, api });
    let converse = |stream| converse(stream, acceptor.clone(), Arc::clone(&served));
    accept(listener, "a connection to the webhook", stop, converse).await;
}

/// What is asked where, and what answers are read from.
struct Served {
    routes: Vec<Route>,
    api: ApiClient,
}

async fn converse(stream: TcpStream, acceptor: TlsAcceptor, served: Arc<Served>) {
    let stream = match tokio::time::timeout(PATIENCE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::debug!(%error, "a client of the webhook did not agree on TLS");
            return;
        }
        Err(_) => return,
    };
    let service = service_fn(move |request| {
        let served = Arc::clone(&served);
        async move { Ok::<_, Infallible>(respond(request, &served).await) }
    });
    let mut server = auto::Builder::new(TokioExecutor::new());
    server
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE);
    if let Err(error) = server.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "a connection to the webhook broke");
    }
}

async fn respond(request: Request<Incoming>, served: &Served) -> Response<Full<Bytes>> {
    let routes = &served.routes;
    let Some(route) = routes.iter().find(|it| it.path == request.uri().path()) else {
        let paths: Vec<&str> = routes.iter().map(|route| route.path).collect();
        return plain(StatusCode::NOT_FOUND, paths.join(" "));
    };
    if request.method() != Method::POST {
        return plain(StatusCode::METHOD_NOT_ALLOWED, "only POST".to_owned());
    }
    let body = Limited::new(request.into_body(), BODY_LIMIT).collect();
    let body = match tokio::time::timeout(PATIENCE, body).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) => return plain(StatusCode::PAYLOAD_TOO_LARGE, error.to_string()),
        Err(_) => {
            return plain(
                StatusCode::REQUEST_TIMEOUT,
                "the body did not come".to_owned(),
            );
        }
    };
    match review::read(&body) {
        Ok(request) => {
            let verdict = route.review.of(&request, &served.api).await;
            let answer = review::answer(&request, &verdict).to_string();
            of(StatusCode::OK, "application/json", answer)
        }
        Err(error) => plain(StatusCode::BAD_REQUEST, error),
    }
}

fn plain(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    of(status, "text/plain; charset=utf-8", text + "\n")
}

fn of(status: StatusCode, content_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    let content_type = header::HeaderValue::from_static(content_type);
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    response
}
