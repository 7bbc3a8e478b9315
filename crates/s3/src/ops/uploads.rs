//! Uploads in parts. What they are made of is not copied when they are completed: the object is its parts.

use md5::{Digest as _, Md5};
#[allow(
    clippy::wildcard_imports,
    reason = "each call has types of its own, which are what this is about"
)]
use s3s::dto::*;
use s3s::{S3Result, TrailingHeaders, s3_error};
use uuid::Uuid;

use super::conditions::{ForRead, ForWrite, etag};
use super::lists::{PAGE, Words, limit};
use super::objects::source;
use super::receive::{Received, hex, said};
use super::{Ops, about, checked};
use crate::index::{Change, Refused};
use crate::rows::{Content, Moment, Object as Row, Part as PartRow, Upload};

/// The highest number of a part.
const LAST_PART: i32 = 10_000;
/// What each part has at least but the last one, in bytes.
const PART_MIN: u64 = 5 << 20;

impl Ops {
    pub(super) async fn begin(
        &self,
        input: CreateMultipartUploadInput,
    ) -> S3Result<CreateMultipartUploadOutput> {
        checked(&input.key)?;
        let id = Uuid::new_v4().simple().to_string();
        let upload = Upload {
            begun: Moment::now(),
            about: about!(input),
        };
        let (bucket, key) = (input.bucket, input.key);
        let output = CreateMultipartUploadOutput {
            bucket: Some(bucket.clone()),
            key: Some(key.clone()),
            upload_id: Some(id.clone()),
            ..CreateMultipartUploadOutput::default()
        };
        let begun = self.index.change(Vec::new(), move |tables| {
            tables.begin_upload(&bucket, &key, &id, &upload)
        });
        begun.await?;
        Ok(output)
    }

    pub(super) async fn put_part(
        &self,
        mut input: UploadPartInput,
        trailers: Option<TrailingHeaders>,
    ) -> S3Result<UploadPartOutput> {
        let number = number(input.part_number)?;
        let (bucket, key, id) = (input.bucket, input.key, input.upload_id);
        self.index
            .read({
                let (bucket, key, id) = (bucket.clone(), key.clone(), id.clone());
                move |look| look.upload(&bucket, &key, &id).map(drop)
            })
            .await?;
        let said = said!(input, trailers);
        let Received {
            content,
            drafts,
            sums,
        } = self.receive(input.body.take(), said).await?;
        let tag = content.etag.clone();
        let part = PartRow {
            content,
            modified: Moment::now(),
        };
        let put = self.index.change(drafts, move |tables| {
            tables.upload(&bucket, &key, &id)?;
            tables.put_part(&id, number, &part)
        });
        put.await?;
        Ok(UploadPartOutput {
            e_tag: Some(etag(&tag)),
            checksum_crc32: sums.checksum_crc32,
            checksum_crc32c: sums.checksum_crc32c,
            checksum_crc64nvme: sums.checksum_crc64nvme,
            checksum_sha1: sums.checksum_sha1,
            checksum_sha256: sums.checksum_sha256,
            ..UploadPartOutput::default()
        })
    }

    /// The bytes stay where they are, so that their sum is not known: the tag of the part is that of where
    /// they are from.
    pub(super) async fn copy_part(
        &self,
        input: UploadPartCopyInput,
    ) -> S3Result<UploadPartCopyOutput> {
        let number = number(input.part_number)?;
        let (from_bucket, from_key) = source(&input.copy_source)?;
        let range = input.copy_source_range.as_deref().map(range).transpose()?;
        let condition = ForRead {
            if_match: input.copy_source_if_match,
            if_none_match: input.copy_source_if_none_match,
            if_modified_since: input.copy_source_if_modified_since,
            if_unmodified_since: input.copy_source_if_unmodified_since,
        };
        let (bucket, key, id) = (input.bucket, input.key, input.upload_id);
        let modified = Moment::now();
        let copied = self.index.change(Vec::new(), move |tables| {
            tables.upload(&bucket, &key, &id)?;
            let found = tables.object(&from_bucket, &from_key)?;
            let found = found.ok_or(Refused::NoSuchKey)?;
            condition.allow(&found)?;
            let size = found.content.size();
            let (from, to) = range.unwrap_or((0, size));
            if to > size {
                let text = format!("the range ends at {to}, and the source has {size} bytes");
                return Err(Refused::InvalidPart(text));
            }
            let named = format!("{} {from} {to}", found.content.etag);
            let part = PartRow {
                content: Content {
                    etag: hex(&Md5::digest(named)),
                    pieces: found.content.cut(from, to),
                },
                modified,
            };
            tables.put_part(&id, number, &part)?;
            Ok(part.content.etag)
        });
        let tag = copied.await?;
        Ok(UploadPartCopyOutput {
            copy_part_result: Some(CopyPartResult {
                e_tag: Some(etag(&tag)),
                last_modified: Some(Timestamp::from(modified.time())),
                ..CopyPartResult::default()
            }),
            ..UploadPartCopyOutput::default()
        })
    }

    pub(super) async fn complete(
        &self,
        input: CompleteMultipartUploadInput,
    ) -> S3Result<CompleteMultipartUploadOutput> {
        let parts = input.multipart_upload.and_then(|it| it.parts);
        let parts = parts.unwrap_or_default().into_iter();
        let parts = parts.map(|it| {
            let number = number(it.part_number.unwrap_or_default())?;
            Ok((number, it.e_tag.map(ETag::into_value)))
        });
        let parts: Vec<(u32, Option<String>)> = parts.collect::<S3Result<_>>()?;
        let condition = ForWrite {
            if_match: input.if_match,
            if_none_match: input.if_none_match,
        };
        let (bucket, key, id) = (input.bucket, input.key, input.upload_id);
        let output = CompleteMultipartUploadOutput {
            bucket: Some(bucket.clone()),
            key: Some(key.clone()),
            location: Some(format!("/{bucket}/{key}")),
            ..CompleteMultipartUploadOutput::default()
        };
        let completed = self.index.change(Vec::new(), move |tables| {
            let there = tables.object(&bucket, &key)?;
            let upload = match (tables.upload(&bucket, &key, &id), &there) {
                // The answer was lost, and the question comes again.
                (Err(Refused::NoSuchUpload), Some(there))
                    if there.upload.as_deref() == Some(&id) =>
                {
                    return Ok(there.content.etag.clone());
                }
                (upload, _) => upload?,
            };
            condition.check(there.as_ref())?;
            let content = joined(tables, &id, &parts)?;
            let row = Row {
                content,
                modified: Moment::now(),
                about: upload.about,
                upload: Some(id.clone()),
            };
            // Named before they are forgotten.
            tables.put_object(&bucket, &key, &row)?;
            tables.end_upload(&bucket, &key, &id)?;
            Ok(row.content.etag)
        });
        Ok(CompleteMultipartUploadOutput {
            e_tag: Some(etag(&completed.await?)),
            ..output
        })
    }

    pub(super) async fn abort(
        &self,
        input: AbortMultipartUploadInput,
    ) -> S3Result<AbortMultipartUploadOutput> {
        let (bucket, key, id) = (input.bucket, input.key, input.upload_id);
        let ended = self.index.change(Vec::new(), move |tables| {
            tables.upload(&bucket, &key, &id)?;
            tables.end_upload(&bucket, &key, &id)
        });
        ended.await?;
        Ok(AbortMultipartUploadOutput::default())
    }

    pub(super) async fn uploads(
        &self,
        input: ListMultipartUploadsInput,
    ) -> S3Result<ListMultipartUploadsOutput> {
        if input.delimiter.is_some() {
            return Err(s3_error!(
                NotImplemented,
                "Uploads are not listed by folder"
            ));
        }
        let limit = limit(input.max_uploads)?;
        let words = Words::of(input.encoding_type.as_ref());
        let bucket = input.bucket.clone();
        let prefix = input.prefix.clone().unwrap_or_default();
        let after = (
            input.key_marker.clone().unwrap_or_default(),
            // After a key without an id comes the next key.
            match (&input.key_marker, &input.upload_id_marker) {
                (Some(_), None) => "~".to_owned(),
                (_, id) => id.clone().unwrap_or_default(),
            },
        );
        let read = self.index.read(move |look| {
            look.bucket(&bucket)?;
            look.uploads(&bucket, (&after.0, &after.1), limit + 1, |key| {
                key.starts_with(&prefix)
            })
        });
        let mut found = read.await?;
        let is_truncated = found.len() > limit;
        found.truncate(limit);
        let last = found.last().filter(|_| is_truncated);
        let last = last.map(|(key, id, _)| (key.clone(), id.clone()));
        let uploads = found.into_iter().map(|(key, id, upload)| MultipartUpload {
            initiated: Some(Timestamp::from(upload.begun.time())),
            key: Some(words.write(key)),
            upload_id: Some(id),
            storage_class: Some(StorageClass::from_static(StorageClass::STANDARD)),
            ..MultipartUpload::default()
        });
        Ok(ListMultipartUploadsOutput {
            uploads: Some(uploads.collect()),
            is_truncated: Some(is_truncated),
            next_key_marker: last.as_ref().map(|(key, _)| words.write(key.clone())),
            next_upload_id_marker: last.map(|(_, id)| id),
            max_uploads: Some(limit as i32),
            bucket: Some(input.bucket),
            prefix: words.optional(input.prefix),
            key_marker: words.optional(input.key_marker),
            upload_id_marker: input.upload_id_marker,
            encoding_type: input.encoding_type,
            ..ListMultipartUploadsOutput::default()
        })
    }

    pub(super) async fn parts(&self, input: ListPartsInput) -> S3Result<ListPartsOutput> {
        let limit = limit(input.max_parts)?;
        let after = input.part_number_marker.unwrap_or_default();
        let after = u32::try_from(after)
            .map_err(|_| s3_error!(InvalidArgument, "A part has no number below 1"))?;
        let (bucket, key, id) = (
            input.bucket.clone(),
            input.key.clone(),
            input.upload_id.clone(),
        );
        let read = self.index.read(move |look| {
            look.upload(&bucket, &key, &id)?;
            look.parts(&id, after, (limit + 1).min(PAGE + 1))
        });
        let mut found = read.await?;
        let is_truncated = found.len() > limit;
        found.truncate(limit);
        let last = found.last().map(|(number, _)| number.cast_signed());
        let parts = found.into_iter().map(|(number, part)| Part {
            e_tag: Some(etag(&part.content.etag)),
            last_modified: Some(Timestamp::from(part.modified.time())),
            part_number: Some(number.cast_signed()),
            size: Some(part.content.size() as i64),
            ..Part::default()
        });
        Ok(ListPartsOutput {
            parts: Some(parts.collect()),
            is_truncated: Some(is_truncated),
            next_part_number_marker: last,
            part_number_marker: input.part_number_marker,
            max_parts: Some(limit as i32),
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(input.upload_id),
            storage_class: Some(StorageClass::from_static(StorageClass::STANDARD)),
            ..ListPartsOutput::default()
        })
    }
}

/// What an upload becomes with these parts.
fn joined(
    tables: &Change<'_>,
    id: &str,
    parts: &[(u32, Option<String>)],
) -> Result<Content, Refused> {
    if parts.is_empty() {
        return Err(Refused::InvalidPart(
            "an object has one part or more".to_owned(),
        ));
    }
    if !parts.is_sorted_by(|(before, _), (after, _)| before < after) {
        return Err(Refused::PartOrder);
    }
    let mut sums = Vec::new();
    let mut pieces = Vec::new();
    for (index, (number, tag)) in parts.iter().enumerate() {
        let part = tables.part(id, *number)?;
        let part = part.filter(|it| tag.as_ref().is_none_or(|tag| *tag == it.content.etag));
        let part = part.ok_or_else(|| {
            let text = format!("part {number} was not uploaded, or is another one by now");
            Refused::InvalidPart(text)
        })?;
        if index + 1 < parts.len() && part.content.size() < PART_MIN {
            return Err(Refused::TooSmall);
        }
        sums.extend(unhex(&part.content.etag));
        pieces.extend(part.content.pieces);
    }
    Ok(Content {
        etag: format!("{}-{}", hex(&Md5::digest(sums)), parts.len()),
        pieces,
    })
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2);
    let digits = digits.filter_map(|it| std::str::from_utf8(it).ok());
    digits
        .filter_map(|it| u8::from_str_radix(it, 16).ok())
        .collect()
}

fn number(number: i32) -> S3Result<u32> {
    if !(1..=LAST_PART).contains(&number) {
        return Err(s3_error!(
            InvalidArgument,
            "Part number must be an integer between 1 and 10000, inclusive"
        ));
    }
    Ok(number.cast_unsigned())
}

/// The bytes from one place up to another one, as the range of a copy says it: the last one included.
fn range(text: &str) -> S3Result<(u64, u64)> {
    let numbers = text
        .strip_prefix("bytes=")
        .and_then(|it| it.split_once('-'));
    let range = numbers.and_then(|(first, last)| {
        let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
        (first <= last).then_some((first, last.checked_add(1)?))
    });
    range.ok_or_else(|| s3_error!(InvalidArgument, "The range of the source cannot be read"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_read_or_refused() {
        assert_eq!(range("bytes=0-4").unwrap(), (0, 5));
        for wrong in [
            "0-4",
            "bytes=4-0",
            "bytes=-4",
            "bytes=4-",
            "bytes=a-b",
            "bytes=0-18446744073709551615",
        ] {
            assert!(range(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn parts_have_the_numbers_that_amazon_gives_them() {
        assert_eq!(number(1).unwrap(), 1);
        assert_eq!(number(10_000).unwrap(), 10_000);
        assert!(number(0).is_err() && number(10_001).is_err());
    }
}
