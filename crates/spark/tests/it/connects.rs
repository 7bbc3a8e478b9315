//! Spark Connect servers, with an operator that has only its own rights. The Deployment's controller
//! is the embedded cluster's, and the test plays the node.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::house::{House, Objects, Place, container};

pub(crate) const LABEL: &str = "sparkoperator.k8s.io/connect-name";

/// A server of a few lines.
pub(crate) fn server(name: &str) -> Value {
    json!({
        "apiVersion": "sparkoperator.k8s.io/v1alpha1",
        "kind": "SparkConnect",
        "metadata": {"name": name},
        "spec": {
            "sparkVersion": "4.3.0",
            "image": "apache/spark:4.3.0",
            "executor": {"instances": 1},
        },
    })
}

/// The SparkConnect, once it is as wanted.
pub(crate) async fn until(place: &Place, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let wanted = |found: &Option<Value>| found.as_ref().is_some_and(&wanted);
    place.connects().until(name, wanted).await
}

/// The pod of the server, once it is another one than this.
pub(crate) async fn until_pod(place: &Place, name: &str, before: Option<&str>) -> String {
    let connect = until(place, name, |it| {
        let pod = it["status"]["server"]["podName"].as_str();
        pod.is_some() && pod != before
    })
    .await;
    let pod = connect["status"]["server"]["podName"].as_str();
    pod.unwrap().to_owned()
}

/// The node says that the server answers.
pub(crate) async fn answers(place: &Place, pod: &str) {
    let mut status = container(
        "spark-kubernetes-driver",
        json!({"running": {"startedAt": "2026-03-01T12:00:00Z"}}),
    );
    status["ready"] = json!(true);
    let status = json!({
        "phase": "Running",
        "podIP": "10.0.0.7",
        "conditions": [{"type": "Ready", "status": "True"}],
        "containerStatuses": [status],
    });
    place
        .pods()
        .merge_status(pod, json!({ "status": status }))
        .await;
}

pub(crate) async fn until_ready(place: &Place, name: &str) -> Value {
    until(place, name, |it| {
        it["status"]["state"] == "Ready"
            && it["status"]["observedGeneration"] == it["metadata"]["generation"]
    })
    .await
}

/// The names of the server's objects of a kind.
pub(crate) async fn names(objects: Objects, name: &str) -> Vec<String> {
    let all = objects.list().await;
    let own = all
        .iter()
        .filter(|it| it["metadata"]["labels"][LABEL] == name);
    own.map(|it| it["metadata"]["name"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn a_server_comes_up_is_replaced_stopped_and_goes_with_all_that_is_of_it() {
    let house = House::start().await;
    house.connects().create(server("sql")).await;
    let first = until_pod(&house, "sql", None).await;
    let pod = house.pods().get(&first).await.unwrap();
    assert_eq!(pod["spec"]["serviceAccountName"], "spark");
    assert_eq!(pod["spec"]["restartPolicy"], "Always");
    answers(&house, &first).await;
    let ready = until_ready(&house, "sql").await;
    let status = &ready["status"];
    assert_eq!(status["server"]["serviceName"], "sql-server");
    assert_eq!(status["server"]["podIp"], "10.0.0.7");
    let service = house.services().get("sql-server").await.unwrap();
    let ports = service["spec"]["ports"].as_array().unwrap();
    let connect = ports.iter().find(|it| it["name"] == "spark-connect-server");
    assert_eq!(connect.unwrap()["port"], 15002);
    house.until_told("ServerReady").await;

    let change = json!({"spec": {"server": {"memory": "2g"}}});
    house.connects().merge("sql", change).await;
    let second = until_pod(&house, "sql", Some(&first)).await;
    answers(&house, &second).await;
    until_ready(&house, "sql").await;
    let pod = house.pods().get(&second).await.unwrap();
    let container = &pod["spec"]["containers"][0];
    assert_eq!(container["resources"]["limits"]["memory"], "2432Mi");
    assert_eq!(names(house.config_maps(), "sql").await.len(), 2);

    let suspend = json!({"spec": {"suspend": true}});
    house.connects().merge("sql", suspend).await;
    house.pods().until_gone(&second).await;
    until(&house, "sql", |it| {
        it["status"]["state"] == "NotReady" && it["status"]["server"]["podName"].is_null()
    })
    .await;
    house.until_told("ServerStopped").await;

    house.connects().delete("sql").await;
    house.deployments().until_gone("sql-server").await;
    house.services().until_gone("sql-server").await;
}

#[tokio::test]
async fn a_token_is_made_for_the_server_and_shown_nowhere() {
    let house = House::start().await;
    let mut connect = server("sql");
    connect["spec"]["access"] = json!({"token": {}, "networkPolicy": {}});
    house.connects().create(connect).await;
    let pod = until_pod(&house, "sql", None).await;
    let secret = house.secrets().get("sql-connect-token").await.unwrap();
    let encoded = secret["data"]["token"].as_str().unwrap().to_owned();
    assert_eq!(encoded.len(), 88, "64 characters");
    answers(&house, &pod).await;
    until_ready(&house, "sql").await;
    assert_eq!(names(house.network_policies(), "sql").await.len(), 2);

    let token = String::from_utf8(STANDARD.decode(&encoded).unwrap()).unwrap();
    for objects in [
        house.connects(),
        house.deployments(),
        house.pods(),
        house.config_maps(),
        house.events(),
    ] {
        for object in objects.list().await {
            let text = object.to_string();
            assert!(!text.contains(&token) && !text.contains(&encoded), "{text}");
        }
    }
    let open = json!({"spec": {"access": null}});
    house.connects().merge("sql", open).await;
    let next = until_pod(&house, "sql", Some(&pod)).await;
    answers(&house, &next).await;
    until_ready(&house, "sql").await;
    assert_eq!(names(house.network_policies(), "sql").await.len(), 0);
}

#[tokio::test]
async fn a_service_of_somebody_else_is_never_taken_over() {
    let mut house = House::empty().await;
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "sql-server"},
        "spec": {"selector": {"app": "other"}, "ports": [{"port": 80}]},
    });
    house.services().create(service).await;
    house.connects().create(server("sql")).await;
    house.start_operator();
    let failed = until(&house, "sql", |it| it["status"]["state"] == "Failed").await;
    let conditions = failed["status"]["conditions"].as_array().unwrap();
    let ready = conditions.iter().find(|it| it["type"] == "ServerPodReady");
    let told = ready.unwrap()["message"].as_str().unwrap();
    assert!(
        told.contains("Service sql-server belongs to somebody else"),
        "{told}"
    );
    let service = house.services().get("sql-server").await.unwrap();
    assert_eq!(service["spec"]["selector"], json!({"app": "other"}));
    assert_eq!(names(house.deployments(), "sql").await.len(), 0);

    house.services().delete("sql-server").await;
    // A new look: the operator has no watch of what is not its own.
    let ask = json!({"metadata": {"annotations": {"windlass.dev/wake-requested-at": "now"}}});
    house.connects().merge("sql", ask).await;
    until_pod(&house, "sql", None).await;
}

#[tokio::test]
async fn a_wrong_specification_is_told_and_stops_nobody_else() {
    let house = House::start().await;
    let mut wrong = server("wrong");
    wrong["spec"]["server"] = json!({"template": {"spec": {"nodeSelectors": {}}}});
    house.connects().create(wrong).await;
    let failed = until(&house, "wrong", |it| it["status"]["state"] == "Failed").await;
    let told = failed["status"].to_string();
    assert!(
        told.contains("spec.server.template.spec.nodeSelectors"),
        "{told}"
    );
    house.until_told("ServerInvalid").await;
    house.connects().create(server("right")).await;
    until_pod(&house, "right", None).await;
}
