//! Reads the stages of a running application from the driver's own REST API.
//!
//! The way goes through the pod's port-forward, so it is the same on the embedded cluster and on
//! any other. Every failure means "not now": progress is a courtesy and never fails a run.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use serde_json::Value;

use super::progress::Stage;

/// How long one look may take before it is given up.
const PATIENCE: Duration = Duration::from_secs(3);

/// The stages the driver knows, or `None` when it does not answer.
pub async fn fetch(pods: &Api<Pod>, driver: &str, ui_port: u16) -> Option<Vec<Stage>> {
    tokio::time::timeout(PATIENCE, try_fetch(pods, driver, ui_port))
        .await
        .ok()?
        .ok()
}

async fn try_fetch(pods: &Api<Pod>, driver: &str, ui_port: u16) -> anyhow::Result<Vec<Stage>> {
    let mut forward = pods.portforward(driver, &[ui_port]).await?;
    let stream = forward
        .take_stream(ui_port)
        .ok_or_else(|| anyhow::anyhow!("no stream for the UI port"))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let result = async {
        let applications = get(&mut sender, "/api/v1/applications").await?;
        let id = applications[0]["id"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let stages = get(&mut sender, &format!("/api/v1/applications/{id}/stages")).await?;
        Ok(parse(&stages))
    }
    .await;
    drop(sender);
    connection.abort();
    result
}

async fn get(
    sender: &mut hyper::client::conn::http1::SendRequest<Empty<Bytes>>,
    path: &str,
) -> anyhow::Result<Value> {
    sender.ready().await?;
    let request = http::Request::get(path)
        .header("host", "localhost")
        .body(Empty::new())?;
    let body = sender
        .send_request(request)
        .await?
        .into_body()
        .collect()
        .await?
        .to_bytes();
    Ok(serde_json::from_slice(&body)?)
}

/// Stages in order of their id; skipped and pending ones are no progress yet.
fn parse(stages: &Value) -> Vec<Stage> {
    let mut stages: Vec<Stage> = stages
        .as_array()
        .into_iter()
        .flatten()
        .filter(|stage| {
            matches!(
                stage["status"].as_str(),
                Some("ACTIVE" | "COMPLETE" | "FAILED")
            )
        })
        .filter_map(|stage| {
            Some(Stage {
                id: stage["stageId"].as_i64()?,
                name: stage["name"].as_str().unwrap_or_default().to_owned(),
                done: stage["numCompleteTasks"].as_i64()?,
                total: stage["numTasks"].as_i64()?,
            })
        })
        .collect();
    stages.sort_by_key(|stage| stage.id);
    stages
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn stages_are_ordered_and_pending_ones_left_out() {
        let stage = |id: i64, status: &str| json!({ "stageId": id, "status": status, "name": "count", "numCompleteTasks": 1, "numTasks": 2 });
        let stages = parse(&json!([
            stage(2, "ACTIVE"),
            stage(3, "PENDING"),
            stage(1, "COMPLETE")
        ]));
        assert_eq!(
            stages.iter().map(|stage| stage.id).collect::<Vec<_>>(),
            [1, 2]
        );
    }
}
