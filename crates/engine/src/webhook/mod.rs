//! Admission webhooks: what is asked ([`review`]), how it is served ([`server`]), and the
//! certificates of that ([`certificates`], [`keeper`]).
//!
//! Laws:
//! - a review is a pure function of the request, or of the request and what it reads for it; it
//!   changes nothing, so it may be asked as often as somebody likes;
//! - every process serves, whether it leads or not: the API server does not know who leads;
//! - nothing depends on being asked: what a webhook tells at once, a status tells later.

mod certificates;
mod keeper;
mod review;
mod server;

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::api::ApiClient;
use crate::health::Health;
use keeper::Shown;
pub use review::{GroupVersionKind, Operation, Outcome, Request, User, Verdict};

/// What a process serves to API servers.
pub struct WebhookConfig {
    /// Where.
    pub listener: TcpListener,
    /// Whose certificate it shows.
    pub certificates: Certificates,
    /// What is asked where.
    pub routes: Vec<Route>,
}

/// A path and who answers there.
pub struct Route {
    /// The path, for example `/validate`.
    pub path: &'static str,
    /// Answers a request.
    pub review: Review,
}

/// What answers a request.
#[derive(Clone)]
pub enum Review {
    /// A pure function from a request to the verdict.
    Pure(Arc<dyn Fn(&Request) -> Verdict + Send + Sync>),
    /// One that reads from the API first. API servers wait for a few seconds only.
    Reading(Arc<dyn Fn(Request, ApiClient) -> Reading + Send + Sync>),
}

/// The verdict of a review that reads.
pub type Reading = Pin<Box<dyn Future<Output = Verdict> + Send>>;

impl Review {
    pub(crate) async fn of(&self, request: &Request, api: &ApiClient) -> Verdict {
        match self {
            Self::Pure(review) => review(request),
            Self::Reading(review) => review(request.clone(), api.clone()).await,
        }
    }
}

/// Where the certificate comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Certificates {
    /// Made here, by an authority of our own; all processes share them in one Secret, and the
    /// configurations of the webhooks are told the authority.
    Own {
        /// The namespace of the Secret.
        namespace: String,
        /// The name of the Secret.
        secret: String,
        /// The names by which the API server calls, the first is the certificate's own.
        names: Vec<String>,
        /// The name of the webhook configurations, both kinds.
        configuration: String,
    },
    /// `tls.crt` and `tls.key` in a folder that somebody else keeps, cert-manager for example; read
    /// again when they change. Who keeps them tells the configurations the authority.
    Files(PathBuf),
}

/// A webhook that is ready to be served.
pub(crate) struct Webhook {
    config: WebhookConfig,
    shown: Arc<Shown>,
    tls: Arc<rustls::ServerConfig>,
}

impl Webhook {
    pub(crate) fn of(config: WebhookConfig) -> Result<Self, rustls::Error> {
        let shown = Arc::new(Shown::default());
        let tls = shown.server_config()?;
        Ok(Self { config, shown, tls })
    }

    /// What answers, and what keeps the certificate, both until `stop`.
    pub(crate) fn tasks(
        self,
        api: ApiClient,
        health: Health,
        stop: CancellationToken,
    ) -> (impl Future<Output = ()>, impl Future<Output = ()>) {
        let WebhookConfig {
            listener,
            certificates,
            routes,
        } = self.config;
        (
            server::serve(listener, self.tls, routes, api.clone(), stop.clone()),
            keeper::keep(certificates, self.shown, api, health, stop),
        )
    }
}
