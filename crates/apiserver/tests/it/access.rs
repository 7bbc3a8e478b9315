//! Who may do what, over TLS and in process.

use kube::{Client, Config, config::KubeConfigOptions};
use serde_json::{Value, json};
use windlass_apiserver::{ApiServer, User};

use crate::support::{CONFIG_MAPS, PODS, StubNode, TestServer, pod, send, send_raw};

/// A client over TLS with another credential than the administrator's.
async fn tls(server: &TestServer, token: Option<&str>) -> Client {
    let kubeconfig = kube::config::Kubeconfig::from_yaml(&server.api.kubeconfig()).unwrap();
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .unwrap();
    config.auth_info.token = token.map(|token| token.to_owned().into());
    Client::try_from(config).unwrap()
}

async fn get(client: &Client, path: &str) -> (u16, Value) {
    send(client, "GET", path, "application/json", None).await
}

#[tokio::test]
async fn nobody_gets_in_without_credentials_except_for_health_and_version() {
    let server = TestServer::listening().await;
    let anonymous = tls(&server, None).await;
    for path in ["/healthz", "/livez", "/readyz?verbose", "/version"] {
        assert_eq!(get(&anonymous, path).await.0, 200, "{path}");
    }
    for path in [CONFIG_MAPS, "/api", "/apis", "/openapi/v3"] {
        let (code, status) = get(&anonymous, path).await;
        assert_eq!(
            (code, status["reason"].as_str()),
            (401, Some("Unauthorized")),
            "{path}"
        );
    }
    let wrong = tls(&server, Some("wrong")).await;
    assert_eq!(get(&wrong, CONFIG_MAPS).await.0, 401);
    let admin = tls(&server, Some(server.api.admin_token())).await;
    assert_eq!(get(&admin, CONFIG_MAPS).await.0, 200);
}

#[tokio::test]
async fn a_client_certificate_is_a_user() {
    let server = TestServer::listening().await;
    let issued = server
        .api
        .client_certificate(&User::new("jane", ["devs"]))
        .unwrap();
    let kubeconfig = kube::config::Kubeconfig::from_yaml(&server.api.kubeconfig()).unwrap();
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .unwrap();
    use base64::{Engine as _, prelude::BASE64_STANDARD};
    config.auth_info.token = None;
    config.auth_info.client_certificate_data = Some(BASE64_STANDARD.encode(issued.certificate));
    config.auth_info.client_key_data = Some(BASE64_STANDARD.encode(issued.key).into());
    let jane = Client::try_from(config).unwrap();
    let (code, status) = get(&jane, CONFIG_MAPS).await;
    assert_eq!(code, 403);
    assert_eq!(
        status["message"],
        "configmaps is forbidden: User \"jane\" cannot list resource \"configmaps\" in API group \
         \"\" in the namespace \"default\""
    );
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    let path = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let (code, who) = send(&jane, "POST", path, "application/json", Some(review)).await;
    assert_eq!(code, 201, "{who}");
    assert_eq!(
        who["status"]["userInfo"]["groups"],
        json!(["devs", "system:authenticated"])
    );
}

#[tokio::test]
async fn a_role_gives_what_it_names_and_no_more() {
    let server = TestServer::start().await;
    server.default_account().await;
    let rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/default";
    let role = json!({
        "metadata": {"name": "r"},
        "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "create"]}],
    });
    server.create(&format!("{rbac}/roles"), role).await;
    let binding = json!({
        "metadata": {"name": "b"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"},
        "subjects": [{"kind": "ServiceAccount", "name": "spark", "namespace": "default"}],
    });
    server
        .create(&format!("{rbac}/rolebindings"), binding)
        .await;
    let spark = server.api.client(User::service_account("default", "spark"));
    let json = "application/json";
    assert_eq!(
        send(&spark, "POST", PODS, json, Some(pod("p"))).await.0,
        201
    );
    assert_eq!(get(&spark, &format!("{PODS}/p")).await.0, 200);
    assert_eq!(get(&spark, PODS).await.0, 403);
    assert_eq!(
        send(&spark, "DELETE", &format!("{PODS}/p"), json, None)
            .await
            .0,
        403
    );
    assert_eq!(
        get(&spark, "/api/v1/namespaces/kube-system/pods/p").await.0,
        403
    );
    let greedy = json!({
        "metadata": {"name": "greedy"},
        "rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}],
    });
    let writer = json!({
        "metadata": {"name": "writer"},
        "rules": [
            {"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles"], "verbs": ["create"]},
        ],
    });
    server.create(&format!("{rbac}/roles"), writer).await;
    let binding = json!({
        "metadata": {"name": "w"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "writer"},
        "subjects": [{"kind": "ServiceAccount", "name": "spark", "namespace": "default"}],
    });
    server
        .create(&format!("{rbac}/rolebindings"), binding)
        .await;
    let (code, status) = send(&spark, "POST", &format!("{rbac}/roles"), json, Some(greedy)).await;
    assert_eq!(code, 403);
    assert!(
        status["message"]
            .as_str()
            .unwrap()
            .contains("not currently held"),
        "{status}"
    );
}

#[tokio::test]
async fn the_bootstrap_roles_are_aggregated() {
    let server = TestServer::start().await;
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    let binding = json!({
        "metadata": {"name": "view-all"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "eve"}],
    });
    server
        .create(&format!("{rbac}/clusterrolebindings"), binding)
        .await;
    let eve = server.api.client(User::new("eve", [""; 0]));
    assert_eq!(get(&eve, "/api/v1/pods").await.0, 200);
    assert_eq!(get(&eve, "/api/v1/secrets").await.0, 403);
    let widgets = "/apis/example.com/v1/widgets";
    let extra = json!({
        "metadata": {"name": "widgets", "labels": {"rbac.authorization.k8s.io/aggregate-to-view": "true"}},
        "rules": [{"apiGroups": ["example.com"], "resources": ["widgets"], "verbs": ["list"]}],
    });
    assert_eq!(get(&eve, widgets).await.0, 403);
    server.create(&format!("{rbac}/clusterroles"), extra).await;
    assert_eq!(
        get(&eve, widgets).await.0,
        404,
        "allowed now, though nothing serves it"
    );
    let (_, role) = server
        .request("GET", &format!("{rbac}/clusterroles/admin"), None)
        .await;
    assert!(role["rules"].to_string().contains("widgets"), "{role}");
}

#[tokio::test]
async fn a_token_dies_with_its_pod_and_with_its_account() {
    let server = TestServer::listening().await;
    server.default_account().await;
    let made = server.create(PODS, pod("p")).await;
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    let request = |bound: Value| {
        json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": 3607, "boundObjectRef": bound},
        })
    };
    let bound =
        json!({"kind": "Pod", "apiVersion": "v1", "name": "p", "uid": made["metadata"]["uid"]});
    let path = format!("{accounts}/default/token");
    let pod_token = server.create(&path, request(bound)).await;
    let plain_token = server.create(&path, request(Value::Null)).await;
    let of_pod = tls(&server, pod_token["status"]["token"].as_str()).await;
    let plain = tls(&server, plain_token["status"]["token"].as_str()).await;
    assert_eq!(
        get(&of_pod, CONFIG_MAPS).await.0,
        403,
        "known, but without rights"
    );
    server.request("DELETE", &format!("{PODS}/p"), None).await;
    assert_eq!(get(&of_pod, CONFIG_MAPS).await.0, 401);
    assert_eq!(get(&plain, CONFIG_MAPS).await.0, 403);
    server
        .request("DELETE", &format!("{accounts}/default"), None)
        .await;
    assert_eq!(get(&plain, CONFIG_MAPS).await.0, 401);
}

#[tokio::test]
async fn a_pod_needs_its_account() {
    let server = TestServer::start().await;
    let (code, status) = server.request("POST", PODS, Some(pod("p"))).await;
    assert_eq!(code, 403);
    assert_eq!(
        status["message"],
        "pods \"p\" is forbidden: error looking up service account default/default: \
         serviceaccount \"default\" not found"
    );
}

#[tokio::test]
async fn two_servers_never_share_a_data_directory_and_a_restart_keeps_everything() {
    let server = TestServer::listening().await;
    let second = ApiServer::start(server.config.clone(), std::sync::Arc::new(StubNode)).await;
    let error = second.err().expect("the directory is in use").to_string();
    assert!(error.contains("in use by another server"), "{error}");
    let before = (server.api.kubeconfig(), server.api.address());
    server
        .create(CONFIG_MAPS, crate::support::config_map("a", json!({})))
        .await;
    let TestServer {
        api,
        directory,
        config,
    } = server;
    api.shutdown().await;
    let api = ApiServer::start(config.clone(), std::sync::Arc::new(StubNode))
        .await
        .unwrap();
    assert_eq!((api.kubeconfig(), api.address()), before);
    let server = TestServer {
        api,
        directory,
        config,
    };
    assert_eq!(
        server
            .request("GET", &format!("{CONFIG_MAPS}/a"), None)
            .await
            .0,
        200
    );
}

#[tokio::test]
async fn a_group_without_a_user_is_not_impersonated() {
    let server = TestServer::listening().await;
    let admin = tls(&server, Some(server.api.admin_token())).await;
    for header in ["impersonate-group", "impersonate-uid"] {
        let headers = [(header, "developers")];
        let (code, _, status) = send_raw(&admin, "GET", CONFIG_MAPS, &headers, None).await;
        assert_eq!(code, 400, "{status}");
        assert!(status.contains("Impersonate-User"), "{status}");
    }
}

#[tokio::test]
async fn tokens_are_for_an_audience_and_say_whom_they_are_bound_to() {
    let server = TestServer::start().await;
    server.default_account().await;
    let made = server.create(PODS, pod("p")).await;
    let path = "/api/v1/namespaces/default/serviceaccounts/default/token";
    let reviews = "/apis/authentication.k8s.io/v1/tokenreviews";
    let bound = json!({"kind": "Pod", "apiVersion": "v1", "name": "p"});
    let spec =
        json!({"audiences": ["vault", "x"], "expirationSeconds": 600, "boundObjectRef": bound});
    let granted = server.create(path, json!({"spec": spec})).await;
    assert_eq!(granted["spec"]["expirationSeconds"], 600);
    let token = granted["status"]["token"].as_str().unwrap().to_owned();
    let review = |spec: Value| {
        let server = &server;
        async move { server.create(reviews, json!({"spec": spec})).await["status"].clone() }
    };
    let status = review(json!({"token": token, "audiences": ["vault", "q"]})).await;
    assert_eq!(status["authenticated"], true);
    assert_eq!(status["audiences"], json!(["vault"]));
    let user = &status["user"];
    assert_eq!(user["username"], "system:serviceaccount:default:default");
    let extra = &user["extra"];
    assert_eq!(extra["authentication.kubernetes.io/pod-name"], json!(["p"]));
    assert_eq!(
        extra["authentication.kubernetes.io/pod-uid"],
        json!([made["metadata"]["uid"]])
    );
    let id = &extra["authentication.kubernetes.io/credential-id"][0];
    assert!(id.as_str().unwrap().starts_with("JTI="), "{id}");
    let status = review(json!({"token": token})).await;
    assert_eq!(
        status["error"],
        "[invalid bearer token, token audiences [\"vault\" \"x\"] is invalid for the target \
         audiences [\"https://kubernetes.default.svc.cluster.local\"]]"
    );
    let status = review(json!({"token": "abc"})).await;
    assert_eq!(status, json!({"user": {}, "error": "invalid bearer token"}));
    server.request("DELETE", &format!("{PODS}/p"), None).await;
    let status = review(json!({"token": token, "audiences": ["vault"]})).await;
    assert_eq!(
        status["error"],
        "[invalid bearer token, service account token has been invalidated]"
    );
    let (code, _) = server
        .request("POST", reviews, Some(json!({"spec": {}})))
        .await;
    assert_eq!(code, 400);
    let cases = [
        (
            json!({"expirationSeconds": 1_u64 << 33}),
            422,
            "may not specify a duration larger than 2^32 seconds",
        ),
        (
            json!({"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "p"}}),
            404,
            "pods \"p\" not found",
        ),
        (
            json!({"boundObjectRef": {"kind": "ConfigMap", "apiVersion": "v1", "name": "a"}}),
            400,
            "cannot bind token to object of type /v1, Kind=ConfigMap",
        ),
    ];
    for (spec, expected, message) in cases {
        let (code, status) = server
            .request("POST", path, Some(json!({"spec": spec})))
            .await;
        assert_eq!(code, expected, "{status}");
        assert!(
            status["message"].as_str().unwrap().ends_with(message),
            "{status}"
        );
    }
}

#[tokio::test]
async fn access_reviews_say_which_binding_allows() {
    let server = TestServer::start().await;
    let rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/default";
    let role = json!({
        "metadata": {"name": "reader"},
        "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}],
    });
    server.create(&format!("{rbac}/roles"), role).await;
    let binding = json!({
        "metadata": {"name": "b"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
        "subjects": [
            {"kind": "User", "name": "eve"},
            {"kind": "ServiceAccount", "name": "spark", "namespace": "default"},
        ],
    });
    server
        .create(&format!("{rbac}/rolebindings"), binding)
        .await;
    let pods = |namespace: &str| json!({"verb": "get", "resource": "pods", "namespace": namespace});
    let spark = "system:serviceaccount:default:spark";
    let reviews = "/apis/authorization.k8s.io/v1";
    let global = format!("{reviews}/subjectaccessreviews");
    let cases = [
        (
            json!({"user": spark, "resourceAttributes": pods("default")}),
            json!({"allowed": true, "reason": "RBAC: allowed by RoleBinding \"b/default\" of Role \"reader\" to ServiceAccount \"spark/default\""}),
        ),
        (
            json!({"user": spark, "resourceAttributes": pods("other")}),
            json!({"allowed": false}),
        ),
        (
            json!({"user": "x", "groups": ["system:masters"], "resourceAttributes": pods("other")}),
            json!({"allowed": true}),
        ),
        (
            json!({"user": "u", "nonResourceAttributes": {"path": "/secret", "verb": "get"}}),
            json!({"allowed": false}),
        ),
    ];
    for (spec, expected) in cases {
        let review = server.create(&global, json!({"spec": spec})).await;
        assert_eq!(review["status"], expected, "{spec}");
    }
    let local = format!("{reviews}/namespaces/default/localsubjectaccessreviews");
    let both = json!({
        "user": "u",
        "resourceAttributes": pods("default"),
        "nonResourceAttributes": {"path": "/x", "verb": "get"},
    });
    let refused = [
        (
            &global,
            json!({}),
            ".authorization.k8s.io \"\" is invalid: [spec.resourceAttributes: Invalid value: null: \
             exactly one of nonResourceAttributes or resourceAttributes must be specified, \
             spec.user: Invalid value: \"\": at least one of user or group must be specified]",
        ),
        (
            &global,
            both,
            ".authorization.k8s.io \"\" is invalid: spec.nonResourceAttributes: Invalid value: \
             {\"Path\":\"/x\",\"Verb\":\"get\"}: cannot be specified in combination with \
             resourceAttributes",
        ),
        (
            &local,
            json!({"user": "u", "resourceAttributes": pods("other")}),
            ".authorization.k8s.io \"\" is invalid: spec.resourceAttributes.namespace: Invalid \
             value: \"other\": must match metadata.namespace",
        ),
    ];
    for (path, spec, expected) in refused {
        let (code, status) = server
            .request("POST", path, Some(json!({"spec": spec})))
            .await;
        assert_eq!((code, status["message"].as_str()), (422, Some(expected)));
    }
}
