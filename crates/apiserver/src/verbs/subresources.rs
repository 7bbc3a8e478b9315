//! The subresources: parts of an object with rules of their own, and connections to it.

mod eviction;
mod scale;
mod streams;
mod token;

use ::http::{Response, StatusCode};
use serde_json::{Value, json};

pub(crate) use streams::{connect, is_connection};

use super::{
    create, get, patch, update,
    write::{self, Ownership},
};
use crate::{
    http::{self as transport, Body, Call, Target, Verb, decode_object},
    metadata, status,
    status::{ApiError, ApiResult},
};

pub(super) async fn dispatch(call: &Call) -> ApiResult<Response<Body>> {
    let group = call.resource.group.as_str();
    let plural = call.resource.plural.as_str();
    match (group, plural, call.target.subresource.as_str(), call.verb) {
        (_, _, "status", Verb::Get) => get::get(call),
        (_, _, "status", Verb::Update) => update::update(call).await,
        (_, _, "status", Verb::Patch) => patch::patch(call).await,
        (_, _, "scale", Verb::Get) => scale::get(call),
        (_, _, "scale", Verb::Update) => scale::update(call).await,
        (_, _, "scale", Verb::Patch) => scale::patch(call).await,
        ("", "pods", "binding", Verb::Create) => binding(call).await,
        ("", "pods", "eviction", Verb::Create) => eviction::evict(call).await,
        ("", "pods", "log", Verb::Get) => streams::log(call).await,
        ("", "nodes", "proxy", Verb::Get) => streams::stats(call).await,
        ("", "serviceaccounts", "token", Verb::Create) => token::create(call),
        ("", "namespaces", "finalize", Verb::Update) => finalize(call).await,
        (_, _, "status" | "scale", _) => Err(ApiError::method_not_allowed()),
        _ => Err(not_served(call)),
    }
}

/// Refuses a subresource that the kind does not have.
pub(super) fn check_served(call: &Call) -> ApiResult<()> {
    let has = call.resource.rules(&call.target.version).subresources;
    match call.target.subresource.as_str() {
        "status" if !has.status => Err(not_served(call)),
        "scale" if !has.scale => Err(not_served(call)),
        _ => Ok(()),
    }
}

/// Where the object of a call has its replicas.
pub(super) fn replicas_path(call: &Call) -> ApiResult<Vec<String>> {
    Ok(scale::paths(call)?.spec_replicas)
}

/// 404 for a subresource. The server of custom kinds says it of the object.
fn not_served(call: &Call) -> ApiError {
    if call.resource.is_custom() {
        call.not_found(&call.target.name)
    } else {
        ApiError::no_such_path()
    }
}

/// Puts a pod on a node, once.
pub(super) async fn binding(call: &Call) -> ApiResult<Response<Body>> {
    let mut binding = decode_object(&call.headers, &call.body)?.value;
    write::expect_kind(&mut binding, "v1", "Binding")?;
    let named = metadata::text(&binding, "name").to_owned();
    let pod = if call.target.name.is_empty() {
        named.clone()
    } else {
        call.target.name.clone()
    };
    if !named.is_empty() && named != pod {
        return Err(ApiError::bad_request(
            "name in URL does not match name in Binding object",
        ));
    }
    let node = binding["target"]["name"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    if node.is_empty() {
        return Err(ApiError::bad_request("target.name: Required value"));
    }
    let uid = metadata::text(&binding, "uid").to_owned();
    let pods = call
        .catalog
        .get("", "pods")
        .ok_or_else(ApiError::no_such_path)?;
    let target = Target {
        plural: "pods".to_owned(),
        name: pod.clone(),
        subresource: String::new(),
        ..call.target.clone()
    };
    let on_pod = call.with_resource(pods.clone(), target);
    let conflict = |why: String| ApiError::conflict("", "pods/binding", &pod, why);
    let change = |live: &Value| {
        if !uid.is_empty() && uid != metadata::text(live, "uid") {
            return Err(conflict(format!(
                "Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
                metadata::text(live, "uid")
            )));
        }
        if metadata::is_deleting(live) {
            return Err(conflict(format!(
                "pod {pod} is being deleted, cannot be assigned to a host"
            )));
        }
        if let Some(assigned) = live["spec"]["nodeName"]
            .as_str()
            .filter(|name| !name.is_empty())
        {
            return Err(conflict(format!(
                "pod {pod} is already assigned to node \"{assigned}\""
            )));
        }
        let mut bound = live.clone();
        bound["spec"]["nodeName"] = json!(node);
        if let Some(annotations) = binding["metadata"]["annotations"].as_object() {
            for (name, value) in annotations {
                bound["metadata"]["annotations"][name.as_str()] = value.clone();
            }
        }
        scheduled(&mut bound);
        Ok(bound)
    };
    write::replace(&on_pod, &change).await?;
    Ok(transport::json(
        StatusCode::CREATED,
        &status::success(StatusCode::CREATED),
    ))
}

/// A bound pod is a scheduled one.
fn scheduled(pod: &mut Value) {
    let condition = json!({
        "type": "PodScheduled",
        "status": "True",
        "lastProbeTime": null,
        "lastTransitionTime": metadata::now(),
    });
    if !pod["status"]["conditions"].is_array() {
        pod["status"]["conditions"] = json!([]);
    }
    if let Some(conditions) = pod["status"]
        .get_mut("conditions")
        .and_then(Value::as_array_mut)
    {
        conditions.retain(|known| known["type"] != "PodScheduled");
        conditions.push(condition);
    }
}

/// The finalizers in a namespace's spec, which the namespace controller removes last.
async fn finalize(call: &Call) -> ApiResult<Response<Body>> {
    let (sent, _) = create::sent(call)?;
    let wanted = sent["spec"]["finalizers"].clone();
    let mut warnings = Vec::new();
    let change = |live: &Value| {
        let mut next = live.clone();
        next["metadata"]["resourceVersion"] = sent["metadata"]["resourceVersion"].clone();
        match &wanted {
            Value::Array(list) if !list.is_empty() => next["spec"]["finalizers"] = wanted.clone(),
            _ => {
                if let Some(spec) = next["spec"].as_object_mut() {
                    spec.remove("finalizers");
                }
            }
        }
        Ok(next)
    };
    let written = write::modify(call, Ownership::Follow, &mut warnings, &change).await?;
    written.answer(call, StatusCode::OK, &warnings)
}
