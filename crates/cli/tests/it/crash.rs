//! What survives when processes are killed, and what must not.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::common::{Answer, Up, WINDLASS, processes, until, until_no_process, write};

const PATIENCE: Duration = Duration::from_secs(20);

/// A pod of one shell script; the marker tells its processes from all others.
fn pod(name: &str, marker: &str, folder: &Path, script: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": name },
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,
            "containers": [{
                "name": "main",
                "image": "local/host:latest",
                "command": ["bash", "-c", format!("# {marker}\n{script}")],
                "volumeMounts": [{ "name": "signs", "mountPath": "/signs" }],
            }],
            "volumes": [{ "name": "signs", "hostPath": { "path": folder } }],
        },
    })
}

/// Counts for ever, and says who the API takes it for.
const COUNTER: &str = "
    trap 'exit 0' TERM
    n=0
    while true; do
        echo line $n
        n=$((n + 1))
        [ -e /signs/ask ] && kubectl auth whoami -o jsonpath='{.status.userInfo.username}' > /signs/.answer &&
            mv /signs/.answer /signs/answer && rm /signs/ask
        sleep 0.02
    done";

/// Does nothing for ever.
const SLEEPER: &str = "trap 'exit 0' TERM; sleep infinity & wait";

/// Ends when it is told to.
const ENDS: &str = "until [ -e /signs/end ]; do sleep 0.02; done; echo the last words; exit 7";

fn running(up: &Up, name: &str) -> Value {
    until(&format!("{name} to run"), PATIENCE, || {
        up.get(&["pod", name])
            .filter(|pod| pod["status"]["containerStatuses"][0]["ready"] == true)
    })
}

fn lines(up: &Up, pod: &str) -> Vec<String> {
    let log = up.kubectl_ok(&["logs", pod]);
    log.lines().map(ToOwned::to_owned).collect()
}

/// What a pod says to who asks it through the API.
fn asked(signs: &Path) -> String {
    std::fs::write(signs.join("ask"), "").unwrap();
    let answer = until("the pod to reach the API", PATIENCE, || {
        std::fs::read_to_string(signs.join("answer")).ok()
    });
    std::fs::remove_file(signs.join("answer")).unwrap();
    answer
}

#[test]
fn pods_and_acknowledged_writes_survive_the_death_of_the_control_plane() {
    let signs = tempfile::tempdir().unwrap();
    let up = Up::start();
    let marker = up.data.path().display().to_string();
    let counter = pod("counter", &marker, signs.path(), COUNTER);
    let ends = pod("ends", &marker, signs.path(), ENDS);
    up.kubectl_with(&["create", "-f", "-"], &format!("{counter}\n{ends}"));
    let before = running(&up, "counter");
    running(&up, "ends");
    let me = "system:serviceaccount:default:default";
    assert_eq!(asked(signs.path()), me);
    let kubeconfig = std::fs::read(up.data.path().join("kubeconfig")).unwrap();
    let token = up.kubectl_ok(&["create", "token", "default"]);
    let shims = format!("__shim\0run\0{marker}");
    let known = processes(&shims);
    assert_eq!(known.len(), 2);

    let maps: Vec<String> = (0..25)
        .map(|number| {
            json!({ "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": { "name": format!("map-{number}") }, "data": { "n": number.to_string() } })
            .to_string()
        })
        .collect();
    let acknowledged = up.kubectl_with(&["create", "-f", "-", "-o", "json"], &maps.join("\n"));
    let data = up.kill();

    // What ends while nobody looks is known all the same.
    std::fs::write(signs.path().join("end"), "").unwrap();
    let up = Up::on(data);
    let ended = until("the end of a pod to be recorded", PATIENCE, || {
        up.get(&["pod", "ends"])
            .filter(|pod| pod["status"]["phase"] == "Failed")
    });
    let status = &ended["status"]["containerStatuses"][0];
    assert_eq!(status["state"]["terminated"]["exitCode"], 7, "{ended:#}");
    assert_eq!(status["state"]["terminated"]["reason"], "Error");
    assert_eq!(status["restartCount"], 0);
    assert_eq!(lines(&up, "ends"), ["the last words"]);

    let now = std::fs::read(up.data.path().join("kubeconfig")).unwrap();
    assert_eq!(now, kubeconfig, "address, CA and keys are the same");
    let acknowledged: Vec<Value> = serde_json::Deserializer::from_str(&acknowledged)
        .into_iter()
        .collect::<Result<_, _>>()
        .unwrap();
    assert_eq!(acknowledged.len(), 25);
    let stored = up.get(&["configmaps"]).unwrap();
    for map in acknowledged {
        assert!(
            stored["items"].as_array().unwrap().contains(&map),
            "{map:#}"
        );
    }
    let whoami = [
        "auth",
        "whoami",
        "-o",
        "jsonpath={.status.userInfo.username}",
    ];
    let by_token = [&["--token", token.trim()], &whoami[..]].concat();
    assert_eq!(up.kubectl_ok(&by_token), me, "tokens are as before");

    let after = running(&up, "counter");
    assert_eq!(after["metadata"]["uid"], before["metadata"]["uid"]);
    assert_eq!(
        after["status"], before["status"],
        "the same instance, started once, ready all along"
    );
    let count = lines(&up, "counter").len();
    let log = until("the counter to go on", PATIENCE, || {
        Some(lines(&up, "counter")).filter(|lines| lines.len() > count)
    });
    let expected: Vec<String> = (0..log.len()).map(|n| format!("line {n}")).collect();
    assert_eq!(log, expected, "nothing is lost or said twice");
    assert_eq!(
        asked(signs.path()),
        me,
        "its token and its address for the API still do"
    );
    for shim in processes(&shims) {
        assert!(known.contains(&shim), "a shim was started again");
    }
}

#[test]
fn down_ends_everything_unless_it_is_told_to_keep_the_pods() {
    let signs = tempfile::tempdir().unwrap();
    let up = Up::start();
    let marker = up.data.path().display().to_string();
    let counter = pod("counter", &marker, signs.path(), COUNTER);
    let sleepers = (0..15).map(|n| pod(&format!("sleeper-{n}"), &marker, signs.path(), SLEEPER));
    let pods: Vec<String> = sleepers
        .chain([counter])
        .map(|pod| pod.to_string())
        .collect();
    up.kubectl_with(&["create", "-f", "-"], &pods.join("\n"));
    let before = running(&up, "counter");

    let kept = up.windlass(&["down", "--keep-pods"]);
    assert_eq!(kept.code, 0, "{}", kept.stderr);
    let up = Up::on(up.ended());
    let after = running(&up, "counter");
    assert_eq!(after["status"], before["status"]);

    let down = up.windlass(&["down"]);
    assert_eq!(
        (down.code, down.stdout.as_str()),
        (0, "the cluster is down\n"),
        "{}",
        down.stderr
    );
    let data = up.ended();
    until_no_process(&marker);
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(&marker), "{mounts}");
    let left: Vec<_> = std::fs::read_dir(data.path().join("node/pods"))
        .unwrap()
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn down_ends_the_pods_of_a_control_plane_that_was_killed() {
    let signs = tempfile::tempdir().unwrap();
    let up = Up::start();
    let marker = up.data.path().display().to_string();
    let counter = pod("counter", &marker, signs.path(), COUNTER);
    up.kubectl_with(&["create", "-f", "-"], &counter.to_string());
    running(&up, "counter");
    let data = up.kill();
    assert_ne!(processes(&marker), [0; 0]);
    let down = crate::common::windlass(&["down", "--data-dir", &marker]);
    assert_eq!(down.code, 0, "{}", down.stderr);
    assert!(
        down.stderr
            .contains("1 pods that it had left running were ended"),
        "{}",
        down.stderr
    );
    until_no_process(&marker);

    let up = Up::on(data);
    let ended = until("the kill to be recorded", PATIENCE, || {
        up.get(&["pod", "counter"])
            .filter(|pod| pod["status"]["phase"] == "Failed")
    });
    let terminated = &ended["status"]["containerStatuses"][0]["state"]["terminated"];
    assert_eq!(terminated["exitCode"], 137, "{ended:#}");
}

/// An application whose driver waits for a ConfigMap that never comes, and a pod beside it.
fn waiting_run(folder: &Path) -> Command {
    let marker = folder.display().to_string();
    let signs = folder.join("signs");
    std::fs::create_dir_all(&signs).unwrap();
    let beside = pod(
        "beside",
        &marker,
        &signs,
        &format!("echo > /signs/runs; {COUNTER}"),
    );
    let application = json!({
        "apiVersion": "sparkoperator.k8s.io/v1beta2",
        "kind": "SparkApplication",
        "metadata": { "name": "waits" },
        "spec": {
            "type": "Python",
            "mode": "cluster",
            "sparkVersion": "4.3.0",
            "image": "apache/spark:4.3.0",
            "mainApplicationFile": "local:///opt/job.py",
            "volumes": [{ "name": "never", "configMap": { "name": "never" } }],
            "driver": { "memory": "512m", "volumeMounts": [{ "name": "never", "mountPath": "/never" }] },
            "executor": { "instances": 1, "memory": "512m" },
        },
    });
    let file = write(
        folder,
        "app.yaml",
        &format!("{beside}\n---\n{application}\n"),
    );
    std::fs::create_dir_all(folder.join("tmp")).unwrap();
    let mut command = Command::new(WINDLASS);
    command
        .args(["run", "--progress", "plain", "-f", &file])
        .env("TMPDIR", folder.join("tmp"))
        .env("WINDLASS_DATA_DIR", folder.join("not-up"))
        .env_remove("RUST_LOG")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

#[test]
fn a_run_whose_cluster_stays_away_ends_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let up = Up::start();
    let mut command = waiting_run(folder.path());
    command
        .env("WINDLASS_DATA_DIR", up.data.path())
        .args(["--reconnect-timeout", "1"]);
    let run = command.spawn().unwrap();
    until("the driver to wait", PATIENCE, || {
        up.get(&["pod", "waits-driver"])
    });
    let data = up.kill();
    let answer: Answer = run.wait_with_output().unwrap().into();
    assert_eq!(answer.code, 3, "{}", answer.stderr);
    for told in [
        "the cluster does not answer; waiting up to 1 s",
        "the cluster has not answered for 1 s",
        "windlass run --attach",
    ] {
        assert!(answer.stderr.contains(told), "{told}: {}", answer.stderr);
    }
    // What is left of the cluster is ended with it.
    drop(Up::on(data));
}

#[test]
fn a_run_that_is_killed_or_interrupted_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let marker = folder.path().display().to_string();
    let sign = folder.path().join("signs/runs");
    let scratch = || {
        std::fs::read_dir(folder.path().join("tmp"))
            .unwrap()
            .count()
    };

    let mut killed = waiting_run(folder.path()).spawn().unwrap();
    until("the pod to run", PATIENCE, || sign.exists().then_some(()));
    killed.kill().unwrap();
    killed.wait().unwrap();
    until_no_process(&marker);
    assert_eq!(scratch(), 1, "nobody was there to clean up");
    std::fs::remove_file(&sign).unwrap();

    let interrupted = waiting_run(folder.path()).spawn().unwrap();
    until("the pod to run", PATIENCE, || sign.exists().then_some(()));
    assert_eq!(scratch(), 1, "the next run removes what a killed one left");
    let pid = rustix::process::Pid::from_raw(interrupted.id().cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let answer: Answer = interrupted.wait_with_output().unwrap().into();
    assert_eq!(answer.code, 4, "{}", answer.stderr);
    assert!(
        answer
            .stderr
            .contains("stopped: waits and its pods are gone"),
        "{}",
        answer.stderr
    );
    assert_eq!(processes(&marker), [0; 0]);
    assert_eq!(scratch(), 0);
}

#[test]
fn at_a_terminal_an_interrupted_run_asks_until_it_is_answered_and_a_second_interrupt_ends_it() {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let folder = tempfile::tempdir().unwrap();
    let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&keyboard).unwrap();
    unlockpt(&keyboard).unwrap();
    let terminal = ptsname(&keyboard, Vec::new())
        .unwrap()
        .into_string()
        .unwrap();
    let terminal = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(terminal)
        .unwrap();
    let mut command = waiting_run(folder.path());
    let said = folder.path().join("said");
    command
        .stdin(terminal)
        .stderr(std::fs::File::create(&said).unwrap());
    let mut run = command.spawn().unwrap();
    let sign = folder.path().join("signs/runs");
    until("the pod to run", PATIENCE, || sign.exists().then_some(()));
    let pid = rustix::process::Pid::from_raw(run.id().cast_signed()).unwrap();
    let interrupt = || {
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    };
    let questions = |wanted: usize| {
        until("a question", PATIENCE, || {
            let said = std::fs::read_to_string(&said).unwrap();
            (said.matches("[c]ontinue following?").count() == wanted).then_some(())
        });
    };
    interrupt();
    questions(1);
    rustix::io::write(&keyboard, b"what?\n").unwrap();
    questions(2);
    rustix::io::write(&keyboard, b"c\n").unwrap();
    until("it to go on", PATIENCE, || {
        let said = std::fs::read_to_string(&said).unwrap();
        said.contains("going on").then_some(())
    });
    interrupt();
    questions(3);
    interrupt();
    let status = until("the run to end", PATIENCE, || run.try_wait().unwrap());
    let said = std::fs::read_to_string(&said).unwrap();
    assert_eq!(status.code(), Some(4), "{said}");
    assert!(
        said.contains("stopped: waits and its pods are gone"),
        "{said}"
    );
}
