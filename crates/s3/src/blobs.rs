//! The files with the bytes: each is written once, under a name of its own, and read until nobody needs it.
//!
//! Laws:
//! - a file counts once the index names it, and is synchronised before; so there is nothing to rename, and
//!   what nobody names is swept when the folder is opened;
//! - a file that nobody names any more goes when its last reader does.

use std::collections::{HashMap, HashSet};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::rows::{BlobId, Piece};

/// Where the files are.
#[derive(Debug)]
pub(crate) struct Shelf {
    folder: PathBuf,
    readers: Mutex<Readers>,
}

/// Who reads what.
#[derive(Debug, Default)]
pub(crate) struct Readers {
    counts: HashMap<BlobId, usize>,
    /// What goes when its last reader does.
    leaving: HashSet<BlobId>,
}

/// A file that is being written. Unless it is kept, it goes.
#[derive(Debug)]
pub(crate) struct Draft {
    id: BlobId,
    shelf: Arc<Shelf>,
    is_kept: bool,
}

/// Files that stay for as long as this is there.
#[derive(Debug)]
pub(crate) struct Held {
    ids: Vec<BlobId>,
    shelf: Arc<Shelf>,
}

/// Makes a folder that only its owner reads.
pub(crate) fn make_private(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

impl Shelf {
    pub(crate) fn open(folder: &Path) -> io::Result<Self> {
        make_private(folder)?;
        Ok(Self {
            folder: folder.to_owned(),
            readers: Mutex::default(),
        })
    }

    /// Deletes the files that are not wanted, before anybody reads or writes.
    pub(crate) fn sweep(&self, wanted: &HashSet<String>) -> io::Result<usize> {
        let mut swept = 0;
        for entry in std::fs::read_dir(&self.folder)? {
            let entry = entry?;
            let is_wanted = entry
                .file_name()
                .to_str()
                .is_some_and(|it| wanted.contains(it));
            if !is_wanted {
                std::fs::remove_file(entry.path())?;
                swept += 1;
            }
        }
        Ok(swept)
    }

    /// A file to write to.
    pub(crate) fn draft(self: &Arc<Self>) -> io::Result<(Draft, File)> {
        let draft = Draft {
            id: BlobId::new(),
            shelf: Arc::clone(self),
            is_kept: false,
        };
        let mut options = OpenOptions::new();
        let options = options.write(true).create_new(true).mode(0o600);
        let file = options.open(self.path(&draft.id))?;
        Ok((draft, file))
    }

    pub(crate) fn path(&self, id: &BlobId) -> PathBuf {
        self.folder.join(id.as_str())
    }

    /// Makes the names of new files safe.
    pub(crate) fn keep_names(&self) -> io::Result<()> {
        File::open(&self.folder)?.sync_all()
    }

    /// Who reads. For as long as this is locked, nothing goes.
    pub(crate) fn readers(&self) -> parking_lot::MutexGuard<'_, Readers> {
        self.readers.lock()
    }

    /// Holds the files of these pieces, which the index has named since `readers` was locked.
    pub(crate) fn hold(self: &Arc<Self>, readers: &mut Readers, pieces: &[Piece]) -> Held {
        let ids: Vec<BlobId> = pieces.iter().map(|it| it.blob.clone()).collect();
        for id in &ids {
            *readers.counts.entry(id.clone()).or_default() += 1;
        }
        Held {
            ids,
            shelf: Arc::clone(self),
        }
    }

    /// Lets files go that the index names no more.
    pub(crate) fn let_go(&self, ids: impl IntoIterator<Item = BlobId>) {
        let mut readers = self.readers.lock();
        for id in ids {
            if readers.counts.contains_key(&id) {
                readers.leaving.insert(id);
            } else {
                self.remove(&id);
            }
        }
    }

    fn remove(&self, id: &BlobId) {
        let path = self.path(id);
        if let Err(error) = std::fs::remove_file(&path)
            && error.kind() != io::ErrorKind::NotFound
        {
            // The next start sweeps it.
            tracing::warn!(path = %path.display(), %error, "a file that is not needed stays");
        }
    }
}

impl Draft {
    pub(crate) fn id(&self) -> &BlobId {
        &self.id
    }

    /// The index names it.
    pub(crate) fn keep(mut self) {
        self.is_kept = true;
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.is_kept {
            self.shelf.remove(&self.id);
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut readers = self.shelf.readers.lock();
        for id in &self.ids {
            if let Some(count) = readers.counts.get_mut(id) {
                *count -= 1;
                if *count == 0 {
                    readers.counts.remove(id);
                    if readers.leaving.remove(id) {
                        self.shelf.remove(id);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shelf() -> (tempfile::TempDir, Arc<Shelf>) {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::open(&folder.path().join("blobs")).unwrap();
        (folder, Arc::new(shelf))
    }

    fn blob(shelf: &Arc<Shelf>) -> BlobId {
        let (draft, _) = shelf.draft().unwrap();
        let id = draft.id().clone();
        draft.keep();
        id
    }

    #[test]
    fn a_draft_that_is_not_kept_goes_and_so_does_what_nobody_wants() {
        let (_folder, shelf) = shelf();
        let (draft, _) = shelf.draft().unwrap();
        let path = shelf.path(draft.id());
        assert!(path.exists());
        drop(draft);
        assert!(!path.exists());
        let (kept, other) = (blob(&shelf), blob(&shelf));
        let wanted = HashSet::from([kept.as_str().to_owned()]);
        assert_eq!(shelf.sweep(&wanted).unwrap(), 1);
        assert!(shelf.path(&kept).exists() && !shelf.path(&other).exists());
    }

    #[test]
    fn what_is_read_goes_with_its_last_reader() {
        let (_folder, shelf) = shelf();
        let id = blob(&shelf);
        let piece = Piece {
            blob: id.clone(),
            from: 0,
            size: 1,
        };
        // Twice in one content, and by two readers.
        let pieces = [piece.clone(), piece];
        let hold = || shelf.hold(&mut shelf.readers(), &pieces);
        let (first, second) = (hold(), hold());
        shelf.let_go([id.clone()]);
        drop(first);
        assert!(shelf.path(&id).exists());
        drop(second);
        assert!(!shelf.path(&id).exists());
    }
}
