//! Scale: the number of replicas, whatever the kind calls it.

use ::http::{Response, StatusCode};
use serde_json::{Value, json};
use windlass_apimachinery::{field::FieldError, schema, selectors::LabelSelector};

use super::super::{
    patch::Patch,
    write::{self, Ownership, Written},
};
use crate::{
    convert,
    http::{self as transport, Body, Call, decode_object},
    metadata,
    registry::ScalePaths,
    status::{ApiError, ApiResult},
};

const API_VERSION: &str = "autoscaling/v1";

pub(super) fn get(call: &Call) -> ApiResult<Response<Body>> {
    let object = call.stored()?;
    let live = convert::read(&call.resource, &call.target.version, &object);
    Ok(transport::json(
        StatusCode::OK,
        &scale_of(&paths(call)?, &live),
    ))
}

pub(super) async fn update(call: &Call) -> ApiResult<Response<Body>> {
    let mut sent = decode_object(&call.headers, &call.body)?.value;
    write::expect_kind(&mut sent, API_VERSION, "Scale")?;
    check_sent(call, &sent)?;
    set(call, &|_| Ok(sent.clone())).await
}

pub(super) async fn patch(call: &Call) -> ApiResult<Response<Body>> {
    let patch = Patch::read(call, &mut Vec::new())?;
    let types = schema::builtin("autoscaling", "v1", "Scale").unwrap_or_else(schema::deduced);
    if let Patch::Apply { config, .. } = &patch {
        let merge = Patch::Merge(config.clone());
        return set(call, &|scale| merge.on(scale, &types)).await;
    }
    set(call, &|scale| patch.on(scale, &types)).await
}

/// Changes the object by way of its scale.
async fn set(
    call: &Call,
    change: &(dyn Fn(&Value) -> ApiResult<Value> + Sync),
) -> ApiResult<Response<Body>> {
    let paths = paths(call)?;
    let through_object = |live: &Value| {
        let wanted = change(&scale_of(&paths, live))?;
        check_sent(call, &wanted)?;
        let replicas = match &wanted["spec"]["replicas"] {
            Value::Null => 0,
            value => value
                .as_i64()
                // Of a custom kind its own rules say what is wrong.
                .filter(|replicas| *replicas >= 0 || call.resource.is_custom())
                .ok_or_else(|| {
                    let why = "must be greater than or equal to 0";
                    let error = FieldError::invalid("spec.replicas", value, why);
                    ApiError::invalid("autoscaling", "Scale", &call.target.name, &[error])
                })?,
        };
        let mut next = live.clone();
        put(&mut next, &paths.spec_replicas, json!(replicas));
        // A scale that names no revision is for whatever is there.
        if !metadata::text(&wanted, "resourceVersion").is_empty() {
            next["metadata"]["resourceVersion"] = wanted["metadata"]["resourceVersion"].clone();
        }
        Ok(next)
    };
    let mut warnings = Vec::new();
    let written = write::modify(call, Ownership::Follow, &mut warnings, &through_object)
        .await
        .map_err(|error| error.with_warnings(warnings.clone()))?;
    let scale = match &written {
        Written::Stored(object) => scale_of(
            &paths,
            &convert::read(&call.resource, &call.target.version, object),
        ),
        Written::NotStored(value) => scale_of(&paths, value),
    };
    let mut response = transport::json(StatusCode::OK, &scale);
    transport::warn(&mut response, &warnings);
    Ok(response)
}

/// The scale names the object of the path, and its replicas are a number.
fn check_sent(call: &Call, scale: &Value) -> ApiResult<()> {
    let types = schema::builtin("autoscaling", "v1", "Scale").unwrap_or_else(schema::deduced);
    if let Some(mismatch) = schema::type_mismatch(&types, scale) {
        return Err(ApiError::bad_request(format!(
            "Scale in version \"v1\" cannot be handled as a Scale: {mismatch}"
        )));
    }
    let given = metadata::text(scale, "name");
    if !given.is_empty() && given != call.target.name {
        return Err(ApiError::bad_request(format!(
            "the name of the object ({given}) does not match the name on the URL ({})",
            call.target.name
        )));
    }
    Ok(())
}

pub(super) fn paths(call: &Call) -> ApiResult<ScalePaths> {
    if call.resource.is_custom() {
        let custom = call.resource.custom_version(&call.target.version);
        return custom
            .and_then(|custom| custom.scale.clone())
            .ok_or_else(ApiError::no_such_path);
    }
    let path = |field: &str, name: &str| vec![field.to_owned(), name.to_owned()];
    Ok(ScalePaths {
        spec_replicas: path("spec", "replicas"),
        status_replicas: path("status", "replicas"),
        label_selector: None,
    })
}

fn scale_of(paths: &ScalePaths, object: &Value) -> Value {
    let selector = match &paths.label_selector {
        Some(path) => at(object, path).as_str().unwrap_or_default().to_owned(),
        None => selector_text(&object["spec"]["selector"]),
    };
    let mut meta = json!({});
    for field in [
        "name",
        "namespace",
        "uid",
        "resourceVersion",
        "creationTimestamp",
    ] {
        if let Some(value) = object["metadata"].get(field) {
            meta[field] = value.clone();
        }
    }
    let replicas = at(object, &paths.spec_replicas).as_i64().unwrap_or(0);
    let spec = if replicas == 0 {
        json!({})
    } else {
        json!({"replicas": replicas})
    };
    let mut status = json!({"replicas": at(object, &paths.status_replicas).as_i64().unwrap_or(0)});
    if !selector.is_empty() {
        status["selector"] = json!(selector);
    }
    json!({
        "kind": "Scale",
        "apiVersion": API_VERSION,
        "metadata": meta,
        "spec": spec,
        "status": status,
    })
}

/// A selector object as the text that list requests take.
fn selector_text(selector: &Value) -> String {
    let object =
        selector.get("matchLabels").is_some() || selector.get("matchExpressions").is_some();
    let parsed = if object {
        LabelSelector::from_object(Some(selector)).unwrap_or_else(|_| LabelSelector::nothing())
    } else {
        LabelSelector::from_map(Some(selector))
    };
    parsed.to_string()
}

fn at<'a>(object: &'a Value, path: &[String]) -> &'a Value {
    path.iter()
        .fold(object, |value, step| &value[step.as_str()])
}

fn put(object: &mut Value, path: &[String], value: Value) {
    let Some((last, parents)) = path.split_last() else {
        return;
    };
    let mut place = object;
    for step in parents {
        if !place[step.as_str()].is_object() {
            place[step.as_str()] = json!({});
        }
        place = &mut place[step.as_str()];
    }
    place[last.as_str()] = value;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_shows_replicas_wherever_they_are() {
        let paths = ScalePaths {
            spec_replicas: vec!["spec".into(), "workers".into(), "count".into()],
            status_replicas: vec!["status".into(), "ready".into()],
            label_selector: Some(vec!["status".into(), "selector".into()]),
        };
        let mut object = json!({
            "metadata": {"name": "x", "labels": {"a": "b"}},
            "spec": {"workers": {"count": 3}},
            "status": {"ready": 2, "selector": "app=x"},
        });
        let scale = scale_of(&paths, &object);
        assert_eq!(scale["spec"]["replicas"], 3);
        assert_eq!(scale["status"], json!({"replicas": 2, "selector": "app=x"}));
        assert_eq!(scale["metadata"], json!({"name": "x"}));
        put(&mut object, &paths.spec_replicas, json!(5));
        assert_eq!(object["spec"]["workers"]["count"], 5);
    }
}
