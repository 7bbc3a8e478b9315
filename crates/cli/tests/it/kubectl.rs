//! kubectl as its users know it, against `windlass up`: one session from the first look at the
//! cluster to the last deletion.
//!
//! What is said is kept as a transcript and compared with a snapshot per minor version of kubectl
//! (Debian ships 1.20, which lacks some commands and prints others differently); what differs from
//! run to run is redacted. What a snapshot cannot show (that output comes while a command runs,
//! that a command waits) is asserted by itself. `WINDLASS_KUBECTL` names another kubectl to try.

mod session;

use std::time::Duration;

use crate::common::{Up, until, write};
use session::Session;

/// Long enough for whatever has to happen; nothing waits for it when all is well.
const PATIENCE: Duration = Duration::from_mins(3);

const CLOCK: &str = r#"
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {greeting: tick}
---
apiVersion: v1
kind: Pod
metadata:
  name: clock
  labels: {app: clock}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: main
    image: local/host:latest
    command: [sh, -c, 'trap "exit 0" TERM; i=0; while :; do i=$((i+1)); echo "$GREETING $i"; sleep 0.2; done']
    ports:
    - {name: http, containerPort: 8080}
    env:
    - name: GREETING
      valueFrom: {configMapKeyRef: {name: settings, key: greeting}}
    - name: POD_NAME
      valueFrom: {fieldRef: {fieldPath: metadata.name}}
    resources:
      requests: {cpu: 10m, memory: 8Mi}
      limits: {memory: 64Mi}
    readinessProbe:
      exec: {command: ["true"]}
      periodSeconds: 1
      timeoutSeconds: 60
    volumeMounts:
    - {name: settings, mountPath: /etc/settings}
  volumes:
  - name: settings
    configMap: {name: settings}
---
apiVersion: v1
kind: Service
metadata: {name: clock}
spec:
  selector: {app: clock}
  ports:
  - {name: http, port: 8000, targetPort: http}
"#;

/// A job that counts, and then stays until it is told to end: so there is time to look at it.
const JOB: &str = r#"
import os, time
from pyspark.sql import SparkSession

spark = SparkSession.builder.getOrCreate()
print("counted", spark.range(1000, numPartitions=4).count(), flush=True)
while not os.path.exists("/tmp/enough"):
    time.sleep(0.1)
spark.stop()
"#;

const APPLICATION: &str = "
apiVersion: sparkoperator.k8s.io/v1beta2
kind: SparkApplication
metadata: {name: count}
spec:
  type: Python
  mode: cluster
  sparkVersion: 4.3.0
  image: apache/spark:4.3.0
  mainApplicationFile: local:///opt/job/job.py
  restartPolicy: {type: Never}
  driver:
    cores: 1
    memory: 512m
    serviceAccount: spark
    configMaps:
    - {name: job, path: /opt/job}
  executor: {instances: 1, cores: 1, memory: 512m}
";

#[test]
fn a_session_with_kubectl_goes_as_on_any_cluster() {
    let mut session = Session::start(Up::start());
    let clock = write(session.folder(), "clock.yaml", CLOCK);
    the_cluster(&mut session);
    a_pod(&mut session, &clock);
    changes(&mut session, &clock);
    small_objects(&mut session);
    questions(&mut session);
    mistakes(&mut session);
    ends(&mut session, &clock);
    a_spark_application(&mut session);
    session.compare();
}

/// Looking around.
fn the_cluster(session: &mut Session) {
    session.chapter("The cluster");
    session.says(&["version"]);
    session.says(&["cluster-info"]);
    session.says(&["get", "--raw", "/healthz"]);
    session.says(&["get", "nodes"]);
    let wide = session.quiet(&["get", "nodes", "-o", "wide"]);
    for column in ["INTERNAL-IP", "OS-IMAGE", "KERNEL-VERSION", "windlass://"] {
        assert!(wide.contains(column), "{column} in:\n{wide}");
    }
    let node = session.says(&["describe", "node", "windlass"]);
    for line in ["Ready", "HolderIdentity:  windlass", "Allocatable:"] {
        assert!(node.contains(line), "{line} in:\n{node}");
    }
    session.says(&["api-resources", "--api-group=sparkoperator.k8s.io"]);
    let resources = session.quiet(&["api-resources", "-o", "name"]);
    for name in [
        "pods",
        "services",
        "deployments.apps",
        "leases.coordination.k8s.io",
    ] {
        assert!(
            resources.lines().any(|line| line == name),
            "{name} in:\n{resources}"
        );
    }
    session.says(&["get", "namespaces"]);
    session.says(&["get", "services,endpoints", "kubernetes"]);
    session.says(&["explain", "pod.spec.containers.imagePullPolicy"]);
    session.says(&["explain", "sparkapp.spec.driver.cores"]);
    let driver = session.quiet(&["explain", "sparkapp.spec.driver"]);
    for field in ["coreLimit", "serviceAccount", "javaOptions"] {
        assert!(driver.contains(field), "{field} in:\n{driver}");
    }
}

/// A pod from its manifest to its logs.
fn a_pod(session: &mut Session, clock: &str) {
    session.chapter("A pod");
    let pods = session.watching(&["get", "pods", "-w"]);
    session.says(&["apply", "-f", clock]);
    session.says(&[
        "wait",
        "pod/clock",
        "--for=condition=Ready",
        "--timeout=90s",
    ]);
    let watched = pods.until(|text| text.contains("1/1") && text.contains("Running"));
    assert!(watched.contains("Pending"), "{watched}");
    assert!(!watched.contains("<invalid>"), "{watched}");
    pods.end();

    session.says(&["get", "pods", "-o", "wide", "-l", "app=clock"]);
    // The pod is ready a moment before its address is published.
    session.says_eventually(
        &["get", "service,endpoints", "clock", "-o", "wide"],
        ":8080",
    );
    session.says(&["get", "pod", "clock", "-o", "yaml"]);
    let described = session.says(&["describe", "pod", "clock"]);
    for event in ["Scheduled", "Pulled", "Created", "Started"] {
        assert!(described.contains(event), "{event} in:\n{described}");
    }
    session.says(&["describe", "service", "clock"]);
    session.says(&["get", "pods", "--field-selector=status.phase=Failed"]);

    let log = session.quiet(&["logs", "clock", "--tail=1"]);
    assert!(log.starts_with("tick "), "{log}");
    let following = session.stream(&["logs", "-f", "clock", "--tail=1"]);
    following.until(|text| text.lines().count() >= 3);
    following.end();

    session.says(&["exec", "clock", "--", "cat", "/etc/settings/greeting"]);
    session.says(&[
        "exec",
        "clock",
        "--",
        "sh",
        "-c",
        "echo out; echo err >&2; exit 3",
    ]);
    session.says_given(&["exec", "-i", "clock", "--", "wc", "-c"], "twelve bytes");
    session.says(&["exec", "clock", "--", "no-such-program"]);
}

/// Everything that changes an object.
fn changes(session: &mut Session, clock: &str) {
    session.chapter("Changes");
    session.says(&["label", "pod", "clock", "tier=front"]);
    session.says(&["label", "pod", "clock", "tier=back"]);
    session.says(&["annotate", "pod", "clock", "note=hello"]);
    let merge = r#"{"metadata":{"labels":{"tier":null,"team":"a"}}}"#;
    session.says(&["patch", "pod", "clock", "--type=merge", "-p", merge]);
    let json = r#"[{"op":"test","path":"/metadata/labels/team","value":"a"},
                   {"op":"replace","path":"/metadata/labels/team","value":"b"}]"#;
    session.says(&["patch", "pod", "clock", "--type=json", "-p", json]);
    session.says(&["get", "pod", "clock", "--show-labels"]);
    let strategic = r#"{"spec":{"ports":[{"name":"more","port":8001}]}}"#;
    session.says(&["patch", "service", "clock", "-p", strategic]);
    session.says(&["get", "service", "clock"]);
    let command = r#"{"spec":{"containers":[{"name":"main","command":["true"]}]}}"#;
    session.says(&["patch", "pod", "clock", "-p", command]);
    let changed = CLOCK.replace("greeting: tick", "greeting: tock");
    let changed = write(session.folder(), "changed.yaml", &changed);
    let difference = session.answer(&["diff", "-f", &changed]);
    assert_eq!(difference.code, 1, "{difference:?}");
    assert!(
        difference.stdout.contains("+  greeting: tock"),
        "{difference:?}"
    );
    session.says(&["apply", "-f", &changed]);
    session.says(&["apply", "--server-side", "--force-conflicts", "-f", clock]);
}

/// Objects that are made without a manifest.
fn small_objects(session: &mut Session) {
    session.chapter("Small objects");
    session.says(&["create", "configmap", "letters", "--from-literal=a=b"]);
    session.says(&["create", "secret", "generic", "words", "--from-literal=k=v"]);
    session.says(&["create", "serviceaccount", "robot"]);
    session.says(&[
        "create",
        "role",
        "reader",
        "--verb=get,list",
        "--resource=pods",
    ]);
    let subject = "--serviceaccount=default:robot";
    session.says(&["create", "rolebinding", "robot", "--role=reader", subject]);
    session.says(&["get", "configmaps,secrets,serviceaccounts"]);
    session.says(&["describe", "configmap", "letters"]);
    session.says(&["describe", "secret", "words"]);
    session.says(&["describe", "rolebinding", "robot"]);
    if session.minor >= 24 {
        let token = session.quiet(&["create", "token", "robot"]);
        assert_eq!(token.trim().split('.').count(), 3, "{token}");
        let token = format!("--token={}", token.trim());
        let pods = session.quiet(&["get", "pods", "-o", "name", &token]);
        assert!(pods.contains("pod/clock"), "{pods}");
    }
    session.says(&["create", "namespace", "team"]);
    session.says(&["delete", "namespace", "team"]);
}

/// Who may do what.
fn questions(session: &mut Session) {
    session.chapter("Questions");
    let robot = "--as=system:serviceaccount:default:robot";
    session.says(&["auth", "can-i", "create", "pods"]);
    session.says(&["auth", "can-i", "list", "pods", robot]);
    session.says(&["auth", "can-i", "delete", "pods", robot]);
    session.says(&["get", "secrets", robot]);
    if session.minor >= 28 {
        session.says(&["auth", "whoami"]);
    }
    if session.minor >= 26 {
        // Their order differs: the scheduler's event has fractions of a second, the others have not.
        let events = session.quiet(&["events", "--for", "pod/clock"]);
        for event in ["Scheduled", "Pulled", "Created", "Started"] {
            assert!(events.contains(event), "{event} in:\n{events}");
        }
    }
    session.says(&["top", "pods"]);
}

/// Everything that is wrong is told with its field.
fn mistakes(session: &mut Session) {
    session.chapter("Mistakes");
    let wrong = |session: &mut Session, from: &str, to: &str, manifest: &str, names: &str| {
        assert!(manifest.contains(from), "{from}");
        let manifest = manifest.replace(from, to);
        let answer = session.says_given(&["create", "-f", "-"], &manifest);
        assert!(answer.contains(names), "{names} in:\n{answer}");
    };
    let pod = "
apiVersion: v1
kind: Pod
metadata: {name: wrong}
spec:
  restartPolicy: Never
  containers:
  - {name: main, image: local/host:latest, resources: {requests: {cpu: 1}}}
";
    wrong(session, "image:", "imgae:", pod, "imgae");
    wrong(session, "cpu: 1", "cpu: lots", pod, "requests");
    wrong(session, "Never", "Sometimes", pod, "restartPolicy");
    wrong(session, "Never", "[Never]", pod, "restartPolicy");
    wrong(session, "name: wrong", "name: Wrong_", pod, "metadata.name");
    let app = APPLICATION.replace("name: count", "name: wrong");
    wrong(session, "memory: 512m", "memroy: 512m", &app, "memroy");
    wrong(session, "cores: 1", "cores: one", &app, "cores");
    wrong(session, "type: Python", "type: Pascal", &app, "spec.type");
    session.says(&["get", "pod", "wrong"]);
    session.says(&["get", "nonsense"]);
}

/// Pods that end, and deletion.
fn ends(session: &mut Session, clock: &str) {
    session.chapter("Ends");
    let fail = "echo giving up; exit 4";
    session.says(&[
        "run",
        "once",
        "--image=local/host:latest",
        "--restart=Never",
        "--command",
        "--",
        "sh",
        "-c",
        fail,
    ]);
    session.eventually(
        &["get", "pod", "once", "-o", "jsonpath={.status.phase}"],
        "Failed",
    );
    session.says(&["get", "pod", "once"]);
    session.says(&["logs", "once"]);
    let described = session.quiet(&["describe", "pod", "once"]);
    assert!(described.contains("Exit Code:    4"), "{described}");

    session.says(&[
        "run",
        "again",
        "--image=local/host:latest",
        "--",
        "sh",
        "-c",
        "exit 5",
    ]);
    session.says(&["run", "missing", "--image=registry.example/nothing:1"]);
    session.eventually(&["get", "pod", "again"], "CrashLoopBackOff");
    session.says_eventually(&["get", "pod", "missing"], "ImagePullBackOff");
    for (pod, event) in [
        (
            "again",
            "Back-off restarting failed container again in pod again_default",
        ),
        (
            "missing",
            "Back-off pulling image \"registry.example/nothing:1\"",
        ),
        ("missing", "Failed to pull image"),
    ] {
        session.eventually(&["describe", "pod", pod], event);
    }
    session.says(&["delete", "pod", "once", "again", "missing"]);

    let watching = session.watching(&["wait", "pod/clock", "--for=delete", "--timeout=90s"]);
    session.says(&["delete", "-f", clock]);
    let left = session.quiet(&["get", "pods", "-l", "app=clock", "-o", "name"]);
    assert_eq!(left, "", "delete returns when the pod has gone");
    assert!(watching.until_ended().contains("condition met"));
    session.says(&["get", "pod", "clock"]);
}

/// One real Spark application.
fn a_spark_application(session: &mut Session) {
    session.chapter("A Spark application");
    let job = write(session.folder(), "job.py", JOB);
    let application = write(session.folder(), "application.yaml", APPLICATION);
    let watch = session.watching(&["get", "sparkapp", "-w"]);
    session.says(&["create", "configmap", "job", &format!("--from-file={job}")]);
    session.says(&["apply", "-f", &application]);
    session.eventually(&["get", "sparkapp", "count"], "RUNNING");
    session.says(&[
        "wait",
        "pod/count-driver",
        "--for=condition=Ready",
        "--timeout=90s",
    ]);
    let log = session.stream(&["logs", "-f", "count-driver"]);
    log.until(|text| text.contains("counted 1000"));

    let path = "/api/v1/applications";
    let applications = session.through_port("pod/count-driver", 4040, path, r#""name" : "count""#);
    assert!(applications.starts_with("HTTP/1.1 200"), "{applications}");
    let driver = session.says(&["describe", "pod", "count-driver"]);
    assert!(
        driver.contains("Controlled By:  SparkApplication/count"),
        "{driver}"
    );
    // By age, since where a name with a hash stands among others differs from run to run.
    session.says(&[
        "get",
        "pods",
        "-l",
        "sparkoperator.k8s.io/app-name=count",
        "--sort-by=.metadata.creationTimestamp",
    ]);
    let executor = session.quiet(&["describe", "pods", "-l", "spark-role=executor"]);
    assert!(
        executor.contains("Controlled By:  Pod/count-driver"),
        "{executor}"
    );
    session.says(&[
        "get",
        "services",
        "-l",
        "sparkoperator.k8s.io/app-name=count",
    ]);

    session.says(&["exec", "count-driver", "--", "touch", "/tmp/enough"]);
    let seen = watch.until(|text| text.contains("COMPLETED"));
    let order: Vec<usize> = ["SUBMITTED", "RUNNING", "COMPLETED"]
        .iter()
        .map(|state| {
            seen.find(state)
                .unwrap_or_else(|| panic!("{state} in:\n{seen}"))
        })
        .collect();
    assert!(order.is_sorted(), "{seen}");
    assert!(!seen.contains("<invalid>"), "{seen}");
    assert!(log.until_ended().contains("SparkContext"));
    watch.end();
    session.says(&["get", "sparkapp"]);
    session.says(&["get", "pods"]);
    session.says(&["describe", "sparkapp", "count"]);
    session.says(&["delete", "sparkapp", "count"]);
    until(
        "all that was the application's to be collected",
        PATIENCE,
        || {
            let left = session.quiet(&["get", "all", "-o", "name"]);
            (left == "service/kubernetes\n").then_some(())
        },
    );
    session.says(&["get", "all"]);
}
