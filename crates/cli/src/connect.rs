//! Which cluster a command talks to.
//!
//! A named context or kubeconfig wins. Otherwise it is the embedded cluster: the one that is up,
//! or, for commands that may, one in this process that ends with the command.

use std::path::Path;
use std::time::{Duration, Instant};

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use crate::args::ClusterArgs;
use crate::datadir::{DataDir, Holder};
use crate::embedded::{Embedded, Options};
use crate::exit::Failure;
use crate::scratch::Scratch;

/// What to do when the embedded cluster is not up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// Start one in this process, with a data directory that is thrown away at the end.
    IfDown,
    /// Say that it is not up.
    Never,
}

/// How long a cluster that is starting is waited for.
const START_PATIENCE: Duration = Duration::from_secs(30);

/// A way to a cluster.
pub struct Connection {
    client: Client,
    kind: Kind,
}

enum Kind {
    Named,
    Up,
    InProcess {
        embedded: Box<Embedded>,
        scratch: Scratch,
    },
}

impl Connection {
    /// Opens the way.
    pub async fn open(cluster: &ClusterArgs, start: Start) -> Result<Self, Failure> {
        if cluster.names_a_cluster() {
            let client = named(cluster.kubeconfig.as_deref(), cluster.context.as_deref()).await?;
            return Ok(Self {
                client,
                kind: Kind::Named,
            });
        }
        let data = DataDir::resolve(cluster.data_dir.as_deref())?;
        match started(&data).await {
            Some(holder) if holder.ready => {
                let client = named(Some(&data.kubeconfig()), None).await?;
                Ok(Self {
                    client,
                    kind: Kind::Up,
                })
            }
            Some(holder) => Err(Failure::cluster(format!(
                "the embedded cluster (process {}) is not ready after {} s: see what it says",
                holder.pid,
                START_PATIENCE.as_secs()
            ))),
            None if start == Start::IfDown => {
                let scratch = Scratch::new(&std::env::temp_dir())?;
                let options = Options {
                    event_logs: Some(data.event_logs()),
                    ..Options::ephemeral(scratch.path())
                };
                let embedded = Box::new(Embedded::start(options).await?);
                let client = embedded.client().await?;
                Ok(Self {
                    client,
                    kind: Kind::InProcess { embedded, scratch },
                })
            }
            None => Err(Failure::cluster(
                "the embedded cluster is not up: start it with windlass up, or name a cluster with --context",
            )),
        }
    }

    /// The client.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Whether this is the embedded cluster, on this machine.
    pub fn is_embedded(&self) -> bool {
        !matches!(self.kind, Kind::Named)
    }

    /// Whether the cluster goes on when this process ends.
    pub fn outlives_us(&self) -> bool {
        !matches!(self.kind, Kind::InProcess { .. })
    }

    /// Stops what was started for this command.
    pub async fn close(self) -> Result<(), Failure> {
        match self.kind {
            Kind::Named | Kind::Up => Ok(()),
            Kind::InProcess { embedded, scratch } => {
                let stopped = embedded.stop().await;
                drop(scratch);
                stopped
            }
        }
    }
}

/// Who holds the data directory. A cluster that is starting is waited for.
async fn started(data: &DataDir) -> Option<Holder> {
    let deadline = Instant::now() + START_PATIENCE;
    loop {
        match data.holder() {
            Some(holder) if !holder.ready && Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            found => return found,
        }
    }
}

/// A client for a kubeconfig (default: KUBECONFIG, else `~/.kube/config`) and context.
pub async fn named(kubeconfig: Option<&Path>, context: Option<&str>) -> Result<Client, Failure> {
    Client::try_from(config(kubeconfig, context).await?).map_err(Failure::internal)
}

/// How to reach the cluster of a kubeconfig and context. Without either: the one this process
/// runs in, or the user's current context.
pub async fn config(kubeconfig: Option<&Path>, context: Option<&str>) -> Result<Config, Failure> {
    let described = || match (kubeconfig, context) {
        (Some(file), _) => format!("--kubeconfig {}", file.display()),
        (None, Some(context)) => format!("--context {context}"),
        (None, None) => "the kubeconfig".to_owned(),
    };
    let options = KubeConfigOptions {
        context: context.map(ToOwned::to_owned),
        ..KubeConfigOptions::default()
    };
    let config = match kubeconfig {
        Some(file) => {
            let file = Kubeconfig::read_from(file)
                .map_err(|error| Failure::bad_input(format!("{}: {error}", described())))?;
            Config::from_custom_kubeconfig(file, &options).await
        }
        None if context.is_none() => {
            return Config::infer().await.map_err(|error| {
                Failure::bad_input(format!(
                    "no cluster to talk to: {error}: name one with --kubeconfig"
                ))
            });
        }
        None => Config::from_kubeconfig(&options).await,
    };
    config.map_err(|error| {
        Failure::bad_input(format!(
            "{}: {error}: kubectl config get-contexts lists what there is",
            described()
        ))
    })
}
