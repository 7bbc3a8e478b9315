//! Stores over HTTP: the few calls that are about buckets, in the language of each provider.
//!
//! Laws:
//! - nothing of a request is in a message, and of an answer only what the provider calls its message: an
//!   address in a specification shows nobody what is behind it;
//! - answers are read up to a limit;
//! - names of objects are never part of a path, which could lead elsewhere, unless each is one segment of it.

mod azure;
mod gcs;
mod http;
mod s3;
mod text;

use windlass_api::storage::object_store::Provider;

use self::azure::Azure;
use self::gcs::Gcs;
use self::http::Http;
use self::s3::S3;
use super::credentials::Keys;
use super::steps::{Bucket, Contents, Creation, Deletion, Found, StoreError, Tags};
use super::wanted::Wanted;

/// A bucket of one of the providers.
#[derive(Debug)]
pub enum Client {
    /// In the language of S3.
    S3(S3),
    /// In that of Google.
    Gcs(Gcs),
    /// In that of Azure.
    Azure(Azure),
}

impl Client {
    /// A client for a bucket, asking with these keys.
    ///
    /// # Errors
    /// What is wrong with the keys, or that nothing can be signed with them now.
    pub async fn new(wanted: &Wanted, keys: &Keys) -> Result<Self, StoreError> {
        let http = Http::new(keys.authority())?;
        Ok(match wanted.provider {
            Provider::S3 => Self::S3(S3::new(http, wanted, keys).await?),
            Provider::Gcs => Self::Gcs(Gcs::new(http, wanted, keys).await?),
            Provider::Azure => Self::Azure(Azure::new(http, wanted, keys).await?),
        })
    }
}

impl Bucket for Client {
    async fn look(&self) -> Result<Found, StoreError> {
        match self {
            Self::S3(it) => it.look().await,
            Self::Gcs(it) => it.look().await,
            Self::Azure(it) => it.look().await,
        }
    }

    async fn create(&self, tags: &Tags) -> Result<Creation, StoreError> {
        match self {
            Self::S3(it) => it.create(tags).await,
            Self::Gcs(it) => it.create(tags).await,
            Self::Azure(it) => it.create(tags).await,
        }
    }

    async fn mark(&self, tags: &Tags) -> Result<(), StoreError> {
        match self {
            Self::S3(it) => it.mark(tags).await,
            Self::Gcs(it) => it.mark(tags).await,
            Self::Azure(it) => it.mark(tags).await,
        }
    }

    async fn delete(&self, contents: Contents) -> Result<Deletion, StoreError> {
        match self {
            Self::S3(it) => it.delete(contents).await,
            Self::Gcs(it) => it.delete(contents).await,
            Self::Azure(it) => it.delete(contents).await,
        }
    }
}
