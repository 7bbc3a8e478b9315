//! What is in a bucket: a client of it, made from what its ObjectStore and its Secret say.
//!
//! Laws:
//! - both are read with the rights of whoever asks, and again when they may have changed: now and then, and when
//!   the store refuses what it is asked;
//! - of an answer only its status is told: an address in a specification shows nobody what is behind it.

use std::error::Error as _;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::client::{HttpError, HttpErrorKind};
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::{Certificate, ClientOptions, ObjectStore as Store};
use tokio::sync::Mutex;
use tokio::time::Instant;
use windlass_api::storage::ObjectStore;
use windlass_api::storage::object_store::Provider;
use windlass_engine::Object;

use super::credentials::{Keys, retry};
use super::defaults::Defaults;
use super::steps::{StoreError, Trouble};
use super::wanted::Wanted;

/// How long what an ObjectStore and its Secret say is believed.
const FRESH: Duration = Duration::from_mins(1);
/// How long it is believed when the store refuses.
const DOUBTFUL: Duration = Duration::from_secs(5);
/// How long it may take to be connected.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a whole answer may take.
const WHOLE: Duration = Duration::from_mins(1);

/// The contents of the bucket of an ObjectStore.
pub struct Contents {
    client: Client,
    namespace: String,
    name: String,
    memory: Mutex<Memory>,
}

/// What was found out last.
#[derive(Debug, Default)]
enum Memory {
    #[default]
    Nothing,
    Known(Known),
    Refused(StoreError, Instant),
}

#[derive(Debug)]
struct Known {
    store: Arc<dyn Store>,
    question: String,
    at: Instant,
}

impl fmt::Debug for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Contents({}/{})", self.namespace, self.name)
    }
}

impl Contents {
    /// Those of the ObjectStore of this name, which `client` may read.
    pub fn new(client: Client, namespace: &str, name: &str) -> Self {
        Self {
            client,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            memory: Mutex::default(),
        }
    }

    /// A client of them.
    ///
    /// # Errors
    /// What is missing: the ObjectStore, its bucket, its Secret, or the right to read them.
    pub async fn store(&self) -> Result<Arc<dyn Store>, StoreError> {
        let mut memory = self.memory.lock().await;
        match &*memory {
            Memory::Known(known) if known.at.elapsed() < FRESH => {
                return Ok(Arc::clone(&known.store));
            }
            // Many logs ask for one bucket.
            Memory::Refused(error, at) if at.elapsed() < DOUBTFUL => return Err(error.clone()),
            _ => {}
        }
        let last = match &*memory {
            Memory::Known(known) => Some(known),
            Memory::Nothing | Memory::Refused(..) => None,
        };
        match (self.look(last).await, last) {
            (Ok(found), _) => {
                let store = Arc::clone(&found.store);
                *memory = Memory::Known(found);
                Ok(store)
            }
            // The cluster does not answer, and what it said last may still be so.
            (Err(error), Some(last)) if error.trouble == Trouble::Unavailable => {
                Ok(Arc::clone(&last.store))
            }
            (Err(error), _) => {
                *memory = Memory::Refused(error.clone(), Instant::now());
                Err(error)
            }
        }
    }

    /// The store has refused something: its credentials may be others by now.
    pub async fn doubt(&self) {
        let mut memory = self.memory.lock().await;
        if let Memory::Known(known) = &mut *memory
            && known.at.elapsed() > DOUBTFUL
            && let Some(past) = Instant::now().checked_sub(FRESH)
        {
            known.at = past;
        }
    }

    async fn look(&self, last: Option<&Known>) -> Result<Known, StoreError> {
        let (namespace, name) = (&self.namespace, &self.name);
        let stores: Api<ObjectStore> = Api::namespaced(self.client.clone(), namespace);
        let about = format!("the ObjectStore {namespace}/{name}");
        let found = stores.get_opt(name).await;
        let found = found.map_err(|error| {
            let right = "get objectstores.banzaicloud.com";
            unread(&about, right, namespace, &error)
        })?;
        let found = found.ok_or_else(|| {
            StoreError::new(
                Trouble::Refused,
                format!("there is no {}", &about["the ".len()..]),
            )
        })?;
        let status = found.status.as_ref();
        // A bucket that was there once has an address, also while its store does not answer.
        if status.is_none_or(|it| it.url.is_none()) {
            let told = status.and_then(|it| it.conditions.first());
            let why = told.map_or_else(
                || "it has not been looked at yet".to_owned(),
                |it| format!("{}: {}", it.reason, it.message),
            );
            let text = format!("{about} is not ready: {why}");
            return Err(StoreError::new(Trouble::Refused, text));
        }
        let unreadable = |error: &dyn fmt::Display| {
            StoreError::new(Trouble::Refused, format!("{about} cannot be used: {error}"))
        };
        let object = serde_json::to_value(&found).map_err(|error| unreadable(&error))?;
        let given = status.map(Defaults::given).unwrap_or_default();
        let wanted =
            Wanted::of(&Object::new(object), &given).map_err(|error| unreadable(&error))?;
        let (keys, version) = self.keys(&wanted).await?;
        let question = wanted.question(version.as_deref(), "contents");
        let store = match last {
            // The operator's own identity renews itself.
            Some(last) if last.question == question => Arc::clone(&last.store),
            _ => open(&wanted, &keys)?,
        };
        Ok(Known {
            store,
            question,
            at: Instant::now(),
        })
    }

    /// The credentials, and the version of the Secret that they are from.
    async fn keys(&self, wanted: &Wanted) -> Result<(Keys, Option<String>), StoreError> {
        let Some(name) = &wanted.secret else {
            return Ok((Keys::own(wanted)?, None));
        };
        let namespace = &self.namespace;
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        let found = secrets.get_opt(name).await;
        let about = format!("the Secret {namespace}/{name}");
        let found = found.map_err(|error| unread(&about, "get secrets", namespace, &error))?;
        let found = found.ok_or_else(|| {
            let text = format!("there is no {}", &about["the ".len()..]);
            StoreError::new(Trouble::Credentials, text)
        })?;
        let data = found.data.unwrap_or_default().into_iter();
        let keys = Keys::of_secret(&data.map(|(name, bytes)| (name, bytes.0)).collect())?;
        Ok((keys, found.metadata.resource_version))
    }
}

/// Why the cluster does not show something; which right is missing, where it is that.
fn unread(about: &str, right: &str, namespace: &str, error: &kube::Error) -> StoreError {
    match error {
        kube::Error::Api(status) if [401, 403].contains(&status.code) => StoreError::new(
            Trouble::Denied,
            format!(
                "{about} may not be read: the right to {right} in namespace {namespace} is missing"
            ),
        ),
        error => StoreError::new(
            Trouble::Unavailable,
            format!("{about} cannot be read: {error}"),
        ),
    }
}

/// A client of what is in a bucket.
///
/// # Errors
/// What is wrong with the keys.
pub fn open(wanted: &Wanted, keys: &Keys) -> Result<Arc<dyn Store>, StoreError> {
    // Whoever comes second finds the same one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut options = ClientOptions::new()
        .with_allow_http(true)
        .with_connect_timeout(CONNECT)
        .with_timeout(WHOLE);
    if let Some(pem) = keys.authority() {
        let unreadable = |_| {
            let text = "ca.crt of the Secret is no certificate in PEM";
            StoreError::new(Trouble::Credentials, text)
        };
        for certificate in Certificate::from_pem_bundle(pem.as_bytes()).map_err(unreadable)? {
            options = options.with_root_certificate(certificate);
        }
    }
    let unusable = |error| told("no client can be made", &error);
    let bucket = wanted.bucket.as_str();
    Ok(match wanted.provider {
        Provider::S3 => {
            let region = wanted.location.as_deref().unwrap_or("us-east-1");
            let builder = AmazonS3Builder::new()
                .with_bucket_name(bucket)
                .with_region(region)
                .with_endpoint(&wanted.endpoint)
                .with_credentials(keys.aws_source()?);
            let builder = builder.with_client_options(options).with_retry(retry());
            Arc::new(builder.build().map_err(unusable)?)
        }
        Provider::Gcs => {
            let builder = GoogleCloudStorageBuilder::new()
                .with_bucket_name(bucket)
                .with_base_url(&wanted.endpoint)
                .with_credentials(keys.google_source()?);
            let builder = builder.with_client_options(options).with_retry(retry());
            Arc::new(builder.build().map_err(unusable)?)
        }
        Provider::Azure => {
            let account = wanted.account.as_deref().unwrap_or_default();
            let builder = MicrosoftAzureBuilder::new()
                .with_account(account)
                .with_container_name(bucket)
                .with_endpoint(wanted.endpoint.clone())
                .with_credentials(keys.azure_source(account)?);
            let builder = builder.with_client_options(options).with_retry(retry());
            Arc::new(builder.build().map_err(unusable)?)
        }
    })
}

/// An error of a store in words, none of which are the store's own.
pub fn told(what: &str, error: &object_store::Error) -> StoreError {
    use object_store::Error;
    let (trouble, words) = match error {
        Error::NotFound { .. } => (Trouble::Refused, "there is no such bucket".to_owned()),
        Error::PermissionDenied { .. } => (
            Trouble::Denied,
            "the store does not take these credentials for it (403)".to_owned(),
        ),
        Error::Unauthenticated { .. } => (
            Trouble::Credentials,
            "the store does not know these credentials (401)".to_owned(),
        ),
        error => match (status(error), http(error)) {
            (Some(status), _) => (
                Trouble::Unavailable,
                format!("the store answers with status {status}"),
            ),
            (None, Some(HttpErrorKind::Timeout)) => (
                Trouble::Unreachable,
                "the store does not answer in time".to_owned(),
            ),
            (None, Some(_)) => (
                Trouble::Unreachable,
                "the store cannot be reached".to_owned(),
            ),
            (None, None) => (
                Trouble::Unavailable,
                "the store does not answer as one of its kind".to_owned(),
            ),
        },
    };
    StoreError::new(trouble, format!("{what}: {words}"))
}

/// Whether a store does not know how to do what was asked.
pub fn is_unknown(error: &object_store::Error) -> bool {
    use object_store::Error;
    matches!(
        error,
        Error::NotImplemented { .. } | Error::NotSupported { .. }
    ) || status(error) == Some(501)
}

/// The status of an answer, which the client tells in words alone, in front of the answer itself.
fn status(error: &object_store::Error) -> Option<u16> {
    let text = error.to_string();
    let (_, rest) = text.split_once("status code: ")?;
    rest.get(..3)?.parse().ok()
}

fn http(error: &object_store::Error) -> Option<HttpErrorKind> {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(http) = error.downcast_ref::<HttpError>() {
            return Some(http.kind());
        }
        cause = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generic(text: &str) -> object_store::Error {
        object_store::Error::Generic {
            store: "S3",
            source: text.to_owned().into(),
        }
    }

    #[test]
    fn of_an_answer_only_its_status_is_told() {
        let answer = "Error performing PUT http://10.0.0.1/a in 1s - Server returned non-2xx status code: 503 \
                      Service Unavailable: <html>the intranet</html>";
        let told = told("the log cannot be kept", &generic(answer));
        assert_eq!(
            told.words,
            "the log cannot be kept: the store answers with status 503"
        );
        assert!(is_unknown(&generic("status code: 501 Not Implemented: x")));
        assert!(!is_unknown(&generic(answer)));
        assert_eq!(status(&generic("status code: ")), None);
        assert_eq!(status(&generic("status code: 5é")), None);
    }
}
