//! Where two specs differ, value by value, and what each difference does to an application.
//!
//! [`changes`](super::changes) tells the operator in which of its fields an application differs
//! from what runs. This tells a person, before anything is changed, down to the value. Values that
//! look like secrets are never shown.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::changes::{Effect, canonical, effect_of};

/// A value that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Where, from the root of the object: `spec.sparkConf["spark.ui.port"]`.
    pub path: String,
    /// What is there now; `None` where nothing is.
    pub now: Option<Value>,
    /// What is to be there; `None` where nothing is.
    pub then: Option<Value>,
    /// What the change does.
    pub effect: Effect,
}

/// The differences of two specs, by path. Maps are compared key by key and lists as a whole; what
/// is empty is the same as what is not there. Both specs have the defaults of the API, or neither.
pub fn differences(now: &Value, then: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    compare("", Some(now), Some(then), &mut found);
    found
}

fn compare(path: &str, now: Option<&Value>, then: Option<&Value>, found: &mut Vec<Difference>) {
    let text = |value: Option<&Value>| value.and_then(canonical);
    if text(now) == text(then) {
        return;
    }
    let fields = |value: Option<&Value>| value.and_then(Value::as_object).cloned();
    match (fields(now), fields(then)) {
        (None, None) => {
            // A field that is in no row is none of the spec: the API drops it.
            if let Some(effect) = effect_of(path) {
                found.push(Difference {
                    path: format!("spec.{path}"),
                    now: shown(path, now),
                    then: shown(path, then),
                    effect,
                });
            }
        }
        (now, then) => {
            let (now, then) = (now.unwrap_or_default(), then.unwrap_or_default());
            let keys: BTreeSet<&String> = now.keys().chain(then.keys()).collect();
            for key in keys {
                compare(&below(path, key), now.get(key), then.get(key), found);
            }
        }
    }
}

/// The path of a key; one that has dots itself stands in brackets.
fn below(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else if key.contains(['.', '/', '[']) {
        format!("{path}[{key:?}]")
    } else {
        format!("{path}.{key}")
    }
}

const REDACTED: &str = "(redacted)";

/// The value as a person may see it; nothing where it says nothing.
fn shown(path: &str, value: Option<&Value>) -> Option<Value> {
    let value = value.filter(|value| canonical(value).is_some())?;
    if looks_secret(path) {
        return Some(REDACTED.into());
    }
    Some(without_secrets(value))
}

/// The same words as in Spark's own default of `spark.redaction.regex`.
fn looks_secret(name: &str) -> bool {
    let name = name.to_lowercase();
    let words = [
        "secret",
        "password",
        "token",
        "accesskey",
        "access.key",
        "access_key",
        "credential",
    ];
    words.iter().any(|word| name.contains(word))
}

/// Lists hold variables as `{name, value}`.
fn without_secrets(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(without_secrets).collect(),
        Value::Object(fields) => {
            let secret = fields
                .get("name")
                .and_then(Value::as_str)
                .is_some_and(looks_secret);
            let field = |(key, inner): (&String, &Value)| {
                let hidden = secret && key == "value" || inner.is_string() && looks_secret(key);
                let inner = if hidden {
                    REDACTED.into()
                } else {
                    without_secrets(inner)
                };
                (key.clone(), inner)
            };
            Value::Object(fields.iter().map(field).collect::<Map<_, _>>())
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Each difference as a line.
    fn lines(now: &Value, then: &Value) -> Vec<String> {
        let line = |it: Difference| {
            let text = |value: Option<Value>| value.map_or("-".to_owned(), |it| it.to_string());
            format!(
                "{} {} {} {:?}",
                it.path,
                text(it.now),
                text(it.then),
                it.effect
            )
        };
        differences(now, then).into_iter().map(line).collect()
    }

    #[test]
    fn each_value_that_differs_is_told_with_its_place_and_what_it_does() {
        for (now, then, expected) in [
            (
                json!({"image": "a", "driver": {"cores": 1, "labels": {"team": "x"}}}),
                json!({"image": "b", "driver": {"cores": 1, "labels": {"team": "y", "b.c/d": "e"}}}),
                vec![
                    r#"spec.driver.labels["b.c/d"] - "e" NextAttempt"#,
                    r#"spec.driver.labels.team "x" "y" NextAttempt"#,
                    r#"spec.image "a" "b" Restart"#,
                ],
            ),
            (
                json!({"sparkConf": {"spark.ui.port": "1"}}),
                json!({"timeToLiveSeconds": 60}),
                vec![
                    r#"spec.sparkConf["spark.ui.port"] "1" - Restart"#,
                    "spec.timeToLiveSeconds - 60 InPlace",
                ],
            ),
            (
                json!({"arguments": ["1", "2"], "mode": "cluster"}),
                json!({"arguments": ["2", "1"], "mode": "client"}),
                vec![
                    r#"spec.arguments ["1","2"] ["2","1"] Restart"#,
                    r#"spec.mode "cluster" "client" Rejected"#,
                ],
            ),
        ] {
            assert_eq!(lines(&now, &then), expected);
        }
    }

    #[test]
    fn what_says_nothing_is_no_difference() {
        let then = json!({"arguments": [], "driver": {"env": [], "labels": null}, "deps": {}});
        assert_eq!(lines(&json!({}), &then), Vec::<String>::new());
        assert_eq!(lines(&then, &json!({})), Vec::<String>::new());
    }

    #[test]
    fn what_is_no_field_is_no_difference() {
        let then = json!({"colour": "red"});
        assert_eq!(lines(&json!({}), &then), Vec::<String>::new());
    }

    #[test]
    fn secrets_are_told_to_differ_and_not_shown() {
        let now = json!({
            "sparkConf": {"spark.hadoop.fs.s3a.secret.key": "planted"},
            "driver": {"env": [{"name": "API_TOKEN", "value": "planted"}]},
        });
        let then = json!({
            "hadoopConf": {"fs.s3a.access.key": "planted"},
            "driver": {"envVars": {"DB_PASSWORD": "planted"}},
        });
        let lines = lines(&now, &then);
        assert_eq!(lines.len(), 4, "{lines:?}");
        assert!(!lines.concat().contains("planted"), "{lines:?}");
    }
}
