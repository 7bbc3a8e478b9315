mod objects;
mod stories;
mod world;

use serde_json::{Value, json};
use windlass_api::decode::decode;
use windlass_api::spark::SparkConnect;

use crate::lower::tests::merge;

/// A server of a few lines, with more of a specification.
fn connect(more: Value) -> SparkConnect {
    let mut object = json!({
        "apiVersion": "sparkoperator.k8s.io/v1alpha1",
        "kind": "SparkConnect",
        "metadata": {
            "name": "sql",
            "namespace": "jobs",
            "uid": "5f0c1f0e-3c1b-4a53-9d2c-2f6a55a8a001",
            "generation": 1,
            "labels": {"team": "analytics"},
        },
        "spec": {"sparkVersion": "4.3.0", "image": "apache/spark:4.3.0"},
    });
    merge(&mut object["spec"], more);
    decode(&object).unwrap_or_else(|error| panic!("{error}"))
}
