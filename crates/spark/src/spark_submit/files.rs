//! The files of this machine.

use std::io;
use std::path::Path;

use crate::submission::{ClientFiles, DirEntry};

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
