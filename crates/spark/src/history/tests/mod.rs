mod objects;
mod stories;
mod world;

use serde_json::{Value, json};
use windlass_api::decode::decode;
use windlass_api::spark::SparkHistoryServer;
use windlass_api::storage::ObjectStore;
use windlass_api::storage::hadoop::access;

use super::*;
use crate::lower::Settings;
use crate::lower::tests::merge;
use crate::policy::Policies;
use crate::stores::Stores;

/// A server of a few lines, with more of a specification; a null takes a field away.
fn server(more: Value) -> SparkHistoryServer {
    let mut object = json!({
        "apiVersion": "windlass.dev/v1alpha1",
        "kind": "SparkHistoryServer",
        "metadata": {
            "name": "jobs",
            "namespace": "team",
            "uid": "5f0c1f0e-3c1b-4a53-9d2c-2f6a55a8a001",
            "generation": 1,
        },
        "spec": {"sparkVersion": "4.3.0", "image": "apache/spark:4.3.0", "eventLog": "history"},
    });
    merge(&mut object["spec"], more);
    decode(&object).unwrap_or_else(|error| panic!("{error}"))
}

/// Buckets of a server of one's own, with keys.
fn stores(endpoint: &str) -> Stores {
    let store: ObjectStore = serde_json::from_value(json!({
        "apiVersion": "banzaicloud.com/v1alpha1",
        "kind": "ObjectStore",
        "metadata": {"name": "history", "namespace": "team"},
        "spec": {
            "name": "spark-history", "provider": "S3", "endpoint": endpoint,
            "credentials": {"secretRef": {"name": "history-keys"}},
        },
        "status": {
            "phase": "Ready", "provider": "S3", "location": "us-east-1", "url": "s3a://spark-history",
            "credentialKeys": ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"],
        },
    }))
    .unwrap();
    Stores::Known([("history".to_owned(), access(&store))].into())
}

fn ruled(server: &SparkHistoryServer) -> Ruled {
    Ruled::by(&Policies::default(), server).unwrap()
}

fn made(server: &SparkHistoryServer) -> Wanted {
    let stores = stores("http://minio:9000");
    wanted(&ruled(server), Some(&stores), &Settings::default())
        .unwrap_or_else(|obstacle| panic!("{obstacle:#?}"))
}
