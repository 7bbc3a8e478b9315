//! The real kubectl, over WebSockets and over SPDY.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdout, Command};

use crate::support::{DEADLINE, TestServer, curt_server, echo_server, pattern};

/// kubectl's switches between the transports.
const TRANSPORTS: [(&str, &str); 2] = [("websocket", "true"), ("spdy", "false")];

fn kubectl(server: &TestServer, websockets: &str, home: &tempfile::TempDir) -> Command {
    let mut command = Command::new("kubectl");
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", home.path())
        .env("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", websockets)
        .env("KUBECTL_PORT_FORWARD_WEBSOCKETS", websockets)
        .arg(format!("--server=http://{}", server.address))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

#[tokio::test]
async fn exec_separates_the_outputs_and_reports_the_exit_code() {
    let server = TestServer::start().await;
    let home = tempfile::tempdir().unwrap();
    for (name, websockets) in TRANSPORTS {
        let mut command = kubectl(&server, websockets, &home);
        command.args([
            "exec",
            "demo",
            "--",
            "sh",
            "-c",
            "echo out; echo err >&2; exit 3",
        ]);
        let output = tokio::time::timeout(DEADLINE, command.output())
            .await
            .unwrap()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            "out\n",
            "{name}: {stderr}"
        );
        assert!(stderr.starts_with("err\n"), "{name}: {stderr}");
        assert!(stderr.contains("exit code 3"), "{name}: {stderr}");
        assert_eq!(output.status.code(), Some(3), "{name}");
    }
    server.idle().await;
}

#[tokio::test]
async fn exec_carries_a_megabyte_of_input_through_and_ends_with_it() {
    let server = TestServer::start().await;
    let home = tempfile::tempdir().unwrap();
    let input = pattern(1 << 20);
    for (name, websockets) in TRANSPORTS {
        let mut command = kubectl(&server, websockets, &home);
        command
            .args(["exec", "-i", "demo", "--", "cat"])
            .stdin(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let (output, ()) = tokio::time::timeout(DEADLINE, async {
            tokio::join!(child.wait_with_output(), async {
                stdin.write_all(&input).await.unwrap();
                drop(stdin);
            })
        })
        .await
        .unwrap();
        let output = output.unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name}: {stderr}");
        assert!(output.stdout == input, "{name}: the output differs");
    }
    server.idle().await;
}

#[tokio::test]
async fn exec_of_a_command_that_cannot_start_says_why() {
    let server = TestServer::start().await;
    let home = tempfile::tempdir().unwrap();
    for (name, websockets) in TRANSPORTS {
        let mut command = kubectl(&server, websockets, &home);
        command.args(["exec", "demo", "--", "/no/such/command"]);
        let output = tokio::time::timeout(DEADLINE, command.output())
            .await
            .unwrap()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{name}");
        assert!(
            stderr.contains("No such file or directory"),
            "{name}: {stderr}"
        );
    }
}

/// A running `kubectl port-forward`. It dies of a broken pipe once nobody holds its output.
struct Forward {
    child: Child,
    _stdout: Lines<BufReader<ChildStdout>>,
    local: u16,
}

/// Starts `kubectl port-forward` and waits until it listens.
async fn forwarded(
    server: &TestServer,
    websockets: &str,
    home: &tempfile::TempDir,
    port: u16,
) -> Forward {
    let mut command = kubectl(server, websockets, home);
    command.args([
        "port-forward",
        "--address=127.0.0.1",
        "pod/demo",
        &format!(":{port}"),
    ]);
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = tokio::time::timeout(DEADLINE, lines.next_line())
        .await
        .unwrap()
        .unwrap();
    let line = line.expect("kubectl says where it listens");
    let local = line
        .strip_prefix("Forwarding from 127.0.0.1:")
        .and_then(|rest| rest.split_once(' '))
        .map(|(local, _)| local.parse().unwrap());
    Forward {
        child,
        _stdout: lines,
        local: local.unwrap_or_else(|| panic!("unexpected line: {line}")),
    }
}

#[tokio::test]
async fn port_forward_carries_several_connections_and_their_half_closes() {
    let server = TestServer::start().await;
    let home = tempfile::tempdir().unwrap();
    let (echo, _tasks) = echo_server().await;
    for (name, websockets) in TRANSPORTS {
        let mut forward = forwarded(&server, websockets, &home, echo).await;
        let local = forward.local;
        let round_trip = |length: usize| async move {
            let sent = pattern(length);
            let mut socket = TcpStream::connect(("127.0.0.1", local)).await.unwrap();
            let (mut reader, mut writer) = socket.split();
            let mut received = Vec::new();
            let (read, ()) = tokio::join!(reader.read_to_end(&mut received), async {
                writer.write_all(&sent).await.unwrap();
                writer.shutdown().await.unwrap();
            });
            read.unwrap();
            assert!(
                received == sent,
                "{name}: {length} bytes came back differently"
            );
        };
        tokio::time::timeout(DEADLINE, async {
            tokio::join!(
                round_trip(0),
                round_trip(10),
                round_trip(300_000),
                round_trip(1 << 20)
            );
            round_trip(1000).await;
        })
        .await
        .unwrap();
        forward.child.kill().await.unwrap();
    }
    server.idle().await;
}

#[tokio::test]
async fn port_forward_ends_a_connection_when_the_pod_does() {
    let server = TestServer::start().await;
    let home = tempfile::tempdir().unwrap();
    let (port, _tasks) = curt_server("bye").await;
    for (name, websockets) in TRANSPORTS {
        let mut forward = forwarded(&server, websockets, &home, port).await;
        // Which end notices first is a race, so it is run more than once.
        for round in 0..16 {
            let mut socket = TcpStream::connect(("127.0.0.1", forward.local))
                .await
                .unwrap();
            let mut heard = String::new();
            tokio::time::timeout(DEADLINE, socket.read_to_string(&mut heard))
                .await
                .unwrap_or_else(|_| panic!("{name}: connection {round} stays open"))
                .unwrap();
            assert_eq!(heard, "bye", "{name}");
        }
        forward.child.kill().await.unwrap();
    }
    server.idle().await;
}

#[tokio::test]
async fn port_forward_to_a_closed_port_reports_the_error() {
    let server = TestServer::start().await;
    let home = tempfile::tempdir().unwrap();
    for (name, websockets) in TRANSPORTS {
        // A port that was free a moment ago; nothing else listens on it.
        let closed = {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            listener.local_addr().unwrap().port()
        };
        let mut forward = forwarded(&server, websockets, &home, closed).await;
        let mut lines = BufReader::new(forward.child.stderr.take().unwrap()).lines();
        let mut socket = TcpStream::connect(("127.0.0.1", forward.local))
            .await
            .unwrap();
        let said = tokio::time::timeout(DEADLINE, async {
            let mut all = String::new();
            // kubectl closes the connection once it has the error.
            let _ = socket.read_to_end(&mut Vec::new()).await;
            while let Some(line) = lines.next_line().await.unwrap() {
                all.push_str(&line);
                if all.contains("refused") {
                    break;
                }
            }
            all
        })
        .await
        .unwrap();
        assert!(said.contains("error forwarding port"), "{name}: {said}");
        forward.child.kill().await.unwrap();
    }
}
