//! A server per test, and waiting for conditions with a deadline.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use futures::{FutureExt as _, future::BoxFuture, stream::BoxStream};
use kube::{
    Client,
    api::{Api, DynamicObject, PostParams},
    discovery::ApiResource,
};
use serde_json::{Value, json};
use windlass_apiserver::{ApiServer, Config, User};
use windlass_streaming::backend::{
    BackendError, ContainerRef, Duplex, ExecOptions, LogOptions, NodeBackend, Process,
};

/// Nothing in these tests takes longer, unless it never ends.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// Octets of the loopback network that this test binary uses, one per listening server.
static NEXT_OCTET: AtomicU8 = AtomicU8::new(120);

/// A server with a data directory that goes with it.
pub(crate) struct TestServer {
    pub(crate) api: ApiServer,
    pub(crate) directory: tempfile::TempDir,
    pub(crate) config: Config,
}

impl TestServer {
    /// A server for in-process clients only.
    pub(crate) async fn start() -> Self {
        Self::with(|config| config.listen = false).await
    }

    /// A server that listens on TLS too.
    pub(crate) async fn listening() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut config = Config::for_tests(directory.path().join("data"));
        config.loopback_octet = NEXT_OCTET.fetch_add(1, Ordering::Relaxed);
        change(&mut config);
        let api = ApiServer::start(config.clone(), Arc::new(StubNode))
            .await
            .unwrap();
        Self {
            api,
            directory,
            config,
        }
    }

    /// A client that may do everything.
    pub(crate) fn admin(&self) -> Client {
        self.api.client(User::admin())
    }

    /// Sends a request as the administrator and returns status code and body.
    pub(crate) async fn request(
        &self,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> (u16, Value) {
        send(&self.admin(), method, path, "application/json", body).await
    }

    /// Sends a patch as the administrator.
    pub(crate) async fn patch(&self, path: &str, format: &str, body: Value) -> (u16, Value) {
        send(&self.admin(), "PATCH", path, format, Some(body)).await
    }

    /// Creates an object and expects that to work.
    pub(crate) async fn create(&self, path: &str, object: Value) -> Value {
        let (code, answer) = self.request("POST", path, Some(object)).await;
        assert_eq!(code, 201, "{answer}");
        answer
    }

    /// Makes the account that pods of the namespace run as.
    pub(crate) async fn default_account(&self) {
        self.create(
            "/api/v1/namespaces/default/serviceaccounts",
            json!({"metadata": {"name": "default"}}),
        )
        .await;
    }
}

/// Sends a request and returns status code and body.
pub(crate) async fn send(
    client: &Client,
    method: &str,
    path: &str,
    content_type: &str,
    body: Option<Value>,
) -> (u16, Value) {
    let (code, _, text) = send_raw(
        client,
        method,
        path,
        &[("content-type", content_type)],
        body,
    )
    .await;
    let value = serde_json::from_str(&text).unwrap_or(Value::String(text));
    (code, value)
}

/// The same with headers in both directions and the body as text.
pub(crate) async fn send_raw(
    client: &Client,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Option<Value>,
) -> (u16, http::HeaderMap, String) {
    let mut request = http::Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let bytes = body
        .map(|body| body.to_string().into_bytes())
        .unwrap_or_default();
    let request = request.body(kube::client::Body::from(bytes)).unwrap();
    let response = client.send(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = http_body_util::BodyExt::collect(body)
        .await
        .unwrap()
        .to_bytes();
    (
        parts.status.as_u16(),
        parts.headers,
        String::from_utf8(bytes.to_vec()).unwrap(),
    )
}

/// A pod that is as small as pods get.
pub(crate) fn pod(name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"containers": [{"name": "main", "image": "busybox"}]},
    })
}

/// A ConfigMap.
pub(crate) fn config_map(name: &str, data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data})
}

/// The path of ConfigMaps in `default`, and of one of them.
pub(crate) const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";
/// The path of pods in `default`.
pub(crate) const PODS: &str = "/api/v1/namespaces/default/pods";

/// A typed-less API of a namespaced kind.
pub(crate) fn dynamic(
    client: Client,
    group: &str,
    version: &str,
    kind: &str,
    plural: &str,
) -> Api<DynamicObject> {
    let resource = ApiResource {
        group: group.to_owned(),
        version: version.to_owned(),
        api_version: if group.is_empty() {
            version.to_owned()
        } else {
            format!("{group}/{version}")
        },
        kind: kind.to_owned(),
        plural: plural.to_owned(),
    };
    Api::namespaced_with(client, "default", &resource)
}

/// Creates through kube.
pub(crate) async fn create(api: &Api<DynamicObject>, object: Value) -> kube::Result<DynamicObject> {
    api.create(
        &PostParams::default(),
        &serde_json::from_value(object).unwrap(),
    )
    .await
}

/// Fails the test when something takes longer than anything here should.
pub(crate) async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    let ended = tokio::time::timeout(DEADLINE, future).await;
    ended.unwrap_or_else(|_| panic!("{what} did not happen within {DEADLINE:?}"))
}

/// A node whose containers answer without running.
pub(crate) struct StubNode;

impl NodeBackend for StubNode {
    fn logs(
        &self,
        container: ContainerRef,
        options: LogOptions,
    ) -> BoxFuture<
        'static,
        Result<BoxStream<'static, Result<bytes::Bytes, BackendError>>, BackendError>,
    > {
        let text = format!(
            "{} says hello, tail {:?}\n",
            container.container, options.tail_lines
        );
        let stream: BoxStream<'static, _> = Box::pin(futures::stream::once(async move {
            Ok(bytes::Bytes::from(text))
        }));
        async move { Ok(stream) }.boxed()
    }

    fn exec(
        &self,
        _: ContainerRef,
        options: ExecOptions,
    ) -> BoxFuture<'static, Result<Process, BackendError>> {
        let output = format!("{}\n", options.command.join(" "));
        async move {
            Ok(Process {
                stdin: None,
                stdout: Some(Box::pin(std::io::Cursor::new(output.into_bytes()))),
                stderr: None,
                resize: None,
                exit: async { Ok(0) }.boxed(),
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
        _: ContainerRef,
        _: u16,
    ) -> BoxFuture<'static, Result<Box<dyn Duplex>, BackendError>> {
        async { Err(BackendError::BadRequest("nothing listens".to_owned())) }.boxed()
    }
}
