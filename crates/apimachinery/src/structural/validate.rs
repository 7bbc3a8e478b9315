//! Validation of values, in the words of kube-apiserver.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Additional, Kind, List, Node, Rules, formats};
use crate::field::{FieldError, quote};

/// Validates a whole object; with `old`, only what changed.
pub(super) fn object(root: &Node, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut check = Check { errors: Vec::new() };
    check.resource(root, object, old, "");
    check.errors
}

/// Validates one value that stands at `path`.
pub(super) fn value(node: &Node, value: &Value, path: &str) -> Vec<FieldError> {
    let mut check = Check { errors: Vec::new() };
    check.value(node, value, None, path);
    check.errors
}

struct Check {
    errors: Vec<FieldError>,
}

impl Check {
    fn complain(&mut self, path: &str, value: &Value, text: &str) {
        self.errors.push(FieldError::invalid(
            path,
            value,
            format!("{path} in body {text}"),
        ));
    }

    /// Of the root, `metadata` is the business of metadata validation, except for its names.
    fn resource(&mut self, root: &Node, object: &Value, old: Option<&Value>, path: &str) {
        let mut shown = object.clone();
        if let Some(metadata) = shown.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.retain(|key, _| matches!(key.as_str(), "name" | "generateName"));
        }
        self.value(root, &shown, old, path);
    }

    fn value(&mut self, node: &Node, value: &Value, old: Option<&Value>, path: &str) {
        // What did not change is not complained about again.
        if old == Some(value) {
            return;
        }
        if !self.kind(node, value, path) {
            return;
        }
        if value.is_null() {
            return;
        }
        if let Some(rules) = &node.rules {
            self.logic(rules, value, path);
            self.rules(node.kind, rules, value, path);
        }
        match value {
            Value::Array(items) => self.items(node, items, old, path),
            Value::Object(entries) => {
                for (key, value) in entries {
                    let inner = node.properties.get(key).or(match &node.additional {
                        Additional::Values(inner) => Some(&**inner),
                        Additional::Nothing | Additional::Anything => None,
                    });
                    if let Some(inner) = inner {
                        let old = old.and_then(|old| old.get(key));
                        self.value(inner, value, old, &child(path, key));
                    }
                }
                for name in node.rules.iter().flat_map(|rules| &rules.required) {
                    if !entries.contains_key(name) {
                        self.errors
                            .push(FieldError::required(child(path, name), ""));
                    }
                }
                if node.embedded {
                    self.embedded(value, path);
                }
            }
            _ => {}
        }
    }

    fn kind(&mut self, node: &Node, value: &Value, path: &str) -> bool {
        let found = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(number) if is_integral(number) => "integer",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        let (fits, expected) = match node.kind {
            Kind::Any => (true, ""),
            Kind::Object => (found == "object", "object"),
            Kind::Array => (found == "array", "array"),
            Kind::String => (found == "string", "string"),
            Kind::Integer => (found == "integer", "integer"),
            Kind::Number => (matches!(found, "integer" | "number"), "number"),
            Kind::Boolean => (found == "boolean", "boolean"),
            Kind::IntOrString => (matches!(found, "integer" | "string"), "integer,string"),
        };
        if fits || (value.is_null() && node.nullable) {
            return true;
        }
        let at = if path.is_empty() { "<nil>" } else { path };
        self.errors.push(FieldError::type_invalid(
            at,
            &found.into(),
            format!(
                "{path} in body must be of type {expected}: {}",
                quote(found)
            ),
        ));
        false
    }

    fn logic(&mut self, rules: &Rules, value: &Value, path: &str) {
        let attempt = |node: &Node| {
            let mut inner = Check { errors: Vec::new() };
            inner.value(node, value, None, path);
            inner.errors
        };
        let mut broken = |text: String, best: Option<Vec<FieldError>>| {
            self.errors
                .push(FieldError::invalid("<nil>", &"".into(), text));
            self.errors.extend(best.into_iter().flatten());
        };
        let quoted = quote(path);
        if !rules.any_of.is_empty() {
            let results: Vec<_> = rules.any_of.iter().map(attempt).collect();
            if !results.iter().any(Vec::is_empty) {
                let best = results.into_iter().next();
                broken(
                    format!("{quoted} must validate at least one schema (anyOf)"),
                    best,
                );
            }
        }
        if !rules.one_of.is_empty() {
            let results: Vec<_> = rules.one_of.iter().map(attempt).collect();
            match results.iter().filter(|errors| errors.is_empty()).count() {
                1 => {}
                0 => {
                    let text = "must validate one and only one schema (oneOf). Found none valid";
                    broken(format!("{quoted} {text}"), results.into_iter().next());
                }
                many => {
                    let text = "must validate one and only one schema (oneOf). Found";
                    broken(format!("{quoted} {text} {many} valid alternatives"), None);
                }
            }
        }
        if !rules.all_of.is_empty() {
            let failed: Vec<FieldError> = rules.all_of.iter().flat_map(attempt).collect();
            if !failed.is_empty() {
                broken(
                    format!("{quoted} must validate all the schemas (allOf)"),
                    Some(failed),
                );
            }
        }
        if let Some(not) = &rules.not
            && attempt(not).is_empty()
        {
            broken(format!("{quoted} must not validate the schema (not)"), None);
        }
    }

    fn rules(&mut self, kind: Kind, rules: &Rules, value: &Value, path: &str) {
        match value {
            Value::String(text) => self.text(rules, text, value, path),
            Value::Number(number) => {
                self.number(
                    kind,
                    rules,
                    number.as_f64().unwrap_or_default(),
                    value,
                    path,
                );
            }
            Value::Array(items) => self.size(rules.items, items.len(), "items", path),
            Value::Object(entries) => {
                self.size(rules.properties, entries.len(), "properties", path);
            }
            Value::Null | Value::Bool(_) => {}
        }
        if let Some(allowed) = &rules.one_of_values
            && !allowed.contains(value)
        {
            let allowed = allowed.iter().map(|value| {
                value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned)
            });
            self.errors
                .push(FieldError::not_supported(path, value, allowed));
        }
    }

    fn text(&mut self, rules: &Rules, text: &str, value: &Value, path: &str) {
        let length = text.chars().count();
        if let Some(most) = rules.length.most
            && length > most
        {
            self.errors.push(FieldError::too_long(path, most));
        } else if let Some(least) = rules.length.least
            && length < least
        {
            self.complain(
                path,
                value,
                &format!("should be at least {least} chars long"),
            );
        } else if let Some((source, pattern)) = &rules.pattern
            && !pattern.is_match(text)
        {
            self.complain(path, value, &format!("should match '{source}'"));
        }
        if let Some(format) = &rules.format
            && !formats::matches(format, text)
        {
            self.errors.push(FieldError::type_invalid(
                path,
                value,
                format!("{path} in body must be of type {format}: {}", quote(text)),
            ));
        }
    }

    fn number(&mut self, kind: Kind, rules: &Rules, number: f64, value: &Value, path: &str) {
        if kind == Kind::Integer
            && rules.format.as_deref() == Some("int32")
            && !(f64::from(i32::MIN)..=f64::from(i32::MAX)).contains(&number)
        {
            self.errors.push(FieldError::invalid(
                "<nil>",
                &"".into(),
                format!("Checked value must be of type integer with format int32 in {path}"),
            ));
        }
        if let Some(bound) = rules.maximum {
            if bound.exclusive && number >= bound.value {
                self.complain(path, value, &format!("should be less than {}", bound.value));
            } else if !bound.exclusive && number > bound.value {
                let text = format!("should be less than or equal to {}", bound.value);
                self.complain(path, value, &text);
            }
        }
        if let Some(bound) = rules.minimum {
            if bound.exclusive && number <= bound.value {
                self.complain(
                    path,
                    value,
                    &format!("should be greater than {}", bound.value),
                );
            } else if !bound.exclusive && number < bound.value {
                let text = format!("should be greater than or equal to {}", bound.value);
                self.complain(path, value, &text);
            }
        }
        if let Some(factor) = rules.multiple_of {
            let ratio = number / factor;
            if (ratio - ratio.round()).abs() > 1e-9 {
                self.complain(path, value, &format!("should be a multiple of {factor}"));
            }
        }
    }

    fn size(&mut self, size: super::Size, actual: usize, what: &str, path: &str) {
        if let Some(most) = size.most
            && actual > most
        {
            self.errors.push(FieldError::too_many(path, actual, most));
        }
        if let Some(least) = size.least
            && actual < least
        {
            self.complain(
                path,
                &json!(actual),
                &format!("should have at least {least} {what}"),
            );
        }
    }

    fn items(&mut self, node: &Node, items: &[Value], old: Option<&Value>, path: &str) {
        let before = old
            .and_then(Value::as_array)
            .map(Vec::as_slice)
            .unwrap_or_default();
        if let Some(inner) = &node.items {
            for (index, item) in items.iter().enumerate() {
                // Only items with an identity can be found again in the old list.
                let old = match &node.list {
                    List::Map(keys) => {
                        let same =
                            |other: &&Value| keys.iter().all(|k| other.get(k) == item.get(k));
                        before.iter().find(same)
                    }
                    List::Atomic | List::Set => None,
                };
                self.value(inner, item, old, &format!("{path}[{index}]"));
            }
        }
        let mut seen = BTreeSet::new();
        for (index, item) in items.iter().enumerate() {
            let identity = match &node.list {
                List::Atomic => return,
                List::Set => item.clone(),
                List::Map(keys) => keys
                    .iter()
                    .filter_map(|key| {
                        let default = || node.items.as_ref()?.properties.get(key)?.default.clone();
                        Some((key.clone(), item.get(key).cloned().or_else(default)?))
                    })
                    .collect(),
            };
            if !seen.insert(identity.to_string()) {
                self.errors
                    .push(FieldError::duplicate(format!("{path}[{index}]"), &identity));
            }
        }
    }

    fn embedded(&mut self, value: &Value, path: &str) {
        for field in ["apiVersion", "kind"] {
            if value
                .get(field)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .is_empty()
            {
                self.errors.push(FieldError::required(
                    child(path, field),
                    "must not be empty",
                ));
            }
        }
    }
}

fn child(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

fn is_integral(number: &serde_json::Number) -> bool {
    number.is_i64()
        || number.is_u64()
        || number
            .as_f64()
            .is_some_and(|value| value.fract() == 0.0 && value.abs() < 9.0e15)
}
