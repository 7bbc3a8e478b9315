//! Buckets of Google Cloud Storage, by its JSON API (v1).

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, StatusCode};
use object_store::gcp::GcpCredential;
use serde_json::{Value, json};
use url::Url;
use windlass_api::names::shorten;

use super::http::{Http, Reply, address, request};
use super::text::refusal;
use crate::buckets::credentials::Keys;
use crate::buckets::steps::{Contents, Creation, Deletion, Found, StoreError, Tags, Trouble};
use crate::buckets::wanted::Wanted;

/// Our labels. They and their values are of lower-case letters, digits, hyphens and underscores, and at
/// most 63 long ("Requirements for labels" of Google Cloud).
const NAMESPACE: &str = "windlass-namespace";
const NAME: &str = "windlass-object-store";
const IDENTITY: &str = "windlass-identity";
const LABEL_MAX: usize = 63;
/// How long a step may go on emptying a bucket before it tells how far it is.
const EMPTYING: Duration = Duration::from_secs(20);
/// How much is listed at a time.
const PAGE: &str = "500";

/// A bucket.
#[derive(Debug)]
pub struct Gcs {
    http: Http,
    endpoint: String,
    bucket: String,
    location: Option<String>,
    project: Option<String>,
    owner_name: String,
    credential: Arc<GcpCredential>,
}

impl Gcs {
    pub(super) async fn new(http: Http, wanted: &Wanted, keys: &Keys) -> Result<Self, StoreError> {
        let project = match &wanted.project {
            Some(project) => Some(project.clone()),
            None => keys.google_project(),
        };
        Ok(Self {
            http,
            endpoint: wanted.endpoint.clone(),
            bucket: wanted.bucket.clone(),
            location: wanted.location.clone(),
            project,
            owner_name: wanted.owner.name.clone(),
            credential: keys.google().await?,
        })
    }

    pub(super) async fn look(&self) -> Result<Found, StoreError> {
        let reply = self.ask(Method::GET, self.url()?, None).await?;
        match reply.status {
            StatusCode::OK => Ok(Found::Present(Some(self.tags(&body(&reply))))),
            StatusCode::NOT_FOUND => Ok(Found::Absent),
            StatusCode::FORBIDDEN => Ok(Found::OutOfReach(refused(&reply).words)),
            _ => Err(refused(&reply)),
        }
    }

    pub(super) async fn create(&self, tags: &Tags) -> Result<Creation, StoreError> {
        let Some(project) = self.project.as_deref() else {
            let text = "spec.project must be given: the credentials do not say which project a new bucket \
                        belongs to";
            return Err(StoreError::new(Trouble::Refused, text));
        };
        let mut url = address(&self.endpoint, &["storage", "v1", "b"])?;
        url.query_pairs_mut().append_pair("project", project);
        let mut bucket = json!({"name": self.bucket, "labels": labels(tags)});
        if let Some(location) = &self.location {
            bucket["location"] = json!(location);
        }
        let reply = self.ask(Method::POST, url, Some(bucket)).await?;
        match reply.status {
            // What stands in for Google may not keep labels from the beginning.
            status if status.is_success() && self.tags(&body(&reply)) == *tags => {
                Ok(Creation::Marked)
            }
            status if status.is_success() => Ok(Creation::Bare),
            StatusCode::CONFLICT => Ok(Creation::Exists),
            _ => Err(refused(&reply)),
        }
    }

    pub(super) async fn mark(&self, tags: &Tags) -> Result<(), StoreError> {
        let patch = json!({"labels": labels(tags)});
        let reply = self.ask(Method::PATCH, self.url()?, Some(patch)).await?;
        if reply.status.is_success() {
            Ok(())
        } else {
            Err(refused(&reply))
        }
    }

    pub(super) async fn delete(&self, contents: Contents) -> Result<Deletion, StoreError> {
        let is_empty = match contents {
            Contents::Keep => self.page().await?.is_empty(),
            Contents::Remove => self.empty().await?,
        };
        if !is_empty {
            return Ok(Deletion::NotEmpty);
        }
        let reply = self.ask(Method::DELETE, self.url()?, None).await?;
        match reply.status {
            status if status.is_success() => Ok(Deletion::Gone),
            StatusCode::NOT_FOUND => Ok(Deletion::Gone),
            StatusCode::CONFLICT => Ok(Deletion::NotEmpty),
            _ => Err(refused(&reply)),
        }
    }

    /// Deletes what is in the bucket, with all generations, as far as it gets in a while; tells whether
    /// nothing is left.
    async fn empty(&self) -> Result<bool, StoreError> {
        let begun = Instant::now();
        while begun.elapsed() < EMPTYING {
            let page = self.page().await?;
            if page.is_empty() {
                return Ok(true);
            }
            for (name, generation) in page {
                if matches!(name.as_str(), "." | "..") {
                    let text = format!(
                        "the object {name:?} cannot be named in an address; delete it by hand"
                    );
                    return Err(StoreError::new(Trouble::Refused, text));
                }
                let path = ["storage", "v1", "b", &self.bucket, "o", &name];
                let mut url = address(&self.endpoint, &path)?;
                if let Some(generation) = generation {
                    url.query_pairs_mut().append_pair("generation", &generation);
                }
                let reply = self.ask(Method::DELETE, url, None).await?;
                if !reply.status.is_success() && reply.status != StatusCode::NOT_FOUND {
                    return Err(refused(&reply));
                }
                if begun.elapsed() >= EMPTYING {
                    break;
                }
            }
        }
        Ok(false)
    }

    /// Some of what is in the bucket: names and generations.
    async fn page(&self) -> Result<Vec<(String, Option<String>)>, StoreError> {
        let path = ["storage", "v1", "b", &self.bucket, "o"];
        let mut url = address(&self.endpoint, &path)?;
        url.query_pairs_mut()
            .append_pair("versions", "true")
            .append_pair("maxResults", PAGE)
            .append_pair("fields", "items(name,generation)");
        let reply = self.ask(Method::GET, url, None).await?;
        if reply.status != StatusCode::OK {
            return Err(refused(&reply));
        }
        let body = body(&reply);
        let items = body["items"].as_array().into_iter().flatten();
        Ok(items
            .filter_map(|item| {
                let name = item["name"].as_str()?.to_owned();
                let generation = match &item["generation"] {
                    Value::String(text) => Some(text.clone()),
                    Value::Number(number) => Some(number.to_string()),
                    _ => None,
                };
                Some((name, generation))
            })
            .collect())
    }

    fn url(&self) -> Result<Url, StoreError> {
        address(&self.endpoint, &["storage", "v1", "b", &self.bucket])
    }

    async fn ask(
        &self,
        method: Method,
        url: Url,
        body: Option<Value>,
    ) -> Result<Reply, StoreError> {
        let has_body = body.is_some();
        let text = body.map_or_else(String::new, |it| it.to_string());
        let mut request = request(method, &url, text)?;
        let headers = request.headers_mut();
        if has_body {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let bearer = format!("Bearer {}", self.credential.bearer);
        if let Ok(mut bearer) = HeaderValue::from_str(&bearer) {
            bearer.set_sensitive(true);
            headers.insert(AUTHORIZATION, bearer);
        }
        self.http.send(request).await
    }

    /// A name that does not fit into a label is known by what was made of it.
    fn tags(&self, bucket: &Value) -> Tags {
        let of = |label: &str| bucket["labels"][label].as_str().map(str::to_owned);
        let name = of(NAME).map(|label| {
            if label == label_of(&self.owner_name) {
                self.owner_name.clone()
            } else {
                label
            }
        });
        Tags {
            namespace: of(NAMESPACE),
            name,
            identity: of(IDENTITY),
        }
    }
}

/// A null removes a label; those of others stay.
fn labels(tags: &Tags) -> Value {
    json!({
        NAMESPACE: tags.namespace.as_deref().map(label_of),
        NAME: tags.name.as_deref().map(label_of),
        IDENTITY: tags.identity.as_deref().map(label_of),
    })
}

fn label_of(text: &str) -> String {
    shorten(&text.replace('.', "_"), LABEL_MAX)
}

fn body(reply: &Reply) -> Value {
    serde_json::from_slice(&reply.body).unwrap_or_default()
}

fn refused(reply: &Reply) -> StoreError {
    let body = body(reply);
    refusal(reply, None, body["error"]["message"].as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_into_a_label_is_made_to() {
        assert_eq!(label_of("history"), "history");
        assert_eq!(label_of("history.of.jobs"), "history_of_jobs");
        assert!(label_of(&"a".repeat(200)).len() <= LABEL_MAX);
        assert_ne!(label_of(&"a".repeat(200)), label_of(&"a".repeat(201)));
    }
}
