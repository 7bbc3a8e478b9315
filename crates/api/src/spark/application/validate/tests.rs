//! Each case changes a good application in one place and states what is said about it.

use serde_json::{Value, json};

use super::*;
use crate::decode::decode;

fn good() -> Value {
    json!({
        "apiVersion": "sparkoperator.k8s.io/v1beta2",
        "kind": "SparkApplication",
        "metadata": {"name": "spark-pi", "namespace": "jobs"},
        "spec": {
            "type": "Scala",
            "sparkVersion": "3.5.9",
            "image": "apache/spark:3.5.9",
            "mainClass": "org.apache.spark.examples.SparkPi",
            "mainApplicationFile": "local:///opt/spark/examples/jars/spark-examples.jar",
            "driver": {"cores": 1, "memory": "512m"},
            "executor": {"cores": 1, "instances": 1, "memory": "512m"},
        },
    })
}

/// Sets the field at a JSON pointer, making the objects on the way.
fn set(object: &mut Value, pointer: &str, value: Value) {
    let place = pointer
        .trim_start_matches('/')
        .split('/')
        .fold(object, |place, name| {
            let name = name.replace("~1", "/");
            &mut place[name.as_str()]
        });
    *place = value;
}

fn findings(changes: &[(&str, Value)]) -> Vec<String> {
    let mut object = good();
    for (pointer, value) in changes {
        set(&mut object, pointer, value.clone());
    }
    let application: SparkApplication = decode(&object).unwrap_or_else(|error| panic!("{error}"));
    validate(&application)
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn a_good_application_has_no_findings() {
    assert_eq!(findings(&[]), Vec::<String>::new());
}

#[test]
fn each_mistake_is_told_with_its_field_and_what_to_do() {
    let long = "a".repeat(64);
    let cases = [
        ("/metadata/name", json!(long)),
        ("/metadata/name", json!("2024-report")),
        ("/metadata/name", json!("my.app")),
        ("/metadata/namespace", json!("My_Jobs")),
        ("/spec/mode", json!("client")),
        ("/spec/sparkVersion", json!("latest")),
        ("/spec/image", json!("")),
        ("/spec/image", json!("Not an image")),
        ("/spec/driver/image", json!("not an image")),
        ("/spec/imagePullPolicy", json!("Sometimes")),
        ("/spec/mainClass", json!(null)),
        ("/spec/mainApplicationFile", json!("/home/me/app.jar")),
        (
            "/spec/mainApplicationFile",
            json!("file:///home/me/app.jar"),
        ),
        ("/spec/mainApplicationFile", json!("local:///app.py")),
        ("/spec/type", json!("Python")),
        ("/spec/deps/jars", json!(["https://x/y.jar", "lib/a.jar"])),
        (
            "/spec/deps/packages",
            json!(["org.apache.spark:spark-avro"]),
        ),
        ("/spec/memoryOverheadFactor", json!("10%")),
        ("/spec/driver/memory", json!("512Mi")),
        ("/spec/driver/memory", json!("1.5g")),
        ("/spec/driver/memory", json!("100k")),
        ("/spec/driver/memoryOverhead", json!("lots")),
        ("/spec/driver/memoryLimit", json!("1gb")),
        ("/spec/driver/memoryLimit", json!("256Mi")),
        ("/spec/driver/coreRequest", json!("half")),
        ("/spec/driver/coreLimit", json!("500m")),
        ("/spec/executor/coreLimit", json!("0")),
        ("/spec/driver/podName", json!("My_Driver")),
        ("/spec/driver/kubernetesMaster", json!("kubernetes.default")),
        ("/spec/driver/gpu", json!({"name": "gpu", "quantity": 0})),
        (
            "/spec/driver/labels",
            json!({"spark-role": "driver", "a b": "c", "x": "y z"}),
        ),
        (
            "/spec/executor/labels",
            json!({"sparkoperator.k8s.io/app-name": "x"}),
        ),
        ("/spec/driver/annotations", json!({"a b": "c"})),
        ("/spec/driver/envVars", json!({"A=B": "1"})),
        (
            "/spec/driver/env",
            json!([{"name": "A", "value": "1", "valueFrom": {}}]),
        ),
        (
            "/spec/driver/volumeMounts",
            json!([{"name": "data", "mountPath": "/data"}]),
        ),
        (
            "/spec/driver/configMaps",
            json!([{"name": "a", "path": "conf"}]),
        ),
        (
            "/spec/executor/secrets",
            json!([{"name": "A", "path": "/x"}]),
        ),
        ("/spec/driver/terminationGracePeriodSeconds", json!(-1)),
        (
            "/spec/driver/ports",
            json!([
                {"name": "web", "protocol": "TCP", "containerPort": 0},
                {"name": "web", "protocol": "HTTP", "containerPort": 80},
                {"name": "a-very-long-port-name", "protocol": "TCP", "containerPort": 81},
                {"name": "123", "protocol": "TCP", "containerPort": 81},
            ]),
        ),
        ("/spec/nodeSelector", json!({"disk": "ssd"})),
        (
            "/spec/driverIngressOptions",
            json!([
                {"ingressURLFormat": "a"},
                {"servicePort": 80, "ingressURLFormat": "a"},
                {"servicePort": 80},
            ]),
        ),
        (
            "/spec/dynamicAllocation",
            json!({"enabled": true, "minExecutors": 5, "initialExecutors": 9, "maxExecutors": 3}),
        ),
        (
            "/spec/dynamicAllocation",
            json!({"enabled": true, "minExecutors": 2, "initialExecutors": 1, "maxExecutors": 0}),
        ),
        (
            "/spec/monitoring",
            json!({
                "exposeDriverMetrics": true, "exposeExecutorMetrics": true,
                "prometheus": {"jmxExporterJar": "", "portName": "JMX"},
            }),
        ),
        ("/spec/sparkConf/spark.master", json!("local")),
        (
            "/spec/sparkConf/spark.kubernetes.container.image",
            json!("x"),
        ),
        ("/spec/sparkConf/spark.kubernetes.namespace", json!("other")),
        (
            "/spec/sparkConf/spark.kubernetes.driver.pod.featureSteps",
            json!("a.B"),
        ),
        ("/spec/sparkConf/spark.ui.port", json!(0)),
        (
            "/spec/sparkConf/spark.kubernetes.executor.podNamePrefix",
            json!("My_Job"),
        ),
        ("/spec/sparkConf/spark.eventLog.dir ", json!("x")),
        ("/spec/sparkConf/spark.x", json!(["a"])),
        (
            "/spec/sparkConf/spark.driver.memory",
            json!({"valueFrom": {"secretKeyRef": {"name": "S", "key": ""}}}),
        ),
        (
            "/spec/hadoopConf/fs.s3a.secret.key",
            json!({"valueFrom": {}}),
        ),
    ];
    let mut told = String::new();
    for (pointer, value) in cases {
        let mut changes = vec![(pointer, value.clone())];
        if pointer == "/spec/nodeSelector" {
            changes.push(("/spec/driver/nodeSelector", json!({"disk": "hdd"})));
        }
        let found = findings(&changes);
        assert!(!found.is_empty(), "{pointer} = {value} was accepted");
        told.push_str(&format!("# {pointer} = {value}\n{}\n\n", found.join("\n")));
    }
    insta::assert_snapshot!(told);
}

#[test]
fn what_spark_and_kubernetes_would_run_is_accepted() {
    let cases = [
        ("/spec/driver/memory", json!("1024")),
        ("/spec/driver/memoryOverhead", json!("0")),
        ("/spec/driver/coreRequest", json!("100m")),
        ("/spec/driver/coreLimit", json!("1200m")),
        (
            "/spec/driver/labels",
            json!({"team": "a", "app": "{{APP_ID}}"}),
        ),
        (
            "/spec/driver/annotations",
            json!({"Example.com/Some_key": "any text {}"}),
        ),
        ("/spec/sparkConf/spark.kubernetes.namespace", json!("jobs")),
        ("/spec/sparkConf/spark.ui.port", json!(4045)),
        ("/spec/mainApplicationFile", json!("s3a://bucket/app.jar")),
        ("/spec/mainApplicationFile", json!("spark-internal")),
        (
            "/spec/dynamicAllocation",
            json!({"enabled": true, "maxExecutors": 5}),
        ),
        (
            "/spec/dynamicAllocation",
            json!({"minExecutors": 5, "maxExecutors": 3}),
        ),
        (
            "/spec/hadoopConf/fs.s3a.secret.key",
            json!({"valueFrom": {"secretKeyRef": {"name": "s3", "key": "secret"}}}),
        ),
    ];
    for (pointer, value) in cases {
        assert_eq!(
            findings(&[(pointer, value.clone())]),
            Vec::<String>::new(),
            "{pointer} {value}"
        );
    }
}

#[test]
fn a_mount_may_name_a_volume_of_the_template_or_of_spark_conf() {
    let mounts = json!([
        {"name": "shared", "mountPath": "/a"},
        {"name": "own", "mountPath": "/b"},
        {"name": "spark", "mountPath": "/c"},
    ]);
    assert_eq!(
        findings(&[
            ("/spec/volumes", json!([{"name": "shared", "emptyDir": {}}])),
            (
                "/spec/driver/template",
                json!({"spec": {"volumes": [{"name": "own"}]}})
            ),
            (
                "/spec/sparkConf/spark.kubernetes.driver.volumes.emptyDir.spark.mount.path",
                json!("/c"),
            ),
            ("/spec/driver/volumeMounts", mounts),
        ]),
        Vec::<String>::new()
    );
}

#[test]
fn old_spark_has_no_pod_templates() {
    let found = findings(&[
        ("/spec/sparkVersion", json!("2.4.8")),
        ("/spec/executor/template", json!({"spec": {}})),
    ]);
    assert_eq!(
        found,
        [
            "spec.executor.template: pod templates need Spark 3.0 or later, and sparkVersion is 2.4.8"
        ]
    );
}

#[test]
fn local_paths_are_told_from_uris() {
    for (uri, expected) in [
        ("app.py", true),
        ("/app.py", true),
        ("./a:b.py", true),
        ("file:/app.py", true),
        ("FILE:///app.py", true),
        ("local:///app.py", false),
        ("s3a://bucket/app.py", false),
        ("https://example.com/app.py", false),
        ("spark-internal", false),
    ] {
        assert_eq!(is_local_path(uri), expected, "{uri}");
    }
}

#[test]
fn logs_are_kept_in_a_bucket_that_is_not_for_event_logs() {
    let kept = ("/spec/keepLogs", json!("logs"));
    let log = ("/spec/eventLog", json!("logs"));
    let stores = ("/spec/objectStores", json!(["logs"]));
    assert_eq!(findings(&[kept.clone(), stores]), Vec::<String>::new());
    let told = findings(&[kept.clone(), log.clone()]);
    assert!(
        matches!(&told[..], [told] if told.starts_with("spec.keepLogs: ") && told.contains("another ObjectStore")),
        "{told:?}"
    );
    let folder = json!({"spark.eventLog.dir": "s3a://logs/events"});
    let folder = ("/spec/sparkConf", folder);
    assert_eq!(findings(&[kept, log, folder]), Vec::<String>::new());
    for wrong in ["objectstore/team/logs".to_owned(), "a".repeat(64)] {
        let told = findings(&[("/spec/keepLogs", json!(wrong))]);
        assert!(
            matches!(&told[..], [told] if told.starts_with("spec.keepLogs")),
            "{told:?}"
        );
    }
}

#[test]
fn event_logs_have_a_bucket_or_a_folder_of_their_own() {
    let log = ("/spec/eventLog", json!("history"));
    let stores = ("/spec/objectStores", json!(["data", "history"]));
    assert_eq!(findings(std::slice::from_ref(&log)), Vec::<String>::new());
    let told = findings(&[log.clone(), stores.clone()]);
    assert!(
        matches!(&told[..], [told] if told.starts_with("spec.eventLog: ") && told.contains("for event logs alone")),
        "{told:?}"
    );
    let folder = json!({"spark.eventLog.dir": "s3a://history/logs"});
    let folder = ("/spec/sparkConf", folder);
    assert_eq!(findings(&[log, stores, folder]), Vec::<String>::new());
    let told = findings(&[("/spec/eventLog", json!("s3a://history"))]);
    assert!(
        matches!(&told[..], [told] if told.starts_with("spec.eventLog")),
        "{told:?}"
    );
}
