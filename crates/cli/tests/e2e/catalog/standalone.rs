//! Standalone Spark of the catalog as a virtual cluster, on both clusters: jobs run on its workers while
//! these come and go.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::ops::Deref;
use std::process::{Child, Command, Stdio};

use serde_json::json;

use super::Virtual;
use crate::clusters::Kubernetes;
use crate::common::{Answer, Kubectl, write};
use crate::real::{QUICK_START, eventually};

const VERSION: &str = "4.3.0";
/// The virtual cluster of the catalog.
const NAME: &str = "spark";
/// What all of it has, and the pods of its members.
const OURS: &str = "kubedirector.hpe.com/kdcluster=spark";

/// Shuffles once, and adds up what it got on and on until it is told to end. Whatever is lost is computed
/// again, and counted twice.
const JOB: &str = r#"
import os, sys, time
from operator import add
from pyspark.sql import SparkSession

spark = SparkSession.builder.getOrCreate()
mapped = spark.sparkContext.accumulator(0)

def pair(number):
    mapped.add(1)
    return number % 16, number

def slowly(pair):
    time.sleep(0.05)
    return os.environ["POD_NAME"], pair[1]

sums = spark.sparkContext.parallelize(range(10000), 8).map(pair).reduceByKey(add, 8)
over = False
while not over:
    over = os.path.exists(sys.argv[1])
    found = sums.map(slowly).collect()
    total = sum(part for _, part in found)
    print("sum", total, "of", mapped.value, "on", *sorted({pod for pod, _ in found}), flush=True)
    time.sleep(0.2)
spark.stop()
"#;
/// What each of its lines begins with while nothing was lost.
const RIGHT: &str = "sum 49995000 of 10000 on ";

/// Needs no Python of the workers, whose version may be another one than that of this machine.
const FROM_OUTSIDE: &str = r#"
from pyspark.sql import SparkSession

spark = SparkSession.builder.getOrCreate()
row = spark.range(0, 1000, 1, 4).repartition(4, "id").selectExpr("sum(id)").first()
print("the sum is", row[0])
spark.stop()
"#;

mod embedded {
    #[test]
    fn the_original_demo_of_standalone_spark_grows_and_shrinks_under_a_job() {
        super::the_original_demo();
    }
}

mod kubernetes {
    #[test]
    fn standalone_spark_runs_with_the_shipped_rights_and_goes_without_a_trace() {
        super::on_kubernetes();
    }
}

/// Controller, two workers and a notebook; four workers, and one.
fn the_original_demo() {
    let Some(up) = super::embedded() else { return };
    let demo = Demo::on(&up);
    demo.apply(1);
    demo.settled("worker", 2);
    demo.the_notebook_answers();

    let notebook = demo.pod("jupyter", 0);
    demo.grows_and_shrinks_under_a_job(&notebook, 4);

    for pod in [demo.pod("controller", 0), demo.pod("worker", 0), notebook] {
        demo.was_told(&pod, &[2, 3], &[1, 2, 3]);
    }
    demo.decommissioned(&[1, 2, 3]);
}

/// There is no notebook: it comes from PyPI, which the pods of hack/kubernetes do not reach.
fn on_kubernetes() {
    let kubernetes = Kubernetes::prepare_for_virtual_clusters();
    let demo = Demo::on(&kubernetes);
    demo.apply(0);
    demo.settled("worker", 2);
    let controller = demo.pod("controller", 0);
    demo.grows_and_shrinks_under_a_job(&controller, 3);
    for pod in [&controller, &demo.pod("worker", 0)] {
        demo.was_told(pod, &[2], &[1, 2]);
    }
    demo.decommissioned(&[1, 2]);
    demo.takes_a_job_from_outside(&controller);

    kubernetes.kubectl_ok(&["delete", "kubedirectorcluster", NAME]);
    eventually("all of it to go", || {
        let all = "pods,statefulsets,services,secrets,persistentvolumeclaims,poddisruptionbudgets";
        let left = kubernetes.kubectl_ok(&["get", all, "-l", OURS, "-o", "name"]);
        left.trim().is_empty().then_some(())
    });
}

/// The cluster of the catalog.
pub(super) struct Demo<'c>(Virtual<'c>);

impl<'c> Deref for Demo<'c> {
    type Target = Virtual<'c>;

    fn deref(&self) -> &Virtual<'c> {
        &self.0
    }
}

impl<'c> Demo<'c> {
    pub(super) fn on(kubectl: &'c Kubectl) -> Self {
        Self(Virtual {
            kubectl,
            name: NAME,
        })
    }

    /// Applies the catalog as its documentation says. In difference to it all members are told who comes
    /// and goes, and JVMs start quickly.
    fn apply(&self, notebooks: usize) {
        self.0.apply(super::all_are_told, |role| {
            if role["id"] == "jupyter" {
                role["members"] = json!(notebooks);
            }
            role["env"] = json!([{ "name": "SPARK_DAEMON_JAVA_OPTS", "value": QUICK_START }]);
        });
    }

    /// The pods of the first so many workers.
    pub(super) fn workers(&self, number: usize) -> BTreeSet<String> {
        (0..number).map(|it| self.pod("worker", it)).collect()
    }

    fn the_notebook_answers(&self) {
        let pod = self.pod("jupyter", 0);
        let service = self.kubectl.get(&["service", &pod]).unwrap();
        let address = service["spec"]["clusterIP"].as_str().unwrap();
        let ask = |path: &str| {
            let mut stream = TcpStream::connect((address, 8888)).unwrap();
            write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        };
        let answer = ask("/api");
        assert!(answer.contains("\"version\""), "{answer}");
        let answer = ask("/api/contents");
        assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
        let token = "nodegroups.1.roles.jupyter.services.jupyter.authToken";
        let token = self.in_pod(&pod, &["configcli", "--get", token]);
        let answer = ask(&format!("/api/contents?token={}", token.trim()));
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    /// From two workers to the most and to one, while a job that is submitted in this member goes on.
    fn grows_and_shrinks_under_a_job(&self, pod: &str, most: usize) {
        let job = self.submit(pod);
        job.runs_on(&self.workers(2));
        for workers in [most, 1] {
            self.resize("worker", workers);
            self.settled("worker", workers);
            job.runs_on(&self.workers(workers));
        }
        job.end();
    }

    /// Submits the job in a member, as its user would.
    fn submit(&self, pod: &str) -> Job<'_> {
        let settings = [
            // Whoever comes gets work, though others have the data.
            "spark.locality.wait=0",
            "spark.shuffle.reduceLocality.enabled=false",
            // Blocks are looked for again soon when an executor goes.
            "spark.storage.decommission.replicationReattemptInterval=1s",
        ];
        self.submit_this(JOB, &settings, pod)
    }

    /// Submits a job that prints what [`JOB`] does, with these settings.
    pub(super) fn submit_this(&self, job: &str, settings: &[&str], pod: &str) -> Job<'_> {
        let script = ["exec", "-i", pod, "--", "sh", "-c", "cat >/tmp/job.py"];
        self.kubectl.kubectl_with(&script, job);
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| fs::File::create(folder.path().join(name)).unwrap();
        let (out, err) = (file("out"), file("err"));
        let java = format!("spark.executor.extraJavaOptions={QUICK_START}");
        let mut command = self.kubectl.kubectl(&["exec", pod, "--"]);
        command
            .args(["/opt/spark/bin/spark-submit", "--conf", &java])
            .args(["--driver-java-options", QUICK_START])
            .args(["--conf", "spark.ui.enabled=false"])
            .args(["--conf", "spark.executor.memory=512m"])
            .args(settings.iter().flat_map(|it| ["--conf", it]))
            .args(["/tmp/job.py", "/tmp/end"])
            .stdout(out)
            .stderr(err);
        let process = command.spawn().unwrap();
        Job {
            demo: self,
            pod: pod.to_owned(),
            process,
            folder,
        }
    }

    /// Each of these workers was told to a member once when it came, and once when it went.
    fn was_told(&self, pod: &str, came: &[usize], went: &[usize]) {
        let calls = self.in_pod(pod, &["cat", "/var/log/guestconfig/calls"]);
        let mut lines = calls.lines();
        assert_eq!(lines.next(), Some("--configure"), "{pod}: {calls}");
        let service = &self.cluster()["status"]["clusterService"];
        let told = |hook: &str| -> Vec<String> {
            let before = format!("{hook} --nodegroup 1 --role worker --fqdns ");
            let names = calls.lines().filter_map(|it| it.strip_prefix(&before));
            let mut names: Vec<_> = names.flat_map(|it| it.split(',')).collect();
            names.sort_unstable();
            let pods = names.iter().map(|name| {
                let (pod, rest) = name.split_once('.').unwrap();
                assert!(rest.starts_with(service.as_str().unwrap()), "{name}");
                pod.to_owned()
            });
            pods.collect()
        };
        let pods = |ordinals: &[usize]| -> Vec<String> {
            let pods = ordinals.iter().map(|it| self.pod("worker", *it));
            pods.collect()
        };
        assert_eq!(told("--addnodes"), pods(came), "{pod}: {calls}");
        assert_eq!(told("--delnodes"), pods(went), "{pod}: {calls}");
        let known = ["--configure", "--addnodes ", "--delnodes "];
        let is_known = |line: &str| known.iter().any(|it| line.starts_with(it));
        assert!(calls.lines().all(is_known), "{pod}: {calls}");
    }

    /// These workers have told Spark's master that they would go, before they went.
    pub(super) fn decommissioned(&self, ordinals: &[usize]) {
        let controller = self.pod("controller", 0);
        let log = self.in_pod(&controller, &["cat", "/var/log/guestconfig/master.log"]);
        let events = [
            "get",
            "events",
            "-o",
            "jsonpath={range .items[*]}{.reason} {.message}{\"\\n\"}{end}",
        ];
        let events = self.kubectl.kubectl_ok(&events);
        for ordinal in ordinals {
            let pod = self.pod("worker", *ordinal);
            let says = |line: &&str| line.contains("ecommission") && line.contains(&pod);
            assert!(log.lines().any(|it| says(&it)), "{pod}: {log}");
            let drained = format!("MemberDrained {pod} ");
            assert!(events.contains(&drained), "{events}");
        }
        assert!(!events.contains("DrainTimedOut"), "{events}");
    }

    /// A driver on this machine uses the master at a port of the node.
    fn takes_a_job_from_outside(&self, controller: &str) {
        let service = self.kubectl.get(&["service", controller]).unwrap();
        let ports = service["spec"]["ports"].as_array().unwrap();
        let port = ports.iter().find(|it| it["port"] == 7077).unwrap();
        let port = u16::try_from(port["nodePort"].as_u64().unwrap()).unwrap();
        let node = [
            "get",
            "nodes",
            "-o",
            "jsonpath={.items[0].status.addresses[?(@.type==\"InternalIP\")].address}",
        ];
        let node: IpAddr = self.kubectl.kubectl_ok(&node).trim().parse().unwrap();
        let master = SocketAddr::new(node, port);
        // The address that the node reaches us at.
        let route = UdpSocket::bind(("0.0.0.0", 0)).unwrap();
        route.connect(master).unwrap();
        let here = route.local_addr().unwrap().ip();
        let mut sparks = ::windlass::sparks::find().into_iter();
        let spark = sparks.find(|it| it.version == VERSION).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let job = write(folder.path(), "outside.py", FROM_OUTSIDE);
        let answer: Answer = Command::new(spark.home.join("bin/spark-submit"))
            .args(["--master", &format!("spark://{master}")])
            .args(["--conf", &format!("spark.driver.host={here}")])
            .args(["--conf", "spark.ui.enabled=false"])
            .args(["--conf", "spark.executor.memory=512m"])
            .args(["--driver-java-options", QUICK_START])
            .arg(job)
            .env("PYSPARK_PYTHON", spark.python.unwrap())
            .env("SPARK_LOCAL_IP", here.to_string())
            .stdin(Stdio::null())
            .output()
            .unwrap()
            .into();
        let right = answer.stdout.contains("the sum is 499500");
        assert!(right, "{}\n{}", answer.stdout, answer.stderr);
    }
}

/// The job as it runs, ended with the value.
pub(super) struct Job<'d> {
    demo: &'d Demo<'d>,
    pod: String,
    process: Child,
    folder: tempfile::TempDir,
}

impl Job<'_> {
    fn said(&self, file: &str) -> String {
        fs::read_to_string(self.folder.path().join(file)).unwrap()
    }

    /// Waits until these members, and no others, have done a round of it.
    pub(super) fn runs_on(&self, pods: &BTreeSet<String>) {
        let before = self.said("out").len();
        eventually(&format!("the job to run on {pods:?}"), || {
            let said = self.said("out");
            // The last line may be a part of one.
            let (whole, _) = said[before..].rsplit_once('\n')?;
            let mut rounds = whole.lines().filter(|it| it.starts_with("sum "));
            let last = rounds.next_back()?;
            // What is wrong now stays so.
            let on = last.strip_prefix(RIGHT);
            let on = on.unwrap_or_else(|| panic!("the job is wrong: {last}"));
            let on: BTreeSet<String> = on.split(' ').map(str::to_owned).collect();
            (on == *pods).then_some(())
        });
    }

    /// Ends it: it has computed everything, and nothing twice.
    ///
    /// A task is lost in one way only. Executors keep where the blocks of a shuffle are, and hear of a move
    /// with the next stage: one that begins to read in the moment in which another one has left is sent back
    /// by Spark 4.3 with the right place, which counts as no failure.
    pub(super) fn end(mut self) {
        self.demo.in_pod(&self.pod, &["touch", "/tmp/end"]);
        let ended = eventually("the job to end", || self.process.try_wait().unwrap());
        let (said, log) = (self.said("out"), self.said("err"));
        assert!(ended.success(), "the job failed: {ended}");
        let mut rounds = said.lines().filter(|it| it.starts_with("sum "));
        let wrong = rounds.find(|it| !it.starts_with(RIGHT));
        assert_eq!(wrong, None, "the job is wrong");
        let mut lost = log.lines().filter(|it| it.contains("Lost task"));
        let lost = lost.find(|it| !it.contains("FetchFailed"));
        assert_eq!(lost, None, "a task was lost");
    }
}

impl Drop for Job<'_> {
    fn drop(&mut self) {
        if matches!(self.process.try_wait(), Ok(None)) {
            let _ = self.process.kill();
            let _ = self.process.wait();
        }
        if std::thread::panicking() {
            eprintln!(
                "--- the job said:\n{}\n{}",
                self.said("out"),
                self.said("err")
            );
        }
    }
}
