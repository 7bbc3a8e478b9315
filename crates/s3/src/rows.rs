//! What the index says of buckets, objects and uploads. A row that was written is read by every later
//! version: fields are added with a default, and never change their meaning.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A bucket.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Bucket {
    pub(crate) made: Moment,
    /// Where it was asked for, if not in the first region.
    #[serde(default)]
    pub(crate) region: Option<String>,
    #[serde(default)]
    pub(crate) tags: Vec<(String, String)>,
}

/// An object.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Object {
    pub(crate) content: Content,
    pub(crate) modified: Moment,
    #[serde(default)]
    pub(crate) about: About,
    /// The upload in parts that it was made by: whoever completes that once more hears the same.
    #[serde(default)]
    pub(crate) upload: Option<String>,
}

/// Bytes, and how they are known. It never changes: what is written anew is another one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Content {
    pub(crate) etag: String,
    pub(crate) pieces: Vec<Piece>,
}

/// Some of the bytes of a blob. Several contents may be made of one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Piece {
    pub(crate) blob: BlobId,
    pub(crate) from: u64,
    pub(crate) size: u64,
}

/// What was said of an object when it was written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct About {
    pub(crate) content_type: Option<String>,
    pub(crate) content_encoding: Option<String>,
    pub(crate) content_disposition: Option<String>,
    pub(crate) content_language: Option<String>,
    pub(crate) cache_control: Option<String>,
    pub(crate) redirect: Option<String>,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) tags: Vec<(String, String)>,
}

/// An upload in parts that is under way.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Upload {
    pub(crate) begun: Moment,
    pub(crate) about: About,
}

/// A part of an upload.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Part {
    pub(crate) content: Content,
    pub(crate) modified: Moment,
}

/// A time, in milliseconds since 1970.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Moment(u64);

/// The name of a file with bytes. There are no others than those that were made here, so none leads
/// out of the folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct BlobId(String);

impl Content {
    pub(crate) fn size(&self) -> u64 {
        self.pieces.iter().map(|it| it.size).sum()
    }

    /// The pieces that the bytes from one place up to another one are made of.
    pub(crate) fn cut(&self, from: u64, to: u64) -> Vec<Piece> {
        let mut cut = Vec::new();
        let mut begin = 0;
        for piece in &self.pieces {
            let end = begin + piece.size;
            let (first, last) = (from.max(begin), to.min(end));
            if first < last {
                cut.push(Piece {
                    blob: piece.blob.clone(),
                    from: piece.from + (first - begin),
                    size: last - first,
                });
            }
            begin = end;
        }
        cut
    }
}

impl Moment {
    pub(crate) fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        Self(since.unwrap_or_default().as_millis() as u64)
    }

    pub(crate) fn time(self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.0)
    }

    /// What dates of HTTP can say of it.
    pub(crate) fn whole_seconds(self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(self.0 / 1000)
    }

    pub(crate) fn age(self) -> Duration {
        Duration::from_millis(Self::now().0.saturating_sub(self.0))
    }
}

impl BlobId {
    pub(crate) fn new() -> Self {
        Self(Uuid::new_v4().simple().to_string())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_has_exactly_the_bytes_that_were_asked_for() {
        let blob = |name: &str| BlobId(name.to_owned());
        let piece = |name: &str, from, size| Piece {
            blob: blob(name),
            from,
            size,
        };
        let content = Content {
            etag: String::new(),
            pieces: vec![piece("a", 10, 5), piece("b", 0, 5), piece("a", 0, 2)],
        };
        assert_eq!(content.size(), 12);
        for (from, to, expected) in [
            (0, 12, content.pieces.clone()),
            (0, 0, vec![]),
            (5, 10, vec![piece("b", 0, 5)]),
            (3, 7, vec![piece("a", 13, 2), piece("b", 0, 2)]),
            (
                4,
                99,
                vec![piece("a", 14, 1), piece("b", 0, 5), piece("a", 0, 2)],
            ),
        ] {
            assert_eq!(content.cut(from, to), expected, "{from}..{to}");
        }
    }

    #[test]
    fn a_row_of_an_earlier_version_is_read() {
        let row = r#"{"content":{"etag":"e","pieces":[]},"modified":5}"#;
        let object: Object = serde_json::from_str(row).unwrap();
        assert_eq!(object.content.etag, "e");
        assert_eq!(object.about, About::default());
        let row = r#"{"made":5}"#;
        let bucket: Bucket = serde_json::from_str(row).unwrap();
        assert_eq!(bucket.region, None);
    }
}
