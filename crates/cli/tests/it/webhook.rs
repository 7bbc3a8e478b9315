//! The operator's webhook, asked by the embedded API server through a Service.

use std::net::TcpListener;
use std::process::{Child, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::common::{Answer, Up, until, windlass, write};

const PATIENCE: Duration = Duration::from_secs(30);
const HOME: &str = "windlass-system";

struct Operator(Child);

impl Drop for Operator {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn mistakes_are_told_before_they_are_stored_and_pods_get_what_they_ask_for() {
    let (up, operator, _) = served();

    let bad = application("bad", &json!({"memory": "much"}));
    let refused = refusal(&up, &bad);
    let expected =
        "admission webhook \"validate.windlass.dev\" denied the request: spec.driver.memory";
    assert!(refused.contains(expected), "{refused}");
    assert!(up.get(&["sparkapplication", "bad"]).is_none());
    let good = create(&up, &application("good", &json!({"memory": "512m"})));
    assert_eq!(good.code, 0, "{}", good.stderr);

    let bad_server = server("bad", &json!({"memory": "much"}));
    let refused = create(&up, &bad_server);
    let expected =
        "admission webhook \"validate.windlass.dev\" denied the request: spec.server.memory";
    assert!(refused.stderr.contains(expected), "{refused:?}");
    assert!(up.get(&["sparkconnect", "bad"]).is_none());
    let good = create(&up, &server("good", &json!({"memory": "512m"})));
    assert_eq!(good.code, 0, "{}", good.stderr);
    up.kubectl_ok(&["delete", "sparkconnect", "good"]);

    let pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "mine",
            "labels": {"spark-role": "driver"},
            "annotations": {"spark-operator.k8s.io/configMap.tables": "/opt/tables"},
        },
        "spec": {"containers": [{"name": "spark-kubernetes-driver", "image": "spark:none"}]},
    });
    assert_eq!(create(&up, &pod).code, 0);
    let made = up.get(&["pod", "mine"]).unwrap();
    let mounts = made["spec"]["containers"][0]["volumeMounts"].as_array();
    let asked_for = json!({"name": "tables-vol", "mountPath": "/opt/tables"});
    assert!(mounts.unwrap().contains(&asked_for), "{made:#}");

    // Without the webhook everything goes on; its status tells what is wrong.
    drop(operator);
    let answer = create(&up, &bad);
    assert_eq!(answer.code, 0, "{}", answer.stderr);
    until("the operator to tell what is wrong", PATIENCE, || {
        let app = up.get(&["sparkapplication", "bad"])?;
        let message = app["status"]["applicationState"]["errorMessage"].as_str()?;
        message.contains("spec.driver.memory").then_some(())
    });
    let answer = create(&up, &bad_server);
    assert_eq!(answer.code, 0, "{}", answer.stderr);
    until("the operator to tell what is wrong", PATIENCE, || {
        let server = up.get(&["sparkconnect", "bad"])?;
        let told = server["status"]["conditions"].to_string();
        told.contains("spec.server.memory").then_some(())
    });
}

#[test]
fn certificates_are_kept_in_a_secret_and_one_that_is_damaged_is_made_anew() {
    let (up, _operator, first) = served();
    let secret = ["-n", HOME, "secret", "windlass-webhook"];
    let data = up.get(&secret).unwrap()["data"].clone();
    assert_eq!(data["ca.crt"], first);
    let damage = r#"{"data": {"tls.key": "bm9uZQ=="}}"#;
    up.kubectl_ok(&[
        "-n",
        HOME,
        "patch",
        "secret",
        "windlass-webhook",
        "-p",
        damage,
    ]);
    until("another authority to be published", PATIENCE, || {
        let now = up.get(&secret)?["data"]["ca.crt"].clone();
        (now != first && authorities(&up).iter().all(|it| *it == now)).then_some(())
    });
    let bad = application("bad", &json!({"memory": "much"}));
    refusal(&up, &bad);
}

#[test]
fn applications_of_the_first_operator_are_judged_where_their_api_is_served() {
    let up = Up::with("--original-api");
    let (up, _operator, _) = served_on(up, &["--original-api"]);
    let original = |name: &str, mode: &str| {
        json!({
            "apiVersion": "spark-operator.k8s.io/v1alpha1",
            "kind": "SparkApplication",
            "metadata": {"name": name},
            "spec": {
                "type": "Python",
                "mode": mode,
                "mainApplicationFile": "local:///opt/job.py",
                "driver": {"image": "registry.example.com/spark:4.3.0"},
                "executor": {"image": "registry.example.com/spark:4.3.0", "instances": 1},
            },
        })
    };
    let refused = refusal(&up, &original("bad", "client"));
    let expected = "admission webhook \"validate.windlass.dev\" denied the request: spec.mode";
    assert!(refused.contains(expected), "{refused}");
    let good = create(&up, &original("good", "cluster"));
    assert_eq!(good.code, 0, "{}", good.stderr);
}

#[test]
fn virtual_clusters_are_judged_and_stored_with_their_defaults_where_they_are_operated() {
    let up = Up::with("--virtual-clusters");
    let (up, _operator, _) = served_on(up, &["--virtual-clusters"]);
    let cluster = |members: u32| {
        json!({
            "apiVersion": "kubedirector.hpe.com/v1beta1",
            "kind": "KubeDirectorCluster",
            "metadata": {"name": "db"},
            "spec": {"app": "db", "roles": [{
                "id": "seed", "members": members,
                "resources": {"limits": {"memory": "64Mi", "cpu": "100m"}},
            }]},
        })
    };
    let refused = until("the webhook to refuse", PATIENCE, || {
        let answer = create(&up, &cluster(1));
        if answer.code == 0 {
            up.kubectl_ok(&["delete", "kubedirectorcluster", "db"]);
        }
        let is_refused = answer.stderr.contains("denied the request");
        is_refused.then_some(answer.stderr)
    });
    let expected =
        "admission webhook \"admit-virtual-clusters.windlass.dev\" denied the request: spec.app";
    assert!(refused.contains(expected), "{refused}");
    let app = json!({
        "apiVersion": "kubedirector.hpe.com/v1beta1",
        "kind": "KubeDirectorApp",
        "metadata": {"name": "db"},
        "spec": {
            "label": {"name": "Database"}, "distroID": "example/db", "version": "1",
            "configSchemaVersion": 8, "defaultImageRepoTag": "local/none:1",
            "roles": [{"id": "seed", "cardinality": "1+"}],
            "config": {"selectedRoles": ["seed"], "roleServices": []},
        },
    });
    assert_eq!(create(&up, &app).code, 0);
    let stored = up.get(&["kubedirectorapp", "db"]).unwrap();
    assert_eq!(stored["spec"]["roles"][0]["imageRepoTag"], "local/none:1");
    let refused = create(&up, &cluster(0));
    assert!(
        refused.stderr.contains("spec.roles[0].members: 0"),
        "{refused:?}"
    );
    let good = create(&up, &cluster(1));
    assert_eq!(good.code, 0, "{}", good.stderr);
    let stored = up.get(&["kubedirectorcluster", "db"]).unwrap();
    assert_eq!(stored["spec"]["appCatalog"], "local");
    let deleted = up.kubectl(&["delete", "kubedirectorapp", "db"]).output();
    let deleted: Answer = deleted.unwrap().into();
    assert!(
        deleted.stderr.contains("in use by default/db"),
        "{deleted:?}"
    );
    up.kubectl_ok(&["delete", "kubedirectorcluster", "db"]);
    up.kubectl_ok(&["delete", "kubedirectorapp", "db"]);
}

/// A cluster whose API server asks the webhook of an operator, and the authority it believes.
fn served() -> (Up, Operator, Value) {
    served_on(Up::start(), &[])
}

/// The same of a cluster that is up, with these arguments of install.
fn served_on(up: Up, arguments: &[&str]) -> (Up, Operator, Value) {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    install(&up, port, arguments);
    let operator = start(&up, port, arguments);
    let authority = has_authority(&up);
    (up, operator, authority)
}

/// What is said of an object that the webhook refuses, once it is asked.
fn refusal(up: &Up, object: &Value) -> String {
    until("the webhook to refuse", PATIENCE, || {
        let answer = create(up, object);
        if answer.code == 0 {
            // The configuration is not in force yet.
            up.kubectl_ok(&["delete", "sparkapplication", "bad"]);
        }
        let is_refused = answer.stderr.contains("denied the request");
        is_refused.then_some(answer.stderr)
    })
}

/// What `windlass install --webhook` prints of it; the Service leads to this machine.
fn install(up: &Up, port: u16, arguments: &[&str]) {
    let everywhere = arguments.contains(&"--virtual-clusters");
    let place: &[&str] = if everywhere {
        &[]
    } else {
        &["--job-namespaces", "default"]
    };
    let printed = windlass(&[&["install", "--webhook"], place, arguments].concat());
    assert_eq!(printed.code, 0, "{}", printed.stderr);
    let objects = windlass_api::parse::objects(&printed.stdout).unwrap();
    for mut object in objects {
        let kind = object["kind"].as_str().unwrap().to_owned();
        if kind == "Service" {
            object["spec"].as_object_mut().unwrap().remove("selector");
        } else if !kind.ends_with("WebhookConfiguration") {
            continue;
        }
        up.apply(&object);
    }
    up.apply(&json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": "windlass-webhook",
            "namespace": HOME,
            "labels": {"kubernetes.io/service-name": "windlass-webhook"},
        },
        "addressType": "IPv4",
        "ports": [{"name": "webhook", "port": port}],
        "endpoints": [{"addresses": ["127.0.0.1"], "conditions": {"ready": true}}],
    }));
}

/// An operator that stands by, and serves the webhook all the same.
fn start(up: &Up, port: u16, told: &[&str]) -> Operator {
    let kubeconfig = up.data.path().join("kubeconfig").display().to_string();
    let listen = format!("127.0.0.1:{port}");
    let arguments = [
        "operator",
        "--kubeconfig",
        &kubeconfig,
        "--listen",
        "127.0.0.1:0",
        "--webhook-listen",
        &listen,
    ];
    let mut command = up.command(&[&arguments[..], told].concat());
    let log = std::fs::File::create(up.data.path().join("operator.log")).unwrap();
    Operator(command.stdout(Stdio::null()).stderr(log).spawn().unwrap())
}

/// Waits until both configurations know an authority.
fn has_authority(up: &Up) -> Value {
    until(
        "the configurations to be told the authority",
        PATIENCE,
        || {
            let told = authorities(up);
            let all = told.len() == 2 && told[0] == told[1] && told[0].is_string();
            all.then(|| told[0].clone())
        },
    )
}

fn authorities(up: &Up) -> Vec<Value> {
    let name = format!("{HOME}-webhook");
    [
        "mutatingwebhookconfiguration",
        "validatingwebhookconfiguration",
    ]
    .iter()
    .filter_map(|kind| {
        let found = up.get(&[kind, &name])?;
        Some(found["webhooks"][0]["clientConfig"]["caBundle"].clone())
    })
    .collect()
}

fn application(name: &str, driver: &Value) -> Value {
    json!({
        "apiVersion": "sparkoperator.k8s.io/v1beta2",
        "kind": "SparkApplication",
        "metadata": {"name": name},
        "spec": {
            "type": "Python",
            "mode": "cluster",
            "sparkVersion": "4.3.0",
            "image": "spark:none",
            "mainApplicationFile": "local:///opt/job.py",
            "driver": driver,
            "executor": {"instances": 1, "memory": "512m"},
        },
    })
}

fn server(name: &str, server: &Value) -> Value {
    json!({
        "apiVersion": "sparkoperator.k8s.io/v1alpha1",
        "kind": "SparkConnect",
        "metadata": {"name": name},
        "spec": {
            "sparkVersion": "4.3.0",
            "image": "spark:none",
            "server": server,
            "executor": {"instances": 1, "memory": "512m"},
            "suspend": true,
        },
    })
}

fn create(up: &Up, object: &Value) -> Answer {
    let file = write(up.data.path(), "object.json", &object.to_string());
    up.kubectl(&["create", "-f", &file])
        .output()
        .unwrap()
        .into()
}
