//! Whether the engine is alive and ready, and the small HTTP server that says so.
//!
//! `/healthz` (and `/livez`): every loop has shown a sign of life lately. `/readyz`: every store
//! has its first full list, and it is known whether this process leads; a standby is ready, and
//! says that it is a standby. `/metrics`: the page for Prometheus.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::accept::accept;
use crate::metrics::{Format, Metrics};
use crate::store::Store;

/// A loop that was silent for this long is stuck.
const SILENCE: Duration = Duration::from_secs(30);

/// How long a connection may take to send its request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// What the engine knows of its own state. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Health {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    beats: BTreeMap<&'static str, Instant>,
    stores: Vec<Arc<Store>>,
    role: Role,
}

/// What this process is among those that could do the same work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Role {
    /// Not known yet: the Lease has not been read.
    #[default]
    Unknown,
    /// Another process leads, or is about to.
    Standby,
    /// This process acts.
    Leader,
}

/// The answer to one probe: whether it is well, and one line per check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Whether every check is well.
    pub ok: bool,
    /// One line per check.
    pub text: String,
}

impl Health {
    /// What this process is.
    pub fn role(&self) -> Role {
        self.inner.lock().role
    }

    /// Whether every loop shows signs of life.
    pub fn live(&self) -> Report {
        self.live_at(Instant::now())
    }

    fn live_at(&self, now: Instant) -> Report {
        let inner = self.inner.lock();
        Report::of(inner.beats.iter().map(|(name, beat)| {
            let silent = now.duration_since(*beat);
            (
                silent < SILENCE,
                format!("loop {name}: last sign of life {} s ago", silent.as_secs()),
            )
        }))
    }

    /// Whether the engine could act, or take over, now.
    pub fn ready(&self) -> Report {
        let inner = self.inner.lock();
        let role = match inner.role {
            Role::Unknown => (false, "leadership: not known yet".to_owned()),
            Role::Standby => (true, "leadership: standby".to_owned()),
            Role::Leader => (true, "leadership: leader".to_owned()),
        };
        let stores = inner.stores.iter().map(|store| {
            let kind = store.kind();
            match (store.is_synced(), store.problem()) {
                (true, None) => (true, format!("store {kind}: {} objects", store.len())),
                // It still holds what was seen last, and the watch is tried again.
                (true, Some(problem)) => (
                    true,
                    format!(
                        "store {kind}: {} objects; watch failed: {problem}",
                        store.len()
                    ),
                ),
                (false, None) => (false, format!("store {kind}: waiting for the first list")),
                (false, Some(problem)) => (false, format!("store {kind}: no list: {problem}")),
            }
        });
        Report::of(stores.chain([role]))
    }

    /// Waits until every store has its first full list.
    pub async fn wait_synced(&self) {
        let stores = self.inner.lock().stores.clone();
        for store in stores {
            store.wait_synced().await;
        }
    }

    pub(crate) fn beat(&self, name: &'static str) {
        self.inner.lock().beats.insert(name, Instant::now());
    }

    /// A loop ended in good order; its silence means nothing from now on.
    pub(crate) fn retire(&self, name: &'static str) {
        self.inner.lock().beats.remove(name);
    }

    pub(crate) fn watch_store(&self, store: Arc<Store>) {
        self.inner.lock().stores.push(store);
    }

    pub(crate) fn set_role(&self, role: Role) {
        self.inner.lock().role = role;
    }
}

impl Report {
    fn of(checks: impl Iterator<Item = (bool, String)>) -> Self {
        let mut report = Self {
            ok: true,
            text: String::new(),
        };
        for (ok, line) in checks {
            report.ok &= ok;
            // Writing to a String cannot fail.
            let _ = writeln!(report.text, "[{}] {line}", if ok { "+" } else { "-" });
        }
        report
    }
}

/// Serves the probes and the metrics page on `listener` until `stop`.
pub(crate) async fn serve(
    listener: TcpListener,
    health: Health,
    metrics: Metrics,
    stop: CancellationToken,
) {
    let converse = move |stream| {
        let (health, metrics) = (health.clone(), metrics.clone());
        let service = service_fn(move |request| {
            let response = respond(request, health.clone(), metrics.clone());
            async move { Ok::<_, Infallible>(response.await) }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .serve_connection(TokioIo::new(stream), service);
        async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a probe's connection broke");
            }
        }
    };
    accept(listener, "a probe's connection", stop, converse).await;
}

async fn respond(
    request: Request<Incoming>,
    health: Health,
    metrics: Metrics,
) -> Response<Full<Bytes>> {
    let format = Format::accepted(request.headers().get(header::ACCEPT));
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let (status, content_type, body) = if path == METRICS {
        // Thousands of objects may be looked at for it.
        let page =
            tokio::task::spawn_blocking(move || page(&method, &path, format, &health, &metrics));
        page.await.unwrap_or_else(|error| {
            (
                StatusCode::INTERNAL_SERVER_ERROR,
                TEXT,
                format!("{error}\n"),
            )
        })
    } else {
        page(&method, &path, format, &health, &metrics)
    };
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    let content_type = header::HeaderValue::from_static(content_type);
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    response
}

const METRICS: &str = "/metrics";
const TEXT: &str = "text/plain; charset=utf-8";

fn page(
    method: &Method,
    path: &str,
    format: Format,
    health: &Health,
    metrics: &Metrics,
) -> (StatusCode, &'static str, String) {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return (
            StatusCode::METHOD_NOT_ALLOWED,
            TEXT,
            "only GET and HEAD\n".to_owned(),
        );
    }
    let probe = |report: Report| {
        let status = if report.ok {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        };
        (status, TEXT, report.text)
    };
    match path {
        "/healthz" | "/livez" => probe(health.live()),
        "/readyz" => probe(health.ready()),
        METRICS => match metrics.encode(format) {
            Ok(page) => (StatusCode::OK, format.content_type(), page),
            Err(error) => (
                StatusCode::INTERNAL_SERVER_ERROR,
                TEXT,
                format!("{error}\n"),
            ),
        },
        _ => (
            StatusCode::NOT_FOUND,
            TEXT,
            "/healthz /readyz /metrics\n".to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::Watch;
    use crate::kind::Kind;

    fn get(path: &str, health: &Health) -> (StatusCode, String) {
        let (status, _, body) = in_format(path, Format::Prometheus, health);
        (status, body)
    }

    fn in_format(
        path: &str,
        format: Format,
        health: &Health,
    ) -> (StatusCode, &'static str, String) {
        page(&Method::GET, path, format, health, &Metrics::new())
    }

    #[test]
    fn readiness_waits_for_stores_and_for_a_known_role() {
        let health = Health::default();
        let store = Arc::new(Store::new(&Watch::all(Kind::POD), 1));
        health.watch_store(Arc::clone(&store));
        health.set_role(Role::Leader);
        assert_eq!(get("/readyz", &health).0, StatusCode::SERVICE_UNAVAILABLE);
        store.set_problem(Some("no such kind".to_owned()));
        let body = get("/readyz", &health).1;
        assert!(
            body.starts_with("[-] store pods: no list: no such kind\n"),
            "{body}"
        );
        store.set_problem(None);
        store.part_synced();
        assert_eq!(get("/readyz", &health).0, StatusCode::OK);
        health.set_role(Role::Standby);
        let (status, body) = get("/readyz", &health);
        assert_eq!(status, StatusCode::OK);
        assert_eq!(body, "[+] store pods: 0 objects\n[+] leadership: standby\n");
        health.set_role(Role::Unknown);
        assert_eq!(get("/readyz", &health).0, StatusCode::SERVICE_UNAVAILABLE);
    }

    #[test]
    fn a_silent_loop_is_not_healthy() {
        let health = Health::default();
        health.beat("spark");
        assert!(health.live_at(Instant::now()).ok);
        assert!(!health.live_at(Instant::now() + SILENCE).ok);
        health.retire("spark");
        assert!(health.live_at(Instant::now() + SILENCE).ok);
    }

    #[test]
    fn metrics_are_in_the_format_that_is_asked_for() {
        let health = Health::default();
        let (status, kind, body) = in_format(METRICS, Format::Prometheus, &health);
        assert_eq!(status, StatusCode::OK);
        assert_eq!(kind, "text/plain; version=0.0.4; charset=utf-8");
        assert!(body.contains("\n# TYPE windlass_leader gauge\n"), "{body}");
        assert!(!body.contains("# EOF"), "{body}");
        let (_, kind, body) = in_format(METRICS, Format::OpenMetrics, &health);
        assert!(kind.starts_with("application/openmetrics-text"));
        assert!(body.ends_with("# EOF\n"));
        assert_eq!(get("/", &Health::default()).0, StatusCode::NOT_FOUND);
    }

    #[test]
    fn open_metrics_are_for_who_prefers_them() {
        let cases = [
            (None, Format::Prometheus),
            (Some("*/*"), Format::Prometheus),
            (Some("text/plain"), Format::Prometheus),
            (Some("application/openmetrics-text"), Format::OpenMetrics),
            (
                Some(
                    "application/openmetrics-text;version=1.0.0;q=0.5,\
                     text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                ),
                Format::OpenMetrics,
            ),
            (
                Some("application/openmetrics-text;q=0.1, text/plain;q=0.9"),
                Format::Prometheus,
            ),
            (Some("application/openmetrics-text;q=0"), Format::Prometheus),
        ];
        for (accept, format) in cases {
            let header = accept.map(header::HeaderValue::from_static);
            assert_eq!(Format::accepted(header.as_ref()), format, "{accept:?}");
        }
    }
}
