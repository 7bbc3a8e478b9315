//! Questions about authentication and authorization, asked by creating an object.

use http::StatusCode;
use serde_json::{Value, json};

use super::{Attributes, allowed, authn, rbac, tokens};
use crate::{
    http::Call,
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
    object["metadata"] = json!({"creationTimestamp": null});
    let status = match kind {
        Review::Token => token(server, &object["spec"]),
        Review::SelfSubject => json!({"userInfo": info(&call.user)}),
        Review::SelfSubjectAccess => access(server, &call.user, &object["spec"])?,
        Review::SubjectAccess | Review::LocalSubjectAccess => {
            let namespace = object["spec"]["resourceAttributes"]["namespace"].as_str();
            if kind == Review::LocalSubjectAccess && namespace != Some(&call.target.namespace) {
                return Err(ApiError::bad_request(
                    "spec.resourceAttributes.namespace must be the namespace of the request",
                ));
            }
            access(server, &subject(&object["spec"]), &object["spec"])?
        }
        Review::SelfSubjectRules => rules(server, &call.user, &object["spec"]),
    };
    object["status"] = status;
    Ok((StatusCode::CREATED, object))
}

fn token(server: &Server, spec: &Value) -> Value {
    let token = spec["token"].as_str().unwrap_or_default();
    let audiences: Vec<String> = strings(&spec["audiences"]);
    if audiences.is_empty()
        && let Ok(user) = authn::by_token(server, token)
    {
        return json!({"authenticated": true, "user": info(&user), "audiences": [tokens::ISSUER]});
    }
    match tokens::verify(server, token, &audiences) {
        Ok(verified) => json!({
            "authenticated": true,
            "user": info(&verified.user),
            "audiences": verified.audiences,
        }),
        Err(error) => json!({"user": {}, "error": error.to_string()}),
    }
}

fn access(server: &Server, user: &User, spec: &Value) -> ApiResult<Value> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let wanted = match (&spec["resourceAttributes"], &spec["nonResourceAttributes"]) {
        (Value::Object(_), Value::Object(_)) | (Value::Null, Value::Null) => {
            return Err(ApiError::bad_request(
                "spec: exactly one of nonResourceAttributes or resourceAttributes must be specified",
            ));
        }
        (resource @ Value::Object(_), _) => Attributes {
            verb: text(&resource["verb"]),
            group: text(&resource["group"]),
            resource: text(&resource["resource"]),
            subresource: text(&resource["subresource"]),
            namespace: text(&resource["namespace"]),
            name: text(&resource["name"]),
            path: None,
        },
        (_, path) => Attributes::path(&text(&path["verb"]), &text(&path["path"])),
    };
    Ok(if allowed(server, user, &wanted) {
        json!({"allowed": true, "reason": "RBAC: allowed"})
    } else {
        json!({"allowed": false})
    })
}

fn rules(server: &Server, user: &User, spec: &Value) -> Value {
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
        let namespace = spec["namespace"].as_str().unwrap_or_default();
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
