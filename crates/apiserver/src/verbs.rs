//! What can be done with resources: one handler per verb, and the subresources beside them.

mod collection;
mod create;
mod delete;
mod get;
mod list;
mod options;
mod patch;
mod subresources;
mod table;
mod untyped;
mod update;
mod write;

use std::sync::Arc;

use ::http::{Request, Response, StatusCode};
use bytes::Bytes;
use futures::future::BoxFuture;
use serde_json::Value;

use crate::{
    convert,
    http::{self as transport, Body, Call, Encoding, Form, Target, Verb, Wanted, negotiate},
    kinds::Kind,
    metadata,
    registry::{Handling, Resource, Virtual},
    status::{ApiError, ApiResult},
    store::Object,
    watch,
};

pub(crate) use get::parse_revision;
pub(crate) use list::Selection;
pub(crate) use subresources::{connect, is_connection};
pub(crate) use table::Tables;

/// Refuses a call whose options are wrong, whatever it is about.
pub(crate) fn check_options(call: &Call) -> ApiResult<()> {
    // Built-in kinds are asked for their formats before anything else.
    if !call.resource.is_custom() {
        negotiated(call)?;
    }
    subresources::check_served(call)?;
    if call.verb == Verb::Patch {
        patch::check_format(call)?;
    }
    options::check(call, patch::is_apply(&call.headers))?;
    negotiated(call)
}

/// Refuses a call whose client takes nothing that this server writes.
fn negotiated(call: &Call) -> ApiResult<()> {
    const USUAL: &str = "application/json, application/yaml, application/vnd.kubernetes.protobuf";
    let Err(error) = negotiate(&call.headers) else {
        return Ok(());
    };
    if call.resource.is_custom() {
        return Err(error);
    }
    if matches!(call.verb, Verb::List | Verb::Watch) {
        let streams =
            "application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch";
        return Err(ApiError::no_representation(&format!("{USUAL}, {streams}")));
    }
    Err(ApiError::no_representation(USUAL))
}

/// Carries out a call.
pub(crate) fn dispatch(call: &Call) -> BoxFuture<'_, ApiResult<Response<Body>>> {
    Box::pin(handle(call))
}

async fn handle(call: &Call) -> ApiResult<Response<Body>> {
    if let Handling::Virtual(kind) = &call.resource.handling {
        return match (kind, call.verb, call.target.subresource.as_str()) {
            (Virtual::Review(_, review), Verb::Create, "") => create::review(call, *review),
            (Virtual::Binding, Verb::Create, "") => subresources::binding(call).await,
            _ => Err(ApiError::method_not_allowed()),
        };
    }
    if !call.target.subresource.is_empty() {
        return subresources::dispatch(call).await;
    }
    match call.verb {
        Verb::Get => get::get(call),
        Verb::List => list::list(call),
        Verb::Watch => watch::watch(call),
        Verb::Create if call.target.name.is_empty() => create::create(call).await,
        Verb::Create if call.resource.is_custom() => {
            create::sent(call)?;
            Err(ApiError::method_not_allowed())
        }
        Verb::Create => Err(ApiError::method_not_allowed()),
        Verb::Update if !call.target.name.is_empty() => update::update(call).await,
        Verb::Patch if !call.target.name.is_empty() => patch::patch(call).await,
        Verb::Update | Verb::Patch if call.resource.is_custom() => {
            Err(ApiError::bad_request("name must be provided"))
        }
        Verb::Update | Verb::Patch => Err(ApiError::method_not_allowed()),
        Verb::Delete => delete::delete(call).await,
        Verb::DeleteCollection => collection::delete_collection(call).await,
    }
}

impl Call {
    /// The same call on another object of the resource.
    pub(crate) fn with_target(&self, target: Target) -> Self {
        self.with_resource(Arc::clone(&self.resource), target)
    }

    /// The same call on an object of another resource.
    pub(crate) fn with_resource(&self, resource: Arc<Resource>, target: Target) -> Self {
        Self {
            server: Arc::clone(&self.server),
            catalog: Arc::clone(&self.catalog),
            resource,
            target,
            verb: self.verb,
            user: self.user.clone(),
            query: self.query.clone(),
            headers: self.headers.clone(),
            body: self.body.clone(),
            fault: None,
        }
    }

    /// The rules of the kind, in the version of the request.
    pub(crate) fn kind(&self) -> Kind<'_> {
        Kind::of(&self.resource, &self.target.version)
    }

    /// 404 for an object of this resource.
    pub(crate) fn not_found(&self, name: &str) -> ApiError {
        ApiError::not_found(&self.resource.group, &self.resource.plural, name)
    }

    /// The stored object the request names.
    pub(crate) fn stored(&self) -> ApiResult<Arc<Object>> {
        let key = self.resource.key(&self.target.namespace, &self.target.name);
        self.server
            .store
            .get(&key)
            .ok_or_else(|| self.not_found(&self.target.name))
    }

    /// Who is recorded as the owner of fields: what the client says, else what it calls itself.
    pub(crate) fn field_manager(&self) -> String {
        if let Some(manager) = self.query.get("fieldManager") {
            return manager.to_owned();
        }
        let agent = self.headers.get(::http::header::USER_AGENT);
        let agent = agent
            .and_then(|agent| agent.to_str().ok())
            .unwrap_or("unknown");
        agent
            .split('/')
            .next()
            .unwrap_or("unknown")
            .chars()
            .take(128)
            .collect()
    }

    /// Warnings that come with any use of the version.
    pub(crate) fn deprecation(&self) -> Vec<String> {
        let custom = self.resource.custom_version(&self.target.version);
        custom
            .and_then(|custom| custom.deprecation.clone())
            .into_iter()
            .collect()
    }

    /// An object as the client wants to see it.
    pub(crate) fn answer(&self, code: StatusCode, object: &Object) -> ApiResult<Response<Body>> {
        let wanted = negotiate(&self.headers)?;
        let version = &self.target.version;
        if wanted.form == Form::Objects && wanted.encoding == Encoding::Json {
            let json = convert::read_json(&self.resource, version, object);
            let mut response = transport::response(code, "application/json", json);
            transport::warn(&mut response, &self.deprecation());
            return Ok(response);
        }
        let value = convert::read(&self.resource, version, object);
        self.answer_value(code, &value)
    }

    /// The same for an object that is not, or not yet, stored.
    pub(crate) fn answer_value(
        &self,
        code: StatusCode,
        value: &Value,
    ) -> ApiResult<Response<Body>> {
        let wanted = negotiate(&self.headers)?;
        let response = match wanted.form {
            Form::Objects => encoded(code, wanted, value),
            Form::Metadata => encoded(code, wanted, &metadata::partial(value)),
            Form::Table => {
                let tables = Tables::new(self);
                encoded(code, wanted, &tables.of_one(value))
            }
        };
        let mut response = response;
        transport::warn(&mut response, &self.deprecation());
        Ok(response)
    }
}

/// A value in the negotiated text format.
pub(crate) fn encoded(code: StatusCode, wanted: Wanted, value: &Value) -> Response<Body> {
    match wanted.encoding {
        Encoding::Json => transport::json(code, value),
        Encoding::Yaml => match serde_saphyr::to_string(value) {
            Ok(yaml) => transport::response(code, "application/yaml", Bytes::from(yaml)),
            Err(error) => transport::refusal(&ApiError::internal(error)),
        },
    }
}

/// Requests that take over their connection.
pub(crate) type Connection = Request<Body>;
