//! A shelf of kept logs, in a folder or a bucket: `NAMESPACE/APPLICATION/POD-UID/00000001.log`, and beside the
//! pieces what says whose they are (`about.json`), and that no more of them come: `ended` where all of the log is
//! kept, `cut-off` where its pod was gone before that was known.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bytes::{Bytes, BytesMut};
use futures::{StreamExt as _, TryStreamExt as _};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::lines::{Known, Reached, text};
use super::pieces::{Cursor, Next, Piece, standing};
pub use super::place::{Added, Bucket, PlaceError};
use super::place::{Entry, Place, publish};

const ABOUT: &str = "about.json";
const ENDED: &str = "ended";
const CUT_OFF: &str = "cut-off";
/// How many logs are looked at, or deleted, at the same time.
const AT_ONCE: usize = 8;
/// How much of a log is looked through where times do not tell what of it is kept.
const KNOWN_MAX: u64 = 16 << 20;
/// How often pieces may be joined and deleted under a reader before it gives up.
const PATIENCE: usize = 16;

/// A shelf of kept logs. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Shelf {
    place: Place,
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

/// How a log ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// All of it is kept.
    Whole,
    /// Its pod was gone before all of it was read: its last lines may be missing.
    CutOff,
}

/// What there is of a log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Held {
    /// Whether it is said whose it is.
    pub is_described: bool,
    /// How it ended, if it did.
    pub end: Option<End>,
    /// Its pieces, those included that others cover.
    pub pieces: Vec<Piece>,
}

impl Held {
    /// Takes in the file of this name.
    fn take(&mut self, name: &str, size: u64, written: Timestamp) {
        match name {
            ABOUT => self.is_described = true,
            ENDED => self.end = Some(End::Whole),
            // Whoever says that it is whole has read it.
            CUT_OFF => self.end = self.end.or(Some(End::CutOff)),
            name => self.pieces.extend(Piece::of_name(name, size, written)),
        }
    }

    /// The number of the next segment.
    pub fn next(&self) -> u64 {
        self.pieces.iter().map(|it| it.last).max().unwrap_or(0) + 1
    }

    /// Whether older lines are no longer kept.
    pub fn lacks_its_beginning(&self) -> bool {
        let first = self.pieces.iter().map(|it| it.first).min();
        first.is_some_and(|first| first > 1)
    }
}

impl Shelf {
    /// A folder, which need not be there yet.
    pub fn folder(root: impl Into<PathBuf>) -> Self {
        Self {
            place: Place::Folder(root.into()),
        }
    }

    /// A bucket.
    pub const fn bucket(bucket: Bucket) -> Self {
        Self {
            place: Place::Bucket(bucket),
        }
    }

    /// What there is of a log.
    ///
    /// # Errors
    /// Those of the place.
    pub async fn held(&self, slot: &Slot) -> Result<Held, PlaceError> {
        let folder = folder(slot)?;
        let mut held = Held::default();
        for entry in self.place.list(&folder).await? {
            if let Some(name) = entry.path.strip_prefix(&format!("{folder}/")) {
                held.take(name, entry.size, entry.written);
            }
        }
        Ok(held)
    }

    /// Makes room for a log, and says whose it is.
    ///
    /// # Errors
    /// Those of the place.
    pub async fn open(&self, slot: &Slot, about: &About) -> Result<(), PlaceError> {
        let folder = folder(slot)?;
        if let Place::Folder(root) = &self.place {
            let folder = root.join(&folder);
            let made = tokio::task::spawn_blocking(move || std::fs::create_dir_all(folder)).await;
            made.map_err(std::io::Error::other)??;
        }
        let text = serde_json::to_vec(about).map_err(std::io::Error::other)?;
        let path = format!("{folder}/{ABOUT}");
        self.place.create(&path, text.into()).await.map(drop)
    }

    /// How far a log was copied.
    ///
    /// # Errors
    /// Those of the place.
    pub async fn reached(&self, slot: &Slot, held: &Held) -> Result<Reached, PlaceError> {
        let mut reached = Reached::default();
        for piece in standing(&held.pieces).iter().rev() {
            if !reached.look_back(&self.piece(slot, piece).await?) {
                break;
            }
        }
        Ok(reached)
    }

    /// The last lines that are kept, as many as a node may still have: up to 16 MiB.
    ///
    /// # Errors
    /// Those of the place.
    pub async fn known(&self, slot: &Slot, held: &Held) -> Result<Known, PlaceError> {
        let mut known = Known::default();
        let mut bytes = 0;
        for piece in standing(&held.pieces).iter().rev() {
            known.add(&self.piece(slot, piece).await?);
            bytes += piece.size;
            if bytes > KNOWN_MAX {
                break;
            }
        }
        Ok(known)
    }

    /// A piece, with the times of its lines.
    ///
    /// # Errors
    /// Those of the place; it may have been joined with others.
    pub async fn piece(&self, slot: &Slot, piece: &Piece) -> Result<Bytes, PlaceError> {
        self.place.read(&path(slot, piece)?).await
    }

    /// Keeps a segment: whole, or not at all.
    ///
    /// # Errors
    /// Those of the place.
    pub async fn add(&self, slot: &Slot, number: u64, segment: Bytes) -> Result<Added, PlaceError> {
        let name = Piece::name(&(number..=number));
        let path = format!("{}/{name}", folder(slot)?);
        self.place.create(&path, segment).await
    }

    /// Whether it is on this machine, so that something can be kept without waiting for others.
    pub(super) const fn is_at_hand(&self) -> bool {
        matches!(self.place, Place::Folder(_))
    }

    /// Keeps a segment of a shelf that is at hand, and waits for the disk where nobody can be waited for.
    pub(super) fn add_now(
        &self,
        slot: &Slot,
        number: u64,
        segment: &[u8],
    ) -> Result<Added, PlaceError> {
        let Place::Folder(root) = &self.place else {
            return Err(std::io::Error::from(std::io::ErrorKind::Unsupported).into());
        };
        let name = Piece::name(&(number..=number));
        let path = root.join(folder(slot)?).join(name);
        Ok(publish(&path, segment)?)
    }

    /// Joins pieces that follow each other; they go when the joined one is there. Says which it is, or that
    /// somebody has done so before.
    ///
    /// # Errors
    /// Those of the place.
    pub async fn join(&self, slot: &Slot, parts: &[Piece]) -> Result<Option<Piece>, PlaceError> {
        let (Some(head), Some(tail)) = (parts.first(), parts.last()) else {
            return Ok(None);
        };
        let mut whole = BytesMut::new();
        for part in parts {
            match self.piece(slot, part).await {
                Ok(bytes) => whole.extend_from_slice(&bytes),
                Err(PlaceError::Absent) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        let joined = Piece {
            first: head.first,
            last: tail.last,
            size: u64::try_from(whole.len()).unwrap_or(u64::MAX),
            written: tail.written,
        };
        let path = path(slot, &joined)?;
        // One that is there is the same: what it is made of never changes.
        self.place.create(&path, whole.freeze()).await?;
        for part in parts {
            self.remove(slot, part).await?;
        }
        Ok(Some(joined))
    }

    /// Deletes a piece.
    ///
    /// # Errors
    /// Those of the place.
    pub async fn remove(&self, slot: &Slot, piece: &Piece) -> Result<(), PlaceError> {
        self.place.delete(&path(slot, piece)?).await
    }

    /// Says that no more comes of a log.
    ///
    /// # Errors
    /// Those of the place.
    pub async fn end(&self, slot: &Slot, end: End) -> Result<(), PlaceError> {
        let name = match end {
            End::Whole => ENDED,
            End::CutOff => CUT_OFF,
        };
        let path = format!("{}/{name}", folder(slot)?);
        self.place.create(&path, Bytes::new()).await.map(drop)
    }

    /// The logs of an application, those of its latest pods first.
    ///
    /// # Errors
    /// Those of the place.
    pub async fn logs(
        &self,
        namespace: &str,
        application: &str,
    ) -> Result<Vec<(Slot, About)>, PlaceError> {
        let below = format!("{}/{}", part(namespace)?, part(application)?);
        let found = logs_of(self.place.list(&below).await?);
        let described = found.into_iter().filter(|(_, log)| log.held.is_described);
        let read = futures::stream::iter(described.map(|(slot, _)| async move {
            let path = format!("{}/{ABOUT}", folder(&slot)?);
            match self.place.read(&path).await {
                Ok(text) => {
                    let about = serde_json::from_slice::<About>(&text);
                    Ok(Some((slot, about.map_err(std::io::Error::other)?)))
                }
                // It is being deleted.
                Err(PlaceError::Absent) => Ok(None),
                Err(error) => Err(error),
            }
        }));
        let read: Vec<_> = read.buffer_unordered(AT_ONCE).try_collect().await?;
        let mut logs: Vec<(Slot, About)> = read.into_iter().flatten().collect();
        logs.sort_by(|a, b| (b.1.created, &b.0).cmp(&(a.1.created, &a.0)));
        Ok(logs)
    }

    /// The namespaces of which there are logs.
    ///
    /// # Errors
    /// Those of the place.
    pub async fn namespaces(&self) -> Result<Vec<String>, PlaceError> {
        self.place.folders("").await
    }

    /// Reads a log from its beginning, or what is left of it.
    pub fn read<'a>(&'a self, slot: &'a Slot) -> Reading<'a> {
        Reading {
            shelf: self,
            slot,
            cursor: Cursor::default(),
            pieces: None,
        }
    }

    /// The last lines of a log, without times, and more than as many where the pieces have more.
    ///
    /// # Errors
    /// Those of the place.
    pub async fn tail(&self, slot: &Slot, lines: usize) -> Result<Vec<u8>, PlaceError> {
        'again: for _ in 0..PATIENCE {
            let mut end: Vec<u8> = Vec::new();
            for piece in standing(&self.held(slot).await?.pieces).iter().rev() {
                if end.split_inclusive(|byte| *byte == b'\n').count() >= lines {
                    break;
                }
                match self.piece(slot, piece).await {
                    Ok(bytes) => end.splice(0..0, text(&bytes)).for_each(drop),
                    Err(PlaceError::Absent) => continue 'again,
                    Err(error) => return Err(error),
                }
            }
            return Ok(end);
        }
        Err(PlaceError::Absent)
    }

    /// Deletes the logs of a namespace whose last line is older than this and whose pod is gone; says how
    /// many. Of the others what is older goes, but for the last piece, which tells how far a log was copied.
    /// A log that cannot be dealt with does not keep the others.
    ///
    /// # Errors
    /// Those of the place, the first of them.
    pub async fn sweep(
        &self,
        namespace: &str,
        retention: SignedDuration,
        now: Timestamp,
        lives: impl Fn(&str) -> bool + Sync,
    ) -> Result<usize, PlaceError> {
        let found = logs_of(self.place.list(part(namespace)?).await?);
        let is_expired = |written: Timestamp| now.duration_since(written) > retention;
        let (is_expired, lives) = (&is_expired, &lives);
        let swept = futures::stream::iter(found.into_iter().map(|(slot, log)| async move {
            if is_expired(log.written) && !lives(&slot.uid) {
                return self.discard(&slot, &log).await.map(|()| 1);
            }
            let mut pieces = standing(&log.held.pieces);
            pieces.pop();
            for piece in pieces.iter().take_while(|it| is_expired(it.written)) {
                self.remove(&slot, piece).await?;
            }
            Ok(0)
        }));
        let swept: Vec<Result<usize, PlaceError>> = swept.buffer_unordered(AT_ONCE).collect().await;
        swept.into_iter().sum()
    }

    /// Deletes a log, the oldest lines first and what it is of last, so that what is left can be read.
    async fn discard(&self, slot: &Slot, log: &Log) -> Result<(), PlaceError> {
        let folder = folder(slot)?;
        for piece in standing(&log.held.pieces) {
            self.remove(slot, &piece).await?;
        }
        let mut names: Vec<&str> = log.names.iter().map(String::as_str).collect();
        names.sort_unstable_by_key(|name| *name == ABOUT);
        for name in names {
            self.place.delete(&format!("{folder}/{name}")).await?;
        }
        self.place.prune(&folder).await
    }
}

/// Somebody who reads a log, whose pieces may be joined and deleted meanwhile.
#[derive(Debug)]
pub struct Reading<'a> {
    shelf: &'a Shelf,
    slot: &'a Slot,
    cursor: Cursor,
    pieces: Option<Vec<Piece>>,
}

impl Reading<'_> {
    /// The next lines, with their times; `None` at the end.
    ///
    /// # Errors
    /// Those of the place.
    pub async fn next(&mut self) -> Result<Option<Bytes>, PlaceError> {
        for _ in 0..PATIENCE {
            let pieces = match self.pieces.take() {
                Some(pieces) => pieces,
                None => self.shelf.held(self.slot).await?.pieces,
            };
            let Some(Next { piece, skip }) = self.cursor.next(&pieces) else {
                self.pieces = Some(pieces);
                return Ok(None);
            };
            match self.shelf.piece(self.slot, &piece).await {
                Ok(mut bytes) => {
                    self.pieces = Some(pieces);
                    self.cursor.advance(piece);
                    let skip = usize::try_from(skip).unwrap_or(usize::MAX);
                    return Ok(Some(bytes.split_off(skip.min(bytes.len()))));
                }
                // It has been joined with others, or is too old now.
                Err(PlaceError::Absent) => {}
                Err(error) => return Err(error),
            }
        }
        Err(PlaceError::Absent)
    }
}

/// What a listing shows of a log.
#[derive(Debug, Default)]
struct Log {
    held: Held,
    /// All of its files.
    names: Vec<String>,
    /// When something was last added to it.
    written: Timestamp,
}

/// The logs that these files are of; a file that is none of one is passed over.
fn logs_of(entries: Vec<Entry>) -> BTreeMap<Slot, Log> {
    let mut logs: BTreeMap<Slot, Log> = BTreeMap::new();
    for entry in entries {
        let parts: Vec<&str> = entry.path.split('/').collect();
        let [namespace, application, uid, name] = parts[..] else {
            continue;
        };
        let slot = Slot {
            namespace: namespace.to_owned(),
            application: application.to_owned(),
            uid: uid.to_owned(),
        };
        let log = logs.entry(slot).or_default();
        log.held.take(name, entry.size, entry.written);
        log.names.push(name.to_owned());
        log.written = log.written.max(entry.written);
    }
    logs
}

fn path(slot: &Slot, piece: &Piece) -> Result<String, PlaceError> {
    Ok(format!(
        "{}/{}",
        folder(slot)?,
        Piece::name(&piece.segments())
    ))
}

fn folder(slot: &Slot) -> Result<String, PlaceError> {
    let (namespace, application) = (part(&slot.namespace)?, part(&slot.application)?);
    Ok(format!("{namespace}/{application}/{}", part(&slot.uid)?))
}

/// One step of a path, and no more than that.
fn part(text: &str) -> Result<&str, PlaceError> {
    let is_one = Path::new(text).components().count() == 1;
    if !is_one || text.starts_with('.') || text.contains(['/', '\0']) {
        let told = format!("{text:?} cannot be the name of a folder");
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, told).into());
    }
    Ok(text)
}

#[cfg(test)]
mod tests;
