//! Who asks a store: keys of a Secret, by the names that the provider's own tools know, or the identity that
//! the operator runs with.
//!
//! Laws:
//! - of a Secret only the entries named here are read. What object stores' clients understand besides them
//!   are paths and addresses, and with those a user would have the operator read its own files for him, or
//!   send its own tokens to him;
//! - the operator's own identity is shown to servers of the provider alone;
//! - no key is part of a message, nor of what `Debug` shows.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AwsCredential, AwsCredentialProvider};
use object_store::azure::{
    AzureAccessKey, AzureCredential, AzureCredentialProvider, MicrosoftAzureBuilder, split_sas,
};
use object_store::client::CredentialProvider;
use object_store::gcp::{GcpCredential, GcpCredentialProvider, GoogleCloudStorageBuilder};
use object_store::{BackoffConfig, RetryConfig, StaticCredentialProvider};
use serde_json::Value;
use windlass_api::director::Hidden;

use super::steps::{StoreError, Trouble};
use super::wanted::{Server, Wanted};

/// How long it may take to get a token.
const PATIENCE: Duration = Duration::from_secs(20);
/// The longest entry that is read; the key of a service account has some 2,400 bytes.
const ENTRY_MAX: usize = 64 << 10;

/// The entries that are read.
const KNOWN: [&str; 17] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "GOOGLE_SERVICE_ACCOUNT_KEY",
    "GOOGLE_APPLICATION_CREDENTIALS_JSON",
    "key.json",
    "AZURE_STORAGE_ACCOUNT_KEY",
    "AZURE_STORAGE_ACCESS_KEY",
    "AZURE_STORAGE_KEY",
    "AZURE_STORAGE_SAS_TOKEN",
    "AZURE_STORAGE_SAS_KEY",
    "AZURE_CLIENT_ID",
    "AZURE_CLIENT_SECRET",
    "AZURE_TENANT_ID",
    "ca.crt",
    "AWS_CA_BUNDLE",
    "ca.pem",
];
const GOOGLE_KEYS: [&str; 3] = [
    "GOOGLE_SERVICE_ACCOUNT_KEY",
    "GOOGLE_APPLICATION_CREDENTIALS_JSON",
    "key.json",
];
const AZURE_KEYS: [&str; 3] = [
    "AZURE_STORAGE_ACCOUNT_KEY",
    "AZURE_STORAGE_ACCESS_KEY",
    "AZURE_STORAGE_KEY",
];
const AZURE_SIGNATURES: [&str; 2] = ["AZURE_STORAGE_SAS_TOKEN", "AZURE_STORAGE_SAS_KEY"];
const AUTHORITIES: [&str; 3] = ["ca.crt", "AWS_CA_BUNDLE", "ca.pem"];

/// Who asks.
#[derive(Clone)]
pub enum Keys {
    /// What a Secret says.
    Given(BTreeMap<&'static str, Hidden>),
    /// Whoever the operator is.
    Own,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given(entries) => f.debug_set().entries(entries.keys()).finish(),
            Self::Own => f.write_str("Own"),
        }
    }
}

impl Keys {
    /// Reads the data of a Secret.
    ///
    /// # Errors
    /// An entry is none of what it is called.
    pub fn of_secret(data: &BTreeMap<String, Vec<u8>>) -> Result<Self, StoreError> {
        let mut entries = BTreeMap::new();
        for name in KNOWN {
            let Some(bytes) = data.get(name) else {
                continue;
            };
            let cannot = |why: &str| {
                let text = format!("{name} of the Secret {why}");
                StoreError::new(Trouble::Credentials, text)
            };
            if bytes.len() > ENTRY_MAX {
                return Err(cannot("is too long to be one"));
            }
            let text = std::str::from_utf8(bytes).map_err(|_| cannot("is no text"))?;
            // Editors and shells end files with a line break.
            let text = text.trim();
            let is_lines = GOOGLE_KEYS.contains(&name) || AUTHORITIES.contains(&name);
            if !is_lines && !text.bytes().all(|it| it.is_ascii_graphic()) {
                return Err(cannot("has blanks or characters that no key has"));
            }
            if !text.is_empty() {
                entries.insert(name, Hidden::new(text));
            }
        }
        Ok(Self::Given(entries))
    }

    /// The identity of the operator, for a store that may see it.
    ///
    /// # Errors
    /// The store is somebody's own server.
    pub fn own(wanted: &Wanted) -> Result<Self, StoreError> {
        match wanted.server {
            Server::Vendor => Ok(Self::Own),
            Server::Named | Server::Operator => Err(StoreError::new(
                Trouble::Credentials,
                "spec.credentials must be given where spec.endpoint is",
            )),
        }
    }

    /// The names of the entries that there are.
    pub fn entries(&self) -> Vec<String> {
        match self {
            Self::Given(entries) => entries.keys().map(|it| (*it).to_owned()).collect(),
            Self::Own => Vec::new(),
        }
    }

    /// Authorities to trust besides those of the system.
    pub(super) fn authority(&self) -> Option<&str> {
        AUTHORITIES.into_iter().find_map(|it| self.get(it))
    }

    /// The project that a service account belongs to.
    pub(super) fn google_project(&self) -> Option<String> {
        let of_environment = || {
            ["GOOGLE_CLOUD_PROJECT", "GCP_PROJECT"]
                .into_iter()
                .find_map(|it| std::env::var(it).ok())
        };
        let key: Value = match self {
            Self::Own => return of_environment(),
            Self::Given(_) => serde_json::from_str(self.first(&GOOGLE_KEYS)?).ok()?,
        };
        Some(key["project_id"].as_str()?.to_owned())
    }

    /// Credentials of S3, now.
    pub(super) async fn aws(&self) -> Result<Arc<AwsCredential>, StoreError> {
        token("AWS", self.aws_source()?.as_ref()).await
    }

    /// What gives credentials of S3.
    pub(super) fn aws_source(&self) -> Result<AwsCredentialProvider, StoreError> {
        if let Self::Own = self {
            let built = AmazonS3Builder::from_env()
                .with_bucket_name("any")
                .with_retry(retry())
                .build();
            let store = built.map_err(|_| no_identity("AWS"))?;
            return Ok(Arc::clone(store.credentials()));
        }
        let need = |name| {
            self.get(name)
                .map(str::to_owned)
                .ok_or_else(|| missing(name))
        };
        Ok(Arc::new(StaticCredentialProvider::new(AwsCredential {
            key_id: need("AWS_ACCESS_KEY_ID")?,
            secret_key: need("AWS_SECRET_ACCESS_KEY")?,
            token: self.get("AWS_SESSION_TOKEN").map(str::to_owned),
        })))
    }

    /// A token of Google, as it is now.
    pub(super) async fn google(&self) -> Result<Arc<GcpCredential>, StoreError> {
        token("Google", self.google_source()?.as_ref()).await
    }

    /// What gives tokens of Google.
    pub(super) fn google_source(&self) -> Result<GcpCredentialProvider, StoreError> {
        let builder = match self {
            Self::Own => GoogleCloudStorageBuilder::from_env(),
            Self::Given(_) => {
                let key = self.first(&GOOGLE_KEYS);
                let key = key.ok_or_else(|| missing("GOOGLE_SERVICE_ACCOUNT_KEY"))?;
                GoogleCloudStorageBuilder::new().with_service_account_key(key)
            }
        };
        let built = builder.with_bucket_name("any").with_retry(retry()).build();
        let store = built.map_err(|_| match self {
            Self::Own => no_identity("Google"),
            Self::Given(_) => StoreError::new(
                Trouble::Credentials,
                "the Secret's key of a service account cannot be read: it must be the JSON that Google \
                 gave, with private_key, private_key_id and client_email",
            ),
        })?;
        Ok(Arc::clone(store.credentials()))
    }

    /// Credentials of Azure, now.
    pub(super) async fn azure(&self, account: &str) -> Result<Arc<AzureCredential>, StoreError> {
        token("Azure", self.azure_source(account)?.as_ref()).await
    }

    /// What gives credentials of Azure.
    pub(super) fn azure_source(
        &self,
        account: &str,
    ) -> Result<AzureCredentialProvider, StoreError> {
        let given = |credential| Ok(Arc::new(StaticCredentialProvider::new(credential)) as _);
        let builder = if let Self::Own = self {
            MicrosoftAzureBuilder::from_env()
        } else if let Some(key) = self.first(&AZURE_KEYS) {
            let key = AzureAccessKey::try_new(key).map_err(|_| {
                let text = "AZURE_STORAGE_ACCOUNT_KEY of the Secret is no key of an account, which is in \
                            Base64";
                StoreError::new(Trouble::Credentials, text)
            })?;
            return given(AzureCredential::AccessKey(key));
        } else if let Some(signature) = self.first(&AZURE_SIGNATURES) {
            let pairs = split_sas(signature).map_err(|_| {
                let text = "AZURE_STORAGE_SAS_TOKEN of the Secret is no shared access signature";
                StoreError::new(Trouble::Credentials, text)
            })?;
            return given(AzureCredential::SASToken(pairs));
        } else {
            let need = |name| self.get(name).ok_or_else(|| missing(name));
            let client = self.get("AZURE_CLIENT_ID");
            let client = client.ok_or_else(|| missing("AZURE_STORAGE_ACCOUNT_KEY"))?;
            MicrosoftAzureBuilder::new().with_client_secret_authorization(
                client,
                need("AZURE_CLIENT_SECRET")?,
                need("AZURE_TENANT_ID")?,
            )
        };
        let built = builder
            .with_account(account)
            .with_container_name("any")
            .with_retry(retry())
            .build();
        let store = built.map_err(|_| no_identity("Azure"))?;
        Ok(Arc::clone(store.credentials()))
    }

    fn get(&self, name: &str) -> Option<&str> {
        match self {
            Self::Given(entries) => entries.get(name).map(Hidden::expose),
            Self::Own => None,
        }
    }

    fn first(&self, names: &[&'static str]) -> Option<&str> {
        names.iter().find_map(|it| self.get(it))
    }
}

/// A request that could not be signed. What the signer says of it may quote from it.
pub(super) fn unsigned(_: &object_store::Error) -> StoreError {
    StoreError::new(
        Trouble::Credentials,
        "nothing can be signed with these credentials",
    )
}

/// Gets credentials, and never waits for long: where the operator has no identity, the address at which
/// virtual machines get one does not answer.
async fn token<T>(
    provider: &str,
    source: &dyn CredentialProvider<Credential = T>,
) -> Result<Arc<T>, StoreError> {
    match tokio::time::timeout(PATIENCE, source.get_credential()).await {
        Ok(Ok(token)) => Ok(token),
        Ok(Err(_)) | Err(_) => Err(no_identity(provider)),
    }
}

fn no_identity(provider: &str) -> StoreError {
    let text = format!(
        "no credentials of {provider} can be had with what is given, or with what the operator runs with \
         (environment, workload identity, instance metadata); name a Secret in spec.credentials"
    );
    StoreError::new(Trouble::Credentials, text)
}

fn missing(name: &str) -> StoreError {
    StoreError::new(
        Trouble::Credentials,
        format!("the Secret has no entry {name}"),
    )
}

pub(super) fn retry() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig::default(),
        max_retries: 2,
        retry_timeout: PATIENCE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(entries: &[(&str, &str)]) -> Result<Keys, StoreError> {
        let data = entries.iter();
        let data = data.map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()));
        Keys::of_secret(&data.collect())
    }

    #[tokio::test]
    async fn keys_are_read_by_the_names_that_tools_know_and_shown_to_nobody() {
        let keys = secret(&[
            ("AWS_ACCESS_KEY_ID", "AKIA\n"),
            ("AWS_SECRET_ACCESS_KEY", "hunter2"),
            ("AWS_ENDPOINT", "http://evil"),
        ])
        .unwrap();
        let aws = keys.aws().await.unwrap();
        assert_eq!((aws.key_id.as_str(), aws.token.as_deref()), ("AKIA", None));
        let shown = format!("{keys:?}");
        assert!(
            !shown.contains("hunter2") && !shown.contains("ENDPOINT"),
            "{shown}"
        );
        let told = keys.google().await.unwrap_err();
        assert!(told.words.contains("GOOGLE_SERVICE_ACCOUNT_KEY"), "{told}");
    }

    #[tokio::test]
    async fn what_is_no_key_is_told_by_its_entry_and_not_by_its_text() {
        for (entries, expected) in [
            (
                vec![("AWS_ACCESS_KEY_ID", "a b")],
                "AWS_ACCESS_KEY_ID of the Secret has blanks",
            ),
            (
                vec![("AWS_SESSION_TOKEN", "a\nb")],
                "AWS_SESSION_TOKEN of the Secret has blanks",
            ),
        ] {
            let told = secret(&entries).unwrap_err();
            assert_eq!(told.trouble, Trouble::Credentials);
            assert!(told.words.starts_with(expected), "{told}");
        }
        let keys = secret(&[("AZURE_STORAGE_ACCOUNT_KEY", "hunter2!")]).unwrap();
        let told = keys.azure("team").await.unwrap_err();
        assert!(!told.words.contains("hunter2"), "{told}");
        let keys = secret(&[("key.json", "{\"private_key\": \"hunter2\"}")]).unwrap();
        let told = keys.google().await.unwrap_err();
        assert!(!told.words.contains("hunter2"), "{told}");
        assert!(told.words.contains("JSON"), "{told}");
    }
}
