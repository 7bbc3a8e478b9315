//! Volumes that have a size of their own, where the machine lets disks be mounted.

use std::fs;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::common::{Up, until};

const PATIENCE: Duration = Duration::from_mins(2);
const MIB: u64 = 1 << 20;

fn claim(size: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"},
        "spec": {
            "accessModes": ["ReadWriteOnce"], "storageClassName": "local-disk",
            "resources": {"requests": {"storage": size}},
        },
    })
}

/// Writes a line every moment, and reads it back.
fn writer() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "writer"},
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "containers": [{
                "name": "main", "image": "local/host:latest",
                "command": ["sh", "-c", "trap 'exit 0' TERM; n=0; while :; do n=$((n+1)); echo $n >>/data/lines || \
                            echo lost $n; sleep 0.05; done"],
                "volumeMounts": [{"name": "data", "mountPath": "/data"}],
            }],
            "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
        },
    })
}

/// How large the volume is in the pod, in bytes.
fn size_in_pod(up: &Up) -> u64 {
    let line = "exec writer -- df -B1 --output=size /data";
    let text = up.kubectl_ok(&line.split_whitespace().collect::<Vec<_>>());
    let number = text.lines().last().map(str::trim);
    number
        .and_then(|number| number.parse().ok())
        .expect("df prints a number")
}

fn capacity(up: &Up) -> Option<String> {
    let claim = up.get(&["pvc", "data"])?;
    claim["status"]["capacity"]["storage"]
        .as_str()
        .map(str::to_owned)
}

#[test]
fn a_disk_grows_under_a_pod_that_writes_and_says_how_full_it_is() {
    let up = Up::start();
    if up.get(&["storageclass", "local-disk"]).is_none() {
        // An ordinary user mounts nothing, and in some containers nobody does.
        let can = Command::new("losetup").arg("-f").output();
        assert!(
            can.is_err() || can.is_ok_and(|it| !it.status.success()),
            "there is no class local-disk"
        );
        return;
    }
    up.apply(&claim("300Mi"));
    up.apply(&writer());
    let line = "wait pod/writer --for=condition=Ready --timeout=120s";
    up.kubectl_ok(&line.split_whitespace().collect::<Vec<_>>());
    assert_eq!(capacity(&up).as_deref(), Some("300Mi"));
    let small = size_in_pod(&up);
    assert!((200 * MIB..=300 * MIB).contains(&small), "{small}");

    for size in ["400Mi", "500Mi"] {
        up.apply(&claim(size));
        until(&format!("the claim to have {size}"), PATIENCE, || {
            (capacity(&up).as_deref() == Some(size)).then_some(())
        });
    }
    let large = size_in_pod(&up);
    assert!(large - small > 150 * MIB, "{small} -> {large}");
    let pod = up.get(&["pod", "writer"]).expect("it is there");
    assert_eq!(pod["status"]["containerStatuses"][0]["restartCount"], 0);
    assert!(!up.kubectl_ok(&["logs", "writer"]).contains("lost"));

    let node = pod["spec"]["nodeName"]
        .as_str()
        .expect("it has a node")
        .to_owned();
    let path = format!("/api/v1/nodes/{node}/proxy/stats/summary");
    let summary = up.kubectl_ok(&["get", "--raw", &path]);
    let summary: Value = serde_json::from_str(&summary).expect("it is JSON");
    let volumes = summary["pods"].as_array().expect("pods").iter();
    let volume = volumes
        .filter(|pod| pod["podRef"]["name"] == "writer")
        .find_map(|pod| pod["volume"].as_array()?.first())
        .unwrap_or_else(|| panic!("{summary:#}"));
    assert_eq!(
        volume["pvcRef"],
        json!({"name": "data", "namespace": "default"})
    );
    assert_eq!(volume["capacityBytes"], large);
    assert!(volume["usedBytes"].as_u64().expect("a number") > 0);

    // What is mounted goes with the claim.
    up.kubectl_ok(&["delete", "pod/writer", "pvc/data"]);
    let directory = up.data.path().join("volumes");
    let mounted = || {
        let table = fs::read_to_string("/proc/self/mounts").expect("it can be read");
        table.contains(&*directory.to_string_lossy())
    };
    until("the disk to be gone", PATIENCE, || {
        (!mounted()).then_some(())
    });
}
