//! Names of kinds and of objects.
//!
//! The engine works on raw JSON, so a kind is data: where it is served and whether its objects
//! live in a namespace. Nothing here talks to a cluster.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use crate::plan::ObjectRef;

/// A Kubernetes kind and where the API serves it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Kind {
    /// The API group; empty for the core group.
    pub group: Cow<'static, str>,
    /// The version within the group.
    pub version: Cow<'static, str>,
    /// The kind as it stands in manifests.
    pub kind: Cow<'static, str>,
    /// The lower-case plural that stands in URLs.
    pub plural: Cow<'static, str>,
    /// Whether objects of this kind live in a namespace.
    pub scope: Scope,
}

/// Whether the objects of a kind live in a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// Objects are named within a namespace.
    Namespaced,
    /// Objects are named once per cluster.
    Cluster,
}

impl Kind {
    /// Core `v1` Pods.
    pub const POD: Self = Self::namespaced("", "v1", "Pod", "pods");
    /// Core `v1` ConfigMaps.
    pub const CONFIG_MAP: Self = Self::namespaced("", "v1", "ConfigMap", "configmaps");
    /// Core `v1` Services.
    pub const SERVICE: Self = Self::namespaced("", "v1", "Service", "services");
    /// Core `v1` Namespaces.
    pub const NAMESPACE: Self = Self::cluster("", "v1", "Namespace", "namespaces");
    /// Leases, which carry leadership.
    pub const LEASE: Self = Self::namespaced("coordination.k8s.io", "v1", "Lease", "leases");
    /// Events of the events.k8s.io group.
    pub const EVENT: Self = Self::namespaced("events.k8s.io", "v1", "Event", "events");

    /// A kind whose objects live in a namespace.
    pub const fn namespaced(
        group: &'static str,
        version: &'static str,
        kind: &'static str,
        plural: &'static str,
    ) -> Self {
        Self::fixed(group, version, kind, plural, Scope::Namespaced)
    }

    /// A kind whose objects are named once per cluster.
    pub const fn cluster(
        group: &'static str,
        version: &'static str,
        kind: &'static str,
        plural: &'static str,
    ) -> Self {
        Self::fixed(group, version, kind, plural, Scope::Cluster)
    }

    const fn fixed(
        group: &'static str,
        version: &'static str,
        kind: &'static str,
        plural: &'static str,
        scope: Scope,
    ) -> Self {
        Self {
            group: Cow::Borrowed(group),
            version: Cow::Borrowed(version),
            kind: Cow::Borrowed(kind),
            plural: Cow::Borrowed(plural),
            scope,
        }
    }

    /// The kind an effect names, with the plural English would give it.
    ///
    /// Kinds that a controller watches are looked up among its watches first; this is for the
    /// rest, whose plurals are regular in every built-in group.
    pub fn of(target: &ObjectRef) -> Self {
        let (group, version) = split_api_version(&target.api_version);
        let scope = match target.namespace {
            Some(_) => Scope::Namespaced,
            None => Scope::Cluster,
        };
        Self {
            group: Cow::Owned(group.to_owned()),
            version: Cow::Owned(version.to_owned()),
            kind: Cow::Owned(target.kind.clone()),
            plural: Cow::Owned(plural_of(&target.kind)),
            scope,
        }
    }

    /// `v1`, `apps/v1`, ...
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.clone().into_owned()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// Whether a manifest with these two fields is of this kind.
    pub fn matches(&self, api_version: &str, kind: &str) -> bool {
        split_api_version(api_version) == (&*self.group, &*self.version) && self.kind == kind
    }

    /// The URL path of the collection, within a namespace if one is given.
    pub fn collection_path(&self, namespace: Option<&str>) -> String {
        let root = if self.group.is_empty() {
            "/api"
        } else {
            "/apis"
        };
        let api_version = self.api_version();
        match (self.scope, namespace) {
            (Scope::Namespaced, Some(namespace)) => {
                format!(
                    "{root}/{api_version}/namespaces/{namespace}/{}",
                    self.plural
                )
            }
            _ => format!("{root}/{api_version}/{}", self.plural),
        }
    }

    /// Refers to one object of this kind.
    pub fn object_ref(&self, key: &ObjectKey) -> ObjectRef {
        ObjectRef {
            api_version: self.api_version(),
            kind: self.kind.clone().into_owned(),
            namespace: key.namespace.as_deref().map(str::to_owned),
            name: key.name.to_string(),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.group.is_empty() {
            f.write_str(&self.plural)
        } else {
            write!(f, "{}.{}", self.plural, self.group)
        }
    }
}

fn split_api_version(api_version: &str) -> (&str, &str) {
    api_version.split_once('/').unwrap_or(("", api_version))
}

fn plural_of(kind: &str) -> String {
    let lower = kind.to_lowercase();
    if lower == "endpoints" {
        return lower;
    }
    if lower.ends_with('s') || lower.ends_with('x') || lower.ends_with("ch") {
        return format!("{lower}es");
    }
    match lower.strip_suffix('y') {
        Some(stem) if !stem.ends_with(['a', 'e', 'i', 'o', 'u']) => format!("{stem}ies"),
        _ => format!("{lower}s"),
    }
}

/// Which object of a kind: its namespace and name.
///
/// Cheap to clone; a store keeps one copy of each namespace.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey {
    /// `None` for objects outside of any namespace.
    pub namespace: Option<Arc<str>>,
    /// The object's name.
    pub name: Arc<str>,
}

impl ObjectKey {
    /// Names an object within a namespace.
    pub fn namespaced(namespace: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> Self {
        Self {
            namespace: Some(namespace.into()),
            name: name.into(),
        }
    }

    /// Names an object outside of any namespace.
    pub fn cluster(name: impl Into<Arc<str>>) -> Self {
        Self {
            namespace: None,
            name: name.into(),
        }
    }
}

impl From<&ObjectRef> for ObjectKey {
    fn from(target: &ObjectRef) -> Self {
        Self {
            namespace: target.namespace.as_deref().map(Arc::from),
            name: Arc::from(target.name.as_str()),
        }
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{namespace}/{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn collection_paths_follow_group_and_scope() {
        let cases = [
            (Kind::POD, Some("team"), "/api/v1/namespaces/team/pods"),
            (Kind::POD, None, "/api/v1/pods"),
            (
                Kind::LEASE,
                Some("x"),
                "/apis/coordination.k8s.io/v1/namespaces/x/leases",
            ),
            (
                Kind::cluster("", "v1", "Node", "nodes"),
                Some("ignored"),
                "/api/v1/nodes",
            ),
        ];
        for (kind, namespace, expected) in cases {
            assert_eq!(kind.collection_path(namespace), expected);
        }
    }

    #[test]
    fn plurals_of_built_in_kinds_are_regular() {
        for (kind, plural) in [
            ("Pod", "pods"),
            ("Ingress", "ingresses"),
            ("NetworkPolicy", "networkpolicies"),
            ("Gateway", "gateways"),
            ("Endpoints", "endpoints"),
            ("StorageClass", "storageclasses"),
        ] {
            assert_eq!(plural_of(kind), plural);
        }
    }
}
