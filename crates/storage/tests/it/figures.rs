//! A node that tells how full volumes are, and does nothing else.

use futures::FutureExt as _;
use futures::future::{BoxFuture, ready};
use serde_json::{Value, json};
use windlass_streaming::backend::{BackendError, NodeBackend};

/// Of each of these namespaces there is a claim `data` that is nearly full, and `half` that is not. It knows the
/// namespaces of all lives that there may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NearlyFull;

/// The namespace of a life.
pub(crate) fn namespace(number: usize) -> String {
    format!("growing-{number}")
}

impl NodeBackend for NearlyFull {
    fn stats(&self, node: String) -> BoxFuture<'static, Result<Value, BackendError>> {
        let volume = |namespace: &str, claim: &str, available: u64| {
            json!({
                "name": claim, "pvcRef": {"namespace": namespace, "name": claim},
                "capacityBytes": 1000, "availableBytes": available, "usedBytes": 1000 - available,
            })
        };
        let pods = (0..500).map(|number| {
            let namespace = namespace(number);
            json!({"volume": [volume(&namespace, "data", 50), volume(&namespace, "half", 500)]})
        });
        let pods: Vec<Value> = pods.collect();
        ready(Ok(json!({"node": {"nodeName": node}, "pods": pods}))).boxed()
    }
}
