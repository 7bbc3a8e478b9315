//! How shims learn that their agent is gone.
//!
//! The agent holds the only writing end of a pipe into which nothing is ever written. However the
//! agent ends, the kernel closes that end, and every shim that reads the other one sees the end of
//! the file. No signal, no process id and no clock is involved.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process::Stdio;

use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;

/// The agent's side: it lasts as long as the agent.
#[derive(Debug)]
pub struct Lifeline {
    reader: io::PipeReader,
    _writer: io::PipeWriter,
}

impl Lifeline {
    /// Makes the pipe; both ends close by themselves when another program is started.
    pub fn new() -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        Ok(Self {
            reader,
            _writer: writer,
        })
    }

    /// What a shim gets as its standard input.
    pub(crate) fn end(&self) -> io::Result<Stdio> {
        Ok(OwnedFd::from(self.reader.try_clone()?).into())
    }
}

/// The shim's side.
#[derive(Debug)]
pub(crate) enum Agent {
    /// The pod goes on without it.
    Dispensable,
    /// The pod ends with it.
    Vital(pipe::Receiver),
}

impl Agent {
    /// The agent behind this process's standard input.
    pub(crate) fn at_stdin() -> io::Result<Self> {
        let stdin = io::stdin().as_fd().try_clone_to_owned()?;
        pipe::Receiver::from_owned_fd(stdin).map(Self::Vital)
    }

    /// Waits until the agent has died; for ever, if that is of no consequence.
    pub(crate) async fn gone(&mut self) {
        match self {
            Self::Dispensable => std::future::pending().await,
            // Nothing is ever sent, so any answer is the end.
            Self::Vital(pipe) => {
                let _ = pipe.read_u8().await;
            }
        }
    }
}
