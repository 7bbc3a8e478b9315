//! What an ObjectStore asks for, with everything that follows from it: whose the bucket is to be, where it
//! is reached, and what Spark calls it.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};
use windlass_api::decode::decode;
use windlass_api::storage::ObjectStore;
use windlass_api::storage::object_store::{DeletionPolicy, Provider, validate};
use windlass_engine::Object;

/// The annotation with the uid that an object had first: a backup brings it back under another uid, and
/// its bucket is still its own. Virtual clusters have the same one.
pub const IDENTITY: &str = "windlass.dev/identity";

/// Where buckets of S3 are made whose ObjectStore does not say so.
const DEFAULT_REGION: &str = "us-east-1";

/// A bucket as it is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Its name.
    pub bucket: String,
    /// The language of the store.
    pub provider: Provider,
    /// The region of S3; for Google, where a new bucket is made, if that was said.
    pub location: Option<String>,
    /// The server, without a slash at its end.
    pub endpoint: String,
    /// Whether the server is not the provider's own.
    pub server: Server,
    /// The project of Google, if it was said.
    pub project: Option<String>,
    /// The storage account of Azure.
    pub account: Option<String>,
    /// The Secret with the credentials; the operator's own identity without.
    pub secret: Option<String>,
    /// What becomes of it in the end.
    pub policy: DeletionPolicy,
    /// Whether it is made, or somebody else's.
    pub origin: Origin,
    /// Who wants it.
    pub owner: Owner,
}

/// Whose server it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Server {
    /// The provider's.
    Vendor,
    /// One that somebody named.
    Named,
}

/// Where a bucket comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// It is made.
    Made,
    /// It is somebody else's, and is there already.
    Existing,
}

/// The ObjectStore that a bucket is marked with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its first uid.
    pub identity: String,
}

/// Why it is not known what is wanted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unwanted {
    /// Nobody has said which language the store speaks, and nothing tells it.
    #[error(
        "spec.provider: must be given, since it is not known which cloud this is: S3, GCS or Azure"
    )]
    NoProvider,
    /// The specification cannot be meant.
    #[error("{}", .0.join("; "))]
    Invalid(Vec<String>),
}

impl Wanted {
    /// Reads an ObjectStore. `default` is the language of the store of the cloud that this is, if that is
    /// known; what the status says of an earlier look goes before it, so that a bucket does not move.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn of(object: &Object, default: Option<Provider>) -> Result<Self, Unwanted> {
        let store: ObjectStore = decode(&bare(object)).map_err(|error| {
            Unwanted::Invalid(error.to_string().lines().map(str::to_owned).collect())
        })?;
        let status = object.status();
        let chosen = status["provider"].as_str();
        let chosen = Provider::ALL
            .into_iter()
            .find(|it| chosen == Some(it.as_str()) && status["bucket"].is_string());
        let provider = match (store.spec.provider, chosen) {
            (Some(said), Some(chosen)) if said != chosen => {
                return Err(Unwanted::Invalid(vec![format!(
                    "spec.provider: was {} when nobody had said it, and cannot change; make another \
                     ObjectStore",
                    chosen.as_str()
                )]));
            }
            (said, chosen) => said.or(chosen).or(default).ok_or(Unwanted::NoProvider)?,
        };
        let findings = validate(&store, provider);
        if !findings.is_empty() {
            let lines = findings.iter().map(ToString::to_string);
            return Err(Unwanted::Invalid(lines.collect()));
        }
        let spec = store.spec;
        let location = match provider {
            Provider::S3 => Some(spec.location.unwrap_or_else(|| DEFAULT_REGION.to_owned())),
            Provider::Gcs | Provider::Azure => spec.location,
        };
        let account = spec.storage_account;
        let server = if spec.endpoint.is_some() {
            Server::Named
        } else {
            Server::Vendor
        };
        let endpoint = spec
            .endpoint
            .map(|it| it.trim_end_matches('/').to_owned())
            .unwrap_or_else(|| vendor(provider, location.as_deref(), account.as_deref()));
        Ok(Self {
            bucket: spec.name,
            provider,
            location,
            endpoint,
            server,
            project: spec.project,
            account,
            secret: spec.credentials.map(|it| it.secret_ref.name),
            policy: spec.deletion_policy,
            origin: if spec.existing {
                Origin::Existing
            } else {
                Origin::Made
            },
            owner: Owner::of(object),
        })
    }

    /// What Spark and Hadoop call the bucket.
    pub fn url(&self) -> String {
        let bucket = &self.bucket;
        match self.provider {
            Provider::S3 => format!("s3a://{bucket}"),
            Provider::Gcs => format!("gs://{bucket}"),
            Provider::Azure => {
                let host = host(&self.endpoint);
                // Hadoop speaks with the other face of the account.
                let host = host.replacen(".blob.", ".dfs.", 1);
                let scheme = if self.endpoint.starts_with("https:") {
                    "abfss"
                } else {
                    "abfs"
                };
                format!("{scheme}://{bucket}@{host}")
            }
        }
    }

    /// What an answer of the store rests on, as a word: an answer to another question is none. `secret` is
    /// the version of the Secret with the credentials.
    pub fn question(&self, secret: Option<&str>, life: &str) -> String {
        let parts = [
            Some(self.bucket.as_str()),
            Some(self.provider.as_str()),
            self.location.as_deref(),
            Some(&self.endpoint),
            self.project.as_deref(),
            self.account.as_deref(),
            self.secret.as_deref(),
            secret,
            Some(life),
        ];
        let mut hasher = Sha256::new();
        for part in parts {
            hasher.update(part.unwrap_or("\u{1}"));
            hasher.update([0]);
        }
        let mut text = String::new();
        for byte in &hasher.finalize()[..8] {
            // Writing to a text does not fail.
            let _ = write!(text, "{byte:02x}");
        }
        text
    }
}

impl Owner {
    /// The owner that an object is.
    pub fn of(object: &Object) -> Self {
        Self {
            namespace: object.namespace().unwrap_or_default().to_owned(),
            name: object.name().to_owned(),
            identity: object
                .annotation(IDENTITY)
                .unwrap_or(object.uid())
                .to_owned(),
        }
    }
}

/// The object as its author wrote it.
fn bare(object: &Object) -> serde_json::Value {
    let mut bare = object.as_value().clone();
    if let Some(metadata) = bare["metadata"].as_object_mut() {
        metadata.retain(|field, _| ["name", "namespace"].contains(&field.as_str()));
    }
    if let Some(fields) = bare.as_object_mut() {
        fields.remove("status");
    }
    bare
}

/// The provider's own server.
fn vendor(provider: Provider, location: Option<&str>, account: Option<&str>) -> String {
    match provider {
        Provider::S3 => {
            let region = location.unwrap_or(DEFAULT_REGION);
            let domain = if region.starts_with("cn-") {
                "amazonaws.com.cn"
            } else {
                "amazonaws.com"
            };
            format!("https://s3.{region}.{domain}")
        }
        Provider::Gcs => "https://storage.googleapis.com".to_owned(),
        Provider::Azure => {
            let account = account.unwrap_or_default();
            format!("https://{account}.blob.core.windows.net")
        }
    }
}

/// The host of an endpoint, with its port.
fn host(endpoint: &str) -> &str {
    let rest = endpoint
        .split_once("://")
        .map_or(endpoint, |(_, rest)| rest);
    rest.split('/').next().unwrap_or(rest)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(spec: serde_json::Value) -> Object {
        Object::new(json!({
            "apiVersion": "banzaicloud.com/v1alpha1",
            "kind": "ObjectStore",
            "metadata": {"name": "history", "namespace": "jobs", "uid": "1", "generation": 1},
            "spec": spec,
        }))
    }

    #[test]
    fn a_bucket_is_reached_where_its_provider_says() {
        let keys = json!({"secretRef": {"name": "keys"}});
        for (spec, endpoint, url) in [
            (
                json!({"name": "logs", "provider": "S3"}),
                "https://s3.us-east-1.amazonaws.com",
                "s3a://logs",
            ),
            (
                json!({"name": "logs", "provider": "S3", "location": "cn-north-1"}),
                "https://s3.cn-north-1.amazonaws.com.cn",
                "s3a://logs",
            ),
            (
                json!({"name": "logs", "provider": "S3", "endpoint": "http://minio:9000/", "credentials": keys}),
                "http://minio:9000",
                "s3a://logs",
            ),
            (
                json!({"name": "logs", "provider": "GCS"}),
                "https://storage.googleapis.com",
                "gs://logs",
            ),
            (
                json!({"name": "logs", "provider": "Azure", "storageAccount": "team"}),
                "https://team.blob.core.windows.net",
                "abfss://logs@team.dfs.core.windows.net",
            ),
            (
                json!({
                    "name": "logs", "provider": "Azure", "storageAccount": "team",
                    "endpoint": "http://127.0.0.1:10000/team", "credentials": keys,
                }),
                "http://127.0.0.1:10000/team",
                "abfs://logs@127.0.0.1:10000",
            ),
        ] {
            let wanted = Wanted::of(&object(spec.clone()), None).unwrap();
            assert_eq!(
                (wanted.endpoint.as_str(), wanted.url().as_str()),
                (endpoint, url),
                "{spec}"
            );
        }
    }

    #[test]
    fn a_provider_that_nobody_knows_has_to_be_named_and_one_that_was_chosen_stays() {
        let mut store = object(json!({"name": "logs"}));
        assert_eq!(Wanted::of(&store, None), Err(Unwanted::NoProvider));
        let wanted = Wanted::of(&store, Some(Provider::Gcs)).unwrap();
        assert_eq!(wanted.provider, Provider::Gcs);
        let mut value = store.clone().into_value();
        value["status"] = json!({"provider": "GCS", "bucket": "logs"});
        store = Object::new(value.clone());
        let wanted = Wanted::of(&store, Some(Provider::S3)).unwrap();
        assert_eq!(wanted.provider, Provider::Gcs);
        value["spec"]["provider"] = json!("S3");
        let told = Wanted::of(&Object::new(value), None).unwrap_err();
        assert!(told.to_string().contains("was GCS"), "{told}");
    }

    #[test]
    fn an_answer_belongs_to_its_question() {
        let spec = json!({"name": "logs", "provider": "S3"});
        let wanted = Wanted::of(&object(spec), None).unwrap();
        let asked = wanted.question(Some("7"), "kept");
        assert_eq!(asked, wanted.question(Some("7"), "kept"));
        assert_ne!(asked, wanted.question(Some("8"), "kept"));
        assert_ne!(asked, wanted.question(None, "kept"));
        assert_ne!(asked, wanted.question(Some("7"), "deleting"));
    }

    #[test]
    fn an_object_that_a_backup_has_brought_back_is_who_it_was() {
        let mut value = object(json!({"name": "logs"})).into_value();
        assert_eq!(Owner::of(&Object::new(value.clone())).identity, "1");
        value["metadata"]["annotations"] = json!({IDENTITY: "first"});
        assert_eq!(Owner::of(&Object::new(value)).identity, "first");
    }
}
