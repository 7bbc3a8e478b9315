//! Validation errors that name a field, in the words of kube-apiserver.
//!
//! A [`FieldError`] is one line of a `422 Invalid` answer; [`invalid_status`] builds the whole
//! `Status` object, and [`Path`] builds the field paths (`spec.containers[0].name`).

use std::fmt;

use serde_json::{Value, json};

/// What is wrong with a field. The variants are the cause reasons of a `Status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FieldErrorKind {
    /// A reference leads nowhere.
    NotFound,
    /// The field has to be set.
    Required,
    /// A value that must be unique occurs twice.
    Duplicate,
    /// The value breaks a rule.
    Invalid,
    /// The value is not one of an enumeration.
    NotSupported,
    /// The field may not be set, or not be changed.
    Forbidden,
    /// A string or list is too long.
    TooLong,
    /// A list or map has too many items.
    TooMany,
    /// The value has the wrong JSON type.
    TypeInvalid,
    /// The check itself failed.
    Internal,
}

impl FieldErrorKind {
    /// The machine-readable reason used in `details.causes[].reason`.
    pub fn reason(self) -> &'static str {
        match self {
            Self::NotFound => "FieldValueNotFound",
            Self::Required => "FieldValueRequired",
            Self::Duplicate => "FieldValueDuplicate",
            Self::Invalid => "FieldValueInvalid",
            Self::NotSupported => "FieldValueNotSupported",
            Self::Forbidden => "FieldValueForbidden",
            Self::TooLong => "FieldValueTooLong",
            Self::TooMany => "FieldValueTooMany",
            Self::TypeInvalid => "FieldValueTypeInvalid",
            Self::Internal => "InternalError",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::NotFound => "Not found",
            Self::Required => "Required value",
            Self::Duplicate => "Duplicate value",
            Self::Invalid | Self::TypeInvalid => "Invalid value",
            Self::NotSupported => "Unsupported value",
            Self::Forbidden => "Forbidden",
            Self::TooLong => "Too long",
            Self::TooMany => "Too many",
            Self::Internal => "Internal error",
        }
    }
}

/// One complaint about one field.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldError {
    /// What is wrong.
    pub kind: FieldErrorKind,
    /// Where, as `spec.containers[0].name`; empty for the whole object.
    pub field: String,
    /// The complaint without the field, as in `details.causes[].message`.
    pub message: String,
}

impl FieldError {
    /// `Invalid value: VALUE: DETAIL`.
    pub fn invalid(field: impl fmt::Display, value: &Value, detail: impl fmt::Display) -> Self {
        Self::with_value(FieldErrorKind::Invalid, field, value, &detail.to_string())
    }

    /// `Invalid value: SHOWN: DETAIL`, where a value is shown otherwise than as our JSON.
    pub fn invalid_as(
        field: impl fmt::Display,
        shown: impl fmt::Display,
        detail: impl fmt::Display,
    ) -> Self {
        let shown = format!("Invalid value: {shown}: {detail}");
        Self {
            kind: FieldErrorKind::Invalid,
            field: field.to_string(),
            message: shown.trim_end_matches(": ").to_owned(),
        }
    }

    /// `Invalid value: VALUE: DETAIL`, where the JSON type is what is wrong.
    pub fn type_invalid(
        field: impl fmt::Display,
        value: &Value,
        detail: impl fmt::Display,
    ) -> Self {
        Self::with_value(
            FieldErrorKind::TypeInvalid,
            field,
            value,
            &detail.to_string(),
        )
    }

    /// `Required value` or `Required value: DETAIL`.
    pub fn required(field: impl fmt::Display, detail: impl fmt::Display) -> Self {
        Self::plain(FieldErrorKind::Required, field, &detail.to_string())
    }

    /// `Forbidden: DETAIL`.
    pub fn forbidden(field: impl fmt::Display, detail: impl fmt::Display) -> Self {
        Self::plain(FieldErrorKind::Forbidden, field, &detail.to_string())
    }

    /// `Internal error: DETAIL`.
    pub fn internal(field: impl fmt::Display, detail: impl fmt::Display) -> Self {
        Self::plain(FieldErrorKind::Internal, field, &detail.to_string())
    }

    /// `Duplicate value: VALUE`.
    pub fn duplicate(field: impl fmt::Display, value: &Value) -> Self {
        Self::with_value(FieldErrorKind::Duplicate, field, value, "")
    }

    /// `Not found: VALUE`.
    pub fn not_found(field: impl fmt::Display, value: &Value) -> Self {
        Self::with_value(FieldErrorKind::NotFound, field, value, "")
    }

    /// `Unsupported value: VALUE: supported values: "A", "B"`, in the order given.
    pub fn not_supported<S: AsRef<str>>(
        field: impl fmt::Display,
        value: &Value,
        supported: impl IntoIterator<Item = S>,
    ) -> Self {
        let quoted: Vec<String> = supported
            .into_iter()
            .map(|text| quote(text.as_ref()))
            .collect();
        let detail = if quoted.is_empty() {
            String::new()
        } else {
            format!("supported values: {}", quoted.join(", "))
        };
        Self::with_value(FieldErrorKind::NotSupported, field, value, &detail)
    }

    /// `Too long: may not be more than LIMIT bytes`.
    pub fn too_long(field: impl fmt::Display, limit: usize) -> Self {
        let unit = if limit == 1 { "byte" } else { "bytes" };
        Self::plain(
            FieldErrorKind::TooLong,
            field,
            &format!("may not be more than {limit} {unit}"),
        )
    }

    /// `Too many: ACTUAL: must have at most LIMIT items`.
    pub fn too_many(field: impl fmt::Display, actual: usize, limit: usize) -> Self {
        let unit = if limit == 1 { "item" } else { "items" };
        Self {
            kind: FieldErrorKind::TooMany,
            field: field.to_string(),
            message: format!("Too many: {actual}: must have at most {limit} {unit}"),
        }
    }

    /// This error as an element of `details.causes`.
    pub fn cause(&self) -> Value {
        json!({"reason": self.kind.reason(), "message": self.message, "field": self.field})
    }

    fn plain(kind: FieldErrorKind, field: impl fmt::Display, detail: &str) -> Self {
        let message = if detail.is_empty() {
            kind.title().to_owned()
        } else {
            format!("{}: {detail}", kind.title())
        };
        Self {
            kind,
            field: field.to_string(),
            message,
        }
    }

    fn with_value(
        kind: FieldErrorKind,
        field: impl fmt::Display,
        value: &Value,
        detail: &str,
    ) -> Self {
        let mut message = format!("{}: {}", kind.title(), go_value(value));
        if !detail.is_empty() {
            message.push_str(": ");
            message.push_str(detail);
        }
        Self {
            kind,
            field: field.to_string(),
            message,
        }
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.field.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{}: {}", self.field, self.message)
        }
    }
}

impl std::error::Error for FieldError {}

/// A field path under construction. Cheap: it borrows its parents.
#[derive(Debug, Clone, Copy)]
pub struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    step: Step<'a>,
}

#[derive(Debug, Clone, Copy)]
enum Step<'a> {
    Root,
    Child(&'a str),
    Index(usize),
    Key(&'a str),
}

impl<'a> Path<'a> {
    /// The whole object.
    pub const ROOT: Path<'static> = Path {
        parent: None,
        step: Step::Root,
    };

    /// A top-level field.
    pub fn new(name: &'a str) -> Self {
        Self {
            parent: None,
            step: Step::Child(name),
        }
    }

    /// A field of this one.
    pub fn child<'b>(&'b self, name: &'b str) -> Path<'b> {
        Path {
            parent: Some(self),
            step: Step::Child(name),
        }
    }

    /// An item of this list.
    pub fn index(&self, index: usize) -> Path<'_> {
        Path {
            parent: Some(self),
            step: Step::Index(index),
        }
    }

    /// An entry of this map.
    pub fn key<'b>(&'b self, key: &'b str) -> Path<'b> {
        Path {
            parent: Some(self),
            step: Step::Key(key),
        }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
        }
        match self.step {
            Step::Root => Ok(()),
            Step::Child(name) => {
                let first = match self.parent {
                    None => true,
                    Some(parent) => matches!(parent.step, Step::Root),
                };
                if first {
                    f.write_str(name)
                } else {
                    write!(f, ".{name}")
                }
            }
            Step::Index(index) => write!(f, "[{index}]"),
            Step::Key(key) => write!(f, "[{key}]"),
        }
    }
}

/// The `Status` of a `422 Invalid` answer for these errors.
pub fn invalid_status(group: &str, kind: &str, name: &str, errors: &[FieldError]) -> Value {
    let qualified = if group.is_empty() {
        kind.to_owned()
    } else {
        format!("{kind}.{group}")
    };
    let mut details = json!({
        "name": name,
        "kind": kind,
        "causes": errors.iter().map(FieldError::cause).collect::<Vec<_>>(),
    });
    if !group.is_empty() {
        details["group"] = Value::from(group);
    }
    json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": format!("{qualified} {} is invalid: {}", quote(name), join(errors)),
        "reason": "Invalid",
        "details": details,
        "code": 422,
    })
}

/// Several errors as one text: a single one stands alone, more are bracketed. Repeats are dropped.
pub fn join(errors: &[FieldError]) -> String {
    let mut texts: Vec<String> = Vec::new();
    for error in errors {
        let text = error.to_string();
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    match texts.as_slice() {
        [] => "<nil>".to_owned(),
        [one] => one.clone(),
        many => format!("[{}]", many.join(", ")),
    }
}

/// A text as Go's `%q` prints it.
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            c if (c as u32) < 0x20 || c as u32 == 0x7f => {
                out.push_str(&format!("\\x{:02x}", c as u32));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A JSON value as it appears inside a message: strings quoted, scalars plain, the rest as JSON.
fn go_value(value: &Value) -> String {
    match value {
        Value::String(text) => quote(text),
        Value::Null => "null".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_print_like_upstream() {
        let spec = Path::new("spec");
        let containers = spec.child("containers");
        let first = containers.index(0);
        assert_eq!(first.child("name").to_string(), "spec.containers[0].name");
        let labels = Path::new("metadata");
        let labels = labels.child("labels");
        assert_eq!(labels.key("a/b").to_string(), "metadata.labels[a/b]");
        assert_eq!(Path::ROOT.child("spec").to_string(), "spec");
    }

    #[test]
    fn one_error_stands_alone_and_several_are_bracketed() {
        let one = FieldError::required("spec.x", "");
        let two = FieldError::not_supported("spec.y", &json!("Z"), ["A", "B"]);
        assert_eq!(join(std::slice::from_ref(&one)), "spec.x: Required value");
        assert_eq!(
            join(&[one, two]),
            "[spec.x: Required value, spec.y: Unsupported value: \"Z\": supported values: \"A\", \"B\"]"
        );
    }
}
