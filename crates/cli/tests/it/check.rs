//! `windlass check` on an embedded cluster, and an operator that finds another one.

use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};

use crate::common::{Answer, Up, until};

const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn check_tells_what_is_well_and_what_is_not() {
    let up = Up::start();
    until("the operator to lead", PATIENCE, || {
        let lease = up.get(&["-n", "windlass-system", "lease", "windlass-operator"])?;
        lease["spec"]["holderIdentity"].is_string().then_some(())
    });
    let well = up.windlass(&["check"]);
    assert_eq!(well.code, 0, "{}{}", well.stdout, well.stderr);
    for line in [
        "Kubernetes v",
        "the operator's account in windlass-system has the rights it needs in the whole cluster",
        "the drivers' account spark has the rights it needs in namespace default",
        "sparkapplications.sparkoperator.k8s.io is the one of this version",
        "windlass-embedded leads",
    ] {
        assert!(well.stdout.contains(line), "{line}: {}", well.stdout);
    }

    // What somebody took away is told by name.
    up.kubectl_ok(&["delete", "role", "windlass-spark-driver"]);
    let fewer = up.windlass(&["check", "-o", "json"]);
    assert_eq!(fewer.code, 3, "{}", fewer.stdout);
    let report: Value = serde_json::from_str(&fewer.stdout).unwrap();
    assert_eq!(report["ready"], false);
    let problems: Vec<&Value> = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|finding| finding["verdict"] == "problem")
        .collect();
    let [problem] = problems[..] else {
        panic!("{problems:?}");
    };
    let what = problem["what"].as_str().unwrap();
    assert!(what.contains("drivers' account spark may not"), "{what}");
    assert!(what.contains("deletecollection"), "{what}");

    let before = up.windlass(&["check", "--pre", "--job-namespaces", "default,not-there"]);
    assert_eq!(before.code, 3, "{}", before.stdout);
    let next = "next: kubectl create namespace not-there";
    assert!(before.stdout.contains(next), "{}", before.stdout);
    assert!(
        before.stdout.contains("you may create"),
        "{}",
        before.stdout
    );
}

#[test]
fn an_operator_does_not_start_beside_one_of_kubeflow() {
    let up = Up::start();
    let kubeconfig = up.data.path().join("kubeconfig").display().to_string();
    let labels = json!({"app": "spark-operator"});
    up.kubectl_ok(&["create", "namespace", "spark"]);
    up.apply(&json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "spark-operator-controller", "namespace": "spark"},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{
                "name": "controller",
                "image": "ghcr.io/kubeflow/spark-operator/controller:2.4.0",
                "args": ["controller", "start", "--namespaces=etl"],
            }]}},
        },
    }));
    let operator = |arguments: &[&str]| {
        let always = [
            "operator",
            "--listen",
            "127.0.0.1:0",
            "--kubeconfig",
            &kubeconfig,
        ];
        up.command(&[&always[..], arguments].concat())
    };
    let refused = operator(&["--namespaces", "etl,ml"]).output().unwrap();
    let refused = Answer::from(refused);
    assert_eq!(refused.code, 3, "{}", refused.stderr);
    let stop = "kubectl --namespace spark scale deployment spark-operator-controller --replicas 0";
    assert!(refused.stderr.contains(stop), "{}", refused.stderr);

    // Where the two have different namespaces, and where its user wants it, it starts.
    for arguments in [&["--namespaces", "ml"][..], &["--beside-other-operators"]] {
        let mut child = operator(arguments).stderr(Stdio::piped()).spawn().unwrap();
        let mut said = std::io::BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        std::io::BufRead::read_line(&mut said, &mut line).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(line.contains(" serves "), "{arguments:?}: {line}");
    }
    let told = up.windlass(&["check", "--pre"]);
    assert!(told.stdout.contains(stop), "{}", told.stdout);
}
