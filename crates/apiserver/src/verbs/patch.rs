//! PATCH in its four formats.

use ::http::{HeaderMap, Response, StatusCode};
use serde_json::{Value, json};
use windlass_apimachinery::{
    managed::{self, ApplyError},
    patch::{self, PatchError},
};

use super::write::{self, Ownership, Written};
use crate::{
    http::{Body, Call, content_type, decode_json, decode_yaml},
    metadata,
    status::{ApiError, ApiResult},
};

const JSON_PATCH: &str = "application/json-patch+json";
const MERGE_PATCH: &str = "application/merge-patch+json";
const STRATEGIC_PATCH: &str = "application/strategic-merge-patch+json";
const APPLY_PATCH: &str = "application/apply-patch+yaml";

/// Whether the body of a patch is a configuration to apply.
pub(super) fn is_apply(headers: &HeaderMap) -> bool {
    content_type(headers) == APPLY_PATCH
}

/// Refuses a format that the kind cannot be patched in.
pub(super) fn check_format(call: &Call) -> ApiResult<()> {
    match content_type(&call.headers) {
        JSON_PATCH | MERGE_PATCH | APPLY_PATCH => Ok(()),
        STRATEGIC_PATCH if !call.resource.is_custom() => Ok(()),
        _ if !call.resource.is_custom() => Err(ApiError::unknown_patch_format()),
        _ => Err(unsupported(call)),
    }
}

/// A patch that has been read.
#[derive(Debug)]
pub(super) enum Patch {
    Json(Value),
    Merge(Value),
    Strategic(Value),
    Apply { config: Value, force: bool },
}

pub(super) async fn patch(call: &Call) -> ApiResult<Response<Body>> {
    let mut warnings = Vec::new();
    let patched = match Patch::read(call, &mut warnings)? {
        Patch::Apply { config, force } => apply(call, &config, force, &mut warnings).await,
        patch => change(call, &patch, &mut warnings).await,
    };
    patched.map_err(|error| error.with_warnings(warnings))
}

async fn change(
    call: &Call,
    patch: &Patch,
    warnings: &mut Vec<String>,
) -> ApiResult<Response<Body>> {
    let types = call.kind().types();
    let expected = call.resource.api_version(&call.target.version);
    let change = |live: &Value| {
        let patched = patch.on(live, &types)?;
        let (api_version, kind) = (&patched["apiVersion"], &patched["kind"]);
        if *api_version == *expected && *kind == *call.resource.kind {
            return Ok(patched);
        }
        let mut checked = patched.clone();
        if call.resource.is_custom() {
            write::check_place(call, &mut checked)?;
        }
        match write::check_kind(call, &mut checked) {
            Err(error) if !call.resource.is_custom() => {
                Err(ApiError::patch_makes_no_object(&patched, error.message()))
            }
            other => other.map(|()| patched),
        }
    };
    let written = write::modify(call, Ownership::Follow, warnings, &change).await?;
    written.answer(call, StatusCode::OK, warnings)
}

impl Patch {
    pub(super) fn read(call: &Call, warnings: &mut Vec<String>) -> ApiResult<Self> {
        let force = call.query.get("force").is_some_and(|force| force == "true");
        let format = content_type(&call.headers);
        let decoded = match format {
            JSON_PATCH | MERGE_PATCH | STRATEGIC_PATCH => decode_json(&call.body),
            APPLY_PATCH => decode_yaml(&call.body),
            _ if !call.resource.is_custom() => return Err(ApiError::unknown_patch_format()),
            _ => return Err(unsupported(call)),
        }
        .map_err(|error| ApiError::bad_request(format!("error decoding patch: {error}")))?;
        write::judge_fields(call, decoded.duplicates, warnings)?;
        let value = decoded.value;
        Ok(match format {
            JSON_PATCH => Self::Json(value),
            MERGE_PATCH => Self::Merge(value),
            STRATEGIC_PATCH if call.resource.is_custom() => return Err(unsupported(call)),
            STRATEGIC_PATCH => Self::Strategic(value),
            _ => Self::Apply {
                config: value,
                force,
            },
        })
    }

    /// The patched object. Apply is not done here: it needs to know about owners.
    pub(super) fn on(
        &self,
        live: &Value,
        types: &windlass_apimachinery::schema::TypeSchema,
    ) -> ApiResult<Value> {
        let patched = match self {
            Self::Json(patch) => patch::json_patch(live, patch),
            Self::Merge(patch) => patch::merge_patch(live, patch),
            Self::Strategic(patch) => patch::strategic_merge(live, patch, types),
            Self::Apply { .. } => return Err(ApiError::internal("apply is no plain patch")),
        }
        .map_err(refused)?;
        if !patched.is_object() {
            return Err(ApiError::bad_request("the patch does not leave an object"));
        }
        Ok(patched)
    }
}

async fn apply(
    call: &Call,
    config: &Value,
    force: bool,
    warnings: &mut Vec<String>,
) -> ApiResult<Response<Body>> {
    let mut config = config.clone();
    check_type(call, &config)?;
    check_owners(&mut config)?;
    let kind = call.kind();
    let types = kind.types();
    let actor = write::actor(call);
    if call.stored().is_err() {
        // A kind that an update may make is made this way too.
        let rules = call.resource.rules(&call.target.version);
        if !call.target.subresource.is_empty() && !rules.create_on_update {
            return Err(call.not_found(&call.target.name));
        }
        let mut created = match managed::apply(None, &config, &types, &actor, force) {
            Ok(created) => created,
            Err(error) => return Err(apply_refused(error)),
        };
        if metadata::text(&created, "resourceVersion") == "0" {
            metadata::fields(&mut created).remove("resourceVersion");
        }
        let uid = metadata::text(&created, "uid");
        if !uid.is_empty() {
            let why = format!(
                "uid mismatch: the provided object specified uid {uid}, and no existing object \
                 was found"
            );
            let (group, plural) = (&call.resource.group, &call.resource.plural);
            return Err(ApiError::conflict(group, plural, &call.target.name, why));
        }
        write::check_place(call, &mut created)?;
        match write::create(call, created, Ownership::Settled, warnings).await {
            Ok(written) => return written.answer(call, StatusCode::CREATED, warnings),
            // Somebody else was faster: then this is a change of theirs.
            Err(error) if error.reason() == "AlreadyExists" => {}
            Err(error) => return Err(error),
        }
    }
    if metadata::text(&config, "resourceVersion") == "0" {
        // Revision 0 asks for the object not to exist.
        let (group, plural) = (&call.resource.group, &call.resource.plural);
        return Err(ApiError::modified(group, plural, &call.target.name));
    }
    let change = |live: &Value| {
        managed::apply(Some(live), &config, &types, &actor, force).map_err(apply_refused)
    };
    let written: Written = write::modify(call, Ownership::Settled, warnings, &change).await?;
    written.answer(call, StatusCode::OK, warnings)
}

/// An applied configuration says of what type it is.
fn check_type(call: &Call, config: &Value) -> ApiResult<()> {
    let text = |field: &str| config[field].as_str().unwrap_or_default().to_owned();
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    let expected = call.resource.api_version(&call.target.version);
    if !config.is_object() || (api_version == expected && kind == call.resource.kind) {
        return Ok(());
    }
    let slash = if api_version.contains('/') { "" } else { "/" };
    Err(ApiError::bad_request(format!(
        "invalid object type: {slash}{api_version}, Kind={kind}"
    )))
}

/// Whoever applies a configuration does not say who owns its fields.
fn check_owners(config: &mut Value) -> ApiResult<()> {
    if !config["metadata"]["managedFields"]
        .as_array()
        .is_none_or(Vec::is_empty)
    {
        return Err(ApiError::bad_request("metadata.managedFields must be nil"));
    }
    if let Some(metadata) = config.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    Ok(())
}

fn refused(error: PatchError) -> ApiError {
    match error {
        PatchError::UnknownDirective(why) => ApiError::unknown(why),
        PatchError::Malformed(why) => ApiError::bad_request(why),
        PatchError::TooLarge { .. } => ApiError::patch_too_large(error.to_string()),
        PatchError::Rejected(_) => ApiError::unprocessable(),
    }
}

fn apply_refused(error: ApplyError) -> ApiError {
    let message = error.to_string();
    match error {
        ApplyError::Conflicts(conflicts) => {
            let causes = conflicts
                .iter()
                .map(|conflict| {
                    json!({
                        "reason": "FieldManagerConflict",
                        "message": conflict.message,
                        "field": conflict.field,
                    })
                })
                .collect();
            ApiError::apply_conflict(message, causes)
        }
        ApplyError::BadRequest(why) => ApiError::bad_request(why),
        ApplyError::Typed(_) => ApiError::unknown(message),
    }
}

fn unsupported(call: &Call) -> ApiError {
    if call.resource.is_custom() {
        ApiError::unsupported_media_type(&[JSON_PATCH, MERGE_PATCH, APPLY_PATCH])
    } else {
        ApiError::unsupported_media_type(&[JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, APPLY_PATCH])
    }
}
