//! HTTP: connections, and who may ask.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use s3s::auth::{S3Auth, SecretKey};
use s3s::config::{S3Config, StaticConfigProvider};
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{S3Result, s3_error};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::keys::KeyPair;
use crate::ops::Ops;

/// How long the head of a request may take. Between two requests a connection may rest for as long.
const HEAD: Duration = Duration::from_mins(5);
/// How long requests may go on when the endpoint stops.
const DRAIN: Duration = Duration::from_secs(2);
/// How long nobody is accepted when the machine has no room for another connection.
const PAUSE: Duration = Duration::from_millis(50);
/// The longest body that is read as a whole: a thousand names of 1 KiB, each letter escaped.
const XML_MAX: usize = 8 << 20;
/// The longest file of a browser's form, which is kept in memory.
const FORM_MAX: u64 = 16 << 20;

/// The service that answers with these operations to who has these keys.
pub(crate) fn service(ops: Ops, keys: &KeyPair) -> S3Service {
    let mut builder = S3ServiceBuilder::new(ops);
    builder.set_auth(OnePair(keys.clone()));
    let mut config = S3Config::default();
    config.xml_max_body_size = XML_MAX;
    config.post_object_max_file_size = FORM_MAX;
    builder.set_config(Arc::new(StaticConfigProvider::new(Arc::new(config))));
    builder.build()
}

struct OnePair(KeyPair);

#[async_trait]
impl S3Auth for OnePair {
    async fn get_secret_key(&self, id: &str) -> S3Result<SecretKey> {
        if id == self.0.id {
            return Ok(SecretKey::from(self.0.secret.as_str()));
        }
        Err(s3_error!(
            InvalidAccessKeyId,
            "The access key is not that of this endpoint"
        ))
    }
}

/// Accepts connections until `stop`.
pub(crate) async fn serve(
    listener: TcpListener,
    service: S3Service,
    stop: CancellationToken,
    tasks: TaskTracker,
) {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                tasks.spawn(converse(stream, service.clone(), stop.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection to the S3 endpoint was not accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn converse(stream: TcpStream, service: S3Service, stop: CancellationToken) {
    // Small answers are not to wait for more.
    let _ = stream.set_nodelay(true);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            match tokio::time::timeout(DRAIN, connection).await {
                Ok(ended) => ended,
                Err(_) => return,
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection to the S3 endpoint broke");
    }
}
