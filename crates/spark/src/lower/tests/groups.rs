//! Batch schedulers, protected drivers and spot nodes.

use windlass_api::parse;

use super::*;

/// All that a scheduler is told of an application.
fn told(spec: Value) -> String {
    let app = application(spec);
    let lowered = lowered(&app);
    let conf = &lowered.submission.conf;
    let about = |key: &&String| {
        let key = key.as_str();
        key.contains("scheduler") || key.contains("queue") || key.contains("group")
    };
    let conf: serde_json::Map<String, Value> = conf
        .keys()
        .filter(about)
        .map(|key| (key.clone(), json!(conf[key])))
        .collect();
    let driver = &lowered.submission.driver;
    let mut annotations = driver["metadata"]["annotations"].clone();
    // What is JSON inside of a text is easier to read as YAML.
    if let Some(groups) = annotations["yunikorn.apache.org/task-groups"].as_str() {
        annotations["yunikorn.apache.org/task-groups"] = serde_json::from_str(groups).unwrap();
    }
    let template = executor_template(&lowered);
    let documents = [
        json!({"settings": conf}),
        json!({
            "driver": {
                "schedulerName": driver["spec"]["schedulerName"],
                "priorityClassName": driver["spec"]["priorityClassName"],
                "labels": driver["metadata"]["labels"],
                "annotations": annotations,
            },
            "executors": {"priorityClassName": template["spec"]["priorityClassName"]},
        }),
        json!({"group": lowered.pod_group}),
    ];
    parse::to_yaml_documents(&documents).unwrap()
}

fn with_scheduler(name: &str) -> Value {
    json!({
        "batchScheduler": name,
        "batchSchedulerOptions": {"queue": "root.team", "priorityClassName": "high"},
        "driver": {"cores": 1, "memory": "1g"},
        "executor": {
            "instances": 4,
            "cores": 2,
            "memory": "4g",
            "nodeSelector": {"disk": "ssd"},
            "tolerations": [{"key": "spot", "operator": "Exists"}],
        },
    })
}

#[test]
fn each_scheduler_is_told_in_its_own_way() {
    for name in ["volcano", "yunikorn", "gang-scheduler"] {
        insta::assert_snapshot!(name, told(with_scheduler(name)));
    }
}

#[test]
fn without_a_batch_scheduler_nobody_is_told_anything() {
    let app = application(json!({"batchSchedulerOptions": {"priorityClassName": "high"}}));
    let lowered = lowered(&app);
    assert_eq!(lowered.pod_group, None);
    assert_eq!(
        lowered.submission.driver["spec"].get("priorityClassName"),
        None
    );
    assert_eq!(
        lowered
            .submission
            .conf
            .get("spark.kubernetes.scheduler.name"),
        None
    );
}

#[test]
fn what_is_said_of_a_group_or_a_role_beats_what_is_computed() {
    let mut spec = with_scheduler("volcano");
    spec["batchSchedulerOptions"]["resources"] = json!({"cpu": "100", "memory": "1Ti"});
    spec["driver"]["schedulerName"] = json!("other");
    spec["driver"]["priorityClassName"] = json!("low");
    let lowered = lowered(&application(spec));
    let group = lowered.pod_group.unwrap();
    assert_eq!(
        group["spec"]["minResources"],
        json!({"cpu": "100", "memory": "1Ti"})
    );
    let driver = &lowered.submission.driver["spec"];
    assert_eq!(driver["schedulerName"], "other");
    assert_eq!(driver["priorityClassName"], "low");
}

#[test]
fn a_group_begins_with_the_executors_that_dynamic_allocation_begins_with() {
    let mut spec = with_scheduler("yunikorn");
    spec["dynamicAllocation"] = json!({"enabled": true, "initialExecutors": 3, "maxExecutors": 9});
    spec["executor"]
        .as_object_mut()
        .unwrap()
        .remove("instances");
    let lowered = lowered(&application(spec));
    let annotations = &lowered.submission.driver["metadata"]["annotations"];
    let groups = annotations["yunikorn.apache.org/task-groups"].as_str();
    let groups: Value = serde_json::from_str(groups.unwrap()).unwrap();
    assert_eq!(groups[1]["minMember"], 3);
}

#[test]
fn a_driver_is_protected_unless_somebody_says_no() {
    let name = "karpenter.sh/do-not-disrupt";
    let render = |spec: Value, protect_drivers| {
        let settings = Settings {
            protect_drivers,
            ..Settings::default()
        };
        let (objects, _) = render(&application(spec), &settings).unwrap();
        let budget = objects
            .iter()
            .find(|it| it["kind"] == "PodDisruptionBudget");
        let driver = objects.iter().find(|it| it["kind"] == "Pod").unwrap();
        let annotation = driver["metadata"]["annotations"][name].clone();
        (budget.cloned(), annotation)
    };
    let (budget, annotation) = render(json!({}), true);
    insta::assert_yaml_snapshot!(budget.unwrap());
    assert_eq!(annotation, "true");

    let nothing = (None, Value::Null);
    assert_eq!(render(json!({}), false), nothing);
    assert_eq!(
        render(json!({"driverPodDisruptionBudget": false}), true),
        nothing
    );
    let (budget, _) = render(json!({"driverPodDisruptionBudget": true}), false);
    assert!(budget.is_some());
    let own = json!({"driver": {"annotations": {name: "false"}}});
    assert_eq!(render(own, true).1, "false");
}

#[test]
fn executors_on_spot_nodes_hand_over_what_they_hold_unless_the_user_says_otherwise() {
    let spec = |conf: Value| json!({"sparkConf": conf, "executor": {"spot": true}});
    let conf = lowered(&application(spec(json!({})))).submission.conf;
    for key in [
        "spark.decommission.enabled",
        "spark.storage.decommission.enabled",
        "spark.storage.decommission.shuffleBlocks.enabled",
        "spark.storage.decommission.rddBlocks.enabled",
        "spark.kubernetes.driver.ownPersistentVolumeClaim",
        "spark.kubernetes.driver.reusePersistentVolumeClaim",
    ] {
        assert_eq!(conf[key], "true", "{key}");
    }
    let own = json!({"spark.storage.decommission.rddBlocks.enabled": "false"});
    let conf = lowered(&application(spec(own))).submission.conf;
    assert_eq!(
        conf["spark.storage.decommission.rddBlocks.enabled"],
        "false"
    );
    assert_eq!(conf["spark.decommission.enabled"], "true");

    let mut with_hook = spec(json!({}));
    with_hook["executor"]["lifecycle"] = json!({"preStop": {"exec": {"command": ["true"]}}});
    let notes = lowered(&application(with_hook)).not_applied;
    assert_eq!(notes[0].field, "spec.executor.lifecycle");
}
