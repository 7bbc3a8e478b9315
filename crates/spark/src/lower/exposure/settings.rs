//! What the operator is told about exposing applications.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use windlass_api::{
    names::{DnsLabel, DnsSubdomain, NameError},
    spark::application::{IngressTls, UrlFormat},
};

/// How applications are reached and measured from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exposing {
    /// Whether drivers get a Service for their web page.
    pub ui_services: bool,
    /// The URL of each web page; without it web pages have no route.
    pub ui_url: Option<UrlFormat>,
    /// What leads from a URL to a Service.
    pub routes: Routes,
    /// Whether applications with metrics get a PodMonitor.
    pub pod_monitors: PodMonitors,
}

/// What leads from a URL to a Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Routes {
    /// Ingresses (`networking.k8s.io/v1`).
    Ingress(IngressSettings),
    /// HTTPRoutes (`gateway.networking.k8s.io/v1`).
    Gateway {
        /// The Gateway they are attached to.
        gateway: GatewayRef,
        /// Whether the operator can make them.
        api: Offer,
    },
}

impl Routes {
    pub(super) fn are_served(&self) -> bool {
        match self {
            Self::Ingress(_) => true,
            Self::Gateway { api, .. } => *api == Offer::Served,
        }
    }
}

/// What Ingresses have in common; an application's own annotations and certificates stand in the
/// place of these.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IngressSettings {
    /// Their class; the cluster's default when not given.
    pub class: Option<String>,
    /// Their annotations, with the variables of [`UrlFormat`] in the values.
    pub annotations: BTreeMap<String, String>,
    /// Their certificates; one without hosts is for the host of the URL.
    pub tls: Vec<IngressTls>,
}

/// A Gateway, written `NAMESPACE/NAME`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayRef {
    /// Its namespace.
    pub namespace: DnsLabel,
    /// Its name.
    pub name: DnsSubdomain,
}

/// Why a text names no Gateway.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GatewayRefError {
    /// It has no namespace.
    #[error("is not NAMESPACE/NAME; give both")]
    Shape,
    /// One of the names is none.
    #[error("{0}")]
    Name(#[from] NameError),
}

/// Whether the operator can make objects of a kind that is no part of Kubernetes itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offer {
    /// It can.
    Served,
    /// The cluster did not serve them when the operator started.
    Missing,
    /// The operator was not allowed to when it started.
    Forbidden,
}

/// Whether applications with metrics get a PodMonitor (`monitoring.coreos.com/v1`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PodMonitors {
    /// They do not.
    Off,
    /// They do, where the cluster has them.
    On(Offer),
}

impl Exposing {
    /// Nothing leads to it, and nobody asks for that.
    pub(crate) fn nothing() -> Self {
        Self {
            ui_services: false,
            ..Self::default()
        }
    }
}

impl Default for Exposing {
    fn default() -> Self {
        Self {
            ui_services: true,
            ui_url: None,
            routes: Routes::Ingress(IngressSettings::default()),
            pod_monitors: PodMonitors::Off,
        }
    }
}

impl FromStr for GatewayRef {
    type Err = GatewayRefError;

    fn from_str(text: &str) -> Result<Self, GatewayRefError> {
        let (namespace, name) = text.split_once('/').ok_or(GatewayRefError::Shape)?;
        Ok(Self {
            namespace: DnsLabel::new(namespace)?,
            name: DnsSubdomain::new(name)?,
        })
    }
}

impl fmt::Display for GatewayRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace.as_str(), self.name.as_str())
    }
}
