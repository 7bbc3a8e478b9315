//! SparkPolicies of a namespace, and what becomes of applications, schedules and servers under them.

use serde_json::{Value, json};

use crate::house::{House, pi};

fn policy(spec: Value) -> Value {
    json!({
        "apiVersion": "windlass.dev/v1alpha1", "kind": "SparkPolicy",
        "metadata": {"name": "team"}, "spec": spec,
    })
}

/// A name for the newest Spark, in the registry of the house.
fn aliases() -> Value {
    json!([{
        "name": "spark-4.3", "image": "registry.example.com/spark:4.3.0", "sparkVersion": "4.3.0",
    }])
}

fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    let conditions = object["status"]["conditions"].as_array()?;
    conditions.iter().find(|it| it["type"] == kind)
}

fn image_of(pod: &Value) -> &Value {
    &pod["spec"]["containers"][0]["image"]
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_runs_as_policies_make_it_and_what_they_replace_is_told() {
    let house = House::start().await;
    house
        .policies()
        .create(policy(json!({
            "imageAliases": aliases(),
            "allowedImages": ["registry.example.com/*"],
            "defaults": {"driver": {"labels": {"cost": "etl"}}, "executor": {"memory": "2g"}},
            "enforced": {"driver": {"memory": "512m"}},
        })))
        .await;
    let mut app = pi("ruled");
    app["spec"]["image"] = json!("spark-4.3");
    app["spec"]["driver"] = json!({"memory": "8g"});
    house.apps().create(app).await;
    let driver = house.until_driver("ruled", 1).await;
    assert_eq!(*image_of(&driver), "registry.example.com/spark:4.3.0");
    assert_eq!(driver["metadata"]["labels"]["cost"], "etl");
    let memory = &driver["spec"]["containers"][0]["resources"]["requests"]["memory"];
    assert_eq!(*memory, "896Mi", "512m and the overhead");
    let app = house.until_state("ruled", "SUBMITTED").await;
    let told = condition(&app, "PolicyApplied").unwrap();
    assert_eq!(
        told["message"],
        "spec.driver.memory is decided by SparkPolicy default/team"
    );
    assert_eq!(app["spec"]["driver"]["memory"], "8g", "it stays as written");

    let mut refused = pi("refused");
    refused["spec"]["driver"] = json!({"image": "evil.example.org/spark:4.3.0"});
    house.apps().create(refused).await;
    let refused = house.until_state("refused", "FAILED").await;
    let message = refused["status"]["applicationState"]["errorMessage"]
        .as_str()
        .unwrap();
    for part in [
        "spec.driver.image",
        "evil.example.org",
        "SparkPolicy default/team",
    ] {
        assert!(message.contains(part), "{message}");
    }
    assert!(house.pods().get("refused-driver").await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn another_policy_restarts_nothing_and_holds_from_the_next_attempt_on() {
    let house = House::start().await;
    let mut app = pi("goes-on");
    app["spec"]["restartPolicy"] = json!({
        "type": "OnFailure", "onFailureRetries": 1, "onFailureRetryInterval": 1,
    });
    house.apps().create(app).await;
    let first = house.until_driver("goes-on", 1).await;
    house.driver_runs("goes-on").await;
    house.until_state("goes-on", "RUNNING").await;
    house
        .policies()
        .create(policy(
            json!({"enforced": {"driver": {"labels": {"cost": "etl"}}}}),
        ))
        .await;
    // When another application has met the policy, this one has had its time.
    house.apps().create(pi("probe")).await;
    let probe = house.until_driver("probe", 1).await;
    assert_eq!(probe["metadata"]["labels"]["cost"], "etl");
    let same = house.pods().get("goes-on-driver").await.unwrap();
    assert_eq!(same["metadata"]["uid"], first["metadata"]["uid"]);
    assert!(same["metadata"]["deletionTimestamp"].is_null());

    house.driver_exits("goes-on", 1).await;
    let second = house.until_driver("goes-on", 2).await;
    assert_eq!(second["metadata"]["labels"]["cost"], "etl");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_policy_holds_what_is_new_until_it_is_repaired_and_leaves_alone_what_runs() {
    let house = House::start().await;
    house.apps().create(pi("runs")).await;
    house.until_driver("runs", 1).await;
    house.driver_runs("runs").await;
    house.until_state("runs", "RUNNING").await;
    house
        .policies()
        .create(policy(json!({"allowedImages": ["regis*try.io/spark"]})))
        .await;
    house.apps().create(pi("held")).await;
    let held = house
        .apps()
        .until("held", |app| {
            let told = app.as_ref().and_then(|app| condition(app, "Running"));
            told.is_some_and(|it| it["reason"] == "PolicyInvalid")
        })
        .await;
    let message = condition(&held, "Running").unwrap()["message"]
        .as_str()
        .unwrap();
    for part in [
        "nothing is submitted before the policy is repaired",
        "SparkPolicy default/team: spec.allowedImages[0]",
    ] {
        assert!(message.contains(part), "{message}");
    }
    house.until_told("SparkApplicationHeld").await;
    assert!(house.pods().get("held-driver").await.is_none());
    house.driver_exits("runs", 0).await;
    house.until_state("runs", "COMPLETED").await;

    let repaired = json!({"spec": {"allowedImages": ["docker.io/*"]}});
    house.policies().merge("team", repaired).await;
    house.until_driver("held", 1).await;
    let app = house.until_state("held", "SUBMITTED").await;
    assert_eq!(condition(&app, "Validated").unwrap()["status"], "True");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_template_of_a_schedule_may_use_names_for_images_and_is_refused_for_others() {
    let house = House::start().await;
    house
        .policies()
        .create(policy(json!({
            "imageAliases": aliases(),
            "allowedImages": ["registry.example.com/*"],
        })))
        .await;
    let schedule = |name: &str, version: &str, image: Option<&str>| {
        let mut template = pi(name)["spec"].take();
        template["sparkVersion"] = json!(version);
        template["image"] = json!(image);
        json!({
            "apiVersion": "sparkoperator.k8s.io/v1beta2", "kind": "ScheduledSparkApplication",
            "metadata": {"name": name},
            "spec": {"schedule": "@every 1s", "template": template},
        })
    };
    house
        .schedules()
        .create(schedule("named", "spark-4.3", None))
        .await;
    house
        .schedules()
        .create(schedule("other", "4.3.0", Some("apache/spark:4.3.0")))
        .await;
    let refused = house
        .schedules()
        .until("other", |it| {
            let state = it.as_ref().map(|it| &it["status"]["scheduleState"]);
            state.is_some_and(|state| *state == "FailedValidation")
        })
        .await;
    let told = condition(&refused, "Validated").unwrap()["message"]
        .as_str()
        .unwrap();
    assert!(told.contains("spec.template.image"), "{told}");
    let named = house
        .schedules()
        .until("named", |it| {
            let name = it.as_ref().map(|it| &it["status"]["lastRunName"]);
            name.is_some_and(Value::is_string)
        })
        .await;
    let run = named["status"]["lastRunName"].as_str().unwrap();
    let driver = house
        .pods()
        .until(&format!("{run}-driver"), Option::is_some)
        .await;
    assert_eq!(*image_of(&driver), "registry.example.com/spark:4.3.0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_keeps_what_it_was_started_with_until_it_is_started_anew() {
    let house = House::start().await;
    let server = json!({
        "apiVersion": "sparkoperator.k8s.io/v1alpha1", "kind": "SparkConnect",
        "metadata": {"name": "sql"},
        "spec": {
            "sparkVersion": "4.3.0", "image": "apache/spark:4.3.0",
            "server": {}, "executor": {"instances": 1},
        },
    });
    house.connects().create(server).await;
    let image = |it: &Value| it["spec"]["template"]["spec"]["containers"][0]["image"].clone();
    let first = house
        .deployments()
        .until("sql-server", Option::is_some)
        .await;
    assert_eq!(image(&first), "apache/spark:4.3.0");

    house
        .policies()
        .create(policy(
            json!({"enforced": {"image": "registry.example.com/spark:4.3.0"}}),
        ))
        .await;
    house.apps().create(pi("probe")).await;
    let probe = house.until_driver("probe", 1).await;
    assert_eq!(*image_of(&probe), "registry.example.com/spark:4.3.0");
    let same = house.deployments().get("sql-server").await.unwrap();
    assert_eq!(same["spec"], first["spec"]);

    // Another specification is another server.
    let more = json!({"spec": {"executor": {"instances": 2}}});
    house.connects().merge("sql", more).await;
    let changed = house
        .deployments()
        .until("sql-server", |it| {
            let is_new = |it: &Value| image(it) == "registry.example.com/spark:4.3.0";
            it.as_ref().is_some_and(is_new)
        })
        .await;
    // Nor does what it was made by change when the policy is gone.
    house.policies().delete("team").await;
    house.apps().create(pi("after")).await;
    let after = house.until_driver("after", 1).await;
    assert_eq!(*image_of(&after), "apache/spark:4.3.0");
    let same = house.deployments().get("sql-server").await.unwrap();
    assert_eq!(same["spec"], changed["spec"]);
}
