//! NFS servers of classes of shares on a real Kubernetes: the operator is a pod with the shipped rights, the
//! servers are NFS-Ganesha on disks of their own.
//!
//! This kernel has no NFS, so no pod can mount a share, and csi-driver-nfs is not there to make volumes. Pods
//! read and write by a client that speaks the protocol itself, at the server and the path that the class names.

use std::process::Command;

use serde_json::{Value, json};

use super::installed::{HOME, manifests, remove, rolled_out};
use crate::clusters::{Kubernetes, folder};
use crate::common::{Kubectl, root};
use crate::real::eventually;

/// The namespace of the servers.
const SERVERS: &str = "windlass-shares";
/// What makes volumes on them, where it is installed.
const DRIVER: &str = "nfs.csi.k8s.io";
const CLASSES: [&str; 2] = ["nfs-one", "nfs-two"];

#[test]
fn two_classes_of_shares_have_two_servers_and_two_pods_see_what_each_other_writes() {
    let cluster = Kubernetes::without_operator();
    let image = image();
    let ours = manifests(&[
        "--namespace",
        HOME,
        "--storage",
        "--storage-nfs",
        "--storage-nfs-namespace",
        SERVERS,
        "--",
        &format!("--storage-nfs-image={image}"),
        "--storage-nfs-disk-class=disks-of-shares",
    ]);
    let disks = folder();
    let mut around = CLASSES
        .map(|class| disk(class, &disks.path().join(class)))
        .to_vec();
    around.push(driver());
    let around = json!({"apiVersion": "v1", "kind": "List", "items": around}).to_string();
    // What other tests, or this one when it failed, have left.
    let clean = || {
        remove(&cluster, &ours);
        // Before the disks that its claims have.
        cluster.kubectl_ok(&["delete", "namespace", "--ignore-not-found", SERVERS]);
        remove(&cluster, &around);
        let delete = ["delete", "storageclass", "--ignore-not-found"];
        cluster.kubectl_ok(&[&delete[..], &CLASSES].concat());
    };
    clean();
    cluster.kubectl_with(&["apply", "-f", "-"], &around);
    cluster.kubectl_ok(&["create", "namespace", SERVERS]);
    let privileged = "pod-security.kubernetes.io/enforce=privileged";
    cluster.kubectl_ok(&["label", "namespace", SERVERS, privileged]);
    cluster.kubectl_with(&["apply", "-f", "-"], &ours);
    rolled_out(&cluster);

    let wants = "windlass.dev/storage-classes=make";
    cluster.kubectl_ok(&["label", "namespace", &cluster.namespace, wants]);
    let shares = CLASSES.map(|class| {
        cluster.apply(&claim(class));
        let class = eventually("the class of a share", || {
            cluster.get(&["storageclass", class])
        });
        assert_eq!(class["provisioner"], DRIVER);
        let text = |name: &str| class["parameters"][name].as_str().unwrap().to_owned();
        format!("nfs://{}{}", text("server"), text("share"))
    });
    assert_ne!(shares[0], shares[1]);
    for class in CLASSES {
        let set = format!("statefulset/nfs-{class}");
        in_servers(&cluster, &["rollout", "status", &set, "--timeout=180s"]);
    }

    for pod in ["writer", "reader"] {
        cluster.apply(&client(pod, &image));
    }
    let ready = [
        "wait",
        "pod/writer",
        "pod/reader",
        "--for=condition=Ready",
        "--timeout=120s",
    ];
    cluster.kubectl_ok(&ready);
    say(&cluster, "writer", "first", &shares[0], "a");
    assert_eq!(hear(&cluster, "reader", &shares[0], "a"), "first");
    say(&cluster, "reader", "second", &shares[0], "b");
    assert_eq!(hear(&cluster, "writer", &shares[0], "b"), "second");
    // The other class is another server.
    let listed = list(&cluster, "reader", &shares[1]);
    assert!(!listed.contains(" a\n"), "{listed}");

    // A server that goes comes back with its disk, at its address.
    in_servers(&cluster, &["delete", "pod", "nfs-nfs-one-0"]);
    let set = "statefulset/nfs-nfs-one";
    in_servers(&cluster, &["rollout", "status", set, "--timeout=180s"]);
    assert_eq!(hear(&cluster, "reader", &shares[0], "a"), "first");
    clean();
}

/// Puts the server's image on the node.
fn image() -> String {
    let made = Command::new(root().join("hack/kubernetes/nfs"))
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&made.stderr);
    assert!(made.status.success(), "{told}");
    String::from_utf8(made.stdout).unwrap().trim().to_owned()
}

fn driver() -> Value {
    json!({
        "apiVersion": "storage.k8s.io/v1", "kind": "CSIDriver", "metadata": {"name": DRIVER},
        "spec": {"attachRequired": false},
    })
}

/// A disk by hand: a folder of this machine, which is the node.
fn disk(class: &str, folder: &std::path::Path) -> Value {
    json!({
        "apiVersion": "v1", "kind": "PersistentVolume",
        "metadata": {"name": format!("disk-of-{class}")},
        "spec": {
            "storageClassName": "disks-of-shares",
            "capacity": {"storage": "20Gi"},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "hostPath": {"path": folder, "type": "DirectoryOrCreate"},
        },
    })
}

fn claim(class: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": class},
        "spec": {
            "storageClassName": class,
            "accessModes": ["ReadWriteMany"],
            "resources": {"requests": {"storage": "2Gi"}},
        },
    })
}

/// A pod that speaks the protocol.
fn client(name: &str, image: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "client", "image": image, "command": ["sleep", "infinity"]}],
        },
    })
}

fn in_servers(cluster: &Kubectl, arguments: &[&str]) -> String {
    cluster.kubectl_ok(&[&["-n", SERVERS], arguments].concat())
}

/// Runs a command in a pod until the server takes it: after a start it lets clients reclaim first.
fn until_done(cluster: &Kubectl, pod: &str, command: &str) -> String {
    eventually("the server to answer", || {
        let exec = ["exec", pod, "--", "timeout", "100", "sh", "-c", command];
        let answer = cluster.kubectl(&exec).output().unwrap();
        if !answer.status.success() {
            eprintln!("{command}: {}", String::from_utf8_lossy(&answer.stderr));
        }
        let text = String::from_utf8(answer.stdout).unwrap();
        answer.status.success().then_some(text)
    })
}

fn say(cluster: &Kubectl, pod: &str, text: &str, share: &str, file: &str) {
    let command = format!("echo {text} >/tmp/said && nfs-cp /tmp/said '{share}/{file}?version=4'");
    until_done(cluster, pod, &command);
}

fn hear(cluster: &Kubectl, pod: &str, share: &str, file: &str) -> String {
    let command = format!("nfs-cat '{share}/{file}?version=4'");
    until_done(cluster, pod, &command).trim().to_owned()
}

fn list(cluster: &Kubectl, pod: &str, share: &str) -> String {
    until_done(cluster, pod, &format!("nfs-ls '{share}/?version=4'"))
}
