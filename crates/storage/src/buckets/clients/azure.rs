//! Containers of Azure Blob Storage, by its REST API.
//!
//! Deleting a container deletes what is in it, so whether there is something is looked at before. A
//! container is not empty, either, where only what was deleted in it is kept for a while: that goes with it.

use std::sync::Arc;

use http::header::CONTENT_LENGTH;
use http::{HeaderName, HeaderValue, Method, StatusCode};
use object_store::azure::{AzureAuthorizer, AzureCredential};

use super::http::{Http, Reply, address, request};
use super::text::{element, elements, refusal};
use crate::buckets::credentials::{Keys, unsigned};
use crate::buckets::steps::{Contents, Creation, Deletion, Found, StoreError, Tags, Trouble};
use crate::buckets::wanted::Wanted;

/// What the header of metadata begins with.
const META: &str = "x-ms-meta-";
/// Our metadata; their names are those of variables in C#.
const NAMESPACE: &str = "x-ms-meta-windlass_namespace";
const NAME: &str = "x-ms-meta-windlass_object_store";
const IDENTITY: &str = "x-ms-meta-windlass_identity";

/// A container.
#[derive(Debug)]
pub struct Azure {
    http: Http,
    endpoint: String,
    container: String,
    account: String,
    credential: Arc<AzureCredential>,
}

impl Azure {
    pub(super) async fn new(http: Http, wanted: &Wanted, keys: &Keys) -> Result<Self, StoreError> {
        let account = wanted.account.clone().unwrap_or_default();
        Ok(Self {
            http,
            endpoint: wanted.endpoint.clone(),
            container: wanted.bucket.clone(),
            credential: keys.azure(&account).await?,
            account,
        })
    }

    pub(super) async fn look(&self) -> Result<Found, StoreError> {
        let reply = self.ask(Method::GET, "", &[]).await?;
        match (reply.status, code(&reply).as_deref()) {
            (StatusCode::OK, _) => {
                let of = |name| reply.header(name).map(str::to_owned);
                Ok(Found::Present(Some(Tags {
                    namespace: of(NAMESPACE),
                    name: of(NAME),
                    identity: of(IDENTITY),
                })))
            }
            // One that is being deleted is as good as gone, and cannot be made again for a while.
            (StatusCode::NOT_FOUND, _) | (_, Some("ContainerBeingDeleted")) => Ok(Found::Absent),
            (StatusCode::FORBIDDEN, _) if refused(&reply).trouble == Trouble::Denied => {
                Ok(Found::OutOfReach(refused(&reply).words))
            }
            _ => Err(refused(&reply)),
        }
    }

    pub(super) async fn create(&self, tags: &Tags) -> Result<Creation, StoreError> {
        let reply = self.ask(Method::PUT, "", &headers(tags)).await?;
        match (reply.status, code(&reply).as_deref()) {
            (status, _) if status.is_success() => Ok(Creation::Marked),
            (_, Some("ContainerAlreadyExists")) => Ok(Creation::Exists),
            _ => Err(refused(&reply)),
        }
    }

    /// Metadata is written all at once, so that of others is read first.
    pub(super) async fn mark(&self, tags: &Tags) -> Result<(), StoreError> {
        let reply = self.ask(Method::GET, "", &[]).await?;
        if reply.status != StatusCode::OK {
            return Err(refused(&reply));
        }
        let mut all = headers(tags);
        for (name, value) in &reply.headers {
            let is_ours = [NAMESPACE, NAME, IDENTITY].contains(&name.as_str());
            if name.as_str().starts_with(META) && !is_ours {
                all.push((name.clone(), value.clone()));
            }
        }
        let reply = self.ask(Method::PUT, "metadata", &all).await?;
        if reply.status.is_success() {
            Ok(())
        } else {
            Err(refused(&reply))
        }
    }

    pub(super) async fn delete(&self, contents: Contents) -> Result<Deletion, StoreError> {
        if contents == Contents::Keep && !self.is_empty().await? {
            return Ok(Deletion::NotEmpty);
        }
        let reply = self.ask(Method::DELETE, "", &[]).await?;
        match reply.status {
            status if status.is_success() => Ok(Deletion::Gone),
            StatusCode::NOT_FOUND => Ok(Deletion::Gone),
            _ => Err(refused(&reply)),
        }
    }

    async fn is_empty(&self) -> Result<bool, StoreError> {
        let reply = self.ask(Method::GET, "list", &[]).await?;
        if reply.status != StatusCode::OK {
            return Err(refused(&reply));
        }
        let text = reply.text();
        // Pages may be empty with more to come.
        let has_more = element(&text, "NextMarker").is_some_and(|it| !it.is_empty());
        Ok(elements(&text, "Blob").is_empty() && !has_more)
    }

    async fn ask(
        &self,
        method: Method,
        comp: &str,
        headers: &[(HeaderName, HeaderValue)],
    ) -> Result<Reply, StoreError> {
        let mut url = address(&self.endpoint, &[&self.container])?;
        url.query_pairs_mut().append_pair("restype", "container");
        if !comp.is_empty() {
            url.query_pairs_mut().append_pair("comp", comp);
        }
        if comp == "list" {
            url.query_pairs_mut().append_pair("maxresults", "1");
        }
        let has_length = method == Method::PUT;
        let mut request = request(method, &url, String::new())?;
        for (name, value) in headers {
            request.headers_mut().insert(name.clone(), value.clone());
        }
        if has_length {
            let none = HeaderValue::from_static("0");
            request.headers_mut().insert(CONTENT_LENGTH, none);
        }
        AzureAuthorizer::new(&self.credential, &self.account)
            .try_authorize(&mut request)
            .map_err(|error| unsigned(&error))?;
        self.http.send(request).await
    }
}

/// Names, namespaces and uids are of letters that headers may have.
fn headers(tags: &Tags) -> Vec<(HeaderName, HeaderValue)> {
    let pairs = [
        (NAMESPACE, &tags.namespace),
        (NAME, &tags.name),
        (IDENTITY, &tags.identity),
    ];
    pairs
        .into_iter()
        .filter_map(|(name, value)| {
            let value = HeaderValue::from_str(value.as_deref()?).ok()?;
            Some((HeaderName::from_static(name), value))
        })
        .collect()
}

fn code(reply: &Reply) -> Option<String> {
    let header = reply.header("x-ms-error-code").map(str::to_owned);
    header.or_else(|| element(&reply.text(), "Code"))
}

fn refused(reply: &Reply) -> StoreError {
    let message = element(&reply.text(), "Message").unwrap_or_default();
    let told = (!message.is_empty()).then_some(message.as_str());
    let error = refusal(reply, code(reply).as_deref(), told);
    // A wrong key is said so by its code, or by the message alone.
    if error.trouble == Trouble::Denied && message.starts_with("Server failed to authenticate") {
        return StoreError::new(Trouble::Credentials, error.words);
    }
    error
}
