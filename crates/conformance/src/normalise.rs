//! Makes the answers of two servers comparable: what each of them makes up (uids, revisions,
//! addresses, random names, times) becomes a name by the order of its first appearance.
//!
//! Laws: equal behaviour gives equal text; a value that appears again gets its name again, so a
//! revision that should have stayed, or an uid that should have changed, is seen.

use std::{borrow::Cow, sync::LazyLock};

use regex::{Captures, Regex};
use serde_json::{Map, Value, json};

/// Times that sequences send themselves; those have to come back as they were.
const SENT_TIMES: [&str; 2] = ["2026-01-02T03:04:05Z", "2020-01-01T00:00:00Z"];
/// The field of node ports, and of the port for health checks of a load balancer.
const PORTS: [&str; 2] = ["nodePort", "healthCheckNodePort"];

#[expect(
    clippy::expect_used,
    reason = "these patterns are compiled by every test"
)]
fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("the pattern is right")
}
static UID: LazyLock<Regex> =
    LazyLock::new(|| pattern("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"));
static TIME: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?(Z|[+-]\d\d:\d\d)"));
static TOKEN_VOLUME: LazyLock<Regex> = LazyLock::new(|| pattern("kube-api-access-[a-z0-9]{5}"));
/// The ranges that the two servers give to Services.
static ADDRESS: LazyLock<Regex> = LazyLock::new(|| pattern(r"\b(?:127\.\d+|10\.96)\.\d+\.\d+\b"));
static PORT_IN_CELL: LazyLock<Regex> = LazyLock::new(|| pattern(r":3[0-2]\d{3}/"));
static NUMBER: LazyLock<Regex> = LazyLock::new(|| pattern(r"\b\d+\b"));

/// The names that one server's values got in a sequence.
#[derive(Debug, Default)]
pub struct Names {
    uids: Vec<String>,
    revisions: Vec<String>,
    addresses: Vec<String>,
    ports: Vec<String>,
    generated: Vec<(String, String)>,
}

impl Names {
    /// Learns a name that the server has made up, from the answer to this request.
    pub fn learn(&mut self, request: usize, body: &Value) {
        let metadata = &body["metadata"];
        if let (Some(prefix), Some(name)) =
            (metadata["generateName"].as_str(), metadata["name"].as_str())
            && name.starts_with(prefix)
            && !self.generated.iter().any(|(known, _)| known == name)
        {
            self.generated
                .push((name.to_owned(), format!("{prefix}#{request}")));
        }
    }

    /// The body of an answer.
    pub fn body(&mut self, body: &Value) -> Value {
        let kind = body["kind"].as_str().unwrap_or_default();
        let mut body = Cow::Borrowed(body);
        if kind.ends_with("List") || kind == "Table" {
            let body = body.to_mut();
            whole_list(&mut body["metadata"]);
            if kind == "Table" {
                hide_ages(body);
            }
        }
        self.value("", &body)
    }

    /// An event of a watch.
    pub fn event(&mut self, event: &Value) -> Value {
        if event["type"] == "BOOKMARK" {
            // Of what a bookmark has besides, kube-apiserver writes what Go's empty object has.
            let object = &event["object"];
            let mut object = json!({
                "apiVersion": object["apiVersion"],
                "kind": object["kind"],
                "metadata": object["metadata"],
            });
            whole_list(&mut object["metadata"]);
            return self.value("", &json!({"type": event["type"], "object": object}));
        }
        let object = self.body(&event["object"]);
        json!({"type": event["type"], "object": object})
    }

    /// A text, such as a warning.
    pub fn text(&mut self, text: &str) -> String {
        let mut text = text.to_owned();
        for (name, symbol) in &self.generated {
            text = text.replace(name, symbol);
        }
        let text = UID.replace_all(&text, |found: &Captures<'_>| {
            symbol("uid", &mut self.uids, &found[0])
        });
        let text = TIME.replace_all(&text, |found: &Captures<'_>| {
            if SENT_TIMES.contains(&&found[0]) {
                found[0].to_owned()
            } else if found.get(1).is_some() {
                "TIME.MICROS".to_owned()
            } else {
                "TIME".to_owned()
            }
        });
        let text = TOKEN_VOLUME.replace_all(&text, "kube-api-access-#");
        let text = ADDRESS.replace_all(&text, |found: &Captures<'_>| {
            symbol("address", &mut self.addresses, &found[0])
        });
        let text = PORT_IN_CELL.replace_all(&text, |found: &Captures<'_>| {
            let port = found[0].trim_matches([':', '/']);
            format!(":{}/", symbol("port", &mut self.ports, port))
        });
        if text.contains("ResourceVersion") || text.contains("resource version") {
            let text = NUMBER.replace_all(&text, |found: &Captures<'_>| {
                let number = &found[0];
                // The one in the record may be of a write whose answer does not tell it.
                if text.contains("does not match the ResourceVersion in record")
                    || self.revisions.iter().any(|known| known == number)
                {
                    symbol("revision", &mut self.revisions, number)
                } else {
                    number.to_owned()
                }
            });
            return text.into_owned();
        }
        text.into_owned()
    }

    fn value(&mut self, field: &str, value: &Value) -> Value {
        match value {
            Value::String(text) if field == "resourceVersion" && is_number(text) => {
                json!(symbol("revision", &mut self.revisions, text))
            }
            Value::String(text) => json!(self.text(text)),
            Value::Number(number) if PORTS.contains(&field) => {
                json!(symbol("port", &mut self.ports, &number.to_string()))
            }
            Value::Array(items) if field == "managedFields" => {
                // Whole seconds decide their order, so it is up to chance.
                let mut sorted: Vec<&Value> = items.iter().collect();
                sorted.sort_by_key(|entry| {
                    ["operation", "manager", "apiVersion", "subresource"]
                        .map(|key| entry[key].to_string())
                });
                sorted
                    .into_iter()
                    .map(|item| self.value("", item))
                    .collect()
            }
            Value::Array(items) if field == "causes" => {
                // kube-apiserver checks metadata in several layers, and repeats what they say.
                let mut causes: Vec<Value> = Vec::new();
                for item in items {
                    let cause = self.value("", item);
                    if !causes.contains(&cause) {
                        causes.push(cause);
                    }
                }
                // The conflicts of an apply come in the order of a Go map, which is none.
                if causes
                    .iter()
                    .all(|cause| cause["reason"] == "FieldManagerConflict")
                {
                    causes.sort_by_key(ToString::to_string);
                }
                Value::Array(causes)
            }
            Value::Array(items) => items.iter().map(|item| self.value(field, item)).collect(),
            Value::Object(fields) => {
                let mut sorted: Vec<(&String, &Value)> = fields.iter().collect();
                sorted.sort_by_key(|(name, _)| *name);
                let fields: Map<String, Value> = sorted
                    .into_iter()
                    .map(|(name, value)| (self.text(name), self.value(name, value)))
                    .collect();
                Value::Object(fields)
            }
            other => other.clone(),
        }
    }
}

/// The revision of a list is that of the whole store, where other sequences write too.
fn whole_list(metadata: &mut Value) {
    if metadata["resourceVersion"].as_str().is_some_and(is_number) {
        metadata["resourceVersion"] = json!("NOW");
    }
    if metadata["continue"]
        .as_str()
        .is_some_and(|token| !token.is_empty())
    {
        metadata["continue"] = json!("TOKEN");
    }
}

fn hide_ages(table: &mut Value) {
    let age = table["columnDefinitions"]
        .as_array()
        .and_then(|columns| columns.iter().position(|column| column["name"] == "Age"));
    for row in table["rows"].as_array_mut().into_iter().flatten() {
        if let Some(cell) = age.and_then(|age| row["cells"].get_mut(age)) {
            *cell = json!("AGE");
        }
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text != "0" && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn symbol(what: &str, known: &mut Vec<String>, text: &str) -> String {
    let index = known
        .iter()
        .position(|known| known == text)
        .unwrap_or_else(|| {
            known.push(text.to_owned());
            known.len() - 1
        });
    format!("{what}#{index}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_makes_up_is_named_by_its_first_appearance() {
        let pod = |uid: &str, revision: &str, time: &str| {
            json!({
                "metadata": {"name": "a", "uid": uid, "resourceVersion": revision, "creationTimestamp": time},
                "spec": {"since": "2026-01-02T03:04:05Z", "clusterIP": "10.96.3.4"},
            })
        };
        let (one, two) = (
            "11111111-2222-3333-4444-555555555555",
            "21111111-2222-3333-4444-555555555555",
        );
        let mut names = Names::default();
        let first = names.body(&pod(one, "12", "2026-11-01T00:00:00Z"));
        assert_eq!(
            first,
            json!({
                "metadata": {"name": "a", "uid": "uid#0", "resourceVersion": "revision#0", "creationTimestamp": "TIME"},
                "spec": {"since": "2026-01-02T03:04:05Z", "clusterIP": "address#0"},
            })
        );
        let again = names.body(&pod(one, "12", "2026-11-01T00:00:09Z"));
        assert_eq!(first, again);
        let other = names.body(&pod(two, "13", "2026-11-01T00:00:00.123456Z"));
        assert_eq!(other["metadata"]["uid"], "uid#1");
        assert_eq!(other["metadata"]["resourceVersion"], "revision#1");
        assert_eq!(other["metadata"]["creationTimestamp"], "TIME.MICROS");
        assert_eq!(
            names.text("the ResourceVersion in the precondition (12) does not match 99"),
            "the ResourceVersion in the precondition (revision#0) does not match 99"
        );
    }

    #[test]
    fn generated_names_are_known_everywhere() {
        let mut names = Names::default();
        names.learn(
            5,
            &json!({"metadata": {"generateName": "gen-5-", "name": "gen-5-x7k2p"}}),
        );
        assert_eq!(
            names.text("pods \"gen-5-x7k2p\" not found"),
            "pods \"gen-5-#5\" not found"
        );
    }

    #[test]
    fn the_revision_of_a_list_is_only_there_or_not() {
        let mut names = Names::default();
        let list = json!({"kind": "PodList", "metadata": {"resourceVersion": "81", "continue": "abc"}, "items": []});
        assert_eq!(
            names.body(&list)["metadata"],
            json!({"resourceVersion": "NOW", "continue": "TOKEN"})
        );
        let list = json!({"kind": "PodList", "metadata": {"resourceVersion": ""}, "items": []});
        assert_eq!(
            names.body(&list)["metadata"],
            json!({"resourceVersion": ""})
        );
    }

    #[test]
    fn owners_of_fields_have_no_order_and_ages_no_value() {
        let mut names = Names::default();
        let owners = |a: &str, b: &str| json!({"metadata": {"managedFields": [{"manager": a, "operation": "Update"}, {"manager": b, "operation": "Update"}]}});
        assert_eq!(names.body(&owners("a", "b")), names.body(&owners("b", "a")));
        let table = json!({
            "kind": "Table",
            "metadata": {},
            "columnDefinitions": [{"name": "Name"}, {"name": "Age"}],
            "rows": [{"cells": ["a", "3s"]}],
        });
        assert_eq!(names.body(&table)["rows"][0]["cells"], json!(["a", "AGE"]));
    }
}
