//! Log, exec, attach and port-forward: the node does the work, the wire protocols are
//! `windlass-streaming`'s.

use std::sync::Arc;

use ::http::{HeaderValue, Response, StatusCode, header};
use futures::StreamExt as _;
use http_body::Frame;
use http_body_util::StreamBody;
use serde_json::Value;
use windlass_apimachinery::field::FieldError;
use windlass_streaming::{
    Refusal,
    backend::{BackendError, ContainerRef},
    port_forward, query, remote_command,
};

use crate::{
    http::{self, Body, Call, Query, Target, Verb, boxed},
    metadata,
    registry::Resource,
    server::Server,
    status::{ApiError, ApiResult},
    verbs::Connection,
};

/// Whether a request takes over its connection.
pub(crate) fn is_connection(target: &Target) -> bool {
    target.group.is_empty()
        && target.plural == "pods"
        && matches!(
            target.subresource.as_str(),
            "exec" | "attach" | "portforward"
        )
}

/// Hands the connection to the node.
pub(crate) async fn connect(
    server: &Arc<Server>,
    resource: &Resource,
    target: &Target,
    verb: Verb,
    query: &Query,
    request: Connection,
) -> ApiResult<Response<Body>> {
    if !matches!(verb, Verb::Get | Verb::Create) {
        return Err(ApiError::method_not_allowed());
    }
    let pod = pod(server, resource, target)?;
    let sessions = &server.sessions;
    let node = &server.node;
    let answer = match target.subresource.as_str() {
        "portforward" => {
            let ports = query::ports(query.pairs()).map_err(wrong_query)?;
            if pod["status"]["phase"] != "Running" {
                let phase = pod["status"]["phase"].as_str().unwrap_or("Unknown");
                return Err(ApiError::bad_request(format!(
                    "unable to forward port because pod is not running. Current status={phase}"
                )));
            }
            let whole_pod = reference(&pod, String::new());
            port_forward::serve(request, sessions, whole_pod, ports, Arc::clone(node))
        }
        "exec" => {
            let options = query::exec(query.pairs()).map_err(wrong_query)?;
            let container = container(&pod, query.get("container"))?;
            let start = node.exec(container, options.clone());
            remote_command::serve(request, sessions, options, start).await
        }
        _ => {
            let options = query::attach(query.pairs()).map_err(wrong_query)?;
            let container = container(&pod, query.get("container"))?;
            let start = node.attach(container, options.clone());
            remote_command::serve(request, sessions, options, start).await
        }
    };
    answer
        .map(|response| response.map(boxed))
        .map_err(|refusal| match refusal {
            Refusal::Upgrade(why) => ApiError::bad_request(why),
            Refusal::Backend(error) => refused(error),
        })
}

/// The log of a container, as it comes.
pub(super) async fn log(call: &Call) -> ApiResult<Response<Body>> {
    let pod = pod(&call.server, &call.resource, &call.target)?;
    let options = query::log(call.query.pairs()).map_err(|error| wrong_log(call, error))?;
    let container = container(&pod, call.query.get("container"))?;
    let stream = call
        .server
        .node
        .logs(container, options)
        .await
        .map_err(refused)?;
    let frames = stream
        .take_until(call.server.stop.clone().cancelled_owned())
        .map(|chunk| chunk.map(Frame::data));
    let mut response = Response::new(boxed(StreamBody::new(frames)));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    Ok(response)
}

/// What a kubelet would answer, of which this node knows the summary of its statistics.
pub(super) async fn stats(call: &Call) -> ApiResult<Response<Body>> {
    let key = call.resource.key("", &call.target.name);
    if call.server.store.get(&key).is_none() {
        return Err(call.not_found(&call.target.name));
    }
    if call.target.behind != "stats/summary" {
        return Err(ApiError::no_such_path());
    }
    let name = call.target.name.clone();
    let summary = call.server.node.stats(name).await.map_err(refused)?;
    Ok(http::json(StatusCode::OK, &summary))
}

fn pod(server: &Server, resource: &Resource, target: &Target) -> ApiResult<Value> {
    let object = server
        .store
        .get(&resource.key(&target.namespace, &target.name));
    object
        .map(|object| object.parse())
        .ok_or_else(|| ApiError::not_found("", "pods", &target.name))
}

/// The container that is meant: the named one, the pod's default, or the only one.
fn container(pod: &Value, named: Option<&str>) -> ApiResult<ContainerRef> {
    let names = |list: &str| -> Vec<String> {
        let containers = pod["spec"][list].as_array().into_iter().flatten();
        containers
            .filter_map(|container| container["name"].as_str())
            .map(str::to_owned)
            .collect()
    };
    let main = names("containers");
    let default = &pod["metadata"]["annotations"]["kubectl.kubernetes.io/default-container"];
    let pod_name = metadata::text(pod, "name");
    if let Some(named) = named.or(default.as_str()) {
        let known = ["containers", "initContainers", "ephemeralContainers"]
            .into_iter()
            .any(|list| names(list).iter().any(|name| name == named));
        if known {
            return Ok(reference(pod, named.to_owned()));
        }
        return Err(ApiError::bad_request(format!(
            "container {named} is not valid for pod {pod_name}"
        )));
    }
    if let [only] = main.as_slice() {
        return Ok(reference(pod, only.clone()));
    }
    let mut why = format!(
        "a container name must be specified for pod {pod_name}, choose one of: [{}]",
        main.join(" ")
    );
    let init = names("initContainers");
    if !init.is_empty() {
        why = format!("{why} or one of the init containers: [{}]", init.join(" "));
    }
    Err(ApiError::bad_request(why))
}

fn reference(pod: &Value, container: String) -> ContainerRef {
    ContainerRef {
        namespace: metadata::text(pod, "namespace").to_owned(),
        pod: metadata::text(pod, "name").to_owned(),
        uid: metadata::text(pod, "uid").to_owned(),
        container,
    }
}

/// The options of a log are validated as an object would be.
fn wrong_log(call: &Call, error: query::QueryError) -> ApiError {
    let complaint = match &error {
        query::QueryError::Number {
            field,
            value,
            expected,
        } => {
            let number = value.parse::<i64>().ok();
            number.map(|number| FieldError::invalid(field, &number.into(), expected))
        }
        query::QueryError::TwoSinces => Some(FieldError::forbidden("", &error)),
        _ => None,
    };
    match complaint {
        Some(complaint) => ApiError::invalid("", "PodLogOptions", &call.target.name, &[complaint]),
        None => wrong_query(error),
    }
}

fn wrong_query(error: query::QueryError) -> ApiError {
    ApiError::bad_request(error.to_string())
}

fn refused(error: BackendError) -> ApiError {
    match error {
        BackendError::NotFound(why) => ApiError::not_found_because(why),
        BackendError::BadRequest(why) => ApiError::bad_request(why),
        BackendError::Internal(why) => ApiError::internal(why),
    }
}
