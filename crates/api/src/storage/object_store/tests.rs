use serde_json::{Value, json};

use super::*;
use crate::decode::decode;

fn store(spec: Value) -> ObjectStore {
    decode(&json!({
        "apiVersion": "banzaicloud.com/v1alpha1",
        "kind": "ObjectStore",
        "metadata": {"name": "history", "namespace": "jobs"},
        "spec": spec,
    }))
    .unwrap()
}

#[test]
fn a_name_alone_is_a_specification_as_it_was_originally() {
    let store = store(json!({"name": "googlebucket"}));
    assert_eq!(validate(&store, Provider::Gcs), []);
    assert_eq!(validate(&store, Provider::S3), []);
    assert_eq!(store.spec.deletion_policy, DeletionPolicy::Retain);
    assert!(!store.spec.existing);
    assert_eq!(store.spec.provider, None);
}

#[test]
fn every_mistake_names_its_field_and_says_what_to_do() {
    for (provider, spec, expected) in [
        (
            Provider::S3,
            json!({"name": "my_bucket"}),
            "spec.name: \"my_bucket\": must be 3 to 63",
        ),
        (
            Provider::S3,
            json!({"name": "a..b"}),
            "spec.name: \"a..b\": must be",
        ),
        (
            Provider::Gcs,
            json!({"name": "a..b"}),
            "spec.name: \"a..b\": must be",
        ),
        (
            Provider::Azure,
            json!({"name": "a--b", "storageAccount": "team"}),
            "spec.name: \"a--b\": must be",
        ),
        (
            Provider::Azure,
            json!({"name": "logs"}),
            "spec.storageAccount: must be given",
        ),
        (
            Provider::Azure,
            json!({"name": "logs", "storageAccount": "team", "location": "westeurope"}),
            "spec.location: is that of the storage account",
        ),
        (
            Provider::S3,
            json!({"name": "logs", "storageAccount": "team"}),
            "spec.storageAccount: is for Azure alone",
        ),
        (
            Provider::S3,
            json!({"name": "logs", "project": "team"}),
            "spec.project: is for GCS",
        ),
        (
            Provider::S3,
            json!({"name": "logs", "endpoint": "http://minio:9000"}),
            "spec.credentials: must be given where an endpoint is",
        ),
        (
            Provider::S3,
            json!({
                "name": "logs", "endpoint": "https://me:secret@minio",
                "credentials": {"secretRef": {"name": "keys"}},
            }),
            "spec.endpoint: ",
        ),
        (
            Provider::S3,
            json!({"name": "logs", "existing": true, "deletionPolicy": "Delete"}),
            "spec.deletionPolicy: must be Retain",
        ),
        (
            Provider::S3,
            json!({"name": "logs", "location": "eu/../x"}),
            "spec.location: \"eu/../x\": must be",
        ),
    ] {
        let found: Vec<String> = validate(&store(spec.clone()), provider)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert!(
            found.iter().any(|it| it.starts_with(expected)),
            "{spec}: {found:?}"
        );
    }
}

#[test]
fn what_a_pattern_refuses_is_told_in_words() {
    for (text, expected) in [
        ("https://minio.storage:9000", true),
        ("http://[::1]:9000/", true),
        ("http://127.0.0.1:10000/devstoreaccount1", true),
        ("ftp://minio", false),
        ("https://", false),
        ("https://minio//x", false),
        ("https://minio/?a=b", false),
        ("https://minio/#a", false),
        ("https://a b", false),
    ] {
        assert_eq!(is_endpoint(text), expected, "{text}");
    }
}
