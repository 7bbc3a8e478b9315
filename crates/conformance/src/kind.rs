//! The kinds that sequences are about, and the definitions of the custom ones.

use serde_json::{Value, json};

/// The group of the custom kinds.
pub const GROUP: &str = "conformance.windlass.dev";
/// Where definitions are.
pub const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

/// A kind of objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Data.
    ConfigMap,
    /// Pods.
    Pod,
    /// Services.
    Service,
    /// Deployments.
    Deployment,
    /// StatefulSets.
    StatefulSet,
    /// Custom, with a closed schema and with status and scale.
    Widget,
    /// Custom, in two versions, with an open schema and without subresources.
    Gadget,
}

impl Kind {
    /// All of them: the answers about each have to be equal.
    pub const ALL: [Self; 7] = [
        Self::ConfigMap,
        Self::Pod,
        Self::Service,
        Self::Deployment,
        Self::StatefulSet,
        Self::Widget,
        Self::Gadget,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::ConfigMap => "ConfigMap",
            Self::Pod => "Pod",
            Self::Service => "Service",
            Self::Deployment => "Deployment",
            Self::StatefulSet => "StatefulSet",
            Self::Widget => "Widget",
            Self::Gadget => "Gadget",
        }
    }

    /// Its name in paths.
    pub fn plural(self) -> &'static str {
        match self {
            Self::ConfigMap => "configmaps",
            Self::Pod => "pods",
            Self::Service => "services",
            Self::Deployment => "deployments",
            Self::StatefulSet => "statefulsets",
            Self::Widget => "widgets",
            Self::Gadget => "gadgets",
        }
    }

    /// Group and version.
    pub fn api_version(self) -> &'static str {
        match self {
            Self::ConfigMap | Self::Pod | Self::Service => "v1",
            Self::Deployment | Self::StatefulSet => "apps/v1",
            Self::Widget | Self::Gadget => "conformance.windlass.dev/v1",
        }
    }

    /// The path of its objects, in the namespace of the sequence.
    pub fn path(self) -> String {
        let api_version = self.api_version();
        let root = if api_version == "v1" { "api" } else { "apis" };
        format!(
            "/{root}/{api_version}/namespaces/{{{{ns}}}}/{}",
            self.plural()
        )
    }

    /// Whether it is defined by a CustomResourceDefinition.
    pub fn is_custom(self) -> bool {
        matches!(self, Self::Widget | Self::Gadget)
    }

    /// Whether its status is written apart.
    pub fn has_status(self) -> bool {
        !matches!(self, Self::ConfigMap | Self::Gadget)
    }

    /// Whether it scales.
    pub fn scales(self) -> bool {
        matches!(self, Self::Deployment | Self::StatefulSet | Self::Widget)
    }
}

/// The definitions of the custom kinds.
pub fn definitions() -> Vec<Value> {
    vec![widgets(), gadgets()]
}

fn definition(plural: &str, kind: &str, versions: Value) -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{GROUP}")},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {"plural": plural, "singular": kind.to_lowercase(), "kind": kind, "listKind": format!("{kind}List")},
            "versions": versions,
        },
    })
}

fn widgets() -> Value {
    let spec = json!({
        "type": "object",
        "required": ["color"],
        "properties": {
            "color": {"type": "string", "enum": ["red", "blue", "green"]},
            "size": {"type": "integer", "format": "int32", "minimum": 0, "maximum": 100, "default": 3},
            "ratio": {"type": "number", "exclusiveMinimum": false, "minimum": 0},
            "code": {"type": "string", "pattern": "^[a-z]{2,4}$", "maxLength": 4},
            "active": {"type": "boolean", "default": true},
            "tags": {"type": "array", "x-kubernetes-list-type": "set", "maxItems": 4, "items": {"type": "string"}},
            "ports": {
                "type": "array",
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["name"],
                "items": {
                    "type": "object",
                    "required": ["name"],
                    "properties": {
                        "name": {"type": "string"},
                        "number": {"type": "integer", "minimum": 1},
                        "protocol": {"type": "string", "default": "TCP"},
                    },
                },
            },
            "limits": {"type": "object", "additionalProperties": {"type": "string"}},
            "whole": {
                "type": "object",
                "x-kubernetes-map-type": "atomic",
                "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
            },
            "steps": {"type": "array", "items": {"type": "object", "properties": {"run": {"type": "string", "minLength": 1}}}},
            "port": {"x-kubernetes-int-or-string": true},
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
            "maybe": {"type": "string", "nullable": true},
            "since": {"type": "string", "format": "date-time"},
        },
    });
    definition(
        "widgets",
        "Widget",
        json!([{
            "name": "v1",
            "served": true,
            "storage": true,
            "subresources": {
                "status": {},
                "scale": {
                    "specReplicasPath": ".spec.size",
                    "statusReplicasPath": ".status.size",
                    "labelSelectorPath": ".status.selector",
                },
            },
            "selectableFields": [{"jsonPath": ".spec.color"}],
            "additionalPrinterColumns": [
                {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
                {"name": "Color", "type": "string", "jsonPath": ".spec.color", "priority": 1},
            ],
            "schema": {"openAPIV3Schema": {
                "type": "object",
                "required": ["spec"],
                "properties": {
                    "spec": spec,
                    "status": {
                        "type": "object",
                        "properties": {
                            "size": {"type": "integer"},
                            "selector": {"type": "string"},
                            "phase": {"type": "string", "enum": ["Waiting", "Done"]},
                        },
                    },
                },
            }},
        }]),
    )
}

fn gadgets() -> Value {
    let schema = json!({"openAPIV3Schema": {
        "type": "object",
        "x-kubernetes-preserve-unknown-fields": true,
        "properties": {
            "spec": {
                "type": "object",
                "x-kubernetes-preserve-unknown-fields": true,
                "properties": {"level": {"type": "integer"}},
            },
        },
    }});
    definition(
        "gadgets",
        "Gadget",
        json!([
            {"name": "v1", "served": true, "storage": true, "schema": schema},
            {"name": "v1alpha1", "served": true, "storage": false, "schema": schema, "deprecated": true},
        ]),
    )
}

impl Kind {
    /// An object that is as small as they get, which the selectors of watches match.
    pub fn minimal(self, name: &str) -> Value {
        let labels = json!({"app": "a"});
        let mut object = json!({
            "apiVersion": self.api_version(),
            "kind": self.name(),
            "metadata": {"name": name, "labels": labels},
        });
        let pod = json!({"containers": [{"name": "main", "image": "app"}]});
        let template = json!({"metadata": {"labels": labels}, "spec": pod});
        match self {
            Self::ConfigMap => {}
            Self::Pod => object["spec"] = pod,
            Self::Service => object["spec"] = json!({"ports": [{"port": 80}]}),
            Self::Deployment | Self::StatefulSet => {
                object["spec"] = json!({"selector": {"matchLabels": labels}, "template": template});
            }
            Self::Widget => object["spec"] = json!({"color": "red"}),
            Self::Gadget => object["spec"] = json!({}),
        }
        object
    }
}
