//! A virtual cluster under kubectl, with members that run: set up, told who comes and goes, drained.
//!
//! For root alone: the directories that a setup package writes to are not an ordinary user's.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::common::{Up, root, shell_lines, shell_session, until, write};

/// Nothing here takes longer on a busy machine.
const PATIENCE: Duration = Duration::from_mins(3);

/// Writes down what it is called with.
const STARTSCRIPT: &str = r#"#!/bin/sh
set -e
echo "$@" >>/opt/calls
case "$1" in
    --configure) configcli --get node.role_id >/opt/role ;;
    --leave) echo "$(hostname) leaves" ;;
esac
"#;

const APP: &str = "
apiVersion: kubedirector.hpe.com/v1beta1
kind: KubeDirectorApp
metadata: {name: notes}
spec:
  label: {name: Notes}
  distroID: test/notes
  version: '1'
  configSchemaVersion: 7
  defaultImageRepoTag: local/host:latest
  defaultConfigPackage: {packageURL: 'configmap://notes-setup/notes.tgz', useNewSetupLayout: true}
  services: []
  roles:
    - id: node
      cardinality: 1+
      containerSpec: {idle: true}
      drain: {arguments: [--leave], timeoutSeconds: 60}
  config:
    selectedRoles: [node]
    roleServices: []
";

const CLUSTER: &str = "
apiVersion: kubedirector.hpe.com/v1beta1
kind: KubeDirectorCluster
metadata: {name: notes}
spec:
  app: notes
  namingScheme: CrNameRole
  roles:
    - id: node
      members: 2
      resources: {limits: {memory: 64Mi, cpu: 100m}}
";

/// Whether this can be tried; says so where it cannot.
fn is_root() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        eprintln!("left out: members are set up by root alone");
    }
    is_root
}

#[test]
fn every_command_about_virtual_clusters_does_what_it_says() {
    if !is_root() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let document = |name| std::fs::read_to_string(root().join("docs").join(name)).unwrap();
    let mut lines = shell_lines(&document("virtual-clusters.md"));
    let down = lines.iter().position(|it| it == "windlass down").unwrap();
    // The rest of the catalog is for the long tests, which have real software.
    let catalog = document("catalog.md");
    let (_, linux) = catalog.split_once("## Plain Linux").unwrap();
    lines.splice(down..down, shell_lines(linux));
    let mut session = String::from("set -euo pipefail\n");
    for line in lines {
        // Other clusters of this machine may have the usual port.
        let line = line.replace("windlass up --detach", "windlass up --detach --port 0");
        session.push_str(&format!("{line}\n"));
    }
    for folder in ["examples", "catalog"] {
        std::os::unix::fs::symlink(root().join(folder), home.path().join(folder)).unwrap();
    }
    let answer = shell_session(home.path(), &session);
    assert_eq!(
        answer.code, 0,
        "{session}\n{}\n{}",
        answer.stdout, answer.stderr
    );
}

#[test]
fn members_are_set_up_and_told_of_each_other_and_drained_before_they_go() {
    if !is_root() {
        return;
    }
    let up = start();
    let folder = tempfile::tempdir().unwrap();
    up.kubectl_ok(&[
        "create",
        "configmap",
        "notes-setup",
        &format!("--from-file=notes.tgz={}", package(folder.path())),
    ]);
    let manifest = write(folder.path(), "notes.yaml", &format!("{APP}---{CLUSTER}"));
    up.kubectl_ok(&["apply", "-f", &manifest]);
    let status = configured(&up, 2);
    let set = status["roles"][0]["statefulSet"]
        .as_str()
        .unwrap()
        .to_owned();
    let service = status["clusterService"].as_str().unwrap();
    let name = |ordinal: usize| format!("{set}-{ordinal}");
    let fqdn = |ordinal| format!("{}.{service}.default.svc.cluster.local", name(ordinal));
    for member in 0..2 {
        assert_eq!(calls(&up, &name(member)), ["--configure"]);
        let role = up.kubectl_ok(&["exec", &name(member), "--", "cat", "/opt/role"]);
        assert_eq!(role, "node\n");
    }

    resize(&up, 3);
    configured(&up, 3);
    let told = format!("--addnodes --nodegroup 1 --role node --fqdns {}", fqdn(2));
    assert_eq!(calls(&up, &name(0)), ["--configure", &told]);
    assert_eq!(calls(&up, &name(1)), ["--configure", &told]);
    assert_eq!(calls(&up, &name(2)), ["--configure"]);

    // Whoever comes next neither sets up nor tells anybody again.
    let up = Up::on(up.kill());
    resize(&up, 1);
    configured(&up, 1);
    let calls = calls(&up, &name(0));
    let mut gone: Vec<&str> = calls[2].rsplit(' ').next().unwrap().split(',').collect();
    gone.sort_unstable();
    assert_eq!(calls[..2], ["--configure".to_owned(), told]);
    assert!(calls[2].starts_with("--delnodes --nodegroup 1 --role node --fqdns "));
    assert_eq!((calls.len(), gone), (3, vec![&*fqdn(1), &*fqdn(2)]));
    let events = up.kubectl_ok(&["get", "events", "-o", "jsonpath={.items[*].reason}"]);
    let drained = events.split(' ').filter(|it| *it == "MemberDrained");
    assert_eq!(drained.count(), 2, "{events}");

    up.kubectl_ok(&["delete", "kubedirectorcluster", "notes"]);
    until("all of it to go", PATIENCE, || {
        let all = "pods,statefulsets,services,secrets";
        let label = ["-l", "kubedirector.hpe.com/kdcluster=notes", "-o", "name"];
        let left = up.kubectl_ok(&[&["get", all][..], &label].concat());
        left.trim().is_empty().then_some(())
    });
}

#[test]
fn a_cluster_that_cannot_be_says_why_and_comes_when_it_can() {
    if !is_root() {
        return;
    }
    let up = start();
    up.kubectl_with(&["apply", "-f", "-"], CLUSTER);
    let message = until("the reason", PATIENCE, || {
        let cluster = up.get(&["kubedirectorcluster", "notes"])?;
        let conditions = cluster["status"]["conditions"].as_array()?.clone();
        let degraded = conditions.into_iter().find(|it| it["type"] == "Degraded")?;
        (degraded["status"] == "True").then(|| degraded["message"].as_str().unwrap().to_owned())
    });
    assert!(
        message.contains("spec.app: \"notes\": is no KubeDirectorApp in this namespace"),
        "{message}"
    );
    let folder = tempfile::tempdir().unwrap();
    let file = format!("--from-file=notes.tgz={}", package(folder.path()));
    up.kubectl_ok(&["create", "configmap", "notes-setup", &file]);
    up.kubectl_with(&["apply", "-f", "-"], APP);
    configured(&up, 2);
}

#[test]
fn why_names_what_is_in_the_way_of_a_cluster_and_status_shows_its_members() {
    if !is_root() {
        return;
    }
    let up = start();
    up.kubectl_with(&["apply", "-f", "-"], CLUSTER);
    let first = |cause: &str| {
        until(&format!("{cause} to be found"), PATIENCE, || {
            let why = up.windlass(&["why", "cluster/notes", "-o", "json"]);
            assert_eq!(why.code, 0, "{}", why.stderr);
            let why: Value = serde_json::from_str(&why.stdout).unwrap();
            let found = why["findings"][0].clone();
            (found["cause"] == cause).then_some(found)
        })
    };
    let found = first("InvalidSpec");
    assert!(found["what"].as_str().unwrap().starts_with("spec.app: "));
    let list = up.windlass(&["list", "--clusters"]).stdout;
    assert!(list.contains("Invalid"), "{list}");
    let waited = up.windlass(&["wait", "cluster/notes", "--timeout", "60"]);
    assert_ne!(waited.code, 0, "{}", waited.stdout);

    let folder = tempfile::tempdir().unwrap();
    let script = "#!/bin/sh\n\
        [ \"$MOOD\" != sick ] || { echo 'no such host' >&2; exit 3; }\n\
        if [ \"$1\" = --leave ]; then while [ ! -e /opt/go ]; do sleep 0.1; done; fi\n";
    let file = format!(
        "--from-file=notes.tgz={}",
        package_of(folder.path(), script)
    );
    up.kubectl_ok(&["create", "configmap", "notes-setup", &file]);
    up.kubectl_with(&["apply", "-f", "-"], APP);
    let role = |fields: &Value| {
        let mut role = json!({
            "id": "node", "members": 2,
            "resources": {"limits": {"memory": "64Mi", "cpu": "100m"}},
        });
        for (field, value) in fields.as_object().unwrap() {
            role[field] = value.clone();
        }
        let patch = json!({"spec": {"roles": [role]}}).to_string();
        up.kubectl_ok(&[
            "patch",
            "kubedirectorcluster",
            "notes",
            "--type=merge",
            "-p",
            &patch,
        ]);
    };
    role(&json!({"env": [{"name": "MOOD", "value": "sick"}]}));
    let found = first("SetUpFailed");
    let what = found["what"].as_str().unwrap();
    assert!(
        what.contains("startscript --configure ended with 3"),
        "{what}"
    );
    assert!(
        found["evidence"]
            .to_string()
            .contains("stderr: no such host"),
        "{found:#}"
    );
    assert!(
        found["next"]
            .as_str()
            .unwrap()
            .contains("kubectl delete pod notes-node-")
    );

    role(&json!({"imageRepoTag": "registry.invalid/none:1"}));
    let found = first("ImageUnavailable");
    assert!(
        found["what"]
            .as_str()
            .unwrap()
            .contains("registry.invalid/none:1"),
        "{found:#}"
    );

    role(&json!({"resources": {"limits": {"memory": "64Mi", "cpu": "1000"}}}));
    let found = first("Unschedulable");
    assert!(
        found["what"].as_str().unwrap().contains("finds no node"),
        "{found:#}"
    );

    role(&json!({}));
    let status = configured(&up, 2);
    let waited = up.windlass(&["wait", "cluster/notes", "--timeout", "60"]);
    assert_eq!(waited.code, 0, "{}", waited.stderr);
    let why = up.windlass(&["why", "cluster/notes"]).stdout;
    assert!(why.contains("nothing is found to be wrong"), "{why}");
    let shown = up.windlass(&["status", "cluster/notes"]).stdout;
    let set = status["roles"][0]["statefulSet"].as_str().unwrap();
    for expected in ["2/2 are set up", "ROLE", &format!("{set}-1"), "configured"] {
        assert!(shown.contains(expected), "{expected}: {shown}");
    }
    let whole = up.windlass(&["status"]).stdout;
    assert!(whole.contains("notes"), "{whole}");
    let events = up.windlass(&["events", "cluster/notes"]).stdout;
    assert!(events.contains("MemberConfigError"), "{events}");
    let member = format!("{set}-1");
    let logs = up.windlass(&["logs", "cluster/notes", "--member", &member]);
    assert_eq!(logs.code, 0, "{}", logs.stderr);
    let nobody = up.windlass(&["logs", "cluster/notes", "--member", "x"]);
    assert!(
        nobody.stderr.contains("has no member x"),
        "{}",
        nobody.stderr
    );
    for (command, expected) in [
        (
            &["suspend", "cluster/notes"][..],
            "neither stops nor runs again",
        ),
        (
            &["wait", "cluster/notes", "--for", "end"],
            "neither ends nor is suspended",
        ),
        (
            &["forward", "cluster/notes"],
            "windlass status cluster/notes",
        ),
    ] {
        let refused = up.windlass(command);
        assert!(
            refused.code == 2 && refused.stderr.contains(expected),
            "{}",
            refused.stderr
        );
    }

    resize(&up, 1);
    let found = first("Draining");
    assert!(
        found["what"].as_str().unwrap().starts_with(&member),
        "{found:#}"
    );
    up.kubectl_ok(&["exec", &member, "--", "touch", "/opt/go"]);
    configured(&up, 1);
    let gone = up.windlass(&["delete", "cluster/notes"]);
    assert_eq!(gone.code, 0, "{}", gone.stderr);
}

/// A cluster that serves the kinds.
fn start() -> Up {
    Up::with("--virtual-clusters")
}

/// The setup package.
fn package(folder: &std::path::Path) -> String {
    package_of(folder, STARTSCRIPT)
}

fn package_of(folder: &std::path::Path, startscript: &str) -> String {
    let files = folder.join("notes");
    std::fs::create_dir(&files).unwrap();
    write(&files, "startscript", startscript);
    let archive = folder.join("notes.tgz").display().to_string();
    let folder = folder.display().to_string();
    let packed = Command::new("tar")
        .args(["-C", &folder, "-czf", &archive, "notes"])
        .status()
        .unwrap();
    assert!(packed.success());
    archive
}

fn resize(up: &Up, members: usize) {
    let patch = json!([{ "op": "replace", "path": "/spec/roles/0/members", "value": members }]);
    let patch = patch.to_string();
    up.kubectl_ok(&[
        "patch",
        "kubedirectorcluster",
        "notes",
        "--type=json",
        "-p",
        &patch,
    ]);
}

/// Waits until the cluster has so many members and nothing is left to do; returns its status.
fn configured(up: &Up, members: usize) -> Value {
    until("the cluster to be configured", PATIENCE, || {
        let cluster = up.get(&["kubedirectorcluster", "notes"])?;
        let status = &cluster["status"];
        let is_seen = status["observedGeneration"] == cluster["metadata"]["generation"];
        let known = status["roles"][0]["members"].as_array()?;
        let are_up = known.iter().all(|it| it["state"] == "configured");
        let is_settled = status["state"] == "configured" && known.len() == members && are_up;
        (is_seen && is_settled).then(|| status.clone())
    })
}

fn calls(up: &Up, pod: &str) -> Vec<String> {
    let text = up.kubectl_ok(&["exec", pod, "--", "cat", "/opt/calls"]);
    text.lines().map(str::to_owned).collect()
}
