//! Takes the connections of a listener, for every server of the engine.

use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Converses over every connection until `stop`, which ends those that are open, too. `what` is what
/// could not be accepted, for the log.
pub(crate) async fn accept<F>(
    listener: TcpListener,
    what: &'static str,
    stop: CancellationToken,
    converse: impl Fn(TcpStream) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(converse(stream));
                }
                Err(error) => {
                    // Out of file descriptors: the next connection may find one again.
                    tracing::warn!(%error, "{what} could not be accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
    connections.shutdown().await;
}
