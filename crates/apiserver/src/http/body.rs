//! Bodies in and out, whatever transport they come from.

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use serde::Serialize as _;
use serde_json::Value;

use crate::status::{ApiError, ApiResult};

/// Any error of a transport.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;
/// The body of requests and responses.
pub(crate) type Body = UnsyncBoxBody<Bytes, BoxError>;

/// The largest request that is read, as in kube-apiserver.
const MAX_REQUEST_BYTES: usize = 3 * 1024 * 1024;

/// Erases the type of a body.
pub(crate) fn boxed<B>(body: B) -> Body
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    body.map_err(Into::into).boxed_unsync()
}

/// A body that is known completely.
pub(crate) fn full(bytes: impl Into<Bytes>) -> Body {
    boxed(Full::new(bytes.into()))
}

/// Reads a request's body, up to the limit.
pub(crate) async fn read(mut body: Body) -> ApiResult<Bytes> {
    let mut read = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            ApiError::bad_request(format!("the body of the request cannot be read: {error}"))
        })?;
        if let Ok(data) = frame.into_data() {
            if read.len() + data.len() > MAX_REQUEST_BYTES {
                return Err(ApiError::too_large());
            }
            read.extend_from_slice(&data);
        }
    }
    Ok(read.freeze())
}

/// An answer of a content type.
pub(crate) fn response(
    code: StatusCode,
    content_type: &'static str,
    bytes: impl Into<Bytes>,
) -> Response<Body> {
    let mut response = Response::new(full(bytes));
    *response.status_mut() = code;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("no-cache, private"),
    );
    response
}

/// An answer in JSON.
pub(crate) fn json(code: StatusCode, value: &Value) -> Response<Body> {
    response(code, "application/json", value.to_string())
}

/// An answer in plain text.
pub(crate) fn text(code: StatusCode, text: impl Into<String>) -> Response<Body> {
    response(code, "text/plain; charset=utf-8", text.into())
}

/// JSON with the indentation of kube-apiserver's `pretty`.
pub(crate) fn pretty(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"  ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, formatter);
    // A value with string keys always serialises into memory.
    if value.serialize(&mut serializer).is_err() {
        return value.to_string().into_bytes();
    }
    bytes.push(b'\n');
    bytes
}

/// A refusal as an answer.
pub(crate) fn refusal(error: &ApiError) -> Response<Body> {
    let mut response = json(error.code(), &error.to_value());
    super::warn(&mut response, error.warnings());
    if let Some(seconds) = error.retry_after() {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// The same answer, indented; streams and texts stay as they are.
pub(crate) async fn prettified(response: Response<Body>) -> ApiResult<Response<Body>> {
    use http_body::Body as _;
    let json = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes() == b"application/json");
    if !json || response.body().size_hint().exact().is_none() {
        return Ok(response);
    }
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.map_err(ApiError::internal)?.to_bytes();
    let indented = match serde_json::from_slice::<Value>(&bytes) {
        Ok(value) => Bytes::from(pretty(&value)),
        Err(_) => bytes,
    };
    Ok(Response::from_parts(parts, full(indented)))
}
