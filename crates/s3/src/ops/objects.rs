//! Objects: written, read, copied, deleted, tagged.

#[allow(
    clippy::wildcard_imports,
    reason = "each call has types of its own, which are what this is about"
)]
use s3s::dto::*;
use s3s::{S3Result, TrailingHeaders, s3_error};

use super::conditions::{ForRead, ForWrite, etag};
use super::receive::{Received, said};
use super::send::send;
use super::{Ops, about, checked, tag_set};
use crate::index::Refused;
use crate::rows::{Moment, Object as Row};

/// What is said of objects about which nobody has said anything.
const UNKNOWN: &str = "binary/octet-stream";

impl Ops {
    pub(super) async fn put(
        &self,
        mut input: PutObjectInput,
        trailers: Option<TrailingHeaders>,
    ) -> S3Result<PutObjectOutput> {
        checked(&input.key)?;
        let condition = ForWrite {
            if_match: input.if_match.take(),
            if_none_match: input.if_none_match.take(),
        };
        let (bucket, key) = (input.bucket.clone(), input.key.clone());
        // Before the bytes have come for nothing; what counts is what is there after.
        let check = move |there: Option<&Row>| condition.check(there);
        self.index
            .read({
                let (bucket, key, check) = (bucket.clone(), key.clone(), check.clone());
                move |look| match look.object(&bucket, &key) {
                    Ok(there) => check(Some(&there)),
                    Err(Refused::NoSuchKey) => check(None),
                    Err(refused) => Err(refused),
                }
            })
            .await?;
        let said = said!(input, trailers);
        let Received {
            content,
            drafts,
            sums,
        } = self.receive(input.body.take(), said).await?;
        let tag = content.etag.clone();
        let row = Row {
            content,
            modified: Moment::now(),
            about: about!(input),
            upload: None,
        };
        let put = self.index.change(drafts, move |tables| {
            check(tables.object(&bucket, &key)?.as_ref())?;
            tables.put_object(&bucket, &key, &row)
        });
        put.await?;
        Ok(PutObjectOutput {
            e_tag: Some(etag(&tag)),
            checksum_crc32: sums.checksum_crc32,
            checksum_crc32c: sums.checksum_crc32c,
            checksum_crc64nvme: sums.checksum_crc64nvme,
            checksum_sha1: sums.checksum_sha1,
            checksum_sha256: sums.checksum_sha256,
            ..PutObjectOutput::default()
        })
    }

    pub(super) async fn get(&self, input: GetObjectInput) -> S3Result<GetObjectOutput> {
        if input.part_number.is_some() {
            return Err(s3_error!(NotImplemented, "Parts are not read by number"));
        }
        let (row, held) = self.index.object(&input.bucket, &input.key).await?;
        let condition = ForRead {
            if_match: input.if_match,
            if_none_match: input.if_none_match,
            if_modified_since: input.if_modified_since,
            if_unmodified_since: input.if_unmodified_since,
        };
        condition.answer(&row)?;
        let size = row.content.size();
        let range = input.range.map(|it| it.check(size)).transpose()?;
        let content_range = range
            .as_ref()
            .map(|it| format!("bytes {}-{}/{size}", it.start, it.end - 1));
        let range = range.unwrap_or(0..size);
        let pieces = row.content.cut(range.start, range.end);
        let about = row.about;
        Ok(GetObjectOutput {
            accept_ranges: Some("bytes".to_owned()),
            body: Some(send(pieces, self.index.shelf().clone(), held)),
            content_length: Some((range.end - range.start) as i64),
            content_range,
            content_type: input
                .response_content_type
                .or(about.content_type.clone())
                .or(Some(UNKNOWN.to_owned())),
            content_encoding: input
                .response_content_encoding
                .or(about.content_encoding.clone()),
            content_disposition: input
                .response_content_disposition
                .or(about.content_disposition.clone()),
            content_language: input
                .response_content_language
                .or(about.content_language.clone()),
            cache_control: input.response_cache_control.or(about.cache_control.clone()),
            website_redirect_location: about.redirect.clone(),
            tag_count: about.tag_count(),
            metadata: Some(about.metadata.into_iter().collect()),
            e_tag: Some(etag(&row.content.etag)),
            last_modified: Some(Timestamp::from(row.modified.time())),
            ..GetObjectOutput::default()
        })
    }

    pub(super) async fn head(&self, input: HeadObjectInput) -> S3Result<HeadObjectOutput> {
        if input.part_number.is_some() {
            return Err(s3_error!(NotImplemented, "Parts are not read by number"));
        }
        let row = self.row(input.bucket, input.key).await?;
        let condition = ForRead {
            if_match: input.if_match,
            if_none_match: input.if_none_match,
            if_modified_since: input.if_modified_since,
            if_unmodified_since: input.if_unmodified_since,
        };
        condition.answer(&row)?;
        let size = row.content.size();
        let range = input.range.map(|it| it.check(size)).transpose()?;
        let length = range.as_ref().map_or(size, |it| it.end - it.start);
        let about = row.about;
        Ok(HeadObjectOutput {
            accept_ranges: Some("bytes".to_owned()),
            content_length: Some(length as i64),
            content_range: range.map(|it| format!("bytes {}-{}/{size}", it.start, it.end - 1)),
            content_type: about.content_type.or(Some(UNKNOWN.to_owned())),
            content_encoding: about.content_encoding,
            content_disposition: about.content_disposition,
            content_language: about.content_language,
            cache_control: about.cache_control,
            website_redirect_location: about.redirect,
            metadata: Some(about.metadata.into_iter().collect()),
            e_tag: Some(etag(&row.content.etag)),
            last_modified: Some(Timestamp::from(row.modified.time())),
            ..HeadObjectOutput::default()
        })
    }

    /// The bytes stay where they are, and are named once more.
    pub(super) async fn copy(&self, input: CopyObjectInput) -> S3Result<CopyObjectOutput> {
        checked(&input.key)?;
        let (from_bucket, from_key) = source(&input.copy_source)?;
        let condition = ForRead {
            if_match: input.copy_source_if_match,
            if_none_match: input.copy_source_if_none_match,
            if_modified_since: input.copy_source_if_modified_since,
            if_unmodified_since: input.copy_source_if_unmodified_since,
        };
        let is = |directive: Option<&str>| directive == Some(MetadataDirective::REPLACE);
        let replaces = is(input.metadata_directive.as_ref().map(|it| it.as_str()));
        let retags = is(input.tagging_directive.as_ref().map(|it| it.as_str()));
        let given = about!(input);
        let (bucket, key) = (input.bucket, input.key);
        let modified = Moment::now();
        let copied = self.index.change(Vec::new(), move |tables| {
            let found = tables.object(&from_bucket, &from_key)?;
            let found = found.ok_or(Refused::NoSuchKey)?;
            condition.allow(&found)?;
            tables.bucket(&bucket)?;
            let tags = if retags {
                given.tags.clone()
            } else {
                found.about.tags.clone()
            };
            let mut about = if replaces { given } else { found.about };
            about.tags = tags;
            let row = Row {
                content: found.content,
                modified,
                about,
                upload: None,
            };
            tables.put_object(&bucket, &key, &row)?;
            Ok(row.content.etag)
        });
        let tag = copied.await?;
        Ok(CopyObjectOutput {
            copy_object_result: Some(CopyObjectResult {
                e_tag: Some(etag(&tag)),
                last_modified: Some(Timestamp::from(modified.time())),
                ..CopyObjectResult::default()
            }),
            ..CopyObjectOutput::default()
        })
    }

    pub(super) async fn delete(&self, input: DeleteObjectInput) -> S3Result<DeleteObjectOutput> {
        let condition = ForWrite {
            if_match: input.if_match,
            if_none_match: None,
        };
        let gone = self.index.change(Vec::new(), move |tables| {
            let there = tables.object(&input.bucket, &input.key)?;
            condition.check(there.as_ref())?;
            tables.delete_object(&input.bucket, &input.key)
        });
        gone.await?;
        Ok(DeleteObjectOutput::default())
    }

    /// All of them at once.
    pub(super) async fn delete_all(
        &self,
        input: DeleteObjectsInput,
    ) -> S3Result<DeleteObjectsOutput> {
        if input.delete.objects.len() > super::lists::PAGE {
            return Err(s3_error!(
                MalformedXML,
                "No more than 1000 objects are deleted at once"
            ));
        }
        let keys: Vec<String> = input.delete.objects.into_iter().map(|it| it.key).collect();
        let bucket = input.bucket;
        let gone = self.index.change(Vec::new(), move |tables| {
            tables.bucket(&bucket)?;
            for key in &keys {
                tables.delete_object(&bucket, key)?;
            }
            Ok(keys)
        });
        let deleted = gone.await?.into_iter().map(|key| DeletedObject {
            key: Some(key),
            ..DeletedObject::default()
        });
        let is_quiet = input.delete.quiet == Some(true);
        Ok(DeleteObjectsOutput {
            deleted: (!is_quiet).then(|| deleted.collect()),
            ..DeleteObjectsOutput::default()
        })
    }

    pub(super) async fn object_tags(
        &self,
        input: GetObjectTaggingInput,
    ) -> S3Result<GetObjectTaggingOutput> {
        let row = self.row(input.bucket, input.key).await?;
        Ok(GetObjectTaggingOutput {
            tag_set: tag_set(row.about.tags),
            ..GetObjectTaggingOutput::default()
        })
    }

    pub(super) async fn tag_object(
        &self,
        bucket: String,
        key: String,
        tags: Vec<(String, String)>,
    ) -> S3Result<()> {
        let tagged = self.index.change(Vec::new(), move |tables| {
            let mut row = tables.object(&bucket, &key)?.ok_or(Refused::NoSuchKey)?;
            row.about.tags = tags;
            tables.put_object(&bucket, &key, &row)
        });
        Ok(tagged.await?)
    }

    async fn row(&self, bucket: String, key: String) -> S3Result<Row> {
        Ok(self
            .index
            .read(move |look| look.object(&bucket, &key))
            .await?)
    }
}

/// Where a copy is made from.
pub(super) fn source(source: &CopySource) -> S3Result<(String, String)> {
    match source {
        CopySource::Bucket { bucket, key, .. } => Ok((bucket.to_string(), key.to_string())),
        CopySource::AccessPoint { .. } | CopySource::Outpost { .. } => Err(s3_error!(
            NotImplemented,
            "There are buckets alone to copy from"
        )),
    }
}
