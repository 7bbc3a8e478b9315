//! Refusals: every answer that is not what was asked for is a `Status` object, with the reasons,
//! codes and texts clients know from kube-apiserver.

use std::{borrow::Cow, fmt};

use http::StatusCode;
use serde_json::{Map, Value, json};
use windlass_apimachinery::field::FieldError;

use crate::store::StoreError;

/// A refusal, ready to be sent.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiError {
    code: StatusCode,
    reason: Cow<'static, str>,
    message: String,
    details: Map<String, Value>,
    metadata: Map<String, Value>,
    /// Whether the answer has details although there is nothing in them.
    bare_details: bool,
    /// What the client is told besides.
    warnings: Box<[String]>,
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ApiError {}

/// A shorthand for what the verbs return.
pub(crate) type ApiResult<T> = Result<T, ApiError>;

impl ApiError {
    fn new(code: StatusCode, reason: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            code,
            reason: Cow::Borrowed(reason),
            message,
            details: Map::new(),
            metadata: Map::new(),
            bare_details: false,
            warnings: Box::default(),
        }
    }

    fn about(mut self, group: &str, kind: &str, name: &str) -> Self {
        for (field, text) in [("name", name), ("group", group), ("kind", kind)] {
            if !text.is_empty() {
                self.details.insert(field.to_owned(), json!(text));
            }
        }
        self
    }

    /// The HTTP status code.
    pub fn code(&self) -> StatusCode {
        self.code
    }

    /// The machine-readable reason.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// The text for people.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Whether no object is meant. Such answers have details too, although there are none:
    /// `kubectl debug` looks into them without asking whether they are there.
    fn is_generic(&self) -> bool {
        matches!(
            self.code,
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED
        )
    }

    /// The same refusal, with what was found on the way.
    pub(crate) fn with_warnings(mut self, warnings: Vec<String>) -> Self {
        self.warnings = warnings.into_boxed_slice();
        self
    }

    /// What was found on the way.
    pub(crate) fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// How many seconds to wait before trying again, when that is known.
    pub fn retry_after(&self) -> Option<u64> {
        self.details
            .get("retryAfterSeconds")
            .and_then(Value::as_u64)
    }

    /// The `Status` object.
    pub fn to_value(&self) -> Value {
        let mut status = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": self.metadata,
            "status": "Failure",
            "message": self.message,
            "code": self.code.as_u16(),
        });
        if !self.reason.is_empty() {
            status["reason"] = json!(self.reason);
        }
        if !self.details.is_empty() || self.is_generic() || self.bare_details {
            status["details"] = Value::Object(self.details.clone());
        }
        status
    }

    /// 404 for an object.
    pub fn not_found(group: &str, resource: &str, name: &str) -> Self {
        let message = format!("{} \"{name}\" not found", qualified(group, resource));
        Self::new(StatusCode::NOT_FOUND, "NotFound", message).about(group, resource, name)
    }

    /// 404 for something that is no API object, such as a container's log.
    pub fn not_found_because(why: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "NotFound", why)
    }

    /// 404 for a path that nothing serves.
    pub fn no_such_path() -> Self {
        let message = "the server could not find the requested resource";
        Self::new(StatusCode::NOT_FOUND, "NotFound", message)
    }

    /// 409: the name is taken.
    pub fn already_exists(group: &str, resource: &str, name: &str) -> Self {
        let message = format!("{} \"{name}\" already exists", qualified(group, resource));
        Self::new(StatusCode::CONFLICT, "AlreadyExists", message).about(group, resource, name)
    }

    /// 409: the name is taken by an object that is about to go.
    pub fn still_exists(group: &str, resource: &str, name: &str) -> Self {
        let mut error = Self::already_exists(group, resource, name);
        error.message = format!("object is being deleted: {}", error.message);
        error
    }

    /// 409: the object is not as the request expects it.
    pub fn conflict(group: &str, resource: &str, name: &str, why: impl fmt::Display) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} \"{name}\": {why}",
            qualified(group, resource)
        );
        Self::new(StatusCode::CONFLICT, "Conflict", message).about(group, resource, name)
    }

    /// 409: the resourceVersion of the request is not the current one.
    pub fn modified(group: &str, resource: &str, name: &str) -> Self {
        let why = "the object has been modified; please apply your changes to the latest version \
                   and try again";
        Self::conflict(group, resource, name, why)
    }

    /// 409 of server-side apply, one cause per field that somebody else owns.
    pub fn apply_conflict(message: String, causes: Vec<Value>) -> Self {
        let mut error = Self::new(StatusCode::CONFLICT, "Conflict", message);
        error
            .details
            .insert("causes".to_owned(), Value::Array(causes));
        error
    }

    /// 422: the object breaks rules of its kind.
    pub fn invalid(group: &str, kind: &str, name: &str, errors: &[FieldError]) -> Self {
        let message = format!(
            "{} \"{name}\" is invalid: {}",
            qualified(group, kind),
            windlass_apimachinery::field::join(errors)
        );
        let mut error = Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", message)
            .about(group, kind, name);
        let causes = errors.iter().map(FieldError::cause).collect();
        error
            .details
            .insert("causes".to_owned(), Value::Array(causes));
        error
    }

    /// What an admission webhook says instead of yes: its own status, with the message as given.
    pub(crate) fn by_webhook(status: &Value, message: String) -> Self {
        let code = status["code"]
            .as_u64()
            .and_then(|code| u16::try_from(code).ok())
            .and_then(|code| StatusCode::from_u16(code).ok())
            .filter(|code| code.as_u16() >= 400)
            .unwrap_or(StatusCode::BAD_REQUEST);
        let mut error = Self::new(code, "", message);
        error.reason = Cow::Owned(status["reason"].as_str().unwrap_or_default().to_owned());
        if let Some(details) = status["details"].as_object() {
            error.details = details.clone();
        }
        error
    }

    /// 422 for a patch that cannot be carried out.
    pub fn unprocessable() -> Self {
        let message = "the server rejected our request due to an error in our request";
        let mut error = Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", message);
        error.bare_details = true;
        error
    }

    /// 500 without a reason: what kube-apiserver makes of an error that it has no status for.
    pub fn unknown(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "", message)
    }

    /// 400.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BadRequest", message)
    }

    /// 401.
    pub fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "Unauthorized", "Unauthorized")
    }

    /// 403.
    pub fn forbidden(group: &str, resource: &str, name: &str, why: impl fmt::Display) -> Self {
        let resource_name = qualified(group, resource);
        let message = if name.is_empty() {
            format!("{resource_name} is forbidden: {why}")
        } else {
            format!("{resource_name} \"{name}\" is forbidden: {why}")
        };
        Self::new(StatusCode::FORBIDDEN, "Forbidden", message).about(group, resource, name)
    }

    /// 403 for a path that is no resource.
    pub fn forbidden_path(why: impl fmt::Display) -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "Forbidden",
            format!("forbidden: {why}"),
        )
    }

    /// 403 on create in a namespace that is going away, with the cause that clients look for.
    pub fn namespace_terminating(group: &str, resource: &str, name: &str, namespace: &str) -> Self {
        let why = format!(
            "unable to create new content in namespace {namespace} because it is being terminated"
        );
        let mut error = Self::forbidden(group, resource, name, why);
        let cause = json!({
            "reason": "NamespaceTerminating",
            "message": format!("namespace {namespace} is being terminated"),
            "field": "metadata.namespace",
        });
        error.details.insert("causes".to_owned(), json!([cause]));
        error
    }

    /// 405.
    pub fn method_not_allowed() -> Self {
        let message = "the server does not allow this method on the requested resource";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", message)
    }

    /// 406.
    pub fn not_acceptable(accepted: &str) -> Self {
        let message = format!("only the following media types are accepted: {accepted}");
        Self::new(StatusCode::NOT_ACCEPTABLE, "NotAcceptable", message)
    }

    /// 413.
    pub fn too_large() -> Self {
        let message = "Request entity too large: limit is 3145728";
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "RequestEntityTooLarge",
            message,
        )
    }

    /// 413 for a patch with too many operations.
    pub fn patch_too_large(message: impl Into<String>) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "RequestEntityTooLarge",
            message,
        )
    }

    /// 406 of a built-in kind.
    pub fn no_representation(available: &str) -> Self {
        let message = format!("406: Not Acceptable\n\nAvailable representations: {available}");
        let mut error = Self::new(StatusCode::NOT_ACCEPTABLE, "NotAcceptable", message);
        error.bare_details = true;
        error
    }

    /// 415 of a patch of a built-in kind.
    pub fn unknown_patch_format() -> Self {
        let message = "415: Unsupported Media Type";
        let mut error = Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "UnsupportedMediaType",
            message,
        );
        error.bare_details = true;
        error
    }

    /// 422 of a patch whose result is no object of the kind.
    pub(crate) fn patch_makes_no_object(patched: &Value, why: &str) -> Self {
        let error = FieldError::invalid("patch", &json!(patched.to_string()), why);
        Self::invalid("", "", "", &[error])
    }

    /// 415.
    pub fn unsupported_media_type(accepted: &[&str]) -> Self {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {}",
            accepted.join(", ")
        );
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "UnsupportedMediaType",
            message,
        )
    }

    /// 410: the asked revision is gone.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::new(StatusCode::GONE, "Expired", message)
    }

    /// 410 of a consistent list, with the token that continues with whatever is there now.
    pub fn expired_continue(token: String) -> Self {
        let mut error = Self::expired(
            "The provided continue parameter is too old to display a consistent list result. You \
             can start a new list without the continue parameter, or use the continue token in \
             this response to retrieve the remainder of the results. Continuing with the provided \
             token results in an inconsistent list - objects that were created, modified, or \
             deleted between the time the first chunk was returned and now may show up in the \
             list.",
        );
        error.metadata.insert("continue".to_owned(), json!(token));
        error
    }

    /// 504: the asked revision lies in the future.
    pub fn revision_too_large(asked: u64, current: u64) -> Self {
        let message = format!("Timeout: Too large resource version: {asked}, current: {current}");
        let mut error = Self::new(StatusCode::GATEWAY_TIMEOUT, "Timeout", message);
        let cause =
            json!({"reason": "ResourceVersionTooLarge", "message": "Too large resource version"});
        error.details.insert("causes".to_owned(), json!([cause]));
        error
            .details
            .insert("retryAfterSeconds".to_owned(), json!(1));
        error
    }

    /// 429 of an eviction that a budget does not allow.
    pub(crate) fn disruption_budget(cause: &str, retry_after: Option<u64>) -> Self {
        let message = "Cannot evict pod as it would violate the pod's disruption budget.";
        let mut error = Self::new(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", message);
        let cause = json!({"reason": "DisruptionBudget", "message": cause});
        error.details.insert("causes".to_owned(), json!([cause]));
        if let Some(seconds) = retry_after {
            error
                .details
                .insert("retryAfterSeconds".to_owned(), json!(seconds));
        }
        error
    }

    /// 500 of an eviction that several budgets have a say in.
    pub(crate) fn several_budgets() -> Self {
        let message = "This pod has more than one PodDisruptionBudget, which the eviction \
                       subresource does not support.";
        Self::unknown(message)
    }

    /// 500.
    pub fn internal(why: impl fmt::Display) -> Self {
        let message = format!("Internal error occurred: {why}");
        let mut error = Self::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", message);
        error
            .details
            .insert("causes".to_owned(), json!([{"message": why.to_string()}]));
        error
    }

    /// 503: the server is going down or has not come up.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "ServiceUnavailable",
            message,
        )
    }

    /// Any code, for faults that a test asked for.
    pub fn injected(code: StatusCode) -> Self {
        let reason = match code.as_u16() {
            400 => "BadRequest",
            401 => "Unauthorized",
            403 => "Forbidden",
            404 => "NotFound",
            409 => "Conflict",
            410 => "Expired",
            422 => "Invalid",
            429 => "TooManyRequests",
            503 => "ServiceUnavailable",
            504 => "Timeout",
            _ => "InternalError",
        };
        Self::new(code, reason, format!("injected fault: {code}"))
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Closed => Self::unavailable("the server is shutting down"),
            StoreError::Full(_) => Self::new(
                StatusCode::INSUFFICIENT_STORAGE,
                "InsufficientStorage",
                error.to_string(),
            ),
            StoreError::Conflict { .. } | StoreError::Disk(_) => Self::internal(error),
        }
    }
}

/// `deployments.apps`, or just `pods` for the core group.
fn qualified(group: &str, resource: &str) -> String {
    if group.is_empty() {
        resource.to_owned()
    } else {
        format!("{resource}.{group}")
    }
}

/// The `Status` that says an object is gone.
pub(crate) fn deleted(group: &str, resource: &str, name: &str, uid: &str) -> Value {
    let mut details = json!({"name": name, "kind": resource, "uid": uid});
    if !group.is_empty() {
        details["group"] = json!(group);
    }
    json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": details,
    })
}

/// The `Status` of a success that has nothing else to show.
pub(crate) fn success(code: StatusCode) -> Value {
    json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "code": code.as_u16(),
    })
}
