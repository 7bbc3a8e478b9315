//! An endpoint that speaks S3, in one process and one folder: for laptops, CI and our own tests.
//!
//! [s3s](https://docs.rs/s3s) reads requests and checks their signatures; what is stored, and how, is here:
//! an index of what there is ([`index`]), files with the bytes ([`blobs`]), and what each call does with
//! both ([`ops`]). The server that s3s has over a folder takes keys for paths, so that `a` and `a/b` exclude
//! each other, deletes buckets that are full, keeps no tags, and loses what a crash meets halfway.
//!
//! Laws:
//! - what was acknowledged survives the end of the process and of the machine;
//! - a call is carried out whole or not at all, and one after the other: of two that write where nothing may
//!   be, one is refused;
//! - an object is seen as it was written, also by who began to read it before it was deleted;
//! - a request without a good signature is refused, whatever it asks for;
//! - what an upload or a download takes of memory does not depend on its size;
//! - a disk without room costs the writes that it has no room for, and nothing else.

mod blobs;
mod index;
mod keys;
mod listing;
mod ops;
mod rows;
mod server;
mod writer;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::blobs::Shelf;
use crate::index::Index;
use crate::ops::Ops;

pub use crate::keys::KeyPair;

/// The region of buckets whose makers name none, and that everybody may sign for.
pub const REGION: &str = "us-east-1";

/// How to serve.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where everything is kept; made if it is not there.
    pub folder: PathBuf,
    /// Where to listen; port 0 picks a free one.
    pub listen: SocketAddr,
}

/// Why an endpoint did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Nobody can listen there.
    #[error("{address} cannot be listened at: {error}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        error: std::io::Error,
    },
    /// The folder cannot be used.
    #[error("{}: {reason}", folder.display())]
    Folder {
        /// Which one.
        folder: PathBuf,
        /// Why.
        reason: String,
    },
}

/// An endpoint that answers.
#[derive(Debug)]
pub struct Endpoint {
    address: SocketAddr,
    keys: KeyPair,
    index: Arc<Index>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Endpoint {
    /// Starts an endpoint on what its folder holds.
    ///
    /// # Errors
    /// The address or the folder cannot be used.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let listener =
            TcpListener::bind(config.listen)
                .await
                .map_err(|error| StartError::Listen {
                    address: config.listen,
                    error,
                })?;
        let address = listener.local_addr().map_err(|error| StartError::Listen {
            address: config.listen,
            error,
        })?;
        let folder = config.folder;
        let opened = tokio::task::spawn_blocking({
            let folder = folder.clone();
            move || open(&folder)
        });
        let opened = opened.await.unwrap_or_else(|error| Err(error.to_string()));
        let (keys, index) = opened.map_err(|reason| StartError::Folder { folder, reason })?;
        let index = Arc::new(index);
        let service = server::service(Ops::new(Arc::clone(&index)), &keys);
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        tasks.spawn(server::serve(
            listener,
            service,
            stop.clone(),
            tasks.clone(),
        ));
        Ok(Self {
            address,
            keys,
            index,
            stop,
            tasks,
        })
    }

    /// Where it answers.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it answers, as clients are told.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The keys that requests are signed with.
    pub fn keys(&self) -> &KeyPair {
        &self.keys
    }

    /// Stops answering. Requests that are being answered get a moment to end.
    pub async fn shutdown(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        let index = Arc::clone(&self.index);
        // The writer is joined, which blocks. It is joined by its drop, too.
        let _ = tokio::task::spawn_blocking(move || index.close()).await;
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn open(folder: &Path) -> Result<(KeyPair, Index), String> {
    blobs::make_private(folder).map_err(|error| error.to_string())?;
    let keys = KeyPair::of_folder(folder)?;
    let shelf = Shelf::open(&folder.join("blobs")).map_err(|error| error.to_string())?;
    let index = Index::open(&folder.join("index.redb"), Arc::new(shelf));
    Ok((keys, index.map_err(|error| error.to_string())?))
}
