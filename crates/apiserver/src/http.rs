//! From a request to an answer: who asks, what for, may they, and which handler knows.

mod body;
mod decode;
mod inprocess;
pub(crate) mod listener;
mod negotiate;
mod path;
mod query;

use std::{panic::AssertUnwindSafe, sync::Arc};

use bytes::Bytes;
use futures::{FutureExt as _, future::BoxFuture};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};

pub(crate) use body::{Body, boxed, full, json, pretty, refusal, response, text};
pub(crate) use decode::{
    content_type, json as decode_json, object as decode_object, yaml as decode_yaml,
};
pub(crate) use inprocess::InProcess;
pub(crate) use negotiate::{Encoding, Form, Wanted, negotiate};
pub use path::Verb;
pub(crate) use path::{Route, Target};
pub(crate) use query::Query;

use crate::{
    auth::{self, Attributes},
    discovery,
    faults::Fault,
    registry::{Catalog, Resource},
    server::Server,
    status::{ApiError, ApiResult},
    user::User,
    verbs, watch,
};

/// Who is at the other end of a connection.
#[derive(Debug, Clone)]
pub(crate) enum Peer {
    /// A client in this process, known by construction.
    Local(User),
    /// A client over TLS, with the user of its certificate if it has one.
    Remote(Option<User>),
}

/// A request for a resource, authenticated and authorized.
pub(crate) struct Call {
    pub(crate) server: Arc<Server>,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) resource: Arc<Resource>,
    pub(crate) target: Target,
    pub(crate) verb: Verb,
    pub(crate) user: User,
    pub(crate) query: Query,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// What an injected fault changes about the way the call is carried out.
    pub(crate) fault: Option<Fault>,
}

/// Answers a request. Refusals are answers too.
pub(crate) fn serve(
    server: Arc<Server>,
    peer: Arc<Peer>,
    request: Request<Body>,
) -> BoxFuture<'static, Response<Body>> {
    Box::pin(async move {
        let head = request.method() == Method::HEAD;
        // A defect in one handler is one failed request, not a broken connection.
        let answered = AssertUnwindSafe(answer(&server, &peer, request))
            .catch_unwind()
            .await;
        let answered =
            answered.unwrap_or_else(|_| Err(ApiError::internal("the request's handler panicked")));
        let mut response = match answered {
            Ok(response) => response,
            Err(error) => {
                if error.code() == StatusCode::INTERNAL_SERVER_ERROR {
                    tracing::error!(%error, "a request failed");
                }
                refusal(&error)
            }
        };
        if head {
            *response.body_mut() = full(Bytes::new());
        }
        response
    })
}

async fn answer(
    server: &Arc<Server>,
    peer: &Peer,
    request: Request<Body>,
) -> ApiResult<Response<Body>> {
    let user = match peer {
        Peer::Local(user) => user.clone(),
        Peer::Remote(certificate) => {
            auth::authenticate(server, request.headers(), certificate.as_ref())?
        }
    };
    let path = request.uri().path().to_owned();
    let query = Query::parse(request.uri().query().unwrap_or_default());
    match Route::parse(&path) {
        Route::Other => {
            if user.is_anonymous() && !discovery::is_public(&path) {
                return Err(ApiError::unauthorized());
            }
            auth::authorize_path(server, &user, request.method(), &path)?;
            discovery::serve(server, &path, request.headers(), &query)
        }
        Route::Resource(_) if user.is_anonymous() => Err(ApiError::unauthorized()),
        Route::Resource(target) => resource(server, user, target, query, request).await,
    }
}

async fn resource(
    server: &Arc<Server>,
    user: User,
    mut target: Target,
    query: Query,
    request: Request<Body>,
) -> ApiResult<Response<Body>> {
    let verb = target
        .verb(request.method(), &query)
        .ok_or_else(ApiError::method_not_allowed)?;
    let fault = server.faults.meet(verb, &target, &user.name);
    match &fault {
        Some(Fault::Refuse(code)) => return Err(ApiError::injected(*code)),
        Some(Fault::Delay(delay)) => tokio::time::sleep(*delay).await,
        _ => {}
    }
    let catalog = server.registry.catalog();
    auth::authorize(server, &user, &Attributes::of(verb, &target, &query))?;
    let found = catalog.find(&target.group, &target.version, &target.plural);
    let resource = Arc::clone(found.ok_or_else(ApiError::no_such_path)?);
    if !resource.namespaced {
        // `/namespaces/x` names the namespace itself; nothing else lies inside one.
        if !target.namespace.is_empty() && target.plural != "namespaces" {
            return Err(ApiError::no_such_path());
        }
        target.namespace.clear();
    } else if target.namespace.is_empty() && !target.name.is_empty() {
        return Err(ApiError::no_such_path());
    }

    if verbs::is_connection(&target) {
        return verbs::connect(server, &resource, &target, verb, &query, request).await;
    }
    let socket = verb == Verb::Watch && watch::asks_for_socket(request.headers());
    let mut call = Call {
        server: Arc::clone(server),
        catalog,
        resource,
        target,
        verb,
        user,
        query,
        headers: request.headers().clone(),
        body: Bytes::new(),
        fault,
    };
    verbs::check_options(&call)?;
    if socket {
        return watch::accept(&call, request);
    }
    if !verb.is_read() {
        call.body = body::read(request.into_body()).await?;
    }
    let response = match call.fault {
        Some(Fault::LoseAnswer(code)) => {
            // The work is done; whether it went well is what the client does not learn.
            let _ = verbs::dispatch(&call).await;
            return Err(ApiError::injected(code));
        }
        Some(Fault::Duplicate) => {
            let first = verbs::dispatch(&call).await;
            let _ = verbs::dispatch(&call).await;
            first?
        }
        _ => verbs::dispatch(&call).await?,
    };
    if call.query.flag("pretty") {
        body::prettified(response).await
    } else {
        Ok(response)
    }
}

/// Adds `Warning` headers, as clients print them.
pub(crate) fn warn(response: &mut Response<Body>, warnings: &[String]) {
    for warning in warnings {
        let escaped = warning.replace('\\', "\\\\").replace('"', "\\\"");
        if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{escaped}\"")) {
            response.headers_mut().append(header::WARNING, value);
        }
    }
}
