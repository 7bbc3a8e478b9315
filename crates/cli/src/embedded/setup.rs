//! What a new cluster is furnished with: the CRDs, the operator's account and rights, and what
//! job namespaces need.

use futures::future::try_join_all;
use k8s_openapi::Resource;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams};
use kube::{Api, Client};
use serde::Serialize;
use serde_json::{Value, json};
use windlass_apiserver::User;
use windlass_director::rbac::{director_cluster_role, director_cluster_role_binding};
use windlass_spark::rbac;
use windlass_storage::rbac::{
    growth_cluster_role, growth_cluster_role_binding, kept_logs_cluster_role,
    kept_logs_cluster_role_binding, storage_cluster_role, storage_cluster_role_binding,
};

use super::Options;
use crate::exit::Failure;

/// Namespace of the operator's own account.
pub(super) const OPERATOR_NAMESPACE: &str = "windlass-system";
/// The operator's account.
pub(super) const OPERATOR_ACCOUNT: &str = "windlass-operator";
/// The account drivers get when their application names none.
pub const DRIVER_ACCOUNT: &str = "spark";
/// The accounts that exist in job namespaces: ours, and the one that charts of the Kubeflow
/// operator make.
const JOB_ACCOUNTS: [&str; 2] = [DRIVER_ACCOUNT, "spark-operator-spark"];

/// Whether a cluster serves kinds that not everybody wants.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Served {
    /// If an earlier start of it did.
    #[default]
    AsItIs,
    /// Yes.
    Yes,
}

impl Served {
    /// What a flag says; without it, the cluster stays as it is.
    pub fn by_flag(flag: bool) -> Self {
        if flag { Self::Yes } else { Self::AsItIs }
    }
}

/// Applies everything that is not bound to a job namespace.
pub(super) async fn apply(client: &Client, options: &Options) -> Result<(), Failure> {
    let virtual_clusters = options.virtual_clusters;
    let mut crds = windlass_api::crds();
    if options.original_api == Served::Yes {
        crds.push(windlass_api::original_crd());
    }
    if virtual_clusters == Served::Yes {
        crds.extend(windlass_api::director::crds());
    }
    if options.original_kubedirector == Served::Yes {
        crds.extend(windlass_api::director::original_crds());
    }
    if options.storage == Served::Yes {
        crds.extend(windlass_api::storage::crds());
    }
    try_join_all(crds.into_iter().map(|crd| apply_one(client, crd))).await?;
    apply_one(
        client,
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": OPERATOR_NAMESPACE } }),
    )
    .await?;
    let mut objects = vec![
        object(&rbac::driver_service_account(
            OPERATOR_NAMESPACE,
            OPERATOR_ACCOUNT,
        ))?,
        object(&rbac::operator_cluster_role(&[]))?,
        object(&rbac::operator_cluster_role_binding(
            OPERATOR_NAMESPACE,
            OPERATOR_ACCOUNT,
        ))?,
        object(&rbac::leader_role(OPERATOR_NAMESPACE))?,
        object(&rbac::leader_role_binding(
            OPERATOR_NAMESPACE,
            OPERATOR_ACCOUNT,
        ))?,
        object(&kept_logs_cluster_role())?,
        object(&kept_logs_cluster_role_binding(
            OPERATOR_NAMESPACE,
            OPERATOR_ACCOUNT,
        ))?,
    ];
    if virtual_clusters == Served::Yes {
        objects.push(object(&director_cluster_role())?);
        objects.push(object(&director_cluster_role_binding(
            OPERATOR_NAMESPACE,
            OPERATOR_ACCOUNT,
        ))?);
    }
    if options.storage == Served::Yes {
        objects.push(object(&storage_cluster_role())?);
        objects.push(object(&storage_cluster_role_binding(
            OPERATOR_NAMESPACE,
            OPERATOR_ACCOUNT,
        ))?);
        objects.push(object(&growth_cluster_role())?);
        objects.push(object(&growth_cluster_role_binding(
            OPERATOR_NAMESPACE,
            OPERATOR_ACCOUNT,
        ))?);
    }
    try_join_all(objects.into_iter().map(|object| apply_one(client, object))).await?;
    Ok(())
}

/// Who the operator is to the API.
pub(super) fn operator_user() -> User {
    User::service_account(OPERATOR_NAMESPACE, OPERATOR_ACCOUNT)
}

/// The accounts and rights of drivers, for every job namespace.
pub(super) fn job_manifests() -> Result<Vec<Value>, Failure> {
    let mut manifests = vec![object(&rbac::driver_role(""))?];
    for account in JOB_ACCOUNTS {
        manifests.push(object(&rbac::driver_service_account("", account))?);
        manifests.push(object(&rbac::driver_role_binding("", account))?);
    }
    Ok(manifests)
}

/// A typed object as JSON, with its kind; an empty namespace means "to be filled in".
fn object<K: Serialize + Resource>(typed: &K) -> Result<Value, Failure> {
    let mut object = serde_json::to_value(typed).map_err(Failure::internal)?;
    object["apiVersion"] = json!(K::API_VERSION);
    object["kind"] = json!(K::KIND);
    if object["metadata"]["namespace"] == ""
        && let Some(metadata) = object["metadata"].as_object_mut()
    {
        metadata.remove("namespace");
    }
    Ok(object)
}

async fn apply_one(client: &Client, object: Value) -> Result<(), Failure> {
    let object: DynamicObject = serde_json::from_value(object).map_err(Failure::internal)?;
    let types = object.types.clone().unwrap_or_default();
    let kind = GroupVersionKind::try_from(&types).map_err(Failure::internal)?;
    let resource = ApiResource::from_gvk(&kind);
    let api: Api<DynamicObject> = match &object.metadata.namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    let name = object.metadata.name.clone().unwrap_or_default();
    api.patch(
        &name,
        &PatchParams::apply("windlass-setup").force(),
        &Patch::Apply(&object),
    )
    .await
    .map_err(|error| {
        Failure::internal(anyhow::anyhow!(
            "{} {name} cannot be set up: {error}",
            kind.kind
        ))
    })?;
    Ok(())
}
