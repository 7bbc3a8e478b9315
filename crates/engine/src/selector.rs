//! Whether an object belongs to a watch.
//!
//! The API decides what a watch shows; this only tells whether it is worth waiting for an object
//! to show up. A selector that cannot be read is taken to match: waiting a moment is harmless.

use crate::object::Object;

/// One requirement of a label selector.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Requirement {
    Exists(String),
    Absent(String),
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
}

/// A label selector in the API's syntax.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Selector(Vec<Requirement>);

impl Selector {
    pub(crate) fn parse(text: &str) -> Self {
        Self(split(text).into_iter().filter_map(requirement).collect())
    }

    pub(crate) fn matches(&self, object: &Object) -> bool {
        self.0.iter().all(|requirement| match requirement {
            Requirement::Exists(label) => object.label(label).is_some(),
            Requirement::Absent(label) => object.label(label).is_none(),
            Requirement::In(label, values) => object
                .label(label)
                .is_some_and(|value| values.iter().any(|wanted| wanted == value)),
            // What has no such label is not one of the values either.
            Requirement::NotIn(label, values) => object
                .label(label)
                .is_none_or(|value| values.iter().all(|other| other != value)),
        })
    }
}

/// Splits at the commas that are not inside of parentheses.
fn split(text: &str) -> Vec<&str> {
    let mut depth = 0_usize;
    let outside = |character: char| {
        match character {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        character == ',' && depth == 0
    };
    text.split(outside)
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .collect()
}

fn requirement(text: &str) -> Option<Requirement> {
    let owned = |text: &str| text.trim().to_owned();
    if let Some((label, values)) = text.split_once('(') {
        let values = values.strip_suffix(')')?.split(',').map(owned).collect();
        let mut words = label.split_whitespace();
        return match (words.next(), words.next(), words.next()) {
            (Some(label), Some("in"), None) => Some(Requirement::In(owned(label), values)),
            (Some(label), Some("notin"), None) => Some(Requirement::NotIn(owned(label), values)),
            _ => None,
        };
    }
    if let Some((label, value)) = text.split_once("!=") {
        return Some(Requirement::NotIn(owned(label), vec![owned(value)]));
    }
    if let Some((label, value)) = text.split_once('=') {
        let value = value.strip_prefix('=').unwrap_or(value);
        return Some(Requirement::In(owned(label), vec![owned(value)]));
    }
    Some(match text.strip_prefix('!') {
        Some(label) => Requirement::Absent(owned(label)),
        None => Requirement::Exists(owned(text)),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn selectors_match_as_the_api_does() {
        let object = Object::new(json!({
            "metadata": { "labels": { "app": "pi", "role": "driver" } },
        }));
        let cases = [
            ("", true),
            ("app", true),
            ("!app", false),
            ("!gone", true),
            ("app=pi", true),
            ("app==pi,role=driver", true),
            ("app=pi,role=executor", false),
            ("app!=pi", false),
            ("gone!=x", true),
            ("role in (driver, executor),app", true),
            ("role notin (driver, executor)", false),
            ("gone notin (x)", true),
            ("gone in (x)", false),
            ("what is (this)", true),
        ];
        for (selector, expected) in cases {
            assert_eq!(
                Selector::parse(selector).matches(&object),
                expected,
                "{selector}"
            );
        }
    }
}
