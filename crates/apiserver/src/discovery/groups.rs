//! Groups, versions and resources, in the plain and in the aggregated form.

use ::http::{HeaderMap, header};
use serde_json::{Value, json};

use crate::{
    registry::{Catalog, Resource},
    server::Server,
    status::{ApiError, ApiResult},
};

/// A subresource as discovery shows it.
struct Sub {
    name: &'static str,
    /// Group, version and kind of the bodies, where they are not the object's own.
    kind: Option<(&'static str, &'static str, &'static str)>,
    verbs: &'static [&'static str],
}

const CHANGE: &[&str] = &["get", "patch", "update"];
const CREATE: &[&str] = &["create"];
const CONNECT: &[&str] = &["create", "get"];

fn subresources(resource: &Resource, version: &str) -> Vec<Sub> {
    let mut subs = Vec::new();
    let mut sub = |name, kind, verbs| subs.push(Sub { name, kind, verbs });
    if resource.group.is_empty() {
        match resource.plural.as_str() {
            "pods" => {
                sub("attach", Some(("", "v1", "PodAttachOptions")), CONNECT);
                sub("binding", Some(("", "v1", "Binding")), CREATE);
                sub("eviction", Some(("policy", "v1", "Eviction")), CREATE);
                sub("exec", Some(("", "v1", "PodExecOptions")), CONNECT);
                sub("log", None, &["get"]);
                sub(
                    "portforward",
                    Some(("", "v1", "PodPortForwardOptions")),
                    CONNECT,
                );
            }
            "nodes" => sub("proxy", Some(("", "v1", "NodeProxyOptions")), &["get"]),
            "namespaces" => sub("finalize", None, &["update"]),
            "serviceaccounts" => {
                sub(
                    "token",
                    Some(("authentication.k8s.io", "v1", "TokenRequest")),
                    CREATE,
                );
            }
            _ => {}
        }
    }
    let rules = resource.rules(version);
    if rules.subresources.scale {
        sub("scale", Some(("autoscaling", "v1", "Scale")), CHANGE);
    }
    if rules.subresources.status {
        sub("status", None, CHANGE);
    }
    subs
}

/// `/api`.
pub(super) fn api_versions(server: &Server) -> Value {
    let address = format!("127.0.0.1:{}", server.config.port);
    json!({
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}],
    })
}

/// `/apis`.
pub(super) fn group_list(catalog: &Catalog) -> Value {
    let groups = catalog
        .groups()
        .into_iter()
        .filter(|group| !group.is_empty());
    let groups: Vec<Value> = groups.map(|group| group_value(catalog, &group)).collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// `/apis/GROUP`.
pub(super) fn group(catalog: &Catalog, group: &str) -> ApiResult<Value> {
    if catalog.versions(group).is_empty() || group.is_empty() {
        return Err(ApiError::no_such_path());
    }
    let mut value = group_value(catalog, group);
    value["kind"] = json!("APIGroup");
    value["apiVersion"] = json!("v1");
    Ok(value)
}

fn group_value(catalog: &Catalog, group: &str) -> Value {
    let versions: Vec<Value> = catalog
        .versions(group)
        .iter()
        .map(|version| json!({"groupVersion": format!("{group}/{version}"), "version": version}))
        .collect();
    json!({"name": group, "versions": versions, "preferredVersion": versions.first()})
}

/// `/api/VERSION` and `/apis/GROUP/VERSION`.
pub(super) fn resource_list(catalog: &Catalog, group: &str, version: &str) -> ApiResult<Value> {
    let mut resources = Vec::new();
    let served = catalog.iter().filter(|resource| resource.group == group);
    for resource in served.filter(|resource| resource.serves(version)) {
        let mut entry = json!({
            "name": resource.plural,
            "singularName": resource.names.singular,
            "namespaced": resource.namespaced,
            "kind": resource.kind,
            "verbs": resource.verbs(),
        });
        for (field, names) in [
            ("shortNames", &resource.names.short),
            ("categories", &resource.names.categories),
        ] {
            if !names.is_empty() {
                entry[field] = json!(names);
            }
        }
        if resource.is_stored() {
            entry["storageVersionHash"] = json!(storage_hash(resource));
        }
        resources.push(entry);
        for sub in subresources(resource, version) {
            let mut entry = json!({
                "name": format!("{}/{}", resource.plural, sub.name),
                "singularName": "",
                "namespaced": resource.namespaced,
                "kind": sub.kind.map_or(resource.kind.as_str(), |(_, _, kind)| kind),
                "verbs": sub.verbs,
            });
            if let Some((group, version, _)) = sub.kind {
                entry["group"] = json!(group);
                entry["version"] = json!(version);
            }
            resources.push(entry);
        }
    }
    if resources.is_empty() {
        return Err(ApiError::no_such_path());
    }
    let group_version = if group.is_empty() {
        version.to_owned()
    } else {
        format!("{group}/{version}")
    };
    Ok(json!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": group_version,
        "resources": resources,
    }))
}

/// Eight bytes that change with the version objects are stored in.
fn storage_hash(resource: &Resource) -> String {
    use base64::{Engine as _, prelude::BASE64_STANDARD};
    use sha2::{Digest as _, Sha256};
    let text = format!(
        "{}/{}/{}",
        resource.group,
        resource.storage_version(),
        resource.kind
    );
    BASE64_STANDARD.encode(&Sha256::digest(text)[..8])
}

/// The paths that `/` lists.
pub(super) fn paths(catalog: &Catalog) -> Vec<String> {
    let mut paths: Vec<String> = ["/api", "/api/v1", "/apis"].map(str::to_owned).into();
    for group in catalog
        .groups()
        .into_iter()
        .filter(|group| !group.is_empty())
    {
        paths.push(format!("/apis/{group}"));
        let versions = catalog.versions(&group);
        paths.extend(
            versions
                .iter()
                .map(|version| format!("/apis/{group}/{version}")),
        );
    }
    paths.extend(
        [
            "/healthz",
            "/livez",
            "/openapi/v2",
            "/openapi/v3",
            "/readyz",
            "/version",
        ]
        .map(str::to_owned),
    );
    paths
}

/// Everything about all groups in one document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Aggregated {
    V2,
    V2Beta1,
}

impl Aggregated {
    /// The aggregated form the client prefers, unless it prefers the plain one.
    pub(super) fn wanted(headers: &HeaderMap) -> Option<Self> {
        let accepts = headers.get_all(header::ACCEPT);
        let mut ranges = accepts
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','));
        ranges.find_map(|range| {
            let parameters: Vec<&str> = range.split(';').map(str::trim).collect();
            let has = |wanted: &str| parameters.contains(&wanted);
            if !has("application/json") {
                None
            } else if !has("as=APIGroupDiscoveryList") || !has("g=apidiscovery.k8s.io") {
                Some(None)
            } else if has("v=v2") {
                Some(Some(Self::V2))
            } else if has("v=v2beta1") {
                Some(Some(Self::V2Beta1))
            } else {
                None
            }
        })?
    }

    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::V2 => "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
            Self::V2Beta1 => {
                "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList"
            }
        }
    }

    /// `/api`.
    pub(super) fn core(self, catalog: &Catalog) -> Value {
        self.list(vec![group_discovery(catalog, "")])
    }

    /// `/apis`.
    pub(super) fn named(self, catalog: &Catalog) -> Value {
        let groups = catalog
            .groups()
            .into_iter()
            .filter(|group| !group.is_empty());
        self.list(
            groups
                .map(|group| group_discovery(catalog, &group))
                .collect(),
        )
    }

    fn list(self, items: Vec<Value>) -> Value {
        let version = match self {
            Self::V2 => "v2",
            Self::V2Beta1 => "v2beta1",
        };
        json!({
            "kind": "APIGroupDiscoveryList",
            "apiVersion": format!("apidiscovery.k8s.io/{version}"),
            "metadata": {},
            "items": items,
        })
    }
}

fn group_discovery(catalog: &Catalog, group: &str) -> Value {
    let versions: Vec<Value> = catalog
        .versions(group)
        .iter()
        .map(|version| {
            let resources: Vec<Value> = catalog
                .iter()
                .filter(|resource| resource.group == group && resource.serves(version))
                .map(|resource| resource_discovery(resource, version))
                .collect();
            json!({"version": version, "resources": resources, "freshness": "Current"})
        })
        .collect();
    let metadata = if group.is_empty() {
        json!({"creationTimestamp": null})
    } else {
        json!({"name": group, "creationTimestamp": null})
    };
    json!({"metadata": metadata, "versions": versions})
}

fn resource_discovery(resource: &Resource, version: &str) -> Value {
    let response_kind = json!({"group": resource.group, "version": version, "kind": resource.kind});
    let mut entry = json!({
        "resource": resource.plural,
        "responseKind": response_kind,
        "scope": if resource.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": resource.names.singular,
        "verbs": resource.verbs(),
    });
    for (field, names) in [
        ("shortNames", &resource.names.short),
        ("categories", &resource.names.categories),
    ] {
        if !names.is_empty() {
            entry[field] = json!(names);
        }
    }
    let subs: Vec<Value> = subresources(resource, version)
        .iter()
        .map(|sub| {
            let kind = match sub.kind {
                Some((group, version, kind)) => {
                    json!({"group": group, "version": version, "kind": kind})
                }
                None => response_kind.clone(),
            };
            json!({"subresource": sub.name, "responseKind": kind, "verbs": sub.verbs})
        })
        .collect();
    if !subs.is_empty() {
        entry["subresources"] = json!(subs);
    }
    entry
}
