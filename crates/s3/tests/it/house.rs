//! An endpoint in a folder of its own, and clients of it.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use object_store::aws::{AmazonS3, AmazonS3Builder};
use windlass_s3::{Config, Endpoint, KeyPair};

use crate::asking::Asking;

pub(crate) struct House {
    endpoint: Option<Endpoint>,
    folder: tempfile::TempDir,
}

impl House {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut house = Self {
            endpoint: None,
            folder,
        };
        house.start().await;
        house
    }

    /// With this bucket.
    pub(crate) async fn with_bucket(name: &str) -> Self {
        let house = Self::new().await;
        let made = house.asking().put(&format!("/{name}"), "").await;
        assert_eq!(made.status, 200, "{made:?}");
        house
    }

    async fn start(&mut self) {
        let config = Config {
            folder: self.folder(),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        };
        self.endpoint = Some(Endpoint::start(config).await.unwrap());
    }

    pub(crate) async fn restart(&mut self) {
        self.endpoint.take().unwrap().shutdown().await;
        self.start().await;
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.folder.path().join("s3")
    }

    /// The files with bytes.
    pub(crate) fn blobs(&self) -> usize {
        std::fs::read_dir(self.folder().join("blobs"))
            .unwrap()
            .count()
    }

    pub(crate) fn url(&self) -> String {
        self.endpoint.as_ref().unwrap().url()
    }

    pub(crate) fn keys(&self) -> KeyPair {
        self.endpoint.as_ref().unwrap().keys().clone()
    }

    /// object_store's client of a bucket.
    pub(crate) fn store(&self, bucket: &str) -> AmazonS3 {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let keys = self.keys();
        AmazonS3Builder::new()
            .with_endpoint(self.url())
            .with_allow_http(true)
            .with_region(windlass_s3::REGION)
            .with_bucket_name(bucket)
            .with_access_key_id(keys.id)
            .with_secret_access_key(keys.secret)
            .build()
            .unwrap()
    }

    /// Requests that are signed as they should be.
    pub(crate) fn asking(&self) -> Asking {
        Asking::of(&self.url(), &self.keys())
    }
}
