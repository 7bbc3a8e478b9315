//! What the operator of storage may do, as data. No wildcards; what is not listed is refused.

use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding};
use windlass_engine::rbac::{cluster_role, cluster_role_binding, named, role, role_binding, rule};

use crate::nfs::ACCOUNT;

/// The role of the operator of storage.
pub const STORAGE_ROLE: &str = "windlass-storage";

/// The role of an operator that lets claims grow by themselves, besides.
pub const GROWTH_ROLE: &str = "windlass-storage-growth";

/// The role of an operator that makes NFS servers, in the servers' namespace.
pub const NFS_ROLE: &str = "windlass-storage-nfs";
/// The role of an operator that keeps logs, besides.
pub const KEPT_LOGS_ROLE: &str = "windlass-kept-logs";

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

/// What the operator does for classes of shares, besides: in the namespace of their servers alone, and
/// nothing is ever deleted there.
pub fn nfs_rules() -> Vec<PolicyRule> {
    vec![
        // The disk, which grows with what is asked of the server.
        rule("", &["persistentvolumeclaims"], &["get", "create", "patch"]),
        // Where it answers, what it exports, and itself.
        rule("", &["services", "configmaps"], &["get", "create"]),
        rule("apps", &["statefulsets"], &["get", "create"]),
    ]
}

/// What a server does that makes volumes itself: that of the provisioner in its image.
pub fn nfs_server_rules() -> Vec<PolicyRule> {
    vec![
        rule(
            "",
            &["persistentvolumes"],
            &["get", "list", "watch", "create", "delete"],
        ),
        rule(
            "",
            &["persistentvolumeclaims"],
            &["get", "list", "watch", "update"],
        ),
        rule(
            "storage.k8s.io",
            &["storageclasses"],
            &["get", "list", "watch"],
        ),
        rule("", &["events"], &["create", "update", "patch"]),
    ]
}

/// What such a server does in its own namespace: it looks up its address, and of two that are started for
/// the same volumes one is chosen.
pub fn nfs_server_home_rules() -> Vec<PolicyRule> {
    let elect = &["get", "list", "watch", "create", "update", "patch"];
    vec![
        rule("", &["services"], &["get"]),
        rule("", &["endpoints"], elect),
        rule("coordination.k8s.io", &["leases"], elect),
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

/// The role of an operator that makes NFS servers, in the servers' namespace.
pub fn nfs_role(namespace: &str) -> Role {
    role(NFS_ROLE, namespace, nfs_rules())
}

/// Binds the operator's account to it.
pub fn nfs_role_binding(namespace: &str, home: &str, account: &str) -> RoleBinding {
    role_binding(NFS_ROLE, NFS_ROLE, namespace, home, account)
}

/// What NFS servers that make volumes themselves are, and may do: their account, and its roles.
pub fn nfs_servers(
    namespace: &str,
) -> (
    ServiceAccount,
    ClusterRole,
    ClusterRoleBinding,
    Role,
    RoleBinding,
) {
    // Each namespace of servers has its own, since it may be somebody else's who goes.
    let of_cluster = format!("{ACCOUNT}-{namespace}");
    let account = ServiceAccount {
        metadata: named(ACCOUNT, Some(namespace)),
        ..ServiceAccount::default()
    };
    (
        account,
        cluster_role(&of_cluster, nfs_server_rules()),
        cluster_role_binding(&of_cluster, namespace, ACCOUNT),
        role(ACCOUNT, namespace, nfs_server_home_rules()),
        role_binding(ACCOUNT, ACCOUNT, namespace, namespace, ACCOUNT),
    )
}

/// What an operator that keeps logs does besides: drivers, executors and their logs are read by every operator
/// of applications, and one that keeps them in buckets has the rights of storage, which are more.
pub fn kept_logs_rules() -> Vec<PolicyRule> {
    // How long logs of a namespace are kept.
    vec![rule("", &["namespaces"], &["get"])]
}

/// The role of an operator that keeps logs, besides.
pub fn kept_logs_cluster_role() -> ClusterRole {
    cluster_role(KEPT_LOGS_ROLE, kept_logs_rules())
}

/// The same for the logs of one namespace, which may be asked for itself.
pub fn kept_logs_role(namespace: &str) -> Role {
    role(KEPT_LOGS_ROLE, namespace, kept_logs_rules())
}

/// Binds the operator's account to it.
pub fn kept_logs_role_binding(namespace: &str, home: &str, account: &str) -> RoleBinding {
    role_binding(KEPT_LOGS_ROLE, KEPT_LOGS_ROLE, namespace, home, account)
}

/// Binds the operator's account to it.
pub fn kept_logs_cluster_role_binding(namespace: &str, account: &str) -> ClusterRoleBinding {
    cluster_role_binding(KEPT_LOGS_ROLE, namespace, account)
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
