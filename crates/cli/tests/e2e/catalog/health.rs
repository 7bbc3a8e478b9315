//! A role with a check of each kind, of which one does not hold at first: with a server of gRPC that people use.

use std::fs;
use std::process::{Child, Command};

use serde_json::{Value, json};

use crate::common::root;
use crate::real::eventually;

/// The version of Spark whose client brings the library for gRPC along.
const WITH_GRPC: &str = "4.3.0";

/// The file that one of the checks wants.
const CONFIGURE: &str = "#!/bin/sh\ntouch /opt/fine\n";

#[test]
fn a_member_is_ready_when_every_check_of_its_services_holds() {
    let Some(up) = super::embedded() else { return };
    let python = ::windlass::sparks::cache().join(format!("spark/{WITH_GRPC}/bin/python3"));
    assert!(
        fs::exists(&python).unwrap(),
        "make e2e-apps installs Spark {WITH_GRPC}"
    );
    let folder = tempfile::tempdir().unwrap();
    let package = folder.path().join("checks");
    fs::create_dir(&package).unwrap();
    fs::write(package.join("startscript"), CONFIGURE).unwrap();
    let archive = folder.path().join("checks.tgz");
    let packed = Command::new("tar")
        .args(["-C", &folder.path().display().to_string(), "-czf"])
        .arg(&archive)
        .arg("checks")
        .status();
    assert!(packed.unwrap().success());
    let from = format!("--from-file=checks.tgz={}", archive.display());
    up.kubectl_ok(&["create", "configmap", "checks-setup", &from]);
    up.apply(&app());
    up.apply(&cluster());
    let pod = eventually("the member to be set up", || {
        let cluster = up.get(&["kubedirectorcluster", "checks"])?;
        let member = &cluster["status"]["roles"][0]["members"][0];
        let pod = member["pod"].as_str()?.to_owned();
        (member["state"] == "configured").then_some(pod)
    });

    // What it serves is served beside it, at its address: the library is not in its image.
    let address = up.get(&["pod", &pod]).unwrap()["status"]["podIP"].clone();
    let serving = folder.path().join("serving");
    let _server = Server(
        Command::new(python)
            .arg(root().join("crates/cli/tests/clients/connect/health.py"))
            .arg(address.as_str().unwrap())
            .arg(&serving)
            .spawn()
            .unwrap(),
    );
    // All but one hold, and the event names that one.
    let told = eventually("an event about the check that does not hold", || {
        let events = up.get(&["events"])?;
        let events = events["items"].as_array()?.clone();
        let mut told = events.iter().filter_map(|it| it["message"].as_str());
        let told = told.find(|it| it.ends_with("failed: rpc: gRPC says of data: NOT_SERVING"))?;
        Some(told.to_owned())
    });
    eprintln!("{told}");
    assert_eq!(is_ready(&up.get(&["pod", &pod]).unwrap()), "False");
    fs::write(&serving, "").unwrap();
    eventually("the member to be ready", || {
        (is_ready(&up.get(&["pod", &pod])?) == "True").then_some(())
    });

    // One that holds no more is named, too.
    up.kubectl_ok(&["exec", &pod, "--", "rm", "/opt/fine"]);
    eventually("the member to be ready no more", || {
        (is_ready(&up.get(&["pod", &pod])?) == "False").then_some(())
    });
    let events = up.kubectl_ok(&["get", "events", "-o", "jsonpath={.items[*].message}"]);
    assert!(
        events.contains("failed: file: test ended with 1"),
        "{events}"
    );
    let restarts = &up.get(&["pod", &pod]).unwrap()["status"]["containerStatuses"][0];
    assert_eq!(restarts["restartCount"], 0);
}

/// Ends with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn is_ready(pod: &Value) -> String {
    let conditions = pod["status"]["conditions"].as_array();
    let mut conditions = conditions.into_iter().flatten();
    let ready = conditions.find(|it| it["type"] == "Ready");
    let ready = ready.and_then(|it| it["status"].as_str());
    ready.unwrap_or_default().to_owned()
}

fn app() -> Value {
    let service = |id: &str, port: u16, check: Value| {
        let mut check = check;
        check["periodSeconds"] = json!(1);
        check["failureThreshold"] = json!(2);
        json!({
            "id": id, "label": { "name": id },
            "endpoint": { "port": port, "healthCheck": check },
        })
    };
    json!({
        "apiVersion": "kubedirector.hpe.com/v1beta1", "kind": "KubeDirectorApp",
        "metadata": { "name": "checks" },
        "spec": {
            "label": { "name": "Checks" }, "distroID": "test/checks", "version": "1",
            "configSchemaVersion": 7,
            "defaultImageRepoTag": "local/host:latest",
            "defaultConfigPackage": {
                "packageURL": "configmap://checks-setup/checks.tgz", "useNewSetupLayout": true,
            },
            "services": [
                service("port", 7001, json!({ "tcp": {} })),
                service("page", 7002, json!({ "http": { "path": "/health" } })),
                service("rpc", 7003, json!({ "grpc": { "service": "data" } })),
                service("file", 7004, json!({ "exec": { "command": ["test", "-e", "/opt/fine"] } })),
            ],
            "roles": [{ "id": "node", "cardinality": "1", "containerSpec": { "idle": true } }],
            "config": {
                "selectedRoles": ["node"],
                "roleServices": [
                    { "roleID": "node", "serviceIDs": ["port", "page", "rpc", "file"] },
                ],
            },
        },
    })
}

fn cluster() -> Value {
    json!({
        "apiVersion": "kubedirector.hpe.com/v1beta1", "kind": "KubeDirectorCluster",
        "metadata": { "name": "checks" },
        "spec": {
            "app": "checks", "namingScheme": "CrNameRole", "serviceType": "ClusterIP",
            "roles": [{
                "id": "node", "members": 1,
                "resources": { "limits": { "memory": "256Mi", "cpu": "500m" } },
            }],
        },
    })
}
