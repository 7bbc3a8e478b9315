//! `configcli --get a.b.c`: what scripts get for a key.
//!
//! The rules are those of KubeDirector's configcli. A key walks down objects; a reference on its way
//! starts again at the top, with what is left of the key; a list of objects is one object with the
//! fields of all, the last one winning; an object at the end is the list of its keys.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;
use thiserror::Error;

/// How many references one key may follow: those of a file lead to one another at most twice.
const MOST_REFERENCES: usize = 16;

/// What is at a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// An object's keys, or the texts of a list.
    Many(Vec<String>),
    /// A text, a number, true or false.
    One(String),
    /// Null.
    Nothing,
}

/// There is nothing at a key.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("there is nothing at {0}")]
pub struct NoSuchKey(pub String);

/// As scripts read it: several texts are joined by commas.
impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Many(texts) => f.write_str(&texts.join(",")),
            Self::One(text) => f.write_str(text),
            Self::Nothing => Ok(()),
        }
    }
}

/// What is at a key of the file.
///
/// # Errors
/// When there is no such key, or references lead in a circle.
pub fn lookup(file: &Value, key: &str) -> Result<Answer, NoSuchKey> {
    let mut path: Vec<String> = key.split('.').map(str::to_owned).collect();
    for _ in 0..=MOST_REFERENCES {
        match walk(file, &path) {
            Walk::Ends(answer) => return Ok(answer),
            Walk::Continues(there) => path = there,
            Walk::Fails => break,
        }
    }
    Err(NoSuchKey(key.to_owned()))
}

enum Walk {
    Ends(Answer),
    Continues(Vec<String>),
    Fails,
}

fn walk(file: &Value, path: &[String]) -> Walk {
    let mut here = Place::At(file);
    for (index, token) in path.iter().enumerate() {
        if let Some(there) = here.reference() {
            return Walk::Continues([&there[..], &path[index..]].concat());
        }
        match here.enter(token) {
            Some(next) => here = next,
            None => return Walk::Fails,
        }
    }
    match here.reference() {
        Some(there) => Walk::Continues(there),
        None => here.answer().map_or(Walk::Fails, Walk::Ends),
    }
}

/// A place in the file.
enum Place<'a> {
    At(&'a Value),
    /// Objects of a list, as one.
    Merged(BTreeMap<&'a str, &'a Value>),
}

impl<'a> Place<'a> {
    fn of(value: &'a Value) -> Self {
        let Some(list) = value.as_array() else {
            return Self::At(value);
        };
        let mut merged = BTreeMap::new();
        for item in list {
            let Some(fields) = item.as_object() else {
                return Self::At(value);
            };
            merged.extend(fields.iter().map(|(key, value)| (key.as_str(), value)));
        }
        if list.is_empty() {
            Self::At(value)
        } else {
            Self::Merged(merged)
        }
    }

    fn enter(&self, token: &str) -> Option<Self> {
        match self {
            Self::At(value) => value.get(token).map(Self::of),
            Self::Merged(fields) => fields.get(token).copied().map(Self::of),
        }
    }

    fn reference(&self) -> Option<Vec<String>> {
        let Self::At(value) = self else {
            return None;
        };
        let path = value.get("bdvlibrefkey")?.as_array()?;
        let texts = path.iter().map(|it| it.as_str().map(str::to_owned));
        texts.collect()
    }

    fn answer(&self) -> Option<Answer> {
        match self {
            Self::Merged(fields) => Some(many(fields.keys().copied())),
            Self::At(Value::Object(fields)) => Some(many(fields.keys().map(String::as_str))),
            Self::At(Value::Array(list)) => {
                let list: Option<Vec<&str>> = list.iter().map(Value::as_str).collect();
                Some(many(list?.into_iter()))
            }
            Self::At(Value::String(text)) => Some(Answer::One(text.clone())),
            Self::At(Value::Bool(it)) => Some(Answer::One(it.to_string())),
            Self::At(Value::Number(number)) if !number.is_f64() => {
                Some(Answer::One(number.to_string()))
            }
            Self::At(Value::Number(_)) => None,
            Self::At(Value::Null) => Some(Answer::Nothing),
        }
    }
}

fn many<'k>(texts: impl Iterator<Item = &'k str>) -> Answer {
    Answer::Many(texts.map(str::to_owned).collect())
}
