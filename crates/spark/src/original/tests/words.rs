//! The words of that time for every state of today.

use super::*;

#[test]
fn every_state_has_a_word_of_that_time() {
    let lines = State::ALL.map(|state| {
        let status = SparkApplicationStatus {
            application_state: ApplicationState {
                state,
                error_message: None,
            },
            ..SparkApplicationStatus::default()
        };
        let told = project(&status).application_state;
        let word = serde_json::to_value(told.state).unwrap();
        let word = word.as_str().unwrap().to_owned();
        format!("{:18}{word:10} {}", state.as_str(), told.error_message)
            .trim_end()
            .to_owned()
    });
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn what_is_known_of_an_application_has_its_place_in_the_status_of_that_time() {
    let status: SparkApplicationStatus = serde_json::from_value(json!({
        "sparkApplicationId": "spark-0011",
        "submissionID": "0022",
        "lastSubmissionAttemptTime": "2026-11-29T11:00:00Z",
        "terminationTime": "2026-11-29T11:30:00Z",
        "driverInfo": {
            "podName": "estimate-driver",
            "webUIServiceName": "estimate-ui-svc",
            "webUIPort": 4040,
            "webUIAddress": "10.0.0.9:4040",
        },
        "applicationState": {"state": "FAILED", "errorMessage": "the driver exited with code 7"},
        "executorState": {"estimate-exec-1": "COMPLETED", "estimate-exec-2": "FAILED"},
        "executionAttempts": 1,
    }))
    .unwrap();
    insta::assert_yaml_snapshot!(project(&status));
    let with = |driver_info: DriverInfo| SparkApplicationStatus {
        driver_info,
        ..status.clone()
    };
    let address = |status: &SparkApplicationStatus| project(status).driver_info.web_ui_address;
    let outside = with(DriverInfo {
        web_ui_external_address: Some("203.0.113.7:4040".to_owned()),
        ..status.driver_info.clone()
    });
    assert_eq!(address(&outside).as_deref(), Some("203.0.113.7:4040"));
    let routed = with(DriverInfo {
        web_ui_ingress_address: Some("https://estimate.example".to_owned()),
        ..outside.driver_info
    });
    assert_eq!(
        address(&routed).as_deref(),
        Some("https://estimate.example")
    );
    let states = project(&status).executor_state;
    assert_eq!(states["estimate-exec-2"], ExecutorState::Failed);
}
