//! The spellings of that time, and reading them as those of today.

use std::collections::BTreeMap;

use schemars::{Schema, json_schema};
use serde_json::{Map, Value, json};

use crate::decode::{DecodeError, decode};
use crate::field::{FieldError, FieldPath, Note};

/// A field: what it is called today, and what else it was called.
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) also: &'static [&'static str],
    pub(super) shape: Shape,
}

/// What is in a field.
pub(super) enum Shape {
    /// Something without spellings of its own.
    Leaf,
    /// A text, also where it looks like a number.
    Text,
    /// Resource names to amounts, also where those look like numbers.
    Amounts,
    /// An object.
    Object(&'static [Field]),
    /// A list of objects.
    List(&'static [Field]),
}

/// A field that was always called the same.
pub(super) const fn leaf(name: &'static str) -> Field {
    spelt(name, &[])
}

/// A field without spellings in it.
pub(super) const fn spelt(name: &'static str, also: &'static [&'static str]) -> Field {
    field(name, also, Shape::Leaf)
}

/// A field.
pub(super) const fn field(
    name: &'static str,
    also: &'static [&'static str],
    shape: Shape,
) -> Field {
    Field { name, also, shape }
}

/// A schema that lets all spellings through, and whatever else there is.
pub(super) fn schema(fields: &[Field]) -> Schema {
    let mut names = Map::new();
    for field in fields {
        for name in [field.name].iter().chain(field.also) {
            let anything = json!({ "x-kubernetes-preserve-unknown-fields": true });
            names.insert((*name).to_owned(), anything);
        }
    }
    json_schema!({
        "type": "object",
        "x-kubernetes-preserve-unknown-fields": true,
        "properties": names,
    })
}

/// An object in the spellings of today, with the way back to what was written.
pub(super) struct Respelt {
    pub(super) spec: Map<String, Value>,
    pub(super) notes: Vec<Note>,
    pub(super) errors: Vec<FieldError>,
    /// Paths of today to paths as they were written.
    written: BTreeMap<String, FieldPath>,
}

impl Respelt {
    pub(super) fn new(fields: &'static [Field], spec: &Map<String, Value>) -> Self {
        let mut respelt = Self {
            spec: Map::new(),
            notes: Vec::new(),
            errors: Vec::new(),
            written: BTreeMap::new(),
        };
        let at = FieldPath::new("spec");
        respelt.spec = respelt.object(fields, spec, &at, &at);
        respelt
    }

    fn object(
        &mut self,
        fields: &'static [Field],
        object: &Map<String, Value>,
        today: &FieldPath,
        written: &FieldPath,
    ) -> Map<String, Value> {
        let mut respelt = Map::new();
        for (key, value) in object {
            let path = written.field(key);
            let is_it = |field: &&Field| field.name == key || field.also.contains(&key.as_str());
            let Some(field) = fields.iter().find(is_it) else {
                self.note(path, "is not known, and has no effect");
                continue;
            };
            let today = today.field(field.name);
            if let Some(other) = self.written.get(today.as_str()) {
                let detail = format!("says the same as {other}; remove one of the two");
                self.errors.push(FieldError::forbidden(path, detail));
                continue;
            }
            self.written.insert(today.as_str().to_owned(), path.clone());
            let value = self.value(&field.shape, value, &today, &path);
            respelt.insert(field.name.to_owned(), value);
        }
        respelt
    }

    fn value(
        &mut self,
        shape: &'static Shape,
        value: &Value,
        today: &FieldPath,
        written: &FieldPath,
    ) -> Value {
        match (shape, value) {
            (Shape::Text, Value::Number(number)) => number.to_string().into(),
            (Shape::Amounts, Value::Object(amounts)) => {
                let text = |value: &Value| match value {
                    Value::Number(number) => number.to_string().into(),
                    other => other.clone(),
                };
                let amounts = amounts.iter();
                let texts: Map<String, Value> = amounts
                    .map(|(name, value)| (name.clone(), text(value)))
                    .collect();
                texts.into()
            }
            (Shape::Object(fields), Value::Object(object)) => {
                self.object(fields, object, today, written).into()
            }
            (Shape::List(fields), Value::Array(items)) => {
                let items = items.iter().enumerate();
                let items = items.map(|(index, item)| match item {
                    Value::Object(object) => {
                        let (today, written) = (today.index(index), written.index(index));
                        self.object(fields, object, &today, &written).into()
                    }
                    other => other.clone(),
                });
                items.collect::<Vec<Value>>().into()
            }
            (_, other) => other.clone(),
        }
    }

    pub(super) fn note(&mut self, field: FieldPath, what: impl Into<String>) {
        self.notes.push(Note {
            field,
            what: what.into(),
        });
    }

    /// Says where a field of today that was made from others comes from.
    pub(super) fn comes_from(&mut self, today: &FieldPath, from: &FieldPath) {
        let written = self.as_written(from);
        self.written.insert(today.as_str().to_owned(), written);
    }

    /// A path of today as it was written.
    pub(super) fn as_written(&self, today: &FieldPath) -> FieldPath {
        let text = today.as_str();
        let ends = (1..=text.len()).rev();
        let mut ends = ends.filter(|end| {
            text.is_char_boundary(*end)
                && (*end == text.len() || text[*end..].starts_with(['.', '[']))
        });
        let known = ends.find_map(|end| Some((end, self.written.get(&text[..end])?)));
        match known {
            Some((end, written)) => written.join(text[end..].trim_start_matches('.')),
            None => today.clone(),
        }
    }

    /// Reads what there is as an object of today, and has it validated.
    pub(super) fn read<K>(
        &mut self,
        metadata: &kube::api::ObjectMeta,
        validate: impl Fn(&K) -> Vec<FieldError>,
    ) -> Option<K>
    where
        K: kube::Resource<DynamicType = ()> + kube::CustomResourceExt + serde::de::DeserializeOwned,
    {
        let document = json!({
            "apiVersion": K::api_version(&()),
            "kind": K::kind(&()),
            "metadata": {
                "name": metadata.name,
                "namespace": metadata.namespace,
                "labels": metadata.labels,
            },
            "spec": self.spec,
        });
        let (object, errors) = match decode::<K>(&document) {
            Ok(object) => {
                let errors = validate(&object);
                (Some(object), errors)
            }
            Err(DecodeError::Fields(errors)) => (None, errors),
            // The document says what it is.
            Err(DecodeError::OtherKind { .. }) => (None, Vec::new()),
        };
        let errors: Vec<FieldError> = errors
            .into_iter()
            .map(|error| FieldError {
                path: self.as_written(&error.path),
                ..error
            })
            .collect();
        self.errors.extend(errors);
        object.filter(|_| self.errors.is_empty())
    }
}
