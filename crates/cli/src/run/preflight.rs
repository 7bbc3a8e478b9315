//! Is the cluster that was named one that can run the application at all?
//!
//! Checked before anything is created, so that nobody waits for an operator that is not there.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::api::{ListParams, PostParams};
use kube::runtime::wait::await_condition;
use kube::{Api, Client};
use windlass_spark::survey;

use crate::exit::Failure;

/// Names of the Leases of operators that serve SparkApplications: ours, then the Kubeflow one's.
const OPERATOR_LEASES: [&str; 3] = [
    "windlass-operator",
    "spark-operator-controller-lock",
    "spark-operator-lock",
];

/// How long a new namespace may take until it is furnished.
const ACCOUNT_PATIENCE: Duration = Duration::from_secs(10);

/// Checks that the CRD is served and that an operator is live.
pub async fn check(client: &Client, namespace: &str) -> Result<(), Failure> {
    let groups = client
        .list_api_groups()
        .await
        .map_err(Failure::unreachable)?;
    let served = groups.groups.iter().any(|group| {
        group.name == "sparkoperator.k8s.io"
            && group
                .versions
                .iter()
                .any(|version| version.version == "v1beta2")
    });
    if !served {
        return Err(Failure::cluster(
            "this cluster does not know SparkApplication (sparkoperator.k8s.io/v1beta2): \
             install the CRDs with: windlass crd | kubectl apply -f -",
        ));
    }
    let leases: Api<Lease> = Api::all(client.clone());
    match leases.list(&ListParams::default()).await {
        Ok(list) => {
            let now = Timestamp::now();
            if list.items.iter().any(|lease| is_live_operator(lease, now)) {
                return Ok(());
            }
            Err(Failure::cluster(format!(
                "no live operator serves SparkApplications in this cluster, so nothing would happen to yours in \
                 namespace {namespace}: start one with windlass operator, and see that it is Running"
            )))
        }
        // Ordinary users may not read Leases everywhere; then the run itself will tell.
        Err(kube::Error::Api(status)) if status.code == 403 => Ok(()),
        Err(error) => Err(api_failure(error)),
    }
}

fn is_live_operator(lease: &Lease, now: Timestamp) -> bool {
    let name = lease.metadata.name.as_deref().unwrap_or_default();
    // A Lease is plain data, whose serialization cannot fail.
    let lease = serde_json::to_value(lease).unwrap_or_default();
    OPERATOR_LEASES.contains(&name) && survey::is_live(&lease, now)
}

/// Makes the namespace of an application in a cluster that nobody else could have prepared, and
/// waits until the accounts of drivers are there.
pub async fn make_namespace(client: &Client, name: &str) -> Result<(), Failure> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    if namespaces
        .get_opt(name)
        .await
        .map_err(api_failure)?
        .is_some()
    {
        return Ok(());
    }
    let mut namespace = Namespace::default();
    namespace.metadata.name = Some(name.to_owned());
    namespaces
        .create(&PostParams::default(), &namespace)
        .await
        .map_err(api_failure)?;
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), name);
    let account = crate::embedded::DRIVER_ACCOUNT;
    let exists = await_condition(accounts, account, |found: Option<&ServiceAccount>| {
        found.is_some()
    });
    match tokio::time::timeout(ACCOUNT_PATIENCE, exists).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(Failure::internal(error)),
        Err(_) => Err(Failure::cluster(format!(
            "namespace {name} has no ServiceAccount {account} after {} s",
            ACCOUNT_PATIENCE.as_secs()
        ))),
    }
}

/// An answer of the API server as a failure of the command.
pub fn api_failure(error: kube::Error) -> Failure {
    match error {
        kube::Error::Api(status)
            if status.code == 404 && status.message.starts_with("namespaces \"") =>
        {
            let name = status.message.split('"').nth(1).unwrap_or_default();
            Failure::bad_input(format!(
                "namespace {name:?} does not exist: run kubectl create namespace {name}, or choose \
                 another one with -n"
            ))
        }
        kube::Error::Api(status) if matches!(status.code, 400 | 403 | 404 | 409 | 422) => {
            Failure::bad_input(format!(
                "the cluster refused the application: {}",
                status.message
            ))
        }
        error => Failure::cluster(format!("the cluster did not answer as it should: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_a_held_and_fresh_lease_of_an_operator_is_a_live_operator() {
        let now: Timestamp = "2026-01-01T00:01:00Z".parse().unwrap();
        let lease = |name: &str, holder: &str, renewed: &str| -> Lease {
            serde_json::from_value(json!({
                "metadata": { "name": name },
                "spec": { "holderIdentity": holder, "leaseDurationSeconds": 15, "renewTime": renewed },
            }))
            .unwrap()
        };
        let fresh = "2026-01-01T00:00:50.000000Z";
        assert!(is_live_operator(
            &lease("windlass-operator", "a", fresh),
            now
        ));
        assert!(!is_live_operator(
            &lease("windlass-operator", "", fresh),
            now
        ));
        assert!(!is_live_operator(&lease("another", "a", fresh), now));
        assert!(!is_live_operator(
            &lease("windlass-operator", "a", "2026-01-01T00:00:00.000000Z"),
            now
        ));
    }
}
