//! History servers, with an operator that has only its own rights. The Deployment's controller is the embedded
//! cluster's, and the test plays the node and the operator of ObjectStores.

use serde_json::{Value, json};

use crate::connects::answers;
use crate::house::{House, Objects, Place};

pub(crate) const LABEL: &str = "windlass.dev/history-server";

/// A server of a few lines.
pub(crate) fn server(name: &str) -> Value {
    json!({
        "apiVersion": "windlass.dev/v1alpha1",
        "kind": "SparkHistoryServer",
        "metadata": {"name": name},
        "spec": {
            "sparkVersion": "4.3.0",
            "image": "apache/spark:4.3.0",
            "logClaim": {"claimName": "logs"},
        },
    })
}

/// The SparkHistoryServer, once it is as wanted.
pub(crate) async fn until(place: &Place, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let wanted = |found: &Option<Value>| found.as_ref().is_some_and(&wanted);
    place.histories().until(name, wanted).await
}

/// The pod of the server, once it is another one than this.
pub(crate) async fn until_pod(place: &Place, name: &str, before: Option<&str>) -> String {
    let server = until(place, name, |it| {
        let pod = it["status"]["podName"].as_str();
        pod.is_some() && pod != before
    })
    .await;
    server["status"]["podName"].as_str().unwrap().to_owned()
}

pub(crate) async fn until_ready(place: &Place, name: &str) -> Value {
    until(place, name, |it| {
        it["status"]["phase"] == "Ready"
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

fn condition<'a>(server: &'a Value, kind: &str) -> &'a Value {
    let conditions = server["status"]["conditions"].as_array().unwrap();
    let found = conditions.iter().find(|it| it["type"] == kind);
    found.unwrap_or(&Value::Null)
}

#[tokio::test]
async fn a_history_server_comes_up_is_replaced_stopped_and_goes_with_all_that_is_of_it() {
    let house = House::start().await;
    house.histories().create(server("jobs")).await;
    let first = until_pod(&house, "jobs", None).await;
    let pod = house.pods().get(&first).await.unwrap();
    assert_eq!(pod["spec"]["automountServiceAccountToken"], false);
    assert_eq!(pod["spec"]["serviceAccountName"], "default");
    assert_eq!(pod["metadata"]["labels"]["windlass.dev/history-of"], "");
    answers(&house, &first).await;
    let ready = until_ready(&house, "jobs").await;
    let status = &ready["status"];
    assert_eq!(status["url"], "http://jobs-history.default:18080");
    assert_eq!(status["logDirectory"], "file:/spark-events");
    let service = house.services().get("jobs-history").await.unwrap();
    assert_eq!(service["spec"]["ports"][0]["port"], 18080);
    house.until_told("ServerReady").await;

    let change = json!({"spec": {"retention": "30d"}});
    house.histories().merge("jobs", change).await;
    let second = until_pod(&house, "jobs", Some(&first)).await;
    answers(&house, &second).await;
    until_ready(&house, "jobs").await;
    assert_eq!(names(house.config_maps(), "jobs").await.len(), 1);

    let suspend = json!({"spec": {"suspend": true}});
    house.histories().merge("jobs", suspend).await;
    house.pods().until_gone(&second).await;
    until(&house, "jobs", |it| {
        it["status"]["phase"] == "Suspended" && it["status"]["podName"].is_null()
    })
    .await;

    house.histories().delete("jobs").await;
    house.deployments().until_gone("jobs-history").await;
    house.services().until_gone("jobs-history").await;
}

#[tokio::test]
async fn a_history_server_waits_for_its_bucket_and_follows_it() {
    let house = House::start_with_object_stores().await;
    let mut waiting = server("jobs");
    waiting["spec"].as_object_mut().unwrap().remove("logClaim");
    waiting["spec"]["eventLog"] = json!("history");
    house.histories().create(waiting).await;
    let held = until(&house, "jobs", |it| it["status"]["phase"] == "Pending").await;
    let ready = condition(&held, "Ready");
    assert_eq!(ready["reason"], "ObjectStoreNotReady");
    assert!(
        ready["message"]
            .as_str()
            .unwrap()
            .contains("the ObjectStore history cannot be used"),
        "{ready}"
    );
    assert_eq!(names(house.deployments(), "jobs").await.len(), 0);

    let stores = house.object_stores();
    let store = |endpoint: &str| {
        json!({
            "apiVersion": "banzaicloud.com/v1alpha1",
            "kind": "ObjectStore",
            "metadata": {"name": "history"},
            "spec": {
                "name": "spark-history", "provider": "S3", "endpoint": endpoint,
                "credentials": {"secretRef": {"name": "keys"}},
            },
        })
    };
    stores.create(store("http://minio:9000")).await;
    let status = json!({"status": {
        "phase": "Ready", "provider": "S3", "url": "s3a://spark-history", "location": "us-east-1",
        "credentialKeys": ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"],
    }});
    stores.merge_status("history", status).await;
    let first = until_pod(&house, "jobs", None).await;
    answers(&house, &first).await;
    let ready = until_ready(&house, "jobs").await;
    assert_eq!(ready["status"]["logDirectory"], "s3a://spark-history/");
    let pod = house.pods().get(&first).await.unwrap();
    assert_eq!(
        pod["metadata"]["labels"]["windlass.dev/history-of"],
        "history"
    );

    let moved = json!({"spec": {"endpoint": "http://other:9000"}});
    stores.merge("history", moved).await;
    let second = until_pod(&house, "jobs", Some(&first)).await;
    answers(&house, &second).await;
    until_ready(&house, "jobs").await;
    let files = names(house.config_maps(), "jobs").await;
    let file = house.config_maps().get(&files[0]).await.unwrap();
    let settings = file["data"]["spark.properties"].as_str().unwrap();
    assert!(settings.contains("http\\://other\\:9000"), "{settings}");

    // Without its bucket it stays as it is.
    stores.delete("history").await;
    let alone = until(&house, "jobs", |it| {
        let ready = condition(it, "Ready")["message"].as_str();
        ready.is_some_and(|it| it.contains("by what it was before"))
    })
    .await;
    assert_eq!(alone["status"]["phase"], "Ready");
    assert!(house.pods().get(&second).await.is_some());
}

#[tokio::test]
async fn a_wrong_history_server_is_told_and_stops_nobody_else() {
    let house = House::start().await;
    let mut wrong = server("wrong");
    wrong["spec"]["template"] = json!({"spec": {"nodeSelectors": {}}});
    house.histories().create(wrong).await;
    let failed = until(&house, "wrong", |it| it["status"]["phase"] == "Failed").await;
    let told = failed["status"].to_string();
    assert!(told.contains("spec.template.spec.nodeSelectors"), "{told}");
    house.until_told("ServerInvalid").await;
    house.histories().create(server("right")).await;
    until_pod(&house, "right", None).await;
}

#[tokio::test]
async fn the_api_takes_exactly_one_place_of_event_logs() {
    let house = House::empty().await;
    for (more, is_taken) in [
        (json!({}), true),
        (json!({"logClaim": "-"}), false),
        (json!({"eventLog": "history"}), false),
        (json!({"logClaim": "-", "eventLog": "history"}), true),
        (json!({"retention": "a month"}), false),
    ] {
        let mut object = server("jobs");
        for (field, value) in more.as_object().unwrap() {
            object["spec"][field] = value.clone();
        }
        let spec = object["spec"].as_object_mut().unwrap();
        // Nothing at all is another thing than a null.
        spec.retain(|_, value| value != "-");
        let answer = house.histories().try_create(object).await;
        assert_eq!(answer.is_ok(), is_taken, "{more}: {answer:?}");
        if is_taken {
            house.histories().delete("jobs").await;
        }
    }
}
