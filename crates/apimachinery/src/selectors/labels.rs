//! Label selectors, from query text (`a=b,c in (d,e),!f`) and from selector objects.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::{Map, Value};

use super::SelectorError;
use crate::{field, names};

/// A conjunction of requirements on labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelSelector {
    /// `None` admits nothing, as an absent selector object does.
    requirements: Option<Vec<Requirement>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Requirement {
    key: String,
    operator: Operator,
    values: BTreeSet<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Equals,
    DoubleEquals,
    NotEquals,
    In,
    NotIn,
    Exists,
    DoesNotExist,
    GreaterThan,
    LessThan,
}

impl LabelSelector {
    /// The selector that admits every object.
    pub fn everything() -> Self {
        Self {
            requirements: Some(Vec::new()),
        }
    }

    /// The selector that admits no object.
    pub fn nothing() -> Self {
        Self { requirements: None }
    }

    /// Parses a `labelSelector` query parameter. Empty text admits everything.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let mut requirements = Parser::new(text).requirements()?;
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(Self {
            requirements: Some(requirements),
        })
    }

    /// Reads a `metav1.LabelSelector` object. Absent or null admits nothing, empty everything.
    pub fn from_object(selector: Option<&Value>) -> Result<Self, SelectorError> {
        let Some(selector) = selector.filter(|value| !value.is_null()) else {
            return Ok(Self::nothing());
        };
        let mut requirements = Vec::new();
        for (key, value) in selector
            .get("matchLabels")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
        {
            let value = value.as_str().unwrap_or_default().to_owned();
            requirements.push(Requirement::new(key, Operator::Equals, [value].into())?);
        }
        let expressions = selector.get("matchExpressions").and_then(Value::as_array);
        for expression in expressions.into_iter().flatten() {
            let text = |name| {
                expression
                    .get(name)
                    .and_then(Value::as_str)
                    .unwrap_or_default()
            };
            let operator = match text("operator") {
                "In" => Operator::In,
                "NotIn" => Operator::NotIn,
                "Exists" => Operator::Exists,
                "DoesNotExist" => Operator::DoesNotExist,
                other => {
                    return Err(SelectorError::new(format!(
                        "{} is not a valid label selector operator",
                        field::quote(other)
                    )));
                }
            };
            let values = expression.get("values").and_then(Value::as_array);
            let values = values
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect();
            requirements.push(Requirement::new(text("key"), operator, values)?);
        }
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(Self {
            requirements: Some(requirements),
        })
    }

    /// Reads a plain map selector, as `Service.spec.selector` is. Absent or empty admits nothing.
    pub fn from_map(selector: Option<&Value>) -> Self {
        let Some(map) = selector
            .and_then(Value::as_object)
            .filter(|map| !map.is_empty())
        else {
            return Self::nothing();
        };
        let requirements = map
            .iter()
            .map(|(key, value)| Requirement {
                key: key.clone(),
                operator: Operator::Equals,
                values: [value.as_str().unwrap_or_default().to_owned()].into(),
            })
            .collect();
        Self {
            requirements: Some(requirements),
        }
    }

    /// Whether the selector admits everything.
    pub fn is_empty(&self) -> bool {
        self.requirements.as_ref().is_some_and(Vec::is_empty)
    }

    /// Whether an object's `metadata.labels` satisfy the selector.
    pub fn matches(&self, object: &Value) -> bool {
        self.matches_labels(
            object
                .pointer("/metadata/labels")
                .and_then(Value::as_object),
        )
    }

    /// Whether these labels satisfy the selector.
    pub fn matches_labels(&self, labels: Option<&Map<String, Value>>) -> bool {
        let Some(requirements) = &self.requirements else {
            return false;
        };
        let get = |key: &str| {
            labels
                .and_then(|labels| labels.get(key))
                .and_then(Value::as_str)
        };
        requirements
            .iter()
            .all(|requirement| requirement.admits(get(&requirement.key)))
    }
}

impl Requirement {
    fn new(key: &str, operator: Operator, values: BTreeSet<String>) -> Result<Self, SelectorError> {
        let mut errors = Vec::new();
        let complaints = names::qualified_name(key);
        if !complaints.is_empty() {
            errors.push(format!(
                "key: Invalid value: {}: {}",
                field::quote(key),
                complaints.join("; ")
            ));
        }
        let shown = Value::from(values.iter().cloned().collect::<Vec<_>>());
        let count_rule = match operator {
            Operator::In | Operator::NotIn => values
                .is_empty()
                .then_some("for 'in', 'notin' operators, values set can't be empty"),
            Operator::Equals | Operator::DoubleEquals | Operator::NotEquals => {
                (values.len() != 1).then_some("exact-match compatibility requires one single value")
            }
            Operator::Exists | Operator::DoesNotExist => (!values.is_empty())
                .then_some("values set must be empty for exists and does not exist"),
            Operator::GreaterThan | Operator::LessThan => (values.len() != 1)
                .then_some("for 'Gt', 'Lt' operators, exactly one value is required"),
        };
        if let Some(rule) = count_rule {
            errors.push(format!("values: Invalid value: {shown}: {rule}"));
        }
        for (index, value) in values.iter().enumerate() {
            if matches!(operator, Operator::GreaterThan | Operator::LessThan)
                && value.parse::<i64>().is_err()
            {
                errors.push(format!(
                    "values[{index}]: Invalid value: {}: for 'Gt', 'Lt' operators, the value must \
                     be an integer",
                    field::quote(value)
                ));
            }
            let complaints = names::label_value(value);
            if !complaints.is_empty() {
                errors.push(format!(
                    "values[{index}][{key}]: Invalid value: {}: {}",
                    field::quote(value),
                    complaints.join("; ")
                ));
            }
        }
        match errors.len() {
            0 => Ok(Self {
                key: key.to_owned(),
                operator,
                values,
            }),
            1 => Err(SelectorError::new(errors.remove(0))),
            _ => Err(SelectorError::new(format!("[{}]", errors.join(", ")))),
        }
    }

    fn admits(&self, value: Option<&str>) -> bool {
        let contains = |value: &str| self.values.contains(value);
        let ordered = |admit: fn(&i64, &i64) -> bool| {
            let bound = self
                .values
                .first()
                .and_then(|bound| bound.parse::<i64>().ok());
            let value = value.and_then(|value| value.parse::<i64>().ok());
            value
                .zip(bound)
                .is_some_and(|(value, bound)| admit(&value, &bound))
        };
        match self.operator {
            Operator::In | Operator::Equals | Operator::DoubleEquals => value.is_some_and(contains),
            Operator::NotIn | Operator::NotEquals => !value.is_some_and(contains),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::GreaterThan => ordered(i64::gt),
            Operator::LessThan => ordered(i64::lt),
        }
    }
}

impl fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, requirement) in self.requirements.iter().flatten().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            requirement.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = &self.key;
        let values = self
            .values
            .iter()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join(",");
        match self.operator {
            Operator::Exists => write!(f, "{key}"),
            Operator::DoesNotExist => write!(f, "!{key}"),
            Operator::Equals => write!(f, "{key}={values}"),
            Operator::DoubleEquals => write!(f, "{key}=={values}"),
            Operator::NotEquals => write!(f, "{key}!={values}"),
            Operator::In => write!(f, "{key} in ({values})"),
            Operator::NotIn => write!(f, "{key} notin ({values})"),
            Operator::GreaterThan => write!(f, "{key}>{values}"),
            Operator::LessThan => write!(f, "{key}<{values}"),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token<'a> {
    End,
    Close,
    Comma,
    Not,
    DoubleEquals,
    Equals,
    GreaterThan,
    LessThan,
    NotEquals,
    Open,
    Word(&'a str),
}

impl Token<'_> {
    fn literal(&self) -> String {
        match self {
            Self::End => String::new(),
            Self::Close => ")".to_owned(),
            Self::Comma => ",".to_owned(),
            Self::Not => "!".to_owned(),
            Self::DoubleEquals => "==".to_owned(),
            Self::Equals => "=".to_owned(),
            Self::GreaterThan => ">".to_owned(),
            Self::LessThan => "<".to_owned(),
            Self::NotEquals => "!=".to_owned(),
            Self::Open => "(".to_owned(),
            Self::Word(word) => (*word).to_owned(),
        }
    }
}

/// A recursive-descent parser. `in` and `notin` are ordinary words except where an operator stands.
struct Parser<'a> {
    tokens: Vec<Token<'a>>,
    next: usize,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            tokens: scan(text),
            next: 0,
        }
    }

    fn peek(&self) -> &Token<'a> {
        self.tokens.get(self.next).unwrap_or(&Token::End)
    }

    fn take(&mut self) -> Token<'a> {
        let token = self.peek().clone();
        self.next += 1;
        token
    }

    fn requirements(&mut self) -> Result<Vec<Requirement>, SelectorError> {
        let mut requirements = Vec::new();
        loop {
            match self.peek() {
                Token::Word(_) | Token::Not => {
                    let requirement = self.requirement().map_err(|error| {
                        SelectorError::new(format!("unable to parse requirement: {error}"))
                    })?;
                    requirements.push(requirement);
                    match self.take() {
                        Token::End => return Ok(requirements),
                        Token::Comma => {
                            let next = self.peek();
                            if !matches!(next, Token::Word(_) | Token::Not) {
                                return Err(SelectorError::new(format!(
                                    "found '{}', expected: identifier after ','",
                                    next.literal()
                                )));
                            }
                        }
                        other => {
                            return Err(SelectorError::new(format!(
                                "found '{}', expected: ',' or 'end of string'",
                                other.literal()
                            )));
                        }
                    }
                }
                Token::End => return Ok(requirements),
                other => {
                    return Err(SelectorError::new(format!(
                        "found '{}', expected: !, identifier, or 'end of string'",
                        other.literal()
                    )));
                }
            }
        }
    }

    fn requirement(&mut self) -> Result<Requirement, SelectorError> {
        let mut token = self.take();
        let negated = token == Token::Not;
        if negated {
            token = self.take();
        }
        let Token::Word(key) = token else {
            return Err(expected(&token, "identifier"));
        };
        let complaints = names::qualified_name(key);
        if !complaints.is_empty() {
            return Err(SelectorError::new(format!(
                "<nil>: Invalid value: {}: {}",
                field::quote(key),
                complaints.join("; ")
            )));
        }
        if negated {
            return Requirement::new(key, Operator::DoesNotExist, BTreeSet::new());
        }
        if matches!(self.peek(), Token::End | Token::Comma) {
            return Requirement::new(key, Operator::Exists, BTreeSet::new());
        }
        let operator = self.operator()?;
        let values = match operator {
            Operator::In | Operator::NotIn => self.values()?,
            _ => self.exact_value()?,
        };
        Requirement::new(key, operator, values)
    }

    fn operator(&mut self) -> Result<Operator, SelectorError> {
        match self.take() {
            Token::Word("in") => Ok(Operator::In),
            Token::Word("notin") => Ok(Operator::NotIn),
            Token::Equals => Ok(Operator::Equals),
            Token::DoubleEquals => Ok(Operator::DoubleEquals),
            Token::NotEquals => Ok(Operator::NotEquals),
            Token::GreaterThan => Ok(Operator::GreaterThan),
            Token::LessThan => Ok(Operator::LessThan),
            other => Err(expected(&other, "in, notin, =, ==, !=, gt, lt")),
        }
    }

    fn values(&mut self) -> Result<BTreeSet<String>, SelectorError> {
        match self.take() {
            Token::Open => {}
            other => {
                return Err(SelectorError::new(format!(
                    "found '{}' expected: '('",
                    other.literal()
                )));
            }
        }
        let mut values = BTreeSet::new();
        match self.peek() {
            Token::Word(_) | Token::Comma => {}
            Token::Close => {
                self.take();
                return Ok([String::new()].into());
            }
            other => return Err(expected(other, "',', ')' or identifier")),
        }
        // A comma without a word before or after it stands for an empty value.
        loop {
            match self.take() {
                Token::Word(word) => {
                    values.insert(word.to_owned());
                    match self.peek() {
                        Token::Comma => {}
                        Token::Close => break,
                        other => return Err(expected(other, "',' or ')'")),
                    }
                }
                Token::Comma => {
                    if values.is_empty() {
                        values.insert(String::new());
                    }
                    match self.peek() {
                        Token::Close => {
                            values.insert(String::new());
                            break;
                        }
                        Token::Comma => {
                            self.take();
                            values.insert(String::new());
                        }
                        _ => {}
                    }
                }
                other => return Err(expected(&other, "',', or identifier")),
            }
        }
        self.take();
        Ok(values)
    }

    fn exact_value(&mut self) -> Result<BTreeSet<String>, SelectorError> {
        if matches!(self.peek(), Token::End | Token::Comma) {
            return Ok([String::new()].into());
        }
        match self.take() {
            Token::Word(word) => Ok([word.to_owned()].into()),
            other => Err(expected(&other, "identifier")),
        }
    }
}

fn expected(found: &Token<'_>, what: &str) -> SelectorError {
    SelectorError::new(format!("found '{}', expected: {what}", found.literal()))
}

fn scan(text: &str) -> Vec<Token<'_>> {
    let is_special = |c: char| matches!(c, '=' | '!' | '(' | ')' | ',' | '>' | '<');
    let is_space = |c: char| matches!(c, ' ' | '\t' | '\r' | '\n');
    let mut tokens = Vec::new();
    let mut rest = text.trim_start_matches(is_space);
    while let Some(first) = rest.chars().next() {
        if is_special(first) {
            let (token, length) = match first {
                '=' if rest.starts_with("==") => (Token::DoubleEquals, 2),
                '=' => (Token::Equals, 1),
                '!' if rest.starts_with("!=") => (Token::NotEquals, 2),
                '!' => (Token::Not, 1),
                '(' => (Token::Open, 1),
                ')' => (Token::Close, 1),
                ',' => (Token::Comma, 1),
                '>' => (Token::GreaterThan, 1),
                // Of the special characters only this one is left.
                _ => (Token::LessThan, 1),
            };
            tokens.push(token);
            rest = &rest[length..];
        } else {
            let end = rest
                .find(|c| is_special(c) || is_space(c))
                .unwrap_or(rest.len());
            tokens.push(Token::Word(&rest[..end]));
            rest = &rest[end..];
        }
        rest = rest.trim_start_matches(is_space);
    }
    tokens
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn recorded_label_selectors_parse_print_and_match_the_same() {
        let text = include_bytes!("../../testdata/selectors.json");
        let recorded: Value = serde_json::from_slice(text).unwrap();
        let probes = recorded["probes"].as_array().unwrap();
        for row in recorded["labels"].as_array().unwrap() {
            match (
                LabelSelector::parse(row["text"].as_str().unwrap()),
                row["error"].as_str(),
            ) {
                (Err(error), Some(expected)) => assert_eq!(error.to_string(), expected),
                (Ok(selector), None) => {
                    assert_eq!(row["shown"], selector.to_string());
                    let matches: Vec<bool> = probes
                        .iter()
                        .map(|labels| selector.matches_labels(labels.as_object()))
                        .collect();
                    assert_eq!(json!(matches), row["matches"], "{row}");
                }
                (parsed, _) => panic!("{row}: {parsed:?}"),
            }
        }
    }

    #[test]
    fn selector_objects_match_as_their_text() {
        let object = |labels: Value| json!({"metadata": {"labels": labels}});
        let selector = json!({
            "matchLabels": {"app": "x"},
            "matchExpressions": [
                {"key": "tier", "operator": "In", "values": ["a", "b"]},
                {"key": "gone", "operator": "DoesNotExist"},
            ],
        });
        let selector = LabelSelector::from_object(Some(&selector)).unwrap();
        assert_eq!(selector.to_string(), "app=x,!gone,tier in (a,b)");
        assert!(selector.matches(&object(json!({"app": "x", "tier": "a"}))));
        assert!(!selector.matches(&object(json!({"app": "x", "tier": "a", "gone": ""}))));
        assert!(
            !LabelSelector::from_object(None)
                .unwrap()
                .matches(&object(json!({})))
        );
        assert!(
            LabelSelector::from_object(Some(&json!({})))
                .unwrap()
                .is_empty()
        );
        let bad = json!({"matchExpressions": [{"key": "a", "operator": "Near"}]});
        assert_eq!(
            LabelSelector::from_object(Some(&bad))
                .unwrap_err()
                .to_string(),
            "\"Near\" is not a valid label selector operator"
        );
        assert!(!LabelSelector::from_map(Some(&json!({}))).matches(&object(json!({}))));
        assert!(
            LabelSelector::from_map(Some(&json!({"a": "b"}))).matches(&object(json!({"a": "b"})))
        );
    }
}
