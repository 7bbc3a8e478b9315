//! Calls to the Kubernetes API, on raw JSON, each with a deadline and a typed error.
//!
//! Laws:
//! - every call ends within its timeout, whatever the layers below do: kube's own retry layer may
//!   wait for many minutes, so [`client`] builds a client without it and the engine alone retries;
//! - a write that failed without an answer may have happened. Callers read live before they act
//!   again;
//! - errors are sorted once, here, by what the caller can do about them.

use std::fmt;
use std::time::Duration;

use kube::Client;
use kube::api::{
    DeleteParams, ListParams, LogParams, Patch, PatchParams, PostParams, Preconditions,
};
use kube::core::Request;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::kind::{Kind, ObjectKey};
use crate::metrics::Metrics;
use crate::object::Object;

/// How many objects one page of a list carries, as client-go has it.
const PAGE_SIZE: u32 = 500;

/// A client for the engine: kube's retry layer is off, because it would retry inside of a call
/// whose deadline and backoff are the engine's.
pub fn client(mut config: kube::Config) -> Result<Client, kube::Error> {
    config.default_retry = false;
    Client::try_from(config)
}

/// How long a pod that is deleted gets to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grace {
    /// As long as it says itself.
    Own,
    /// It is gone at once, whatever its node has to say.
    None,
}

/// The API as the engine calls it.
#[derive(Clone)]
pub struct ApiClient {
    client: Client,
    timeout: Duration,
    metrics: Metrics,
}

/// The verbs the engine uses; a label of metrics and a word of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verb {
    /// Read one object.
    Get,
    /// Read many objects.
    List,
    /// POST.
    Create,
    /// PUT of the status subresource.
    UpdateStatus,
    /// PUT of the whole object.
    Update,
    /// Server-side apply.
    Apply,
    /// JSON merge patch.
    Patch,
    /// DELETE.
    Delete,
}

/// A call that did not succeed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{verb} {target}: {message}")]
pub struct ApiError {
    /// What was tried.
    pub verb: Verb,
    /// On what: the kind, and the object if one was named.
    pub target: String,
    /// What can be done about it.
    pub fault: Fault,
    /// The HTTP status, or 0 if there was no answer.
    pub code: u16,
    /// The reason of the API's Status object, such as `Forbidden`; may be empty.
    pub reason: String,
    /// What the API, or the transport, said.
    pub message: String,
}

/// Errors by what the caller can do about them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The object, or its namespace, is not there.
    NotFound,
    /// An object of that name is there already.
    AlreadyExists,
    /// The object is no longer the one that was observed (resourceVersion or uid).
    Conflict,
    /// The API will never accept this request as it stands.
    Invalid,
    /// Not allowed: by RBAC, quota, or a terminating namespace. Someone else has to act.
    Forbidden,
    /// Asked to slow down, perhaps with a time.
    Throttled(Option<Duration>),
    /// No answer, or an answer that says to try again. A write may have happened.
    Unavailable(Option<Duration>),
}

impl Fault {
    /// Whether the same request would be refused again unless something else changes first.
    pub fn is_refusal(self) -> bool {
        matches!(self, Self::Invalid | Self::Forbidden | Self::NotFound)
    }
}

impl ApiClient {
    /// Wraps a client; every call ends within `timeout`.
    pub fn new(client: Client, timeout: Duration, metrics: Metrics) -> Self {
        Self {
            client,
            timeout,
            metrics,
        }
    }

    /// The client underneath, for watches and streams.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Reads one object; absence is `None`.
    pub async fn get(&self, kind: &Kind, key: &ObjectKey) -> Result<Option<Object>, ApiError> {
        let request = collection(kind, key).get(&key.name, &kube::api::GetParams::default());
        match self.call(Verb::Get, describe(kind, key), request).await {
            Ok(value) => Ok(Some(Object::new(value).with_kind(kind))),
            Err(error) if error.fault == Fault::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads all objects a label selector matches, in the order of namespace and name.
    pub async fn list(
        &self,
        kind: &Kind,
        namespace: Option<&str>,
        label_selector: Option<&str>,
    ) -> Result<Vec<Object>, ApiError> {
        let target = match namespace {
            Some(namespace) => format!("{kind} in {namespace}"),
            None => kind.to_string(),
        };
        let mut params = ListParams {
            label_selector: label_selector.map(str::to_owned),
            limit: Some(PAGE_SIZE),
            ..ListParams::default()
        };
        let mut objects = Vec::new();
        loop {
            let request = Request::new(kind.collection_path(namespace)).list(&params);
            let mut page = self.call(Verb::List, target.clone(), request).await?;
            if let Some(Value::Array(items)) = page.get_mut("items").map(Value::take) {
                objects.extend(
                    items
                        .into_iter()
                        .map(|item| Object::new(item).with_kind(kind)),
                );
            }
            match page.pointer("/metadata/continue").and_then(Value::as_str) {
                Some(token) if !token.is_empty() => params.continue_token = Some(token.to_owned()),
                _ => break,
            }
        }
        objects.sort_by_cached_key(Object::key);
        Ok(objects)
    }

    /// The last lines of a container's log, at most so many bytes of them.
    pub async fn log_tail(
        &self,
        pod: &ObjectKey,
        container: &str,
        lines: u32,
        bytes: u32,
    ) -> Result<String, ApiError> {
        let params = LogParams {
            container: Some(container.to_owned()),
            tail_lines: Some(lines.into()),
            limit_bytes: Some(bytes.into()),
            ..LogParams::default()
        };
        let request = collection(&Kind::POD, pod).logs(&pod.name, &params);
        let target = format!("the log of {}", describe(&Kind::POD, pod));
        let client = &self.client;
        self.call_with(Verb::Get, target, request, |request| {
            client.request_text(request)
        })
        .await
    }

    /// What the kubelet of a node tells of its pods and their volumes, by way of the API server.
    pub async fn node_summary(&self, node: &str) -> Result<Value, ApiError> {
        let path = format!("/api/v1/nodes/{node}/proxy/stats/summary");
        let request = http::Request::get(path).body(Vec::new());
        let request = request.map_err(kube::core::request::Error::BuildRequest);
        let target = format!("the statistics of node {node}");
        self.call(Verb::Get, target, request).await
    }

    /// POSTs an object.
    pub async fn create(
        &self,
        kind: &Kind,
        object: &Value,
        manager: &str,
    ) -> Result<Object, ApiError> {
        let key = Object::new(object.clone()).key();
        let params = PostParams {
            dry_run: false,
            field_manager: Some(manager.to_owned()),
        };
        let request = collection(kind, &key).create(&params, object.to_string().into_bytes());
        self.call(Verb::Create, describe(kind, &key), request)
            .await
            .map(Object::new)
    }

    /// PUTs an object; its `resourceVersion` is the precondition.
    pub async fn update(
        &self,
        kind: &Kind,
        object: &Value,
        manager: &str,
    ) -> Result<Object, ApiError> {
        let key = Object::new(object.clone()).key();
        let params = PostParams {
            dry_run: false,
            field_manager: Some(manager.to_owned()),
        };
        let body = object.to_string().into_bytes();
        let request = collection(kind, &key).replace(&key.name, &params, body);
        self.call(Verb::Update, describe(kind, &key), request)
            .await
            .map(Object::new)
    }

    /// PUTs the status of the observed object, and nothing else; the observed uid and
    /// resourceVersion are preconditions.
    pub async fn update_status(
        &self,
        kind: &Kind,
        observed: &Object,
        status: &Value,
        manager: &str,
    ) -> Result<Object, ApiError> {
        let key = observed.key();
        let mut body = json!({
            "apiVersion": kind.api_version(),
            "kind": kind.kind,
            "metadata": {
                "name": observed.name(),
                "uid": observed.uid(),
                "resourceVersion": observed.resource_version(),
            },
            "status": status,
        });
        if let Some(namespace) = observed.namespace() {
            body["metadata"]["namespace"] = namespace.into();
        }
        let params = PostParams {
            dry_run: false,
            field_manager: Some(manager.to_owned()),
        };
        let body = body.to_string().into_bytes();
        let request =
            collection(kind, &key).replace_subresource("status", &key.name, &params, body);
        self.call(Verb::UpdateStatus, describe(kind, &key), request)
            .await
            .map(Object::new)
    }

    /// Server-side apply with force: the manager owns what it applies.
    pub async fn apply(
        &self,
        kind: &Kind,
        object: &Value,
        manager: &str,
    ) -> Result<Object, ApiError> {
        let key = Object::new(object.clone()).key();
        let params = PatchParams::apply(manager).force();
        let request = collection(kind, &key).patch(&key.name, &params, &Patch::Apply(object));
        self.call(Verb::Apply, describe(kind, &key), request)
            .await
            .map(Object::new)
    }

    /// Server-side apply of an object's status, with force; the object has to be there.
    pub async fn apply_status(
        &self,
        kind: &Kind,
        object: &Value,
        manager: &str,
    ) -> Result<Object, ApiError> {
        let key = Object::new(object.clone()).key();
        let params = PatchParams::apply(manager).force();
        let patch = Patch::Apply(object);
        let request =
            collection(kind, &key).patch_subresource("status", &key.name, &params, &patch);
        self.call(Verb::Apply, describe(kind, &key), request)
            .await
            .map(Object::new)
    }

    /// JSON merge patch of an object.
    pub async fn patch(
        &self,
        kind: &Kind,
        key: &ObjectKey,
        patch: &Value,
        manager: &str,
    ) -> Result<Object, ApiError> {
        let params = PatchParams {
            field_manager: Some(manager.to_owned()),
            ..Default::default()
        };
        let request = collection(kind, key).patch(&key.name, &params, &Patch::Merge(patch));
        self.call(Verb::Patch, describe(kind, key), request)
            .await
            .map(Object::new)
    }

    /// Deletes exactly one incarnation of an object. That it is gone already, or that another one
    /// took its name, is success.
    pub async fn delete(
        &self,
        kind: &Kind,
        key: &ObjectKey,
        uid: &str,
        grace: Grace,
    ) -> Result<(), ApiError> {
        let params = DeleteParams {
            grace_period_seconds: match grace {
                Grace::Own => None,
                Grace::None => Some(0),
            },
            ..DeleteParams::background()
        };
        self.delete_with(kind, key, uid, params).await
    }

    /// The same, and what the object owns stays.
    pub async fn orphan(&self, kind: &Kind, key: &ObjectKey, uid: &str) -> Result<(), ApiError> {
        self.delete_with(kind, key, uid, DeleteParams::orphan())
            .await
    }

    async fn delete_with(
        &self,
        kind: &Kind,
        key: &ObjectKey,
        uid: &str,
        params: DeleteParams,
    ) -> Result<(), ApiError> {
        let params = params.preconditions(Preconditions {
            uid: Some(uid.to_owned()),
            resource_version: None,
        });
        let request = collection(kind, key).delete(&key.name, &params);
        match self.call(Verb::Delete, describe(kind, key), request).await {
            Ok(_) => Ok(()),
            Err(error) if matches!(error.fault, Fault::NotFound | Fault::Conflict) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn call(
        &self,
        verb: Verb,
        target: String,
        request: Result<http::Request<Vec<u8>>, kube::core::request::Error>,
    ) -> Result<Value, ApiError> {
        let client = &self.client;
        self.call_with(verb, target, request, |request| client.request(request))
            .await
    }

    async fn call_with<T, F>(
        &self,
        verb: Verb,
        target: String,
        request: Result<http::Request<Vec<u8>>, kube::core::request::Error>,
        send: impl FnOnce(http::Request<Vec<u8>>) -> F,
    ) -> Result<T, ApiError>
    where
        F: Future<Output = Result<T, kube::Error>>,
    {
        let request = match request {
            Ok(request) => request,
            Err(error) => {
                let fault = Fault::Invalid;
                let (reason, message) = (String::new(), error.to_string());
                return Err(ApiError {
                    verb,
                    target,
                    fault,
                    code: 0,
                    reason,
                    message,
                });
            }
        };
        let started = Instant::now();
        let answer = tokio::time::timeout(self.timeout, send(request)).await;
        let result = match answer {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(sort_error(verb, target, error)),
            Err(_elapsed) => Err(ApiError {
                verb,
                target,
                fault: Fault::Unavailable(None),
                code: 0,
                reason: "Timeout".to_owned(),
                message: format!("no answer within {} s", self.timeout.as_secs_f32()),
            }),
        };
        let code = result.as_ref().map_or_else(|error| error.code, |_| 200);
        self.metrics.api_call(verb, code, started.elapsed());
        result
    }
}

impl fmt::Debug for ApiClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiClient")
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

impl Verb {
    /// The verb as metrics and messages show it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Create => "create",
            Self::UpdateStatus => "update-status",
            Self::Update => "update",
            Self::Apply => "apply",
            Self::Patch => "patch",
            Self::Delete => "delete",
        }
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

fn collection(kind: &Kind, key: &ObjectKey) -> Request {
    Request::new(kind.collection_path(key.namespace.as_deref()))
}

fn describe(kind: &Kind, key: &ObjectKey) -> String {
    format!("{kind} {key}")
}

fn sort_error(verb: Verb, target: String, error: kube::Error) -> ApiError {
    let kube::Error::Api(status) = error else {
        return ApiError {
            verb,
            target,
            fault: Fault::Unavailable(None),
            code: 0,
            reason: String::new(),
            message: with_sources(&error),
        };
    };
    let retry_after = status
        .details
        .as_ref()
        .map(|details| details.retry_after_seconds)
        .filter(|seconds| *seconds > 0)
        .map(|seconds| Duration::from_secs(u64::from(seconds)));
    let fault = match status.code {
        404 => Fault::NotFound,
        409 if status.reason == "AlreadyExists" => Fault::AlreadyExists,
        409 => Fault::Conflict,
        401 | 403 => Fault::Forbidden,
        429 => Fault::Throttled(retry_after),
        408 | 410 | 500.. => Fault::Unavailable(retry_after),
        _ => Fault::Invalid,
    };
    ApiError {
        verb,
        target,
        fault,
        code: status.code,
        reason: status.reason,
        message: status.message,
    }
}

fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let inner_text = inner.to_string();
        // Many layers repeat their source in their own message.
        if !text.contains(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        source = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    #[test]
    fn errors_are_sorted_by_what_can_be_done() {
        let cases = [
            (404, "NotFound", 0, Fault::NotFound),
            (409, "AlreadyExists", 0, Fault::AlreadyExists),
            (409, "Conflict", 0, Fault::Conflict),
            (403, "Forbidden", 0, Fault::Forbidden),
            (422, "Invalid", 0, Fault::Invalid),
            (400, "BadRequest", 0, Fault::Invalid),
            (
                429,
                "TooManyRequests",
                3,
                Fault::Throttled(Some(Duration::from_secs(3))),
            ),
            (503, "ServiceUnavailable", 0, Fault::Unavailable(None)),
            (
                504,
                "Timeout",
                1,
                Fault::Unavailable(Some(Duration::from_secs(1))),
            ),
            (410, "Expired", 0, Fault::Unavailable(None)),
        ];
        for (code, reason, retry_after_seconds, fault) in cases {
            let status: Status = serde_json::from_value(json!({
                "code": code,
                "reason": reason,
                "details": { "retryAfterSeconds": retry_after_seconds },
            }))
            .unwrap();
            let error = kube::Error::Api(Box::new(status));
            assert_eq!(
                sort_error(Verb::Get, String::new(), error).fault,
                fault,
                "{code} {reason}"
            );
        }
    }
}
