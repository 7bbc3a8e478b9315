//! kube's own client: v5 channels for commands, channel pairs for ports.

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, AttachParams};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{DEADLINE, TestServer, echo_server, pattern};

fn pods(server: &TestServer) -> Api<Pod> {
    let uri = format!("http://{}", server.address).parse().unwrap();
    let client = kube::Client::try_from(kube::Config::new(uri)).unwrap();
    Api::default_namespaced(client)
}

#[tokio::test]
async fn exec_half_closes_the_input_and_returns_the_status() {
    let server = TestServer::start().await;
    let api = pods(&server);
    let command = ["sh", "-c", "cat; exit 7"];
    let params = AttachParams::default().stdin(true).stderr(false);
    let mut process = api.exec("demo", command, &params).await.unwrap();
    let mut stdin = process.stdin().unwrap();
    let mut stdout = process.stdout().unwrap();
    let status = process.take_status().unwrap();
    let sent = pattern(100_000);
    let mut received = Vec::new();
    tokio::time::timeout(DEADLINE, async {
        let (read, ()) = tokio::join!(stdout.read_to_end(&mut received), async {
            stdin.write_all(&sent).await.unwrap();
            stdin.shutdown().await.unwrap();
        });
        read.unwrap();
    })
    .await
    .unwrap();
    assert!(received == sent, "the output differs");
    let status = status.await.unwrap();
    assert_eq!(status.reason.as_deref(), Some("NonZeroExitCode"));
    let causes = status.details.unwrap().causes.unwrap();
    assert_eq!(causes[0].message.as_deref(), Some("7"));
    process.join().await.unwrap();
    server.idle().await;
}

#[tokio::test]
async fn port_forward_carries_bytes_and_reports_a_closed_port_on_its_error_channel() {
    let server = TestServer::start().await;
    let api = pods(&server);
    let (echo, _tasks) = echo_server().await;
    let mut forwarder = api.portforward("demo", &[echo, 1]).await.unwrap();
    let error = forwarder.take_error(1).unwrap();
    let mut stream = forwarder.take_stream(echo).unwrap();
    tokio::time::timeout(DEADLINE, async {
        let sent = pattern(70_000);
        let mut received = vec![0; sent.len()];
        stream.write_all(&sent).await.unwrap();
        stream.read_exact(&mut received).await.unwrap();
        assert!(received == sent, "the bytes differ");
        let error = error.await.expect("the closed port is an error");
        assert!(
            error.contains("error forwarding port 1 to pod demo"),
            "{error}"
        );
        drop(stream);
        forwarder.join().await.unwrap();
    })
    .await
    .unwrap();
    server.idle().await;
}
