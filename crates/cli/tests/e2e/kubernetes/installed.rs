//! What `windlass install` prints, on a real Kubernetes: the operator is a pod of the image that
//! holds our static binary and nothing else, and it has no rights but the shipped ones.

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Value, json};

use crate::clusters::{Kubernetes, folder};
use crate::common::{Answer, Kubectl, processes, root, windlass, write};
use crate::real::{self, JOB, application, completed, drivers, eventually};

/// The namespace of the operator.
pub(super) const HOME: &str = "windlass-installed";
const DEPLOYMENT: &str = "deployment/windlass-operator";
const VERSION: &str = "4.3.0";
/// The minor version from which on namespaces can refuse pods by a profile.
const POD_SECURITY_SINCE: u32 = 23;

#[test]
fn the_operator_that_install_prints_runs_as_a_restricted_pod_and_goes_without_a_trace() {
    let cluster = Kubernetes::without_operator();
    let jobs = &cluster.namespace;
    let ours = manifests(&["--namespace", HOME, "--job-namespaces", jobs, "--webhook"]);
    // What other tests, or this one when it failed, have left.
    remove(&cluster, &manifests(&[]));
    remove(&cluster, &ours);
    eventually("what every namespace gets", || {
        let account = cluster.get(&["serviceaccount", "default"]);
        account.and(cluster.get(&["configmap", "kube-root-ca.crt"]))
    });
    let before = inventory(&cluster);

    cluster.kubectl_with(&["apply", "-f", "-"], &ours);
    rolled_out(&cluster);
    let pod = operator_pod(&cluster);
    is_restricted(&cluster, &cluster.namespace, &pod);
    answers_probes(&cluster, &pod);
    assert_eq!(leader(&cluster).as_deref(), Some(&*real::name(&pod)));
    tells_mistakes_at_once(&cluster);
    pi(&cluster, &cluster.namespace);
    counts(&cluster, &pod);
    job_that_outlives_its_operator(&cluster);

    remove(&cluster, &ours);
    eventually(
        "all that was installed, and what it made, to be gone",
        || {
            let left = inventory(&cluster);
            let left: Vec<_> = left.difference(&before).collect();
            eprintln!("left: {left:?}");
            left.is_empty().then_some(())
        },
    );
}

#[test]
fn virtual_clusters_are_judged_when_they_are_written_and_set_up_by_an_operator_in_a_pod() {
    let cluster = Kubernetes::without_operator();
    let ours = manifests(&["--namespace", HOME, "--virtual-clusters", "--webhook"]);
    // What other tests, or this one when it failed, have left.
    remove(&cluster, &manifests(&["--virtual-clusters"]));
    remove(&cluster, &ours);
    cluster.kubectl_with(&["apply", "-f", "-"], &ours);
    rolled_out(&cluster);

    for object in page_application() {
        cluster.apply(&object);
    }
    let manifest = fs::read_to_string(root().join("examples/virtual-clusters/page.yaml")).unwrap();
    let mut page = windlass_api::parse::objects(&manifest).unwrap().remove(0);
    page["spec"]["roles"][0]["members"] = json!(0);
    let folder = folder();
    let file = write(folder.path(), "page.json", &page.to_string());
    let said = eventually("a mistake to be told at once", || {
        let create = ["create", "--dry-run=server", "-f", &file];
        let answer: Answer = cluster.kubectl(&create).output().unwrap().into();
        (answer.code != 0).then_some(answer.stderr)
    });
    let by = "\"admit-virtual-clusters.windlass.dev\" denied the request";
    assert!(said.contains(by), "{said}");
    assert!(said.contains("spec.roles[0].members"), "{said}");

    // What is left out is stored.
    page["spec"]["roles"][0]
        .as_object_mut()
        .unwrap()
        .remove("members");
    cluster.apply(&page);
    let stored = cluster.get(&["kubedirectorcluster", "page"]).unwrap();
    assert_eq!(stored["spec"]["roles"][0]["members"], 1, "{stored:#}");
    let ready = [
        "wait",
        "kubedirectorcluster/page",
        "--for=condition=Ready",
        "--timeout=180s",
    ];
    cluster.kubectl_ok(&ready);
    let of_page = ["pods", "-l", "kubedirector.hpe.com/kdcluster=page"];
    let pods = cluster.get(&of_page).unwrap();
    let pod = real::name(&pods["items"][0]);
    let own = pods["items"][0]["status"]["podIP"].as_str().unwrap();
    let ask = format!("import urllib.request as it; print(it.urlopen('http://{own}:8000').status)");
    let status = cluster.kubectl_ok(&["exec", &pod, "--", "python3", "-c", &ask]);
    assert_eq!(status.trim(), "200");

    let delete = ["delete", "kubedirectorapp", "page"];
    let refused: Answer = cluster.kubectl(&delete).output().unwrap().into();
    let told = "cannot be deleted while it is in use";
    assert!(refused.stderr.contains(told), "{}", refused.stderr);
    let log = in_home(&cluster, &["logs", DEPLOYMENT]);
    assert!(!log.to_lowercase().contains("forbidden"), "{log}");
    let delete = ["delete", "--ignore-not-found", "--wait=false", "-f", "-"];
    cluster.kubectl_with(&delete, &ours);
}

/// The application that `windlass app init` begins, with an image that this node has.
fn page_application() -> Vec<Value> {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("page");
    let directory = page.display().to_string();
    let answer = windlass(&["app", "init", &directory]);
    assert_eq!(answer.code, 0, "{}", answer.stderr);
    let application = page.join("app.yaml");
    let text = fs::read_to_string(&application).unwrap();
    let image = format!("apache/spark:{VERSION}");
    let text = text.replace("local/host:latest", &image);
    // This image's own user may not write where packages are set up.
    let text = text.replace("{ idle: true }", "{ idle: true, runAsUser: 0 }");
    fs::write(&application, text).unwrap();
    let packaged = windlass(&["app", "package", &directory]);
    assert_eq!(packaged.code, 0, "{}", packaged.stderr);
    windlass_api::parse::objects(&packaged.stdout).unwrap()
}

/// The API server asks the webhook of the pod, whose certificate it has been told to believe.
fn tells_mistakes_at_once(cluster: &Kubernetes) {
    let folder = folder();
    let mut bad = application("bad", VERSION, folder.path(), "job.py", &json!({}));
    bad["spec"]["driver"]["memory"] = json!("much");
    let file = write(folder.path(), "bad.json", &bad.to_string());
    let said = eventually("a mistake to be told at once", || {
        let create = ["create", "--dry-run=server", "-f", &file];
        let answer: Answer = cluster.kubectl(&create).output().unwrap().into();
        (answer.code != 0).then_some(answer.stderr)
    });
    let expected = "\"validate.windlass.dev\" denied the request: spec.driver.memory";
    assert!(said.contains(expected), "{said}");
}

/// The same job that any user would try first.
fn pi(cluster: &Kubectl, namespace: &str) {
    cluster.kubectl_with(&["apply", "-f", "-"], &real::spark_pi(namespace));
    let (_, log) = completed(cluster, "spark-pi");
    assert!(log.contains("Pi is roughly 3.1"), "{log}");
}

/// A rollout replaces the operator in the middle of a job.
fn job_that_outlives_its_operator(cluster: &Kubectl) {
    let folder = folder();
    write(folder.path(), "job.py", JOB);
    let name = "handed-over";
    let object = application(name, VERSION, folder.path(), "job.py", &json!({}));
    cluster.apply(&object);
    real::sign(cluster, name, &folder.path().join("worked"));
    let driver = drivers(cluster, name).pop().unwrap();

    let first = leader(cluster);
    let log = in_home(cluster, &["logs", DEPLOYMENT]);
    assert!(!log.to_lowercase().contains("forbidden"), "{log}");
    in_home(cluster, &["rollout", "restart", DEPLOYMENT]);
    rolled_out(cluster);
    let second = eventually("the new operator to lead", || {
        leader(cluster).filter(|leader| Some(leader) != first.as_ref())
    });

    fs::write(folder.path().join("end"), "").unwrap();
    let (application, log) = completed(cluster, name);
    assert!(log.contains("second 10"), "{log}");
    let status = &application["status"];
    assert_eq!(status["executionAttempts"], 1, "{application:#}");
    let now = drivers(cluster, name);
    assert_eq!(now.len(), 1);
    assert_eq!(now[0]["metadata"]["uid"], driver["metadata"]["uid"]);
    let runs = fs::read_to_string(folder.path().join("runs")).unwrap();
    assert_eq!(runs, "begin\n");
    let pod = operator_pod(cluster);
    assert_eq!(second, real::name(&pod));
    let log = in_home(cluster, &["logs", DEPLOYMENT]);
    assert!(!log.to_lowercase().contains("forbidden"), "{log}");
}

/// The minor version of the API server.
fn minor(cluster: &Kubectl) -> u32 {
    let version: Value =
        serde_json::from_str(&cluster.kubectl_ok(&["get", "--raw", "/version"])).unwrap();
    version["minor"].as_str().unwrap().parse().unwrap()
}

/// The pod and its process are as little as can be, and the namespace takes nothing else.
fn is_restricted(cluster: &Kubectl, jobs: &str, pod: &Value) {
    let status = &pod["status"]["containerStatuses"][0];
    assert_eq!(status["restartCount"], 0, "{pod:#}");
    let other = ["run", "root", "--image=windlass.local/none:1"];
    let other = cluster.kubectl(&[&other[..], &["-n", HOME, "--dry-run=server"]].concat());
    let refused: Answer = { other }.output().unwrap().into();
    let said = &refused.stderr;
    let is_refused = said.contains("violates PodSecurity \"restricted");
    assert_eq!(is_refused, minor(cluster) >= POD_SECURITY_SINCE, "{said}");

    let processes = processes(&format!("--namespaces={jobs}"));
    let [pid] = processes[..] else {
        panic!("the processes of the operator are {processes:?}");
    };
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let words = line.unwrap_or_default().split_whitespace();
        words.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(field("Uid:"), "65532 65532 65532 65532");
    assert_eq!(field("Gid:"), "65532 65532 65532 65532");
    for capabilities in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
        assert_eq!(field(capabilities), "0000000000000000", "{capabilities}");
    }
    assert_eq!(field("NoNewPrivs:"), "1");
    assert_eq!(field("Seccomp:"), "2");
    let mounts = fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap();
    let root = mounts.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(' ').collect();
        (fields[4] == "/").then(|| fields[5].to_owned())
    });
    let root = root.unwrap_or_default();
    assert!(root.split(',').any(|option| option == "ro"), "{mounts}");
}

/// The pages that the kubelet asks for are there, where the Deployment says.
fn answers_probes(cluster: &Kubectl, pod: &Value) {
    let container = &pod["spec"]["containers"][0];
    let probe = |probe: &str| {
        let get = &container[probe]["httpGet"];
        assert_eq!(get["port"], "http", "{probe}");
        page(cluster, pod, get["path"].as_str().unwrap())
    };
    let live = probe("livenessProbe");
    let ready = probe("readinessProbe");
    for line in live.lines().chain(ready.lines()) {
        assert!(line.starts_with("[+] "), "{live}{ready}");
    }
    assert!(ready.contains("leadership: leader"), "{ready}");
}

/// What it has done is counted where Prometheus asks.
fn counts(cluster: &Kubectl, pod: &Value) {
    let metrics = page(cluster, pod, "/metrics");
    for line in [
        "\n# TYPE windlass_reconcile_total counter\n",
        "\nspark_application_count",
        "\nwindlass_spark_applications",
    ] {
        assert!(metrics.contains(line), "{line} {metrics}");
    }
}

/// A page of the port that the Deployment names.
fn page(cluster: &Kubectl, pod: &Value, path: &str) -> String {
    let port = &pod["spec"]["containers"][0]["ports"][0];
    assert_eq!(port["name"], "http");
    let pod = format!("{}:{}", real::name(pod), port["containerPort"]);
    let page = format!("/api/v1/namespaces/{HOME}/pods/{pod}/proxy{path}");
    cluster.kubectl_ok(&["get", "--raw", &page])
}

/// What `windlass install` prints.
pub(super) fn manifests(arguments: &[&str]) -> String {
    let answer = windlass(&[&["install"], arguments].concat());
    assert_eq!(answer.code, 0, "{}", answer.stderr);
    answer.stdout
}

/// Removes what was printed. Objects in a namespace may go with it before it is their turn.
pub(super) fn remove(cluster: &Kubectl, manifests: &str) {
    cluster.kubectl_with(&["delete", "--ignore-not-found", "-f", "-"], manifests);
}

pub(super) fn in_home(cluster: &Kubectl, arguments: &[&str]) -> String {
    cluster.kubectl_ok(&[&["-n", HOME], arguments].concat())
}

pub(super) fn rolled_out(cluster: &Kubectl) {
    in_home(
        cluster,
        &["rollout", "status", DEPLOYMENT, "--timeout=180s"],
    );
}

/// The one pod of the operator that is to stay.
pub(super) fn operator_pod(cluster: &Kubectl) -> Value {
    let selector = "app.kubernetes.io/name=windlass-operator";
    eventually("a single pod of the operator", || {
        let list = cluster.get(&["pods", "-n", HOME, "-l", selector])?;
        let [pod] = &list["items"].as_array()?[..] else {
            return None;
        };
        Some(pod.clone())
    })
}

/// The pod that holds the Lease.
fn leader(cluster: &Kubectl) -> Option<String> {
    let lease = cluster.get(&["lease", "windlass-operator", "-n", HOME])?;
    let holder = lease["spec"]["holderIdentity"].as_str()?;
    let (pod, _) = holder.rsplit_once('_')?;
    Some(pod.to_owned())
}

/// Every object of the cluster, by kind, namespace and name, less what comes and goes by itself.
fn inventory(cluster: &Kubectl) -> BTreeSet<String> {
    let kinds = cluster.kubectl_ok(&["api-resources", "--verbs=list", "-o", "name"]);
    let passing = |kind: &&str| kind.starts_with("events") || *kind == "componentstatuses";
    let kinds: Vec<&str> = kinds.lines().filter(|kind| !passing(kind)).collect();
    let template = r#"{range .items[*]}{.kind} {.metadata.namespace}/{.metadata.name}{"\n"}{end}"#;
    let output = format!("jsonpath={template}");
    let all = cluster.kubectl_ok(&["get", &kinds.join(","), "-A", "-o", &output]);
    all.lines().map(ToOwned::to_owned).collect()
}
