//! A disk without room: the cluster says so, refuses what it cannot keep, and goes on by itself.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::json;

use crate::common::{Answer, Up, WINDLASS, until};

const PATIENCE: Duration = Duration::from_mins(1);

/// A cluster with flags whose folder of this name is on a disk of its own of so many MiB, and where that disk is
/// seen from here.
pub(crate) fn up_on_a_small_disk(name: &str, mib: u32, flags: &str) -> (Up, PathBuf) {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join(name);
    std::fs::create_dir(&folder).unwrap();
    let mut command = Command::new("unshare");
    if std::fs::metadata("/proc/self").unwrap().uid() != 0 {
        command.args(["--user", "--map-root-user"]);
    }
    let script = format!("mount -t tmpfs -o size={mib}m,mode=700 tmpfs \"$0\" && exec \"$@\"");
    command.args(["--mount", "sh", "-c", &script]);
    command.arg(&folder).arg(WINDLASS);
    let up = Up::launched(data, command, flags);
    let seen = PathBuf::from(format!("/proc/{}/root{}", up.pid(), folder.display()));
    (up, seen)
}

/// Takes all the room that is left.
pub(crate) fn fill(path: &Path) {
    let mut filler = File::create(path).unwrap();
    for block in [&[0_u8; 16 * 1024][..], &[0; 512]] {
        while filler.write_all(block).is_ok() {}
    }
}

fn create(up: &Up, name: &str, size: usize) -> Answer {
    let text = format!("--from-literal=text={}", "x".repeat(size));
    let mut command = up.kubectl(&["create", "configmap", name, &text]);
    command.output().unwrap().into()
}

#[test]
fn a_full_disk_costs_the_writes_it_has_no_room_for_and_nothing_else() {
    let (up, disk) = up_on_a_small_disk("api", 8, "");
    let said = |text: &str| {
        let log = std::fs::read_to_string(up.data.path().join("stderr.log")).unwrap();
        log.contains(text)
    };
    let mut kept = Vec::new();
    for round in 1..=2 {
        let filler = disk.join("filler");
        fill(&filler);
        let refused = loop {
            let name = format!("kept-{}", kept.len());
            let answer = create(&up, &name, 100_000);
            if answer.code != 0 {
                break answer;
            }
            kept.push(name);
        };
        let text = "there is no room left for the object store";
        assert!(refused.stderr.contains(text), "{}", refused.stderr);
        for name in &kept {
            assert!(up.get(&["configmap", name]).is_some(), "{name}");
        }
        assert!(said(text));

        std::fs::remove_file(&filler).unwrap();
        let name = format!("after-{round}");
        until("writes to be taken again", PATIENCE, || {
            (create(&up, &name, 10).code == 0).then_some(())
        });
        kept.push(name);
        assert!(said("takes writes again"));
    }
    for name in &kept {
        assert!(up.get(&["configmap", name]).is_some(), "{name}");
    }

    // Whoever could not write meanwhile has not given up.
    let application = json!({
        "apiVersion": "sparkoperator.k8s.io/v1beta2",
        "kind": "SparkApplication",
        "metadata": {"name": "after"},
        "spec": {
            "type": "Python",
            "mode": "cluster",
            "sparkVersion": "4.3.0",
            "image": "apache/spark:4.3.0",
            "mainApplicationFile": "local:///opt/job.py",
            "driver": {"cores": 1, "memory": "512m", "serviceAccount": "nobody"},
            "executor": {"instances": 1, "cores": 1, "memory": "512m"},
        },
    });
    up.kubectl_with(&["create", "-f", "-"], &application.to_string());
    until("the operator to act", PATIENCE, || {
        up.get(&["sparkapplication", "after"])
            .filter(|found| found["status"]["applicationState"]["state"] == "FAILED")
    });
}
