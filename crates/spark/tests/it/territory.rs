//! Operators that share a cluster: by labels of namespaces, which change while they run, and by
//! labels of applications.

use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use windlass_engine::{Namespaces, Territory};

use crate::house::{House, pi};

/// An operator that can be told to stop.
struct Operator {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Operator {
    fn start(house: &House, territory: Territory) -> Self {
        let stop = CancellationToken::new();
        let client = house.operator_client();
        let task = tokio::spawn(House::operate_in(client, territory, stop.clone()));
        Self { stop, task }
    }

    async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

fn of_namespaces(selector: &str) -> Territory {
    Territory {
        namespaces: Namespaces::Selected(selector.parse().unwrap()),
        objects: None,
    }
}

fn of_objects(selector: &str) -> Territory {
    Territory {
        objects: Some(selector.parse().unwrap()),
        ..Territory::default()
    }
}

fn labelled(name: &str, label: &str, value: &str) -> Value {
    let mut app = pi(name);
    app["metadata"]["labels"] = json!({ label: value });
    app
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_is_taken_up_with_its_label_and_let_go_without_it() {
    let house = House::empty().await;
    house.allow_to_select().await;
    let (etl, ml) = (house.place("etl").await, house.place("ml").await);
    house.label("ml", "team", Some("ml")).await;
    let first = Operator::start(&house, of_namespaces("team=etl"));

    // Only what is looked at gets a status: when the second application has one, the first had its
    // time.
    etl.apps().create(pi("waits")).await;
    ml.apps().create(pi("other")).await;
    let second = Operator::start(&house, of_namespaces("team=ml"));
    ml.until_driver("other", 1).await;
    let waiting = etl.apps().get("waits").await.unwrap();
    assert_eq!(waiting["status"], Value::Null, "{waiting:#}");
    let events = etl.events().list().await;
    let is_about = |it: &Value| it["regarding"]["kind"] == "SparkApplication";
    assert!(!events.iter().any(is_about), "{events:#?}");

    house.label("etl", "team", Some("etl")).await;
    let driver = etl.until_driver("waits", 1).await;
    etl.until_state("waits", "SUBMITTED").await;

    // The other one takes over the driver that is there, and follows it.
    house.label("etl", "team", Some("ml")).await;
    first.stop().await;
    etl.driver_runs("waits").await;
    etl.until_state("waits", "RUNNING").await;
    etl.driver_exits("waits", 0).await;
    let app = etl.until_state("waits", "COMPLETED").await;
    assert_eq!(app["status"]["executionAttempts"], 1);
    let last = etl.pods().get("waits-driver").await.unwrap();
    assert_eq!(last["metadata"]["uid"], driver["metadata"]["uid"]);
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_operator_has_let_go_it_does_not_touch_while_it_lives() {
    let house = House::empty().await;
    house.allow_to_select().await;
    let etl = house.place("etl").await;
    let ml = house.place("ml").await;
    house.label("etl", "team", Some("data")).await;
    let operator = Operator::start(&house, of_namespaces("team in (data)"));
    etl.apps().create(pi("runs")).await;
    etl.until_driver("runs", 1).await;
    etl.until_state("runs", "SUBMITTED").await;

    // Namespaces are seen one after the other: who has the second has let go the first.
    house.label("etl", "team", None).await;
    house.label("ml", "team", Some("data")).await;
    ml.apps().create(pi("first")).await;
    ml.until_driver("first", 1).await;
    etl.driver_runs("runs").await;
    etl.apps().create(pi("late")).await;
    ml.apps().create(pi("second")).await;
    ml.until_driver("second", 1).await;
    ml.driver_runs("second").await;
    ml.until_state("second", "RUNNING").await;
    let late = etl.apps().get("late").await.unwrap();
    assert_eq!(late["status"], Value::Null, "{late:#}");
    let runs = etl.apps().get("runs").await.unwrap();
    assert_eq!(runs["status"]["applicationState"]["state"], "SUBMITTED");

    house.label("etl", "team", Some("data")).await;
    etl.until_state("runs", "RUNNING").await;
    etl.until_driver("late", 1).await;
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn applications_are_shared_by_their_own_labels_with_one_driver_each() {
    let house = House::empty().await;
    let stable = Operator::start(&house, of_objects("release!=next"));
    let next = Operator::start(&house, of_objects("release=next"));
    house.apps().create(pi("plain")).await;
    house
        .apps()
        .create(labelled("new", "release", "next"))
        .await;
    house.until_driver("plain", 1).await;
    let driver = house.until_driver("new", 1).await;
    house.until_state("new", "SUBMITTED").await;

    // From one to the other while it runs.
    let back = json!({"metadata": {"labels": {"release": null}}});
    house.apps().merge("new", back).await;
    next.stop().await;
    house.driver_runs("new").await;
    house.until_state("new", "RUNNING").await;
    house.driver_exits("new", 0).await;
    let app = house.until_state("new", "COMPLETED").await;
    assert_eq!(app["status"]["executionAttempts"], 1);
    let last = house.pods().get("new-driver").await.unwrap();
    assert_eq!(last["metadata"]["uid"], driver["metadata"]["uid"]);

    // Nobody's is left alone.
    house
        .apps()
        .create(labelled("later", "release", "next"))
        .await;
    house.apps().create(pi("after")).await;
    house.until_driver("after", 1).await;
    let later = house.apps().get("later").await.unwrap();
    assert_eq!(later["status"], Value::Null, "{later:#}");
    stable.stop().await;
}
