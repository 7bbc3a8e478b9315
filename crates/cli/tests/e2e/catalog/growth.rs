//! Volumes of a database that grow while it is written to at full speed: because somebody says so, and by
//! themselves.
//!
//! What it prints is in `docs/benchmarks.md`.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Virtual;
use crate::common::{Up, root};
use crate::real::eventually;

const MIB: u64 = 1 << 20;
/// What is compared with: so long it is written before, between and after.
const CALM: Duration = Duration::from_secs(15);
/// Where Cassandra keeps its rows, on the volume.
const DATA: &str = "/var/lib/cassandra";
/// A file system needs no more than this for itself, in bytes.
const OF_FILE_SYSTEM: u64 = 80 * MIB;
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
    let database = Database::made(&up);
    let before = database.standing();
    let mut writer = Writer::start(&database);

    writer.phase("300Mi");
    thread::sleep(CALM);
    let mut sizes = vec![database.size()];
    for size in ["400Mi", "500Mi"] {
        let begun = Instant::now();
        writer.phase(&format!("to {size}"));
        database.set(&json!({ "size": size }));
        eventually(&format!("the claim to have {size}"), || {
            (database.claim()["status"]["capacity"]["storage"] == size).then_some(())
        });
        let last = sizes.last().copied().unwrap_or_default();
        sizes.push(eventually("the file system to be larger", || {
            Some(database.size()).filter(|it| *it > last)
        }));
        eprintln!("{size} after {:.1} s", begun.elapsed().as_secs_f64());
        database.is_over();
        writer.phase(size);
        thread::sleep(CALM);
    }
    let report = writer.end();
    for phase in report["phases"].as_array().unwrap() {
        eprintln!("{phase}");
    }
    eprintln!("{} rows acknowledged, df {sizes:?}", report["acknowledged"]);
    assert_eq!(
        (&report["refused"], &report["lost"]),
        (&json!([]), &json!([]))
    );
    for (size, asked) in sizes.iter().zip([300, 400, 500]) {
        let asked = asked * MIB;
        let holds = (asked - OF_FILE_SYSTEM..=asked).contains(size);
        assert!(holds, "df says {size} of {asked}");
    }
    assert_eq!(database.standing(), before, "the member was restarted");

    grows_by_itself(&database);
    assert_eq!(database.standing(), before, "the member was restarted");
}

/// From 500Mi on: it is fuller than its threshold, and stays so, up to 600Mi in two steps.
fn grows_by_itself(database: &Database<'_>) {
    database.in_member(&["head", "-c", "200M", "/dev/zero"], "filler");
    let policy = json!({ "max": "600Mi", "threshold": "40%", "step": "50Mi", "coolDown": "2m" });
    database.set(&json!({ "autoGrow": policy }));
    let mut steps: Vec<(String, Timestamp)> = Vec::new();
    eventually(
        "the volume to be as large as it may be, and to say so",
        || {
            let claim = database.claim();
            let asked = claim["spec"]["resources"]["requests"]["storage"].as_str()?;
            let grown = claim["metadata"]["annotations"]["windlass.dev/auto-grown-at"].as_str();
            if let Some(grown) = grown
                && steps.last().is_none_or(|(known, _)| known != asked)
            {
                steps.push((asked.to_owned(), grown.parse().unwrap()));
            }
            let conditions = claim["status"]["conditions"].as_array()?;
            conditions
                .iter()
                .any(|it| it["type"] == "windlass.dev/AutoGrow" && it["reason"] == "AtMax")
                .then_some(())
        },
    );
    eprintln!("by itself {steps:?}");
    let sizes: Vec<&str> = steps.iter().map(|(size, _)| size.as_str()).collect();
    assert_eq!(sizes, ["550Mi", "600Mi"]);
    let pause = steps[1].1.duration_since(steps[0].1).as_secs();
    assert!(pause >= COOL_DOWN, "{pause} s from one to the next");
    let size = database.size();
    let holds = (600 * MIB - OF_FILE_SYSTEM..=600 * MIB).contains(&size);
    assert!(holds, "{size}");
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
struct Database<'c> {
    virtual_cluster: Virtual<'c>,
    pod: String,
}

impl<'c> Database<'c> {
    fn made(up: &'c Up) -> Self {
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
        Self {
            virtual_cluster,
            pod,
        }
    }

    fn get(&self, what: &[&str]) -> Value {
        self.virtual_cluster.kubectl.get(what).unwrap()
    }

    fn claim(&self) -> Value {
        self.get(&["pvc", &format!("p-{}", self.pod)])
    }

    /// What tells one life of its member from another.
    fn standing(&self) -> (Value, Value, Value) {
        let pod = self.get(&["pod", &self.pod]);
        let container = &pod["status"]["containerStatuses"][0];
        (
            pod["metadata"]["uid"].clone(),
            container["restartCount"].clone(),
            container["containerID"].clone(),
        )
    }

    /// Changes the storage of its role.
    fn set(&self, storage: &Value) {
        let mut roles = self.virtual_cluster.cluster()["spec"]["roles"].clone();
        let storage = storage.as_object().unwrap();
        for role in roles.as_array_mut().unwrap() {
            let fields = role["storage"].as_object_mut().unwrap();
            fields.extend(storage.iter().map(|(name, it)| (name.clone(), it.clone())));
            fields.retain(|_, it| !it.is_null());
        }
        let patch = json!({ "spec": { "roles": roles } }).to_string();
        let line = [
            "patch",
            "kubedirectorcluster",
            "cassandra",
            "--type=merge",
            "-p",
            &patch,
        ];
        self.virtual_cluster.kubectl.kubectl_ok(&line);
    }

    /// Waits until the cluster says that its volumes have grown.
    fn is_over(&self) {
        eventually("the cluster to say that volumes have grown", || {
            let conditions = self.virtual_cluster.cluster()["status"]["conditions"].clone();
            let mut conditions = conditions.as_array()?.iter();
            let resizing = conditions.find(|it| it["type"] == "StorageResizing")?;
            (resizing["status"] == "False").then_some(())
        });
    }

    /// How large its file system is in the member, in bytes.
    fn size(&self) -> u64 {
        let line = ["df", "-B1", "--output=size", DATA];
        let text = self.virtual_cluster.in_pod(&self.pod, &line);
        text.lines().last().unwrap().trim().parse().unwrap()
    }

    /// Writes what a command says to a file on the volume.
    fn in_member(&self, command: &[&str], file: &str) {
        let line = format!("{} >{DATA}/{file}", command.join(" "));
        self.virtual_cluster.in_pod(&self.pod, &["sh", "-c", &line]);
    }

    fn address(&self) -> String {
        let pod = self.get(&["pod", &self.pod]);
        pod["status"]["podIP"].as_str().unwrap().to_owned()
    }
}

/// Whoever writes, without a pause.
struct Writer {
    process: Child,
    phases: ChildStdin,
}

impl Writer {
    fn start(database: &Database<'_>) -> Self {
        let python = ::windlass::sparks::cache().join("clients/cassandra/bin/python3");
        let script = root().join("crates/cli/tests/clients/cassandra/writer.py");
        assert!(
            fs::exists(&python).unwrap(),
            "make e2e-apps installs the driver"
        );
        let mut process = Command::new(python)
            .arg(script)
            .arg(database.address())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let phases = process.stdin.take().unwrap();
        Self { process, phases }
    }

    fn phase(&mut self, name: &str) {
        writeln!(self.phases, "{name}").unwrap();
    }

    /// Ends it; what it has to tell.
    fn end(mut self) -> Value {
        writeln!(self.phases).unwrap();
        let mut line = String::new();
        let stdout = self.process.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        assert!(self.process.wait().unwrap().success(), "{line}");
        serde_json::from_str(&line).unwrap()
    }
}
