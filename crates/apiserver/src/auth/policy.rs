//! The roles and bindings every cluster has from the start.

use serde_json::{Value, json};

use super::RBAC_GROUP;

const READ: &[&str] = &["get", "list", "watch"];
const WRITE: &[&str] = &["create", "delete", "deletecollection", "patch", "update"];
const ALL: &[&str] = &[
    "create",
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "update",
    "watch",
];

const LABEL_BOOTSTRAP: &str = "kubernetes.io/bootstrapping";
const LABEL_BOOTSTRAP_VALUE: &str = "rbac-defaults";

/// Resources of a namespace that its users see, by group.
const VISIBLE: &[(&str, &[&str])] = &[
    (
        "",
        &[
            "bindings",
            "configmaps",
            "endpoints",
            "events",
            "limitranges",
            "namespaces",
            "namespaces/status",
            "persistentvolumeclaims",
            "persistentvolumeclaims/status",
            "pods",
            "pods/log",
            "pods/status",
            "replicationcontrollers",
            "replicationcontrollers/scale",
            "replicationcontrollers/status",
            "resourcequotas",
            "resourcequotas/status",
            "serviceaccounts",
            "services",
            "services/status",
        ],
    ),
    ("discovery.k8s.io", &["endpointslices"]),
    (
        "apps",
        &[
            "controllerrevisions",
            "daemonsets",
            "daemonsets/status",
            "deployments",
            "deployments/scale",
            "deployments/status",
            "replicasets",
            "replicasets/scale",
            "replicasets/status",
            "statefulsets",
            "statefulsets/scale",
            "statefulsets/status",
        ],
    ),
    (
        "autoscaling",
        &[
            "horizontalpodautoscalers",
            "horizontalpodautoscalers/status",
        ],
    ),
    (
        "batch",
        &["cronjobs", "cronjobs/status", "jobs", "jobs/status"],
    ),
    (
        "networking.k8s.io",
        &["ingresses", "ingresses/status", "networkpolicies"],
    ),
    (
        "policy",
        &["poddisruptionbudgets", "poddisruptionbudgets/status"],
    ),
];

/// Resources of a namespace that its editors change, by group.
const EDITABLE: &[(&str, &[&str])] = &[
    (
        "",
        &[
            "configmaps",
            "events",
            "persistentvolumeclaims",
            "pods",
            "pods/attach",
            "pods/exec",
            "pods/portforward",
            "pods/proxy",
            "replicationcontrollers",
            "replicationcontrollers/scale",
            "secrets",
            "serviceaccounts",
            "services",
            "services/proxy",
        ],
    ),
    (
        "apps",
        &[
            "daemonsets",
            "deployments",
            "deployments/rollback",
            "deployments/scale",
            "replicasets",
            "replicasets/scale",
            "statefulsets",
            "statefulsets/scale",
        ],
    ),
    ("autoscaling", &["horizontalpodautoscalers"]),
    ("batch", &["cronjobs", "jobs"]),
    ("coordination.k8s.io", &["leases"]),
    ("networking.k8s.io", &["ingresses", "networkpolicies"]),
    ("policy", &["poddisruptionbudgets"]),
];

/// The ClusterRoles.
pub(crate) fn cluster_roles() -> Vec<Value> {
    let everything = vec![rule("*", &["*"], &["*"]), paths(&["*"], &["*"])];
    let discovery = paths(
        &[
            "/api",
            "/api/*",
            "/apis",
            "/apis/*",
            "/healthz",
            "/livez",
            "/openapi",
            "/openapi/*",
            "/readyz",
            "/version",
            "/version/",
        ],
        &["get"],
    );
    let public = paths(
        &["/healthz", "/livez", "/readyz", "/version", "/version/"],
        &["get"],
    );
    let authentication = "authentication.k8s.io";
    let authorization = "authorization.k8s.io";
    let basic = vec![
        rule(
            authorization,
            &["selfsubjectaccessreviews", "selfsubjectrulesreviews"],
            &["create"],
        ),
        rule(authentication, &["selfsubjectreviews"], &["create"]),
    ];
    let mut edit: Vec<Value> = EDITABLE
        .iter()
        .map(|(group, resources)| rule(group, resources, WRITE))
        .collect();
    edit.extend([
        rule(
            "",
            &[
                "pods/attach",
                "pods/exec",
                "pods/portforward",
                "pods/proxy",
                "secrets",
                "services/proxy",
            ],
            READ,
        ),
        rule("coordination.k8s.io", &["leases"], READ),
        rule("", &["pods/eviction", "serviceaccounts/token"], &["create"]),
        rule("", &["serviceaccounts"], &["impersonate"]),
    ]);
    let admin = vec![
        rule(authorization, &["localsubjectaccessreviews"], &["create"]),
        rule(RBAC_GROUP, &["rolebindings", "roles"], ALL),
    ];
    let reviewer = vec![
        rule(authentication, &["tokenreviews"], &["create"]),
        rule(authorization, &["subjectaccessreviews"], &["create"]),
    ];
    let view = VISIBLE
        .iter()
        .map(|(group, resources)| rule(group, resources, READ))
        .collect();
    vec![
        role("cluster-admin", everything, &[]),
        role("system:discovery", vec![discovery], &[]),
        role("system:public-info-viewer", vec![public], &[]),
        role("system:basic-user", basic, &[]),
        role("system:auth-delegator", reviewer, &[]),
        aggregating("admin", &["admin"], &[]),
        aggregating("edit", &["edit"], &["admin"]),
        aggregating("view", &["view"], &["edit"]),
        role("system:aggregate-to-admin", admin, &["admin"]),
        role("system:aggregate-to-edit", edit, &["edit"]),
        role("system:aggregate-to-view", view, &["view"]),
    ]
}

/// The ClusterRoleBindings.
pub(crate) fn cluster_role_bindings() -> Vec<Value> {
    let authenticated = "system:authenticated";
    let unauthenticated = "system:unauthenticated";
    vec![
        binding("cluster-admin", &["system:masters"]),
        binding("system:discovery", &[authenticated]),
        binding("system:basic-user", &[authenticated]),
        binding(
            "system:public-info-viewer",
            &[authenticated, unauthenticated],
        ),
    ]
}

fn rule(group: &str, resources: &[&str], verbs: &[&str]) -> Value {
    json!({"apiGroups": [group], "resources": resources, "verbs": verbs})
}

fn paths(urls: &[&str], verbs: &[&str]) -> Value {
    json!({"nonResourceURLs": urls, "verbs": verbs})
}

fn metadata(name: &str, feeds: &[&str]) -> Value {
    let mut labels = json!({LABEL_BOOTSTRAP: LABEL_BOOTSTRAP_VALUE});
    for target in feeds {
        labels[aggregation_label(target)] = json!("true");
    }
    json!({
        "name": name,
        "labels": labels,
        "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"},
    })
}

fn aggregation_label(target: &str) -> String {
    format!("rbac.authorization.k8s.io/aggregate-to-{target}")
}

fn role(name: &str, rules: Vec<Value>, feeds: &[&str]) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": metadata(name, feeds),
        "rules": rules,
    })
}

/// A role whose rules are those of the roles labelled for it.
fn aggregating(name: &str, sources: &[&str], feeds: &[&str]) -> Value {
    let selectors: Vec<Value> = sources
        .iter()
        .map(|source| json!({"matchLabels": {aggregation_label(source): "true"}}))
        .collect();
    let mut role = role(name, Vec::new(), feeds);
    role["rules"] = Value::Null;
    role["aggregationRule"] = json!({"clusterRoleSelectors": selectors});
    role
}

fn binding(role: &str, groups: &[&str]) -> Value {
    let subjects: Vec<Value> = groups
        .iter()
        .map(|group| json!({"apiGroup": RBAC_GROUP, "kind": "Group", "name": group}))
        .collect();
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": metadata(role, &[]),
        "roleRef": {"apiGroup": RBAC_GROUP, "kind": "ClusterRole", "name": role},
        "subjects": subjects,
    })
}
