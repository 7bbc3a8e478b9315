//! Teams of one cluster work in namespaces of their own, and reach nothing of each other.

use std::time::Duration;

use serde_json::{Value, json};

use crate::common::{Answer, Up, until};

const PATIENCE: Duration = Duration::from_mins(2);

/// Somebody of the team of this name.
fn person(team: &str) -> [String; 2] {
    [format!("--as={team}-person"), format!("--as-group={team}")]
}

/// The account of the drivers of this team.
fn driver(team: &str) -> [String; 1] {
    [format!("--as=system:serviceaccount:{team}:spark")]
}

fn kubectl(up: &Up, who: &[String], line: &str) -> Answer {
    let mut arguments: Vec<&str> = who.iter().map(String::as_str).collect();
    arguments.extend(line.split_whitespace());
    let output = up.kubectl(&arguments).output();
    output.expect("kubectl is installed").into()
}

fn apply_as(up: &Up, who: &[String], object: &Value) {
    let mut arguments = vec!["apply", "-f", "-"];
    arguments.extend(who.iter().map(String::as_str));
    up.kubectl_with(&arguments, &object.to_string());
}

fn secret(team: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": "keys", "namespace": team},
        "stringData": {"key": format!("of {team}")},
    })
}

/// A job that says whose it is.
fn job(team: &str) -> Value {
    json!({
        "apiVersion": "sparkoperator.k8s.io/v1beta2", "kind": "SparkApplication",
        "metadata": {"name": "job", "namespace": team},
        "spec": {
            "type": "Python", "mode": "cluster", "sparkVersion": "4.3.0", "image": "local/host:latest",
            "mainApplicationFile": "local:///opt/job.py",
            "driver": {
                "cores": 1, "coreRequest": "10m", "memory": "64m", "memoryOverhead": "64m",
                "template": {"spec": {"containers": [{
                    "name": "spark-kubernetes-driver",
                    "command": ["sh", "-c", format!("echo a job of {team}"), "driver"],
                }]}},
            },
            "executor": {"instances": 1, "cores": 1, "memory": "512m"},
        },
    })
}

#[test]
fn people_of_a_team_run_jobs_in_their_namespace_and_reach_nothing_of_another_team() {
    let up = Up::start();
    for team in ["ada", "grace"] {
        let answer = up.windlass(&[
            "tenant",
            "create",
            team,
            "--group",
            team,
            "--quota",
            "cpu=4,memory=8Gi,pods=20,windlass.dev/running=2",
            "--apply",
        ]);
        assert_eq!(answer.code, 0, "{}", answer.stderr);
        let applied = "NetworkPolicy windlass-tenant applied";
        assert!(answer.stdout.contains(applied), "{}", answer.stdout);
    }

    for team in ["ada", "grace"] {
        apply_as(&up, &person(team), &secret(team));
        apply_as(&up, &person(team), &job(team));
    }
    for team in ["ada", "grace"] {
        until(&format!("the job of {team} to end"), PATIENCE, || {
            let job = up.get(&["sparkapplication", "job", "-n", team])?;
            (job["status"]["applicationState"]["state"] == "COMPLETED").then_some(())
        });
        let log = kubectl(&up, &person(team), &format!("logs -n {team} job-driver"));
        assert_eq!(log.code, 0, "{}", log.stderr);
        assert!(
            log.stdout.contains(&format!("a job of {team}")),
            "{}",
            log.stdout
        );
    }
    let driver_pod = up
        .get(&["pod", "job-driver", "-n", "ada"])
        .expect("it is kept");
    assert_eq!(driver_pod["spec"]["serviceAccountName"], "spark");

    for (who, name) in [
        (person("grace").to_vec(), "a person"),
        (driver("grace").to_vec(), "a driver"),
    ] {
        for line in [
            "get secret keys -n ada",
            "get secrets -n ada",
            "get secrets -A",
            "get configmaps -n ada",
            "get serviceaccounts -n ada",
            "create token spark -n ada",
            "logs -n ada job-driver",
            "exec -n ada job-driver -- true",
            "get pods -n ada",
            "delete pod -n ada job-driver",
            "get sparkapplications -n ada",
            "delete sparkapplication -n ada job",
            "get sparkapplications -A",
            // Nor do they get out by way of their own namespace.
            "create token spark -n grace",
            "create rolebinding all -n grace --clusterrole=cluster-admin --user=grace-person",
            "create clusterrolebinding all --clusterrole=cluster-admin --user=grace-person",
            "delete resourcequota windlass-tenant -n grace",
            "delete networkpolicy windlass-tenant -n grace",
            "label namespace grace pod-security.kubernetes.io/enforce=privileged --overwrite",
            "delete namespace ada",
        ] {
            let answer = kubectl(&up, &who, line);
            assert_ne!(answer.code, 0, "{name}: {line}: {}", answer.stdout);
            assert!(
                answer.stderr.contains("forbidden"),
                "{name}: {line}: {}",
                answer.stderr
            );
        }
    }

    // More pods than the team may have.
    let answer = up.windlass(&[
        "tenant", "create", "ada", "--group", "ada", "--quota", "pods=0", "--apply",
    ]);
    assert_eq!(answer.code, 0, "{}", answer.stderr);
    let answer = kubectl(
        &up,
        &person("ada"),
        "run one -n ada --image=local/host:latest",
    );
    assert!(
        answer.stderr.contains("exceeded quota: windlass-tenant"),
        "{}",
        answer.stderr
    );
}
