//! `windlass install`: what a cluster needs for the operator, as manifests.
//!
//! Laws: every rule is one of [`windlass_spark::rbac`], [`windlass_director::rbac`] or [`windlass_storage::rbac`], none has
//! a wildcard; the Deployment's pods pass the restricted profile of Kubernetes' pod security standards.

mod deployment;
mod webhook;

#[cfg(test)]
mod tests;

use serde::Serialize;
use serde_json::{Value, json};
use windlass_api::names::DnsLabel;
use windlass_director::rbac as director;
use windlass_engine::Selector;
use windlass_spark::rbac;
use windlass_storage::rbac as storage;

use self::deployment::{deployment, policy_object};
pub use self::webhook::webhook_configuration;
use self::webhook::webhook_objects;
use crate::args::InstallArgs;
use crate::exit::{Exit, Failure};
use crate::{manifest, output};

/// The operator's ServiceAccount, Deployment and container.
pub const OPERATOR: &str = "windlass-operator";
/// The ServiceAccount of drivers.
pub const DRIVER_ACCOUNT: &str = "spark";
/// The namespace that gets the drivers' account where none is named.
pub const DEFAULT_NAMESPACE: &str = "default";

/// Prints the manifests.
pub fn install(args: &InstallArgs) -> Result<Exit, Failure> {
    output::data(documents(args)?.trim_end())
}

/// The manifests as YAML documents.
fn documents(args: &InstallArgs) -> Result<String, Failure> {
    let crds = windlass_api::crds();
    let original = args.original_api.then(windlass_api::original_crd);
    let mut directors = Vec::new();
    if args.virtual_clusters {
        directors.extend(windlass_api::director::crds());
    }
    if args.original_kubedirector {
        directors.extend(windlass_api::director::original_crds());
    }
    let mut stores = Vec::new();
    if args.storage {
        stores.extend(windlass_api::storage::crds());
    }
    let mut all = crds
        .iter()
        .chain(&original)
        .chain(&directors)
        .chain(&stores)
        .map(object)
        .collect::<Result<Vec<_>, _>>()?;
    all.extend(objects(args)?);
    windlass_api::parse::to_yaml_documents(&all).map_err(Failure::internal)
}

/// Everything but the CustomResourceDefinitions, in an order in which it can be applied.
pub fn objects(args: &InstallArgs) -> Result<Vec<Value>, Failure> {
    let home = args.namespace.as_str();
    let extras = args.exposing.extras();
    let mut objects = vec![
        json!({
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {
                "name": home,
                "labels": { "pod-security.kubernetes.io/enforce": "restricted" },
            },
        }),
        object(&rbac::driver_service_account(home, OPERATOR))?,
        object(&rbac::leader_role(home))?,
        object(&rbac::leader_role_binding(home, OPERATOR))?,
    ];
    // Whoever serves a part of what has labels is not alone in the cluster, or in a namespace.
    let is_alone = selector(args).is_none() && label_selector(args).is_none();
    let named = |object: Value| {
        if is_alone {
            object
        } else {
            own(object, rbac::OPERATOR_ROLE, home)
        }
    };
    if selector(args).is_some() {
        let (role, binding) = rbac::selecting_cluster_role(home, OPERATOR, &extras);
        objects.push(object(&role)?);
        objects.push(object(&binding)?);
    } else if args.job_namespaces.is_empty() {
        let role = rbac::operator_cluster_role(&extras);
        let binding = rbac::operator_cluster_role_binding(home, OPERATOR);
        objects.push(named(object(&role)?));
        objects.push(named(object(&binding)?));
    }
    for namespace in args.job_namespaces.iter().map(DnsLabel::as_str) {
        let role = rbac::operator_role(namespace, &extras);
        let binding = rbac::operator_role_binding(namespace, home, OPERATOR);
        objects.push(named(object(&role)?));
        objects.push(named(object(&binding)?));
    }
    let named = args.job_namespaces.iter().map(DnsLabel::as_str);
    // Who has the labels is not known here, and changes.
    let has_all = args.job_namespaces.is_empty() && selector(args).is_none();
    let fallback = has_all.then_some(DEFAULT_NAMESPACE);
    for namespace in named.chain(fallback) {
        objects.push(object(&rbac::driver_service_account(
            namespace,
            DRIVER_ACCOUNT,
        ))?);
        objects.push(object(&rbac::driver_role(namespace))?);
        objects.push(object(&rbac::driver_role_binding(
            namespace,
            DRIVER_ACCOUNT,
        ))?);
    }
    let named_as = |object: Value, role: &str| {
        if is_alone {
            object
        } else {
            own(object, role, home)
        }
    };
    if args.virtual_clusters {
        let role = object(&director::director_cluster_role())?;
        let binding = object(&director::director_cluster_role_binding(home, OPERATOR))?;
        let roles = [role, binding].into_iter();
        objects.extend(roles.map(|it| named_as(it, director::DIRECTOR_ROLE)));
    }
    if args.storage {
        let role = object(&storage::storage_cluster_role())?;
        let binding = object(&storage::storage_cluster_role_binding(home, OPERATOR))?;
        let roles = [role, binding].into_iter();
        objects.extend(roles.map(|it| named_as(it, storage::STORAGE_ROLE)));
    }
    if args.storage_auto_grow {
        let role = object(&storage::growth_cluster_role())?;
        let binding = object(&storage::growth_cluster_role_binding(home, OPERATOR))?;
        let roles = [role, binding].into_iter();
        objects.extend(roles.map(|it| named_as(it, storage::GROWTH_ROLE)));
    }
    if args.storage_nfs {
        let namespace = args.storage_nfs_namespace.as_str();
        let role = object(&storage::nfs_role(namespace))?;
        let binding = object(&storage::nfs_role_binding(namespace, home, OPERATOR))?;
        let (account, cluster_role, cluster_binding, server_role, server_binding) =
            storage::nfs_servers(namespace);
        // The namespace is not ours to print: who removes what was printed would remove everybody's data.
        let roles = [role, binding].into_iter();
        objects.extend(roles.map(|it| named_as(it, storage::NFS_ROLE)));
        objects.push(object(&account)?);
        objects.push(object(&cluster_role)?);
        objects.push(object(&cluster_binding)?);
        objects.push(object(&server_role)?);
        objects.push(object(&server_binding)?);
    }
    if args.keep_logs_claim.is_some() {
        let mut roles = Vec::new();
        if args.job_namespaces.is_empty() {
            roles.push(object(&storage::kept_logs_cluster_role())?);
            let binding = storage::kept_logs_cluster_role_binding(home, OPERATOR);
            roles.push(object(&binding)?);
        }
        for namespace in args.job_namespaces.iter().map(DnsLabel::as_str) {
            roles.push(object(&storage::kept_logs_role(namespace))?);
            let binding = storage::kept_logs_role_binding(namespace, home, OPERATOR);
            roles.push(object(&binding)?);
        }
        let roles = roles.into_iter();
        objects.extend(roles.map(|it| named_as(it, storage::KEPT_LOGS_ROLE)));
    }
    let policy = policy(args)?;
    objects.extend(policy.as_deref().map(|text| policy_object(home, text)));
    objects.push(deployment(args, policy.as_deref())?);
    if args.webhook {
        objects.extend(webhook_objects(args)?);
    }
    Ok(objects)
}

/// The labels of the namespaces that are served, where labels decide.
fn selector(args: &InstallArgs) -> Option<&Selector> {
    let selector = args.namespace_selector.as_ref();
    selector.filter(|selector| !selector.is_everything())
}

/// The labels of what is served in them, where labels decide.
fn label_selector(args: &InstallArgs) -> Option<&Selector> {
    let selector = args.selector.as_ref();
    selector.filter(|selector| !selector.is_everything())
}

/// A role, or its binding, of this operator and not of the others of the cluster.
fn own(mut object: Value, role: &str, home: &str) -> Value {
    let name = json!(format!("{role}-{home}"));
    if object["roleRef"].is_object() {
        object["roleRef"]["name"] = name.clone();
    }
    object["metadata"]["name"] = name;
    object
}

/// The text of the operator's policies, if it has any and they can be meant.
fn policy(args: &InstallArgs) -> Result<Option<String>, Failure> {
    let Some(file) = &args.policy else {
        return Ok(None);
    };
    let (text, _) = manifest::policy_text(file)?;
    Ok(Some(text))
}

/// The operator's image in a registry.
pub fn image_of(registry: &str) -> String {
    format!("{registry}/windlass:{}", env!("CARGO_PKG_VERSION"))
}

fn object(typed: &impl Serialize) -> Result<Value, Failure> {
    serde_json::to_value(typed).map_err(Failure::internal)
}
