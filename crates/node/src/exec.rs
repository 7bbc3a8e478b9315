//! Running commands in containers, for the API's `exec` and for probes and hooks.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};

use crate::proc::{ProcessId, exit_code};
use crate::reexec::REEXEC;
use crate::sandbox::EnterRequest;

/// How much of a probe's or hook's output is kept for messages.
const OUTPUT_BYTES: u64 = 10 << 10;

/// A running container, as something to enter.
#[derive(Debug, Clone)]
pub(crate) struct Entrance {
    /// The binary that enters.
    pub(crate) exe: PathBuf,
    /// The container's first process.
    pub(crate) process: ProcessId,
    /// The container's spec file.
    pub(crate) spec: PathBuf,
}

/// What came of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It ended, with this exit code and output.
    Ended(u8, String),
    /// It took too long and was killed.
    TimedOut,
}

impl Entrance {
    /// The running container of a pod's directory whose spec and process are known.
    pub(crate) fn new(exe: &Path, process: ProcessId, container_dir: &Path) -> Self {
        Self {
            exe: exe.to_owned(),
            process,
            spec: container_dir.join("spec.json"),
        }
    }

    /// The command that enters the container and runs `argv` there; the streams are the caller's
    /// to set. The command in the container dies with it.
    pub(crate) fn command(&self, argv: &[String], tty: bool) -> io::Result<Command> {
        let request = EnterRequest {
            process: self.process,
            spec: self.spec.clone(),
            argv: argv.to_vec(),
            tty,
        };
        let mut command = Command::new(&self.exe);
        command
            .args([REEXEC, "enter"])
            .arg(serde_json::to_string(&request)?)
            .kill_on_drop(true);
        Ok(command)
    }

    /// Runs a command to its end, or to the end of its time.
    pub(crate) async fn run(&self, argv: &[String], limit: Duration) -> io::Result<Outcome> {
        let mut child = self
            .command(argv, false)?
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        match tokio::time::timeout(limit, finish(&mut child)).await {
            Ok(outcome) => outcome,
            Err(_) => {
                child.kill().await?;
                Ok(Outcome::TimedOut)
            }
        }
    }
}

async fn finish(child: &mut Child) -> io::Result<Outcome> {
    let mut out = child
        .stdout
        .take()
        .ok_or_else(|| io::Error::other("no standard output"))?;
    let mut err = child
        .stderr
        .take()
        .ok_or_else(|| io::Error::other("no standard error"))?;
    let (mut output, mut errors) = (Vec::new(), Vec::new());
    let read_out = async {
        (&mut out)
            .take(OUTPUT_BYTES)
            .read_to_end(&mut output)
            .await?;
        // The rest is thrown away, but a full pipe would stop the command.
        tokio::io::copy(&mut out, &mut tokio::io::sink()).await
    };
    let read_err = async {
        (&mut err)
            .take(OUTPUT_BYTES)
            .read_to_end(&mut errors)
            .await?;
        tokio::io::copy(&mut err, &mut tokio::io::sink()).await
    };
    tokio::try_join!(read_out, read_err)?;
    let status = child.wait().await?;
    output.extend(errors);
    Ok(Outcome::Ended(
        exit_code(status),
        String::from_utf8_lossy(&output).into_owned(),
    ))
}
