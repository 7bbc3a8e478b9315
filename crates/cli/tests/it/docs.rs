//! The documents keep their word: every command they show is run, and every example is accepted.
//!
//! The commands of one document are one shell session of an ordinary user, on a machine whose
//! Spark is a script. What cannot be run there is listed with the reason, and the list is checked
//! as well.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use clap::Args as _;
use windlass::args::OperatorArgs;

use crate::common::{Answer, root, shell_lines, windlass};
use crate::machine::Machine;

/// The documents whose commands are run.
const DOCUMENTS: [&str; 15] = [
    "README.md",
    "docs/run.md",
    "docs/applications.md",
    "docs/operate.md",
    "docs/logs.md",
    "docs/schedules.md",
    "docs/connect.md",
    "docs/queues.md",
    "docs/policy.md",
    "docs/compatibility.md",
    "docs/exposure.md",
    "docs/monitoring.md",
    "docs/original-api.md",
    "docs/tenants.md",
    "docs/storage.md",
];

/// Commands that are shown and not run here, each with the reason.
const ELSEWHERE: &[(&str, &str)] = &[
    ("make demo", "it is run by hand and by whoever reads"),
    ("make install", "it would change the user's home"),
    ("make test", "this is a part of it"),
    ("hack/setup.sh 3.5", "it would fetch a whole Spark"),
    (
        "windlass run -f examples/configmap.yaml --progress off",
        REAL_SPARK,
    ),
    ("windlass run -f app.yaml --context prod", REAL_CLUSTER),
    ("windlass warm", REAL_SPARK),
    (
        "windlass install --original-api | kubectl apply -f -",
        REAL_CLUSTER,
    ),
    ("windlass cloud --context prod", REAL_CLUSTER),
    (
        "windlass install --storage | kubectl apply -f -",
        REAL_CLUSTER,
    ),
    ("hack/setup.sh --clients", "it would fetch all clients"),
    ("windlass connect sql", REAL_SPARK),
    ("windlass connect sql -- query.py 2026", REAL_SPARK),
    ("windlass connect sql --print", REAL_SPARK),
    (
        "kubectl apply -f deploy/monitoring/podmonitor.yaml",
        "it needs the Prometheus operator; a test compares it with what install prints",
    ),
    (
        "promtool check rules deploy/monitoring/alerts.yaml",
        PROMTOOL,
    ),
    (
        "promtool test rules deploy/monitoring/alerts_test.yaml",
        PROMTOOL,
    ),
    (
        "windlass ui spark-pi",
        "it needs a real Spark; another test has one",
    ),
    ("windlass forward spark-pi", RUNNING_JOB),
    ("kubectl port-forward spark-pi-driver 4040", RUNNING_JOB),
    ("kubectl exec -it spark-pi-driver -- bash", RUNNING_JOB),
];
const PROMTOOL: &str = "the tests of metrics run it, where it is";
const REAL_SPARK: &str = "it needs a real Spark; the long tests run it";
const REAL_CLUSTER: &str = "it needs a cluster of other machines; the long tests run it";
const RUNNING_JOB: &str = "it needs a job that still runs; other tests have one";

#[test]
fn every_command_of_the_documents_does_what_it_says() {
    let mut unused: Vec<&str> = ELSEWHERE.iter().map(|(command, _)| *command).collect();
    for document in DOCUMENTS {
        let text = fs::read_to_string(root().join(document)).unwrap();
        let mut session = String::from("set -euo pipefail\n");
        for command in shell_lines(&text) {
            if ELSEWHERE.iter().any(|(listed, _)| *listed == command) {
                unused.retain(|listed| *listed != command);
                continue;
            }
            // Other clusters of this machine may have the usual port.
            let command = command.replace("windlass up --detach", "windlass up --detach --port 0");
            session.push_str(&format!(
                "echo '+ {}'\n{command}\n",
                command.replace('\'', "")
            ));
        }
        let answer = on_a_machine(&session);
        assert_eq!(
            answer.code, 0,
            "{document}:\n{session}\n{}\n{}",
            answer.stdout, answer.stderr
        );
    }
    assert!(unused.is_empty(), "shown nowhere: {unused:?}");
}

#[test]
fn every_example_is_accepted_and_can_be_rendered() {
    for entry in fs::read_dir(root().join("examples")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let file = path.display().to_string();
        for command in ["validate", "render"] {
            let answer = windlass(&[command, "-f", &file]);
            assert_eq!(answer.code, 0, "{command} {file}: {}", answer.stderr);
            assert_eq!(answer.stderr, "", "{command} {file}");
        }
    }
}

#[test]
fn every_policy_of_the_examples_can_be_meant_and_the_examples_follow_it() {
    for file in ["team.yaml", "operator.yaml"] {
        let policy = root().join("examples/policies").join(file);
        let policy = policy.display().to_string();
        let answer = windlass(&["validate", "-f", &policy]);
        assert_eq!(answer.code, 0, "{policy}: {}", answer.stderr);
        let example = root().join("examples/spark-pi.yaml").display().to_string();
        for command in ["validate", "render"] {
            let answer = windlass(&[command, "-f", &example, "--policy", &policy]);
            assert_eq!(answer.code, 0, "{command}: {}", answer.stderr);
        }
    }
}

#[test]
fn every_argument_of_the_operator_and_every_value_of_the_chart_is_in_the_table_of_installing() {
    let text = fs::read_to_string(root().join("docs/install.md")).unwrap();
    let operator = OperatorArgs::augment_args(clap::Command::new("operator"));
    let arguments = operator.get_arguments().filter_map(|it| it.get_long());
    let is_told = |word: &str| {
        let mut rows = text.lines().filter(|line| line.starts_with("| "));
        rows.any(|row| row.contains(&format!("`{word}`")))
    };
    for argument in arguments {
        assert!(is_told(&format!("--{argument}")), "--{argument}");
    }
    // What the operator is not told has no row.
    let others = ["registry", "image", "replicas", "definitions"];
    let values = fs::read_to_string(root().join("deploy/chart/values.yaml")).unwrap();
    let values = values.lines().filter(|line| !line.starts_with('#'));
    for (value, _) in values.filter_map(|line| line.split_once(':')) {
        assert!(others.contains(&value) || is_told(value), "{value}");
    }
}

#[test]
fn every_link_of_the_documents_leads_somewhere() {
    let folder = root();
    let pages = fs::read_dir(folder.join("docs")).unwrap();
    let pages = pages.map(|entry| entry.unwrap().path());
    for page in pages.chain([folder.join("README.md")]) {
        let text = fs::read_to_string(&page).unwrap();
        for link in text.split("](").skip(1) {
            let link = link.split([')', '#']).next().unwrap_or_default();
            if link.is_empty() || link.contains("://") {
                continue;
            }
            let target = page.parent().unwrap().join(link);
            assert!(target.exists(), "{}: {link}", page.display());
        }
    }
}

/// Runs a session in a folder with the files that the documents speak of.
fn on_a_machine(session: &str) -> Answer {
    let machine = Machine::new();
    machine.write("job.py", "import sys; print('arguments', sys.argv[1:])");
    machine.write("app.jar", "");
    fs::create_dir_all(machine.path("examples/policies")).unwrap();
    fs::create_dir_all(machine.path("examples/storage")).unwrap();
    fs::create_dir_all(machine.path("deploy/rbac")).unwrap();
    for folder in [
        "examples",
        "examples/policies",
        "examples/storage",
        "deploy/rbac",
    ] {
        copy_files(&root().join(folder), &machine.path(folder));
    }
    let pi = fs::read_to_string(root().join("examples/spark-pi.yaml")).unwrap();
    machine.write("app.yaml", &pi.replace("name: spark-pi", "name: app"));
    let mut command = machine.command("bash");
    let answer = command.args(["-c", session]).output();
    let answer = answer.expect("bash starts").into();
    machine.windlass(&["down"]);
    answer
}

fn copy_files(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let copy = to.join(path.file_name().unwrap());
            fs::copy(&path, &copy).unwrap();
            fs::set_permissions(&copy, fs::Permissions::from_mode(0o644)).unwrap();
        }
    }
}
