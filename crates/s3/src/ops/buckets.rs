//! Buckets, and their tags.

#[allow(
    clippy::wildcard_imports,
    reason = "each call has types of its own, which are what this is about"
)]
use s3s::dto::*;
use s3s::{S3Result, s3_error};

use super::{Ops, tag_set};
use crate::rows::{Bucket as Row, Moment};

impl Ops {
    pub(super) async fn buckets(&self) -> S3Result<ListBucketsOutput> {
        let all = self.index.read(|look| look.buckets()).await?;
        let buckets = all.into_iter().map(|(name, row)| Bucket {
            bucket_region: row.region,
            creation_date: Some(Timestamp::from(row.made.time())),
            name: Some(name),
        });
        Ok(ListBucketsOutput {
            buckets: Some(buckets.collect()),
            owner: Some(Owner {
                display_name: Some("windlass".to_owned()),
                id: Some("windlass".to_owned()),
            }),
            ..ListBucketsOutput::default()
        })
    }

    pub(super) async fn make_bucket(
        &self,
        input: CreateBucketInput,
    ) -> S3Result<CreateBucketOutput> {
        let asked = input
            .create_bucket_configuration
            .and_then(|it| it.location_constraint)
            .map(|it| it.as_str().to_owned());
        let row = Row {
            made: Moment::now(),
            region: asked.filter(|it| !it.is_empty() && it != crate::REGION),
            tags: Vec::new(),
        };
        let location = format!("/{}", input.bucket);
        let made = self
            .index
            .change(Vec::new(), move |tables| {
                tables.make_bucket(&input.bucket, &row)
            })
            .await;
        made?;
        Ok(CreateBucketOutput {
            location: Some(location),
        })
    }

    pub(super) async fn look_for_bucket(
        &self,
        input: HeadBucketInput,
    ) -> S3Result<HeadBucketOutput> {
        let row = self.bucket(input.bucket).await?;
        Ok(HeadBucketOutput {
            bucket_region: Some(row.region.unwrap_or_else(|| crate::REGION.to_owned())),
            ..HeadBucketOutput::default()
        })
    }

    pub(super) async fn remove_bucket(
        &self,
        input: DeleteBucketInput,
    ) -> S3Result<DeleteBucketOutput> {
        let gone = self.index.change(Vec::new(), move |tables| {
            tables.delete_bucket(&input.bucket)
        });
        gone.await?;
        Ok(DeleteBucketOutput::default())
    }

    pub(super) async fn bucket_location(
        &self,
        input: GetBucketLocationInput,
    ) -> S3Result<GetBucketLocationOutput> {
        let row = self.bucket(input.bucket).await?;
        Ok(GetBucketLocationOutput {
            location_constraint: row.region.map(BucketLocationConstraint::from),
        })
    }

    /// Nothing has versions here.
    pub(super) async fn bucket_versioning(
        &self,
        input: GetBucketVersioningInput,
    ) -> S3Result<GetBucketVersioningOutput> {
        self.bucket(input.bucket).await?;
        Ok(GetBucketVersioningOutput::default())
    }

    pub(super) async fn bucket_tags(
        &self,
        input: GetBucketTaggingInput,
    ) -> S3Result<GetBucketTaggingOutput> {
        let row = self.bucket(input.bucket).await?;
        if row.tags.is_empty() {
            return Err(s3_error!(NoSuchTagSet, "The bucket has no tags"));
        }
        Ok(GetBucketTaggingOutput {
            tag_set: tag_set(row.tags),
        })
    }

    pub(super) async fn tag_bucket(
        &self,
        bucket: String,
        tags: Vec<(String, String)>,
    ) -> S3Result<()> {
        let tagged = self.index.change(Vec::new(), move |tables| {
            let row = Row {
                tags,
                ..tables.bucket(&bucket)?
            };
            tables.put_bucket(&bucket, &row)
        });
        Ok(tagged.await?)
    }

    async fn bucket(&self, name: String) -> S3Result<Row> {
        Ok(self.index.read(move |look| look.bucket(&name)).await?)
    }
}
