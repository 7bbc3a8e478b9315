//! Volumes of a database that grow while it is written to at full speed: because somebody says so, and by
//! themselves.

use std::fs;
use std::process::Command;

use serde_json::json;

use super::Virtual;
use crate::common::{Up, root};
use crate::real::eventually;
use crate::volumes::{Database, Writer, is_about};

/// How long a volume does not grow again, at the least.
const COOL_DOWN: i64 = 120;

#[test]
fn no_write_is_lost_while_volumes_grow_and_by_themselves_they_keep_to_their_limits() {
    let Some(up) = super::embedded_with("--storage") else {
        return;
    };
    if up.get(&["storageclass", "local-disk"]).is_none() {
        // In some containers nobody mounts disks, root neither.
        let can = Command::new("losetup").arg("-f").output();
        let can = can.is_ok_and(|it| it.status.success());
        assert!(!can, "there is no class local-disk");
        eprintln!("left out: this machine has no loop devices");
        return;
    }
    let database = cassandra(&up);
    let before = database.standing();
    database.grows_under(writer(&database), |_| ());
    grows_by_itself(&database);
    assert_eq!(database.standing(), before, "the member was restarted");
}

/// From 500Mi on: it is fuller than its threshold, and stays so, up to 600Mi in two steps.
fn grows_by_itself(database: &Database<'_>) {
    database.fill(200);
    let policy = json!({ "max": "600Mi", "threshold": "40%", "step": "50Mi", "coolDown": "2m" });
    database.set(&json!({ "autoGrow": policy }));
    let steps = database.steps_to_its_most();
    let sizes: Vec<&str> = steps.iter().map(|(size, _)| size.as_str()).collect();
    assert_eq!(sizes, ["550Mi", "600Mi"]);
    let pause = steps[1].1.duration_since(steps[0].1).as_secs();
    assert!(pause >= COOL_DOWN, "{pause} s from one to the next");
    is_about(database.size(), 600);
    let active = database.virtual_cluster.cluster()["status"]["conditions"].clone();
    let mut active = active.as_array().unwrap().iter();
    let active = active.find(|it| it["type"] == "AutoGrowActive").unwrap();
    assert_eq!(active["status"], "True");

    // The role has less than its volume, and nobody makes anything of that.
    database.set(&json!({ "autoGrow": null }));
    eventually("the claim to say nothing of growth", || {
        let claim = database.claim();
        let annotations = claim["metadata"]["annotations"].as_object()?.clone();
        (!annotations.contains_key("windlass.dev/auto-grow-max")).then_some(())
    });
    let claim = database.claim();
    assert_eq!(claim["spec"]["resources"]["requests"]["storage"], "600Mi");
}

/// A ring of one, on a disk.
fn cassandra(up: &Up) -> Database<'_> {
    let virtual_cluster = Virtual {
        kubectl: up,
        name: "cassandra",
    };
    virtual_cluster.apply(
        |_| (),
        |role| {
            role["members"] = json!(u8::from(role["id"] == "seed"));
            role["storage"] = json!({ "size": "300Mi", "storageClassName": "local-disk" });
            role["env"] = json!([
                { "name": "JVM_EXTRA_OPTS", "value": super::cassandra::IN_A_HURRY },
                { "name": "MAX_HEAP_SIZE", "value": "256m" },
            ]);
        },
    );
    virtual_cluster.settled("seed", 1);
    let pod = virtual_cluster.pod("seed", 0);
    up.kubectl_ok(&[
        "wait",
        "--for=condition=Ready",
        "--timeout=300s",
        &format!("pod/{pod}"),
    ]);
    Database {
        virtual_cluster,
        pod,
        directory: "/var/lib/cassandra",
    }
}

fn writer(database: &Database<'_>) -> Writer {
    let pod = database.get(&["pod", &database.pod]);
    let python = ::windlass::sparks::cache().join("clients/cassandra/bin/python3");
    assert!(
        fs::exists(&python).unwrap(),
        "make e2e-apps installs the driver"
    );
    let mut program = Command::new(python);
    program
        .arg(root().join("crates/cli/tests/clients/cassandra/writer.py"))
        .arg(pod["status"]["podIP"].as_str().unwrap());
    Writer::start(program)
}
