//! `windlass operator`, and the operator as a part of the embedded cluster.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::authorization::v1::ResourceAttributes;
use k8s_openapi::api::rbac::v1::ClusterRole;
use kube::api::{ApiResource, GroupVersionKind};
use kube::{Api, Client};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use windlass_director::controller::{
    CLUSTER, DirectorConfig, ORIGINAL_CLUSTER, clusters, original_apps, original_clusters,
};
use windlass_engine::engine::EngineError;
use windlass_engine::lease::LeaseConfig;
use windlass_engine::webhook::{Certificates, WebhookConfig};
use windlass_engine::{Engine, EngineBuilder, Kind, Namespaces, QueueConfig, Territory};
use windlass_spark::controller::{
    HTTP_ROUTE, ORIGINAL_SPARK_APPLICATION, OperatorConfig, POD_DISRUPTION_BUDGET, POD_MONITOR,
    PolicyDesk, SPARK_HISTORY_SERVER, SPARK_POLICY, original_spark_application,
    scheduled_spark_application, spark_application, spark_connect, spark_history_server,
};
use windlass_spark::lower::{Exposing, IpFamily, Offer};
use windlass_spark::queue::Policy;
use windlass_spark::rbac::Extra;
use windlass_spark::survey::{self, Answer, Look};
use windlass_storage::buckets::object_stores;
use windlass_storage::classes;
use windlass_storage::classes::controller::Claims;
use windlass_storage::growth::controller::GrowingClaims;
use windlass_storage::logs::controller::{KeptLogs, LastWords, kept_logs};
use windlass_storage::nfs::controller::Shares;
use windlass_storage::rbac::STORAGE_ROLE;
use windlass_storage::{Growth, StorageConfig, logs};

use super::check::{list, of_oneself, review};
use super::install;
use crate::args::{ExposingArgs, OperatorArgs};
use crate::exit::{Exit, Failure};
use crate::manifest;
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
        director: Option<&DirectorConfig>,
        storage: Option<&StorageConfig>,
        kept: Option<&logs::Settings>,
        namespace: &str,
    ) -> Result<Self, Failure> {
        let lease = LeaseConfig {
            // Seldom renewed: every renewal is written to the disk of an idle laptop.
            duration: Duration::from_mins(1),
            renew_deadline: Duration::from_secs(40),
            retry_period: Duration::from_secs(15),
            ..LeaseConfig::new(namespace, LEASE, EMBEDDED)
        };
        let desk = PolicyDesk::new(config.policies.clone());
        let running = build(client, config, director, storage, kept, &desk, |builder| {
            builder.lease(lease)
        })?;
        let stop = CancellationToken::new();
        let task = tokio::spawn(running.run(stop.clone()));
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

/// An engine that is ready to run, and what is still kept when it has ended.
struct Running {
    engine: Engine,
    last_words: Option<LastWords>,
}

impl Running {
    async fn run(self, stop: CancellationToken) -> Result<(), EngineError> {
        let result = self.engine.run(stop).await;
        if let Some(last_words) = self.last_words {
            last_words.kept().await;
        }
        result
    }
}

/// An engine with the controllers, and their numbers on its page; its policies are shown to the desk.
fn build(
    client: Client,
    config: &OperatorConfig,
    director: Option<&DirectorConfig>,
    storage: Option<&StorageConfig>,
    kept: Option<&logs::Settings>,
    desk: &PolicyDesk,
    finish: impl FnOnce(EngineBuilder) -> EngineBuilder,
) -> Result<Running, Failure> {
    let config = &OperatorConfig {
        serves_object_stores: storage.is_some(),
        ..config.clone()
    };
    let applications = spark_application(config);
    let metrics = applications.metrics();
    let mut builder = Engine::builder(client.clone())
        .territory(config.territory.clone())
        .controller(applications, QueueConfig::default())
        .controller(scheduled_spark_application(config), QueueConfig::default())
        .controller(spark_connect(config), QueueConfig::default())
        .drain(DRAIN);
    if config.serves_history_servers {
        builder = builder.controller(spark_history_server(config), QueueConfig::default());
    }
    if config.serves_originals {
        builder = builder.controller(original_spark_application(config), QueueConfig::default());
    }
    if let Some(director) = director {
        builder = builder.controller(clusters(director, client.clone()), QueueConfig::default());
        if director.serves_originals {
            builder = builder
                .controller(original_apps(), QueueConfig::default())
                .controller(original_clusters(), QueueConfig::default());
        }
    }
    if let Some(storage) = storage {
        builder = with_storage(builder, storage, client.clone());
    }
    let kept = kept.map(|settings| kept_logs(settings, client));
    let last_words = kept.as_ref().map(KeptLogs::last_words);
    if let Some(kept) = kept {
        builder = builder.controller(kept, QueueConfig::default());
    }
    let engine = finish(builder).build().map_err(Failure::internal)?;
    metrics.register(&engine);
    desk.open(engine.store(&SPARK_POLICY));
    Ok(Running { engine, last_words })
}

/// The controllers of storage.
fn with_storage(builder: EngineBuilder, config: &StorageConfig, client: Client) -> EngineBuilder {
    let mut classes = config.classes.clone();
    if config.nfs.is_some() {
        classes.shares = classes::Shares::Servers;
    }
    let claims = Claims::new(classes.clone());
    let stores = object_stores(&config.buckets, client);
    let mut builder = builder
        .controller(claims, QueueConfig::default())
        .controller(stores, QueueConfig::default());
    if let Some(nfs) = &config.nfs {
        let shares = Shares::new(nfs.clone(), classes);
        builder = builder.controller(shares, QueueConfig::default());
    }
    match config.growth {
        Growth::Off => builder,
        Growth::OnRequest => builder.controller(GrowingClaims::default(), QueueConfig::default()),
    }
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

/// What the operator makes of what it was told to, in this cluster: a watch of what a cluster does
/// not serve, or does not let us watch, would keep the operator from ever being ready.
async fn exposing(
    args: &ExposingArgs,
    client: &Client,
    namespaces: &[String],
) -> Result<Exposing, Failure> {
    let mut offers = Vec::new();
    for extra in args.extras() {
        let (kind, advice, flag) = match extra {
            Extra::HttpRoutes => (HTTP_ROUTE, "the Gateway API", "--ui-gateway"),
            Extra::PodMonitors => (POD_MONITOR, "the Prometheus operator", "--pod-monitors"),
        };
        if !is_served(client, &kind).await? {
            talk(&format!(
                "the cluster does not serve {kind}: applications are told so and run without; install \
                 {advice} and restart this operator"
            ));
            offers.push((extra, Offer::Missing));
        } else if let Some(refused) = refused(client, extra, namespaces).await {
            talk(&format!(
                "this operator may not {refused}: applications are told so and run without; apply \
                 what windlass install prints with {flag}, and restart this operator"
            ));
            offers.push((extra, Offer::Forbidden));
        }
    }
    let offer = |extra: Extra| {
        let known = offers.iter().find(|(of, _)| *of == extra);
        known.map_or(Offer::Served, |(_, offer)| *offer)
    };
    Ok(args.exposing(offer))
}

/// The first thing that the operator would do with objects of this kind and is not allowed to, in
/// words. Where the cluster does not say, the operator tries.
async fn refused(client: &Client, extra: Extra, namespaces: &[String]) -> Option<String> {
    let rule = extra.rule();
    let group = rule.api_groups.iter().flatten().next()?;
    let resource = rule.resources.iter().flatten().next()?;
    let places: Vec<Option<&str>> = if namespaces.is_empty() {
        vec![None]
    } else {
        namespaces.iter().map(|name| Some(name.as_str())).collect()
    };
    for place in places {
        for verb in &rule.verbs {
            let attributes = ResourceAttributes {
                group: Some(group.clone()),
                resource: Some(resource.clone()),
                verb: Some(verb.clone()),
                namespace: place.map(str::to_owned),
                ..ResourceAttributes::default()
            };
            let answer = review(client, &of_oneself(attributes)).await;
            if matches!(answer, Answer::Denied) {
                let place = place.map_or_else(String::new, |it| format!(" in namespace {it}"));
                return Some(format!("{verb} {resource}.{group}{place}"));
            }
        }
    }
    None
}

/// Whether the cluster serves the API of the first operator, which is operated where it is.
pub async fn serves_originals(client: &Client) -> Result<bool, Failure> {
    is_served(client, &ORIGINAL_SPARK_APPLICATION).await
}

/// Whether the cluster serves the kinds of virtual clusters. An embedded one serves them for us alone; in
/// others a KubeDirector may, so an operator has to be told.
pub async fn serves_virtual_clusters(client: &Client) -> Result<bool, Failure> {
    is_served(client, &CLUSTER).await
}

/// Whether the cluster serves the kinds of the first KubeDirector, which are operated where they are.
pub async fn serves_original_kubedirector(client: &Client) -> Result<bool, Failure> {
    is_served(client, &ORIGINAL_CLUSTER).await
}

/// Whether an embedded cluster's operator has the rights to make classes and to operate buckets: it has
/// them where it was told to.
pub async fn serves_storage(client: &Client) -> Result<bool, Failure> {
    let roles: Api<ClusterRole> = Api::all(client.clone());
    let role = roles.get_opt(STORAGE_ROLE).await;
    role.map(|role| role.is_some()).map_err(Failure::internal)
}

async fn is_served(client: &Client, kind: &Kind) -> Result<bool, Failure> {
    match client.list_api_group_resources(&kind.api_version()).await {
        Ok(list) => Ok(list.resources.iter().any(|it| it.name == kind.plural)),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(false),
        Err(error) => Err(Failure::cluster(format!(
            "the cluster does not say whether it serves {kind}: {error}"
        ))),
    }
}

/// An engine for a cluster that answers, with the address of its probes taken.
async fn engine(args: &OperatorArgs) -> Result<Running, Failure> {
    let kept = kept(args)?;
    let mut config = OperatorConfig {
        territory: territory(args),
        policies: manifest::policies(args.policy.as_deref())?,
        metrics_labels: args.metrics_labels.clone(),
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
    config.queue = Policy::defaults(args.max_running, args.max_cpu, args.max_memory);
    config.protect_drivers = args.protect_drivers;
    // The node tells every pod, so this one of the operator, where the cluster's API is.
    if let Ok(address) = std::env::var("KUBERNETES_SERVICE_HOST") {
        config.pod_addresses = IpFamily::of_address(&address);
    }
    let kube_config =
        crate::connect::config(args.kubeconfig.as_deref(), args.context.as_deref()).await?;
    let client = windlass_engine::api::client(kube_config).map_err(Failure::internal)?;
    let version = client
        .apiserver_version()
        .await
        .map_err(Failure::unreachable)?;
    if !args.beside_other_operators {
        refuse_company(&client, &config.territory.namespaces, args.virtual_clusters).await?;
    }
    config.serves_budgets = is_served(&client, &POD_DISRUPTION_BUDGET).await?;
    if !config.serves_budgets {
        talk(&format!(
            "the cluster does not serve {POD_DISRUPTION_BUDGET}, which Kubernetes does since 1.21: \
             nothing makes evictions wait for drivers"
        ));
    }
    config.serves_history_servers = is_served(&client, &SPARK_HISTORY_SERVER).await?;
    if !config.serves_history_servers {
        talk(&format!(
            "the cluster does not know {SPARK_HISTORY_SERVER}: none are served; apply what windlass install \
             prints, and restart this operator"
        ));
    }
    config.exposing = exposing(&args.exposing, &client, &args.namespaces).await?;
    config.old_images = args.original.old_images();
    let has_originals = serves_originals(&client).await?;
    config.serves_originals = args.original_api || has_originals;
    if has_originals {
        talk(&format!(
            "{ORIGINAL_SPARK_APPLICATION} of the first operator are served, too"
        ));
    } else if args.original_api {
        talk(&format!(
            "{ORIGINAL_SPARK_APPLICATION} of the first operator are waited for: the cluster does not \
             know them yet; apply what windlass install --original-api prints"
        ));
    }
    if args.virtual_clusters && !serves_virtual_clusters(&client).await? {
        talk(&format!(
            "the cluster does not know {CLUSTER}: apply what windlass install --virtual-clusters prints; \
             this operator is not ready before"
        ));
    }
    let director = if args.virtual_clusters {
        let is_served = serves_original_kubedirector(&client).await?;
        Some(DirectorConfig {
            home: args.lease_namespace.clone(),
            serves_originals: args.original_kubedirector || is_served,
            serves_budgets: config.serves_budgets,
            lets_claims_grow: args.storage && args.storage_auto_grow,
        })
    } else {
        None
    };
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
    let desk = Arc::new(PolicyDesk::new(config.policies.clone()));
    let webhook = webhook(args, &config, &desk).await?;
    let storage = args.storage.then(|| StorageConfig {
        classes: args.storage_classes.settings(&args.storage_class_names),
        buckets: args
            .object_stores
            .settings(args.storage_classes.storage_provider),
        growth: if args.storage_auto_grow {
            Growth::OnRequest
        } else {
            Growth::Off
        },
        nfs: args.nfs.settings(),
    });
    let finish = |mut builder: EngineBuilder| {
        if let Some(webhook) = webhook {
            builder = builder.webhook(webhook);
        }
        builder
            .reporter("windlass-operator", &identity)
            .lease(LeaseConfig::new(&args.lease_namespace, LEASE, &identity))
            .probes(listener)
    };
    let (director, storage, kept) = (director.as_ref(), storage.as_ref(), kept.as_ref());
    let engine = build(client, &config, director, storage, kept, &desk, finish)?;
    talk(&format!(
        "operator {identity} serves {} (Kubernetes {}), probes and metrics at http://{}",
        in_words(&config.territory),
        version.git_version,
        args.listen
    ));
    Ok(engine)
}

/// Which logs are kept where: none without a place of their own, or ObjectStores that applications may name.
fn kept(args: &OperatorArgs) -> Result<Option<logs::Settings>, Failure> {
    if let Some(place @ logs::KeptIn::Bucket(_)) = &args.keep_logs
        && !args.storage
    {
        return Err(Failure::bad_input(format!(
            "--keep-logs {place}: an operator without --storage looks after no ObjectStores: add it, or name a \
             folder"
        )));
    }
    let settings = logs::Settings {
        kept_in: args.keep_logs.clone(),
        asked_for: if args.storage {
            logs::AskedFor::Served
        } else {
            logs::AskedFor::Unserved
        },
        retention: args.log_retention.unwrap_or(logs::RETENTION),
        size: args.log_size.unwrap_or(logs::SIZE),
    };
    Ok((settings.kept_in.is_some() || args.storage).then_some(settings))
}

/// What the operator is responsible for.
fn territory(args: &OperatorArgs) -> Territory {
    let selector = args.namespace_selector.as_ref();
    let mut territory = match selector.filter(|it| !it.is_everything()) {
        Some(selector) => Territory {
            namespaces: Namespaces::Selected(selector.clone()),
            ..Territory::default()
        },
        None => Territory::of_namespaces(args.namespaces.clone()),
    };
    territory.objects.clone_from(&args.selector);
    territory
}

fn in_words(territory: &Territory) -> String {
    let namespaces = match &territory.namespaces {
        Namespaces::All => "every namespace".to_owned(),
        Namespaces::Named(names) => names.join(", "),
        Namespaces::Selected(selector) => format!("the namespaces with {selector}"),
    };
    match &territory.objects {
        Some(selector) if !selector.is_everything() => {
            format!("what has {selector} in {namespaces}")
        }
        _ => namespaces,
    }
}

/// The webhook that was asked for, with its address taken.
async fn webhook(
    args: &OperatorArgs,
    config: &OperatorConfig,
    desk: &Arc<PolicyDesk>,
) -> Result<Option<WebhookConfig>, Failure> {
    let Some(address) = args.webhook_listen else {
        return Ok(None);
    };
    let listener = TcpListener::bind(address).await.map_err(|error| {
        Failure::bad_input(format!(
            "--webhook-listen {address}: {error}: choose a free address"
        ))
    })?;
    let (service, home) = (&args.webhook_service, &args.lease_namespace);
    let certificates = match &args.webhook_certificates {
        Some(folder) => Certificates::Files(folder.clone()),
        None => Certificates::Own {
            namespace: home.clone(),
            secret: service.clone(),
            names: vec![format!("{service}.{home}.svc")],
            configuration: install::webhook_configuration(home),
        },
    };
    let mut routes = windlass_spark::webhook::routes(
        config.settings(),
        config.old_images.clone(),
        Arc::clone(desk),
    );
    if args.virtual_clusters {
        routes.push(windlass_director::webhook::route(home));
    }
    Ok(Some(WebhookConfig {
        listener,
        certificates,
        routes,
    }))
}

/// Two operators of the same applications would each start them: the one that comes second does
/// not start. What may not be looked at is told, and does not stop us.
async fn refuse_company(
    client: &Client,
    ours: &Namespaces,
    virtual_clusters: bool,
) -> Result<(), Failure> {
    let mut seen = Vec::new();
    for (group, kind) in [("coordination.k8s.io", "Lease"), ("apps", "Deployment")] {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, "v1", kind));
        match list(client, &resource, &[]).await? {
            Look::Seen(objects) => seen.push(objects),
            // An operator that serves some namespaces alone has no rights in the others.
            Look::Refused(_) => {
                talk(&format!(
                    "note: {kind}s of other namespaces may not be read, so whether another operator \
                     serves the same applications is not known; windlass check tells"
                ));
                return Ok(());
            }
        }
    }
    let others = match &seen[..] {
        [leases, deployments] => {
            let namespaces = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "Namespace"));
            let known = match list(client, &namespaces, &[]).await? {
                Look::Seen(known) => Some(known),
                Look::Refused(_) => None,
            };
            let now = jiff::Timestamp::now();
            let mut others = survey::others(leases, deployments, ours, known.as_deref(), now);
            if virtual_clusters {
                others.extend(survey::kubedirectors(deployments));
            }
            others
        }
        _ => Vec::new(),
    };
    let Some(other) = others.first() else {
        return Ok(());
    };
    Err(Failure::cluster(format!(
        "another operator serves the same objects: {}: stop it first{}; they are taken over as they \
         are. --beside-other-operators starts nevertheless",
        other.seen,
        other
            .stop
            .as_ref()
            .map(|stop| format!(" ({stop})"))
            .unwrap_or_default()
    )))
}
