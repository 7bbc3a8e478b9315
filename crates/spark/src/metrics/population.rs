//! How many there are of each kind of application and executor, now.

use std::collections::BTreeMap;
use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use serde::Deserialize;
use windlass_api::spark::application::{ApplicationStateType as State, ExecutorState};
use windlass_engine::health::{Health, Role};
use windlass_engine::store::Store;

use super::{Labels, SparkMetrics};

/// All applications, counted.
#[derive(Debug, Default)]
pub(super) struct Population(BTreeMap<Labels, Numbers>);

#[derive(Debug, Default)]
struct Numbers {
    states: BTreeMap<&'static str, u64>,
    running_executors: u64,
}

/// What is read of an application. A state that is not understood is `UNKNOWN`, as in the status.
#[derive(Deserialize)]
struct Row {
    #[serde(default)]
    metadata: Metadata,
    #[serde(default)]
    status: Status,
}

#[derive(Default, Deserialize)]
struct Metadata {
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Status {
    application_state: Named,
    executor_state: BTreeMap<String, ExecutorState>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Named {
    state: State,
}

impl Population {
    /// What the store has; nothing where another process leads, which tells it.
    pub(super) fn of(store: &Store, health: &Health, metrics: &SparkMetrics) -> Self {
        if health.role() != Role::Leader {
            return Self::default();
        }
        let mut population = Self::default();
        if metrics.labels.is_empty() {
            population.0.entry(Vec::new()).or_default();
        }
        for (key, row) in store.read_all::<Row>() {
            let label = |name: &str| row.metadata.labels.get(name).map(String::as_str);
            let labels = metrics.labels_of(key.namespace.as_deref(), label);
            let numbers = population.0.entry(labels).or_default();
            let state = row.status.application_state.state;
            *numbers.states.entry(name_of(state)).or_default() += 1;
            let executors = row.status.executor_state.values();
            let running = executors
                .filter(|it| **it == ExecutorState::Running)
                .count();
            numbers.running_executors += running as u64;
        }
        population
    }

    pub(super) fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut family = encoder.encode_descriptor(
            "windlass_spark_applications",
            "Applications by their state",
            None,
            MetricType::Gauge,
        )?;
        for (labels, numbers) in &self.0 {
            for state in State::ALL.map(name_of) {
                let mut labels = labels.clone();
                labels.push(("state".to_owned(), state.to_owned()));
                let count = numbers.states.get(state).copied().unwrap_or_default();
                ConstGauge::new(count).encode(family.encode_family(&labels)?)?;
            }
        }
        let running = |numbers: &Numbers| {
            let running = numbers.states.get(name_of(State::Running));
            running.copied().unwrap_or_default()
        };
        self.encode_one(
            &mut encoder,
            ("spark_application_running_count", "Applications that run"),
            running,
        )?;
        self.encode_one(
            &mut encoder,
            ("spark_executor_running_count", "Executors that run"),
            |numbers| numbers.running_executors,
        )
    }

    fn encode_one(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        (name, help): (&str, &str),
        read: impl Fn(&Numbers) -> u64,
    ) -> Result<(), fmt::Error> {
        // The name ends as only histograms' should, so it has no type.
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Unknown)?;
        for (labels, numbers) in &self.0 {
            ConstGauge::new(read(numbers)).encode(family.encode_family(labels)?)?;
        }
        Ok(())
    }
}

/// The state as it stands in a label, which may not be empty.
fn name_of(state: State) -> &'static str {
    match state {
        State::New => "NEW",
        state => state.as_str(),
    }
}
