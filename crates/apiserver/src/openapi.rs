//! The OpenAPI documents: built-in ones as they are, custom ones built when somebody asks and kept
//! until a definition changes.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;
use parking_lot::Mutex;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use windlass_apimachinery::openapi::{
    CustomKind, builtin_document, custom_document, v2_document, v3_index,
};

use crate::{
    hex::hex,
    registry::{Catalog, CustomVersion, Resource},
};

/// The documents of one server.
#[derive(Debug, Default)]
pub(crate) struct Documents {
    custom: Mutex<Arc<Custom>>,
}

/// The documents of custom groups, as of one state of the catalog.
#[derive(Debug, Default)]
struct Custom {
    generation: u64,
    documents: BTreeMap<String, Document>,
}

#[derive(Debug)]
struct Document {
    bytes: Bytes,
    hash: String,
}

impl Documents {
    /// `/openapi/v3`.
    pub(crate) fn index(&self, catalog: &Catalog) -> Value {
        let custom = self.custom(catalog);
        let documents = custom.documents.iter();
        v3_index(documents.map(|(path, document)| (path.as_str(), document.hash.as_str())))
    }

    /// One document, by its path in the index.
    pub(crate) fn get(&self, catalog: &Catalog, path: &str) -> Option<Bytes> {
        if let Some(bytes) = builtin_document(path) {
            return Some(bytes.into());
        }
        self.custom(catalog)
            .documents
            .get(path)
            .map(|document| document.bytes.clone())
    }

    /// `/openapi/v2`, which is made anew each time: it is large, and clients of today do not ask.
    pub(crate) fn everything(&self, catalog: &Catalog) -> Value {
        let custom = self.custom(catalog);
        v2_document(custom.documents.values().map(|document| &*document.bytes))
    }

    fn custom(&self, catalog: &Catalog) -> Arc<Custom> {
        let mut custom = self.custom.lock();
        if custom.generation != catalog.generation {
            *custom = Arc::new(Custom::build(catalog));
        }
        Arc::clone(&custom)
    }
}

impl Custom {
    fn build(catalog: &Catalog) -> Self {
        let custom = || catalog.iter().filter(|resource| resource.is_custom());
        let group_versions: BTreeSet<(&str, &str)> = custom()
            .flat_map(|resource| {
                resource
                    .versions()
                    .map(|version| (resource.group.as_str(), version))
                    .collect::<Vec<_>>()
            })
            .collect();
        let documents = group_versions
            .into_iter()
            .map(|(group, version)| {
                let kinds: Vec<(&Resource, &CustomVersion)> = custom()
                    .filter(|resource| resource.group == group && resource.serves(version))
                    .filter_map(|resource| {
                        Some((&**resource, &**resource.custom_version(version)?))
                    })
                    .collect();
                let kinds: Vec<CustomKind<'_>> = kinds
                    .iter()
                    .map(|(resource, description)| CustomKind {
                        kind: &resource.kind,
                        plural: &resource.plural,
                        namespaced: resource.namespaced,
                        status: description.status,
                        scale: description.scale.is_some(),
                        schema: &description.openapi,
                    })
                    .collect();
                let document = custom_document(group, version, &kinds);
                let bytes = Bytes::from(document.to_string());
                let hash = hex(&Sha256::digest(&bytes));
                (format!("apis/{group}/{version}"), Document { bytes, hash })
            })
            .collect();
        Self {
            generation: catalog.generation,
            documents,
        }
    }
}
