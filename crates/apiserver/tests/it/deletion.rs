//! Deletion: at once, with grace, behind finalizers, by the collection.

use serde_json::{Value, json};

use crate::support::{CONFIG_MAPS, PODS, TestServer, config_map, pod};

#[tokio::test]
async fn an_object_without_ties_goes_at_once() {
    let server = TestServer::start().await;
    let made = server.create(CONFIG_MAPS, config_map("a", json!({}))).await;
    let (code, status) = server
        .request("DELETE", &format!("{CONFIG_MAPS}/a"), None)
        .await;
    assert_eq!(code, 200);
    assert_eq!(status["status"], "Success");
    assert_eq!(status["details"]["uid"], made["metadata"]["uid"]);
    let (code, _) = server
        .request("DELETE", &format!("{CONFIG_MAPS}/a"), None)
        .await;
    assert_eq!(code, 404);
}

#[tokio::test]
async fn a_scheduled_pod_is_given_time_and_its_node_ends_it() {
    let server = TestServer::start().await;
    server.default_account().await;
    let mut wish = pod("p");
    wish["spec"]["nodeName"] = json!("n1");
    let made = server.create(PODS, wish).await;
    let path = format!("{PODS}/p");
    let (code, pending) = server.request("DELETE", &path, None).await;
    assert_eq!(code, 200);
    assert_eq!(pending["metadata"]["deletionGracePeriodSeconds"], 30);
    assert!(pending["metadata"]["deletionTimestamp"].is_string());
    let (_, again) = server.request("DELETE", &path, None).await;
    assert_eq!(
        again["metadata"]["resourceVersion"],
        pending["metadata"]["resourceVersion"]
    );
    let wrong = json!({"gracePeriodSeconds": 0, "preconditions": {"uid": "other"}});
    let (code, _) = server.request("DELETE", &path, Some(wrong)).await;
    assert_eq!(code, 409);
    let right = json!({"gracePeriodSeconds": 0, "preconditions": {"uid": made["metadata"]["uid"]}});
    let (code, _) = server.request("DELETE", &path, Some(right)).await;
    assert_eq!(code, 200);
    assert_eq!(server.request("GET", &path, None).await.0, 404);
}

#[tokio::test]
async fn an_unscheduled_pod_goes_at_once() {
    let server = TestServer::start().await;
    server.default_account().await;
    server.create(PODS, pod("p")).await;
    server.request("DELETE", &format!("{PODS}/p"), None).await;
    assert_eq!(
        server.request("GET", &format!("{PODS}/p"), None).await.0,
        404
    );
}

#[tokio::test]
async fn finalizers_hold_an_object_until_the_last_is_removed() {
    let server = TestServer::start().await;
    let mut wish = config_map("a", json!({}));
    wish["metadata"]["finalizers"] = json!(["example.com/hold"]);
    server.create(CONFIG_MAPS, wish).await;
    let path = format!("{CONFIG_MAPS}/a");
    let (code, pending) = server.request("DELETE", &path, None).await;
    assert_eq!(code, 200);
    assert!(pending["metadata"]["deletionTimestamp"].is_string());
    let more = json!({"metadata": {"finalizers": ["example.com/hold", "example.com/new"]}});
    let (code, status) = server
        .patch(&path, "application/merge-patch+json", more)
        .await;
    assert_eq!(code, 422, "{status}");
    let none = json!([
        {"op": "test", "path": "/metadata/finalizers/0", "value": "example.com/hold"},
        {"op": "remove", "path": "/metadata/finalizers/0"},
    ]);
    let (code, last) = server
        .patch(&path, "application/json-patch+json", none)
        .await;
    assert_eq!(code, 200, "{last}");
    assert_eq!(server.request("GET", &path, None).await.0, 404);
}

#[tokio::test]
async fn foreground_and_orphan_are_finalizers_for_the_collector() {
    let server = TestServer::start().await;
    for (policy, finalizer) in [("Foreground", "foregroundDeletion"), ("Orphan", "orphan")] {
        let name = policy.to_lowercase();
        server
            .create(CONFIG_MAPS, config_map(&name, json!({})))
            .await;
        let options =
            json!({"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": policy});
        let (_, pending) = server
            .request("DELETE", &format!("{CONFIG_MAPS}/{name}"), Some(options))
            .await;
        assert_eq!(pending["metadata"]["finalizers"], json!([finalizer]));
    }
}

#[tokio::test]
async fn a_collection_is_deleted_by_selector() {
    let server = TestServer::start().await;
    server.default_account().await;
    for name in ["a", "b", "c"] {
        server.create(PODS, pod(name)).await;
    }
    let query = "labelSelector=app%20in%20(a,b)&fieldSelector=status.phase=Pending";
    let (code, list) = server
        .request("DELETE", &format!("{PODS}?{query}"), None)
        .await;
    assert_eq!((code, list["items"].as_array().unwrap().len()), (200, 2));
    let (_, rest) = server.request("GET", PODS, None).await;
    assert_eq!(rest["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_namespace_takes_nothing_new_while_it_goes_and_ends_when_finalized() {
    let server = TestServer::start().await;
    let namespaces = "/api/v1/namespaces";
    let made = server
        .create(namespaces, json!({"metadata": {"name": "team"}}))
        .await;
    assert_eq!(made["spec"]["finalizers"], json!(["kubernetes"]), "{made}");
    let (code, going) = server
        .request("DELETE", "/api/v1/namespaces/team", None)
        .await;
    assert_eq!(
        (code, going["status"]["phase"].as_str()),
        (200, Some("Terminating"))
    );
    let (code, status) = server
        .request(
            "POST",
            "/api/v1/namespaces/team/configmaps",
            Some(config_map("a", json!({}))),
        )
        .await;
    assert_eq!(code, 403);
    assert_eq!(
        status["details"]["causes"][0]["reason"],
        "NamespaceTerminating"
    );
    let mut done = going;
    done["spec"]["finalizers"] = json!([]);
    let (code, answer) = server
        .request("PUT", "/api/v1/namespaces/team/finalize", Some(done))
        .await;
    assert_eq!(code, 200, "{answer}");
    assert_eq!(
        server
            .request("GET", "/api/v1/namespaces/team", None)
            .await
            .0,
        404
    );
    let (code, _) = server
        .request("DELETE", "/api/v1/namespaces/default", None)
        .await;
    assert_eq!(code, 403);
}

#[tokio::test]
async fn an_eviction_respects_the_budget() {
    let server = TestServer::start().await;
    server.default_account().await;
    server.create(PODS, pod("p")).await;
    let ready = json!([{"type": "Ready", "status": "True"}]);
    let running = json!({"status": {"phase": "Running", "conditions": ready}});
    server
        .patch(
            &format!("{PODS}/p/status"),
            "application/merge-patch+json",
            running,
        )
        .await;
    let budgets = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";
    let budget = json!({
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "b"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "p"}}},
    });
    server.create(budgets, budget).await;
    let eviction =
        json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}});
    let path = format!("{PODS}/p/eviction");
    let (code, status) = server.request("POST", &path, Some(eviction.clone())).await;
    assert_eq!(
        (code, status["reason"].as_str()),
        (429, Some("TooManyRequests")),
        "{status}"
    );
    assert_eq!(
        status["details"],
        json!({
            "causes": [{
                "reason": "DisruptionBudget",
                "message": "The disruption budget b is still being processed by the server.",
            }],
            "retryAfterSeconds": 10,
        })
    );
    let seen = |allowed: u8| {
        json!({"status": {
            "observedGeneration": 1, "disruptionsAllowed": allowed, "currentHealthy": 1,
            "desiredHealthy": 1, "expectedPods": 1,
        }})
    };
    let set = |status: Value| {
        let path = format!("{budgets}/b/status");
        let server = &server;
        async move {
            let merge = "application/merge-patch+json";
            assert_eq!(server.patch(&path, merge, status).await.0, 200);
        }
    };
    set(seen(0)).await;
    let (code, status) = server.request("POST", &path, Some(eviction.clone())).await;
    assert_eq!(code, 429);
    assert_eq!(
        status["details"]["causes"][0]["message"],
        "The disruption budget b needs 1 healthy pods and has 1 currently"
    );
    set(seen(1)).await;
    let dry = format!("{path}?dryRun=All");
    let (code, _) = server.request("POST", &dry, Some(eviction.clone())).await;
    assert_eq!(code, 201);
    let at = format!("{budgets}/b");
    let (_, budget) = server.request("GET", &at, None).await;
    assert_eq!(budget["status"]["disruptionsAllowed"], 1);
    let (code, _) = server.request("POST", &path, Some(eviction)).await;
    assert_eq!(code, 201);
    assert_eq!(
        server.request("GET", &format!("{PODS}/p"), None).await.0,
        404
    );
}
