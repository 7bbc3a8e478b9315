//! `portforward`: connections to the ports of a pod.
//!
//! SPDY clients open a pair of streams, data and error, for every connection they accept, and
//! kubectl carries the same SPDY inside a WebSocket. Channel WebSockets name the ports in the
//! query and get one connection for each: channel 2n is its data, 2n+1 its error.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use http_body_util::Full;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;

use crate::backend::{ContainerRef, Duplex, NodeBackend};
use crate::link::{Inlet, Outlet, chunk};
use crate::query::port_number;
use crate::spdy;
use crate::upgrade::{
    Offer, Refusal, SessionError, Sessions, choose, on_upgrade, spdy_response, websocket_response,
};
use crate::websocket::{Channels, Encoding, tunnel};

/// How many ports one channel WebSocket may name: two channels each, and 255 is taken.
const MAX_CHANNEL_PORTS: usize = 127;
/// How long a client may go on sending to a pod whose end of the connection has ended, which is
/// what container runtimes grant.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How many streams may wait for their other half.
const MAX_HALF_PAIRS: usize = 64;

/// What a WebSocket carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Carriage {
    /// SPDY frames in binary messages.
    Spdy,
    /// One pair of channels for each port of the query.
    Channels(Encoding),
}

const WEBSOCKET: &[(&str, Carriage)] = &[
    ("SPDY/3.1+portforward.k8s.io", Carriage::Spdy),
    ("v4.channel.k8s.io", Carriage::Channels(Encoding::Binary)),
    (
        "v4.base64.channel.k8s.io",
        Carriage::Channels(Encoding::Base64),
    ),
    ("v5.channel.k8s.io", Carriage::Channels(Encoding::Binary)),
    ("", Carriage::Channels(Encoding::Binary)),
];

const SPDY: &[(&str, ())] = &[("portforward.k8s.io", ())];

/// Answers a `portforward` request. `ports` are those of the query; only channel WebSockets use
/// them. The session belongs to `sessions`.
pub fn serve<B>(
    mut request: Request<B>,
    sessions: &Sessions,
    pod: ContainerRef,
    ports: Vec<u16>,
    backend: Arc<dyn NodeBackend>,
) -> Result<Response<Full<Bytes>>, Refusal> {
    let target = Target { pod, backend };
    match Offer::from_headers(request.headers())? {
        Offer::WebSocket { accept, protocols } => {
            let (name, carriage) = choose(&protocols, WEBSOCKET)?;
            match carriage {
                Carriage::Spdy => {
                    sessions.spawn(on_upgrade(&mut request), |io| async move {
                        let (reader, writer) = tunnel(io).await;
                        over_spdy(reader, writer, target).await
                    });
                }
                Carriage::Channels(encoding) => {
                    if ports.is_empty() || ports.len() > MAX_CHANNEL_PORTS {
                        return Err(Refusal::Upgrade(format!(
                            "the query must name between 1 and {MAX_CHANNEL_PORTS} ports"
                        )));
                    }
                    sessions.spawn(on_upgrade(&mut request), move |io| {
                        over_channels(io, encoding, ports, target)
                    });
                }
            }
            Ok(websocket_response(&accept, name))
        }
        Offer::Spdy { protocols } => {
            let (name, ()) = choose(&protocols, SPDY)?;
            sessions.spawn(on_upgrade(&mut request), |io| {
                let (reader, writer) = tokio::io::split(io);
                over_spdy(reader, writer, target)
            });
            Ok(spdy_response(name))
        }
    }
}

#[derive(Clone)]
struct Target {
    pod: ContainerRef,
    backend: Arc<dyn NodeBackend>,
}

impl Target {
    /// Carries one connection until both directions have ended; errors go to the client.
    async fn forward(self, port: u16, inlet: Inlet, data: Outlet, error: Outlet) {
        let pod = &self.pod;
        let described = format!("port {port} to pod {}, uid {}", pod.pod, pod.uid);
        let connected = self.backend.port_forward(pod.clone(), port).await;
        let failure = match connected {
            Ok(connection) => carry(connection, inlet, data).await.err(),
            Err(error) => {
                data.finish().await;
                Some(std::io::Error::other(error))
            }
        };
        if let Some(failure) = failure {
            let message = format!("error forwarding {described}: {failure}");
            // A client that is gone cannot be told.
            let _ = error.send(message.into()).await;
        }
        error.finish().await;
    }
}

/// Copies both ways until the pod's end has ended. A client that was told so may still have
/// something to say, or, as kubectl before 1.23, wait for the end of the error stream.
async fn carry(connection: impl Duplex, inlet: Inlet, data: Outlet) -> std::io::Result<()> {
    let tells_the_end = data.tells_the_end();
    let (mut reader, mut writer) = tokio::io::split(connection);
    let mut to_pod = pin!(inlet.pour_into(&mut writer));
    let mut from_pod = pin!(async {
        let copied = pour_out(&mut reader, &data).await;
        data.finish().await;
        copied
    });
    let copied = tokio::select! {
        copied = &mut from_pod => copied,
        _ = &mut to_pod => return from_pod.await,
    };
    if tells_the_end {
        // Whether the client had more to say than time to say it makes no difference any more.
        let _ = tokio::time::timeout(LAST_WORDS, to_pod).await;
    }
    copied
}

/// Copies everything the pod sends.
async fn pour_out(reader: &mut (impl AsyncRead + Unpin), data: &Outlet) -> std::io::Result<()> {
    let mut buffer = BytesMut::new();
    loop {
        let bytes = chunk(reader, &mut buffer).await?;
        if bytes.is_empty() || data.send(bytes).await.is_err() {
            return Ok(());
        }
    }
}

async fn over_channels<S>(
    io: S,
    encoding: Encoding,
    ports: Vec<u16>,
    target: Target,
) -> Result<(), SessionError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut channels = Channels::new(encoding);
    let mut connections = JoinSet::new();
    for (index, port) in ports.into_iter().enumerate() {
        let number = 2 * index as u8;
        let inlet = channels.inlet(number);
        let data = channels.outlet(number);
        let error = channels.outlet(number + 1);
        let target = target.clone();
        connections.spawn(async move {
            // Both channels begin with the number of the port they are for.
            let announcement = Bytes::copy_from_slice(&port.to_le_bytes());
            if data.send(announcement.clone()).await.is_ok()
                && error.send(announcement).await.is_ok()
            {
                target.forward(port, inlet, data, error).await;
            }
        });
    }
    // The connections hold the outlets: when the last of them ends, so does the driver. When the
    // client goes first, dropping the set ends the connections.
    channels.drive(io).await
}

async fn over_spdy<R, W>(reader: R, writer: W, target: Target) -> Result<(), SessionError>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let spdy::Connection {
        mut streams,
        driver,
        ..
    } = spdy::open(reader, writer);
    let mut driver = pin!(driver);
    let mut connections = JoinSet::new();
    let mut pairs = Pairs::default();
    loop {
        tokio::select! {
            ended = &mut driver => return ended.map_err(SessionError::new),
            Some(stream) = streams.recv() => {
                if let Some(pair) = pairs.add(stream)? {
                    connections.spawn(forward_pair(target.clone(), pair));
                }
            }
            Some(_ended) = connections.join_next() => {}
        }
    }
}

async fn forward_pair(target: Target, pair: Pair) {
    let gone = pair.data.sender.clone();
    let error = pair.error.clone();
    let forward = target.forward(
        pair.port,
        pair.data.inlet,
        Outlet::Stream(pair.data.sender),
        Outlet::Stream(pair.error),
    );
    // A client that resets the data stream does not want the connection any more. It does so too
    // when it has seen its end, and then still waits for that of the error stream.
    tokio::select! {
        () = forward => {}
        () = gone.gone() => error.finish().await,
    }
}

/// The two streams of one connection.
struct Pair {
    port: u16,
    data: spdy::Stream,
    error: spdy::StreamSender,
}

/// Streams that wait for their other half, by request id.
#[derive(Default)]
struct Pairs {
    waiting: HashMap<String, Half>,
}

enum Half {
    Data(spdy::Stream),
    Error(spdy::StreamSender),
}

impl Pairs {
    fn add(&mut self, stream: spdy::Stream) -> Result<Option<Pair>, SessionError> {
        let port = stream.header("port").unwrap_or_default();
        let port = port_number(port).map_err(SessionError::new)?;
        let kind = stream.header("streamtype").unwrap_or_default().to_owned();
        let request = match (stream.header("requestid"), kind.as_str()) {
            (Some(request), _) => request.to_owned(),
            // Clients before request ids open the error stream first and the data stream next.
            (None, "data") => (stream.id - 2).to_string(),
            (None, _) => stream.id.to_string(),
        };
        let (data, error) = match (kind.as_str(), self.waiting.remove(&request)) {
            ("data", Some(Half::Error(error))) => (stream, error),
            ("error", Some(Half::Data(data))) => (data, stream.sender),
            ("data", None) => return self.wait(request, Half::Data(stream)),
            ("error", None) => return self.wait(request, Half::Error(stream.sender)),
            ("data" | "error", Some(_)) => {
                return Err(SessionError::new(format!(
                    "request {request} opened two {kind} streams"
                )));
            }
            _ => {
                return Err(SessionError::new(format!(
                    "stream {} has the unexpected streamType {kind:?}",
                    stream.id
                )));
            }
        };
        Ok(Some(Pair { port, data, error }))
    }

    fn wait(&mut self, request: String, half: Half) -> Result<Option<Pair>, SessionError> {
        if self.waiting.len() >= MAX_HALF_PAIRS {
            return Err(SessionError::new("too many streams wait for their pair"));
        }
        self.waiting.insert(request, half);
        Ok(None)
    }
}
