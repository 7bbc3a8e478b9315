//! Databases whose volumes grow while they are written to: what the tests of that share, on an embedded cluster
//! and on Kubernetes.
//!
//! What it prints is in `docs/benchmarks.md`.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::catalog::Virtual;
use crate::real::eventually;

const MIB: u64 = 1 << 20;
/// What is compared with: so long it is written before, between and after.
const CALM: Duration = Duration::from_secs(15);
/// A file system needs no more than this for itself, in bytes.
const OF_FILE_SYSTEM: u64 = 80 * MIB;

/// A database in a member, on a volume that begins with 300Mi.
pub(crate) struct Database<'c> {
    pub(crate) virtual_cluster: Virtual<'c>,
    pub(crate) pod: String,
    /// Where it keeps its rows.
    pub(crate) directory: &'static str,
}

impl Database<'_> {
    /// Lets it grow to 400Mi and to 500Mi while it is written to. No row is refused or lost, and the member
    /// stays as it is. `changed` is called as soon as the cluster has been given another size.
    pub(crate) fn grows_under(&self, mut writer: Writer, changed: impl Fn(&str)) {
        let before = self.standing();
        writer.phase("300Mi");
        thread::sleep(CALM);
        let mut sizes = vec![self.size()];
        for size in ["400Mi", "500Mi"] {
            let begun = Instant::now();
            writer.phase(&format!("to {size}"));
            self.set(&json!({ "size": size }));
            changed(size);
            eventually(&format!("the claim to have {size}"), || {
                (self.claim()["status"]["capacity"]["storage"] == size).then_some(())
            });
            let last = sizes.last().copied().unwrap_or_default();
            sizes.push(eventually("the file system to be larger", || {
                Some(self.size()).filter(|it| *it > last)
            }));
            eprintln!("{size} after {:.1} s", begun.elapsed().as_secs_f64());
            self.is_over();
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
            is_about(*size, asked);
        }
        assert_eq!(self.standing(), before, "the member was restarted");
    }

    /// Waits until its claim is as large as it may get by itself, and says so. How it got there: each request,
    /// and when it was made.
    pub(crate) fn steps_to_its_most(&self) -> Vec<(String, Timestamp)> {
        let mut steps: Vec<(String, Timestamp)> = Vec::new();
        eventually(
            "the volume to be as large as it may be, and to say so",
            || {
                let claim = self.claim();
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
        steps
    }

    pub(crate) fn get(&self, what: &[&str]) -> Value {
        self.virtual_cluster.kubectl.get(what).unwrap()
    }

    pub(crate) fn claim(&self) -> Value {
        self.get(&["pvc", &format!("p-{}", self.pod)])
    }

    /// What tells one life of its member from another.
    pub(crate) fn standing(&self) -> (Value, Value, Value) {
        let pod = self.get(&["pod", &self.pod]);
        let container = &pod["status"]["containerStatuses"][0];
        (
            pod["metadata"]["uid"].clone(),
            container["restartCount"].clone(),
            container["containerID"].clone(),
        )
    }

    /// The command that changes the storage of all roles.
    pub(crate) fn change(&self, storage: &Value) -> Command {
        let mut roles = self.virtual_cluster.cluster()["spec"]["roles"].clone();
        let storage = storage.as_object().unwrap();
        for role in roles.as_array_mut().unwrap() {
            let fields = role["storage"].as_object_mut().unwrap();
            fields.extend(storage.iter().map(|(name, it)| (name.clone(), it.clone())));
            fields.retain(|_, it| !it.is_null());
        }
        let patch = json!({ "spec": { "roles": roles } }).to_string();
        self.virtual_cluster.kubectl.kubectl(&[
            "patch",
            "kubedirectorcluster",
            self.virtual_cluster.name,
            "--type=merge",
            "-p",
            &patch,
        ])
    }

    /// Changes it.
    pub(crate) fn set(&self, storage: &Value) {
        let answer = self.change(storage).output().unwrap();
        let told = String::from_utf8_lossy(&answer.stderr);
        assert!(answer.status.success(), "{storage}: {told}");
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
    pub(crate) fn size(&self) -> u64 {
        let line = ["df", "-B1", "--output=size", self.directory];
        let text = self.virtual_cluster.in_pod(&self.pod, &line);
        text.lines().last().unwrap().trim().parse().unwrap()
    }

    /// Writes so many MiB of nothing to a file on the volume.
    pub(crate) fn fill(&self, mib: u32) {
        let line = format!("head -c {mib}M /dev/zero >{}/filler", self.directory);
        self.virtual_cluster.in_pod(&self.pod, &["sh", "-c", &line]);
    }
}

/// A file system of so many bytes is one of a volume of so many MiB.
pub(crate) fn is_about(size: u64, mib: u64) {
    let asked = mib * MIB;
    let holds = (asked - OF_FILE_SYSTEM..=asked).contains(&size);
    assert!(holds, "df says {size} of {asked}");
}

/// Whoever writes, without a pause: a program that is told phases on its input, and in the end prints what it
/// has to tell.
pub(crate) struct Writer {
    process: Child,
    phases: ChildStdin,
}

impl Writer {
    pub(crate) fn start(mut program: Command) -> Self {
        let mut process = program
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
