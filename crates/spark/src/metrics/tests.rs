use serde_json::{Value, json};

use super::*;

fn app(status: Value) -> Object {
    Object::new(json!({
        "metadata": {
            "name": "pi", "namespace": "jobs", "creationTimestamp": "2026-03-01T12:00:00Z",
            "labels": {"app-type": "etl"},
        },
        "status": status,
    }))
}

/// A status in this state, some seconds into an attempt.
fn status(state: &str, attempt: u32, rest: Value) -> Value {
    let mut status = json!({
        "applicationState": {"state": state},
        "submissionID": format!("s{attempt}"),
        "lastSubmissionAttemptTime": "2026-03-01T12:00:01Z",
        "attempt": {
            "number": attempt, "submissionID": format!("s{attempt}"),
            "sparkApplicationId": "spark-1", "driverPodName": "pi-driver",
            "createdTime": "2026-03-01T12:00:01Z",
        },
    });
    for (name, value) in rest.as_object().unwrap() {
        match (status.get_mut(name), value) {
            (Some(Value::Object(into)), Value::Object(fields)) => into.extend(fields.clone()),
            _ => status[name] = value.clone(),
        }
    }
    status
}

fn outcome(state: &str) -> Value {
    json!({"attempt": {"outcome": {
        "state": state, "reason": "Completed", "endTime": "2026-03-01T12:01:40Z",
    }}})
}

fn page(metrics: &SparkMetrics) -> Vec<String> {
    let mut registry = Registry::default();
    metrics.register_in(&mut registry, None);
    let mut page = String::new();
    prometheus_client::encoding::text::encode(&mut page, &registry).unwrap();
    page.lines().map(str::to_owned).collect()
}

/// The samples of the page that are not 0, and no bounds.
fn told(metrics: &SparkMetrics) -> String {
    let samples = page(metrics).into_iter().filter(|line| {
        let is_nothing = line.ends_with(" 0") || line.ends_with(" 0.0");
        !line.starts_with('#') && !line.contains("_bucket{") && !is_nothing
    });
    samples.collect::<Vec<_>>().join("\n")
}

/// A whole life, as the operator writes it down second by second.
fn live(metrics: &SparkMetrics) {
    let started = json!({"driverInfo": {"startTime": "2026-03-01T12:00:09Z"}});
    let mut working = started.clone();
    working["executorState"] = json!({"a": "RUNNING", "b": "FAILED"});
    let mut ended = working.clone();
    ended["attempt"] = outcome("COMPLETED")["attempt"].clone();
    let mut done = ended.clone();
    done["terminationTime"] = json!("2026-03-01T12:01:40Z");
    done["executorState"] = json!({"a": "COMPLETED", "b": "FAILED"});
    done["executorCounts"] = json!({"completed": 3});
    let page = json!({"driverInfo": {"webUIPort": 4040}});
    let steps = [
        (Value::Null, 0),
        (status("", 1, json!({})), 1),
        (status("SUBMITTED", 1, json!({})), 2),
        (status("SUBMITTED", 1, page), 3),
        (status("RUNNING", 1, started), 10),
        (status("RUNNING", 1, working.clone()), 20),
        (status("UNKNOWN", 1, working.clone()), 30),
        (status("RUNNING", 1, working), 40),
        (status("SUCCEEDING", 1, ended), 102),
        (status("COMPLETED", 1, done), 103),
    ];
    for pair in steps.windows(2) {
        let ((before, _), (after, second)) = (&pair[0], &pair[1]);
        let at: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
        let at = at + jiff::SignedDuration::from_secs(*second);
        metrics.status_written(&app(before.clone()), &app(after.clone()), at);
    }
}

#[test]
fn a_life_is_counted_once_however_often_it_is_written_down() {
    let metrics = SparkMetrics::new(&[]);
    live(&metrics);
    insta::assert_snapshot!(told(&metrics));
}

#[test]
fn a_retry_is_no_new_application_and_starts_no_clock_of_its_own() {
    let metrics = SparkMetrics::new(&[]);
    let at = "2026-03-01T13:00:00Z".parse().unwrap();
    let failed = status("FAILING", 1, outcome("FAILED"));
    let retried = status("PENDING_RERUN", 2, json!({}));
    let submitted = status("SUBMITTED", 2, json!({}));
    for (before, after) in [(failed, retried.clone()), (retried, submitted)] {
        metrics.status_written(&app(before), &app(after), at);
    }
    insta::assert_snapshot!(told(&metrics));
}

#[test]
fn series_have_the_labels_that_were_asked_for() {
    let labels = ["namespace", "app-type", "team"].map(str::to_owned);
    let metrics = SparkMetrics::new(&labels);
    live(&metrics);
    let lines = page(&metrics);
    let submits = lines
        .iter()
        .find(|line| line.starts_with("spark_application_submit_count"));
    assert_eq!(
        submits.unwrap(),
        r#"spark_application_submit_count{namespace="jobs",app_type="etl",team="Unknown"} 1"#
    );
    assert_eq!(Label::new("8ball/x.y-z").name, "_8ball_x_y_z");
}

#[test]
fn a_status_that_cannot_be_read_counts_nothing() {
    let metrics = SparkMetrics::new(&[]);
    let odd = app(json!({"applicationState": 7}));
    let fine = app(status("COMPLETED", 1, json!({})));
    metrics.status_written(&odd, &fine, Timestamp::UNIX_EPOCH);
    metrics.status_written(&fine, &odd, Timestamp::UNIX_EPOCH);
    assert_eq!(told(&metrics), "");
}
