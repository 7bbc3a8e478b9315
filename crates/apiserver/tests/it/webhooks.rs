//! Admission webhooks, with a real HTTPS server on the other side.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::support::{TestServer, pod, send_raw};

const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";
const REGISTRATION: &str = "/apis/admissionregistration.k8s.io/v1";

type Answer = dyn Fn(&Value) -> Value + Send + Sync;

/// A webhook: what it answers, and what it was asked.
struct Hook {
    address: SocketAddr,
    authority: String,
    asked: Arc<Mutex<Vec<Value>>>,
}

impl Hook {
    /// Serves at `address`, with a certificate for these names; `answer` makes the response of a
    /// request.
    async fn serve(
        address: &str,
        names: &[&str],
        answer: impl Fn(&Value) -> Value + Send + Sync + 'static,
    ) -> Self {
        let ca_key = KeyPair::generate().unwrap();
        let mut ca = CertificateParams::new(Vec::new()).unwrap();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = ca.self_signed(&ca_key).unwrap().pem();
        let issuer = Issuer::new(ca, ca_key);
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let certificate = CertificateParams::new(names)
            .unwrap()
            .signed_by(&key, &issuer)
            .unwrap();
        let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], private)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (seen, answer): (_, Arc<Answer>) = (Arc::clone(&asked), Arc::new(answer));
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (acceptor, seen) = (acceptor.clone(), Arc::clone(&seen));
                let answer = Arc::clone(&answer);
                tokio::spawn(async move {
                    let Ok(tls) = acceptor.accept(socket).await else {
                        return;
                    };
                    let respond = move |request: http::Request<Incoming>| {
                        let (seen, answer) = (Arc::clone(&seen), Arc::clone(&answer));
                        async move {
                            assert_eq!(request.headers()["content-type"], "application/json");
                            assert!(request.uri().query().unwrap().starts_with("timeout="));
                            let body = request.into_body().collect().await?.to_bytes();
                            let review: Value = serde_json::from_slice(&body).unwrap();
                            let mut response = answer(&review["request"]);
                            response["uid"] = review["request"]["uid"].clone();
                            seen.lock().unwrap().push(review);
                            let answer = json!({
                                "apiVersion": "admission.k8s.io/v1",
                                "kind": "AdmissionReview",
                                "response": response,
                            });
                            Ok::<_, hyper::Error>(http::Response::new(Full::new(Bytes::from(
                                answer.to_string(),
                            ))))
                        }
                    };
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(tls), service_fn(respond))
                        .await;
                });
            }
        });
        Self {
            address,
            authority,
            asked,
        }
    }

    fn client_config(&self) -> Value {
        json!({
            "url": format!("https://{}/hook", self.address),
            "caBundle": BASE64_STANDARD.encode(&self.authority),
        })
    }

    /// What it was asked since the last time.
    fn requests(&self) -> Vec<Value> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

/// A webhook of a configuration, about all config maps.
fn webhook(client: &Value, more: &Value) -> Value {
    let mut webhook = json!({
        "name": "maps.example.com",
        "clientConfig": client,
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "rules": [{
            "apiGroups": [""],
            "apiVersions": ["v1"],
            "resources": ["configmaps"],
            "operations": ["*"],
        }],
    });
    for (field, value) in more.as_object().into_iter().flatten() {
        webhook[field] = value.clone();
    }
    webhook
}

async fn register(server: &TestServer, mutating: bool, name: &str, webhooks: Vec<Value>) {
    let plural = if mutating {
        "mutatingwebhookconfigurations"
    } else {
        "validatingwebhookconfigurations"
    };
    let path = format!("{REGISTRATION}/{plural}");
    let object = json!({"metadata": {"name": name}, "webhooks": webhooks});
    server.create(&path, object).await;
}

async fn unregister(server: &TestServer, mutating: bool, name: &str) {
    let plural = if mutating {
        "mutatingwebhookconfigurations"
    } else {
        "validatingwebhookconfigurations"
    };
    let path = format!("{REGISTRATION}/{plural}/{name}");
    assert_eq!(server.request("DELETE", &path, None).await.0, 200);
}

fn map(name: &str, data: &Value) -> Value {
    json!({"metadata": {"name": name}, "data": data})
}

fn patch(operations: &Value) -> Value {
    json!({
        "allowed": true,
        "patchType": "JSONPatch",
        "patch": BASE64_STANDARD.encode(operations.to_string()),
    })
}

#[tokio::test]
async fn mutating_webhooks_change_objects_one_after_another() {
    let server = TestServer::start().await;
    let second = Hook::serve("127.0.0.1:0", &["127.0.0.1"], |request| {
        let before = request["object"]["data"]["said"].as_str().unwrap_or("");
        patch(&json!([{"op": "add", "path": "/data/said", "value": format!("{before}b")}]))
    })
    .await;
    let first = Hook::serve("127.0.0.1:0", &["127.0.0.1"], |_| {
        let mut answer = patch(&json!([{"op": "add", "path": "/data/said", "value": "a"}]));
        answer["warnings"] = json!(["mind the gap"]);
        answer
    })
    .await;
    let only_writes = json!({"rules": [{
        "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["configmaps"],
        "operations": ["CREATE", "UPDATE"],
    }]});
    let (of_first, of_second) = (first.client_config(), second.client_config());
    register(&server, true, "z", vec![webhook(&of_second, &only_writes)]).await;
    register(&server, true, "a", vec![webhook(&of_first, &only_writes)]).await;

    let (code, headers, text) = send_raw(
        &server.admin(),
        "POST",
        &format!("{CONFIG_MAPS}?fieldManager=me"),
        &[("content-type", "application/json")],
        Some(map("m", &json!({"k": "v"}))),
    )
    .await;
    assert_eq!(code, 201, "{text}");
    assert_eq!(headers["warning"], "299 - \"mind the gap\"");
    let made: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(made["data"], json!({"k": "v", "said": "ab"}));
    // What webhooks add is nobody's.
    let fields = made["metadata"]["managedFields"][0]["fieldsV1"].to_string();
    assert!(
        fields.contains("f:k") && !fields.contains("f:said"),
        "{fields}"
    );

    let asked = first.requests();
    let review = &asked[0];
    assert_eq!(review["apiVersion"], "admission.k8s.io/v1");
    assert_eq!(review["kind"], "AdmissionReview");
    let request = &review["request"];
    let kind = json!({"group": "", "version": "v1", "kind": "ConfigMap"});
    let resource = json!({"group": "", "version": "v1", "resource": "configmaps"});
    for (field, expected) in [
        ("kind", &kind),
        ("requestKind", &kind),
        ("resource", &resource),
        ("requestResource", &resource),
        ("name", &json!("m")),
        ("namespace", &json!("default")),
        ("operation", &json!("CREATE")),
        ("dryRun", &json!(false)),
        ("oldObject", &Value::Null),
    ] {
        assert_eq!(&request[field], expected, "{field}");
    }
    assert_eq!(request["object"]["apiVersion"], "v1");
    assert_eq!(request["options"]["kind"], "CreateOptions");
    assert_eq!(request["options"]["fieldManager"], "me");
    assert_eq!(request["userInfo"]["username"], "kubernetes-admin");

    // A name that is made up is not known to the webhooks yet.
    let anonymous = json!({"metadata": {"generateName": "g-"}, "data": {"k": "v"}});
    let made = server.create(CONFIG_MAPS, anonymous).await;
    assert!(made["metadata"]["name"].as_str().unwrap().starts_with("g-"));
    let request = &first.requests()[0]["request"];
    assert!(request["name"].is_null() && request["object"]["metadata"]["name"].is_null());

    let (code, changed) = server
        .patch(
            &format!("{CONFIG_MAPS}/m"),
            "application/merge-patch+json",
            json!({"data": {"k": "w", "said": null}}),
        )
        .await;
    assert_eq!(
        (code, &changed["data"]),
        (200, &json!({"k": "w", "said": "ab"}))
    );
    let request = &first.requests()[0]["request"];
    assert_eq!(request["operation"], "UPDATE");
    assert_eq!(request["oldObject"]["data"]["k"], "v");
    // Deletions are not in the rule.
    let at = format!("{CONFIG_MAPS}/m");
    assert_eq!(server.request("DELETE", &at, None).await.0, 200);
    assert!(first.requests().is_empty());
}

#[tokio::test]
async fn validating_webhooks_refuse_and_see_what_would_be_stored() {
    let server = TestServer::start().await;
    let mutating = Hook::serve("127.0.0.1:0", &["127.0.0.1"], |_| {
        patch(&json!([{"op": "add", "path": "/metadata/labels", "value": {"seen": "yes"}}]))
    })
    .await;
    let validating = Hook::serve("127.0.0.1:0", &["127.0.0.1"], |request| {
        let object = [&request["object"], &request["oldObject"]]
            .into_iter()
            .find(|object| object.is_object())
            .unwrap();
        match object["data"]["k"].as_str() {
            Some("bad") => json!({"allowed": false, "status": {
                "code": 403, "reason": "Forbidden", "message": "k is bad",
            }}),
            Some("keep") if request["operation"] == "DELETE" => json!({"allowed": false}),
            _ => json!({"allowed": true}),
        }
    })
    .await;
    let client = mutating.client_config();
    let writes = json!({"rules": [{
        "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"],
        "operations": ["CREATE"],
    }]});
    register(&server, true, "m", vec![webhook(&client, &writes)]).await;
    let client = validating.client_config();
    register(&server, false, "v", vec![webhook(&client, &json!({}))]).await;

    let bad = map("bad", &json!({"k": "bad"}));
    let (code, status) = server.request("POST", CONFIG_MAPS, Some(bad)).await;
    assert_eq!((code, status["reason"].as_str()), (403, Some("Forbidden")));
    assert_eq!(
        status["message"],
        "admission webhook \"maps.example.com\" denied the request: k is bad"
    );
    validating.requests();
    server
        .create(CONFIG_MAPS, map("x", &json!({"k": "keep"})))
        .await;
    let request = &validating.requests()[0]["request"];
    assert_eq!(request["object"]["metadata"]["labels"]["seen"], "yes");

    let at = format!("{CONFIG_MAPS}/x");
    let foreground = format!("{at}?propagationPolicy=Foreground");
    let (code, status) = server.request("DELETE", &foreground, None).await;
    assert_eq!(code, 400, "{status}");
    assert_eq!(
        status["message"],
        "admission webhook \"maps.example.com\" denied the request without explanation"
    );
    let request = &validating.requests()[0]["request"];
    assert!(request["object"].is_null());
    assert_eq!(request["oldObject"]["data"]["k"], "keep");
    let options = json!({
        "kind": "DeleteOptions", "apiVersion": "meta.k8s.io/v1", "propagationPolicy": "Foreground",
    });
    assert_eq!(request["options"], options);
    let (code, _) = server.request("DELETE", CONFIG_MAPS, None).await;
    assert_eq!(code, 400);
    // Without its configuration the webhook has no say.
    unregister(&server, false, "v").await;
    assert_eq!(server.request("DELETE", &at, None).await.0, 200);
}

#[tokio::test]
async fn webhooks_are_asked_about_what_they_select() {
    let server = TestServer::start().await;
    let hook = Hook::serve("127.0.0.1:0", &["127.0.0.1"], |_| json!({"allowed": true})).await;
    let client = hook.client_config();
    let namespaces = "/api/v1/namespaces";
    server
        .create(
            namespaces,
            json!({"metadata": {"name": "watched", "labels": {"hook": "on"}}}),
        )
        .await;
    let object = |labels: Value| json!({"metadata": {"generateName": "m-", "labels": labels}});
    let cases = [
        (json!({}), "default", json!({}), true),
        (
            json!({"namespaceSelector": {"matchLabels": {"hook": "on"}}}),
            "default",
            json!({}),
            false,
        ),
        (
            json!({"namespaceSelector": {"matchLabels": {"hook": "on"}}}),
            "watched",
            json!({}),
            true,
        ),
        (
            json!({"objectSelector": {"matchLabels": {"a": "b"}}}),
            "default",
            json!({}),
            false,
        ),
        (
            json!({"objectSelector": {"matchLabels": {"a": "b"}}}),
            "default",
            json!({"a": "b"}),
            true,
        ),
        (
            json!({"matchConditions": [{"name": "c", "expression": "has(object.metadata.labels) && 'x' in object.metadata.labels"}]}),
            "default",
            json!({"x": "y"}),
            true,
        ),
        (
            json!({"matchConditions": [{"name": "c", "expression": "request.userInfo.username != 'kubernetes-admin'"}]}),
            "default",
            json!({}),
            false,
        ),
        (
            json!({"rules": [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["*"], "operations": ["*"], "scope": "Cluster"}]}),
            "default",
            json!({}),
            false,
        ),
    ];
    for (more, namespace, labels, expected) in cases {
        register(&server, false, "v", vec![webhook(&client, &more)]).await;
        let path = format!("{namespaces}/{namespace}/configmaps");
        server.create(&path, object(labels)).await;
        assert_eq!(!hook.requests().is_empty(), expected, "{more}");
        unregister(&server, false, "v").await;
    }
    // A condition that cannot be evaluated refuses, as the webhook's failure policy says.
    let condition = json!({"matchConditions": [{"name": "c", "expression": "object.spec.x == 1"}]});
    register(&server, false, "v", vec![webhook(&client, &condition)]).await;
    let named = map("z", &json!({}));
    let (code, status) = server.request("POST", CONFIG_MAPS, Some(named)).await;
    assert_eq!(code, 403);
    assert_eq!(
        status["message"],
        "configmaps \"z\" is forbidden: expression 'object.spec.x == 1' resulted in error: no such \
         key: spec"
    );
}

#[tokio::test]
async fn a_webhook_that_fails_refuses_or_is_passed_over() {
    let server = TestServer::start().await;
    let gone = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let nobody = json!({"url": format!("https://{gone}/x")});
    register(&server, false, "v", vec![webhook(&nobody, &json!({}))]).await;
    let (code, status) = server
        .request("POST", CONFIG_MAPS, Some(map("a", &json!({}))))
        .await;
    assert_eq!(code, 500);
    assert_eq!(
        status["message"],
        format!(
            "Internal error occurred: failed calling webhook \"maps.example.com\": failed to call \
             webhook: Post \"https://{gone}/x?timeout=10s\": dial tcp {gone}: connect: connection \
             refused"
        )
    );
    unregister(&server, false, "v").await;

    let ignored = json!({"failurePolicy": "Ignore"});
    register(&server, false, "v", vec![webhook(&nobody, &ignored)]).await;
    server.create(CONFIG_MAPS, map("a", &json!({}))).await;
    unregister(&server, false, "v").await;

    // An authority that is not that of the webhook.
    let hook = Hook::serve("127.0.0.1:0", &["127.0.0.1"], |_| json!({"allowed": true})).await;
    let other = Hook::serve("127.0.0.1:0", &["127.0.0.1"], |_| json!({"allowed": true})).await;
    let mut client = hook.client_config();
    client["caBundle"] = other.client_config()["caBundle"].clone();
    register(&server, false, "v", vec![webhook(&client, &json!({}))]).await;
    let (code, status) = server
        .request("POST", CONFIG_MAPS, Some(map("b", &json!({}))))
        .await;
    let message = status["message"].as_str().unwrap();
    assert_eq!(code, 500);
    assert!(message.contains("certificate"), "{message}");
    assert!(hook.requests().is_empty());
    unregister(&server, false, "v").await;

    let service = json!({"service": {"name": "none", "namespace": "default", "path": "/v"}});
    register(
        &server,
        false,
        "v",
        vec![webhook(&service, &json!({"timeoutSeconds": 3}))],
    )
    .await;
    let (_, status) = server
        .request("POST", CONFIG_MAPS, Some(map("b", &json!({}))))
        .await;
    let message = status["message"].as_str().unwrap();
    assert!(
        message.ends_with(
            "Post \"https://none.default.svc:443/v?timeout=3s\": service \"none\" not found"
        ),
        "{message}"
    );
}

#[tokio::test]
async fn a_dry_run_asks_only_webhooks_without_side_effects() {
    let server = TestServer::start().await;
    let hook = Hook::serve("127.0.0.1:0", &["127.0.0.1"], |_| json!({"allowed": true})).await;
    register(
        &server,
        false,
        "v",
        vec![webhook(&hook.client_config(), &json!({}))],
    )
    .await;
    let dry = format!("{CONFIG_MAPS}?dryRun=All");
    let (code, _) = server
        .request("POST", &dry, Some(map("a", &json!({}))))
        .await;
    assert_eq!(code, 201);
    let request = &hook.requests()[0]["request"];
    assert_eq!(request["dryRun"], true);
    assert_eq!(request["options"]["dryRun"], json!(["All"]));
    let path = format!("{REGISTRATION}/validatingwebhookconfigurations");
    let some = webhook(&hook.client_config(), &json!({"sideEffects": "Some"}));
    let object = json!({"metadata": {"name": "w"}, "webhooks": [some]});
    let (code, status) = server.request("POST", &path, Some(object)).await;
    assert_eq!(code, 422);
    assert_eq!(
        status["details"]["causes"][0]["field"],
        "webhooks[0].sideEffects"
    );
}

#[tokio::test]
async fn a_webhook_may_be_a_service_of_the_cluster() {
    let server = TestServer::start().await;
    let service = json!({
        "metadata": {"name": "hook"},
        "spec": {"ports": [{"port": 8443}], "selector": {"app": "hook"}},
    });
    let made = server
        .create("/api/v1/namespaces/default/services", service)
        .await;
    // What listens at the address of a Service is the cluster's proxy; here it is the webhook.
    let address = format!("{}:8443", made["spec"]["clusterIP"].as_str().unwrap());
    let hook = Hook::serve(&address, &["hook.default.svc"], |_| {
        patch(&json!([{"op": "add", "path": "/spec/nodeSelector", "value": {"by": "hook"}}]))
    })
    .await;
    let client = json!({
        "service": {"name": "hook", "namespace": "default", "path": "/pods", "port": 8443},
        "caBundle": hook.client_config()["caBundle"],
    });
    let rules = json!({"rules": [{
        "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"],
        "operations": ["CREATE"], "scope": "Namespaced",
    }]});
    register(&server, true, "m", vec![webhook(&client, &rules)]).await;
    server.default_account().await;
    let made = server
        .create("/api/v1/namespaces/default/pods", pod("p"))
        .await;
    assert_eq!(made["spec"]["nodeSelector"], json!({"by": "hook"}));
    assert_eq!(made["status"]["phase"], "Pending");
    // Subresources are not in the rule.
    assert_eq!(hook.requests().len(), 1);
    let (code, _) = server
        .patch(
            "/api/v1/namespaces/default/pods/p/status",
            "application/merge-patch+json",
            json!({"status": {"phase": "Running"}}),
        )
        .await;
    assert_eq!(code, 200);
    assert!(hook.requests().is_empty());
}
