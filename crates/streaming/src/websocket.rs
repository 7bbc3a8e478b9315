//! Channels in a WebSocket: the first byte of every message is the channel's number.
//!
//! Also the tunnel: a WebSocket whose binary messages are the pieces of one byte stream.

use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut, Bytes, BytesMut};
use futures::{Sink, SinkExt, StreamExt, future};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_util::io::{CopyToBytes, SinkWriter, StreamReader};

use crate::link::{Inlet, Outlet};
use crate::upgrade::SessionError;

/// The channel whose messages name a channel the client has closed (v5).
const CLOSE: u8 = 255;
/// How many messages wait for a slow side.
const QUEUE: usize = 16;
/// How long the client has to answer a close.
const LINGER: Duration = Duration::from_secs(2);
/// The largest message taken from a client.
const MESSAGE_LIMIT: usize = 16 << 20;

/// How a channel message is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// A binary message: the number, then the bytes.
    Binary,
    /// A text message: the number as a digit, then the bytes in base64.
    Base64,
}

impl Encoding {
    fn encode(self, channel: u8, bytes: &Bytes) -> Message {
        match self {
            Self::Binary => {
                let mut message = BytesMut::with_capacity(bytes.len() + 1);
                message.put_u8(channel);
                message.put_slice(bytes);
                Message::Binary(message.freeze())
            }
            Self::Base64 => {
                let mut message = String::with_capacity(bytes.len() / 3 * 4 + 5);
                message.push(char::from(b'0' + channel));
                STANDARD.encode_string(bytes, &mut message);
                Message::text(message)
            }
        }
    }

    /// The channel and its bytes; `None` for messages that carry none. Whether a message says it is
    /// binary or text makes no difference: the Python client sends strings as text on binary
    /// channels.
    fn decode(self, message: Message) -> Result<Option<(u8, Bytes)>, SessionError> {
        if !(message.is_binary() || message.is_text()) {
            return Ok(None);
        }
        let mut bytes = message.into_data();
        match self {
            Self::Binary if bytes.is_empty() => Ok(None),
            Self::Binary => {
                let payload = bytes.split_off(1);
                Ok(Some((bytes[0], payload)))
            }
            Self::Base64 => {
                let Some((channel @ b'0'..=b'9', payload)) = bytes.split_first() else {
                    return Err(SessionError::new("a message does not begin with a channel"));
                };
                let payload = STANDARD.decode(payload).map_err(SessionError::new)?;
                Ok(Some((channel - b'0', payload.into())))
            }
        }
    }
}

/// The channels of a session, as its work sees them.
pub(crate) struct Channels {
    encoding: Encoding,
    inlets: Vec<Option<mpsc::Sender<Bytes>>>,
    messages: mpsc::Sender<(u8, Bytes)>,
    outgoing: mpsc::Receiver<(u8, Bytes)>,
}

impl Channels {
    pub(crate) fn new(encoding: Encoding) -> Self {
        let (messages, outgoing) = mpsc::channel(QUEUE);
        Self {
            encoding,
            inlets: Vec::new(),
            messages,
            outgoing,
        }
    }

    /// What the client sends on the channel. Without an inlet it is dropped.
    pub(crate) fn inlet(&mut self, channel: u8) -> Inlet {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let index = usize::from(channel);
        if self.inlets.len() <= index {
            self.inlets.resize_with(index + 1, || None);
        }
        self.inlets[index] = Some(sender);
        Inlet::new(receiver)
    }

    /// Where to send to the client on the channel.
    pub(crate) fn outlet(&self, channel: u8) -> Outlet {
        Outlet::Channel {
            number: channel,
            messages: self.messages.clone(),
        }
    }

    /// Carries the channels until all outlets are gone, or the client is.
    pub(crate) async fn drive<S>(self, io: S) -> Result<(), SessionError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let Self {
            encoding,
            mut inlets,
            messages,
            mut outgoing,
        } = self;
        drop(messages);
        let (mut sink, mut stream) = accept(io).await.split();
        let write = async move {
            while let Some((channel, bytes)) = outgoing.recv().await {
                sink.send(encoding.encode(channel, &bytes)).await?;
            }
            sink.send(normal_closure()).await?;
            sink.close().await
        };
        let mut read = pin!(async move {
            while let Some(message) = stream.next().await {
                let message = message.map_err(SessionError::new)?;
                if let Some((channel, bytes)) = encoding.decode(message)? {
                    deliver(&mut inlets, channel, bytes).await;
                }
            }
            Ok(())
        });
        tokio::select! {
            read = &mut read => read,
            written = write => {
                written.map_err(SessionError::new)?;
                // A client that does not answer the close in time is cut off.
                tokio::time::timeout(LINGER, read).await.unwrap_or(Ok(()))
            }
        }
    }
}

async fn deliver(inlets: &mut [Option<mpsc::Sender<Bytes>>], channel: u8, bytes: Bytes) {
    if channel == CLOSE {
        if let Some(inlet) = bytes
            .first()
            .and_then(|closed| inlets.get_mut(usize::from(*closed)))
        {
            *inlet = None;
        }
        return;
    }
    let Some(inlet) = inlets.get_mut(usize::from(channel)) else {
        return;
    };
    if let Some(sender) = inlet
        && !bytes.is_empty()
        && sender.send(bytes).await.is_err()
    {
        *inlet = None;
    }
}

/// A WebSocket as a byte stream: what it reads and where to write.
pub(crate) async fn tunnel<S>(io: S) -> (impl AsyncRead + Unpin, impl AsyncWrite + Unpin)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (sink, stream) = accept(io).await.split();
    let bytes = stream.filter_map(|message| {
        future::ready(match message {
            Ok(Message::Binary(bytes)) => Some(Ok(bytes)),
            Ok(_) => None,
            Err(error) => Some(Err(io::Error::other(error))),
        })
    });
    let writer = SinkWriter::new(CopyToBytes::new(TunnelSink {
        sink,
        closing: false,
    }));
    (StreamReader::new(bytes), writer)
}

/// Sends every piece as one binary message, and a normal closure at the end.
struct TunnelSink<S> {
    sink: S,
    closing: bool,
}

impl<S: Sink<Message, Error = Error> + Unpin> Sink<Bytes> for TunnelSink<S> {
    type Error = io::Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.sink.poll_ready_unpin(cx).map_err(io::Error::other)
    }

    fn start_send(mut self: Pin<&mut Self>, bytes: Bytes) -> io::Result<()> {
        self.sink
            .start_send_unpin(Message::Binary(bytes))
            .map_err(io::Error::other)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.sink.poll_flush_unpin(cx).map_err(io::Error::other)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.closing {
            ready!(self.sink.poll_ready_unpin(cx)).map_err(io::Error::other)?;
            self.sink
                .start_send_unpin(normal_closure())
                .map_err(io::Error::other)?;
            self.closing = true;
        }
        self.sink.poll_close_unpin(cx).map_err(io::Error::other)
    }
}

async fn accept<S: AsyncRead + AsyncWrite + Unpin>(io: S) -> WebSocketStream<S> {
    let config = WebSocketConfig::default()
        .read_buffer_size(16 * 1024)
        .write_buffer_size(0)
        .max_message_size(Some(MESSAGE_LIMIT))
        .max_frame_size(Some(MESSAGE_LIMIT));
    WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await
}

/// kubectl takes any other code for a broken connection.
fn normal_closure() -> Message {
    Message::Close(Some(CloseFrame {
        code: CloseCode::Normal,
        reason: "".into(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_message_reads_back_as_it_was_written(
            channel in 0..10u8,
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let bytes = Bytes::from(bytes);
            for encoding in [Encoding::Binary, Encoding::Base64] {
                let message = encoding.encode(channel, &bytes);
                prop_assert_eq!(encoding.decode(message).unwrap(), Some((channel, bytes.clone())));
            }
        }
    }

    #[test]
    fn text_and_binary_messages_mean_the_same() {
        let cases = [
            (Encoding::Binary, "\0echo hi\n", 0, "echo hi\n"),
            (Encoding::Base64, "0ZWNobw==", 0, "echo"),
        ];
        for (encoding, sent, channel, bytes) in cases {
            for message in [Message::text(sent), Message::binary(sent)] {
                let expected = Some((channel, Bytes::from(bytes)));
                assert_eq!(encoding.decode(message).unwrap(), expected, "{encoding:?}");
            }
        }
        for silent in [Message::Ping(Bytes::from("0x")), Message::Close(None)] {
            assert_eq!(Encoding::Binary.decode(silent).unwrap(), None);
        }
    }

    #[test]
    fn a_broken_base64_message_is_an_error_and_an_empty_binary_one_is_nothing() {
        for text in ["", "x", "0%%%"] {
            assert!(
                Encoding::Base64.decode(Message::text(text)).is_err(),
                "{text}"
            );
        }
        let empty = Encoding::Binary.decode(Message::Binary(Bytes::new()));
        assert_eq!(empty.unwrap(), None);
    }
}
