//! The event logs of applications on this machine: a folder of the data directory that they are written to by
//! default, so that `windlass ui` has a page of what is over or deleted.
//!
//! Laws:
//! - a folder that cannot be had costs the pages and no job: then nothing is written;
//! - what is being written is never removed, and of the rest what is old or more than a machine needs.

use std::cmp::Reverse;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use windlass_node::remove_tree;
use windlass_spark::eventlogs::LocalEventLogs;

/// Where they are, below a data directory.
const FOLDER: &str = "event-logs";
/// How many of runs that are over stay.
const KEPT: usize = 50;
/// How long one stays that nobody writes to.
const KEPT_FOR: Duration = Duration::from_hours(7 * 24);
/// Drivers of whatever user make logs there, and cannot remove those of others.
const MODE: u32 = 0o1777;
/// The end of the name of what is being written, Spark's own.
const IN_PROGRESS: &str = ".inprogress";

/// The event logs of a data directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventLogs {
    folder: PathBuf,
}

/// One event log: a file, or a folder of files for one that rolls.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Log {
    path: PathBuf,
    /// When something was written to it last.
    written: SystemTime,
    progress: Progress,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    Going,
    Over,
}

impl EventLogs {
    /// Those of a data directory.
    pub fn of(data_dir: &Path) -> Self {
        Self {
            folder: data_dir.join(FOLDER),
        }
    }

    /// The folder, which need not be there.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.entries().len()
    }

    /// Whether there is one of the application that Spark calls so.
    pub fn has(&self, id: &str) -> bool {
        let mut names = self
            .entries()
            .into_iter()
            .filter_map(|path| path.file_name().map(std::ffi::OsStr::to_os_string));
        names.any(|name| name.to_string_lossy().contains(id))
    }

    /// Makes the folder for drivers to write to, and removes what is outdated; `None` where it cannot be had.
    pub fn open(&self) -> Option<LocalEventLogs> {
        let folder = &self.folder;
        let made = fs::create_dir_all(folder)
            .and_then(|()| fs::set_permissions(folder, fs::Permissions::from_mode(MODE)));
        if let Err(error) = made {
            tracing::warn!(%error, folder = %folder.display(), "applications write no event logs here");
            return None;
        }
        self.tidy();
        Some(LocalEventLogs {
            directory: folder.clone(),
        })
    }

    /// Removes what is outdated, as far as it can be.
    pub fn tidy(&self) {
        let logs = self.entries().into_iter();
        let logs = logs.filter_map(|path| look(path).ok()).collect();
        for path in outdated(logs, SystemTime::now()) {
            let removed = match fs::symlink_metadata(&path) {
                Ok(found) if found.is_dir() => remove_tree(&path),
                _ => fs::remove_file(&path),
            };
            if let Err(error) = removed {
                tracing::debug!(%error, log = %path.display(), "an old event log stays");
            }
        }
    }

    fn entries(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        entries
            .filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'))
            .map(|entry| entry.path())
            .collect()
    }
}

fn look(path: PathBuf) -> io::Result<Log> {
    let found = fs::symlink_metadata(&path)?;
    let mut written = found.modified()?;
    let mut is_going = path.to_string_lossy().ends_with(IN_PROGRESS);
    if found.is_dir() {
        for entry in fs::read_dir(&path)?.flatten() {
            written = written.max(entry.metadata()?.modified()?);
            is_going |= entry.file_name().to_string_lossy().ends_with(IN_PROGRESS);
        }
    }
    Ok(Log {
        path,
        written,
        progress: if is_going {
            Progress::Going
        } else {
            Progress::Over
        },
    })
}

/// What is to be removed. One whose driver was killed looks as if it went on, until it is old.
fn outdated(mut logs: Vec<Log>, now: SystemTime) -> Vec<PathBuf> {
    logs.sort_by_key(|log| Reverse(log.written));
    let mut kept = 0;
    logs.retain(|log| {
        let age = now.duration_since(log.written).unwrap_or_default();
        let stays = age <= KEPT_FOR && (log.progress == Progress::Going || kept < KEPT);
        if stays && log.progress == Progress::Over {
            kept += 1;
        }
        !stays
    });
    logs.into_iter().map(|log| log.path).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_stay_for_a_week_and_what_is_being_written_is_not_counted() {
        let now = SystemTime::now();
        let log = |name: String, hours: u64, progress| Log {
            path: name.into(),
            written: now - Duration::from_hours(hours),
            progress,
        };
        let mut logs = vec![
            log("quiet".to_owned(), 24 * 8, Progress::Over),
            log("killed".to_owned(), 24 * 8, Progress::Going),
            log("streaming".to_owned(), 90, Progress::Going),
        ];
        logs.extend((0..52).map(|hours| log(format!("{hours}"), hours, Progress::Over)));
        let mut removed = outdated(logs, now);
        removed.sort();
        let expected = ["50", "51", "killed", "quiet"].map(PathBuf::from);
        assert_eq!(removed, expected);
    }

    #[test]
    fn any_driver_can_write_to_the_folder_and_a_log_is_found_by_the_id_of_its_application() {
        let data = tempfile::tempdir().unwrap();
        let logs = EventLogs::of(data.path());
        assert_eq!(logs.count(), 0);
        let local = logs.open().unwrap();
        let mode = fs::metadata(&local.directory).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o1777);
        let rolling = local.directory.join("eventlog_v2_spark-1");
        fs::create_dir(&rolling).unwrap();
        fs::write(rolling.join("appstatus_spark-1.inprogress"), "").unwrap();
        fs::write(local.directory.join(".spark-2.crc"), "").unwrap();
        assert!(logs.has("spark-1"));
        assert!(!logs.has("spark-2"));
        assert_eq!(look(rolling).unwrap().progress, Progress::Going);
    }

    #[test]
    fn a_folder_that_cannot_be_made_means_no_event_logs() {
        assert_eq!(EventLogs::of(Path::new("/proc/none")).open(), None);
    }
}
