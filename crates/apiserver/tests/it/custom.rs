//! Custom kinds: served as soon as they are defined, by the rules of their schema.

use serde_json::{Value, json};

use crate::support::{TestServer, in_time};

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const WIDGETS: &str = "/apis/example.com/v1/namespaces/default/widgets";

fn definition() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": "widgets", "kind": "Widget", "shortNames": ["wd"], "categories": ["all"]},
            "versions": [{
                "name": "v1",
                "served": true,
                "storage": true,
                "subresources": {
                    "status": {},
                    "scale": {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.size"},
                },
                "additionalPrinterColumns": [{"name": "Size", "type": "integer", "jsonPath": ".spec.size"}],
                "schema": {"openAPIV3Schema": {
                    "type": "object",
                    "properties": {
                        "spec": {
                            "type": "object",
                            "required": ["color"],
                            "properties": {
                                "color": {"type": "string", "enum": ["red", "blue"]},
                                "size": {"type": "integer", "minimum": 0, "default": 3},
                            },
                        },
                        "status": {
                            "type": "object",
                            "properties": {"size": {"type": "integer"}},
                        },
                    },
                }},
            }],
        },
    })
}

fn widget(name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "example.com/v1",
        "kind": "Widget",
        "metadata": {"name": name},
        "spec": spec,
    })
}

#[tokio::test]
async fn a_definition_is_established_and_served_at_once() {
    let server = TestServer::start().await;
    let (code, _) = server.request("GET", WIDGETS, None).await;
    assert_eq!(code, 404);
    let made = server.create(DEFINITIONS, definition()).await;
    let conditions = made["status"]["conditions"].as_array().unwrap();
    assert!(
        conditions
            .iter()
            .any(|c| c["type"] == "Established" && c["status"] == "True")
    );
    assert_eq!(made["status"]["storedVersions"], json!(["v1"]));
    assert_eq!(made["spec"]["names"]["listKind"], "WidgetList");
    let (code, list) = server.request("GET", WIDGETS, None).await;
    assert_eq!((code, list["kind"].as_str()), (200, Some("WidgetList")));
    let (_, index) = server.request("GET", "/openapi/v3", None).await;
    let url = index["paths"]["apis/example.com/v1"]["serverRelativeURL"]
        .as_str()
        .unwrap();
    let (code, document) = server.request("GET", url, None).await;
    assert_eq!(code, 200);
    assert!(document.to_string().contains("Widget"));
}

#[tokio::test]
async fn objects_are_pruned_defaulted_and_validated() {
    let server = TestServer::start().await;
    server.create(DEFINITIONS, definition()).await;
    let made = server
        .create(WIDGETS, widget("a", json!({"color": "red", "extra": 1})))
        .await;
    assert_eq!(made["spec"], json!({"color": "red", "size": 3}));
    assert_eq!(made["metadata"]["generation"], 1);
    let (code, status) = server
        .request(
            "POST",
            WIDGETS,
            Some(widget("b", json!({"color": "green"}))),
        )
        .await;
    assert_eq!(code, 422, "{status}");
    assert_eq!(status["details"]["causes"][0]["field"], "spec.color");
    let strict = format!("{WIDGETS}?fieldValidation=Strict");
    let (code, status) = server
        .request(
            "POST",
            &strict,
            Some(widget("c", json!({"color": "red", "extra": 1}))),
        )
        .await;
    assert_eq!(code, 400);
    assert!(
        status["message"]
            .as_str()
            .unwrap()
            .contains("unknown field \"spec.extra\""),
        "{status}"
    );
    let mut put = made.clone();
    put["metadata"]["resourceVersion"] = Value::Null;
    let (code, status) = server
        .request("PUT", &format!("{WIDGETS}/a"), Some(put))
        .await;
    assert_eq!(
        code, 422,
        "custom kinds are replaced at a revision only: {status}"
    );
    let (code, _) = server
        .patch(
            &format!("{WIDGETS}/a"),
            "application/strategic-merge-patch+json",
            json!({}),
        )
        .await;
    assert_eq!(code, 415);
}

#[tokio::test]
async fn status_and_scale_are_subresources() {
    let server = TestServer::start().await;
    server.create(DEFINITIONS, definition()).await;
    server
        .create(WIDGETS, widget("a", json!({"color": "red"})))
        .await;
    let one = format!("{WIDGETS}/a");
    let merge = "application/merge-patch+json";
    let change = json!({"status": {"size": 2}, "spec": {"size": 9}});
    let (_, patched) = server.patch(&format!("{one}/status"), merge, change).await;
    assert_eq!(
        (&patched["status"]["size"], &patched["spec"]["size"]),
        (&json!(2), &json!(3))
    );
    assert_eq!(patched["metadata"]["generation"], 1);
    let (_, scale) = server
        .patch(
            &format!("{one}/scale"),
            merge,
            json!({"spec": {"replicas": 5}}),
        )
        .await;
    assert_eq!(
        (&scale["spec"]["replicas"], &scale["status"]["replicas"]),
        (&json!(5), &json!(2))
    );
    let (_, scaled) = server.request("GET", &one, None).await;
    assert_eq!(
        (&scaled["spec"]["size"], &scaled["metadata"]["generation"]),
        (&json!(5), &json!(2))
    );
}

#[tokio::test]
async fn a_definition_that_goes_takes_its_objects_along() {
    let server = TestServer::start().await;
    server.create(DEFINITIONS, definition()).await;
    server
        .create(WIDGETS, widget("a", json!({"color": "red"})))
        .await;
    let path = format!("{DEFINITIONS}/widgets.example.com");
    let (code, _) = server.request("DELETE", &path, None).await;
    assert_eq!(code, 200);
    in_time("the end of the definition", async {
        while server.request("GET", &path, None).await.0 != 404 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(server.request("GET", WIDGETS, None).await.0, 404);
}

#[tokio::test]
async fn a_restarted_server_still_serves_custom_kinds() {
    let server = TestServer::start().await;
    server.create(DEFINITIONS, definition()).await;
    server
        .create(WIDGETS, widget("a", json!({"color": "red"})))
        .await;
    let TestServer {
        api,
        directory,
        config,
    } = server;
    api.shutdown().await;
    let node = std::sync::Arc::new(crate::support::StubNode);
    let api = windlass_apiserver::ApiServer::start(config.clone(), node)
        .await
        .unwrap();
    let server = TestServer {
        api,
        directory,
        config,
    };
    let (code, found) = server.request("GET", &format!("{WIDGETS}/a"), None).await;
    assert_eq!((code, &found["spec"]["size"]), (200, &json!(3)));
}

#[tokio::test]
async fn rules_of_a_schema_hold_for_every_way_to_write() {
    let server = TestServer::start().await;
    let mut bad = definition();
    let rules = "/spec/versions/0/schema/openAPIV3Schema/properties";
    let rule = |text: &str, message: &str| json!([{"rule": text, "message": message}]);
    bad.pointer_mut(rules).unwrap()["spec"]["x-kubernetes-validations"] = rule("self.sise > 0", "");
    let (code, status) = server.request("POST", DEFINITIONS, Some(bad)).await;
    assert_eq!(code, 422, "{status}");
    let cause = &status["details"]["causes"][0];
    assert_eq!(
        cause["field"],
        "spec.validation.openAPIV3Schema.properties[spec].x-kubernetes-validations[0].rule"
    );
    let message = cause["message"].as_str().unwrap();
    assert!(message.contains("undefined field 'sise'"), "{message}");

    let mut good = definition();
    let properties = good.pointer_mut(rules).unwrap();
    properties["spec"]["x-kubernetes-validations"] = json!([
        {"rule": "self.color != 'red' || self.size < 10", "message": "red ones are small"},
        {"rule": "self.size >= oldSelf.size", "messageExpression": "'size may not go below ' + string(oldSelf.size)"},
    ]);
    properties["status"]["x-kubernetes-validations"] = rule("self.size < 100", "status too large");
    server.create(DEFINITIONS, good).await;

    let refused = |answer: (u16, Value), message: &str| {
        assert_eq!(answer.0, 422, "{}", answer.1);
        assert_eq!(answer.1["details"]["causes"][0]["message"], message);
    };
    let large = widget("a", json!({"color": "red", "size": 10}));
    let answer = server.request("POST", WIDGETS, Some(large)).await;
    refused(answer, "Invalid value: red ones are small");
    let made = server
        .create(WIDGETS, widget("a", json!({"color": "red", "size": 5})))
        .await;
    let at = format!("{WIDGETS}/a");
    let mut smaller = made.clone();
    smaller["spec"]["size"] = json!(4);
    let answer = server.request("PUT", &at, Some(smaller)).await;
    refused(answer, "Invalid value: size may not go below 5");
    let merge = "application/merge-patch+json";
    let answer = server
        .patch(&at, merge, json!({"spec": {"size": 11}}))
        .await;
    refused(answer, "Invalid value: red ones are small");
    let apply = "application/apply-patch+yaml";
    let applied = widget("a", json!({"color": "red", "size": 12}));
    let answer = server
        .patch(&format!("{at}?fieldManager=me&force=true"), apply, applied)
        .await;
    refused(answer, "Invalid value: red ones are small");
    let answer = server
        .patch(
            &format!("{at}/status"),
            merge,
            json!({"status": {"size": 100}}),
        )
        .await;
    refused(answer, "Invalid value: status too large");
    let (code, _) = server.patch(&at, merge, json!({"spec": {"size": 9}})).await;
    assert_eq!(code, 200);
}
