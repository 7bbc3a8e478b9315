//! Logs that are kept in buckets, on servers that speak S3 and Azure's language. That of Google on a laptop has
//! no API of XML, which the client of contents speaks.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use windlass_storage::logs::lines::text;
use windlass_storage::logs::shelf::{Added, Bucket, Shelf, Slot};

use super::servers::{Language, Server};
use super::{PATIENCE, apply, on, start, until_reason};
use crate::common::{Answer, Up, until};

/// The ObjectStore and its place, as it is written.
const STORE: &str = "printed";
const KEPT: &str = "objectstore/default/printed";

/// A pod as one of Spark's, without Spark: its log goes to the bucket.
fn pod(name: &str, script: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {
            "spark-role": "driver", "sparkoperator.k8s.io/app-name": name, "windlass.dev/keep-logs": STORE,
        }},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,
            "containers": [{
                "name": "main", "image": "local/host:latest", "command": ["bash", "-c", script],
            }],
        },
    })
}

fn job() -> Value {
    json!({
        "apiVersion": "sparkoperator.k8s.io/v1beta2",
        "kind": "SparkApplication",
        "metadata": {"name": "pi"},
        "spec": {
            "type": "Python", "sparkVersion": "4.3.0", "image": "apache/spark:4.3.0",
            "mainApplicationFile": "local:///opt/spark/examples/src/main/python/pi.py",
            "arguments": ["20"],
            "keepLogs": STORE,
            "driver": {"cores": 1}, "executor": {"instances": 1, "cores": 1},
        },
    })
}

fn kept(up: &Up, arguments: &[&str]) -> Answer {
    up.windlass(&[&["logs", "--kept", KEPT], arguments].concat())
}

/// The kept log, once all of it is there.
fn whole(up: &Up, arguments: &[&str]) -> String {
    until("the log to be whole", PATIENCE, || {
        let answer = kept(up, arguments);
        let is_whole = answer.code == 0 && !answer.stderr.contains("its end");
        is_whole.then_some(answer.stdout)
    })
}

fn make_bucket(up: &Up, server: &Server) {
    up.apply(&server.keys());
    apply(up, STORE, &server.spec("printed-bucket", server.port()));
    until_reason(up, STORE, "BucketReady");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_logs_of_a_job_are_in_its_bucket_when_everything_else_is_gone() {
    for language in [Language::S3, Language::Azure] {
        let (mut up, server) = (start(), Server::start(language));
        let word = language.word();
        make_bucket(&up, &server);
        up.apply(&job());
        until("the driver to print something", PATIENCE, || {
            let answer = kept(&up, &["pi"]);
            (answer.code == 0 && !answer.stdout.is_empty()).then_some(())
        });
        up = on(up.kill());
        let waited = up.windlass(&["wait", "pi", "--timeout", "240"]);
        assert_eq!(waited.code, 0, "{word}: {}", waited.stderr);
        let printed = up.kubectl_ok(&["logs", "pi-driver"]);
        up.kubectl_ok(&["delete", "sparkapplication", "pi"]);
        until("the driver to be gone", PATIENCE, || {
            up.get(&["pod", "pi-driver"]).is_none().then_some(())
        });
        let text = whole(&up, &["pi"]);
        assert_eq!(text, printed, "{word}");
        assert_eq!(text.matches("Pi is roughly").count(), 1, "{word}: {text}");
        let executor = kept(&up, &["pi", "-e", "1"]);
        let started = executor.stdout.contains("executor");
        assert!(started, "{word}: {} {}", executor.stdout, executor.stderr);
        // What was joined are few objects: the log, whose it is, and that it ended, of two pods.
        until("the segments to be joined", PATIENCE, || {
            let shelf = shelf(&server);
            let count = futures::executor::block_on(async {
                let logs = shelf.logs("default", "pi").await.unwrap();
                let mut count = 0;
                for (slot, _) in logs {
                    count = count.max(shelf.held(&slot).await.unwrap().pieces.len());
                }
                count
            });
            (count == 1).then_some(())
        });

        // A log goes when its time is over: the next operator looks when a pod starts.
        let retention = "windlass.dev/log-retention=0s";
        up.kubectl_ok(&["annotate", "namespace", "default", retention]);
        up = on(up.kill());
        up.apply(&pod("next", "echo next; sleep 1000"));
        until("the old log to be deleted", PATIENCE, || {
            (kept(&up, &["pi"]).code == 2).then_some(())
        });
        until("the new one to be there", PATIENCE, || {
            (kept(&up, &["next"]).stdout == "next\n").then_some(())
        });
    }
}

fn shelf(server: &Server) -> Shelf {
    Shelf::bucket(Bucket::given(server.client("printed-bucket"), "kept-logs"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_is_taken_once_also_where_a_store_does_not_know_how() {
    for language in [Language::S3, Language::Azure] {
        let (up, server) = (start(), Server::start(language));
        make_bucket(&up, &server);
        let mut clients = vec![server.client("printed-bucket")];
        if language == Language::S3 {
            clients.push(server.old_client("printed-bucket"));
        }
        let slot = Slot {
            namespace: "default".to_owned(),
            application: "numbers".to_owned(),
            uid: "1".to_owned(),
        };
        for (number, client) in (1..).zip(clients) {
            let shelf = Shelf::bucket(Bucket::given(client, "kept-logs"));
            for expected in [Added::Yes, Added::Taken] {
                let line = format!("1970-01-01T00:00:05Z {expected:?}\n");
                let added = shelf.add(&slot, number, line.into()).await.unwrap();
                assert_eq!(added, expected, "{}", language.word());
            }
            let mut reading = shelf.read(&slot);
            while let Some(lines) = reading.next().await.unwrap() {
                assert_eq!(text(&lines), b"Yes\n");
            }
            assert_eq!(shelf.held(&slot).await.unwrap().next(), number + 1);
        }
    }
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_killed_takes_no_more_than_fifteen_seconds_with_it() {
    let (up, server) = (start(), Server::start(Language::S3));
    make_bucket(&up, &server);
    up.apply(&pod("clock", "while :; do date +%s; sleep 1; done"));
    let shelf = shelf(&server);
    let last = || async {
        let logs = shelf.logs("default", "clock").await.unwrap();
        let (slot, _) = logs.first()?;
        let mut all = Vec::new();
        let mut reading = shelf.read(slot);
        while let Some(lines) = reading.next().await.unwrap() {
            all.extend(text(&lines));
        }
        let all = String::from_utf8(all).unwrap();
        let times: Vec<u64> = all.lines().map(|it| it.parse().unwrap()).collect();
        assert!(times.windows(2).all(|it| it[0] < it[1]), "{times:?}");
        times.last().copied()
    };
    let begun = now();
    let mut first = None;
    // Some segments, so that the node dies in the middle of one.
    while first.is_none() || now() < begun + 36 {
        assert!(now() < begun + PATIENCE.as_secs(), "nothing is kept");
        tokio::time::sleep(Duration::from_millis(200)).await;
        first = last().await;
    }
    let (killed, data) = (now(), up.kill());
    let last = last().await.unwrap();
    assert!(last + 15 >= killed, "{last} {killed}");
    drop(data);
}

#[test]
fn a_pod_runs_whatever_becomes_of_its_log_and_is_told_what_is_missing() {
    let (up, server) = (start(), Server::start(Language::S3));
    up.apply(&pod("early", "echo early; sleep 1000"));
    let told = |words: &str| {
        until(&format!("{words} to be told"), PATIENCE, || {
            let events = up.get(&["events"])?;
            let mut events = events["items"].as_array()?.iter();
            let found = events.any(|it| {
                let message = it["message"].as_str().unwrap_or_default();
                it["reason"] == "LogNotKept" && message.contains(words)
            });
            found.then_some(())
        });
    };
    told("there is no ObjectStore default/printed");
    let pod = up.get(&["pod", "early"]).unwrap();
    assert_eq!(pod["status"]["phase"], "Running");
    let answer = kept(&up, &["early"]);
    assert!(
        answer.stderr.contains("there is no ObjectStore"),
        "{}",
        answer.stderr
    );
    apply(&up, STORE, &server.spec("printed-bucket", server.port()));
    told("the ObjectStore default/printed is not ready: CredentialsMissing");
    up.apply(&server.keys());
    until_reason(&up, STORE, "BucketReady");
    until("the log to be kept", PATIENCE, || {
        (kept(&up, &["early"]).stdout == "early\n").then_some(())
    });
}
