//! What Hadoop's file systems need to know of an ObjectStore. Pure.
//!
//! Laws:
//! - a key is never a text here: it is a reference to the Secret, or a file of it;
//! - settings name the bucket or the account where the file system allows it, so that an application may use
//!   several stores beside each other.

use std::collections::BTreeMap;

use super::object_store::{ObjectStore, ObjectStoreStatus, Provider};
use crate::spark::application::{ConfSource, ConfValue, SecretInfo, SecretKeyRef, SecretType};

/// Where the Secret of an ObjectStore is mounted, if it has to be a file.
const MOUNTED_AT: &str = "/etc/windlass/object-stores";

/// What an application is given to reach a bucket.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Access {
    /// What Hadoop calls the bucket, without a slash at its end.
    pub url: String,
    /// Settings of Hadoop, without the prefix of Spark.
    pub hadoop_conf: BTreeMap<String, ConfValue>,
    /// A Secret that driver and executors need as files.
    pub secret: Option<SecretInfo>,
}

/// What an application is given to reach the bucket of an ObjectStore.
///
/// # Errors
/// Why it cannot be reached yet, in words.
pub fn access(store: &ObjectStore) -> Result<Access, String> {
    let status = store.status.as_ref();
    // A bucket that was there once has an address, also while its store does not answer.
    let Some((status, url)) = status.and_then(|it| Some((it, it.url.clone()?))) else {
        let told = status.and_then(|it| it.conditions.first());
        return Err(told.map_or_else(
            || "it has not been looked at yet".to_owned(),
            |it| format!("{}: {}", it.reason, it.message),
        ));
    };
    let mut access = Access {
        url,
        ..Access::default()
    };
    match status.provider {
        Some(Provider::S3) => s3(store, status, &mut access),
        Some(Provider::Gcs) => gcs(store, status, &mut access),
        Some(Provider::Azure) => azure(store, status, &mut access),
        None => return Err("its status does not say which language the store speaks".to_owned()),
    }
    Ok(access)
}

impl Access {
    fn say(&mut self, key: impl Into<String>, value: impl AsRef<str>) {
        let value = ConfValue::from(value.as_ref());
        self.hadoop_conf.insert(key.into(), value);
    }

    /// A setting whose value is an entry of the Secret, if that has one of these.
    fn refer(&mut self, key: impl Into<String>, store: &ObjectStore, entries: &[&str]) -> bool {
        let (Some(secret), Some(entry)) = (secret(store), entry(store, entries)) else {
            return false;
        };
        let source = ConfSource {
            secret_key_ref: SecretKeyRef {
                name: secret.to_owned(),
                key: entry.to_owned(),
            },
        };
        self.hadoop_conf.insert(key.into(), ConfValue::From(source));
        true
    }
}

/// The Secret that the bucket was reached with; a status of an earlier version does not tell it.
fn secret(store: &ObjectStore) -> Option<&str> {
    let used = store.status.as_ref().and_then(|it| it.secret.as_deref());
    let named = store.spec.credentials.as_ref();
    used.or(named.map(|it| it.secret_ref.name.as_str()))
}

/// The server, where it is not the provider's own.
fn endpoint<'a>(store: &'a ObjectStore, status: &'a ObjectStoreStatus) -> Option<&'a str> {
    let chosen = status.endpoint.as_deref();
    let chosen = chosen.filter(|_| status.endpoint_by.is_some());
    store.spec.endpoint.as_deref().or(chosen)
}

fn entry<'a>(store: &ObjectStore, entries: &[&'a str]) -> Option<&'a str> {
    let known = &store.status.as_ref()?.credential_keys;
    let mut entries = entries.iter();
    entries
        .find(|it| known.iter().any(|known| known == *it))
        .copied()
}

/// "Configuring different S3 buckets with Per-Bucket Configuration" of Hadoop's S3A.
fn s3(store: &ObjectStore, status: &ObjectStoreStatus, access: &mut Access) {
    let of_bucket = |key: &str| format!("fs.s3a.bucket.{}.{key}", store.spec.name);
    access.say("fs.s3a.impl", "org.apache.hadoop.fs.s3a.S3AFileSystem");
    if let Some(region) = &status.location {
        access.say(of_bucket("endpoint.region"), region);
    }
    if let Some(endpoint) = endpoint(store, status) {
        access.say(of_bucket("endpoint"), endpoint);
        access.say(of_bucket("path.style.access"), "true");
        let is_safe = endpoint.starts_with("https:");
        access.say(of_bucket("connection.ssl.enabled"), is_safe.to_string());
    }
    access.refer(of_bucket("access.key"), store, &["AWS_ACCESS_KEY_ID"]);
    access.refer(of_bucket("secret.key"), store, &["AWS_SECRET_ACCESS_KEY"]);
    if access.refer(of_bucket("session.token"), store, &["AWS_SESSION_TOKEN"]) {
        access.say(
            of_bucket("aws.credentials.provider"),
            "org.apache.hadoop.fs.s3a.TemporaryAWSCredentialsProvider",
        );
    } else if secret(store).is_some() {
        access.say(
            of_bucket("aws.credentials.provider"),
            "org.apache.hadoop.fs.s3a.SimpleAWSCredentialsProvider",
        );
    }
}

/// The Cloud Storage connector has one identity for all buckets, and reads it from a file.
fn gcs(store: &ObjectStore, _: &ObjectStoreStatus, access: &mut Access) {
    access.say(
        "fs.gs.impl",
        "com.google.cloud.hadoop.fs.gcs.GoogleHadoopFileSystem",
    );
    access.say(
        "fs.AbstractFileSystem.gs.impl",
        "com.google.cloud.hadoop.fs.gcs.GoogleHadoopFS",
    );
    if let Some(project) = &store.spec.project {
        access.say("fs.gs.project.id", project);
    }
    if let Some(endpoint) = &store.spec.endpoint {
        access.say(
            "fs.gs.storage.root.url",
            format!("{}/", endpoint.trim_end_matches('/')),
        );
    }
    let entries = [
        "GOOGLE_SERVICE_ACCOUNT_KEY",
        "GOOGLE_APPLICATION_CREDENTIALS_JSON",
        "key.json",
    ];
    if let (Some(secret), Some(entry)) = (secret(store), entry(store, &entries)) {
        let name = store.metadata.name.as_deref().unwrap_or_default();
        let path = format!("{MOUNTED_AT}/{name}");
        access.say("fs.gs.auth.type", "SERVICE_ACCOUNT_JSON_KEYFILE");
        access.say(
            "fs.gs.auth.service.account.json.keyfile",
            format!("{path}/{entry}"),
        );
        access.secret = Some(SecretInfo {
            name: secret.to_owned(),
            path,
            kind: SecretType::Generic,
        });
    }
}

/// "Hadoop Azure Support: ABFS": settings of an account carry the name of its host.
fn azure(store: &ObjectStore, status: &ObjectStoreStatus, access: &mut Access) {
    let url = status.url.as_deref().unwrap_or_default();
    let host = url.split_once('@').map_or("", |(_, host)| host);
    let of_account = |key: &str| format!("{key}.{host}");
    let keys = [
        "AZURE_STORAGE_ACCOUNT_KEY",
        "AZURE_STORAGE_ACCESS_KEY",
        "AZURE_STORAGE_KEY",
    ];
    let signatures = ["AZURE_STORAGE_SAS_TOKEN", "AZURE_STORAGE_SAS_KEY"];
    if access.refer(of_account("fs.azure.account.key"), store, &keys) {
        access.say(of_account("fs.azure.account.auth.type"), "SharedKey");
    } else if access.refer(of_account("fs.azure.sas.fixed.token"), store, &signatures) {
        access.say(of_account("fs.azure.account.auth.type"), "SAS");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn told(spec: Value, status: Value) -> Result<Value, String> {
        let store: ObjectStore = serde_json::from_value(json!({
            "apiVersion": "banzaicloud.com/v1alpha1",
            "kind": "ObjectStore",
            "metadata": {"name": "history", "namespace": "jobs"},
            "spec": spec,
            "status": status,
        }))
        .unwrap();
        let access = access(&store)?;
        let secret = access
            .secret
            .map(|it| format!("{} at {}", it.name, it.path));
        Ok(json!({"conf": access.hadoop_conf, "secret": secret}))
    }

    #[test]
    fn keys_are_references_and_never_texts() {
        let keys = json!({"secretRef": {"name": "keys"}});
        let lines = [
            (
                json!({"name": "logs", "provider": "S3", "endpoint": "http://minio:9000", "credentials": keys}),
                json!({
                    "phase": "Ready", "provider": "S3", "location": "us-east-1", "url": "s3a://logs",
                    "credentialKeys": ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"],
                }),
            ),
            (
                json!({"name": "logs", "provider": "S3"}),
                json!({"phase": "Failed", "provider": "S3", "location": "eu-central-1", "url": "s3a://logs"}),
            ),
            (
                json!({"name": "logs"}),
                json!({
                    "phase": "Ready", "provider": "S3", "location": "us-east-1", "url": "s3a://logs",
                    "endpoint": "http://127.20.0.1:9000", "endpointBy": "Operator", "secret": "windlass-s3",
                    "credentialKeys": ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"],
                }),
            ),
            (
                json!({"name": "logs", "provider": "GCS", "project": "team", "credentials": keys}),
                json!({"phase": "Ready", "provider": "GCS", "url": "gs://logs", "credentialKeys": ["key.json"]}),
            ),
            (
                json!({"name": "logs", "provider": "Azure", "storageAccount": "team", "credentials": keys}),
                json!({
                    "phase": "Ready", "provider": "Azure",
                    "url": "abfss://logs@team.dfs.core.windows.net",
                    "credentialKeys": ["AZURE_STORAGE_SAS_TOKEN"],
                }),
            ),
        ]
        .map(|(spec, status)| told(spec, status).unwrap());
        insta::assert_yaml_snapshot!(lines);
    }

    #[test]
    fn a_bucket_that_is_not_there_yet_is_waited_for_in_its_own_words() {
        let spec = json!({"name": "logs", "provider": "S3"});
        let why = told(spec.clone(), Value::Null).unwrap_err();
        assert_eq!(why, "it has not been looked at yet");
        let status = json!({"phase": "Failed", "conditions": [{
            "type": "Ready", "status": "False", "reason": "BucketNotOurs", "message": "it is theirs",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }]});
        let why = told(spec, status).unwrap_err();
        assert_eq!(why, "BucketNotOurs: it is theirs");
    }
}
