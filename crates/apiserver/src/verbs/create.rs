//! POST.

use ::http::{Response, StatusCode};
use serde_json::Value;

use super::write::{self, Ownership, Written};
use crate::{
    auth::reviews,
    http::{self as transport, Body, Call, decode_object},
    registry::Review,
    status::ApiResult,
};

pub(super) async fn create(call: &Call) -> ApiResult<Response<Body>> {
    let (object, complaints) = sent(call)?;
    let mut warnings = Vec::new();
    write::judge_fields(call, complaints, &mut warnings)?;
    let written = write::create(call, object, Ownership::Follow, &mut warnings).await?;
    written.answer(call, StatusCode::CREATED, &warnings)
}

pub(super) fn review(call: &Call, kind: Review) -> ApiResult<Response<Body>> {
    let (object, _) = sent(call)?;
    let (code, answer) = reviews::review(call, kind, object)?;
    Ok(transport::json(code, &answer))
}

/// The object in the body, checked to be of the right kind.
pub(super) fn sent(call: &Call) -> ApiResult<(Value, Vec<String>)> {
    let mut decoded = decode_object(&call.headers, &call.body)?;
    write::check_kind(call, &mut decoded.value)?;
    Ok((decoded.value, decoded.duplicates))
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
            Self::Stored(object) | Self::Gone(object) => call.answer(code, object)?,
            Self::Tried(value) => call.answer_value(code, value)?,
        };
        transport::warn(&mut response, warnings);
        Ok(response)
    }
}
