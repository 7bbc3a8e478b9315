//! Amounts of resources by name, and what pods ask for in total.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::quantity::Quantity;

/// Amounts by the name of the resource.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Amounts(BTreeMap<String, Quantity>);

/// Which of a container's two lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// What is reserved.
    Requests,
    /// What may be used.
    Limits,
}

impl Bound {
    fn field(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Limits => "limits",
        }
    }
}

impl Amounts {
    /// Reads a list such as `spec.hard`; what is no quantity is left out.
    pub fn read(list: &Value) -> Self {
        let entries = list.as_object().into_iter().flatten();
        Self(
            entries
                .filter_map(|(name, value)| Some((name.clone(), quantity(value)?)))
                .collect(),
        )
    }

    /// The amount of one resource.
    pub fn get(&self, name: &str) -> Option<Quantity> {
        self.0.get(name).copied()
    }

    /// Sets the amount of one resource.
    pub fn set(&mut self, name: impl Into<String>, amount: Quantity) {
        self.0.insert(name.into(), amount);
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Quantity)> {
        self.0.iter().map(|(name, amount)| (name.as_str(), *amount))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds others to these.
    pub fn add(&mut self, others: &Self) {
        for (name, amount) in others.iter() {
            let sum = match self.get(name) {
                Some(before) => before.plus(amount),
                None => amount,
            };
            self.set(name, sum);
        }
    }

    /// Raises these to others, where those are larger.
    pub fn raise(&mut self, others: &Self) {
        for (name, amount) in others.iter() {
            if self.get(name).is_none_or(|own| own < amount) {
                self.set(name, amount);
            }
        }
    }

    /// Those of which `keep` says yes.
    #[must_use]
    pub fn only(&self, keep: impl Fn(&str, Quantity) -> bool) -> Self {
        let kept = self.0.iter().filter(|(name, amount)| keep(name, **amount));
        Self(kept.map(|(name, amount)| (name.clone(), *amount)).collect())
    }

    /// `a=1,b=2`.
    pub fn shown(&self) -> String {
        let parts: Vec<String> = self
            .iter()
            .map(|(name, amount)| format!("{name}={amount}"))
            .collect();
        parts.join(",")
    }

    /// As a list in an object.
    pub fn to_value(&self) -> Value {
        let entries: Map<String, Value> = self
            .iter()
            .map(|(name, amount)| (name.to_owned(), json!(amount.to_string())))
            .collect();
        Value::Object(entries)
    }
}

fn quantity(value: &Value) -> Option<Quantity> {
    match value {
        Value::String(text) => Quantity::parse(text).ok(),
        Value::Number(number) => Quantity::parse(&number.to_string()).ok(),
        _ => None,
    }
}

/// What a container asks for.
pub fn of_container(container: &Value, bound: Bound) -> Amounts {
    Amounts::read(&container["resources"][bound.field()])
}

/// What a pod asks for: its containers together, or more where an init container needs more.
pub fn of_pod(pod: &Value, bound: Bound) -> Amounts {
    let spec = &pod["spec"];
    let list = |field: &str| spec[field].as_array().into_iter().flatten();
    let mut total = Amounts::default();
    for container in list("containers") {
        total.add(&of_container(container, bound));
    }
    let mut beside = Amounts::default();
    let mut most = Amounts::default();
    for container in list("initContainers") {
        let own = of_container(container, bound);
        // One that is restarted always stays beside those that follow.
        if container["restartPolicy"] == "Always" {
            total.add(&own);
            beside.add(&own);
            most.raise(&beside);
        } else {
            let mut with = own;
            with.add(&beside);
            most.raise(&with);
        }
    }
    total.raise(&most);
    for (name, amount) in Amounts::read(&spec["resources"][bound.field()]).iter() {
        total.set(name, amount);
    }
    total
}

/// The same with what the pod itself costs, which only counts on top of a limit.
pub fn with_overhead(pod: &Value, bound: Bound) -> Amounts {
    let mut total = of_pod(pod, bound);
    let mut overhead = Amounts::read(&pod["spec"]["overhead"]);
    if bound == Bound::Limits {
        overhead = overhead.only(|name, _| total.get(name).is_some_and(|limit| !limit.is_zero()));
    }
    total.add(&overhead);
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_asks_for_what_it_needs_at_its_worst() {
        let container = |cpu: &str| json!({"resources": {"requests": {"cpu": cpu}}});
        let sidecar =
            |cpu: &str| json!({"restartPolicy": "Always", "resources": {"requests": {"cpu": cpu}}});
        let cases = [
            (
                json!([container("1"), container("500m")]),
                json!([]),
                "cpu=1500m",
            ),
            (json!([container("1")]), json!([container("2")]), "cpu=2"),
            (
                json!([container("1")]),
                json!([sidecar("1"), container("2")]),
                "cpu=3",
            ),
            (json!([container("1")]), json!([sidecar("1")]), "cpu=2"),
        ];
        for (containers, init, expected) in cases {
            let pod = json!({"spec": {"containers": containers, "initContainers": init}});
            assert_eq!(of_pod(&pod, Bound::Requests).shown(), expected, "{pod}");
        }
    }
}
