//! What no convenient client does: old protocols, resizes, clients that vanish, refusals.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::{SinkExt, StreamExt};
use http::StatusCode;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};
use windlass_streaming::backend::TerminalSize;

use crate::support::{DEADLINE, TestServer};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn connect(
    server: &TestServer,
    subresource: &str,
    protocol: Option<&str>,
) -> Result<Socket, Error> {
    let uri = format!(
        "ws://{}/api/v1/namespaces/default/pods/demo/{subresource}",
        server.address
    );
    let mut request = uri.into_client_request().unwrap();
    if let Some(protocol) = protocol {
        let value = protocol.parse().unwrap();
        request
            .headers_mut()
            .insert("sec-websocket-protocol", value);
    }
    let (socket, _) = tokio_tungstenite::connect_async(request).await?;
    Ok(socket)
}

/// Everything until the end, which must be a normal closure.
async fn drain(socket: &mut Socket) -> Vec<Message> {
    tokio::time::timeout(DEADLINE, async {
        let mut messages = Vec::new();
        while let Some(message) = socket.next().await {
            match message.unwrap() {
                Message::Close(frame) => assert_eq!(frame.unwrap().code, CloseCode::Normal),
                message => messages.push(message),
            }
        }
        messages
    })
    .await
    .unwrap()
}

#[tokio::test]
async fn base64_channels_carry_text_messages() {
    let server = TestServer::start().await;
    let path = "exec?command=echo&command=hello&stdout=true";
    let mut socket = connect(&server, path, Some("v4.base64.channel.k8s.io"))
        .await
        .unwrap();
    let messages = drain(&mut socket).await;
    let texts: Vec<(char, String)> = messages
        .iter()
        .map(|message| {
            let text = message.to_text().unwrap();
            let bytes = STANDARD.decode(&text[1..]).unwrap();
            (
                text.chars().next().unwrap(),
                String::from_utf8(bytes).unwrap(),
            )
        })
        .collect();
    assert_eq!(texts[0], ('1', String::new()), "the greeting");
    assert_eq!(texts[1], ('1', "hello\n".to_owned()));
    assert_eq!(texts[2].0, '3');
    assert!(texts[2].1.contains("\"Success\""), "{}", texts[2].1);
    assert_eq!(texts.len(), 3);
}

#[tokio::test]
async fn a_client_without_a_subprotocol_gets_binary_channels_and_no_status_on_success() {
    let server = TestServer::start().await;
    let path = "exec?command=echo&command=hello&stdout=true";
    let mut socket = connect(&server, path, None).await.unwrap();
    let messages = drain(&mut socket).await;
    assert_eq!(
        messages,
        vec![
            Message::binary(vec![1]),
            Message::binary(b"\x01hello\n".to_vec())
        ]
    );
}

#[tokio::test]
async fn resizes_reach_the_terminal_however_they_are_cut() {
    let server = TestServer::start().await;
    let path = "exec?command=cat&stdin=true&stdout=true&tty=true";
    let mut socket = connect(&server, path, Some("v5.channel.k8s.io"))
        .await
        .unwrap();
    for message in [
        &b"\x04{\"Width\":80,\"Height\":24}\n{\"Width\":100,"[..],
        &b"\x04\"Height\":30}"[..],
    ] {
        socket
            .send(Message::binary(message.to_vec()))
            .await
            .unwrap();
    }
    let size = |width, height| TerminalSize { width, height };
    assert_eq!(
        server.node.sizes(2).await,
        vec![size(80, 24), size(100, 30)]
    );
    socket.send(Message::binary(vec![255, 0])).await.unwrap();
    drain(&mut socket).await;
    server.idle().await;
}

#[tokio::test]
async fn a_client_that_vanishes_ends_its_process() {
    let server = TestServer::start().await;
    let path = "exec?command=sleep&command=1000&stdout=true";
    let socket = connect(&server, path, Some("v4.channel.k8s.io"))
        .await
        .unwrap();
    server.node.running(1).await;
    drop(socket);
    server.node.running(0).await;
    server.idle().await;
}

#[tokio::test]
async fn a_shutdown_ends_every_session() {
    let server = TestServer::start().await;
    let path = "exec?command=sleep&command=1000&stdout=true";
    let _one = connect(&server, path, Some("v4.channel.k8s.io"))
        .await
        .unwrap();
    let _two = connect(&server, path, Some("v5.channel.k8s.io"))
        .await
        .unwrap();
    server.node.running(2).await;
    tokio::time::timeout(DEADLINE, server.sessions.shutdown())
        .await
        .unwrap();
    server.node.running(0).await;
}

#[tokio::test]
async fn a_background_child_that_keeps_the_output_does_not_hold_the_session() {
    let server = TestServer::start().await;
    let path = "exec?command=sh&command=-c&command=sleep+1000%26echo+$!&stdout=true";
    let mut socket = connect(&server, path, Some("v4.channel.k8s.io"))
        .await
        .unwrap();
    let messages = drain(&mut socket).await;
    assert_eq!(messages.len(), 3);
    // The child outlives its session, but must not outlive the test.
    let said = messages[1].clone().into_data();
    let child = str::from_utf8(&said).unwrap().trim_matches(['\x01', '\n']);
    let killed = tokio::process::Command::new("kill").arg(child).status();
    assert!(killed.await.unwrap().success(), "no child {child:?}");
}

#[tokio::test]
async fn a_protocol_nobody_speaks_is_a_bad_request() {
    let server = TestServer::start().await;
    for path in ["exec?command=ls&stdout=true", "portforward?ports=80"] {
        let refused = connect(&server, path, Some("v9.channel.k8s.io")).await;
        let Err(Error::Http(response)) = refused else {
            panic!("{path} was not refused");
        };
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        let body = String::from_utf8(response.into_body().unwrap()).unwrap();
        assert!(body.contains("this server speaks"), "{body}");
    }
    server.node.running(0).await;
}
