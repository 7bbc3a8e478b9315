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

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::DuplexStream;
    use tokio_util::codec::Framed;

    const DEADLINE: Duration = Duration::from_secs(10);

    struct Pair {
        client: Framed<DuplexStream, Codec>,
        streams: mpsc::Receiver<Stream>,
        closer: Closer,
        driver: tokio::task::JoinHandle<Result<(), SpdyError>>,
    }

    fn connected() -> Pair {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let (reader, writer) = tokio::io::split(far);
        let connection = open(reader, writer);
        Pair {
            client: Framed::new(near, Codec::new()),
            streams: connection.streams,
            closer: connection.closer,
            driver: tokio::spawn(connection.driver),
        }
    }

    fn syn(id: u32, kind: &str) -> Frame {
        Frame::SynStream {
            id,
            associated: 0,
            priority: 0,
            fin: false,
            unidirectional: false,
            headers: vec![("streamtype".to_owned(), kind.to_owned())],
        }
    }

    fn data(id: u32, fin: bool, data: &'static [u8]) -> Frame {
        Frame::Data {
            id,
            fin,
            data: Bytes::from_static(data),
        }
    }

    impl Pair {
        async fn send(&mut self, frame: Frame) {
            self.client.send(frame).await.unwrap();
        }

        async fn receive(&mut self) -> Frame {
            let next = tokio::time::timeout(DEADLINE, self.client.next());
            next.await.unwrap().unwrap().unwrap()
        }

        async fn opened(&mut self, id: u32, kind: &str) -> Stream {
            self.send(syn(id, kind)).await;
            let reply = self.receive().await;
            assert!(matches!(reply, Frame::SynReply { id: replied, .. } if replied == id));
            self.streams.recv().await.unwrap()
        }
    }

    #[tokio::test]
    async fn a_stream_carries_both_ways_credits_what_it_reads_and_half_closes() {
        let mut pair = connected();
        let mut stream = pair.opened(1, "data").await;
        assert_eq!(stream.header("streamtype"), Some("data"));
        pair.send(data(1, false, b"hello")).await;
        pair.send(data(1, true, b"")).await;
        assert_eq!(stream.inlet.recv().await.unwrap(), "hello");
        assert_eq!(stream.inlet.recv().await, None);
        assert_eq!(
            pair.receive().await,
            Frame::WindowUpdate { id: 1, delta: 5 }
        );
        stream
            .sender
            .send(Bytes::from_static(b"world"))
            .await
            .unwrap();
        assert_eq!(pair.receive().await, data(1, false, b"world"));
        stream.sender.finish().await;
        assert_eq!(pair.receive().await, data(1, true, b""));
    }

    #[tokio::test]
    async fn pings_are_answered_and_wrong_streams_reset() {
        let mut pair = connected();
        let _stream = pair.opened(3, "data").await;
        pair.send(Frame::Ping { id: 7 }).await;
        assert_eq!(pair.receive().await, Frame::Ping { id: 7 });
        for (frame, id, status) in [
            (syn(4, "data"), 4, RST_PROTOCOL_ERROR),
            (syn(3, "data"), 3, RST_PROTOCOL_ERROR),
            (data(9, false, b"x"), 9, RST_INVALID_STREAM),
        ] {
            pair.send(frame).await;
            assert_eq!(pair.receive().await, Frame::RstStream { id, status });
        }
    }

    #[tokio::test]
    async fn a_reset_stream_is_gone_for_its_sender_and_others_go_on() {
        let mut pair = connected();
        let mut first = pair.opened(1, "data").await;
        let second = pair.opened(3, "data").await;
        pair.send(Frame::RstStream { id: 1, status: 5 }).await;
        tokio::time::timeout(DEADLINE, first.sender.gone())
            .await
            .unwrap();
        assert_eq!(first.inlet.recv().await, None);
        assert!(first.sender.send(Bytes::from_static(b"x")).await.is_err());
        second.sender.send(Bytes::from_static(b"y")).await.unwrap();
        assert_eq!(pair.receive().await, data(3, false, b"y"));
    }

    #[tokio::test]
    async fn more_streams_than_anyone_looks_at_are_refused() {
        let mut pair = connected();
        for index in 0..=BACKLOG as u32 {
            pair.send(syn(2 * index + 1, "data")).await;
        }
        for _ in 0..BACKLOG {
            assert!(matches!(pair.receive().await, Frame::SynReply { .. }));
        }
        let refused = Frame::RstStream {
            id: 2 * BACKLOG as u32 + 1,
            status: RST_REFUSED_STREAM,
        };
        assert_eq!(pair.receive().await, refused);
    }

    #[tokio::test]
    async fn goodbye_comes_last_and_a_client_that_leaves_ends_the_driver() {
        let mut pair = connected();
        let stream = pair.opened(1, "data").await;
        stream
            .sender
            .send(Bytes::from_static(b"last"))
            .await
            .unwrap();
        let closer = pair.closer;
        closer.close().await;
        let mut frames = Vec::new();
        while let Some(frame) = pair.client.next().await {
            frames.push(frame.unwrap());
        }
        let goodbye = Frame::GoAway {
            last_good: 0,
            status: GOAWAY_OK,
        };
        assert_eq!(frames, [data(1, false, b"last"), goodbye]);
        drop(pair.client);
        let ended = tokio::time::timeout(DEADLINE, pair.driver).await;
        ended.unwrap().unwrap().unwrap();
        tokio::time::timeout(DEADLINE, stream.sender.gone())
            .await
            .unwrap();
    }
}
