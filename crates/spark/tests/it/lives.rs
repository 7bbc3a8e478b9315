//! Lives of applications from the first write to the last.

use serde_json::json;

use crate::house::{House, pi};

#[tokio::test]
async fn a_job_runs_from_its_manifest_to_its_end() {
    let house = House::start().await;
    let app = house.apps().create(pi("pi")).await;
    let driver = house.until_driver("pi", 1).await;
    assert_eq!(
        driver["metadata"]["ownerReferences"][0]["uid"],
        app["metadata"]["uid"]
    );
    assert_eq!(driver["spec"]["serviceAccountName"], "spark");
    house.until_state("pi", "SUBMITTED").await;

    house.driver_runs("pi").await;
    let executor = house.executor_runs(&driver, 1).await;
    let running = house
        .apps()
        .until("pi", |app| {
            let status = app.as_ref().map(|app| &app["status"]);
            status.is_some_and(|status| {
                status["executorState"][&executor] == "RUNNING"
                    && status["driverInfo"]["webUIAddress"].is_string()
            })
        })
        .await;
    assert_eq!(running["status"]["applicationState"]["state"], "RUNNING");

    house.driver_exits("pi", 0).await;
    let done = house.until_state("pi", "COMPLETED").await;
    assert!(
        house.pods().get(&executor).await.is_none(),
        "the leftover executor is gone"
    );
    assert_eq!(done["status"]["executorState"][&executor], "COMPLETED");
    assert_eq!(done["status"]["executionAttempts"], 1);
    house.services().until_gone("pi-ui-svc").await;
    assert!(
        house.pods().get("pi-driver").await.is_some(),
        "the driver stays for its logs"
    );

    house.apps().delete("pi").await;
    house.pods().until_gone("pi-driver").await;
    for volume in driver["spec"]["volumes"].as_array().unwrap() {
        if let Some(name) = volume["configMap"]["name"].as_str() {
            house.config_maps().until_gone(name).await;
        }
    }
}

#[tokio::test]
async fn two_retries_are_three_runs_and_then_it_failed() {
    let house = House::start().await;
    let mut app = pi("pi");
    app["spec"]["restartPolicy"] =
        json!({"type": "OnFailure", "onFailureRetries": 2, "onFailureRetryInterval": 1});
    house.apps().create(app).await;
    for attempt in 1..=3 {
        let driver = house.until_driver("pi", attempt).await;
        house.driver_runs("pi").await;
        house.executor_runs(&driver, 1).await;
        house.until_state("pi", "RUNNING").await;
        house.driver_exits("pi", 7).await;
    }
    let failed = house.until_state("pi", "FAILED").await;
    let status = &failed["status"];
    assert_eq!(status["executionAttempts"], 3);
    assert_eq!(status["attemptHistory"].as_array().unwrap().len(), 2);
    assert_eq!(
        status["applicationState"]["errorMessage"],
        "the driver exited with code 7"
    );
    assert_eq!(status["attempt"]["outcome"]["exitCode"], 7);
}

#[tokio::test]
async fn a_missing_service_account_says_what_to_run() {
    let house = House::start().await;
    house.accounts().delete("spark").await;
    house.apps().create(pi("pi")).await;
    let failed = house.until_state("pi", "FAILED").await;
    let message = failed["status"]["applicationState"]["errorMessage"]
        .as_str()
        .unwrap();
    assert!(
        message.contains("kubectl create serviceaccount spark -n default"),
        "{message}"
    );
}

#[tokio::test]
async fn an_invalid_spec_fails_by_name_and_runs_once_it_is_repaired() {
    let house = House::start().await;
    let mut app = pi("pi");
    app["spec"]["driver"]["memory"] = json!("much");
    house.apps().create(app).await;
    let failed = house.until_state("pi", "FAILED").await;
    let message = failed["status"]["applicationState"]["errorMessage"]
        .as_str()
        .unwrap();
    assert!(message.contains("spec.driver.memory"), "{message}");

    house
        .apps()
        .merge("pi", json!({"spec": {"driver": {"memory": "1g"}}}))
        .await;
    house.until_driver("pi", 1).await;
    house.until_state("pi", "SUBMITTED").await;
}

#[tokio::test]
async fn a_bad_application_does_not_hold_up_its_neighbours() {
    let house = House::start().await;
    for number in 0..5 {
        let mut bad = pi(&format!("bad-{number}"));
        bad["spec"]["driver"]["affinity"] = json!({"nodeAffinity": "none"});
        house.apps().create(bad).await;
    }
    house.apps().create(pi("good")).await;
    house.until_driver("good", 1).await;
    for number in 0..5 {
        house.until_state(&format!("bad-{number}"), "FAILED").await;
    }
}

#[tokio::test]
async fn a_deleted_driver_is_missed_and_replaced_by_policy() {
    let house = House::start().await;
    let mut app = pi("pi");
    app["spec"]["restartPolicy"] =
        json!({"type": "OnFailure", "onFailureRetries": 1, "onFailureRetryInterval": 1});
    house.apps().create(app).await;
    house.until_driver("pi", 1).await;
    house.driver_runs("pi").await;
    house.until_state("pi", "RUNNING").await;
    house.pods().delete("pi-driver").await;
    house.until_driver("pi", 2).await;
    house.driver_runs("pi").await;
    house.until_state("pi", "RUNNING").await;
    house.driver_exits("pi", 0).await;
    house.until_state("pi", "COMPLETED").await;
}

#[tokio::test]
async fn an_operator_that_comes_back_finds_its_jobs_where_they_are() {
    let mut house = House::start().await;
    house.apps().create(pi("pi")).await;
    let driver = house.until_driver("pi", 1).await;
    house.driver_runs("pi").await;
    house.until_state("pi", "RUNNING").await;

    house.kill_operator().await;
    house.driver_exits("pi", 0).await;
    house.start_operator();
    let done = house.until_state("pi", "COMPLETED").await;
    assert_eq!(done["status"]["executionAttempts"], 1);
    let same = house.pods().get("pi-driver").await.unwrap();
    assert_eq!(same["metadata"]["uid"], driver["metadata"]["uid"]);
}

#[tokio::test]
async fn what_happens_is_told_as_events() {
    let house = House::start().await;
    house.apps().create(pi("pi")).await;
    house.until_driver("pi", 1).await;
    house.driver_runs("pi").await;
    house.until_state("pi", "RUNNING").await;
    house.driver_exits("pi", 0).await;
    house.until_state("pi", "COMPLETED").await;
    for reason in [
        "SparkApplicationSubmitted",
        "SparkDriverRunning",
        "SparkDriverCompleted",
        "SparkApplicationCompleted",
    ] {
        house.until_told(reason).await;
    }
}

#[tokio::test]
async fn suspending_removes_the_driver_and_resuming_runs_again() {
    let house = House::start().await;
    house.apps().create(pi("pi")).await;
    house.until_driver("pi", 1).await;
    house.driver_runs("pi").await;
    house.until_state("pi", "RUNNING").await;
    house
        .apps()
        .merge("pi", json!({"spec": {"suspend": true}}))
        .await;
    house.until_state("pi", "SUSPENDED").await;
    assert!(house.pods().get("pi-driver").await.is_none());
    house
        .apps()
        .merge("pi", json!({"spec": {"suspend": false}}))
        .await;
    house.until_driver("pi", 2).await;
}
