//! What the operator of virtual clusters may do, as data. No wildcards; what is not listed is refused.

use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule};
use windlass_engine::rbac::{WRITE, cluster_role, cluster_role_binding, rule};

/// The role of the operator of virtual clusters.
pub const DIRECTOR_ROLE: &str = "windlass-director";

const KUBEDIRECTOR: &str = "kubedirector.hpe.com";
const FIRST_KUBEDIRECTOR: &str = "kubedirector.bluedata.io";

/// What the operator does for virtual clusters.
pub fn director_rules() -> Vec<PolicyRule> {
    vec![
        // Follow clusters, and what they are made of.
        rule(
            KUBEDIRECTOR,
            &[
                "kubedirectorclusters",
                "kubedirectorapps",
                "kubedirectorconfigs",
            ],
            &["get", "list", "watch"],
        ),
        // Report. Of what users wrote the operator writes the status, and on clusters what their names are
        // made from.
        rule(KUBEDIRECTOR, &["kubedirectorclusters/status"], &["update"]),
        // Owner references that block deletion of their owner need it where that is enforced.
        rule(
            KUBEDIRECTOR,
            &["kubedirectorclusters/finalizers"],
            &["update"],
        ),
        // What the first KubeDirector had is followed, and has one of today that it owns.
        rule(
            FIRST_KUBEDIRECTOR,
            &["kubedirectorclusters", "kubedirectorapps"],
            &["get", "list", "watch"],
        ),
        rule(
            FIRST_KUBEDIRECTOR,
            &["kubedirectorclusters/status"],
            &["update"],
        ),
        rule(
            FIRST_KUBEDIRECTOR,
            &[
                "kubedirectorclusters/finalizers",
                "kubedirectorapps/finalizers",
            ],
            &["update"],
        ),
        rule(
            KUBEDIRECTOR,
            &["kubedirectorclusters", "kubedirectorapps"],
            &["create", "patch"],
        ),
        // The members of a role.
        rule(
            "apps",
            &["statefulsets"],
            &["get", "list", "watch", "create", "patch", "delete"],
        ),
        // Follow members, write on them what they have been told, replace them one by one.
        rule("", &["pods"], &["get", "list", "watch", "patch", "delete"]),
        // Run the scripts of applications. Clients of WebSockets ask by GET, and newer servers want both.
        rule("", &["pods/exec"], &["get", "create"]),
        // The names of members, and how they are reached.
        rule(
            "",
            &["services"],
            &["get", "list", "watch", "create", "patch", "delete"],
        ),
        // What is mounted in members, which has tokens; and Secrets that clusters are connected to.
        rule(
            "",
            &["secrets"],
            &["get", "list", "watch", "create", "patch", "delete"],
        ),
        // ConfigMaps that clusters are connected to.
        rule("", &["configmaps"], &["get", "list", "watch"]),
        // Storage of members that are gone, and marks on that of the others.
        rule(
            "",
            &["persistentvolumeclaims"],
            &["get", "list", "watch", "patch", "delete"],
        ),
        // What clusters refer to has to be there.
        rule("", &["serviceaccounts"], &["get"]),
        rule("storage.k8s.io", &["storageclasses"], &["get", "list"]),
        // The webhook asks what the user may do who writes a cluster.
        rule(
            "authorization.k8s.io",
            &["subjectaccessreviews"],
            &["create"],
        ),
        // Make evictions wait for members.
        rule(
            "policy",
            &["poddisruptionbudgets"],
            &["get", "list", "watch", "create", "patch", "delete"],
        ),
        // Tell people what happens.
        rule("events.k8s.io", &["events"], &["create", "patch"]),
    ]
}

/// What the people of a team do in its namespace: keep applications and clusters.
pub fn team_rules() -> Vec<PolicyRule> {
    let kinds = ["kubedirectorclusters", "kubedirectorapps"];
    vec![
        rule(KUBEDIRECTOR, &kinds, WRITE),
        rule(FIRST_KUBEDIRECTOR, &kinds, WRITE),
    ]
}

/// The role of the operator of virtual clusters in the whole cluster.
pub fn director_cluster_role() -> ClusterRole {
    cluster_role(DIRECTOR_ROLE, director_rules())
}

/// Binds the operator's account to it.
pub fn director_cluster_role_binding(namespace: &str, account: &str) -> ClusterRoleBinding {
    cluster_role_binding(DIRECTOR_ROLE, namespace, account)
}
