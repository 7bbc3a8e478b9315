//! Amounts of resources as they were written, and budgets of disruption.

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::Value;

use crate::quantity::{Quantity, QuantityError};

/// Resource names to amounts.
pub type Amounts = BTreeMap<String, Amount>;

/// An amount of a resource as it was written. KubeDirector's pattern lets texts through that are no
/// quantities, and a mistake in one must not make the object unreadable, so it is read by
/// [`Amount::quantity`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Amount(String);

impl Amount {
    /// The amount that is written like this.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// How much it is.
    ///
    /// # Errors
    /// When the text is no quantity.
    pub fn quantity(&self) -> Result<Quantity, QuantityError> {
        self.0.parse()
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(text) => Ok(Self(text)),
            Value::Number(number) => Ok(Self(number.to_string())),
            other => Err(de::Error::custom(format!("{other} is not a quantity"))),
        }
    }
}

impl JsonSchema for Amount {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Amount".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": QUANTITY })
    }
}

/// KubeDirector's pattern of a quantity.
const QUANTITY: &str = "^([0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$";

/// The resources that KubeDirector knows by name; it takes others as they are.
const KNOWN: [&str; 5] = [
    "memory",
    "cpu",
    "ephemeral-storage",
    "nvidia.com/gpu",
    "amd.com/gpu",
];

/// Amounts that may all be absent.
pub(crate) fn amounts(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "properties": known_amounts(),
        "x-kubernetes-preserve-unknown-fields": true,
    })
}

/// Amounts with memory and CPU.
pub(crate) fn limits(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "required": ["memory", "cpu"],
        "properties": known_amounts(),
        "x-kubernetes-preserve-unknown-fields": true,
    })
}

fn known_amounts() -> Value {
    let amount = serde_json::json!({ "type": "string", "pattern": QUANTITY });
    KNOWN
        .into_iter()
        .map(|name| (name.to_owned(), amount.clone()))
        .collect::<serde_json::Map<String, Value>>()
        .into()
}

/// How many members of a role may be taken away at once by whoever empties nodes: a
/// PodDisruptionBudget. Exactly one of the two.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "has(self.maxUnavailable) != has(self.minAvailable)",
    "message": "give one of maxUnavailable and minAvailable",
}]))]
pub struct DisruptionBudget {
    /// How many may be away, as a number or a percentage such as 25%.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "number_or_percentage")]
    pub max_unavailable: Option<IntOrString>,
    /// How many must stay, as a number or a percentage such as 75%.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "number_or_percentage")]
    pub min_available: Option<IntOrString>,
}

fn number_or_percentage(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "x-kubernetes-int-or-string": true })
}
