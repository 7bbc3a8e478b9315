//! What an ObjectStore asks for, with everything that follows from it: whose the bucket is to be, where it
//! is reached, and what Spark calls it.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};
use windlass_api::decode::decode;
use windlass_api::storage::ObjectStore;
use windlass_api::storage::object_store::{ChosenBy, DeletionPolicy, Provider, validate};
use windlass_engine::Object;

use super::defaults::{self, Before, Defaults};

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
    /// What has decided that, where the specification does not say it.
    pub provider_by: Option<ChosenBy>,
    /// The region of S3; for Google, where a new bucket is made, if that was said.
    pub location: Option<String>,
    /// The server, without a slash at its end.
    pub endpoint: String,
    /// Whose server that is.
    pub server: Server,
    /// The project of Google, if it was said.
    pub project: Option<String>,
    /// The storage account of Azure.
    pub account: Option<String>,
    /// The Secret with the credentials; the operator's own identity without.
    pub secret: Option<String>,
    /// What has decided that, where the specification does not say it.
    pub secret_by: Option<ChosenBy>,
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
    /// One that the specification names.
    Named,
    /// The one that the operator has for those that name none.
    Operator,
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
    /// The bucket was made where the operator had an endpoint, and it has none any more.
    #[error(
        "spec.endpoint: must be given, with spec.credentials: the bucket is at the endpoint that this \
         operator had for such ObjectStores, and it has none any more"
    )]
    NoEndpoint,
    /// The operator has an endpoint, and no keys for it.
    #[error(
        "spec.credentials: must be given, since this operator has an endpoint for such ObjectStores, and \
         names no Secret for it"
    )]
    NoKeys,
    /// The specification cannot be meant.
    #[error("{}", .0.join("; "))]
    Invalid(Vec<String>),
}

impl Wanted {
    /// Reads an ObjectStore, with what it does not say as it was chosen before, or by `defaults`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn of(object: &Object, defaults: &Defaults) -> Result<Self, Unwanted> {
        let store: ObjectStore = decode(&bare(object)).map_err(|error| {
            Unwanted::Invalid(error.to_string().lines().map(str::to_owned).collect())
        })?;
        let before = before(object);
        let (provider, provider_by) = defaults::provider(store.spec.provider, &before, defaults)?;
        let findings = validate(&store, provider);
        if !findings.is_empty() {
            let lines = findings.iter().map(ToString::to_string);
            return Err(Unwanted::Invalid(lines.collect()));
        }
        let spec = store.spec;
        let account = spec.storage_account.as_deref();
        let region = spec.location.as_deref();
        let own = vendor(provider, region, account);
        let choice = defaults::choose(&spec, provider, own, &before, defaults)?;
        let location = match provider {
            Provider::S3 => Some(spec.location.unwrap_or_else(|| DEFAULT_REGION.to_owned())),
            Provider::Gcs | Provider::Azure => spec.location,
        };
        Ok(Self {
            bucket: spec.name,
            provider,
            provider_by,
            location,
            endpoint: choice.endpoint,
            server: choice.server,
            project: spec.project,
            account: spec.storage_account,
            secret: choice.secret,
            secret_by: choice.secret_by,
            policy: spec.deletion_policy,
            origin: if spec.existing {
                Origin::Existing
            } else {
                Origin::Made
            },
            owner: Owner::of(object),
        })
    }

    /// What has decided about the server, where neither the specification nor the provider does.
    pub fn endpoint_by(&self) -> Option<ChosenBy> {
        (self.server == Server::Operator).then_some(ChosenBy::Operator)
    }

    /// What was chosen because the specification does not say it, and by what, in words.
    pub fn choices(&self) -> Option<String> {
        let provider = self.provider.as_str().to_owned();
        let endpoint = self.endpoint_by().map(|it| (self.endpoint.clone(), it));
        let secret = self.secret_by.zip(self.secret.as_ref());
        let secret = secret.map(|(by, name)| (format!("the keys of the Secret {name}"), by));
        let chosen = self.provider_by.map(|it| (provider, it));
        let chosen = [chosen, endpoint, secret].into_iter().flatten();
        let words: Vec<String> = chosen
            .map(|(what, by)| format!("{what} by {}", by.in_words()))
            .collect();
        (!words.is_empty()).then(|| words.join(", "))
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

/// What was chosen for the bucket, if it was asked for already.
fn before(object: &Object) -> Before {
    let status = object.status();
    if !status["bucket"].is_string() {
        return Before::default();
    }
    // Each for itself: a status of another version may say one of them in words that are not known here.
    let word = |field: &str| status[field].clone();
    let provider = serde_json::from_value(word("provider")).ok();
    let by = |field| serde_json::from_value(word(field)).ok();
    Before {
        provider: provider.map(|it| (it, by("providerBy"))),
        endpoint: serde_json::from_value(word("endpoint")).ok(),
        endpoint_by: by("endpointBy"),
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
            let wanted = Wanted::of(&object(spec.clone()), &Defaults::default()).unwrap();
            assert_eq!(
                (wanted.endpoint.as_str(), wanted.url().as_str()),
                (endpoint, url),
                "{spec}"
            );
        }
    }

    #[test]
    fn what_was_chosen_for_a_bucket_stays_once_it_was_asked_for() {
        let by = |provider, by| Defaults {
            provider: Some((provider, by)),
            ..Defaults::default()
        };
        let google = by(Provider::Gcs, ChosenBy::Nodes);
        let mut value = object(json!({"name": "logs"})).into_value();
        value["status"] = json!({"provider": "S3", "providerBy": "Operator"});
        let wanted = Wanted::of(&Object::new(value.clone()), &google).unwrap();
        assert_eq!(wanted.provider, Provider::Gcs);
        let told = "GCS by the provider IDs of nodes";
        assert_eq!(wanted.choices().as_deref(), Some(told));
        value["status"] = json!({"provider": "GCS", "providerBy": "Nodes", "bucket": "logs"});
        let amazon = by(Provider::S3, ChosenBy::Operator);
        let wanted = Wanted::of(&Object::new(value.clone()), &amazon).unwrap();
        assert_eq!(wanted.provider, Provider::Gcs);
        assert_eq!(wanted.choices().as_deref(), Some(told));
        value["spec"]["provider"] = json!("S3");
        let told = Wanted::of(&Object::new(value), &google).unwrap_err();
        assert!(told.to_string().contains("was GCS"), "{told}");
    }

    #[test]
    fn a_name_alone_is_a_bucket_at_the_operators_endpoint() {
        let defaults = Defaults {
            provider: Some((Provider::S3, ChosenBy::Operator)),
            endpoint: Some("http://127.20.0.1:9000".to_owned()),
            secret: Some("windlass-s3".to_owned()),
        };
        let wanted = Wanted::of(&object(json!({"name": "logs"})), &defaults).unwrap();
        assert_eq!(wanted.endpoint, "http://127.20.0.1:9000");
        assert_eq!(wanted.secret.as_deref(), Some("windlass-s3"));
        assert_eq!(wanted.endpoint_by(), Some(ChosenBy::Operator));
        assert_eq!(
            wanted.choices().unwrap(),
            "S3 by the operator's settings, http://127.20.0.1:9000 by the operator's settings, the keys of \
             the Secret windlass-s3 by the operator's settings"
        );
        // Who reads the status alone gets to the same bucket.
        let mut read = object(json!({"name": "logs"})).into_value();
        read["status"] = json!({
            "bucket": "logs", "provider": "S3", "providerBy": "Operator", "endpointBy": "Operator",
            "endpoint": "http://127.20.0.1:9000", "secret": "windlass-s3",
        });
        let status = serde_json::from_value(read["status"].clone()).unwrap();
        assert_eq!(
            Wanted::of(&Object::new(read), &Defaults::given(&status)),
            Ok(wanted)
        );
        let named = json!({"name": "logs", "endpoint": "http://mine:1"});
        let told = Wanted::of(&object(named), &defaults).unwrap_err();
        assert!(told.to_string().contains("spec.credentials"), "{told}");
    }

    #[test]
    fn an_answer_belongs_to_its_question() {
        let spec = json!({"name": "logs", "provider": "S3"});
        let wanted = Wanted::of(&object(spec), &Defaults::default()).unwrap();
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
