//! The embedded Kubernetes API server: store, registry, verbs, watch, authorization.
//!
//! A request goes through `http` (who asks, what for), `auth` (may they), `verbs` (one handler per
//! verb, on JSON values), `admission` and `kinds` (what the cluster and the kind have to say), and
//! ends in `store`, which makes it durable and tells the watchers. What Kubernetes means by a
//! patch, a selector or a schema is `windlass-apimachinery`'s; nothing here knows a kind's fields
//! unless the cluster itself acts on them.
//!
//! Start with [`ApiServer::start`]; talk to it over TLS with [`ApiServer::kubeconfig`] or in
//! process with [`ApiServer::client`]; make it misbehave with [`ApiServer::faults`].

mod admission;
mod auth;
mod background;
mod bootstrap;
mod config;
mod convert;
mod crd;
mod discovery;
pub mod faults;
mod files;
mod hex;
mod http;
mod kinds;
mod metadata;
mod openapi;
mod pki;
mod registry;
mod server;
mod status;
pub mod store;
mod user;
mod verbs;
mod watch;

pub use config::Config;
pub use http::Verb;
pub use pki::{ClientCertificate, PkiError};
pub use server::{ApiServer, StartError};
pub use status::ApiError;
pub use store::{Durability, WindowLimits};
pub use user::User;
