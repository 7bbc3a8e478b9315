//! Whole pods, from the API to the process and back.

use std::os::unix::fs::PermissionsExt as _;

use futures::FutureExt as _;
use k8s_openapi::api::core::v1::{ConfigMap, ContainerState, Pod, Service};
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use windlass_node::images::{ImageConfig, SparkInstallation};
use windlass_streaming::backend::{ExecOptions, NodeBackend as _};

use crate::cluster::{TestCluster, container_of, phase};
use crate::support::DEADLINE;

fn ended(pod: &Pod) -> bool {
    matches!(phase(pod), "Succeeded" | "Failed")
}

fn running(pod: &Pod) -> bool {
    phase(pod) == "Running"
}

fn ready(pod: &Pod) -> bool {
    condition(pod, "Ready") == Some("True".to_owned())
}

fn condition(pod: &Pod, kind: &str) -> Option<String> {
    let conditions = pod.status.as_ref()?.conditions.iter().flatten();
    conditions
        .into_iter()
        .find(|c| c.type_ == kind)
        .map(|c| c.status.clone())
}

fn state(pod: &Pod) -> ContainerState {
    let statuses = pod
        .status
        .as_ref()
        .and_then(|status| status.container_statuses.clone());
    statuses
        .and_then(|statuses| statuses[0].state.clone())
        .unwrap_or_default()
}

fn restarts(pod: &Pod) -> i32 {
    let statuses = pod
        .status
        .as_ref()
        .and_then(|it| it.container_statuses.as_ref());
    statuses.map_or(0, |statuses| statuses[0].restart_count)
}

fn waiting_reason(pod: &Pod) -> String {
    state(pod)
        .waiting
        .and_then(|waiting| waiting.reason)
        .unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_runs_its_containers_in_order_and_ends() {
    let cluster = TestCluster::start().await;
    let mount = json!([{"name": "shared", "mountPath": "/shared"}]);
    let script = "cat /shared/greeting; echo $(NAME) $NAME $POD_IP; echo why > /dev/termination-log; \
                  ls /var/run/secrets/kubernetes.io/serviceaccount; pwd; exit 3";
    cluster
        .create(
            "ordered",
            json!({
                "restartPolicy": "Never",
                "initContainers": [{
                    "name": "first", "volumeMounts": mount,
                    "command": ["sh", "-c", "echo hello > /shared/greeting"],
                }],
                "containers": [{
                    "name": "main", "volumeMounts": mount, "workingDir": "/opt/work",
                    "command": ["sh", "-c"], "args": [script],
                    "env": [{"name": "NAME", "value": "world"},
                            {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
                    "resources": {"requests": {"memory": "64Mi"}},
                }],
                "volumes": [{"name": "shared", "emptyDir": {}}],
            }),
        )
        .await;
    let pod = cluster.until("ordered", ended).await;
    let status = pod.status.clone().unwrap();
    let address = status.pod_ip.clone().unwrap();
    assert_eq!(
        cluster.log(&pod, "main").await,
        format!("hello\nworld world {address}\nca.crt\nnamespace\ntoken\n/opt/work\n")
    );
    let uid = pod.metadata.uid.clone().unwrap();
    insta::assert_json_snapshot!(status, {
        ".**.lastTransitionTime" => "[time]", ".startTime" => "[time]",
        ".**.startedAt" => "[time]", ".**.finishedAt" => "[time]",
        ".podIP" => "[address]", ".podIPs[].ip" => "[address]",
        ".**.containerID" => insta::dynamic_redaction(move |value, _| {
            assert!(value.as_str().is_some_and(|id| id.starts_with("windlass://")), "{uid}");
            "[id]"
        }),
    });
    let annotations = pod.metadata.annotations.clone().unwrap_or_default();
    assert!(
        annotations.contains_key(windlass_node::PEAK_MEMORY_ANNOTATION) || annotations.is_empty()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_waits_for_its_config_map_and_sees_it_change() {
    let cluster = TestCluster::start().await;
    let script = "echo $(cat /config/key); while [ \"$(cat /config/key)\" = one ]; do sleep 0.1; done; echo $(cat /config/key)";
    cluster
        .create(
            "patient",
            json!({
                "restartPolicy": "Never",
                "containers": [{"name": "main", "command": ["sh", "-c", script],
                                "volumeMounts": [{"name": "config", "mountPath": "/config"}]}],
                "volumes": [{"name": "config", "configMap": {"name": "later"}}],
            }),
        )
        .await;
    let wait = async {
        while !cluster
            .events("patient")
            .await
            .contains("configmap \"later\" not found")
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, wait).await.unwrap();
    let pod = cluster
        .until("patient", |pod| waiting_reason(pod) == "ContainerCreating")
        .await;
    assert_eq!(phase(&pod), "Pending");
    cluster.create_map("later", &[("key", "one")]).await;
    let pod = cluster.until("patient", running).await;
    let wait = async {
        while cluster.log(&pod, "main").await != "one\n" {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, wait).await.unwrap();
    let change = Patch::Merge(json!({"data": {"key": "two"}}));
    let maps = cluster.api::<ConfigMap>();
    maps.patch("later", &PatchParams::default(), &change)
        .await
        .unwrap();
    let pod = cluster.until("patient", ended).await;
    assert_eq!(
        (phase(&pod), cluster.log(&pod, "main").await.as_str()),
        ("Succeeded", "one\ntwo\n")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_keeps_failing_is_backed_off() {
    let cluster = TestCluster::start().await;
    let container = json!({"name": "main", "command": ["sh", "-c", "echo try; exit 1"]});
    cluster
        .create("looping", json!({"containers": [container]}))
        .await;
    let pod = cluster
        .until("looping", |pod| waiting_reason(pod) == "CrashLoopBackOff")
        .await;
    let status = &pod
        .status
        .as_ref()
        .unwrap()
        .container_statuses
        .as_ref()
        .unwrap()[0];
    assert_eq!(status.restart_count, 1);
    assert_eq!(
        status
            .last_state
            .clone()
            .unwrap()
            .terminated
            .unwrap()
            .exit_code,
        1
    );
    assert_eq!(phase(&pod), "Running");
    cluster.delete("looping", 0).await;
    cluster.until_gone("looping").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deletion_runs_the_hook_asks_politely_and_removes_the_pod() {
    let cluster = TestCluster::start().await;
    let seen = tempfile::tempdir().unwrap();
    let script = "trap 'echo term >> /seen/log; exit 0' TERM; echo up; while :; do sleep 0.1; done";
    cluster
        .create(
            "leaving",
            json!({
                "containers": [{
                    "name": "main", "command": ["sh", "-c", script],
                    "lifecycle": {"preStop": {"exec": {"command": ["sh", "-c", "echo hook >> /seen/log"]}}},
                    "volumeMounts": [{"name": "seen", "mountPath": "/seen"}],
                }],
                "volumes": [{"name": "seen", "hostPath": {"path": seen.path()}}],
            }),
        )
        .await;
    cluster.until("leaving", ready).await;
    cluster.delete("leaving", 20).await;
    cluster.until_gone("leaving").await;
    let log = std::fs::read_to_string(seen.path().join("log")).unwrap();
    assert_eq!(log, "hook\nterm\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_that_are_deleted_while_a_container_is_started_again_go() {
    let cluster = TestCluster::start().await;
    let spec = json!({"containers": [{"name": "main", "command": ["true"]}]});
    let live_briefly = (0..16).map(|number| {
        let (cluster, spec, name) = (&cluster, spec.clone(), format!("brief-{number}"));
        async move {
            cluster.create(&name, spec).await;
            // The first restart follows at once, so it is under way now or a moment later.
            let ended = |pod: &Pod| state(pod).terminated.is_some() || restarts(pod) > 0;
            cluster.until(&name, ended).await;
            cluster.delete(&name, 30).await;
            cluster.until_gone(&name).await;
        }
    });
    futures::future::join_all(live_briefly).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_driver_that_is_deleted_before_its_jvm_is_there_goes_at_once() {
    let installed = tempfile::tempdir().unwrap();
    let program = |path: &str, text: &str| {
        let path = installed.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    };
    // Spark's launcher, which takes its time, and Spark's script that waits for it as a shell does.
    let started = "#!/bin/sh\n: >\"/signal/$HOSTNAME\"\nsleep 1000\n";
    program("java/bin/java", started);
    program("spark/bin/spark-submit", started);
    program("spark/bin/load-spark-env.sh", "");
    std::fs::create_dir(installed.path().join("spark/work-dir")).unwrap();
    std::fs::write(installed.path().join("classes.jsa"), "").unwrap();
    let signal = tempfile::tempdir().unwrap();
    for archive in [None, Some(installed.path().join("classes.jsa"))] {
        let spark = SparkInstallation {
            spark_home: installed.path().join("spark"),
            python: None,
            java_home: Some(installed.path().join("java")),
            class_archive: archive.clone(),
        };
        let images = ImageConfig {
            spark: [("3.5".parse().unwrap(), spark)].into(),
            ..ImageConfig::default()
        };
        let cluster = TestCluster::start_with(images).await;
        let name = if archive.is_none() {
            "plain"
        } else {
            "archived"
        };
        let spec = json!({
            // Longer than this test waits for anything.
            "terminationGracePeriodSeconds": 600,
            "containers": [{"name": "main", "image": "apache/spark:3.5.9", "args": ["driver"],
                            "volumeMounts": [{"name": "signal", "mountPath": "/signal"}]}],
            "volumes": [{"name": "signal", "hostPath": {"path": signal.path()}}],
        });
        cluster.create(name, spec).await;
        cluster.until(name, running).await;
        let started = async {
            while !signal.path().join(name).exists() {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        let started = tokio::time::timeout(DEADLINE, started).await;
        started.expect("the driver starts");
        let params = kube::api::DeleteParams::default();
        cluster.api::<Pod>().delete(name, &params).await.unwrap();
        cluster.until_gone(name).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn service_names_appear_while_a_pod_runs() {
    let cluster = TestCluster::start().await;
    let script = "until getent hosts database.default.svc.cluster.local; do sleep 0.1; done";
    cluster.script("resolver", script).await;
    cluster.until("resolver", running).await;
    let service = json!({"metadata": {"name": "database"}, "spec": {"ports": [{"port": 5432}]}});
    let service: Service = serde_json::from_value(service).unwrap();
    let service = cluster
        .api::<Service>()
        .create(&PostParams::default(), &service)
        .await
        .unwrap();
    let address = service.spec.unwrap().cluster_ip.unwrap();
    let pod = cluster.until("resolver", ended).await;
    let log = cluster.log(&pod, "main").await;
    assert!(
        log.starts_with(&address) && log.contains("database"),
        "{log}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_cannot_be_had_is_told_with_what_helps() {
    let images = ImageConfig {
        install_hint: Some("windlass spark install {minor}".to_owned()),
        ..ImageConfig::default()
    };
    let cluster = TestCluster::start_with(images).await;
    let container = json!({"name": "main", "image": "apache/spark:3.5.9"});
    cluster
        .create("imageless", json!({"containers": [container]}))
        .await;
    let pod = cluster
        .until("imageless", |pod| waiting_reason(pod) == "ImagePullBackOff")
        .await;
    let message = state(&pod).waiting.unwrap().message.unwrap();
    assert!(
        message.contains("run: windlass spark install 3.5"),
        "{message}"
    );
    cluster.delete("imageless", 0).await;
    cluster.until_gone("imageless").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_agent_takes_over_what_runs_and_what_ended_meanwhile() {
    let mut cluster = TestCluster::start().await;
    let signal = tempfile::tempdir().unwrap();
    let spec = |file: &str| {
        let script = format!("echo up; until [ -e /signal/{file} ]; do sleep 0.1; done; exit 4");
        json!({
            "restartPolicy": "Never",
            "containers": [{"name": "main", "command": ["sh", "-c", script],
                            "volumeMounts": [{"name": "signal", "mountPath": "/signal"}]}],
            "volumes": [{"name": "signal", "hostPath": {"path": signal.path()}}],
        })
    };
    cluster.create("short", spec("short")).await;
    cluster.create("long", spec("long")).await;
    cluster.until("short", running).await;
    let before = cluster.until("long", running).await;
    cluster.stop_node().await;
    std::fs::write(signal.path().join("short"), "").unwrap();
    cluster.start_node().await;
    let short = cluster.until("short", ended).await;
    assert_eq!(state(&short).terminated.unwrap().exit_code, 4);
    let after = cluster.until("long", running).await;
    let id = |pod: &Pod| {
        let statuses = pod.status.clone().unwrap().container_statuses.unwrap();
        (statuses[0].container_id.clone(), statuses[0].restart_count)
    };
    assert_eq!(id(&before), id(&after));
    std::fs::write(signal.path().join("long"), "").unwrap();
    let long = cluster.until("long", ended).await;
    assert_eq!(
        (state(&long).terminated.unwrap().exit_code, id(&long).1),
        (4, 0)
    );
    assert_eq!(cluster.log(&long, "main").await, "up\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_run_inside_a_container_with_pipes_or_a_terminal() {
    let cluster = TestCluster::start().await;
    cluster
        .script("host", "echo inside > /tmp/mark; sleep 1000")
        .await;
    let pod = cluster.until("host", running).await;
    let exec = |command: &[&str], tty: bool| ExecOptions {
        command: command.iter().map(|&word| word.to_owned()).collect(),
        stdin: true,
        stdout: true,
        stderr: !tty,
        tty,
    };
    let options = exec(
        &["sh", "-c", "cat /tmp/mark; cat; echo oops >&2; exit 6"],
        false,
    );
    let process = cluster
        .streams
        .exec(container_of(&pod, "main"), options)
        .await
        .unwrap();
    let mut stdin = process.stdin.unwrap();
    stdin.write_all(b"typed\n").await.unwrap();
    stdin.shutdown().await.unwrap();
    drop(stdin);
    let (mut out, mut err) = (String::new(), String::new());
    process
        .stdout
        .unwrap()
        .read_to_string(&mut out)
        .await
        .unwrap();
    process
        .stderr
        .unwrap()
        .read_to_string(&mut err)
        .await
        .unwrap();
    assert_eq!((out.as_str(), err.as_str()), ("inside\ntyped\n", "oops\n"));
    assert_eq!(process.exit.await, Ok(6));

    let options = exec(&["sh", "-c", "test -t 1 && stty size"], true);
    let process = cluster
        .streams
        .exec(container_of(&pod, "main"), options)
        .await
        .unwrap();
    let mut out = String::new();
    process
        .stdout
        .unwrap()
        .read_to_string(&mut out)
        .await
        .unwrap();
    assert_eq!(out, "0 0\r\n");
    assert_eq!(process.exit.await, Ok(0));

    let options = exec(&["no-such-program"], false);
    let process = cluster
        .streams
        .exec(container_of(&pod, "main"), options)
        .await
        .unwrap();
    assert_eq!(process.exit.await, Ok(127));

    let address: std::net::Ipv4Addr = pod.status.unwrap().pod_ip.unwrap().parse().unwrap();
    let listener = tokio::net::TcpListener::bind((address, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let pod = cluster.api::<Pod>().get("host").await.unwrap();
    let forwarded = cluster.streams.port_forward(container_of(&pod, ""), port);
    let (mut forwarded, accepted) = tokio::join!(forwarded.map(Result::unwrap), listener.accept());
    accepted.unwrap().0.write_all(b"hello").await.unwrap();
    let mut text = String::new();
    forwarded.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "hello");
    cluster.delete("host", 0).await;
    cluster.until_gone("host").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_decide_readiness_and_replacement() {
    let cluster = TestCluster::start().await;
    let probe = |file: &str| {
        json!({"exec": {"command": ["test", "-e", file]}, "periodSeconds": 1,
                                    "failureThreshold": 1})
    };
    let container = json!({
        "name": "main", "terminationMessagePolicy": "File",
        "command": ["sh", "-c", "touch /tmp/live; sleep 2; touch /tmp/ready; sleep 2; rm /tmp/live; sleep 1000"],
        "readinessProbe": probe("/tmp/ready"), "livenessProbe": probe("/tmp/live"),
    });
    let spec = json!({"containers": [container], "terminationGracePeriodSeconds": 1});
    cluster.create("probed", spec).await;
    let pod = cluster.until("probed", running).await;
    assert_eq!(condition(&pod, "Ready").as_deref(), Some("False"));
    cluster.until("probed", ready).await;
    let restarted = |pod: &Pod| {
        let statuses = pod
            .status
            .as_ref()
            .and_then(|status| status.container_statuses.clone());
        statuses.is_some_and(|statuses| statuses[0].restart_count == 1)
    };
    cluster.until("probed", restarted).await;
    let events = cluster.events("probed").await;
    assert!(
        events.contains("failed liveness probe, will be restarted"),
        "{events}"
    );
    cluster.delete("probed", 0).await;
    cluster.until_gone("probed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn volumes_belong_to_the_pods_group() {
    let cluster = TestCluster::start().await;
    cluster.create_map("notes", &[("note", "readable")]).await;
    let script = "cat /notes/note; for d in /disk /memory; do echo x > $d/x; done; \
                  stat -c '%g %A' /disk /memory; stat -L -c '%g %a' /notes/note; stat -c %g /memory/x";
    let mounts: Vec<_> = ["notes", "disk", "memory"]
        .map(|name| json!({"name": name, "mountPath": format!("/{name}")}))
        .to_vec();
    cluster
        .create(
            "grouped",
            json!({
                "restartPolicy": "Never",
                "securityContext": {"runAsUser": 1000, "fsGroup": 2000},
                "containers": [{"name": "main", "command": ["sh", "-c", script], "volumeMounts": mounts}],
                "volumes": [
                    {"name": "notes", "configMap": {"name": "notes", "defaultMode": 0o400}},
                    {"name": "disk", "emptyDir": {}},
                    {"name": "memory", "emptyDir": {"medium": "Memory"}},
                ],
            }),
        )
        .await;
    let pod = cluster.until("grouped", ended).await;
    let log = cluster.log(&pod, "main").await;
    // An ordinary user's containers are that user, whatever they ask for.
    if rustix::process::geteuid().is_root() {
        assert_eq!(
            log,
            "readable2000 drwxrwsrwx\n2000 drwxrwsrwx\n2000 440\n2000\n"
        );
    } else {
        assert!(log.starts_with("readable"), "{log}");
    }
}
