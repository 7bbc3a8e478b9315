//! One request and its answer.

use std::error::Error as _;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use http::{HeaderMap, Method, Request, StatusCode};
use object_store::client::{
    HttpClient, HttpConnector as _, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody,
    ReqwestConnector,
};
use object_store::{Certificate, ClientOptions};
use url::Url;

use crate::buckets::steps::{StoreError, Trouble};

/// How long it may take to be connected.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a whole answer may take.
const WHOLE: Duration = Duration::from_secs(30);
/// The longest answer that is read: a page of a thousand names of 1 KiB, with what is said of each.
const ANSWER_MAX: usize = 4 << 20;

/// A client of HTTP.
#[derive(Debug, Clone)]
pub(super) struct Http(HttpClient);

/// An answer.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Reply {
    /// One of its headers.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Its body as text.
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Http {
    /// A client that also trusts these authorities, given as PEM.
    ///
    /// # Errors
    /// The authorities cannot be read.
    pub(super) fn new(authority: Option<&str>) -> Result<Self, StoreError> {
        // Whoever comes second finds the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut options = ClientOptions::new()
            .with_allow_http(true)
            .with_connect_timeout(CONNECT)
            .with_timeout(WHOLE);
        if let Some(pem) = authority {
            let unreadable = |_| {
                let text = "ca.crt of the Secret is no certificate in PEM";
                StoreError::new(Trouble::Credentials, text)
            };
            for certificate in Certificate::from_pem_bundle(pem.as_bytes()).map_err(unreadable)? {
                options = options.with_root_certificate(certificate);
            }
        }
        let client = ReqwestConnector::default().connect(&options);
        client.map(Self).map_err(|error| {
            StoreError::new(
                Trouble::Unreachable,
                format!("no client can be made: {error}"),
            )
        })
    }

    /// Sends a request.
    ///
    /// # Errors
    /// There is no answer, or it is too long.
    pub(super) async fn send(&self, request: HttpRequest) -> Result<Reply, StoreError> {
        let host = host(&request);
        let reply = self.0.execute(request).await;
        let (parts, body) = reply
            .map_err(|error| unreachable(&host, &error))?
            .into_parts();
        let mut whole = BytesMut::new();
        let mut pieces = body.bytes_stream();
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(|error| unreachable(&host, &error))?;
            if whole.len() + piece.len() > ANSWER_MAX {
                let text = format!("{host} answers with more than {ANSWER_MAX} bytes");
                return Err(StoreError::new(Trouble::Refused, text));
            }
            whole.extend_from_slice(&piece);
        }
        Ok(Reply {
            status: parts.status,
            headers: parts.headers,
            body: whole.freeze(),
        })
    }
}

/// A request without anything in it yet.
///
/// # Errors
/// The address is none.
pub(super) fn request(
    method: Method,
    url: &Url,
    body: impl Into<HttpRequestBody>,
) -> Result<HttpRequest, StoreError> {
    let built = Request::builder().method(method).uri(url.as_str());
    built.body(body.into()).map_err(|error| {
        let text = format!("the address of the store cannot be used: {error}");
        StoreError::new(Trouble::Refused, text)
    })
}

/// An address below an endpoint; each segment is encoded as one.
///
/// # Errors
/// The endpoint is none.
pub(super) fn address(endpoint: &str, segments: &[&str]) -> Result<Url, StoreError> {
    let cannot = || {
        let text = format!("spec.endpoint: {endpoint} cannot be used as an address");
        StoreError::new(Trouble::Refused, text)
    };
    let mut url = Url::parse(endpoint).map_err(|_| cannot())?;
    let mut path = url.path_segments_mut().map_err(|()| cannot())?;
    path.pop_if_empty().extend(segments);
    drop(path);
    Ok(url)
}

fn host(request: &HttpRequest) -> String {
    let authority = request.uri().authority();
    authority.map_or_else(|| "the store".to_owned(), ToString::to_string)
}

/// What kept an answer from coming, down to its cause; addresses are not part of it.
fn unreachable(host: &str, error: &HttpError) -> StoreError {
    let mut text = match error.kind() {
        HttpErrorKind::Timeout => format!("{host} does not answer in time"),
        _ => format!("{host} cannot be reached"),
    };
    let mut cause = error.source();
    let mut last = None;
    while let Some(error) = cause {
        last = Some(error.to_string());
        cause = error.source();
    }
    if let Some(last) = last {
        text = format!("{text}: {last}");
    }
    StoreError::new(Trouble::Unreachable, text)
}
