//! What a history server consists of.

use std::sync::Arc;

use windlass_api::parse;

use super::*;
use crate::policy::{Layer, read_file};
use crate::standing::HASH_ANNOTATION;
use crate::stores::Waits;

/// All objects as YAML, behind what is to be told.
fn shown(wanted: Wanted) -> String {
    let mut objects = wanted.before;
    objects.push(wanted.deployment);
    let notes = wanted.not_applied.iter().map(|note| format!("# {note}\n"));
    let head = format!("# {}\n", wanted.url);
    head + &notes.collect::<String>() + &parse::to_yaml_documents(&objects).unwrap()
}

fn layers(text: &str) -> Vec<Arc<Layer>> {
    read_file(text).unwrap()
}

fn hash(wanted: &Wanted) -> String {
    let annotations = &wanted.deployment["metadata"]["annotations"];
    annotations[HASH_ANNOTATION].as_str().unwrap().to_owned()
}

#[test]
fn a_server_of_a_few_lines_becomes_these_objects() {
    insta::assert_snapshot!(shown(made(&server(json!({})))));
}

#[test]
fn a_server_with_everything_becomes_these_objects() {
    let server = server(json!({
        "sparkVersion": "3.5.9",
        "image": "apache/spark:3.5.9",
        "eventLog": null,
        "logClaim": {"claimName": "logs", "subPath": "spark"},
        "objectStores": ["history"],
        "retention": "30d",
        "maxFilesToRetain": 10,
        "cores": 2,
        "memory": "2g",
        "hadoopConf": {"fs.s3a.bucket.spark-history.path.style.access": "false"},
        "sparkConf": {
            "spark.history.ui.port": "8080",
            "spark.history.store.path": "/tmp/store",
            "spark.driver.extraClassPath": "/opt/hadoop-aws/*",
            "spark.history.kerberos.keytab": {"valueFrom": {"secretKeyRef": {"name": "k", "key": "t"}}},
        },
        "template": {
            "metadata": {"labels": {"team": "platform"}},
            "spec": {
                "serviceAccountName": "history",
                "automountServiceAccountToken": true,
                "nodeSelector": {"disk": "ssd"},
                "containers": [{
                    "name": "history",
                    "resources": {"limits": {"cpu": 3}},
                    "ports": [{"name": "metrics", "containerPort": 9404}],
                    "readinessProbe": {"httpGet": {"path": "/", "port": 8080}},
                    "volumeMounts": [{"name": "jars", "mountPath": "/opt/hadoop-aws"}],
                }],
                "volumes": [{"name": "jars", "hostPath": {"path": "/opt/hadoop-aws"}}],
            },
        },
        "service": {
            "metadata": {"name": "spark-history", "annotations": {"internal": "true"}},
            "spec": {"type": "LoadBalancer", "ports": [
                {"name": "history-ui", "port": 80, "targetPort": 8080},
            ]},
        },
    }));
    insta::assert_snapshot!(shown(made(&server)));
}

#[test]
fn whatever_the_version_it_is_started_as_a_driver_and_asks_no_kubernetes() {
    for version in [
        "3.4.4", "3.5.9", "4.0.1", "4.1.4", "4.2.1", "4.3.0", "5.0.0",
    ] {
        let wanted = made(&server(json!({"sparkVersion": version})));
        let pod = &wanted.deployment["spec"]["template"];
        let spec = &pod["spec"];
        assert_eq!(spec["automountServiceAccountToken"], false, "{version}");
        assert_eq!(spec["serviceAccountName"], Value::Null, "{version}");
        let labels = pod["metadata"]["labels"].as_object().unwrap();
        assert_eq!(labels["windlass.dev/history-of"], "history");
        assert!(!labels.keys().any(|it| it.starts_with("sparkoperator")));
        let container = &spec["containers"][0];
        let arguments: Vec<&str> = container["args"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(Value::as_str)
            .collect();
        assert_eq!(
            arguments,
            [
                "driver",
                "--conf",
                "spark.hadoop.fs.s3a.bucket.spark-history.access.key=$(WINDLASS_CONF_1)",
                "--conf",
                "spark.hadoop.fs.s3a.bucket.spark-history.secret.key=$(WINDLASS_CONF_2)",
                "--properties-file",
                "/opt/spark/conf/spark.properties",
                "--class",
                "org.apache.spark.deploy.history.HistoryServer",
                "spark-internal",
            ],
            "{version}"
        );
        let ports = container["ports"].as_array().unwrap();
        assert_eq!(ports.len(), 1, "{version}: {ports:?}");
        assert_eq!(
            container["readinessProbe"]["httpGet"]["path"],
            "/api/v1/version"
        );
        let kinds: Vec<&str> = wanted
            .before
            .iter()
            .filter_map(|object| object["kind"].as_str())
            .collect();
        assert_eq!(kinds, ["ConfigMap", "Service"], "{version}");
        let conf = wanted.before[0]["data"]["spark.properties"]
            .as_str()
            .unwrap();
        for line in ["spark.master=local", "spark.driver.memory=1g"] {
            assert!(conf.lines().any(|it| it == line), "{version}: {conf}");
        }
        for prefix in ["spark.kubernetes.", "spark.executor.", "spark.app."] {
            assert!(!conf.contains(prefix), "{version}: {conf}");
        }
    }
}

#[test]
fn another_place_of_the_bucket_makes_another_server_and_nothing_else_does() {
    let hash_of = |endpoint: &str, more: Value| {
        let stores = stores(endpoint);
        let made = wanted(&ruled(&server(more)), Some(&stores), &Settings::default());
        hash(&made.unwrap())
    };
    let usual = hash_of("http://minio:9000", json!({}));
    assert_eq!(usual, hash_of("http://minio:9000", json!({})));
    // Who reaches it changes without another server.
    let service = json!({"service": {"spec": {"type": "NodePort"}}});
    assert_eq!(usual, hash_of("http://minio:9000", service));
    assert_ne!(usual, hash_of("http://other:9000", json!({})));
    for more in [
        json!({"image": "mine/spark:4.3.0"}),
        json!({"retention": "7d"}),
        json!({"memory": "2g"}),
    ] {
        assert_ne!(usual, hash_of("http://minio:9000", more.clone()), "{more}");
    }
}

#[test]
fn a_key_is_in_no_object_and_a_bucket_is_waited_for() {
    let wanted_by = |stores: &Stores| {
        wanted(
            &ruled(&server(json!({}))),
            Some(stores),
            &Settings::default(),
        )
        .unwrap_err()
    };
    let told =
        "spec.eventLog: the ObjectStore history cannot be used: there is none in this namespace";
    assert_eq!(
        wanted_by(&Stores::default()),
        Obstacle::ObjectStore(vec![told.to_owned()])
    );
    let unserved = wanted_by(&Stores::Unserved);
    assert!(matches!(&unserved, Obstacle::Invalid(told) if told[0].contains("--storage")));
    let wanted = made(&server(json!({})));
    let container = &wanted.deployment["spec"]["template"]["spec"]["containers"][0];
    let variables = container["env"].as_array().unwrap().iter();
    let keys: Vec<&Value> = variables
        .map(|it| &it["valueFrom"]["secretKeyRef"])
        .filter(|it| it.is_object())
        .collect();
    assert_eq!(
        keys,
        [
            &json!({"name": "history-keys", "key": "AWS_ACCESS_KEY_ID"}),
            &json!({"name": "history-keys", "key": "AWS_SECRET_ACCESS_KEY"}),
        ]
    );
    let mut app = windlass_api::spark::history::application(&server(json!({})));
    let waits = Stores::default().read_logs(&mut app, "history");
    assert!(matches!(waits, Err(Waits::ForStores(_))));
}

#[test]
fn where_there_is_no_cluster_the_rest_is_there() {
    let wanted = wanted(&ruled(&server(json!({}))), None, &Settings::default()).unwrap();
    assert_eq!(wanted.log_directory, None);
    let by_uri = json!({"eventLog": null, "logDirectory": "hdfs://name/logs"});
    let wanted = super::wanted(&ruled(&server(by_uri)), None, &Settings::default()).unwrap();
    assert_eq!(wanted.log_directory.as_deref(), Some("hdfs://name/logs"));
    let annotations = &wanted.deployment["spec"]["template"]["metadata"]["annotations"];
    assert_eq!(
        annotations["windlass.dev/log-directory"],
        "hdfs://name/logs"
    );
}

#[test]
fn policies_hold_for_what_a_server_has_in_common_with_jobs() {
    let layers = layers(
        "apiVersion: windlass.dev/v1alpha1\nkind: SparkPolicy\nmetadata: {name: house}\nspec:\n  \
         allowedImages: [registry.example.com/*]\n  \
         imageAliases: [{name: house, image: 'registry.example.com/spark:4.3.0', sparkVersion: 4.3.0}]\n  \
         enforced:\n    eventLog: others\n    dynamicAllocation: {enabled: true}\n    \
         monitoring: {exposeDriverMetrics: true, exposeExecutorMetrics: true}\n    \
         driver: {labels: {cost: team}}\n",
    );
    let policies = Policies::of(&layers, [], "team");
    let refused = Ruled::by(&policies, &server(json!({}))).unwrap_err();
    let told = refused.problems().join("\n");
    assert!(told.starts_with("spec.image: "), "{told}");
    assert!(told.contains("apache/spark:4.3.0"), "{told}");
    let ruled = Ruled::by(&policies, &server(json!({"image": "house"}))).unwrap();
    let stores = stores("http://minio:9000");
    let wanted = wanted(&ruled, Some(&stores), &Settings::default()).unwrap();
    let pod = &wanted.deployment["spec"]["template"];
    assert_eq!(
        pod["spec"]["containers"][0]["image"],
        "registry.example.com/spark:4.3.0"
    );
    assert_eq!(pod["metadata"]["labels"]["cost"], "team");
    let conf = wanted.before[0]["data"]["spark.properties"]
        .as_str()
        .unwrap();
    for of_jobs in ["spark.dynamicAllocation", "spark.eventLog", "spark.metrics"] {
        assert!(!conf.contains(of_jobs), "{conf}");
    }
    let kinds = wanted.before.iter().map(|it| it["kind"].as_str().unwrap());
    assert_eq!(kinds.collect::<Vec<_>>(), ["ConfigMap", "Service"]);
}
