//! Buckets that the embedded cluster serves itself.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::{BackoffConfig, ObjectStoreExt as _, PutPayload, RetryConfig};
use serde_json::{Value, json};

use crate::common::{Up, until};
use crate::full_disk::{fill, up_on_a_small_disk};

const PATIENCE: Duration = Duration::from_mins(1);

fn apply(up: &Up, namespace: &str, name: &str, spec: &Value) {
    up.apply(&json!({
        "apiVersion": "banzaicloud.com/v1alpha1",
        "kind": "ObjectStore",
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }));
}

fn until_ready(up: &Up, namespace: &str, name: &str) -> Value {
    until(&format!("{name} to be ready"), PATIENCE, || {
        let store = up.get(&["objectstore", name, "-n", namespace])?;
        (store["status"]["phase"] == "Ready").then(|| store["status"].clone())
    })
}

/// A client with what the Secret of a namespace says.
fn client(up: &Up, namespace: &str, bucket: &str) -> AmazonS3 {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let entry = |name: &str| {
        let path = format!("go-template={{{{index .data \"{name}\" | base64decode}}}}");
        up.kubectl_ok(&["get", "secret", "windlass-s3", "-n", namespace, "-o", &path])
    };
    AmazonS3Builder::new()
        .with_endpoint(entry("AWS_ENDPOINT_URL"))
        .with_allow_http(true)
        .with_region("us-east-1")
        .with_bucket_name(bucket)
        .with_access_key_id(entry("AWS_ACCESS_KEY_ID"))
        .with_secret_access_key(entry("AWS_SECRET_ACCESS_KEY"))
        // Whoever tests what is refused is told at once.
        .with_retry(RetryConfig {
            backoff: BackoffConfig::default(),
            max_retries: 0,
            retry_timeout: PATIENCE,
        })
        .build()
        .unwrap()
}

fn path(text: &str) -> object_store::path::Path {
    object_store::path::Path::from(text)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_alone_is_a_bucket_of_the_cluster_which_a_crash_keeps() {
    let up = Up::on_with(tempfile::tempdir().unwrap(), "--storage --s3");
    let folder = up.data.path().join("s3");
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(
        (mode(&folder), mode(&folder.join("keys.json"))),
        (0o700, 0o600)
    );
    up.kubectl_ok(&["create", "namespace", "team"]);
    apply(&up, "team", "history", &json!({"name": "team-history"}));
    let status = until_ready(&up, "team", "history");
    let endpoint = status["endpoint"].as_str().unwrap().to_owned();
    assert!(
        endpoint.starts_with("http://127.") && endpoint.ends_with(".0.1:9000"),
        "{endpoint}"
    );
    assert_eq!(status["secret"], "windlass-s3");
    assert_eq!(status["ownership"], "Marked");
    let told = status["conditions"][0]["message"].as_str().unwrap();
    assert!(told.contains("S3 by the operator's settings"), "{told}");

    // What was acknowledged when the process dies is there when the next one starts, without a flag.
    let store = client(&up, "team", "team-history");
    let is_over = Arc::new(AtomicBool::new(false));
    let writers = (0..4).map(|writer| {
        let (store, is_over) = (store.clone(), Arc::clone(&is_over));
        tokio::spawn(async move {
            let mut acknowledged = Vec::new();
            for turn in 0.. {
                let name = format!("{writer}/{turn}");
                let payload = PutPayload::from(name.clone().repeat(1000));
                match store.put(&path(&name), payload).await {
                    Ok(_) => acknowledged.push(name),
                    Err(_) if is_over.load(Ordering::Relaxed) => break,
                    Err(error) => panic!("{name}: {error}"),
                }
            }
            acknowledged
        })
    });
    let writers: Vec<_> = writers.collect();
    until("something to be written", PATIENCE, || {
        let blobs = std::fs::read_dir(folder.join("blobs")).unwrap();
        (blobs.count() > 100).then_some(())
    });
    is_over.store(true, Ordering::Relaxed);
    let up = Up::on_with(up.kill(), "");
    let store = client(&up, "default", "team-history");
    let mut count = 0;
    for writer in writers {
        for name in writer.await.unwrap() {
            let found = store.get(&path(&name)).await.unwrap();
            assert!(found.bytes().await.unwrap() == name.repeat(1000), "{name}");
            count += 1;
        }
    }
    assert!(count >= 90, "{count}");
    assert_eq!(
        until_ready(&up, "team", "history")["endpoint"],
        endpoint.as_str()
    );

    // And it goes with all that is in it when its owner says so.
    let all = json!({"spec": {"deletionPolicy": "DeleteWithContents"}}).to_string();
    let patch = [
        "patch",
        "objectstore",
        "history",
        "-n",
        "team",
        "--type=merge",
        "-p",
        &all,
    ];
    up.kubectl_ok(&patch);
    up.kubectl_ok(&[
        "delete",
        "objectstore",
        "history",
        "-n",
        "team",
        "--timeout=60s",
    ]);
    let gone = store.put(&path("a"), "b".into()).await.unwrap_err();
    assert!(gone.to_string().contains("NoSuchBucket"), "{gone}");
    let blobs = std::fs::read_dir(folder.join("blobs"));
    assert!(blobs.is_err() || blobs.unwrap().count() == 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_without_room_refuses_writes_and_takes_them_again() {
    // The folder is there, so it is served.
    let (up, disk) = up_on_a_small_disk("s3", 16, "--storage");
    apply(&up, "default", "small", &json!({"name": "small"}));
    until_ready(&up, "default", "small");
    let store = client(&up, "default", "small");
    let megabyte = vec![7_u8; 1 << 20];
    let mut kept = Vec::new();
    for round in 0..2 {
        let filler = disk.join("filler");
        fill(&filler);
        let refused = loop {
            let name = format!("{round}/{}", kept.len());
            match store.put(&path(&name), megabyte.clone().into()).await {
                Ok(_) => kept.push(name),
                Err(error) => break error,
            }
        };
        let told = format!("{refused:?}");
        assert!(told.contains("no room left"), "{told}");
        std::fs::remove_file(&filler).unwrap();
        let name = format!("{round}/after");
        let mut tries = 0;
        while let Err(error) = store.put(&path(&name), megabyte.clone().into()).await {
            tries += 1;
            assert!(tries < 600, "{error}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        kept.push(name);
    }
    for name in &kept {
        let found = store.get(&path(name)).await.unwrap();
        assert!(found.bytes().await.unwrap() == megabyte, "{name}");
    }
    // Nothing is left of what was refused.
    let blobs = std::fs::read_dir(disk.join("blobs")).unwrap().count();
    assert_eq!(blobs, kept.len());
}
