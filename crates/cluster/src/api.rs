//! Calls to the API on raw JSON, with a deadline and errors sorted by what can be done.

use std::time::Duration;

use kube::api::{
    DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions, PropagationPolicy,
};
use kube::core::Request;
use serde_json::Value;
use windlass_engine::{Kind, ObjectKey};

/// No call of a built-in controller takes longer; a retry comes with the next pass.
const DEADLINE: Duration = Duration::from_secs(15);
/// The field manager of everything the built-in controllers write.
const MANAGER: &str = "windlass-cluster";
const PAGE: u32 = 500;

/// A call that did not succeed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// The object, its namespace or its kind is not there.
    #[error("not found: {0}")]
    NotFound(String),
    /// It exists already, or is not the one that was observed any more.
    #[error("conflict: {0}")]
    Conflict(String),
    /// The API refuses the request as it stands.
    #[error("refused ({code}): {message}")]
    Refused {
        /// The HTTP status.
        code: u16,
        /// What the API said.
        message: String,
    },
    /// No usable answer; the call may have happened.
    #[error("no answer: {0}")]
    Unavailable(String),
}

/// Whether a create made the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Created {
    /// It did.
    New,
    /// One of that name was there.
    Existed,
}

/// The API as the built-in controllers call it.
#[derive(Clone)]
pub(crate) struct Api {
    client: kube::Client,
}

/// A request, unless it cannot be made.
type Built = Result<http::Request<Vec<u8>>, kube::core::request::Error>;

impl Api {
    pub(crate) fn new(client: kube::Client) -> Self {
        Self { client }
    }

    /// The client underneath, for watches and discovery.
    pub(crate) fn client(&self) -> &kube::Client {
        &self.client
    }

    /// One object; absence is `None`.
    pub(crate) async fn get(
        &self,
        kind: &Kind,
        key: &ObjectKey,
    ) -> Result<Option<Value>, CallError> {
        let request = collection(kind, key).get(&key.name, &kube::api::GetParams::default());
        absence_is_none(self.call(request).await)
    }

    /// A subresource of one object; absence, of the object or of such a subresource, is `None`.
    pub(crate) async fn get_subresource(
        &self,
        kind: &Kind,
        key: &ObjectKey,
        subresource: &str,
    ) -> Result<Option<Value>, CallError> {
        let request = collection(kind, key).get_subresource(subresource, &key.name);
        absence_is_none(self.call(request).await)
    }

    /// The metadata of one object; absence is `None`.
    pub(crate) async fn get_metadata(
        &self,
        kind: &Kind,
        key: &ObjectKey,
    ) -> Result<Option<Value>, CallError> {
        let params = kube::api::GetParams::default();
        absence_is_none(
            self.call(collection(kind, key).get_metadata(&key.name, &params))
                .await,
        )
    }

    /// The metadata of all objects of a kind in a namespace.
    pub(crate) async fn list_metadata(
        &self,
        kind: &Kind,
        namespace: &str,
    ) -> Result<Vec<Value>, CallError> {
        self.pages(kind, Some(namespace), Request::list_metadata)
            .await
    }

    /// All objects of a kind, in a namespace if one is given.
    pub(crate) async fn list(
        &self,
        kind: &Kind,
        namespace: Option<&str>,
    ) -> Result<Vec<Value>, CallError> {
        self.pages(kind, namespace, Request::list).await
    }

    /// The items of all pages of a list.
    async fn pages(
        &self,
        kind: &Kind,
        namespace: Option<&str>,
        list: impl Fn(&Request, &ListParams) -> Built,
    ) -> Result<Vec<Value>, CallError> {
        let request = Request::new(kind.collection_path(namespace));
        let mut items = Vec::new();
        let mut params = ListParams::default().limit(PAGE);
        loop {
            let mut page = self.call(list(&request, &params)).await?;
            if let Some(Value::Array(more)) = page.get_mut("items").map(Value::take) {
                items.extend(more);
            }
            match page.pointer("/metadata/continue").and_then(Value::as_str) {
                Some(token) if !token.is_empty() => {
                    params.continue_token = Some(token.to_owned());
                }
                _ => return Ok(items),
            }
        }
    }

    /// Creates the object and returns what became of it; that the name is taken is a conflict.
    pub(crate) async fn make(
        &self,
        kind: &Kind,
        namespace: Option<&str>,
        object: &Value,
    ) -> Result<Value, CallError> {
        let request = Request::new(kind.collection_path(namespace));
        self.call(request.create(&post(), body(object))).await
    }

    pub(crate) async fn create(
        &self,
        kind: &Kind,
        namespace: Option<&str>,
        object: &Value,
    ) -> Result<Created, CallError> {
        match self.make(kind, namespace, object).await {
            Ok(_) => Ok(Created::New),
            Err(CallError::Conflict(_)) => Ok(Created::Existed),
            Err(error) => Err(error),
        }
    }

    /// POSTs to a subresource of the object.
    pub(crate) async fn create_subresource(
        &self,
        kind: &Kind,
        key: &ObjectKey,
        subresource: &str,
        object: &Value,
    ) -> Result<Value, CallError> {
        let request = collection(kind, key);
        self.call(request.create_subresource(subresource, &key.name, &post(), body(object)))
            .await
    }

    /// PUTs a subresource of the object.
    pub(crate) async fn replace_subresource(
        &self,
        kind: &Kind,
        key: &ObjectKey,
        subresource: &str,
        object: &Value,
    ) -> Result<Value, CallError> {
        let request = collection(kind, key);
        self.call(request.replace_subresource(subresource, &key.name, &post(), body(object)))
            .await
    }

    /// Server-side apply; what this manager applied before and leaves out now goes.
    pub(crate) async fn apply(
        &self,
        kind: &Kind,
        key: &ObjectKey,
        object: &Value,
    ) -> Result<Value, CallError> {
        let params = PatchParams::apply(MANAGER).force();
        let request = collection(kind, key).patch(&key.name, &params, &Patch::Apply(object));
        self.call(request).await
    }

    /// Merge patch of the object.
    pub(crate) async fn merge(
        &self,
        kind: &Kind,
        key: &ObjectKey,
        patch: &Value,
    ) -> Result<Value, CallError> {
        let request = collection(kind, key).patch(&key.name, &patching(), &Patch::Merge(patch));
        self.call(request).await
    }

    /// Strategic merge patch of the object: owner references merge by uid.
    pub(crate) async fn patch(
        &self,
        kind: &Kind,
        key: &ObjectKey,
        patch: &Value,
    ) -> Result<Value, CallError> {
        let patch = Patch::Strategic(patch);
        let request = collection(kind, key).patch(&key.name, &patching(), &patch);
        self.call(request).await
    }

    /// Merge patch of the object's status: lists are replaced as a whole.
    pub(crate) async fn replace_status(
        &self,
        kind: &Kind,
        key: &ObjectKey,
        patch: &Value,
    ) -> Result<Value, CallError> {
        let patch = Patch::Merge(patch);
        let request = collection(kind, key);
        self.call(request.patch_subresource("status", &key.name, &patching(), &patch))
            .await
    }

    /// Strategic merge patch of the object's status: lists of conditions merge by type.
    pub(crate) async fn merge_status(
        &self,
        kind: &Kind,
        key: &ObjectKey,
        patch: &Value,
    ) -> Result<Value, CallError> {
        let patch = Patch::Strategic(patch);
        let request = collection(kind, key);
        self.call(request.patch_subresource("status", &key.name, &patching(), &patch))
            .await
    }

    /// Deletes exactly one incarnation; that it is gone, or replaced, is success.
    pub(crate) async fn delete(
        &self,
        kind: &Kind,
        key: &ObjectKey,
        uid: &str,
        propagation: PropagationPolicy,
    ) -> Result<(), CallError> {
        let params = DeleteParams {
            propagation_policy: Some(propagation),
            preconditions: Some(Preconditions {
                uid: Some(uid.to_owned()),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        match self
            .call(collection(kind, key).delete(&key.name, &params))
            .await
        {
            Ok(_) | Err(CallError::NotFound(_) | CallError::Conflict(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn call(&self, request: Built) -> Result<Value, CallError> {
        let request = request.map_err(|error| CallError::Refused {
            code: 0,
            message: error.to_string(),
        })?;
        match tokio::time::timeout(DEADLINE, self.client.request(request)).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(kube::Error::Api(status))) => Err(match status.code {
                404 => CallError::NotFound(status.message),
                409 => CallError::Conflict(status.message),
                408 | 429 | 500.. => CallError::Unavailable(status.message),
                code => CallError::Refused {
                    code,
                    message: status.message,
                },
            }),
            Ok(Err(error)) => Err(CallError::Unavailable(error.to_string())),
            Err(_elapsed) => Err(CallError::Unavailable(format!(
                "nothing within {} s",
                DEADLINE.as_secs()
            ))),
        }
    }
}

fn absence_is_none(result: Result<Value, CallError>) -> Result<Option<Value>, CallError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(CallError::NotFound(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

fn collection(kind: &Kind, key: &ObjectKey) -> Request {
    Request::new(kind.collection_path(key.namespace.as_deref()))
}

fn post() -> PostParams {
    PostParams {
        dry_run: false,
        field_manager: Some(MANAGER.to_owned()),
    }
}

fn patching() -> PatchParams {
    PatchParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PatchParams::default()
    }
}

fn body(object: &Value) -> Vec<u8> {
    object.to_string().into_bytes()
}
