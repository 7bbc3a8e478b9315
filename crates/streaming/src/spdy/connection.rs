//! The server's end of a SPDY connection: the client opens streams, both sides send on them.

use std::collections::HashMap;
use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, watch};
use tokio_util::codec::{FramedRead, FramedWrite};

use super::frame::{Codec, Frame, SpdyError};
use super::headers::Headers;
use crate::link::{Gone, Inlet};

/// How many frames of one stream, or of all streams together towards the client, wait for a slow
/// side before the other one is held up.
const QUEUE: usize = 64;
/// How many streams may be opened before the session looks at them.
const BACKLOG: usize = 64;
/// How many streams one connection may have open: two for each connection kubectl forwards.
const STREAMS: usize = 2048;
/// How long the client has to close the connection after our GOAWAY.
const LINGER: Duration = Duration::from_secs(2);

const RST_PROTOCOL_ERROR: u32 = 1;
const RST_INVALID_STREAM: u32 = 2;
const RST_REFUSED_STREAM: u32 = 3;
const GOAWAY_OK: u32 = 0;

/// A stream the client has opened.
pub(crate) struct Stream {
    pub(crate) id: u32,
    headers: Headers,
    /// What the client sends.
    pub(crate) inlet: Inlet,
    /// Where to send to the client.
    pub(crate) sender: StreamSender,
}

impl Stream {
    /// The value of the header, which is named in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(header, _)| header == name)
            .map(|(_, value)| value.as_str())
    }
}

/// The sending half of a stream.
#[derive(Clone)]
pub(crate) struct StreamSender {
    id: u32,
    frames: mpsc::Sender<Frame>,
    /// Nothing is ever sent: the other end is dropped when the stream or the connection is gone.
    alive: watch::Receiver<()>,
}

impl StreamSender {
    pub(crate) async fn send(&self, data: Bytes) -> Result<(), Gone> {
        self.write(data, false).await
    }

    /// Half-closes the stream. A client that is gone needs no notice.
    pub(crate) async fn finish(self) {
        let _ = self.write(Bytes::new(), true).await;
    }

    /// Resolves when the client has given the stream up, in both directions.
    pub(crate) async fn gone(&self) {
        while self.alive.clone().changed().await.is_ok() {}
    }

    async fn write(&self, data: Bytes, fin: bool) -> Result<(), Gone> {
        if self.alive.has_changed().is_err() {
            return Err(Gone);
        }
        let frame = Frame::Data {
            id: self.id,
            fin,
            data,
        };
        self.frames.send(frame).await.map_err(|_closed| Gone)
    }
}

/// Gives consumed bytes back to the client's window.
pub(crate) struct Credit {
    id: u32,
    frames: mpsc::Sender<Frame>,
    owed: u32,
}

impl Credit {
    /// Never waits: what does not fit into the queue now is added to the next update.
    pub(crate) fn consumed(&mut self, bytes: usize) {
        self.owed = self.owed.saturating_add(bytes as u32);
        let update = Frame::WindowUpdate {
            id: self.id,
            delta: self.owed,
        };
        if self.owed > 0 && self.frames.try_send(update).is_ok() {
            self.owed = 0;
        }
    }
}

/// Ends the connection from our side.
pub(crate) struct Closer {
    frames: mpsc::Sender<Frame>,
}

impl Closer {
    /// Says goodbye after everything that was sent before.
    pub(crate) async fn close(self) {
        let goodbye = Frame::GoAway {
            last_good: 0,
            status: GOAWAY_OK,
        };
        // A client that is gone needs no goodbye.
        let _ = self.frames.send(goodbye).await;
    }
}

/// A connection that has been taken over.
pub(crate) struct Connection<F> {
    /// The streams the client opens.
    pub(crate) streams: mpsc::Receiver<Stream>,
    /// Ends the connection from our side.
    pub(crate) closer: Closer,
    /// Does the work while it is polled; it ends when the client is gone, or soon after
    /// [`Closer::close`].
    pub(crate) driver: F,
}

/// Takes the connection over.
pub(crate) fn open<R, W>(
    reader: R,
    writer: W,
) -> Connection<impl Future<Output = Result<(), SpdyError>>>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let (frames, outgoing) = mpsc::channel(QUEUE);
    let (streams, accepted) = mpsc::channel(BACKLOG);
    let reader = FramedRead::new(reader, Codec::new());
    let writer = FramedWrite::new(writer, Codec::new());
    let closer = Closer {
        frames: frames.clone(),
    };
    let incoming = Incoming {
        frames,
        streams,
        open: HashMap::new(),
        last: 0,
    };
    let driver = async move {
        let mut read = pin!(incoming.run(reader));
        tokio::select! {
            read = &mut read => read,
            written = write(writer, outgoing) => {
                written?;
                // A client that stays on the line is cut off.
                tokio::time::timeout(LINGER, read).await.unwrap_or(Ok(()))
            }
        }
    };
    Connection {
        streams: accepted,
        closer,
        driver,
    }
}

async fn write<W: AsyncWrite + Unpin>(
    mut writer: FramedWrite<W, Codec>,
    mut outgoing: mpsc::Receiver<Frame>,
) -> Result<(), SpdyError> {
    while let Some(frame) = outgoing.recv().await {
        let last = matches!(frame, Frame::GoAway { .. });
        writer.feed(frame).await?;
        if last || outgoing.is_empty() {
            writer.flush().await?;
        }
        if last {
            break;
        }
    }
    writer.close().await
}

/// The receiving half of the connection.
struct Incoming {
    frames: mpsc::Sender<Frame>,
    streams: mpsc::Sender<Stream>,
    open: HashMap<u32, OpenStream>,
    last: u32,
}

struct OpenStream {
    /// Gone once the client has half-closed the stream, or the session stopped listening.
    data: Option<mpsc::Sender<Bytes>>,
    alive: watch::Sender<()>,
}

impl Incoming {
    async fn run<R: AsyncRead + Unpin>(
        mut self,
        mut reader: FramedRead<R, Codec>,
    ) -> Result<(), SpdyError> {
        while let Some(frame) = reader.next().await {
            match frame? {
                Frame::SynStream {
                    id,
                    fin,
                    unidirectional,
                    headers,
                    ..
                } => self.opened(id, fin, unidirectional, headers).await,
                Frame::Data { id, fin, data } => self.data(id, fin, data).await,
                Frame::Headers { id, fin, .. } => {
                    if fin {
                        self.half_closed(id);
                    }
                }
                Frame::RstStream { id, .. } => {
                    self.open.remove(&id);
                }
                // The client numbers its own pings oddly; even ones would answer ours.
                Frame::Ping { id } if id % 2 == 1 => self.reply(Frame::Ping { id }).await,
                Frame::GoAway { .. } => break,
                Frame::Ping { .. }
                | Frame::SynReply { .. }
                | Frame::Settings { .. }
                | Frame::WindowUpdate { .. }
                | Frame::Unknown { .. } => {}
            }
        }
        Ok(())
    }

    async fn opened(&mut self, id: u32, fin: bool, unidirectional: bool, headers: Headers) {
        if id.is_multiple_of(2) || id <= self.last {
            self.reset(id, RST_PROTOCOL_ERROR).await;
            return;
        }
        self.last = id;
        // Streams that both sides have left are swept here, where their number could grow.
        self.open.retain(|_, stream| stream.is_used());
        let (data, receiver) = mpsc::channel(QUEUE);
        let (alive, watcher) = watch::channel(());
        let credit = Credit {
            id,
            frames: self.frames.clone(),
            owed: 0,
        };
        let stream = Stream {
            id,
            headers,
            inlet: Inlet::with_credit(receiver, credit),
            sender: StreamSender {
                id,
                frames: self.frames.clone(),
                alive: watcher,
            },
        };
        if self.open.len() >= STREAMS || self.streams.try_send(stream).is_err() {
            self.reset(id, RST_REFUSED_STREAM).await;
            return;
        }
        self.open.insert(
            id,
            OpenStream {
                data: (!fin).then_some(data),
                alive,
            },
        );
        self.reply(Frame::SynReply {
            id,
            fin: unidirectional,
            headers: Headers::new(),
        })
        .await;
    }

    async fn data(&mut self, id: u32, fin: bool, data: Bytes) {
        let Some(stream) = self.open.get_mut(&id) else {
            // Data of a stream that was just closed may still be on its way.
            if id > self.last {
                self.reset(id, RST_INVALID_STREAM).await;
            }
            return;
        };
        if let Some(sender) = &stream.data
            && !data.is_empty()
            && sender.send(data).await.is_err()
        {
            stream.data = None;
        }
        if fin {
            self.half_closed(id);
        }
    }

    fn half_closed(&mut self, id: u32) {
        if let Some(stream) = self.open.get_mut(&id) {
            stream.data = None;
        }
    }

    async fn reset(&self, id: u32, status: u32) {
        self.reply(Frame::RstStream { id, status }).await;
    }

    /// The writer outlives the reader; if it failed, the whole connection ends with its error.
    async fn reply(&self, frame: Frame) {
        let _ = self.frames.send(frame).await;
    }
}

impl OpenStream {
    /// Whether the client may still send, or the session still holds its end.
    fn is_used(&self) -> bool {
        self.data.as_ref().is_some_and(|data| !data.is_closed()) || !self.alive.is_closed()
    }
}
