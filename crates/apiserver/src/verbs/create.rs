//! POST.

use ::http::{Response, StatusCode};
use serde_json::Value;

use super::write::{self, Ownership, Written};
use crate::{
    auth::reviews,
    hex::hex,
    http::{self as transport, Body, Call, decode_object},
    registry::Review,
    status::{ApiError, ApiResult},
};

/// How many bytes of a body that cannot be understood are shown.
const SHOWN: usize = 30;

pub(super) async fn create(call: &Call) -> ApiResult<Response<Body>> {
    let (object, complaints) = sent(call)?;
    let mut warnings = Vec::new();
    write::judge_fields(call, complaints, &mut warnings)?;
    match write::create(call, object, Ownership::Follow, &mut warnings).await {
        Ok(written) => written.answer(call, StatusCode::CREATED, &warnings),
        Err(error) => Err(error.with_warnings(warnings)),
    }
}

pub(super) fn review(call: &Call, kind: Review) -> ApiResult<Response<Body>> {
    let (object, _) = sent(call)?;
    let (code, answer) = reviews::review(call, kind, object)?;
    Ok(transport::json(code, &answer))
}

/// The object in the body, checked to be of the right kind.
pub(super) fn sent(call: &Call) -> ApiResult<(Value, Vec<String>)> {
    let mut decoded = decode_object(&call.headers, &call.body)
        .map_err(|error| unrecognized(call).unwrap_or(error))?;
    if !decoded.value.is_object()
        && let Some(error) = unrecognized(call)
    {
        return Err(error);
    }
    write::check_kind(call, &mut decoded.value)?;
    Ok((decoded.value, decoded.duplicates))
}

/// What is to be said of a body that is JSON, but no object at all.
fn unrecognized(call: &Call) -> Option<ApiError> {
    const TARGET: &str = "struct { APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; \
                          Kind string \"json:\\\"kind,omitempty\\\"\" }";
    let body = call.body.as_ref();
    let (why, shown) = if body.is_empty() {
        (
            "unexpected end of JSON input".to_owned(),
            "<empty>".to_owned(),
        )
    } else {
        let found = match serde_json::from_slice(body).ok()? {
            Value::Array(_) => "array",
            Value::String(_) => "string",
            Value::Number(_) => "number",
            Value::Bool(_) => "bool",
            Value::Null | Value::Object(_) => return None,
        };
        let shown = hex(&body[..body.len().min(SHOWN)]).to_lowercase();
        (
            format!("json: cannot unmarshal {found} into Go value of type {TARGET}"),
            shown,
        )
    };
    Some(ApiError::bad_request(format!(
        "the object provided is unrecognized (must be of type {}): couldn't get version/kind; json \
         parse error: {why} ({shown})",
        call.resource.kind
    )))
}

impl Written {
    /// The answer to the write.
    pub(super) fn answer(
        &self,
        call: &Call,
        code: StatusCode,
        warnings: &[String],
    ) -> ApiResult<Response<Body>> {
        let mut response = match self {
            Self::Stored(object) => call.answer(code, object)?,
            Self::NotStored(value) => call.answer_value(code, value)?,
        };
        transport::warn(&mut response, warnings);
        Ok(response)
    }
}
