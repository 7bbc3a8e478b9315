//! Nobody gives away rights they do not have, unless they may escalate or bind.

use serde_json::{Value, json};

use super::{Attributes, RBAC_GROUP, allowed, rbac};
use crate::{
    server::Server,
    status::{ApiError, ApiResult},
    user::User,
};

/// Checks a role or binding that `user` wants to write; other kinds pass.
pub(crate) fn check_grant(
    server: &Server,
    user: &User,
    plural: &str,
    object: &Value,
    old: Option<&Value>,
) -> ApiResult<()> {
    if user.is_master() {
        return Ok(());
    }
    let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    let (verb, resource, granted) = match plural {
        "roles" | "clusterroles" => {
            if old.is_some_and(|old| old["rules"] == object["rules"]) {
                return Ok(());
            }
            let mut rules = object["rules"].as_array().cloned().unwrap_or_default();
            rules.extend(rbac::effective_rules(&server.store, object));
            ("escalate", plural, rules)
        }
        "rolebindings" | "clusterrolebindings" => {
            let role_ref = &object["roleRef"];
            let rules = rbac::rules_of(&server.store, role_ref, namespace);
            let resource = if role_ref["kind"] == "ClusterRole" {
                "clusterroles"
            } else {
                "roles"
            };
            ("bind", resource, rules)
        }
        _ => return Ok(()),
    };
    let right = Attributes {
        verb: verb.to_owned(),
        group: RBAC_GROUP.to_owned(),
        resource: resource.to_owned(),
        namespace: namespace.to_owned(),
        name: if verb == "bind" {
            object["roleRef"]["name"]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        } else {
            name.to_owned()
        },
        ..Attributes::default()
    };
    if allowed(server, user, &right) {
        return Ok(());
    }
    let missing: Vec<Value> = granted
        .iter()
        .flat_map(single_rights)
        .filter(|(attributes, _)| {
            let attributes = Attributes {
                namespace: namespace.to_owned(),
                ..attributes.clone()
            };
            !allowed(server, user, &attributes)
        })
        .map(|(_, rule)| rule)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let rules: Vec<String> = missing.iter().map(describe).collect();
    let why = format!(
        "user \"{}\" (groups=[{}]) is attempting to grant RBAC permissions not currently held:\n{}",
        user.name,
        user.groups
            .iter()
            .map(|group| format!("\"{group}\""))
            .collect::<Vec<_>>()
            .join(" "),
        rules.join("\n")
    );
    Err(ApiError::forbidden(RBAC_GROUP, plural, name, why))
}

/// A rule as its smallest parts, each as a request that needs it and as a rule of its own.
fn single_rights(rule: &Value) -> Vec<(Attributes, Value)> {
    let strings = |field: &str| -> Vec<String> {
        let list = rule[field].as_array();
        list.into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect()
    };
    let mut rights = Vec::new();
    for verb in strings("verbs") {
        for url in strings("nonResourceURLs") {
            let part = json!({"nonResourceURLs": [url], "verbs": [verb]});
            rights.push((Attributes::path(&verb, &url), part));
        }
        for group in strings("apiGroups") {
            for resource in strings("resources") {
                let mut names = strings("resourceNames");
                if names.is_empty() {
                    names.push(String::new());
                }
                for name in names {
                    let (plain, subresource) = resource.split_once('/').unwrap_or((&resource, ""));
                    let mut part =
                        json!({"apiGroups": [group], "resources": [resource], "verbs": [verb]});
                    if !name.is_empty() {
                        part["resourceNames"] = json!([name]);
                    }
                    let attributes = Attributes {
                        verb: verb.clone(),
                        group: group.clone(),
                        resource: plain.to_owned(),
                        subresource: subresource.to_owned(),
                        name,
                        ..Attributes::default()
                    };
                    rights.push((attributes, part));
                }
            }
        }
    }
    rights
}

/// `{APIGroups:[""], Resources:["pods"], Verbs:["get"]}`.
fn describe(rule: &Value) -> String {
    let fields = [
        ("apiGroups", "APIGroups"),
        ("resources", "Resources"),
        ("resourceNames", "ResourceNames"),
        ("nonResourceURLs", "NonResourceURLs"),
        ("verbs", "Verbs"),
    ];
    let parts: Vec<String> = fields
        .iter()
        .filter(|(field, _)| rule.get(field).is_some())
        .map(|(field, title)| format!("{title}:{}", rule[field]))
        .collect();
    format!("{{{}}}", parts.join(", "))
}
