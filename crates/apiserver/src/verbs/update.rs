//! PUT, on objects and on their status.

use ::http::{Response, StatusCode};

use super::{
    create::sent,
    write::{self, Ownership},
};
use crate::{
    http::{Body, Call},
    status::ApiResult,
};

pub(super) async fn update(call: &Call) -> ApiResult<Response<Body>> {
    let (object, complaints) = sent(call)?;
    let mut warnings = Vec::new();
    write::judge_fields(call, complaints, &mut warnings)?;
    let rules = call.resource.rules(&call.target.version);
    let creates = rules.create_on_update && call.target.subresource.is_empty();
    if creates && call.stored().is_err() {
        let written = write::create(call, object, Ownership::Follow, &mut warnings).await?;
        return written.answer(call, StatusCode::CREATED, &warnings);
    }
    let change = |_: &serde_json::Value| Ok(object.clone());
    let written = write::modify(call, Ownership::Follow, &mut warnings, &change).await?;
    written.answer(call, StatusCode::OK, &warnings)
}
