//! Label selectors in the API's syntax: which objects a watch shows, and which an engine is
//! responsible for.
//!
//! Law: what the API takes as a selector is read here with the same meaning, and what it refuses is
//! refused with the part that is wrong, because a selector that is read as something else would
//! give an operator the wrong objects.

use std::fmt;
use std::str::FromStr;

use serde_json::{Value, json};
use windlass_api::names::{LabelValue, check_label_key};

use crate::object::Object;

/// A label selector; without requirements it matches everything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selector(Vec<Requirement>);

/// What all of a selector's requirements ask of one label each.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Requirement {
    Exists(String),
    Absent(String),
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Above(String, i64),
    Below(String, i64),
}

/// Why a text is no label selector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{part:?} {problem}; write for example team=etl, team!=etl, team in (etl, ml), or team")]
pub struct SelectorError {
    part: String,
    problem: String,
}

impl Selector {
    /// Whether it matches these labels.
    pub fn matches<'a>(&self, label: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.0.iter().all(|requirement| match requirement {
            Requirement::Exists(key) => label(key).is_some(),
            Requirement::Absent(key) => label(key).is_none(),
            Requirement::In(key, values) => {
                label(key).is_some_and(|value| values.iter().any(|wanted| wanted == value))
            }
            // What has no such label is not one of the values either.
            Requirement::NotIn(key, values) => {
                label(key).is_none_or(|value| values.iter().all(|other| other != value))
            }
            Requirement::Above(key, least) => number(label(key)).is_some_and(|it| it > *least),
            Requirement::Below(key, most) => number(label(key)).is_some_and(|it| it < *most),
        })
    }

    /// Whether it matches the labels of this object.
    pub fn selects(&self, object: &Object) -> bool {
        self.matches(|key| object.label(key))
    }

    /// Whether it matches everything.
    pub fn is_everything(&self) -> bool {
        self.0.is_empty()
    }

    /// As a field of a manifest (Kubernetes LabelSelector), which has no comparisons of numbers.
    pub fn as_field(&self) -> Option<Value> {
        let expression = |key: &str, operator: &str, values: Option<&[String]>| {
            let mut expression = json!({ "key": key, "operator": operator });
            if let Some(values) = values {
                expression["values"] = json!(values);
            }
            expression
        };
        let expressions = self.0.iter().map(|requirement| match requirement {
            Requirement::Exists(key) => Some(expression(key, "Exists", None)),
            Requirement::Absent(key) => Some(expression(key, "DoesNotExist", None)),
            Requirement::In(key, values) => Some(expression(key, "In", Some(values))),
            Requirement::NotIn(key, values) => Some(expression(key, "NotIn", Some(values))),
            Requirement::Above(..) | Requirement::Below(..) => None,
        });
        let expressions = expressions.collect::<Option<Vec<Value>>>()?;
        Some(json!({ "matchExpressions": expressions }))
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, requirement) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            match requirement {
                Requirement::Exists(key) => f.write_str(key)?,
                Requirement::Absent(key) => write!(f, "!{key}")?,
                Requirement::In(key, values) => match &values[..] {
                    [value] => write!(f, "{key}={value}")?,
                    values => write!(f, "{key} in ({})", values.join(","))?,
                },
                Requirement::NotIn(key, values) => match &values[..] {
                    [value] => write!(f, "{key}!={value}")?,
                    values => write!(f, "{key} notin ({})", values.join(","))?,
                },
                Requirement::Above(key, least) => write!(f, "{key}>{least}")?,
                Requirement::Below(key, most) => write!(f, "{key}<{most}")?,
            }
        }
        Ok(())
    }
}

impl FromStr for Selector {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, SelectorError> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let parts = split(text).into_iter().map(str::trim);
        parts.map(requirement).collect::<Result<_, _>>().map(Self)
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
    text.split(outside).collect()
}

fn requirement(part: &str) -> Result<Requirement, SelectorError> {
    let wrong = |problem: &str| SelectorError {
        part: part.to_owned(),
        problem: problem.to_owned(),
    };
    let key = |text: &str| {
        let key = text.trim();
        match check_label_key(key) {
            Ok(()) => Ok(key.to_owned()),
            Err(error) => Err(wrong(&format!("names no label: {error}"))),
        }
    };
    let value = |text: &str| {
        let value = text.trim();
        if LabelValue::new(value).is_ok() {
            Ok(value.to_owned())
        } else {
            Err(wrong("has a value that no label can have"))
        }
    };
    let amount = |text: &str| {
        let amount = text.trim().parse::<i64>();
        amount.map_err(|_| wrong("compares with what is no whole number"))
    };
    if let Some((label, values)) = part.split_once('(') {
        let values = values.trim_end().strip_suffix(')');
        let values = values.ok_or_else(|| wrong("has a parenthesis that is not closed"))?;
        let values = values.split(',').map(value).collect::<Result<_, _>>()?;
        let mut words = label.split_whitespace();
        return match (words.next(), words.next(), words.next()) {
            (Some(label), Some("in"), None) => Ok(Requirement::In(key(label)?, values)),
            (Some(label), Some("notin"), None) => Ok(Requirement::NotIn(key(label)?, values)),
            _ => Err(wrong("is neither a list of `in` nor of `notin`")),
        };
    }
    if let Some((label, other)) = part.split_once("!=") {
        return Ok(Requirement::NotIn(key(label)?, vec![value(other)?]));
    }
    if let Some((label, wanted)) = part.split_once('=') {
        let wanted = wanted.strip_prefix('=').unwrap_or(wanted);
        return Ok(Requirement::In(key(label)?, vec![value(wanted)?]));
    }
    if let Some((label, least)) = part.split_once('>') {
        return Ok(Requirement::Above(key(label)?, amount(least)?));
    }
    if let Some((label, most)) = part.split_once('<') {
        return Ok(Requirement::Below(key(label)?, amount(most)?));
    }
    match part.strip_prefix('!') {
        Some(label) => key(label).map(Requirement::Absent),
        None => key(part).map(Requirement::Exists),
    }
}

fn number(value: Option<&str>) -> Option<i64> {
    value?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_match_as_the_api_does() {
        let object = Object::new(json!({
            "metadata": { "labels": { "app": "pi", "role": "driver", "size": "8", "bare": "" } },
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
            ("bare=", true),
            ("size>7", true),
            ("size > 8", false),
            ("size<9", true),
            ("app<9", false),
            ("gone>1", false),
        ];
        for (text, expected) in cases {
            let selector: Selector = text.parse().unwrap();
            assert_eq!(selector.selects(&object), expected, "{text}");
            assert_eq!(selector.to_string().parse::<Selector>(), Ok(selector));
        }
    }

    #[test]
    fn what_the_api_would_not_take_is_refused_with_the_part_that_is_wrong() {
        for (text, part, problem) in [
            ("what is (this)", "what is (this)", "neither a list of `in`"),
            ("team in (a", "team in (a", "not closed"),
            ("team=etl,,", "", "names no label"),
            ("-team=etl", "-team=etl", "names no label"),
            ("team=e t l", "team=e t l", "no label can have"),
            ("size>many", "size>many", "no whole number"),
            ("a b", "a b", "names no label"),
        ] {
            let error = text.parse::<Selector>().unwrap_err();
            assert_eq!(error.part, part, "{text}");
            let told = error.to_string();
            assert!(
                told.contains(problem) && told.contains("for example"),
                "{told}"
            );
        }
    }

    #[test]
    fn a_selector_in_a_manifest_says_the_same() {
        let field = |text: &str| text.parse::<Selector>().unwrap().as_field();
        assert_eq!(
            field("team=etl,!old,tier notin (a,b),x"),
            Some(json!({ "matchExpressions": [
                { "key": "team", "operator": "In", "values": ["etl"] },
                { "key": "old", "operator": "DoesNotExist" },
                { "key": "tier", "operator": "NotIn", "values": ["a", "b"] },
                { "key": "x", "operator": "Exists" },
            ]}))
        );
        assert_eq!(field("size>3"), None);
    }
}
