//! Amounts of CPU, memory and other resources, by name.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use windlass_api::quantity::Quantity;

/// How much of each resource; what is not named is zero.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Resources(BTreeMap<String, Quantity>);

impl Resources {
    /// Reads a map of quantities; what is not a quantity counts as zero, as the API refuses it.
    pub(crate) fn read(fields: Option<&Map<String, Value>>) -> Self {
        let amounts = fields.into_iter().flatten().filter_map(|(name, value)| {
            let text = match value {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            Some((name.clone(), text.parse().ok()?))
        });
        Self(amounts.collect())
    }

    pub(crate) fn one(name: &str, amount: Quantity) -> Self {
        Self(BTreeMap::from([(name.to_owned(), amount)]))
    }

    pub(crate) fn get(&self, name: &str) -> Quantity {
        self.0.get(name).copied().unwrap_or(Quantity::ZERO)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, Quantity)> {
        self.0.iter().map(|(name, amount)| (name.as_str(), *amount))
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (name, amount) in other.iter() {
            // A sum that cannot be held is larger than any node, and so is each of its parts.
            let sum = self.get(name).checked_add(amount).unwrap_or(amount);
            self.0.insert(name.to_owned(), sum);
        }
    }

    pub(crate) fn subtract(&mut self, other: &Self) {
        for (name, amount) in other.iter() {
            let rest = self.get(name).checked_sub(amount).unwrap_or(Quantity::ZERO);
            self.0.insert(name.to_owned(), rest);
        }
    }

    /// The larger of both, resource by resource.
    pub(crate) fn raise_to(&mut self, other: &Self) {
        for (name, amount) in other.iter() {
            if self.get(name) < amount {
                self.0.insert(name.to_owned(), amount);
            }
        }
    }
}

/// What a pod asks for, as the scheduler counts it: the larger of what its containers need
/// together and what its init containers need one after the other, restartable init containers
/// counting as running from their turn on, and the overhead; and one pod.
pub(crate) fn pod_requests(spec: &Value) -> Resources {
    let mut running = Resources::default();
    let mut peak = Resources::default();
    for container in array(spec, "initContainers") {
        let requests = container_requests(container);
        if container.get("restartPolicy").and_then(Value::as_str) == Some("Always") {
            running.add(&requests);
            peak.raise_to(&running);
        } else {
            let mut turn = running.clone();
            turn.add(&requests);
            peak.raise_to(&turn);
        }
    }
    for container in array(spec, "containers") {
        running.add(&container_requests(container));
    }
    running.raise_to(&peak);
    running.add(&Resources::read(
        spec.get("overhead").and_then(Value::as_object),
    ));
    running.add(&Resources::one("pods", Quantity::from_units(1)));
    running
}

/// The requests; a limit without a request is one.
fn container_requests(container: &Value) -> Resources {
    let amounts = |field| Resources::read(container.pointer(field).and_then(Value::as_object));
    let mut requests = amounts("/resources/limits");
    for (name, amount) in amounts("/resources/requests").iter() {
        requests.0.insert(name.to_owned(), amount);
    }
    requests
}

fn array<'a>(value: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> {
    value
        .get(field)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn container(cpu: &str) -> Value {
        json!({"resources": {"requests": {"cpu": cpu}}})
    }

    fn cpu(spec: &Value) -> String {
        pod_requests(spec).get("cpu").to_string()
    }

    #[test]
    fn containers_add_up_and_init_containers_take_turns() {
        let spec = json!({
            "containers": [container("500m"), container("1")],
            "initContainers": [container("1200m"), container("2")],
        });
        assert_eq!(cpu(&spec), "2");
        let spec = json!({"containers": [container("500m"), container("1")]});
        assert_eq!(cpu(&spec), "1500m");
    }

    #[test]
    fn a_sidecar_counts_from_its_turn_on() {
        let mut sidecar = container("300m");
        sidecar["restartPolicy"] = "Always".into();
        let spec = json!({
            "containers": [container("1")],
            "initContainers": [container("1200m"), sidecar, container("1100m")],
        });
        assert_eq!(cpu(&spec), "1400m");
        let spec = json!({
            "containers": [container("2")],
            "initContainers": [sidecar],
        });
        assert_eq!(cpu(&spec), "2300m");
    }

    #[test]
    fn limits_stand_in_for_requests_and_overhead_is_added() {
        let spec = json!({
            "containers": [{"resources": {
                "limits": {"cpu": "2", "memory": "1Gi", "example.com/gpu": "1"},
                "requests": {"cpu": "1"},
            }}],
            "overhead": {"memory": "24Mi"},
        });
        let requests = pod_requests(&spec);
        assert_eq!(requests.get("cpu").to_string(), "1");
        assert_eq!(requests.get("memory").to_string(), "1048Mi");
        assert_eq!(requests.get("example.com/gpu").to_string(), "1");
        assert_eq!(requests.get("pods").to_string(), "1");
    }
}
