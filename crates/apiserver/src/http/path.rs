//! The grammar of request paths, and what verb a request means.

use http::Method;

use super::query::Query;

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route {
    /// An object, a collection or a subresource.
    Resource(Target),
    /// Everything else: discovery, documents, health.
    Other,
}

/// The parts of a resource path; absent parts are empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) namespace: String,
    pub(crate) plural: String,
    pub(crate) name: String,
    pub(crate) subresource: String,
    /// What is asked of whom `proxy` leads to.
    pub(crate) behind: String,
}

/// What a request does, in the words of RBAC rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verb {
    /// Read one object.
    Get,
    /// Read a collection.
    List,
    /// Follow a collection.
    Watch,
    /// Make an object.
    Create,
    /// Replace an object.
    Update,
    /// Change parts of an object.
    Patch,
    /// Remove an object.
    Delete,
    /// Remove a collection.
    DeleteCollection,
}

impl Verb {
    /// The word that rules and messages use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
        }
    }

    /// Whether it only reads.
    pub fn is_read(self) -> bool {
        matches!(self, Self::Get | Self::List | Self::Watch)
    }
}

impl Route {
    pub(crate) fn parse(path: &str) -> Self {
        let segments: Vec<String> = path
            .split('/')
            .filter(|segment| !segment.is_empty())
            .map(super::query::percent_decode)
            .collect();
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let (group, version, rest) = match segments.as_slice() {
            ["api", version, rest @ ..] if !rest.is_empty() => ("", *version, rest),
            ["apis", group, version, rest @ ..] if !rest.is_empty() => (*group, *version, rest),
            _ => return Self::Other,
        };
        let (namespace, rest) = match rest {
            // A namespace is an object too; its own subresources are no resources inside it.
            ["namespaces", name, sub @ ("status" | "finalize")] => {
                return Self::Resource(Target {
                    group: group.to_owned(),
                    version: version.to_owned(),
                    namespace: (*name).to_owned(),
                    plural: "namespaces".to_owned(),
                    name: (*name).to_owned(),
                    subresource: (*sub).to_owned(),
                    behind: String::new(),
                });
            }
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
            ["namespaces", name] if group.is_empty() => (*name, rest),
            _ => ("", rest),
        };
        let (plural, name, subresource, behind) = match rest {
            [plural] => (*plural, "", String::new(), String::new()),
            [plural, name] => (*plural, *name, String::new(), String::new()),
            [plural, name, "proxy", behind @ ..] => {
                (*plural, *name, "proxy".to_owned(), behind.join("/"))
            }
            [plural, name, subresource @ ..] => {
                (*plural, *name, subresource.join("/"), String::new())
            }
            [] => return Self::Other,
        };
        Self::Resource(Target {
            group: group.to_owned(),
            version: version.to_owned(),
            namespace: namespace.to_owned(),
            plural: plural.to_owned(),
            name: name.to_owned(),
            subresource,
            behind,
        })
    }
}

impl Target {
    /// The verb, or nothing for a method that resources do not know.
    pub(crate) fn verb(&self, method: &Method, query: &Query) -> Option<Verb> {
        let collection = self.name.is_empty();
        Some(match *method {
            Method::GET | Method::HEAD if collection && query.flag("watch") => Verb::Watch,
            Method::GET | Method::HEAD if collection => Verb::List,
            Method::GET | Method::HEAD => Verb::Get,
            Method::POST => Verb::Create,
            Method::PUT => Verb::Update,
            Method::PATCH => Verb::Patch,
            Method::DELETE if collection => Verb::DeleteCollection,
            Method::DELETE => Verb::Delete,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_taken_apart_as_kube_apiserver_does() {
        // group, version, namespace, plural, name, subresource
        let cases = [
            ("/api/v1/pods", ["", "v1", "", "pods", "", ""]),
            ("/api/v1/namespaces", ["", "v1", "", "namespaces", "", ""]),
            (
                "/api/v1/namespaces/a",
                ["", "v1", "a", "namespaces", "a", ""],
            ),
            (
                "/api/v1/namespaces/a/finalize",
                ["", "v1", "a", "namespaces", "a", "finalize"],
            ),
            ("/api/v1/namespaces/a/pods", ["", "v1", "a", "pods", "", ""]),
            (
                "/api/v1/namespaces/a/pods/p/log",
                ["", "v1", "a", "pods", "p", "log"],
            ),
            ("/api/v1/nodes/n", ["", "v1", "", "nodes", "n", ""]),
            (
                "/api/v1/nodes/n/proxy/stats/summary",
                ["", "v1", "", "nodes", "n", "proxy"],
            ),
            (
                "/apis/apps/v1/namespaces/a/deployments/d/scale",
                ["apps", "v1", "a", "deployments", "d", "scale"],
            ),
            (
                "/apis/rbac.authorization.k8s.io/v1/clusterroles/system%3Anode",
                [
                    "rbac.authorization.k8s.io",
                    "v1",
                    "",
                    "clusterroles",
                    "system:node",
                    "",
                ],
            ),
        ];
        for (path, expected) in cases {
            let Route::Resource(target) = Route::parse(path) else {
                panic!("{path}")
            };
            let parts = [
                target.group.as_str(),
                &target.version,
                &target.namespace,
                &target.plural,
                &target.name,
                &target.subresource,
            ];
            assert_eq!(parts, expected, "{path}");
        }
    }

    #[test]
    fn discovery_and_health_are_no_resources() {
        for path in [
            "/",
            "/api",
            "/api/v1",
            "/apis",
            "/apis/apps",
            "/apis/apps/v1",
            "/healthz",
        ] {
            assert_eq!(Route::parse(path), Route::Other, "{path}");
        }
    }
}
