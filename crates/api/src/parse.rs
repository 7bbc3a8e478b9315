//! Text to documents and back: YAML as kubectl reads it, and JSON.
//!
//! One crate and one set of options both ways. Laws: `0644` is octal and `yes` is true, as for
//! kubectl; a number without a fraction is a whole number however it was written; a key that
//! occurs twice is an error with its position, because one of the two is silently lost otherwise;
//! what is written reads back equal in every YAML 1.1 or 1.2 reader.

mod lines;

use std::fmt;

use serde::Serialize;
use serde_json::{Number, Value};

pub use self::lines::Lines;

/// Why a text is not a sequence of documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    /// The line, counted from 1, when known.
    pub line: Option<u64>,
    /// The column, counted from 1, when known.
    pub column: Option<u64>,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.line, self.column) {
            (Some(line), Some(column)) => {
                write!(f, "line {line}, column {column}: {}", self.message)
            }
            _ => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for ParseError {}

/// Why a value cannot be written as YAML.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot be written as YAML: {0}")]
pub struct WriteError(String);

/// Reads every document of a YAML or JSON text. Empty documents are left out.
pub fn documents(text: &str) -> Result<Vec<Value>, ParseError> {
    let options = serde_saphyr::options! {
        legacy_octal_numbers: true,
        duplicate_keys: serde_saphyr::options::DuplicateKeyPolicy::Error,
        non_finite_float_policy: serde_saphyr::options::NonFiniteFloatPolicy::Reject,
        with_snippet: false,
    };
    let mut documents: Vec<Value> = serde_saphyr::from_multiple_with_options(text, options)
        .map_err(|error| parse_error(&error))?;
    documents.iter_mut().for_each(normalize_numbers);
    Ok(documents)
}

/// Reads every object of a text: documents, with the items of lists in the place of the list.
pub fn objects(text: &str) -> Result<Vec<Value>, ParseError> {
    let mut objects = Vec::new();
    for mut document in documents(text)? {
        let is_list = document["kind"] == "List" && document["apiVersion"] == "v1";
        match document.get_mut("items").map(Value::take) {
            Some(Value::Array(items)) if is_list => objects.extend(items),
            Some(items) => {
                document["items"] = items;
                objects.push(document);
            }
            None => objects.push(document),
        }
    }
    Ok(objects)
}

/// Writes one value as YAML.
pub fn to_yaml<T: Serialize>(value: &T) -> Result<String, WriteError> {
    serde_saphyr::to_string_with_options(value, writing())
        .map_err(|error| WriteError(error.to_string()))
}

/// Writes several values as YAML documents.
pub fn to_yaml_documents<T: Serialize>(values: &[T]) -> Result<String, WriteError> {
    serde_saphyr::to_string_multiple_with_options(values, writing())
        .map_err(|error| WriteError(error.to_string()))
}

fn writing() -> serde_saphyr::SerializerOptions {
    serde_saphyr::ser_options! {
        // Folded text is hard to compare and to copy; long lines stay one line.
        folded_wrap_chars: 1 << 20,
    }
}

fn parse_error(error: &serde_saphyr::Error) -> ParseError {
    let location = error.location();
    let text = error.to_string();
    // The position is told apart from the message, and only the first line is a sentence.
    let message = text.lines().next().unwrap_or_default();
    let message = message.split(" at line ").next().unwrap_or(message);
    ParseError {
        line: location.map(|location| location.line()),
        column: location.map(|location| location.column()),
        message: for_users(message),
    }
}

/// The parser speaks to programmers where it could be told to accept something.
fn for_users(message: &str) -> String {
    let key = message.strip_prefix("duplicate mapping key: ");
    if let Some((key, _)) = key.and_then(|rest| rest.split_once(", set ")) {
        return format!("the key {key} occurs twice; remove one of the two");
    }
    if message.starts_with("budget breached") || message.starts_with("recursion limit") {
        return "is too large, too deep, or refers to itself too often for a manifest".to_owned();
    }
    if let Some((number, _)) = message.split_once(" rejected by the configured policy") {
        return format!("{number}, which no field takes; write a number, or a text in quotes");
    }
    message.to_owned()
}

/// Writes whole numbers as whole numbers, as Kubernetes does.
pub(crate) fn normalize_numbers(value: &mut Value) {
    // Beyond this magnitude not every whole number is a 64-bit float.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match value {
        Value::Number(number) => {
            let float = number.as_f64().filter(|_| number.is_f64());
            if let Some(float) = float.filter(|float| float.fract() == 0.0 && float.abs() < EXACT) {
                *number = Number::from(float as i64);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(normalize_numbers),
        Value::Object(fields) => fields.values_mut().for_each(normalize_numbers),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn yaml_is_read_as_kubectl_reads_it() {
        for (text, expected) in [
            ("a: 0644", json!({"a": 420})),
            ("a: yes", json!({"a": true})),
            ("a: 'yes'", json!({"a": "yes"})),
            ("a: 1e3", json!({"a": 1000})),
            ("a: 1.0", json!({"a": 1})),
            ("a: 0.5", json!({"a": 0.5})),
            ("a: 3.5.9", json!({"a": "3.5.9"})),
            ("a: ~", json!({"a": null})),
            (
                "x: &x {k: 1}\ny: {<<: *x}",
                json!({"x": {"k": 1}, "y": {"k": 1}}),
            ),
            ("{\"a\":\t[1, 2]}", json!({"a": [1, 2]})),
        ] {
            assert_eq!(documents(text).unwrap(), [expected], "{text}");
        }
    }

    #[test]
    fn several_documents_are_read_and_lists_are_opened() {
        let text =
            "---\nkind: A\n---\n# nothing\n---\napiVersion: v1\nkind: List\nitems: [{kind: B}]\n";
        assert_eq!(documents(text).unwrap().len(), 2);
        assert_eq!(
            objects(text).unwrap(),
            [json!({"kind": "A"}), json!({"kind": "B"})]
        );
    }

    #[test]
    fn a_key_that_occurs_twice_is_an_error_with_its_position() {
        let error = documents("spec:\n  image: a\n  cores: 1\n  image: b\n").unwrap_err();
        assert_eq!(error.line, Some(4), "{error}");
        assert_eq!(
            error.message,
            "the key image occurs twice; remove one of the two"
        );
    }

    #[test]
    fn what_no_manifest_is_like_is_refused_in_plain_words() {
        let mut laughing = vec!["a: &a [1,1,1,1,1,1,1,1,1,1]\n".to_owned()];
        for (name, before) in ('b'..='i').zip('a'..) {
            let ten = vec![format!("*{before}"); 10].join(",");
            laughing.push(format!("{name}: &{name} [{ten}]\n"));
        }
        let excessive = "is too large, too deep, or refers to itself too often for a manifest";
        for text in [
            laughing.concat(),
            "{\"a\":".repeat(5000),
            "[".repeat(20_000),
        ] {
            assert_eq!(documents(&text).unwrap_err().message, excessive);
        }
        let error = documents("cores: .nan").unwrap_err();
        assert_eq!(
            error.message,
            "non-finite float `.nan`, which no field takes; write a number, or a text in quotes"
        );
    }

    #[test]
    fn a_broken_text_is_an_error_with_its_position() {
        let error = documents("a: [1, 2\nb: 3\n").unwrap_err();
        assert!(error.line.is_some(), "{error}");
    }

    #[test]
    fn texts_that_look_like_something_else_are_quoted() {
        for text in [
            "yes",
            "on",
            "1_000",
            "0644",
            "null",
            "1e3",
            "",
            "a: b",
            "# x",
            "- a",
            "2026-01-01",
        ] {
            let yaml = to_yaml(&json!({"value": text})).unwrap();
            assert_eq!(
                documents(&yaml).unwrap(),
                [json!({"value": text})],
                "{yaml}"
            );
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let scalar = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "\\PC{0,12}".prop_map(Value::from),
            "[a-z \n:#-]{0,90}".prop_map(Value::from),
        ];
        scalar.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map("[a-zA-Z./_-]{1,8}", inner, 0..4)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn what_is_written_reads_back(value in any_json()) {
            let wrapped = json!({"value": value});
            let yaml = to_yaml(&wrapped).unwrap();
            prop_assert_eq!(documents(&yaml).unwrap(), vec![wrapped], "{}", yaml);
        }
    }
}
