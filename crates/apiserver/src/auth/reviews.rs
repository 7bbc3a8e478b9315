//! Questions about authentication and authorization, asked by creating an object.

use http::StatusCode;
use serde_json::{Value, json};

use windlass_apimachinery::field::FieldError;

use super::{Attributes, authn, rbac, tokens};
use crate::{
    http::Call,
    metadata,
    registry::Review,
    server::Server,
    status::{ApiError, ApiResult},
    user::User,
};

/// Answers a review: the object that was sent, with its status filled in.
pub(crate) fn review(
    call: &Call,
    kind: Review,
    mut object: Value,
) -> ApiResult<(StatusCode, Value)> {
    let server = &call.server;
    if !object["metadata"].is_object() {
        object["metadata"] = json!({});
    }
    let status = match kind {
        Review::Token => token(server, &object["spec"])?,
        Review::SelfSubject => {
            object["metadata"] = json!({"creationTimestamp": metadata::now()});
            json!({"userInfo": info(&call.user)})
        }
        Review::SelfSubjectAccess | Review::SubjectAccess | Review::LocalSubjectAccess => {
            if kind == Review::LocalSubjectAccess {
                object["metadata"]["namespace"] = json!(call.target.namespace);
            }
            let complaints = access_complaints(kind, &object, &call.target.namespace);
            if !complaints.is_empty() {
                // The kind is left out, as upstream.
                return Err(ApiError::invalid(
                    "authorization.k8s.io",
                    "",
                    "",
                    &complaints,
                ));
            }
            if kind == Review::SelfSubjectAccess {
                access(server, &call.user, &object["spec"])
            } else {
                access(server, &subject(&object["spec"]), &object["spec"])
            }
        }
        Review::SelfSubjectRules => {
            let namespace = object["spec"]["namespace"].as_str().unwrap_or_default();
            if namespace.is_empty() {
                return Err(ApiError::bad_request("no namespace on request"));
            }
            let status = rules(server, &call.user, namespace);
            object["spec"] = json!({});
            status
        }
    };
    object["status"] = status;
    Ok((StatusCode::CREATED, object))
}

fn token(server: &Server, spec: &Value) -> ApiResult<Value> {
    let token = spec["token"].as_str().unwrap_or_default();
    if token.is_empty() {
        return Err(ApiError::bad_request(
            "token is required for TokenReview in authentication",
        ));
    }
    let audiences: Vec<String> = strings(&spec["audiences"]);
    // Whoever is known without a service account's token is known to the API server.
    let for_the_server =
        audiences.is_empty() || audiences.iter().any(|audience| audience == tokens::ISSUER);
    if for_the_server && authn::is_admin_token(server, token) {
        let user = info(&User::admin());
        return Ok(json!({"authenticated": true, "user": user, "audiences": [tokens::ISSUER]}));
    }
    Ok(match tokens::verify(server, token, &audiences) {
        Ok(verified) => json!({
            "authenticated": true,
            "user": info(&verified.user),
            "audiences": verified.audiences,
        }),
        Err(tokens::Refused::Malformed) => json!({"user": {}, "error": "invalid bearer token"}),
        Err(why) => json!({"user": {}, "error": format!("[invalid bearer token, {why}]")}),
    })
}

/// What is wrong with a question about access.
fn access_complaints(kind: Review, object: &Value, namespace: &str) -> Vec<FieldError> {
    let spec = &object["spec"];
    let mut errors = Vec::new();
    let path = &spec["nonResourceAttributes"];
    // As Go prints its internal form.
    let shown = || json!({"Path": path["path"], "Verb": path["verb"]});
    let at = |field: &str| format!("spec.{field}");
    match (spec["resourceAttributes"].is_object(), path.is_object()) {
        (true, true) => errors.push(FieldError::invalid(
            at("nonResourceAttributes"),
            &shown(),
            "cannot be specified in combination with resourceAttributes",
        )),
        (false, false) => errors.push(FieldError::invalid(
            at("resourceAttributes"),
            &Value::Null,
            "exactly one of nonResourceAttributes or resourceAttributes must be specified",
        )),
        _ => {}
    }
    let nobody =
        spec["user"].as_str().is_none_or(str::is_empty) && strings(&spec["groups"]).is_empty();
    if kind != Review::SelfSubjectAccess && nobody {
        let why = "at least one of user or group must be specified";
        errors.push(FieldError::invalid(at("user"), &json!(""), why));
    }
    let mut metadata = object["metadata"].clone();
    if kind == Review::LocalSubjectAccess {
        if let Some(fields) = metadata.as_object_mut() {
            fields.remove("namespace");
        }
        let asked = spec["resourceAttributes"]["namespace"]
            .as_str()
            .unwrap_or_default();
        if spec["resourceAttributes"].is_object() && asked != namespace {
            let why = "must match metadata.namespace";
            let at = at("resourceAttributes.namespace");
            errors.push(FieldError::invalid(at, &json!(asked), why));
        }
        if path.is_object() {
            let why = "disallowed on this kind of request";
            errors.push(FieldError::invalid(
                at("nonResourceAttributes"),
                &shown(),
                why,
            ));
        }
    }
    if metadata
        .as_object()
        .is_some_and(|fields| !fields.is_empty())
    {
        errors.push(FieldError::invalid("metadata", &metadata, "must be empty"));
    }
    errors
}

fn access(server: &Server, user: &User, spec: &Value) -> Value {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let resource = &spec["resourceAttributes"];
    let wanted = if resource.is_object() {
        Attributes {
            verb: text(&resource["verb"]),
            group: text(&resource["group"]),
            resource: text(&resource["resource"]),
            subresource: text(&resource["subresource"]),
            namespace: text(&resource["namespace"]),
            name: text(&resource["name"]),
            path: None,
        }
    } else {
        let path = &spec["nonResourceAttributes"];
        Attributes::path(&text(&path["verb"]), &text(&path["path"]))
    };
    if user.is_master() {
        return json!({"allowed": true});
    }
    match rbac::allowing(&server.store, user, &wanted) {
        Some(grant) => {
            let reason = format!("RBAC: allowed by {}", grant.description());
            json!({"allowed": true, "reason": reason})
        }
        None => json!({"allowed": false}),
    }
}

fn rules(server: &Server, user: &User, namespace: &str) -> Value {
    let mut resource_rules = Vec::new();
    let mut path_rules = Vec::new();
    let mut sort = |rule: &Value| {
        let path_rule = rule["nonResourceURLs"]
            .as_array()
            .is_some_and(|urls| !urls.is_empty());
        if path_rule {
            &mut path_rules
        } else {
            &mut resource_rules
        }
        .push(rule.clone());
        false
    };
    if user.is_master() {
        sort(&json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}));
        sort(&json!({"verbs": ["*"], "nonResourceURLs": ["*"]}));
    } else {
        rbac::any_rule(&server.store, user, namespace, &mut sort);
    }
    json!({
        "resourceRules": resource_rules,
        "nonResourceRules": path_rules,
        "incomplete": false,
    })
}

fn subject(spec: &Value) -> User {
    User {
        name: spec["user"].as_str().unwrap_or_default().to_owned(),
        uid: spec["uid"].as_str().unwrap_or_default().to_owned(),
        groups: strings(&spec["groups"]),
        ..User::default()
    }
}

pub(crate) fn info(user: &User) -> Value {
    let mut info = json!({"username": user.name, "groups": user.groups});
    if !user.uid.is_empty() {
        info["uid"] = json!(user.uid);
    }
    if !user.extra.is_empty() {
        info["extra"] = json!(user.extra);
    }
    info
}

fn strings(list: &Value) -> Vec<String> {
    let items = list.as_array();
    items
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}
