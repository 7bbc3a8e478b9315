//! The metadata services of providers, which tell a machine whose it is.
//!
//! They are asked only where that is wanted: many clusters keep pods from them, and some count every
//! request. A service is believed by what it answers, and not because it answers: many speak at the same
//! address, and one that wants a token refuses every path alike.
//!
//! Laws:
//! - no answer takes longer than [`Endpoints::patience`], whatever the network does with it;
//! - nothing of an answer is kept but whose machine it is.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use super::provider::Provider;

/// How many bytes of an answer are read.
const MOST: usize = 64 << 10;

/// Where the services are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoints {
    /// Host and port of all but Alibaba's.
    pub usual: String,
    /// Host and port of Alibaba's.
    pub alibaba: String,
    /// How long one answer may take.
    pub patience: Duration,
}

impl Default for Endpoints {
    fn default() -> Self {
        Self {
            usual: "169.254.169.254:80".to_owned(),
            alibaba: "100.100.100.200:80".to_owned(),
            patience: Duration::from_secs(1),
        }
    }
}

/// What a service has said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// It knows this machine.
    Knows,
    /// It speaks, and does not let us ask: 401 or 403.
    Refuses(u16),
    /// It is another one's, or there is none.
    Nothing,
}

/// The providers whose services know this machine.
pub async fn ask(endpoints: &Endpoints) -> BTreeSet<Provider> {
    let heard = ask_all(endpoints).await.into_iter();
    heard
        .filter(|(_, heard)| *heard == Heard::Knows)
        .map(|(provider, _)| provider)
        .collect()
}

/// What the service of each provider has said. All are asked at the same time.
pub async fn ask_all(endpoints: &Endpoints) -> BTreeMap<Provider, Heard> {
    let of = |address: &str| Service {
        address: address.to_owned(),
        patience: endpoints.patience,
    };
    let (usual, alibaba) = (of(&endpoints.usual), of(&endpoints.alibaba));
    let heard = tokio::join!(
        aws(&usual),
        azure(&usual),
        google(&usual),
        oracle(&usual),
        digitalocean(&usual),
        openstack(&usual),
        of_alibaba(&alibaba),
    );
    [
        (Provider::Aws, heard.0),
        (Provider::Azure, heard.1),
        (Provider::Google, heard.2),
        (Provider::Oracle, heard.3),
        (Provider::DigitalOcean, heard.4),
        (Provider::OpenStack, heard.5),
        (Provider::Alibaba, heard.6),
    ]
    .into_iter()
    .collect()
}

/// IMDSv2: a token is put first. Who answers without one is not asked, since others do so, too.
async fn aws(service: &Service) -> Heard {
    let path = "/latest/api/token";
    let lifetime = [("x-aws-ec2-metadata-token-ttl-seconds", "60")];
    let token = match service.call(Method::PUT, path, &lifetime).await {
        Some(answer) if answer.status == StatusCode::OK => answer.text(),
        other => return refused(other),
    };
    let path = "/latest/dynamic/instance-identity/document";
    let token = [("x-aws-ec2-metadata-token", token.as_str())];
    service
        .judge(path, &token, |answer| {
            let document = answer.json();
            starts(&document["instanceId"], "i-") && starts(&document["imageId"], "ami-")
        })
        .await
}

async fn azure(service: &Service) -> Heard {
    let path = "/metadata/instance?api-version=2021-02-01";
    service
        .judge(path, &[("metadata", "true")], |answer| {
            let compute = &answer.json()["compute"];
            starts(&compute["vmId"], "") && starts(&compute["subscriptionId"], "")
        })
        .await
}

async fn google(service: &Service) -> Heard {
    let path = "/computeMetadata/v1/instance/id";
    let flavor = "metadata-flavor";
    service
        .judge(path, &[(flavor, "Google")], |answer| {
            let is_google = answer.headers.get(flavor).is_some_and(|it| it == "Google");
            is_google && answer.text().parse::<u64>().is_ok()
        })
        .await
}

async fn oracle(service: &Service) -> Heard {
    let bearer = [("authorization", "Bearer Oracle")];
    service
        .judge("/opc/v2/instance/", &bearer, |answer| {
            starts(&answer.json()["id"], "ocid1.instance")
        })
        .await
}

async fn digitalocean(service: &Service) -> Heard {
    service
        .judge("/metadata/v1.json", &[], |answer| {
            answer.json()["droplet_id"]
                .as_u64()
                .is_some_and(|it| it > 0)
        })
        .await
}

async fn openstack(service: &Service) -> Heard {
    service
        .judge("/openstack/latest/meta_data.json", &[], |answer| {
            let document = answer.json();
            starts(&document["uuid"], "") && starts(&document["availability_zone"], "")
        })
        .await
}

async fn of_alibaba(service: &Service) -> Heard {
    service
        .judge("/latest/meta-data/instance/instance-type", &[], |answer| {
            answer.text().starts_with("ecs.")
        })
        .await
}

/// Whether it is a text that is not empty and starts so.
fn starts(value: &Value, with: &str) -> bool {
    let text = value.as_str().unwrap_or_default();
    !text.is_empty() && text.starts_with(with)
}

fn refused(answer: Option<Answer>) -> Heard {
    match answer.map(|it| it.status) {
        Some(status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)) => {
            Heard::Refuses(status.as_u16())
        }
        _ => Heard::Nothing,
    }
}

struct Service {
    address: String,
    patience: Duration,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).trim().to_owned()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

impl Service {
    /// Asks for a path, and whether the answer is that of the one who is meant.
    async fn judge(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        knows: impl FnOnce(&Answer) -> bool,
    ) -> Heard {
        match self.call(Method::GET, path, headers).await {
            Some(answer) if answer.status == StatusCode::OK => {
                if knows(&answer) {
                    Heard::Knows
                } else {
                    Heard::Nothing
                }
            }
            other => refused(other),
        }
    }

    async fn call(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> Option<Answer> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", &self.address);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Empty::<Bytes>::new()).ok()?;
        let answer = tokio::time::timeout(self.patience, self.send(request)).await;
        answer.ok().flatten()
    }

    async fn send(&self, request: Request<Empty<Bytes>>) -> Option<Answer> {
        let stream = TcpStream::connect(&self.address).await.ok()?;
        let handshake = http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.ok()?;
        let exchange = async {
            let response = sender.send_request(request).await.ok()?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, MOST).collect().await.ok()?;
            Some(Answer {
                status: head.status,
                headers: head.headers,
                body: body.to_bytes(),
            })
        };
        // The connection is driven here, and goes with the answer.
        let mut exchange = std::pin::pin!(exchange);
        tokio::select! {
            answer = &mut exchange => answer,
            _ = connection => exchange.await,
        }
    }
}

#[cfg(test)]
mod tests;
