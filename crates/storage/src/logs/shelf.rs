//! A folder of kept logs: `NAMESPACE/APPLICATION/POD-UID/00000001.log`, and beside the segments what says
//! whose they are (`about.json`) and that no more of them come (`ended`).
//!
//! Everything here waits for the disk; callers do so where that is allowed.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::lines::Reached;

const ABOUT: &str = "about.json";
const ENDED: &str = "ended";
const SUFFIX: &str = ".log";

/// A folder of kept logs.
#[derive(Debug, Clone)]
pub struct Shelf {
    root: PathBuf,
}

/// Names one log.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slot {
    /// The namespace of the pod.
    pub namespace: String,
    /// The name of the application or Connect server.
    pub application: String,
    /// The uid of the pod.
    pub uid: String,
}

/// Whose log it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// The pod's name.
    pub pod: String,
    /// What the pod did for Spark, as its label says.
    pub role: String,
    /// The number of an executor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executor: Option<u32>,
    /// Spark's id of the attempt; the driver and its executors share it.
    #[serde(default)]
    pub run: String,
    /// The container.
    pub container: String,
    /// When the pod was made.
    pub created: Timestamp,
}

/// What became of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Added {
    /// It is kept.
    Yes,
    /// There is one of its number: somebody else copies this log.
    Taken,
}

impl Shelf {
    /// The folder need not exist yet.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Makes room for a log.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn open(&self, slot: &Slot, about: &About) -> io::Result<()> {
        let folder = self.folder(slot)?;
        fs::create_dir_all(&folder)?;
        let text = serde_json::to_vec(about).map_err(io::Error::other)?;
        publish(&folder, ABOUT, &text).map(|_| ())
    }

    /// How far a log was copied, and the number of its next segment.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn reached(&self, slot: &Slot) -> io::Result<(Reached, u64)> {
        let numbers = self.numbers(slot)?;
        let mut reached = Reached::default();
        for number in numbers.iter().rev() {
            if !reached.look_back(&self.segment(slot, *number)?) {
                break;
            }
        }
        Ok((reached, numbers.last().map_or(1, |last| last + 1)))
    }

    /// The numbers of the segments of a log.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn numbers(&self, slot: &Slot) -> io::Result<Vec<u64>> {
        let names = names(&self.folder(slot)?)?.into_iter();
        let mut numbers: Vec<u64> = names
            .filter_map(|name| name.strip_suffix(SUFFIX)?.parse().ok())
            .collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// A segment, with the times of its lines.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn segment(&self, slot: &Slot, number: u64) -> io::Result<Vec<u8>> {
        fs::read(self.folder(slot)?.join(file(number)))
    }

    /// Keeps a segment: whole, or not at all.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn add(&self, slot: &Slot, number: u64, segment: &[u8]) -> io::Result<Added> {
        publish(&self.folder(slot)?, &file(number), segment)
    }

    /// Says that a log is whole.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn end(&self, slot: &Slot) -> io::Result<()> {
        publish(&self.folder(slot)?, ENDED, b"").map(|_| ())
    }

    /// Whether a log is whole.
    pub fn is_ended(&self, slot: &Slot) -> bool {
        self.folder(slot).is_ok_and(|it| it.join(ENDED).exists())
    }

    /// The logs of an application, those of its latest pods first.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn logs(&self, namespace: &str, application: &str) -> io::Result<Vec<(Slot, About)>> {
        let folder = self.root.join(part(namespace)?).join(part(application)?);
        let mut logs = Vec::new();
        for uid in names(&folder)? {
            // One that is being made or deleted has none.
            let Ok(text) = fs::read(folder.join(&uid).join(ABOUT)) else {
                continue;
            };
            let slot = Slot {
                namespace: namespace.to_owned(),
                application: application.to_owned(),
                uid,
            };
            logs.push((slot, serde_json::from_slice::<About>(&text)?));
        }
        logs.sort_by(|a, b| (b.1.created, &b.0).cmp(&(a.1.created, &a.0)));
        Ok(logs)
    }

    /// The namespaces of which there are logs.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn namespaces(&self) -> io::Result<Vec<String>> {
        names(&self.root)
    }

    /// Deletes the logs of a namespace whose last line is older than this and whose pod is gone; says how
    /// many. Of the others what is older goes, but for the last segment, which tells how far a log was copied.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn sweep(
        &self,
        namespace: &str,
        retention: SignedDuration,
        now: Timestamp,
        lives: impl Fn(&str) -> bool,
    ) -> io::Result<usize> {
        let mut deleted = 0;
        let namespace = self.root.join(part(namespace)?);
        for application in names(&namespace)? {
            let application = namespace.join(application);
            for uid in names(&application)? {
                let folder = application.join(&uid);
                let written = Timestamp::try_from(fs::metadata(&folder)?.modified()?);
                let written = written.map_err(io::Error::other)?;
                if is_expired(written, retention, now) && !lives(&uid) {
                    fs::remove_dir_all(&folder)?;
                    deleted += 1;
                } else {
                    shorten(&folder, retention, now)?;
                }
            }
            // One that has something in it stays.
            let _ = fs::remove_dir(&application);
        }
        Ok(deleted)
    }

    fn folder(&self, slot: &Slot) -> io::Result<PathBuf> {
        let folder = self.root.join(part(&slot.namespace)?);
        Ok(folder.join(part(&slot.application)?).join(part(&slot.uid)?))
    }
}

/// Deletes the segments of a log that are older than this, but for the last one.
fn shorten(folder: &Path, retention: SignedDuration, now: Timestamp) -> io::Result<()> {
    let mut segments = names(folder)?;
    segments.retain(|name| name.ends_with(SUFFIX));
    segments.sort_unstable();
    segments.pop();
    for segment in segments {
        let segment = folder.join(segment);
        let written = Timestamp::try_from(fs::metadata(&segment)?.modified()?);
        if !is_expired(written.map_err(io::Error::other)?, retention, now) {
            break;
        }
        fs::remove_file(&segment)?;
    }
    Ok(())
}

/// Whether a log that was written last at this time is deleted.
fn is_expired(written: Timestamp, retention: SignedDuration, now: Timestamp) -> bool {
    now.duration_since(written) > retention
}

fn file(number: u64) -> String {
    format!("{number:08}{SUFFIX}")
}

/// One step of a path, and no more than that.
fn part(text: &str) -> io::Result<&str> {
    if text.is_empty() || text.starts_with('.') || text.contains(['/', '\0']) {
        let told = format!("{text:?} cannot be the name of a folder");
        return Err(io::Error::new(ErrorKind::InvalidInput, told));
    }
    Ok(text)
}

/// What is in a folder, if there is one; what is being written is not.
fn names(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry?.file_name().into_string();
        names.extend(name.ok().filter(|name| !name.starts_with('.')));
    }
    Ok(names)
}

/// Puts a file into a folder whole, unless there is one of its name.
fn publish(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<Added> {
    // Whoever else writes one of this name does so in another process or at another time.
    let now = Timestamp::now().as_nanosecond();
    let new = folder.join(format!(".{name}.{}-{now}", std::process::id()));
    let written = write(&new, bytes).and_then(|()| fs::hard_link(&new, folder.join(name)));
    // One that is left lies under a name that nobody reads, and goes with the folder.
    let _ = fs::remove_file(&new);
    match written {
        Ok(()) => Ok(Added::Yes),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(Added::Taken),
        Err(error) => Err(error),
    }
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_data()
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn a_number_is_taken_once_and_the_segments_say_how_far_the_log_is() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(folder.path());
        let one = slot("1");
        shelf.open(&one, &about("a", 1)).unwrap();
        assert_eq!(shelf.reached(&one).unwrap(), (Reached::default(), 1));
        let line = b"1970-01-01T00:00:05Z one\n";
        assert_eq!(shelf.add(&one, 1, line).unwrap(), Added::Yes);
        assert_eq!(shelf.add(&one, 2, line).unwrap(), Added::Yes);
        assert_eq!(shelf.add(&one, 2, b"other").unwrap(), Added::Taken);
        // What an operator that died has not finished is nothing.
        fs::write(shelf.folder(&one).unwrap().join(".00000003.log.1-1"), "").unwrap();
        let (reached, next) = shelf.reached(&one).unwrap();
        assert_eq!((reached.lines, next), (2, 3));
        assert_eq!(shelf.segment(&one, 2).unwrap(), line);
        assert!(!shelf.is_ended(&one));
        shelf.end(&one).unwrap();
        assert!(shelf.is_ended(&one));
    }

    #[test]
    fn of_a_log_that_goes_on_what_is_old_is_deleted_but_not_how_far_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(folder.path());
        let one = slot("1");
        shelf.open(&one, &about("a", 1)).unwrap();
        for number in 1..=3 {
            let line = format!("1970-01-01T00:00:0{number}Z said\n");
            shelf.add(&one, number, line.as_bytes()).unwrap();
        }
        let week = SignedDuration::from_hours(7 * 24);
        let later = Timestamp::now() + week;
        assert_eq!(
            shelf
                .sweep("team", week, Timestamp::now(), |_| true)
                .unwrap(),
            0
        );
        assert_eq!(shelf.numbers(&one).unwrap(), [1, 2, 3]);
        let reached = shelf.reached(&one).unwrap();
        let deleted = shelf.sweep("team", week, later + week, |_| true).unwrap();
        assert_eq!((deleted, shelf.numbers(&one).unwrap()), (0, vec![3]));
        assert_eq!(shelf.reached(&one).unwrap(), reached);
    }

    #[test]
    fn the_latest_log_comes_first_and_an_old_one_goes_when_its_pod_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(folder.path());
        shelf.open(&slot("1"), &about("old", 1)).unwrap();
        shelf.open(&slot("2"), &about("new", 2)).unwrap();
        let pods = |shelf: &Shelf| -> Vec<String> {
            let logs = shelf.logs("team", "sales").unwrap();
            logs.into_iter().map(|(_, about)| about.pod).collect()
        };
        assert_eq!(pods(&shelf), ["new", "old"]);
        let hour = SignedDuration::from_hours(1);
        let now = Timestamp::now();
        let deleted = shelf.sweep("team", hour, now, |_| false);
        assert_eq!(deleted.unwrap(), 0);
        let later = now + hour + hour;
        let deleted = shelf.sweep("team", hour, later, |uid| uid == "2");
        assert_eq!(deleted.unwrap(), 1);
        assert_eq!(pods(&shelf), ["new"]);
        assert_eq!(shelf.sweep("team", hour, later, |_| false).unwrap(), 1);
        assert!(shelf.logs("team", "sales").unwrap().is_empty());
    }

    #[test]
    fn no_name_leads_out_of_the_folder() {
        let shelf = Shelf::new("/nowhere");
        for name in ["..", ".", "a/b", "", "/etc"] {
            assert!(shelf.logs(name, "sales").is_err(), "{name}");
            assert!(shelf.logs("team", name).is_err(), "{name}");
            assert!(shelf.folder(&slot(name)).is_err(), "{name}");
        }
    }
}
