//! Running an expression: a walk over its tree that counts what it does.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use regex::Regex;

use super::{
    ast::{Expr, Fold, Makes, Node, Presence},
    check, functions,
    value::{Map, Value},
};

/// Why an expression has no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvalError {
    /// The expression went wrong: a key that is not there, a division by zero.
    #[error("{0}")]
    Wrong(String),
    /// It did more than it may.
    #[error("operation cancelled: actual cost limit exceeded")]
    TooMuchWork,
}

impl EvalError {
    pub(super) fn new(why: impl Into<String>) -> Self {
        Self::Wrong(why.into())
    }

    /// A text that cannot be read as something else.
    pub(super) fn not_a(wanted: &str) -> Self {
        Self::Wrong(format!("type conversion error from 'string' to '{wanted}'"))
    }
}

/// What an expression may still do, and the patterns it has used.
#[derive(Debug)]
pub struct Work {
    left: u64,
    done: u64,
    patterns: BTreeMap<String, Regex>,
}

impl Work {
    /// So many steps.
    pub fn new(limit: u64) -> Self {
        Self {
            left: limit,
            done: 0,
            patterns: BTreeMap::new(),
        }
    }

    /// How many steps have been done.
    pub fn done(&self) -> u64 {
        self.done
    }

    /// Does some steps.
    pub(super) fn spend(&mut self, steps: u64) -> Result<(), EvalError> {
        self.done = self.done.saturating_add(steps);
        match self.left.checked_sub(steps) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => {
                self.left = 0;
                Err(EvalError::TooMuchWork)
            }
        }
    }

    /// Steps for a result of this size, before it is made.
    pub(super) fn keep(&mut self, size: usize) -> Result<(), EvalError> {
        self.spend(size as u64 + 1)
    }

    pub(super) fn regex(&mut self, pattern: &str) -> Result<Regex, EvalError> {
        if let Some(known) = self.patterns.get(pattern) {
            return Ok(known.clone());
        }
        self.spend(pattern.len() as u64)?;
        let regex = compile_pattern(pattern).map_err(EvalError::Wrong)?;
        self.patterns.insert(pattern.to_owned(), regex.clone());
        Ok(regex)
    }
}

/// The largest program that a pattern may become, in bytes.
const PATTERN_SIZE: usize = 1 << 20;

/// A pattern, or why it is none.
pub(super) fn compile_pattern(pattern: &str) -> Result<Regex, String> {
    regex::RegexBuilder::new(pattern)
        .size_limit(PATTERN_SIZE)
        .build()
        .map_err(|error| {
            let why = error.to_string();
            let last = why.lines().last().unwrap_or_default();
            format!(
                "error parsing regexp: {}",
                last.trim_start_matches("error: ")
            )
        })
}

/// The names that an expression knows, innermost last.
pub(super) struct Scope<'a> {
    names: Vec<(Cow<'a, str>, Value<'a>)>,
}

type Out<'a> = Result<Value<'a>, EvalError>;

impl<'a> Scope<'a> {
    pub(super) fn new(names: impl IntoIterator<Item = (&'a str, Value<'a>)>) -> Self {
        Self {
            names: names
                .into_iter()
                .map(|(name, value)| (Cow::Borrowed(name), value))
                .collect(),
        }
    }

    fn find(&self, name: &str) -> Option<&Value<'a>> {
        self.names
            .iter()
            .rev()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value)
    }

    pub(super) fn eval(&mut self, expr: &'a Expr, work: &mut Work) -> Out<'a> {
        match &expr.is {
            Node::Null => Ok(Value::Null),
            Node::Bool(truth) => Ok(Value::Bool(*truth)),
            Node::Int(number) => Ok(Value::Int(*number)),
            Node::Uint(number) => Ok(Value::Uint(*number)),
            Node::Double(number) => Ok(Value::Double(*number)),
            Node::Str(text) => Ok(Value::Str(Cow::Borrowed(text))),
            Node::Bytes(bytes) => Ok(Value::Bytes(Cow::Borrowed(bytes))),
            Node::Name(name) => {
                work.spend(1)?;
                if let Some(value) = self.find(name) {
                    return Ok(value.clone());
                }
                check::type_named(name)
                    .map(Value::Type)
                    .ok_or_else(|| EvalError::new(format!("no such attribute(s): {name}")))
            }
            Node::Select(operand, field, presence) => {
                if let Some(name) = self.type_name(expr) {
                    return Ok(Value::Type(name));
                }
                let operand = self.eval(operand, work)?;
                work.spend(1)?;
                select(&operand, field, *presence)
            }
            Node::Has(operand, field) => self.has(operand, field, work),
            Node::Index(operand, index, presence) => {
                let operand = self.eval(operand, work)?;
                let index = self.eval(index, work)?;
                work.spend(1)?;
                at_index(&operand, &index, *presence)
            }
            Node::List(items) => self.list(items, work),
            Node::Map(entries) => self.map(entries, work),
            Node::And(a, b) => self.both(a, b, false, work),
            Node::Or(a, b) => self.both(a, b, true, work),
            Node::Condition(parts) => {
                let [condition, yes, no] = &**parts;
                match self.eval(condition, work)? {
                    Value::Bool(true) => self.eval(yes, work),
                    Value::Bool(false) => self.eval(no, work),
                    _ => functions::no_overload(),
                }
            }
            Node::Call {
                function,
                arguments,
                ..
            } => self.call(function, arguments, work),
            Node::Fold(fold) => self.fold(fold, work),
        }
    }

    fn call(&mut self, function: &str, arguments: &'a [Expr], work: &mut Work) -> Out<'a> {
        let mut values = Vec::with_capacity(arguments.len());
        for argument in arguments {
            values.push(self.eval(argument, work)?);
        }
        work.spend(1)?;
        match functions::find(function) {
            Some(found) => (found.code)(&values, work),
            None => functions::no_overload(),
        }
    }

    fn has(&mut self, operand: &'a Expr, field: &str, work: &mut Work) -> Out<'a> {
        match self.eval(operand, work)? {
            Value::Map(map) => Ok(Value::Bool(map.field(field).is_some())),
            Value::Optional(None) => Ok(Value::Bool(false)),
            Value::Optional(Some(inner)) => match &*inner {
                Value::Map(map) => Ok(Value::Bool(map.field(field).is_some())),
                _ => functions::no_overload(),
            },
            _ => functions::no_overload(),
        }
    }

    fn list(&mut self, items: &'a [(Expr, Presence)], work: &mut Work) -> Out<'a> {
        let mut list = Vec::with_capacity(items.len());
        for (item, presence) in items {
            match (presence, self.eval(item, work)?) {
                (Presence::Required, value) => list.push(value),
                (Presence::Optional, Value::Optional(Some(inner))) => list.push((*inner).clone()),
                (Presence::Optional, _) => {}
            }
        }
        work.keep(list.len() + 9)?;
        Ok(Value::list(list))
    }

    fn map(&mut self, entries: &'a [(Expr, Expr, Presence)], work: &mut Work) -> Out<'a> {
        let mut map: Vec<(Value<'a>, Value<'a>)> = Vec::with_capacity(entries.len());
        for (key, value, presence) in entries {
            let key = self.eval(key, work)?;
            let value = match (presence, self.eval(value, work)?) {
                (Presence::Required, value) => value,
                (Presence::Optional, Value::Optional(Some(inner))) => (*inner).clone(),
                (Presence::Optional, _) => continue,
            };
            if map.iter().any(|(known, _)| known.equals(&key)) {
                return Err(EvalError::new("Failed with repeated key"));
            }
            map.push((key, value));
        }
        work.keep(map.len() + 29)?;
        Ok(Value::Map(Map::Made(map.into())))
    }

    /// `a && b` or `a || b`: either side may decide, and then the other's error does not matter.
    fn both(&mut self, a: &'a Expr, b: &'a Expr, decides: bool, work: &mut Work) -> Out<'a> {
        let truth = |value: Out<'a>| match value {
            Ok(Value::Bool(truth)) => Ok(truth),
            Ok(_) => functions::no_overload(),
            Err(error) => Err(error),
        };
        let first = truth(self.eval(a, work));
        if first == Ok(decides) || first == Err(EvalError::TooMuchWork) {
            return first.map(Value::Bool);
        }
        let second = truth(self.eval(b, work));
        match (first, second) {
            (_, Ok(second)) if second == decides => Ok(Value::Bool(decides)),
            (_, Err(EvalError::TooMuchWork)) => Err(EvalError::TooMuchWork),
            (Err(error), _) | (_, Err(error)) => Err(error),
            (Ok(_), Ok(_)) => Ok(Value::Bool(!decides)),
        }
    }

    /// `google.protobuf.Duration` and the like, unless a variable stands before the first dot.
    fn type_name(&self, expr: &Expr) -> Option<&'static str> {
        let dotted = super::parse::dotted(expr)?;
        let first = dotted.split('.').next()?;
        if self.find(first).is_some() {
            return None;
        }
        check::type_named(&dotted)
    }

    fn with(
        &mut self,
        fold: &'a Fold,
        bound: [&Value<'a>; 2],
        expr: &'a Expr,
        work: &mut Work,
    ) -> Out<'a> {
        let depth = self.names.len();
        for (name, value) in fold.names.iter().zip(bound) {
            self.names.push((Cow::Borrowed(name), value.clone()));
        }
        let value = self.eval(expr, work);
        self.names.truncate(depth);
        value
    }

    fn fold(&mut self, fold: &'a Fold, work: &mut Work) -> Out<'a> {
        let range = self.eval(&fold.range, work)?;
        if matches!(fold.makes, Makes::OptionalMapped | Makes::OptionalFlat) {
            return match range {
                Value::Optional(None) => Ok(Value::Optional(None)),
                Value::Optional(Some(inner)) => {
                    let value = self.with(fold, [&inner, &Value::Null], &fold.body, work)?;
                    Ok(if fold.makes == Makes::OptionalMapped {
                        value.some()
                    } else {
                        value
                    })
                }
                _ => functions::no_overload(),
            };
        }
        let pairs: Vec<(Value<'a>, Value<'a>)> = match &range {
            Value::List(list) => list
                .iter()
                .enumerate()
                .map(|(index, item)| (Value::Int(index as i64), item))
                .collect(),
            Value::Map(map) => map.entries(),
            _ => return functions::no_overload(),
        };
        work.keep(pairs.len())?;
        let of_map = matches!(range, Value::Map(_));
        let mut kept = Vec::new();
        let mut entries = Vec::new();
        let mut matched = 0;
        let mut failed = None;
        for (key, value) in &pairs {
            work.spend(1)?;
            // With one name, a list gives its items and a map its keys.
            let bound = match (fold.names.len(), of_map) {
                (1, false) => [value, key],
                _ => [key, value],
            };
            if let Some(when) = &fold.when {
                match self.with(fold, bound, when, work)? {
                    Value::Bool(true) => {}
                    Value::Bool(false) => continue,
                    _ => return functions::no_overload(),
                }
            }
            let made = self.with(fold, bound, &fold.body, work);
            match fold.makes {
                Makes::All | Makes::Exists => {
                    let decides = fold.makes == Makes::Exists;
                    match made {
                        Ok(Value::Bool(truth)) if truth == decides => {
                            return Ok(Value::Bool(decides));
                        }
                        Ok(Value::Bool(_)) => {}
                        Ok(_) => return functions::no_overload(),
                        Err(EvalError::TooMuchWork) => return Err(EvalError::TooMuchWork),
                        Err(error) => failed = failed.or(Some(error)),
                    }
                }
                Makes::ExistsOne => match made? {
                    Value::Bool(truth) => matched += usize::from(truth),
                    _ => return functions::no_overload(),
                },
                Makes::Filter => match made? {
                    Value::Bool(true) => kept.push(bound[0].clone()),
                    Value::Bool(false) => {}
                    _ => return functions::no_overload(),
                },
                Makes::Mapped => kept.push(made?),
                Makes::MappedEntries => entries.push((key.clone(), made?)),
                Makes::OptionalMapped | Makes::OptionalFlat => {}
            }
        }
        match (failed, fold.makes) {
            (Some(error), _) => Err(error),
            (None, Makes::All) => Ok(Value::Bool(true)),
            (None, Makes::Exists) => Ok(Value::Bool(false)),
            (None, Makes::ExistsOne) => Ok(Value::Bool(matched == 1)),
            (None, Makes::MappedEntries) => Ok(Value::Map(Map::Made(entries.into()))),
            (None, _) => Ok(Value::list(kept)),
        }
    }
}

fn select<'a>(operand: &Value<'a>, field: &str, presence: Presence) -> Out<'a> {
    let (map, optional) = match operand {
        Value::Map(map) => (map, presence == Presence::Optional),
        Value::Optional(None) => return Ok(Value::Optional(None)),
        Value::Optional(Some(inner)) => match &**inner {
            Value::Map(map) => (map, true),
            _ => return functions::no_overload(),
        },
        _ => return functions::no_overload(),
    };
    match (map.field(field), optional) {
        (found, true) => Ok(Value::Optional(found.map(Arc::new))),
        (Some(value), false) => Ok(value),
        (None, false) => Err(EvalError::new(format!("no such key: {field}"))),
    }
}

fn at_index<'a>(operand: &Value<'a>, index: &Value<'a>, presence: Presence) -> Out<'a> {
    let (container, optional) = match operand {
        Value::Optional(None) => return Ok(Value::Optional(None)),
        Value::Optional(Some(inner)) => (&**inner, true),
        other => (other, presence == Presence::Optional),
    };
    let (found, why) = match container {
        Value::List(list) => {
            let place = match index {
                Value::Int(number) => Some(*number),
                Value::Uint(number) => i64::try_from(*number).ok(),
                Value::Double(number) if number.fract() == 0.0 => Some(*number as i64),
                _ => return functions::no_overload(),
            };
            let shown = place.unwrap_or(i64::MAX);
            let found = place
                .and_then(|number| usize::try_from(number).ok())
                .and_then(|number| list.get(number));
            (found, format!("index out of bounds: {shown}"))
        }
        Value::Map(map) => {
            let shown = match index {
                Value::Str(key) => key.to_string(),
                Value::Int(key) => key.to_string(),
                Value::Uint(key) => key.to_string(),
                Value::Bool(key) => key.to_string(),
                _ => String::new(),
            };
            (map.get(index), format!("no such key: {shown}"))
        }
        _ => return functions::no_overload(),
    };
    match (found, optional) {
        (found, true) => Ok(Value::Optional(found.map(Arc::new))),
        (Some(value), false) => Ok(value),
        (None, false) => Err(EvalError::new(why)),
    }
}
