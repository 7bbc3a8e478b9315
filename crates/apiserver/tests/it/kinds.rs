//! What is particular to some kinds, and what the server says about all of them.

use serde_json::{Value, json};

use crate::support::{PODS, TestServer, in_time, pod, send_raw};

#[tokio::test]
async fn services_get_addresses_that_nobody_else_has() {
    let server = TestServer::start().await;
    let path = "/api/v1/namespaces/default/services";
    let service = |name: &str, spec: Value| json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec});
    let ports = json!([{"port": 80}]);
    let octet = server.config.loopback_octet;
    let (a, b) = tokio::join!(
        server.create(path, service("a", json!({"ports": ports}))),
        server.create(path, service("b", json!({"ports": ports}))),
    );
    for made in [&a, &b] {
        let address = made["spec"]["clusterIP"].as_str().unwrap();
        assert!(address.starts_with(&format!("127.{octet}.")), "{address}");
        assert_eq!(made["spec"]["clusterIPs"], json!([address]));
        assert_eq!(made["spec"]["ipFamilies"], json!(["IPv4"]));
    }
    assert_ne!(a["spec"]["clusterIP"], b["spec"]["clusterIP"]);
    let headless = server
        .create(
            path,
            service("h", json!({"clusterIP": "None", "ports": ports})),
        )
        .await;
    assert_eq!(headless["spec"]["clusterIPs"], json!(["None"]));
    let taken = json!({"clusterIP": a["spec"]["clusterIP"], "ports": ports});
    let (code, status) = server
        .request("POST", path, Some(service("c", taken)))
        .await;
    assert_eq!(code, 422, "{status}");
    let mut put = a.clone();
    put["spec"]["ports"][0]["port"] = json!(81);
    let (code, put) = server.request("PUT", &format!("{path}/a"), Some(put)).await;
    assert_eq!(
        (code, &put["spec"]["clusterIP"]),
        (200, &a["spec"]["clusterIP"])
    );
}

#[tokio::test]
async fn the_service_of_the_api_comes_back() {
    let server = TestServer::start().await;
    let path = "/api/v1/namespaces/default/services/kubernetes";
    let (_, before) = server.request("GET", path, None).await;
    server.request("DELETE", path, None).await;
    let after = in_time("the Service", async {
        loop {
            match server.request("GET", path, None).await {
                (200, found) => break found,
                _ => tokio::task::yield_now().await,
            }
        }
    })
    .await;
    assert_eq!(after["spec"]["clusterIP"], before["spec"]["clusterIP"]);
}

#[tokio::test]
async fn events_are_one_set_behind_two_groups() {
    let server = TestServer::start().await;
    let event = json!({
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": "e", "namespace": "default"},
        "regarding": {"kind": "Pod", "name": "p", "namespace": "default"},
        "note": "it started",
        "reason": "Started",
        "action": "Starting",
        "type": "Normal",
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "reportingController": "example.com/test",
        "reportingInstance": "test-1",
    });
    server
        .create("/apis/events.k8s.io/v1/namespaces/default/events", event)
        .await;
    let path = "/api/v1/namespaces/default/events?fieldSelector=involvedObject.name=p";
    let (_, list) = server.request("GET", path, None).await;
    assert_eq!(list["items"][0]["message"], "it started", "{list}");
    assert_eq!(list["apiVersion"], "v1");
    // What the list says holds for its items, which do not say it again.
    assert_eq!(list["items"][0]["apiVersion"], Value::Null);
}

#[tokio::test]
async fn discovery_is_served_plain_and_aggregated() {
    let server = TestServer::start().await;
    let client = server.admin();
    let groups = client.list_api_groups().await.unwrap();
    assert!(groups.groups.iter().any(|group| group.name == "apps"));
    let core = client.list_core_api_resources("v1").await.unwrap();
    let pods = core
        .resources
        .iter()
        .find(|resource| resource.name == "pods")
        .unwrap();
    assert_eq!(pods.short_names.as_deref(), Some(&["po".to_owned()][..]));
    let found = kube::Discovery::new(client.clone())
        .run_aggregated()
        .await
        .unwrap();
    assert!(found.has_group("rbac.authorization.k8s.io"));
    let form = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    let (_, headers, _) = send_raw(&client, "GET", "/apis", &[("accept", form)], None).await;
    let tag = headers["etag"].to_str().unwrap().to_owned();
    let known = [("accept", form), ("if-none-match", tag.as_str())];
    let (code, _, body) = send_raw(&client, "GET", "/apis", &known, None).await;
    assert_eq!((code, body.as_str()), (304, ""));
    let version = client.apiserver_version().await.unwrap();
    assert_eq!(
        (version.major.as_str(), version.minor.as_str()),
        ("1", "32")
    );
}

#[tokio::test]
async fn a_pod_is_bound_once() {
    let server = TestServer::start().await;
    server.default_account().await;
    server.create(PODS, pod("p")).await;
    let binding = json!({
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": "p"},
        "target": {"kind": "Node", "name": "n1"},
    });
    let path = format!("{PODS}/p/binding");
    let (code, status) = server.request("POST", &path, Some(binding.clone())).await;
    assert_eq!((code, status["status"].as_str()), (201, Some("Success")));
    let (code, _) = server.request("POST", &path, Some(binding)).await;
    assert_eq!(code, 409);
    let (_, bound) = server.request("GET", &format!("{PODS}/p"), None).await;
    assert_eq!(bound["spec"]["nodeName"], "n1");
    assert_eq!(bound["status"]["conditions"][0]["type"], "PodScheduled");
}

#[tokio::test]
async fn the_served_resources_are_these() {
    let server = TestServer::start().await;
    let client = server.admin();
    let mut lines = Vec::new();
    let mut lists = vec![client.list_core_api_resources("v1").await.unwrap()];
    for group in client.list_api_groups().await.unwrap().groups {
        for version in group.versions {
            lists.push(
                client
                    .list_api_group_resources(&version.group_version)
                    .await
                    .unwrap(),
            );
        }
    }
    for list in lists {
        for resource in list.resources {
            lines.push(format!(
                "{} {} {} namespaced={} short={} verbs={}",
                list.group_version,
                resource.name,
                resource.kind,
                resource.namespaced,
                resource.short_names.unwrap_or_default().join(","),
                resource.verbs.join(","),
            ));
        }
    }
    insta::assert_snapshot!(lines.join("\n"));
}

#[tokio::test]
async fn an_in_process_client_can_run_commands_too() {
    use k8s_openapi::api::core::v1::Pod;
    use tokio::io::AsyncReadExt as _;
    let server = TestServer::start().await;
    server.default_account().await;
    server.create(PODS, pod("p")).await;
    let pods: kube::Api<Pod> = kube::Api::default_namespaced(server.admin());
    let params = kube::api::AttachParams::default().stderr(false);
    let mut process = pods.exec("p", ["echo", "a", "b"], &params).await.unwrap();
    let mut output = String::new();
    process
        .stdout()
        .unwrap()
        .read_to_string(&mut output)
        .await
        .unwrap();
    assert_eq!(output, "echo a b\n");
    let status = process.take_status().unwrap().await.unwrap();
    assert_eq!(status.status.as_deref(), Some("Success"));
}

#[tokio::test]
async fn tokens_can_be_checked_with_the_published_key() {
    let server = TestServer::start().await;
    let (code, found) = server
        .request("GET", "/.well-known/openid-configuration", None)
        .await;
    assert_eq!((code, found["issuer"].as_str().is_some()), (200, true));
    let (code, keys) = server.request("GET", "/openid/v1/jwks", None).await;
    assert_eq!(
        (code, keys["keys"][0]["x"].as_str().unwrap().len()),
        (200, 43)
    );
}
