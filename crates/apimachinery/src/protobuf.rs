//! Protobuf request bodies (`application/vnd.kubernetes.protobuf`), decoded to JSON.
//!
//! `kubectl` sends these for `create` and `auth` commands and does not fall back to JSON. Answers
//! may be JSON, so there is no encoder. A body is an envelope (`runtime.Unknown`) that names the
//! kind and holds the message; the fields of all messages are in one compressed table, which is
//! unpacked for each body, since bodies are rare and memory is not.

mod table;
mod wire;

#[cfg(test)]
mod tests;

use base64::Engine as _;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use table::{Field, Shape, Table};
use wire::{Payload, Reader};

/// The content type of these bodies.
pub const CONTENT_TYPE: &str = "application/vnd.kubernetes.protobuf";

const MAGIC: &[u8] = b"k8s\0";
/// Messages nest a dozen levels; a body that goes deeper means harm.
const MAX_DEPTH: usize = 64;
const META: &str = "k8s.io.apimachinery.pkg.apis.meta.v1";

/// A body that cannot be decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The body does not begin with the magic bytes.
    #[error("the body is not Kubernetes protobuf: it must begin with the bytes 6b 38 73 00")]
    NoMagic,
    /// The bytes end early or break the wire format.
    #[error("the protobuf body is damaged at {at}: {what}")]
    Malformed {
        /// The field being read.
        at: String,
        /// What is wrong.
        what: &'static str,
    },
    /// The kind has no known message.
    #[error("no kind {kind:?} is registered for version {api_version:?}")]
    UnknownKind {
        /// The `apiVersion` of the envelope.
        api_version: String,
        /// The `kind` of the envelope.
        kind: String,
    },
}

/// Decodes a body to the JSON object it stands for, with `apiVersion` and `kind`.
pub fn decode(body: &[u8]) -> Result<Value, DecodeError> {
    let envelope = body.strip_prefix(MAGIC).ok_or(DecodeError::NoMagic)?;
    let Envelope {
        api_version,
        kind,
        raw,
    } = Envelope::read(envelope)?;
    let table = Table::open();
    let message =
        message_name(&table, &api_version, &kind).ok_or_else(|| DecodeError::UnknownKind {
            api_version: api_version.clone(),
            kind: kind.clone(),
        })?;
    let decoder = Decoder { table: &table };
    let mut object = Map::new();
    decoder.message(&message, raw, &kind, 0, &mut object)?;
    object.insert("apiVersion".to_owned(), api_version.into());
    object.insert("kind".to_owned(), kind.into());
    Ok(Value::Object(object))
}

struct Envelope<'b> {
    api_version: String,
    kind: String,
    raw: &'b [u8],
}

impl<'b> Envelope<'b> {
    fn read(bytes: &'b [u8]) -> Result<Self, DecodeError> {
        let mut envelope = Self {
            api_version: String::new(),
            kind: String::new(),
            raw: &[],
        };
        let mut reader = Reader::new(bytes, "the envelope");
        while let Some((number, payload)) = reader.field()? {
            match (number, payload) {
                (1, Payload::Bytes(type_meta)) => {
                    let mut inner = Reader::new(type_meta, "typeMeta");
                    while let Some((number, payload)) = inner.field()? {
                        match (number, payload) {
                            (1, Payload::Bytes(text)) => envelope.api_version = utf8(text),
                            (2, Payload::Bytes(text)) => envelope.kind = utf8(text),
                            _ => {}
                        }
                    }
                }
                (2, Payload::Bytes(raw)) => envelope.raw = raw,
                _ => {}
            }
        }
        Ok(envelope)
    }
}

/// `apps/v1 Deployment` is the message `k8s.io.api.apps.v1.Deployment`.
fn message_name(table: &Table, api_version: &str, kind: &str) -> Option<String> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let package = match group {
        "" => "core",
        group => group.split('.').next().unwrap_or_default(),
    };
    let own = format!("k8s.io.api.{package}.{version}.{kind}");
    // Options travel in the version of the kind they are for.
    let shared = format!("{META}.{kind}");
    [own, shared]
        .into_iter()
        .find(|name| table.message(name).is_some())
}

struct Decoder<'t> {
    table: &'t Table,
}

impl Decoder<'_> {
    fn message(
        &self,
        name: &str,
        bytes: &[u8],
        path: &str,
        depth: usize,
        object: &mut Map<String, Value>,
    ) -> Result<(), DecodeError> {
        if depth > MAX_DEPTH {
            return Err(DecodeError::Malformed {
                at: path.to_owned(),
                what: "it nests too deeply",
            });
        }
        let Some(fields) = self.table.message(name) else {
            return Err(DecodeError::Malformed {
                at: path.to_owned(),
                what: "unknown message",
            });
        };
        let mut reader = Reader::new(bytes, path);
        while let Some((number, payload)) = reader.field()? {
            // Fields of newer servers are skipped, as every protobuf reader does.
            let Some(field) = fields.iter().find(|field| field.number == number) else {
                continue;
            };
            let at = format!("{path}.{}", field.name);
            self.field(field, payload, &at, depth, object)?;
        }
        Ok(())
    }

    fn field(
        &self,
        field: &Field<'_>,
        payload: Payload<'_>,
        path: &str,
        depth: usize,
        object: &mut Map<String, Value>,
    ) -> Result<(), DecodeError> {
        match field.shape {
            Shape::Inline => {
                let Payload::Bytes(bytes) = payload else {
                    return Err(mismatch(path));
                };
                self.message(field.kind, bytes, path, depth + 1, object)
            }
            Shape::Single => {
                let value = self.value(field.kind, payload, path, depth)?;
                if value.is_null() || (field.omits_zero && is_zero(&value)) {
                    return Ok(());
                }
                object.insert(field.name.to_owned(), value);
                Ok(())
            }
            Shape::Repeated => {
                let list = object.entry(field.name).or_insert_with(|| json!([]));
                let Value::Array(list) = list else {
                    return Err(mismatch(path));
                };
                match payload {
                    Payload::Bytes(packed) if is_varint(field.kind) => {
                        let mut reader = Reader::new(packed, path);
                        while let Some(number) = reader.packed()? {
                            list.push(self.value(
                                field.kind,
                                Payload::Varint(number),
                                path,
                                depth,
                            )?);
                        }
                    }
                    payload => list.push(self.value(field.kind, payload, path, depth)?),
                }
                Ok(())
            }
            Shape::Map => {
                let Payload::Bytes(entry) = payload else {
                    return Err(mismatch(path));
                };
                let (mut key, mut value) = (String::new(), None);
                let mut reader = Reader::new(entry, path);
                while let Some((number, payload)) = reader.field()? {
                    match (number, payload) {
                        (1, Payload::Bytes(text)) => key = utf8(text),
                        (2, payload) => value = Some(self.value(field.kind, payload, path, depth)?),
                        _ => {}
                    }
                }
                let map = object.entry(field.name).or_insert_with(|| json!({}));
                let Value::Object(map) = map else {
                    return Err(mismatch(path));
                };
                map.insert(key, value.unwrap_or_else(|| json!("")));
                Ok(())
            }
        }
    }

    fn value(
        &self,
        kind: &str,
        payload: Payload<'_>,
        path: &str,
        depth: usize,
    ) -> Result<Value, DecodeError> {
        match (kind, payload) {
            ("string", Payload::Bytes(bytes)) => Ok(utf8(bytes).into()),
            ("bytes", Payload::Bytes(bytes)) => Ok(base64::engine::general_purpose::STANDARD
                .encode(bytes)
                .into()),
            ("bool", Payload::Varint(number)) => Ok((number != 0).into()),
            ("int32", Payload::Varint(number)) => Ok((number as i32).into()),
            ("int64", Payload::Varint(number)) => Ok((number as i64).into()),
            ("uint32" | "uint64", Payload::Varint(number)) => Ok(number.into()),
            ("double", Payload::Fixed64(bits)) => Ok(f64::from_bits(bits).into()),
            (message, Payload::Bytes(bytes)) => self.nested(message, bytes, path, depth),
            _ => Err(mismatch(path)),
        }
    }

    /// A message within a message. Some are a single value in JSON.
    fn nested(
        &self,
        message: &str,
        bytes: &[u8],
        path: &str,
        depth: usize,
    ) -> Result<Value, DecodeError> {
        let simple = message.rsplit('.').next().unwrap_or_default();
        match simple {
            "Quantity" => Ok(text_at(1, bytes, path)?
                .unwrap_or_else(|| "0".to_owned())
                .into()),
            "Time" | "MicroTime" | "Timestamp" => time(simple == "MicroTime", bytes, path),
            "IntOrString" => int_or_string(bytes, path),
            "RawExtension" | "FieldsV1" | "JSON" => {
                let raw = bytes_at(1, bytes, path)?.unwrap_or_default();
                Ok(serde_json::from_slice(raw).unwrap_or(Value::Null))
            }
            // Named lists of texts, such as the values of extra user attributes.
            "ExtraValue" | "Verbs" => {
                let mut items = Vec::new();
                let mut reader = Reader::new(bytes, path);
                while let Some((number, payload)) = reader.field()? {
                    if let (1, Payload::Bytes(text)) = (number, payload) {
                        items.push(Value::from(utf8(text)));
                    }
                }
                Ok(items.into())
            }
            _ => {
                let mut object = Map::new();
                self.message(message, bytes, path, depth + 1, &mut object)?;
                Ok(Value::Object(object))
            }
        }
    }
}

fn mismatch(path: &str) -> DecodeError {
    DecodeError::Malformed {
        at: path.to_owned(),
        what: "the value has another wire type",
    }
}

fn utf8(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn is_varint(kind: &str) -> bool {
    matches!(kind, "bool" | "int32" | "int64" | "uint32" | "uint64")
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::Null | Value::Bool(true) | Value::Array(_) | Value::Object(_) => false,
    }
}

fn bytes_at<'b>(wanted: u32, bytes: &'b [u8], path: &str) -> Result<Option<&'b [u8]>, DecodeError> {
    let mut found = None;
    let mut reader = Reader::new(bytes, path);
    while let Some((number, payload)) = reader.field()? {
        if let (true, Payload::Bytes(content)) = (number == wanted, payload) {
            found = Some(content);
        }
    }
    Ok(found)
}

fn text_at(wanted: u32, bytes: &[u8], path: &str) -> Result<Option<String>, DecodeError> {
    Ok(bytes_at(wanted, bytes, path)?.map(utf8))
}

/// Seconds and nanoseconds; the empty message is the zero time, which JSON leaves out.
fn time(micro: bool, bytes: &[u8], path: &str) -> Result<Value, DecodeError> {
    let (mut seconds, mut nanos) = (None, 0);
    let mut reader = Reader::new(bytes, path);
    while let Some((number, payload)) = reader.field()? {
        match (number, payload) {
            (1, Payload::Varint(number)) => seconds = Some(number as i64),
            (2, Payload::Varint(number)) => nanos = number as i32,
            _ => {}
        }
    }
    let Some(seconds) = seconds else {
        return Ok(Value::Null);
    };
    let time = Timestamp::new(seconds, nanos).map_err(|_| DecodeError::Malformed {
        at: path.to_owned(),
        what: "the time is out of range",
    })?;
    let format = if micro {
        "%Y-%m-%dT%H:%M:%S%.6fZ"
    } else {
        "%Y-%m-%dT%H:%M:%SZ"
    };
    Ok(time.strftime(format).to_string().into())
}

fn int_or_string(bytes: &[u8], path: &str) -> Result<Value, DecodeError> {
    let (mut is_text, mut number_value, mut text) = (false, 0, String::new());
    let mut reader = Reader::new(bytes, path);
    while let Some((number, payload)) = reader.field()? {
        match (number, payload) {
            (1, Payload::Varint(kind)) => is_text = kind == 1,
            (2, Payload::Varint(number)) => number_value = number as i32,
            (3, Payload::Bytes(content)) => text = utf8(content),
            _ => {}
        }
    }
    Ok(if is_text {
        text.into()
    } else {
        number_value.into()
    })
}
