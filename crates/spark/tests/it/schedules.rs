//! Schedules and their runs, with an operator that has only its own rights.

use serde_json::{Value, json};
use windlass_spark::lower::driver_pod_name;

use crate::house::{House, Place, pi};

/// A schedule of this application. Its drivers end when the test lets them.
pub(crate) fn schedule(name: &str, schedule: &str) -> Value {
    json!({
        "apiVersion": "sparkoperator.k8s.io/v1beta2",
        "kind": "ScheduledSparkApplication",
        "metadata": {"name": name, "labels": {"team": "etl"}},
        "spec": {"schedule": schedule, "template": pi("any")["spec"]},
    })
}

/// A schedule that has no time while a test runs.
pub(crate) const SELDOM: &str = "0 0 29 2 *";

/// Asks for a run, and names the request.
pub(crate) async fn trigger(place: &Place, name: &str, request: &str) -> String {
    let annotations = json!({"sparkoperator.k8s.io/trigger": request});
    let patch = json!({"metadata": {"annotations": annotations}});
    place.schedules().merge(name, patch).await;
    windlass_api::spark::scheduled::triggered_run_name(name, request)
}

/// Plays the node for the driver of a run, which ends with this code.
pub(crate) async fn run_to_its_end(place: &Place, run: &str, code: i32) {
    place.until_driver(run, 1).await;
    place.driver_runs(run).await;
    place.driver_exits(run, code).await;
}

pub(crate) async fn until(place: &Place, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let wanted = |found: &Option<Value>| found.as_ref().is_some_and(&wanted);
    place.schedules().until(name, wanted).await
}

pub(crate) fn names(status: &Value, field: &str) -> Vec<String> {
    let names = status[field].as_array().into_iter().flatten();
    names
        .map(|name| name.as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn a_schedule_starts_runs_that_it_owns_and_keeps_the_last_one() {
    let house = House::start().await;
    let made = house
        .schedules()
        .create(schedule("report", "@every 1s"))
        .await;
    let first = until(&house, "report", |it| {
        it["status"]["lastRunName"].is_string()
    })
    .await;
    let run = first["status"]["lastRunName"].as_str().unwrap().to_owned();
    let app = house.apps().get(&run).await.unwrap();
    let metadata = &app["metadata"];
    assert_eq!(
        metadata["ownerReferences"][0]["uid"],
        made["metadata"]["uid"]
    );
    assert_eq!(metadata["labels"]["team"], "etl");
    assert_eq!(
        metadata["labels"]["sparkoperator.k8s.io/scheduled-app-name"],
        "report"
    );
    assert!(metadata["annotations"]["sparkoperator.k8s.io/scheduled-time"].is_string());

    // No more of them: what is live now ends, and all but one is removed.
    house
        .schedules()
        .merge("report", json!({"spec": {"suspend": true}}))
        .await;
    let suspended = until(&house, "report", |it| {
        it["status"]["nextRun"].is_null() && it["status"]["pendingRun"].is_null()
    })
    .await;
    let last = suspended["status"]["lastRunName"]
        .as_str()
        .unwrap()
        .to_owned();
    let mut runs: Vec<String> = house.apps().list().await.iter().map(name_of).collect();
    runs.sort();
    assert_eq!(runs.last(), Some(&last));
    for run in &runs {
        run_to_its_end(&house, run, 0).await;
        until(&house, "report", |it| {
            names(&it["status"], "pastSuccessfulRunNames") == [run.as_str()]
        })
        .await;
    }
    for run in runs.iter().filter(|run| **run != last) {
        house.apps().until_gone(run).await;
    }
    assert!(house.apps().get(&last).await.is_some());
    house.until_told("ScheduledRunStarted").await;
    house.until_told("ScheduledRunCompleted").await;

    house.schedules().delete("report").await;
    house.apps().until_gone(&last).await;
}

fn name_of(object: &Value) -> String {
    object["metadata"]["name"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_request_starts_a_run_now_and_history_is_trimmed_as_it_ends() {
    let house = House::start().await;
    house.schedules().create(schedule("report", SELDOM)).await;
    let first = trigger(&house, "report", "one").await;
    run_to_its_end(&house, &first, 7).await;
    let failed = until(&house, "report", |it| {
        names(&it["status"], "pastFailedRunNames") == [first.as_str()]
    })
    .await;
    assert_eq!(failed["status"]["lastRunName"], first.as_str());
    house.until_told("ScheduledRunFailed").await;

    let second = trigger(&house, "report", "two").await;
    run_to_its_end(&house, &second, 7).await;
    house.apps().until_gone(&first).await;
    assert!(house.apps().get(&second).await.is_some());
}

#[tokio::test]
async fn replace_starts_the_next_run_when_the_driver_of_the_last_one_is_gone() {
    let house = House::start().await;
    let mut scheduled = schedule("report", SELDOM);
    scheduled["spec"]["concurrencyPolicy"] = json!("Replace");
    house.schedules().create(scheduled).await;
    let first = trigger(&house, "report", "one").await;
    let driver = house.until_driver(&first, 1).await;
    house.driver_runs(&first).await;
    // The node takes its time to end the pod.
    let hold = json!({"metadata": {"finalizers": ["example.com/hold"]}});
    let driver_name = name_of(&driver);
    house.pods().merge(&driver_name, hold).await;

    let second = trigger(&house, "report", "two").await;
    house.apps().until_gone(&first).await;
    house
        .pods()
        .until(&driver_name, |pod| {
            let terminating = |pod: &Value| pod["metadata"]["deletionTimestamp"].is_string();
            pod.as_ref().is_some_and(terminating)
        })
        .await;
    house.until_told("ScheduledRunReplaced").await;
    assert!(house.apps().get(&second).await.is_none());

    let release = json!({"metadata": {"finalizers": null}});
    house.pods().merge(&driver_name, release).await;
    run_to_its_end(&house, &second, 0).await;
    until(&house, "report", |it| {
        names(&it["status"], "pastSuccessfulRunNames") == [second.as_str()]
    })
    .await;
}

#[tokio::test]
async fn forbid_skips_a_request_while_a_run_is_live_and_says_so() {
    let house = House::start().await;
    let mut scheduled = schedule("report", SELDOM);
    scheduled["spec"]["concurrencyPolicy"] = json!("Forbid");
    house.schedules().create(scheduled).await;
    let first = trigger(&house, "report", "one").await;
    house.until_driver(&first, 1).await;
    let second = trigger(&house, "report", "two").await;
    until(&house, "report", |it| it["status"]["lastTrigger"] == "two").await;
    house.until_told("ScheduledRunSkipped").await;
    assert!(house.apps().get(&second).await.is_none());
}

#[tokio::test]
async fn a_wrong_schedule_says_so_and_runs_once_it_is_repaired() {
    let house = House::start().await;
    house
        .schedules()
        .create(schedule("report", "0 26 * * *"))
        .await;
    let failed = until(&house, "report", |it| {
        it["status"]["scheduleState"] == "FailedValidation"
    })
    .await;
    let reason = failed["status"]["reason"].as_str().unwrap();
    assert!(reason.contains("its numbers go from 0 to 23"), "{reason}");
    house.until_told("ScheduleInvalid").await;
    let repair = json!({"spec": {"schedule": "@every 1s"}});
    house.schedules().merge("report", repair).await;
    until(&house, "report", |it| {
        it["status"]["lastRunName"].is_string()
    })
    .await;
}

#[tokio::test]
async fn an_operator_that_dies_at_any_moment_runs_no_time_twice() {
    let mut house = House::start().await;
    house.schedules().create(schedule("report", SELDOM)).await;
    let mut expected = Vec::new();
    for number in 0..6 {
        expected.push(trigger(&house, "report", &number.to_string()).await);
        house.kill_operator().await;
        house.start_operator();
        let request = number.to_string();
        until(&house, "report", |it| {
            it["status"]["lastTrigger"] == request && it["status"]["pendingRun"].is_null()
        })
        .await;
    }
    let mut found: Vec<String> = house.apps().list().await.iter().map(name_of).collect();
    expected.sort();
    found.sort();
    assert_eq!(found, expected);
}

/// What the Kubeflow operator leaves: its own names of runs, and a status that knows only its fields.
#[tokio::test]
async fn a_schedule_that_the_kubeflow_operator_left_is_continued() {
    let mut house = House::empty().await;
    let due = jiff::Timestamp::from_second(jiff::Timestamp::now().as_second() - 60).unwrap();
    let status = json!({"status": {
        "lastRun": "2026-03-01T02:00:00Z", "nextRun": due, "lastRunName": "report-17",
        "pastSuccessfulRunNames": ["report-17"], "scheduleState": "Scheduled",
    }});
    let mut uids = Vec::new();
    for name in ["done", "missed"] {
        let made = house.schedules().create(schedule(name, "@every 10h")).await;
        uids.push(made["metadata"]["uid"].clone());
        house.schedules().merge_status(name, status.clone()).await;
    }
    // It made this run when it was due, and died before it wrote that down.
    let nanoseconds = due.as_nanosecond();
    let run = format!("done-{nanoseconds}");
    let mut app = pi(&run);
    app["metadata"]["labels"] = json!({"sparkoperator.k8s.io/scheduled-app-name": "done"});
    app["metadata"]["ownerReferences"] = json!([{
        "apiVersion": "sparkoperator.k8s.io/v1beta2", "kind": "ScheduledSparkApplication",
        "name": "done", "uid": uids[0], "blockOwnerDeletion": true,
    }]);
    house.apps().create(app).await;
    let completed = json!({"status": {
        "applicationState": {"state": "COMPLETED"}, "executionAttempts": 1,
        "submissionID": "s-1", "terminationTime": "2026-03-01T02:05:00Z",
        "driverInfo": {"podName": format!("{run}-driver")},
    }});
    house.apps().merge_status(&run, completed).await;

    house.start_operator();
    for name in ["done", "missed"] {
        let next = due + jiff::SignedDuration::from_hours(10);
        let next = next.to_string();
        until(&house, name, |it| {
            it["status"]["nextRun"] == next && it["status"]["pendingRun"].is_null()
        })
        .await;
    }
    let made_up_for = windlass_api::spark::scheduled::run_name("missed", due);
    let mut found: Vec<String> = house.apps().list().await.iter().map(name_of).collect();
    found.sort();
    assert_eq!(found, [run.clone(), made_up_for]);
    let status = house.apps().get(&run).await.unwrap()["status"].clone();
    assert_eq!(status["applicationState"]["state"], "COMPLETED");
    assert_eq!(status["executionAttempts"], 1);
}

/// The driver of a run has the name that its application gives it, so runs do not collide.
#[test]
fn runs_of_a_schedule_have_drivers_of_their_own() {
    let app = |name: &str| {
        let mut app = pi(name);
        app["metadata"]["name"] = json!(name);
        driver_pod_name(&serde_json::from_value(app).unwrap())
    };
    assert_ne!(app("report-1"), app("report-2"));
}
