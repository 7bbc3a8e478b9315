//! Volumes that grow on a real Kubernetes, under a database that is written to: the operator is a pod with the
//! shipped rights, and what makes volumes and lets them grow is Kubernetes' own external-provisioner,
//! external-resizer and kubelet, with the driver of `hack/kubernetes/disks`.

use std::fs;
use std::process::Command;

use serde_json::json;

use super::installed::{HOME, in_home, manifests, operator_pod, remove, rolled_out};
use crate::catalog::Virtual;
use crate::clusters::Kubernetes;
use crate::common::{Answer, root};
use crate::real;
use crate::volumes::{Database, Writer, is_about};

const CLUSTER: &str = "linux";

#[test]
fn no_row_is_lost_while_kubernetes_lets_volumes_grow_and_the_operator_is_killed() {
    let can = Command::new("losetup").arg("-f").output();
    if !can.is_ok_and(|it| it.status.success()) {
        eprintln!("left out: this machine has no loop devices");
        return;
    }
    let class = disks();
    let cluster = Kubernetes::without_operator();
    let ours = manifests(&[
        "--namespace",
        HOME,
        "--virtual-clusters",
        "--webhook",
        "--storage",
        "--storage-auto-grow",
    ]);
    // What other tests, or this one when it failed, have left.
    remove(&cluster, &ours);
    cluster.kubectl_with(&["apply", "-f", "-"], &ours);
    rolled_out(&cluster);

    let database = machines(&cluster, &class);
    let before = database.standing();
    let script = root().join("crates/cli/tests/clients/sqlite/writer.py");
    let script = fs::read_to_string(script).unwrap();
    let file = format!("{}/orders", database.directory);
    let python = ["python3", "-u", "-c", &script, &file];
    let inside = ["exec", "-i", &database.pod, "--"];
    let writer = Writer::start(cluster.kubectl(&[&inside[..], &python].concat()));
    database.grows_under(writer, |size| {
        if size == "500Mi" {
            kill_operator(&cluster);
        }
    });
    rolled_out(&cluster);
    // The one that nobody writes to has got as much.
    let other = Database {
        virtual_cluster: Virtual {
            kubectl: &cluster,
            name: CLUSTER,
        },
        pod: database.virtual_cluster.pod("machine", 1),
        directory: database.directory,
    };
    is_about(other.size(), 500);

    let less = json!({ "size": "400Mi" });
    let refused: Answer = database.change(&less).output().unwrap().into();
    for told in ["spec.roles[0].storage.size", "volumes do not shrink"] {
        assert!(refused.stderr.contains(told), "{refused:?}");
    }

    // By what the kubelet says, and no further than it may.
    database.fill(200);
    let policy = json!({ "max": "600Mi", "threshold": "40%", "step": "100Mi", "coolDown": "2m" });
    database.set(&json!({ "autoGrow": policy }));
    let steps = database.steps_to_its_most();
    let sizes: Vec<&str> = steps.iter().map(|(size, _)| size.as_str()).collect();
    assert_eq!(sizes, ["600Mi"]);
    real::eventually("the file system to be as large as the claim", || {
        (database.size() > other.size()).then_some(())
    });
    is_about(database.size(), 600);
    is_about(other.size(), 500);
    assert_eq!(database.standing(), before, "the member was restarted");
    let log = in_home(&cluster, &["logs", "deployment/windlass-operator"]);
    assert!(!log.to_lowercase().contains("forbidden"), "{log}");

    cluster.kubectl_ok(&["delete", "kubedirectorcluster", CLUSTER, "--timeout=180s"]);
    let delete = ["delete", "--ignore-not-found", "--wait=false", "-f", "-"];
    cluster.kubectl_with(&delete, &ours);
}

/// Starts what makes volumes; the name of their class.
fn disks() -> String {
    let script = root().join("hack/kubernetes/disks");
    let answer: Answer = Command::new(script).output().unwrap().into();
    assert_eq!(answer.code, 0, "{}", answer.stderr);
    answer.stdout.trim().to_owned()
}

/// Two machines of the catalog with the image that has Python, and with it SQLite.
fn machines<'c>(cluster: &'c Kubernetes, class: &str) -> Database<'c> {
    let virtual_cluster = Virtual {
        kubectl: cluster,
        name: CLUSTER,
    };
    virtual_cluster.apply(
        |_| (),
        |role| {
            role["imageRepoTag"] = json!("apache/spark:4.3.0");
            role["storage"] = json!({ "size": "300Mi", "storageClassName": class });
            // What is measured is the volume.
            role["resources"]["limits"]["cpu"] = json!("2");
        },
    );
    virtual_cluster.settled("machine", 2);
    let pod = virtual_cluster.pod("machine", 0);
    Database {
        virtual_cluster,
        pod,
        directory: "/root",
    }
}

/// As a node that breaks down does it, and not as one that is asked.
fn kill_operator(cluster: &Kubernetes) {
    let pod = real::name(&operator_pod(cluster));
    let kill = ["delete", "pod", &pod, "--grace-period=0", "--force"];
    in_home(cluster, &kill);
    assert_ne!(real::name(&operator_pod(cluster)), pod);
}
