//! Talking to webhooks: HTTPS, with the authority that their configuration names.

use std::{fmt, io, net::Ipv4Addr, sync::Arc, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{Method, Request, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring as provider,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use serde_json::Value;
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;

use crate::store::{Key, Store};

/// The longest answer, in bytes.
const ANSWER_MAX: usize = 3 * 1024 * 1024;
/// The authorities of this machine, for webhooks that name none.
const SYSTEM_AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Where a webhook is, and an idle connection to it.
pub(super) struct Client {
    place: Result<Place, String>,
    idle: Mutex<Option<SendRequest<Full<Bytes>>>>,
}

struct Place {
    host: String,
    port: u16,
    path: String,
    /// Namespace and name, where it is a Service.
    service: Option<(String, String)>,
    tls: TlsConnector,
    name: ServerName<'static>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

impl Client {
    /// Reads a `clientConfig`. What is wrong with it shows when the webhook is asked.
    pub(super) fn read(config: &Value) -> Self {
        Self {
            place: Place::read(config),
            idle: Mutex::new(None),
        }
    }

    /// Sends a review and reads the answer. The error is in the words of Go's client, which is
    /// what people look for.
    pub(super) async fn post(
        &self,
        store: &Store,
        body: Bytes,
        limit: Duration,
    ) -> Result<Value, String> {
        let place = self.place.as_ref().map_err(Clone::clone)?;
        let uri = format!(
            "https://{}:{}{}?timeout={}s",
            place.host,
            place.port,
            place.path,
            limit.as_secs()
        );
        let shown = match place.service {
            None if place.port == 443 => uri.replacen(":443", "", 1),
            _ => uri.clone(),
        };
        let wrong = |why: String| format!("Post \"{shown}\": {why}");
        match timeout(limit, self.exchange(place, store, &uri, body)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(Failure::Exchange(why))) => Err(wrong(why)),
            Ok(Err(Failure::Answer(why))) => Err(why),
            Err(_) => Err(wrong("context deadline exceeded".to_owned())),
        }
    }

    async fn exchange(
        &self,
        place: &Place,
        store: &Store,
        uri: &str,
        body: Bytes,
    ) -> Result<Value, Failure> {
        let request = || {
            Request::builder()
                .method(Method::POST)
                .uri(uri)
                .header(header::HOST, format!("{}:{}", place.host, place.port))
                .header(header::CONTENT_TYPE, "application/json")
                .header(header::ACCEPT, "application/json, */*")
                .header(header::USER_AGENT, "kube-apiserver-admission")
                .body(Full::new(body.clone()))
                .map_err(|error| Failure::Exchange(error.to_string()))
        };
        // An idle connection may have ended meanwhile; then the webhook has not seen anything.
        let mut reused = None;
        let kept = self.idle.lock().take();
        if let Some(mut sender) = kept
            && sender.ready().await.is_ok()
            && let Ok(response) = sender.send_request(request()?).await
        {
            reused = Some((sender, response));
        }
        let (sender, response) = match reused {
            Some(reused) => reused,
            None => {
                let mut sender = connect(place, store).await.map_err(Failure::Exchange)?;
                let response = sender
                    .send_request(request()?)
                    .await
                    .map_err(|error| Failure::Exchange(error.to_string()))?;
                (sender, response)
            }
        };
        let code = response.status();
        let bytes = Limited::new(response.into_body(), ANSWER_MAX)
            .collect()
            .await
            .map_err(|error| Failure::Exchange(error.to_string()))?
            .to_bytes();
        *self.idle.lock() = Some(sender);
        if !code.is_success() {
            let text = String::from_utf8_lossy(&bytes);
            return Err(Failure::Answer(match code.as_u16() {
                404 => "the server could not find the requested resource".to_owned(),
                500.. => format!(
                    "an error on the server ({}) has prevented the request from succeeding",
                    crate::admission::quoted(text.trim())
                ),
                _ => "the server rejected our request for an unknown reason".to_owned(),
            }));
        }
        serde_json::from_slice(&bytes).map_err(|error| {
            Failure::Answer(format!(
                "couldn't get version/kind; json parse error: {error}"
            ))
        })
    }
}

enum Failure {
    /// Nothing came back.
    Exchange(String),
    /// What came back is not an answer.
    Answer(String),
}

impl Place {
    fn read(config: &Value) -> Result<Self, String> {
        let bundle = config["caBundle"].as_str().unwrap_or_default();
        let tls = connector(bundle)?;
        let service = &config["service"];
        if service.is_object() {
            let text = |field: &str| service[field].as_str().unwrap_or_default().to_owned();
            let (namespace, name) = (text("namespace"), text("name"));
            let host = format!("{name}.{namespace}.svc");
            let path = text("path");
            return Ok(Self {
                name: server_name(&host)?,
                host,
                port: service["port"].as_u64().map_or(443, |port| port as u16),
                path: if path.is_empty() {
                    "/".to_owned()
                } else {
                    path
                },
                service: Some((namespace, name)),
                tls,
            });
        }
        let url: Uri = config["url"]
            .as_str()
            .unwrap_or_default()
            .parse()
            .map_err(|error: http::uri::InvalidUri| format!("the URL is not one: {error}"))?;
        let host = url.host().ok_or("the URL names no host")?.to_owned();
        Ok(Self {
            name: server_name(host.trim_start_matches('[').trim_end_matches(']'))?,
            host,
            port: url.port_u16().unwrap_or(443),
            path: url.path().to_owned(),
            service: None,
            tls,
        })
    }
}

fn server_name(host: &str) -> Result<ServerName<'static>, String> {
    ServerName::try_from(host.to_owned()).map_err(|error| error.to_string())
}

fn connector(bundle: &str) -> Result<TlsConnector, String> {
    let unusable = |why: String| format!("unable to load root certificates: {why}");
    let pem = if bundle.is_empty() {
        std::fs::read(SYSTEM_AUTHORITIES).unwrap_or_default()
    } else {
        BASE64_STANDARD
            .decode(bundle)
            .map_err(|error| unusable(error.to_string()))?
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
        let added = roots.add(certificate);
        // The machine's own list may hold what this library does not take.
        if let (Err(error), false) = (added, bundle.is_empty()) {
            return Err(unusable(error.to_string()));
        }
    }
    if roots.is_empty() && !bundle.is_empty() {
        return Err(unusable("unable to parse bytes as PEM block".to_owned()));
    }
    let config = ClientConfig::builder_with_provider(Arc::new(provider::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

async fn connect(place: &Place, store: &Store) -> Result<SendRequest<Full<Bytes>>, String> {
    let host = match &place.service {
        Some((namespace, name)) => cluster_ip(store, namespace, name, place.port)?.to_string(),
        None => place.host.clone(),
    };
    let address = format!("{host}:{}", place.port);
    let socket = TcpStream::connect(&address)
        .await
        .map_err(|error| format!("dial tcp {address}: {}", dial_error(&error)))?;
    let tls = place
        .tls
        .connect(place.name.clone(), socket)
        .await
        .map_err(|error| tls_error(&error))?;
    let (sender, connection) = http1::handshake(TokioIo::new(tls))
        .await
        .map_err(|error| error.to_string())?;
    // It ends with the sender, or when the other side ends it.
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to a webhook ended");
        }
    });
    Ok(sender)
}

/// The address of a Service, where the cluster's proxy listens.
fn cluster_ip(store: &Store, namespace: &str, name: &str, port: u16) -> Result<Ipv4Addr, String> {
    let quoted = crate::admission::quoted(name);
    let service = store
        .get(&Key::new("", "services", namespace, name))
        .ok_or_else(|| format!("service {quoted} not found"))?;
    let spec = &service.value()["spec"];
    let has_port = spec["ports"]
        .as_array()
        .into_iter()
        .flatten()
        .any(|known| known["port"].as_u64() == Some(u64::from(port)));
    if !has_port {
        return Err(format!("no service port {port} found for service {quoted}"));
    }
    spec["clusterIP"]
        .as_str()
        .and_then(|address| address.parse().ok())
        .ok_or_else(|| format!("service {quoted} has no cluster IP to call a webhook at"))
}

fn dial_error(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
        _ => error.to_string(),
    }
}

fn tls_error(error: &io::Error) -> String {
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer)) => {
            "tls: failed to verify certificate: x509: certificate signed by unknown authority"
                .to_owned()
        }
        Some(rustls::Error::InvalidCertificate(why)) => {
            format!("tls: failed to verify certificate: x509: {why}")
        }
        _ => error.to_string(),
    }
}
