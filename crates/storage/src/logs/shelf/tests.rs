use std::fs;
use std::sync::Arc;

use object_store::memory::InMemory;

use super::*;
use crate::logs::pieces::{Phase, Upkeep, upkeep};

fn slot(uid: &str) -> Slot {
    Slot {
        namespace: "team".to_owned(),
        application: "sales".to_owned(),
        uid: uid.to_owned(),
    }
}

fn about(pod: &str, second: i64) -> About {
    About {
        pod: pod.to_owned(),
        role: "driver".to_owned(),
        executor: None,
        run: "spark-1".to_owned(),
        container: "main".to_owned(),
        created: Timestamp::from_second(second).unwrap(),
    }
}

fn line(number: u64) -> Bytes {
    Bytes::from(format!("1970-01-01T00:00:{number:02}Z line {number}\n"))
}

/// Both places; the folder goes with the first value.
fn both() -> (tempfile::TempDir, [Shelf; 2]) {
    let folder = tempfile::tempdir().unwrap();
    let shelf = Shelf::folder(folder.path());
    let bucket = Bucket::given(Arc::new(InMemory::new()), "kept-logs");
    (folder, [shelf, Shelf::bucket(bucket)])
}

async fn pods(shelf: &Shelf) -> Vec<String> {
    let logs = shelf.logs("team", "sales").await.unwrap();
    logs.into_iter().map(|(_, about)| about.pod).collect()
}

async fn numbers(shelf: &Shelf, slot: &Slot) -> Vec<u64> {
    let pieces = standing(&shelf.held(slot).await.unwrap().pieces);
    pieces.iter().map(|it| it.first).collect()
}

async fn all(shelf: &Shelf, slot: &Slot) -> Vec<u8> {
    let mut reading = shelf.read(slot);
    let mut all = Vec::new();
    while let Some(bytes) = reading.next().await.unwrap() {
        all.extend(bytes);
    }
    all
}

#[tokio::test]
async fn a_number_is_taken_once_and_the_segments_say_how_far_the_log_is() {
    let (folder, shelves) = both();
    for shelf in &shelves {
        let one = slot("1");
        shelf.open(&one, &about("a", 1)).await.unwrap();
        let held = shelf.held(&one).await.unwrap();
        assert_eq!((held.is_described, held.next()), (true, 1));
        let reached = shelf.reached(&one, &held).await.unwrap();
        assert_eq!(reached, Reached::default());
        let same = "1970-01-01T00:00:05Z one\n";
        for (number, added) in [(1, Added::Yes), (2, Added::Yes), (2, Added::Taken)] {
            let done = shelf.add(&one, number, same.into()).await.unwrap();
            assert_eq!(done, added);
        }
        if let Place::Folder(root) = &shelf.place {
            // What an operator that died has not finished is nothing.
            fs::write(root.join("team/sales/1/.00000003.log.1-1"), "").unwrap();
        }
        let held = shelf.held(&one).await.unwrap();
        let reached = shelf.reached(&one, &held).await.unwrap();
        assert_eq!((reached.lines, held.next(), held.end), (2, 3, None));
        assert_eq!(all(shelf, &one).await, same.repeat(2).as_bytes());
        // Whoever has read it to its end knows better than who came too late.
        for (end, told) in [(End::CutOff, End::CutOff), (End::Whole, End::Whole)] {
            shelf.end(&one, end).await.unwrap();
            assert_eq!(shelf.held(&one).await.unwrap().end, Some(told));
        }
    }
    drop(folder);
}

#[tokio::test]
async fn of_a_log_that_goes_on_what_is_old_is_deleted_but_not_how_far_it_is() {
    let (_folder, shelves) = both();
    let week = SignedDuration::from_hours(7 * 24);
    for shelf in &shelves {
        let one = slot("1");
        shelf.open(&one, &about("a", 1)).await.unwrap();
        for number in 1..=3 {
            shelf.add(&one, number, line(number)).await.unwrap();
        }
        let now = Timestamp::now();
        let deleted = shelf.sweep("team", week, now, |_| true).await.unwrap();
        assert_eq!((deleted, numbers(shelf, &one).await), (0, vec![1, 2, 3]));
        let held = shelf.held(&one).await.unwrap();
        let reached = shelf.reached(&one, &held).await.unwrap();
        let later = now + week + week;
        let deleted = shelf.sweep("team", week, later, |_| true).await.unwrap();
        assert_eq!((deleted, numbers(shelf, &one).await), (0, vec![3]));
        let held = shelf.held(&one).await.unwrap();
        assert!(held.lacks_its_beginning());
        assert_eq!(shelf.reached(&one, &held).await.unwrap(), reached);
    }
}

#[tokio::test]
async fn the_latest_log_comes_first_and_an_old_one_goes_when_its_pod_is_gone() {
    let (folder, shelves) = both();
    let hour = SignedDuration::from_hours(1);
    for shelf in &shelves {
        shelf.open(&slot("1"), &about("old", 1)).await.unwrap();
        shelf.open(&slot("2"), &about("new", 2)).await.unwrap();
        shelf.add(&slot("1"), 1, line(1)).await.unwrap();
        assert_eq!(pods(shelf).await, ["new", "old"]);
        assert_eq!(shelf.namespaces().await.unwrap(), ["team"]);
        let now = Timestamp::now();
        let deleted = shelf.sweep("team", hour, now, |_| false).await;
        assert_eq!(deleted.unwrap(), 0);
        let later = now + hour + hour;
        let deleted = shelf.sweep("team", hour, later, |uid| uid == "2").await;
        assert_eq!(deleted.unwrap(), 1);
        assert_eq!(pods(shelf).await, ["new"]);
        let deleted = shelf.sweep("team", hour, later, |_| false).await;
        assert_eq!(deleted.unwrap(), 1);
        assert!(pods(shelf).await.is_empty());
    }
    assert!(!folder.path().join("team/sales").exists());
}

#[tokio::test]
async fn a_stray_file_keeps_no_log_from_being_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = Shelf::folder(folder.path());
    shelf.open(&slot("1"), &about("old", 1)).await.unwrap();
    for stray in [
        "README",
        "team/lost+found",
        "team/aaa/.DS_Store",
        "team/sales/notes.txt",
    ] {
        let stray = folder.path().join(stray);
        fs::create_dir_all(stray.parent().unwrap()).unwrap();
        fs::write(stray, "not ours").unwrap();
    }
    assert_eq!(shelf.namespaces().await.unwrap(), ["team"]);
    assert_eq!(pods(&shelf).await, ["old"]);
    let hour = SignedDuration::from_hours(1);
    let later = Timestamp::now() + hour + hour;
    let deleted = shelf.sweep("team", hour, later, |_| false).await;
    assert_eq!(deleted.unwrap(), 1);
    assert!(pods(&shelf).await.is_empty());
    assert!(folder.path().join("team/sales/notes.txt").exists());
    assert!(folder.path().join("README").exists());
}

#[tokio::test]
async fn a_reader_has_each_line_once_while_pieces_are_joined_under_it() {
    let (_folder, shelves) = both();
    for shelf in &shelves {
        let one = slot("1");
        shelf.open(&one, &about("a", 1)).await.unwrap();
        for number in 1..=20 {
            shelf.add(&one, number, line(number)).await.unwrap();
        }
        let mut reading = shelf.read(&one);
        let mut read = Vec::new();
        for _ in 0..3 {
            read.extend(reading.next().await.unwrap().unwrap());
        }
        let held = shelf.held(&one).await.unwrap();
        for step in upkeep(&held.pieces, u64::MAX, Phase::Over) {
            let Upkeep::Join(parts) = step else {
                panic!("{step:?}");
            };
            let joined = shelf.join(&one, &parts).await.unwrap().unwrap();
            assert_eq!(joined.segments(), 1..=20);
            // Whoever wanted to do the same finds nothing to do.
            assert_eq!(shelf.join(&one, &parts).await.unwrap(), None);
        }
        while let Some(bytes) = reading.next().await.unwrap() {
            read.extend(bytes);
        }
        let expected: Vec<u8> = (1..=20).flat_map(line).collect();
        assert_eq!(read, expected);
        assert_eq!(all(shelf, &one).await, expected);
        let held = shelf.held(&one).await.unwrap();
        assert_eq!((held.pieces.len(), held.next()), (1, 21));
        let tail = shelf.tail(&one, 2).await.unwrap();
        assert!(tail.ends_with(b"line 19\nline 20\n"));
        let reached = shelf.reached(&one, &held).await.unwrap();
        assert_eq!(reached.time, Some("1970-01-01T00:00:20Z".parse().unwrap()));
    }
}

#[tokio::test]
async fn no_name_leads_out_of_the_folder() {
    let shelf = Shelf::folder("/nowhere");
    for name in ["..", ".", "a/b", "", "/etc"] {
        assert!(shelf.logs(name, "sales").await.is_err(), "{name}");
        assert!(shelf.logs("team", name).await.is_err(), "{name}");
        assert!(shelf.held(&slot(name)).await.is_err(), "{name}");
    }
}
