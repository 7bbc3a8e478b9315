//! TokenRequest: a fresh token for a service account.

use ::http::{Response, StatusCode};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use windlass_apimachinery::field::FieldError;

use super::super::write;
use crate::{
    admission::quoted,
    auth::tokens::{self, Bound, BoundKind, Grant, ISSUER},
    http::{self as transport, Body, Call, decode_object},
    metadata,
    status::{ApiError, ApiResult},
    store::Key,
};

const API_VERSION: &str = "authentication.k8s.io/v1";
/// Shorter ones would expire before they are renewed.
const LEAST_SECONDS: i64 = 600;
const MOST_SECONDS: i64 = 1 << 32;
const DEFAULT_SECONDS: i64 = 3600;

pub(super) fn create(call: &Call) -> ApiResult<Response<Body>> {
    let mut request = decode_object(&call.headers, &call.body)?.value;
    write::expect_kind(&mut request, API_VERSION, "TokenRequest")?;
    if !request["spec"].is_object() {
        request["spec"] = json!({});
    }
    let account = call.stored()?;
    let matching = [
        ("name", "service account name", &call.target.name),
        (
            "namespace",
            "service account namespace",
            &call.target.namespace,
        ),
    ];
    for (field, what, expected) in matching {
        let given = metadata::text(&request, field);
        if !given.is_empty() && given != expected {
            let why = format!("must match the {what} if specified");
            let error = FieldError::invalid(format!("metadata.{field}"), &json!(given), why);
            let (group, kind) = ("authentication.k8s.io", "TokenRequest");
            return Err(ApiError::invalid(group, kind, &call.target.name, &[error]));
        }
    }
    let spec = &request["spec"];
    let seconds = spec["expirationSeconds"]
        .as_i64()
        .unwrap_or(DEFAULT_SECONDS);
    let wrong_length = if seconds < LEAST_SECONDS {
        Some("may not specify a duration less than 10 minutes")
    } else if seconds > MOST_SECONDS {
        Some("may not specify a duration larger than 2^32 seconds")
    } else {
        None
    };
    if let Some(why) = wrong_length {
        let error = FieldError::invalid("spec.expirationSeconds", &json!(seconds), why);
        return Err(ApiError::invalid(
            "authentication.k8s.io",
            "TokenRequest",
            "",
            &[error],
        ));
    }
    let mut audiences: Vec<String> = spec["audiences"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect();
    if audiences.is_empty() {
        audiences.push(ISSUER.to_owned());
    }
    let bound = bound_object(call, &spec["boundObjectRef"])?;
    let issued = Timestamp::now();
    let expires = issued
        .checked_add(SignedDuration::from_secs(seconds))
        .map_err(|_| ApiError::bad_request("spec.expirationSeconds is too large"))?;
    let grant = Grant {
        namespace: &call.target.namespace,
        account: &call.target.name,
        account_uid: metadata::text(account.facts(), "uid"),
        audiences: &audiences,
        bound: bound.as_ref(),
        issued,
        expires,
    };
    let token = tokens::issue(&call.server, &grant).map_err(ApiError::internal)?;
    request["metadata"] = json!({
        "name": call.target.name,
        "namespace": call.target.namespace,
        "uid": metadata::text(account.facts(), "uid"),
        "creationTimestamp": metadata::time(issued),
    });
    request["spec"]["audiences"] = json!(audiences);
    request["spec"]["expirationSeconds"] = json!(seconds);
    // It is shown also where there is none.
    let bound_to = request["spec"]["boundObjectRef"].take();
    request["spec"]["boundObjectRef"] = bound_to;
    request["status"] = json!({"token": token, "expirationTimestamp": metadata::time(expires)});
    Ok(transport::json(StatusCode::CREATED, &request))
}

/// The object the token shall die with, which has to live now.
fn bound_object(call: &Call, reference: &Value) -> ApiResult<Option<Bound>> {
    if reference.is_null() {
        return Ok(None);
    }
    let text = |field: &str| reference[field].as_str().unwrap_or_default().to_owned();
    let account = &call.target.name;
    let (kind, plural, namespace) = match text("kind").as_str() {
        "Pod" => (BoundKind::Pod, "pods", call.target.namespace.as_str()),
        "Secret" => (BoundKind::Secret, "secrets", call.target.namespace.as_str()),
        "Node" => (BoundKind::Node, "nodes", ""),
        other => {
            let (group, version) = match text("apiVersion").split_once('/') {
                Some((group, version)) => (group.to_owned(), version.to_owned()),
                None => (String::new(), text("apiVersion")),
            };
            return Err(ApiError::bad_request(format!(
                "cannot bind token to object of type {group}/{version}, Kind={other}"
            )));
        }
    };
    let (name, wanted) = (text("name"), text("uid"));
    let object = call
        .server
        .store
        .get(&Key::new("", plural, namespace, &name))
        .ok_or_else(|| ApiError::not_found("", plural, &name))?;
    let uid = metadata::text(object.facts(), "uid").to_owned();
    if !wanted.is_empty() && wanted != uid {
        let why = format!(
            "the UID in the bound object reference ({wanted}) does not match the UID in record. The \
             object might have been deleted and then recreated"
        );
        return Err(ApiError::conflict("", &text("kind"), &name, why));
    }
    let runs_as = object.facts()["spec"]["serviceAccountName"].as_str();
    if kind == BoundKind::Pod && runs_as != Some(account.as_str()) {
        return Err(ApiError::bad_request(format!(
            "cannot bind token for serviceaccount {} to pod running with different serviceaccount \
             name.",
            quoted(account)
        )));
    }
    Ok(Some(Bound { kind, name, uid }))
}
