//! Buckets of Amazon S3, and of what speaks its language (API version 2006-03-01).
//!
//! Names stand in the path, which every server understands. Tags are read before anything else is asked,
//! because an answer to that says with a message what is wrong, which one to HEAD cannot.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::{HeaderName, HeaderValue, Method, StatusCode};
use md5::{Digest as _, Md5};
use object_store::aws::{AwsAuthorizer, AwsCredential};
use object_store::client::HttpRequest;
use sha2::Sha256;

use super::http::{Http, Reply, address, request};
use super::text::{element, elements, escape, refusal, unescape};
use crate::buckets::credentials::{Keys, unsigned};
use crate::buckets::steps::{Contents, Creation, Deletion, Found, StoreError, Tags, Trouble};
use crate::buckets::wanted::{Server, Wanted};

/// The region that a bucket has when none is asked for; asking for it by name is refused.
const FIRST_REGION: &str = "us-east-1";
/// Our tags.
const NAMESPACE: &str = "windlass.dev/namespace";
const NAME: &str = "windlass.dev/object-store";
const IDENTITY: &str = "windlass.dev/identity";
/// How long a step may go on emptying a bucket before it tells how far it is.
const EMPTYING: Duration = Duration::from_secs(20);

/// A bucket.
#[derive(Debug)]
pub struct S3 {
    http: Http,
    endpoint: String,
    bucket: String,
    region: String,
    server: Server,
    credential: Arc<AwsCredential>,
}

impl S3 {
    pub(super) async fn new(http: Http, wanted: &Wanted, keys: &Keys) -> Result<Self, StoreError> {
        Ok(Self {
            http,
            endpoint: wanted.endpoint.clone(),
            bucket: wanted.bucket.clone(),
            region: wanted
                .location
                .clone()
                .unwrap_or_else(|| FIRST_REGION.to_owned()),
            server: wanted.server,
            credential: keys.aws().await?,
        })
    }

    pub(super) async fn look(&self) -> Result<Found, StoreError> {
        let reply = self.ask(Method::GET, "tagging", String::new()).await?;
        let text = reply.text();
        let code = element(&text, "Code");
        match (reply.status, code.as_deref()) {
            (StatusCode::OK, _) => Ok(Found::Present(Some(tags(&pairs(&text))))),
            (_, Some("NoSuchTagSet" | "NoSuchTagSetError")) => {
                Ok(Found::Present(Some(Tags::default())))
            }
            (_, Some("NoSuchBucket")) => Ok(Found::Absent),
            // The server keeps no tags, or shows none: whether there is a bucket is known otherwise.
            (StatusCode::NOT_IMPLEMENTED | StatusCode::METHOD_NOT_ALLOWED, _)
            | (StatusCode::NOT_FOUND, None)
            | (_, Some("NotImplemented" | "AccessDenied" | "MethodNotAllowed")) => {
                self.head(&reply).await
            }
            _ => Err(self.refused(&reply)),
        }
    }

    /// Whether there is a bucket, after tags could not be read.
    async fn head(&self, tagging: &Reply) -> Result<Found, StoreError> {
        let reply = self.ask(Method::HEAD, "", String::new()).await?;
        match reply.status {
            StatusCode::OK => Ok(Found::Present(None)),
            StatusCode::NOT_FOUND => Ok(Found::Absent),
            StatusCode::FORBIDDEN => Ok(Found::OutOfReach(self.refused(tagging).words)),
            _ => Err(self.refused(&reply)),
        }
    }

    pub(super) async fn create(&self, _tags: &Tags) -> Result<Creation, StoreError> {
        let body = if self.region == FIRST_REGION {
            String::new()
        } else {
            format!(
                "<CreateBucketConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
                 <LocationConstraint>{}</LocationConstraint></CreateBucketConfiguration>",
                escape(&self.region)
            )
        };
        let reply = self.ask(Method::PUT, "", body).await?;
        let code = element(&reply.text(), "Code");
        match (reply.status, code.as_deref()) {
            (status, _) if status.is_success() => Ok(Creation::Bare),
            (_, Some("BucketAlreadyOwnedByYou")) => Ok(Creation::Exists),
            (_, Some("BucketAlreadyExists")) => Ok(Creation::Theirs),
            _ => Err(self.refused(&reply)),
        }
    }

    /// Tags are written all at once, so those of others are read first.
    pub(super) async fn mark(&self, marks: &Tags) -> Result<(), StoreError> {
        let reply = self.ask(Method::GET, "tagging", String::new()).await?;
        let text = reply.text();
        let code = element(&text, "Code");
        let mut all = match (reply.status, code.as_deref()) {
            (StatusCode::OK, _) => pairs(&text),
            (_, Some("NoSuchTagSet" | "NoSuchTagSetError")) => Vec::new(),
            _ => return Err(self.refused(&reply)),
        };
        all.retain(|(key, _)| ![NAMESPACE, NAME, IDENTITY].contains(&key.as_str()));
        for (key, value) in [
            (NAMESPACE, &marks.namespace),
            (NAME, &marks.name),
            (IDENTITY, &marks.identity),
        ] {
            if let Some(value) = value {
                all.push((key.to_owned(), value.clone()));
            }
        }
        let tags: Vec<String> = all
            .iter()
            .map(|(key, value)| {
                format!(
                    "<Tag><Key>{}</Key><Value>{}</Value></Tag>",
                    escape(key),
                    escape(value)
                )
            })
            .collect();
        let body = format!("<Tagging><TagSet>{}</TagSet></Tagging>", tags.concat());
        let reply = self.ask(Method::PUT, "tagging", body).await?;
        self.expect(reply)
    }

    pub(super) async fn delete(&self, contents: Contents) -> Result<Deletion, StoreError> {
        if contents == Contents::Remove && !self.empty().await? {
            return Ok(Deletion::NotEmpty);
        }
        let reply = self.ask(Method::DELETE, "", String::new()).await?;
        let code = element(&reply.text(), "Code");
        match (reply.status, code.as_deref()) {
            (status, _) if status.is_success() => Ok(Deletion::Gone),
            (_, Some("NoSuchBucket")) => Ok(Deletion::Gone),
            (_, Some("BucketNotEmpty")) => Ok(Deletion::NotEmpty),
            _ => Err(self.refused(&reply)),
        }
    }

    /// Deletes what is in the bucket, with all versions, as far as it gets in a while; tells whether
    /// nothing is left.
    async fn empty(&self) -> Result<bool, StoreError> {
        let begun = Instant::now();
        while begun.elapsed() < EMPTYING {
            let page = self.page().await?;
            if page.is_empty() {
                return Ok(true);
            }
            let objects: Vec<String> = page
                .iter()
                .map(|(key, version)| {
                    let version = version.as_ref().map_or_else(String::new, |it| {
                        format!("<VersionId>{}</VersionId>", escape(it))
                    });
                    format!("<Object><Key>{}</Key>{version}</Object>", escape(key))
                })
                .collect();
            let body = format!("<Delete><Quiet>true</Quiet>{}</Delete>", objects.concat());
            let reply = self.ask(Method::POST, "delete", body).await?;
            let text = reply.text();
            let first = elements(&text, "Error").into_iter().next();
            if let Some(first) = first
                && reply.status.is_success()
            {
                let (code, message) = (element(first, "Code"), element(first, "Message"));
                let told = refusal(&reply, code.as_deref(), message.as_deref());
                let text = format!("an object cannot be deleted: {}", told.words);
                return Err(StoreError::new(Trouble::Denied, text));
            }
            self.expect(reply)?;
        }
        Ok(false)
    }

    /// Some of what is in the bucket: names and versions.
    async fn page(&self) -> Result<Vec<(String, Option<String>)>, StoreError> {
        let reply = self.ask(Method::GET, "versions", String::new()).await?;
        let text = reply.text();
        if reply.status == StatusCode::OK {
            let mut found = Vec::new();
            for name in ["Version", "DeleteMarker"] {
                for entry in elements(&text, name) {
                    let version = element(entry, "VersionId").filter(|it| it != "null");
                    found.extend(element(entry, "Key").map(|key| (key, version)));
                }
            }
            return Ok(found);
        }
        // A server without versions.
        if reply.status != StatusCode::NOT_IMPLEMENTED {
            return Err(self.refused(&reply));
        }
        let reply = self.ask(Method::GET, "list-type=2", String::new()).await?;
        let text = reply.text();
        if reply.status != StatusCode::OK {
            return Err(self.refused(&reply));
        }
        let entries = elements(&text, "Contents").into_iter();
        Ok(entries
            .filter_map(|entry| Some((element(entry, "Key")?, None)))
            .collect())
    }

    async fn ask(&self, method: Method, query: &str, body: String) -> Result<Reply, StoreError> {
        let mut url = address(&self.endpoint, &[&self.bucket])?;
        if !query.is_empty() {
            url.set_query(Some(query));
        }
        let has_body = !body.is_empty();
        let sums = (
            BASE64.encode(Md5::digest(&body)),
            BASE64.encode(<Sha256 as sha2::Digest>::digest(&body)),
        );
        let mut request = request(method, &url, body)?;
        if has_body {
            put(&mut request, "content-type", "application/xml");
            // Older servers ask for the first, newer ones for either.
            put(&mut request, "content-md5", &sums.0);
            put(&mut request, "x-amz-checksum-sha256", &sums.1);
        }
        AwsAuthorizer::new(&self.credential, "s3", &self.region)
            .try_authorize(&mut request, None)
            .map_err(|error| unsigned(&error))?;
        self.http.send(request).await
    }

    fn expect(&self, reply: Reply) -> Result<(), StoreError> {
        if reply.status.is_success() {
            Ok(())
        } else {
            Err(self.refused(&reply))
        }
    }

    fn refused(&self, reply: &Reply) -> StoreError {
        if let Some(region) = reply.header("x-amz-bucket-region")
            && reply.status.is_redirection()
            && self.server == Server::Vendor
        {
            let text = format!(
                "the bucket is in the region {}: an ObjectStore with that spec.location reaches it",
                super::text::one_line(region)
            );
            return StoreError::new(Trouble::Refused, text);
        }
        let text = reply.text();
        let (code, message) = (element(&text, "Code"), element(&text, "Message"));
        refusal(reply, code.as_deref(), message.as_deref())
    }
}

/// What is put into a header here is made of letters and digits.
fn put(request: &mut HttpRequest, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        let name = HeaderName::from_static(name);
        request.headers_mut().insert(name, value);
    }
}

/// The tags of an answer.
fn pairs(xml: &str) -> Vec<(String, String)> {
    let tags = elements(xml, "Tag").into_iter();
    tags.filter_map(|tag| {
        let value = elements(tag, "Value").first().map(|it| unescape(it));
        Some((element(tag, "Key")?, value.unwrap_or_default()))
    })
    .collect()
}

fn tags(pairs: &[(String, String)]) -> Tags {
    let of = |wanted: &str| {
        let found = pairs.iter().find(|(key, _)| key == wanted);
        found.map(|(_, value)| value.clone())
    };
    Tags {
        namespace: of(NAMESPACE),
        name: of(NAME),
        identity: of(IDENTITY),
    }
}
