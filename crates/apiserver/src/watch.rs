//! Watch: the changes of a collection as a stream of events, over HTTP or a WebSocket.
//!
//! Laws: events come in revision order, each once; a client that resumes from the revision of any
//! event or bookmark misses nothing; a bookmark never runs ahead of an event that is still to be
//! sent; what enters or leaves a selection is added or deleted for its watcher.

mod events;
mod socket;

use std::time::Duration;

use ::http::{HeaderValue, Response, StatusCode, header};
use futures::{StreamExt as _, stream};
use http_body::Frame;
use http_body_util::StreamBody;
use ring::rand::{SecureRandom as _, SystemRandom};

pub(crate) use socket::{accept, asks_for_socket};

use crate::{
    http::{Body, Call, boxed, warn},
    status::{ApiError, ApiResult},
};
use events::Events;

/// Watches that do not say how long they last end after this and up to twice this, so that
/// clients do not all come back at once.
const LEAST_SECONDS: u64 = 1800;

/// Serves a watch over HTTP: one JSON event per line.
pub(crate) fn watch(call: &Call) -> ApiResult<Response<Body>> {
    let lifetime = lifetime(call)?;
    let content_type = if asks_for_stream(call) {
        "application/json;stream=watch"
    } else {
        "application/json"
    };
    let events = Events::begin(call, lifetime)?;
    let ends = tokio::time::sleep(lifetime);
    let stop = call.server.stop.clone().cancelled_owned();
    let lines = stream::unfold(events, |mut events| async move {
        events.next().await.map(|line| (line, events))
    })
    .take_until(futures::future::select(Box::pin(ends), Box::pin(stop)))
    .map(|line| Ok::<_, std::convert::Infallible>(Frame::data(line)));
    let mut response = Response::new(boxed(StreamBody::new(lines)));
    *response.status_mut() = StatusCode::OK;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("no-cache, private"),
    );
    warn(&mut response, &call.deprecation());
    Ok(response)
}

/// Whether the client names the format of streams, and so gets that name back.
fn asks_for_stream(call: &Call) -> bool {
    let accepted = call.headers.get_all(header::ACCEPT).iter();
    accepted
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.contains("stream=watch"))
}

/// How long the watch may last.
fn lifetime(call: &Call) -> ApiResult<Duration> {
    let asked = call
        .query
        .number("timeoutSeconds")?
        .filter(|seconds| *seconds > 0);
    let seconds = match asked {
        Some(seconds) => seconds as u64,
        None => {
            let mut random = [0_u8; 2];
            SystemRandom::new()
                .fill(&mut random)
                .map_err(|_| ApiError::internal("the system has no random numbers"))?;
            LEAST_SECONDS + u64::from(u16::from_be_bytes(random)) % LEAST_SECONDS
        }
    };
    Ok(Duration::from_secs(seconds))
}
