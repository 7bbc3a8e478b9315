//! The agent's side of a shim.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::UnixStream;
use tokio::process::Command;
use tokio::sync::watch;

use super::protocol::{Frame, Request, read_frame, write_frame};
use super::state::PodState;
use super::{POD, SOCKET};
use crate::lifeline::Lifeline;
use crate::reexec::REEXEC;
use crate::sandbox::spec::PodSpec;

/// Why a shim did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum ShimError {
    /// It could not be started or spoken to.
    #[error("the pod's shim cannot be reached")]
    Unreachable(#[from] io::Error),
    /// It started and refused to go on; the text says why.
    #[error("{0}")]
    Refused(String),
}

/// A connection to a pod's shim.
#[derive(Debug, Clone)]
pub struct ShimClient {
    dir: PathBuf,
    states: watch::Receiver<PodState>,
}

/// Starts the shim of a pod whose directory exists. With a lifeline the pod ends when that does.
pub async fn spawn(
    exe: &Path,
    dir: &Path,
    pod: &PodSpec,
    lifeline: Option<&Lifeline>,
) -> Result<ShimClient, ShimError> {
    fs::write(
        dir.join(POD),
        serde_json::to_vec(pod).map_err(io::Error::from)?,
    )?;
    let errors = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(dir.join("shim.log"))?;
    let (role, stdin) = match lifeline {
        Some(lifeline) => ("run-with-agent", lifeline.end()?),
        None => ("run", Stdio::null()),
    };
    let mut child = Command::new(exe)
        .args([REEXEC, role])
        .arg(dir)
        .stdin(stdin)
        .stdout(Stdio::piped())
        .stderr(errors)
        .kill_on_drop(false)
        .spawn()?;
    let stdout = child
        .stdout
        .take()
        .ok_or_else(|| io::Error::other("no standard output"))?;
    // Collected when it ends, so that it never lingers as a zombie of a long-lived agent.
    tokio::spawn(async move { child.wait().await });
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line).await?;
    match line.trim_end() {
        "ready" => ShimClient::connect(dir).await,
        "" => Err(ShimError::Refused(format!(
            "the pod's shim ended at once; see {}",
            dir.join("shim.log").display()
        ))),
        why => Err(ShimError::Refused(why.to_owned())),
    }
}

impl ShimClient {
    /// Connects to the shim of a pod, if it lives.
    pub async fn connect(dir: &Path) -> Result<Self, ShimError> {
        let mut stream = dial(dir, Request::Subscribe).await?;
        let first = match read_frame(&mut stream).await? {
            Some(Frame::State(state)) => *state,
            Some(Frame::Refused(why)) => return Err(ShimError::Refused(why)),
            _ => return Err(io::Error::other("the shim said something unexpected").into()),
        };
        let (sender, states) = watch::channel(first);
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    // Dropping the sender is how the loss of the shim shows.
                    frame = read_frame(&mut stream) => match frame {
                        Ok(Some(Frame::State(state))) => { sender.send_replace(*state); }
                        Ok(Some(_)) => {}
                        Ok(None) | Err(_) => return,
                    },
                    () = sender.closed() => return,
                }
            }
        });
        Ok(Self {
            dir: dir.to_owned(),
            states,
        })
    }

    /// The newest state that was heard.
    pub fn state(&self) -> PodState {
        self.states.borrow().clone()
    }

    /// Waits for a change; `false` means the shim is gone.
    pub async fn changed(&mut self) -> bool {
        self.states.changed().await.is_ok()
    }

    /// Sends a request and waits for its answer.
    pub async fn request(&self, request: Request) -> Result<(), ShimError> {
        let mut stream = dial(&self.dir, request).await?;
        match read_frame(&mut stream).await? {
            Some(Frame::Ok) => Ok(()),
            Some(Frame::Refused(why)) => Err(ShimError::Refused(why)),
            _ => Err(io::Error::other("the shim closed the connection").into()),
        }
    }
}

/// Opens a connection and sends its first request.
pub(crate) async fn dial(dir: &Path, request: Request) -> io::Result<UnixStream> {
    // A socket's path is limited to about a hundred bytes; the directory's may be longer.
    let directory = fs::File::open(dir)?;
    let short = format!("/proc/self/fd/{}/{SOCKET}", directory.as_raw_fd());
    let mut stream = UnixStream::connect(short).await?;
    write_frame(&mut stream, &Frame::Request(request)).await?;
    Ok(stream)
}
