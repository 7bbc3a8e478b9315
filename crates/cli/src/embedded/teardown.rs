//! The end of a cluster that does not leave its pods behind.

use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ListParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client};
use windlass_node::Node;

use crate::exit::Failure;

/// How long a pod may take to end by itself: the user has asked for the end of everything.
const GRACE_SECONDS: u32 = 5;
/// How long the end of all pods is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// Deletes every pod and waits until the node has ended them all and removed what they left.
pub(super) async fn end_pods(client: &Client, node: &Node) -> Result<(), Failure> {
    let all: Api<Pod> = Api::all(client.clone());
    let mut changes = watcher(all.clone(), watcher::Config::default())
        .default_backoff()
        .boxed();
    let ended = async {
        loop {
            let pods = all.list(&ListParams::default()).await?;
            if pods.items.is_empty() {
                node.emptied().await;
                return Ok::<(), kube::Error>(());
            }
            for pod in pods.items {
                if pod.metadata.deletion_timestamp.is_some() {
                    continue;
                }
                let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
                let name = pod.metadata.name.as_deref().unwrap_or_default();
                // A shorter grace that the pod asked for is kept.
                let own = pod.spec.as_ref();
                let own = own.and_then(|spec| spec.termination_grace_period_seconds);
                let own = own.map_or(GRACE_SECONDS, |own| u32::try_from(own).unwrap_or(0));
                let grace = own.min(GRACE_SECONDS);
                let params = DeleteParams::background().grace_period(grace);
                match Api::<Pod>::namespaced(client.clone(), namespace)
                    .delete(name, &params)
                    .await
                {
                    Ok(_) => {}
                    Err(kube::Error::Api(status)) if status.code == 404 => {}
                    Err(error) => return Err(error),
                }
            }
            // The time limit only covers a watch that is silent although something changed.
            let _ = tokio::time::timeout(Duration::from_millis(500), changes.next()).await;
        }
    };
    match tokio::time::timeout(PATIENCE, ended).await {
        Ok(result) => result.map_err(Failure::internal),
        Err(_) => Err(Failure::cluster(format!(
            "pods are still running after {} s",
            PATIENCE.as_secs()
        ))),
    }
}
