//! The evaluation of rules on objects.

use serde_json::{Value, json};

use super::{
    super::{Additional, Kind, List, Node},
    Rule, Transition, Validations,
};
use crate::{
    cel::{EvalError, Value as Cel, Work},
    field::{FieldError, FieldErrorKind, quote},
};

/// What the rules of one object may cost together, in steps.
const OBJECT_BUDGET: u64 = 10_000_000;
/// What one run of a rule may cost.
const CALL_BUDGET: u64 = 1_000_000;
/// The longest text that a `messageExpression` may make, in bytes.
const MESSAGE_MAX: usize = 5 * 1024;

/// The errors of an object, as its rules find them; with `old`, of an object that replaces it.
pub(in super::super) fn validate(
    root: &Node,
    object: &Value,
    old: Option<&Value>,
) -> Vec<FieldError> {
    let mut run = Run {
        errors: Vec::new(),
        left: OBJECT_BUDGET,
    };
    // Running out of budget ends the walk; the error is among the others by then.
    let _ = run.value(root, object, old, old.map(|old| (object, old)), "");
    run.errors
}

struct Run {
    errors: Vec<FieldError>,
    left: u64,
}

/// No more rules are run.
struct Ended;

/// A value and what it was before, of the nearest place where that is known.
type Known<'v> = Option<(&'v Value, &'v Value)>;

impl Run {
    fn value(
        &mut self,
        node: &Node,
        value: &Value,
        old: Option<&Value>,
        known: Known<'_>,
        path: &str,
    ) -> Result<(), Ended> {
        if !node.has_rules || value.is_null() {
            return Ok(());
        }
        if let Some(validations) = &node.validations {
            self.rules(node, validations, value, old, known, path)?;
        }
        match value {
            Value::Array(items) => {
                let Some(inner) = &node.items else {
                    return Ok(());
                };
                let before = old.and_then(Value::as_array);
                for (index, item) in items.iter().enumerate() {
                    let old = match &node.list {
                        List::Map(keys) => before
                            .into_iter()
                            .flatten()
                            .find(|other| keys.iter().all(|key| other.get(key) == item.get(key))),
                        List::Atomic | List::Set => None,
                    };
                    let known = old.map(|old| (item, old)).or(known);
                    self.value(inner, item, old, known, &format!("{path}[{index}]"))?;
                }
            }
            Value::Object(entries) => {
                for (key, value) in entries {
                    let old = old
                        .and_then(|old| old.get(key))
                        .filter(|old| !old.is_null());
                    let known = old.map(|old| (value, old)).or(known);
                    if let Some(inner) = node.properties.get(key) {
                        let path = if path.is_empty() {
                            key.clone()
                        } else {
                            format!("{path}.{key}")
                        };
                        self.value(inner, value, old, known, &path)?;
                    } else if let Additional::Values(inner) = &node.additional {
                        self.value(inner, value, old, known, &format!("{path}[{key}]"))?;
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn rules(
        &mut self,
        node: &Node,
        validations: &Validations,
        value: &Value,
        old: Option<&Value>,
        known: Known<'_>,
        path: &str,
    ) -> Result<(), Ended> {
        let of = &validations.of;
        let here = if path.is_empty() { "<nil>" } else { path };
        let kind = json!(kind_name(node.kind));
        for rule in &validations.rules {
            if rule.transition == Transition::Strict && old.is_none() {
                continue;
            }
            let names = |rule: &Rule| {
                let before = old.map(|old| Cel::lift(old, of));
                let before = match rule.transition {
                    Transition::Optional => before.map_or(Cel::Optional(None), Cel::some),
                    _ => before.unwrap_or(Cel::Null),
                };
                [("self", Cel::lift(value, of)), ("oldSelf", before)]
            };
            let mut work = Work::new(CALL_BUDGET);
            let result = rule.program.run(names(rule), &mut work);
            let said = if rule.message.is_empty() {
                &rule.source
            } else {
                &rule.message
            };
            let mut wrong = |why: String| {
                self.errors.push(FieldError::invalid(here, &kind, why));
            };
            match self.left.checked_sub(work.done()) {
                Some(left) => self.left = left,
                None => {
                    wrong(
                        "validation failed due to running out of cost budget, no further \
                         validation rules will be run"
                            .to_owned(),
                    );
                    return Err(Ended);
                }
            }
            match result {
                Ok(Cel::Bool(true)) => continue,
                Ok(_) => {}
                Err(error @ EvalError::TooMuchWork) => {
                    wrong(format!(
                        "'{error}': no further validation rules will be run due to call cost \
                         exceeds limit for rule: {said}"
                    ));
                    return Err(Ended);
                }
                Err(EvalError::Wrong(why)) if why.starts_with("no such overload") => {
                    wrong(format!(
                        "'{why}': call arguments did not match a supported operator, function or \
                         macro signature for rule: {said}"
                    ));
                    continue;
                }
                Err(EvalError::Wrong(why)) => {
                    wrong(format!("{why} evaluating rule: {said}"));
                    continue;
                }
            }
            // What was wrong before and has not changed is not held against the change.
            let unchanged = known.is_some_and(|(new, old)| new == old);
            if rule.transition == Transition::None && unchanged {
                continue;
            }
            let detail = match &rule.explains {
                Some(program) => {
                    let mut work = Work::new(CALL_BUDGET);
                    let made = program.run(names(rule), &mut work);
                    self.left = self.left.saturating_sub(work.done());
                    made.ok().and_then(usable)
                }
                None => None,
            };
            let detail = detail.unwrap_or_else(|| {
                if rule.message.is_empty() {
                    format!("failed rule: {}", rule.source)
                } else {
                    rule.message.clone()
                }
            });
            let at = match (path, rule.field_path.as_str()) {
                ("", "") => "<nil>".to_owned(),
                ("", inner) => inner.to_owned(),
                (path, "") => path.to_owned(),
                (path, inner) => format!("{path}.{inner}"),
            };
            self.errors.push(failure(rule.reason, at, value, &detail));
        }
        Ok(())
    }
}

/// A text that a message can be.
fn usable(value: Cel<'_>) -> Option<String> {
    let Cel::Str(text) = value else { return None };
    let text = text.trim();
    (!text.is_empty() && text.len() <= MESSAGE_MAX && !text.contains('\n')).then(|| text.to_owned())
}

/// Objects and lists are not shown.
fn failure(reason: FieldErrorKind, at: String, value: &Value, detail: &str) -> FieldError {
    let shown = match value {
        Value::Object(_) | Value::Array(_) | Value::Null => None,
        Value::String(text) => Some(quote(text)),
        other => Some(other.to_string()),
    };
    let message = match (reason, shown) {
        (FieldErrorKind::Required, _) => format!("Required value: {detail}"),
        (FieldErrorKind::Forbidden, _) => format!("Forbidden: {detail}"),
        (FieldErrorKind::Duplicate, Some(shown)) => format!("Duplicate value: {shown}"),
        (FieldErrorKind::Duplicate, None) => "Duplicate value".to_owned(),
        (_, Some(shown)) => format!("Invalid value: {shown}: {detail}"),
        (_, None) => format!("Invalid value: {detail}"),
    };
    FieldError {
        kind: reason,
        field: at,
        message,
    }
}

fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Any | Kind::IntOrString => "",
        Kind::Object => "object",
        Kind::Array => "array",
        Kind::String => "string",
        Kind::Integer => "integer",
        Kind::Number => "number",
        Kind::Boolean => "boolean",
    }
}
