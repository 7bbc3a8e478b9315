//! PUT, on objects and on their status.

use ::http::{Response, StatusCode};
use serde_json::Value;

use super::{
    create::sent,
    write::{self, Ownership},
};
use crate::{
    http::{Body, Call},
    metadata,
    status::{ApiError, ApiResult},
};

pub(super) async fn update(call: &Call) -> ApiResult<Response<Body>> {
    let (object, complaints) = sent(call)?;
    let mut warnings = Vec::new();
    write::judge_fields(call, complaints, &mut warnings)?;
    put(call, object, &mut warnings)
        .await
        .map_err(|error| error.with_warnings(std::mem::take(&mut warnings)))
}

async fn put(
    call: &Call,
    mut object: Value,
    warnings: &mut Vec<String>,
) -> ApiResult<Response<Body>> {
    // What is wrong with the request is said before anything is looked up.
    write::note_reset(call, &mut object);
    let complaints = call.kind().admit(&mut object)?;
    write::judge_fields(call, complaints, warnings)?;
    write::check_place(call, &mut object)?;
    let rules = call.resource.rules(&call.target.version);
    let creates = rules.create_on_update && call.target.subresource.is_empty();
    let missing = rules.create_on_update && call.stored().is_err();
    let uid = metadata::text(&object, "uid");
    if missing && !uid.is_empty() {
        // What is not there has no uid, so it cannot have this one.
        let why = format!("Precondition failed: UID in precondition: {uid}, UID in object meta: ");
        let (group, plural) = (&call.resource.group, &call.resource.plural);
        return Err(ApiError::conflict(group, plural, &call.target.name, why));
    }
    if creates && missing {
        let asked = metadata::fields(&mut object).remove("resourceVersion");
        let mut written = write::create(call, object, Ownership::Follow, warnings).await?;
        // What is only tried gets no revision, and keeps the one that it was sent with.
        if let (write::Written::NotStored(value), Some(asked)) = (&mut written, asked) {
            metadata::fields(value).insert("resourceVersion".to_owned(), asked);
        }
        return written.answer(call, StatusCode::CREATED, warnings);
    }
    let change = |_: &Value| Ok(object.clone());
    let written = write::modify(call, Ownership::Follow, warnings, &change).await?;
    written.answer(call, StatusCode::OK, warnings)
}
