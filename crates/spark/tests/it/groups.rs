//! What stands beside drivers: budgets against evictions, and the groups of batch schedulers.

use serde_json::{Value, json};

use crate::house::{House, pi};

#[tokio::test]
async fn the_budget_of_a_driver_lives_as_long_as_it_runs() {
    let house = House::start().await;
    house.apps().create(pi("pi")).await;
    let driver = house.until_driver("pi", 1).await;
    house.driver_runs("pi").await;
    let budget = house.budgets().until("pi-driver", Option::is_some).await;
    let selector = budget["spec"]["selector"]["matchLabels"].as_object();
    for (label, value) in selector.unwrap() {
        assert_eq!(driver["metadata"]["labels"][label], *value);
    }
    house.driver_exits("pi", 0).await;
    house.until_state("pi", "COMPLETED").await;
    house.budgets().until_gone("pi-driver").await;
}

#[tokio::test]
async fn a_group_is_there_before_its_driver_and_goes_when_that_has_ended() {
    let house = House::start().await;
    let mut app = pi("pi");
    app["spec"]["batchScheduler"] = json!("volcano");
    house.apps().create(app.clone()).await;
    let failed = house.until_state("pi", "FAILED").await;
    let message = failed["status"]["applicationState"]["errorMessage"].to_string();
    assert!(message.contains("knows no PodGroups"), "{message}");

    house.install(pod_groups()).await;
    app["metadata"]["name"] = json!("again");
    house.apps().create(app).await;
    house
        .pod_groups()
        .until("spark-again-pg", Option::is_some)
        .await;
    house.until_state("again", "SUBMITTED").await;
    let driver = house.until_driver("again", 1).await;
    assert_eq!(driver["spec"]["schedulerName"], "volcano");
    let group = house.pod_groups().get("spark-again-pg").await;
    let group = group.expect("the group is there before the driver");
    assert_eq!(group["spec"]["minMember"], 1);
    assert_eq!(
        driver["metadata"]["annotations"]["scheduling.k8s.io/group-name"],
        "spark-again-pg"
    );
    house.driver_runs("again").await;
    house.until_state("again", "RUNNING").await;
    house.driver_exits("again", 0).await;
    house.until_state("again", "COMPLETED").await;
    house.pod_groups().until_gone("spark-again-pg").await;
}

/// As much of Volcano as an API server needs to know.
fn pod_groups() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "podgroups.scheduling.volcano.sh"},
        "spec": {
            "group": "scheduling.volcano.sh",
            "scope": "Namespaced",
            "names": {"kind": "PodGroup", "plural": "podgroups", "singular": "podgroup"},
            "versions": [{
                "name": "v1beta1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                    "spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
                }}},
            }],
        },
    })
}
