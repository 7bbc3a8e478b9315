//! What the agent and a shim say to each other: length-prefixed frames on a Unix socket.
//!
//! A connection starts with one request. `Subscribe` is answered by a state frame at once and after
//! every change; `Attach` turns the connection into the container's standard streams; everything
//! else gets one answer.

use std::io;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use windlass_streaming::backend::TerminalSize;

use super::state::PodState;
use crate::sandbox::spec::ContainerSpec;

/// Larger frames are a broken peer: container specs hold whole environments, which the kernel
/// bounds at a few megabytes.
const MAX_FRAME: u32 = 16 << 20;

/// What the agent asks.
#[derive(Debug, Serialize, Deserialize)]
pub enum Request {
    /// Start a container. Answered when the request is taken; the state tells the rest.
    Start(Box<ContainerSpec>),
    /// Send a signal to a container's first process.
    Signal {
        /// The container.
        container: String,
        /// The attempt that is meant, so that a successor is never hit.
        attempt: u32,
        /// The signal's number.
        signal: i32,
    },
    /// Send the pod's state now and whenever it changes.
    Subscribe,
    /// Connect to a container's standard streams.
    Attach {
        /// The container.
        container: String,
    },
    /// Change the size of a container's terminal.
    Resize {
        /// The container.
        container: String,
        /// The new size.
        size: TerminalSize,
    },
    /// Leave, if nothing runs any more.
    Exit,
}

/// One frame in either direction.
#[derive(Debug)]
pub(crate) enum Frame {
    /// The agent's request.
    Request(Request),
    /// The request was taken.
    Ok,
    /// The request was refused.
    Refused(String),
    /// The pod's state.
    State(Box<PodState>),
    /// Bytes for standard input; empty is end of file.
    Stdin(Vec<u8>),
    /// Bytes of standard output.
    Stdout(Vec<u8>),
    /// Bytes of standard error.
    Stderr(Vec<u8>),
}

impl Frame {
    fn encode(&self) -> io::Result<(u8, Vec<u8>)> {
        Ok(match self {
            Self::Request(request) => (b'R', serde_json::to_vec(request)?),
            Self::Ok => (b'K', Vec::new()),
            Self::Refused(message) => (b'X', message.clone().into_bytes()),
            Self::State(state) => (b'S', serde_json::to_vec(state)?),
            Self::Stdin(bytes) => (b'0', bytes.clone()),
            Self::Stdout(bytes) => (b'1', bytes.clone()),
            Self::Stderr(bytes) => (b'2', bytes.clone()),
        })
    }

    fn decode(tag: u8, body: Vec<u8>) -> io::Result<Self> {
        Ok(match tag {
            b'R' => Self::Request(serde_json::from_slice(&body)?),
            b'K' => Self::Ok,
            b'X' => Self::Refused(String::from_utf8_lossy(&body).into_owned()),
            b'S' => Self::State(serde_json::from_slice(&body)?),
            b'0' => Self::Stdin(body),
            b'1' => Self::Stdout(body),
            b'2' => Self::Stderr(body),
            other => return Err(io::Error::other(format!("unknown frame {other}"))),
        })
    }
}

/// Writes one frame.
pub(crate) async fn write_frame(
    writer: &mut (impl AsyncWrite + Unpin),
    frame: &Frame,
) -> io::Result<()> {
    let (tag, body) = frame.encode()?;
    let length = u32::try_from(body.len()).map_err(io::Error::other)?;
    let mut bytes = Vec::with_capacity(body.len() + 5);
    bytes.push(tag);
    bytes.extend(length.to_be_bytes());
    bytes.extend(body);
    writer.write_all(&bytes).await
}

/// Reads one frame; `None` when the peer has closed between frames.
pub(crate) async fn read_frame(reader: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Frame>> {
    let tag = match reader.read_u8().await {
        Ok(tag) => tag,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    };
    let length = reader.read_u32().await?;
    if length > MAX_FRAME {
        return Err(io::Error::other(format!(
            "a frame of {length} bytes is too large"
        )));
    }
    let mut body = vec![0; length as usize];
    reader.read_exact(&mut body).await?;
    Frame::decode(tag, body).map(Some)
}
