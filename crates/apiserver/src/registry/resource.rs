//! One served resource: its names, versions, and the rules its objects follow.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value;
use windlass_apimachinery::{
    printers::Printer, schema::TypeSchema, selectors::SelectableFields,
    structural::StructuralSchema,
};

use crate::{
    crd,
    store::{Key, Scope},
};

/// A resource as requests name it.
#[derive(Debug)]
pub(crate) struct Resource {
    pub(crate) group: String,
    pub(crate) plural: String,
    pub(crate) kind: String,
    pub(crate) namespaced: bool,
    pub(crate) names: Names,
    pub(crate) handling: Handling,
}

/// The names besides the plural.
#[derive(Debug, Clone, Default)]
pub(crate) struct Names {
    pub(crate) singular: String,
    pub(crate) list_kind: String,
    pub(crate) short: Vec<String>,
    pub(crate) categories: Vec<String>,
}

/// Where the objects come from.
#[derive(Debug)]
pub(crate) enum Handling {
    /// Objects of a built-in kind in the store.
    Builtin {
        versions: Vec<&'static str>,
        rules: Rules,
    },
    /// Objects of a kind that a CustomResourceDefinition describes.
    Custom {
        storage: String,
        versions: BTreeMap<String, Arc<CustomVersion>>,
        /// The revision of the definition; older objects have not seen its defaults.
        defined_at: u64,
    },
    /// Nothing is stored: a create is a question.
    Virtual(Virtual),
}

/// Resources that only answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Virtual {
    /// A review of authentication or authorization.
    Review(&'static str, Review),
    /// The old way to bind a pod to a node.
    Binding,
}

/// The reviews.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Review {
    Token,
    SelfSubject,
    SubjectAccess,
    SelfSubjectAccess,
    LocalSubjectAccess,
    SelfSubjectRules,
}

/// How the objects of a stored kind behave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rules {
    /// Whether `metadata.generation` counts changes of what is wanted.
    pub(crate) generation: bool,
    /// Whether PUT may leave `metadata.resourceVersion` out.
    pub(crate) unconditional_update: bool,
    /// Whether PUT creates what is absent.
    pub(crate) create_on_update: bool,
    /// Whether DELETE answers with the object rather than with a `Status`.
    pub(crate) returns_deleted: bool,
    /// Whether nothing in this cluster acts upon such objects, which their makers are told.
    pub(crate) stored_only: bool,
    pub(crate) subresources: SubresourceSet,
}

/// The subresources of a stored kind that the generic verbs serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct SubresourceSet {
    pub(crate) status: bool,
    pub(crate) scale: bool,
}

/// One version of a custom kind.
#[derive(Debug)]
pub(crate) struct CustomVersion {
    pub(crate) served: bool,
    pub(crate) deprecation: Option<String>,
    pub(crate) schema: StructuralSchema,
    pub(crate) types: TypeSchema,
    pub(crate) openapi: Value,
    pub(crate) printer: Printer,
    pub(crate) selectable: SelectableFields,
    pub(crate) status: bool,
    pub(crate) scale: Option<ScalePaths>,
}

/// Where a custom kind keeps its scale.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ScalePaths {
    pub(crate) spec_replicas: Vec<String>,
    pub(crate) status_replicas: Vec<String>,
    pub(crate) label_selector: Option<Vec<String>>,
}

impl Resource {
    /// Whether this version is served.
    pub(crate) fn serves(&self, version: &str) -> bool {
        self.versions().any(|served| served == version)
    }

    /// The served versions, most preferred first.
    pub(crate) fn versions(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        match &self.handling {
            Handling::Builtin { versions, .. } => Box::new(versions.iter().copied()),
            Handling::Custom { versions, .. } => {
                let mut served: Vec<&str> = versions
                    .iter()
                    .filter(|(_, version)| version.served)
                    .map(|(name, _)| name.as_str())
                    .collect();
                served.sort_by(|a, b| crd::compare_versions(a, b));
                Box::new(served.into_iter())
            }
            Handling::Virtual(Virtual::Review(version, _)) => Box::new(std::iter::once(*version)),
            Handling::Virtual(Virtual::Binding) => Box::new(std::iter::once("v1")),
        }
    }

    /// The version objects are stored in.
    pub(crate) fn storage_version(&self) -> &str {
        match &self.handling {
            Handling::Builtin { versions, .. } => versions[0],
            Handling::Custom { storage, .. } => storage,
            Handling::Virtual(_) => "v1",
        }
    }

    /// Group and plural under which the objects are stored. Events of both groups are one set.
    fn storage(&self) -> (&str, &str) {
        match (self.group.as_str(), self.plural.as_str()) {
            ("events.k8s.io", "events") => ("", "events"),
            own => own,
        }
    }

    /// The key of an object.
    pub(crate) fn key(&self, namespace: &str, name: &str) -> Key {
        let (group, plural) = self.storage();
        Key::new(
            group,
            plural,
            if self.namespaced { namespace } else { "" },
            name,
        )
    }

    /// The keys of all objects, or of those in a namespace.
    pub(crate) fn scope(&self, namespace: &str) -> Scope {
        let (group, plural) = self.storage();
        Scope::new(group, plural, if self.namespaced { namespace } else { "" })
    }

    /// Whether the objects are in the store.
    pub(crate) fn is_stored(&self) -> bool {
        !matches!(self.handling, Handling::Virtual(_))
    }

    /// Whether a CustomResourceDefinition made it.
    pub(crate) fn is_custom(&self) -> bool {
        matches!(self.handling, Handling::Custom { .. })
    }

    /// The description of a custom kind's version.
    pub(crate) fn custom_version(&self, version: &str) -> Option<&Arc<CustomVersion>> {
        match &self.handling {
            Handling::Custom { versions, .. } => versions.get(version),
            _ => None,
        }
    }

    /// How objects behave in this version.
    pub(crate) fn rules(&self, version: &str) -> Rules {
        match &self.handling {
            Handling::Builtin { rules, .. } => *rules,
            Handling::Custom { versions, .. } => {
                let description = versions.get(version);
                Rules {
                    generation: true,
                    unconditional_update: false,
                    create_on_update: false,
                    returns_deleted: false,
                    stored_only: false,
                    subresources: SubresourceSet {
                        status: description.is_some_and(|version| version.status),
                        scale: description.is_some_and(|version| version.scale.is_some()),
                    },
                }
            }
            Handling::Virtual(_) => Rules {
                generation: false,
                unconditional_update: false,
                create_on_update: false,
                returns_deleted: false,
                stored_only: false,
                subresources: SubresourceSet::default(),
            },
        }
    }

    /// What field selectors may name.
    pub(crate) fn selectable(&self, version: &str) -> SelectableFields {
        match self.custom_version(version) {
            Some(custom) => custom.selectable.clone(),
            None => SelectableFields::builtin(&self.group, &self.kind),
        }
    }

    /// `group/version`, or the version alone for the core group.
    pub(crate) fn api_version(&self, version: &str) -> String {
        if self.group.is_empty() {
            version.to_owned()
        } else {
            format!("{}/{version}", self.group)
        }
    }

    /// The verbs on the objects themselves, as discovery lists them.
    pub(crate) fn verbs(&self) -> &'static [&'static str] {
        match self.handling {
            Handling::Virtual(_) => &["create"],
            _ => &[
                "create",
                "delete",
                "deletecollection",
                "get",
                "list",
                "patch",
                "update",
                "watch",
            ],
        }
    }
}
