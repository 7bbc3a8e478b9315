//! The command line, as data. Parsing only; nothing here acts.

mod app;
mod applications;
mod exposing;
mod issuer;
mod operator;
mod storage;
mod tenant;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use windlass_api::spark::original::{CurrentImage, OldImages};

pub use app::{AppCommand, AppFolder, PackageArgs, TestArgs};
pub use applications::{
    Awaited, ChangeArgs, ConnectArgs, DeleteArgs, DiffArgs, EventsArgs, ForwardArgs, ListArgs,
    LogsArgs, PlaceArgs, Show, StatusArgs, SubmitArgs, Told, TriggerArgs, UiArgs, WaitArgs,
    WhyArgs,
};
pub use exposing::{ExposingArgs, Json};
pub use issuer::IssuerRef;
pub use operator::{CheckArgs, ImagesArgs, InstallArgs, OperatorArgs};
pub use storage::{CloudArgs, NfsArgs, ObjectStoreArgs, StorageArgs};
pub use tenant::{Amount, PodSecurity, TenantArgs, TenantCommand};

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
    /// List applications, schedules, Connect or history servers, or virtual clusters.
    List(ListArgs),
    /// Show an application, a schedule, a server or a virtual cluster, or the cluster and all there is in it.
    Status(StatusArgs),
    /// Tell why an application, a schedule, a server or a virtual cluster is not well, and what to do.
    Why(WhyArgs),
    /// Print the log of a driver or server, of one of its executors, or of a member of a virtual cluster.
    Logs(LogsArgs),
    /// Print the events about an application, its pods and claims, about a schedule or a server.
    Events(EventsArgs),
    /// Make the web page of a driver or server reachable at a port of this machine.
    Forward(ForwardArgs),
    /// Open the web page of an application: its driver's, or a history server's when it is over; or all that
    /// a history server shows.
    Ui(UiArgs),
    /// Open a Python shell, or run a Python program, on a Spark Connect server.
    Connect(ConnectArgs),
    /// Wait until an application has ended, a server answers, a virtual cluster is ready, or for something
    /// else.
    Wait(WaitArgs),
    /// Stop applications and servers without losing them, or schedules from starting runs; no retry is
    /// spent.
    Suspend(ChangeArgs),
    /// Undo suspend; a Connect server that nobody used is started, too.
    Resume(ChangeArgs),
    /// Run applications once more.
    Rerun(ChangeArgs),
    /// Show what applying a file would change of an application, and what that does to its run.
    Diff(DiffArgs),
    /// Delete applications, schedules, servers or virtual clusters, their pods and all that goes with them.
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
    /// Tell whose machines a cluster runs on, why that is thought, and what claims for storage would get.
    Cloud(CloudArgs),
    /// Print the container images that a cluster pulls for the operator, and for manifests.
    Images(ImagesArgs),
    /// Print the CustomResourceDefinitions for `kubectl apply -f -`.
    Crd,
    /// Write an application for virtual clusters.
    App {
        /// What to do.
        #[command(subcommand)]
        command: AppCommand,
    },
    /// Give teams namespaces of their own.
    Tenant {
        /// What to do.
        #[command(subcommand)]
        command: TenantCommand,
    },
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
            Self::Ui(args) => Some(&mut args.place.cluster),
            Self::Connect(args) => Some(&mut args.place.cluster),
            Self::Wait(args) => Some(&mut args.place.cluster),
            Self::Suspend(args) | Self::Resume(args) | Self::Rerun(args) => {
                Some(&mut args.place.cluster)
            }
            Self::Diff(args) => Some(&mut args.place.cluster),
            Self::Delete(args) => Some(&mut args.place.cluster),
            Self::Trigger(args) => Some(&mut args.place.cluster),
            Self::Check(args) => Some(&mut args.cluster),
            Self::Tenant { command } => match command {
                TenantCommand::Create(args) => Some(&mut args.cluster),
            },
            Self::Cloud(args) => Some(&mut args.cluster),
            Self::Up(_)
            | Self::App { .. }
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
    /// Also serve the kinds of virtual clusters (kubedirector.hpe.com/v1beta1). Kept for later starts.
    #[arg(long)]
    pub virtual_clusters: bool,
    /// Also serve those of the first KubeDirector (kubedirector.bluedata.io/v1alpha1). Kept for later
    /// starts.
    #[arg(long, requires = "virtual_clusters")]
    pub original_kubedirector: bool,
    /// Also make classes for claims of namespaces that want them, and operate buckets. Kept for later starts.
    #[arg(long)]
    pub storage: bool,
    /// Also serve buckets: an endpoint that speaks S3, with its data in the folder s3 of the cluster's and its
    /// keys in the Secret windlass-s3 of every namespace. Kept for later starts.
    #[arg(long)]
    pub s3: bool,
    /// Port of that endpoint on the cluster's own address, which pods and this machine reach (0: pick a free
    /// one; default: 9000). Kept for later starts.
    #[arg(long, value_name = "PORT", requires = "s3")]
    pub s3_port: Option<u16>,
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
    /// SparkPolicies that its applications, schedules and servers have to follow, those of the first
    /// operator, too.
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
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
