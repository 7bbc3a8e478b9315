//! One direction of one channel, whatever carries it.

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

use crate::spdy::{Credit, StreamSender};

/// How much one message to the client carries at most.
const CHUNK: usize = 32 * 1024;

/// The client went away, or closed the channel.
#[derive(Debug, thiserror::Error)]
#[error("the client closed the channel")]
pub(crate) struct Gone;

/// Bytes from the client on one channel.
pub(crate) struct Inlet {
    bytes: mpsc::Receiver<Bytes>,
    credit: Option<Credit>,
}

impl Inlet {
    pub(crate) fn new(bytes: mpsc::Receiver<Bytes>) -> Self {
        Self {
            bytes,
            credit: None,
        }
    }

    /// An inlet that tells the client how much has been consumed.
    pub(crate) fn with_credit(bytes: mpsc::Receiver<Bytes>, credit: Credit) -> Self {
        Self {
            bytes,
            credit: Some(credit),
        }
    }

    /// The next bytes; `None` once the client has closed its side. Cancel safe.
    pub(crate) async fn recv(&mut self) -> Option<Bytes> {
        let bytes = self.bytes.recv().await?;
        if let Some(credit) = &mut self.credit {
            credit.consumed(bytes.len());
        }
        Some(bytes)
    }

    /// Copies everything into `writer`, and passes the end on.
    ///
    /// A writer that fails has no reader any more (`head -1`); what follows is dropped.
    pub(crate) async fn pour_into(mut self, writer: &mut (impl AsyncWrite + Unpin)) {
        while let Some(bytes) = self.recv().await {
            if writer.write_all(&bytes).await.is_err() || writer.flush().await.is_err() {
                return;
            }
        }
        // The only failure is that the other side is gone already.
        let _ = writer.shutdown().await;
    }
}

/// Bytes to the client on one channel.
#[derive(Clone)]
pub(crate) enum Outlet {
    /// A numbered channel of a WebSocket.
    Channel {
        number: u8,
        messages: mpsc::Sender<(u8, Bytes)>,
    },
    /// A stream of its own.
    Stream(StreamSender),
}

impl Outlet {
    pub(crate) async fn send(&self, bytes: Bytes) -> Result<(), Gone> {
        match self {
            Self::Channel { number, messages } => messages
                .send((*number, bytes))
                .await
                .map_err(|_closed| Gone),
            Self::Stream(stream) => stream.send(bytes).await,
        }
    }

    /// Whether [`Outlet::finish`] reaches the client.
    pub(crate) fn tells_the_end(&self) -> bool {
        matches!(self, Self::Stream(_))
    }

    /// Says that nothing follows, where the protocol has words for it.
    pub(crate) async fn finish(self) {
        match self {
            Self::Channel { .. } => {}
            Self::Stream(stream) => stream.finish().await,
        }
    }
}

/// The next piece of `reader`; empty at its end. Cancel safe.
pub(crate) async fn chunk(
    reader: &mut (impl AsyncRead + Unpin),
    buffer: &mut BytesMut,
) -> std::io::Result<Bytes> {
    buffer.reserve(CHUNK);
    let size = reader.take(CHUNK as u64).read_buf(buffer).await?;
    Ok(buffer.split_to(size).freeze())
}
