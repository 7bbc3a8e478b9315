//! Whether two pieces of JSON mean the same to the API.
//!
//! A status is written only when it differs. The API drops nulls and does not tell 1 from 1.0, so
//! a comparison that did would write the same status forever.

use serde_json::{Map, Value};

/// Where two values first differ, as a dotted path; `None` if they mean the same.
pub(crate) fn first_difference(path: &str, left: &Value, right: &Value) -> Option<String> {
    let here = || Some(path.to_owned());
    match (left, right) {
        (Value::Object(left), Value::Object(right)) => object_difference(path, left, right),
        (Value::Array(left), Value::Array(right)) => {
            if left.len() != right.len() {
                return here();
            }
            let pairs = left.iter().zip(right).enumerate();
            pairs.into_iter().find_map(|(index, (left, right))| {
                first_difference(&format!("{path}[{index}]"), left, right)
            })
        }
        (Value::Number(left), Value::Number(right)) => (left != right
            && left.as_f64() != right.as_f64())
        .then(here)
        .flatten(),
        _ => (left != right).then(here).flatten(),
    }
}

fn object_difference(
    path: &str,
    left: &Map<String, Value>,
    right: &Map<String, Value>,
) -> Option<String> {
    let names = left
        .keys()
        .chain(right.keys().filter(|name| !left.contains_key(*name)));
    names.into_iter().find_map(|name| {
        let of = |fields: &Map<String, Value>| fields.get(name).cloned().unwrap_or_default();
        match (left.get(name), right.get(name)) {
            (Some(left), Some(right)) => first_difference(&format!("{path}.{name}"), left, right),
            _ if of(left).is_null() && of(right).is_null() => None,
            _ => Some(format!("{path}.{name}")),
        }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_that_mean_the_same_do_not_differ() {
        for (left, right) in [
            (json!({"a": null}), json!({})),
            (
                json!({"a": {"b": [1, {"c": null}]}}),
                json!({"a": {"b": [1.0, {}]}}),
            ),
            (json!(null), json!(null)),
        ] {
            assert_eq!(
                first_difference("status", &left, &right),
                None,
                "{left} {right}"
            );
            assert_eq!(
                first_difference("status", &right, &left),
                None,
                "{right} {left}"
            );
        }
    }

    #[test]
    fn a_difference_is_named_by_its_path() {
        for (left, right, path) in [
            (json!({"a": {"b": 1}}), json!({"a": {"b": 2}}), "status.a.b"),
            (json!({"a": [1, 2]}), json!({"a": [1]}), "status.a"),
            (
                json!({"a": [1, {"x": true}]}),
                json!({"a": [1, {"x": false}]}),
                "status.a[1].x",
            ),
            (json!({"a": 1}), json!({}), "status.a"),
            (json!({}), json!({"a": {}}), "status.a"),
            (json!(null), json!({}), "status"),
        ] {
            assert_eq!(
                first_difference("status", &left, &right).as_deref(),
                Some(path)
            );
        }
    }
}
