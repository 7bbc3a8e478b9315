//! What webhooks are asked and what they answer: `AdmissionReview`.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use serde_json::{Value, json};
use windlass_apimachinery::patch;

use super::{Attempt, hooks::Hook, hooks::OnFailure, matching::Subject};
use crate::{
    admission::quoted,
    auth::reviews,
    status::{ApiError, ApiResult},
    store::Key,
};

/// What a client does to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Create,
    Update,
    Delete,
}

impl Operation {
    fn name(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
        }
    }

    fn options(self) -> &'static str {
        match self {
            Self::Create => "CreateOptions",
            Self::Update => "UpdateOptions",
            Self::Delete => "DeleteOptions",
        }
    }
}

/// A question to one webhook.
pub(super) struct Request {
    uid: String,
    api_version: String,
    review: Value,
}

impl Request {
    /// The question, if the webhook wants to be asked about this.
    pub(super) fn for_hook(
        attempt: &Attempt<'_>,
        object: Option<&Value>,
        hook: &Hook,
    ) -> ApiResult<Option<Self>> {
        let call = attempt.call;
        let Some(version) = version_for(attempt, hook) else {
            return Ok(None);
        };
        let selected = |object: Option<&Value>| object.is_some_and(|o| hook.objects.matches(o));
        if !hook.objects.is_empty() && !selected(object) && !selected(attempt.old) {
            return Ok(None);
        }
        if !hook.namespaces.is_empty() && !in_namespace(attempt, object, hook)? {
            return Ok(None);
        }
        let request = request(attempt, &version);
        let null = Value::Null;
        let (new, old) = (object.unwrap_or(&null), attempt.old.unwrap_or(&null));
        if !hook.conditions.is_empty() {
            match (hook.conditions.hold(new, old, &request), hook.on_failure) {
                (Ok(true), _) => {}
                (Ok(false), _) | (Err(_), OnFailure::GoOn) => return Ok(None),
                (Err(why), OnFailure::Refuse) => {
                    let (group, plural) = (&call.resource.group, &call.resource.plural);
                    return Err(ApiError::forbidden(group, plural, attempt.name, why));
                }
            }
        }
        let mut request = request;
        let api_version = call.resource.api_version(&version);
        for (field, value) in [("object", new), ("oldObject", old)] {
            let mut value = value.clone();
            if value.is_object() {
                value["apiVersion"] = json!(api_version);
            }
            request[field] = value;
        }
        Ok(Some(Self {
            uid: request["uid"].as_str().unwrap_or_default().to_owned(),
            api_version: format!("admission.k8s.io/{}", hook.review_version),
            review: request,
        }))
    }

    pub(super) fn body(&self) -> Bytes {
        let review = json!({
            "kind": "AdmissionReview",
            "apiVersion": self.api_version,
            "request": self.review,
        });
        Bytes::from(review.to_string())
    }
}

/// The version in which the webhook wants the object, if it wants it.
fn version_for(attempt: &Attempt<'_>, hook: &Hook) -> Option<String> {
    let call = attempt.call;
    let resource = &call.resource;
    let subject = |version| Subject {
        operation: attempt.operation.name(),
        group: &resource.group,
        version,
        resource: &resource.plural,
        subresource: &call.target.subresource,
        namespaced: resource.namespaced,
    };
    let own = call.target.version.as_str();
    let matches = |version| {
        hook.rules
            .iter()
            .any(|rule| rule.matches(&subject(version)))
    };
    if matches(own) {
        return Some(own.to_owned());
    }
    if !hook.equivalent {
        return None;
    }
    resource
        .versions()
        .find(|version| *version != own && matches(version))
        .map(str::to_owned)
}

/// Whether the namespace of the request is selected. A namespace is in itself; other objects
/// outside namespaces are never left out.
fn in_namespace(attempt: &Attempt<'_>, object: Option<&Value>, hook: &Hook) -> ApiResult<bool> {
    let call = attempt.call;
    let itself = call.resource.group.is_empty() && call.resource.plural == "namespaces";
    if itself && let Some(object) = object {
        return Ok(hook.namespaces.matches(object));
    }
    let namespace = if itself {
        attempt.name
    } else {
        call.target.namespace.as_str()
    };
    if namespace.is_empty() {
        return Ok(true);
    }
    let key = Key::new("", "namespaces", "", namespace);
    match call.server.store.get(&key) {
        Some(found) => Ok(hook.namespaces.matches(found.facts())),
        None => Err(ApiError::not_found("", "namespaces", namespace)),
    }
}

/// The request without its objects.
fn request(attempt: &Attempt<'_>, version: &str) -> Value {
    let call = attempt.call;
    let resource = &call.resource;
    let kind =
        |version: &str| json!({"group": resource.group, "version": version, "kind": resource.kind});
    let named = |version: &str| json!({"group": resource.group, "version": version, "resource": resource.plural});
    let own = call.target.version.as_str();
    let mut request = json!({
        "uid": uuid::Uuid::new_v4().to_string(),
        "kind": kind(version),
        "resource": named(version),
        "requestKind": kind(own),
        "requestResource": named(own),
        "operation": attempt.operation.name(),
        "userInfo": reviews::info(&call.user),
        "dryRun": attempt.dry_run,
        "options": options(attempt),
    });
    let namespace = if resource.namespaced {
        call.target.namespace.as_str()
    } else if resource.group.is_empty() && resource.plural == "namespaces" {
        attempt.name
    } else {
        ""
    };
    let subresource = call.target.subresource.as_str();
    for (field, text) in [
        ("name", attempt.name),
        ("namespace", namespace),
        ("subResource", subresource),
        ("requestSubResource", subresource),
    ] {
        if !text.is_empty() {
            request[field] = json!(text);
        }
    }
    request
}

fn options(attempt: &Attempt<'_>) -> Value {
    let mut options = json!({
        "kind": attempt.operation.options(),
        "apiVersion": "meta.k8s.io/v1",
    });
    if attempt.dry_run {
        options["dryRun"] = json!(["All"]);
    }
    if let Some(policy) = attempt.propagation {
        options["propagationPolicy"] = json!(policy);
    }
    if attempt.operation != Operation::Delete {
        for field in ["fieldManager", "fieldValidation"] {
            if let Some(value) = attempt.call.query.get(field) {
                options[field] = json!(value);
            }
        }
    }
    options
}

/// An answer that has the right form.
#[derive(Debug)]
pub(super) struct Verdict {
    allowed: bool,
    status: Value,
    patch: Option<Value>,
    pub(super) warnings: Vec<String>,
}

impl Verdict {
    /// Reads an answer; the error is what is wrong with it.
    pub(super) fn read(answer: &Value, request: &Request, mutates: bool) -> Result<Self, String> {
        let response = &answer["response"];
        if !response.is_object() {
            return Err("webhook response was absent".to_owned());
        }
        let v1 = request.api_version.ends_with("/v1");
        let uid = response["uid"].as_str().unwrap_or_default();
        if v1 && uid != request.uid {
            return Err(format!(
                "expected response.uid={}, got {}",
                quoted(&request.uid),
                quoted(uid)
            ));
        }
        let found = (&answer["apiVersion"], &answer["kind"]);
        if v1 && (*found.0 != request.api_version.as_str() || found.1 != "AdmissionReview") {
            return Err(format!(
                "expected webhook response of {}, Kind=AdmissionReview, got {}, Kind={}",
                request.api_version,
                found.0.as_str().unwrap_or_default(),
                found.1.as_str().unwrap_or_default(),
            ));
        }
        let patch = response["patch"].as_str().unwrap_or_default();
        let patch_type = response["patchType"].as_str();
        match (mutates, patch.is_empty(), patch_type) {
            (false, false, _) => Err("validating webhook may not return response.patch"),
            (false, _, Some(_)) => Err("validating webhook may not return response.patchType"),
            (true, false, None) if v1 => {
                Err("webhook returned response.patch but not response.patchType")
            }
            (true, true, Some(_)) if v1 => {
                Err("webhook returned response.patchType but not response.patch")
            }
            _ => Ok(()),
        }?;
        if let Some(other) = patch_type.filter(|kind| *kind != "JSONPatch") {
            return Err(format!("unsupported patch type {}", quoted(other)));
        }
        let decoded = BASE64_STANDARD
            .decode(patch)
            .map_err(|error| format!("received undecodable patch in webhook response: {error}"))?;
        let patch = if decoded.is_empty() {
            None
        } else {
            let patch = serde_json::from_slice(&decoded).map_err(|error| {
                format!("received undecodable patch in webhook response: {error}")
            })?;
            Some(patch)
        };
        let warnings = response["warnings"].as_array();
        Ok(Self {
            allowed: response["allowed"] == true,
            status: response["status"].clone(),
            patch: patch.filter(|patch: &Value| patch.as_array().is_none_or(|ops| !ops.is_empty())),
            warnings: warnings
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect(),
        })
    }

    /// The refusal, if it is one.
    pub(super) fn refusal(&self, webhook: &str) -> Option<ApiError> {
        if self.allowed {
            return None;
        }
        let denied = format!("admission webhook {} denied the request", quoted(webhook));
        let text = |field: &str| self.status[field].as_str().unwrap_or_default();
        let message = match (text("message"), text("reason")) {
            ("", "") => format!("{denied} without explanation"),
            ("", reason) => format!("{denied}: {reason}"),
            (message, _) => format!("{denied}: {message}"),
        };
        Some(ApiError::by_webhook(&self.status, message))
    }

    /// The object as the webhook changes it, if it does.
    pub(super) fn patched(&self, hook: &Hook, object: Option<&Value>) -> ApiResult<Option<Value>> {
        let Some(patch) = &self.patch else {
            return Ok(None);
        };
        let Some(object) = object else {
            return Err(ApiError::internal(format!(
                "admission webhook {} attempted to modify the object, which is not supported for \
                 this operation",
                quoted(&hook.name)
            )));
        };
        let mut patched = patch::json_patch(object, patch).map_err(ApiError::internal)?;
        if !patched.is_object() {
            return Err(ApiError::internal(
                "the patch of a webhook leaves no object",
            ));
        }
        for field in ["apiVersion", "kind"] {
            patched[field] = object[field].clone();
        }
        Ok(Some(patched))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(response: Value, mutates: bool) -> Result<Verdict, String> {
        let request = Request {
            uid: "u".to_owned(),
            api_version: "admission.k8s.io/v1".to_owned(),
            review: Value::Null,
        };
        let answer = json!({
            "apiVersion": "admission.k8s.io/v1",
            "kind": "AdmissionReview",
            "response": response,
        });
        Verdict::read(&answer, &request, mutates)
    }

    #[test]
    fn answers_of_the_wrong_form_are_none() {
        let cases = [
            (json!(null), true, "webhook response was absent"),
            (
                json!({"allowed": true}),
                true,
                "expected response.uid=\"u\", got \"\"",
            ),
            (
                json!({"uid": "u", "patch": "W10="}),
                true,
                "webhook returned response.patch but not response.patchType",
            ),
            (
                json!({"uid": "u", "patchType": "JSONPatch"}),
                true,
                "webhook returned response.patchType but not response.patch",
            ),
            (
                json!({"uid": "u", "patch": "W10=", "patchType": "JSONPatch"}),
                false,
                "validating webhook may not return response.patch",
            ),
            (
                json!({"uid": "u", "patch": "W10=", "patchType": "Other"}),
                true,
                "unsupported patch type \"Other\"",
            ),
        ];
        for (response, mutates, expected) in cases {
            let refused = read(response.clone(), mutates).unwrap_err();
            assert_eq!(refused, expected, "{response}");
        }
    }

    #[test]
    fn a_refusal_says_what_the_webhook_said() {
        let cases = [
            (
                json!(null),
                400,
                "admission webhook \"w.a.b\" denied the request without explanation",
            ),
            (
                json!({"message": "no", "code": 403, "reason": "Forbidden"}),
                403,
                "admission webhook \"w.a.b\" denied the request: no",
            ),
            (
                json!({"reason": "Because"}),
                400,
                "admission webhook \"w.a.b\" denied the request: Because",
            ),
        ];
        for (status, code, message) in cases {
            let response = json!({"uid": "u", "allowed": false, "status": status});
            let error = read(response, false).unwrap().refusal("w.a.b").unwrap();
            assert_eq!((error.code().as_u16(), error.message()), (code, message));
        }
        let allowed = read(json!({"uid": "u", "allowed": true}), false).unwrap();
        assert!(allowed.refusal("w.a.b").is_none());
    }
}
