//! Reading one object.

use ::http::{Response, StatusCode};

use crate::{
    faults::Fault,
    http::{Body, Call},
    status::{ApiError, ApiResult},
};

pub(super) fn get(call: &Call) -> ApiResult<Response<Body>> {
    check_revision(call)?;
    let object = match call.fault {
        Some(Fault::OldRevision(revision)) => {
            let key = call.resource.key(&call.target.namespace, &call.target.name);
            let old = call.server.store.get_at(&key, revision);
            old.ok()
                .flatten()
                .ok_or_else(|| call.not_found(&call.target.name))?
        }
        _ => call.stored()?,
    };
    call.answer(StatusCode::OK, &object)
}

/// A revision means "at least this new"; the store is always current, so only the future is far.
fn check_revision(call: &Call) -> ApiResult<()> {
    let Some(text) = call.query.get("resourceVersion") else {
        return Ok(());
    };
    let asked = parse_revision(text).map_err(ApiError::unknown)?;
    let current = call.server.store.revision();
    if asked > current {
        return Err(ApiError::revision_too_large(asked, current));
    }
    Ok(())
}

/// A `resourceVersion` parameter; the error is what is wrong with it.
pub(crate) fn parse_revision(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| {
        format!(
            "resourceVersion: Invalid value: \"{text}\": strconv.ParseUint: parsing \"{text}\": \
             invalid syntax"
        )
    })
}
