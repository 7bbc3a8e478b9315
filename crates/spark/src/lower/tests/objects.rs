//! Whole applications, and the laws that hold for all of them.

use std::{fs, path::Path};

use windlass_api::{names::AttemptId, parse};

use super::*;

fn manifest(name: &str) -> SparkApplication {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../api/testdata/applications");
    let text = fs::read_to_string(folder.join(format!("{name}.yaml"))).unwrap();
    let mut app: SparkApplication = decode(&parse::objects(&text).unwrap()[0]).unwrap();
    app.metadata.uid = Some("5f0c1f0e-3c1b-4a53-9d2c-2f6a55a8a001".to_owned());
    app
}

fn manifests() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../api/testdata/applications");
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            entry
                .unwrap()
                .path()
                .file_stem()
                .unwrap()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    names.sort();
    names
}

#[test]
fn representative_applications_become_these_objects() {
    for name in [
        "spark-pi",
        "spark-pi-prometheus",
        "spark-pi-emptydir",
        "every-field",
    ] {
        for version in VERSIONS {
            let mut app = manifest(name);
            app.spec.spark_version = version.to_owned();
            let (mut objects, lowered) = render(&app, &Settings::default()).unwrap();
            for object in &mut objects {
                // What is JSON inside of a text is easier to read as YAML.
                let data = object
                    .get_mut("data")
                    .and_then(Value::as_object_mut)
                    .into_iter()
                    .flatten();
                for (_, text) in data {
                    if let Ok(inner @ Value::Object(_)) =
                        serde_json::from_str(text.as_str().unwrap_or_default())
                    {
                        *text = inner;
                    }
                }
            }
            let notes: Vec<String> = lowered
                .not_applied
                .iter()
                .map(|note| {
                    format!(
                        "# {note}
"
                    )
                })
                .collect();
            let text = notes.concat() + &parse::to_yaml_documents(&objects).unwrap();
            insta::assert_snapshot!(format!("{name}_{version}"), text);
        }
    }
}

#[test]
fn every_manifest_of_users_can_be_submitted() {
    for name in manifests() {
        for version in ["3.4.4", "3.5.9", "4.0.1", "4.1.4", "4.2.1", "4.3.0"] {
            let mut app = manifest(&name);
            app.spec.spark_version = version.to_owned();
            let lowered = lowered(&app);
            assert_eq!(lowered.submission.driver["kind"], "Pod", "{name} {version}");
        }
    }
}

#[test]
fn the_same_attempt_gives_the_same_objects_and_another_gives_other_names() {
    let app = manifest("every-field");
    let now = identity::first_attempt(&app).created_time;
    let attempt = |number| {
        let attempt = Attempt::new("uid", number, driver_pod_name(&app), now.clone());
        lower(&app, &attempt, &Settings::default()).unwrap()
    };
    assert_eq!(attempt(1), attempt(1));
    let names = |lowered: &Lowered| -> Vec<String> {
        let objects = lowered.submission.objects.iter();
        objects
            .map(|object| object["metadata"]["name"].to_string())
            .collect()
    };
    let (first, second) = (attempt(1), attempt(2));
    assert!(
        names(&first)
            .iter()
            .all(|name| !names(&second).contains(name))
    );
    assert_eq!(
        first.submission.driver_name(),
        second.submission.driver_name()
    );
}

#[test]
fn ids_come_from_the_uid_and_the_attempt() {
    let app = manifest("spark-pi");
    let attempt = identity::first_attempt(&app);
    let ids = submit_ids(&app, &attempt);
    let expected = AttemptId::new(app.metadata.uid.as_deref().unwrap(), 1);
    assert_eq!(ids.prefix, expected.unique());
    assert_eq!(ids.app_id, expected.application_id());
    let labels = lowered(&app).submission.driver["metadata"]["labels"].clone();
    assert_eq!(labels["spark-app-selector"], expected.application_id());
    assert_eq!(
        labels["sparkoperator.k8s.io/submission-id"],
        expected.submission_id()
    );
}

#[test]
fn the_driver_belongs_to_the_application() {
    let app = manifest("spark-pi");
    let driver = lowered(&app).submission.driver;
    let owner = &driver["metadata"]["ownerReferences"][0];
    assert_eq!(owner["kind"], "SparkApplication");
    assert_eq!(owner["controller"], true);
    assert_eq!(owner["uid"], app.metadata.uid.clone().unwrap());
}

#[test]
fn the_name_of_the_driver_pod_is_the_one_users_know() {
    let mut app = application(json!({}));
    assert_eq!(driver_pod_name(&app), "spark-pi-driver");
    app.spec
        .spark_conf
        .insert("spark.kubernetes.driver.pod.name".into(), "conf".into());
    assert_eq!(driver_pod_name(&app), "conf");
    app.spec.driver.pod_name = Some("field".to_owned());
    assert_eq!(driver_pod_name(&app), "field");
    assert_eq!(lowered(&app).submission.driver_name(), "field");
}

#[test]
fn logs_that_are_kept_are_a_label_of_all_pods() {
    let app = application(json!({"keepLogs": "history"}));
    let attempt = identity::first_attempt(&app);
    let serving = Settings {
        serves_object_stores: true,
        ..Settings::default()
    };
    let lowered = lower(&app, &attempt, &serving).unwrap();
    for pod in [&lowered.submission.driver, &executor_template(&lowered)] {
        assert_eq!(
            pod["metadata"]["labels"]["windlass.dev/keep-logs"],
            "history"
        );
    }
    assert_eq!(lowered.not_applied, []);
    let lowered = lower(&app, &attempt, &Settings::default()).unwrap();
    let told = lowered.not_applied[0].to_string();
    assert!(
        told.starts_with("spec.keepLogs: ") && told.contains("--storage"),
        "{told}"
    );
}

#[test]
fn labels_of_the_application_reach_its_pods_but_those_of_its_queue_do_not() {
    let mut app = application(json!({"driver": {"labels": {"team": "own"}}}));
    app.metadata.labels = Some(
        [
            ("team", "shared"),
            ("kueue.x-k8s.io/queue-name", "q"),
            ("stage", "test"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into(),
    );
    let lowered = lowered(&app);
    let driver = lowered.submission.driver["metadata"]["labels"].clone();
    assert_eq!(
        (&driver["team"], &driver["stage"]),
        (&json!("own"), &json!("test"))
    );
    assert_eq!(driver.get("kueue.x-k8s.io/queue-name"), None);
    let executor = executor_template(&lowered)["metadata"]["labels"].clone();
    assert_eq!(
        (&executor["team"], &executor["stage"]),
        (&json!("shared"), &json!("test"))
    );
    assert_eq!(executor["sparkoperator.k8s.io/app-name"], "spark-pi");
}

#[test]
fn typed_fields_beat_spark_conf() {
    let conf = |spec: Value| lowered(&application(spec)).submission.conf;
    let conf = conf(json!({
        "sparkConf": {
            "spark.driver.memory": "9g",
            "spark.executor.cores": "9",
            "spark.executor.instances": "9",
            "spark.executorEnv.A": "9",
            "spark.jars": "local:///nine.jar",
            "spark.app.name": "nine",
            "spark.dynamicAllocation.enabled": "true",
        },
        "driver": {"memory": "1g"},
        "executor": {
            "cores": 1,
            "instances": 2,
            "env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}],
        },
        "deps": {"jars": ["local:///one.jar"]},
        "dynamicAllocation": {"enabled": false},
    }));
    for (key, expected) in [
        ("spark.driver.memory", Some("1g")),
        ("spark.executor.cores", Some("1")),
        ("spark.executor.instances", Some("2")),
        ("spark.executorEnv.A", None),
        ("spark.jars", Some("local:///one.jar")),
        ("spark.app.name", Some("spark-pi")),
        ("spark.dynamicAllocation.enabled", Some("false")),
    ] {
        assert_eq!(conf.get(key).map(String::as_str), expected, "{key}");
    }
}

#[test]
fn values_of_secrets_reach_the_driver_and_no_object() {
    let lowered = lowered(&application(json!({
        "sparkConf": {
            "spark.redis.auth": {"valueFrom": {"secretKeyRef": {"name": "redis", "key": "auth"}}},
        },
        "hadoopConf": {
            "fs.s3a.secret.key": {"valueFrom": {"secretKeyRef": {"name": "s3", "key": "secret"}}},
        },
    })));
    let container = lowered.submission.driver["spec"]["containers"]
        .as_array()
        .unwrap()
        .iter()
        .find(|container| container["name"] == lowered.submission.container.as_str())
        .unwrap()
        .clone();
    let args: Vec<&str> = container["args"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    assert_eq!(
        args[..5],
        [
            "driver",
            "--conf",
            "spark.hadoop.fs.s3a.secret.key=$(WINDLASS_CONF_1)",
            "--conf",
            "spark.redis.auth=$(WINDLASS_CONF_2)",
        ]
    );
    let variable = |name: &str| {
        let env = container["env"].as_array().unwrap().iter();
        env.clone()
            .find(|variable| variable["name"] == name)
            .unwrap()["valueFrom"]
            .clone()
    };
    assert_eq!(
        variable("WINDLASS_CONF_1"),
        json!({"secretKeyRef": {"name": "s3", "key": "secret"}})
    );
    let conf = &lowered.submission.conf;
    assert!(!conf.contains_key("spark.redis.auth"));
    assert!(!conf.contains_key("spark.hadoop.fs.s3a.secret.key"));
    assert_eq!(
        conf["spark.redaction.regex"],
        "(?i)secret|password|token|access[.]?key|spark[.]redis[.]auth"
    );
}

#[test]
fn variables_of_executors_that_settings_cannot_carry_go_into_the_template() {
    let env = |list: Value| {
        let lowered = lowered(&application(json!({"executor": {"env": list}})));
        let template = executor_template(&lowered)["spec"]["containers"][0]["env"].clone();
        let conf: Vec<String> = lowered
            .submission
            .conf
            .iter()
            .filter_map(|(key, value)| {
                Some(format!(
                    "{}={value}",
                    key.strip_prefix("spark.executorEnv.")?
                ))
            })
            .collect();
        (conf, template)
    };
    let (conf, template) = env(json!([
        {"name": "A", "value": "1"}, {"name": "B", "value": " padded "}, {"name": "9C", "value": "x"},
    ]));
    assert_eq!(conf, ["A=1"]);
    assert_eq!(
        template,
        json!([{"name": "B", "value": " padded "}, {"name": "9C", "value": "x"}])
    );
    // Who refers to another one needs the order of the list.
    let list = json!([{"name": "A", "value": "1"}, {"name": "B", "value": "$(A)/x"}]);
    let (conf, template) = env(list.clone());
    assert_eq!(conf, Vec::<String>::new());
    assert_eq!(template, list);
    // Of two with one name the later one counts.
    let (conf, _) = env(json!([{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]));
    assert_eq!(conf, ["A=2"]);
}

#[test]
fn the_container_of_a_template_is_found_by_name_and_told_to_spark() {
    let container = |template: Value, conf: Value| {
        let lowered = lowered(&application(json!({
            "sparkConf": conf,
            "executor": {"template": {"spec": template}, "ports": [
                {"name": "api", "protocol": "TCP", "containerPort": 1},
            ]},
        })));
        let key = "spark.kubernetes.executor.podTemplateContainerName";
        let name = lowered.submission.conf[key].clone();
        let containers = executor_template(&lowered)["spec"]["containers"].clone();
        let edited = containers
            .as_array()
            .unwrap()
            .iter()
            .find(|it| it.get("ports").is_some());
        assert_eq!(edited.unwrap()["name"], name.as_str());
        name
    };
    let named = |names: &[&str]| -> Value {
        json!({"containers": names.iter().map(|name| json!({"name": name})).collect::<Vec<_>>()})
    };
    let default = "spark-kubernetes-executor";
    let setting = json!({"spark.kubernetes.executor.podTemplateContainerName": "b"});
    assert_eq!(container(json!({}), json!({})), default);
    assert_eq!(container(named(&["a", default]), json!({})), default);
    assert_eq!(container(named(&["a", "b"]), json!({})), "a");
    assert_eq!(container(named(&["a", "b"]), setting.clone()), "b");
    assert_eq!(container(named(&["a"]), setting), "a");
}

#[test]
fn dynamic_allocation_and_the_version_of_python_become_settings() {
    let lowered = lowered(&application(json!({
        "pythonVersion": "3",
        "dynamicAllocation": {
            "enabled": true,
            "initialExecutors": 2,
            "minExecutors": 1,
            "maxExecutors": 5,
            "shuffleTrackingTimeout": 60000,
        },
    })));
    for (key, expected) in [
        ("spark.kubernetes.pyspark.pythonVersion", "3"),
        ("spark.dynamicAllocation.enabled", "true"),
        ("spark.dynamicAllocation.initialExecutors", "2"),
        ("spark.dynamicAllocation.minExecutors", "1"),
        ("spark.dynamicAllocation.maxExecutors", "5"),
        ("spark.dynamicAllocation.shuffleTracking.enabled", "true"),
        ("spark.dynamicAllocation.shuffleTracking.timeout", "60000ms"),
    ] {
        let found = lowered.submission.conf.get(key).map(String::as_str);
        assert_eq!(found, Some(expected), "{key}");
    }
    // Dynamic allocation says how many.
    assert_eq!(
        lowered.submission.conf.get("spark.executor.instances"),
        None
    );
}

#[test]
fn what_cannot_be_honoured_is_told() {
    let app = application(json!({
        "sparkConf": {
            "spark.decommission.enabled": "true",
            "spark.kubernetes.executor.podTemplateFile": "/tmp/t.yaml",
            "fs.s3a.endpoint": "http://minio:9000",
        },
        "failureRetries": 3,
        "executor": {
            "memoryLimit": "2Gi",
            "lifecycle": {"preStop": {"exec": {"command": ["true"]}}},
        },
    }));
    let lowered = lowered(&app);
    let notes: Vec<String> = lowered
        .not_applied
        .iter()
        .map(ToString::to_string)
        .collect();
    insta::assert_snapshot!(notes.join("\n"));
    let template = executor_template(&lowered);
    assert_eq!(template["spec"]["containers"][0].get("lifecycle"), None);
}

#[test]
fn what_is_wrong_is_refused_with_its_field() {
    let problems = |spec: Value| {
        let app = application(spec);
        let attempt = identity::first_attempt(&app);
        lower(&app, &attempt, &Settings::default())
            .unwrap_err()
            .problems()
    };
    let told = [
        json!({"mainApplicationFile": "pi.py"}),
        json!({"driver": {"memory": "1g", "memoryLimit": "1100Mi"}}),
        json!({"driver": {"env": [{"name": "A", "vale": "1"}]}}),
        json!({"sparkConf": {"spark.kubernetes.driver.volumes.emptyDri.x.mount.path": "/x"}}),
        json!({"driver": {"javaOptions": "-Xmx4g"}}),
    ]
    .map(problems)
    .concat();
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn a_driver_without_an_account_gets_that_of_the_operator() {
    let account = |driver: Value| {
        let app = application(json!({"driver": driver}));
        let settings = Settings {
            driver_service_account: Some("spark".to_owned()),
            ..Settings::default()
        };
        let lowered = lower(&app, &identity::first_attempt(&app), &settings).unwrap();
        lowered.submission.driver["spec"]["serviceAccountName"].clone()
    };
    assert_eq!(account(json!({})), "spark");
    assert_eq!(account(json!({"serviceAccount": "own"})), "own");
    assert_eq!(
        account(json!({"template": {"spec": {"serviceAccountName": "mine"}}})),
        "mine"
    );
}

#[test]
fn a_web_page_that_is_switched_off_has_no_service() {
    let services = |conf: Value| {
        let app = application(json!({"sparkConf": conf}));
        let objects = render(&app, &Settings::default()).unwrap().0;
        let ui = objects
            .iter()
            .filter(|object| object["metadata"]["name"] == "spark-pi-ui-svc");
        ui.map(|service| service["spec"]["ports"][0]["targetPort"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(services(json!({})), [4040]);
    assert_eq!(services(json!({"spark.ui.port": 4050})), [4050]);
    assert_eq!(
        services(json!({"spark.ui.enabled": "false"})),
        Vec::<Value>::new()
    );
}

#[test]
fn scratch_space_goes_by_settings_where_spark_has_them_and_else_by_the_template() {
    let lowered = lowered(&application(json!({
        "volumes": [
            {"name": "spark-local-dir-1", "persistentVolumeClaim": {"claimName": "OnDemand"}},
            {"name": "spark-local-dir-2", "ephemeral": {"volumeClaimTemplate": {"spec": {}}}},
        ],
        "driver": {"volumeMounts": [{"name": "spark-local-dir-2", "mountPath": "/two"}]},
        "executor": {"volumeMounts": [
            {"name": "spark-local-dir-1", "mountPath": "/one"},
            {"name": "spark-local-dir-2", "mountPath": "/two"},
        ]},
    })));
    let prefix = "spark.kubernetes.executor.volumes.persistentVolumeClaim.spark-local-dir-1";
    let conf = &lowered.submission.conf;
    assert_eq!(conf[&format!("{prefix}.mount.path")], "/one");
    assert_eq!(conf[&format!("{prefix}.options.claimName")], "OnDemand");
    let template = executor_template(&lowered);
    let volumes: Vec<_> = template["spec"]["volumes"]
        .as_array()
        .unwrap()
        .iter()
        .collect();
    assert_eq!(volumes.len(), 1);
    assert_eq!(volumes[0]["name"], "spark-local-dir-2");
    let driver = &lowered.submission.driver["spec"]["containers"][0];
    let local_dirs = driver["env"]
        .as_array()
        .unwrap()
        .iter()
        .find(|it| it["name"] == "SPARK_LOCAL_DIRS");
    assert_eq!(local_dirs.unwrap()["value"], "/two");
}
