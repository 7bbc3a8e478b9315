//! Asking containers how they are, and running their hooks.

use std::net::Ipv4Addr;
use std::time::Duration;

use k8s_openapi::api::core::v1::{
    Container, ExecAction, HTTPGetAction, LifecycleHandler, Probe, TCPSocketAction,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::exec::{Entrance, Outcome};

/// How much of an HTTP answer is read: enough for the status line and a message.
const ANSWER_BYTES: u64 = 10 << 10;
/// How long a hook over HTTP may take when nothing else bounds it.
const HOOK_TIMEOUT: Duration = Duration::from_secs(30);

/// What a probe has to say about a container instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Finding {
    /// The startup probe has passed (or there is none).
    Started,
    /// The readiness probe has changed its mind.
    Ready(bool),
    /// The container must be replaced.
    Condemned(String),
    /// A probe failed once: news, but no decision yet.
    Unhealthy(String),
}

/// Which container instance is asked, and how to reach it.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// The container as the pod describes it.
    pub(crate) container: Container,
    /// The pod's address.
    pub(crate) address: Ipv4Addr,
    /// How to run something in it.
    pub(crate) entrance: Entrance,
}

/// Which probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Startup,
    Liveness,
    Readiness,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Startup => "Startup",
            Self::Liveness => "Liveness",
            Self::Readiness => "Readiness",
        }
    }
}

/// Watches one container instance until it is dropped or the listener has gone.
pub(crate) async fn watch(target: Target, findings: mpsc::Sender<Finding>) {
    if let Some(probe) = target.container.startup_probe.clone() {
        let mut tally = Tally::new(&probe);
        if let Turn::Failure(message) = tally.next(&target, &probe, Kind::Startup, &findings).await
        {
            let why = format!(
                "Container {} failed startup probe, will be restarted: {message}",
                target.container.name
            );
            // A listener that has gone asks nothing any more.
            let _ = findings.send(Finding::Condemned(why)).await;
            return;
        }
    }
    if findings.send(Finding::Started).await.is_err() {
        return;
    }
    let liveness = async {
        let Some(probe) = target.container.liveness_probe.clone() else {
            return;
        };
        let mut tally = Tally::new(&probe);
        loop {
            if let Turn::Failure(message) =
                tally.next(&target, &probe, Kind::Liveness, &findings).await
            {
                let why = format!(
                    "Container {} failed liveness probe, will be restarted: {message}",
                    target.container.name
                );
                let _ = findings.send(Finding::Condemned(why)).await;
                return;
            }
        }
    };
    let readiness = async {
        let Some(probe) = target.container.readiness_probe.clone() else {
            let _ = findings.send(Finding::Ready(true)).await;
            return;
        };
        let mut tally = Tally::new(&probe);
        loop {
            let turn = tally
                .next(&target, &probe, Kind::Readiness, &findings)
                .await;
            let ready = matches!(turn, Turn::Success);
            if findings.send(Finding::Ready(ready)).await.is_err() {
                return;
            }
        }
    };
    tokio::join!(liveness, readiness);
}

/// A change of mind, after as many results in a row as the probe asks for.
enum Turn {
    Success,
    Failure(String),
}

/// Counts a probe's results in a row.
struct Tally {
    delay: Duration,
    successes: i32,
    failures: i32,
}

impl Tally {
    fn new(probe: &Probe) -> Self {
        Self {
            delay: seconds(probe.initial_delay_seconds, 0),
            successes: 0,
            failures: 0,
        }
    }

    /// Probes until the thresholds say something.
    async fn next(
        &mut self,
        target: &Target,
        probe: &Probe,
        kind: Kind,
        findings: &mpsc::Sender<Finding>,
    ) -> Turn {
        loop {
            tokio::time::sleep(self.delay).await;
            self.delay = seconds(probe.period_seconds, 10).max(Duration::from_secs(1));
            match ask(target, probe).await {
                Ok(()) => {
                    self.failures = 0;
                    self.successes += 1;
                    if self.successes >= probe.success_threshold.unwrap_or(1).max(1) {
                        return Turn::Success;
                    }
                }
                Err(message) => {
                    self.successes = 0;
                    self.failures += 1;
                    let news = format!("{} probe failed: {message}", kind.name());
                    let _ = findings.send(Finding::Unhealthy(news)).await;
                    if self.failures >= probe.failure_threshold.unwrap_or(3).max(1) {
                        return Turn::Failure(message);
                    }
                }
            }
        }
    }
}

fn seconds(value: Option<i32>, default: u64) -> Duration {
    Duration::from_secs(value.map_or(default, |seconds| u64::try_from(seconds).unwrap_or(0)))
}

async fn ask(target: &Target, probe: &Probe) -> Result<(), String> {
    let limit = seconds(probe.timeout_seconds, 1).max(Duration::from_secs(1));
    if let Some(action) = &probe.exec {
        run(target, action, limit).await
    } else if let Some(action) = &probe.http_get {
        within(limit, http_get(target, action)).await
    } else if let Some(action) = &probe.tcp_socket {
        within(limit, tcp_connect(target, action)).await
    } else {
        Err("this node knows exec, httpGet and tcpSocket probes only".to_owned())
    }
}

/// Runs a hook to its end.
pub(crate) async fn hook(target: &Target, handler: &LifecycleHandler) -> Result<(), String> {
    if let Some(action) = &handler.exec {
        run(target, action, Duration::from_hours(24)).await
    } else if let Some(action) = &handler.http_get {
        within(HOOK_TIMEOUT, http_get(target, action)).await
    } else if let Some(action) = &handler.sleep {
        tokio::time::sleep(Duration::from_secs(
            u64::try_from(action.seconds).unwrap_or(0),
        ))
        .await;
        Ok(())
    } else if let Some(action) = &handler.tcp_socket {
        within(HOOK_TIMEOUT, tcp_connect(target, action)).await
    } else {
        Err("the hook has no action".to_owned())
    }
}

async fn within(
    limit: Duration,
    work: impl Future<Output = Result<(), String>>,
) -> Result<(), String> {
    match tokio::time::timeout(limit, work).await {
        Ok(result) => result,
        Err(_) => Err(format!("no answer within {} s", limit.as_secs())),
    }
}

async fn run(target: &Target, action: &ExecAction, limit: Duration) -> Result<(), String> {
    let argv = action.command.clone().unwrap_or_default();
    match target.entrance.run(&argv, limit).await {
        Ok(Outcome::Ended(0, _)) => Ok(()),
        Ok(Outcome::Ended(code, output)) => match output.trim_end() {
            "" => Err(format!("command {argv:?} exited with {code}")),
            output => Err(output.to_owned()),
        },
        Ok(Outcome::TimedOut) => Err(format!(
            "command {argv:?} timed out after {} s",
            limit.as_secs()
        )),
        Err(error) => Err(format!("command {argv:?} could not be run: {error}")),
    }
}

async fn connect(
    target: &Target,
    host: Option<&String>,
    port: &IntOrString,
) -> Result<TcpStream, String> {
    let port = number_of(port, &target.container)?;
    let host = host.filter(|host| !host.is_empty()).cloned();
    let host = host.unwrap_or_else(|| target.address.to_string());
    TcpStream::connect((host.as_str(), port))
        .await
        .map_err(|error| format!("dial tcp {host}:{port}: {error}"))
}

async fn tcp_connect(target: &Target, action: &TCPSocketAction) -> Result<(), String> {
    connect(target, action.host.as_ref(), &action.port)
        .await
        .map(drop)
}

async fn http_get(target: &Target, action: &HTTPGetAction) -> Result<(), String> {
    if action.scheme.as_deref() == Some("HTTPS") {
        return Err(
            "this node cannot probe over HTTPS; use scheme HTTP or an exec probe".to_owned(),
        );
    }
    let mut stream = connect(target, action.host.as_ref(), &action.port).await?;
    let path = action
        .path
        .as_deref()
        .filter(|path| !path.is_empty())
        .unwrap_or("/");
    let mut request = format!("GET {path} HTTP/1.1\r\nConnection: close\r\nAccept: */*\r\n");
    let headers = action.http_headers.clone().unwrap_or_default();
    let has = |name: &str| {
        headers
            .iter()
            .any(|header| header.name.eq_ignore_ascii_case(name))
    };
    if !has("host") {
        request.push_str(&format!("Host: {}\r\n", target.address));
    }
    if !has("user-agent") {
        request.push_str("User-Agent: kube-probe/windlass\r\n");
    }
    for header in &headers {
        request.push_str(&format!("{}: {}\r\n", header.name, header.value));
    }
    request.push_str("\r\n");
    let failed = |error: std::io::Error| format!("Get \"{path}\": {error}");
    stream.write_all(request.as_bytes()).await.map_err(failed)?;
    let mut answer = Vec::new();
    stream
        .take(ANSWER_BYTES)
        .read_to_end(&mut answer)
        .await
        .map_err(failed)?;
    let code = status_code(&answer).ok_or_else(|| format!("Get \"{path}\": not an HTTP answer"))?;
    if (200..400).contains(&code) {
        Ok(())
    } else {
        Err(format!("HTTP probe failed with statuscode: {code}"))
    }
}

fn status_code(answer: &[u8]) -> Option<u16> {
    let line = answer
        .split(|byte| *byte == b'\r' || *byte == b'\n')
        .next()?;
    let mut fields = std::str::from_utf8(line).ok()?.split(' ');
    fields
        .next()?
        .starts_with("HTTP/")
        .then(|| fields.next()?.parse().ok())?
}

fn number_of(port: &IntOrString, container: &Container) -> Result<u16, String> {
    let invalid = || {
        format!(
            "port {port:?} is not a port of container {}",
            container.name
        )
    };
    match port {
        IntOrString::Int(number) => u16::try_from(*number).map_err(|_| invalid()),
        IntOrString::String(name) => {
            let named = container
                .ports
                .iter()
                .flatten()
                .find(|port| port.name.as_ref() == Some(name))
                .and_then(|port| u16::try_from(port.container_port).ok());
            named.or_else(|| name.parse().ok()).ok_or_else(invalid)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_status_line_decides() {
        assert_eq!(status_code(b"HTTP/1.1 204 No Content\r\n\r\n"), Some(204));
        assert_eq!(status_code(b"SSH-2.0-x\r\n"), None);
    }

    #[test]
    fn a_port_may_be_a_number_or_a_name() {
        let container: Container = serde_json::from_value(
            json!({"name": "c", "ports": [{"name": "http", "containerPort": 8080}]}),
        )
        .unwrap();
        let port = |port: IntOrString| number_of(&port, &container);
        assert_eq!(port(IntOrString::Int(1)), Ok(1));
        assert_eq!(port(IntOrString::String("http".to_owned())), Ok(8080));
        assert!(port(IntOrString::String("none".to_owned())).is_err());
        assert!(port(IntOrString::Int(70_000)).is_err());
    }
}
