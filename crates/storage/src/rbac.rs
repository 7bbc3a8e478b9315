//! What the operator of storage may do, as data. No wildcards; what is not listed is refused.

use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule};
use windlass_engine::rbac::{cluster_role, cluster_role_binding, rule};

/// The role of the operator of storage.
pub const STORAGE_ROLE: &str = "windlass-storage";

/// The role of an operator that lets claims grow by themselves, besides.
pub const GROWTH_ROLE: &str = "windlass-storage-growth";

/// What the operator does for storage.
pub fn storage_rules() -> Vec<PolicyRule> {
    let mut rules = class_rules();
    rules.extend(bucket_rules());
    // Tell people what happens.
    rules.push(rule("events.k8s.io", &["events"], &["create", "patch"]));
    rules
}

/// For claims whose class does not exist.
fn class_rules() -> Vec<PolicyRule> {
    vec![
        // Follow claims, and say on them why there is no class.
        rule("", &["persistentvolumeclaims"], &["get", "list", "watch"]),
        rule("", &["persistentvolumeclaims/status"], &["patch"]),
        // Whose volumes are made by hand, under the name of a class that need not be there.
        rule("", &["persistentvolumes"], &["list"]),
        // Which namespaces want classes, and where the nodes are.
        rule("", &["namespaces", "nodes"], &["get", "list", "watch"]),
        // What there is. A class is never changed, and never deleted.
        rule(
            "storage.k8s.io",
            &["storageclasses"],
            &["get", "list", "watch", "create"],
        ),
        rule("storage.k8s.io", &["csidrivers"], &["get", "list", "watch"]),
    ]
}

/// What the operator does for claims that grow by themselves, besides.
pub fn growth_rules() -> Vec<PolicyRule> {
    vec![
        // Ask for more, and say when.
        rule("", &["persistentvolumeclaims"], &["patch"]),
        // On which nodes volumes are used.
        rule("", &["pods"], &["list"]),
        // How full they are, which kubelets alone know. Kubernetes grants this by no narrower name: it is
        // also a way into pods, so that it is a role of its own.
        rule("", &["nodes/proxy"], &["get"]),
    ]
}

/// For buckets.
fn bucket_rules() -> Vec<PolicyRule> {
    const GROUP: &str = "banzaicloud.com";
    vec![
        // Follow them, and hold them until their bucket is dealt with.
        rule(GROUP, &["objectstores"], &["get", "list", "watch", "patch"]),
        rule(GROUP, &["objectstores/status"], &["update"]),
        // The credentials that they name, wherever they are; changed ones are tried at once.
        rule("", &["secrets"], &["get", "list", "watch"]),
    ]
}

/// The role of the operator of storage in the whole cluster.
pub fn storage_cluster_role() -> ClusterRole {
    cluster_role(STORAGE_ROLE, storage_rules())
}

/// The role of an operator that lets claims grow by themselves, besides.
pub fn growth_cluster_role() -> ClusterRole {
    cluster_role(GROWTH_ROLE, growth_rules())
}

/// Binds the operator's account to it.
pub fn growth_cluster_role_binding(namespace: &str, account: &str) -> ClusterRoleBinding {
    cluster_role_binding(GROWTH_ROLE, namespace, account)
}

/// Binds the operator's account to it.
pub fn storage_cluster_role_binding(namespace: &str, account: &str) -> ClusterRoleBinding {
    cluster_role_binding(STORAGE_ROLE, namespace, account)
}
