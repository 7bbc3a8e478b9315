//! Whether a body is an object of the kind that it is sent to.

use serde_json::{Value, json};
use windlass_apimachinery::field::FieldError;

use super::revision_missing;
use crate::{
    http::{Call, Verb},
    metadata,
    status::{ApiError, ApiResult},
};

/// How kube-apiserver calls the place where it knows kinds from.
const SCHEME: &str = "\"pkg/runtime/scheme.go:111\"";

/// How a request treats fields that its kind does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Strictness {
    Ignore,
    Warn,
    Strict,
}

/// Turns complaints about fields into warnings or a refusal, as the client wishes.
pub(in super::super) fn judge_fields(
    call: &Call,
    complaints: Vec<String>,
    warnings: &mut Vec<String>,
) -> ApiResult<()> {
    let strictness = match call.query.get("fieldValidation") {
        Some("Ignore") => Strictness::Ignore,
        Some("Strict") => Strictness::Strict,
        _ => Strictness::Warn,
    };
    match strictness {
        _ if complaints.is_empty() => Ok(()),
        Strictness::Ignore => Ok(()),
        Strictness::Warn => {
            warnings.extend(complaints);
            Ok(())
        }
        Strictness::Strict => {
            let why = format!("strict decoding error: {}", complaints.join(", "));
            Err(call.kind().cannot_be_handled(&why))
        }
    }
}

/// Makes sure a body is an object of the kind that the path names.
pub(in super::super) fn check_kind(call: &Call, object: &mut Value) -> ApiResult<()> {
    let expected = call.resource.api_version(&call.target.version);
    if call.resource.is_custom() && object.is_object() {
        let kind = &call.resource.kind;
        let given = object["kind"].as_str().unwrap_or_default().to_owned();
        if given.is_empty() {
            let sent = String::from_utf8_lossy(&call.body);
            return Err(ApiError::bad_request(format!(
                "the object provided is unrecognized (must be of type {kind}): Object 'Kind' is \
                 missing in '{sent}'"
            )));
        }
        if given != *kind {
            if call.verb == Verb::Update && metadata::text(object, "resourceVersion").is_empty() {
                call.stored()?;
                return Err(revision_missing(call));
            }
            let error = FieldError::invalid("kind", &json!(given), format!("must be {kind}"));
            let name = metadata::text(object, "name");
            let group = &call.resource.group;
            return Err(ApiError::invalid(group, &given, name, &[error]));
        }
        let given = object["apiVersion"].as_str().unwrap_or_default();
        if !given.is_empty() && given != expected {
            return Err(ApiError::bad_request(format!(
                "the API version in the data ({given}) does not match the expected API version \
                 ({expected})"
            )));
        }
        // What metadata is, is checked where it is decoded.
        if !object["metadata"].is_object() {
            return Ok(());
        }
    }
    expect_kind(object, &expected, &call.resource.kind)
}

/// The same for any kind. What is left out is taken from the path.
pub(in super::super) fn expect_kind(
    object: &mut Value,
    api_version: &str,
    kind: &str,
) -> ApiResult<()> {
    if !object.is_object() {
        return Err(ApiError::bad_request(
            "the object provided is unrecognized (must be of type Object)",
        ));
    }
    if let Some(wrong @ (Value::Array(_) | Value::String(_) | Value::Number(_) | Value::Bool(_))) =
        object.get("metadata")
    {
        let found = match wrong {
            Value::Array(_) => "array",
            Value::String(_) => "string",
            Value::Number(_) => "number",
            _ => "bool",
        };
        return Err(ApiError::bad_request(format!(
            "{kind} in version \"{}\" cannot be handled as a {kind}: json: cannot unmarshal \
             {found} into Go struct field {kind}.metadata of type v1.ObjectMeta",
            api_version.rsplit('/').next().unwrap_or_default()
        )));
    }
    for (field, expected) in [("apiVersion", api_version), ("kind", kind)] {
        let given = object[field].as_str().unwrap_or_default();
        if given.is_empty() {
            object[field] = json!(expected);
        } else if given != expected {
            let text = |field: &str, usual: &str| {
                let given = object[field].as_str().filter(|given| !given.is_empty());
                given.unwrap_or(usual).to_owned()
            };
            let (api_version, given) = (text("apiVersion", api_version), text("kind", kind));
            let version = api_version.rsplit('/').next().unwrap_or_default();
            return Err(ApiError::bad_request(format!(
                "{given} in version \"{version}\" cannot be handled as a {kind}: no kind \
                 \"{given}\" is registered for version \"{api_version}\" in scheme {SCHEME}"
            )));
        }
    }
    Ok(())
}
