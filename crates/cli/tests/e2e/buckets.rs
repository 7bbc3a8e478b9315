//! ObjectStores on the embedded cluster, with servers that speak the languages of the providers: moto for
//! S3, gcp-storage-emulator for Google, azurite for Azure. `hack/setup.sh --clients --catalog` installs them.

mod between;
mod kept;
mod own;
mod servers;

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use self::between::{At, Between};
use self::servers::{Language, Server};
use crate::clients::installed;
use crate::common::{Up, root, shell_lines, shell_session, until};

/// Nothing here takes longer on a busy machine.
const PATIENCE: Duration = Duration::from_mins(2);

fn start() -> Up {
    on(tempfile::tempdir().unwrap())
}

fn on(data: tempfile::TempDir) -> Up {
    Up::on_with(data, "--storage")
}

fn apply(up: &Up, name: &str, spec: &Value) {
    up.apply(&json!({
        "apiVersion": "banzaicloud.com/v1alpha1",
        "kind": "ObjectStore",
        "metadata": {"name": name},
        "spec": spec,
    }));
}

fn get(up: &Up, name: &str) -> Option<Value> {
    up.get(&["objectstore", name])
}

/// Waits until the condition has this reason; returns the status.
fn until_reason(up: &Up, name: &str, reason: &str) -> Value {
    let mut last = Value::Null;
    let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        until(&format!("{name} to be {reason}"), PATIENCE, || {
            last = get(up, name)?["status"].take();
            (last["conditions"][0]["reason"] == reason).then(|| last.clone())
        })
    }));
    found.unwrap_or_else(|_| panic!("{name} is not {reason}: {last:#}"))
}

fn delete(up: &Up, name: &str) {
    up.kubectl_ok(&["delete", "objectstore", name, "--wait=false"]);
}

fn until_gone(up: &Up, name: &str) {
    until(&format!("{name} to go"), PATIENCE, || {
        get(up, name).is_none().then_some(())
    });
}

fn with(mut spec: Value, field: &str, value: Value) -> Value {
    spec[field] = value;
    spec
}

/// One after another, since each is a server that takes its memory.
#[tokio::test(flavor = "multi_thread")]
async fn buckets_are_made_adopted_refused_and_deleted_by_policy() {
    for language in Language::ALL {
        let (up, server) = (start(), Server::start(language));
        let word = language.word();
        let spec = |bucket: &str| server.spec(bucket, server.port());
        up.apply(&server.keys());

        // Made, and let go by the default policy; an ObjectStore of its name finds it again.
        apply(&up, "kept", &spec("kept-bucket"));
        let status = until_reason(&up, "kept", "BucketReady");
        assert_eq!(status["phase"], "Ready", "{word}");
        assert_eq!(status["ownership"], "Marked", "{word}");
        let url = status["url"].as_str().unwrap();
        assert!(url.contains("://kept-bucket"), "{word}: {url}");
        assert!(server.has("kept-bucket").await, "{word}");
        server.fill("kept-bucket").await;
        delete(&up, "kept");
        until_gone(&up, "kept");
        assert_eq!(server.count("kept-bucket").await, 3, "{word}");
        apply(&up, "kept", &spec("kept-bucket"));
        let status = until_reason(&up, "kept", "BucketReady");
        assert_eq!(status["ownership"], "Marked", "{word}");

        // Somebody else's: never touched, whatever the policy says.
        let greedy = with(
            spec("kept-bucket"),
            "deletionPolicy",
            json!("DeleteWithContents"),
        );
        apply(&up, "greedy", &greedy);
        let status = until_reason(&up, "greedy", "BucketNotOurs");
        let message = status["conditions"][0]["message"].as_str().unwrap();
        assert!(message.contains("default/kept"), "{word}: {message}");
        delete(&up, "greedy");
        until_gone(&up, "greedy");
        assert_eq!(server.count("kept-bucket").await, 3, "{word}");
        let guest = with(spec("kept-bucket"), "existing", json!(true));
        apply(&up, "guest", &guest);
        let status = until_reason(&up, "guest", "BucketReady");
        assert_eq!(status["ownership"], "Existing", "{word}");
        delete(&up, "guest");
        until_gone(&up, "guest");
        assert_eq!(server.count("kept-bucket").await, 3, "{word}");

        // Deleted once it is empty, or with what is in it.
        apply(
            &up,
            "brief",
            &with(spec("brief-bucket"), "deletionPolicy", json!("Delete")),
        );
        until_reason(&up, "brief", "BucketReady");
        delete(&up, "brief");
        until_gone(&up, "brief");
        assert!(!server.has("brief-bucket").await, "{word}");
        apply(
            &up,
            "full",
            &with(spec("full-bucket"), "deletionPolicy", json!("Delete")),
        );
        until_reason(&up, "full", "BucketReady");
        server.fill("full-bucket").await;
        delete(&up, "full");
        until_reason(&up, "full", "BucketNotEmpty");
        assert_eq!(server.count("full-bucket").await, 3, "{word}");
        let all = json!({"spec": {"deletionPolicy": "DeleteWithContents"}}).to_string();
        up.kubectl_ok(&["patch", "objectstore", "full", "--type=merge", "-p", &all]);
        until_gone(&up, "full");
        assert!(!server.has("full-bucket").await, "{word}");

        // What cannot change is refused.
        let other = json!({"spec": {"name": "other-bucket"}}).to_string();
        let refused = up
            .kubectl(&["patch", "objectstore", "kept", "--type=merge", "-p", &other])
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(told.contains("name cannot change"), "{word}: {told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_keys_and_a_server_that_is_down_are_told_and_got_over() {
    for language in Language::ALL {
        let (up, mut server) = (start(), Server::start(language));
        let word = language.word();
        let spec = server.spec("trouble", server.port());
        apply(
            &up,
            "trouble",
            &with(spec, "deletionPolicy", json!("Delete")),
        );
        let status = until_reason(&up, "trouble", "CredentialsMissing");
        assert_eq!(status["phase"], "Failed", "{word}");
        let (wrong, words) = server.wrong_keys();
        up.apply(&wrong);
        let status = until_reason(&up, "trouble", "CredentialsRefused");
        let message = status["conditions"][0]["message"].as_str().unwrap();
        assert!(message.contains(words), "{word}: {message}");
        // Right ones are tried at once.
        up.apply(&server.keys());
        until_reason(&up, "trouble", "BucketReady");

        server.stop();
        delete(&up, "trouble");
        let status = until_reason(&up, "trouble", "StoreUnreachable");
        assert_eq!(status["phase"], "Deleting", "{word}");
        let later = server.spec("later", server.port());
        apply(&up, "later", &later);
        let status = until_reason(&up, "later", "StoreUnreachable");
        let message = status["conditions"][0]["message"].as_str().unwrap();
        assert!(message.contains("cannot be reached"), "{word}: {message}");
        server.go_on();
        until_reason(&up, "later", "BucketReady");
        until_gone(&up, "trouble");

        // No key is shown to anybody.
        let shown = [
            up.kubectl_ok(&["get", "objectstores", "-o", "yaml"]),
            up.kubectl_ok(&["get", "events", "-o", "yaml"]),
            std::fs::read_to_string(up.data.path().join("stderr.log")).unwrap(),
        ];
        for text in shown {
            for secret in ["hunter2", "aHVudGVyMg", "Eby8vdM02xNOcqFlqUwJ"] {
                assert!(!text.contains(secret), "{word}: {text}");
            }
        }
    }
}

#[test]
fn a_bucket_of_another_account_and_one_without_a_mark_are_left_alone() {
    let (up, mut server) = (start(), Server::start(Language::S3));
    // One that does not check keys takes them for those of anybody.
    server.stop();
    server.go_on();
    up.apply(&server.keys());
    for (bucket, account) in [("unmarked", None), ("theirs", Some("111111111111"))] {
        let at = format!("http://127.0.0.1:{}/{bucket}", server.port());
        let mut put = Command::new("curl");
        put.args([
            "-sS",
            "-f",
            "-X",
            "PUT",
            "-H",
            "Authorization: AWS any:none",
        ]);
        if let Some(account) = account {
            put.args(["-H", &format!("x-moto-account-id: {account}")]);
        }
        assert!(put.arg(&at).status().unwrap().success());
        let spec = server.spec(bucket, server.port());
        apply(&up, bucket, &with(spec, "deletionPolicy", json!("Delete")));
        let status = until_reason(&up, bucket, "BucketNotOurs");
        assert_eq!(status["url"], Value::Null);
        delete(&up, bucket);
        until_gone(&up, bucket);
        assert!(
            Command::new("curl")
                .args(["-sS", "-f", "-I", &at])
                .output()
                .unwrap()
                .status
                .success()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_that_is_killed_at_any_request_leaves_nothing_half_done() {
    for language in Language::ALL {
        let server = Server::start(language);
        let word = language.word();
        // How many requests a life takes, and then one life for each of them, before and after it.
        let usual = live(&server, "usual", At::Request(usize::MAX)).await;
        eprintln!("{word}: {usual} requests");
        assert!(usual >= 5, "{word}: {usual}");
        for point in 1..=usual {
            live(&server, &format!("request-{point}"), At::Request(point)).await;
            live(&server, &format!("answer-{point}"), At::Answer(point)).await;
        }
    }
}

#[test]
fn an_application_waits_for_its_bucket_and_its_keys_are_in_no_object() {
    let (up, server) = (start(), Server::start(Language::S3));
    up.apply(&json!({
        "apiVersion": "sparkoperator.k8s.io/v1beta2",
        "kind": "SparkApplication",
        "metadata": {"name": "pi"},
        "spec": {
            "type": "Python", "sparkVersion": "4.3.0", "image": "apache/spark:4.3.0",
            "mainApplicationFile": "local:///opt/spark/examples/src/main/python/pi.py",
            "objectStores": ["history"],
            "driver": {}, "executor": {"instances": 1},
        },
    }));
    until("the application to be held", PATIENCE, || {
        let app = up.get(&["sparkapplication", "pi"])?;
        let told = app["status"]["conditions"].as_array()?.iter();
        let mut held = told.filter(|it| it["reason"] == "ObjectStoreNotReady");
        held.next().map(drop)
    });
    assert!(up.get(&["pod", "pi-driver"]).is_none());
    up.apply(&server.keys());
    apply(&up, "history", &server.spec("history", server.port()));
    let driver = until("the driver", PATIENCE, || up.get(&["pod", "pi-driver"]));
    let container = &driver["spec"]["containers"][0];
    let names = container["env"].as_array().unwrap().iter();
    let mut keys = names.filter_map(|it| it["valueFrom"]["secretKeyRef"]["key"].as_str());
    assert!(
        keys.any(|it| it == "AWS_SECRET_ACCESS_KEY"),
        "{container:#}"
    );
    let objects = up.kubectl_ok(&["get", "pods,configmaps,sparkapplications", "-o", "yaml"]);
    assert!(
        objects.contains("fs.s3a.bucket.history.endpoint="),
        "{objects}"
    );
    assert!(!objects.contains(server.secret_key()), "{objects}");
}

#[test]
fn every_command_about_buckets_does_what_it_says() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port().to_string();
    drop(free);
    let moto = installed("moto", "requirements.txt").display().to_string();
    let jars = windlass::sparks::cache().join("hadoop-aws/3.3.4/lib");
    assert!(jars.exists(), "make e2e-apps installs {}", jars.display());
    let document = std::fs::read_to_string(root().join("docs/object-stores.md")).unwrap();
    // A session that fails leaves no server.
    let mut session = String::from("set -euo pipefail\ntrap 'kill $(jobs -p) || true' EXIT\n");
    for line in shell_lines(&document) {
        // Other clusters and servers of this machine may have the usual ports.
        let line = line
            .replace("windlass up --storage", "windlass up --storage --port 0")
            .replace("~/.cache/windlass/clients/moto", &moto)
            .replace(
                "$HOME/.cache/windlass/hadoop-aws/3.3.4/lib",
                &jars.display().to_string(),
            )
            .replace("-p 9000", &format!("-p {port}"));
        session.push_str(&format!("{line}\n"));
    }
    let home = tempfile::tempdir().unwrap();
    let examples = home.path().join("examples/storage");
    std::fs::create_dir_all(&examples).unwrap();
    for file in [
        "bucket.yaml",
        "object-store.yaml",
        "history-server.yaml",
        "streaming.yaml",
    ] {
        let example = std::fs::read_to_string(root().join("examples/storage").join(file)).unwrap();
        let example = example.replace(":9000", &format!(":{port}"));
        std::fs::write(examples.join(file), example).unwrap();
    }
    let answer = shell_session(home.path(), &session);
    let told = format!("{session}\n{}\n{}", answer.stdout, answer.stderr);
    assert_eq!(answer.code, 0, "{told}");
    assert!(answer.stdout.contains("s3a://spark-history"), "{told}");
    // The streaming job goes on where it ended, and both of its runs are in the history after it is deleted.
    let begins: Vec<u32> = answer
        .stdout
        .lines()
        .filter_map(|line| {
            line.strip_prefix("goes on after ")?
                .split(' ')
                .next()?
                .parse()
                .ok()
        })
        .collect();
    assert!(
        matches!(begins[..], [0, again] if again >= 3),
        "{begins:?}\n{told}"
    );
    let listed = answer.stdout.matches("\"name\" : \"streaming\"").count();
    assert_eq!(listed, 2, "{told}");
}

/// A bucket is made and deleted while the operator is killed once; tells how many requests there were.
async fn live(server: &Server, bucket: &str, at: At) -> usize {
    let between = Between::new(server.port(), at);
    let told = format!("{} {at:?}", server.language.word());
    let up = start();
    up.apply(&server.keys());
    between.aim(up.pid());
    let spec = server.spec(bucket, between.port());
    let object = json!({
        "apiVersion": "banzaicloud.com/v1alpha1",
        "kind": "ObjectStore",
        "metadata": {"name": "life"},
        "spec": with(spec, "deletionPolicy", json!("Delete")),
    });
    let file = up.data.path().join("life.json");
    std::fs::write(&file, object.to_string()).unwrap();
    let up = through(up, &between, &told, |up| {
        let text = look(up)?;
        if text.is_empty() {
            // The control plane may die of it before kubectl hears that it was done.
            let file = up.data.path().join("life.json").display().to_string();
            let _ = up.kubectl(&["create", "-f", &file]).output();
        }
        Some(text == "life Ready")
    });
    assert!(server.has(bucket).await, "{told}");
    let up = through(up, &between, &told, |up| {
        let text = look(up)?;
        if !text.is_empty() {
            let _ = up
                .kubectl(&["delete", "objectstore", "life", "--wait=false"])
                .output();
        }
        Some(text.is_empty())
    });
    assert!(!server.has(bucket).await, "{told}");
    drop(up);
    assert!(
        between.is_over() || at == At::Request(usize::MAX),
        "{told}: {} requests",
        between.requests()
    );
    between.requests()
}

/// Waits for something, with a control plane that may be killed meanwhile. `None` is no answer.
fn through(up: Up, between: &Between, told: &str, is_done: impl Fn(&Up) -> Option<bool>) -> Up {
    let mut up = Some(up);
    until(told, PATIENCE, || {
        let now = up.take()?;
        let answer = is_done(&now);
        if answer.is_none() {
            assert!(
                between.is_over(),
                "{told}: the control plane does not answer"
            );
        }
        up = Some(match answer {
            Some(_) => now,
            None => on(now.kill()),
        });
        (answer == Some(true)).then_some(())
    });
    up.unwrap()
}

/// The object's name and phase; empty when there is none, and `None` when nobody answers.
fn look(up: &Up) -> Option<String> {
    let arguments = ["get", "objectstore", "life", "--ignore-not-found", "-o"];
    let path = "jsonpath={.metadata.name} {.status.phase}";
    let answer = up.kubectl(&arguments).arg(path).output().unwrap();
    let text = String::from_utf8(answer.stdout).unwrap();
    answer.status.success().then_some(text)
}
