//! Buckets in the embedded cluster: an endpoint in this process, and how everybody gets to it.
//!
//! It answers at the cluster's own address, which pods and programs of this machine reach alike, and so do
//! several clusters beside each other. Its keys are a Secret of every namespace, and the operator takes both
//! for ObjectStores that say nothing.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use windlass_cluster::SharedSecret;
use windlass_node::LoopbackOctet;
use windlass_s3::{Config, Endpoint};
use windlass_storage::buckets::Settings;

use super::{Options, Served};
use crate::exit::Failure;

/// The Secret with the keys, in every namespace.
pub const S3_SECRET: &str = "windlass-s3";

/// Where its data is, below the data directory. Where that is, it is served.
const FOLDER: &str = "s3";
/// The file with the port that it had last.
const PORT_FILE: &str = "port";
/// The port where nobody has said one.
const PORT: u16 = 9000;

/// Whether buckets are served, and where.
#[derive(Debug, Clone, Copy, Default)]
pub struct S3Options {
    /// Whether they are.
    pub served: Served,
    /// The port; `None` keeps the one it had.
    pub port: Option<u16>,
}

/// Serves buckets, if that is wanted.
pub(super) async fn start(
    options: &Options,
    octet: LoopbackOctet,
) -> Result<Option<Endpoint>, Failure> {
    let folder = options.data_dir.join(FOLDER);
    if options.s3.served == Served::AsItIs && !folder.exists() {
        return Ok(None);
    }
    let port = options.s3.port.or_else(|| kept_port(&folder));
    let address = Ipv4Addr::new(127, octet.get(), 0, 1);
    let config = Config {
        folder: folder.clone(),
        listen: SocketAddr::from((address, port.unwrap_or(PORT))),
    };
    let endpoint = Endpoint::start(config).await.map_err(|error| {
        Failure::cluster(format!(
            "buckets cannot be served: {error}; --s3-port chooses another port"
        ))
    })?;
    // Objects that others have made of it name the address.
    let file = folder.join(PORT_FILE);
    std::fs::write(&file, endpoint.address().port().to_string())
        .map_err(|error| Failure::internal(anyhow::anyhow!("{}: {error}", file.display())))?;
    Ok(Some(endpoint))
}

/// What ObjectStores get that say nothing.
pub(super) fn settings(endpoint: Option<&Endpoint>) -> Settings {
    Settings {
        machines: None,
        endpoint: endpoint.map(Endpoint::url),
        secret: endpoint.map(|_| S3_SECRET.to_owned()),
    }
}

/// The Secret with the keys: by the names that the tools of S3 take from their environment.
pub(super) fn secret(endpoint: &Endpoint) -> SharedSecret {
    let keys = endpoint.keys();
    let data = [
        ("AWS_ACCESS_KEY_ID", keys.id.clone()),
        ("AWS_SECRET_ACCESS_KEY", keys.secret.clone()),
        ("AWS_ENDPOINT_URL", endpoint.url()),
    ];
    let data = data.map(|(name, value)| (name.to_owned(), value));
    SharedSecret {
        name: S3_SECRET.to_owned(),
        data: BTreeMap::from(data),
    }
}

fn kept_port(folder: &Path) -> Option<u16> {
    let text = std::fs::read_to_string(folder.join(PORT_FILE)).ok()?;
    text.trim().parse().ok()
}
