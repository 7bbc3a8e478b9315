//! For whoever keeps a cluster: the operator, what it needs there, and whether all is well.

use std::path::PathBuf;

use clap::{ArgAction, Args};
use jiff::SignedDuration;
use windlass_api::names::{DnsLabel, DnsSubdomain, NameError};
use windlass_api::quantity::Quantity;
use windlass_engine::Selector;
use windlass_storage::classes::NamePattern;
use windlass_storage::logs::{BucketName, KeptIn};

use super::{
    ClusterArgs, ExposingArgs, IssuerRef, NfsArgs, ObjectStoreArgs, OriginalArgs, StorageArgs, Told,
};

/// Arguments of `windlass operator`.
#[derive(Debug, Args)]
pub struct OperatorArgs {
    /// Use this context of the kubeconfig.
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
    /// Use this kubeconfig (default: in-cluster, else KUBECONFIG, else ~/.kube/config).
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Namespaces to serve, comma separated (default: all).
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        env = "WINDLASS_NAMESPACES"
    )]
    pub namespaces: Vec<String>,
    /// Labels of the namespaces to serve, as a label selector; a namespace that gets them is served
    /// from then on, and one that loses them no longer.
    #[arg(long, value_name = "SELECTOR", conflicts_with = "namespaces")]
    pub namespace_selector: Option<Selector>,
    /// Labels of the applications, schedules and Connect servers to serve, as a label selector
    /// (default: all).
    #[arg(long, value_name = "SELECTOR")]
    pub selector: Option<Selector>,
    /// SparkPolicies about the jobs of all namespaces, or of the one they name; read at the start.
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// ServiceAccount for drivers whose application names none.
    #[arg(long, value_name = "NAME")]
    pub default_driver_service_account: Option<String>,
    /// Namespace of the leader election Lease.
    #[arg(
        long,
        value_name = "NAMESPACE",
        env = "POD_NAMESPACE",
        default_value = "windlass-system"
    )]
    pub lease_namespace: String,
    /// Address of /healthz, /readyz and /metrics.
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:8080")]
    pub listen: std::net::SocketAddr,
    /// How long a driver may stay Pending before its attempt counts as failed, in seconds.
    #[arg(long, value_name = "SECONDS")]
    pub pending_driver_deadline: Option<u64>,
    /// How long a driver may wait for an image that cannot be pulled before its attempt counts as
    /// failed, in seconds.
    #[arg(long, value_name = "SECONDS")]
    pub unpullable_image_deadline: Option<u64>,
    /// How long the driver pod of a finished application stays for its log, in seconds (default:
    /// as long as the application).
    #[arg(long, value_name = "SECONDS")]
    pub finished_driver_retention: Option<u64>,
    /// How long a node may be silent before a driver on it is replaced, where restartPolicy.nodeLoss
    /// is Replace, in seconds.
    #[arg(long, value_name = "SECONDS")]
    pub silent_node_deadline: Option<u64>,
    /// Address of the webhook for the API server; without it there is none. What it tells at once,
    /// statuses tell later.
    #[arg(long, value_name = "ADDRESS")]
    pub webhook_listen: Option<std::net::SocketAddr>,
    /// Service by which the API server calls the webhook, in the namespace of the Lease; also the
    /// Secret that keeps its certificates.
    #[arg(long, value_name = "NAME", default_value = "windlass-webhook")]
    pub webhook_service: String,
    /// Folder with tls.crt and tls.key for the webhook, read again when they change (default: own
    /// certificates, kept in the Secret and told to the webhook configurations).
    #[arg(long, value_name = "DIR")]
    pub webhook_certificates: Option<PathBuf>,
    /// Start although another operator of the same kinds lives and serves the same namespaces.
    #[arg(long)]
    pub beside_other_operators: bool,
    /// How many applications of a namespace run at once, where no ResourceQuota of it gives
    /// windlass.dev/running (default: all).
    #[arg(long, value_name = "N")]
    pub max_running: Option<u32>,
    /// How much CPU they request together, where no ResourceQuota gives windlass.dev/cpu.
    #[arg(long, value_name = "QUANTITY")]
    pub max_cpu: Option<Quantity>,
    /// How much memory they request together, where no ResourceQuota gives windlass.dev/memory.
    #[arg(long, value_name = "QUANTITY")]
    pub max_memory: Option<Quantity>,
    /// Whether evictions wait for drivers, unless driverPodDisruptionBudget says otherwise.
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set)]
    pub protect_drivers: bool,
    /// Labels of applications that their metrics have, too, comma separated; "namespace" stands
    /// for the namespace.
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub metrics_labels: Vec<String>,
    /// Serve the API of the first Spark operator (spark-operator.k8s.io/v1alpha1), and be ready when
    /// the cluster knows it (default: serve it where the cluster knows it at the start).
    #[arg(long)]
    pub original_api: bool,
    /// Its applications.
    #[command(flatten)]
    pub original: OriginalArgs,
    /// Also operate virtual clusters (kubedirector.hpe.com/v1beta1), and be ready when the cluster knows
    /// them. No KubeDirector may do so beside it.
    #[arg(long)]
    pub virtual_clusters: bool,
    /// Serve the kinds of the first KubeDirector (kubedirector.bluedata.io/v1alpha1), and be ready when
    /// the cluster knows them (default: serve them where the cluster knows them at the start).
    #[arg(long, requires = "virtual_clusters")]
    pub original_kubedirector: bool,
    /// Also make classes for claims that name one which does not exist, in namespaces that want them, and
    /// operate buckets.
    #[arg(long)]
    pub storage: bool,
    /// Also let claims grow by themselves whose annotations say so (windlass.dev/auto-grow-max).
    #[arg(long, requires = "storage")]
    pub storage_auto_grow: bool,
    /// Names of classes that are made for claims of every namespace, comma separated; * stands for
    /// anything, and alone for every name (default: a namespace wants classes by its label
    /// windlass.dev/storage-classes=make).
    #[arg(long, value_name = "LIST", value_delimiter = ',', requires = "storage")]
    pub storage_class_names: Vec<NamePattern>,
    /// How classes are chosen.
    #[command(flatten)]
    pub storage_classes: StorageArgs,
    /// What ObjectStores get.
    #[command(flatten)]
    pub object_stores: ObjectStoreArgs,
    /// How NFS servers are made.
    #[command(flatten)]
    pub nfs: NfsArgs,
    /// Keep the logs of drivers, executors and Connect servers where they outlive their pods and applications:
    /// in a folder, which must outlive the operator, or in the bucket of an ObjectStore, as
    /// objectstore/NAMESPACE/NAME, for which there must be --storage. With --storage, applications may name a
    /// bucket of their own (keepLogs) without this.
    #[arg(long, value_name = "PLACE")]
    pub keep_logs: Option<KeptIn>,
    /// How long a log is kept after its last line, when its pod is gone, where its namespace does not say so by
    /// its annotation windlass.dev/log-retention (default: 168h).
    #[arg(long, value_name = "DURATION", value_parser = retention)]
    pub log_retention: Option<SignedDuration>,
    /// How many bytes of a log are kept, with the times of its lines; the oldest lines go first (default: 1Gi).
    #[arg(long, value_name = "QUANTITY", value_parser = log_size)]
    pub log_size: Option<u64>,
    /// How drivers are reached.
    #[command(flatten)]
    pub exposing: ExposingArgs,
}

/// Arguments of `windlass install`.
#[derive(Debug, Args)]
pub struct InstallArgs {
    /// Namespace of the operator.
    #[arg(long, value_name = "NAMESPACE", default_value = "windlass-system", value_parser = namespace)]
    pub namespace: DnsLabel,
    /// Namespaces whose jobs the operator runs, comma separated; it has no rights in others
    /// (default: all, and drivers get their account in "default").
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = namespace)]
    pub job_namespaces: Vec<DnsLabel>,
    /// Labels of the namespaces whose jobs the operator runs, as a label selector; it has rights in
    /// all.
    #[arg(long, value_name = "SELECTOR", conflicts_with = "job_namespaces")]
    pub namespace_selector: Option<Selector>,
    /// Labels of the applications, schedules and Connect servers that it serves, as a label selector
    /// (default: all).
    #[arg(long, value_name = "SELECTOR")]
    pub selector: Option<Selector>,
    /// SparkPolicies that the operator gets, in a ConfigMap of its own namespace.
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// Registry that has the operator's image, windlass:VERSION.
    #[arg(long, value_name = "REGISTRY", default_value = "docker.io/windlass")]
    pub registry: String,
    /// The operator's image, where it is neither of this name nor of this version.
    #[arg(long, value_name = "IMAGE", conflicts_with = "registry")]
    pub image: Option<String>,
    /// Operators, of which one works and the others stand by.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub replicas: u32,
    /// Also a webhook, which tells of mistakes in objects before they are stored and customises
    /// pods by the annotations of the original operator.
    #[arg(long)]
    pub webhook: bool,
    /// Let cert-manager make and renew the webhook's certificates; it must be in the cluster, with
    /// its CA injector.
    #[arg(long, requires = "webhook")]
    pub cert_manager: bool,
    /// Who issues these certificates, Issuer/NAME or ClusterIssuer/NAME (default: an Issuer of their
    /// own, by which they sign themselves).
    #[arg(long, value_name = "KIND/NAME", requires = "cert_manager")]
    pub cert_manager_issuer: Option<IssuerRef>,
    /// Also the API of the first Spark operator (spark-operator.k8s.io/v1alpha1).
    #[arg(long)]
    pub original_api: bool,
    /// Its applications.
    #[command(flatten)]
    pub original: OriginalArgs,
    /// Also virtual clusters (kubedirector.hpe.com/v1beta1), with their definitions and the rights to
    /// operate them, which are wide and hold in the whole cluster. No KubeDirector may do so beside it.
    #[arg(long, conflicts_with = "job_namespaces")]
    pub virtual_clusters: bool,
    /// Also the kinds of the first KubeDirector (kubedirector.bluedata.io/v1alpha1).
    #[arg(long, requires = "virtual_clusters")]
    pub original_kubedirector: bool,
    /// Also storage: classes for claims of namespaces that want them, and buckets, with the rights to make
    /// them, which hold in the whole cluster.
    #[arg(long, conflicts_with = "job_namespaces")]
    pub storage: bool,
    /// Also let claims grow by themselves whose annotations say so. The right to ask kubelets how full volumes
    /// are (nodes/proxy) is also a way into pods.
    #[arg(long, requires = "storage")]
    pub storage_auto_grow: bool,
    /// Also make an NFS server for each class of shares, in a namespace of their own: their pods open files
    /// for whoever owns them, which the stricter pod security standards do not allow. Who may make them there
    /// may make other privileged pods.
    #[arg(long, requires = "storage")]
    pub storage_nfs: bool,
    /// The namespace of NFS servers, which has to be there: it is not printed, so that removing what was
    /// printed leaves the data.
    #[arg(
        long,
        value_name = "NAME",
        requires = "storage_nfs",
        value_parser = namespace,
        default_value = windlass_storage::nfs::server::NAMESPACE
    )]
    pub storage_nfs_namespace: DnsLabel,
    /// Also keep the logs of drivers, executors and Connect servers in the bucket of an ObjectStore.
    #[arg(
        long,
        value_name = "objectstore/NAMESPACE/NAME",
        requires = "storage",
        value_parser = bucket
    )]
    pub keep_logs: Option<BucketName>,
    /// Also keep them on the volume of this PersistentVolumeClaim of the operator's namespace, which has to be
    /// there: it is not printed, so that removing what was printed leaves the logs.
    #[arg(long, value_name = "NAME", conflicts_with = "keep_logs", value_parser = claim)]
    pub keep_logs_claim: Option<DnsSubdomain>,
    /// How drivers are reached.
    #[command(flatten)]
    pub exposing: ExposingArgs,
    /// Further arguments of the operator, as `windlass operator --help` shows them.
    #[arg(last = true, value_name = "ARGUMENTS")]
    pub further: Vec<String>,
}

/// Arguments of `windlass check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Before the installation: what would stand in its way.
    #[arg(long)]
    pub pre: bool,
    /// Namespace of the operator.
    #[arg(long, value_name = "NAMESPACE", default_value = "windlass-system", value_parser = namespace)]
    pub namespace: DnsLabel,
    /// Namespaces whose jobs the operator runs, as given to install, comma separated (default: all).
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = namespace)]
    pub job_namespaces: Vec<DnsLabel>,
    /// Labels of the namespaces whose jobs it runs, as given to install.
    #[arg(long, value_name = "SELECTOR", conflicts_with = "job_namespaces")]
    pub namespace_selector: Option<Selector>,
    /// Also what virtual clusters need (default: where the operator is told to operate them).
    #[arg(long)]
    pub virtual_clusters: bool,
    /// Also what storage needs (default: where the operator is told to operate it).
    #[arg(long)]
    pub storage: bool,
    /// Output format.
    #[arg(short, long, value_enum, default_value_t = Told::Text)]
    pub output: Told,
    /// The cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

/// Arguments of `windlass images`.
#[derive(Debug, Args)]
pub struct ImagesArgs {
    /// Registry that has the operator's image, windlass:VERSION.
    #[arg(long, value_name = "REGISTRY", default_value = "docker.io/windlass")]
    pub registry: String,
    /// Also those of the pods of this SparkApplication manifest ("-" is standard input); may be
    /// repeated.
    #[arg(short, long, value_name = "FILE")]
    pub file: Vec<PathBuf>,
}

/// A bucket that logs are kept in.
fn bucket(text: &str) -> Result<BucketName, String> {
    match text.parse() {
        Ok(KeptIn::Bucket(bucket)) => Ok(bucket),
        Ok(KeptIn::Folder(_)) => Err(
            "name the bucket of an ObjectStore as objectstore/NAMESPACE/NAME; a volume is mounted with \
             --keep-logs-claim"
                .to_owned(),
        ),
        Err(error) => Err(error.to_string()),
    }
}

fn claim(text: &str) -> Result<DnsSubdomain, NameError> {
    DnsSubdomain::new(text)
}

/// A time that logs are kept.
fn retention(text: &str) -> Result<SignedDuration, String> {
    windlass_storage::logs::retention(text).ok_or_else(|| "give a duration such as 168h".to_owned())
}

/// A size that logs may have.
fn log_size(text: &str) -> Result<u64, String> {
    let quantity = text
        .parse::<Quantity>()
        .map_err(|error| error.to_string())?;
    let bytes = quantity.units().and_then(|it| u64::try_from(it).ok());
    let enough = bytes.filter(|it| *it >= windlass_storage::logs::SIZE_MIN);
    enough.ok_or_else(|| "give at least 1Mi".to_owned())
}

pub(super) fn namespace(text: &str) -> Result<DnsLabel, NameError> {
    DnsLabel::new(text)
}
