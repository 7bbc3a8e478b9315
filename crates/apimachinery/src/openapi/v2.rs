//! The one OpenAPI v2 document of everything, made from the v3 documents.
//!
//! kubectl before 1.27 and tools of its age check manifests with it, explain fields from it, and
//! look there whether a dry run is understood. They read it as protobuf ([`v2_protobuf`]), others
//! as JSON. It is made when somebody asks: nobody of today does.

use serde_json::{Map, Value, json};

/// The content type of [`v2_protobuf`]. Clients ask for it with `@` for the last dot too, which is
/// no media type and therefore never the answer.
pub const V2_PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

/// The document that has the built-in groups and these v3 documents of custom ones, as JSON text.
pub fn v2_document<'a>(custom: impl IntoIterator<Item = &'a [u8]>) -> Value {
    let (mut paths, mut definitions) = (Map::new(), Map::new());
    let mut add = |text: &[u8]| {
        if let Ok(document) = serde_json::from_slice(text) {
            take_in(document, &mut paths, &mut definitions);
        }
    };
    for path in super::builtin_paths() {
        add(&super::builtin_document(path).unwrap_or_default());
    }
    custom.into_iter().for_each(&mut add);
    json!({
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": "v1.32.0"},
        "paths": paths,
        "definitions": definitions,
    })
}

fn take_in(
    mut document: Value,
    paths: &mut Map<String, Value>,
    definitions: &mut Map<String, Value>,
) {
    if let Some(Value::Object(schemas)) =
        document.pointer_mut("/components/schemas").map(Value::take)
    {
        for (name, mut schema) in schemas {
            downgrade(&mut schema);
            definitions.insert(name, schema);
        }
    }
    if let Some(Value::Object(items)) = document.get_mut("paths").map(Value::take) {
        for (path, mut item) in items {
            downgrade_path(&mut item);
            paths.insert(path, item);
        }
    }
}

/// Parameters say their type themselves.
fn downgrade_path(item: &mut Value) {
    let Some(fields) = item.as_object_mut() else {
        return;
    };
    for (field, value) in fields {
        let parameters = match field.as_str() {
            "parameters" => value.as_array_mut(),
            _ => value.get_mut("parameters").and_then(Value::as_array_mut),
        };
        for parameter in parameters.into_iter().flatten() {
            if let Some(fields) = parameter.as_object_mut()
                && let Some(Value::Object(schema)) = fields.remove("schema")
            {
                fields.extend(schema);
            }
        }
    }
}

/// What version 2 cannot say is left out; where that would make it say something else, as with
/// values that may be null, the field takes anything. kubectl in addition reads fields that keep
/// unknown ones as arbitrary only when nothing else is known of them, and no list without items.
fn downgrade(schema: &mut Value) {
    let Some(fields) = schema.as_object_mut() else {
        return;
    };
    if let Some(Value::Array(parts)) = fields.remove("allOf")
        && let [only] = parts.as_slice()
        && let Some(reference) = only.get("$ref")
    {
        fields.insert("$ref".to_owned(), reference.clone());
    }
    if let Some(Value::String(reference)) = fields.get_mut("$ref") {
        *reference = reference.replace("#/components/schemas/", "#/definitions/");
    }
    // Whatever may be a string can be written as one, and clients take numbers for strings.
    if let Some(Value::Array(choices)) = fields.remove("oneOf")
        && choices
            .iter()
            .any(|choice| choice.get("type").is_some_and(|kind| kind == "string"))
    {
        fields.insert("type".to_owned(), json!("string"));
    }
    for unsaid in ["anyOf", "not", "default"] {
        fields.remove(unsaid);
    }
    let is_set =
        |fields: &Map<String, Value>, name: &str| fields.get(name) == Some(&Value::Bool(true));
    let nullable = is_set(fields, "nullable");
    fields.remove("nullable");
    if nullable || is_set(fields, "x-kubernetes-preserve-unknown-fields") {
        for known in [
            "type",
            "items",
            "properties",
            "additionalProperties",
            "required",
        ] {
            fields.remove(known);
        }
    }
    if fields.get("type").is_some_and(|kind| kind == "array") && !fields.contains_key("items") {
        fields.remove("type");
    }
    for (field, value) in fields {
        match (field.as_str(), value) {
            ("properties", Value::Object(properties)) => {
                properties.values_mut().for_each(downgrade);
            }
            ("items" | "additionalProperties", value) => downgrade(value),
            _ => {}
        }
    }
}

/// The document in the protobuf form of gnostic: what clients of that form read, which is the
/// definitions, and for each path what may be done to which kind with which parameters.
pub fn v2_protobuf(document: &Value) -> Vec<u8> {
    let named = |pointer: &str| document.pointer(pointer).and_then(Value::as_object);
    let mut message = Message::default();
    message.text(1, document.get("swagger"));
    message.message(2, |info| {
        info.text(1, document.pointer("/info/title"));
        info.text(2, document.pointer("/info/version"));
    });
    message.message(8, |paths| {
        for (path, item) in named("/paths").into_iter().flatten() {
            paths.entry(2, path, |message| path_item(message, item));
        }
    });
    message.message(9, |definitions| {
        for (name, definition) in named("/definitions").into_iter().flatten() {
            definitions.entry(1, name, |message| schema(message, definition));
        }
    });
    message.0
}

fn path_item(message: &mut Message, item: &Value) {
    for (field, verb) in [
        (2, "get"),
        (3, "put"),
        (4, "post"),
        (5, "delete"),
        (8, "patch"),
    ] {
        if let Some(asked) = item.get(verb) {
            message.message(field, |message| operation(message, asked));
        }
    }
    parameters(message, 9, item);
}

fn operation(message: &mut Message, operation: &Value) {
    message.text(5, operation.get("operationId"));
    parameters(message, 8, operation);
    extensions(message, 13, operation);
}

/// Parameters are wrapped in one message per choice: inline or not, body or not, where.
fn parameters(message: &mut Message, field: u32, holder: &Value) {
    let all = holder.get("parameters").and_then(Value::as_array);
    for parameter in all.into_iter().flatten() {
        let (place, kind) = match parameter.get("in").and_then(Value::as_str) {
            Some("query") => (3, 6),
            Some("path") => (4, 5),
            _ => continue,
        };
        message.message(field, |item| {
            item.message(1, |item| {
                item.message(2, |item| {
                    item.message(place, |message| {
                        message.flag(1, parameter.get("required"));
                        message.text(2, parameter.get("in"));
                        message.text(4, parameter.get("name"));
                        message.text(kind, parameter.get("type"));
                    });
                });
            });
        });
    }
}

fn schema(message: &mut Message, schema_: &Value) {
    message.text(1, schema_.get("$ref"));
    message.text(2, schema_.get("format"));
    message.text(4, schema_.get("description"));
    let required = schema_.get("required").and_then(Value::as_array);
    for name in required.into_iter().flatten() {
        message.text(19, Some(name));
    }
    match schema_.get("additionalProperties") {
        Some(Value::Bool(allowed)) => {
            message.message(21, |item| item.flag(2, Some(&Value::Bool(*allowed))));
        }
        Some(entry) => message.message(21, |item| item.message(1, |inner| schema(inner, entry))),
        None => {}
    }
    if let Some(kind) = schema_.get("type") {
        message.message(22, |item| item.text(1, Some(kind)));
    }
    if let Some(item) = schema_.get("items") {
        message.message(23, |items| items.message(1, |inner| schema(inner, item)));
    }
    if let Some(Value::Object(properties)) = schema_.get("properties") {
        message.message(25, |message| {
            for (name, property) in properties {
                message.entry(1, name, |inner| schema(inner, property));
            }
        });
    }
    extensions(message, 31, schema_);
}

/// Extensions are YAML inside protobuf, and JSON is YAML.
fn extensions(message: &mut Message, field: u32, holder: &Value) {
    for (name, value) in holder.as_object().into_iter().flatten() {
        if name.starts_with("x-") {
            message.entry(field, name, |any| {
                any.text(2, Some(&Value::String(value.to_string())));
            });
        }
    }
}

/// A protobuf message being written.
#[derive(Debug, Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number.to_le_bytes()[0] | 0x80);
            number >>= 7;
        }
        self.0.push(number.to_le_bytes()[0]);
    }

    fn bytes(&mut self, field: u32, bytes: &[u8]) {
        self.varint(u64::from(field) << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    /// A string, when there is one.
    fn text(&mut self, field: u32, value: Option<&Value>) {
        if let Some(text) = value.and_then(Value::as_str) {
            self.bytes(field, text.as_bytes());
        }
    }

    /// A boolean, when there is one.
    fn flag(&mut self, field: u32, value: Option<&Value>) {
        if let Some(flag) = value.and_then(Value::as_bool) {
            self.varint(u64::from(field) << 3);
            self.varint(u64::from(flag));
        }
    }

    fn message(&mut self, field: u32, write: impl FnOnce(&mut Self)) {
        let mut inner = Self::default();
        write(&mut inner);
        self.bytes(field, &inner.0);
    }

    /// A value under its name, as gnostic writes maps.
    fn entry(&mut self, field: u32, name: &str, write: impl FnOnce(&mut Self)) {
        self.message(field, |named| {
            named.bytes(1, name.as_bytes());
            named.message(2, write);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_version_two_cannot_say_is_left_out() {
        let reference = json!({"$ref": "#/components/schemas/a.B"});
        for (name, v3, v2) in [
            (
                "a described reference",
                json!({"allOf": [reference], "description": "d", "default": {}}),
                json!({"$ref": "#/definitions/a.B", "description": "d"}),
            ),
            (
                "several types",
                json!({"oneOf": [{"type": "string"}, {"type": "number"}], "format": "f"}),
                json!({"type": "string", "format": "f"}),
            ),
            (
                "a field that may be null",
                json!({"type": "object", "nullable": true, "properties": {"a": {}}}),
                json!({}),
            ),
            (
                "a field that keeps unknown ones",
                json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}),
                json!({"x-kubernetes-preserve-unknown-fields": true}),
            ),
            (
                "nested fields",
                json!({"type": "array", "items": {"additionalProperties": reference}}),
                json!({"type": "array", "items": {"additionalProperties":
                    {"$ref": "#/definitions/a.B"}}}),
            ),
            ("a list of anything", json!({"type": "array"}), json!({})),
        ] {
            let mut schema = v3;
            downgrade(&mut schema);
            assert_eq!(schema, v2, "{name}");
        }
    }

    #[test]
    fn every_reference_of_the_document_leads_somewhere() {
        let document = v2_document([]);
        let text = document.to_string();
        let mut seen = 0;
        for reference in text.split("\"$ref\":\"#/definitions/").skip(1) {
            let name = reference.split('"').next().unwrap();
            assert!(document["definitions"][name].is_object(), "{name}");
            seen += 1;
        }
        assert!(seen > 500, "{seen}");
        assert!(!text.contains("#/components/"));
        let pods = &document["paths"]["/api/v1/namespaces/{namespace}/pods/{name}"];
        assert_eq!(pods["patch"]["parameters"][0]["type"], "string");
    }

    #[test]
    fn custom_groups_are_in_it() {
        let custom = json!({
            "paths": {"/apis/example.com/v1/widgets": {"get": {}}},
            "components": {"schemas": {"com.example.v1.Widget": {"type": "object"}}},
        });
        let document = v2_document([custom.to_string().as_bytes()]);
        assert_eq!(
            document["definitions"]["com.example.v1.Widget"]["type"],
            "object"
        );
        assert!(document["paths"]["/apis/example.com/v1/widgets"].is_object());
    }

    #[test]
    fn the_protobuf_form_is_what_gnostic_reads() {
        let document = json!({
            "swagger": "2.0",
            "info": {"title": "t", "version": "v"},
            "paths": {"/a": {"patch": {
                "parameters": [{"in": "query", "name": "dryRun", "type": "string"}],
                "x-kubernetes-group-version-kind": {"kind": "A"},
            }}},
            "definitions": {"A": {"type": "object", "properties": {"b": {"$ref": "#/definitions/A"}}}},
        });
        let bytes = v2_protobuf(&document);
        insta::assert_snapshot!(outline(&bytes, 0));
    }

    /// Every field as number and value: as a message where the bytes are one, else as text.
    fn outline(bytes: &[u8], depth: usize) -> String {
        fields(bytes)
            .unwrap()
            .into_iter()
            .map(|(field, value)| {
                let indent = "  ".repeat(depth);
                let text = String::from_utf8_lossy(value);
                match fields(value) {
                    Some(_) if !text.chars().all(|c| c.is_ascii_graphic()) => {
                        format!("{indent}{field}\n{}", outline(value, depth + 1))
                    }
                    _ => format!("{indent}{field} {text}\n"),
                }
            })
            .collect()
    }

    fn fields(mut bytes: &[u8]) -> Option<Vec<(u64, &[u8])>> {
        let mut found = Vec::new();
        while !bytes.is_empty() {
            let tag = varint(&mut bytes)?;
            if tag & 7 != 2 {
                return None;
            }
            let length = usize::try_from(varint(&mut bytes)?).ok()?;
            let (value, rest) = bytes.split_at_checked(length)?;
            bytes = rest;
            found.push((tag >> 3, value));
        }
        Some(found)
    }

    fn varint(bytes: &mut &[u8]) -> Option<u64> {
        let mut number = 0;
        for shift in 0..5 {
            let (&byte, rest) = bytes.split_first()?;
            *bytes = rest;
            number |= u64::from(byte & 0x7f) << (7 * shift);
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }
}
