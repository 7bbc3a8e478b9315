//! DELETE on a collection: everything the selectors match, one by one.

use ::http::{Response, StatusCode};
use futures::{FutureExt as _, StreamExt as _, future::BoxFuture, stream};
use serde_json::{Value, json};

use super::{
    delete::{DeleteOptions, delete_object, last_state},
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
    // The answer shows what there was before.
    let items: Vec<Value> = snapshot
        .objects
        .iter()
        .filter(|(_, object)| selection.admits(&call.resource, &call.target.version, object))
        .map(|(_, object)| last_state(call, object))
        .collect();
    let matching: Vec<(String, String)> = snapshot
        .objects
        .iter()
        .filter(|(_, object)| selection.admits(&call.resource, &call.target.version, object))
        .map(|(_, object)| {
            let text = |field| metadata::text(object.facts(), field).to_owned();
            (text("namespace"), text("name"))
        })
        .collect();
    let deletions: Vec<BoxFuture<'_, ApiResult<()>>> = matching
        .into_iter()
        .map(|(namespace, name)| delete_one(call, namespace, name, &options).boxed())
        .collect();
    let results: Vec<ApiResult<()>> = stream::iter(deletions).buffered(AT_ONCE).collect().await;
    for result in results {
        match result {
            // Gone already: somebody else wanted the same.
            Err(error) if error.code() != StatusCode::NOT_FOUND => return Err(error),
            _ => {}
        }
    }
    let mut list = json!({
        "kind": call.resource.names.list_kind,
        "apiVersion": call.resource.api_version(&call.target.version),
        "metadata": {"resourceVersion": call.server.store.revision().to_string()},
        "items": items,
    });
    if call.resource.is_custom() {
        list["metadata"]["continue"] = json!("");
    } else {
        for item in list["items"].as_array_mut().into_iter().flatten() {
            if let Some(fields) = item.as_object_mut() {
                fields.remove("apiVersion");
                fields.remove("kind");
            }
        }
    }
    Ok(transport::json(StatusCode::OK, &list))
}

async fn delete_one(
    call: &Call,
    namespace: String,
    name: String,
    options: &DeleteOptions,
) -> ApiResult<()> {
    let target = transport::Target {
        namespace,
        name: name.clone(),
        ..call.target.clone()
    };
    delete_object(&call.with_target(target), &name, options, &mut Vec::new()).await?;
    Ok(())
}
