use std::sync::atomic::{AtomicBool, Ordering};

use http::StatusCode;
use kube::api::PropagationPolicy::{Background, Foreground, Orphan};
use serde_json::{Value, json};
use windlass_apiserver::Verb;
use windlass_apiserver::faults::{Calls, Fault, When};

use super::{counts, reason};
use crate::home::{Home, Objects, eventually};
use crate::kubelet::{Kubelet, ended, ready};

fn job(spec: Value) -> Value {
    let mut job = json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "sum"},
        "spec": {"template": {"spec": {
            "restartPolicy": "Never",
            "containers": [{"name": "main", "image": "demo"}],
        }}},
    });
    for (field, value) in spec.as_object().unwrap() {
        job["spec"][field] = value.clone();
    }
    job
}

fn jobs(home: &Home) -> Objects {
    home.kind("batch/v1", "Job", "jobs", Some("team"))
}

fn is_pending(pod: &Value) -> bool {
    pod["status"]["phase"] == "Pending"
}

#[tokio::test]
async fn a_job_runs_until_it_has_succeeded_often_enough_and_counts_each_pod_once() {
    let home = Home::start().await;
    home.namespace("team").await;
    let first = AtomicBool::new(true);
    let _kubelet = Kubelet::with(&home, "team", move |pod| {
        let code = i64::from(first.load(Ordering::Relaxed));
        is_pending(pod).then(|| {
            first.store(false, Ordering::Relaxed);
            ended(code)
        })
    });
    let jobs = jobs(&home);
    jobs.create(job(json!({"completions": 5, "parallelism": 2})))
        .await;
    let done = jobs
        .until_it("sum", |sum| reason(sum, "Complete") == "CompletionsReached")
        .await;
    assert!(
        counts(&done, "succeeded", 5) && counts(&done, "failed", 1),
        "{done:#}"
    );
    assert!(done["status"]["completionTime"].is_string());
    home.quiet().await;
    let pods = home.pods("team").list().await;
    assert_eq!(pods.len(), 6);
    for pod in &pods {
        assert_eq!(pod["metadata"]["finalizers"], Value::Null);
        assert_eq!(
            pod["metadata"]["labels"]["batch.kubernetes.io/job-name"],
            "sum"
        );
    }
    jobs.merge("sum", json!({"spec": {"ttlSecondsAfterFinished": 0}}))
        .await;
    jobs.until_gone("sum").await;
    eventually("its pods go with it", || async {
        home.pods("team").list().await.is_empty()
    })
    .await;
}

#[tokio::test]
async fn an_indexed_job_fails_by_its_policy() {
    let home = Home::start().await;
    home.namespace("team").await;
    let _kubelet = Kubelet::with(&home, "team", |pod| {
        let index = "/metadata/annotations/batch.kubernetes.io~1job-completion-index";
        let code = match pod.pointer(index).and_then(Value::as_str) {
            Some("2") => 42,
            _ => 0,
        };
        is_pending(pod).then(|| ended(code))
    });
    let jobs = jobs(&home);
    let rule = json!({"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}});
    jobs.create(job(json!({
        "completions": 4, "parallelism": 1, "completionMode": "Indexed",
        "podFailurePolicy": {"rules": [rule]},
    })))
    .await;
    let failed = jobs
        .until_it("sum", |sum| reason(sum, "Failed") == "PodFailurePolicy")
        .await;
    assert_eq!(failed["status"]["completedIndexes"], "0,1");
    home.quiet().await;
}

#[tokio::test]
async fn a_job_that_is_deleted_while_it_runs_leaves_no_pod_behind() {
    for policy in [Background, Foreground, Orphan] {
        let home = Home::start().await;
        home.namespace("team").await;
        let _kubelet = Kubelet::with(&home, "team", |pod| is_pending(pod).then(ready));
        let jobs = jobs(&home);
        jobs.create(job(json!({"completions": 3, "parallelism": 3})))
            .await;
        jobs.until_it("sum", |sum| counts(sum, "ready", 3)).await;
        jobs.delete("sum", policy.clone()).await;
        jobs.until_gone("sum").await;
        let pods = home.pods("team");
        match policy {
            Orphan => {
                eventually("orphans are not kept by their finalizer", || async {
                    let pods = pods.list().await;
                    pods.len() == 3
                        && pods
                            .iter()
                            .all(|pod| pod["metadata"]["finalizers"].is_null())
                })
                .await;
            }
            _ => {
                eventually("all pods go", || async { pods.list().await.is_empty() }).await;
            }
        }
    }
}

#[tokio::test]
async fn faults_make_no_job_count_wrongly() {
    let faults = [
        Fault::Refuse(StatusCode::SERVICE_UNAVAILABLE),
        Fault::LoseAnswer(StatusCode::GATEWAY_TIMEOUT),
        Fault::Duplicate,
    ];
    for fault in faults {
        let home = Home::start().await;
        home.namespace("team").await;
        let _kubelet = Kubelet::with(&home, "team", |pod| is_pending(pod).then(|| ended(0)));
        for verb in [Verb::Create, Verb::Patch] {
            let calls = Calls::verb(verb).by("system:cluster");
            home.server
                .faults()
                .inject(calls, When::First(3), fault.clone());
        }
        let jobs = jobs(&home);
        jobs.create(job(json!({"completions": 4, "parallelism": 2})))
            .await;
        let done = jobs
            .until_it("sum", |sum| reason(sum, "Complete") == "CompletionsReached")
            .await;
        let pods = home.pods("team").list().await;
        let ended = pods
            .iter()
            .filter(|pod| pod["status"]["phase"] == "Succeeded");
        assert_eq!(
            done["status"]["succeeded"].as_i64(),
            Some(ended.count() as i64)
        );
    }
}
