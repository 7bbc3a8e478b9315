//! Values of expressions. What comes from JSON stays there and is read where it is needed.

use std::{borrow::Cow, cmp::Ordering, net::IpAddr, sync::Arc};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map as JsonMap, Number, Value as Json};

use super::{
    functions::{net, semver::Semver, time, url::Url},
    types::{Identity, ObjectType, Opaque, Type},
};
use crate::quantity::Quantity;

/// A value. `'a` is the life of the documents and of the expression.
#[derive(Debug, Clone)]
pub enum Value<'a> {
    /// `null`.
    Null,
    /// A truth.
    Bool(bool),
    /// A signed number.
    Int(i64),
    /// An unsigned number.
    Uint(u64),
    /// A floating point number.
    Double(f64),
    /// Text.
    Str(Cow<'a, str>),
    /// Bytes.
    Bytes(Cow<'a, [u8]>),
    /// A list.
    List(List<'a>),
    /// A map or an object.
    Map(Map<'a>),
    /// A length of time.
    Duration(SignedDuration),
    /// A moment.
    Timestamp(Timestamp),
    /// A value that may be absent.
    Optional(Option<Arc<Value<'a>>>),
    /// A type.
    Type(&'static str),
    /// A quantity.
    Quantity(Quantity),
    /// A URL.
    Url(Arc<Url>),
    /// An IP address.
    Ip(IpAddr),
    /// A range of IP addresses.
    Cidr(net::Cidr),
    /// A named format.
    Format(&'static str),
    /// A semantic version.
    Semver(Arc<Semver>),
}

/// A list, in a document or computed.
#[derive(Debug, Clone)]
pub enum List<'a> {
    /// Part of a document.
    Json(&'a [Json], &'a Type, &'a Identity),
    /// Computed.
    Made(Arc<[Value<'a>]>),
}

/// A map, in a document or computed.
#[derive(Debug, Clone)]
pub enum Map<'a> {
    /// Part of a document: a map with values of one type.
    Json(&'a JsonMap<String, Json>, &'a Type),
    /// Part of a document: an object with fields.
    Object(&'a JsonMap<String, Json>, &'a ObjectType),
    /// Computed.
    Made(Arc<[(Value<'a>, Value<'a>)]>),
}

static DYN: Type = Type::Dyn;
static PLACE: Identity = Identity::Place;

impl<'a> Value<'a> {
    /// A part of a document as its type says.
    pub fn lift(json: &'a Json, of: &'a Type) -> Self {
        match (of, json) {
            (Type::Double, Json::Number(number)) => Self::Double(number.as_f64().unwrap_or(0.0)),
            (Type::Bytes, Json::String(text)) => match BASE64_STANDARD.decode(text) {
                Ok(bytes) => Self::Bytes(Cow::Owned(bytes)),
                Err(_) => Self::Str(Cow::Borrowed(text)),
            },
            (Type::Duration, Json::String(text)) => {
                time::parse_duration(text).map_or(Self::Str(Cow::Borrowed(text)), Self::Duration)
            }
            (Type::Timestamp, Json::String(text)) => {
                time::parse_timestamp(text).map_or(Self::Str(Cow::Borrowed(text)), Self::Timestamp)
            }
            (Type::List(list), Json::Array(items)) => {
                Self::List(List::Json(items, &list.items, &list.identity))
            }
            (Type::Map(map), Json::Object(entries)) => Self::Map(Map::Json(entries, &map.1)),
            (Type::Object(object), Json::Object(entries)) => {
                Self::Map(Map::Object(entries, object))
            }
            (_, Json::Null) => Self::Null,
            (_, Json::Bool(truth)) => Self::Bool(*truth),
            (_, Json::Number(number)) => number_value(number),
            (_, Json::String(text)) => Self::Str(Cow::Borrowed(text)),
            (_, Json::Array(items)) => Self::List(List::Json(items, &DYN, &PLACE)),
            (_, Json::Object(entries)) => Self::Map(Map::Json(entries, &DYN)),
        }
    }

    /// An owned text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Str(Cow::Owned(text.into()))
    }

    /// A computed list.
    pub fn list(items: Vec<Self>) -> Self {
        Self::List(List::Made(items.into()))
    }

    /// A present optional value.
    pub fn some(self) -> Self {
        Self::Optional(Some(Arc::new(self)))
    }

    /// The name of its type, as `type()` shows it.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null_type",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Uint(_) => "uint",
            Self::Double(_) => "double",
            Self::Str(_) => "string",
            Self::Bytes(_) => "bytes",
            Self::List(_) => "list",
            Self::Map(Map::Object(..)) => "object",
            Self::Map(_) => "map",
            Self::Duration(_) => "google.protobuf.Duration",
            Self::Timestamp(_) => "google.protobuf.Timestamp",
            Self::Optional(_) => "optional_type",
            Self::Type(_) => "type",
            Self::Quantity(_) => Opaque::Quantity.name(),
            Self::Url(_) => Opaque::Url.name(),
            Self::Ip(_) => Opaque::Ip.name(),
            Self::Cidr(_) => Opaque::Cidr.name(),
            Self::Format(_) => Opaque::Format.name(),
            Self::Semver(_) => Opaque::Semver.name(),
        }
    }

    /// Whether two values are equal; values of different types are not.
    pub fn equals(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Str(a), Self::Str(b)) => a == b,
            (Self::Bytes(a), Self::Bytes(b)) => a == b,
            (Self::List(a), Self::List(b)) => a.equals(b),
            (Self::Map(a), Self::Map(b)) => a.equals(b),
            (Self::Duration(a), Self::Duration(b)) => a == b,
            (Self::Timestamp(a), Self::Timestamp(b)) => a == b,
            (Self::Optional(a), Self::Optional(b)) => match (a, b) {
                (Some(a), Some(b)) => a.equals(b),
                (a, b) => a.is_none() && b.is_none(),
            },
            (Self::Type(a), Self::Type(b)) => a == b,
            (Self::Quantity(a), Self::Quantity(b)) => a == b,
            (Self::Url(a), Self::Url(b)) => a.text == b.text,
            (Self::Ip(a), Self::Ip(b)) => a == b,
            (Self::Cidr(a), Self::Cidr(b)) => a == b,
            (Self::Format(a), Self::Format(b)) => a == b,
            (Self::Semver(a), Self::Semver(b)) => a.compare(b) == Ordering::Equal,
            _ => self.compare(other) == Some(Ordering::Equal),
        }
    }

    /// The order of two values, where there is one.
    pub fn compare(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => Some(a.cmp(b)),
            (Self::Int(a), Self::Int(b)) => Some(a.cmp(b)),
            (Self::Uint(a), Self::Uint(b)) => Some(a.cmp(b)),
            (Self::Double(a), Self::Double(b)) => a.partial_cmp(b),
            (Self::Int(a), Self::Uint(b)) => Some(i128::from(*a).cmp(&i128::from(*b))),
            (Self::Uint(a), Self::Int(b)) => Some(i128::from(*a).cmp(&i128::from(*b))),
            (Self::Int(a), Self::Double(b)) => (*a as f64).partial_cmp(b),
            (Self::Double(a), Self::Int(b)) => a.partial_cmp(&(*b as f64)),
            (Self::Uint(a), Self::Double(b)) => (*a as f64).partial_cmp(b),
            (Self::Double(a), Self::Uint(b)) => a.partial_cmp(&(*b as f64)),
            (Self::Str(a), Self::Str(b)) => Some(a.cmp(b)),
            (Self::Bytes(a), Self::Bytes(b)) => Some(a.cmp(b)),
            (Self::Duration(a), Self::Duration(b)) => Some(a.cmp(b)),
            (Self::Timestamp(a), Self::Timestamp(b)) => Some(a.cmp(b)),
            _ => None,
        }
    }

    /// How much there is of it, for what work costs.
    pub(super) fn weight(&self) -> u64 {
        match self {
            Self::Str(text) => text.len() as u64 / 10 + 1,
            Self::Bytes(bytes) => bytes.len() as u64 / 10 + 1,
            Self::List(list) => list.len() as u64 + 1,
            Self::Map(map) => map.len() as u64 + 1,
            _ => 1,
        }
    }
}

fn number_value(number: &Number) -> Value<'static> {
    let integral = number.as_f64().filter(|value| value.fract() == 0.0);
    match (number.as_i64(), number.as_u64(), integral) {
        (Some(int), ..) => Value::Int(int),
        (_, Some(uint), _) => Value::Uint(uint),
        (.., Some(value)) if value.abs() < 9.0e15 => Value::Int(value as i64),
        _ => Value::Double(number.as_f64().unwrap_or(0.0)),
    }
}

impl<'a> List<'a> {
    /// How many items there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Json(items, ..) => items.len(),
            Self::Made(items) => items.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One item.
    pub fn get(&self, index: usize) -> Option<Value<'a>> {
        match self {
            Self::Json(items, of, _) => items.get(index).map(|item| Value::lift(item, of)),
            Self::Made(items) => items.get(index).cloned(),
        }
    }

    /// All items.
    pub fn iter(&self) -> impl Iterator<Item = Value<'a>> + '_ {
        (0..self.len()).filter_map(|index| self.get(index))
    }

    /// Whether an item equals the value.
    pub fn contains(&self, value: &Value<'a>) -> bool {
        self.iter().any(|item| item.equals(value))
    }

    fn identity(&self) -> &Identity {
        match self {
            Self::Json(_, _, identity) => identity,
            Self::Made(_) => &PLACE,
        }
    }

    fn equals(&self, other: &Self) -> bool {
        if self.len() != other.len() {
            return false;
        }
        match self.identity() {
            Identity::Place => self.iter().zip(other.iter()).all(|(a, b)| a.equals(&b)),
            Identity::Value | Identity::Keys(_) => self.iter().all(|item| other.contains(&item)),
        }
    }

    /// Both lists as one. Of lists whose items have an identity, those of `other` replace their
    /// like.
    pub(super) fn plus(&self, other: &Self) -> Vec<Value<'a>> {
        let mut items: Vec<Value<'a>> = self.iter().collect();
        for item in other.iter() {
            let like = match self.identity() {
                Identity::Place => None,
                Identity::Value => items.iter().position(|before| before.equals(&item)),
                Identity::Keys(keys) => items
                    .iter()
                    .position(|before| same_keys(before, &item, keys)),
            };
            match like {
                Some(index) => items[index] = item,
                None => items.push(item),
            }
        }
        items
    }
}

fn same_keys(a: &Value<'_>, b: &Value<'_>, keys: &[String]) -> bool {
    let (Value::Map(Map::Object(a, _)), Value::Map(Map::Object(b, _))) = (a, b) else {
        return false;
    };
    keys.iter().all(|key| a.get(key) == b.get(key))
}

impl<'a> Map<'a> {
    /// How many entries there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Json(entries, _) | Self::Object(entries, _) => entries.len(),
            Self::Made(entries) => entries.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value of a field, by the name that expressions use.
    pub fn field(&self, name: &str) -> Option<Value<'a>> {
        match self {
            Self::Json(entries, of) => entries.get(name).map(|value| Value::lift(value, of)),
            Self::Object(entries, object) => {
                let field = object.fields.get(name)?;
                let value = entries.get(&field.name)?;
                Some(Value::lift(value, &field.of))
            }
            Self::Made(_) => self.get(&Value::Str(Cow::Owned(name.to_owned()))),
        }
    }

    /// The value of a key.
    pub fn get(&self, key: &Value<'_>) -> Option<Value<'a>> {
        match self {
            Self::Json(..) | Self::Object(..) => match key {
                Value::Str(key) => self.field(key),
                _ => None,
            },
            Self::Made(entries) => entries
                .iter()
                .find(|(found, _)| found.equals(key))
                .map(|(_, value)| value.clone()),
        }
    }

    /// All keys and values.
    pub fn entries(&self) -> Vec<(Value<'a>, Value<'a>)> {
        match self {
            Self::Json(entries, of) => entries
                .iter()
                .map(|(key, value)| (Value::Str(Cow::Borrowed(key)), Value::lift(value, of)))
                .collect(),
            Self::Object(entries, object) => entries
                .iter()
                .map(|(key, value)| {
                    let of = object.fields.get(key).map_or(&DYN, |field| &field.of);
                    (Value::Str(Cow::Borrowed(key)), Value::lift(value, of))
                })
                .collect(),
            Self::Made(entries) => entries.to_vec(),
        }
    }

    fn equals(&self, other: &Self) -> bool {
        self.len() == other.len()
            && self
                .entries()
                .iter()
                .all(|(key, value)| other.lookup(key).is_some_and(|found| found.equals(value)))
    }

    /// The same as [`Map::get`], but with the names of JSON also in objects.
    fn lookup(&self, key: &Value<'a>) -> Option<Value<'a>> {
        match (self, key) {
            (Self::Object(entries, object), Value::Str(name)) => {
                let of = object
                    .fields
                    .get(name.as_ref())
                    .map_or(&DYN, |field| &field.of);
                entries
                    .get(name.as_ref())
                    .map(|value| Value::lift(value, of))
            }
            _ => self.get(key),
        }
    }
}
