//! ResourceQuota and LimitRange.

use futures::future::join_all;
use serde_json::{Value, json};

use crate::support::{TestServer, in_time, pod};

const NAMESPACE: &str = "/api/v1/namespaces/default";

async fn used(server: &TestServer) -> Value {
    let path = format!("{NAMESPACE}/resourcequotas/q");
    let (_, quota) = server.request("GET", &path, None).await;
    quota["status"]["used"].clone()
}

async fn make_quota(server: &TestServer, hard: Value) {
    let quota = json!({"metadata": {"name": "q"}, "spec": {"hard": hard}});
    let path = format!("{NAMESPACE}/resourcequotas");
    server.create(&path, quota).await;
}

/// Waits until the quota's use is this.
async fn until_used(server: &TestServer, expected: &Value) {
    in_time("the quota's use", async {
        while used(server).await != *expected {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_quota_is_in_force_at_once_and_follows_what_goes() {
    let server = TestServer::start().await;
    let maps = format!("{NAMESPACE}/configmaps");
    let map = |name: &str| json!({"metadata": {"name": name}});
    server.create(&maps, map("before")).await;
    make_quota(&server, json!({"configmaps": "2", "count/secrets": "1"})).await;
    assert_eq!(
        used(&server).await,
        json!({"configmaps": "1", "count/secrets": "0"})
    );
    server.create(&maps, map("a")).await;
    let (code, status) = server.request("POST", &maps, Some(map("b"))).await;
    assert_eq!(code, 403);
    assert_eq!(
        status["message"],
        "configmaps \"b\" is forbidden: exceeded quota: q, requested: configmaps=1, used: \
         configmaps=2, limited: configmaps=2"
    );
    // A dry run is checked and not charged.
    let secrets = format!("{NAMESPACE}/secrets");
    let dry = format!("{secrets}?dryRun=All");
    assert_eq!(server.request("POST", &dry, Some(map("s"))).await.0, 201);
    assert_eq!(used(&server).await["count/secrets"], "0");
    // What is refused for another reason is not charged in the end.
    server.create(&secrets, map("s")).await;
    let (code, _) = server.request("DELETE", &format!("{maps}/a"), None).await;
    assert_eq!(code, 200);
    until_used(&server, &json!({"configmaps": "1", "count/secrets": "1"})).await;
    let (code, _) = server.request("POST", &maps, Some(map("before"))).await;
    assert_eq!(code, 409);
    until_used(&server, &json!({"configmaps": "1", "count/secrets": "1"})).await;
    server.create(&maps, map("b")).await;
}

#[tokio::test]
async fn pods_are_charged_for_what_they_ask_until_they_end() {
    let server = TestServer::start().await;
    server.default_account().await;
    make_quota(
        &server,
        json!({"pods": "2", "requests.cpu": "1", "limits.memory": "1Gi"}),
    )
    .await;
    let pods = format!("{NAMESPACE}/pods");
    let asking = |name: &str, cpu: &str| {
        let mut pod = pod(name);
        pod["spec"]["containers"][0]["resources"] =
            json!({"requests": {"cpu": cpu}, "limits": {"memory": "256Mi"}});
        pod
    };
    let (code, status) = server.request("POST", &pods, Some(pod("silent"))).await;
    assert_eq!(code, 403);
    let message = status["message"].as_str().unwrap();
    assert!(
        message.contains("failed quota: q: must specify limits.memory for: "),
        "{message}"
    );
    server.create(&pods, asking("a", "700m")).await;
    let (code, status) = server
        .request("POST", &pods, Some(asking("b", "400m")))
        .await;
    assert_eq!(code, 403);
    assert_eq!(
        status["message"],
        "pods \"b\" is forbidden: exceeded quota: q, requested: requests.cpu=400m, used: \
         requests.cpu=700m, limited: requests.cpu=1"
    );
    let ended = json!({"status": {"phase": "Succeeded"}});
    let merge = "application/merge-patch+json";
    let path = format!("{pods}/a/status");
    assert_eq!(server.patch(&path, merge, ended).await.0, 200);
    let nothing = json!({"pods": "0", "requests.cpu": "0", "limits.memory": "0"});
    until_used(&server, &nothing).await;
    server.create(&pods, asking("b", "400m")).await;
}

#[tokio::test]
async fn writers_at_once_do_not_exceed_a_quota() {
    let server = TestServer::start().await;
    make_quota(&server, json!({"configmaps": "10"})).await;
    let maps = format!("{NAMESPACE}/configmaps");
    let writes = (0..40).map(|index| {
        let (server, maps) = (&server, &maps);
        async move {
            let map = json!({"metadata": {"name": format!("m{index}")}});
            server.request("POST", maps, Some(map)).await.0
        }
    });
    let codes = join_all(writes).await;
    let made = codes.iter().filter(|code| **code == 201).count();
    assert_eq!(made, 10, "{codes:?}");
    assert!(
        codes.iter().all(|code| matches!(code, 201 | 403)),
        "{codes:?}"
    );
    assert_eq!(used(&server).await, json!({"configmaps": "10"}));
}

#[tokio::test]
async fn a_limit_range_fills_in_and_refuses() {
    let server = TestServer::start().await;
    server.default_account().await;
    let range = json!({
        "metadata": {"name": "r"},
        "spec": {"limits": [
            {"type": "Container", "max": {"cpu": "2"}, "default": {"cpu": "500m"}, "defaultRequest": {"cpu": "250m"}},
            {"type": "PersistentVolumeClaim", "max": {"storage": "1Gi"}},
        ]},
    });
    server
        .create(&format!("{NAMESPACE}/limitranges"), range)
        .await;
    let pods = format!("{NAMESPACE}/pods");
    let made = server.create(&pods, pod("a")).await;
    assert_eq!(
        made["spec"]["containers"][0]["resources"],
        json!({"limits": {"cpu": "500m"}, "requests": {"cpu": "250m"}})
    );
    assert_eq!(made["status"]["qosClass"], "Burstable");
    let mut large = pod("b");
    large["spec"]["containers"][0]["resources"] = json!({"limits": {"cpu": "3"}});
    let (code, status) = server.request("POST", &pods, Some(large)).await;
    assert_eq!(code, 403);
    assert_eq!(
        status["message"],
        "pods \"b\" is forbidden: maximum cpu usage per Container is 2, but limit is 3"
    );
    let claim = json!({
        "metadata": {"name": "c"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "2Gi"}}},
    });
    let claims = format!("{NAMESPACE}/persistentvolumeclaims");
    let (code, status) = server.request("POST", &claims, Some(claim)).await;
    assert_eq!(code, 403);
    assert_eq!(
        status["message"],
        "persistentvolumeclaims \"c\" is forbidden: maximum storage usage per \
         PersistentVolumeClaim is 1Gi, but request is 2Gi"
    );
}
