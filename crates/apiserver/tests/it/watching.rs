//! Watches: over HTTP, over a WebSocket, through kube, and what history promises.

use futures::{StreamExt as _, TryStreamExt as _};
use kube::{
    api::{WatchEvent, WatchParams},
    runtime::{WatchStreamExt as _, watcher},
};
use serde_json::{Value, json};
use tokio::io::AsyncBufReadExt as _;
use tokio_tungstenite::{
    client_async,
    tungstenite::{Message, client::IntoClientRequest as _},
};
use windlass_apiserver::faults::{Calls, Fault, When};

use crate::support::{CONFIG_MAPS, TestServer, config_map, create, dynamic, in_time};

/// The lines of a watch over HTTP.
async fn lines(
    server: &TestServer,
    query: &str,
) -> impl futures::Stream<Item = Value> + Unpin + use<> {
    lines_of(server, CONFIG_MAPS, query).await
}

async fn lines_of(
    server: &TestServer,
    path: &str,
    query: &str,
) -> impl futures::Stream<Item = Value> + Unpin + use<> {
    let request = http::Request::get(format!("{path}?watch=true&{query}"))
        .body(Vec::new())
        .unwrap();
    let reader = server.admin().request_stream(request).await.unwrap();
    let reader = tokio_util::compat::FuturesAsyncReadCompatExt::compat(reader);
    let lines = tokio_stream_lines(reader.lines());
    Box::pin(lines)
}

fn tokio_stream_lines<R: tokio::io::AsyncBufRead + Unpin>(
    lines: tokio::io::Lines<R>,
) -> impl futures::Stream<Item = Value> {
    futures::stream::unfold(lines, |mut lines| async move {
        let line = lines.next_line().await.unwrap()?;
        Some((serde_json::from_str(&line).unwrap(), lines))
    })
}

fn summary(event: &Value) -> (String, String) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (
        text(&event["type"]),
        text(&event["object"]["metadata"]["name"]),
    )
}

#[tokio::test]
async fn a_watch_without_a_revision_begins_with_what_is_there() {
    let server = TestServer::start().await;
    server.create(CONFIG_MAPS, config_map("a", json!({}))).await;
    let mut events = lines(&server, "timeoutSeconds=20").await;
    let first = in_time("the first event", events.next()).await.unwrap();
    assert_eq!(summary(&first), ("ADDED".into(), "a".into()));
    server.create(CONFIG_MAPS, config_map("b", json!({}))).await;
    server
        .request("DELETE", &format!("{CONFIG_MAPS}/a"), None)
        .await;
    let next = in_time("an addition", events.next()).await.unwrap();
    assert_eq!(summary(&next), ("ADDED".into(), "b".into()));
    let next = in_time("a deletion", events.next()).await.unwrap();
    assert_eq!(summary(&next), ("DELETED".into(), "a".into()));
    let revision = next["object"]["metadata"]["resourceVersion"]
        .as_str()
        .unwrap();
    assert_eq!(
        revision,
        server.api.revision().to_string(),
        "a deletion has a revision of its own"
    );
}

#[tokio::test]
async fn a_pod_is_seen_deleted_before_it_is_gone() {
    const PODS: &str = "/api/v1/namespaces/default/pods";
    let server = TestServer::start().await;
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    let account = json!({"metadata": {"name": "default"}});
    server.create(accounts, account).await;
    let spec = json!({
        "automountServiceAccountToken": false,
        "containers": [{"name": "main", "image": "app"}],
    });
    for name in ["a", "b"] {
        let pod = json!({"metadata": {"name": name}, "spec": spec});
        server.create(PODS, pod).await;
    }
    let start = server.api.revision();
    let query = format!("resourceVersion={start}&timeoutSeconds=20");
    let mut events = lines_of(&server, PODS, &query).await;
    server.request("DELETE", PODS, None).await;
    let mut revision = start;
    for (kind, name) in [
        ("MODIFIED", "a"),
        ("DELETED", "a"),
        ("MODIFIED", "b"),
        ("DELETED", "b"),
    ] {
        let event = in_time(kind, events.next()).await.unwrap();
        assert_eq!(summary(&event), (kind.into(), name.into()));
        let metadata = &event["object"]["metadata"];
        assert_eq!(metadata["deletionGracePeriodSeconds"], 0);
        assert!(metadata["deletionTimestamp"].is_string(), "{metadata}");
        revision += 1;
        assert_eq!(metadata["resourceVersion"], revision.to_string());
    }
}

#[tokio::test]
async fn leaving_and_entering_a_selection_is_deletion_and_addition() {
    let server = TestServer::start().await;
    let mut wish = config_map("a", json!({}));
    wish["metadata"]["labels"] = json!({"in": "yes"});
    server.create(CONFIG_MAPS, wish).await;
    let mut events = lines(&server, "labelSelector=in=yes&timeoutSeconds=20").await;
    assert_eq!(
        summary(&in_time("start", events.next()).await.unwrap()).0,
        "ADDED"
    );
    let path = format!("{CONFIG_MAPS}/a");
    let merge = "application/merge-patch+json";
    for (value, kind) in [("no", "DELETED"), ("yes", "ADDED")] {
        server
            .patch(&path, merge, json!({"metadata": {"labels": {"in": value}}}))
            .await;
        let event = in_time(kind, events.next()).await.unwrap();
        assert_eq!(summary(&event).0, kind);
        assert_eq!(event["object"]["metadata"]["labels"]["in"], "yes");
    }
}

#[tokio::test]
async fn a_watch_resumes_after_any_event_without_loss_or_repetition() {
    let server = TestServer::start().await;
    let start = server.api.revision();
    for index in 0..20 {
        server
            .create(CONFIG_MAPS, config_map(&format!("m{index}"), json!({})))
            .await;
    }
    let mut events = lines(
        &server,
        &format!("resourceVersion={start}&timeoutSeconds=20"),
    )
    .await;
    let mut history = Vec::new();
    for _ in 0..20 {
        history.push(in_time("history", events.next()).await.unwrap());
    }
    let revision = |event: &Value| -> u64 {
        event["object"]["metadata"]["resourceVersion"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap()
    };
    assert!(history.is_sorted_by(|a, b| revision(a) < revision(b)));
    for at in [0, 7, 19] {
        let query = format!(
            "resourceVersion={}&timeoutSeconds=1",
            revision(&history[at])
        );
        let rest: Vec<Value> = lines(&server, &query).await.collect().await;
        assert_eq!(rest, history[at + 1..]);
    }
}

#[tokio::test]
async fn a_watch_from_a_revision_to_come_tells_nothing_of_what_is_before() {
    let server = TestServer::start().await;
    let asked = server.api.revision() + 2;
    let query = format!("resourceVersion={asked}&allowWatchBookmarks=true&timeoutSeconds=1");
    let mut early = lines(&server, &query).await;
    let query = format!("resourceVersion={asked}&timeoutSeconds=20");
    let mut events = lines(&server, &query).await;
    let ended = in_time("the end", early.next()).await;
    assert_eq!(ended, None, "no bookmark leads back");
    for name in ["a", "b", "c"] {
        server
            .create(CONFIG_MAPS, config_map(name, json!({})))
            .await;
    }
    let event = in_time("the event", events.next()).await.unwrap();
    assert_eq!(summary(&event), ("ADDED".into(), "c".into()));
}

#[tokio::test]
async fn a_forgotten_revision_is_an_error_event() {
    let server = TestServer::start().await;
    server.create(CONFIG_MAPS, config_map("a", json!({}))).await;
    server.api.compact(server.api.revision()).await.unwrap();
    let mut events = lines(&server, "resourceVersion=1").await;
    let error = in_time("the error", events.next()).await.unwrap();
    assert_eq!(error["type"], "ERROR");
    assert_eq!(
        (&error["object"]["code"], &error["object"]["reason"]),
        (&json!(410), &json!("Expired"))
    );
    assert_eq!(in_time("the end", events.next()).await, None);
}

#[tokio::test]
async fn initial_events_end_with_a_bookmark_on_request() {
    let server = TestServer::start().await;
    server.create(CONFIG_MAPS, config_map("a", json!({}))).await;
    let query = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&timeoutSeconds=20";
    let mut events = lines(&server, query).await;
    assert_eq!(
        summary(&in_time("state", events.next()).await.unwrap()).0,
        "ADDED"
    );
    let bookmark = in_time("bookmark", events.next()).await.unwrap();
    assert_eq!(bookmark["type"], "BOOKMARK");
    assert_eq!(
        bookmark["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"],
        "true"
    );
    assert_eq!(bookmark["object"]["kind"], "ConfigMap");
}

#[tokio::test]
async fn a_bookmark_comes_before_the_end_and_never_before_an_event() {
    let server = TestServer::start().await;
    let query = "allowWatchBookmarks=true&resourceVersion=0&timeoutSeconds=2";
    let mut events = lines(&server, query).await;
    let initial = in_time("the end of what was there", events.next()).await;
    let annotations = initial.unwrap()["object"]["metadata"]["annotations"].clone();
    assert_eq!(annotations, json!({"k8s.io/initial-events-end": "true"}));
    server.create(CONFIG_MAPS, config_map("a", json!({}))).await;
    server
        .create(
            "/api/v1/namespaces/default/secrets",
            json!({"metadata": {"name": "s"}}),
        )
        .await;
    let revision = server.api.revision().to_string();
    let added = in_time("the event", events.next()).await.unwrap();
    assert_eq!(summary(&added), ("ADDED".into(), "a".into()));
    let bookmark = in_time("the bookmark", events.next()).await.unwrap();
    assert_eq!(bookmark["type"], "BOOKMARK");
    assert_eq!(bookmark["object"]["metadata"]["resourceVersion"], revision);
    assert_eq!(in_time("the end", events.next()).await, None);
}

#[tokio::test]
async fn a_websocket_carries_the_same_events() {
    let server = TestServer::listening().await;
    server.create(CONFIG_MAPS, config_map("a", json!({}))).await;
    let address = server.api.address().unwrap();
    let mut request = format!("wss://{address}{CONFIG_MAPS}?watch=true&timeoutSeconds=20")
        .into_client_request()
        .unwrap();
    let token = format!("Bearer {}", server.api.admin_token());
    request
        .headers_mut()
        .insert("authorization", token.parse().unwrap());
    let trust = std::sync::Arc::new(trust(server.api.ca_certificate()));
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let name = "localhost".try_into().unwrap();
    let stream = tokio_rustls::TlsConnector::from(trust)
        .connect(name, stream)
        .await
        .unwrap();
    let (mut socket, response) = client_async(request, stream).await.unwrap();
    assert_eq!(response.status(), 101);
    let Some(Ok(Message::Text(text))) = in_time("a message", socket.next()).await else {
        panic!()
    };
    assert_eq!(
        summary(&serde_json::from_str(&text).unwrap()),
        ("ADDED".into(), "a".into())
    );
    server.create(CONFIG_MAPS, config_map("b", json!({}))).await;
    let Some(Ok(Message::Text(text))) = in_time("a message", socket.next()).await else {
        panic!()
    };
    assert_eq!(
        summary(&serde_json::from_str(&text).unwrap()),
        ("ADDED".into(), "b".into())
    );
}

fn trust(ca: &str) -> rustls::ClientConfig {
    use rustls::pki_types::{CertificateDer, pem::PemObject as _};
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(ca.as_bytes()).unwrap())
        .unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

#[tokio::test]
async fn the_watcher_of_kube_recovers_from_an_expired_watch() {
    let server = TestServer::start().await;
    let api = dynamic(server.admin(), "", "v1", "ConfigMap", "configmaps");
    create(&api, config_map("a", json!({}))).await.unwrap();
    let expired = server.api.faults().inject(
        Calls::verb(windlass_apiserver::Verb::Watch).on("", "configmaps"),
        When::Nth(1),
        Fault::ExpireWatch,
    );
    let mut touched = Box::pin(
        watcher(api.clone(), watcher::Config::default())
            .default_backoff()
            .applied_objects(),
    );
    let mut seen = Vec::new();
    in_time("both objects", async {
        while !seen.contains(&Some("b".to_owned())) {
            if let Ok(Some(object)) = touched.try_next().await {
                seen.push(object.metadata.name);
            }
            if expired.hits() == 1 && seen.len() == 1 {
                create(&api, config_map("b", json!({}))).await.unwrap();
            }
        }
    })
    .await;
    assert_eq!(expired.hits(), 1);
}

#[tokio::test]
async fn kube_reads_typed_events_from_a_watch() {
    let server = TestServer::start().await;
    let api = dynamic(server.admin(), "", "v1", "ConfigMap", "configmaps");
    let params = WatchParams::default().timeout(20);
    let mut events = api.watch(&params, "0").await.unwrap().boxed();
    create(&api, config_map("a", json!({}))).await.unwrap();
    let first = in_time("the bookmark", events.next()).await.unwrap();
    assert!(matches!(first.unwrap(), WatchEvent::Bookmark(_)));
    let event = in_time("an event", events.next()).await.unwrap().unwrap();
    assert!(
        matches!(event, WatchEvent::Added(object) if object.metadata.name.as_deref() == Some("a"))
    );
}
