//! A disk without room costs the writes that do not fit, and only until there is room again.

use std::{fs::File, io::Write as _, os::unix::fs::MetadataExt as _, path::Path, process::Command};

use serde_json::{Value, json};
use windlass_apiserver::store::{
    Durability, Expect, Key, Scope, Store, StoreError, WindowLimits, Write,
};

/// Set for the process that has a small disk: where it is.
const SMALL_DISK: &str = "WINDLASS_SMALL_DISK";
/// What that process says when it has come to the end of the test.
const DONE: &str = "the disk was full and is not any more";

#[test]
fn a_full_disk_refuses_writes_until_there_is_room_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut small = Command::new("unshare");
    if std::fs::metadata("/proc/self").unwrap().uid() != 0 {
        small.args(["--user", "--map-root-user"]);
    }
    let script = "mount -t tmpfs -o size=8m tmpfs \"$0\" && exec \"$@\"";
    let output = small
        .args(["--mount", "sh", "-c", script])
        .arg(folder.path())
        .arg(std::env::current_exe().unwrap())
        .args(["full_disk::inside", "--exact", "--nocapture"])
        .env(SMALL_DISK, folder.path())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && told.contains(DONE),
        "{told}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn key(name: &str) -> Key {
    Key::new("", "configmaps", "default", name)
}

fn value(name: &str, size: usize) -> Value {
    json!({"metadata": {"name": name}, "data": {"text": "x".repeat(size)}})
}

/// Takes all the room that is left.
fn fill(path: &Path) {
    let mut filler = File::create(path).unwrap();
    for block in [&[0_u8; 16 * 1024][..], &[0; 512]] {
        while filler.write_all(block).is_ok() {}
    }
}

/// The body of the process with the small disk.
#[tokio::test(flavor = "multi_thread")]
async fn inside() {
    let Some(disk) = std::env::var_os(SMALL_DISK) else {
        return;
    };
    let disk = Path::new(&disk);
    let file = disk.join("objects.redb");
    let limits = WindowLimits::default();
    let open = || Store::open(&file, Durability::Immediate, limits).unwrap();
    let store = open();
    let scope = Scope::new("", "configmaps", "");
    let mut watch = store.watch(&scope, 0).unwrap().queue;
    let mut acknowledged: Vec<(String, u64)> = Vec::new();
    for round in 0..3 {
        let filler = disk.join("filler");
        fill(&filler);
        // What is free inside the file takes some writes more.
        let refused = loop {
            let name = format!("r{round}-{}", acknowledged.len());
            let put = Write::Put(value(&name, 20_000 << round));
            match store.commit(key(&name), Expect::Absent, put).await {
                Ok(object) => acknowledged.push((name, object.revision())),
                Err(error) => break error,
            }
        };
        assert!(matches!(refused, StoreError::Full(_)), "{refused}");
        let text = refused.to_string();
        assert!(text.contains("free space"), "{text}");
        let revision = store.revision();
        let others = (0..8).map(|number| {
            let name = format!("refused-{number}");
            let put = Write::Put(value(&name, 300_000));
            let store = store.clone();
            async move { store.commit(key(&name), Expect::Absent, put).await }
        });
        for answer in futures::future::join_all(others).await {
            assert!(matches!(answer, Err(StoreError::Full(_))), "{answer:?}");
        }
        assert_eq!(store.revision(), revision, "nothing is half done");
        for (name, revision) in &acknowledged {
            assert_eq!(store.get(&key(name)).unwrap().revision(), *revision);
        }

        std::fs::remove_file(&filler).unwrap();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
        let name = format!("after-{round}");
        let written = loop {
            let put = Write::Put(value(&name, 10));
            match store.commit(key(&name), Expect::Absent, put).await {
                Ok(object) => break object,
                // The file is not opened again at every single write.
                Err(error) => assert!(std::time::Instant::now() < deadline, "{error}"),
            }
            tokio::task::yield_now().await;
        };
        acknowledged.push((name, written.revision()));
    }
    let seen: Vec<u64> = acknowledged.iter().map(|(_, revision)| *revision).collect();
    let expected: Vec<u64> = (1..=seen.len() as u64).collect();
    assert_eq!(seen, expected, "no revision is missing or twice");
    for (name, revision) in &acknowledged {
        let change = watch.recv().await.unwrap();
        assert_eq!((&change.key, change.revision()), (&key(name), *revision));
    }
    store.close();
    drop(store);
    let store = open();
    assert_eq!(store.list(&scope).objects.len(), acknowledged.len());
    for (name, revision) in &acknowledged {
        assert_eq!(store.get(&key(name)).unwrap().revision(), *revision);
    }
    store.close();
    println!("{DONE}");
}
