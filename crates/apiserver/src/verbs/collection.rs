//! DELETE on a collection: everything the selectors match, one by one.

use ::http::{Response, StatusCode};
use futures::{FutureExt as _, StreamExt as _, future::BoxFuture, stream};
use serde_json::{Value, json};

use super::{
    delete::{DeleteOptions, Deletion, delete_object, last_state},
    list::Selection,
};
use crate::{
    http::{self as transport, Body, Call},
    metadata,
    status::ApiResult,
};

/// How many deletions run at once; they share commits.
const AT_ONCE: usize = 32;

pub(super) async fn delete_collection(call: &Call) -> ApiResult<Response<Body>> {
    let options = DeleteOptions::read(call)?;
    let selection = Selection::parse(call)?;
    let snapshot = call
        .server
        .store
        .list(&call.resource.scope(&call.target.namespace));
    let matching: Vec<(String, String)> = snapshot
        .objects
        .iter()
        .filter(|(_, object)| selection.admits(&call.resource, &call.target.version, object))
        .map(|(_, object)| {
            let text = |field| metadata::text(object.facts(), field).to_owned();
            (text("namespace"), text("name"))
        })
        .collect();
    let deletions: Vec<BoxFuture<'_, ApiResult<Value>>> = matching
        .into_iter()
        .map(|(namespace, name)| delete_one(call, namespace, name, &options).boxed())
        .collect();
    let results: Vec<ApiResult<Value>> = stream::iter(deletions).buffered(AT_ONCE).collect().await;
    let mut items = Vec::new();
    for result in results {
        match result {
            Ok(item) => items.push(item),
            // Gone already: somebody else wanted the same.
            Err(error) if error.code() == StatusCode::NOT_FOUND => {}
            Err(error) => return Err(error),
        }
    }
    let list = json!({
        "kind": call.resource.names.list_kind,
        "apiVersion": call.resource.api_version(&call.target.version),
        "metadata": {"resourceVersion": call.server.store.revision().to_string()},
        "items": items,
    });
    Ok(transport::json(StatusCode::OK, &list))
}

async fn delete_one(
    call: &Call,
    namespace: String,
    name: String,
    options: &DeleteOptions,
) -> ApiResult<Value> {
    let target = transport::Target {
        namespace,
        name: name.clone(),
        ..call.target.clone()
    };
    let one = call.with_target(target);
    Ok(
        match delete_object(&one, &name, options, &mut Vec::new()).await? {
            Deletion::Gone(object) | Deletion::Pending(object) => last_state(&one, &object),
            Deletion::Tried(value) => value,
        },
    )
}
