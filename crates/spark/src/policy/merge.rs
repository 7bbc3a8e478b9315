//! Parts of specifications put into others. Objects are merged field by field; a list is a value as
//! a whole, because nothing says which of its members are the same.

use serde_json::Value;
use windlass_api::field::FieldPath;

/// Sets what is not set.
pub(super) fn fill(spec: &mut Value, template: &Value) {
    match (spec, template) {
        (Value::Object(spec), Value::Object(template)) => {
            for (name, value) in template.iter().filter(|(_, value)| !value.is_null()) {
                fill(spec.entry(name).or_insert(Value::Null), value);
            }
        }
        (spec @ Value::Null, template) => *spec = without_nulls(template),
        _ => {}
    }
}

/// Sets what the template sets, whatever was there.
pub(super) fn force(spec: &mut Value, template: &Value) {
    match (spec, template) {
        (Value::Object(spec), Value::Object(template)) => {
            for (name, value) in template.iter().filter(|(_, value)| !value.is_null()) {
                force(spec.entry(name).or_insert(Value::Null), value);
            }
        }
        (spec, template) => *spec = without_nulls(template),
    }
}

/// A field that is null is not there.
fn without_nulls(template: &Value) -> Value {
    match template {
        Value::Object(fields) => {
            let given = fields.iter().filter(|(_, value)| !value.is_null());
            let given = given.map(|(name, value)| (name.clone(), without_nulls(value)));
            Value::Object(given.collect())
        }
        other => other.clone(),
    }
}

/// The paths of everything that a template sets.
pub(super) fn leaves(template: &Value) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    walk(template, &mut Vec::new(), &mut found);
    found
}

fn walk(value: &Value, path: &mut Vec<String>, found: &mut Vec<Vec<String>>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                path.push(name.clone());
                walk(value, path, found);
                path.pop();
            }
        }
        Value::Null => {}
        _ => found.push(path.clone()),
    }
}

/// The value at a path.
pub(super) fn at<'a>(spec: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(spec, |value, name| value.get(name))
}

/// The path as a message has it, with the keys of maps in brackets.
pub(super) fn path_of(path: &[String]) -> FieldPath {
    let mut whole = FieldPath::new("spec");
    let mut is_key = false;
    for name in path {
        whole = if is_key || name.contains(['.', '/']) {
            whole.key(name)
        } else {
            whole.field(name)
        };
        is_key = ["sparkConf", "hadoopConf"].contains(&name.as_str());
    }
    whole
}
