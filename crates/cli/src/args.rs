//! The command line, as data. Parsing only; nothing here acts.

mod applications;
mod exposing;
mod issuer;

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use windlass_api::names::{DnsLabel, NameError};
use windlass_api::quantity::Quantity;
use windlass_api::spark::original::{CurrentImage, OldImages};
use windlass_engine::Selector;

pub use applications::{
    Awaited, ChangeArgs, ConnectArgs, DeleteArgs, DiffArgs, EventsArgs, ForwardArgs, ListArgs,
    LogsArgs, PlaceArgs, Show, StatusArgs, SubmitArgs, Told, TriggerArgs, WaitArgs, WhyArgs,
};
pub use exposing::{ExposingArgs, Json};
pub use issuer::IssuerRef;

/// Runs Spark jobs and stateful data clusters on Kubernetes, and the same YAML on a laptop.
#[derive(Debug, Parser)]
#[command(
    name = "windlass",
    version,
    propagate_version = true,
    max_term_width = 100
)]
#[command(
    after_help = "Exit codes: 0 completed, 1 the job failed, 2 bad input, 3 the cluster \
cannot be reached or is not ready,\n4 stopped on request, 5 an error inside Windlass."
)]
pub struct Cli {
    /// Log more of what Windlass does to stderr (repeat for debug).
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a job and follow it to its end; the exit code is the job's result.
    Run(Box<RunArgs>),
    /// Start the embedded cluster with the operator and write a kubeconfig for kubectl.
    Up(UpArgs),
    /// Stop the embedded cluster.
    Down(DownArgs),
    /// Create an application and return, without waiting for it.
    Submit(Box<SubmitArgs>),
    /// List applications, schedules or Connect servers.
    List(ListArgs),
    /// Show an application, a schedule or a Connect server, or the cluster and all there is in it.
    Status(StatusArgs),
    /// Tell why an application, a schedule or a Connect server is not well, and what to do.
    Why(WhyArgs),
    /// Print the log of a driver or Connect server, or of one of its executors.
    Logs(LogsArgs),
    /// Print the events about an application, its pods and claims, about a schedule or a server.
    Events(EventsArgs),
    /// Make the web page of a driver or Connect server reachable at a port of this machine.
    Forward(ForwardArgs),
    /// Open a Python shell, or run a Python program, on a Spark Connect server.
    Connect(ConnectArgs),
    /// Wait until an application has ended, a Connect server answers, or for something else.
    Wait(WaitArgs),
    /// Stop applications and Connect servers without losing them, or schedules from starting runs; no
    /// retry is spent.
    Suspend(ChangeArgs),
    /// Undo suspend; a Connect server that nobody used is started, too.
    Resume(ChangeArgs),
    /// Run applications once more.
    Rerun(ChangeArgs),
    /// Show what applying a file would change of an application, and what that does to its run.
    Diff(DiffArgs),
    /// Delete applications, schedules or Connect servers, their pods and all that goes with them.
    Delete(DeleteArgs),
    /// Archive the classes of the installed Sparks, so that the JVMs of later jobs start faster.
    Warm(WarmArgs),
    /// Print the objects a submission would create, without a cluster.
    Render(RenderArgs),
    /// Check a file and report every mistake with its field.
    Validate(ValidateArgs),
    /// Run the operator against a cluster (kubeconfig or in-cluster).
    Operator(Box<OperatorArgs>),
    /// Print what a cluster needs for the operator, for `kubectl apply -f -`.
    Install(Box<InstallArgs>),
    /// Tell whether a cluster is ready for the operator, or the operator well in it.
    Check(CheckArgs),
    /// Print the container images that a cluster pulls for the operator, and for manifests.
    Images(ImagesArgs),
    /// Print the CustomResourceDefinitions for `kubectl apply -f -`.
    Crd,
    /// Start a run of a schedule now, and print its name.
    Trigger(TriggerArgs),
    /// Print a shell completion script.
    Completion {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the version.
    Version,
}

/// Which cluster a command talks to. Without any of these: the embedded cluster.
#[derive(Debug, Clone, Default, Args)]
pub struct ClusterArgs {
    /// Use this context of the kubeconfig instead of the embedded cluster.
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
    /// Use the cluster of this kubeconfig file instead of the embedded cluster.
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Where the embedded cluster keeps its data.
    #[arg(long, value_name = "DIR", env = "WINDLASS_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// The cluster where none is named.
    #[arg(skip)]
    pub usual: Usual,
}

impl ClusterArgs {
    /// Whether it is a cluster other than the embedded one.
    pub fn names_a_cluster(&self) -> bool {
        self.context.is_some() || self.kubeconfig.is_some() || self.usual == Usual::Kubectls
    }
}

/// The cluster that is meant where none is named.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Usual {
    /// The embedded one.
    #[default]
    Embedded,
    /// The one kubectl talks to.
    Kubectls,
}

impl Command {
    /// As a plugin of kubectl, every command is about the cluster that kubectl talks to.
    pub fn as_plugin(&mut self) {
        if let Some(cluster) = self.cluster() {
            cluster.usual = Usual::Kubectls;
        }
    }

    fn cluster(&mut self) -> Option<&mut ClusterArgs> {
        match self {
            Self::Run(args) => Some(&mut args.cluster),
            Self::Submit(args) => Some(&mut args.place.cluster),
            Self::List(args) => Some(&mut args.place.cluster),
            Self::Status(args) => Some(&mut args.place.cluster),
            Self::Why(args) => Some(&mut args.place.cluster),
            Self::Logs(args) => Some(&mut args.place.cluster),
            Self::Events(args) => Some(&mut args.place.cluster),
            Self::Forward(args) => Some(&mut args.place.cluster),
            Self::Connect(args) => Some(&mut args.place.cluster),
            Self::Wait(args) => Some(&mut args.place.cluster),
            Self::Suspend(args) | Self::Resume(args) | Self::Rerun(args) => {
                Some(&mut args.place.cluster)
            }
            Self::Diff(args) => Some(&mut args.place.cluster),
            Self::Delete(args) => Some(&mut args.place.cluster),
            Self::Trigger(args) => Some(&mut args.place.cluster),
            Self::Check(args) => Some(&mut args.cluster),
            Self::Up(_)
            | Self::Down(_)
            | Self::Warm(_)
            | Self::Render(_)
            | Self::Validate(_)
            | Self::Operator(_)
            | Self::Install(_)
            | Self::Images(_)
            | Self::Crd
            | Self::Completion { .. }
            | Self::Version => None,
        }
    }
}

/// What becomes of applications of the first Spark operator (spark-operator.k8s.io/v1alpha1).
#[derive(Debug, Clone, Default, Args)]
pub struct OriginalArgs {
    /// Image that takes the place of those of Spark 2 in applications of the first Spark operator
    /// (default: such applications are refused).
    #[arg(long, value_name = "IMAGE")]
    pub original_image: Option<CurrentImage>,
}

impl OriginalArgs {
    /// What becomes of images that are too old.
    pub fn old_images(&self) -> OldImages {
        let image = self.original_image.clone();
        image.map_or(OldImages::Refuse, OldImages::Replace)
    }
}

/// How long a cluster that goes away is waited for.
#[derive(Debug, Args)]
pub struct ReconnectArgs {
    /// When the cluster goes away while it is followed, wait this long for it to come back.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub reconnect_timeout: u64,
}

impl ReconnectArgs {
    /// The time to wait.
    pub fn patience(&self) -> Duration {
        Duration::from_secs(self.reconnect_timeout)
    }
}

/// Arguments of `windlass run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// A manifest instead of a job file ("-" is standard input): a SparkApplication; a schedule, whose
    /// template runs once; or a SparkConnect, which runs until it is stopped.
    #[arg(short, long, value_name = "FILE", conflicts_with = "job")]
    pub file: Option<PathBuf>,
    /// The job: a Python file, or a jar together with --class.
    #[arg(value_name = "JOB", required_unless_present = "file")]
    pub job: Option<String>,
    /// Arguments for the job.
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "ARGS"
    )]
    pub args: Vec<String>,
    /// Main class of a jar.
    #[arg(long, value_name = "CLASS", conflicts_with = "file")]
    pub class: Option<String>,
    /// Name of the application (default: from the job's file name).
    #[arg(long, value_name = "NAME", conflicts_with = "file")]
    pub name: Option<String>,
    /// Namespace to run in (default: the manifest's, else "default").
    #[arg(short, long, value_name = "NAMESPACE")]
    pub namespace: Option<String>,
    /// Spark version to run with (default: the newest installed).
    #[arg(long, value_name = "VERSION", conflicts_with = "file")]
    pub spark_version: Option<String>,
    /// Container image (default: the Spark image of the version).
    #[arg(long, value_name = "IMAGE", conflicts_with = "file")]
    pub image: Option<String>,
    /// Number of executors (default: 2).
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..), conflicts_with = "file")]
    pub executors: Option<i32>,
    /// Cores of each executor (default: 1).
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..), conflicts_with = "file")]
    pub executor_cores: Option<i32>,
    /// Memory of each executor in JVM units, for example 512m or 2g (default: 1g).
    #[arg(long, value_name = "SIZE", conflicts_with = "file")]
    pub executor_memory: Option<String>,
    /// Memory of the driver in JVM units (default: 1g).
    #[arg(long, value_name = "SIZE", conflicts_with = "file")]
    pub driver_memory: Option<String>,
    /// Spark configuration, may be repeated; wins over the sparkConf of a manifest.
    #[arg(short, long = "conf", value_name = "KEY=VALUE")]
    pub conf: Vec<String>,
    /// Maven coordinates for the driver to fetch, comma separated.
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        conflicts_with = "file"
    )]
    pub packages: Vec<String>,
    /// If the application of this name is live, follow it instead of refusing; stay with a Connect
    /// server that is there.
    #[arg(long)]
    pub attach: bool,
    /// How to show progress.
    #[arg(long, value_enum, default_value_t = Progress::Auto)]
    pub progress: Progress,
    /// What to do when the cluster goes away.
    #[command(flatten)]
    pub reconnect: ReconnectArgs,
    /// Manifests of the first operator.
    #[command(flatten)]
    pub original: OriginalArgs,
    /// The cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Progress {
    /// Bars on a terminal, lines elsewhere.
    Auto,
    /// One line for each change.
    Plain,
    /// None.
    Off,
}

/// Arguments of `windlass up`.
#[derive(Debug, Args)]
pub struct UpArgs {
    /// Return as soon as the cluster is ready and leave it running.
    #[arg(short, long)]
    pub detach: bool,
    /// Where the cluster keeps its data.
    #[arg(long, value_name = "DIR", env = "WINDLASS_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// Port of the API on 127.0.0.1 (0: pick a free one). Kept for later starts.
    #[arg(long, value_name = "PORT")]
    pub port: Option<u16>,
    /// Also serve the API of the first Spark operator (spark-operator.k8s.io/v1alpha1). Kept for
    /// later starts.
    #[arg(long)]
    pub original_api: bool,
    /// Its applications.
    #[command(flatten)]
    pub original: OriginalArgs,
}

/// Arguments of `windlass down`.
#[derive(Debug, Args)]
pub struct DownArgs {
    /// Where the cluster keeps its data.
    #[arg(long, value_name = "DIR", env = "WINDLASS_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// Leave running pods alone; the next `up` finds them again.
    #[arg(long)]
    pub keep_pods: bool,
}

/// Arguments of `windlass warm`.
#[derive(Debug, Args)]
pub struct WarmArgs {
    /// Installed Spark versions (default: all of them).
    #[arg(value_name = "VERSION")]
    pub versions: Vec<String>,
    /// Make archives anew that are there already.
    #[arg(long)]
    pub force: bool,
}

/// How documents are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// YAML documents.
    Yaml,
    /// One JSON `List`.
    Json,
}

/// Arguments of `windlass render`.
#[derive(Debug, Args)]
pub struct RenderArgs {
    /// A SparkApplication manifest ("-" is standard input).
    #[arg(short, long, value_name = "FILE", conflicts_with = "submit")]
    pub file: Option<PathBuf>,
    /// SparkPolicies that are applied to it.
    #[arg(long, value_name = "FILE", conflicts_with = "submit")]
    pub policy: Option<PathBuf>,
    /// Output format.
    #[arg(short, long, value_enum, default_value_t = Format::Yaml)]
    pub output: Format,
    /// Spark version whose spark-submit to follow (default: the newest known).
    #[arg(long, value_name = "VERSION", conflicts_with = "file")]
    pub spark_version: Option<String>,
    /// The arguments of spark-submit, after "--".
    #[arg(
        last = true,
        value_name = "SPARK-SUBMIT ARGUMENTS",
        required_unless_present = "file"
    )]
    pub submit: Vec<String>,
    /// Manifests of the first operator.
    #[command(flatten)]
    pub original: OriginalArgs,
}

/// Arguments of `windlass validate`.
#[derive(Debug, Args)]
pub struct ValidateArgs {
    /// The manifest ("-" is standard input).
    #[arg(short, long, value_name = "FILE")]
    pub file: PathBuf,
    /// Manifests of the first operator.
    #[command(flatten)]
    pub original: OriginalArgs,
    /// SparkPolicies that it has to follow.
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
}

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
    /// Applications of the first operator, where the cluster serves them.
    #[command(flatten)]
    pub original: OriginalArgs,
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
    /// How drivers are reached.
    #[command(flatten)]
    pub exposing: ExposingArgs,
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

fn namespace(text: &str) -> Result<DnsLabel, NameError> {
    DnsLabel::new(text)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn everything_after_the_job_goes_to_the_job() {
        let cli = Cli::parse_from([
            "windlass",
            "run",
            "--executors",
            "3",
            "job.py",
            "--x",
            "-c",
            "1",
        ]);
        let Command::Run(run) = cli.command else {
            panic!("not run")
        };
        assert_eq!(run.job.as_deref(), Some("job.py"));
        assert_eq!(run.args, ["--x", "-c", "1"]);
        assert_eq!(run.executors, Some(3));
    }

    #[test]
    fn a_job_and_a_manifest_exclude_each_other() {
        assert!(Cli::try_parse_from(["windlass", "run", "-f", "a.yaml", "job.py"]).is_err());
        assert!(Cli::try_parse_from(["windlass", "run"]).is_err());
    }
}
