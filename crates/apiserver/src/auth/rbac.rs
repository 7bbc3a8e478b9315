//! RBAC: the rules that bindings give to a user, and what a rule covers.

use std::sync::Arc;

use serde_json::Value;
use windlass_apimachinery::{field::quote, selectors::LabelSelector};

use super::{Attributes, RBAC_GROUP};
use crate::{
    store::{Key, Object, Scope, Store},
    user::User,
};

/// Whether some rule covers what the user wants.
pub(super) fn allowed(store: &Store, user: &User, wanted: &Attributes) -> bool {
    allowing(store, user, wanted).is_some()
}

/// The first binding that gives the user what they want.
pub(super) fn allowing(store: &Store, user: &User, wanted: &Attributes) -> Option<Grant> {
    first_grant(store, user, &wanted.namespace, &mut |rule| {
        covers(rule, wanted)
    })
}

/// A binding that gives rules to a user, by one of its subjects.
#[derive(Debug)]
pub(super) struct Grant {
    binding: Arc<Object>,
    subject: usize,
}

impl Grant {
    /// The grant in words.
    pub(super) fn description(&self) -> String {
        let binding = self.binding.value();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let namespace = text(&binding["metadata"]["namespace"]);
        let name = text(&binding["metadata"]["name"]);
        let (kind, name) = if namespace.is_empty() {
            ("ClusterRoleBinding", name)
        } else {
            ("RoleBinding", format!("{name}/{namespace}"))
        };
        let subject = &binding["subjects"][self.subject];
        let mut whom = text(&subject["name"]);
        if subject["kind"] == "ServiceAccount" {
            let own = subject["namespace"].as_str().unwrap_or(&namespace);
            whom = format!("{whom}/{own}");
        }
        format!(
            "{kind} {} of {} {} to {} {}",
            quote(&name),
            text(&binding["roleRef"]["kind"]),
            quote(&text(&binding["roleRef"]["name"])),
            text(&subject["kind"]),
            quote(&whom),
        )
    }
}

/// Calls `test` with every rule the user has in a namespace (cluster-wide ones included) until it
/// says yes.
pub(super) fn any_rule(
    store: &Store,
    user: &User,
    namespace: &str,
    test: &mut dyn FnMut(&Value) -> bool,
) -> bool {
    first_grant(store, user, namespace, test).is_some()
}

fn first_grant(
    store: &Store,
    user: &User,
    namespace: &str,
    test: &mut dyn FnMut(&Value) -> bool,
) -> Option<Grant> {
    let scopes = [("clusterrolebindings", ""), ("rolebindings", namespace)];
    let wanted = if namespace.is_empty() { 1 } else { 2 };
    for (plural, namespace) in scopes.into_iter().take(wanted) {
        let bindings = store.list(&Scope::new(RBAC_GROUP, plural, namespace));
        for (_, binding) in bindings.objects {
            let value = binding.value();
            let Some(subject) = binding_subject(value, user, namespace) else {
                continue;
            };
            if rules_of(store, &value["roleRef"], namespace)
                .iter()
                .any(&mut *test)
            {
                return Some(Grant { binding, subject });
            }
        }
    }
    None
}

/// The rules of a referenced role; none when it does not exist.
pub(super) fn rules_of(store: &Store, role_ref: &Value, namespace: &str) -> Vec<Value> {
    let name = role_ref["name"].as_str().unwrap_or_default();
    let key = match role_ref["kind"].as_str() {
        Some("ClusterRole") => Key::new(RBAC_GROUP, "clusterroles", "", name),
        _ => Key::new(RBAC_GROUP, "roles", namespace, name),
    };
    store
        .get(&key)
        .map(|role| effective_rules(store, role.value()))
        .unwrap_or_default()
}

/// A role's own rules, or those of the roles it aggregates.
pub(crate) fn effective_rules(store: &Store, role: &Value) -> Vec<Value> {
    let selectors = role["aggregationRule"]["clusterRoleSelectors"].as_array();
    let Some(selectors) = selectors.filter(|selectors| !selectors.is_empty()) else {
        return role["rules"].as_array().cloned().unwrap_or_default();
    };
    let selectors: Vec<LabelSelector> = selectors
        .iter()
        .filter_map(|selector| LabelSelector::from_object(Some(selector)).ok())
        .collect();
    let roles = store
        .list(&Scope::new(RBAC_GROUP, "clusterroles", ""))
        .objects;
    roles
        .iter()
        .map(|(_, other)| other.value())
        .filter(|other| other["metadata"]["name"] != role["metadata"]["name"])
        .filter(|other| selectors.iter().any(|selector| selector.matches(other)))
        .flat_map(|other| effective_rules(store, other))
        .collect()
}

/// Which subject of a binding is the user.
fn binding_subject(binding: &Value, user: &User, namespace: &str) -> Option<usize> {
    let subjects = binding["subjects"].as_array()?;
    subjects.iter().position(|subject| {
        let name = subject["name"].as_str().unwrap_or_default();
        match subject["kind"].as_str() {
            Some("User") => name == user.name,
            Some("Group") => user.groups.iter().any(|group| group == name),
            Some("ServiceAccount") => {
                let account_namespace = subject["namespace"].as_str().unwrap_or(namespace);
                user.name
                    .strip_prefix("system:serviceaccount:")
                    .is_some_and(|account| {
                        account.split_once(':') == Some((account_namespace, name))
                    })
            }
            _ => false,
        }
    })
}

/// Whether one rule covers a request.
pub(super) fn covers(rule: &Value, wanted: &Attributes) -> bool {
    if !lists(&rule["verbs"], |verb| verb == "*" || verb == wanted.verb) {
        return false;
    }
    if let Some(path) = &wanted.path {
        return lists(&rule["nonResourceURLs"], |url| {
            url == "*"
                || url == path
                || url
                    .strip_suffix('*')
                    .is_some_and(|prefix| path.starts_with(prefix))
        });
    }
    let resource = wanted.resource_and_subresource();
    let any_of_subresource = format!("*/{}", wanted.subresource);
    lists(&rule["apiGroups"], |group| {
        group == "*" || group == wanted.group
    }) && lists(&rule["resources"], |listed| {
        listed == "*"
            || listed == resource
            || (!wanted.subresource.is_empty() && listed == any_of_subresource)
    }) && (is_empty(&rule["resourceNames"])
        || lists(&rule["resourceNames"], |name| name == wanted.name))
}

/// Whether a list of strings holds one that fits.
fn lists(list: &Value, fits: impl Fn(&str) -> bool) -> bool {
    list.as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .any(fits)
}

fn is_empty(list: &Value) -> bool {
    list.as_array().is_none_or(Vec::is_empty)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn wanted(verb: &str, group: &str, resource: &str, name: &str) -> Attributes {
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        Attributes {
            verb: verb.to_owned(),
            group: group.to_owned(),
            resource: resource.to_owned(),
            subresource: subresource.to_owned(),
            name: name.to_owned(),
            ..Attributes::default()
        }
    }

    #[test]
    fn a_rule_covers_exactly_what_it_names() {
        let rule = json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods", "*/scale"]});
        let named = json!({"verbs": ["*"], "apiGroups": ["apps"], "resources": ["*"], "resourceNames": ["a"]});
        let cases = [
            (&rule, wanted("get", "", "pods", ""), true),
            (&rule, wanted("list", "", "pods", ""), false),
            (&rule, wanted("get", "", "pods/log", "x"), false),
            (&rule, wanted("get", "", "things/scale", "x"), true),
            (&rule, wanted("get", "apps", "pods", ""), false),
            (&named, wanted("get", "apps", "deployments", "a"), true),
            (
                &named,
                wanted("get", "apps", "deployments/scale", "a"),
                true,
            ),
            (&named, wanted("get", "apps", "deployments", "b"), false),
            (&named, wanted("create", "apps", "deployments", ""), false),
        ];
        for (rule, wanted, expected) in cases {
            assert_eq!(covers(rule, &wanted), expected, "{wanted:?}");
        }
    }

    #[test]
    fn paths_are_covered_by_prefix_or_whole() {
        let rule = json!({"verbs": ["get"], "nonResourceURLs": ["/api/*", "/healthz"]});
        for (path, expected) in [
            ("/api/v1", true),
            ("/healthz", true),
            ("/healthz/x", false),
            ("/apis", false),
        ] {
            assert_eq!(
                covers(&rule, &Attributes::path("get", path)),
                expected,
                "{path}"
            );
        }
    }
}
