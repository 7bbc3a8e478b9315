//! What is asked of a server, and how long it takes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use kube::client::Body;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::contender::Contender;
use crate::table::Figure::{self, Cost, Rate};

/// Where the objects are.
const NAMESPACE: &str = "load";
/// How many pods are created and listed.
const PODS: usize = 10_000;
/// How many of them get a new status, and how many ConfigMaps are replaced.
const UPDATES: usize = 5_000;
/// How many requests are under way at a time.
const IN_FLIGHT: usize = 32;
/// How often the list is asked for.
const LISTS: usize = 5;
/// How many clients watch.
const WATCHERS: usize = 100;
/// How many objects are made for them at once, and then one after the other.
const BURST: usize = 1_000;
const SINGLE: usize = 200;
/// How long the last watcher may stay behind.
const PATIENCE: Duration = Duration::from_mins(2);

/// Everything that one server is asked, in this order.
pub(crate) async fn measure(contender: &Contender) -> anyhow::Result<Vec<(&'static str, Figure)>> {
    let server = Asked(contender.client());
    let mut figures = vec![
        (
            "start, to the first answer",
            Cost(contender.started_in().as_secs_f64() * 1e3, "ms"),
        ),
        (
            "memory after the start",
            Cost(contender.resident_mib()?, "MiB"),
        ),
    ];
    server.prepare().await?;

    let cpu = contender.cpu_seconds()?;
    let took = server.all(PODS, pod).await?;
    let cpu = contender.cpu_seconds()? - cpu;
    figures.push(("pods created", Rate(PODS as f64 / took, "/s")));
    figures.push((
        "CPU of the server for a pod created",
        Cost(cpu * 1e6 / PODS as f64, "µs"),
    ));

    let cpu = contender.cpu_seconds()?;
    let took = server.all(UPDATES, status).await?;
    let cpu = contender.cpu_seconds()? - cpu;
    figures.push(("status of pods patched", Rate(UPDATES as f64 / took, "/s")));
    figures.push((
        "CPU of the server for a status patched",
        Cost(cpu * 1e6 / UPDATES as f64, "µs"),
    ));

    let took = server.all(UPDATES, config_map).await?;
    figures.push(("ConfigMaps created", Rate(UPDATES as f64 / took, "/s")));
    let took = server.all(UPDATES, replaced_config_map).await?;
    figures.push(("ConfigMaps replaced", Rate(UPDATES as f64 / took, "/s")));

    figures.push((
        "list of 10,000 pods in one answer",
        Cost(server.lists().await? * 1e3, "ms"),
    ));
    figures.push((
        "the same in pages of 500",
        Cost(server.pages().await? * 1e3, "ms"),
    ));
    figures.push((
        "memory with the pods",
        Cost(contender.resident_mib()?, "MiB"),
    ));

    let watchers = Watchers::start(&server).await?;
    let cpu = contender.cpu_seconds()?;
    let burst = watchers.burst(&server).await?;
    let cpu = contender.cpu_seconds()? - cpu;
    let delivered = (BURST * WATCHERS) as f64;
    figures.push((
        "events delivered to 100 watchers",
        Rate(delivered / burst, "/s"),
    ));
    figures.push((
        "CPU of the server for an event delivered",
        Cost(cpu * 1e6 / delivered, "µs"),
    ));
    let mut delays = watchers.singles(&server).await?;
    delays.sort_by(f64::total_cmp);
    for (what, share) in [
        ("a write, until the last of 100 watchers has it: p50", 50),
        ("the same: p99", 99),
    ] {
        let delay = delays[delays.len() * share / 100];
        figures.push((what, Cost(delay * 1e3, "ms")));
    }
    Ok(figures)
}

/// What has to be read of a page to go on; the rest would be the client's work.
#[derive(Deserialize)]
struct Page {
    metadata: PageMetadata,
    items: Vec<IgnoredAny>,
}

#[derive(Deserialize)]
struct PageMetadata {
    #[serde(default, rename = "continue")]
    next: String,
}

/// A request, as every client would send it.
struct Call {
    method: Method,
    path: String,
    body: Value,
}

fn path(resource: &str) -> String {
    format!("/api/v1/namespaces/{NAMESPACE}/{resource}")
}

/// About what Spark asks for an executor.
fn pod(number: usize) -> Call {
    let variables = (0..12).map(
        |n| json!({ "name": format!("SPARK_SETTING_{n}"), "value": "a value of some length" }),
    );
    let variables: Vec<Value> = variables.collect();
    let body = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": format!("pi-exec-{number}"),
            "labels": {
                "spark-app-selector": "spark-0123456789abcdef0123456789abcdef",
                "spark-exec-id": number.to_string(),
                "spark-role": "executor",
                "sparkoperator.k8s.io/app-name": "pi",
            },
        },
        "spec": {
            "restartPolicy": "Never",
            "containers": [{
                "name": "spark-kubernetes-executor",
                "image": "apache/spark:4.3.0",
                "args": ["executor"],
                "env": variables,
                "ports": [{ "name": "blockmanager", "containerPort": 7079, "protocol": "TCP" }],
                "resources": {
                    "requests": { "cpu": "1", "memory": "1408Mi" },
                    "limits": { "memory": "1408Mi" },
                },
                "volumeMounts": [{ "name": "spark-local-dir-1", "mountPath": "/var/data/spark" }],
            }],
            "volumes": [{ "name": "spark-local-dir-1", "emptyDir": {} }],
        },
    });
    Call {
        method: Method::POST,
        path: path("pods"),
        body,
    }
}

/// What a kubelet writes when a container runs.
fn status(number: usize) -> Call {
    let now = "2026-01-02T03:04:05Z";
    let condition =
        |kind: &str| json!({ "type": kind, "status": "True", "lastTransitionTime": now });
    let body = json!({ "status": {
        "phase": "Running",
        "podIP": "10.0.0.1",
        "podIPs": [{ "ip": "10.0.0.1" }],
        "startTime": now,
        "conditions": [condition("Initialized"), condition("Ready"), condition("ContainersReady")],
        "containerStatuses": [{
            "name": "spark-kubernetes-executor",
            "image": "apache/spark:4.3.0",
            "imageID": "",
            "ready": true,
            "restartCount": 0,
            "state": { "running": { "startedAt": now } },
        }],
    } });
    Call {
        method: Method::PATCH,
        path: path(&format!("pods/pi-exec-{number}/status")),
        body,
    }
}

fn config_map(number: usize) -> Call {
    Call {
        method: Method::POST,
        path: path("configmaps"),
        body: config_map_body(&format!("map-{number}"), "as it was created"),
    }
}

fn replaced_config_map(number: usize) -> Call {
    Call {
        method: Method::PUT,
        path: path(&format!("configmaps/map-{number}")),
        body: config_map_body(&format!("map-{number}"), "as it was replaced"),
    }
}

fn config_map_body(name: &str, text: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": { "name": name },
        "data": { "spark.properties": text.repeat(50) },
    })
}

/// A server that is asked.
#[derive(Clone)]
struct Asked(kube::Client);

impl Asked {
    /// A namespace in which pods may be created.
    async fn prepare(&self) -> anyhow::Result<()> {
        let named = |kind: &str, name: &str| json!({ "apiVersion": "v1", "kind": kind, "metadata": { "name": name } });
        for (path, body) in [
            (
                "/api/v1/namespaces".to_owned(),
                named("Namespace", NAMESPACE),
            ),
            (path("serviceaccounts"), named("ServiceAccount", "default")),
        ] {
            let method = Method::POST;
            self.call(Call { method, path, body }).await?;
        }
        Ok(())
    }

    /// Makes so many requests, some at a time; the seconds it took.
    async fn all(&self, count: usize, call: impl Fn(usize) -> Call) -> anyhow::Result<f64> {
        // Making the bodies is the client's work, and not to be measured.
        let requests: Vec<_> = (0..count).map(|number| request(call(number))).collect();
        let begun = Instant::now();
        stream::iter(requests)
            .map(|request| self.send(request))
            .buffer_unordered(IN_FLIGHT)
            .try_for_each(async |_| Ok(()))
            .await?;
        Ok(begun.elapsed().as_secs_f64())
    }

    /// The median of the seconds that a complete list takes.
    async fn lists(&self) -> anyhow::Result<f64> {
        let mut took = Vec::new();
        for _ in 0..LISTS {
            let begun = Instant::now();
            self.send(get(&path("pods"))).await?;
            took.push(begun.elapsed().as_secs_f64());
        }
        took.sort_by(f64::total_cmp);
        Ok(took[LISTS / 2])
    }

    /// The seconds that it takes to get the list page by page.
    async fn pages(&self) -> anyhow::Result<f64> {
        let begun = Instant::now();
        let mut token = String::new();
        let mut items = 0;
        loop {
            let query = format!("{}?limit=500&continue={token}", path("pods"));
            let page: Page = serde_json::from_slice(&self.send(get(&query)).await?)?;
            items += page.items.len();
            token = page.metadata.next;
            if token.is_empty() {
                break;
            }
        }
        if items != PODS {
            bail!("the pages have {items} pods");
        }
        Ok(begun.elapsed().as_secs_f64())
    }

    async fn call(&self, call: Call) -> anyhow::Result<Vec<u8>> {
        self.send(request(call)).await
    }

    async fn send(&self, request: Request<Body>) -> anyhow::Result<Vec<u8>> {
        let asked = format!("{} {}", request.method(), request.uri());
        let answer = self.0.send(request).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        if !matches!(status, StatusCode::OK | StatusCode::CREATED) {
            bail!("{asked}: {status}: {}", String::from_utf8_lossy(&body));
        }
        Ok(body.into())
    }
}

fn get(path: &str) -> Request<Body> {
    let method = Method::GET;
    let path = path.to_owned();
    request(Call {
        method,
        path,
        body: Value::Null,
    })
}

fn request(call: Call) -> Request<Body> {
    let content = if call.method == Method::PATCH {
        "application/merge-patch+json"
    } else {
        "application/json"
    };
    let body = match call.body {
        Value::Null => Vec::new(),
        body => body.to_string().into_bytes(),
    };
    let mut request = Request::new(Body::from(body));
    *request.method_mut() = call.method;
    // The paths are made of this file's own words.
    *request.uri_mut() = call.path.parse().unwrap_or_default();
    let content = http::HeaderValue::from_static(content);
    request.headers_mut().insert("content-type", content);
    request
}

/// Clients that watch the ConfigMaps of the namespace.
struct Watchers {
    seen: Arc<AtomicUsize>,
    news: Arc<Notify>,
    tasks: JoinSet<anyhow::Result<()>>,
}

impl Watchers {
    /// They see only what is made from now on.
    async fn start(server: &Asked) -> anyhow::Result<Self> {
        let now: Value = serde_json::from_slice(
            &server
                .send(get(&format!("{}?limit=1", path("configmaps"))))
                .await?,
        )?;
        let now = now["metadata"]["resourceVersion"].as_str();
        let now = now.context("a list has a revision")?;
        let query = format!(
            "{}?watch=true&resourceVersion={now}&timeoutSeconds=600",
            path("configmaps")
        );
        let mut watchers = Self {
            seen: Arc::default(),
            news: Arc::default(),
            tasks: JoinSet::new(),
        };
        for _ in 0..WATCHERS {
            let answer = server.0.send(get(&query)).await?;
            if answer.status() != StatusCode::OK {
                bail!("a watch is answered with {}", answer.status());
            }
            let (seen, news) = (Arc::clone(&watchers.seen), Arc::clone(&watchers.news));
            watchers.tasks.spawn(async move {
                let mut chunks = answer.into_body().into_data_stream();
                while let Some(chunk) = chunks.try_next().await? {
                    // Every event is one line.
                    let events = chunk.split(|byte| *byte == b'\n').count() - 1;
                    seen.fetch_add(events, Ordering::Relaxed);
                    news.notify_one();
                }
                bail!("a watch has ended")
            });
        }
        Ok(watchers)
    }

    /// Makes many objects; the seconds until every watcher has every event.
    async fn burst(&self, server: &Asked) -> anyhow::Result<f64> {
        let begun = Instant::now();
        server
            .all(BURST, |number| watched(&format!("burst-{number}")))
            .await?;
        self.until(BURST * WATCHERS).await?;
        Ok(begun.elapsed().as_secs_f64())
    }

    /// Makes objects one by one; the seconds from each request to its last event.
    async fn singles(&self, server: &Asked) -> anyhow::Result<Vec<f64>> {
        let mut delays = Vec::new();
        for number in 0..SINGLE {
            let request = request(watched(&format!("single-{number}")));
            let begun = Instant::now();
            let (answer, seen) = tokio::join!(
                server.send(request),
                self.until((BURST + number + 1) * WATCHERS)
            );
            answer?;
            seen?;
            delays.push(begun.elapsed().as_secs_f64());
        }
        Ok(delays)
    }

    /// Waits until so many events have been seen in all.
    async fn until(&self, events: usize) -> anyhow::Result<()> {
        let seen = async {
            while self.seen.load(Ordering::Relaxed) < events {
                self.news.notified().await;
            }
        };
        tokio::time::timeout(PATIENCE, seen)
            .await
            .with_context(|| format!("not all of {events} events within {PATIENCE:?}"))
    }
}

fn watched(name: &str) -> Call {
    Call {
        method: Method::POST,
        path: path("configmaps"),
        body: config_map_body(name, "watched"),
    }
}
