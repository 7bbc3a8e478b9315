//! The running server: what all requests share, how it starts, and how it ends.

use std::{
    fs::File,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    sync::Arc,
};

use futures::future::BoxFuture;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use windlass_streaming::{Sessions, backend::NodeBackend};

use crate::{
    admission::{ServiceIps, quotas::Quotas, webhooks::Webhooks},
    background, bootstrap,
    config::Config,
    faults::Faults,
    http::{InProcess, listener},
    openapi::Documents,
    pki::{ClientCertificate, Pki, PkiError, make_private_directory, write_private},
    registry::Registry,
    status::ApiError,
    store::{Store, StoreError},
    user::User,
};

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configured octet is outside the range that is kept free for clusters.
    #[error("loopback_octet must be from 16 to 250, but is {0}")]
    Octet(u8),
    /// Another process runs on this data directory.
    #[error("the data directory {0} is in use by another server; stop it or choose another one")]
    Locked(String),
    /// A file cannot be used.
    #[error("cannot use {path}: {error}")]
    File {
        /// Which one.
        path: String,
        /// Why.
        error: std::io::Error,
    },
    /// Keys or certificates.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// The store.
    #[error(
        "{path} cannot be used: {error}; if it is damaged, restore it from a copy, or move the \
         data directory away to begin with an empty cluster"
    )]
    Store {
        /// Its file.
        path: String,
        /// Why.
        error: StoreError,
    },
    /// An address is taken or not permitted.
    #[error("cannot listen on {address}: {error}; choose another {setting}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        error: std::io::Error,
        /// The setting that moves it.
        setting: &'static str,
    },
    /// The objects every cluster has could not be written.
    #[error("cannot create the initial objects: {0}")]
    Bootstrap(ApiError),
}

/// What all requests share.
pub(crate) struct Server {
    pub(crate) config: Config,
    pub(crate) store: Store,
    pub(crate) registry: Registry,
    pub(crate) documents: Documents,
    pub(crate) pki: Pki,
    pub(crate) node: Arc<dyn NodeBackend>,
    pub(crate) sessions: Sessions,
    pub(crate) service_ips: ServiceIps,
    pub(crate) webhooks: Webhooks,
    pub(crate) quotas: Quotas,
    pub(crate) faults: Faults,
    /// Cancelled first: nothing new is accepted and watches end.
    pub(crate) stop: CancellationToken,
    pub(crate) tasks: TaskTracker,
}

/// A running API server. Dropping it without [`ApiServer::shutdown`] stops it as a crash would:
/// nothing acknowledged is lost.
pub struct ApiServer {
    server: Arc<Server>,
    address: Option<SocketAddrV4>,
    service_address: Option<SocketAddrV4>,
    lock: File,
}

impl ApiServer {
    /// Opens the data directory and starts to serve; when this returns, the server is ready.
    pub fn start(
        config: Config,
        node: Arc<dyn NodeBackend>,
    ) -> BoxFuture<'static, Result<Self, StartError>> {
        Box::pin(start(config, node))
    }

    /// A client without TCP and TLS, acting as `user`.
    pub fn client(&self, user: User) -> kube::Client {
        kube::Client::new(InProcess::new(Arc::clone(&self.server), user), "default")
    }

    /// The faults this server can produce.
    pub fn faults(&self) -> &Faults {
        &self.server.faults
    }

    /// Where clients on this machine reach the server.
    pub fn address(&self) -> Option<SocketAddrV4> {
        self.address
    }

    /// Where pods reach it: 127.N.0.1, on port 443 where that may be bound, else on 6443.
    pub fn service_address(&self) -> Option<SocketAddrV4> {
        self.service_address
    }

    /// The certificate of the server's authority, in PEM.
    pub fn ca_certificate(&self) -> &str {
        self.server.pki.ca_pem()
    }

    /// The bearer token of the administrator.
    pub fn admin_token(&self) -> &str {
        self.server.pki.admin_token()
    }

    /// A certificate that authenticates its owner as this user.
    pub fn client_certificate(&self, user: &User) -> Result<ClientCertificate, PkiError> {
        self.server.pki.client_certificate(&user.name, &user.groups)
    }

    /// A kubeconfig for the administrator.
    pub fn kubeconfig(&self) -> String {
        use base64::{Engine as _, prelude::BASE64_STANDARD};
        let port = self
            .address
            .map_or(self.server.config.port, |address| address.port());
        format!(
            "apiVersion: v1\n\
             kind: Config\n\
             clusters:\n\
             - name: windlass\n\
             \x20 cluster:\n\
             \x20   server: https://127.0.0.1:{port}\n\
             \x20   certificate-authority-data: {ca}\n\
             users:\n\
             - name: windlass-admin\n\
             \x20 user:\n\
             \x20   token: {token}\n\
             contexts:\n\
             - name: windlass\n\
             \x20 context:\n\
             \x20   cluster: windlass\n\
             \x20   user: windlass-admin\n\
             current-context: windlass\n",
            ca = BASE64_STANDARD.encode(self.ca_certificate()),
            token = self.admin_token(),
        )
    }

    /// The revision of the last write.
    pub fn revision(&self) -> u64 {
        self.server.store.revision()
    }

    /// Forgets the history up to and including `revision`, so that watches from there get a 410.
    pub async fn compact(&self, revision: u64) -> Result<(), StoreError> {
        self.server.store.compact(revision).await
    }

    /// Stops accepting, ends watches and sessions, and closes the store.
    pub async fn shutdown(self) {
        self.server.stop.cancel();
        self.server.sessions.shutdown().await;
        self.server.tasks.close();
        self.server.tasks.wait().await;
        let store = self.server.store.clone();
        if tokio::task::spawn_blocking(move || store.close())
            .await
            .is_err()
        {
            tracing::error!("closing the store panicked");
        }
        // A process that is being started may share the descriptor for a moment: closing it would
        // not release the lock, unlocking does.
        if let Err(error) = self.lock.unlock() {
            tracing::warn!(%error, "the data directory stays locked until this process ends");
        }
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.server.stop.cancel();
    }
}

async fn start(config: Config, node: Arc<dyn NodeBackend>) -> Result<ApiServer, StartError> {
    if !(16..=250).contains(&config.loopback_octet) {
        return Err(StartError::Octet(config.loopback_octet));
    }
    make_private_directory(&config.data_dir)?;
    let lock = lock(&config.data_dir)?;
    let pki = Pki::open(&config.data_dir.join("pki"))?;
    let store = open_store(&config).await?;
    let service_ip = Ipv4Addr::new(127, config.loopback_octet, 0, 1);
    let server = Arc::new(Server {
        registry: Registry::new(&store),
        documents: Documents::default(),
        service_ips: ServiceIps::new(config.loopback_octet),
        webhooks: Webhooks::default(),
        quotas: Quotas::default(),
        store,
        pki,
        node,
        sessions: Sessions::new(),
        faults: Faults::default(),
        stop: CancellationToken::new(),
        tasks: TaskTracker::new(),
        config,
    });
    server.webhooks.refresh(&server.store);
    bootstrap::run(&server)
        .await
        .map_err(StartError::Bootstrap)?;
    background::start(&server);

    let mut address = None;
    let mut service_address = None;
    if server.config.listen {
        let acceptor = TlsAcceptor::from(Arc::new(server.pki.server_config(service_ip)?));
        let local = local_listener(&server.config).await?;
        let service = service_listener(service_ip).await?;
        address = v4(&local);
        service_address = v4(&service);
        if let Some(address) = service_address {
            bootstrap::publish_address(&server, address)
                .await
                .map_err(StartError::Bootstrap)?;
        }
        for listener in [local, service] {
            server.tasks.spawn(listener::run(
                Arc::clone(&server),
                listener,
                acceptor.clone(),
            ));
        }
    }
    Ok(ApiServer {
        server,
        address,
        service_address,
        lock,
    })
}

/// The database panics over some kinds of damage; that is an answer like any other.
async fn open_store(config: &Config) -> Result<Store, StartError> {
    let path = config.data_dir.join("objects.redb");
    let failed = |error| StartError::Store {
        path: path.display().to_string(),
        error,
    };
    let (file, durability, window) = (path.clone(), config.durability, config.window);
    tokio::task::spawn_blocking(move || Store::open(&file, durability, window))
        .await
        .unwrap_or_else(|crash| Err(StoreError::Disk(crash.to_string())))
        .map_err(failed)
}

/// The operating system drops the lock with the process, however that ends.
fn lock(data_dir: &Path) -> Result<File, StartError> {
    let path = data_dir.join("lock");
    let failed = |error| StartError::File {
        path: path.display().to_string(),
        error,
    };
    let file = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => {
            Err(StartError::Locked(data_dir.display().to_string()))
        }
        Err(std::fs::TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// The listener for this machine. Its port is kept in a file, so that kubeconfigs stay right.
async fn local_listener(config: &Config) -> Result<TcpListener, StartError> {
    let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let listen = |port| async move {
        listener::bind(at(port))
            .await
            .map_err(|error| StartError::Listen {
                address: at(port),
                error,
                setting: "port",
            })
    };
    let path = config.data_dir.join("port");
    let listener = match (config.port, config.kept_port()) {
        (0, Some(kept)) => match listen(kept).await {
            Ok(listener) => listener,
            Err(error) => {
                tracing::warn!(%error, "the port used before is not free");
                listen(0).await?
            }
        },
        (port, _) => listen(port).await?,
    };
    if let Some(address) = v4(&listener) {
        write_private(&path, &address.port().to_string()).map_err(|error| StartError::File {
            path: path.display().to_string(),
            error,
        })?;
    }
    Ok(listener)
}

/// The listener for pods. Ports below 1024 may need rights this process does not have.
async fn service_listener(service_ip: Ipv4Addr) -> Result<TcpListener, StartError> {
    let preferred = SocketAddr::from((service_ip, 443));
    match listener::bind(preferred).await {
        Ok(listener) => Ok(listener),
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            let address = SocketAddr::from((service_ip, 6443));
            listener::bind(address)
                .await
                .map_err(|error| StartError::Listen {
                    address,
                    error,
                    setting: "loopback_octet",
                })
        }
        Err(error) => Err(StartError::Listen {
            address: preferred,
            error,
            setting: "loopback_octet",
        }),
    }
}

fn v4(listener: &TcpListener) -> Option<SocketAddrV4> {
    match listener.local_addr() {
        Ok(SocketAddr::V4(address)) => Some(address),
        _ => None,
    }
}
