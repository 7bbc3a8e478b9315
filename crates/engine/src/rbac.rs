//! Roles and their bindings as data: what the rules of every operator are made with.

use k8s_openapi::api::rbac::v1::{
    ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

const RBAC_GROUP: &str = "rbac.authorization.k8s.io";

/// The verbs of those who look at objects.
pub const READ: &[&str] = &["get", "list", "watch"];
/// The verbs of those whose objects they are.
pub const WRITE: &[&str] = &[
    "get",
    "list",
    "watch",
    "create",
    "update",
    "patch",
    "delete",
    "deletecollection",
];

/// What may be done with these resources of a group.
pub fn rule(group: &str, resources: &[&str], verbs: &[&str]) -> PolicyRule {
    let owned = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
    PolicyRule {
        api_groups: Some(vec![group.to_owned()]),
        resources: Some(owned(resources)),
        verbs: owned(verbs),
        ..PolicyRule::default()
    }
}

/// A role of the whole cluster.
pub fn cluster_role(name: &str, rules: Vec<PolicyRule>) -> ClusterRole {
    ClusterRole {
        metadata: named(name, None),
        rules: Some(rules),
        ..ClusterRole::default()
    }
}

/// A role in a namespace.
pub fn role(name: &str, namespace: &str, rules: Vec<PolicyRule>) -> Role {
    Role {
        metadata: named(name, Some(namespace)),
        rules: Some(rules),
    }
}

/// Binds a ServiceAccount to the role of the whole cluster that has the binding's name.
pub fn cluster_role_binding(name: &str, namespace: &str, account: &str) -> ClusterRoleBinding {
    ClusterRoleBinding {
        metadata: named(name, None),
        role_ref: role_ref("ClusterRole", name),
        subjects: Some(vec![subject(namespace, account)]),
    }
}

/// Binds a ServiceAccount of any namespace to a Role.
pub fn role_binding(
    name: &str,
    role: &str,
    namespace: &str,
    account_namespace: &str,
    account: &str,
) -> RoleBinding {
    RoleBinding {
        metadata: named(name, Some(namespace)),
        role_ref: role_ref("Role", role),
        subjects: Some(vec![subject(account_namespace, account)]),
    }
}

/// The metadata of an object of this name.
pub fn named(name: &str, namespace: Option<&str>) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        namespace: namespace.map(str::to_owned),
        ..ObjectMeta::default()
    }
}

fn role_ref(kind: &str, name: &str) -> RoleRef {
    RoleRef {
        api_group: Some(RBAC_GROUP.to_owned()),
        kind: kind.to_owned(),
        name: name.to_owned(),
    }
}

fn subject(namespace: &str, service_account: &str) -> Subject {
    Subject {
        kind: "ServiceAccount".to_owned(),
        name: service_account.to_owned(),
        namespace: Some(namespace.to_owned()),
        ..Subject::default()
    }
}
