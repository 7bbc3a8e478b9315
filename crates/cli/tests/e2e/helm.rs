//! The chart, by Helm itself: it has the content of `windlass install`, and Helm installs, upgrades
//! and removes it on an embedded cluster.

use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::common::{Answer, Up, root, windlass};

/// Helm, built by hack/setup.sh before.
pub(crate) fn helm() -> PathBuf {
    let script = root().join("hack/helm.sh");
    let output = Command::new(script).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
}

fn chart() -> String {
    root().join("deploy/chart").display().to_string()
}

#[test]
fn the_chart_has_the_content_of_what_install_prints() {
    let policy = root().join("examples/policies/operator.yaml");
    let policy = policy.display().to_string();
    let policy_value = format!("policy={policy}");
    let cases: [(&[&str], &[&str]); 21] = [
        (&[], &[]),
        (
            &["--job-namespaces", "etl,ml"],
            &["--set", "jobNamespaces={etl,ml}"],
        ),
        (&["--webhook"], &["--set", "webhook=true"]),
        (
            &["--webhook", "--job-namespaces", "etl,ml"],
            &["--set", "webhook=true,jobNamespaces={etl,ml}"],
        ),
        (
            &["--webhook", "--cert-manager"],
            &["--set", "webhook=true,certManager=true"],
        ),
        (
            &[
                "--webhook",
                "--cert-manager",
                "--cert-manager-issuer",
                "ClusterIssuer/company.ca",
                "--job-namespaces",
                "etl,ml",
            ],
            &[
                "--set",
                "webhook=true,certManager=true,certManagerIssuer=ClusterIssuer/company.ca,jobNamespaces={etl,ml}",
            ],
        ),
        (
            &["--ui-gateway", "edge/shared", "--pod-monitors"],
            &["--set", "gateway=edge/shared,podMonitors=true"],
        ),
        (
            &["--ui-gateway", "edge/shared", "--job-namespaces", "etl,ml"],
            &["--set", "gateway=edge/shared,jobNamespaces={etl,ml}"],
        ),
        (
            &[
                "--namespace-selector",
                "team in (etl,ml),!old",
                "--webhook",
                "--pod-monitors",
            ],
            &[
                "--set",
                "webhook=true,podMonitors=true",
                "--set-json",
                r#"namespaceSelector={"matchExpressions":[{"key":"team","operator":"In","values":["etl","ml"]},{"key":"old","operator":"DoesNotExist"}]}"#,
            ],
        ),
        (
            &["--selector", "release=next,tier!=test,owned", "--webhook"],
            &[
                "--set",
                "webhook=true",
                "--set-json",
                r#"selector={"matchExpressions":[{"key":"release","operator":"In","values":["next"]},{"key":"tier","operator":"NotIn","values":["test"]},{"key":"owned","operator":"Exists"}]}"#,
            ],
        ),
        (
            &["--selector", "release=next", "--job-namespaces", "etl,ml"],
            &[
                "--set",
                "jobNamespaces={etl,ml},selector.matchLabels.release=next",
            ],
        ),
        (
            &["--policy", &policy, "--webhook", "--cert-manager"],
            &[
                "--set",
                "webhook=true,certManager=true",
                "--set-file",
                &policy_value,
            ],
        ),
        (
            &[
                "--original-api",
                "--original-image",
                "apache/spark:4.3.0",
                "--webhook",
                "--",
                "--max-running=3",
            ],
            &[
                "--set",
                "originalApi=true,originalImage=apache/spark:4.3.0,webhook=true,arguments={--max-running=3}",
            ],
        ),
        (
            &["--virtual-clusters", "--original-kubedirector"],
            &["--set", "virtualClusters=true,originalKubedirector=true"],
        ),
        (
            &[
                "--virtual-clusters",
                "--webhook",
                "--selector",
                "release=next",
            ],
            &[
                "--set",
                "virtualClusters=true,webhook=true",
                "--set-json",
                r#"selector={"matchExpressions":[{"key":"release","operator":"In","values":["next"]}]}"#,
            ],
        ),
        (
            &[
                "--virtual-clusters",
                "--webhook",
                "--cert-manager",
                "--namespace-selector",
                "team=etl",
            ],
            &[
                "--set",
                "virtualClusters=true,webhook=true,certManager=true",
                "--set-json",
                r#"namespaceSelector={"matchExpressions":[{"key":"team","operator":"In","values":["etl"]}]}"#,
            ],
        ),
        (
            &["--storage", "--keep-logs", "objectstore/platform/logs"],
            &["--set", "storage=true,keepLogs=objectstore/platform/logs"],
        ),
        (
            &[
                "--keep-logs-claim",
                "spark-logs",
                "--selector",
                "release=next",
            ],
            &[
                "--set",
                "keepLogsClaim=spark-logs,selector.matchLabels.release=next",
            ],
        ),
        (
            &[
                "--keep-logs-claim",
                "spark-logs",
                "--job-namespaces",
                "etl,ml",
            ],
            &["--set", "keepLogsClaim=spark-logs,jobNamespaces={etl,ml}"],
        ),
        (
            &["--registry", "registry.example/data", "--replicas", "3"],
            &["--set", "registry=registry.example/data,replicas=3"],
        ),
        (
            &["--image", "registry.example/windlass@sha256:0a"],
            &["--set", "image=registry.example/windlass@sha256:0a"],
        ),
    ];
    let chart = chart();
    for (arguments, values) in cases {
        let home = ["--namespace", "windlass-system"];
        let installed = windlass(&[&["install"], &home[..], arguments].concat());
        assert_eq!(installed.code, 0, "{}", installed.stderr);
        let template = [&["template", "windlass", &chart], &home[..], values].concat();
        assert_eq!(
            sorted(&run(&template).stdout),
            sorted(&installed.stdout),
            "{values:?}"
        );
    }
}

#[test]
fn the_chart_passes_helms_own_checks_and_refuses_wrong_values() {
    run(&["lint", "--strict", &chart()]);
    for (values, field) in [
        ("jobNamespaces={No Name}", "jobNamespaces"),
        ("namespaceSelector.team=etl", "namespaceSelector"),
        (
            "jobNamespaces={etl},namespaceSelector.matchLabels.team=etl",
            "exclude each other",
        ),
        ("keepLogs=/var/lib/logs", "keepLogs"),
        ("keepLogs=objectstore/a/b", "storage"),
        (
            "jobNamespaces={etl},virtualClusters=true",
            "exclude each other",
        ),
    ] {
        let arguments = ["template", "w", &chart(), "--set", values];
        let refused: Answer = Command::new(helm())
            .args(arguments)
            .output()
            .unwrap()
            .into();
        assert_ne!(refused.code, 0, "{values}");
        assert!(refused.stderr.contains(field), "{}", refused.stderr);
    }
    let further = [
        "template",
        "w",
        &chart(),
        "--set",
        "arguments={--silent-node-deadline=60}",
    ];
    let objects = sorted(&run(&further).stdout);
    let deployment = objects.iter().find(|it| it["kind"] == "Deployment");
    let container = &deployment.unwrap()["spec"]["template"]["spec"]["containers"][0];
    let arguments = container["args"].as_array().unwrap();
    assert!(
        arguments.contains(&json!("--silent-node-deadline=60")),
        "{container:#}"
    );
}

#[test]
fn helm_installs_upgrades_and_removes_the_chart_on_an_embedded_cluster() {
    let up = Up::start();
    let kubeconfig = up.data.path().join("kubeconfig").display().to_string();
    // The embedded cluster has the definitions and the drivers' account, which are nobody's release.
    let release = [
        "windlass",
        "--namespace",
        "tools",
        "--kubeconfig",
        &kubeconfig,
    ];
    let chart = chart();
    up.kubectl_ok(&["create", "namespace", "team"]);
    let install = [
        &["install"],
        &release[..],
        &[
            &chart,
            "--create-namespace",
            "--take-ownership",
            "--force-conflicts",
            "--set",
            "jobNamespaces={team}",
        ],
    ];
    run(&install.concat());
    let deployment = ["-n", "tools", "deployment", "windlass-operator"];
    assert_eq!(up.get(&deployment).unwrap()["spec"]["replicas"], 1);
    let role = ["-n", "team", "role", "windlass-spark-operator"];
    assert!(up.get(&role).is_some());

    let upgrade = [
        &["upgrade"],
        &release[..],
        &[&chart, "--reuse-values", "--set", "replicas=2"],
    ];
    run(&upgrade.concat());
    assert_eq!(up.get(&deployment).unwrap()["spec"]["replicas"], 2);

    run(&[&["uninstall"], &release[..], &["--wait"]].concat());
    assert!(up.get(&deployment).is_none());
    assert!(up.get(&role).is_none());
    let definition = [
        "customresourcedefinition",
        "sparkapplications.sparkoperator.k8s.io",
    ];
    assert!(up.get(&definition).is_some());
}

fn run(arguments: &[&str]) -> Answer {
    let answer: Answer = Command::new(helm())
        .args(arguments)
        .output()
        .unwrap()
        .into();
    assert_eq!(answer.code, 0, "{arguments:?}: {}", answer.stderr);
    answer
}

/// The objects of a text, but for what is Helm's alone: it makes the namespace, and is told to keep
/// the definitions.
fn sorted(text: &str) -> Vec<Value> {
    let mut objects = windlass_api::parse::objects(text).unwrap();
    objects.retain(|object| object["kind"] != "Namespace");
    for object in &mut objects {
        let Some(metadata) = object["metadata"].as_object_mut() else {
            continue;
        };
        let Some(annotations) = metadata
            .get_mut("annotations")
            .and_then(Value::as_object_mut)
        else {
            continue;
        };
        annotations.remove("helm.sh/resource-policy");
        if annotations.is_empty() {
            metadata.remove("annotations");
        }
    }
    let name = |object: &Value| {
        let metadata = &object["metadata"];
        format!(
            "{} {} {}",
            object["kind"], metadata["namespace"], metadata["name"]
        )
    };
    objects.sort_by_key(name);
    objects
}
