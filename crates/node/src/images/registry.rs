//! Pulling from registries that speak the OCI distribution protocol.

use std::error::Error as _;
use std::io;
use std::path::Path;
use std::time::Duration;

use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::errors::OciDistributionError;
use oci_client::manifest::OciDescriptor;
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference};

/// How long a registry may take to accept a connection, and to go on sending.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const READ_TIMEOUT: Duration = Duration::from_mins(1);

/// Why an image could not be pulled.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PullError {
    /// The registry did not give it.
    #[error("{}", in_one_line(.0))]
    Registry(#[from] Box<OciDistributionError>),
    /// It could not be written.
    #[error("the image store cannot be written: {0}")]
    Disk(#[from] io::Error),
    /// What is there or came cannot be used.
    #[error("{0}")]
    Store(String),
}

/// The library wraps what the network said; a user needs the innermost.
fn in_one_line(error: &OciDistributionError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        source = inner.source();
    }
    text
}

/// What a registry has under a name, for this machine's platform.
pub(super) struct Manifest {
    pub(super) digest: String,
    pub(super) config: Vec<u8>,
    pub(super) layers: Vec<OciDescriptor>,
}

/// A client for the registry of an image. As Docker does, it speaks plain HTTP to this machine's
/// own registries and HTTPS to all others.
pub(super) fn client(image: &Reference) -> Client {
    // The library takes the process's default; that another one was chosen before is fine.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let registry = image.resolve_registry();
    let host = registry.rsplit_once(':').map_or(registry, |(host, _)| host);
    let protocol = if host == "localhost" || host.starts_with("127.") {
        ClientProtocol::Http
    } else {
        ClientProtocol::Https
    };
    Client::new(ClientConfig {
        protocol,
        connect_timeout: Some(CONNECT_TIMEOUT),
        read_timeout: Some(READ_TIMEOUT),
        user_agent: concat!("windlass/", env!("CARGO_PKG_VERSION")),
        ..ClientConfig::default()
    })
}

/// Asks what the name stands for.
pub(super) async fn manifest(
    client: &Client,
    image: &Reference,
    auth: &RegistryAuth,
) -> Result<Manifest, PullError> {
    let (manifest, digest, config) = client
        .pull_manifest_and_config(image, auth)
        .await
        .map_err(Box::new)?;
    Ok(Manifest {
        digest,
        config: config.into_bytes(),
        layers: manifest.layers,
    })
}

/// Fetches one layer into a file and checks its digest; returns its size in bytes.
pub(super) async fn fetch(
    client: &Client,
    image: &Reference,
    layer: &OciDescriptor,
    to: &Path,
) -> Result<u64, PullError> {
    let file = tokio::fs::File::create(to).await?;
    let writer = tokio::io::BufWriter::with_capacity(1 << 20, file);
    client
        .pull_blob(image, layer, writer)
        .await
        .map_err(Box::new)?;
    Ok(tokio::fs::metadata(to).await?.len())
}
