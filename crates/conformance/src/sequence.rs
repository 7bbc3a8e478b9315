//! What is sent: requests that may speak of earlier answers.
//!
//! Paths, options and bodies hold places that each server fills in with what it answered itself:
//! `{{ns}}` is the namespace, `{{rv:3}}`, `{{uid:3}}`, `{{name:3}}` and `{{continue:3}}` are taken
//! from the answer to request 3.

use serde_json::Value;

use crate::kind::Kind;

/// Requests in their order.
#[derive(Debug, Clone, PartialEq)]
pub struct Sequence {
    /// What it was made from.
    pub seed: u64,
    /// The requests.
    pub requests: Vec<Request>,
}

/// One request.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Its number; stays when others are dropped.
    pub id: usize,
    /// What it is about.
    pub kind: Kind,
    /// The HTTP method.
    pub method: &'static str,
    /// The path.
    pub path: String,
    /// The options.
    pub query: Vec<(String, String)>,
    /// What the client takes.
    pub accept: &'static str,
    /// What is sent.
    pub body: Body,
    /// Whether the answer is a stream, and how the end of the sequence is seen in it.
    pub watch: Option<Watch>,
}

/// How a watch sees that the sequence has ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Watch {
    /// By an object that is made at the end.
    Mark,
    /// By a change of the object of this name, since it sees no other.
    Touch(String),
}

/// What is sent.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// Nothing.
    None,
    /// This.
    Json(&'static str, Value),
    /// The answer to an earlier request, with this merge patch on it.
    Edit {
        /// Its number.
        of: usize,
        /// What to change.
        change: Value,
    },
}

/// The format of objects.
pub const JSON: &str = "application/json";
/// JSON Patch.
pub const JSON_PATCH: &str = "application/json-patch+json";
/// JSON Merge Patch.
pub const MERGE_PATCH: &str = "application/merge-patch+json";
/// Strategic Merge Patch.
pub const STRATEGIC_PATCH: &str = "application/strategic-merge-patch+json";
/// Server-side apply.
pub const APPLY_PATCH: &str = "application/apply-patch+yaml";

/// What a server answered so far, for the places in later requests.
pub trait Answers {
    /// The body of the answer to a request, if that succeeded.
    fn body(&self, id: usize) -> Option<&Value>;
    /// The namespace.
    fn namespace(&self) -> &str;
}

/// A request with its places filled in.
#[derive(Debug, Clone, PartialEq)]
pub struct Filled {
    /// Path and options.
    pub uri: String,
    /// The format of the body.
    pub content_type: &'static str,
    /// The body.
    pub body: Option<Value>,
}

impl Request {
    /// Fills in the places; nothing if an answer that it needs is not there.
    pub fn fill(&self, answers: &dyn Answers) -> Option<Filled> {
        let mut uri = fill_text(&self.path, answers)?;
        for (index, (name, value)) in self.query.iter().enumerate() {
            uri.push(if index == 0 { '?' } else { '&' });
            uri.push_str(name);
            uri.push('=');
            uri.push_str(&escape(&fill_text(value, answers)?));
        }
        let (content_type, body) = match &self.body {
            Body::None => (JSON, None),
            Body::Json(content_type, value) => (*content_type, Some(fill_value(value, answers)?)),
            Body::Edit { of, change } => {
                let mut object = answers.body(*of)?.clone();
                json_patch::merge(&mut object, &fill_value(change, answers)?);
                (JSON, Some(object))
            }
        };
        Some(Filled {
            uri,
            content_type,
            body,
        })
    }

    /// The part of an object that the request is about, as the path says it.
    pub fn subresource(&self) -> &str {
        let after = self.path.split(self.kind.plural()).nth(1);
        after
            .and_then(|rest| rest.split('/').nth(2))
            .unwrap_or_default()
    }
}

fn fill_value(value: &Value, answers: &dyn Answers) -> Option<Value> {
    Some(match value {
        Value::String(text) => Value::String(fill_text(text, answers)?),
        Value::Array(items) => items
            .iter()
            .map(|item| fill_value(item, answers))
            .collect::<Option<_>>()?,
        Value::Object(fields) => Value::Object(
            fields
                .iter()
                .map(|(name, value)| Some((name.clone(), fill_value(value, answers)?)))
                .collect::<Option<_>>()?,
        ),
        other => other.clone(),
    })
}

fn fill_text(text: &str, answers: &dyn Answers) -> Option<String> {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let (place, behind) = after.split_once("}}")?;
        filled.push_str(before);
        filled.push_str(&place_value(place, answers)?);
        rest = behind;
    }
    filled.push_str(rest);
    Some(filled)
}

fn place_value(place: &str, answers: &dyn Answers) -> Option<String> {
    if place == "ns" {
        return Some(answers.namespace().to_owned());
    }
    let (what, id) = place.split_once(':')?;
    let field = match what {
        "rv" => "resourceVersion",
        other => other,
    };
    let text = answers.body(id.parse().ok()?)?["metadata"][field].as_str()?;
    (!text.is_empty()).then(|| text.to_owned())
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    struct One(Value, String);

    impl Answers for One {
        fn body(&self, id: usize) -> Option<&Value> {
            (id == 3).then_some(&self.0)
        }

        fn namespace(&self) -> &str {
            &self.1
        }
    }

    fn request(query: &str, body: Body) -> Request {
        Request {
            id: 4,
            kind: Kind::Pod,
            method: "PUT",
            path: format!("{}/a/status", Kind::Pod.path()),
            query: vec![("x".to_owned(), query.to_owned())],
            accept: JSON,
            body,
            watch: None,
        }
    }

    #[test]
    fn places_are_filled_with_what_was_answered() {
        let answers = One(
            json!({"metadata": {"resourceVersion": "17", "uid": "u"}, "data": {"a": "1"}}),
            "n".to_owned(),
        );
        let edit = Body::Edit {
            of: 3,
            change: json!({"data": {"b": "{{uid:3}}"}}),
        };
        let request = request("a={{rv:3}}", edit);
        assert_eq!(request.subresource(), "status");
        let filled = request.fill(&answers).unwrap();
        assert_eq!(filled.uri, "/api/v1/namespaces/n/pods/a/status?x=a%3D17");
        assert_eq!(filled.body.unwrap()["data"], json!({"a": "1", "b": "u"}));
    }

    #[test]
    fn a_request_without_the_answer_that_it_needs_is_left_out() {
        let answers = One(json!({"metadata": {}}), "n".to_owned());
        for place in ["{{rv:2}}", "{{continue:3}}", "{{rv:3}}"] {
            assert_eq!(request(place, Body::None).fill(&answers), None, "{place}");
        }
    }
}
