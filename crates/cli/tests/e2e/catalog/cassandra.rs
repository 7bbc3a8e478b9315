//! Cassandra of the catalog as a virtual cluster: rows outlive the restart of a member, and members that come
//! and go.

use std::ops::Deref;
use std::process::Command;

use serde_json::json;

use super::Virtual;
use crate::common::{Answer, root};
use crate::real::eventually;

/// A ring that is made in a test waits for nobody who may still be on the way.
pub(super) const IN_A_HURRY: &str = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Dcassandra.ring_delay_ms=2000 \
                          -Dcassandra.skip_wait_for_gossip_to_settle=0";

#[test]
fn the_rows_of_a_ring_outlive_a_restart_and_members_that_come_and_go() {
    let Some(up) = super::embedded() else { return };
    let ring = Ring(Virtual {
        kubectl: &up,
        name: "cassandra",
    });
    ring.apply();
    ring.are_up(2);
    ring.rows(&["write", "0", "500"], "wrote 500");

    // It comes back with its storage, at another address.
    let pod = ring.pod("worker", 0);
    ring.kubectl.kubectl_ok(&["delete", "pod", &pod]);
    ring.are_up(2);
    ring.rows(&["read", "500"], "read 500 of 500");

    ring.resize("worker", 1);
    ring.are_up(1);
    ring.rows(&["read", "500"], "read 500 of 500");
    let reasons = ["get", "events", "-o", "jsonpath={.items[*].reason}"];
    let reasons = ring.kubectl.kubectl_ok(&reasons);
    let drained = reasons.split(' ').filter(|it| *it == "MemberDrained");
    assert_eq!(drained.count(), 1, "{reasons}");

    ring.resize("worker", 2);
    ring.are_up(2);
    ring.rows(&["write", "500", "600"], "wrote 100");
    ring.rows(&["read", "600"], "read 600 of 600");
}

/// A ring of two seeds, and workers.
struct Ring<'c>(Virtual<'c>);

impl<'c> Deref for Ring<'c> {
    type Target = Virtual<'c>;

    fn deref(&self) -> &Virtual<'c> {
        &self.0
    }
}

impl Ring<'_> {
    fn apply(&self) {
        self.0.apply(
            |_| (),
            |role| {
                role["env"] = json!([
                    { "name": "JVM_EXTRA_OPTS", "value": IN_A_HURRY },
                    { "name": "MAX_HEAP_SIZE", "value": "256m" },
                ]);
            },
        );
    }

    /// Waits until there are so many workers, all members are set up, and each is up in the ring.
    fn are_up(&self, workers: usize) {
        self.settled("worker", workers);
        let seed = self.pod("seed", 0);
        eventually("all of them to be in the ring", || {
            let asked = self
                .kubectl
                .kubectl(&["exec", &seed, "--", "nodetool", "status"]);
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
        let addresses = self.kubectl.kubectl_ok(&pods).trim().replace(' ', ",");
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
