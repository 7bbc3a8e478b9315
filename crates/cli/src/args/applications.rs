//! The arguments of the commands about applications, schedules and Connect servers.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use windlass_storage::logs::KeptIn;

use super::{ClusterArgs, ReconnectArgs};
use crate::kinds::{Kind, Named, Subject};
use crate::upload::{Destination, Upload};

/// How objects are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Show {
    /// A few columns.
    Table,
    /// All columns.
    Wide,
    /// The object, or a List of several, as JSON.
    Json,
    /// The same as YAML.
    Yaml,
    /// Kind and name only.
    Name,
}

/// How a judgement is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Told {
    /// For people.
    Text,
    /// As JSON.
    Json,
    /// As YAML.
    Yaml,
}

/// The namespace and the cluster.
#[derive(Debug, Clone, Default, Args)]
pub struct PlaceArgs {
    /// Namespace to look in (default: the one of the kubeconfig's context, else "default").
    #[arg(short, long, value_name = "NAMESPACE")]
    pub namespace: Option<String>,
    /// The cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

/// Arguments of `windlass submit`.
#[derive(Debug, Args)]
pub struct SubmitArgs {
    /// A SparkApplication manifest ("-" is standard input).
    #[arg(short, long, value_name = "FILE", conflicts_with_all = ["submit", "from"])]
    pub file: Option<PathBuf>,
    /// A ScheduledSparkApplication of the cluster, whose template is submitted once; its schedule
    /// does not count that as a run.
    #[arg(long, value_name = "SCHEDULE", conflicts_with = "submit")]
    pub from: Option<Named>,
    /// Name of the application (default: the manifest's, else made from spark.app.name or from the
    /// schedule's name and the time).
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Spark version of a spark-submit command line (default: the newest known).
    #[arg(long, value_name = "VERSION", conflicts_with = "file")]
    pub spark_version: Option<String>,
    /// Spark configuration, may be repeated; wins over the sparkConf of a manifest.
    #[arg(short, long = "conf", value_name = "KEY=VALUE")]
    pub conf: Vec<String>,
    /// Delete an application of this name first, whatever its state, and wait until it is gone.
    #[arg(long)]
    pub replace: bool,
    /// Upload the files of this machine that the application names into this folder of an object
    /// store, and name them there: s3://BUCKET/FOLDER, gs://BUCKET/FOLDER or
    /// abfss://CONTAINER@ACCOUNT.dfs.core.windows.net/FOLDER. Credentials come from the environment.
    #[arg(long, value_name = "URL")]
    pub upload_to: Option<Destination>,
    /// Address of the object store, where it is not its vendor's own.
    #[arg(long, value_name = "URL", requires = "upload_to")]
    pub upload_endpoint: Option<String>,
    /// Print the application that would be created, and create and upload nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Output format.
    #[arg(short, long, value_enum)]
    pub output: Option<Show>,
    /// Where.
    #[command(flatten)]
    pub place: PlaceArgs,
    /// The arguments of spark-submit, after "--".
    #[arg(
        last = true,
        value_name = "SPARK-SUBMIT ARGUMENTS",
        required_unless_present_any = ["file", "from"]
    )]
    pub submit: Vec<String>,
}

impl SubmitArgs {
    /// Where files of this machine go, if they go anywhere.
    pub fn upload(&self) -> Option<Upload> {
        Some(Upload {
            to: self.upload_to.clone()?,
            endpoint: self.upload_endpoint.clone(),
        })
    }
}

/// Arguments of `windlass list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// What to list: apps, schedules, connects, histories or clusters, or the names that kubectl has for
    /// them (default: apps).
    #[arg(value_name = "KIND", conflicts_with = "schedules")]
    pub kind: Option<Kind>,
    /// Those of all namespaces.
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    pub all_namespaces: bool,
    /// Only those with these labels.
    #[arg(short = 'l', long, value_name = "LABELS")]
    pub selector: Option<String>,
    /// Schedules instead of applications.
    #[arg(long, conflicts_with = "connects")]
    pub schedules: bool,
    /// Spark Connect servers instead of applications.
    #[arg(long, conflicts_with = "kind")]
    pub connects: bool,
    /// Virtual clusters instead of applications.
    #[arg(long, conflicts_with_all = ["kind", "schedules", "connects"])]
    pub clusters: bool,
    /// Output format.
    #[arg(short, long, value_enum, default_value_t = Show::Table)]
    pub output: Show,
    /// Where.
    #[command(flatten)]
    pub place: PlaceArgs,
}

impl ListArgs {
    /// The kind that is asked for.
    pub fn kind(&self) -> Kind {
        match self.kind {
            Some(kind) => kind,
            None if self.schedules => Kind::Schedule,
            None if self.connects => Kind::Connect,
            None if self.clusters => Kind::Cluster,
            None => Kind::Application,
        }
    }
}

/// Arguments of `windlass diff`.
#[derive(Debug, Args)]
pub struct DiffArgs {
    /// A SparkApplication manifest ("-" is standard input).
    #[arg(short, long, value_name = "FILE")]
    pub file: PathBuf,
    /// SparkPolicies that it has to follow.
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// End with 1 where there is a difference.
    #[arg(long)]
    pub exit_code: bool,
    /// Output format.
    #[arg(short, long, value_enum, default_value_t = Told::Text)]
    pub output: Told,
    /// Where.
    #[command(flatten)]
    pub place: PlaceArgs,
}

/// Arguments of `windlass status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Name of an application, or schedule/NAME, connect/NAME, history/NAME or cluster/NAME (default: the
    /// cluster and all there is in it).
    #[arg(value_name = "NAME")]
    pub object: Option<Subject>,
    /// Output format.
    #[arg(short, long, value_enum, default_value_t = Show::Table, requires = "object")]
    pub output: Show,
    /// Where.
    #[command(flatten)]
    pub place: PlaceArgs,
}

/// Arguments of `windlass logs`.
#[derive(Debug, Args)]
pub struct LogsArgs {
    /// Name of the application; connect/NAME and history/NAME are the logs of servers, schedule/NAME that
    /// of the last run, cluster/NAME that of a member.
    #[arg(value_name = "NAME")]
    pub object: Subject,
    /// Keep following.
    #[arg(short, long)]
    pub follow: bool,
    /// An executor's log instead of the driver's, by executor id.
    #[arg(short, long, value_name = "ID")]
    pub executor: Option<u32>,
    /// The member of a virtual cluster, by its pod (default: the first one that is not ready, else the
    /// first).
    #[arg(long, value_name = "POD", conflicts_with = "executor")]
    pub member: Option<String>,
    /// Only the last so many lines.
    #[arg(long, value_name = "N")]
    pub tail: Option<i64>,
    /// A kept log: of the attempt with this id of Spark's (default: the latest one, where its pod is gone).
    #[arg(long, value_name = "ID", conflicts_with_all = ["follow", "member"])]
    pub run: Option<String>,
    /// A kept log: in this folder of an operator with --keep-logs, without asking a cluster; or in the bucket of
    /// an ObjectStore, as objectstore/NAMESPACE/NAME, which you must be allowed to read, and its Secret.
    #[arg(long, value_name = "PLACE", conflicts_with_all = ["follow", "member"])]
    pub kept: Option<KeptIn>,
    /// What to do when the cluster goes away.
    #[command(flatten)]
    pub reconnect: ReconnectArgs,
    /// Where.
    #[command(flatten)]
    pub place: PlaceArgs,
}

/// Arguments of `windlass events`.
#[derive(Debug, Args)]
pub struct EventsArgs {
    /// Name of the application, or schedule/NAME, connect/NAME, history/NAME or cluster/NAME.
    #[arg(value_name = "NAME")]
    pub object: Subject,
    /// Print events as they come, until the application has ended, or what has no end is deleted.
    #[arg(short, long)]
    pub follow: bool,
    /// Where.
    #[command(flatten)]
    pub place: PlaceArgs,
}

/// Arguments of `windlass forward`.
#[derive(Debug, Args)]
pub struct ForwardArgs {
    /// Name of the application, or connect/NAME, or history/NAME.
    #[arg(value_name = "NAME")]
    pub object: Subject,
    /// Port on 127.0.0.1 (0: pick a free one).
    #[arg(long, value_name = "PORT", default_value_t = 4040)]
    pub local_port: u16,
    /// Port of the driver or server (default: spark.ui.port of its sparkConf, else 4040; of a history server
    /// spark.history.ui.port, else 18080).
    #[arg(long, value_name = "PORT")]
    pub remote_port: Option<u16>,
    /// Where.
    #[command(flatten)]
    pub place: PlaceArgs,
}

/// Arguments of `windlass ui`.
#[derive(Debug, Args)]
pub struct UiArgs {
    /// Name of the application; history/NAME is the list of a history server.
    #[arg(value_name = "NAME")]
    pub object: Subject,
    /// Port on 127.0.0.1 (0: pick a free one).
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    pub local_port: u16,
    /// Print the URL only, also where there is a browser.
    #[arg(long)]
    pub no_browser: bool,
    /// Where.
    #[command(flatten)]
    pub place: PlaceArgs,
}

/// Arguments of `windlass connect`.
#[derive(Debug, Args)]
pub struct ConnectArgs {
    /// Name of the SparkConnect.
    #[arg(value_name = "NAME")]
    pub server: Named,
    /// Print the URL for clients and forward until interrupted, instead of starting Python.
    #[arg(long, conflicts_with = "program")]
    pub print: bool,
    /// Port on 127.0.0.1 (0: pick a free one).
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    pub local_port: u16,
    /// Give up on a server that does not answer after so many seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    pub timeout: u64,
    /// Where.
    #[command(flatten)]
    pub place: PlaceArgs,
    /// A Python program and its arguments, after "--", to run instead of the shell.
    #[arg(last = true, value_name = "PROGRAM")]
    pub program: Vec<String>,
}

/// Arguments of `windlass suspend`, `resume` and `rerun`.
#[derive(Debug, Args)]
pub struct ChangeArgs {
    /// Names of applications, or schedule/NAME, connect/NAME or history/NAME.
    #[arg(required = true, value_name = "NAME")]
    pub names: Vec<Subject>,
    /// Output format (default: a line for each).
    #[arg(short, long, value_enum)]
    pub output: Option<Show>,
    /// Where.
    #[command(flatten)]
    pub place: PlaceArgs,
}

/// Arguments of `windlass delete`.
#[derive(Debug, Args)]
pub struct DeleteArgs {
    /// Names of applications, or schedule/NAME, connect/NAME, history/NAME or cluster/NAME.
    #[arg(required = true, value_name = "NAME")]
    pub names: Vec<Subject>,
    /// Return at once instead of waiting until they are gone.
    #[arg(long)]
    pub no_wait: bool,
    /// What is not there is as good as deleted.
    #[arg(long)]
    pub ignore_not_found: bool,
    /// Where.
    #[command(flatten)]
    pub place: PlaceArgs,
}

/// What `windlass wait` waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Awaited {
    /// The driver runs, or the application has ended; a server answers; all members of a virtual cluster are
    /// ready.
    Running,
    /// It has ended, well or badly; the exit code tells which. Servers, virtual clusters and schedules have
    /// no end.
    End,
    /// It is suspended.
    Suspended,
    /// It is gone.
    Deleted,
}

/// Arguments of `windlass wait`.
#[derive(Debug, Args)]
pub struct WaitArgs {
    /// Name of the application, or schedule/NAME, connect/NAME, history/NAME or cluster/NAME.
    #[arg(value_name = "NAME")]
    pub object: Subject,
    /// What to wait for (default: end; of a server or virtual cluster running).
    #[arg(long = "for", value_name = "WHAT", value_enum)]
    pub awaited: Option<Awaited>,
    /// Give up after so many seconds, with exit code 4 (default: never).
    #[arg(long, value_name = "SECONDS")]
    pub timeout: Option<u64>,
    /// What to do when the cluster goes away.
    #[command(flatten)]
    pub reconnect: ReconnectArgs,
    /// Where.
    #[command(flatten)]
    pub place: PlaceArgs,
}

impl WaitArgs {
    /// The time after which waiting is given up.
    pub fn limit(&self) -> Option<Duration> {
        self.timeout.map(Duration::from_secs)
    }
}

/// Arguments of `windlass why`.
#[derive(Debug, Args)]
pub struct WhyArgs {
    /// Name of the application, or schedule/NAME, connect/NAME, history/NAME or cluster/NAME.
    #[arg(value_name = "NAME")]
    pub object: Subject,
    /// Output format.
    #[arg(short, long, value_enum, default_value_t = Told::Text)]
    pub output: Told,
    /// Where.
    #[command(flatten)]
    pub place: PlaceArgs,
}

/// Arguments of `windlass trigger`.
#[derive(Debug, Args)]
pub struct TriggerArgs {
    /// Name of the ScheduledSparkApplication.
    #[arg(value_name = "NAME")]
    pub schedule: Named,
    /// Where.
    #[command(flatten)]
    pub place: PlaceArgs,
}
