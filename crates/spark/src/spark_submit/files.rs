//! This machine as a client.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use crate::submission::{Client, ClientFiles, DirEntry};

/// The client that this process is: its environment, its user, its files.
pub fn this_machine() -> Client {
    let env = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    Client {
        user: user_name(),
        env,
        files: Arc::new(RealFiles),
    }
}

/// The name of the user the process runs as, as Java finds it: by number, not by `$USER`.
fn user_name() -> String {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let uid = std::fs::metadata("/proc/self")
        .map(|metadata| metadata.uid())
        .ok();
    let by_number = uid.and_then(|uid| name_of(&passwd, uid));
    by_number
        .or_else(|| std::env::var("USER").ok())
        .unwrap_or_else(|| "?".to_owned())
}

fn name_of(passwd: &str, uid: u32) -> Option<String> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

/// The real file system.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealFiles;

impl ClientFiles for RealFiles {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        std::fs::read(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        let mut entries = Vec::new();
        for entry in std::fs::read_dir(dir)? {
            // A dangling link is not a file anybody could read.
            if let Ok(entry) = self.stat(&entry?.path()) {
                entries.push(entry);
            }
        }
        Ok(entries)
    }

    fn stat(&self, path: &Path) -> io::Result<DirEntry> {
        let metadata = std::fs::metadata(path)?;
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        Ok(DirEntry {
            name,
            is_file: metadata.is_file(),
            len: metadata.len(),
        })
    }

    fn current_dir(&self) -> String {
        std::env::current_dir()
            .map_or_else(|_| "/".to_owned(), |dir| dir.to_string_lossy().into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::name_of;

    #[test]
    fn a_user_is_found_by_number() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nspark:x:185:0::/:/bin/false\nbroken\n";
        assert_eq!(name_of(passwd, 185).as_deref(), Some("spark"));
        assert_eq!(name_of(passwd, 1), None);
    }
}
