//! The store keeps its promises whatever happens: every acknowledged write survives a kill, and
//! history is one ordered, complete story.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
};

use proptest::prelude::*;
use serde_json::{Value, json};
use windlass_apiserver::store::{
    ChangeKind, Durability, Expect, Key, Scope, Store, WindowLimits, Write,
};

/// Set for the process that is killed: where its store is.
const VICTIM: &str = "WINDLASS_CRASH_VICTIM";

fn key(name: &str) -> Key {
    Key::new("", "configmaps", "default", name)
}

fn scope() -> Scope {
    Scope::new("", "configmaps", "")
}

fn value(name: &str, number: u32) -> Value {
    json!({"metadata": {"name": name}, "data": {"n": number.to_string()}})
}

fn open(path: &std::path::Path, durability: Durability) -> Store {
    Store::open(path, durability, WindowLimits::default()).unwrap()
}

/// The body of the process that is killed: it writes for ever, and says so after each write.
#[tokio::test(flavor = "multi_thread")]
async fn victim() {
    let Some(path) = std::env::var_os(VICTIM) else {
        return;
    };
    let store = open(std::path::Path::new(&path), Durability::Immediate);
    let writers = (0..8).map(|writer| {
        let store = store.clone();
        tokio::spawn(async move {
            for number in 0.. {
                let name = format!("w{writer}-{number}");
                let written = store
                    .commit(key(&name), Expect::Absent, Write::Put(value(&name, number)))
                    .await
                    .unwrap();
                println!("ack {name} {}", written.revision());
            }
        })
    });
    futures::future::join_all(writers).await;
}

#[test]
fn a_killed_process_loses_nothing_it_has_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("objects.redb");
    for round in 0..3 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "crash::victim",
                "--exact",
                "--nocapture",
                "--test-threads=1",
            ])
            .env(VICTIM, path.with_file_name(format!("objects-{round}.redb")))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut acknowledged = BTreeMap::new();
        let output = BufReader::new(child.stdout.take().unwrap());
        for line in output.lines().map_while(Result::ok) {
            // The harness may print on the same line.
            let Some(at) = line.find("ack ") else {
                continue;
            };
            let mut words = line[at + 4..].split(' ');
            if let (Some(name), Some(Ok(revision))) =
                (words.next(), words.next().map(str::parse::<u64>))
            {
                acknowledged.insert(name.to_owned(), revision);
            }
            if acknowledged.len() == 200 + 137 * round {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        assert!(acknowledged.len() >= 200, "{}", acknowledged.len());
        let store = open(
            &path.with_file_name(format!("objects-{round}.redb")),
            Durability::Immediate,
        );
        for (name, revision) in &acknowledged {
            let found = store
                .get(&key(name))
                .unwrap_or_else(|| panic!("{name} is lost"));
            assert_eq!(found.revision(), *revision);
        }
        let newest = acknowledged.values().max().copied().unwrap();
        assert!(store.revision() >= newest);
        let history = store
            .watch(&scope(), store.oldest_revision())
            .unwrap()
            .backlog;
        assert_eq!(
            history.len() as u64,
            store.revision(),
            "the log is complete"
        );
        store.close();
    }
}

#[derive(Debug, Clone)]
enum Step {
    Put(u8, u32),
    Delete(u8),
    Compact,
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0_u8..6, any::<u32>()).prop_map(|(name, number)| Step::Put(name, number)),
        3 => (0_u8..6).prop_map(Step::Delete),
        1 => Just(Step::Compact),
        1 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// From any revision that is still known, the events lead from the state then to the state
    /// now; the states themselves can be listed; revisions have no gaps.
    #[test]
    fn history_is_ordered_complete_and_resumable(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("objects.redb");
            let mut store = open(&path, Durability::None);
            let mut states: Vec<BTreeMap<String, String>> = vec![BTreeMap::new()];
            for step in steps {
                match step {
                    Step::Put(name, number) => {
                        let name = format!("n{name}");
                        let current = store.get(&key(&name));
                        let expect = current.map_or(Expect::Absent, |o| Expect::Revision(o.revision()));
                        store.commit(key(&name), expect, Write::Put(value(&name, number))).await.unwrap();
                        let mut state = states.last().unwrap().clone();
                        state.insert(name, number.to_string());
                        states.push(state);
                    }
                    Step::Delete(name) => {
                        let name = format!("n{name}");
                        let Some(current) = store.get(&key(&name)) else { continue };
                        let expect = Expect::Revision(current.revision());
                        store.commit(key(&name), expect, Write::Delete(current.value().clone())).await.unwrap();
                        let mut state = states.last().unwrap().clone();
                        state.remove(&name);
                        states.push(state);
                    }
                    Step::Compact => store.compact(store.revision() / 2).await.unwrap(),
                    Step::Reopen => {
                        store.close();
                        drop(store);
                        store = open(&path, Durability::None);
                    }
                }
            }
            check(&store, &states);
            store.close();
        });
    }
}

fn check(store: &Store, states: &[BTreeMap<String, String>]) {
    assert_eq!(store.revision() as usize, states.len() - 1);
    for revision in 0..store.revision() {
        let at = revision as usize;
        let Ok(subscription) = store.watch(&scope(), revision) else {
            assert!(revision < store.oldest_revision());
            assert!(store.list_at(&scope(), revision).is_err());
            continue;
        };
        let listed: BTreeMap<String, String> = store
            .list_at(&scope(), revision)
            .unwrap()
            .objects
            .iter()
            .map(|(_, object)| entry(object.value()))
            .collect();
        assert_eq!(listed, states[at]);
        let mut replayed = listed;
        for (offset, change) in subscription.backlog.iter().enumerate() {
            assert_eq!(change.revision(), revision + offset as u64 + 1);
            let (name, number) = entry(change.object.value());
            let before = match change.kind {
                ChangeKind::Deleted => replayed.remove(&name),
                ChangeKind::Added | ChangeKind::Modified => replayed.insert(name, number),
            };
            assert_eq!(before.is_some(), change.kind != ChangeKind::Added);
            assert_eq!(
                before,
                change
                    .previous
                    .as_ref()
                    .map(|object| entry(object.value()).1)
            );
            assert_eq!(replayed, states[change.revision() as usize]);
        }
    }
}

fn entry(object: &Value) -> (String, String) {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (
        text(&object["metadata"]["name"]),
        text(&object["data"]["n"]),
    )
}

#[tokio::test]
async fn a_write_that_expects_something_else_is_told_what_is_there() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory.path().join("objects.redb"), Durability::None);
    let write = |expect, number| store.commit(key("a"), expect, Write::Put(value("a", number)));
    let first = write(Expect::Absent, 1).await.unwrap();
    assert!(write(Expect::Absent, 2).await.is_err());
    assert!(
        write(Expect::Revision(first.revision() + 1), 2)
            .await
            .is_err()
    );
    // Of writers that expect the same revision, one wins.
    let race = (0..20).map(|number| write(Expect::Revision(first.revision()), number));
    let won = futures::future::join_all(race)
        .await
        .into_iter()
        .flatten()
        .count();
    assert_eq!(won, 1);
    assert_eq!(store.revision(), 2);
    store.close();
}

#[tokio::test]
async fn a_slow_watcher_is_ended_and_can_resume() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory.path().join("objects.redb"), Durability::None);
    let mut slow = store.watch(&scope(), 0).unwrap();
    let writes = (0..6000).map(|number| {
        let name = format!("n{number}");
        store.commit(key(&name), Expect::Absent, Write::Put(value(&name, number)))
    });
    futures::future::join_all(writes).await;
    let mut seen = 0;
    while let Some(change) = slow.queue.recv().await {
        seen = change.revision();
    }
    assert!(seen < store.revision(), "the queue is bounded");
    let rest = store.watch(&scope(), seen).unwrap().backlog;
    assert_eq!(rest.first().unwrap().revision(), seen + 1);
    assert_eq!(rest.last().unwrap().revision(), store.revision());
    store.close();
}
