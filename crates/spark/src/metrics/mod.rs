//! What is counted of applications, for Prometheus.
//!
//! Laws:
//! - every name of the Kubeflow operator is here with its meaning, so that dashboards go on;
//! - how many there are of something is looked up in the store when the page is made, so a restart
//!   changes nothing about it; only the process that leads tells it;
//! - what happened is counted by the process that wrote it into the status, once.

mod counts;
mod population;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use windlass_engine::health::Health;
use windlass_engine::store::Store;
use windlass_engine::{Engine, Object};

use counts::{Counts, Happening, Timing};
use population::Population;

/// The name of the controller whose objects are looked at.
pub const CONTROLLER: &str = "spark-application";

/// The labels of one series: those that the operator was told to take from applications.
type Labels = Vec<(String, String)>;

/// A distribution of times.
type Seconds = Family<Labels, Histogram, fn() -> Histogram>;

/// What an application without the label has.
const UNKNOWN: &str = "Unknown";

/// What is counted of applications. Cheap to clone; clones share the numbers.
#[derive(Debug, Clone)]
pub struct SparkMetrics {
    labels: Arc<[Label]>,
    counts: Arc<Counts>,
    timings: Timings,
}

/// A label of an application, and what the series call it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Label {
    source: String,
    name: String,
}

/// How long things take, in seconds.
#[derive(Debug, Clone)]
struct Timings {
    submit: Seconds,
    submit_histogram: Seconds,
    start: Seconds,
    start_histogram: Seconds,
    success: Seconds,
    failure: Seconds,
    lag: Seconds,
}

/// From a pod's start to a submission; the Kubeflow operator's own bounds among them.
const SUBMIT_BUCKETS: [f64; 14] = [
    0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0,
];
/// Until a driver runs; the Kubeflow operator's own bounds among them.
const START_BUCKETS: [f64; 14] = [
    1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 90.0, 120.0, 150.0, 180.0, 210.0, 240.0, 270.0, 300.0,
];
/// Until the status tells what happened to a pod, whose times are whole seconds.
const LAG_BUCKETS: [f64; 8] = [1.0, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0, 300.0];

impl SparkMetrics {
    /// Fresh numbers, with these labels of applications; `namespace` stands for the namespace.
    pub fn new(labels: &[String]) -> Self {
        let labels: Arc<[Label]> = labels.iter().map(|label| Label::new(label)).collect();
        let (counts, timings) = (Counts::default(), Timings::new());
        if labels.is_empty() {
            // There is one series of each, and it begins at nothing.
            counts.begin(&Vec::new());
            for (_, _, family) in timings.named() {
                drop(family.get_or_create(&Vec::new()));
            }
        }
        Self {
            labels,
            counts: Arc::new(counts),
            timings,
        }
    }

    /// Puts the numbers on the page of an engine that runs the controller of applications.
    pub fn register(&self, engine: &Engine) {
        let population = engine
            .primary(CONTROLLER)
            .map(|store| (store, engine.health()));
        engine
            .metrics()
            .with_registry(|registry| self.register_in(registry, population));
    }

    fn register_in(&self, registry: &mut Registry, population: Option<(Arc<Store>, Health)>) {
        registry.register_collector(Box::new(Page {
            metrics: self.clone(),
            population,
        }));
        for (name, help, family) in self.timings.named() {
            registry.register(name, help, family.clone());
        }
    }

    /// Counts what a status that was written says of what happened.
    pub(crate) fn status_written(&self, before: &Object, after: &Object, at: Timestamp) {
        let labels = self.labels_of(after.namespace(), |name| after.label(name));
        let (happenings, timings) = counts::difference(before, after, at);
        for happening in happenings {
            self.counts.add(&labels, happening);
        }
        for timing in timings {
            self.timings.observe(&labels, timing);
        }
    }

    fn labels_of<'a>(
        &self,
        namespace: Option<&'a str>,
        label: impl Fn(&str) -> Option<&'a str>,
    ) -> Labels {
        let value = |source: &str| match source {
            "namespace" => namespace,
            source => label(source),
        };
        self.labels
            .iter()
            .map(|it| {
                let value = value(&it.source).unwrap_or(UNKNOWN).to_owned();
                (it.name.clone(), value)
            })
            .collect()
    }
}

impl Label {
    /// What Prometheus does not take in a name becomes an underscore.
    fn new(source: &str) -> Self {
        let plain = |c: char| {
            if c.is_ascii_alphanumeric() { c } else { '_' }
        };
        let mut name: String = source.chars().map(plain).collect();
        if !name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
            name.insert(0, '_');
        }
        Self {
            source: source.to_owned(),
            name,
        }
    }
}

impl Timings {
    fn new() -> Self {
        // A histogram without bounds has a sum and a count, which is what its name had before.
        let plain: fn() -> Histogram = || Histogram::new([]);
        let submit: fn() -> Histogram = || Histogram::new(SUBMIT_BUCKETS);
        let start: fn() -> Histogram = || Histogram::new(START_BUCKETS);
        let lag: fn() -> Histogram = || Histogram::new(LAG_BUCKETS);
        Self {
            submit: Family::new_with_constructor(plain),
            submit_histogram: Family::new_with_constructor(submit),
            start: Family::new_with_constructor(plain),
            start_histogram: Family::new_with_constructor(start),
            success: Family::new_with_constructor(plain),
            failure: Family::new_with_constructor(plain),
            lag: Family::new_with_constructor(lag),
        }
    }

    /// Each with its name and what it is.
    fn named(&self) -> [(&'static str, &'static str, &Seconds); 7] {
        [
            (
                "spark_application_submit_latency_seconds",
                "Time from the creation of an application to its first driver pod",
                &self.submit,
            ),
            (
                "spark_application_submit_latency_seconds_histogram",
                "The same, as a distribution",
                &self.submit_histogram,
            ),
            (
                "spark_application_start_latency_seconds",
                "Time from the creation of an application until its first driver runs",
                &self.start,
            ),
            (
                "spark_application_start_latency_seconds_histogram",
                "The same, as a distribution",
                &self.start_histogram,
            ),
            (
                "spark_application_success_execution_time_seconds",
                "Time from the last submission to the end of applications that completed",
                &self.success,
            ),
            (
                "spark_application_failure_execution_time_seconds",
                "Time from the last submission to the end of applications that failed",
                &self.failure,
            ),
            (
                "windlass_spark_status_lag_seconds",
                "Time from the start or end of a driver until the status told it",
                &self.lag,
            ),
        ]
    }

    fn observe(&self, labels: &Labels, timing: Timing) {
        let add = |family: &Seconds, seconds: f64| {
            family.get_or_create(labels).observe(seconds);
        };
        match timing {
            Timing::Submit(seconds) => {
                add(&self.submit, seconds);
                add(&self.submit_histogram, seconds);
            }
            Timing::Start(seconds) => {
                add(&self.start, seconds);
                add(&self.start_histogram, seconds);
            }
            Timing::Success(seconds) => add(&self.success, seconds),
            Timing::Failure(seconds) => add(&self.failure, seconds),
            Timing::Lag(seconds) => add(&self.lag, seconds),
        }
    }
}

/// Everything that is put together when the page is made.
#[derive(Debug)]
struct Page {
    metrics: SparkMetrics,
    population: Option<(Arc<Store>, Health)>,
}

impl Collector for Page {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        // Prometheus wants counters to end in _total, which these names, that are older, do not:
        // so they have no type.
        for (happening, name, help) in Happening::NAMED {
            let untyped = MetricType::Unknown;
            let mut family = encoder.encode_descriptor(name, help, None, untyped)?;
            for (labels, count) in self.metrics.counts.of(happening) {
                ConstGauge::new(count).encode(family.encode_family(&labels)?)?;
            }
        }
        match &self.population {
            Some((store, health)) => {
                let population = Population::of(store, health, &self.metrics);
                population.encode(encoder)
            }
            None => Ok(()),
        }
    }
}
