//! One listening address and the connections it carries.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::table::Route;

/// How long one endpoint may take to accept.
const CONNECT: Duration = Duration::from_secs(3);
/// How many endpoints are tried for one connection.
const TRIES: usize = 4;
/// How many clients one address remembers the endpoints of.
const REMEMBERED: usize = 4096;
/// How long to wait when the process is out of descriptors.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// A listener; dropping it ends its connections.
pub(super) struct Listener {
    switch: Arc<Mutex<Switch>>,
    _task: AbortOnDropHandle<()>,
}

/// Chooses endpoints.
struct Switch {
    route: Route,
    turn: usize,
    remembered: HashMap<IpAddr, (SocketAddr, Instant)>,
}

impl Listener {
    pub(super) async fn bind(
        address: SocketAddr,
        route: Route,
        connections: Arc<Semaphore>,
    ) -> io::Result<Self> {
        let socket = TcpListener::bind(address).await?;
        let switch = Arc::new(Mutex::new(Switch::new(route)));
        let task = tokio::spawn(accept(socket, Arc::clone(&switch), connections));
        Ok(Self {
            switch,
            _task: AbortOnDropHandle::new(task),
        })
    }

    /// Where new connections go from now on; those that are open stay where they are.
    pub(super) fn reroute(&self, route: Route) {
        self.switch.lock().reroute(route);
    }
}

impl Switch {
    fn new(route: Route) -> Self {
        Self {
            route,
            turn: 0,
            remembered: HashMap::new(),
        }
    }

    fn reroute(&mut self, route: Route) {
        self.remembered
            .retain(|_, (endpoint, _)| route.endpoints.contains(endpoint));
        self.route = route;
    }

    /// The endpoints to try, in order: the client's own if it is to stay with one, and then all of
    /// them in turn.
    fn candidates(&mut self, client: IpAddr, now: Instant) -> Vec<SocketAddr> {
        let count = self.route.endpoints.len();
        if count == 0 {
            return Vec::new();
        }
        let start = self.turn % count;
        self.turn = self.turn.wrapping_add(1);
        let mut candidates = self.route.endpoints.clone();
        candidates.rotate_left(start);
        if let Some(affinity) = self.route.affinity
            && let Some((endpoint, since)) = self.remembered.get(&client)
            && now.duration_since(*since) < affinity
        {
            candidates.retain(|candidate| candidate != endpoint);
            candidates.insert(0, *endpoint);
        }
        candidates.truncate(TRIES);
        candidates
    }

    fn connected(&mut self, client: IpAddr, endpoint: SocketAddr, now: Instant) {
        let Some(affinity) = self.route.affinity else {
            return;
        };
        if self.remembered.len() >= REMEMBERED {
            self.remembered
                .retain(|_, (_, since)| now.duration_since(*since) < affinity);
        }
        if self.remembered.len() < REMEMBERED {
            self.remembered.insert(client, (endpoint, now));
        }
    }
}

async fn accept(socket: TcpListener, switch: Arc<Mutex<Switch>>, connections: Arc<Semaphore>) {
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            accepted = socket.accept() => match accepted {
                Ok((stream, client)) => {
                    // Over the bound a connection is closed at once, which clients understand.
                    if let Ok(permit) = Arc::clone(&connections).try_acquire_owned() {
                        let switch = Arc::clone(&switch);
                        open.spawn(async move {
                            carry(stream, client.ip(), &switch).await;
                            drop(permit);
                        });
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, "accept failed");
                    tokio::time::sleep(EXHAUSTED).await;
                }
            },
            Some(_ended) = open.join_next() => {}
        }
    }
}

/// Carries one connection until both directions have ended.
async fn carry(mut client: TcpStream, from: IpAddr, switch: &Mutex<Switch>) {
    let candidates = switch.lock().candidates(from, Instant::now());
    for candidate in candidates {
        let connected = tokio::time::timeout(CONNECT, TcpStream::connect(candidate)).await;
        let Ok(Ok(mut endpoint)) = connected else {
            continue;
        };
        switch.lock().connected(from, candidate, Instant::now());
        let _ = (client.set_nodelay(true), endpoint.set_nodelay(true));
        // Either side may end first; the other end follows once its own direction is done. An
        // error is the reset of one side, and dropping both passes it on.
        let _ = tokio::io::copy_bidirectional(&mut client, &mut endpoint).await;
        return;
    }
    // Nobody is there: a reset says so at once, as a closed port would.
    let _ = client.set_zero_linger();
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use windlass_engine::ObjectKey;

    const DEADLINE: Duration = Duration::from_secs(10);

    fn route(endpoints: &[SocketAddr], affinity: Option<u64>) -> Route {
        Route {
            service: ObjectKey::namespaced("team", "web"),
            endpoints: endpoints.to_vec(),
            affinity: affinity.map(Duration::from_secs),
        }
    }

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    #[test]
    fn endpoints_take_turns() {
        let endpoints = [address(1), address(2), address(3)];
        let mut switch = Switch::new(route(&endpoints, None));
        let client = address(9).ip();
        let firsts: Vec<u16> = (0..4)
            .map(|_| switch.candidates(client, Instant::now())[0].port())
            .collect();
        assert_eq!(firsts, [1, 2, 3, 1]);
        assert!(
            Switch::new(route(&[], None))
                .candidates(client, Instant::now())
                .is_empty()
        );
    }

    #[test]
    fn a_client_with_affinity_stays_until_its_time_or_its_endpoint_is_over() {
        let endpoints = [address(1), address(2)];
        let mut switch = Switch::new(route(&endpoints, Some(60)));
        let client = address(9).ip();
        let start = Instant::now();
        switch.connected(client, address(2), start);
        for _ in 0..3 {
            assert_eq!(switch.candidates(client, start)[0], address(2));
        }
        let later = start + Duration::from_secs(61);
        let firsts: Vec<u16> = (0..2)
            .map(|_| switch.candidates(client, later)[0].port())
            .collect();
        assert!(firsts.contains(&1), "{firsts:?}");
        switch.reroute(route(&[address(1)], Some(60)));
        assert!(switch.remembered.is_empty());
    }

    /// An endpoint that answers with its own name once the client has ended its side.
    async fn endpoint(name: &'static str) -> (SocketAddr, AbortOnDropHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut said = Vec::new();
                stream.read_to_end(&mut said).await.unwrap();
                said.extend_from_slice(name.as_bytes());
                stream.write_all(&said).await.unwrap();
            }
        });
        (address, AbortOnDropHandle::new(task))
    }

    async fn free_address() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    }

    async fn ask(address: SocketAddr) -> io::Result<String> {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(b"hello ").await?;
        stream.shutdown().await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    }

    async fn listen(route: Route, connections: &Arc<Semaphore>) -> (SocketAddr, Listener) {
        let address = free_address().await;
        let listener = Listener::bind(address, route, Arc::clone(connections)).await;
        (address, listener.unwrap())
    }

    #[tokio::test]
    async fn half_closed_connections_get_their_answer_and_dead_endpoints_are_passed_over() {
        let dead = free_address().await;
        let (alive, _endpoint) = endpoint("alive").await;
        let connections = Arc::new(Semaphore::new(10));
        let (address, _listener) = listen(route(&[dead, alive], None), &connections).await;
        for _ in 0..4 {
            let answer = tokio::time::timeout(DEADLINE, ask(address)).await.unwrap();
            assert_eq!(answer.unwrap(), "hello alive");
        }
    }

    #[tokio::test]
    async fn new_connections_follow_the_route_and_an_empty_one_resets() {
        let (first, _one) = endpoint("first").await;
        let (second, _two) = endpoint("second").await;
        let connections = Arc::new(Semaphore::new(10));
        let (address, listener) = listen(route(&[first], None), &connections).await;
        assert_eq!(ask(address).await.unwrap(), "hello first");
        listener.reroute(route(&[second], None));
        assert_eq!(ask(address).await.unwrap(), "hello second");
        listener.reroute(route(&[], None));
        assert!(ask(address).await.is_err());
    }

    #[tokio::test]
    async fn a_listener_that_goes_takes_its_connections_and_gives_everything_back() {
        let (alive, _endpoint) = endpoint("alive").await;
        let connections = Arc::new(Semaphore::new(1));
        let (address, listener) = listen(route(&[alive], None), &connections).await;
        let mut held = TcpStream::connect(address).await.unwrap();
        held.write_all(b"x").await.unwrap();
        let taken = tokio::time::timeout(DEADLINE, async {
            while connections.available_permits() > 0 {
                tokio::task::yield_now().await;
            }
        });
        taken.await.unwrap();
        assert!(
            ask(address).await.unwrap_or_default().is_empty(),
            "over the bound"
        );
        drop(listener);
        let ended = tokio::time::timeout(DEADLINE, held.read(&mut [0]))
            .await
            .unwrap();
        assert!(!matches!(ended, Ok(1..)), "{ended:?}");
        let permit = tokio::time::timeout(DEADLINE, connections.acquire()).await;
        assert!(permit.unwrap().is_ok());
        assert!(TcpStream::connect(address).await.is_err());
    }
}
