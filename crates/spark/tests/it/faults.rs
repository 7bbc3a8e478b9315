//! Whatever a call of the operator meets, the end is the same: one run of each attempt.

use http::StatusCode;
use serde_json::Value;
use windlass_apiserver::Verb;
use windlass_apiserver::faults::{Calls, Fault, When};

use crate::house::{House, OPERATOR, pi};

/// Runs an application to its end and says what it left behind.
async fn run(house: &House, name: &str) -> Value {
    house.apps().create(pi(name)).await;
    let driver = house.until_driver(name, 1).await;
    house.driver_runs(name).await;
    house.executor_runs(&driver, 1).await;
    house.until_state(name, "RUNNING").await;
    house.driver_exits(name, 0).await;
    let done = house.until_state(name, "COMPLETED").await;
    let same = house.pods().get(&format!("{name}-driver")).await.unwrap();
    assert_eq!(
        same["metadata"]["uid"], driver["metadata"]["uid"],
        "{name}: one driver"
    );
    house.services().until_gone(&format!("{name}-ui-svc")).await;
    done["status"].clone()
}

fn check(name: &str, status: &Value) {
    assert_eq!(status["executionAttempts"], 1, "{name}: {status:#}");
    assert_eq!(status["attemptHistory"], Value::Null, "{name}: {status:#}");
}

#[tokio::test]
async fn an_answer_that_is_lost_at_any_write_changes_nothing() {
    let house = House::start().await;
    let verbs = [Verb::Create, Verb::Update, Verb::Patch, Verb::Delete];
    for (verb, count) in verbs.into_iter().zip([3, 6, 4, 2]) {
        for number in 1..=count {
            let name = format!("lost-{}-{number}", format!("{verb:?}").to_lowercase());
            let calls = Calls::verb(verb).by(OPERATOR);
            let fault = Fault::LoseAnswer(StatusCode::GATEWAY_TIMEOUT);
            let handle = house
                .server
                .faults()
                .inject(calls, When::Nth(number), fault);
            check(&name, &run(&house, &name).await);
            handle.remove();
        }
    }
}

#[tokio::test]
async fn a_write_that_arrives_twice_changes_nothing() {
    let house = House::start().await;
    for (verb, count) in [(Verb::Create, 2), (Verb::Update, 3)] {
        for number in 1..=count {
            let name = format!("twice-{}-{number}", format!("{verb:?}").to_lowercase());
            let calls = Calls::verb(verb).by(OPERATOR);
            let handle = house
                .server
                .faults()
                .inject(calls, When::Nth(number), Fault::Duplicate);
            check(&name, &run(&house, &name).await);
            handle.remove();
        }
    }
}

#[tokio::test]
async fn an_operator_that_dies_and_returns_at_any_moment_makes_no_second_driver() {
    let mut house = House::start().await;
    let names: Vec<String> = (0..6).map(|number| format!("dies-{number}")).collect();
    for name in &names {
        house.apps().create(pi(name)).await;
        house.kill_operator().await;
        house.start_operator();
    }
    for name in &names {
        let driver = house.until_driver(name, 1).await;
        house.driver_runs(name).await;
        house.kill_operator().await;
        house.start_operator();
        house.driver_exits(name, 0).await;
        let done = house.until_state(name, "COMPLETED").await;
        check(name, &done["status"]);
        let same = house.pods().get(&format!("{name}-driver")).await.unwrap();
        assert_eq!(same["metadata"]["uid"], driver["metadata"]["uid"]);
    }
}
