//! What there is: one redb file that names buckets, objects, uploads, and how often each blob is part of
//! something.
//!
//! Laws:
//! - what is changed is looked at first, in the same transaction: a change that is refused has written nothing;
//! - a blob counts how many pieces name it, and leaves when none does;
//! - after a failed write the file is closed and opened again, as the database wants it; what became of the
//!   write is what the file says.

use std::collections::HashSet;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use redb::{Database, ReadableDatabase as _, ReadableTable, TableDefinition, WriteTransaction};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::blobs::{Draft, Held, Shelf};
use crate::rows::{BlobId, Bucket, Content, Object, Part, Piece, Upload};
use crate::writer::Writer;

const BUCKETS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("buckets");
/// By bucket and key.
const OBJECTS: TableDefinition<'_, (&str, &str), &[u8]> = TableDefinition::new("objects");
/// By bucket, key and id.
const UPLOADS: TableDefinition<'_, (&str, &str, &str), &[u8]> = TableDefinition::new("uploads");
/// By the id of the upload and the number of the part.
const PARTS: TableDefinition<'_, (&str, u32), &[u8]> = TableDefinition::new("parts");
/// How many pieces name a blob.
const BLOBS: TableDefinition<'_, &str, u64> = TableDefinition::new("blobs");

/// redb's page cache. Lists of many objects are read from the system's own.
const CACHE_BYTES: usize = 8 << 20;
/// An upload that nobody completed for so long was forgotten by who began it.
const FORGOTTEN: Duration = Duration::from_hours(7 * 24);

/// Why something was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("there is no such bucket")]
    NoSuchBucket,
    #[error("there is no such object")]
    NoSuchKey,
    #[error("there is no such upload: it was completed, ended, or never begun")]
    NoSuchUpload,
    #[error("the bucket is there already")]
    BucketExists,
    #[error("there is something in the bucket")]
    BucketNotEmpty,
    #[error("what is there is not what the request asks for")]
    Precondition,
    #[error("{0}")]
    InvalidPart(String),
    #[error("the parts are not in the order of their numbers")]
    PartOrder,
    #[error("a part that is not the last one is too small")]
    TooSmall,
    /// There is no room. It can be tried again once there is.
    #[error("there is no room left for what is to be stored: {0}")]
    Full(String),
    /// The files cannot be read or written.
    #[error("what is stored cannot be read or written: {0}")]
    Disk(String),
}

impl From<std::io::Error> for Refused {
    fn from(error: std::io::Error) -> Self {
        use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        match error.kind() {
            StorageFull | QuotaExceeded | FileTooLarge => Self::Full(error.to_string()),
            _ => Self::Disk(error.to_string()),
        }
    }
}

impl From<redb::Error> for Refused {
    fn from(error: redb::Error) -> Self {
        match error {
            redb::Error::Io(error) => error.into(),
            error => Self::Disk(error.to_string()),
        }
    }
}

macro_rules! disk_errors {
    ($($error:ty),*) => {$(
        impl From<$error> for Refused {
            fn from(error: $error) -> Self {
                redb::Error::from(error).into()
            }
        }
    )*};
}
disk_errors!(
    redb::DatabaseError,
    redb::TransactionError,
    redb::TableError,
    redb::StorageError,
    redb::CommitError
);

impl Refused {
    /// Whether it is the disk's fault, so that others are concerned as well.
    pub(crate) fn is_of_the_disk(&self) -> bool {
        matches!(self, Self::Full(_) | Self::Disk(_))
    }
}

/// The index.
#[derive(Debug)]
pub(crate) struct Index {
    file: Arc<IndexFile>,
    writer: Writer,
}

impl Index {
    /// Opens or makes the file, and tidies up what an end in the middle of something has left.
    pub(crate) fn open(path: &Path, shelf: Arc<Shelf>) -> Result<Self, Refused> {
        let file = IndexFile {
            path: path.to_owned(),
            database: RwLock::new(Some(open(path)?)),
            shelf,
        };
        let mut wanted = HashSet::new();
        {
            let database = file.database()?;
            forget_uploads(&database)?;
            let blobs = database.begin_read()?.open_table(BLOBS)?;
            for row in blobs.range::<&str>(..)? {
                wanted.insert(row?.0.value().to_owned());
            }
        }
        let swept = file.shelf.sweep(&wanted)?;
        if swept > 0 {
            tracing::info!("{swept} files of writes that were not acknowledged are gone");
        }
        let file = Arc::new(file);
        let writer = Writer::start(Arc::clone(&file))?;
        Ok(Self { file, writer })
    }

    pub(crate) fn shelf(&self) -> &Arc<Shelf> {
        &self.file.shelf
    }

    /// Reads something, all of it as of one moment.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Look) -> Result<T, Refused> + Send + 'static,
    ) -> Result<T, Refused> {
        let file = Arc::clone(&self.file);
        blocking(move || read(&Look::at(&*file.database()?)?)).await
    }

    /// An object, whose bytes stay for as long as they are held.
    pub(crate) async fn object(&self, bucket: &str, key: &str) -> Result<(Object, Held), Refused> {
        let file = Arc::clone(&self.file);
        let (bucket, key) = (bucket.to_owned(), key.to_owned());
        blocking(move || {
            let database = file.database()?;
            // Before the look: what it shows cannot go until it is held.
            let mut readers = file.shelf.readers();
            let object = Look::at(&database)?.object(&bucket, &key)?;
            let held = file.shelf.hold(&mut readers, &object.content.pieces);
            Ok((object, held))
        })
        .await
    }

    /// Changes something. The bytes of `drafts` are kept if the change is made. It is made whether or not
    /// somebody waits for the answer.
    pub(crate) async fn change<T: Send + 'static>(
        &self,
        drafts: Vec<Draft>,
        change: impl FnOnce(&mut Change<'_>) -> Result<T, Refused> + Send + 'static,
    ) -> Result<T, Refused> {
        self.writer.change(drafts, change).await
    }

    /// Writes what has queued up, and nothing after it.
    pub(crate) fn close(&self) {
        self.writer.stop();
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Refused> + Send + 'static,
) -> Result<T, Refused> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(Refused::Disk(error.to_string())))
}

/// The file, which is closed after a failed write until it could be opened again.
#[derive(Debug)]
pub(crate) struct IndexFile {
    path: PathBuf,
    database: RwLock<Option<Database>>,
    pub(crate) shelf: Arc<Shelf>,
}

impl IndexFile {
    /// The database, opened again if it is closed.
    pub(crate) fn database(
        &self,
    ) -> Result<parking_lot::MappedRwLockReadGuard<'_, Database>, Refused> {
        let mut guard = self.database.read();
        if guard.is_none() {
            drop(guard);
            let mut closed = self.database.write();
            if closed.is_none() {
                *closed = Some(open(&self.path)?);
            }
            guard = RwLockWriteGuard::downgrade(closed);
        }
        RwLockReadGuard::try_map(guard, Option::as_ref)
            .map_err(|_| Refused::Disk("the index is closed".to_owned()))
    }

    /// Closes the database, which refuses everything after a failed write.
    pub(crate) fn give_up(&self) {
        *self.database.write() = None;
    }

    /// Whether something names this blob.
    pub(crate) fn names(&self, id: &BlobId) -> Result<bool, Refused> {
        let blobs = self.database()?.begin_read()?.open_table(BLOBS)?;
        Ok(blobs.get(id.as_str())?.is_some())
    }
}

fn open(path: &Path) -> Result<Database, Refused> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut builder = redb::Builder::new();
    builder.set_cache_size(CACHE_BYTES);
    let mut options = std::fs::OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    if !path.exists() {
        // A file that has its length and no header yet would be taken for somebody else's.
        let partial = path.with_extension("partial");
        let file = options.clone().create(true).truncate(true).open(&partial)?;
        drop(builder.create_file(file)?);
        std::fs::rename(&partial, path)?;
        if let Some(folder) = path.parent() {
            std::fs::File::open(folder)?.sync_all()?;
        }
    }
    let database = builder.create_file(options.open(path)?)?;
    let transaction = database.begin_write()?;
    Change::in_transaction(&transaction)?;
    transaction.commit()?;
    Ok(database)
}

/// Ends uploads that nobody will complete.
fn forget_uploads(database: &Database) -> Result<(), Refused> {
    let mut forgotten = Vec::new();
    {
        let look = Look::at(database)?;
        for row in look.uploads.range::<(&str, &str, &str)>(..)? {
            let (name, row) = row?;
            let upload: Upload = decode(row.value())?;
            if upload.begun.age() > FORGOTTEN {
                let (bucket, key, id) = name.value();
                forgotten.push((bucket.to_owned(), key.to_owned(), id.to_owned()));
            }
        }
    }
    if forgotten.is_empty() {
        return Ok(());
    }
    let transaction = database.begin_write()?;
    {
        let mut change = Change::in_transaction(&transaction)?;
        for (bucket, key, id) in &forgotten {
            change.end_upload(bucket, key, id)?;
        }
    }
    transaction.commit()?;
    Ok(())
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refused> {
    serde_json::from_slice(bytes).map_err(|error| Refused::Disk(error.to_string()))
}

fn encode<T: Serialize>(row: &T) -> Result<Vec<u8>, Refused> {
    serde_json::to_vec(row).map_err(|error| Refused::Disk(error.to_string()))
}

fn row<T: DeserializeOwned, K: redb::Key + 'static>(
    table: &impl ReadableTable<K, &'static [u8]>,
    key: K::SelfType<'_>,
) -> Result<Option<T>, Refused> {
    let found = table.get(key)?;
    found.map(|it| decode(it.value())).transpose()
}

/// What there is at one moment.
pub(crate) struct Look {
    buckets: redb::ReadOnlyTable<&'static str, &'static [u8]>,
    objects: redb::ReadOnlyTable<(&'static str, &'static str), &'static [u8]>,
    uploads: redb::ReadOnlyTable<(&'static str, &'static str, &'static str), &'static [u8]>,
    parts: redb::ReadOnlyTable<(&'static str, u32), &'static [u8]>,
}

impl Look {
    fn at(database: &Database) -> Result<Self, Refused> {
        let transaction = database.begin_read()?;
        Ok(Self {
            buckets: transaction.open_table(BUCKETS)?,
            objects: transaction.open_table(OBJECTS)?,
            uploads: transaction.open_table(UPLOADS)?,
            parts: transaction.open_table(PARTS)?,
        })
    }

    pub(crate) fn buckets(&self) -> Result<Vec<(String, Bucket)>, Refused> {
        let mut all = Vec::new();
        for row in self.buckets.range::<&str>(..)? {
            let (name, row) = row?;
            all.push((name.value().to_owned(), decode(row.value())?));
        }
        Ok(all)
    }

    pub(crate) fn bucket(&self, name: &str) -> Result<Bucket, Refused> {
        row(&self.buckets, name)?.ok_or(Refused::NoSuchBucket)
    }

    pub(crate) fn object(&self, bucket: &str, key: &str) -> Result<Object, Refused> {
        match row(&self.objects, (bucket, key))? {
            Some(found) => Ok(found),
            None => self.bucket(bucket).and(Err(Refused::NoSuchKey)),
        }
    }

    /// The first object of a bucket that is not before this key.
    pub(crate) fn object_at_or_after(
        &self,
        bucket: &str,
        key: &str,
    ) -> Result<Option<(String, Object)>, Refused> {
        let Some(row) = self.objects.range((bucket, key)..)?.next() else {
            return Ok(None);
        };
        let (name, row) = row?;
        let (found, key) = name.value();
        if found != bucket {
            return Ok(None);
        }
        Ok(Some((key.to_owned(), decode(row.value())?)))
    }

    /// The uploads of a bucket after one of them, in the order of their keys.
    pub(crate) fn uploads(
        &self,
        bucket: &str,
        after: (&str, &str),
        limit: usize,
        is_meant: impl Fn(&str) -> bool,
    ) -> Result<Vec<(String, String, Upload)>, Refused> {
        let mut all = Vec::new();
        let begin = Bound::Excluded((bucket, after.0, after.1));
        for row in self.uploads.range((begin, Bound::Unbounded))? {
            let (name, row) = row?;
            let (found, key, id) = name.value();
            if found != bucket || all.len() == limit {
                break;
            }
            if is_meant(key) {
                all.push((key.to_owned(), id.to_owned(), decode(row.value())?));
            }
        }
        Ok(all)
    }

    pub(crate) fn upload(&self, bucket: &str, key: &str, id: &str) -> Result<Upload, Refused> {
        match row(&self.uploads, (bucket, key, id))? {
            Some(found) => Ok(found),
            None => self.bucket(bucket).and(Err(Refused::NoSuchUpload)),
        }
    }

    /// The parts of an upload after one of them.
    pub(crate) fn parts(
        &self,
        id: &str,
        after: u32,
        limit: usize,
    ) -> Result<Vec<(u32, Part)>, Refused> {
        let range = (
            Bound::Excluded((id, after)),
            Bound::Included((id, u32::MAX)),
        );
        let mut all = Vec::new();
        for row in self.parts.range(range)?.take(limit) {
            let (name, row) = row?;
            all.push((name.value().1, decode(row.value())?));
        }
        Ok(all)
    }
}

/// Changes that are made together.
pub(crate) struct Change<'txn> {
    buckets: redb::Table<'txn, &'static str, &'static [u8]>,
    objects: redb::Table<'txn, (&'static str, &'static str), &'static [u8]>,
    uploads: redb::Table<'txn, (&'static str, &'static str, &'static str), &'static [u8]>,
    parts: redb::Table<'txn, (&'static str, u32), &'static [u8]>,
    blobs: redb::Table<'txn, &'static str, u64>,
    /// What nothing names any more.
    pub(crate) freed: Vec<BlobId>,
    /// Whether anything was written.
    pub(crate) has_written: bool,
}

impl<'txn> Change<'txn> {
    pub(crate) fn in_transaction(transaction: &'txn WriteTransaction) -> Result<Self, Refused> {
        Ok(Self {
            buckets: transaction.open_table(BUCKETS)?,
            objects: transaction.open_table(OBJECTS)?,
            uploads: transaction.open_table(UPLOADS)?,
            parts: transaction.open_table(PARTS)?,
            blobs: transaction.open_table(BLOBS)?,
            freed: Vec::new(),
            has_written: false,
        })
    }

    pub(crate) fn bucket(&self, name: &str) -> Result<Bucket, Refused> {
        row(&self.buckets, name)?.ok_or(Refused::NoSuchBucket)
    }

    pub(crate) fn make_bucket(&mut self, name: &str, bucket: &Bucket) -> Result<(), Refused> {
        if self.buckets.get(name)?.is_some() {
            return Err(Refused::BucketExists);
        }
        self.put_bucket(name, bucket)
    }

    pub(crate) fn put_bucket(&mut self, name: &str, bucket: &Bucket) -> Result<(), Refused> {
        self.has_written = true;
        self.buckets.insert(name, encode(bucket)?.as_slice())?;
        Ok(())
    }

    /// Deletes a bucket that has nothing in it. Uploads that were not completed are nothing.
    pub(crate) fn delete_bucket(&mut self, name: &str) -> Result<(), Refused> {
        self.bucket(name)?;
        if let Some(first) = self.objects.range((name, "")..)?.next()
            && first?.0.value().0 == name
        {
            return Err(Refused::BucketNotEmpty);
        }
        let mut open = Vec::new();
        for row in self.uploads.range((name, "", "")..)? {
            let (found, _) = row?;
            let (bucket, key, id) = found.value();
            if bucket != name {
                break;
            }
            open.push((key.to_owned(), id.to_owned()));
        }
        for (key, id) in open {
            self.end_upload(name, &key, &id)?;
        }
        self.has_written = true;
        self.buckets.remove(name)?;
        Ok(())
    }

    /// The object of a key, if there is one; an error without the bucket.
    pub(crate) fn object(&self, bucket: &str, key: &str) -> Result<Option<Object>, Refused> {
        self.bucket(bucket)?;
        row(&self.objects, (bucket, key))
    }

    /// Puts an object where perhaps another one is.
    pub(crate) fn put_object(
        &mut self,
        bucket: &str,
        key: &str,
        object: &Object,
    ) -> Result<(), Refused> {
        self.has_written = true;
        self.name(&object.content.pieces)?;
        let before = {
            let before = self
                .objects
                .insert((bucket, key), encode(object)?.as_slice())?;
            before.map(|it| decode::<Object>(it.value())).transpose()?
        };
        if let Some(before) = before {
            self.forget(&before.content)?;
        }
        Ok(())
    }

    /// Deletes an object, if there is one.
    pub(crate) fn delete_object(&mut self, bucket: &str, key: &str) -> Result<(), Refused> {
        let gone = {
            let gone = self.objects.remove((bucket, key))?;
            gone.map(|it| decode::<Object>(it.value())).transpose()?
        };
        if let Some(gone) = gone {
            self.has_written = true;
            self.forget(&gone.content)?;
        }
        Ok(())
    }

    pub(crate) fn begin_upload(
        &mut self,
        bucket: &str,
        key: &str,
        id: &str,
        upload: &Upload,
    ) -> Result<(), Refused> {
        self.bucket(bucket)?;
        self.has_written = true;
        self.uploads
            .insert((bucket, key, id), encode(upload)?.as_slice())?;
        Ok(())
    }

    pub(crate) fn upload(&self, bucket: &str, key: &str, id: &str) -> Result<Upload, Refused> {
        self.bucket(bucket)?;
        row(&self.uploads, (bucket, key, id))?.ok_or(Refused::NoSuchUpload)
    }

    pub(crate) fn part(&self, id: &str, number: u32) -> Result<Option<Part>, Refused> {
        row(&self.parts, (id, number))
    }

    /// Puts a part where perhaps another one is.
    pub(crate) fn put_part(&mut self, id: &str, number: u32, part: &Part) -> Result<(), Refused> {
        self.has_written = true;
        self.name(&part.content.pieces)?;
        let before = {
            let before = self.parts.insert((id, number), encode(part)?.as_slice())?;
            before.map(|it| decode::<Part>(it.value())).transpose()?
        };
        if let Some(before) = before {
            self.forget(&before.content)?;
        }
        Ok(())
    }

    /// Ends an upload, and forgets its parts.
    pub(crate) fn end_upload(&mut self, bucket: &str, key: &str, id: &str) -> Result<(), Refused> {
        self.has_written = true;
        self.uploads.remove((bucket, key, id))?;
        let mut parts = Vec::new();
        for row in self.parts.range((id, 0)..=(id, u32::MAX))? {
            let (name, row) = row?;
            parts.push((name.value().1, decode::<Part>(row.value())?));
        }
        for (number, part) in parts {
            self.parts.remove((id, number))?;
            self.forget(&part.content)?;
        }
        Ok(())
    }

    fn name(&mut self, pieces: &[Piece]) -> Result<(), Refused> {
        for piece in pieces {
            let id = piece.blob.as_str();
            let count = self.blobs.get(id)?.map_or(0, |it| it.value());
            self.blobs.insert(id, count + 1)?;
        }
        Ok(())
    }

    fn forget(&mut self, content: &Content) -> Result<(), Refused> {
        for piece in &content.pieces {
            let id = piece.blob.as_str();
            let count = self.blobs.get(id)?.map_or(0, |it| it.value());
            if count > 1 {
                self.blobs.insert(id, count - 1)?;
            } else {
                self.blobs.remove(id)?;
                self.freed.push(piece.blob.clone());
            }
        }
        Ok(())
    }
}
