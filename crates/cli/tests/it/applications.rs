//! The commands about applications, against one running cluster, and failures staged for real.
//!
//! The drivers are no Sparks: a pod template gives their container a command that prints what
//! Spark prints, so that a failure takes a moment instead of the start of a JVM.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};

use crate::common::{Answer, Up, until, write};

/// Long enough for whatever has to happen; nothing waits for it when all is well.
const PATIENCE: Duration = Duration::from_mins(2);

/// An application whose driver runs a shell script.
pub(crate) fn scripted(name: &str, script: &str) -> Value {
    json!({
        "apiVersion": "sparkoperator.k8s.io/v1beta2",
        "kind": "SparkApplication",
        "metadata": {"name": name, "labels": {"team": "tests"}},
        "spec": {
            "type": "Python",
            "mode": "cluster",
            "sparkVersion": "4.3.0",
            "image": "local/host:latest",
            "mainApplicationFile": "local:///opt/job.py",
            "driver": {
                "cores": 1, "coreRequest": "10m", "memory": "64m", "memoryOverhead": "64m",
                "template": {"spec": {"terminationGracePeriodSeconds": 1, "containers": [
                    {"name": "spark-kubernetes-driver", "command": ["sh", "-c", script]},
                ]}},
            },
            "executor": {"instances": 1, "cores": 1, "memory": "512m"},
        },
    })
}

/// The application with values put in, by the path of the field.
fn with(mut application: Value, changes: &[(&str, Value)]) -> Value {
    for (path, value) in changes {
        let mut place = &mut application["spec"];
        for field in path.split('.') {
            place = &mut place[field];
        }
        *place = value.clone();
    }
    application
}

/// A script that prints lines and exits.
fn says(lines: &str, code: i32) -> String {
    format!("cat <<'END'\n{lines}\nEND\nexit {code}\n")
}

const FOR_EVER: &str = "trap 'exit 143' TERM; echo started; while :; do sleep 0.1; done";

fn apply(up: &Up, objects: &[Value]) {
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
    let file = write(up.data.path(), "list.json", &list.to_string());
    up.kubectl_ok(&["create", "-f", &file]);
}

pub(crate) fn ok(answer: Answer) -> String {
    assert_eq!(answer.code, 0, "{}{}", answer.stdout, answer.stderr);
    answer.stdout
}

fn findings(up: &Up, name: &str) -> Value {
    let text = ok(up.windlass(&["why", name, "-o", "json"]));
    serde_json::from_str(&text).unwrap()
}

fn message(up: &Up, name: &str) -> String {
    let found = up.get(&["sparkapplication", name]).unwrap_or_default();
    let message = &found["status"]["applicationState"]["errorMessage"];
    message.as_str().unwrap_or_default().to_owned()
}

/// What is staged: name, application, and the cause that is to be found.
fn stages() -> Vec<(Value, &'static str)> {
    let traceback = "Traceback (most recent call last):\n  File \"/opt/job.py\", line 7, in <module>\n    main()";
    let py4j = "py4j.protocol.Py4JJavaError: An error occurred while calling o40.parquet.";
    let task = ": org.apache.spark.SparkException: Job aborted due to stage failure: Task 3 in stage 1.0 failed 4 times, \
                most recent failure: Lost task 3.3 in stage 1.0 (TID 9) (10.1.2.3 executor 4): ";
    let mounts = json!([{"name": "v", "mountPath": "/v"}]);
    vec![
        (
            scripted(
                "user-exception",
                &says(&format!("{traceback}\nValueError: the input is empty"), 1),
            ),
            "UserException",
        ),
        (
            scripted(
                "missing-jar",
                &says(
                    "26/03/01 12:04:50 WARN DependencyUtils: Local jar /opt/jobs/none.jar does not exist, skipping.\n\
                     Error: Failed to load class org.example.Main.",
                    101,
                ),
            ),
            "ApplicationFileMissing",
        ),
        (
            scripted("missing-file", "exec python3 /opt/none.py"),
            "ApplicationFileMissing",
        ),
        (
            scripted(
                "missing-class",
                &says("Error: Failed to load class org.example.Nope.", 101),
            ),
            "ClassMissing",
        ),
        (
            scripted(
                "no-s3a",
                &says(
                    &format!(
                        "{traceback}\n{py4j}\n: java.lang.RuntimeException: java.lang.ClassNotFoundException: Class \
                         org.apache.hadoop.fs.s3a.S3AFileSystem not found"
                    ),
                    1,
                ),
            ),
            "FileSystemMissing",
        ),
        (
            scripted(
                "executor-memory",
                &says(
                    &format!(
                        "{traceback}\n{py4j}\n{task}ExecutorLostFailure (executor 4 exited caused by one of the running \
                         tasks) Reason: \nThe executor with id 4 exited with exit code 137(SIGKILL, possible container OOM)."
                    ),
                    1,
                ),
            ),
            "ExecutorOutOfMemory",
        ),
        (
            scripted(
                "python-worker-memory",
                &says(
                    &format!(
                        "{traceback}\n{py4j}\n{task}org.apache.spark.SparkException: Python worker exited unexpectedly \
                         (crashed)"
                    ),
                    1,
                ),
            ),
            "PythonWorkerOutOfMemory",
        ),
        (
            scripted(
                "driver-memory",
                "exec python3 -c 'hoard = [bytes([1]) * (1 << 20) for _ in range(4000)]'",
            ),
            "DriverOutOfMemory",
        ),
        (
            scripted(
                "dns",
                "exec python3 -c 'import socket; socket.getaddrinfo(\"database.invalid\", 5432)'",
            ),
            "NameNotResolved",
        ),
        (
            scripted("module", "exec python3 -c 'import no_such_module'"),
            "ModuleMissing",
        ),
        (
            with(
                scripted("image", ":"),
                &[("image", json!("localhost:1/none:1"))],
            ),
            "ImageUnavailable",
        ),
        (
            with(
                scripted("account", ":"),
                &[("driver.serviceAccount", json!("nobody"))],
            ),
            "ServiceAccountMissing",
        ),
        (
            with(
                scripted("cores", ":"),
                &[("driver.coreRequest", json!("1000"))],
            ),
            "Unschedulable",
        ),
        (
            with(
                scripted("claim", ":"),
                &[
                    (
                        "volumes",
                        json!([{"name": "v", "persistentVolumeClaim": {"claimName": "nope"}}]),
                    ),
                    ("driver.volumeMounts", mounts.clone()),
                ],
            ),
            "ClaimPending",
        ),
        (
            with(
                scripted("settings", ":"),
                &[
                    (
                        "volumes",
                        json!([{"name": "v", "configMap": {"name": "nope"}}]),
                    ),
                    ("driver.volumeMounts", mounts),
                ],
            ),
            "ReferenceMissing",
        ),
        (
            with(
                scripted("sidecar", FOR_EVER),
                &[(
                    "driver.sidecars",
                    json!([{"name": "proxy", "image": "local/host:latest",
                        "command": ["sh", "-c", "echo no configuration; exit 3"]}]),
                )],
            ),
            "SidecarFailed",
        ),
        (
            with(
                scripted("init", ":"),
                &[(
                    "driver.initContainers",
                    json!([{"name": "fetch", "image": "local/host:latest", "command": ["sh", "-c", "exit 7"]}]),
                )],
            ),
            "InitContainerFailed",
        ),
        (
            with(
                scripted("invalid", ":"),
                &[("driver.memory", json!("lots"))],
            ),
            "InvalidSpec",
        ),
        (
            with(scripted("asleep", ":"), &[("suspend", json!(true))]),
            "Suspended",
        ),
        (scripted("deleted", FOR_EVER), "PodDeleted"),
    ]
}

#[test]
fn why_finds_the_cause_of_failures_that_are_staged_for_real() {
    let up = Up::start();
    let stages = stages();
    let applications: Vec<Value> = stages.iter().map(|(it, _)| it.clone()).collect();
    apply(&up, &applications);
    ok(up.windlass(&["wait", "deleted", "--for", "running", "--timeout", "120"]));
    up.kubectl_ok(&["delete", "pod", "deleted-driver", "--wait=false"]);
    let mut told = String::new();
    for (application, cause) in &stages {
        let name = application["metadata"]["name"].as_str().unwrap();
        let found = until(&format!("{name} to be {cause}"), PATIENCE, || {
            let first = &findings(&up, name)["findings"][0];
            (first["cause"] == *cause).then(|| first.clone())
        });
        told.push_str(&format!(
            "{name}: {cause}\n  -> {}\n",
            found["next"].as_str().unwrap()
        ));
        let text = ok(up.windlass(&["why", name]));
        assert!(text.contains(found["next"].as_str().unwrap()), "{text}");
        let status = ok(up.windlass(&["status", name]));
        assert!(status.contains(cause), "{status}");
    }
    insta::assert_snapshot!(told);

    // What a known error of Spark asks for is in the status as well.
    for (name, advice) in [
        ("missing-class", "check spec.mainClass"),
        ("no-s3a", "hadoop-aws"),
        ("python-worker-memory", "spec.executor.memoryOverhead"),
        ("dns", "check that the Service exists"),
    ] {
        let message = until(&format!("{name} to have failed"), PATIENCE, || {
            Some(message(&up, name)).filter(|message| !message.is_empty())
        });
        assert!(message.contains(advice), "{name}: {message}");
    }
}

#[test]
fn an_application_is_submitted_watched_changed_and_deleted() {
    let up = Up::start();
    let file = |name: &str, script: &str| {
        let text = scripted(name, script).to_string();
        write(up.data.path(), &format!("{name}.json"), &text)
    };
    let long = file("long", FOR_EVER);
    let short = file("short", "echo one; echo two; exit 0");

    // Submitting.
    let answer = up.windlass(&["submit", "-f", &long]);
    assert_eq!(
        answer.stdout, "default/long submitted\n",
        "{}",
        answer.stderr
    );
    let answer = up.windlass(&["submit", "-f", &long]);
    assert_eq!(answer.code, 2);
    assert!(answer.stderr.contains("--replace"), "{}", answer.stderr);
    let answer = up.windlass(&["submit", "-f", &short, "-o", "name"]);
    assert_eq!(
        answer.stdout,
        "sparkapplication.sparkoperator.k8s.io/short\n"
    );
    let answer = up.windlass(&[
        "submit",
        "--dry-run",
        "-o",
        "json",
        "--",
        "--master",
        "k8s://https://example:6443",
        "--deploy-mode",
        "cluster",
        "--conf",
        "spark.kubernetes.container.image=apache/spark:4.3.0",
        "local:///opt/job.py",
    ]);
    let shown: Value = serde_json::from_str(&ok(answer)).unwrap();
    assert_eq!(shown["spec"]["image"], "apache/spark:4.3.0");
    let answer = up.windlass(&[
        "submit",
        "--",
        "--master",
        "k8s://https://example:6443",
        "--deploy-mode",
        "cluster",
        "--conf",
        "spark.kubernetes.container.image=apache/spark:4.3.0",
        "/opt/job.py",
    ]);
    assert_eq!(answer.code, 2, "{}", answer.stderr);
    assert!(answer.stderr.contains("local:///"), "{}", answer.stderr);

    // Waiting.
    assert_eq!(
        ok(up.windlass(&["wait", "short", "--timeout", "120"])),
        "default/short COMPLETED\n"
    );
    ok(up.windlass(&["wait", "long", "--for", "running", "--timeout", "120"]));
    let answer = up.windlass(&["wait", "long", "--timeout", "1"]);
    assert_eq!(answer.code, 4, "{}", answer.stderr);
    assert!(
        answer.stderr.contains("is RUNNING after 1 s"),
        "{}",
        answer.stderr
    );

    // Looking.
    let table = ok(up.windlass(&["list"]));
    assert!(table.starts_with("NAME    STATE       ATTEMPTS"), "{table}");
    let wide = ok(up.windlass(&["list", "-A", "-o", "wide", "-l", "team=tests"]));
    assert!(wide.contains("long-driver"), "{wide}");
    let names = ok(up.windlass(&["list", "-o", "name"]));
    assert_eq!(names.lines().count(), 2, "{names}");
    let list: Value = serde_json::from_str(&ok(up.windlass(&["list", "-o", "json"]))).unwrap();
    assert_eq!(list["items"].as_array().unwrap().len(), 2);
    let yaml = ok(up.windlass(&["status", "short", "-o", "yaml"]));
    assert!(yaml.contains("state: COMPLETED"), "{yaml}");
    assert!(ok(up.windlass(&["status"])).contains("long"));
    assert!(ok(up.windlass(&["status", "long", "-o", "wide"])).contains("long-driver"));
    assert_eq!(ok(up.windlass(&["logs", "short", "--tail", "1"])), "two\n");
    assert_eq!(ok(up.windlass(&["logs", "short", "-f"])), "one\ntwo\n");
    let events = ok(up.windlass(&["events", "short"]));
    assert!(events.contains("sparkapplication/short"), "{events}");
    assert!(!events.contains("/long"), "{events}");
    let followed = ok(up.windlass(&["events", "short", "--follow"]));
    assert!(followed.contains("SparkApplicationCompleted"), "{followed}");
    assert!(ok(up.windlass(&["why", "long"])).contains("nothing is found to be wrong"));

    // What a change would do; nothing is changed by asking.
    let same = ok(up.windlass(&["diff", "-f", &long, "--exit-code"]));
    assert_eq!(
        same,
        "default/long is RUNNING, and its spec is that of the file\n"
    );
    let changed = with(
        scripted("long", FOR_EVER),
        &[
            ("arguments", json!(["7"])),
            ("timeToLiveSeconds", json!(60)),
        ],
    );
    let changed = write(up.data.path(), "changed.json", &changed.to_string());
    assert_eq!(
        ok(up.windlass(&["diff", "-f", &changed])),
        "default/long is RUNNING\n\n\
         FIELD                    NOW   THEN    EFFECT\n\
         spec.arguments           -     [\"7\"]   restart\n\
         spec.timeToLiveSeconds   -     60      in place\n\n\
         applying it stops what runs, and the application runs from its start\n"
    );
    let answer = up.windlass(&["diff", "-f", &changed, "--exit-code", "-o", "json"]);
    let told: Value = serde_json::from_str(&answer.stdout).unwrap();
    assert_eq!(
        (answer.code, &told["differences"][0]["then"]),
        (1, &json!(["7"]))
    );
    let new = file("new", FOR_EVER);
    let new = ok(up.windlass(&["diff", "-f", &new]));
    assert_eq!(
        new,
        "default/new is not there: applying the file creates it\n"
    );

    // Changing.
    assert_eq!(
        ok(up.windlass(&["suspend", "long"])),
        "default/long suspended\n"
    );
    ok(up.windlass(&["wait", "long", "--for", "suspended", "--timeout", "120"]));
    assert!(ok(up.windlass(&["why", "long"])).contains("windlass resume"));
    ok(up.windlass(&["resume", "long"]));
    ok(up.windlass(&["wait", "long", "--for", "running", "--timeout", "120"]));
    let asked = ok(up.windlass(&["rerun", "short", "-o", "json"]));
    let asked: Value = serde_json::from_str(&asked).unwrap();
    let request = asked["metadata"]["annotations"]["windlass.dev/rerun-requested-at"].as_str();
    assert!(request.unwrap().parse::<jiff::Timestamp>().is_ok());

    // Deleting.
    let answer = up.windlass(&["delete", "short", "long"]);
    assert_eq!(ok(answer), "default/short deleted\ndefault/long deleted\n");
    assert_eq!(up.kubectl_ok(&["get", "pods", "-o", "name"]), "");
    assert_eq!(up.windlass(&["delete", "long"]).code, 2);
    ok(up.windlass(&["delete", "long", "--ignore-not-found"]));
    ok(up.windlass(&["wait", "long", "--for", "deleted"]));
    let answer = up.windlass(&["list"]);
    assert_eq!((answer.code, answer.stdout.as_str()), (0, ""));
    for command in [
        "status", "why", "events", "forward", "suspend", "rerun", "wait",
    ] {
        let answer = up.windlass(&[command, "long"]);
        assert_eq!(answer.code, 2, "{command}: {}", answer.stderr);
        assert!(
            answer.stderr.contains("no application default/long"),
            "{command}: {}",
            answer.stderr
        );
    }
    // What it has printed outlives it.
    let answer = up.windlass(&["logs", "short"]);
    let said = &answer.stderr;
    assert!(said.contains("no application default/short"), "{said}");
    assert_eq!(ok(answer), "one\ntwo\n");
}

#[test]
fn the_page_of_a_driver_is_forwarded_and_kubectl_finds_its_plugin() {
    let up = Up::start();
    // A pod has an address of its own, which Spark binds to as well.
    let page = "exec python3 -m http.server 4040 --bind $SPARK_DRIVER_BIND_ADDRESS --directory /etc/hostname";
    apply(&up, &[scripted("paged", page)]);
    ok(up.windlass(&["wait", "paged", "--for", "running", "--timeout", "120"]));

    let mut forward = up
        .command(&["forward", "paged", "--local-port", "0"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut stderr = BufReader::new(forward.stderr.take().unwrap());
    stderr.read_line(&mut line).unwrap();
    let address = line.split(['/', ' ']).nth(2).unwrap().to_owned();
    let answer = until("the page to answer", PATIENCE, || {
        let mut stream = TcpStream::connect(&address).ok()?;
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        text.starts_with("HTTP/1.0").then_some(text)
    });
    assert!(answer.contains("SimpleHTTP"), "{answer}");
    forward.kill().unwrap();
    forward.wait().unwrap();

    let bin = up.data.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    std::os::unix::fs::symlink(crate::common::WINDLASS, bin.join("kubectl-windlass")).unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let answer: Answer = up
        .kubectl(&["windlass", "list", "-o", "name"])
        .env("PATH", path)
        .env_remove("WINDLASS_DATA_DIR")
        .output()
        .unwrap()
        .into();
    assert_eq!(ok(answer), "sparkapplication.sparkoperator.k8s.io/paged\n");
}
