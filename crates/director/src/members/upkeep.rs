//! Whether an object is still as it was made.
//!
//! What an object was made from is a hash on it, so that a change of what is wanted is known. A change that
//! somebody else has made is only seen by looking at what is wanted of it.

use serde_json::Value;
use windlass_api::quantity::Quantity;

/// Whether all that is wanted is there. The API leaves out what says nothing, writes quantities in other words,
/// and others may add to what they do not own.
pub(super) fn holds(present: &Value, wanted: &Value) -> bool {
    let is_left_out = |says_nothing: bool| says_nothing && present.is_null();
    match wanted {
        Value::Null => true,
        Value::Bool(truth) => present == wanted || is_left_out(!truth),
        Value::Number(number) => match present.as_str() {
            // Quantities may be given as numbers.
            Some(there) => is_same_quantity(there, &number.to_string()),
            None => present == wanted || is_left_out(number.as_f64() == Some(0.0)),
        },
        Value::String(text) => match present.as_str() {
            Some(there) => there == text || is_same_quantity(there, text),
            None => is_left_out(text.is_empty()),
        },
        Value::Array(items) => {
            let mut there = present.as_array().into_iter().flatten();
            items
                .iter()
                .all(|item| there.any(|there| holds(there, item)))
        }
        Value::Object(fields) => fields
            .iter()
            .all(|(name, value)| holds(&present[name.as_str()], value)),
    }
}

fn is_same_quantity(one: &str, other: &str) -> bool {
    let read = |text: &str| text.parse::<Quantity>().ok();
    read(one).is_some_and(|one| read(other) == Some(one))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_api_makes_of_an_object_holds_and_what_others_make_of_it_does_not() {
        let wanted = json!({
            "type": "NodePort",
            "ports": [{"name": "http-ui", "port": 80}, {"name": "ssh", "port": 22}],
            "template": {
                "image": "db:1", "stdin": false, "args": [], "limits": {"memory": "1024Mi", "cpu": 1},
            },
        });
        let mut present = wanted.clone();
        present["clusterIP"] = json!("10.0.0.1");
        present["ports"][0]["nodePort"] = json!(30080);
        present["ports"]
            .as_array_mut()
            .unwrap()
            .insert(1, json!({"name": "more", "port": 1}));
        present["template"] =
            json!({"image": "db:1", "limits": {"memory": "1Gi", "cpu": "1"}, "tty": true});
        assert!(holds(&present, &wanted));
        type Change = fn(&mut Value);
        let changes: [Change; 6] = [
            |it| it["type"] = json!("ClusterIP"),
            |it| it["template"]["image"] = json!("db:2"),
            |it| it["template"]["limits"]["memory"] = json!("2Gi"),
            |it| it["template"]["stdin"] = json!(true),
            |it| it["ports"][0]["port"] = json!(81),
            |it| drop(it["ports"].as_array_mut().unwrap().pop()),
        ];
        for (number, change) in changes.iter().enumerate() {
            let mut other = present.clone();
            change(&mut other);
            assert!(!holds(&other, &wanted), "change {number}");
        }
    }
}
