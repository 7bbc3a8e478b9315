//! Where in an object something is wrong, and what.
//!
//! A [`FieldPath`] is written the way Kubernetes writes it (`spec.driver.env[0].name`,
//! `spec.sparkConf[spark.master]`), so that a message can be pasted into a search or an editor. A
//! [`FieldError`] names the field, shows the value, and says what to do.

use std::fmt::{self, Write as _};

use serde_json::Value;

/// A place inside an object.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct FieldPath(String);

impl FieldPath {
    /// The object itself.
    pub fn root() -> Self {
        Self::default()
    }

    /// A path that starts at a named top-level field.
    pub fn new(field: &str) -> Self {
        Self::root().field(field)
    }

    /// A field of the object at this place.
    #[must_use]
    pub fn field(&self, name: &str) -> Self {
        if self.0.is_empty() {
            Self(name.to_owned())
        } else {
            Self(format!("{}.{name}", self.0))
        }
    }

    /// An element of the list at this place.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        Self(format!("{}[{index}]", self.0))
    }

    /// An entry of the map at this place; map keys may hold dots, so they stand in brackets.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        Self(format!("{}[{key}]", self.0))
    }

    /// Puts a path that was found inside of this place behind it.
    #[must_use]
    pub fn join(&self, inner: &str) -> Self {
        match (self.0.is_empty(), inner) {
            (_, "" | ".") => self.clone(),
            (true, inner) => Self(inner.to_owned()),
            (false, inner) if inner.starts_with('[') => Self(format!("{}{inner}", self.0)),
            (false, inner) => Self(format!("{}.{inner}", self.0)),
        }
    }

    /// The path as text; empty for the object itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LIMIT: usize = 250;
        if self.0.is_empty() {
            return f.write_str("(the object)");
        }
        write_visibly(f, &self.0, LIMIT)
    }
}

/// Writes a text that somebody gave into a message: what would break the line, or make a terminal
/// show something else than what is there, is written as its code, and what is too long is cut.
fn write_visibly(f: &mut fmt::Formatter<'_>, text: &str, limit: usize) -> fmt::Result {
    for (count, c) in text.chars().enumerate() {
        if count == limit {
            return f.write_str("...");
        }
        if c.is_control() || turns_the_line(c) {
            write!(f, "{}", c.escape_unicode())?;
        } else {
            f.write_char(c)?;
        }
    }
    Ok(())
}

/// Unicode's marks for the direction of writing, which hide in what they turn around.
fn turns_the_line(c: char) -> bool {
    matches!(
        c,
        '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    )
}

/// What kind of mistake a [`FieldError`] reports; tools may match on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Problem {
    /// No such field exists here.
    Unknown,
    /// The value is of another JSON type.
    WrongType,
    /// The field must be given.
    Missing,
    /// The value is of the right type but cannot be meant.
    Invalid,
    /// The field, or this value of it, may not be set here.
    Forbidden,
}

/// One mistake in one field.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldError {
    /// Where.
    pub path: FieldPath,
    /// What kind of mistake.
    pub problem: Problem,
    /// The value that was found, when showing it helps.
    pub value: Option<Value>,
    /// What is wrong and what to do, as a sentence fragment.
    pub detail: String,
}

impl FieldError {
    /// The field does not exist.
    pub fn unknown(path: FieldPath, detail: impl Into<String>) -> Self {
        Self {
            path,
            problem: Problem::Unknown,
            value: None,
            detail: detail.into(),
        }
    }

    /// The value is of another type.
    pub fn wrong_type(path: FieldPath, value: Value, detail: impl Into<String>) -> Self {
        Self {
            path,
            problem: Problem::WrongType,
            value: Some(value),
            detail: detail.into(),
        }
    }

    /// The field must be given.
    pub fn missing(path: FieldPath, detail: impl Into<String>) -> Self {
        Self {
            path,
            problem: Problem::Missing,
            value: None,
            detail: detail.into(),
        }
    }

    /// The value cannot be meant.
    pub fn invalid(path: FieldPath, value: impl Into<Value>, detail: impl Into<String>) -> Self {
        Self {
            path,
            problem: Problem::Invalid,
            value: Some(value.into()),
            detail: detail.into(),
        }
    }

    /// The field may not be set.
    pub fn forbidden(path: FieldPath, detail: impl Into<String>) -> Self {
        Self {
            path,
            problem: Problem::Forbidden,
            value: None,
            detail: detail.into(),
        }
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.path)?;
        if let Some(value) = &self.value {
            write!(f, "{}: ", Excerpt(value))?;
        }
        f.write_str(&self.detail)
    }
}

impl std::error::Error for FieldError {}

/// A field of an older API that is not taken over as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The field, by its name in that API.
    pub field: FieldPath,
    /// What became of it, as a sentence fragment.
    pub what: String,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.what)
    }
}

/// A value shortened so that a message stays one readable line.
struct Excerpt<'a>(&'a Value);

impl fmt::Display for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LIMIT: usize = 60;
        match self.0 {
            Value::Object(_) => f.write_str("{...}"),
            Value::Array(_) => f.write_str("[...]"),
            scalar => write_visibly(f, &scalar.to_string(), LIMIT),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_written_as_kubernetes_writes_them() {
        let spec = FieldPath::new("spec");
        assert_eq!(
            spec.field("driver").field("env").index(2).as_str(),
            "spec.driver.env[2]"
        );
        assert_eq!(
            spec.field("sparkConf").key("spark.master").as_str(),
            "spec.sparkConf[spark.master]"
        );
        assert_eq!(spec.join("[0].name").as_str(), "spec[0].name");
        assert_eq!(spec.join(".").as_str(), "spec");
        assert_eq!(FieldPath::root().to_string(), "(the object)");
    }

    #[test]
    fn what_a_terminal_would_not_show_is_written_as_its_code_and_a_long_name_is_cut() {
        let conf = FieldPath::new("spec").field("sparkConf");
        let error = FieldError::invalid(conf.key("a\n\u{1b}[2Jb"), "x\u{202e}y", "is wrong");
        assert_eq!(
            error.to_string(),
            "spec.sparkConf[a\\u{a}\\u{1b}[2Jb]: \"x\\u{202e}y\": is wrong"
        );
        let long = FieldError::unknown(conf.key(&"k".repeat(10_000)), "unknown field");
        assert!(long.to_string().len() < 300, "{long}");
        // What people write is left as it is.
        assert_eq!(
            conf.key("größe \"a\"").to_string(),
            "spec.sparkConf[größe \"a\"]"
        );
    }

    #[test]
    fn a_long_value_is_cut_in_the_message() {
        let error = FieldError::invalid(FieldPath::new("a"), "x".repeat(200), "too long");
        assert!(error.to_string().len() < 100, "{error}");
    }
}
