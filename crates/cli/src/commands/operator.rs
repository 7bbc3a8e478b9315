//! `windlass operator`, and the operator as a part of the embedded cluster.

use std::time::Duration;

use kube::Client;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use windlass_engine::engine::EngineError;
use windlass_engine::lease::LeaseConfig;
use windlass_engine::{Engine, EngineBuilder, QueueConfig};
use windlass_spark::controller::{OperatorConfig, scheduled_spark_application, spark_application};

use crate::args::OperatorArgs;
use crate::exit::{Exit, Failure};
use crate::output::talk;

/// Name of the Lease that makes one operator the leader.
pub const LEASE: &str = "windlass-operator";

/// Who holds the Lease in an embedded cluster. The data directory has one holder only, so its next
/// one is the same to the Lease and takes over at once.
const EMBEDDED: &str = "windlass-embedded";

/// How long running work may take to finish when the operator is told to stop.
const DRAIN: Duration = Duration::from_secs(20);

/// An operator inside this process.
pub struct Operator {
    stop: CancellationToken,
    task: JoinHandle<Result<(), EngineError>>,
}

impl Operator {
    /// Starts the controllers. They hold the operators' Lease in `namespace`, so that another
    /// operator of the cluster stands by, and so that it can be seen that one is live.
    pub fn start(
        client: Client,
        config: &OperatorConfig,
        namespace: &str,
    ) -> Result<Self, Failure> {
        let engine = builder(client, config)
            .lease(LeaseConfig {
                // Seldom renewed: every renewal is written to the disk of an idle laptop.
                duration: Duration::from_mins(1),
                renew_deadline: Duration::from_secs(40),
                retry_period: Duration::from_secs(15),
                ..LeaseConfig::new(namespace, LEASE, EMBEDDED)
            })
            .drain(DRAIN)
            .build()
            .map_err(Failure::internal)?;
        let stop = CancellationToken::new();
        let task = tokio::spawn(engine.run(stop.clone()));
        Ok(Self { stop, task })
    }

    /// Lets running work finish, then ends.
    pub async fn stop(self) -> Result<(), Failure> {
        self.stop.cancel();
        match self.task.await {
            Ok(result) => result.map_err(Failure::internal),
            Err(error) => Err(Failure::internal(error)),
        }
    }
}

fn builder(client: Client, config: &OperatorConfig) -> EngineBuilder {
    let namespaces = config.namespaces.clone();
    Engine::builder(client)
        .namespaces(namespaces)
        .controller(spark_application(config), QueueConfig::default())
        .controller(scheduled_spark_application(), QueueConfig::default())
}

/// Serves a cluster until a signal comes.
pub async fn operator(args: OperatorArgs) -> Result<Exit, Failure> {
    // Signals are heard from the first moment on: in a container this is the first process, which
    // a signal does not end by itself.
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::internal)?;
    let engine = tokio::select! {
        engine = engine(&args) => engine?,
        _ = terminate.recv() => return Ok(Exit::Completed),
        _ = tokio::signal::ctrl_c() => return Ok(Exit::Completed),
    };
    let stop = CancellationToken::new();
    let run = engine.run(stop.clone());
    let mut run = std::pin::pin!(run);
    tokio::select! {
        result = &mut run => return result.map(|()| Exit::Completed).map_err(Failure::internal),
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    talk("stopping: running work is finished first");
    stop.cancel();
    run.await.map_err(Failure::internal)?;
    Ok(Exit::Completed)
}

/// An engine for a cluster that answers, with the address of its probes taken.
async fn engine(args: &OperatorArgs) -> Result<Engine, Failure> {
    let mut config = OperatorConfig {
        namespaces: args.namespaces.clone(),
        ..OperatorConfig::default()
    };
    if let Some(account) = &args.default_driver_service_account {
        config.default_driver_service_account = Some(account.clone());
    }
    if let Some(seconds) = args.pending_driver_deadline {
        config.pending_driver_deadline = Duration::from_secs(seconds);
    }
    if let Some(seconds) = args.unpullable_image_deadline {
        config.unpullable_image_deadline = Duration::from_secs(seconds);
    }
    config.finished_driver_retention = args.finished_driver_retention.map(Duration::from_secs);
    if let Some(seconds) = args.silent_node_deadline {
        config.silent_node_deadline = Duration::from_secs(seconds);
    }
    let kube_config =
        crate::connect::config(args.kubeconfig.as_deref(), args.context.as_deref()).await?;
    let client = windlass_engine::api::client(kube_config).map_err(Failure::internal)?;
    let version = client.apiserver_version().await.map_err(|error| {
        Failure::cluster(format!(
            "the cluster cannot be reached: {error}: check --context, --kubeconfig and your network"
        ))
    })?;
    let listener = TcpListener::bind(args.listen).await.map_err(|error| {
        Failure::bad_input(format!(
            "--listen {}: {error}: choose a free address",
            args.listen
        ))
    })?;
    let identity = format!(
        "{}_{:x}",
        std::env::var("HOSTNAME").unwrap_or_else(|_| "windlass".to_owned()),
        jiff::Timestamp::now().as_nanosecond()
    );
    let engine = builder(client, &config)
        .reporter("windlass-operator", &identity)
        .lease(LeaseConfig::new(&args.lease_namespace, LEASE, &identity))
        .probes(listener)
        .drain(DRAIN)
        .build()
        .map_err(Failure::internal)?;
    talk(&format!(
        "operator {identity} serves {} (Kubernetes {}), probes and metrics at http://{}",
        if args.namespaces.is_empty() {
            "every namespace".to_owned()
        } else {
            args.namespaces.join(", ")
        },
        version.git_version,
        args.listen
    ));
    Ok(engine)
}
