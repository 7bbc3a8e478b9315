//! What clients meet in daily use, and take from the answer besides its code: reasons, causes,
//! details and warnings.

use serde_json::{Value, json};

use crate::support::{CONFIG_MAPS, PODS, TestServer, config_map, pod, send, send_raw};

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
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

/// Method, path, content type, body, kind of the options, causes.
type Case<'a> = (&'a str, &'a str, &'a str, Value, &'a str, &'a [&'a str]);

#[tokio::test]
async fn wrong_options_are_invalid_and_name_the_option() {
    let server = TestServer::start().await;
    server.default_account().await;
    server.create(CONFIG_MAPS, config_map("a", json!({}))).await;
    server.create(PODS, pod("p")).await;
    let one = format!("{CONFIG_MAPS}/a");
    let long = format!("{one}?fieldManager={}", "m".repeat(129));
    let cases: &[Case<'_>] = &[
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

#[tokio::test]
async fn roles_may_be_named_with_colons() {
    let server = TestServer::start().await;
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    for (path, kind) in [
        (format!("{rbac}/clusterroles"), "ClusterRole"),
        (format!("{rbac}/namespaces/default/roles"), "Role"),
    ] {
        let role = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": kind,
            "metadata": {"name": "monitoring:Reader", "labels": {"a": "b"}},
            "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}],
        });
        server.create(&path, role).await;
        let one = format!("{path}/monitoring:Reader");
        let labels = json!({"metadata": {"labels": {"a": "c"}}});
        let (code, role) = server.patch(&one, MERGE, labels).await;
        assert_eq!(code, 200, "{role}");
        let (code, status) = server.request("DELETE", &one, None).await;
        assert_eq!(code, 200, "{status}");
    }
}

#[tokio::test]
async fn what_is_wrong_with_metadata_is_told_once() {
    let server = TestServer::start().await;
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": "widgets", "kind": "Widget"},
            "versions": [{
                "name": "v1",
                "served": true,
                "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object"}},
            }],
        },
    });
    server.create(DEFINITIONS, definition).await;
    let widgets = "/apis/example.com/v1/namespaces/default/widgets";
    // metadata, its complaints, and those that only built-in kinds have
    let cases = [
        (json!({}), vec!["FieldValueRequired metadata.name"], vec![]),
        (
            json!({"name": "a", "labels": {"k": "-"}}),
            vec!["FieldValueInvalid metadata.labels"],
            vec![],
        ),
        (
            json!({"name": "a", "finalizers": ["mine"]}),
            vec![],
            vec!["FieldValueInvalid metadata.finalizers[0]"],
        ),
    ];
    for (metadata, everywhere, built_in) in cases {
        let object = json!({"metadata": metadata});
        let custom =
            json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": metadata});
        let (_, status) = server.request("POST", CONFIG_MAPS, Some(object)).await;
        let expected = [everywhere.clone(), built_in].concat();
        assert_eq!(causes(&status), expected, "{status}");
        let (_, status) = server.request("POST", widgets, Some(custom)).await;
        assert_eq!(causes(&status), everywhere, "{status}");
    }
    let unconditional = json!({
        "apiVersion": "example.com/v1",
        "kind": "Widget",
        "metadata": {"name": "a", "labels": {"k": "v"}},
    });
    let one = format!("{widgets}/a");
    let (_, status) = server.request("PUT", &one, Some(unconditional)).await;
    assert_eq!(
        status["message"],
        "widgets.example.com \"a\" is invalid: metadata.resourceVersion: Invalid value: 0: must \
         be specified for an update"
    );
    let (code, status) = server
        .request("POST", CONFIG_MAPS, Some(json!({"metadata": []})))
        .await;
    assert_eq!((code, &status["reason"]), (400, &json!("BadRequest")));
}

#[tokio::test]
async fn whoever_makes_what_nothing_acts_upon_is_told_so() {
    let server = TestServer::start().await;
    server.default_account().await;
    let admin = server.admin();
    let daemons = json!({
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "web"},
        "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "web", "image": "nginx"}]},
            },
        },
    });
    let path = "/apis/apps/v1/namespaces/default/daemonsets";
    let warning = "299 - \"a DaemonSet is only stored: nothing in this cluster acts upon it\"";
    let applied = format!("{path}/other?fieldManager=me");
    let mut other = daemons.clone();
    other["metadata"]["name"] = json!("other");
    for (method, path, format, body) in [
        ("POST", path, "application/json", &daemons),
        ("PATCH", applied.as_str(), APPLY, &other),
    ] {
        let format = [("content-type", format)];
        let (code, headers, answer) =
            send_raw(&admin, method, path, &format, Some(body.clone())).await;
        assert_eq!(code, 201, "{answer}");
        assert_eq!(headers.get("warning").unwrap(), warning, "{method}");
    }
    for (path, object) in [(CONFIG_MAPS, config_map("a", json!({}))), (PODS, pod("p"))] {
        let (code, headers, _) = send_raw(&admin, "POST", path, &[], Some(object)).await;
        assert_eq!((code, headers.get("warning")), (201, None), "{path}");
    }
}
