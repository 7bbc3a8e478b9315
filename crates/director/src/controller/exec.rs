//! Commands inside of members.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::api::AttachParams;
use kube::{Api, Client};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::agent::{Addressee, Command, Reply, Trouble};

/// No command waits longer than this by itself; what takes longer has lost its connection.
const PATIENCE: Duration = Duration::from_mins(5);
/// What is kept of an answer. A hook shows the ends of its output, which the application limits.
const ANSWER_MAX: u64 = 1 << 20;

/// Runs a command in a container of a pod. Kubernetes knows both by their names alone, and others may have
/// these by now: so the member is told which ones are meant.
///
/// # Errors
/// What the member answered in the place of doing it; that it could not be reached is an answer of
/// this kind, too, and may be another one later.
pub(super) async fn run(
    client: &Client,
    namespace: &str,
    pod: &str,
    to: Addressee<'_>,
    command: &Command,
) -> Result<Reply, Trouble> {
    let work = exec(client, namespace, pod, to, command);
    let answer = tokio::time::timeout(PATIENCE, work).await;
    match answer {
        Ok(Ok((code, stdout, stderr))) => command.read(code, &stdout, &stderr),
        Ok(Err(error)) => Err(Trouble::Later(format!(
            "nothing can be run in {pod}: {error}"
        ))),
        Err(_) => Err(Trouble::Later(format!(
            "{pod} has not answered for {} s",
            PATIENCE.as_secs()
        ))),
    }
}

/// The exit code of a command, and what it wrote.
async fn exec(
    client: &Client,
    namespace: &str,
    pod: &str,
    to: Addressee<'_>,
    command: &Command,
) -> Result<(i32, Vec<u8>, Vec<u8>), String> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let params = AttachParams::default()
        .container(command.container())
        .stdin(false)
        .stdout(true)
        .stderr(true)
        .tty(false);
    let started = pods.exec(pod, command.argv_for(to), &params).await;
    let mut process = started.map_err(|error| error.to_string())?;
    let (stdout, stderr) = (process.stdout(), process.stderr());
    let status = process.take_status();
    let (stdout, stderr) = tokio::join!(all(stdout), all(stderr));
    let status = match status {
        Some(status) => status.await,
        None => None,
    };
    let status = status.ok_or("the connection ended before the command did")?;
    Ok((code(&status)?, stdout, stderr))
}

async fn all(stream: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(stream) = stream {
        // What came before the connection broke is shown; the status says that it did.
        let _ = stream.take(ANSWER_MAX).read_to_end(&mut bytes).await;
    }
    bytes
}

/// Kubernetes tells an exit code as the cause `ExitCode` of a failure.
fn code(status: &Status) -> Result<i32, String> {
    if status.status.as_deref() == Some("Success") {
        return Ok(0);
    }
    let causes = status
        .details
        .iter()
        .flat_map(|it| it.causes.iter().flatten());
    let code = causes
        .filter(|cause| cause.reason.as_deref() == Some("ExitCode"))
        .find_map(|cause| cause.message.as_deref()?.parse().ok());
    code.ok_or_else(|| status.message.clone().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_exit_code_is_a_cause_of_a_failure() {
        let read = |value| code(&serde_json::from_value(value).unwrap());
        assert_eq!(read(json!({"status": "Success"})), Ok(0));
        let causes = json!([{"reason": "ExitCode", "message": "75"}]);
        let failed = json!({
            "status": "Failure", "reason": "NonZeroExitCode", "details": {"causes": causes},
        });
        assert_eq!(read(failed), Ok(75));
        let lost = json!({"status": "Failure", "message": "no such container"});
        assert_eq!(read(lost), Err("no such container".to_owned()));
    }
}
