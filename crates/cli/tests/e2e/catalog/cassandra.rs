//! Cassandra of the catalog as a virtual cluster: rows outlive the restart of a member, and members that come
//! and go.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::common::{Answer, Up, WINDLASS, root, windlass};
use crate::real::eventually;

/// A ring that is made in a test waits for nobody who may still be on the way.
const IN_A_HURRY: &str = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Dcassandra.ring_delay_ms=2000 \
                          -Dcassandra.skip_wait_for_gossip_to_settle=0";

#[test]
fn the_rows_of_a_ring_outlive_a_restart_and_members_that_come_and_go() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("left out: members are set up by root alone");
        return;
    }
    let mut up = Command::new("sh");
    let line = format!("exec {WINDLASS} \"$@\" --virtual-clusters");
    up.args(["-c", &line, "sh"]);
    let ring = Ring(Up::launched(tempfile::tempdir().unwrap(), up));
    ring.apply();
    ring.settled(2);
    ring.rows(&["write", "0", "500"], "wrote 500");

    // It comes back with its storage, at another address.
    let pod = ring.pod("worker", 0);
    ring.0.kubectl_ok(&["delete", "pod", &pod]);
    ring.settled(2);
    ring.rows(&["read", "500"], "read 500 of 500");

    ring.resize(1);
    ring.settled(1);
    ring.rows(&["read", "500"], "read 500 of 500");
    let reasons = ["get", "events", "-o", "jsonpath={.items[*].reason}"];
    let reasons = ring.0.kubectl_ok(&reasons);
    let drained = reasons.split(' ').filter(|it| *it == "MemberDrained");
    assert_eq!(drained.count(), 1, "{reasons}");

    ring.resize(2);
    ring.settled(2);
    ring.rows(&["write", "500", "600"], "wrote 100");
    ring.rows(&["read", "600"], "read 600 of 600");
}

/// A ring of two seeds, and workers.
struct Ring(Up);

impl Ring {
    /// Applies the catalog as its documentation says.
    fn apply(&self) {
        let catalog = root().join("catalog/cassandra");
        let app = windlass(&["app", "package", &catalog.display().to_string()]);
        assert_eq!(app.code, 0, "{}", app.stderr);
        self.0.kubectl_with(&["apply", "-f", "-"], &app.stdout);
        let cluster = fs::read_to_string(catalog.join("cluster.yaml")).unwrap();
        for mut object in windlass_api::parse::objects(&cluster).unwrap() {
            for role in object["spec"]["roles"].as_array_mut().unwrap() {
                role["env"] = json!([
                    { "name": "JVM_EXTRA_OPTS", "value": IN_A_HURRY },
                    { "name": "MAX_HEAP_SIZE", "value": "256m" },
                ]);
            }
            self.0.apply(&object);
        }
    }

    fn resize(&self, workers: usize) {
        let path = "/spec/roles/1/members";
        let patch = json!([{ "op": "replace", "path": path, "value": workers }]).to_string();
        let object = ["patch", "kubedirectorcluster", "cassandra"];
        self.0
            .kubectl_ok(&[&object[..], &["--type=json", "-p", &patch]].concat());
    }

    fn cluster(&self) -> Value {
        let found = self.0.get(&["kubedirectorcluster", "cassandra"]);
        found.unwrap()
    }

    /// The pod of a member.
    fn pod(&self, role: &str, ordinal: usize) -> String {
        let status = self.cluster()["status"].clone();
        let roles = status["roles"].as_array().unwrap();
        let role = roles.iter().find(|it| it["id"] == role).unwrap();
        format!("{}-{ordinal}", role["statefulSet"].as_str().unwrap())
    }

    /// Waits until there are so many workers, all members are set up, and each is up in the ring.
    fn settled(&self, workers: usize) {
        eventually(&format!("{workers} workers to be set up"), || {
            let cluster = self.cluster();
            let status = &cluster["status"];
            let members = status["roles"][1]["members"].as_array()?;
            let seen = status["observedGeneration"] == cluster["metadata"]["generation"];
            let done = status["state"] == "configured" && members.len() == workers;
            let failed = status["memberStateRollup"]["configErrors"] == true;
            assert!(!failed, "{status:#}");
            (seen && done).then_some(())
        });
        let seed = self.pod("seed", 0);
        eventually("all of them to be in the ring", || {
            let asked = self.0.kubectl(&["exec", &seed, "--", "nodetool", "status"]);
            let ring: Answer = { asked }.output().unwrap().into();
            let states = ring.stdout.lines().filter_map(|it| it.split(' ').next());
            let states = states.filter(|it| ["U", "D"].iter().any(|is| it.starts_with(is)));
            let states: Vec<_> = states.filter(|it| it.len() == 2).collect();
            (states == vec!["UN"; workers + 2]).then_some(())
        });
    }

    /// Writes or reads rows with the Python driver.
    fn rows(&self, what: &[&str], says: &str) {
        let pods = ["get", "pods", "-o", "jsonpath={.items[*].status.podIP}"];
        let addresses = self.0.kubectl_ok(&pods).trim().replace(' ', ",");
        let python = ::windlass::sparks::cache().join("clients/cassandra/bin/python3");
        let answer: Answer = Command::new(python)
            .arg(root().join("crates/cli/tests/clients/cassandra/rows.py"))
            .arg(addresses)
            .args(what)
            .output()
            .expect("make e2e installs the driver")
            .into();
        assert_eq!(answer.stdout.trim(), says, "{}", answer.stderr);
    }
}
