use serde_json::json;

use super::*;
use crate::decode::decode;
use crate::parse;

fn good() -> Value {
    json!({
        "apiVersion": "sparkoperator.k8s.io/v1alpha1",
        "kind": "SparkConnect",
        "metadata": {"name": "sql", "namespace": "jobs"},
        "spec": {
            "sparkVersion": "4.3.0",
            "image": "apache/spark:4.3.0",
            "server": {"memory": "1g"},
            "executor": {"instances": 1},
        },
    })
}

fn with(pointer: &str, value: Value) -> Value {
    let mut object = good();
    let mut place = &mut object;
    for step in pointer.trim_start_matches('/').split('/') {
        place = &mut place[step];
    }
    *place = value;
    object
}

fn problems(object: &Value) -> Vec<String> {
    let connect: SparkConnect = decode(object).unwrap_or_else(|error| panic!("{error}"));
    let errors = validate(&connect);
    errors.iter().map(ToString::to_string).collect()
}

/// The shape of the manifests that users of the Kubeflow operator have.
#[test]
fn a_manifest_of_kubeflow_users_decodes_and_is_valid() {
    let text = include_str!("../../../testdata/connect/spark-connect.yaml");
    let object = &parse::objects(text).unwrap()[0];
    assert_eq!(problems(object), Vec::<String>::new());
    let connect: SparkConnect = decode(object).unwrap();
    let app = application(&connect);
    let driver = &app.spec.driver.pod;
    assert_eq!(
        driver.service_account.as_deref(),
        Some("spark-operator-spark")
    );
    assert_eq!(
        driver.image.as_deref(),
        Some("docker.io/library/spark:4.0.4")
    );
    assert_eq!(app.spec.executor.pod.memory.as_deref(), Some("512m"));
}

#[test]
fn what_nobody_says_has_a_default() {
    let minimal = json!({
        "apiVersion": "sparkoperator.k8s.io/v1alpha1",
        "kind": "SparkConnect",
        "metadata": {"name": "sql"},
        "spec": {"sparkVersion": "4.3.0", "image": "apache/spark:4.3.0"},
    });
    assert_eq!(problems(&minimal), Vec::<String>::new());
    let connect: SparkConnect = decode(&minimal).unwrap();
    assert!(!connect.spec.suspend);
    assert_eq!(connect.spec.access, None);
    assert_eq!(connect.spec.token("sql"), None);
}

#[test]
fn what_cannot_be_meant_is_told_by_the_names_of_the_fields() {
    let cases = [
        ("/metadata/name", json!("Sql")),
        ("/metadata/name", json!("a".repeat(57))),
        ("/spec/sparkVersion", json!("four")),
        ("/spec/image", Value::Null),
        ("/spec/server/memory", json!("1Gi")),
        (
            "/spec/server/template",
            json!({"spec": {"nodeSelectors": {}}}),
        ),
        (
            "/spec/server/service",
            json!({"spec": {"ports": [{"name": "x"}]}}),
        ),
        (
            "/spec/server/service",
            json!({"spec": {"type": "ExternalName"}}),
        ),
        ("/spec/executor/instances", json!(0)),
        (
            "/spec/sparkConf",
            json!({
                "spark.connect.authenticate.token": "secret",
                "spark.kubernetes.driver.pod.name": "x",
                "spark.kubernetes.executor.podNamePrefix": "x",
                "spark.kubernetes.authenticate.driver.serviceAccountName": "x",
                "spark.kubernetes.driver.container.image": "x",
                "spark.kubernetes.driver.master": "x",
                "spark.ui.port": "0",
            }),
        ),
        (
            "/spec/dynamicAllocation",
            json!({"enabled": true, "minExecutors": 3, "maxExecutors": 2}),
        ),
        ("/spec/idleTimeoutSeconds", json!(600)),
        (
            "/spec/access",
            json!({"token": {"secretKeyRef": {"name": "Not Valid", "key": ""}}}),
        ),
        (
            "/spec/access",
            json!({"networkPolicy": {"from": [{"podSelectors": {}}]}}),
        ),
    ];
    let told = cases.into_iter().map(|(pointer, value)| {
        let problems = problems(&with(pointer, value.clone()));
        assert!(!problems.is_empty(), "{pointer} {value}");
        format!("{pointer}\n  {}\n", problems.join("\n  "))
    });
    insta::assert_snapshot!(told.collect::<String>());
}

#[test]
fn a_token_needs_a_spark_that_knows_it() {
    let mut object = with("/spec/access", json!({"token": {}}));
    assert_eq!(problems(&object), Vec::<String>::new());
    object["spec"]["sparkVersion"] = json!("3.5.9");
    assert_eq!(
        problems(&object),
        [
            "spec.access.token: needs Spark 4.0 or later, and sparkVersion is 3.5.9; use \
          spec.access.networkPolicy"
        ]
    );
}

#[test]
fn no_executor_at_all_is_where_dynamic_allocation_may_begin() {
    let mut object = with("/spec/executor/instances", json!(0));
    object["spec"]["dynamicAllocation"] = json!({"enabled": true, "maxExecutors": 2});
    object["spec"]["idleTimeoutSeconds"] = json!(60);
    assert_eq!(problems(&object), Vec::<String>::new());
    let connect: SparkConnect = decode(&object).unwrap();
    assert_eq!(application(&connect).spec.executor.instances, None);
}

#[test]
fn the_token_is_in_the_users_secret_or_in_one_that_is_made() {
    let connect = |access: Value| -> SparkConnectSpec {
        let connect: SparkConnect = decode(&with("/spec/access", access)).unwrap();
        connect.spec
    };
    let made = connect(json!({"token": {}}));
    let secret = made.token("sql").unwrap();
    assert_eq!(
        (secret.name.as_str(), secret.key.as_str()),
        ("sql-connect-token", "token")
    );
    assert!(made.makes_token());
    let own = connect(json!({"token": {"secretKeyRef": {"name": "ours", "key": "pass"}}}));
    let secret = own.token("sql").unwrap();
    assert_eq!(
        (secret.name.as_str(), secret.key.as_str()),
        ("ours", "pass")
    );
    assert!(!own.makes_token());
    assert!(!connect(json!({"networkPolicy": {}})).makes_token());
}

#[test]
fn states_are_written_as_users_know_them() {
    for (state, word) in [
        (ConnectState::New, ""),
        (ConnectState::Provisioning, "Provisioning"),
        (ConnectState::Ready, "Ready"),
        (ConnectState::NotReady, "NotReady"),
        (ConnectState::Failed, "Failed"),
    ] {
        assert_eq!(serde_json::to_value(state).unwrap(), word);
        assert_eq!(
            serde_json::from_value::<ConnectState>(json!(word)).unwrap(),
            state
        );
    }
    let unheard_of = serde_json::from_str::<ConnectState>("\"Paused\"").unwrap();
    assert_eq!(unheard_of, ConnectState::Unknown);
}
