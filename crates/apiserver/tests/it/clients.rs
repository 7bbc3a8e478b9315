//! What clients meet in daily use, and take from the answer besides its code: reasons, causes,
//! details and warnings.

use serde_json::{Value, json};

use crate::support::{CONFIG_MAPS, PODS, TestServer, config_map, pod, send};

const MERGE: &str = "application/merge-patch+json";
const APPLY: &str = "application/apply-patch+yaml";

/// The causes of a refusal, as `reason field`.
fn causes(status: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let causes = status["details"]["causes"].as_array();
    causes
        .into_iter()
        .flatten()
        .map(|cause| format!("{} {}", text(&cause["reason"]), text(&cause["field"])))
        .collect()
}

#[tokio::test]
async fn wrong_options_are_invalid_and_name_the_option() {
    let server = TestServer::start().await;
    server.default_account().await;
    server.create(CONFIG_MAPS, config_map("a", json!({}))).await;
    server.create(PODS, pod("p")).await;
    let one = format!("{CONFIG_MAPS}/a");
    let long = format!("{one}?fieldManager={}", "m".repeat(129));
    // method, path, content type, body, kind of the options, causes
    let cases: &[(&str, &str, &str, Value, &str, &[&str])] = &[
        (
            "GET",
            &format!("{CONFIG_MAPS}?resourceVersionMatch=Exact"),
            "",
            Value::Null,
            "ListOptions",
            &["FieldValueForbidden resourceVersionMatch"],
        ),
        (
            "GET",
            &format!("{CONFIG_MAPS}?resourceVersion=1&resourceVersionMatch=Newest"),
            "",
            Value::Null,
            "ListOptions",
            &["FieldValueNotSupported resourceVersionMatch"],
        ),
        (
            "GET",
            &format!("{CONFIG_MAPS}?sendInitialEvents=true"),
            "",
            Value::Null,
            "ListOptions",
            &["FieldValueForbidden sendInitialEvents"],
        ),
        (
            "GET",
            &format!("{CONFIG_MAPS}?watch=true&sendInitialEvents=true"),
            "",
            Value::Null,
            "ListOptions",
            &["FieldValueForbidden resourceVersionMatch"],
        ),
        (
            "POST",
            &format!("{CONFIG_MAPS}?dryRun=Some"),
            "application/json",
            config_map("b", json!({})),
            "CreateOptions",
            &["FieldValueNotSupported dryRun"],
        ),
        (
            "PUT",
            &format!("{one}?fieldValidation=Loose"),
            "application/json",
            config_map("a", json!({})),
            "UpdateOptions",
            &["FieldValueNotSupported fieldValidation"],
        ),
        (
            "PATCH",
            &long,
            MERGE,
            json!({}),
            "PatchOptions",
            &["FieldValueTooLong fieldManager"],
        ),
        (
            "PATCH",
            &format!("{one}?force=true"),
            MERGE,
            json!({}),
            "PatchOptions",
            &["FieldValueForbidden force"],
        ),
        (
            "PATCH",
            &one,
            APPLY,
            config_map("a", json!({})),
            "PatchOptions",
            &["FieldValueRequired fieldManager"],
        ),
        (
            "DELETE",
            &one,
            "application/json",
            json!({"propagationPolicy": "Sideways", "dryRun": ["Some"]}),
            "DeleteOptions",
            &[
                "FieldValueNotSupported propagationPolicy",
                "FieldValueNotSupported dryRun",
            ],
        ),
        (
            "DELETE",
            &format!("{CONFIG_MAPS}?propagationPolicy=Orphan&orphanDependents=true"),
            "",
            Value::Null,
            "DeleteOptions",
            &["FieldValueInvalid propagationPolicy"],
        ),
        (
            "GET",
            &format!("{PODS}/p/log?tailLines=-1"),
            "",
            Value::Null,
            "PodLogOptions",
            &["FieldValueInvalid tailLines"],
        ),
    ];
    let admin = server.admin();
    for (method, path, format, body, kind, expected) in cases {
        let body = Some(body.clone()).filter(|body| !body.is_null());
        let (code, status) = send(&admin, method, path, format, body).await;
        assert_eq!(code, 422, "{method} {path}: {status}");
        assert_eq!(status["reason"], "Invalid", "{method} {path}");
        assert_eq!(status["details"]["kind"], *kind, "{method} {path}");
        assert_eq!(causes(&status), *expected, "{method} {path}: {status}");
    }
    let (code, _) = server.request("GET", &one, None).await;
    assert_eq!(code, 200, "nothing of it was carried out");
}

#[tokio::test]
async fn a_path_that_is_not_served_has_empty_details() {
    let server = TestServer::start().await;
    server.default_account().await;
    server.create(PODS, pod("p")).await;
    // kubectl debug reads the details of the first one without asking whether there are any.
    for (method, path) in [
        ("PATCH", format!("{PODS}/p/ephemeralcontainers")),
        ("GET", "/api/v1/things".to_owned()),
        ("PUT", PODS.to_owned()),
    ] {
        let (_, status) = server.request(method, &path, Some(json!({}))).await;
        assert_eq!(status["details"], json!({}), "{method} {path}: {status}");
    }
    let (_, status) = server.request("GET", &format!("{PODS}/q"), None).await;
    assert_eq!(status["details"], json!({"kind": "pods", "name": "q"}));
}
