//! What an API server asks an admission webhook and what it is answered (`admission.k8s.io/v1`).

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

/// The most of a message that an API server passes on in one piece.
const MESSAGE_LIMIT: usize = 8 * 1024;

/// A write that is about to happen.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    uid: String,
    /// What is written.
    pub kind: GroupVersionKind,
    /// Its namespace, if it has one.
    #[serde(default)]
    pub namespace: Option<String>,
    /// What is done to it.
    pub operation: Operation,
    /// As it will be; null when it is deleted.
    #[serde(default)]
    pub object: Value,
    /// As it was; null when it is created.
    #[serde(default)]
    pub old_object: Value,
    /// Who writes.
    #[serde(default)]
    pub user_info: User,
}

/// Who writes, as the API server knows them.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
pub struct User {
    /// The name.
    #[serde(default)]
    pub username: String,
    /// Another one, that is not used twice.
    #[serde(default)]
    pub uid: String,
    /// The groups.
    #[serde(default)]
    pub groups: Vec<String>,
    /// What else an authenticator has said.
    #[serde(default)]
    pub extra: Value,
}

/// A kind, by its parts.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct GroupVersionKind {
    /// The group, empty for the core group.
    pub group: String,
    /// The version.
    pub version: String,
    /// The kind.
    pub kind: String,
}

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Operation {
    /// A new object.
    Create,
    /// Another state of an object.
    Update,
    /// Its end.
    Delete,
    /// A stream to it.
    Connect,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Verdict {
    /// Whether, and as what, it may happen.
    pub outcome: Outcome,
    /// Lines that clients show to people.
    pub warnings: Vec<String>,
}

/// Whether, and as what, a write may happen.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Outcome {
    /// As it was asked for.
    #[default]
    Allowed,
    /// As this object.
    Changed(Value),
    /// Not at all, for these reasons.
    Refused(Vec<String>),
}

impl Verdict {
    /// It may happen as it was asked for.
    pub fn allowed() -> Self {
        Self::default()
    }

    /// It may not happen, for these reasons; without any, it may.
    pub fn of_problems(problems: Vec<String>) -> Self {
        let outcome = if problems.is_empty() {
            Outcome::Allowed
        } else {
            Outcome::Refused(problems)
        };
        Self {
            outcome,
            warnings: Vec::new(),
        }
    }
}

/// Reads the body of a call; an error says what is wrong with it.
pub(super) fn read(body: &[u8]) -> Result<Request, String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Envelope {
        api_version: String,
        kind: String,
        request: Request,
    }
    let envelope: Envelope = serde_json::from_slice(body)
        .map_err(|error| format!("this is no AdmissionReview with a request: {error}"))?;
    if envelope.kind != "AdmissionReview" || envelope.api_version != "admission.k8s.io/v1" {
        return Err(format!(
            "admission.k8s.io/v1 AdmissionReview is understood, not {} {}",
            envelope.api_version, envelope.kind
        ));
    }
    Ok(envelope.request)
}

/// The body of the answer.
pub(super) fn answer(request: &Request, verdict: &Verdict) -> Value {
    let mut response = json!({ "uid": request.uid, "allowed": true });
    match &verdict.outcome {
        Outcome::Allowed => {}
        Outcome::Changed(object) => {
            let patch = json_patch::diff(&request.object, object);
            if !patch.0.is_empty() {
                // A patch is plain data, whose serialization cannot fail.
                let patch = serde_json::to_vec(&patch).unwrap_or_default();
                response["patchType"] = json!("JSONPatch");
                response["patch"] = json!(BASE64_STANDARD.encode(patch));
            }
        }
        Outcome::Refused(problems) => {
            let mut message = problems.join("; ");
            if message.len() > MESSAGE_LIMIT {
                message.truncate(message.floor_char_boundary(MESSAGE_LIMIT));
                message.push_str("...");
            }
            response["allowed"] = json!(false);
            response["status"] = json!({
                "status": "Failure", "code": 422, "reason": "Invalid", "message": message,
            });
        }
    }
    if !verdict.warnings.is_empty() {
        response["warnings"] = json!(verdict.warnings);
    }
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "response": response,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn review(request: &Value) -> Vec<u8> {
        let review = json!({
            "apiVersion": "admission.k8s.io/v1",
            "kind": "AdmissionReview",
            "request": request,
        });
        serde_json::to_vec(&review).unwrap()
    }

    fn request(object: &Value) -> Request {
        let request = json!({
            "uid": "u1",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "namespace": "jobs",
            "operation": "CREATE",
            "object": object,
            "oldObject": null,
            "dryRun": false,
            "options": {},
        });
        read(&review(&request)).unwrap()
    }

    #[test]
    fn an_answer_names_the_question_and_says_what_was_decided() {
        let pod = json!({"metadata": {"name": "p"}});
        let request = request(&pod);
        let changed = json!({"metadata": {"name": "p", "labels": {"a": "b"}}});
        let with = |outcome, warnings: &[&str]| {
            let warnings = warnings.iter().map(|&it| it.to_owned()).collect();
            answer(&request, &Verdict { outcome, warnings })["response"].clone()
        };
        assert_eq!(
            with(Outcome::Allowed, &["careful"]),
            json!({"uid": "u1", "allowed": true, "warnings": ["careful"]})
        );
        assert_eq!(
            with(
                Outcome::Refused(vec!["a is wrong".to_owned(), "b too".to_owned()]),
                &[]
            ),
            json!({"uid": "u1", "allowed": false, "status": {
                "status": "Failure", "code": 422, "reason": "Invalid", "message": "a is wrong; b too",
            }})
        );
        let patch = with(Outcome::Changed(changed), &[]);
        let patch = BASE64_STANDARD
            .decode(patch["patch"].as_str().unwrap())
            .unwrap();
        assert_eq!(
            serde_json::from_slice::<Value>(&patch).unwrap(),
            json!([{"op": "add", "path": "/metadata/labels", "value": {"a": "b"}}])
        );
        // What is changed to itself is not patched.
        assert_eq!(
            with(Outcome::Changed(pod), &[]),
            json!({"uid": "u1", "allowed": true})
        );
    }

    #[test]
    fn a_long_refusal_is_cut_between_characters() {
        let request = request(&Value::Null);
        let refused = Verdict::of_problems(vec!["ü".repeat(MESSAGE_LIMIT)]);
        let message = answer(&request, &refused);
        let message = message["response"]["status"]["message"].as_str().unwrap();
        assert!(message.len() <= MESSAGE_LIMIT + 3 && message.ends_with("ü..."));
    }

    #[test]
    fn what_is_no_review_is_refused_with_the_reason() {
        for (body, expected) in [
            ("", "this is no AdmissionReview"),
            ("{}", "this is no AdmissionReview"),
            (
                r#"{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}"#,
                "missing field `request`",
            ),
        ] {
            let error = read(body.as_bytes()).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        let mut old: Value = serde_json::from_slice(&review(&json!({
            "uid": "u", "kind": {"group": "", "version": "v1", "kind": "Pod"}, "operation": "CREATE",
        })))
        .unwrap();
        old["apiVersion"] = json!("admission.k8s.io/v1beta1");
        let error = read(old.to_string().as_bytes()).unwrap_err();
        assert!(error.contains("not admission.k8s.io/v1beta1"), "{error}");
    }
}
