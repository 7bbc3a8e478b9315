//! Applications of the first Spark operator, with an operator that has only its own rights, where
//! the test plays the nodes and the drivers.

use kube::api::{Api, ApiResource, DynamicObject, PostParams};
use serde_json::{Value, json};
use windlass_api::spark::original::{APP_ID_LABEL, OldImages};

use crate::house::{House, Place, container, pi};

/// An application of that time, with images of today.
fn original(name: &str) -> Value {
    json!({
        "apiVersion": "spark-operator.k8s.io/v1alpha1",
        "kind": "SparkApplication",
        "metadata": {"name": name, "labels": {"team": "etl"}},
        "spec": {
            "type": "Python",
            "mode": "cluster",
            "mainApplicationFile": "local:///opt/spark/examples/src/main/python/pi.py",
            "deps": {},
            "driver": {"cores": "0.1", "image": "apache/spark:4.3.0", "memory": null},
            "executor": {
                "cores": "0.1", "image": "apache/spark:4.3.0", "instances": 1, "memory": "512m",
            },
            "submissionByUser": false,
        },
    })
}

/// The object, once it is as wanted.
async fn until(place: &Place, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let wanted = |found: &Option<Value>| found.as_ref().is_some_and(&wanted);
    place.originals().until(name, wanted).await
}

async fn until_word(place: &Place, name: &str, word: &str) -> Value {
    until(place, name, |it| {
        it["status"]["applicationState"]["state"] == word
    })
    .await
}

#[tokio::test]
async fn an_application_of_the_first_operator_runs_and_tells_of_it_in_its_words() {
    let house = House::start_with_originals(OldImages::Refuse).await;
    let made = house.originals().create(original("first")).await;
    let driver = house.until_driver("first", 1).await;
    until_word(&house, "first", "SUBMITTED").await;
    let app = house.apps().get("first").await.unwrap();
    let owner = &app["metadata"]["ownerReferences"][0];
    assert_eq!(owner["uid"], made["metadata"]["uid"]);
    assert_eq!(owner["apiVersion"], "spark-operator.k8s.io/v1alpha1");
    assert_eq!(app["metadata"]["labels"]["team"], "etl");
    let requests = &driver["spec"]["containers"][0]["resources"]["requests"];
    assert_eq!(requests["cpu"], "100m");

    house.driver_runs("first").await;
    let executor = house.executor_runs(&driver, 1).await;
    let running = until(&house, "first", |it| {
        it["status"]["executorState"][&executor] == "RUNNING"
            && it["status"]["driverInfo"]["webUIAddress"].is_string()
    })
    .await;
    let status = &running["status"];
    assert_eq!(status["applicationState"]["state"], "RUNNING");
    assert_eq!(status["applicationState"]["errorMessage"], "");
    assert_eq!(status["driverInfo"]["podName"], "first-driver");
    assert_eq!(status["driverInfo"]["webUIServiceName"], "first-ui-svc");
    assert_eq!(status["driverInfo"]["webUIPort"], 4040);
    assert_eq!(status["appId"], driver["metadata"]["labels"][APP_ID_LABEL]);

    house
        .pods()
        .merge_status(&executor, json!({"status": {"phase": "Succeeded"}}))
        .await;
    house.driver_exits("first", 0).await;
    let completed = until_word(&house, "first", "COMPLETED").await;
    assert_eq!(completed["status"]["executorState"][&executor], "COMPLETED");
    assert!(completed["status"]["submissionTime"].is_string());
    assert!(completed["status"]["completionTime"].is_string());
    house.until_told("Converted").await;

    house.originals().delete("first").await;
    house.apps().until_gone("first").await;
    house.pods().until_gone("first-driver").await;
}

#[tokio::test]
async fn a_change_of_the_original_runs_the_changed_job() {
    let house = House::start_with_originals(OldImages::Refuse).await;
    house.originals().create(original("first")).await;
    house.until_driver("first", 1).await;
    house.driver_runs("first").await;
    house.driver_exits("first", 7).await;
    let failed = until_word(&house, "first", "FAILED").await;
    assert_eq!(
        failed["status"]["applicationState"]["errorMessage"],
        "the driver exited with code 7"
    );
    let change = json!({"spec": {"arguments": ["20"], "driver": {"cores": "1"}}});
    house.originals().merge("first", change).await;
    let driver = house.until_driver("first", 2).await;
    let container = &driver["spec"]["containers"][0];
    assert_eq!(container["resources"]["requests"]["cpu"], "1");
    let arguments = container["args"].as_array().unwrap();
    assert_eq!(arguments.last(), Some(&json!("20")));
}

#[tokio::test]
async fn images_of_that_time_are_refused_or_replaced() {
    let mut old = original("first");
    for role in ["driver", "executor"] {
        let image = format!("kubespark/spark-{role}:v2.2.0-kubernetes-0.5.0");
        old["spec"][role]["image"] = json!(image);
    }
    let house = House::start_with_originals(OldImages::Refuse).await;
    house.originals().create(old.clone()).await;
    let refused = until_word(&house, "first", "FAILED").await;
    let message = &refused["status"]["applicationState"]["errorMessage"];
    let message = message.as_str().unwrap();
    assert!(message.contains("spec.driver.image"), "{message}");
    assert!(message.contains("Spark 2.2.0"), "{message}");
    assert!(house.apps().get("first").await.is_none());
    house.until_told("NotConvertible").await;

    let images = OldImages::Replace("apache/spark:4.3.0".parse().unwrap());
    let house = House::start_with_originals(images).await;
    house.originals().create(old).await;
    let driver = house.until_driver("first", 1).await;
    let container = &driver["spec"]["containers"][0];
    assert_eq!(container["image"], "apache/spark:4.3.0");
    house.until_told("NotTakenOver").await;
}

#[tokio::test]
async fn two_applications_of_one_name_in_both_groups_never_share_a_driver() {
    let house = House::start_with_originals(OldImages::Refuse).await;
    house.apps().create(pi("both")).await;
    let driver = house.until_driver("both", 1).await;
    house.originals().create(original("both")).await;
    let refused = until_word(&house, "both", "FAILED").await;
    let message = &refused["status"]["applicationState"]["errorMessage"];
    let message = message.as_str().unwrap();
    assert!(
        message.contains("named both exists and is not of this object"),
        "{message}"
    );
    let still = house.pods().get("both-driver").await.unwrap();
    assert_eq!(still["metadata"]["uid"], driver["metadata"]["uid"]);
    let app = house.apps().get("both").await.unwrap();
    assert!(app["metadata"]["ownerReferences"].is_null());
}

fn policy(spec: &Value) -> Value {
    json!({
        "apiVersion": "windlass.dev/v1alpha1", "kind": "SparkPolicy",
        "metadata": {"name": "team"}, "spec": spec,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_decide_about_applications_of_the_first_operator_as_about_others() {
    let house = House::start_with_originals(OldImages::Refuse).await;
    house
        .policies()
        .create(policy(&json!({
            "imageAliases": [{
                "name": "current", "image": "registry.example.com/spark:4.3.0",
                "sparkVersion": "4.3.0",
            }],
            "allowedImages": ["registry.example.com/*"],
            "deniedSparkConf": ["spark.hadoop.fs.s3a.endpoint"],
            "defaults": {"driver": {"labels": {"cost": "etl"}, "memory": "2g"}},
            "enforced": {"executor": {"memory": "768m"}},
        })))
        .await;
    let named = |name: &str| {
        let mut named = original(name);
        named["metadata"]["annotations"] = json!({"windlass.dev/spark-version": "4.3.0"});
        named["spec"]["driver"]["image"] = json!("current");
        named["spec"]["executor"]["image"] = json!("current");
        named
    };

    house.originals().create(named("ruled")).await;
    let driver = house.until_driver("ruled", 1).await;
    let container = &driver["spec"]["containers"][0];
    assert_eq!(container["image"], "registry.example.com/spark:4.3.0");
    assert_eq!(driver["metadata"]["labels"]["cost"], "etl");
    let memory = &container["resources"]["requests"]["memory"];
    assert_eq!(*memory, "2867Mi", "2g and the overhead");
    until_word(&house, "ruled", "SUBMITTED").await;
    // What the policy says is in what is submitted, and nobody's words are changed.
    let twin = house.apps().get("ruled").await.unwrap();
    assert_eq!(twin["spec"]["driver"]["image"], "current");
    let conditions = twin["status"]["conditions"].as_array().unwrap();
    let applied = conditions.iter().find(|it| it["type"] == "PolicyApplied");
    assert_eq!(
        applied.unwrap()["message"],
        "spec.executor.memory is decided by SparkPolicy default/team"
    );

    let mut setting = named("setting");
    setting["spec"]["sparkConf"] = json!({"spark.hadoop.fs.s3a.endpoint": "http://elsewhere"});
    let refusals = [
        (original("image"), "image", "spec.driver.image"),
        (setting, "setting", "spark.hadoop.fs.s3a.endpoint"),
    ];
    for (refused, name, field) in refusals {
        house.originals().create(refused).await;
        let refused = until_word(&house, name, "FAILED").await;
        let message = refused["status"]["applicationState"]["errorMessage"]
            .as_str()
            .unwrap();
        for part in [field, "SparkPolicy default/team"] {
            assert!(message.contains(part), "{message}");
        }
        let driver = format!("{name}-driver");
        assert!(house.pods().get(&driver).await.is_none());
    }
}

/// A pod as the user's own spark-submit makes one.
async fn submitted(place: &Place, name: &str, role: &str, app_id: &str) {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": name,
            "labels": {
                APP_ID_LABEL: app_id,
                "spark-role": role,
                "spark-exec-id": "1",
                "spark-app-selector": "spark-0011",
            },
        },
        "spec": {"containers": [{"name": format!("spark-kubernetes-{role}"), "image": "spark"}]},
    });
    place.pods().create(pod).await;
}

#[tokio::test]
async fn what_the_user_submits_is_followed_and_left_alone() {
    let house = House::start_with_originals(OldImages::Refuse).await;
    let mut followed = original("own");
    followed["spec"]["submissionByUser"] = json!(true);
    house.originals().create(followed).await;
    let new = until(&house, "own", |it| it["status"]["appId"].is_string()).await;
    assert_eq!(new["status"]["applicationState"]["state"], "NEW");
    let app_id = new["status"]["appId"].as_str().unwrap().to_owned();

    submitted(&house, "own-1a2b-driver", "driver", &app_id).await;
    until_word(&house, "own", "SUBMITTED").await;
    submitted(&house, "own-1a2b-exec-1", "executor", &app_id).await;
    let status = |state: Value| {
        let phase = if state["running"].is_object() {
            "Running"
        } else {
            "Succeeded"
        };
        let container = container("spark-kubernetes-driver", state);
        json!({"status": {"phase": phase, "containerStatuses": [container]}})
    };
    let running = status(json!({"running": {"startedAt": "2026-03-01T12:00:00Z"}}));
    house.pods().merge_status("own-1a2b-driver", running).await;
    house
        .pods()
        .merge_status("own-1a2b-exec-1", json!({"status": {"phase": "Running"}}))
        .await;
    let running = until(&house, "own", |it| {
        it["status"]["executorState"]["own-1a2b-exec-1"] == "RUNNING"
            && it["status"]["applicationState"]["state"] == "RUNNING"
    })
    .await;
    assert_eq!(
        running["status"]["driverInfo"]["podName"],
        "own-1a2b-driver"
    );

    let ended = status(json!({"terminated": {"exitCode": 0, "reason": "Completed"}}));
    house.pods().merge_status("own-1a2b-driver", ended).await;
    until_word(&house, "own", "COMPLETED").await;
    assert!(house.apps().list().await.is_empty());
    house.originals().delete("own").await;
    house.originals().until_gone("own").await;
    for pod in ["own-1a2b-driver", "own-1a2b-exec-1"] {
        let pod = house.pods().get(pod).await.unwrap();
        assert!(pod["metadata"]["deletionTimestamp"].is_null());
    }
}

#[tokio::test]
async fn the_api_refuses_what_no_manifest_of_that_time_is_like() {
    let house = House::empty().await;
    house.install(windlass_api::original_crd()).await;
    let resource = ApiResource {
        group: "spark-operator.k8s.io".to_owned(),
        version: "v1alpha1".to_owned(),
        api_version: "spark-operator.k8s.io/v1alpha1".to_owned(),
        kind: "SparkApplication".to_owned(),
        plural: "sparkapplications".to_owned(),
    };
    let client = house
        .server
        .client(windlass_apiserver::User::component("test"));
    let api: Api<DynamicObject> = Api::namespaced_with(client, "default", &resource);
    let mut lines = Vec::new();
    for (pointer, value) in [
        ("/spec/type", json!("Cobol")),
        ("/spec/mode", json!("anywhere")),
        ("/spec/driver/cores", json!(1)),
        ("/spec/executor/instances", json!(0)),
        ("/spec/submissionByUser", json!("yes")),
        ("/spec/driver", Value::Null),
    ] {
        let mut object = original("wrong");
        *object.pointer_mut(pointer).unwrap() = value.clone();
        let object: DynamicObject = serde_json::from_value(object).unwrap();
        match api.create(&PostParams::default(), &object).await {
            Err(kube::Error::Api(status)) => lines.push(status.message.clone()),
            other => panic!("{pointer} = {value}: {other:?}"),
        }
    }
    insta::assert_snapshot!(lines.join("\n"));
    house.originals().create(original("right")).await;
}
