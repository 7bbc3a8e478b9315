//! `windlass up` and `windlass down`: the embedded cluster as a process that stays.
//!
//! SIGINT (Ctrl-C, `down`) ends the pods with the cluster. SIGTERM (`down --keep-pods`, a
//! supervisor's restart) leaves them running, and the next `up` finds them again.

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tokio::signal::unix::{SignalKind, signal};

use crate::args::{DownArgs, UpArgs};
use crate::datadir::DataDir;
use crate::embedded::{Embedded, Options, S3_SECRET, S3Options, Served};
use crate::exit::{Exit, Failure};
use crate::output::{out, talk};

/// How long a detached cluster may take until it is ready.
const START_PATIENCE: Duration = Duration::from_secs(30);
/// How long `down` waits; pods may use up their grace.
const STOP_PATIENCE: Duration = Duration::from_secs(90);

/// Starts the cluster and serves it until a signal comes, or leaves it behind when detached.
pub async fn up(args: UpArgs) -> Result<Exit, Failure> {
    let data = DataDir::resolve(args.data_dir.as_deref())?;
    if args.detach {
        return detach(&args, &data).await;
    }
    let mut held = data.hold()?;
    let mut options = Options::lasting(data.path());
    options.port = args.port;
    options.old_images = args.original.old_images();
    options.original_api = Served::by_flag(args.original_api);
    options.virtual_clusters = Served::by_flag(args.virtual_clusters);
    options.original_kubedirector = Served::by_flag(args.original_kubedirector);
    options.storage = Served::by_flag(args.storage);
    options.s3 = S3Options {
        served: Served::by_flag(args.s3),
        port: args.s3_port,
    };
    let started = Instant::now();
    let embedded = Embedded::start(options).await?;
    write_private(&data.kubeconfig(), embedded.kubeconfig()).map_err(|error| {
        Failure::internal(anyhow::anyhow!(
            "{} cannot be written: {error}",
            data.kubeconfig().display()
        ))
    })?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::internal)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::internal)?;
    held.announce(true, Some(embedded.server_url()))?;
    let buckets = embedded.s3_url();
    talk(&format!(
        "The cluster is up at {} ({} ms).\nUse it:   export KUBECONFIG={}\n{}Stop it:  {}",
        embedded.server_url(),
        started.elapsed().as_millis(),
        data.kubeconfig().display(),
        buckets.map_or_else(String::new, |url| {
            format!("Buckets:  {url}, keys in the Secret {S3_SECRET}\n")
        }),
        stop_command(&args),
    ));
    tokio::select! {
        _ = interrupt.recv() => {
            talk("stopping the pods and the cluster");
            embedded.stop().await?;
        }
        _ = terminate.recv() => {
            talk("stopping the cluster; its pods go on");
            embedded.leave().await?;
        }
    }
    drop(held);
    Ok(Exit::Completed)
}

/// Writes a file that nobody else can read at any time: the kubeconfig holds the administrator's
/// key.
fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let new = path.with_extension("new");
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options.open(&new)?.write_all(text.as_bytes())?;
    std::fs::rename(new, path)
}

/// How to stop the cluster of a data directory.
fn stop_command(args: &UpArgs) -> String {
    args.data_dir.as_ref().map_or_else(
        || "windlass down".to_owned(),
        |folder| format!("windlass down --data-dir {}", folder.display()),
    )
}

/// Starts `windlass up` in a process group of its own and waits until it is ready.
async fn detach(args: &UpArgs, data: &DataDir) -> Result<Exit, Failure> {
    if let Some(holder) = data.holder() {
        talk(&format!(
            "the cluster is up already (process {})",
            holder.pid
        ));
        return Ok(Exit::Completed);
    }
    // Whether the folder can be used at all is better said here than in a log.
    drop(data.hold()?);
    let log = std::fs::File::create(data.log()).map_err(Failure::internal)?;
    let exe = std::env::current_exe().map_err(Failure::internal)?;
    let mut command = std::process::Command::new(exe);
    command.arg("up").arg("--data-dir").arg(data.path());
    if let Some(port) = args.port {
        command.arg("--port").arg(port.to_string());
    }
    if args.original_api {
        command.arg("--original-api");
    }
    if args.virtual_clusters {
        command.arg("--virtual-clusters");
    }
    if args.original_kubedirector {
        command.arg("--original-kubedirector");
    }
    if args.storage {
        command.arg("--storage");
    }
    if args.s3 {
        command.arg("--s3");
    }
    if let Some(port) = args.s3_port {
        command.arg("--s3-port").arg(port.to_string());
    }
    if let Some(image) = &args.original.original_image {
        command.arg("--original-image").arg(image.as_str());
    }
    command
        .stdin(Stdio::null())
        .stdout(log.try_clone().map_err(Failure::internal)?)
        .stderr(log)
        .current_dir("/");
    // A process group of its own: the terminal's Ctrl-C is not meant for it.
    let mut child = command
        .process_group(0)
        .spawn()
        .map_err(Failure::internal)?;
    let deadline = Instant::now() + START_PATIENCE;
    loop {
        if let Some(holder) = data.holder()
            && holder.ready
        {
            talk(&format!(
                "The cluster is up at {} (process {}).\nUse it:   export KUBECONFIG={}\nStop it:  {}",
                holder.server.as_deref().unwrap_or_default(),
                holder.pid,
                data.kubeconfig().display(),
                stop_command(args),
            ));
            return Ok(Exit::Completed);
        }
        if let Some(status) = child.try_wait().map_err(Failure::internal)? {
            let log = std::fs::read_to_string(data.log()).unwrap_or_default();
            return Err(Failure::cluster(format!(
                "the cluster did not start ({status}):\n{}",
                log.trim_end()
            )));
        }
        if Instant::now() > deadline {
            return Err(Failure::cluster(format!(
                "the cluster is not ready after {} s: see {}",
                START_PATIENCE.as_secs(),
                data.log().display()
            )));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Stops the cluster and waits until it has ended.
pub async fn down(args: DownArgs) -> Result<Exit, Failure> {
    let data = DataDir::resolve(args.data_dir.as_deref())?;
    let Some(holder) = data.holder() else {
        return end_orphans(&args, &data).await;
    };
    let pid = Pid::from_raw(holder.pid)
        .ok_or_else(|| Failure::internal(anyhow::anyhow!("the holder names no process")))?;
    let signal = if args.keep_pods {
        Signal::TERM
    } else {
        Signal::INT
    };
    kill_process(pid, signal).map_err(|error| {
        Failure::cluster(format!(
            "process {} cannot be told to stop: {error}",
            holder.pid
        ))
    })?;
    let deadline = Instant::now() + STOP_PATIENCE;
    while data.holder().is_some() {
        if Instant::now() > deadline {
            return Err(Failure::cluster(format!(
                "process {} has not ended after {} s: see {}",
                holder.pid,
                STOP_PATIENCE.as_secs(),
                data.log().display()
            )));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    out("the cluster is down");
    Ok(Exit::Completed)
}

/// The cluster is not up, but one that was killed may have left its pods.
async fn end_orphans(args: &DownArgs, data: &DataDir) -> Result<Exit, Failure> {
    let node = data.node();
    if args.keep_pods || !node.exists() {
        talk("the cluster is not up");
        return Ok(Exit::Completed);
    }
    let _held = data.hold()?;
    let ended = windlass_node::end_pods(&node)
        .await
        .map_err(Failure::internal)?;
    talk(&match ended {
        0 => "the cluster is not up".to_owned(),
        _ => format!("the cluster is not up; {ended} pods that it had left running were ended"),
    });
    Ok(Exit::Completed)
}
