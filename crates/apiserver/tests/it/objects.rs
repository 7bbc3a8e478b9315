//! Create, read, list, update and patch.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use kube::{
    Api,
    api::{ListParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use crate::support::{CONFIG_MAPS, PODS, TestServer, config_map, dynamic, pod, send_raw};

#[tokio::test]
async fn a_new_object_gets_its_identity_from_the_server() {
    let server = TestServer::start().await;
    let mut wish = config_map("a", json!({"k": "v"}));
    wish["metadata"]["uid"] = json!("mine");
    wish["metadata"]["creationTimestamp"] = json!("2001-01-01T00:00:00Z");
    let made = server.create(CONFIG_MAPS, wish).await;
    assert_ne!(made["metadata"]["uid"], "mine");
    assert_ne!(
        made["metadata"]["creationTimestamp"],
        "2001-01-01T00:00:00Z"
    );
    assert_eq!(made["metadata"]["namespace"], "default");
    assert!(
        made["metadata"]["resourceVersion"]
            .as_str()
            .unwrap()
            .parse::<u64>()
            .unwrap()
            > 0
    );
    let (code, read) = server
        .request("GET", &format!("{CONFIG_MAPS}/a"), None)
        .await;
    assert_eq!((code, read), (200, made));
}

#[tokio::test]
async fn refusals_are_statuses_with_the_known_texts() {
    let server = TestServer::start().await;
    server.create(CONFIG_MAPS, config_map("a", json!({}))).await;
    // method, path, body, code, reason, message
    let cases = [
        (
            "GET",
            format!("{CONFIG_MAPS}/x"),
            None,
            404,
            "NotFound",
            "configmaps \"x\" not found",
        ),
        (
            "POST",
            CONFIG_MAPS.to_owned(),
            Some(config_map("a", json!({}))),
            409,
            "AlreadyExists",
            "configmaps \"a\" already exists",
        ),
        (
            "GET",
            "/apis/apps/v1/namespaces/default/deployments/x".to_owned(),
            None,
            404,
            "NotFound",
            "deployments.apps \"x\" not found",
        ),
        (
            "POST",
            "/api/v1/namespaces/nowhere/configmaps".to_owned(),
            Some(config_map("a", json!({}))),
            404,
            "NotFound",
            "namespaces \"nowhere\" not found",
        ),
        (
            "GET",
            "/apis/nope/v1/things".to_owned(),
            None,
            404,
            "NotFound",
            "the server could not find the requested resource",
        ),
        (
            "PUT",
            CONFIG_MAPS.to_owned(),
            Some(config_map("a", json!({}))),
            405,
            "MethodNotAllowed",
            "the server does not allow this method on the requested resource",
        ),
    ];
    for (method, path, body, code, reason, message) in cases {
        let (got, status) = server.request(method, &path, body).await;
        assert_eq!(got, code, "{method} {path}: {status}");
        assert_eq!(status["kind"], "Status");
        assert_eq!(status["reason"], reason);
        assert_eq!(status["message"], message);
        assert_eq!(status["code"], code);
    }
}

#[tokio::test]
async fn an_invalid_name_names_the_field() {
    let server = TestServer::start().await;
    let (code, status) = server
        .request(
            "POST",
            CONFIG_MAPS,
            Some(config_map("Not_A_Name", json!({}))),
        )
        .await;
    assert_eq!(code, 422, "{status}");
    assert_eq!(status["details"]["causes"][0]["field"], "metadata.name");
}

#[tokio::test]
async fn generated_names_differ() {
    let server = TestServer::start().await;
    let mut names = std::collections::BTreeSet::new();
    for _ in 0..5 {
        let mut wish = config_map("", json!({}));
        wish["metadata"] = json!({"generateName": "gen-"});
        let made = server.create(CONFIG_MAPS, wish).await;
        names.insert(made["metadata"]["name"].as_str().unwrap().to_owned());
    }
    assert_eq!(names.len(), 5);
    assert!(
        names
            .iter()
            .all(|name| name.starts_with("gen-") && name.len() == 9)
    );
}

#[tokio::test]
async fn a_stale_revision_loses_and_no_change_makes_no_revision() {
    let server = TestServer::start().await;
    let first = server
        .create(CONFIG_MAPS, config_map("a", json!({"k": "1"})))
        .await;
    let path = format!("{CONFIG_MAPS}/a");
    let mut next = first.clone();
    next["data"]["k"] = json!("2");
    let (code, second) = server.request("PUT", &path, Some(next.clone())).await;
    assert_eq!(code, 200, "{second}");
    let (code, status) = server.request("PUT", &path, Some(next)).await;
    assert_eq!(
        (code, status["reason"].as_str()),
        (409, Some("Conflict")),
        "{status}"
    );
    let revision = server.api.revision();
    let (code, same) = server.request("PUT", &path, Some(second.clone())).await;
    assert_eq!((code, &same), (200, &second));
    assert_eq!(server.api.revision(), revision);
    let (_, patched) = server
        .patch(
            &path,
            "application/merge-patch+json",
            json!({"data": {"k": "2"}}),
        )
        .await;
    assert_eq!(patched, second);
    assert_eq!(server.api.revision(), revision);
}

#[tokio::test]
async fn generation_counts_wishes_and_status_keeps_to_itself() {
    let server = TestServer::start().await;
    let path = "/apis/apps/v1/namespaces/default/deployments";
    let deployment = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "d"},
        "spec": {
            "selector": {"matchLabels": {"a": "b"}},
            "template": {
                "metadata": {"labels": {"a": "b"}},
                "spec": {"containers": [{"name": "c", "image": "i"}]},
            },
        },
        "status": {"replicas": 7},
    });
    let made = server.create(path, deployment).await;
    assert_eq!(made["metadata"]["generation"], 1);
    assert_ne!(made["status"]["replicas"], 7);
    assert_eq!(made["spec"]["replicas"], 1, "defaults are filled in");
    let one = format!("{path}/d");
    let merge = "application/merge-patch+json";
    let change = json!({"spec": {"replicas": 2}, "status": {"replicas": 9}});
    let (_, patched) = server.patch(&one, merge, change.clone()).await;
    assert_eq!(patched["metadata"]["generation"], 2);
    assert_ne!(patched["status"]["replicas"], 9);
    let change = json!({"spec": {"replicas": 5}, "status": {"replicas": 9}});
    let (code, patched) = server.patch(&format!("{one}/status"), merge, change).await;
    assert_eq!(code, 200, "{patched}");
    assert_eq!(patched["metadata"]["generation"], 2);
    assert_eq!(patched["spec"]["replicas"], 2);
    assert_eq!(patched["status"]["replicas"], 9);
    let (_, labelled) = server
        .patch(&one, merge, json!({"metadata": {"labels": {"x": "y"}}}))
        .await;
    assert_eq!(labelled["metadata"]["generation"], 2);
    let (code, scale) = server.request("GET", &format!("{one}/scale"), None).await;
    assert_eq!(
        (code, &scale["spec"]["replicas"]),
        (200, &json!(2)),
        "{scale}"
    );
    let (code, scale) = server
        .patch(
            &format!("{one}/scale"),
            merge,
            json!({"spec": {"replicas": 4}}),
        )
        .await;
    assert_eq!(
        (code, &scale["spec"]["replicas"]),
        (200, &json!(4)),
        "{scale}"
    );
    let (_, scaled) = server.request("GET", &one, None).await;
    assert_eq!(scaled["metadata"]["generation"], 3);
}

#[tokio::test]
async fn pages_of_a_list_show_one_moment() {
    let server = TestServer::start().await;
    for index in 0..10 {
        server
            .create(CONFIG_MAPS, config_map(&format!("m{index}"), json!({})))
            .await;
    }
    let (_, first) = server
        .request("GET", &format!("{CONFIG_MAPS}?limit=4"), None)
        .await;
    let token = first["metadata"]["continue"].as_str().unwrap().to_owned();
    assert_eq!(first["items"].as_array().unwrap().len(), 4);
    assert_eq!(first["metadata"]["remainingItemCount"], 6);
    server
        .request("DELETE", &format!("{CONFIG_MAPS}/m7"), None)
        .await;
    server
        .create(CONFIG_MAPS, config_map("m55", json!({})))
        .await;
    let (_, rest) = server
        .request(
            "GET",
            &format!("{CONFIG_MAPS}?limit=100&continue={token}"),
            None,
        )
        .await;
    let names: Vec<&str> = rest["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["metadata"]["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["m4", "m5", "m6", "m7", "m8", "m9"]);
    assert_eq!(
        rest["metadata"]["resourceVersion"],
        first["metadata"]["resourceVersion"]
    );
    server.api.compact(server.api.revision()).await.unwrap();
    let (code, expired) = server
        .request(
            "GET",
            &format!("{CONFIG_MAPS}?limit=100&continue={token}"),
            None,
        )
        .await;
    assert_eq!((code, expired["reason"].as_str()), (410, Some("Expired")));
    let token = expired["metadata"]["continue"].as_str().unwrap();
    let (code, rest) = server
        .request(
            "GET",
            &format!("{CONFIG_MAPS}?limit=100&continue={token}"),
            None,
        )
        .await;
    assert_eq!(code, 200);
    assert!(
        rest.to_string().contains("\"m55\""),
        "an inconsistent rest shows what is there now"
    );
}

#[tokio::test]
async fn list_modes_follow_the_rules_of_resource_versions() {
    let server = TestServer::start().await;
    let made = server.create(CONFIG_MAPS, config_map("a", json!({}))).await;
    let revision: u64 = made["metadata"]["resourceVersion"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    server.create(CONFIG_MAPS, config_map("b", json!({}))).await;
    let cases = [
        ("resourceVersion=0".to_owned(), 200, 2),
        (format!("resourceVersion={revision}"), 200, 2),
        (
            format!("resourceVersion={revision}&resourceVersionMatch=NotOlderThan"),
            200,
            2,
        ),
        (
            format!("resourceVersion={revision}&resourceVersionMatch=Exact"),
            200,
            1,
        ),
        ("resourceVersionMatch=Exact".to_owned(), 422, 0),
        (
            "resourceVersion=0&resourceVersionMatch=Exact".to_owned(),
            422,
            0,
        ),
        ("resourceVersion=999999".to_owned(), 504, 0),
        ("resourceVersion=x".to_owned(), 400, 0),
        // Any state comes whole; in pages a revision is that one.
        ("resourceVersion=0&limit=1".to_owned(), 200, 2),
        (format!("resourceVersion={revision}&limit=5"), 200, 1),
        (
            format!("resourceVersion={revision}&limit=5&resourceVersionMatch=NotOlderThan"),
            200,
            2,
        ),
    ];
    for (query, code, count) in cases {
        let (got, list) = server
            .request("GET", &format!("{CONFIG_MAPS}?{query}"), None)
            .await;
        assert_eq!(got, code, "{query}: {list}");
        assert_eq!(
            list["items"].as_array().map_or(0, Vec::len),
            count,
            "{query}"
        );
        if code == 504 {
            assert_eq!(
                list["details"]["causes"][0]["reason"],
                "ResourceVersionTooLarge"
            );
        }
    }
}

#[tokio::test]
async fn selectors_select() {
    let server = TestServer::start().await;
    server.default_account().await;
    for name in ["a", "b", "c"] {
        server.create(PODS, pod(name)).await;
    }
    let status = json!({"status": {"phase": "Running"}});
    server
        .patch(
            &format!("{PODS}/b/status"),
            "application/merge-patch+json",
            status,
        )
        .await;
    for (query, expected) in [
        ("labelSelector=app%20in%20(a,b)", vec!["a", "b"]),
        ("labelSelector=app!=a", vec!["b", "c"]),
        ("labelSelector=!app", vec![]),
        ("fieldSelector=status.phase=Running", vec!["b"]),
        ("fieldSelector=metadata.name=c", vec!["c"]),
        ("fieldSelector=metadata.name=c&labelSelector=app=a", vec![]),
        (
            "fieldSelector=spec.nodeName=&labelSelector=app=a",
            vec!["a"],
        ),
    ] {
        let (_, list) = server
            .request("GET", &format!("{PODS}?{query}"), None)
            .await;
        let names: Vec<&Value> = list["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| &item["metadata"]["name"])
            .collect();
        assert_eq!(names, expected, "{query}");
    }
    let (code, _) = server
        .request("GET", &format!("{PODS}?fieldSelector=spec.nope=x"), None)
        .await;
    assert_eq!(code, 400);
}

#[tokio::test]
async fn server_side_apply_through_kube_creates_and_conflicts() {
    let server = TestServer::start().await;
    let api = dynamic(server.admin(), "", "v1", "ConfigMap", "configmaps");
    let apply = |manager: &str, value: &str, force: bool| {
        let params = PatchParams {
            force,
            ..PatchParams::apply(manager)
        };
        let patch = Patch::Apply(config_map("a", json!({"k": value})));
        let api = api.clone();
        async move { api.patch("a", &params, &patch).await }
    };
    let first = apply("one", "1", false).await.unwrap();
    assert_eq!(first.data["data"]["k"], "1");
    let again = apply("one", "1", false).await.unwrap();
    assert_eq!(
        again.metadata.resource_version,
        first.metadata.resource_version
    );
    let refused = apply("two", "2", false).await.unwrap_err();
    let kube::Error::Api(status) = refused else {
        panic!("{refused}")
    };
    assert_eq!((status.code, status.reason.as_str()), (409, "Conflict"));
    let forced = apply("two", "2", true).await.unwrap();
    assert_eq!(forced.data["data"]["k"], "2");
}

#[tokio::test]
async fn typed_kube_clients_see_typed_objects() {
    use k8s_openapi::api::core::v1::{ConfigMap, Pod};
    let server = TestServer::start().await;
    server.default_account().await;
    let pods: Api<Pod> = Api::default_namespaced(server.admin());
    let made = pods
        .create(
            &PostParams::default(),
            &serde_json::from_value(pod("p")).unwrap(),
        )
        .await
        .unwrap();
    let spec = made.spec.unwrap();
    assert_eq!(spec.service_account_name.as_deref(), Some("default"));
    assert_eq!(spec.volumes.unwrap().len(), 1);
    assert_eq!(made.status.unwrap().phase.as_deref(), Some("Pending"));
    let maps: Api<ConfigMap> = Api::default_namespaced(server.admin());
    assert!(maps.get_opt("none").await.unwrap().is_none());
    let metadata: kube::core::ObjectList<kube::core::PartialObjectMeta<Pod>> =
        pods.list_metadata(&ListParams::default()).await.unwrap();
    assert_eq!(metadata.items.len(), 1);
}

#[tokio::test]
async fn a_dry_run_says_what_would_be_and_keeps_nothing() {
    let server = TestServer::start().await;
    let revision = server.api.revision();
    let (code, tried) = server
        .request(
            "POST",
            &format!("{CONFIG_MAPS}?dryRun=All"),
            Some(config_map("a", json!({}))),
        )
        .await;
    assert_eq!((code, tried["metadata"]["name"].as_str()), (201, Some("a")));
    assert_eq!(server.api.revision(), revision);
    let (code, _) = server
        .request("GET", &format!("{CONFIG_MAPS}/a"), None)
        .await;
    assert_eq!(code, 404);
}

#[tokio::test]
async fn unknown_and_duplicate_fields_are_ignored_warned_of_or_refused() {
    let server = TestServer::start().await;
    let mut wish = config_map("a", json!({}));
    wish["dataa"] = json!({});
    let path = |mode: &str| format!("{CONFIG_MAPS}?dryRun=All&fieldValidation={mode}");
    let (code, status) = server
        .request("POST", &path("Strict"), Some(wish.clone()))
        .await;
    assert_eq!(code, 400, "{status}");
    assert!(
        status["message"]
            .as_str()
            .unwrap()
            .contains("unknown field \"dataa\""),
        "{status}"
    );
    let admin = server.admin();
    let (code, headers, _) = send_raw(&admin, "POST", &path("Warn"), &[], Some(wish.clone())).await;
    assert_eq!(code, 201);
    assert!(
        headers["warning"]
            .to_str()
            .unwrap()
            .contains("unknown field"),
        "{headers:?}"
    );
    let (code, headers, _) = send_raw(&admin, "POST", &path("Ignore"), &[], Some(wish)).await;
    assert_eq!((code, headers.get("warning")), (201, None));
}

#[tokio::test]
async fn tables_and_metadata_are_served_on_request() {
    let server = TestServer::start().await;
    server
        .create(CONFIG_MAPS, config_map("a", json!({"k": "v"})))
        .await;
    let accept = |form: &str| format!("application/json;as={form};v=v1;g=meta.k8s.io");
    let admin = server.admin();
    let (_, _, table) = send_raw(
        &admin,
        "GET",
        CONFIG_MAPS,
        &[("accept", &accept("Table"))],
        None,
    )
    .await;
    let table: Value = serde_json::from_str(&table).unwrap();
    assert_eq!(table["kind"], "Table");
    assert_eq!(table["rows"][0]["cells"][0], "a");
    assert_eq!(table["rows"][0]["object"]["kind"], "PartialObjectMetadata");
    let form = accept("PartialObjectMetadataList");
    let (_, _, list) = send_raw(&admin, "GET", CONFIG_MAPS, &[("accept", &form)], None).await;
    let list: Value = serde_json::from_str(&list).unwrap();
    assert_eq!(list["kind"], "PartialObjectMetadataList");
    assert!(list["items"][0].get("data").is_none());
}

#[tokio::test]
async fn revisions_and_tokens_that_cannot_be_served_say_why() {
    let server = TestServer::start().await;
    let made = server.create(CONFIG_MAPS, config_map("a", json!({}))).await;
    let revision = made["metadata"]["resourceVersion"].as_str().unwrap();
    server.create(CONFIG_MAPS, config_map("b", json!({}))).await;
    server.api.compact(server.api.revision()).await.unwrap();
    let token = |token: Value| {
        let text = BASE64_URL_SAFE_NO_PAD.encode(token.to_string());
        format!("continue={text}")
    };
    let invalid = |why: &str| format!("invalid continue token: continue key is not valid: {why}");
    let cases = [
        (
            format!("resourceVersion={revision}&resourceVersionMatch=Exact"),
            410,
            "The resourceVersion for the provided list is too old.".to_owned(),
        ),
        (
            "resourceVersion=abc".to_owned(),
            400,
            "invalid resource version: resourceVersion: Invalid value: \"abc\": strconv.ParseUint: \
             parsing \"abc\": invalid syntax"
                .to_owned(),
        ),
        (
            token(json!({"v": "x", "rv": 5, "start": "m"})),
            400,
            invalid("server does not recognize this encoded version x"),
        ),
        (
            token(json!({"v": "meta.k8s.io/v1", "rv": 0, "start": "m"})),
            400,
            invalid("incorrect encoded start resourceVersion (version meta.k8s.io/v1)"),
        ),
        (
            token(json!({"v": "meta.k8s.io/v1", "rv": 5, "start": ""})),
            400,
            invalid("encoded start key empty (version meta.k8s.io/v1)"),
        ),
    ];
    for (query, code, message) in cases {
        let path = format!("{CONFIG_MAPS}?{query}");
        let (got, status) = server.request("GET", &path, None).await;
        assert_eq!(
            (got, status["message"].as_str()),
            (code, Some(&*message)),
            "{query}"
        );
    }
    let path = format!("{CONFIG_MAPS}/a?resourceVersion=abc");
    let (code, status) = server.request("GET", &path, None).await;
    assert_eq!((code, status.get("reason")), (500, None));
}
