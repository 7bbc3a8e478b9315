//! The HTTP side of a session: what the client offers, what is chosen, and who owns the result.
//!
//! A client that offers several protocols gets the first one of *our* list it knows, so the order
//! of a `supported` table is our preference.

use std::fmt::Display;
use std::future::Future;

use bytes::Bytes;
use http::header::{CONNECTION, HeaderMap, HeaderName, HeaderValue, UPGRADE};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::backend::BackendError;

/// The raw connection once HTTP is done with it.
pub(crate) type Io = TokioIo<Upgraded>;

const SPDY: &str = "SPDY/3.1";
const WEBSOCKET: &str = "websocket";
const WEBSOCKET_PROTOCOL: HeaderName = http::header::SEC_WEBSOCKET_PROTOCOL;
const STREAM_PROTOCOL: HeaderName = HeaderName::from_static("x-stream-protocol-version");

/// Why a request was not upgraded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The request does not ask for an upgrade this server can give.
    #[error("{0}")]
    Upgrade(String),
    /// The node refused before the session began.
    #[error(transparent)]
    Backend(#[from] BackendError),
}

impl Refusal {
    /// The HTTP status the API server should answer with.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Upgrade(_) | Self::Backend(BackendError::BadRequest(_)) => {
                StatusCode::BAD_REQUEST
            }
            Self::Backend(BackendError::NotFound(_)) => StatusCode::NOT_FOUND,
            Self::Backend(BackendError::Internal(_)) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// The upgraded connections of one server.
///
/// Cloning gives another handle to the same set.
#[derive(Debug, Clone, Default)]
pub struct Sessions {
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Sessions {
    /// An empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many sessions are running.
    pub fn live(&self) -> usize {
        self.tasks.len()
    }

    /// Ends every session and waits until their tasks are gone.
    ///
    /// A session that is begun afterwards ends at once.
    pub async fn shutdown(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Runs `session` on the connection once the `101` response has been sent.
    pub(crate) fn spawn<F>(
        &self,
        upgrade: OnUpgrade,
        session: impl FnOnce(Io) -> F + Send + 'static,
    ) where
        F: Future<Output = Result<(), SessionError>> + Send + 'static,
    {
        let stop = self.stop.clone();
        let run = async move {
            match upgrade.await {
                Ok(upgraded) => {
                    if let Err(error) = session(TokioIo::new(upgraded)).await {
                        tracing::debug!(%error, "streaming session ended early");
                    }
                }
                Err(error) => tracing::debug!(%error, "the connection was not upgraded"),
            }
        };
        self.tasks.spawn(stop.run_until_cancelled_owned(run));
    }
}

/// Why a session ended before its protocol said so. Only ever logged: the client that would want
/// to know is the one that is gone or broke the protocol.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct SessionError(String);

impl SessionError {
    pub(crate) fn new(reason: impl Display) -> Self {
        Self(reason.to_string())
    }
}

/// What the client asks the connection to become.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Offer {
    /// A WebSocket that speaks one of the subprotocols; none named means the unnamed oldest one.
    WebSocket {
        accept: String,
        protocols: Vec<String>,
    },
    /// SPDY/3.1 with streams in one of the protocols.
    Spdy { protocols: Vec<String> },
}

impl Offer {
    pub(crate) fn from_headers(headers: &HeaderMap) -> Result<Self, Refusal> {
        if !has_token(headers, &CONNECTION, "upgrade") {
            return Err(Refusal::Upgrade(
                "you must request a connection upgrade: the Connection header names no Upgrade"
                    .to_owned(),
            ));
        }
        if has_token(headers, &UPGRADE, WEBSOCKET) {
            let version = headers.get(http::header::SEC_WEBSOCKET_VERSION);
            if version.is_none_or(|version| version != "13") {
                return Err(Refusal::Upgrade(
                    "Sec-WebSocket-Version must be 13".to_owned(),
                ));
            }
            let Some(key) = headers.get(http::header::SEC_WEBSOCKET_KEY) else {
                return Err(Refusal::Upgrade("Sec-WebSocket-Key is missing".to_owned()));
            };
            return Ok(Self::WebSocket {
                accept: derive_accept_key(key.as_bytes()),
                protocols: tokens(headers, &WEBSOCKET_PROTOCOL)
                    .map(str::to_owned)
                    .collect(),
            });
        }
        if has_token(headers, &UPGRADE, SPDY) {
            return Ok(Self::Spdy {
                protocols: tokens(headers, &STREAM_PROTOCOL)
                    .map(str::to_owned)
                    .collect(),
            });
        }
        Err(Refusal::Upgrade(format!(
            "the Upgrade header must name {WEBSOCKET} or {SPDY}"
        )))
    }
}

/// The first entry of `supported` that the client knows.
///
/// A client that names nothing gets the entry with the empty name, if there is one.
pub(crate) fn choose<T: Copy>(
    offered: &[String],
    supported: &[(&'static str, T)],
) -> Result<(&'static str, T), Refusal> {
    let known = |name: &str| {
        if offered.is_empty() {
            name.is_empty()
        } else {
            offered.iter().any(|offer| offer == name)
        }
    };
    supported
        .iter()
        .find(|(name, _)| known(name))
        .copied()
        .ok_or_else(|| {
            let names: Vec<&str> = supported
                .iter()
                .map(|(name, _)| *name)
                .filter(|name| !name.is_empty())
                .collect();
            Refusal::Upgrade(format!(
                "unable to negotiate a protocol: the client offers [{}], this server speaks [{}]",
                offered.join(", "),
                names.join(", "),
            ))
        })
}

/// The `101` that accepts a WebSocket.
pub(crate) fn websocket_response(accept: &str, protocol: &str) -> Response<Full<Bytes>> {
    let mut response = switching(WEBSOCKET);
    let headers = response.headers_mut();
    insert(headers, http::header::SEC_WEBSOCKET_ACCEPT, accept);
    if !protocol.is_empty() {
        insert(headers, WEBSOCKET_PROTOCOL, protocol);
    }
    response
}

/// The `101` that accepts SPDY.
pub(crate) fn spdy_response(protocol: &str) -> Response<Full<Bytes>> {
    let mut response = switching(SPDY);
    insert(response.headers_mut(), STREAM_PROTOCOL, protocol);
    response
}

/// Takes the connection out of the request.
pub(crate) fn on_upgrade<B>(request: &mut Request<B>) -> OnUpgrade {
    hyper::upgrade::on(request)
}

fn switching(protocol: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static(protocol));
    response
}

/// Our own protocol names and the accept key are plain ASCII, so nothing is ever left out.
fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// The comma-separated items of all headers of that name.
fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|item| !item.is_empty())
}

fn has_token(headers: &HeaderMap, name: &HeaderName, wanted: &str) -> bool {
    tokens(headers, name).any(|item| item.eq_ignore_ascii_case(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn a_websocket_offer_lists_its_protocols_and_the_accept_key_of_rfc_6455() {
        let offer = Offer::from_headers(&headers(&[
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "WebSocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            (
                "sec-websocket-protocol",
                "v5.channel.k8s.io, v4.channel.k8s.io",
            ),
        ]));
        assert_eq!(
            offer,
            Ok(Offer::WebSocket {
                accept: "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=".to_owned(),
                protocols: vec![
                    "v5.channel.k8s.io".to_owned(),
                    "v4.channel.k8s.io".to_owned()
                ],
            })
        );
    }

    #[test]
    fn a_spdy_offer_lists_every_protocol_header() {
        let offer = Offer::from_headers(&headers(&[
            ("connection", "Upgrade"),
            ("upgrade", "SPDY/3.1"),
            ("x-stream-protocol-version", "v5.channel.k8s.io"),
            ("x-stream-protocol-version", "v4.channel.k8s.io"),
        ]));
        assert_eq!(
            offer,
            Ok(Offer::Spdy {
                protocols: vec![
                    "v5.channel.k8s.io".to_owned(),
                    "v4.channel.k8s.io".to_owned()
                ]
            })
        );
    }

    #[test]
    fn an_offer_without_an_upgrade_a_version_or_a_key_is_refused_by_name() {
        let cases: [(&[(&str, &str)], &str); 4] = [
            (&[], "Connection header"),
            (
                &[("connection", "upgrade"), ("upgrade", "h2c")],
                "websocket or SPDY/3.1",
            ),
            (
                &[
                    ("connection", "upgrade"),
                    ("upgrade", "websocket"),
                    ("sec-websocket-version", "8"),
                ],
                "must be 13",
            ),
            (
                &[
                    ("connection", "upgrade"),
                    ("upgrade", "websocket"),
                    ("sec-websocket-version", "13"),
                ],
                "Sec-WebSocket-Key",
            ),
        ];
        for (pairs, reason) in cases {
            let mut map = HeaderMap::new();
            for (name, value) in pairs {
                map.append(
                    HeaderName::try_from(*name).unwrap(),
                    HeaderValue::from_str(value).unwrap(),
                );
            }
            let refusal = Offer::from_headers(&map).unwrap_err();
            assert_eq!(refusal.status(), StatusCode::BAD_REQUEST);
            assert!(refusal.to_string().contains(reason), "{refusal}");
        }
    }

    #[test]
    fn the_server_prefers_by_its_own_order_and_says_what_it_speaks() {
        let supported = [("v5", 5), ("v4", 4), ("", 1)];
        let offered = ["v4".to_owned(), "v5".to_owned()];
        assert_eq!(choose(&offered, &supported), Ok(("v5", 5)));
        assert_eq!(choose(&[], &supported), Ok(("", 1)));
        let refusal = choose(&["v9".to_owned()], &supported).unwrap_err();
        assert_eq!(
            refusal.to_string(),
            "unable to negotiate a protocol: the client offers [v9], this server speaks [v5, v4]"
        );
    }
}
