//! Which resources are served: the built-in table, and whatever CustomResourceDefinitions add.

mod builtin;
mod resource;

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::{Mutex, RwLock};

pub(crate) use builtin::builtin_resources;
pub(crate) use resource::{CustomVersion, Handling, Names, Resource, Review, ScalePaths, Virtual};

use crate::{
    crd,
    store::{Scope, Store},
};

/// A consistent view of everything that is served.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    /// Grows with every change, so that derived documents know when they are stale.
    pub(crate) generation: u64,
    resources: BTreeMap<(String, String), Arc<Resource>>,
}

impl Catalog {
    /// The resource, if this group and version serve it.
    pub(crate) fn find(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<Resource>> {
        self.get(group, plural)
            .filter(|resource| resource.serves(version))
    }

    /// The resource, whatever its versions.
    pub(crate) fn get(&self, group: &str, plural: &str) -> Option<&Arc<Resource>> {
        self.resources.get(&(group.to_owned(), plural.to_owned()))
    }

    /// All resources, by group and then by name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.resources.values()
    }

    /// The versions a group serves, most preferred first.
    pub(crate) fn versions(&self, group: &str) -> Vec<String> {
        let mut versions: Vec<String> = Vec::new();
        for resource in self.iter().filter(|resource| resource.group == group) {
            for version in resource.versions() {
                if !versions.iter().any(|known| known == version) {
                    versions.push(version.to_owned());
                }
            }
        }
        versions.sort_by(|a, b| crd::compare_versions(a, b));
        versions
    }

    /// The groups that are served, the core group included.
    pub(crate) fn groups(&self) -> Vec<String> {
        let mut groups: Vec<String> = Vec::new();
        for resource in self.iter() {
            if groups.last() != Some(&resource.group) {
                groups.push(resource.group.clone());
            }
        }
        groups
    }
}

/// The current catalog; it changes when definitions do.
pub(crate) struct Registry {
    catalog: RwLock<Arc<Catalog>>,
    refreshing: Mutex<()>,
}

impl Registry {
    pub(crate) fn new(store: &Store) -> Self {
        let registry = Self {
            catalog: RwLock::default(),
            refreshing: Mutex::new(()),
        };
        registry.refresh(store);
        registry
    }

    /// What is served now.
    pub(crate) fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.catalog.read())
    }

    /// Reads the stored definitions again. The lock is taken before the store is read, so a later
    /// call never installs an older state.
    pub(crate) fn refresh(&self, store: &Store) {
        let _one_at_a_time = self.refreshing.lock();
        let mut resources: BTreeMap<(String, String), Arc<Resource>> = builtin_resources()
            .into_iter()
            .map(|resource| {
                (
                    (resource.group.clone(), resource.plural.clone()),
                    Arc::new(resource),
                )
            })
            .collect();
        let definitions = store.list(&Scope::new(crd::GROUP, "customresourcedefinitions", ""));
        for (_, definition) in definitions.objects {
            if let Some(resource) = crd::resource(definition.value()) {
                resources
                    .entry((resource.group.clone(), resource.plural.clone()))
                    .or_insert_with(|| Arc::new(resource));
            }
        }
        let generation = self.catalog.read().generation + 1;
        *self.catalog.write() = Arc::new(Catalog {
            generation,
            resources,
        });
    }
}
