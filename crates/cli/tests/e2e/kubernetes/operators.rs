//! On a real Kubernetes: operators that are killed, two of them at once, and a node that is lost.

use std::fs;

use serde_json::json;

use crate::clusters::{Kubernetes, folder, node_service};
use crate::common::{processes, windlass, write};
use crate::real::{
    self, JOB, application, completed, condition, drivers, ended, eventually, executors, look,
    state,
};

const VERSION: &str = "4.3.0";

/// How many JVMs of drivers of this application run on this machine, told by the host name of
/// their pod.
fn driver_processes(name: &str) -> usize {
    let read = |pid: &u32, file: &str| {
        let bytes = fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let host = format!("HOSTNAME={name}-driver\0");
    let of_driver = |pid: &&u32| {
        let line = read(pid, "cmdline");
        let jvm = line
            .split('\0')
            .next()
            .is_some_and(|it| it.ends_with("java"));
        jvm && read(pid, "environ").contains(&host)
    };
    let jvms = processes("org.apache.spark.deploy.SparkSubmit");
    jvms.iter().filter(of_driver).count()
}

#[test]
fn an_operator_that_is_killed_at_any_moment_neither_loses_nor_doubles_a_job() {
    let mut cluster = Kubernetes::prepare();
    let folder = folder();
    write(folder.path(), "job.py", JOB);
    let name = "killed";
    let mut object = application(name, VERSION, folder.path(), "job.py", &json!({}));
    // The driver waits for this ConfigMap, so there is a moment before it starts.
    let late = json!({ "name": "late", "configMap": { "name": "late" } });
    object["spec"]["volumes"].as_array_mut().unwrap().push(late);
    let mount = json!({ "name": "late", "mountPath": "/late" });
    let mounts = object["spec"]["driver"]["volumeMounts"].as_array_mut();
    mounts.unwrap().push(mount);

    cluster.apply(&object);
    cluster.kill_operator();
    cluster.start_operator();
    let driver = eventually("a driver pod", || drivers(&cluster, name).pop());
    cluster.kill_operator();
    cluster.kubectl_ok(&["create", "configmap", "late"]);
    cluster.start_operator();
    real::sign(&cluster, name, &folder.path().join("worked"));
    cluster.kill_operator();
    // It ends while nobody looks.
    fs::write(folder.path().join("end"), "").unwrap();
    eventually("the driver to end", || {
        let pods = drivers(&cluster, name);
        (pods[0]["status"]["phase"] == "Succeeded").then_some(())
    });
    assert_eq!(state(&look(&cluster, name)), "RUNNING");
    cluster.start_operator();
    let (application, log) = completed(&cluster, name);
    assert!(log.contains("second 10"), "{log}");
    let status = &application["status"];
    assert_eq!(status["executionAttempts"], 1, "{application:#}");
    let pods = drivers(&cluster, name);
    assert_eq!(pods.len(), 1);
    assert_eq!(pods[0]["metadata"]["uid"], driver["metadata"]["uid"]);
    let runs = fs::read_to_string(folder.path().join("runs")).unwrap();
    assert_eq!(runs, "begin\n");
}

#[test]
fn what_install_prints_is_admitted_under_the_restricted_profile() {
    let cluster = Kubernetes::prepare();
    let home = "windlass-installed";
    let install = windlass(&[
        "install",
        "--namespace",
        home,
        "--job-namespaces",
        &cluster.namespace,
        "--image",
        "windlass.local/none:1",
    ]);
    assert_eq!(install.code, 0, "{}", install.stderr);
    cluster.kubectl_with(&["apply", "-f", "-"], &install.stdout);
    // The image is not to be had here; that a pod is there says that it was admitted.
    let pod = eventually("the operator's pod", || {
        let pods = cluster.get(&["pods", "-n", home]).unwrap();
        pods["items"].as_array().unwrap().first().cloned()
    });
    let account = &pod["spec"]["serviceAccountName"];
    assert_eq!(account, "windlass-operator", "{pod:#}");
    let asks = |verb: &str, what: &str, namespace: &str| {
        let user = format!("--as=system:serviceaccount:{home}:windlass-operator");
        let line = ["auth", "can-i", verb, what, "-n", namespace, &user];
        let output = cluster.kubectl(&line).output().unwrap();
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    assert_eq!(asks("create", "pods", &cluster.namespace), "yes");
    assert_eq!(asks("update", "leases.coordination.k8s.io", home), "yes");
    assert_eq!(asks("create", "pods", "default"), "no");
    assert_eq!(asks("get", "secrets", &cluster.namespace), "no");
    cluster.kubectl_ok(&["delete", "namespace", home, "--wait=false"]);
}

#[test]
fn of_two_operators_one_works_and_the_other_takes_over() {
    let mut cluster = Kubernetes::prepare();
    let second = cluster.another_operator();
    let folder = folder();
    write(folder.path(), "job.py", JOB);
    let name = "inherited";
    cluster.apply(&application(
        name,
        VERSION,
        folder.path(),
        "job.py",
        &json!({}),
    ));
    real::sign(&cluster, name, &folder.path().join("worked"));
    cluster.kill_operator();
    cluster.until_somebody_leads();
    fs::write(folder.path().join("end"), "").unwrap();
    let (application, log) = completed(&cluster, name);
    assert!(log.contains("second 10"), "{log}");
    assert_eq!(
        application["status"]["executionAttempts"], 1,
        "{application:#}"
    );
    assert_eq!(drivers(&cluster, name).len(), 1);
    drop(second);
}

#[test]
fn a_driver_on_a_node_that_does_not_answer_is_not_doubled() {
    let cluster = Kubernetes::prepare();
    let folder = folder();
    write(folder.path(), "job.py", JOB);
    let name = "unreachable";
    // Kubernetes gives pods of a lost node five minutes, unless they say otherwise.
    let lost = |taint: &str| {
        json!({
            "key": format!("node.kubernetes.io/{taint}"),
            "operator": "Exists",
            "effect": "NoExecute",
            "tolerationSeconds": 5,
        })
    };
    let more = json!({
        "restartPolicy": { "type": "OnFailure", "onFailureRetries": 3, "onFailureRetryInterval": 1 },
        "driver": {
            "tolerations": [lost("unreachable"), lost("not-ready")],
            "terminationGracePeriodSeconds": 5,
        },
    });
    cluster.apply(&application(name, VERSION, folder.path(), "job.py", &more));
    real::sign(&cluster, name, &folder.path().join("worked"));
    eventually("its executor", || {
        (!executors(&cluster, name).is_empty()).then_some(())
    });
    assert_eq!(driver_processes(name), 1);

    let node = drivers(&cluster, name)[0]["spec"]["nodeName"].clone();
    let node = node.as_str().unwrap();
    let back = KubeletIsBack::after_kill();
    eventually("the node to be lost", || {
        let node = cluster.get(&["node", node])?;
        let conditions = node["status"]["conditions"].as_array()?;
        let ready = conditions.iter().find(|it| it["type"] == "Ready")?;
        (ready["status"] == "Unknown").then_some(())
    });
    // Kubernetes takes no pods from a lost node where no other one is left, unless this comes from
    // someone else; and it removes it when it finds out that no other one is left.
    let taint = "node.kubernetes.io/unreachable=:NoExecute";
    eventually("the driver to be deleted", || {
        cluster.kubectl_ok(&["taint", "node", node, taint, "--overwrite"]);
        let pods = drivers(&cluster, name);
        (!pods[0]["metadata"]["deletionTimestamp"].is_null()).then_some(())
    });
    // Its deletion is overdue, and still it lives: it is told, and no other one is made.
    let told = eventually("the application to say so", || {
        let application = look(&cluster, name);
        let running = condition(&application, "Running").clone();
        let text = running["message"].as_str().unwrap_or_default().to_owned();
        text.contains("is replaced only when pod")
            .then_some(running)
    });
    assert_eq!(drivers(&cluster, name).len(), 1, "{told:#}");
    assert_eq!(driver_processes(name), 1, "{told:#}");
    let runs = || fs::read_to_string(folder.path().join("runs")).unwrap();
    assert_eq!(runs(), "begin\n");

    // When the node is back it ends the driver, and only then the next attempt begins.
    fs::write(folder.path().join("end"), "").unwrap();
    drop(back);
    let application = ended(&cluster, name);
    assert_eq!(state(&application), "COMPLETED", "{application:#}");
    assert!(driver_processes(name) <= 1);
    let attempts = application["status"]["executionAttempts"].as_u64().unwrap();
    let begun = runs().lines().count();
    assert!((1..=2).contains(&begun), "{begun} runs: {application:#}");
    assert_eq!(u64::try_from(begun).unwrap(), attempts, "{application:#}");
}

/// Starts the kubelet again, also when the test fails.
struct KubeletIsBack;

impl KubeletIsBack {
    fn after_kill() -> Self {
        node_service("kill", "kubelet");
        Self
    }
}

impl Drop for KubeletIsBack {
    fn drop(&mut self) {
        node_service("start", "kubelet");
    }
}
