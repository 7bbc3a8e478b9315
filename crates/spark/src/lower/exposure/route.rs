//! From a URL to a Service: an Ingress or an HTTPRoute.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use windlass_api::spark::{
    SparkApplication,
    application::{Scheme, URL, Url, UrlValues},
};

use super::{GatewayRef, IngressSettings, beside, usual_scheme};

/// The annotation by which ingress-nginx is told what to send to the backend. With a `$2` in it
/// that controller wants the path as a regular expression of two groups.
const NGINX_REWRITE: &str = "nginx.ingress.kubernetes.io/rewrite-target";

/// Where a route leads.
pub(super) struct Backend<'a> {
    pub(super) service: &'a str,
    pub(super) port: i64,
}

pub(super) fn ingress(
    app: &SparkApplication,
    name: &str,
    (url, values): (&Url, &UrlValues<'_>),
    backend: &Backend<'_>,
    settings: &IngressSettings,
) -> Value {
    let filled = settings
        .annotations
        .iter()
        .map(|(name, value)| (name.as_str(), values.fill_text(value)));
    let annotations: BTreeMap<&str, String> = filled
        .chain([(URL, url.address(usual_scheme(!settings.tls.is_empty())))])
        .collect();
    let rewrites = annotations
        .get(NGINX_REWRITE)
        .is_some_and(|target| target.contains("$2"));
    let (path, path_type) = match url.path.as_str() {
        "" => ("/".to_owned(), "Prefix"),
        path if rewrites => (format!("{path}(/|$)(.*)"), "ImplementationSpecific"),
        path => (path.to_owned(), "Prefix"),
    };
    let mut metadata = beside(app, name);
    metadata["annotations"] = json!(annotations);
    let mut spec = json!({
        "rules": [{
            "host": url.host,
            "http": { "paths": [{
                "path": path,
                "pathType": path_type,
                "backend": { "service": {
                    "name": backend.service,
                    "port": { "number": backend.port },
                } },
            }] },
        }],
    });
    if let Some(class) = &settings.class {
        spec["ingressClassName"] = json!(class);
    }
    if !settings.tls.is_empty() {
        let certificates = settings.tls.iter().map(|tls| {
            let mut certificate = tls.clone();
            if certificate.hosts.is_empty() {
                certificate.hosts.push(url.host.clone());
            }
            certificate
        });
        spec["tls"] = json!(certificates.collect::<Vec<_>>());
    }
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": metadata,
        "spec": spec,
    })
}

/// The path is taken away by a filter that the Gateway API itself has.
pub(super) fn http_route(
    app: &SparkApplication,
    name: &str,
    url: &Url,
    backend: &Backend<'_>,
    (gateway, annotations): (&GatewayRef, &BTreeMap<String, String>),
) -> Value {
    let mut metadata = beside(app, name);
    metadata["annotations"] = json!(annotations);
    // Whether its listener has certificates is the Gateway's affair; the URL's scheme tells.
    metadata["annotations"][URL] = json!(url.address(Scheme::Http));
    let path = if url.path.is_empty() { "/" } else { &url.path };
    let mut rule = json!({
        "matches": [{ "path": { "type": "PathPrefix", "value": path } }],
        "backendRefs": [{
            "group": "",
            "kind": "Service",
            "name": backend.service,
            "port": backend.port,
            "weight": 1,
        }],
    });
    if !url.path.is_empty() {
        rule["filters"] = json!([{
            "type": "URLRewrite",
            "urlRewrite": {
                "path": { "type": "ReplacePrefixMatch", "replacePrefixMatch": "/" },
            },
        }]);
    }
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": metadata,
        "spec": {
            "parentRefs": [{
                "group": "gateway.networking.k8s.io",
                "kind": "Gateway",
                "namespace": gateway.namespace.as_str(),
                "name": gateway.name.as_str(),
            }],
            "hostnames": [url.host],
            "rules": [rule],
        },
    })
}
