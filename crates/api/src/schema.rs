//! Schemas: the small ones that CRDs are built from, and checking a value against one.
//!
//! [`check`] reports every unknown field, wrong type, missing field and value outside of an
//! enumeration at once, with full paths and the likely spelling. It reads the part of JSON schema
//! that structural CRD schemas and Kubernetes' own types use; it accepts what it does not know,
//! because the API server has the last word.

use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings, json_schema};
use serde_json::{Map, Value};

use crate::{
    field::{FieldError, FieldPath, Problem},
    quantity::Quantity,
};

/// The format of a text that no message shows.
pub(crate) const PASSWORD: &str = "password";

/// An object of a kind that Kubernetes defines; the CRD does not look inside.
pub(crate) fn optional_object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "nullable": true,
        "x-kubernetes-preserve-unknown-fields": true,
    })
}

/// A list of objects of a kind that Kubernetes defines.
pub(crate) fn objects(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "items": { "type": "object", "x-kubernetes-preserve-unknown-fields": true },
    })
}

/// A map of resource names to quantities.
pub(crate) fn quantities(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "additionalProperties": { "x-kubernetes-int-or-string": true },
    })
}

/// The full schema of a type, with the types it refers to under `$defs`.
pub(crate) fn of<T: JsonSchema>() -> Value {
    SchemaSettings::draft2020_12()
        .into_generator()
        .into_root_schema_for::<T>()
        .to_value()
}

/// Every way in which `value` does not fit `schema`.
pub fn check(schema: &Value, value: &Value, path: &FieldPath) -> Vec<FieldError> {
    let mut checker = Checker {
        root: schema,
        errors: Vec::new(),
    };
    checker.value(schema, value, path);
    checker.errors
}

struct Checker<'a> {
    root: &'a Value,
    errors: Vec<FieldError>,
}

impl<'a> Checker<'a> {
    fn value(&mut self, schema: &'a Value, value: &Value, path: &FieldPath) {
        // A null is the same as an absent field to every reader of these objects.
        if value.is_null() {
            return;
        }
        if let Some(target) = self.referred(schema) {
            if schema["$ref"]
                .as_str()
                .is_some_and(|name| name.ends_with("resource.Quantity"))
            {
                self.quantity(value, path);
            } else {
                self.value(target, value, path);
            }
            return;
        }
        if is_true(schema, "x-kubernetes-int-or-string") {
            if !value.is_string() && !value.is_number() {
                self.wrong_type(value, path, "a text or a whole number");
            }
            return;
        }
        match (expected_type(schema), value) {
            (Some("object"), Value::Object(fields)) => self.object(schema, fields, path),
            (Some("array"), Value::Array(items)) => {
                if let Some(item_schema) = schema.get("items") {
                    for (index, item) in items.iter().enumerate() {
                        self.value(item_schema, item, &path.index(index));
                    }
                }
            }
            (Some("string"), Value::String(_)) => self.enumeration(schema, value, path),
            (Some("boolean"), Value::Bool(_)) => {}
            (Some("integer"), Value::Number(number)) if has_fraction(number) => {
                self.wrong_type(value, path, "a whole number");
            }
            (Some("integer" | "number"), Value::Number(_)) => self.range(schema, value, path),
            // What was meant to be a secret is one whatever its type.
            (Some(_), _) if schema.get("format").is_some_and(|it| it == PASSWORD) => {
                let detail = "must be a text; write it in quotes";
                self.errors.push(FieldError {
                    path: path.clone(),
                    problem: Problem::WrongType,
                    value: None,
                    detail: detail.to_owned(),
                });
            }
            (Some(expected), _) => self.wrong_type(value, path, type_in_words(expected)),
            (None, _) => {}
        }
    }

    /// The schema that `schema` stands for when it only names another one.
    fn referred(&self, schema: &Value) -> Option<&'a Value> {
        let name = schema.get("$ref")?.as_str()?;
        self.root.pointer(name.strip_prefix('#')?)
    }

    fn object(&mut self, schema: &'a Value, fields: &Map<String, Value>, path: &FieldPath) {
        let known = schema.get("properties").and_then(Value::as_object);
        let others = schema
            .get("additionalProperties")
            .filter(|others| others.is_object());
        let open = is_true(schema, "x-kubernetes-preserve-unknown-fields")
            || is_true(schema, "x-kubernetes-embedded-resource")
            || (known.is_none() && others.is_none());
        for (name, value) in fields {
            match (known.and_then(|known| known.get(name)), others) {
                (Some(field_schema), _) => self.value(field_schema, value, &path.field(name)),
                (None, Some(value_schema)) => self.value(value_schema, value, &path.key(name)),
                (None, None) if open => {}
                (None, None) => {
                    let names = known.into_iter().flat_map(Map::keys).map(String::as_str);
                    let detail = match nearest(name, names) {
                        Some(nearest) => format!("unknown field; did you mean {nearest:?}?"),
                        None => "unknown field; remove it, or check where it belongs".to_owned(),
                    };
                    self.errors
                        .push(FieldError::unknown(path.field(name), detail));
                }
            }
        }
        let required = schema.get("required").and_then(Value::as_array);
        for name in required.into_iter().flatten().filter_map(Value::as_str) {
            if fields.get(name).is_none_or(Value::is_null) {
                self.errors
                    .push(FieldError::missing(path.field(name), "must be given"));
            }
        }
    }

    fn enumeration(&mut self, schema: &Value, value: &Value, path: &FieldPath) {
        let Some(allowed) = schema.get("enum").and_then(Value::as_array) else {
            return;
        };
        if allowed.contains(value) {
            return;
        }
        let names: Vec<&str> = allowed.iter().filter_map(Value::as_str).collect();
        let given = value.as_str().unwrap_or_default();
        let detail = match nearest(given, names.iter().copied()) {
            Some(nearest) => format!(
                "must be one of {}; did you mean {nearest}?",
                names.join(", ")
            ),
            None => format!("must be one of {}", names.join(", ")),
        };
        self.errors
            .push(FieldError::invalid(path.clone(), value.clone(), detail));
    }

    fn range(&mut self, schema: &Value, value: &Value, path: &FieldPath) {
        let limit = |name: &str| schema.get(name).and_then(Value::as_f64);
        let number = value.as_f64().unwrap_or_default();
        let format = schema.get("format").and_then(Value::as_str);
        let detail = match (limit("minimum"), limit("maximum")) {
            (Some(least), _) if number < least => format!("must be at least {least}"),
            (_, Some(most)) if number > most => format!("must be at most {most}"),
            _ => match whole_numbers(format) {
                Some((least, _)) if below(value, least) => format!("must be at least {least}"),
                Some((_, most)) if above(value, most) => format!("must be at most {most}"),
                _ => return,
            },
        };
        self.errors
            .push(FieldError::invalid(path.clone(), value.clone(), detail));
    }

    fn quantity(&mut self, value: &Value, path: &FieldPath) {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => return self.wrong_type(value, path, "a quantity"),
        };
        if let Err(error) = text.parse::<Quantity>() {
            self.errors.push(FieldError::invalid(
                path.clone(),
                value.clone(),
                error.to_string(),
            ));
        }
    }

    fn wrong_type(&mut self, value: &Value, path: &FieldPath, expected: &str) {
        let hint = match value {
            Value::Number(_) | Value::Bool(_) if expected == "a text" => {
                format!("; write \"{value}\", in quotes")
            }
            Value::String(text) if is_plain_scalar(text) && expected != "a text" => {
                format!("; write {text}, without quotes")
            }
            _ => String::new(),
        };
        let found = match value {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::String(_) => "a text",
            Value::Array(_) => "a list",
            Value::Object(_) => "an object",
        };
        let detail = format!("is {found} but must be {expected}{hint}");
        self.errors
            .push(FieldError::wrong_type(path.clone(), value.clone(), detail));
    }
}

/// Whether a number is no whole one; those that are too large for any type are read as fractions.
fn has_fraction(number: &serde_json::Number) -> bool {
    number.is_f64() && number.as_f64().is_none_or(|float| float.fract() != 0.0)
}

/// The least and the greatest number of an integer of this format.
fn whole_numbers(format: Option<&str>) -> Option<(i64, i64)> {
    match format? {
        "int32" => Some((i32::MIN.into(), i32::MAX.into())),
        "int64" => Some((i64::MIN, i64::MAX)),
        _ => None,
    }
}

fn below(value: &Value, least: i64) -> bool {
    match value.as_i64() {
        Some(number) => number < least,
        None => value.as_f64().is_some_and(|float| float < 0.0),
    }
}

fn above(value: &Value, most: i64) -> bool {
    match value.as_i64() {
        Some(number) => number > most,
        None => value.as_f64().is_some_and(|float| float > 0.0),
    }
}

fn is_true(schema: &Value, key: &str) -> bool {
    schema.get(key) == Some(&Value::Bool(true))
}

fn expected_type(schema: &Value) -> Option<&str> {
    match schema.get("type")? {
        Value::String(name) => Some(name),
        Value::Array(names) => names
            .iter()
            .filter_map(Value::as_str)
            .find(|name| *name != "null"),
        _ => None,
    }
}

fn type_in_words(name: &str) -> &str {
    match name {
        "string" => "a text",
        "integer" => "a whole number",
        "number" => "a number",
        "boolean" => "true or false",
        "array" => "a list",
        "object" => "an object",
        other => other,
    }
}

fn is_plain_scalar(text: &str) -> bool {
    matches!(text, "true" | "false") || text.parse::<i64>().is_ok()
}

/// The name that was probably meant: the same but for case and separators, else the one at the
/// smallest spelling distance if that is small for the length of the word, else one that begins
/// with the word or the other way round.
pub fn nearest<'n>(given: &str, names: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    const BEGINNING: usize = 5;
    const SHORT_NAME: usize = 3;
    let folded = fold(given);
    let mut close: Option<(usize, &str)> = None;
    let mut begun = None;
    for name in names {
        let candidate = fold(name);
        let distance = spelling_distance(&folded, &candidate);
        let tolerated = name.len().min(given.len()).div_ceil(3).min(4);
        if distance <= tolerated && close.is_none_or(|(least, _)| distance < least) {
            close = Some((distance, name));
        }
        let begins = (folded.len() >= BEGINNING && candidate.starts_with(&folded))
            || (candidate.len() >= SHORT_NAME && folded.starts_with(&candidate));
        if begins && begun.is_none() {
            begun = Some(name);
        }
    }
    close.map(|(_, name)| name).or(begun)
}

fn fold(name: &str) -> Vec<char> {
    name.chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_lowercase())
        .collect()
}

/// How many single-character edits, or swaps of neighbours, lead from one word to the other.
fn spelling_distance(a: &[char], b: &[char]) -> usize {
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, to) in b.iter().enumerate() {
            let replaced = last[j] + usize::from(from != to);
            let mut least = replaced.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *from == b[j - 1] && a[i - 1] == *to {
                least = least.min(before_last[j - 1] + 1);
            }
            row.push(least);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_likely_spelling_is_found() {
        let names = [
            "mainApplicationFile",
            "mainClass",
            "image",
            "executor",
            "cores",
            "env",
        ];
        for (given, expected) in [
            ("mainAplicationFile", Some("mainApplicationFile")),
            ("main_class", Some("mainClass")),
            ("imgae", Some("image")),
            ("Executor", Some("executor")),
            ("executors", Some("executor")),
            ("core", Some("cores")),
            ("mainApplication", Some("mainApplicationFile")),
            ("zebra", None),
            ("x", None),
        ] {
            assert_eq!(nearest(given, names), expected, "{given}");
        }
    }

    #[test]
    fn everything_wrong_is_reported_at_once() {
        let schema = json!({
            "type": "object",
            "required": ["name"],
            "properties": {
                "name": { "type": "string" },
                "size": { "type": "integer", "minimum": 1 },
                "mode": { "type": "string", "enum": ["cluster", "client"] },
                "labels": { "type": "object", "additionalProperties": { "type": "string" } },
                "open": { "type": "object", "x-kubernetes-preserve-unknown-fields": true },
                "list": { "type": "array", "items": { "type": "boolean" } },
                "many": { "type": "integer", "format": "int32" },
                "few": { "type": "integer", "format": "int32", "minimum": 0 },
                "huge": { "type": "integer", "format": "int64" },
                "half": { "type": "integer", "format": "int64" },
            },
        });
        let value = json!({
            "size": 0, "mode": "clutser", "labels": { "a": 1 }, "open": { "x": 1 },
            "list": [true, "true"], "lable": {},
            "many": 2_147_483_648_i64, "few": 1e30, "huge": -1e30, "half": 0.5,
        });
        let errors = check(&schema, &value, &FieldPath::root());
        let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
        insta::assert_snapshot!(lines.join("\n"));
    }
}
