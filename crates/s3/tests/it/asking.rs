//! Requests that are signed by hand.

use futures::StreamExt as _;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
use object_store::ClientOptions;
use object_store::aws::{AwsAuthorizer, AwsCredential};
use object_store::client::{HttpClient, HttpConnector as _, HttpRequest, ReqwestConnector};
use windlass_s3::KeyPair;

pub(crate) struct Asking {
    client: HttpClient,
    url: String,
    credential: Option<AwsCredential>,
}

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Reply {
    /// The text of the first element of this name.
    pub(crate) fn element(&self, name: &str) -> Option<&str> {
        self.elements(name).into_iter().next()
    }

    pub(crate) fn elements(&self, name: &str) -> Vec<&str> {
        let (begin, end) = (format!("<{name}>"), format!("</{name}>"));
        let parts = self.text.split(begin.as_str()).skip(1);
        parts
            .filter_map(|it| it.split(end.as_str()).next())
            .collect()
    }

    pub(crate) fn code(&self) -> (u16, &str) {
        (self.status, self.element("Code").unwrap_or_default())
    }
}

impl Asking {
    pub(crate) fn of(url: &str, keys: &KeyPair) -> Self {
        Self {
            credential: Some(AwsCredential {
                key_id: keys.id.clone(),
                secret_key: keys.secret.clone(),
                token: None,
            }),
            ..Self::unsigned(url)
        }
    }

    pub(crate) fn unsigned(url: &str) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let options = ClientOptions::new().with_allow_http(true);
        Self {
            client: ReqwestConnector::default().connect(&options).unwrap(),
            url: url.to_owned(),
            credential: None,
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.ask(Method::GET, path, &[], "").await
    }

    pub(crate) async fn put(&self, path: &str, body: &str) -> Reply {
        self.ask(Method::PUT, path, &[], body).await
    }

    pub(crate) async fn post(&self, path: &str, body: &str) -> Reply {
        self.ask(Method::POST, path, &[], body).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Reply {
        self.ask(Method::DELETE, path, &[], "").await
    }

    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&'static str, &str)],
        body: &str,
    ) -> Reply {
        let url = format!("{}{path}", self.url);
        let request = Request::builder().method(method).uri(url);
        let mut request: HttpRequest = request.body(body.to_owned().into()).unwrap();
        for (name, value) in headers {
            let name = HeaderName::from_static(name);
            let value = HeaderValue::from_str(value).unwrap();
            request.headers_mut().insert(name, value);
        }
        if let Some(credential) = &self.credential {
            AwsAuthorizer::new(credential, "s3", windlass_s3::REGION)
                .try_authorize(&mut request, None)
                .unwrap();
        }
        let reply = self.client.execute(request).await.unwrap();
        let (parts, body) = reply.into_parts();
        let mut text = Vec::new();
        let mut pieces = body.bytes_stream();
        while let Some(piece) = pieces.next().await {
            text.extend_from_slice(&piece.unwrap());
        }
        Reply {
            status: parts.status.as_u16(),
            headers: parts.headers,
            text: String::from_utf8(text).unwrap(),
        }
    }
}
