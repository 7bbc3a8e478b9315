//! `exec` and `attach`: a process whose standard streams are channels of the client.
//!
//! WebSocket clients multiplex by channel number, SPDY clients open one stream for each; either
//! way the client becomes a [`Terminal`] and [`run`] connects it to the process.

use std::future::{self, Future};
use std::pin::pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use http_body_util::Full;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::backend::{BackendError, ExecOptions, Process, Reader, TerminalSize};
use crate::link::{Inlet, Outlet, chunk};
use crate::spdy;
use crate::status::{self, Outcome};
use crate::upgrade::{
    Offer, Refusal, SessionError, Sessions, choose, on_upgrade, spdy_response, websocket_response,
};
use crate::websocket::{Channels, Encoding};

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const ERROR: u8 = 3;
const RESIZE: u8 = 4;

/// How long a SPDY client has to open the streams it asked for.
const STREAM_CREATION: Duration = Duration::from_secs(30);
/// How long after the end of the command its output may stay silent before it counts as complete.
/// Only a background child that kept the pipe makes use of it.
const SILENCE: Duration = Duration::from_secs(1);
/// How long the first message waits. client-go reads before it has made its streams (kubectl 1.32
/// does), complains about what it then has no stream for, and loses it; no cluster of several
/// machines answers as fast as one process does.
const SETTLING: Duration = Duration::from_millis(20);
/// The longest JSON text of a terminal size.
const RESIZE_LIMIT: usize = 4096;

/// What the client's protocol can express.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Dialect {
    encoding: Encoding,
    status: StatusForm,
}

/// How the end is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StatusForm {
    /// A `metav1.Status`.
    Json,
    /// A line of text, and only for failures.
    Text,
}

const WEBSOCKET: &[(&str, Dialect)] = &[
    (
        "v5.channel.k8s.io",
        Dialect::new(Encoding::Binary, StatusForm::Json),
    ),
    (
        "v4.channel.k8s.io",
        Dialect::new(Encoding::Binary, StatusForm::Json),
    ),
    (
        "v4.base64.channel.k8s.io",
        Dialect::new(Encoding::Base64, StatusForm::Json),
    ),
    (
        "channel.k8s.io",
        Dialect::new(Encoding::Binary, StatusForm::Text),
    ),
    (
        "base64.channel.k8s.io",
        Dialect::new(Encoding::Base64, StatusForm::Text),
    ),
    ("", Dialect::new(Encoding::Binary, StatusForm::Text)),
];

const SPDY: &[(&str, StatusForm)] = &[
    ("v4.channel.k8s.io", StatusForm::Json),
    ("v3.channel.k8s.io", StatusForm::Text),
    ("v2.channel.k8s.io", StatusForm::Text),
];

impl Dialect {
    const fn new(encoding: Encoding, status: StatusForm) -> Self {
        Self { encoding, status }
    }
}

/// Answers an `exec` or `attach` request: `start` is awaited once the protocol is agreed on, so a
/// refusal of the node is still an ordinary HTTP error; the session then belongs to `sessions`.
///
/// The process is dropped when the client goes away.
pub async fn serve<B>(
    mut request: Request<B>,
    sessions: &Sessions,
    options: ExecOptions,
    start: impl Future<Output = Result<Process, BackendError>>,
) -> Result<Response<Full<Bytes>>, Refusal> {
    match Offer::from_headers(request.headers())? {
        Offer::WebSocket { accept, protocols } => {
            let (name, dialect) = choose(&protocols, WEBSOCKET)?;
            let process = start.await?;
            sessions.spawn(on_upgrade(&mut request), move |io| {
                over_websocket(io, dialect, options, process)
            });
            Ok(websocket_response(&accept, name))
        }
        Offer::Spdy { protocols } => {
            let (name, form) = choose(&protocols, SPDY)?;
            let process = start.await?;
            sessions.spawn(on_upgrade(&mut request), move |io| {
                over_spdy(io, form, options, process)
            });
            Ok(spdy_response(name))
        }
    }
}

/// The client's side of the standard streams; what was not asked for is absent.
struct Terminal {
    stdin: Option<Inlet>,
    stdout: Option<Outlet>,
    stderr: Option<Outlet>,
    resize: Option<Inlet>,
    error: Outlet,
}

async fn over_websocket<S>(
    io: S,
    dialect: Dialect,
    options: ExecOptions,
    process: Process,
) -> Result<(), SessionError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut channels = Channels::new(dialect.encoding);
    let terminal = Terminal {
        stdin: options.stdin.then(|| channels.inlet(STDIN)),
        stdout: options.stdout.then(|| channels.outlet(STDOUT)),
        stderr: options.stderr.then(|| channels.outlet(STDERR)),
        resize: options.tty.then(|| channels.inlet(RESIZE)),
        error: channels.outlet(ERROR),
    };
    let work = async move {
        tokio::time::sleep(SETTLING).await;
        greet(&terminal).await;
        run(process, terminal, dialect.status).await;
        Ok(())
    };
    until_both_end(Box::pin(channels.drive(io)), work).await
}

/// Clients that wait for a first message learn from an empty one that the session has begun.
async fn greet(terminal: &Terminal) {
    let first = terminal.stdout.as_ref().or(terminal.stderr.as_ref());
    // A client that is gone already is noticed by the reader.
    let _ = first.unwrap_or(&terminal.error).send(Bytes::new()).await;
}

async fn over_spdy<S>(
    io: S,
    form: StatusForm,
    options: ExecOptions,
    process: Process,
) -> Result<(), SessionError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (reader, writer) = tokio::io::split(io);
    let spdy::Connection {
        mut streams,
        closer,
        driver,
    } = spdy::open(reader, writer);
    let work = async move {
        let opened = tokio::time::timeout(STREAM_CREATION, opened(&mut streams, &options)).await;
        let terminal = opened.map_err(|_elapsed| {
            SessionError::new("the client did not open its streams in time")
        })??;
        run(process, terminal, form).await;
        closer.close().await;
        Ok(())
    };
    let driver = Box::pin(async { driver.await.map_err(SessionError::new) });
    until_both_end(driver, work).await
}

/// Waits until the client has opened every stream that the options call for.
async fn opened(
    streams: &mut mpsc::Receiver<spdy::Stream>,
    options: &ExecOptions,
) -> Result<Terminal, SessionError> {
    let (mut stdin, mut stdout, mut stderr) = (None, None, None);
    let (mut resize, mut error) = (None, None);
    loop {
        let complete = stdin.is_some() == options.stdin
            && stdout.is_some() == options.stdout
            && stderr.is_some() == options.stderr
            && resize.is_some() == options.tty;
        if complete && let Some(error) = error.take() {
            return Ok(Terminal {
                stdin,
                stdout,
                stderr,
                resize,
                error,
            });
        }
        let Some(stream) = streams.recv().await else {
            return Err(SessionError::new(
                "the client left before its streams were open",
            ));
        };
        match stream.header("streamtype") {
            Some("stdin") if options.stdin => stdin = Some(stream.inlet),
            Some("stdout") if options.stdout => stdout = Some(Outlet::Stream(stream.sender)),
            Some("stderr") if options.stderr => stderr = Some(Outlet::Stream(stream.sender)),
            Some("resize") if options.tty => resize = Some(stream.inlet),
            Some("error") => error = Some(Outlet::Stream(stream.sender)),
            other => {
                return Err(SessionError::new(format!(
                    "stream {} has the unexpected streamType {}",
                    stream.id,
                    other.unwrap_or("(none)"),
                )));
            }
        }
    }
}

/// The driver ends first when the client goes away; then the work is dropped. Otherwise the work
/// ends, and the driver sends what is left.
async fn until_both_end(
    driver: impl Future<Output = Result<(), SessionError>>,
    work: impl Future<Output = Result<(), SessionError>>,
) -> Result<(), SessionError> {
    let mut driver = pin!(driver);
    tokio::select! {
        ended = &mut driver => ended,
        worked = work => {
            worked?;
            driver.await
        }
    }
}

/// Connects the process with the client, and tells how it ended after its last output.
async fn run(process: Process, terminal: Terminal, form: StatusForm) {
    let Process {
        stdin,
        stdout,
        stderr,
        resize,
        exit,
    } = process;
    let ended = CancellationToken::new();
    let input = async {
        if let (Some(inlet), Some(mut writer)) = (terminal.stdin, stdin) {
            inlet.pour_into(&mut writer).await;
        }
    };
    let sizes = async {
        if let (Some(inlet), Some(sizes)) = (terminal.resize, resize) {
            forward_sizes(inlet, sizes).await;
        }
    };
    let exit = async {
        let outcome = exit.await;
        ended.cancel();
        outcome
    };
    let outputs = async {
        tokio::join!(
            output(stdout, terminal.stdout, &ended),
            output(stderr, terminal.stderr, &ended),
        )
    };
    let outcome = tokio::select! {
        (outcome, _) = async { tokio::join!(exit, outputs) } => outcome,
        // Input alone never ends a session.
        never = async {
            tokio::join!(input, sizes);
            future::pending::<Outcome>().await
        } => never,
    };
    let last = match form {
        StatusForm::Json => Some(status::json(&outcome)),
        StatusForm::Text => status::text(&outcome),
    };
    if let Some(last) = last {
        // A client that left before the end does not read its status.
        let _ = terminal.error.send(last).await;
    }
    terminal.error.finish().await;
}

/// Sends what the process writes until it closes its end, or has ended and says no more.
async fn output(reader: Option<Reader>, outlet: Option<Outlet>, ended: &CancellationToken) {
    let (Some(mut reader), Some(outlet)) = (reader, outlet) else {
        return;
    };
    let mut buffer = BytesMut::new();
    loop {
        let silent = async {
            ended.cancelled().await;
            tokio::time::sleep(SILENCE).await;
        };
        let bytes = tokio::select! {
            biased;
            bytes = chunk(&mut reader, &mut buffer) => bytes,
            () = silent => break,
        };
        match bytes {
            Ok(bytes) if bytes.is_empty() => break,
            Ok(bytes) => {
                if outlet.send(bytes).await.is_err() {
                    break;
                }
            }
            // A terminal whose last process is gone reads as an error, not as an end.
            Err(error) => {
                tracing::debug!(%error, "output of a remote command ended");
                break;
            }
        }
    }
    outlet.finish().await;
}

/// Reads sizes as JSON objects, one after the other, however the client cuts them into messages.
async fn forward_sizes(mut inlet: Inlet, sizes: mpsc::Sender<TerminalSize>) {
    let mut text = BytesMut::new();
    while let Some(bytes) = inlet.recv().await {
        text.extend_from_slice(&bytes);
        let mut parsed = serde_json::Deserializer::from_slice(&text).into_iter::<TerminalSize>();
        let read: Vec<TerminalSize> = parsed.by_ref().map_while(Result::ok).collect();
        let consumed = parsed.byte_offset();
        let _read = text.split_to(consumed);
        if text.len() > RESIZE_LIMIT {
            return;
        }
        for size in read {
            if sizes.send(size).await.is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    fn inlet(pieces: &'static [&'static str]) -> Inlet {
        let (sender, receiver) = mpsc::channel(pieces.len().max(1));
        for piece in pieces {
            sender
                .try_send(Bytes::from_static(piece.as_bytes()))
                .unwrap();
        }
        Inlet::new(receiver)
    }

    fn terminal(messages: &mpsc::Sender<(u8, Bytes)>) -> Terminal {
        let outlet = |number| Outlet::Channel {
            number,
            messages: messages.clone(),
        };
        Terminal {
            stdin: None,
            stdout: Some(outlet(STDOUT)),
            stderr: None,
            resize: None,
            error: outlet(ERROR),
        }
    }

    #[tokio::test]
    async fn sizes_are_read_across_pieces() {
        let (sizes, mut received) = mpsc::channel(8);
        let pieces = inlet(&[
            "{\"Width\":80,\"Height\":24}{\"Wid",
            "th\":90,\"Height\":25}\n",
        ]);
        forward_sizes(pieces, sizes).await;
        let size = |width, height| TerminalSize { width, height };
        assert_eq!(received.recv().await, Some(size(80, 24)));
        assert_eq!(received.recv().await, Some(size(90, 25)));
        assert_eq!(received.recv().await, None);
    }

    #[tokio::test]
    async fn the_status_comes_after_all_output_however_early_the_command_ends() {
        let (messages, mut sent) = mpsc::channel(64);
        let process = Process {
            stdin: None,
            stdout: Some(Box::pin(std::io::Cursor::new(vec![b'x'; 100_000]))),
            stderr: None,
            resize: None,
            exit: futures::future::ready(Ok(0)).boxed(),
        };
        run(process, terminal(&messages), StatusForm::Json).await;
        drop(messages);
        let mut bytes = 0;
        let mut last = None;
        while let Some((channel, payload)) = sent.recv().await {
            assert_ne!(last, Some(ERROR), "nothing follows the status");
            if channel == STDOUT {
                bytes += payload.len();
            }
            last = Some(channel);
        }
        assert_eq!((bytes, last), (100_000, Some(ERROR)));
    }
}
