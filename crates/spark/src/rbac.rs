//! Who may do what: the operator's own rules and those of the drivers it starts, as data.
//!
//! Law: no wildcards. Each rule says which resources and verbs are used, and next to it why; what
//! is not listed is refused by the API, and by the embedded cluster just the same.

use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding};
use windlass_engine::rbac::{
    READ, WRITE, cluster_role, cluster_role_binding, named, role_binding, rule,
};

/// The Role of drivers, in every namespace that runs jobs.
pub const DRIVER_ROLE: &str = "windlass-spark-driver";
/// The role of the operator, in the whole cluster or in each namespace it serves.
pub const OPERATOR_ROLE: &str = "windlass-spark-operator";
/// The Role of the operator in its own namespace.
pub const LEADER_ROLE: &str = "windlass-leader";

/// What a driver does: it makes executors and what they need, watches them, and cleans up behind
/// itself by label.
pub fn driver_rules() -> Vec<PolicyRule> {
    vec![rule(
        "",
        &["pods", "configmaps", "persistentvolumeclaims", "services"],
        &[
            "create",
            "get",
            "list",
            "watch",
            "patch",
            "delete",
            "deletecollection",
        ],
    )]
}

/// What the operator is allowed only where it is told to use it: kinds that are no part of
/// Kubernetes itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extra {
    /// HTTPRoutes of the Gateway API.
    HttpRoutes,
    /// PodMonitors of the Prometheus operator.
    PodMonitors,
}

impl Extra {
    /// Every one.
    pub const ALL: [Self; 2] = [Self::HttpRoutes, Self::PodMonitors];

    /// What the operator does with them.
    pub fn rule(self) -> PolicyRule {
        let (group, resource) = match self {
            // What leads from a URL to a driver, made for an attempt and removed with it.
            Self::HttpRoutes => ("gateway.networking.k8s.io", "httproutes"),
            // What tells Prometheus of an attempt's pods.
            Self::PodMonitors => ("monitoring.coreos.com", "podmonitors"),
        };
        rule(
            group,
            &[resource],
            &["get", "list", "watch", "create", "delete"],
        )
    }
}

/// What the operator does for Spark applications.
pub fn operator_rules(extras: &[Extra]) -> Vec<PolicyRule> {
    let mut rules = usual_rules();
    rules.extend(extras.iter().map(|extra| extra.rule()));
    rules
}

fn usual_rules() -> Vec<PolicyRule> {
    vec![
        // Follow applications; start the runs of schedules; remove what has had its time; keep those
        // that stand for objects of the first operator as these are.
        rule(
            "sparkoperator.k8s.io",
            &["sparkapplications"],
            &["get", "list", "watch", "create", "patch", "delete"],
        ),
        // Follow applications of the first operator, where their definition is installed, and report.
        rule(
            "spark-operator.k8s.io",
            &["sparkapplications"],
            &["get", "list", "watch"],
        ),
        rule(
            "spark-operator.k8s.io",
            &["sparkapplications/status", "sparkapplications/finalizers"],
            &["update"],
        ),
        // Follow schedules and Connect servers.
        rule(
            "sparkoperator.k8s.io",
            &["scheduledsparkapplications", "sparkconnects"],
            &["get", "list", "watch"],
        ),
        // Report. Status is the only part of what users wrote that the operator writes.
        rule(
            "sparkoperator.k8s.io",
            &[
                "sparkapplications/status",
                "scheduledsparkapplications/status",
                "sparkconnects/status",
            ],
            &["update"],
        ),
        // Owner references that block deletion of their owner need it where that is enforced.
        rule(
            "sparkoperator.k8s.io",
            &[
                "sparkapplications/finalizers",
                "scheduledsparkapplications/finalizers",
                "sparkconnects/finalizers",
            ],
            &["update"],
        ),
        // Create drivers, follow them and their executors, remove what an attempt left.
        rule("", &["pods"], &["get", "list", "watch", "create", "delete"]),
        // Tell why a driver failed when its pod's status has lost the error.
        rule("", &["pods/log"], &["get"]),
        // The driver's own Service and those that lead to it, applied and removed.
        rule(
            "",
            &["services"],
            &["get", "list", "watch", "create", "patch", "delete"],
        ),
        // What leads from a URL to a driver, made for an attempt and removed with it.
        rule(
            "networking.k8s.io",
            &["ingresses"],
            &["get", "list", "watch", "create", "delete"],
        ),
        // The driver's settings and templates, which go with their driver; those of a Connect
        // server are removed when it has others.
        rule(
            "",
            &["configmaps"],
            &["get", "list", "watch", "create", "patch", "delete"],
        ),
        // Connect servers and history servers.
        rule(
            "apps",
            &["deployments"],
            &["get", "list", "watch", "create", "patch", "delete"],
        ),
        // The token of a Connect server. Nothing reads it but the server's node and users.
        rule("", &["secrets"], &["create", "patch"]),
        // Claims that a driver asks for, which go with their driver, and those for checkpoints, which stay.
        rule("", &["persistentvolumeclaims"], &["create", "patch"]),
        // From Spark 4.2 on executors accept only pods of their own application; that policy goes
        // with the driver. Those of a Connect server are kept as its specification says.
        rule(
            "networking.k8s.io",
            &["networkpolicies"],
            &["get", "list", "watch", "create", "patch", "delete"],
        ),
        // Make evictions wait for drivers that run.
        rule(
            "policy",
            &["poddisruptionbudgets"],
            &["get", "list", "watch", "create", "delete"],
        ),
        // The groups that batch schedulers know applications by.
        rule(
            "scheduling.volcano.sh",
            &["podgroups"],
            &["get", "create", "patch", "delete"],
        ),
        rule(
            "scheduling.x-k8s.io",
            &["podgroups"],
            &["get", "create", "patch", "delete"],
        ),
        // Follow history servers, and report.
        rule(
            "windlass.dev",
            &["sparkhistoryservers"],
            &["get", "list", "watch"],
        ),
        rule(
            "windlass.dev",
            &[
                "sparkhistoryservers/status",
                "sparkhistoryservers/finalizers",
            ],
            &["update"],
        ),
        // Know what is decided about the jobs of a namespace. Nobody but its keeper writes it.
        rule(
            "windlass.dev",
            &["sparkpolicies"],
            &["get", "list", "watch"],
        ),
        // Know what may run at once in a namespace.
        rule("", &["resourcequotas"], &["list", "watch"]),
        // Tell people what happens.
        rule("events.k8s.io", &["events"], &["create", "patch"]),
    ]
}

/// What an operator of the whole cluster looks at besides: whether another operator of the same
/// kinds lives, wherever that is. One that serves some namespaces alone may not look into others.
pub fn company_rules() -> Vec<PolicyRule> {
    vec![
        rule("coordination.k8s.io", &["leases"], &["list"]),
        rule("apps", &["deployments"], &["list"]),
    ]
}

/// What an operator of the namespaces with a label looks at besides: which ones have it.
pub fn selecting_rules() -> Vec<PolicyRule> {
    vec![rule("", &["namespaces"], &["get", "list", "watch"])]
}

/// What an operator with a webhook does to its configurations, which are of the whole cluster: it
/// tells them its authority.
pub fn webhook_rules(configuration: &str) -> Vec<PolicyRule> {
    let resources = [
        "mutatingwebhookconfigurations",
        "validatingwebhookconfigurations",
    ];
    vec![PolicyRule {
        resource_names: Some(vec![configuration.to_owned()]),
        ..rule(
            "admissionregistration.k8s.io",
            &resources,
            &["get", "update"],
        )
    }]
}

/// What an operator with a webhook does in its own namespace: keep its certificates in a Secret.
pub fn webhook_home_rules(secret: &str) -> Vec<PolicyRule> {
    vec![
        PolicyRule {
            resource_names: Some(vec![secret.to_owned()]),
            ..rule("", &["secrets"], &["get", "update"])
        },
        // What is not there yet has no name that a rule could have.
        rule("", &["secrets"], &["create"]),
    ]
}

/// What the people of a team do in its namespace: run jobs, look after their pods, and keep what these need.
/// What decides about them (roles, accounts, quotas, limits, policies) they may see at most.
pub fn team_rules() -> Vec<PolicyRule> {
    vec![
        rule(
            "sparkoperator.k8s.io",
            &[
                "sparkapplications",
                "scheduledsparkapplications",
                "sparkconnects",
            ],
            WRITE,
        ),
        rule("spark-operator.k8s.io", &["sparkapplications"], WRITE),
        rule("windlass.dev", &["sparkhistoryservers"], WRITE),
        rule("windlass.dev", &["sparkpolicies"], READ),
        // Files, keys and storage of jobs, and pods of their own: shells, clients.
        rule(
            "",
            &[
                "pods",
                "services",
                "configmaps",
                "secrets",
                "persistentvolumeclaims",
            ],
            WRITE,
        ),
        rule("", &["pods/log"], &["get"]),
        // Clients of WebSockets ask by GET, others by POST.
        rule(
            "",
            &["pods/exec", "pods/attach", "pods/portforward"],
            &["get", "create"],
        ),
        // See what is decided, and what happens.
        rule(
            "",
            &["events", "serviceaccounts", "resourcequotas", "limitranges"],
            READ,
        ),
        rule("events.k8s.io", &["events"], READ),
        rule("apps", &["deployments", "statefulsets"], READ),
        rule("networking.k8s.io", &["ingresses", "networkpolicies"], READ),
        rule("policy", &["poddisruptionbudgets"], READ),
    ]
}

/// What the operator does in its own namespace: hold the Lease that says which replica acts.
pub fn leader_rules() -> Vec<PolicyRule> {
    vec![rule(
        "coordination.k8s.io",
        &["leases"],
        &["get", "create", "update"],
    )]
}

/// The Role of drivers in a namespace.
pub fn driver_role(namespace: &str) -> Role {
    Role {
        metadata: named(DRIVER_ROLE, Some(namespace)),
        rules: Some(driver_rules()),
    }
}

/// Binds a ServiceAccount of the same namespace to the Role of drivers.
pub fn driver_role_binding(namespace: &str, service_account: &str) -> RoleBinding {
    let name = format!("{DRIVER_ROLE}-{service_account}");
    role_binding(&name, DRIVER_ROLE, namespace, namespace, service_account)
}

/// A ServiceAccount for drivers.
pub fn driver_service_account(namespace: &str, name: &str) -> ServiceAccount {
    ServiceAccount {
        metadata: named(name, Some(namespace)),
        ..ServiceAccount::default()
    }
}

/// The operator's role in the whole cluster.
pub fn operator_cluster_role(extras: &[Extra]) -> ClusterRole {
    let rules = [usual_rules(), company_rules()].into_iter().flatten();
    let rules = rules.chain(extras.iter().map(|it| it.rule()));
    cluster_role(OPERATOR_ROLE, rules.collect())
}

/// Binds the operator's ServiceAccount in the whole cluster.
pub fn operator_cluster_role_binding(namespace: &str, service_account: &str) -> ClusterRoleBinding {
    cluster_role_binding(OPERATOR_ROLE, namespace, service_account)
}

/// The role of an operator of the namespaces with a label, and its binding. Both are named after the
/// operator's own namespace, since there may be one for each label.
pub fn selecting_cluster_role(
    home: &str,
    service_account: &str,
    extras: &[Extra],
) -> (ClusterRole, ClusterRoleBinding) {
    let name = format!("{OPERATOR_ROLE}-{home}");
    let rules = [usual_rules(), company_rules(), selecting_rules()]
        .into_iter()
        .flatten();
    let rules = rules.chain(extras.iter().map(|it| it.rule()));
    let role = cluster_role(&name, rules.collect());
    (role, cluster_role_binding(&name, home, service_account))
}

/// The operator's role in one namespace it serves, where it may not have the whole cluster.
pub fn operator_role(namespace: &str, extras: &[Extra]) -> Role {
    Role {
        metadata: named(OPERATOR_ROLE, Some(namespace)),
        rules: Some(operator_rules(extras)),
    }
}

/// Binds the operator's ServiceAccount, which lives in `home`, in a namespace it serves.
pub fn operator_role_binding(namespace: &str, home: &str, service_account: &str) -> RoleBinding {
    role_binding(
        OPERATOR_ROLE,
        OPERATOR_ROLE,
        namespace,
        home,
        service_account,
    )
}

/// The operator's Role in its own namespace.
pub fn leader_role(home: &str) -> Role {
    Role {
        metadata: named(LEADER_ROLE, Some(home)),
        rules: Some(leader_rules()),
    }
}

/// Binds the operator's ServiceAccount in its own namespace.
pub fn leader_role_binding(home: &str, service_account: &str) -> RoleBinding {
    role_binding(LEADER_ROLE, LEADER_ROLE, home, home, service_account)
}

/// The role of an operator with a webhook in the whole cluster, and its binding.
pub fn webhook_cluster_role(
    configuration: &str,
    home: &str,
    service_account: &str,
) -> (ClusterRole, ClusterRoleBinding) {
    let role = cluster_role(configuration, webhook_rules(configuration));
    let binding = cluster_role_binding(configuration, home, service_account);
    (role, binding)
}

/// The Role of an operator with a webhook in its own namespace, and its binding.
pub fn webhook_role(secret: &str, home: &str, service_account: &str) -> (Role, RoleBinding) {
    let role = Role {
        metadata: named(secret, Some(home)),
        rules: Some(webhook_home_rules(secret)),
    };
    let binding = role_binding(secret, secret, home, home, service_account);
    (role, binding)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_granted_by_wildcard() {
        let all = [
            driver_rules(),
            operator_rules(&Extra::ALL),
            company_rules(),
            selecting_rules(),
            leader_rules(),
            webhook_rules("configuration"),
            webhook_home_rules("secret"),
        ];
        for rule in all.concat() {
            let words = [
                rule.api_groups.unwrap(),
                rule.resources.unwrap(),
                rule.verbs,
            ]
            .concat();
            assert!(!words.iter().any(|word| word.contains('*')), "{words:?}");
        }
    }

    #[test]
    fn the_rules_are_these() {
        insta::assert_yaml_snapshot!((
            operator_cluster_role(&Extra::ALL),
            leader_role("windlass"),
            driver_role("jobs")
        ));
    }

    #[test]
    fn bindings_name_the_account_where_it_lives() {
        insta::assert_yaml_snapshot!((
            operator_cluster_role_binding("windlass", "windlass"),
            operator_role_binding("jobs", "windlass", "windlass"),
            leader_role_binding("windlass", "windlass"),
            driver_role_binding("jobs", "spark"),
            driver_service_account("jobs", "spark"),
        ));
    }
}
