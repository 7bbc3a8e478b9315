//! Bytes that come in: to a file, with their sums, in a bounded amount of memory.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::StreamExt as _;
use md5::{Digest as _, Md5};
use s3s::checksum::ChecksumHasher;
use s3s::dto::{Checksum, ChecksumAlgorithm, StreamingBlob};
use s3s::{S3Error, S3Result, TrailingHeaders, s3_error};
use tokio::io::{AsyncWriteExt as _, BufWriter};

use super::Ops;
use crate::blobs::Draft;
use crate::index::Refused;
use crate::rows::{Content, Piece};

/// How much is written at once.
const BUFFER: usize = 256 << 10;
/// How long the next bytes may take to come.
const PATIENCE: Duration = Duration::from_mins(5);

/// What the bytes are said to be.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub(super) md5: Option<String>,
    pub(super) algorithm: Option<ChecksumAlgorithm>,
    pub(super) sums: Checksum,
    /// What comes after the bytes.
    pub(super) trailers: Option<TrailingHeaders>,
}

/// What the fields of a request say of its bytes, which two kinds of requests have by the same names.
macro_rules! said {
    ($input:ident, $trailers:expr) => {
        $crate::ops::receive::Said {
            md5: $input.content_md5.take(),
            algorithm: $input.checksum_algorithm.take(),
            sums: ::s3s::dto::Checksum {
                checksum_crc32: $input.checksum_crc32.take(),
                checksum_crc32c: $input.checksum_crc32c.take(),
                checksum_crc64nvme: $input.checksum_crc64nvme.take(),
                checksum_sha1: $input.checksum_sha1.take(),
                checksum_sha256: $input.checksum_sha256.take(),
                ..::s3s::dto::Checksum::default()
            },
            trailers: $trailers,
        }
    };
}
pub(super) use said;

/// What has come, synchronised.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) content: Content,
    /// The file, if there was anything to write.
    pub(super) drafts: Vec<Draft>,
    /// The sums that were asked for.
    pub(super) sums: Checksum,
}

impl Ops {
    pub(super) async fn receive(
        &self,
        body: Option<StreamingBlob>,
        said: Said,
    ) -> S3Result<Received> {
        let mut file = None;
        let mut size = 0;
        let mut md5 = Md5::new();
        let mut sums = hasher(&said);
        if let Some(mut body) = body {
            loop {
                let next = tokio::time::timeout(PATIENCE, body.next()).await;
                let next = next.map_err(|_| s3_error!(RequestTimeout, "The bytes do not come"))?;
                let Some(bytes) = next else { break };
                let bytes = bytes.map_err(broken)?;
                if bytes.is_empty() {
                    continue;
                }
                let (_, writer) = match &mut file {
                    Some(open) => open,
                    empty => {
                        let (draft, file) = self.index.shelf().draft().map_err(full)?;
                        let file = tokio::fs::File::from_std(file);
                        empty.insert((draft, BufWriter::with_capacity(BUFFER, file)))
                    }
                };
                md5.update(&bytes);
                sums.update(&bytes);
                size += bytes.len() as u64;
                writer.write_all(&bytes).await.map_err(full)?;
            }
        }
        let mut drafts = Vec::new();
        let mut pieces = Vec::new();
        if let Some((draft, mut writer)) = file {
            writer.flush().await.map_err(full)?;
            writer.get_ref().sync_all().await.map_err(full)?;
            pieces.push(Piece {
                blob: draft.id().clone(),
                from: 0,
                size,
            });
            drafts.push(draft);
        }
        let md5: [u8; 16] = md5.finalize().into();
        let sums = sums.finalize();
        check(&said, &md5, &sums)?;
        Ok(Received {
            content: Content {
                etag: hex(&md5),
                pieces,
            },
            drafts,
            sums,
        })
    }
}

/// The sums that are to be made.
fn hasher(said: &Said) -> ChecksumHasher {
    let mut hasher = ChecksumHasher::default();
    let algorithm = said.algorithm.as_ref().map(ChecksumAlgorithm::as_str);
    let is_asked = |name, value: &Option<String>| value.is_some() || algorithm == Some(name);
    let sums = &said.sums;
    if is_asked(ChecksumAlgorithm::CRC32, &sums.checksum_crc32) {
        hasher.crc32 = Some(Default::default());
    }
    if is_asked(ChecksumAlgorithm::CRC32C, &sums.checksum_crc32c) {
        hasher.crc32c = Some(Default::default());
    }
    if is_asked(ChecksumAlgorithm::CRC64NVME, &sums.checksum_crc64nvme) {
        hasher.crc64nvme = Some(Default::default());
    }
    if is_asked(ChecksumAlgorithm::SHA1, &sums.checksum_sha1) {
        hasher.sha1 = Some(Default::default());
    }
    if is_asked(ChecksumAlgorithm::SHA256, &sums.checksum_sha256) {
        hasher.sha256 = Some(Default::default());
    }
    hasher
}

/// Whether what came is what it was said to be, in the head or after the bytes.
fn check(said: &Said, md5: &[u8; 16], made: &Checksum) -> S3Result<()> {
    if let Some(said) = &said.md5
        && *said != STANDARD.encode(md5)
    {
        return Err(s3_error!(BadDigest, "The bytes have another MD5 sum"));
    }
    let trailers = said.trailers.as_ref().and_then(TrailingHeaders::take);
    let sums = &said.sums;
    for (name, head, made) in [
        ("crc32", &sums.checksum_crc32, &made.checksum_crc32),
        ("crc32c", &sums.checksum_crc32c, &made.checksum_crc32c),
        (
            "crc64nvme",
            &sums.checksum_crc64nvme,
            &made.checksum_crc64nvme,
        ),
        ("sha1", &sums.checksum_sha1, &made.checksum_sha1),
        ("sha256", &sums.checksum_sha256, &made.checksum_sha256),
    ] {
        let after = trailers
            .as_ref()
            .and_then(|it| it.get(format!("x-amz-checksum-{name}"))?.to_str().ok());
        let said = head.as_deref().or(after);
        if let (Some(said), Some(made)) = (said, made)
            && said != made
        {
            return Err(s3_error!(BadDigest, "The bytes have another {name} sum"));
        }
    }
    Ok(())
}

pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a text does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn full(error: std::io::Error) -> S3Error {
    Refused::from(error).into()
}

/// The bytes have ended before they should, or are not what was signed.
fn broken(error: s3s::StdError) -> S3Error {
    match error.downcast::<S3Error>() {
        Ok(error) => *error,
        Err(error) => {
            let mut told = s3_error!(IncompleteBody, "The bytes cannot be read: {error}");
            told.set_source(error);
            told
        }
    }
}
