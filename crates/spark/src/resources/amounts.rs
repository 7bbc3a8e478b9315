//! Amounts of resources by name.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use windlass_api::quantity::Quantity;

/// How much of each resource; what is not named is none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Amounts(BTreeMap<String, Quantity>);

/// What stands for a sum that cannot be counted.
const VERY_MUCH: Quantity = Quantity::from_units(i64::MAX);

impl Amounts {
    /// Reads a list of resources as Kubernetes has them. What is no quantity is left out: the API
    /// server would refuse the pod.
    pub(super) fn read(resources: &Value) -> Self {
        let entries = resources.as_object().into_iter().flatten();
        entries
            .filter_map(|(name, amount)| {
                let text = match amount {
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                };
                Some((name.clone(), text.parse::<Quantity>().ok()?))
            })
            .collect()
    }

    /// How much of a resource.
    pub fn get(&self, resource: &str) -> Quantity {
        self.0.get(resource).copied().unwrap_or(Quantity::ZERO)
    }

    /// The resources and their amounts, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Quantity)> {
        self.0.iter().map(|(name, amount)| (name.as_str(), *amount))
    }

    /// The sum of both.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        let mut sum = self.clone();
        for (name, amount) in other.iter() {
            let entry = sum.0.entry(name.to_owned()).or_insert(Quantity::ZERO);
            *entry = entry.checked_add(amount).unwrap_or(VERY_MUCH);
        }
        sum
    }

    /// So many times as much.
    #[must_use]
    pub fn times(&self, count: u32) -> Self {
        let times = |amount: Quantity| {
            // By doubling, so that a large number of executors costs nothing.
            let (mut sum, mut power, mut left) = (Some(Quantity::ZERO), Some(amount), count);
            while left > 0 {
                if left & 1 == 1 {
                    sum = sum.zip(power).and_then(|(a, b)| a.checked_add(b));
                }
                left >>= 1;
                if left > 0 {
                    power = power.and_then(|power| power.checked_add(power));
                }
            }
            sum.unwrap_or(VERY_MUCH)
        };
        self.iter()
            .map(|(name, amount)| (name.to_owned(), times(amount)))
            .collect()
    }

    /// The larger of each.
    #[must_use]
    pub fn or_more(&self, other: &Self) -> Self {
        let mut most = self.clone();
        for (name, amount) in other.iter() {
            let entry = most.0.entry(name.to_owned()).or_insert(amount);
            *entry = (*entry).max(amount);
        }
        most
    }

    /// These, and of the others what is not named here.
    #[must_use]
    pub(super) fn or_else(&self, other: &Self) -> Self {
        let mut all = other.clone();
        all.0.extend(self.0.clone());
        all
    }

    /// As a list of resources of a Kubernetes object.
    pub fn to_json(&self) -> Value {
        let entries = self
            .iter()
            .map(|(name, amount)| (name.to_owned(), Value::String(amount.to_string())));
        Value::Object(entries.collect::<Map<_, _>>())
    }
}

impl FromIterator<(String, Quantity)> for Amounts {
    fn from_iter<I: IntoIterator<Item = (String, Quantity)>>(entries: I) -> Self {
        Self(entries.into_iter().collect())
    }
}

impl FromIterator<(String, String)> for Amounts {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(entries: I) -> Self {
        let entries = entries.into_iter();
        entries
            .filter_map(|(name, text)| Some((name, text.trim().parse::<Quantity>().ok()?)))
            .collect()
    }
}
