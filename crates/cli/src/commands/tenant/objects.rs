//! What a team's namespace consists of.
//!
//! Laws: nothing that a team's people may write widens what they may do: neither roles nor quotas, limits,
//! policies nor the namespace itself are among it; no rule has a wildcard; everything but the Namespace is in it.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};
use windlass_director::rbac as director;
use windlass_spark::rbac;

use crate::args::{Amount, TenantArgs};
use crate::commands::install::DRIVER_ACCOUNT;
use crate::exit::Failure;

/// The name of what is made for a team.
const TENANT: &str = "windlass-tenant";
/// Says whose namespace it is.
const TENANT_LABEL: &str = "windlass.dev/tenant";
/// What a ResourceQuota may count only where each container states it.
const LIMITS: &str = "limits.";

/// The objects, in an order in which they can be applied.
///
/// # Errors
///
/// Names the option that is wrong.
pub(super) fn objects(args: &TenantArgs) -> Result<Vec<Value>, Failure> {
    let namespace = args.name.as_str();
    let home = args.operator_namespace.as_str();
    if namespace == home {
        return Err(Failure::bad_input(format!(
            "{namespace} is the operator's own namespace, whose Secrets a team must not read: choose another one"
        )));
    }
    let quota = amounts("--quota", &args.quota)?;
    let requests = amounts("--default-request", &args.default_request)?;
    let limits = amounts("--default-limit", &args.default_limit)?;
    let max = amounts("--max", &args.max)?;
    for name in quota.keys() {
        let Some(resource) = name.strip_prefix(LIMITS) else {
            continue;
        };
        if !limits.contains_key(resource) {
            return Err(Failure::bad_input(format!(
                "--quota {name}: pods that state no limit of {resource} would be refused, and those of Spark need not \
                 state one: add --default-limit {resource}=QUANTITY, or limit {resource} alone"
            )));
        }
    }

    let mut objects = vec![
        json!({
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {
                "name": namespace,
                "labels": {
                    TENANT_LABEL: namespace,
                    "pod-security.kubernetes.io/enforce": args.pod_security.as_str(),
                },
            },
        }),
        object(&rbac::driver_service_account(namespace, DRIVER_ACCOUNT))?,
        object(&rbac::driver_role(namespace))?,
        object(&rbac::driver_role_binding(namespace, DRIVER_ACCOUNT))?,
        role(namespace)?,
    ];
    let subjects = subjects(args);
    if !subjects.is_empty() {
        objects.push(json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": { "name": TENANT, "namespace": namespace },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": TENANT },
            "subjects": subjects,
        }));
    }
    if !quota.is_empty() {
        objects.push(json!({
            "apiVersion": "v1",
            "kind": "ResourceQuota",
            "metadata": { "name": TENANT, "namespace": namespace },
            "spec": { "hard": quota },
        }));
    }
    objects.extend(limit_range(namespace, &requests, &limits, &max));
    objects.push(network_policy(args));
    Ok(objects)
}

/// What the people of a team may do.
fn role(namespace: &str) -> Result<Value, Failure> {
    let mut rules = rbac::team_rules();
    rules.extend(director::team_rules());
    Ok(json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": { "name": TENANT, "namespace": namespace },
        "rules": object(&rules)?,
    }))
}

fn subjects(args: &TenantArgs) -> Vec<Value> {
    let of = |kind: &'static str| move |name: &String| json!({ "kind": kind, "name": name, "apiGroup": "rbac.authorization.k8s.io" });
    let groups = args.groups.iter().map(of("Group"));
    groups.chain(args.users.iter().map(of("User"))).collect()
}

/// Defaults and bounds of containers. A quota of CPU refuses pods that request none, so that there has
/// to be a default; a limit of CPU slows a JVM down, so that there is none unless it is asked for.
fn limit_range(
    namespace: &str,
    requests: &BTreeMap<&str, &str>,
    limits: &BTreeMap<&str, &str>,
    max: &BTreeMap<&str, &str>,
) -> Option<Value> {
    let mut of_containers = json!({ "type": "Container" });
    for (field, amounts) in [
        ("defaultRequest", requests),
        ("default", limits),
        ("max", max),
    ] {
        if !amounts.is_empty() {
            of_containers[field] = json!(amounts);
        }
    }
    let says_something = of_containers.as_object()?.len() > 1;
    says_something.then(|| {
        json!({
            "apiVersion": "v1",
            "kind": "LimitRange",
            "metadata": { "name": TENANT, "namespace": namespace },
            "spec": { "limits": [of_containers] },
        })
    })
}

/// Pods of the namespace accept connections of each other, of the operator, and of whom `--allow-from` names.
/// What they call themselves is not restricted: each team's policy says who may call it.
fn network_policy(args: &TenantArgs) -> Value {
    let mut from = vec![json!({ "podSelector": {} })];
    let others = std::iter::once(&args.operator_namespace).chain(&args.allow_from);
    from.extend(others.map(|other| {
        let labels = json!({ "kubernetes.io/metadata.name": other.as_str() });
        json!({ "namespaceSelector": { "matchLabels": labels } })
    }));
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": { "name": TENANT, "namespace": args.name.as_str() },
        "spec": { "podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{ "from": from }] },
    })
}

fn amounts<'a>(option: &str, amounts: &'a [Amount]) -> Result<BTreeMap<&'a str, &'a str>, Failure> {
    let mut by_name = BTreeMap::new();
    for amount in amounts {
        let resource = amount.resource.as_str();
        if by_name.insert(resource, amount.quantity.as_str()).is_some() {
            return Err(Failure::bad_input(format!(
                "{option}: {resource} is given twice: give it once"
            )));
        }
    }
    Ok(by_name)
}

fn object(typed: &impl Serialize) -> Result<Value, Failure> {
    serde_json::to_value(typed).map_err(Failure::internal)
}
