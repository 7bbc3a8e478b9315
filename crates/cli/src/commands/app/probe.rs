//! Asks a service of a member, as a user on this machine reaches it.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::plans::{Check, Service};

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// As much of an answer as its status is in.
const HEAD: u64 = 64;

/// Asks once.
///
/// # Errors
/// Why there is no answer that would do.
pub(super) async fn probe(address: &str, service: &Service) -> Result<(), String> {
    match tokio::time::timeout(PATIENCE, ask(address, service)).await {
        Ok(answer) => answer,
        Err(_) => Err(format!("no answer in {} s", PATIENCE.as_secs())),
    }
}

async fn ask(address: &str, service: &Service) -> Result<(), String> {
    let told = |error: std::io::Error| error.to_string();
    let connected = TcpStream::connect((address, service.port)).await;
    let mut stream = connected.map_err(told)?;
    let Check::Page(path) = &service.check else {
        return Ok(());
    };
    let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\nAccept: */*\r\n\r\n");
    stream.write_all(request.as_bytes()).await.map_err(told)?;
    let mut head = Vec::new();
    stream
        .take(HEAD)
        .read_to_end(&mut head)
        .await
        .map_err(told)?;
    judge(&String::from_utf8_lossy(&head))
}

fn judge(head: &str) -> Result<(), String> {
    let line = head.lines().next().unwrap_or_default();
    let code = line
        .strip_prefix("HTTP/")
        .and_then(|rest| rest.split(' ').nth(1));
    match code.and_then(|code| code.parse::<u16>().ok()) {
        Some(200..=399) => Ok(()),
        Some(code) => Err(format!("it answers with {code}")),
        None => Err(format!("it does not answer with HTTP: {line:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_judged_as_a_kubelet_does() {
        assert_eq!(judge("HTTP/1.0 200 OK\r\nServer: x"), Ok(()));
        assert_eq!(judge("HTTP/1.1 302 Found"), Ok(()));
        let told = judge("HTTP/1.1 503 Busy").unwrap_err();
        assert_eq!(told, "it answers with 503");
        assert!(judge("SSH-2.0-x").is_err() && judge("").is_err());
    }
}
