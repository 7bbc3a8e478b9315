//! Counts and durations of the engine, for Prometheus.
//!
//! Names follow controller-runtime's `workqueue_*` where the meaning is the same, so existing
//! dashboards read them. No label ever carries the name of an object.

mod text;

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::api::Verb;
use crate::controller::Class;
use crate::kind::Kind;
use crate::queue::{Job, WorkQueue};

/// How the page is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// The text format of Prometheus, 0.0.4, which every tool reads.
    Prometheus,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

impl Format {
    /// The one that an `Accept` header (RFC 9110) prefers; where it has no preference, or there is
    /// none, that of Prometheus.
    pub fn accepted(accept: Option<&HeaderValue>) -> Self {
        let accept = accept.and_then(|it| it.to_str().ok()).unwrap_or_default();
        let quality = |media_type: &str| {
            let wishes = accept.split(',').filter_map(|wish| {
                let mut parts = wish.split(';').map(str::trim);
                if !parts.next()?.eq_ignore_ascii_case(media_type) {
                    return None;
                }
                let quality = parts.find_map(|part| part.strip_prefix("q="));
                Some(quality.map_or(1.0, |it| it.parse::<f32>().unwrap_or(0.0)))
            });
            wishes.fold(0.0, f32::max)
        };
        let wish = quality("application/openmetrics-text");
        if wish > 0.0 && wish >= quality("text/plain") {
            Self::OpenMetrics
        } else {
            Self::Prometheus
        }
    }

    /// The `Content-Type` of the page.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// Label values of [`Class`].
const STATUS: &str = "status";
const NEW: &str = "new";

/// Seconds, from half a millisecond to over a minute.
const BUCKETS: [f64; 14] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0,
];

type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

/// All metrics of one engine. Cheap to clone; clones share the numbers.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Mutex<Registry>>,
    api_requests: Family<ApiLabels, Counter>,
    api_durations: Histograms<VerbLabels>,
    depth: Family<QueueLabels, Gauge>,
    adds: Family<QueueLabels, Counter>,
    retries: Family<QueueLabels, Counter>,
    waits: Histograms<NameLabels>,
    work: Histograms<NameLabels>,
    workers: Family<NameLabels, Gauge>,
    passes: Family<PassLabels, Counter>,
    events: Family<EventLabels, Counter>,
    relists: Family<KindLabels, Counter>,
    watch_errors: Family<KindLabels, Counter>,
    store_objects: Family<KindLabels, Gauge>,
    store_bytes: Family<KindLabels, Gauge>,
    leader: Gauge,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ApiLabels {
    verb: &'static str,
    code: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VerbLabels {
    verb: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct NameLabels {
    name: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct QueueLabels {
    name: &'static str,
    class: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PassLabels {
    controller: &'static str,
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EventLabels {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabels {
    kind: String,
}

fn histogram() -> Histogram {
    Histogram::new(BUCKETS)
}

impl Metrics {
    /// Fresh metrics with a registry of their own.
    pub fn new() -> Self {
        let histograms = histogram as fn() -> Histogram;
        let metrics = Self {
            registry: Arc::default(),
            api_requests: Family::default(),
            api_durations: Family::new_with_constructor(histograms),
            depth: Family::default(),
            adds: Family::default(),
            retries: Family::default(),
            waits: Family::new_with_constructor(histograms),
            work: Family::new_with_constructor(histograms),
            workers: Family::default(),
            passes: Family::default(),
            events: Family::default(),
            relists: Family::default(),
            watch_errors: Family::default(),
            store_objects: Family::default(),
            store_bytes: Family::default(),
            leader: Gauge::default(),
        };
        metrics.register();
        metrics
    }

    fn register(&self) {
        let mut registry = self.registry.lock();
        registry.register(
            "windlass_api_requests",
            "Calls to the Kubernetes API by verb and HTTP code; 0 means no answer",
            self.api_requests.clone(),
        );
        registry.register(
            "windlass_api_request_duration_seconds",
            "Time until a call to the Kubernetes API was answered",
            self.api_durations.clone(),
        );
        registry.register(
            "workqueue_depth",
            "Objects that are ready and wait for a worker",
            self.depth.clone(),
        );
        registry.register(
            "workqueue_adds",
            "Objects that became ready",
            self.adds.clone(),
        );
        registry.register(
            "workqueue_retries",
            "Passes that will be retried",
            self.retries.clone(),
        );
        registry.register(
            "workqueue_queue_duration_seconds",
            "Time an object was ready before a worker took it",
            self.waits.clone(),
        );
        registry.register(
            "workqueue_work_duration_seconds",
            "Time one pass over an object took",
            self.work.clone(),
        );
        registry.register(
            "windlass_active_workers",
            "Passes that run now",
            self.workers.clone(),
        );
        registry.register(
            "windlass_reconcile",
            "Passes over an object by how they ended",
            self.passes.clone(),
        );
        registry.register(
            "windlass_events",
            "Kubernetes Events by what became of them",
            self.events.clone(),
        );
        registry.register(
            "windlass_watch_lists",
            "Full lists of a kind, at the start and after a watch fell behind",
            self.relists.clone(),
        );
        registry.register(
            "windlass_watch_errors",
            "Watches that ended with an error",
            self.watch_errors.clone(),
        );
        registry.register(
            "windlass_store_objects",
            "Objects kept in memory",
            self.store_objects.clone(),
        );
        registry.register(
            "windlass_store_bytes",
            "Bytes of JSON text kept in memory",
            self.store_bytes.clone(),
        );
        registry.register(
            "windlass_leader",
            "1 while this process leads",
            self.leader.clone(),
        );
    }

    /// Adds a caller's own metrics to the same page.
    pub fn with_registry<R>(&self, register: impl FnOnce(&mut Registry) -> R) -> R {
        register(&mut self.registry.lock())
    }

    /// The page for a scrape.
    pub fn encode(&self, format: Format) -> Result<String, std::fmt::Error> {
        let mut page = String::new();
        prometheus_client::encoding::text::encode(&mut page, &self.registry.lock())?;
        Ok(match format {
            Format::Prometheus => text::prometheus(&page),
            Format::OpenMetrics => page,
        })
    }

    pub(crate) fn event(&self, outcome: &'static str) {
        self.events.get_or_create(&EventLabels { outcome }).inc();
    }

    pub(crate) fn listed(&self, kind: &Kind) {
        self.relists
            .get_or_create(&KindLabels {
                kind: kind.to_string(),
            })
            .inc();
    }

    pub(crate) fn watch_failed(&self, kind: &Kind) {
        self.watch_errors
            .get_or_create(&KindLabels {
                kind: kind.to_string(),
            })
            .inc();
    }

    pub(crate) fn store_size(&self, kind: &Kind, objects: usize, bytes: usize) {
        let labels = KindLabels {
            kind: kind.to_string(),
        };
        self.store_objects
            .get_or_create(&labels)
            .set(objects as i64);
        self.store_bytes.get_or_create(&labels).set(bytes as i64);
    }

    pub(crate) fn leading(&self, leads: bool) {
        self.leader.set(i64::from(leads));
    }

    pub(crate) fn queue(&self, name: &'static str, queue: &WorkQueue) {
        for (class, label) in [(Class::Status, STATUS), (Class::New, NEW)] {
            let labels = QueueLabels { name, class: label };
            self.depth
                .get_or_create(&labels)
                .set(queue.depth(class) as i64);
        }
        self.workers
            .get_or_create(&NameLabels { name })
            .set(queue.running() as i64);
    }

    pub(crate) fn took_from_queue(&self, name: &'static str, job: &Job) {
        let class = match job.class {
            Class::Status => STATUS,
            Class::New => NEW,
        };
        self.adds.get_or_create(&QueueLabels { name, class }).inc();
        if job.failures > 0 {
            self.retries
                .get_or_create(&QueueLabels { name, class })
                .inc();
        }
        self.waits
            .get_or_create(&NameLabels { name })
            .observe(job.waited.as_secs_f64());
    }

    pub(crate) fn pass(&self, controller: &'static str, result: &'static str, took: Duration) {
        self.passes
            .get_or_create(&PassLabels { controller, result })
            .inc();
        self.work
            .get_or_create(&NameLabels { name: controller })
            .observe(took.as_secs_f64());
    }

    pub(crate) fn api_call(&self, verb: Verb, code: u16, took: Duration) {
        let verb = verb.as_str();
        self.api_requests
            .get_or_create(&ApiLabels {
                verb,
                code: u32::from(code),
            })
            .inc();
        self.api_durations
            .get_or_create(&VerbLabels { verb })
            .observe(took.as_secs_f64());
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}
