use kube::api::PropagationPolicy::Background;
use serde_json::{Value, json};

use crate::home::{Home, eventually};

async fn node(home: &Home, name: &str, cpu: &str) {
    let nodes = home.kind("v1", "Node", "nodes", None);
    nodes
        .create(json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}))
        .await;
    let amounts = json!({"cpu": cpu, "memory": "4Gi", "pods": "110"});
    nodes
        .merge_status(
            name,
            json!({"status": {"allocatable": amounts, "capacity": amounts}}),
        )
        .await;
}

fn pod(name: &str, cpu: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {"containers": [{
            "name": "main", "image": "demo", "resources": {"requests": {"cpu": cpu}},
        }]},
    })
}

fn is_on(node: &str) -> impl Fn(&Option<Value>) -> bool {
    move |pod| {
        pod.as_ref()
            .is_some_and(|pod| pod["spec"]["nodeName"] == node)
    }
}

fn scheduled(pod: &Value) -> Option<&Value> {
    let conditions = pod["status"]["conditions"].as_array()?;
    conditions
        .iter()
        .find(|condition| condition["type"] == "PodScheduled")
}

#[tokio::test]
async fn pods_fill_the_node_and_the_next_one_waits_until_there_is_room() {
    let home = Home::start().await;
    home.furnished("default").await;
    node(&home, "one", "2").await;
    let pods = home.pods("default");
    pods.create(pod("first", "1500m")).await;
    pods.until("first", is_on("one")).await;
    pods.create(pod("second", "1")).await;
    let refused = pods
        .until("second", |pod| {
            pod.as_ref().is_some_and(|pod| scheduled(pod).is_some())
        })
        .await;
    let condition = scheduled(&refused).unwrap();
    assert_eq!(condition["status"], "False");
    assert_eq!(condition["reason"], "Unschedulable");
    let message = condition["message"].as_str().unwrap();
    assert!(
        message.starts_with("0/1 nodes are available: 1 Insufficient cpu."),
        "{message}"
    );
    let events = home.kind("v1", "Event", "events", Some("default"));
    eventually("an event tells of the refusal", || async {
        let events = events.list().await;
        events.iter().any(|event| {
            event["reason"] == "FailedScheduling" && event["involvedObject"]["name"] == "second"
        })
    })
    .await;
    // A small one still fits, and overtakes.
    pods.create(pod("third", "500m")).await;
    pods.until("third", is_on("one")).await;
    pods.delete("first", Background).await;
    let bound = pods.until("second", is_on("one")).await;
    assert_eq!(scheduled(&bound).unwrap()["status"], "True");
}

#[tokio::test]
async fn a_pod_waits_for_a_node_to_appear() {
    let home = Home::start().await;
    home.furnished("default").await;
    let pods = home.pods("default");
    pods.create(pod("early", "1")).await;
    let waiting = pods
        .until("early", |pod| {
            pod.as_ref().is_some_and(|pod| scheduled(pod).is_some())
        })
        .await;
    let message = &scheduled(&waiting).unwrap()["message"];
    assert_eq!(message, "no nodes available to schedule pods");
    node(&home, "late", "4").await;
    pods.until("early", is_on("late")).await;
}

#[tokio::test]
async fn a_burst_of_pods_never_overcommits_the_node() {
    let home = Home::start().await;
    home.furnished("default").await;
    node(&home, "one", "5").await;
    let pods = home.pods("default");
    for index in 0..20 {
        pods.create(pod(&format!("p{index}"), "1")).await;
    }
    eventually("every pod has its verdict", || async {
        let pods = pods.list().await;
        pods.iter().all(|pod| scheduled(pod).is_some())
    })
    .await;
    let pods = pods.list().await;
    let placed = pods
        .iter()
        .filter(|pod| pod["spec"]["nodeName"] == "one")
        .count();
    assert_eq!(placed, 5);
}
