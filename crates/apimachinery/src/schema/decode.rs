//! What the typed decoder of kube-apiserver would say about, and make of, an object.

use std::fmt::Write as _;

use serde_json::{Map, Number, Value};

use super::{Node, Rest, Scalar, Shape, Struct, TypeSchema};
use crate::field::quote;
use crate::quantity::Quantity;

/// A value that does not fit the field it is in, in the words of the decoder.
///
/// The API answers `400 BadRequest`: `KIND in version "VERSION" cannot be handled as a KIND: ...`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TypeMismatch(pub String);

/// The fields of `object` that the schema does not know, as `unknown field "spec.foo"`.
pub fn unknown_fields(schema: &TypeSchema, object: &Value) -> Vec<String> {
    let mut found = Vec::new();
    collect_unknown(schema.root(), object, &mut String::new(), &mut found);
    found
}

/// The first value whose JSON type does not fit its field.
pub fn type_mismatch(schema: &TypeSchema, object: &Value) -> Option<TypeMismatch> {
    mismatch(schema.root(), object, &Place::default()).map(TypeMismatch)
}

/// Brings a decoded built-in object into the form in which the API stores it: unknown fields,
/// nulls, and empty optional lists and maps go; quantities and times become canonical.
pub fn normalize(schema: &TypeSchema, object: &mut Value) {
    normalize_value(schema.root(), object);
}

/// The same three for the metadata of custom kinds, which is decoded by itself.
pub mod metadata {
    use serde_json::Value;

    use super::super::{Shape, TypeSchema, builtin, deduced};

    /// The first value of `object.metadata` whose JSON type does not fit its field.
    pub fn type_mismatch(object: &Value) -> Option<super::TypeMismatch> {
        let found = object.get("metadata")?;
        with_shape(|shape| super::mismatch(shape, found, &super::Place::default()))
            .map(super::TypeMismatch)
    }

    /// Drops the fields of `object.metadata` that metadata does not have, nulls, and what is
    /// empty, and returns the unknown ones, as `unknown field "metadata.foo"`.
    pub fn normalize(object: &mut Value) -> Vec<String> {
        let mut unknown = Vec::new();
        if let Some(found) = object.get_mut("metadata").filter(|found| found.is_object()) {
            with_shape(|shape| {
                super::collect_unknown(shape, found, &mut "metadata".to_owned(), &mut unknown);
                super::normalize_value(shape, found);
            });
        }
        unknown
    }

    fn with_shape<T>(work: impl FnOnce(Shape<'_>) -> T) -> T {
        let any: TypeSchema = builtin("", "v1", "ConfigMap").unwrap_or_else(deduced);
        let root = any.root();
        work(root.entry("metadata").unwrap_or(root))
    }
}

fn collect_unknown(shape: Shape<'_>, value: &Value, path: &mut String, found: &mut Vec<String>) {
    match value {
        Value::Object(entries) => {
            for (key, value) in entries {
                let length = path.len();
                if length > 0 {
                    path.push('.');
                }
                path.push_str(key);
                match shape.entry(key) {
                    Some(entry) => collect_unknown(entry, value, path, found),
                    // A scalar that is an object is a type error, not an unknown field.
                    None if matches!(shape.node(), Node::Struct(_)) => {
                        found.push(format!("unknown field {}", quote(path)));
                    }
                    None => {}
                }
                path.truncate(length);
            }
        }
        Value::Array(items) if matches!(shape.node(), Node::List { .. }) => {
            for (index, value) in items.iter().enumerate() {
                let length = path.len();
                // Writing to a String cannot fail.
                let _ = write!(path, "[{index}]");
                collect_unknown(shape.item(), value, path, found);
                path.truncate(length);
            }
        }
        _ => {}
    }
}

/// Where a value stands, as Go's decoder tells it.
#[derive(Default, Clone)]
struct Place {
    /// The message declaring the field.
    owner: String,
    /// The field names on the way, without list indices.
    path: String,
    /// The key, when it is in a map.
    key: Option<String>,
}

impl Place {
    fn field(&self, owner: &Struct, name: &str) -> Self {
        let owner = owner.name.rsplit('.').next().unwrap_or_default().to_owned();
        let path = if self.path.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.path)
        };
        Self {
            owner,
            path,
            key: None,
        }
    }

    fn entry(&self, key: &str) -> Self {
        Self {
            key: Some(key.to_owned()),
            ..self.clone()
        }
    }

    /// Go tells what its types' own decoders dislike without saying where; people need to know.
    fn locate(&self, complaint: &str) -> String {
        match &self.key {
            Some(key) => format!("{}[{key}]: {complaint}", self.path),
            None => format!("{}: {complaint}", self.path),
        }
    }

    fn complain(&self, value: &Value, expected: &str) -> String {
        let found = match value {
            Value::Null => "null",
            Value::Bool(_) => "bool",
            Value::Number(number) if number.is_f64() => &format!("number {number}"),
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        if self.path.is_empty() {
            format!("json: cannot unmarshal {found} into Go value of type {expected}")
        } else {
            format!(
                "json: cannot unmarshal {found} into Go struct field {}.{} of type {expected}",
                self.owner, self.path
            )
        }
    }
}

fn mismatch(shape: Shape<'_>, value: &Value, place: &Place) -> Option<String> {
    if value.is_null() {
        return None;
    }
    match (shape.node(), value) {
        (Node::Deduced, _) => None,
        (Node::Scalar(scalar), value) => scalar_mismatch(*scalar, value, place),
        (Node::Struct(message), Value::Object(entries)) => {
            entries.iter().find_map(|(key, value)| {
                let entry = shape.entry(key)?;
                mismatch(entry, value, &place.field(message, key))
            })
        }
        (Node::Map { value: entry, .. }, Value::Object(entries)) => entries
            .iter()
            .find_map(|(key, value)| mismatch(shape.at(*entry), value, &place.entry(key))),
        (Node::List { .. }, Value::Array(items)) => items
            .iter()
            .find_map(|value| mismatch(shape.item(), value, place)),
        (_, value) => Some(place.complain(value, &go_type(shape))),
    }
}

fn scalar_mismatch(scalar: Scalar, value: &Value, place: &Place) -> Option<String> {
    let fits = match (scalar, value) {
        (Scalar::String, Value::String(_)) | (Scalar::Boolean, Value::Bool(_)) => true,
        (Scalar::Bytes, Value::String(text)) => {
            return base64_complaint(text)
                .map(|at| place.locate(&format!("illegal base64 data at input byte {at}")));
        }
        (Scalar::Number, Value::Number(_)) => true,
        (Scalar::Int32, Value::Number(number)) => {
            integral(number).is_some_and(|number| i32::try_from(number).is_ok())
        }
        (Scalar::Int64, Value::Number(number)) => integral(number).is_some(),
        (Scalar::IntOrString, Value::String(_)) => true,
        (Scalar::IntOrString, Value::Number(number)) => {
            integral(number).is_some_and(|number| i32::try_from(number).is_ok())
        }
        (Scalar::Quantity, Value::String(text)) => {
            return Quantity::parse(text)
                .err()
                .map(|error| place.locate(&error.to_string()));
        }
        (Scalar::Quantity, Value::Number(number)) => {
            return Quantity::parse(&number.to_string())
                .err()
                .map(|error| place.locate(&error.to_string()));
        }
        (Scalar::Time | Scalar::MicroTime, Value::String(text)) => {
            return (!text.is_empty() && text.parse::<jiff::Timestamp>().is_err()).then(|| {
                place.locate(&format!(
                    "parsing time {quoted} as \"2006-01-02T15:04:05Z07:00\": cannot parse {quoted} \
                     as \"2006\"",
                    quoted = quote(text)
                ))
            });
        }
        _ => false,
    };
    (!fits).then(|| place.complain(value, scalar_type(scalar)))
}

/// The position of the first byte that is no base64, if any.
fn base64_complaint(text: &str) -> Option<usize> {
    use base64::Engine as _;
    // Line breaks are ignored by the decoder.
    let compact: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
    match base64::engine::general_purpose::STANDARD.decode(&compact) {
        Ok(_) => None,
        Err(
            base64::DecodeError::InvalidByte(at, _) | base64::DecodeError::InvalidLastSymbol(at, _),
        ) => Some(at),
        Err(_) => Some(compact.len() / 4 * 4),
    }
}

fn integral(number: &Number) -> Option<i64> {
    number.as_i64().or_else(|| {
        let float = number.as_f64()?;
        let whole = float as i64;
        // YAML and JavaScript clients write integers as 1.0 or 1e3.
        #[expect(
            clippy::float_cmp,
            reason = "asks whether the number is exactly integral"
        )]
        (whole as f64 == float && float.abs() < 9.0e15).then_some(whole)
    })
}

fn scalar_type(scalar: Scalar) -> &'static str {
    match scalar {
        Scalar::String => "string",
        Scalar::Bytes => "[]uint8",
        Scalar::Time => "v1.Time",
        Scalar::MicroTime => "v1.MicroTime",
        Scalar::Int32 => "int32",
        Scalar::Int64 => "int64",
        Scalar::Number => "float64",
        Scalar::Boolean => "bool",
        Scalar::Quantity => "resource.Quantity",
        Scalar::IntOrString => "intstr.IntOrString",
    }
}

fn go_type(shape: Shape<'_>) -> String {
    match shape.node() {
        Node::Deduced => "interface {}".to_owned(),
        Node::Scalar(scalar) => scalar_type(*scalar).to_owned(),
        Node::Struct(message) => message.name.to_string(),
        Node::Map { value, .. } => format!("map[string]{}", go_type(shape.at(*value))),
        Node::List { item, .. } => format!("[]{}", go_type(shape.at(*item))),
    }
}

fn normalize_value(shape: Shape<'_>, value: &mut Value) {
    match (shape.node(), value) {
        (Node::Struct(message), Value::Object(entries)) => {
            normalize_struct(shape, message, entries);
        }
        (Node::Map { value: entry, .. }, Value::Object(entries)) => {
            let entry = shape.at(*entry);
            for value in entries.values_mut() {
                if value.is_null() && matches!(entry.node(), Node::Scalar(Scalar::String)) {
                    *value = Value::String(String::new());
                }
                normalize_value(entry, value);
            }
        }
        (Node::List { .. }, Value::Array(items)) => {
            let item = shape.item();
            for value in items {
                normalize_value(item, value);
            }
        }
        (Node::Scalar(scalar), value) => normalize_scalar(*scalar, value),
        _ => {}
    }
}

fn normalize_struct(shape: Shape<'_>, message: &Struct, entries: &mut Map<String, Value>) {
    entries.retain(|key, value| {
        let Some(entry) = shape.entry(key) else {
            return false;
        };
        let Some(field) = message.field(key) else {
            return message.rest == Rest::Preserved;
        };
        if value.is_null() {
            return false;
        }
        normalize_value(entry, value);
        // Go's omitempty drops empty lists and maps and zero scalars, but keeps structs and what
        // a pointer leads to.
        let empty = match (entry.node(), &*value) {
            (Node::List { .. }, Value::Array(items)) => items.is_empty(),
            (Node::Map { .. }, Value::Object(entries)) => entries.is_empty(),
            (Node::Scalar(_), value) if field.omits_zero => is_zero(value),
            _ => false,
        };
        !empty || field.required
    });
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::Bool(true) | Value::Array(_) | Value::Object(_) => false,
    }
}

fn normalize_scalar(scalar: Scalar, value: &mut Value) {
    let canonical = match (scalar, &*value) {
        (Scalar::Quantity, Value::String(text)) => Quantity::parse(text)
            .ok()
            .map(|quantity| Value::from(quantity.to_string())),
        (Scalar::Quantity, Value::Number(number)) => Quantity::parse(&number.to_string())
            .ok()
            .map(|quantity| Value::from(quantity.to_string())),
        (Scalar::Int32 | Scalar::Int64 | Scalar::IntOrString, Value::Number(number))
            if number.is_f64() =>
        {
            integral(number).map(Value::from)
        }
        (Scalar::Time, Value::String(text)) => text
            .parse::<jiff::Timestamp>()
            .ok()
            .map(|time| Value::from(time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())),
        (Scalar::MicroTime, Value::String(text)) => text
            .parse::<jiff::Timestamp>()
            .ok()
            .map(|time| Value::from(time.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string())),
        _ => None,
    };
    if let Some(canonical) = canonical {
        *value = canonical;
    }
}
