//! Watch over a WebSocket: the same events, one per text message.

use std::sync::Arc;

use ::http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use bytes::Bytes;
use futures::{SinkExt as _, StreamExt as _};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Message, Utf8Bytes,
        handshake::derive_accept_key,
        protocol::{CloseFrame, Role, frame::coding::CloseCode},
    },
};

use super::{events::Events, lifetime};
use crate::{
    http::{Body, Call, full},
    status::{ApiError, ApiResult},
};

/// Whether the client wants to speak WebSocket.
pub(crate) fn asks_for_socket(headers: &HeaderMap) -> bool {
    let upgrade = headers
        .get(header::UPGRADE)
        .and_then(|value| value.to_str().ok());
    upgrade.is_some_and(|protocol| protocol.eq_ignore_ascii_case("websocket"))
}

/// Accepts the upgrade and sends the events of the watch until it ends.
pub(crate) fn accept(call: &Call, mut request: Request<Body>) -> ApiResult<Response<Body>> {
    let key = request
        .headers()
        .get(header::SEC_WEBSOCKET_KEY)
        .ok_or_else(|| ApiError::bad_request("Sec-WebSocket-Key is missing"))?;
    let accept =
        HeaderValue::from_str(&derive_accept_key(key.as_bytes())).map_err(ApiError::internal)?;
    let protocol = request
        .headers()
        .get(header::SEC_WEBSOCKET_PROTOCOL)
        .and_then(offered);
    let lifetime = lifetime(call)?;
    let events = Events::begin(call, lifetime)?;
    let stop = call.server.stop.clone();
    let upgrade = hyper::upgrade::on(&mut request);
    let server = Arc::clone(&call.server);
    server.tasks.spawn(async move {
        let session = async {
            let io = upgrade.await.map_err(|error| error.to_string())?;
            run(io, events).await.map_err(|error| error.to_string())
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(lifetime) => {}
            result = session => if let Err(error) = result {
                tracing::debug!(%error, "a watch over a WebSocket ended early");
            }
        }
    });
    let mut response = Response::new(full(Bytes::new()));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    if let Some(protocol) = protocol {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    Ok(response)
}

/// Text frames are the plain form; a client may name it, or ask for nothing.
fn offered(value: &HeaderValue) -> Option<HeaderValue> {
    let protocols = value.to_str().ok()?;
    let plain = protocols
        .split(',')
        .map(str::trim)
        .find(|name| *name == "v1.watch.k8s.io");
    plain.and_then(|name| HeaderValue::from_str(name).ok())
}

async fn run(
    io: Upgraded,
    mut events: Events,
) -> Result<(), tokio_tungstenite::tungstenite::Error> {
    let mut socket = WebSocketStream::from_raw_socket(TokioIo::new(io), Role::Server, None).await;
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(line) => {
                    let text = line.slice(..line.len() - 1);
                    let text = Utf8Bytes::try_from(text).map_err(|_| {
                        tokio_tungstenite::tungstenite::Error::Utf8("an event".to_owned())
                    })?;
                    socket.send(Message::Text(text)).await?;
                }
                None => {
                    let frame = CloseFrame { code: CloseCode::Normal, reason: Utf8Bytes::default() };
                    return socket.close(Some(frame)).await;
                }
            },
            message = socket.next() => match message {
                // Answers to pings are sent by the library; the client has nothing else to say.
                Some(Ok(Message::Close(_))) | None => return Ok(()),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error),
            },
        }
    }
}
