//! The probe server over a real socket.

use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::api::{Answer, FakeApi};
use crate::apps::{Running, app, builder};

async fn get(address: std::net::SocketAddr, path: &str) -> (u16, String) {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .unwrap();
    let connection = tokio::spawn(connection);
    let request = http::Request::get(path)
        .header("host", "probe")
        .body(Empty::<Bytes>::new())
        .unwrap();
    let response = sender.send_request(request).await.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    drop(sender);
    connection.await.unwrap().unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn probes_tell_the_truth_and_metrics_count() {
    let api = FakeApi::new();
    let (open, gate) = watch::channel(false);
    api.hook(move |call| (call.line == "LIST pods").then(|| Answer::When(gate.clone())));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let engine = Running::start(builder(&api).probes(listener));
    api.until("both lists", |api| api.count("LIST") == 2).await;

    let (status, body) = get(address, "/readyz").await;
    assert_eq!(status, 503);
    assert!(
        body.contains("[-] store pods: waiting for the first list"),
        "{body}"
    );
    assert_eq!(
        get(address, "/healthz").await.0,
        200,
        "waiting is not being stuck"
    );

    open.send_replace(true);
    api.put("apps", app("one", json!({})));
    api.until("a pod", |api| api.get("pods", "team/one-0").is_some())
        .await;
    let (status, body) = get(address, "/readyz").await;
    assert_eq!(status, 200);
    assert!(body.contains("[+] leadership: leader"), "{body}");

    let (_, metrics) = get(address, "/metrics").await;
    for line in [
        "windlass_api_requests_total{verb=\"create\",code=\"200\"}",
        "windlass_leader 1",
        "workqueue_work_duration_seconds_count{name=\"apps\"}",
    ] {
        assert!(metrics.contains(line), "{line} is missing in\n{metrics}");
    }
    engine.stop().await;
}
