//! A server with one pod, `default/demo`, whose commands are processes of this machine.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use windlass_streaming::backend::{
    BackendError, ContainerRef, Duplex, ExecOptions, LogOptions, NodeBackend, Process, TerminalSize,
};
use windlass_streaming::{Refusal, Sessions, port_forward, query, remote_command};

/// How long anything in these tests may take.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) struct TestServer {
    pub(crate) address: SocketAddr,
    pub(crate) sessions: Sessions,
    pub(crate) node: Arc<FakeNode>,
    _tasks: JoinSet<()>,
}

impl TestServer {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let sessions = Sessions::new();
        let node = Arc::new(FakeNode::default());
        let mut tasks = JoinSet::new();
        let (serving, on) = (sessions.clone(), node.clone());
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                let (sessions, node) = (serving.clone(), on.clone());
                let service = service_fn(move |request| {
                    answer(request, sessions.clone(), node.clone()).map(Ok::<_, Infallible>)
                });
                connections.spawn(async move {
                    let http = hyper::server::conn::http1::Builder::new();
                    let connection = http.serve_connection(TokioIo::new(socket), service);
                    let _ = connection.with_upgrades().await;
                });
            }
        });
        Self {
            address,
            sessions,
            node,
            _tasks: tasks,
        }
    }

    /// Waits until no session is left.
    pub(crate) async fn idle(&self) {
        tokio::time::timeout(DEADLINE, async {
            while self.sessions.live() > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await
        .expect("sessions end when their clients do");
    }
}

async fn answer(
    request: Request<Incoming>,
    sessions: Sessions,
    node: Arc<FakeNode>,
) -> Response<Full<Bytes>> {
    let query: Vec<(String, String)> = request
        .uri()
        .query()
        .unwrap_or_default()
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.to_owned(), decoded(value)))
        .collect();
    let pairs = || {
        query
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    };
    let answered = match request.uri().path() {
        "/api" => Ok(ok(json!({"kind": "APIVersions", "versions": ["v1"]}))),
        "/apis" => Ok(ok(
            json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": []}),
        )),
        "/api/v1" => Ok(ok(resources())),
        "/api/v1/namespaces/default/pods/demo" => Ok(ok(pod())),
        "/api/v1/namespaces/default/pods/demo/exec" => {
            let options = query::exec(pairs()).unwrap();
            let start = node.exec(container(), options.clone());
            remote_command::serve(request, &sessions, options, start).await
        }
        "/api/v1/namespaces/default/pods/demo/portforward" => {
            let ports = query::ports(pairs()).unwrap();
            port_forward::serve(request, &sessions, container(), ports, node)
        }
        path => Err(Refusal::Backend(BackendError::NotFound(path.to_owned()))),
    };
    answered.unwrap_or_else(|refusal| {
        let status = json!({
            "kind": "Status", "apiVersion": "v1", "status": "Failure",
            "message": refusal.to_string(), "code": refusal.status().as_u16(),
        });
        respond(refusal.status(), &status)
    })
}

fn ok(body: Value) -> Response<Full<Bytes>> {
    respond(StatusCode::OK, &body)
}

fn respond(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(
        http::header::CONTENT_TYPE,
        http::HeaderValue::from_static("application/json"),
    );
    response
}

fn resources() -> Value {
    let names = ["pods", "pods/exec", "pods/portforward"];
    let resources: Vec<Value> = names
        .iter()
        .map(|name| {
            json!({
                "name": name, "singularName": "", "namespaced": true, "kind": "Pod",
                "verbs": ["get", "create"],
            })
        })
        .collect();
    json!({
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "v1",
        "resources": resources,
    })
}

fn pod() -> Value {
    json!({
        "kind": "Pod", "apiVersion": "v1",
        "metadata": {"name": "demo", "namespace": "default", "uid": "u-1"},
        "spec": {"containers": [{"name": "main", "image": "demo"}]},
        "status": {"phase": "Running"},
    })
}

fn container() -> ContainerRef {
    ContainerRef {
        namespace: "default".to_owned(),
        pod: "demo".to_owned(),
        uid: "u-1".to_owned(),
        container: "main".to_owned(),
    }
}

/// Just enough of form decoding for what the clients send here.
fn decoded(value: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let hex = [rest.next().unwrap(), rest.next().unwrap()];
                let hex = std::str::from_utf8(&hex).unwrap();
                bytes.push(u8::from_str_radix(hex, 16).unwrap());
            }
            other => bytes.push(other),
        }
    }
    String::from_utf8(bytes).unwrap()
}

/// Runs commands on this machine; a pod's ports are this machine's ports.
#[derive(Default)]
pub(crate) struct FakeNode {
    running: watch::Sender<usize>,
    sizes: watch::Sender<Vec<TerminalSize>>,
}

impl FakeNode {
    /// Waits until exactly so many processes are held by sessions.
    pub(crate) async fn running(&self, wanted: usize) {
        let mut running = self.running.subscribe();
        let reached = running.wait_for(|running| *running == wanted);
        tokio::time::timeout(DEADLINE, reached)
            .await
            .unwrap()
            .unwrap();
    }

    /// Waits until so many terminal sizes have arrived, and returns them.
    pub(crate) async fn sizes(&self, wanted: usize) -> Vec<TerminalSize> {
        let mut sizes = self.sizes.subscribe();
        let reached = sizes.wait_for(|sizes| sizes.len() >= wanted);
        tokio::time::timeout(DEADLINE, reached)
            .await
            .unwrap()
            .unwrap()
            .clone()
    }
}

/// Counts a process for as long as its session holds it.
struct Held(watch::Sender<usize>);

impl Held {
    fn new(count: &watch::Sender<usize>) -> Self {
        count.send_modify(|count| *count += 1);
        Self(count.clone())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

impl NodeBackend for FakeNode {
    fn logs(
        &self,
        _container: ContainerRef,
        _options: LogOptions,
    ) -> BoxFuture<'static, Result<BoxStream<'static, Result<Bytes, BackendError>>, BackendError>>
    {
        futures::future::ready(Err(BackendError::BadRequest("no logs here".to_owned()))).boxed()
    }

    fn exec(
        &self,
        _container: ContainerRef,
        options: ExecOptions,
    ) -> BoxFuture<'static, Result<Process, BackendError>> {
        let held = Held::new(&self.running);
        let record = self.sizes.clone();
        async move {
            let pipe = |wanted| {
                if wanted {
                    Stdio::piped()
                } else {
                    Stdio::null()
                }
            };
            let mut child = Command::new(&options.command[0])
                .args(&options.command[1..])
                .stdin(pipe(options.stdin))
                .stdout(pipe(options.stdout))
                .stderr(pipe(options.stderr))
                .kill_on_drop(true)
                .spawn()
                .map_err(|error| BackendError::BadRequest(error.to_string()))?;
            let (resize, mut sizes) = mpsc::channel(4);
            tokio::spawn(async move {
                while let Some(size) = sizes.recv().await {
                    record.send_modify(|sizes| sizes.push(size));
                }
            });
            Ok(Process {
                stdin: child.stdin.take().map(|stdin| Box::pin(stdin) as _),
                stdout: child.stdout.take().map(|stdout| Box::pin(stdout) as _),
                stderr: child.stderr.take().map(|stderr| Box::pin(stderr) as _),
                resize: options.tty.then_some(resize),
                exit: async move {
                    let _held = held;
                    let status = child.wait().await;
                    let code = status.map(|status| status.code().unwrap_or(137));
                    code.map_err(|error| BackendError::Internal(error.to_string()))
                }
                .boxed(),
            })
        }
        .boxed()
    }

    fn attach(
        &self,
        container: ContainerRef,
        options: ExecOptions,
    ) -> BoxFuture<'static, Result<Process, BackendError>> {
        self.exec(container, options)
    }

    fn port_forward(
        &self,
        _pod: ContainerRef,
        port: u16,
    ) -> BoxFuture<'static, Result<Box<dyn Duplex>, BackendError>> {
        async move {
            match TcpStream::connect(("127.0.0.1", port)).await {
                Ok(socket) => Ok(Box::new(socket) as Box<dyn Duplex>),
                Err(error) => Err(BackendError::Internal(error.to_string())),
            }
        }
        .boxed()
    }
}

/// A server that sends everything back, and the end too.
pub(crate) async fn echo_server() -> (u16, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((mut socket, _)) = listener.accept().await {
            connections.spawn(async move {
                let (mut reader, mut writer) = socket.split();
                let _: io::Result<u64> = tokio::io::copy(&mut reader, &mut writer).await;
            });
        }
    });
    (port, tasks)
}

/// A server that says one thing to everybody and hangs up.
pub(crate) async fn curt_server(says: &'static str) -> (u16, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let _: io::Result<()> = socket.write_all(says.as_bytes()).await;
        }
    });
    (port, tasks)
}

/// Bytes that no accident would produce in the right order.
pub(crate) fn pattern(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_u32;
    (0..length)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .collect()
}
