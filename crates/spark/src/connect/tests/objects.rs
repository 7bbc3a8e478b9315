//! What a server consists of.

use std::{fs, path::Path};

use windlass_api::parse;

use super::*;
use crate::connect::{HASH_ANNOTATION, Wanted, wanted};
use crate::lower::{IpFamily, Settings};

fn settings() -> Settings {
    Settings {
        driver_service_account: Some("spark".to_owned()),
        ..Settings::default()
    }
}

fn made(connect: &SparkConnect) -> Wanted {
    wanted(connect, &settings()).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

/// All objects as YAML, with the JSON that is inside of texts.
fn shown(wanted: Wanted) -> String {
    let mut objects = wanted.before;
    objects.push(wanted.deployment);
    for object in &mut objects {
        let data = object.get_mut("data").and_then(Value::as_object_mut);
        for (_, text) in data.into_iter().flatten() {
            if let Ok(inner @ Value::Object(_)) =
                serde_json::from_str(text.as_str().unwrap_or_default())
            {
                *text = inner;
            }
        }
    }
    let notes = wanted.not_applied.iter().map(|note| format!("# {note}\n"));
    notes.collect::<String>() + &parse::to_yaml_documents(&objects).unwrap()
}

#[test]
fn a_server_is_told_an_address_of_ipv6_in_brackets() {
    let host = |conf: Value, usual: IpFamily| {
        let settings = Settings {
            pod_addresses: usual,
            ..settings()
        };
        let wanted = wanted(&connect(json!({ "sparkConf": conf })), &settings).unwrap();
        let pod = &wanted.deployment["spec"]["template"]["spec"];
        let arguments = pod["containers"][0]["args"].as_array().unwrap();
        let host = arguments.iter().filter_map(Value::as_str);
        let mut host = host.filter_map(|it| it.strip_prefix("spark.driver.host="));
        host.next().unwrap().to_owned()
    };
    let (plain, bracketed) = (
        "$(SPARK_DRIVER_BIND_ADDRESS)",
        "[$(SPARK_DRIVER_BIND_ADDRESS)]",
    );
    let families = |families: &str| json!({"spark.kubernetes.driver.service.ipFamilies": families});
    for (conf, usual, expected) in [
        (json!({}), IpFamily::V4, plain),
        (json!({}), IpFamily::of_address("10.96.0.1"), plain),
        (json!({}), IpFamily::of_address("fd00:96::1"), bracketed),
        (families("IPv6"), IpFamily::V4, bracketed),
        (families("IPv6,IPv4"), IpFamily::V4, bracketed),
        (families("IPv4,IPv6"), IpFamily::V6, plain),
    ] {
        assert_eq!(host(conf.clone(), usual), expected, "{conf} {usual:?}");
    }
}

#[test]
fn a_server_of_a_few_lines_becomes_these_objects() {
    insta::assert_snapshot!(shown(made(&connect(json!({})))));
}

#[test]
fn a_server_with_everything_becomes_these_objects() {
    let connect = connect(json!({
        "sparkConf": {
            "spark.connect.grpc.binding.port": "16000",
            "spark.hadoop.fs.s3a.secret.key":
                {"valueFrom": {"secretKeyRef": {"name": "s3", "key": "secret"}}},
        },
        "hadoopConf": {"fs.s3a.endpoint": "http://minio:9000"},
        "keepLogs": "logs",
        "server": {
            "cores": 2,
            "memory": "2g",
            "template": {
                "metadata": {"annotations": {"contact": "analytics"}},
                "spec": {
                    "serviceAccountName": "analytics",
                    "nodeSelector": {"disk": "ssd"},
                    "containers": [{
                        "name": "spark-kubernetes-driver",
                        "resources": {"limits": {"cpu": 3}},
                        "readinessProbe": {"tcpSocket": {"port": 16000}, "periodSeconds": 3},
                    }, {"name": "beside", "image": "busybox"}],
                },
            },
            "service": {
                "metadata": {"name": "analytics", "annotations": {"internal": "true"}},
                "spec": {"type": "NodePort", "ports": [
                    {"name": "spark-connect-server", "port": 16000, "nodePort": 31000},
                ]},
            },
        },
        "executor": {"cores": 2, "memory": "4g", "instances": 0},
        "dynamicAllocation": {"enabled": true, "maxExecutors": 8},
        "access": {
            "token": {},
            "networkPolicy": {"from": [{"namespaceSelector": {"matchLabels": {"team": "bi"}}}]},
        },
    }));
    insta::assert_snapshot!(shown(made(&connect)));
}

#[test]
fn the_manifest_of_kubeflow_users_becomes_these_objects() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../api/testdata/connect");
    let text = fs::read_to_string(folder.join("spark-connect.yaml")).unwrap();
    let connect = decode(&parse::objects(&text).unwrap()[0]).unwrap();
    insta::assert_snapshot!(shown(made(&connect)));
}

#[test]
fn whatever_the_version_a_server_starts_anew_under_its_own_name_and_address() {
    for version in [
        "3.4.4", "3.5.9", "4.0.1", "4.1.4", "4.2.1", "4.3.0", "5.0.0",
    ] {
        let wanted = made(&connect(json!({"sparkVersion": version})));
        let pod = &wanted.deployment["spec"]["template"];
        let labels = pod["metadata"]["labels"].as_object().unwrap();
        assert!(!labels.contains_key("spark-app-selector"), "{version}");
        assert!(
            !labels.contains_key("sparkoperator.k8s.io/app-name"),
            "{version}"
        );
        assert_eq!(pod["spec"]["restartPolicy"], "Always");
        let container = &pod["spec"]["containers"][0];
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
                "spark.driver.host=$(SPARK_DRIVER_BIND_ADDRESS)",
                "--conf",
                "spark.kubernetes.driver.pod.name=$(WINDLASS_POD_NAME)",
                "--properties-file",
                "/opt/spark/conf/spark.properties",
                "--class",
                "org.apache.spark.sql.connect.service.SparkConnectServer",
                "spark-internal",
            ]
        );
        let ports = container["ports"].as_array().unwrap().iter();
        let connect = ports.filter(|port| port["containerPort"] == 15002);
        assert_eq!(connect.count(), 1, "{version}");
        let text = wanted
            .before
            .iter()
            .find_map(|object| object["data"]["spark.properties"].as_str())
            .unwrap();
        for key in [
            "spark.app.id=",
            "spark.app.submitTime=",
            "spark.driver.host=",
        ] {
            assert!(!text.contains(key), "{version}: {text}");
        }
        let of_application = |object: &&Value| {
            let kind = object["kind"].as_str().unwrap();
            !["ConfigMap", "Service"].contains(&kind)
        };
        assert_eq!(wanted.before.iter().find(of_application), None, "{version}");
    }
}

#[test]
fn the_same_specification_makes_the_same_objects_and_another_one_others() {
    let hash = |more: Value| {
        let wanted = made(&connect(more));
        let annotations = &wanted.deployment["metadata"]["annotations"];
        annotations[HASH_ANNOTATION].as_str().unwrap().to_owned()
    };
    let usual = hash(json!({}));
    assert_eq!(usual, hash(json!({})));
    for more in [
        json!({"server": {"memory": "2g"}}),
        // What only executors read begins anew with another server.
        json!({"executor": {"template": {"spec": {"nodeSelector": {"disk": "ssd"}}}}}),
        json!({"sparkConf": {"spark.sql.shuffle.partitions": "8"}}),
        json!({"access": {"token": {}}}),
    ] {
        assert_ne!(usual, hash(more.clone()), "{more}");
    }
    // The network changes without another server.
    assert_eq!(usual, hash(json!({"access": {"networkPolicy": {}}})));
}

#[test]
fn a_token_is_in_no_object() {
    let connect =
        connect(json!({"access": {"token": {"secretKeyRef": {"name": "s", "key": "k"}}}}));
    let wanted = made(&connect);
    assert_eq!(wanted.token, None, "the user makes it");
    let container = &wanted.deployment["spec"]["template"]["spec"]["containers"][0];
    let variables = container["env"].as_array().unwrap();
    let token = variables
        .iter()
        .find(|it| it["name"] == "SPARK_CONNECT_AUTHENTICATE_TOKEN");
    assert_eq!(
        token.unwrap()["valueFrom"]["secretKeyRef"],
        json!({"name": "s", "key": "k"})
    );
}
