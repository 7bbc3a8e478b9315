//! Values of `sparkConf` and `hadoopConf`: a text, or a reference to a Secret.
//!
//! Spark settings are texts. A YAML number or boolean is taken as its JSON text (`8`, `0.5`,
//! `true`), which is what nearly everybody means; where the exact spelling matters (`1.10`,
//! `1e3`, `0644`) the value must be quoted. Anything else is kept as it is and reported by
//! validation, so that one bad value does not make the whole object undecodable.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::Value;

/// One value of `sparkConf` or `hadoopConf`.
#[derive(Clone, Debug, PartialEq)]
pub enum ConfValue {
    /// The setting itself.
    Text(String),
    /// The setting is read from a Secret by the pods; it never becomes part of an object.
    From(ConfSource),
    /// Neither of both; validation says so.
    Unreadable(Value),
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConfSource {
    /// A key of a Secret in the application's namespace.
    pub secret_key_ref: SecretKeyRef,
}

/// A key of a Secret.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretKeyRef {
    /// The name of the Secret.
    pub name: String,
    /// The key inside of it.
    pub key: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Reference<T> {
    value_from: T,
}

impl ConfValue {
    /// The text, when the value is one.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::From(_) | Self::Unreadable(_) => None,
        }
    }

    /// The Secret that holds the value, when one does.
    pub fn secret(&self) -> Option<&SecretKeyRef> {
        match self {
            Self::From(source) => Some(&source.secret_key_ref),
            Self::Text(_) | Self::Unreadable(_) => None,
        }
    }
}

impl From<Value> for ConfValue {
    fn from(value: Value) -> Self {
        match value {
            Value::String(text) => Self::Text(text),
            Value::Number(number) => Self::Text(number.to_string()),
            Value::Bool(flag) => Self::Text(flag.to_string()),
            other => match Reference::deserialize(&other) {
                Ok(reference) => Self::From(reference.value_from),
                Err(_) => Self::Unreadable(other),
            },
        }
    }
}

impl From<&str> for ConfValue {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl Serialize for ConfValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::From(source) => Reference { value_from: source }.serialize(serializer),
            Self::Unreadable(value) => value.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for ConfValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Value::deserialize(deserializer)
            .map(Self::from)
            .map_err(de::Error::custom)
    }
}

impl JsonSchema for ConfValue {
    fn schema_name() -> Cow<'static, str> {
        "ConfValue".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "x-kubernetes-preserve-unknown-fields": true })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn scalars_are_texts_and_references_are_references() {
        let secret = SecretKeyRef {
            name: "s3".into(),
            key: "token".into(),
        };
        for (value, expected) in [
            (json!("2g"), ConfValue::from("2g")),
            (json!(8), ConfValue::from("8")),
            (json!(0.5), ConfValue::from("0.5")),
            (json!(true), ConfValue::from("true")),
            (
                json!({"valueFrom": {"secretKeyRef": {"name": "s3", "key": "token"}}}),
                ConfValue::From(ConfSource {
                    secret_key_ref: secret,
                }),
            ),
            (json!(null), ConfValue::Unreadable(json!(null))),
            (json!(["a"]), ConfValue::Unreadable(json!(["a"]))),
            (
                json!({"valueFrom": {"configMapKeyRef": {}}}),
                ConfValue::Unreadable(json!({"valueFrom": {"configMapKeyRef": {}}})),
            ),
        ] {
            let found: ConfValue = serde_json::from_value(value).unwrap();
            assert_eq!(found, expected);
            let again = serde_json::from_value(serde_json::to_value(&found).unwrap()).unwrap();
            assert_eq!(found, again);
        }
    }
}
