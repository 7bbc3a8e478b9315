//! Where the bytes of the store lie. It is a file in all cases but one: tests put something in its
//! place whose power fails.

use std::{
    fmt,
    fs::{self, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use super::StoreError;
use crate::files::keep_name;

/// Something that a database can lie on. Its display names it to the user.
pub trait Medium: fmt::Display + Send + Sync + 'static {
    /// Opens the database that is there, or makes one, complete or not at all. Whatever opened it
    /// before has been closed.
    fn open(&self, builder: &redb::Builder) -> Result<redb::Database, StoreError>;
}

/// A file of this machine that only its owner can read.
pub(super) struct LocalFile(PathBuf);

impl LocalFile {
    pub(super) fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Makes the database under another name: a file that has got its length but not its header
    /// is one that the database takes for somebody else's.
    fn make(&self, builder: &redb::Builder) -> Result<(), StoreError> {
        let partial = self.0.with_extension("partial");
        if let Err(error) = fs::remove_file(&partial)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(self.named(error));
        }
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create_new(true).mode(0o600);
        let file = options.open(&partial).map_err(|error| self.named(error))?;
        drop(builder.create_file(file)?);
        fs::rename(&partial, &self.0).map_err(|error| self.named(error))?;
        keep_name(&self.0);
        Ok(())
    }

    fn named(&self, error: io::Error) -> StoreError {
        match StoreError::from(error) {
            StoreError::Disk(error) => StoreError::Disk(format!("{self}: {error}")),
            other => other,
        }
    }
}

impl fmt::Display for LocalFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(f)
    }
}

impl Medium for LocalFile {
    fn open(&self, builder: &redb::Builder) -> Result<redb::Database, StoreError> {
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true);
        let file = match options.open(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.make(builder)?;
                options.open(&self.0)
            }
            found => found,
        };
        Ok(builder.create_file(file.map_err(|error| self.named(error))?)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_being_made_when_the_process_died_is_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("objects.redb");
        fs::write(path.with_extension("partial"), vec![0; 1 << 20]).unwrap();
        let file = LocalFile::at(&path);
        for _ in 0..2 {
            file.open(&redb::Builder::new()).unwrap();
            assert!(!path.with_extension("partial").exists());
        }
    }

    #[test]
    fn somebody_elses_file_is_refused_and_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("objects.redb");
        fs::write(&path, "mine").unwrap();
        let refused = LocalFile::at(&path).open(&redb::Builder::new());
        assert!(refused.is_err());
        assert_eq!(fs::read(&path).unwrap(), b"mine");
    }
}
