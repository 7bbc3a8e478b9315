//! What a known error in a program's output means, and what to do about it.
//!
//! The status of an application and `windlass why` say the same, because both ask here.
//!
//! Laws:
//! - only the error the program ended with counts, with what caused it: an exception that was
//!   logged and survived explains nothing;
//! - the first rule that fits wins, so special rules stand before general ones.

use super::cause;

/// What lies behind a failure or a wait, as a stable word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// The driver needed more memory than it had.
    DriverOutOfMemory,
    /// An executor needed more memory than it had.
    ExecutorOutOfMemory,
    /// A Python worker beside an executor's JVM needed more memory than was left.
    PythonWorkerOutOfMemory,
    /// An image cannot be had.
    ImageUnavailable,
    /// The job's own file is not there.
    ApplicationFileMissing,
    /// Data the job reads are not there.
    InputMissing,
    /// A class is on no class path.
    ClassMissing,
    /// Classes of versions that do not fit each other.
    ClassConflict,
    /// A Python module is not installed.
    ModuleMissing,
    /// No code for a kind of storage.
    FileSystemMissing,
    /// The storage refuses the job.
    StorageAccessDenied,
    /// A disk is full.
    DiskFull,
    /// A ServiceAccount does not exist.
    ServiceAccountMissing,
    /// The driver's account may not do what Spark needs.
    NotPermitted,
    /// A quota leaves no room.
    QuotaExceeded,
    /// No node takes a pod.
    Unschedulable,
    /// A node or the cluster put a pod out.
    Evicted,
    /// A node does not answer or is gone.
    NodeLost,
    /// A claim has no volume.
    ClaimPending,
    /// A ConfigMap, Secret or key that a pod names is not there.
    ReferenceMissing,
    /// A host name cannot be resolved.
    NameNotResolved,
    /// A container beside Spark's failed.
    SidecarFailed,
    /// An init container failed.
    InitContainerFailed,
    /// The job's own code failed.
    UserException,
    /// A process was killed, and nothing tells for what.
    Killed,
    /// A pod was deleted.
    PodDeleted,
    /// The specification cannot be submitted.
    InvalidSpec,
    /// The API server refused an object.
    SubmissionRefused,
    /// It is not the application's turn: the namespace limits what runs at once.
    Queued,
    /// The user suspended the application.
    Suspended,
    /// No operator has looked at the application.
    NoOperator,
    /// Something that has no word here.
    Other,
}

impl Cause {
    /// The word, as it is printed.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DriverOutOfMemory => "DriverOutOfMemory",
            Self::ExecutorOutOfMemory => "ExecutorOutOfMemory",
            Self::PythonWorkerOutOfMemory => "PythonWorkerOutOfMemory",
            Self::ImageUnavailable => "ImageUnavailable",
            Self::ApplicationFileMissing => "ApplicationFileMissing",
            Self::InputMissing => "InputMissing",
            Self::ClassMissing => "ClassMissing",
            Self::ClassConflict => "ClassConflict",
            Self::ModuleMissing => "ModuleMissing",
            Self::FileSystemMissing => "FileSystemMissing",
            Self::StorageAccessDenied => "StorageAccessDenied",
            Self::DiskFull => "DiskFull",
            Self::ServiceAccountMissing => "ServiceAccountMissing",
            Self::NotPermitted => "NotPermitted",
            Self::QuotaExceeded => "QuotaExceeded",
            Self::Unschedulable => "Unschedulable",
            Self::Evicted => "Evicted",
            Self::NodeLost => "NodeLost",
            Self::ClaimPending => "ClaimPending",
            Self::ReferenceMissing => "ReferenceMissing",
            Self::NameNotResolved => "NameNotResolved",
            Self::SidecarFailed => "SidecarFailed",
            Self::InitContainerFailed => "InitContainerFailed",
            Self::UserException => "UserException",
            Self::Killed => "Killed",
            Self::PodDeleted => "PodDeleted",
            Self::InvalidSpec => "InvalidSpec",
            Self::SubmissionRefused => "SubmissionRefused",
            Self::Queued => "Queued",
            Self::Suspended => "Suspended",
            Self::NoOperator => "NoOperator",
            Self::Other => "Other",
        }
    }
}

/// A known error, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remedy {
    /// What lies behind it.
    pub cause: Cause,
    /// The line of the output that says so.
    pub line: String,
    /// What to do.
    pub next: &'static str,
}

/// Finds the known error that a program ended with.
pub fn of(output: &str) -> Option<Remedy> {
    let said = cause::of(output).unwrap_or_default();
    if let Some(jar) = skipped_jar(output).filter(|_| is_missing_class(&said)) {
        return Some(Remedy {
            cause: Cause::ApplicationFileMissing,
            line: jar,
            next: FILE,
        });
    }
    known(&said).or_else(|| last_words(output).find_map(known))
}

/// Finds why executors were lost, in what the driver logs about them.
pub fn of_lost_executors(output: &str) -> Option<Remedy> {
    output
        .lines()
        .rev()
        .filter(|line| line.contains("Lost executor ") || line.contains("ExecutorLostFailure"))
        .find_map(|line| known(line).filter(|remedy| remedy.cause == Cause::ExecutorOutOfMemory))
}

/// Judges one line.
fn known(line: &str) -> Option<Remedy> {
    let rule = RULES
        .iter()
        .find(|rule| rule.all.iter().all(|part| line.contains(part)))?;
    Some(Remedy {
        cause: rule.cause,
        line: super::health::one_line(line),
        next: rule.next,
    })
}

/// What follows the beginning of the end, where there is one: an error's own causes.
fn last_words(output: &str) -> impl Iterator<Item = &str> {
    let lines: Vec<&str> = output.lines().collect();
    let begins = |line: &&str| {
        line.starts_with("Traceback (most recent call last)")
            || line.starts_with("Exception in thread \"")
    };
    let start = lines.iter().rposition(begins).unwrap_or(lines.len());
    let is_cause = |line: &&str| !line.trim_start().starts_with("at ");
    lines.into_iter().skip(start).filter(is_cause)
}

/// Spark goes on without a jar that is not there, and then misses its classes.
fn skipped_jar(output: &str) -> Option<String> {
    let line = output
        .lines()
        .find(|line| line.contains("Local jar ") && line.contains("does not exist, skipping"))?;
    let at = line.find("Local jar ").unwrap_or_default();
    Some(line[at..].trim_end().to_owned())
}

fn is_missing_class(line: &str) -> bool {
    known(line).is_some_and(|remedy| remedy.cause == Cause::ClassMissing)
}

/// A line with all of these parts means this.
struct Rule {
    all: &'static [&'static str],
    cause: Cause,
    next: &'static str,
}

const fn rule(all: &'static [&'static str], cause: Cause, next: &'static str) -> Rule {
    Rule { all, cause, next }
}

const FILE: &str = "check the path: local:///... must be in the image or on a mounted volume, anything else must be \
                    reachable from the driver";
const CLASS: &str = "check spec.mainClass, and that the jar which has the class is spec.mainApplicationFile or in \
                     spec.deps.jars or spec.deps.packages";
const EXECUTOR_MEMORY: &str = "raise spec.executor.memoryOverhead (memory outside of the heap) or spec.executor.memory, \
                               or make tasks smaller with more partitions";
const HEAP: &str =
    "raise spec.driver.memory, or bring less data to the driver (collect, toPandas, broadcast)";
const WORKER: &str = "raise spec.executor.memoryOverhead, which Python workers live on, or run fewer at once with a \
                      lower spec.executor.cores";
const FILE_SYSTEM: &str = "write s3a:// instead of s3://, and add org.apache.hadoop:hadoop-aws of the version of \
                           Spark's own hadoop-client jars to the image or to spec.deps.packages";
const OTHER_FILE_SYSTEM: &str =
    "add the library of this kind of storage to the image or to spec.deps.packages";
const NAME: &str = "check the spelling; for names of the cluster check that the Service exists and that DNS answers \
                    in the pod's namespace (NetworkPolicy, dnsPolicy with hostNetwork)";
const STORAGE: &str = "give the driver and executors credentials: the account's workload identity, secrets as env, or \
                       a mounted configuration, and check the bucket's policy";
const MODULE: &str =
    "install the module in the image, or ship it with spec.deps.pyFiles or spec.deps.archives";

/// The errors people meet, special ones first.
const RULES: &[Rule] = &[
    rule(
        &["Python worker exited unexpectedly"],
        Cause::PythonWorkerOutOfMemory,
        WORKER,
    ),
    rule(
        &["Lost task", "MemoryError"],
        Cause::PythonWorkerOutOfMemory,
        WORKER,
    ),
    rule(
        &["possible container OOM"],
        Cause::ExecutorOutOfMemory,
        EXECUTOR_MEMORY,
    ),
    rule(
        &["ExecutorLostFailure", "exit code 137"],
        Cause::ExecutorOutOfMemory,
        EXECUTOR_MEMORY,
    ),
    // Spark's executors end with this code when their heap is full.
    rule(
        &["exited with exit code 52"],
        Cause::ExecutorOutOfMemory,
        EXECUTOR_MEMORY,
    ),
    rule(
        &["Lost task", "java.lang.OutOfMemoryError"],
        Cause::ExecutorOutOfMemory,
        EXECUTOR_MEMORY,
    ),
    rule(
        &["java.lang.OutOfMemoryError"],
        Cause::DriverOutOfMemory,
        HEAP,
    ),
    rule(
        &["MemoryError"],
        Cause::DriverOutOfMemory,
        "raise spec.driver.memoryOverhead, which the driver's Python lives on, or bring less data to the driver",
    ),
    rule(
        &["S3AFileSystem not found"],
        Cause::FileSystemMissing,
        FILE_SYSTEM,
    ),
    rule(
        &["No FileSystem for scheme", "s3"],
        Cause::FileSystemMissing,
        FILE_SYSTEM,
    ),
    rule(
        &["No FileSystem for scheme"],
        Cause::FileSystemMissing,
        OTHER_FILE_SYSTEM,
    ),
    rule(
        &["ClassNotFoundException", "FileSystem not found"],
        Cause::FileSystemMissing,
        OTHER_FILE_SYSTEM,
    ),
    rule(
        &["exceeded quota"],
        Cause::QuotaExceeded,
        "ask for fewer or smaller executors, wait until others have ended, or have the namespace's ResourceQuota raised",
    ),
    rule(
        &["is forbidden: User"],
        Cause::NotPermitted,
        "give the driver's ServiceAccount the rights of Spark's drivers: windlass install --job-namespaces prints them",
    ),
    rule(&["Failed to load class"], Cause::ClassMissing, CLASS),
    rule(
        &["[DATA_SOURCE_NOT_FOUND]"],
        Cause::ClassMissing,
        "add the library of this data source to spec.deps.packages or to the image, for the same Spark and Scala version",
    ),
    rule(
        &["Failed to find data source"],
        Cause::ClassMissing,
        "add the library of this data source to spec.deps.packages or to the image, for the same Spark and Scala version",
    ),
    rule(&["ClassNotFoundException"], Cause::ClassMissing, CLASS),
    rule(&["NoClassDefFoundError"], Cause::ClassMissing, CLASS),
    rule(
        &["NoSuchMethodError"],
        Cause::ClassConflict,
        "use libraries built for this Spark and Scala version; of two versions of one library remove one",
    ),
    rule(
        &["UnsupportedClassVersionError"],
        Cause::ClassConflict,
        "the jar was built for a newer Java: use an image with that Java, or build for the image's",
    ),
    rule(&["ModuleNotFoundError"], Cause::ModuleMissing, MODULE),
    rule(&["ImportError"], Cause::ModuleMissing, MODULE),
    rule(&["can't open file"], Cause::ApplicationFileMissing, FILE),
    rule(
        &["NoSuchFileException", ".jar"],
        Cause::ApplicationFileMissing,
        FILE,
    ),
    rule(
        &["FileNotFoundException", ".jar"],
        Cause::ApplicationFileMissing,
        FILE,
    ),
    rule(
        &["FileNotFoundException", ".py"],
        Cause::ApplicationFileMissing,
        FILE,
    ),
    rule(
        &["[PATH_NOT_FOUND]"],
        Cause::InputMissing,
        "check the path, and that the volume or bucket it is on is there for driver and executors",
    ),
    rule(
        &["Path does not exist"],
        Cause::InputMissing,
        "check the path, and that the volume or bucket it is on is there for driver and executors",
    ),
    rule(&["UnknownHostException"], Cause::NameNotResolved, NAME),
    rule(
        &["Temporary failure in name resolution"],
        Cause::NameNotResolved,
        NAME,
    ),
    rule(&["Name or service not known"], Cause::NameNotResolved, NAME),
    rule(
        &["NoAuthWithAWSException"],
        Cause::StorageAccessDenied,
        STORAGE,
    ),
    rule(
        &["AccessDeniedException", "s3a"],
        Cause::StorageAccessDenied,
        STORAGE,
    ),
    rule(
        &["Access Denied", "Service: S3"],
        Cause::StorageAccessDenied,
        STORAGE,
    ),
    rule(
        &["No space left on device"],
        Cause::DiskFull,
        "give Spark room for shuffle files: a volume named spark-local-dir-1, or larger ephemeral storage",
    ),
];
