use serde_json::{Value, json};

use super::*;
use crate::decode::decode;

fn policy(spec: Value) -> SparkPolicy {
    decode(&json!({
        "apiVersion": "windlass.dev/v1alpha1",
        "kind": "SparkPolicy",
        "metadata": {"name": "team", "namespace": "etl"},
        "spec": spec,
    }))
    .unwrap()
}

#[test]
fn a_policy_that_can_be_meant_has_no_findings() {
    let all = policy(json!({
        "imageAliases": [
            {"name": "spark-4.3", "image": "registry.example.com/spark:4.3.0", "sparkVersion": "4.3.0"},
        ],
        "allowedImages": ["registry.example.com/*", "apache/spark"],
        "allowedServiceAccounts": ["spark", "etl-*"],
        "deniedSparkConf": ["spark.plugins", "spark.kubernetes.*"],
        "defaults": {
            "image": "spark-4.3",
            "driver": {"memory": "2g", "env": [{"name": "A", "value": "b"}]},
            "dynamicAllocation": {"maxExecutors": 10},
            "restartPolicy": {"onFailureRetries": 2},
        },
        "enforced": {
            "sparkVersion": "spark-4.3",
            "sparkConf": {"spark.eventLog.enabled": true},
            "executor": {"tolerations": [{"key": "spot", "operator": "Exists"}]},
        },
    }));
    assert_eq!(validate(&all), []);
    assert_eq!(validate(&policy(json!({}))), []);
}

#[test]
fn every_mistake_names_its_field_and_says_what_to_do() {
    for (spec, expected) in [
        (
            json!({"imageAliases": [{"name": "Spark", "image": "a", "sparkVersion": "4.3.0"}]}),
            "spec.imageAliases[0].name: \"Spark\": ",
        ),
        (
            json!({"imageAliases": [
                {"name": "a", "image": "x", "sparkVersion": "4.3.0"},
                {"name": "a", "image": "y", "sparkVersion": "4.3.0"},
            ]}),
            "spec.imageAliases[1].name: \"a\": is the name of an alias above",
        ),
        (
            json!({"imageAliases": [{"name": "a", "image": "a", "sparkVersion": "4.3.0"}]}),
            "spec.imageAliases[0].image: \"a\": is the name of an alias; write the image",
        ),
        (
            json!({"imageAliases": [{"name": "a", "image": "b", "sparkVersion": "newest"}]}),
            "spec.imageAliases[0].sparkVersion: \"newest\": must be the version of Spark",
        ),
        (
            json!({"imageAliases": [{"name": "4.3", "image": "b", "sparkVersion": "4.3.0"}]}),
            "spec.imageAliases[0].name: \"4.3\": begins with a digit",
        ),
        (
            json!({"allowedImages": []}),
            "spec.allowedImages: allows nothing; name what is allowed",
        ),
        (
            json!({"allowedImages": ["registry.exam*/spark"]}),
            "spec.allowedImages[0]: \"registry.exam*/spark\": leaves the registry open",
        ),
        (
            json!({"allowedServiceAccounts": ["spark", ""]}),
            "spec.allowedServiceAccounts[1]: \"\": is empty",
        ),
        (
            json!({"deniedSparkConf": ["spark. plugins"]}),
            "spec.deniedSparkConf[0]: \"spark. plugins\": has a blank",
        ),
        (
            json!({"defaults": {"arguments": ["1"]}}),
            "spec.defaults.arguments: says what an application is",
        ),
        (
            json!({"enforced": {"driver": {"podName": "one"}}}),
            "spec.enforced.driver.podName: says what an application is",
        ),
        (
            json!({"enforced": {"driver": {"memroy": "2g"}}}),
            "spec.enforced.driver.memroy: unknown field; did you mean \"memory\"?",
        ),
        (
            json!({"enforced": {"driver": {"memory": "much"}}}),
            "spec.enforced.driver.memory: \"much\": ",
        ),
        (
            json!({"enforced": {"sparkConf": {"spark.master": "local"}}}),
            "spec.enforced.sparkConf[spark.master]: may not be set here",
        ),
        (
            json!({"enforced": {"sparkConf": {"spark.kubernetes.driver.pod.name": "one"}}}),
            "spec.enforced.sparkConf[spark.kubernetes.driver.pod.name]: names one pod",
        ),
        (
            json!({"defaults": {"restartPolicy": {"type": "Always"}}}),
            "spec.defaults.restartPolicy.type: never holds",
        ),
    ] {
        let found: Vec<String> = validate(&policy(spec.clone()))
            .iter()
            .map(ToString::to_string)
            .collect();
        assert!(
            found.iter().any(|it| it.starts_with(expected)),
            "{spec}: {found:?}"
        );
    }
}
