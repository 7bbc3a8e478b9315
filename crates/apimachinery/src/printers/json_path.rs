//! The part of JSONPath that printer columns use: fields, indices, `[*]`, and filters by equality.

use serde_json::Value;

/// A parsed path. One that cannot be parsed finds nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct JsonPath {
    steps: Option<Vec<Step>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Field(String),
    Index(i64),
    All,
    /// `?(@.path==value)`, the items whose path has (or has not) a value.
    Filter {
        path: Vec<Step>,
        equal: bool,
        value: String,
    },
}

impl JsonPath {
    pub(super) fn parse(text: &str) -> Self {
        let inner = text.trim();
        let inner = inner
            .strip_prefix('{')
            .and_then(|inner| inner.strip_suffix('}'))
            .unwrap_or(inner);
        Self {
            steps: parse_steps(inner.strip_prefix('$').unwrap_or(inner)),
        }
    }

    /// The first value the path leads to.
    pub(super) fn first<'v>(&self, object: &'v Value) -> Option<&'v Value> {
        follow(self.steps.as_ref()?, object)
    }
}

fn follow<'v>(steps: &[Step], value: &'v Value) -> Option<&'v Value> {
    let Some((step, rest)) = steps.split_first() else {
        return Some(value);
    };
    match step {
        Step::Field(name) => follow(rest, value.get(name)?),
        Step::Index(index) => {
            let items = value.as_array()?;
            let at = if *index < 0 {
                items.len() as i64 + index
            } else {
                *index
            };
            follow(rest, items.get(usize::try_from(at).ok()?)?)
        }
        Step::All => match value {
            Value::Array(items) => items.iter().find_map(|item| follow(rest, item)),
            Value::Object(entries) => entries.values().find_map(|item| follow(rest, item)),
            _ => None,
        },
        Step::Filter {
            path,
            equal,
            value: wanted,
        } => value.as_array()?.iter().find_map(|item| {
            let found = follow(path, item);
            let text = found.map(|found| {
                found
                    .as_str()
                    .map_or_else(|| found.to_string(), str::to_owned)
            });
            let matches = (text.as_deref() == Some(wanted)) == *equal;
            matches.then(|| follow(rest, item)).flatten()
        }),
    }
}

fn parse_steps(text: &str) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if first == '[' {
            let end = closing(rest)?;
            steps.push(bracket(rest.get(1..end)?)?);
            rest = rest.get(end + 1..)?;
        } else {
            rest = rest.strip_prefix('.').unwrap_or(rest);
            let (name, tail) = field(rest);
            if name.is_empty() {
                // A lone dot is the object itself; two dots are not supported.
                if tail.is_empty() && steps.is_empty() {
                    break;
                }
                if tail.starts_with('[') {
                    rest = tail;
                    continue;
                }
                return None;
            }
            steps.push(if name == "*" {
                Step::All
            } else {
                Step::Field(name)
            });
            rest = tail;
        }
    }
    Some(steps)
}

/// A field name up to the next dot or bracket; a backslash protects one character.
fn field(text: &str) -> (String, &str) {
    let mut name = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => {
                if let Some((_, next)) = chars.next() {
                    name.push(next);
                }
            }
            '.' | '[' => return (name, &text[at..]),
            c => name.push(c),
        }
    }
    (name, "")
}

/// Where the bracket that opens the text closes, quotes and inner brackets observed.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0;
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(open), c) => {
                if c == open {
                    quote = None;
                }
            }
            (None, '\'' | '"') => quote = Some(c),
            (None, '[') => depth += 1,
            (None, ']') => {
                depth -= 1;
                if depth == 0 {
                    return Some(at);
                }
            }
            (None, _) => {}
        }
    }
    None
}

fn bracket(inner: &str) -> Option<Step> {
    let inner = inner.trim();
    if inner == "*" {
        return Some(Step::All);
    }
    if let Some(name) = unquoted(inner) {
        return Some(Step::Field(name.to_owned()));
    }
    if let Ok(index) = inner.parse() {
        return Some(Step::Index(index));
    }
    let condition = inner.strip_prefix("?(")?.strip_suffix(')')?.trim();
    let (path, equal, value) = match (condition.split_once("=="), condition.split_once("!=")) {
        (Some((path, value)), _) => (path, true, value),
        (None, Some((path, value))) => (path, false, value),
        (None, None) => return None,
    };
    let path = parse_steps(path.trim().strip_prefix('@')?)?;
    let value = value.trim();
    Some(Step::Filter {
        path,
        equal,
        value: unquoted(value).unwrap_or(value).to_owned(),
    })
}

fn unquoted(text: &str) -> Option<&str> {
    ['\'', '"']
        .into_iter()
        .find_map(|quote| text.strip_prefix(quote)?.strip_suffix(quote))
}
