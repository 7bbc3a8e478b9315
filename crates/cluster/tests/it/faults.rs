use std::time::Duration;

use http::StatusCode;
use kube::api::PropagationPolicy::Background;
use serde_json::json;
use windlass_apiserver::Verb;
use windlass_apiserver::faults::{Calls, Fault, When};

use crate::home::Home;

/// The user the controllers act as.
const CONTROLLERS: &str = "system:cluster";

/// Something for every controller: accounts, a schedule, endpoints, owners and a sweep.
async fn a_namespace_lives_and_goes(home: &Home) {
    let nodes = home.kind("v1", "Node", "nodes", None);
    nodes
        .create(json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "one"}}))
        .await;
    let amounts = json!({"cpu": "4", "memory": "4Gi", "pods": "10"});
    nodes
        .merge_status("one", json!({"status": {"allocatable": amounts}}))
        .await;
    home.namespace("team").await;
    let services = home.kind("v1", "Service", "services", Some("team"));
    services
        .create(json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
            "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]},
        }))
        .await;
    let pods = home.pods("team");
    let uid = pods
        .create(json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "driver", "labels": {"app": "web"}},
            "spec": {"containers": [{"name": "main", "image": "demo"}]},
        }))
        .await;
    let maps = home.config_maps("team");
    let owner = json!({"apiVersion": "v1", "kind": "Pod", "name": "driver", "uid": uid});
    maps.create(json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "conf", "ownerReferences": [owner]},
    }))
    .await;
    pods.until("driver", |pod| {
        pod.as_ref()
            .is_some_and(|pod| pod["spec"]["nodeName"] == "one")
    })
    .await;
    let endpoints = home.kind("v1", "Endpoints", "endpoints", Some("team"));
    endpoints.until("web", Option::is_some).await;
    assert!(maps.get("conf").await.is_some(), "its owner is there");
    pods.delete("driver", Background).await;
    maps.until_gone("conf").await;
    home.namespaces().delete("team", Background).await;
    home.namespaces().until_gone("team").await;
}

#[tokio::test]
async fn writes_that_fail_are_lost_or_come_twice_change_nothing_in_the_end() {
    let faults = [
        Fault::Refuse(StatusCode::SERVICE_UNAVAILABLE),
        Fault::LoseAnswer(StatusCode::GATEWAY_TIMEOUT),
        Fault::Duplicate,
        Fault::Delay(Duration::from_millis(30)),
    ];
    for fault in faults {
        let home = Home::start().await;
        for verb in [Verb::Create, Verb::Update, Verb::Patch, Verb::Delete] {
            let calls = Calls::verb(verb).by(CONTROLLERS);
            home.server
                .faults()
                .inject(calls, When::First(4), fault.clone());
        }
        a_namespace_lives_and_goes(&home).await;
    }
}

#[tokio::test]
async fn reads_that_fail_or_are_old_only_delay() {
    let faults = [
        (Verb::Get, Fault::Refuse(StatusCode::SERVICE_UNAVAILABLE)),
        (Verb::List, Fault::Refuse(StatusCode::SERVICE_UNAVAILABLE)),
        (Verb::List, Fault::OldRevision(1)),
        (Verb::Watch, Fault::ExpireWatch),
    ];
    for (verb, fault) in faults {
        let home = Home::start().await;
        let calls = Calls::verb(verb).by(CONTROLLERS);
        home.server.faults().inject(calls, When::First(6), fault);
        a_namespace_lives_and_goes(&home).await;
    }
}
