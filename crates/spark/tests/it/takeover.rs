//! Windlass starts in a cluster full of applications in every state, as the Kubeflow operator
//! leaves them: its statuses have no attempt, conditions or observedGeneration, its pods a random
//! submission id and no attempt, its executors a second owner.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::house::{House, pi};

/// What was left of one application, and what has become of it when Windlass has settled.
struct Left {
    name: &'static str,
    state: &'static str,
    driver: Driver,
    /// Merged into the spec.
    spec: Value,
    /// Merged into the status.
    status: Value,
    then: Then,
}

/// The driver pod that was left.
#[derive(Clone, Copy, PartialEq)]
enum Driver {
    None,
    Pending,
    Running,
    Exited(i32),
}

/// What becomes of it.
#[derive(Clone, Copy, PartialEq)]
enum Then {
    /// In this state, with the pod that was there, if there was one.
    Stays(&'static str),
    /// In this state, without a pod.
    IsCleared(&'static str),
    /// Submitted anew, when the old pod is gone.
    RunsAgain,
    /// The object itself is gone.
    IsRemoved,
}

fn left(name: &'static str, state: &'static str, driver: Driver, then: Then) -> Left {
    Left {
        name,
        state,
        driver,
        spec: json!({}),
        status: json!({}),
        then,
    }
}

fn everything() -> Vec<Left> {
    let ago = |minutes| (Timestamp::now() - SignedDuration::from_mins(minutes)).to_string();
    let retries = |count: u32| {
        json!({"restartPolicy": {
            "type": "OnFailure",
            "onFailureRetries": count, "onFailureRetryInterval": 1,
            "onSubmissionFailureRetries": count, "onSubmissionFailureRetryInterval": 1,
        }})
    };
    let ended = |minutes| json!({"terminationTime": ago(minutes)});
    let hour = json!({"timeToLiveSeconds": 3600});
    let failed = json!({"applicationState": {"errorMessage": "driver container failed"}});
    vec![
        left(
            "completed",
            "COMPLETED",
            Driver::Exited(0),
            Then::Stays("COMPLETED"),
        ),
        left(
            "completed-no-pod",
            "COMPLETED",
            Driver::None,
            Then::Stays("COMPLETED"),
        ),
        left("failed", "FAILED", Driver::Exited(1), Then::Stays("FAILED")),
        Left {
            status: ended(10),
            spec: hour.clone(),
            ..left(
                "kept",
                "COMPLETED",
                Driver::Exited(0),
                Then::Stays("COMPLETED"),
            )
        },
        Left {
            status: ended(61),
            spec: hour,
            ..left("over", "COMPLETED", Driver::Exited(0), Then::IsRemoved)
        },
        left(
            "running",
            "RUNNING",
            Driver::Running,
            Then::Stays("RUNNING"),
        ),
        left(
            "submitted",
            "SUBMITTED",
            Driver::Pending,
            Then::Stays("SUBMITTED"),
        ),
        left(
            "starts",
            "SUBMITTED",
            Driver::Running,
            Then::Stays("RUNNING"),
        ),
        left(
            "unknown",
            "UNKNOWN",
            Driver::Running,
            Then::Stays("RUNNING"),
        ),
        left(
            "ended-well",
            "RUNNING",
            Driver::Exited(0),
            Then::Stays("COMPLETED"),
        ),
        left(
            "ended-badly",
            "RUNNING",
            Driver::Exited(3),
            Then::Stays("FAILED"),
        ),
        left(
            "succeeding",
            "SUCCEEDING",
            Driver::Exited(0),
            Then::Stays("COMPLETED"),
        ),
        left(
            "failing",
            "FAILING",
            Driver::Exited(1),
            Then::Stays("FAILED"),
        ),
        left(
            "driver-gone",
            "RUNNING",
            Driver::None,
            Then::IsCleared("FAILED"),
        ),
        Left {
            spec: retries(1),
            ..left(
                "failing-once-more",
                "FAILING",
                Driver::Exited(1),
                Then::RunsAgain,
            )
        },
        Left {
            spec: retries(1),
            status: json!({"executionAttempts": 2}),
            ..left(
                "failing-enough",
                "FAILING",
                Driver::Exited(1),
                Then::Stays("FAILED"),
            )
        },
        left(
            "pending-rerun",
            "PENDING_RERUN",
            Driver::None,
            Then::RunsAgain,
        ),
        left(
            "pending-rerun-blocked",
            "PENDING_RERUN",
            Driver::Exited(1),
            Then::RunsAgain,
        ),
        left(
            "invalidating",
            "INVALIDATING",
            Driver::Running,
            Then::RunsAgain,
        ),
        Left {
            spec: json!({"suspend": true}),
            ..left(
                "suspended",
                "SUSPENDED",
                Driver::None,
                Then::IsCleared("SUSPENDED"),
            )
        },
        Left {
            spec: json!({"suspend": true}),
            ..left(
                "suspending",
                "SUSPENDING",
                Driver::Running,
                Then::IsCleared("SUSPENDED"),
            )
        },
        left("resuming", "RESUMING", Driver::None, Then::RunsAgain),
        Left {
            status: failed.clone(),
            ..left(
                "not-submitted",
                "SUBMISSION_FAILED",
                Driver::None,
                Then::IsCleared("FAILED"),
            )
        },
        Left {
            spec: retries(2),
            status: failed,
            ..left(
                "submitted-again",
                "SUBMISSION_FAILED",
                Driver::None,
                Then::RunsAgain,
            )
        },
        left("new", "", Driver::None, Then::RunsAgain),
        // It died between starting the driver and writing so.
        left("status-lost", "", Driver::Running, Then::Stays("RUNNING")),
    ]
}

#[tokio::test]
async fn what_the_kubeflow_operator_leaves_is_taken_over_as_it_is() {
    let mut house = House::empty().await;
    let all = everything();
    let mut pods = Vec::new();
    for left in &all {
        pods.push(leave(&house, left).await);
    }
    house.start_operator();
    for (left, pod) in all.iter().zip(&pods) {
        settles(&house, left, pod.as_ref()).await;
    }

    // Time goes on, and nothing else happens.
    house.apps().create(pi("another")).await;
    house.until_driver("another", 1).await;
    house.driver_runs("another").await;
    house.until_state("another", "RUNNING").await;
    for (left, pod) in all.iter().zip(&pods) {
        settles(&house, left, pod.as_ref()).await;
    }
    let drivers = house.pods().list().await;
    for left in &all {
        let of_app = |pod: &&Value| {
            let labels = &pod["metadata"]["labels"];
            labels["sparkoperator.k8s.io/app-name"] == left.name && labels["spark-role"] == "driver"
        };
        assert!(drivers.iter().filter(of_app).count() <= 1, "{}", left.name);
    }

    // Those that run are followed to their end, with the executors and the Service they had.
    for name in ["running", "status-lost"] {
        house.driver_exits(name, 0).await;
        let done = house.until_state(name, "COMPLETED").await;
        assert_eq!(done["status"]["executionAttempts"], 1, "{done:#}");
        house.pods().until_gone(&executor(name)).await;
        house.services().until_gone(&format!("{name}-ui-svc")).await;
    }
}

/// Makes what that operator would have made.
async fn leave(house: &House, left: &Left) -> Option<Value> {
    let mut app = pi(left.name);
    app["spec"]["mode"] = json!("cluster");
    merge(&mut app["spec"], &left.spec);
    let app = house.apps().create(app).await;
    let driver = match left.driver {
        Driver::None => None,
        _ => Some(leave_driver(house, left, &app).await),
    };
    if left.state.is_empty() {
        return driver;
    }
    let mut status = json!({
        "applicationState": {"state": left.state},
        "submissionID": submission(left.name),
        "lastSubmissionAttemptTime": (Timestamp::now() - SignedDuration::from_mins(90)).to_string(),
        "terminationTime": null,
        "driverInfo": {
            "podName": format!("{}-driver", left.name),
            "webUIServiceName": format!("{}-ui-svc", left.name),
            "webUIPort": 4040,
            "webUIAddress": "10.1.2.3:4040",
        },
        "executionAttempts": 1,
        "submissionAttempts": 1,
    });
    if left.driver != Driver::None {
        status["sparkApplicationId"] = json!(selector(left.name));
        status["executorState"] = json!({executor(left.name): "RUNNING"});
    }
    merge(&mut status, &left.status);
    let status = json!({ "status": status });
    house.apps().merge_status(left.name, status).await;
    driver
}

async fn leave_driver(house: &House, left: &Left, app: &Value) -> Value {
    let owner = |kind: &str, version: &str, object: &Value, controller: bool| {
        json!({
            "apiVersion": version, "kind": kind, "controller": controller,
            "name": object["metadata"]["name"], "uid": object["metadata"]["uid"],
        })
    };
    let of_app = |controller| {
        owner(
            "SparkApplication",
            "sparkoperator.k8s.io/v1beta2",
            app,
            controller,
        )
    };
    let labels = |role: &str| {
        json!({
            "spark-role": role,
            "spark-app-selector": selector(left.name),
            "spark-app-name": left.name,
            "spark-version": "4.3.0",
            "sparkoperator.k8s.io/app-name": left.name,
            "sparkoperator.k8s.io/launched-by-spark-operator": "true",
            "sparkoperator.k8s.io/submission-id": submission(left.name),
            "sparkoperator.k8s.io/mutated-by-spark-operator": "true",
        })
    };
    let name = format!("{}-driver", left.name);
    let service = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {
            "name": format!("{}-ui-svc", left.name),
            "labels": {"sparkoperator.k8s.io/app-name": left.name},
            "ownerReferences": [of_app(true)],
        },
        "spec": {
            "selector": {"sparkoperator.k8s.io/app-name": left.name, "spark-role": "driver"},
            "ports": [{"name": "spark-driver-ui-port", "port": 4040, "targetPort": 4040}],
        },
    });
    house.services().create(service).await;
    let driver = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "labels": labels("driver"), "ownerReferences": [of_app(true)]},
        "spec": {
            "restartPolicy": "Never",
            "containers": [{"name": "spark-kubernetes-driver", "image": "apache/spark:4.3.0"}],
        },
    });
    let driver = house.pods().create(driver).await;
    match left.driver {
        Driver::None | Driver::Pending => {}
        Driver::Running => {
            house.driver_runs(left.name).await;
            let mut labels = labels("executor");
            labels["spark-exec-id"] = json!("1");
            let executor = executor(left.name);
            let pod = json!({
                "apiVersion": "v1", "kind": "Pod",
                "metadata": {
                    "name": executor,
                    "labels": labels,
                    "ownerReferences": [owner("Pod", "v1", &driver, true), of_app(false)],
                },
                "spec": {"containers": [{"name": "spark-kubernetes-executor", "image": "apache/spark:4.3.0"}]},
            });
            house.pods().create(pod).await;
            let running = json!({"status": {"phase": "Running"}});
            house.pods().merge_status(&executor, running).await;
        }
        Driver::Exited(code) => house.driver_exits(left.name, code).await,
    }
    driver
}

/// Waits for what is to become of it.
async fn settles(house: &House, left: &Left, pod: Option<&Value>) {
    let name = left.name;
    let driver = format!("{name}-driver");
    match left.then {
        Then::IsRemoved => {
            house.apps().until_gone(name).await;
            house.pods().until_gone(&driver).await;
        }
        Then::Stays(state) => {
            is_looked_at(house, name, state).await;
            let found = house.pods().get(&driver).await;
            let uid = |pod: &Value| pod["metadata"]["uid"].clone();
            assert_eq!(found.as_ref().map(uid), pod.map(uid), "{name}");
        }
        Then::IsCleared(state) => {
            is_looked_at(house, name, state).await;
            house.pods().until_gone(&driver).await;
            house.pods().until_gone(&executor(name)).await;
        }
        Then::RunsAgain => {
            let again = |found: &Option<Value>| {
                let Some(found) = found else {
                    return false;
                };
                let metadata = &found["metadata"];
                let labels = &metadata["labels"];
                labels["sparkoperator.k8s.io/submission-id"] != submission(name)
                    && pod.is_none_or(|pod| pod["metadata"]["uid"] != metadata["uid"])
            };
            house.pods().until(&driver, again).await;
            house.pods().until_gone(&executor(name)).await;
        }
    }
}

/// The state, by a status that Windlass has written.
async fn is_looked_at(house: &House, name: &str, state: &str) {
    let wanted = |app: &Option<Value>| {
        let status = app.as_ref().map(|app| &app["status"]);
        status.is_some_and(|status| {
            status["applicationState"]["state"] == state && status["observedGeneration"].is_number()
        })
    };
    house.apps().until(name, wanted).await;
}

fn submission(name: &str) -> String {
    format!("5d5ae9a5-3c1f-4d0c-9f5e-{name}")
}

fn selector(name: &str) -> String {
    format!("spark-{name}-0a1b2c3d")
}

fn executor(name: &str) -> String {
    format!("{name}-exec-1")
}

fn merge(onto: &mut Value, patch: &Value) {
    match (onto, patch) {
        (Value::Object(onto), Value::Object(patch)) => {
            for (key, value) in patch {
                merge(onto.entry(key).or_insert(Value::Null), value);
            }
        }
        (onto, patch) => *onto = patch.clone(),
    }
}
