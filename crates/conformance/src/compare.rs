//! Where two answers differ.

use serde_json::{Value, json};

use crate::sequence::Request;

/// An answer, with what a server makes up named.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The format.
    pub content_type: String,
    /// The texts of `Warning` headers.
    pub warnings: Vec<String>,
    /// The body; text that is no JSON is a string.
    pub body: Value,
}

/// One place where answers differ.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// A JSON pointer into the answer as a whole.
    pub place: String,
    /// What the embedded server says there.
    pub embedded: Option<Value>,
    /// What the real one says.
    pub real: Option<Value>,
}

impl Answer {
    fn whole(&self) -> Value {
        json!({
            "status": self.status,
            "content-type": self.content_type,
            "warnings": self.warnings,
            "body": self.body,
        })
    }
}

/// All places where two answers differ.
pub fn answers(embedded: &Answer, real: &Answer) -> Vec<Difference> {
    values(&embedded.whole(), &real.whole())
}

/// All places where two streams of events differ.
pub fn streams(embedded: &[Value], real: &[Value]) -> Vec<Difference> {
    values(&json!({"events": embedded}), &json!({"events": real}))
}

fn values(embedded: &Value, real: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    collect(String::new(), Some(embedded), Some(real), &mut found);
    found
}

fn collect(
    place: String,
    embedded: Option<&Value>,
    real: Option<&Value>,
    found: &mut Vec<Difference>,
) {
    match (embedded, real) {
        (Some(Value::Object(ours)), Some(Value::Object(theirs))) => {
            let mut fields: Vec<&String> = ours.keys().chain(theirs.keys()).collect();
            fields.sort();
            fields.dedup();
            for field in fields {
                let escaped = field.replace('~', "~0").replace('/', "~1");
                collect(
                    format!("{place}/{escaped}"),
                    ours.get(field),
                    theirs.get(field),
                    found,
                );
            }
        }
        (Some(Value::Array(ours)), Some(Value::Array(theirs))) => {
            for index in 0..ours.len().max(theirs.len()) {
                collect(
                    format!("{place}/{index}"),
                    ours.get(index),
                    theirs.get(index),
                    found,
                );
            }
        }
        _ if embedded == real => {}
        _ => found.push(Difference {
            place,
            embedded: embedded.cloned(),
            real: real.cloned(),
        }),
    }
}

/// What differences of one cause have in common: verb, kind and place, without numbers.
pub fn signature(request: &Request, statuses: (u16, u16), differences: &[Difference]) -> String {
    let verb = if request.watch.is_some() {
        "WATCH"
    } else {
        request.method
    };
    let format = match &request.body {
        crate::sequence::Body::Json(format, _) => {
            format.split(['/', '+']).nth(1).unwrap_or_default()
        }
        crate::sequence::Body::Edit { .. } => "edit",
        crate::sequence::Body::None => "",
    };
    let codes = if statuses.0 == statuses.1 {
        statuses.0.to_string()
    } else {
        format!("{}/{}", statuses.0, statuses.1)
    };
    let at = differences
        .iter()
        .find(|difference| difference.place != "/status")
        .or(differences.first());
    let place = at
        .map(|difference| general(&difference.place))
        .unwrap_or_default();
    format!(
        "{verb} {}/{} {format} {codes} {place}",
        request.kind.name(),
        request.subresource()
    )
}

/// A place without the numbers of items.
pub fn general(place: &str) -> String {
    place
        .split('/')
        .map(|step| {
            let is_index = !step.is_empty() && step.bytes().all(|byte| byte.is_ascii_digit());
            if is_index { "*" } else { step }
        })
        .collect::<Vec<_>>()
        .join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: Value) -> Answer {
        Answer {
            status,
            content_type: "application/json".to_owned(),
            warnings: Vec::new(),
            body,
        }
    }

    #[test]
    fn every_place_that_differs_is_named() {
        let cases = [
            (json!({"a": 1}), json!({"a": 1}), vec![]),
            (json!({"a": 1}), json!({"a": 2}), vec!["/body/a"]),
            (json!({"a": 1}), json!({}), vec!["/body/a"]),
            (json!({"a": null}), json!({}), vec!["/body/a"]),
            (
                json!({"a": {"b/c": [1, 2]}}),
                json!({"a": {"b/c": [1]}}),
                vec!["/body/a/b~1c/1"],
            ),
            (
                json!([{"x": 1}, 3]),
                json!([{"x": 2}, {}]),
                vec!["/body/0/x", "/body/1"],
            ),
        ];
        for (ours, theirs, expected) in cases {
            let found = answers(&answer(200, ours.clone()), &answer(200, theirs.clone()));
            let places: Vec<&str> = found
                .iter()
                .map(|difference| difference.place.as_str())
                .collect();
            assert_eq!(places, expected, "{ours} {theirs}");
        }
        let found = answers(&answer(200, json!(1)), &answer(404, json!(1)));
        assert_eq!(found[0].place, "/status");
    }

    #[test]
    fn events_differ_by_place_in_the_stream() {
        let found = streams(
            &[json!({"type": "ADDED"})],
            &[json!({"type": "ADDED"}), json!({"type": "DELETED"})],
        );
        assert_eq!(found[0].place, "/events/1");
        assert_eq!(general(&found[0].place), "/events/*");
    }
}
