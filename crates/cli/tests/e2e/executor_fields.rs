//! Every field of executors on the executor pods of real Spark: what the pod says, and what its
//! processes see.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use crate::common::{Up, write};
use crate::real::{self, VERSIONS, completed, condition, eventually, executors, look, name, sign};

/// What a field makes of the pod: a place, and the value there. `{spark}` is Spark's container,
/// `{env}NAME`, `{volume}NAME` and `{mount}PATH` are found by name.
const ON_THE_POD: &[(&str, &str, &str)] = &[
    ("template", "/metadata/labels/tier", r#""batch""#),
    ("template", "{env}OF_TEMPLATE/value", r#""1""#),
    ("template", "{container}helper/name", r#""helper""#),
    (
        "image",
        "{spark}/image",
        r#""docker.io/apache/spark:VERSION""#,
    ),
    ("cores", "{env}SPARK_EXECUTOR_CORES/value", r#""2""#),
    ("coreRequest", "{spark}/resources/requests/cpu", r#""500m""#),
    ("coreLimit", "{spark}/resources/limits/cpu", r#""3""#),
    ("memory", "{env}SPARK_EXECUTOR_MEMORY/value", r#""600m""#),
    (
        "memoryOverhead",
        "{spark}/resources/limits/memory",
        r#""1000Mi""#,
    ),
    (
        "memoryOverhead",
        "{spark}/resources/requests/memory",
        r#""1000Mi""#,
    ),
    ("serviceAccount", "/spec/serviceAccountName", r#""own""#),
    ("labels", "/metadata/labels/team", r#""data""#),
    ("nodeSelector", "/spec/nodeSelector/disk", r#""ssd""#),
    (
        "schedulerName",
        "/spec/schedulerName",
        r#""default-scheduler""#,
    ),
    (
        "terminationGracePeriodSeconds",
        "/spec/terminationGracePeriodSeconds",
        "77",
    ),
    ("volumeMounts", "{mount}/data/name", r#""data""#),
    ("volumeMounts", "{mount}/one/name", r#""spark-local-dir-1""#),
    ("volumeMounts", "{mount}/two/name", r#""spark-local-dir-2""#),
    (
        "volumeMounts",
        "{volume}data/persistentVolumeClaim/claimName",
        r#""data""#,
    ),
    (
        "volumeMounts",
        "{volume}spark-local-dir-1/emptyDir/sizeLimit",
        r#""1Gi""#,
    ),
    (
        "volumeMounts",
        "{volume}spark-local-dir-2/ephemeral/volumeClaimTemplate/spec/accessModes/0",
        r#""ReadWriteOnce""#,
    ),
    (
        "env",
        "{env}NODE/valueFrom/fieldRef/fieldPath",
        r#""spec.nodeName""#,
    ),
    ("envVars", "{env}OLD/value", r#""1""#),
    (
        "envSecretKeyRefs",
        "{env}PASSWORD/valueFrom/secretKeyRef/key",
        r#""password""#,
    ),
    (
        "envFrom",
        "{spark}/envFrom/0/configMapRef/name",
        r#""settings""#,
    ),
    (
        "configMaps",
        "{mount}/etc/app/name",
        r#""app-settings-vol-c3fd84a7""#,
    ),
    ("secrets", "{mount}/mnt/gcp/name", r#""gcp-volume""#),
    ("secrets", "{mount}/mnt/hdfs/name", r#""hdfs-volume""#),
    ("gpu", "{spark}/resources/limits/nvidia.com~1gpu", r#""1""#),
    ("ports", "{port}api/containerPort", "8080"),
    ("hostNetwork", "/spec/hostNetwork", "true"),
    (
        "hostNetwork",
        "/spec/dnsPolicy",
        r#""ClusterFirstWithHostNet""#,
    ),
    ("hostAliases", "/spec/hostAliases/0/ip", r#""10.0.0.1""#),
    (
        "initContainers",
        "/spec/initContainers/0/name",
        r#""prepare""#,
    ),
    ("sidecars", "{container}logs/name", r#""logs""#),
    (
        "dnsConfig",
        "/spec/dnsConfig/nameservers/0",
        r#""10.0.0.2""#,
    ),
    ("priorityClassName", "/spec/priorityClassName", r#""high""#),
    ("priorityClassName", "/spec/priority", "1000"),
    (
        "affinity",
        "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms/0/matchExpressions/0/key",
        r#""kubernetes.io/os""#,
    ),
    ("tolerations", "/spec/tolerations/0/key", r#""spot""#),
    (
        "securityContext",
        "{spark}/securityContext/runAsUser",
        "185",
    ),
    (
        "podSecurityContext",
        "/spec/securityContext/fsGroup",
        "2000",
    ),
    (
        "shareProcessNamespace",
        "/spec/shareProcessNamespace",
        "true",
    ),
    (
        "lifecycle",
        "{spark}/lifecycle/preStop/exec/command/0",
        r#""sh""#,
    ),
    (
        "",
        "{mount}/etc/metrics/conf/name",
        r#""metrics-configmap-volume""#,
    ),
    ("", "/metadata/labels/stage", r#""test""#),
    (
        "",
        "/metadata/labels/sparkoperator.k8s.io~1app-name",
        r#""fields""#,
    ),
    ("", "/metadata/annotations/prometheus.io~1port", r#""8090""#),
];

/// What a command in the executor's container prints. `NODE`, `HOST` and `USER` stand for what
/// they are on this machine.
const INSIDE: &[(&str, &str, &str)] = &[
    ("template", "echo $OF_TEMPLATE", "1"),
    (
        "memory",
        "tr '\\0' '\\n' < /proc/1/cmdline | grep ^-Xmx",
        "-Xmx600m",
    ),
    (
        "javaOptions",
        "tr '\\0' '\\n' < /proc/1/cmdline | grep Serial",
        "-XX:+UseSerialGC",
    ),
    (
        "cores",
        "tr '\\0' '\\n' < /proc/1/cmdline | grep -A 1 cores | tail -1",
        "2",
    ),
    (
        "serviceAccount",
        "cut -d . -f 2 /var/run/secrets/kubernetes.io/serviceaccount/token \
         | base64 -d 2>/dev/null | grep -o serviceaccount:default:own",
        "serviceaccount:default:own",
    ),
    (
        "volumeMounts",
        "echo kept > /data/mine; cat /data/mine",
        "kept",
    ),
    (
        "volumeMounts",
        "echo $SPARK_LOCAL_DIRS | tr , '\\n' | sort | xargs",
        "/one /two",
    ),
    ("volumeMounts", "ls /one /two | grep -c blockmgr", "2"),
    ("env", "echo $PLAIN", "a b"),
    ("env", "printenv EMPTY", ""),
    ("env", "echo ${EMPTY-unset}", ""),
    ("env", "echo $NODE", "NODE"),
    ("envVars", "echo $OLD", "1"),
    ("envSecretKeyRefs", "echo $PASSWORD", "hunter2"),
    ("envFrom", "echo $FROM_SETTINGS", "all of them"),
    ("configMaps", "cat /etc/app/level", "high"),
    ("secrets", "cat $GOOGLE_APPLICATION_CREDENTIALS", "{}"),
    ("secrets", "head -c 4 $HADOOP_TOKEN_FILE_LOCATION", "HDTS"),
    ("hostNetwork", "cat /proc/sys/kernel/hostname", "HOST"),
    (
        "hostAliases",
        "grep -w db /etc/hosts | xargs",
        "10.0.0.1 db",
    ),
    ("initContainers", "cat /data/prepared", "prepared"),
    (
        "dnsConfig",
        "grep -c '^nameserver 10.0.0.2$' /etc/resolv.conf",
        "1",
    ),
    (
        "dnsConfig",
        "grep -c '^search.* example.com' /etc/resolv.conf",
        "1",
    ),
    (
        "dnsConfig",
        "grep -c '^options.* ndots:3' /etc/resolv.conf",
        "1",
    ),
    ("securityContext", "id -u", "USER"),
    ("", "cat $SPARK_CONF_DIR/own.conf", "for spark"),
    ("", "cat $HADOOP_CONF_DIR/core-site.xml", "<configuration/>"),
    (
        "",
        "ls /etc/metrics/conf",
        "metrics.properties\nprometheus.yaml",
    ),
];

/// Fields that show elsewhere: each has an assertion of its own below, and `deleteOnTermination`
/// one in the test that kills executors.
const ELSEWHERE: [&str; 5] = [
    "instances",
    "annotations",
    "deleteOnTermination",
    "memoryLimit",
    "spot",
];

/// Says who it runs tasks as, and waits for the test.
const JOB: &str = r#"
import os, time
from pyspark.sql import SparkSession

spark = SparkSession.builder.getOrCreate()
# Without a shuffle: with hostNetwork Spark takes the executors of a node for one host, and reads
# the files of one in the other.
users = set(spark.sparkContext.parallelize(range(8), 8).map(lambda _: os.getuid()).collect())
print(f"driver {os.getuid()}, tasks {sorted(users)}", flush=True)
open("/job/ready", "w").close()
deadline = time.monotonic() + 280
while not os.path.exists("/job/end"):
    if time.monotonic() > deadline:
        raise SystemExit("the test does not end the job")
    time.sleep(0.1)
spark.stop()
"#;

pub(crate) const AGENT: &str = r#"
public final class Agent {
  public static void premain(String arguments) {
    System.out.println("measured with " + arguments);
  }
}
"#;

/// The value at a place of [`ON_THE_POD`].
fn find(pod: &Value, place: &str) -> Option<Value> {
    let containers = &pod["spec"]["containers"];
    // Of two with one name the later one counts.
    let named = |list: &Value, key: &str, name: &str| -> Option<Value> {
        let mut items = list.as_array()?.iter();
        items.rfind(|item| item[key] == name).cloned()
    };
    let spark = named(containers, "name", "spark-kubernetes-executor")?;
    let Some((kind, rest)) = place.strip_prefix('{').and_then(|it| it.split_once('}')) else {
        return pod.pointer(place).cloned();
    };
    let (list, key) = match kind {
        "spark" => return spark.pointer(rest).cloned(),
        "env" => (&spark["env"], "name"),
        "port" => (&spark["ports"], "name"),
        "mount" => (&spark["volumeMounts"], "mountPath"),
        "volume" => (&pod["spec"]["volumes"], "name"),
        "container" => (containers, "name"),
        other => panic!("{other} is no place"),
    };
    let (name, pointer) = if kind == "mount" {
        rest.rsplit_once('/')?
    } else {
        rest.split_once('/')?
    };
    named(list, key, name)?
        .pointer(&format!("/{pointer}"))
        .cloned()
}

/// What the commands of [`INSIDE`] print, in one session.
fn inside(up: &Up, pod: &str) -> Vec<String> {
    let script: Vec<String> = INSIDE
        .iter()
        .map(|(_, command, _)| format!("{{ {command}; }} 2>&1; echo ======"))
        .collect();
    let container = ["-c", "spark-kubernetes-executor", "--", "bash", "-c"];
    let script = script.join("\n");
    let line = [&["exec", pod][..], &container, &[&script]].concat();
    let text = up.kubectl_ok(&line);
    let answers = text
        .split("======\n")
        .map(|answer| answer.trim_end().to_owned());
    answers.take(INSIDE.len()).collect()
}

#[test]
fn every_field_is_in_a_table() {
    let up = Up::start();
    let crd = up.get(&["crd", "sparkapplications.sparkoperator.k8s.io"]);
    let spec = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties";
    let crd = crd.unwrap();
    let fields = crd.pointer(&format!("{spec}/executor/properties")).unwrap();
    let tables = ON_THE_POD.iter().chain(INSIDE).map(|(field, ..)| *field);
    let known: BTreeSet<&str> = tables.chain(ELSEWHERE).collect();
    for field in fields.as_object().unwrap().keys() {
        assert!(known.contains(field.as_str()), "{field} is in no table");
    }
}

#[test]
fn every_field_of_executors_arrives_on_every_version() {
    for version in VERSIONS {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        write(folder.path(), "job.py", JOB);
        let agent = [("Agent.java", AGENT)];
        real::jar(
            folder.path(),
            "agent.jar",
            version,
            &agent,
            "Premain-Class: Agent\n",
        );

        let up = Up::start();
        let node = name(&up.get(&["nodes"]).unwrap()["items"][0]);
        up.kubectl_ok(&["label", "node", &node, "disk=ssd"]);
        up.kubectl_ok(&["taint", "node", &node, "spot=yes:NoSchedule"]);
        let gpus = json!({ "nvidia.com/gpu": "4" });
        let status = json!({ "status": { "capacity": gpus, "allocatable": gpus } }).to_string();
        up.kubectl_ok(&[
            "patch",
            "node",
            &node,
            "--subresource=status",
            "-p",
            &status,
        ]);
        let manifest = include_str!("executor_fields.yaml")
            .replace("VERSION", version)
            .replace("FOLDER", &folder.path().display().to_string());
        up.kubectl_with(&["apply", "-f", "-"], &manifest);
        sign(&up, "fields", &folder.path().join("ready"));

        let pods = eventually("both executors", || {
            Some(executors(&up, "fields")).filter(|pods| pods.len() == 2)
        });
        let pod = &pods[0];
        for (field, place, expected) in ON_THE_POD {
            let expected: Value =
                serde_json::from_str(&expected.replace("VERSION", version)).unwrap();
            assert_eq!(
                find(pod, place),
                Some(expected),
                "{version} {field} {place}: {pod:#}"
            );
        }
        let application = look(&up, "fields");
        let id = application["status"]["sparkApplicationId"]
            .as_str()
            .unwrap();
        let number = pod["metadata"]["labels"]["spark-exec-id"].as_str().unwrap();
        let annotation = &pod["metadata"]["annotations"]["example.com/id"];
        assert_eq!(*annotation, format!("{id}/{number}"), "{version}");
        let not_applied = condition(&application, "FieldNotApplied");
        assert_eq!(not_applied["status"], "True", "{application:#}");
        let told = not_applied["message"].as_str().unwrap();
        assert!(told.contains("spec.executor.memoryLimit"), "{told}");
        assert_eq!(told.matches("spec.").count(), 1, "nothing else: {told}");

        let root = rustix::process::geteuid().is_root();
        let user = if root { "185" } else { "0" };
        let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
        let name_of_pod = name(pod);
        for ((field, command, expected), answer) in INSIDE.iter().zip(inside(&up, &name_of_pod)) {
            let expected = match *expected {
                "NODE" => node.as_str(),
                "HOST" => host.trim_end(),
                "USER" => user,
                other => other,
            };
            assert_eq!(answer, expected, "{version} {field} {command}");
        }
        let said = |container: &str| up.kubectl_ok(&["logs", &name_of_pod, "-c", container]);
        assert_eq!(said("helper"), "helped\n", "{version} template");
        assert_eq!(said("logs"), "shipping\n", "{version} sidecars");
        let measured = "measured with 8090:/etc/metrics/conf/prometheus.yaml\n";
        assert!(
            said("spark-kubernetes-executor").contains(measured),
            "{version}"
        );

        up.kubectl_ok(&["delete", "pod", &name_of_pod, "--timeout=200s"]);
        let replaced = eventually("both executors again", || {
            Some(executors(&up, "fields")).filter(|pods| pods.len() == 2)
        });
        let other = name(&replaced[0]);
        let stopped = up.kubectl_ok(&[
            "exec",
            &other,
            "-c",
            "spark-kubernetes-executor",
            "--",
            "ls",
            "/data",
        ]);
        assert!(
            stopped.contains("stopped"),
            "{version} lifecycle: {stopped}"
        );

        fs::write(folder.path().join("end"), "").unwrap();
        let (_, log) = completed(&up, "fields");
        assert!(
            log.contains(&format!("driver {user}, tasks [{user}]")),
            "{log}"
        );
        // Their sidecars go on for ever; nothing of the application does.
        assert_eq!(executors(&up, "fields").len(), 0, "{version}");
    }
}
