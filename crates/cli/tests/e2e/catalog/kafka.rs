//! Kafka of the catalog as a virtual cluster: records outlive the restart of a member, and brokers that come and
//! go.

use std::process::Command;

use serde_json::{Value, json};

use super::Virtual;
use crate::common::{Answer, root};
use crate::real::{QUICK_START, eventually};

/// Brokers of a test, which writes little, need few threads, and have no others to wait for.
const SMALL: &str = "num.io.threads=2\nnum.network.threads=1\nlog.cleaner.enable=false\n\
                     offsets.topic.num.partitions=3";

#[test]
fn the_records_of_kafka_outlive_a_restart_and_brokers_that_come_and_go() {
    let Some(up) = super::embedded() else { return };
    let kafka = Kafka(Virtual {
        kubectl: &up,
        name: "kafka",
    });
    kafka.apply();
    kafka.0.settled("controller", 3);
    kafka.brokers(&["1", "2", "3"]);
    // Whose records are on one broker alone, and on all.
    kafka.topic("single", 4, 1);
    kafka.topic("triple", 4, 3);
    for topic in ["single", "triple"] {
        kafka.write(topic, 0..300);
    }

    // It comes back with its storage, at another address.
    let pod = kafka.0.pod("controller", 0);
    up.kubectl_ok(&["delete", "pod", &pod]);
    kafka.0.settled("controller", 3);
    kafka.brokers(&["1", "2", "3"]);
    for topic in ["single", "triple"] {
        kafka.holds(topic, 300);
    }

    kafka.0.resize("broker", 1);
    kafka.0.settled("broker", 1);
    kafka.brokers(&["1", "1001", "2", "3"]);
    kafka.topic("later", 8, 1);
    kafka.write("later", 0..300);
    assert!(
        kafka
            .numbers(&["brokers", "later"])
            .contains(&"1001".to_owned())
    );

    kafka.0.resize("broker", 0);
    eventually("the broker to go", || {
        let left = kafka.0.cluster()["status"]["roles"].clone();
        let left = left.as_array()?.iter().find(|it| it["id"] == "broker");
        let members = left.and_then(|it| it["members"].as_array());
        members.is_none_or(Vec::is_empty).then_some(())
    });
    kafka.0.settled("controller", 3);
    // Its number is unknown, and nothing was on it alone.
    kafka.brokers(&["1", "2", "3"]);
    for topic in ["single", "triple", "later"] {
        kafka.holds(topic, 300);
    }
    kafka.write("later", 300..400);
    kafka.holds("later", 400);

    let events = ["get", "events", "-o", "jsonpath={.items[*].reason}"];
    let events = up.kubectl_ok(&events);
    let drained = events.split(' ').filter(|it| *it == "MemberDrained");
    assert_eq!(drained.count(), 1, "{events}");
    for ordinal in 0..3 {
        kafka.was_told(ordinal);
    }
}

/// Three controllers, and brokers.
struct Kafka<'c>(Virtual<'c>);

impl Kafka<'_> {
    /// Applies the catalog; in difference to it, all members are told who comes and goes.
    fn apply(&self) {
        self.0.apply(super::all_are_told, |role| {
            role["env"] = json!([
                { "name": "KAFKA_HEAP_OPTS", "value": "-Xmx192m" },
                { "name": "KAFKA_OPTS", "value": QUICK_START },
                { "name": "KAFKA_SETTINGS", "value": SMALL },
            ]);
        });
    }

    /// Uses it from outside of its pods.
    fn client(&self, what: &[&str]) -> Answer {
        let names = self.0.kubectl.get(&["pods"]).unwrap();
        let pods = names["items"].as_array().unwrap().iter();
        let addresses: Vec<String> = pods
            .filter_map(|it| it["status"]["podIP"].as_str())
            .map(|it| format!("{it}:9094"))
            .collect();
        let python = ::windlass::sparks::cache().join("clients/kafka/bin/python3");
        let mut client = Command::new(python);
        client
            .arg(root().join("crates/cli/tests/clients/kafka/records.py"))
            .arg(addresses.join(","))
            .args(what);
        let answer = client.output().expect("make e2e installs the client");
        answer.into()
    }

    fn says(&self, what: &[&str], says: &str) {
        let answer = self.client(what);
        assert_eq!(answer.stdout.trim(), says, "{what:?}: {}", answer.stderr);
    }

    fn topic(&self, name: &str, partitions: usize, copies: usize) {
        let (partitions, copies) = (partitions.to_string(), copies.to_string());
        let made = format!("made {name}");
        self.says(&["topic", name, &partitions, &copies], &made);
    }

    fn write(&self, topic: &str, numbers: std::ops::Range<usize>) {
        let (from, to) = (numbers.start.to_string(), numbers.end.to_string());
        let wrote = format!("wrote {}", numbers.len());
        self.says(&["write", topic, &from, &to], &wrote);
    }

    /// All records of a topic are there.
    fn holds(&self, topic: &str, records: usize) {
        self.says(&["read", topic], &format!("read {records} of {records}"));
    }

    /// The numbers of brokers.
    fn numbers(&self, of: &[&str]) -> Vec<String> {
        let answer = self.client(of);
        let numbers = answer.stdout.split_whitespace();
        numbers.map(str::to_owned).collect()
    }

    /// Waits until there are these brokers and no others.
    fn brokers(&self, numbers: &[&str]) {
        eventually(&format!("the brokers to be {numbers:?}"), || {
            let mut found = self.numbers(&["brokers"]);
            found.sort();
            (found == numbers).then_some(())
        });
    }

    /// A controller was told that the broker came, and that it went.
    fn was_told(&self, ordinal: usize) {
        let pod = self.0.pod("controller", ordinal);
        let calls = ["cat", "/var/log/guestconfig/calls"];
        let calls = self.0.in_pod(&pod, &calls);
        let calls: Vec<&str> = calls.lines().collect();
        let status: Value = self.0.cluster()["status"].clone();
        let service = status["clusterService"].as_str().unwrap();
        let told = |hook: &str| {
            let begin = format!("{hook} --nodegroup 1 --role broker --fqdns kafka-broker-");
            let is_it = |it: &&&str| {
                let name = it.strip_prefix(&begin);
                name.is_some_and(|it| it.contains(&format!("-0.{service}.")))
            };
            calls.iter().filter(is_it).count()
        };
        assert_eq!(calls.first(), Some(&"--configure"), "{pod}: {calls:?}");
        assert_eq!(
            (told("--addnodes"), told("--delnodes")),
            (1, 1),
            "{pod}: {calls:?}"
        );
        assert_eq!(calls.len(), 3, "{pod}: {calls:?}");
    }
}
