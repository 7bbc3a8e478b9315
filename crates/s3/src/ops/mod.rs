//! What each call of S3 does.
//!
//! It is those that Spark's file system, the clients of the big languages and the operator make: buckets and
//! their tags, objects and theirs, lists, and uploads in parts. Of what is not here (versions, access lists,
//! policies, encryption) the answer is `NotImplemented`.

mod buckets;
mod conditions;
mod lists;
mod objects;
mod receive;
mod send;
mod uploads;

use std::sync::Arc;

use async_trait::async_trait;
#[allow(
    clippy::wildcard_imports,
    reason = "each call has types of its own, which are what this is about"
)]
use s3s::dto::*;
use s3s::{S3, S3Error, S3ErrorCode, S3Request, S3Response, S3Result, s3_error};

use crate::index::{Index, Refused};
use crate::rows::About;

/// The calls, over an index.
#[derive(Debug, Clone)]
pub(crate) struct Ops {
    index: Arc<Index>,
}

impl Ops {
    pub(crate) fn new(index: Arc<Index>) -> Self {
        Self { index }
    }
}

type Answer<T> = S3Result<S3Response<T>>;

#[async_trait]
impl S3 for Ops {
    async fn list_buckets(&self, _: S3Request<ListBucketsInput>) -> Answer<ListBucketsOutput> {
        answer(self.buckets().await)
    }

    async fn create_bucket(&self, req: S3Request<CreateBucketInput>) -> Answer<CreateBucketOutput> {
        answer(self.make_bucket(req.input).await)
    }

    async fn head_bucket(&self, req: S3Request<HeadBucketInput>) -> Answer<HeadBucketOutput> {
        answer(self.look_for_bucket(req.input).await)
    }

    async fn delete_bucket(&self, req: S3Request<DeleteBucketInput>) -> Answer<DeleteBucketOutput> {
        answer(self.remove_bucket(req.input).await)
    }

    async fn get_bucket_location(
        &self,
        req: S3Request<GetBucketLocationInput>,
    ) -> Answer<GetBucketLocationOutput> {
        answer(self.bucket_location(req.input).await)
    }

    async fn get_bucket_versioning(
        &self,
        req: S3Request<GetBucketVersioningInput>,
    ) -> Answer<GetBucketVersioningOutput> {
        answer(self.bucket_versioning(req.input).await)
    }

    async fn get_bucket_tagging(
        &self,
        req: S3Request<GetBucketTaggingInput>,
    ) -> Answer<GetBucketTaggingOutput> {
        answer(self.bucket_tags(req.input).await)
    }

    async fn put_bucket_tagging(
        &self,
        req: S3Request<PutBucketTaggingInput>,
    ) -> Answer<PutBucketTaggingOutput> {
        let done = self.tag_bucket(req.input.bucket, tags_of(req.input.tagging)?);
        answer(done.await.map(|()| PutBucketTaggingOutput::default()))
    }

    async fn delete_bucket_tagging(
        &self,
        req: S3Request<DeleteBucketTaggingInput>,
    ) -> Answer<DeleteBucketTaggingOutput> {
        let done = self.tag_bucket(req.input.bucket, Vec::new());
        answer(done.await.map(|()| DeleteBucketTaggingOutput::default()))
    }

    async fn list_objects(&self, req: S3Request<ListObjectsInput>) -> Answer<ListObjectsOutput> {
        answer(self.list(req.input).await)
    }

    async fn list_objects_v2(
        &self,
        req: S3Request<ListObjectsV2Input>,
    ) -> Answer<ListObjectsV2Output> {
        answer(self.list_v2(req.input).await)
    }

    async fn get_object(&self, req: S3Request<GetObjectInput>) -> Answer<GetObjectOutput> {
        answer(self.get(req.input).await)
    }

    async fn head_object(&self, req: S3Request<HeadObjectInput>) -> Answer<HeadObjectOutput> {
        answer(self.head(req.input).await)
    }

    async fn put_object(&self, req: S3Request<PutObjectInput>) -> Answer<PutObjectOutput> {
        answer(self.put(req.input, req.trailing_headers).await)
    }

    async fn copy_object(&self, req: S3Request<CopyObjectInput>) -> Answer<CopyObjectOutput> {
        answer(self.copy(req.input).await)
    }

    async fn delete_object(&self, req: S3Request<DeleteObjectInput>) -> Answer<DeleteObjectOutput> {
        answer(self.delete(req.input).await)
    }

    async fn delete_objects(
        &self,
        req: S3Request<DeleteObjectsInput>,
    ) -> Answer<DeleteObjectsOutput> {
        answer(self.delete_all(req.input).await)
    }

    async fn get_object_tagging(
        &self,
        req: S3Request<GetObjectTaggingInput>,
    ) -> Answer<GetObjectTaggingOutput> {
        answer(self.object_tags(req.input).await)
    }

    async fn put_object_tagging(
        &self,
        req: S3Request<PutObjectTaggingInput>,
    ) -> Answer<PutObjectTaggingOutput> {
        let tags = tags_of(req.input.tagging)?;
        let done = self.tag_object(req.input.bucket, req.input.key, tags);
        answer(done.await.map(|()| PutObjectTaggingOutput::default()))
    }

    async fn delete_object_tagging(
        &self,
        req: S3Request<DeleteObjectTaggingInput>,
    ) -> Answer<DeleteObjectTaggingOutput> {
        let done = self.tag_object(req.input.bucket, req.input.key, Vec::new());
        answer(done.await.map(|()| DeleteObjectTaggingOutput::default()))
    }

    async fn create_multipart_upload(
        &self,
        req: S3Request<CreateMultipartUploadInput>,
    ) -> Answer<CreateMultipartUploadOutput> {
        answer(self.begin(req.input).await)
    }

    async fn upload_part(&self, req: S3Request<UploadPartInput>) -> Answer<UploadPartOutput> {
        answer(self.put_part(req.input, req.trailing_headers).await)
    }

    async fn upload_part_copy(
        &self,
        req: S3Request<UploadPartCopyInput>,
    ) -> Answer<UploadPartCopyOutput> {
        answer(self.copy_part(req.input).await)
    }

    async fn complete_multipart_upload(
        &self,
        req: S3Request<CompleteMultipartUploadInput>,
    ) -> Answer<CompleteMultipartUploadOutput> {
        answer(self.complete(req.input).await)
    }

    async fn abort_multipart_upload(
        &self,
        req: S3Request<AbortMultipartUploadInput>,
    ) -> Answer<AbortMultipartUploadOutput> {
        answer(self.abort(req.input).await)
    }

    async fn list_multipart_uploads(
        &self,
        req: S3Request<ListMultipartUploadsInput>,
    ) -> Answer<ListMultipartUploadsOutput> {
        answer(self.uploads(req.input).await)
    }

    async fn list_parts(&self, req: S3Request<ListPartsInput>) -> Answer<ListPartsOutput> {
        answer(self.parts(req.input).await)
    }
}

fn answer<T>(result: S3Result<T>) -> Answer<T> {
    result.map(S3Response::new)
}

impl From<Refused> for S3Error {
    fn from(refused: Refused) -> Self {
        let code = match refused {
            Refused::NoSuchBucket => S3ErrorCode::NoSuchBucket,
            Refused::NoSuchKey => S3ErrorCode::NoSuchKey,
            Refused::NoSuchUpload => S3ErrorCode::NoSuchUpload,
            Refused::BucketExists => S3ErrorCode::BucketAlreadyOwnedByYou,
            Refused::BucketNotEmpty => S3ErrorCode::BucketNotEmpty,
            Refused::Precondition => S3ErrorCode::PreconditionFailed,
            Refused::InvalidPart(_) => S3ErrorCode::InvalidPart,
            Refused::PartOrder => S3ErrorCode::InvalidPartOrder,
            Refused::TooSmall => S3ErrorCode::EntityTooSmall,
            // Clients try these again.
            Refused::Full(_) | Refused::Disk(_) => S3ErrorCode::ServiceUnavailable,
        };
        Self::with_message(code, refused.to_string())
    }
}

/// The tags of a request; no two have one key.
fn tags_of(tagging: Tagging) -> S3Result<Vec<(String, String)>> {
    let tags = tagging.tag_set.into_iter();
    let tags = tags.map(|it| (it.key.unwrap_or_default(), it.value.unwrap_or_default()));
    distinct(tags.collect())
}

/// The tags of a header, in which they are written as in an address.
fn tags_of_header(header: Option<&str>) -> S3Result<Vec<(String, String)>> {
    let parts = header.unwrap_or_default().split('&');
    let parts = parts.filter(|it| !it.is_empty());
    let tags = parts.map(|part| {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        Some((lists::decoded(key)?, lists::decoded(value)?))
    });
    let tags: Option<Vec<_>> = tags.collect();
    distinct(tags.ok_or_else(|| s3_error!(InvalidArgument, "The tags cannot be read"))?)
}

fn distinct(tags: Vec<(String, String)>) -> S3Result<Vec<(String, String)>> {
    for (index, (key, _)) in tags.iter().enumerate() {
        if key.is_empty() || tags[..index].iter().any(|(other, _)| other == key) {
            return Err(s3_error!(
                InvalidTag,
                "A tag has no key, or that of another one"
            ));
        }
    }
    Ok(tags)
}

fn tag_set(tags: Vec<(String, String)>) -> Vec<Tag> {
    let tag = |(key, value)| Tag {
        key: Some(key),
        value: Some(value),
    };
    tags.into_iter().map(tag).collect()
}

/// A key that can be kept.
fn checked(key: &str) -> S3Result<()> {
    if key.len() > 1024 {
        return Err(s3_error!(KeyTooLongError));
    }
    if key.contains('\0') {
        return Err(s3_error!(
            InvalidArgument,
            "A key cannot have the character 0"
        ));
    }
    Ok(())
}

/// What the fields of a request say of the object, which three kinds of requests have by the same names.
macro_rules! about {
    ($input:ident) => {
        $crate::rows::About {
            content_type: $input.content_type,
            content_encoding: $crate::ops::stored_encoding($input.content_encoding),
            content_disposition: $input.content_disposition,
            content_language: $input.content_language,
            cache_control: $input.cache_control,
            redirect: $input.website_redirect_location,
            metadata: $input.metadata.unwrap_or_default().into_iter().collect(),
            tags: $crate::ops::tags_of_header($input.tagging.as_deref())?,
        }
    };
}
use about;

/// What stays of an encoding when the signed pieces of an upload are put together.
fn stored_encoding(encoding: Option<String>) -> Option<String> {
    let encoding = encoding?;
    let parts = encoding.split(',').map(str::trim);
    let kept: Vec<&str> = parts
        .filter(|it| !it.is_empty() && *it != "aws-chunked")
        .collect();
    (!kept.is_empty()).then(|| kept.join(","))
}

impl About {
    fn tag_count(&self) -> Option<i32> {
        (!self.tags.is_empty()).then_some(self.tags.len() as i32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_of_a_header_are_read_as_an_address_and_have_different_keys() {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(
            tags_of_header(Some("a=1&b+c=x%3Dy&d")).unwrap(),
            [pair("a", "1"), pair("b c", "x=y"), pair("d", "")]
        );
        assert_eq!(tags_of_header(None).unwrap(), []);
        for wrong in ["a=1&a=2", "=1", "a=%zz"] {
            assert!(tags_of_header(Some(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_encoding_of_an_upload_is_not_that_of_the_object() {
        let stored = |text: &str| stored_encoding(Some(text.to_owned()));
        assert_eq!(stored("aws-chunked"), None);
        assert_eq!(stored("aws-chunked,gzip").as_deref(), Some("gzip"));
        assert_eq!(stored("gzip").as_deref(), Some("gzip"));
    }
}
