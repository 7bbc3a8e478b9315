//! The embedded cluster as a whole: API server, controllers, node and operator in one process.
//!
//! Every part speaks to the API as its twin in a real cluster would, under its own identity. The
//! operator has exactly the rights of the Role that is shipped, so that a rule that is missing
//! there fails here first.

mod network;
mod s3;
mod setup;
mod teardown;

pub use s3::{S3_SECRET, S3Options};
pub use setup::{DRIVER_ACCOUNT, Served};

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};
use windlass_api::spark::original::OldImages;
use windlass_apiserver::{ApiServer, Config, StartError, User};
use windlass_cluster::{Cluster, ClusterConfig, EVERY_NAMESPACE};
use windlass_director::controller::DirectorConfig;
use windlass_node::images::{
    ImageConfig, Runtime, SoftwareInstallation, SparkInstallation, SparkMinor,
};
use windlass_node::{ApiEndpoint, CapacityOverrides, Node, NodeConfig, NodeStreams, Orphans};
use windlass_s3::Endpoint;
use windlass_spark::controller::OperatorConfig;
use windlass_storage::{Growth, StorageConfig, logs};

use crate::commands::operator::{
    Operator, serves_original_kubedirector, serves_originals, serves_storage,
    serves_virtual_clusters,
};
use crate::eventlogs::EventLogs;
use crate::exit::Failure;
use crate::sparks::{self, Installed};

/// Name of the only node.
const NODE_NAME: &str = "windlass";

/// Where the node keeps its pods, below the data directory.
pub const NODE_DIR: &str = "node";

/// Where logs are kept, below the data directory.
pub const LOGS_DIR: &str = "logs";

/// How to start a cluster.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where everything is kept.
    pub data_dir: PathBuf,
    /// Port of the API on 127.0.0.1; `None` keeps the one the data directory has.
    pub port: Option<u16>,
    /// What becomes of pods when this process ends without saying goodbye.
    pub orphans: Orphans,
    /// Whether the API of the first operator is served.
    pub original_api: Served,
    /// Whether the kinds of virtual clusters are served.
    pub virtual_clusters: Served,
    /// Whether those of the first KubeDirector are served, too.
    pub original_kubedirector: Served,
    /// Whether claims get classes, and buckets are operated.
    pub storage: Served,
    /// Whether buckets are served.
    pub s3: S3Options,
    /// What becomes of the images of its applications that are too old.
    pub old_images: OldImages,
    /// Where applications write their event logs that say nothing about it.
    pub event_logs: Option<EventLogs>,
}

impl Options {
    /// A cluster that is started again on the same data.
    pub fn lasting(data_dir: &Path) -> Self {
        Self {
            data_dir: data_dir.to_owned(),
            port: None,
            orphans: Orphans::GoOn,
            original_api: Served::default(),
            virtual_clusters: Served::default(),
            original_kubedirector: Served::default(),
            storage: Served::default(),
            s3: S3Options::default(),
            old_images: OldImages::default(),
            event_logs: Some(EventLogs::of(data_dir)),
        }
    }

    /// A cluster for one command.
    pub fn ephemeral(data_dir: &Path) -> Self {
        Self {
            data_dir: data_dir.to_owned(),
            port: Some(0),
            orphans: Orphans::End,
            original_api: Served::default(),
            virtual_clusters: Served::default(),
            original_kubedirector: Served::default(),
            storage: Served::default(),
            s3: S3Options::default(),
            old_images: OldImages::default(),
            event_logs: None,
        }
    }
}

/// A running embedded cluster.
pub struct Embedded {
    server: ApiServer,
    cluster: Cluster,
    node: Node,
    operator: Operator,
    buckets: Option<Endpoint>,
    kubeconfig: String,
    url: String,
    volumes: PathBuf,
}

impl Embedded {
    /// Starts every part; when this returns, an application can be created.
    pub async fn start(options: Options) -> Result<Self, Failure> {
        std::fs::create_dir_all(&options.data_dir).map_err(Failure::internal)?;
        let octet = network::octet(&options.data_dir)?;
        let mut node_config = NodeConfig {
            name: NODE_NAME.to_owned(),
            data_dir: options.data_dir.join(NODE_DIR),
            loopback: octet,
            exe: std::env::current_exe().map_err(Failure::internal)?,
            images: images(sparks::find()),
            // The port is known once the server listens: 443 needs privileges.
            api: ApiEndpoint {
                host: Ipv4Addr::new(127, octet.get(), 0, 1),
                port: 443,
            },
            capacity: capacity(),
            orphans: options.orphans,
        };
        let streams = NodeStreams::new(&node_config);

        let mut config = Config::new(options.data_dir.join("api"));
        config.loopback_octet = octet.get();
        config.port = options
            .port
            .or_else(|| config.kept_port())
            .unwrap_or(config.port);
        let server = ApiServer::start(config, streams.clone())
            .await
            .map_err(|error| cannot_start(&error))?;
        let address = server.address().zip(server.service_address());
        let Some((address, service)) = address else {
            return Err(Failure::internal(anyhow::anyhow!(
                "the API server does not listen"
            )));
        };
        let admin = server.client(User::admin());
        setup::apply(&admin, &options).await?;
        let serves_originals =
            options.original_api == Served::Yes || serves_originals(&admin).await?;
        let serves_clusters =
            options.virtual_clusters == Served::Yes || serves_virtual_clusters(&admin).await?;
        let serves_storage = options.storage == Served::Yes || serves_storage(&admin).await?;
        let director = DirectorConfig {
            home: setup::OPERATOR_NAMESPACE.to_owned(),
            serves_originals: options.original_kubedirector == Served::Yes
                || serves_original_kubedirector(&admin).await?,
            serves_budgets: true,
            lets_claims_grow: serves_storage,
        };
        // Before the operator, which asks it at once.
        let buckets = s3::start(&options, octet).await?;
        let storage = StorageConfig {
            growth: Growth::OnRequest,
            buckets: s3::settings(buckets.as_ref()),
            ..StorageConfig::default()
        };

        // What a cluster for one command has kept would go with it.
        let kept_logs = (options.orphans == Orphans::GoOn).then(|| logs::Settings {
            kept_in: Some(logs::KeptIn::Folder(options.data_dir.join(LOGS_DIR))),
            asked_for: if serves_storage {
                logs::AskedFor::Served
            } else {
                logs::AskedFor::Unserved
            },
            retention: logs::RETENTION,
            size: logs::SIZE,
        });

        let volumes = options.data_dir.join("volumes");
        let cluster = Cluster::start(
            server.client(User::component("kube-controller-manager")),
            ClusterConfig {
                loopback_octet: octet.get(),
                volumes_dir: volumes.clone(),
                ca_pem: server.ca_certificate().to_owned(),
                job_namespaces: vec!["default".to_owned(), EVERY_NAMESPACE.to_owned()],
                job_manifests: setup::job_manifests()?,
                shared_secret: buckets.as_ref().map(s3::secret),
            },
        )
        .map_err(Failure::internal)?;
        cluster.ready().await;

        node_config.api = ApiEndpoint {
            host: *service.ip(),
            port: service.port(),
        };
        let kubelet = server.client(User::component("kubelet"));
        let node = Node::start(kubelet, node_config, streams)
            .await
            .map_err(Failure::internal)?;

        let operator = Operator::start(
            server.client(setup::operator_user()),
            &OperatorConfig {
                serves_originals,
                old_images: options.old_images,
                event_logs: options.event_logs.and_then(|logs| logs.open()),
                ..operator_config(options.orphans)
            },
            serves_clusters.then_some(&director),
            serves_storage.then_some(&storage),
            kept_logs.as_ref(),
            setup::OPERATOR_NAMESPACE,
        )?;
        let kubeconfig = server.kubeconfig();
        let url = format!("https://{address}");
        Ok(Self {
            server,
            cluster,
            node,
            operator,
            buckets,
            kubeconfig,
            url,
            volumes,
        })
    }

    /// A client over TLS, as any other client has it: port-forwards and log streams need a
    /// connection of their own.
    pub async fn client(&self) -> Result<Client, Failure> {
        let kubeconfig = Kubeconfig::from_yaml(&self.kubeconfig).map_err(Failure::internal)?;
        let config =
            kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
                .await
                .map_err(Failure::internal)?;
        Client::try_from(config).map_err(Failure::internal)
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> &str {
        &self.kubeconfig
    }

    /// Where clients on this machine reach the API.
    pub fn server_url(&self) -> &str {
        &self.url
    }

    /// Where buckets are served, if they are.
    pub fn s3_url(&self) -> Option<String> {
        self.buckets.as_ref().map(Endpoint::url)
    }

    /// The API server, for tests that make it fail.
    pub fn server(&self) -> &ApiServer {
        &self.server
    }

    /// Ends the pods, then everything else.
    pub async fn stop(self) -> Result<(), Failure> {
        self.operator.stop().await?;
        self.cluster.make_no_more_pods();
        teardown::end_pods(&self.server.client(User::admin()), &self.node).await?;
        self.node.shutdown().await;
        self.cluster.shutdown().await;
        windlass_cluster::detach_disks(&self.volumes).await;
        if let Some(buckets) = self.buckets {
            buckets.shutdown().await;
        }
        self.server.shutdown().await;
        Ok(())
    }

    /// Ends everything but the pods; the next start on the same data finds them again.
    pub async fn leave(self) -> Result<(), Failure> {
        self.operator.stop().await?;
        self.node.shutdown().await;
        self.cluster.shutdown().await;
        if let Some(buckets) = self.buckets {
            buckets.shutdown().await;
        }
        self.server.shutdown().await;
        Ok(())
    }
}

/// The operator's settings here: what this machine does not have it will not get, so waiting for
/// an image or a bigger node is soon over.
fn operator_config(orphans: Orphans) -> OperatorConfig {
    let defaults = OperatorConfig::default();
    OperatorConfig {
        default_driver_service_account: Some(setup::DRIVER_ACCOUNT.to_owned()),
        unpullable_image_deadline: HOPELESS,
        misfit_deadline: HOPELESS,
        missing_reference_deadline: match orphans {
            // Others can create what is missing.
            Orphans::GoOn => defaults.missing_reference_deadline,
            // Only the application's own file is ever applied to a cluster for one command.
            Orphans::End => HOPELESS,
        },
        ..defaults
    }
}

/// How long a driver waits for what cannot come.
const HOPELESS: Duration = Duration::from_secs(15);

fn cannot_start(error: &StartError) -> Failure {
    Failure::cluster(error.to_string())
}

/// What the node offers: all of the machine's memory, and more CPU than it has.
///
/// Memory that is promised twice kills processes; CPU that is promised twice only makes them
/// slower. A laptop must be able to run a driver and a few executors of one core each.
fn capacity() -> CapacityOverrides {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get) as u64;
    CapacityOverrides {
        cpu_millis: Some((cores * CPU_OVERCOMMIT).max(MIN_CPU) * 1000),
        ..CapacityOverrides::default()
    }
}

/// How many times each core is offered.
const CPU_OVERCOMMIT: u64 = 4;
/// Cores that are offered at least.
const MIN_CPU: u64 = 16;

/// What image names stand for on this machine.
fn images(found: Vec<Installed>) -> ImageConfig {
    let java_home = sparks::java_home();
    let mut spark = BTreeMap::new();
    for installed in found {
        let Ok(minor) = installed.version.parse::<SparkMinor>() else {
            continue;
        };
        let class_archive = sparks::class_archive(&installed, java_home.as_deref());
        spark.insert(
            minor,
            SparkInstallation {
                class_archive: Some(class_archive).filter(|archive| archive.exists()),
                spark_home: installed.home,
                python: installed.python,
                java_home: java_home.clone(),
            },
        );
    }
    let software = sparks::software().map(|(image, version, home)| {
        let runtime = if home.join("pyvenv.cfg").exists() {
            Runtime::Python
        } else {
            Runtime::Java(java_home.clone())
        };
        let installation = SoftwareInstallation {
            version,
            home,
            runtime,
        };
        (image.to_owned(), installation)
    });
    ImageConfig {
        spark,
        software: software.collect(),
        install_hint: Some(sparks::INSTALL_HINT.to_owned()),
        // Beside the Sparks, so that the cluster of one run finds what the one before has pulled.
        store: Some(sparks::cache().join("images")),
    }
}
