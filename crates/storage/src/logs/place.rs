//! Where kept logs lie: a folder, or a bucket below a prefix. Both hold files that appear whole, each under a name
//! that is taken once.
//!
//! Laws:
//! - a file that is there has all of its bytes, and they never change;
//! - of two who make a file of one name one does, and the other is told so. A store that does not know how to do
//!   that (S3's `If-None-Match`) is asked first, and then told; what lies between is left to the operators' Lease,
//!   by which one of them alone copies logs.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt as _;
use jiff::Timestamp;
use object_store::path::Path;
use object_store::{ObjectStore as Store, ObjectStoreExt as _, PutMode, PutOptions, PutPayload};

use crate::buckets::contents::{Contents, is_unknown, told};
use crate::buckets::steps::StoreError;

/// Where kept logs lie. Cheap to clone.
#[derive(Debug, Clone)]
pub enum Place {
    /// A folder, which need not be there yet.
    Folder(PathBuf),
    /// A bucket, below a prefix.
    Bucket(Bucket),
}

/// A bucket, below a prefix.
#[derive(Debug, Clone)]
pub struct Bucket {
    source: Source,
    prefix: Path,
}

#[derive(Debug, Clone)]
enum Source {
    /// That of an ObjectStore.
    Named(Arc<Contents>),
    /// One that is at hand.
    Given(Arc<dyn Store>),
}

/// A file of a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its path, from the place on.
    pub path: String,
    /// How many bytes it has.
    pub size: u64,
    /// When it was made.
    pub written: Timestamp,
}

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Added {
    /// It is kept.
    Yes,
    /// There is one of its name.
    Taken,
}

/// Why a place does not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// What was to be read, or where it was to be put, is not there.
    #[error("it is not there")]
    Absent,
    /// The disk has trouble.
    #[error(transparent)]
    Folder(#[from] io::Error),
    /// The bucket has trouble, or is not to be reached.
    #[error(transparent)]
    Bucket(#[from] StoreError),
}

impl Bucket {
    /// That of an ObjectStore.
    pub fn named(contents: Arc<Contents>, prefix: &str) -> Self {
        Self {
            source: Source::Named(contents),
            prefix: Path::from(prefix),
        }
    }

    /// One that is at hand.
    pub fn given(store: Arc<dyn Store>, prefix: &str) -> Self {
        Self {
            source: Source::Given(store),
            prefix: Path::from(prefix),
        }
    }

    async fn store(&self) -> Result<Arc<dyn Store>, PlaceError> {
        match &self.source {
            Source::Given(store) => Ok(Arc::clone(store)),
            Source::Named(contents) => Ok(contents.store().await?),
        }
    }

    fn path(&self, path: &str) -> Path {
        let parts = path.split('/').filter(|part| !part.is_empty());
        parts.fold(self.prefix.clone(), |all, part| all.join(part))
    }

    /// The rest of a path below the prefix.
    fn rest(&self, path: &Path) -> Option<String> {
        let parts: Vec<_> = path.prefix_match(&self.prefix)?.collect();
        let parts: Vec<&str> = parts.iter().map(AsRef::as_ref).collect();
        Some(parts.join("/"))
    }

    async fn refused(&self, error: &object_store::Error) -> PlaceError {
        if let Source::Named(contents) = &self.source {
            contents.doubt().await;
        }
        PlaceError::Bucket(told("the bucket", error))
    }

    async fn create(&self, path: &str, bytes: Bytes) -> Result<Added, PlaceError> {
        let store = self.store().await?;
        let path = self.path(path);
        let options = PutOptions::from(PutMode::Create);
        let payload = PutPayload::from_bytes(bytes.clone());
        match store.put_opts(&path, payload, options).await {
            Ok(_) => Ok(Added::Yes),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(Added::Taken),
            Err(error) if is_unknown(&error) => self.put(&store, &path, bytes).await,
            Err(error) => Err(self.refused(&error).await),
        }
    }

    /// For a store that knows no better.
    async fn put(
        &self,
        store: &Arc<dyn Store>,
        path: &Path,
        bytes: Bytes,
    ) -> Result<Added, PlaceError> {
        match store.head(path).await {
            Ok(_) => return Ok(Added::Taken),
            Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(self.refused(&error).await),
        }
        match store.put(path, PutPayload::from_bytes(bytes)).await {
            Ok(_) => Ok(Added::Yes),
            Err(error) => Err(self.refused(&error).await),
        }
    }

    async fn read(&self, path: &str) -> Result<Bytes, PlaceError> {
        let store = self.store().await?;
        let found = match store.get(&self.path(path)).await {
            Ok(found) => found.bytes().await,
            Err(error) => Err(error),
        };
        match found {
            Ok(bytes) => Ok(bytes),
            Err(object_store::Error::NotFound { .. }) => Err(PlaceError::Absent),
            Err(error) => Err(self.refused(&error).await),
        }
    }

    async fn list(&self, below: &str) -> Result<Vec<Entry>, PlaceError> {
        let store = self.store().await?;
        let mut found = store.list(Some(&self.path(below)));
        let mut entries = Vec::new();
        loop {
            let meta = match found.try_next().await {
                Ok(Some(meta)) => meta,
                Ok(None) => return Ok(entries),
                Err(error) => return Err(self.refused(&error).await),
            };
            let written = meta.last_modified.timestamp_millis();
            if let Some(path) = self.rest(&meta.location)
                && let Ok(written) = Timestamp::from_millisecond(written)
            {
                entries.push(Entry {
                    path,
                    size: meta.size,
                    written,
                });
            }
        }
    }

    async fn folders(&self, below: &str) -> Result<Vec<String>, PlaceError> {
        let store = self.store().await?;
        match store.list_with_delimiter(Some(&self.path(below))).await {
            Ok(found) => {
                let names = found.common_prefixes.iter();
                Ok(names
                    .filter_map(|it| it.filename().map(str::to_owned))
                    .collect())
            }
            Err(error) => Err(self.refused(&error).await),
        }
    }

    async fn delete(&self, path: &str) -> Result<(), PlaceError> {
        let store = self.store().await?;
        match store.delete(&self.path(path)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.refused(&error).await),
        }
    }
}

impl Place {
    /// Makes a file, whole or not at all, unless there is one of its name.
    pub(super) async fn create(&self, path: &str, bytes: Bytes) -> Result<Added, PlaceError> {
        match self {
            Self::Bucket(bucket) => bucket.create(path, bytes).await,
            Self::Folder(root) => {
                let path = root.join(path);
                blocking(move || publish(&path, &bytes)).await
            }
        }
    }

    /// What is in a file.
    pub(super) async fn read(&self, path: &str) -> Result<Bytes, PlaceError> {
        match self {
            Self::Bucket(bucket) => bucket.read(path).await,
            Self::Folder(root) => {
                let path = root.join(path);
                blocking(move || fs::read(path)).await.map(Bytes::from)
            }
        }
    }

    /// The files below a path, at any depth. Those that are being written are among them, under names that
    /// begin with a dot.
    pub(super) async fn list(&self, below: &str) -> Result<Vec<Entry>, PlaceError> {
        match self {
            Self::Bucket(bucket) => bucket.list(below).await,
            Self::Folder(root) => {
                let (root, below) = (root.clone(), below.to_owned());
                blocking(move || {
                    let mut entries = Vec::new();
                    walk(&root, &below, &mut entries)?;
                    Ok(entries)
                })
                .await
            }
        }
    }

    /// The names of the folders below a path.
    pub(super) async fn folders(&self, below: &str) -> Result<Vec<String>, PlaceError> {
        match self {
            Self::Bucket(bucket) => bucket.folders(below).await,
            Self::Folder(root) => {
                let folder = root.join(below);
                blocking(move || {
                    let mut names = Vec::new();
                    for (name, entry) in entries(&folder)? {
                        if entry.file_type()?.is_dir() && !name.starts_with('.') {
                            names.push(name);
                        }
                    }
                    Ok(names)
                })
                .await
            }
        }
    }

    /// Deletes a file, if it is there.
    pub(super) async fn delete(&self, path: &str) -> Result<(), PlaceError> {
        match self {
            Self::Bucket(bucket) => bucket.delete(path).await,
            Self::Folder(root) => {
                let path = root.join(path);
                blocking(move || absent_is_fine(fs::remove_file(path))).await
            }
        }
    }

    /// Takes away the folder that its last file has left, and the one it lies in if nothing else does.
    pub(super) async fn prune(&self, folder: &str) -> Result<(), PlaceError> {
        let Self::Folder(root) = self else {
            // A bucket has no folders.
            return Ok(());
        };
        let folder = root.join(folder);
        blocking(move || {
            absent_is_fine(fs::remove_dir_all(&folder))?;
            if let Some(parent) = folder.parent() {
                // One that has something in it stays.
                let _ = fs::remove_dir(parent);
            }
            Ok(())
        })
        .await
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, PlaceError> {
    let done = tokio::task::spawn_blocking(work).await;
    match done.map_err(io::Error::other)? {
        Ok(done) => Ok(done),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(PlaceError::Absent),
        Err(error) => Err(PlaceError::Folder(error)),
    }
}

fn absent_is_fine(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Finds the files below a path of a folder.
fn walk(root: &FilePath, below: &str, found: &mut Vec<Entry>) -> io::Result<()> {
    for (name, entry) in entries(&root.join(below))? {
        let path = format!("{below}/{name}");
        let metadata = match entry.metadata() {
            Ok(metadata) => metadata,
            // It has gone meanwhile.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        if metadata.is_dir() {
            walk(root, &path, found)?;
        } else if metadata.is_file() {
            let written = Timestamp::try_from(metadata.modified()?);
            found.push(Entry {
                path,
                size: metadata.len(),
                written: written.map_err(io::Error::other)?,
            });
        }
    }
    Ok(())
}

/// What is in a folder, if there is one: a file in its place is none.
fn entries(folder: &FilePath) -> io::Result<Vec<(String, fs::DirEntry)>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        if let Ok(name) = entry.file_name().into_string() {
            found.push((name, entry));
        }
    }
    Ok(found)
}

/// Makes a file of a folder: it appears whole, unless there is one of its name. Waits for the disk.
pub(super) fn publish(path: &FilePath, bytes: &[u8]) -> io::Result<Added> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(ErrorKind::InvalidInput.into());
    };
    // Whoever else writes one of this name does so in another process or at another time.
    let now = Timestamp::now().as_nanosecond();
    let name = name.to_string_lossy();
    let new = folder.join(format!(".{name}.{}-{now}", std::process::id()));
    let written = write(&new, bytes).and_then(|()| fs::hard_link(&new, path));
    // One that is left lies under a name that nobody reads, and goes with the folder.
    let _ = fs::remove_file(&new);
    match written {
        Ok(()) => Ok(Added::Yes),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(Added::Taken),
        Err(error) => Err(error),
    }
}

fn write(path: &FilePath, bytes: &[u8]) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_data()
}
