//! The OpenAPI documents the API serves: embedded ones of built-in groups, built ones of CRDs.
//!
//! Documents are kept compressed and decoded per request, so that serving them costs no memory
//! while nobody asks.

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

mod custom;
mod v2;

pub use custom::{CustomKind, custom_document};
pub use v2::{V2_PROTOBUF, v2_document, v2_protobuf};

macro_rules! documents {
    ($($path:literal => $file:literal),+ $(,)?) => {
        &[$(($path, include_bytes!(concat!("../data/openapi/", $file, ".json.zst")))),+]
    };
}

/// Path in the index, and compressed JSON.
static DOCUMENTS: &[(&str, &[u8])] = documents! {
    "api/v1" => "api__v1",
    "apis/admissionregistration.k8s.io/v1" => "apis__admissionregistration.k8s.io__v1",
    "apis/apiextensions.k8s.io/v1" => "apis__apiextensions.k8s.io__v1",
    "apis/apiregistration.k8s.io/v1" => "apis__apiregistration.k8s.io__v1",
    "apis/apps/v1" => "apis__apps__v1",
    "apis/authentication.k8s.io/v1" => "apis__authentication.k8s.io__v1",
    "apis/authorization.k8s.io/v1" => "apis__authorization.k8s.io__v1",
    "apis/autoscaling/v1" => "apis__autoscaling__v1",
    "apis/autoscaling/v2" => "apis__autoscaling__v2",
    "apis/batch/v1" => "apis__batch__v1",
    "apis/certificates.k8s.io/v1" => "apis__certificates.k8s.io__v1",
    "apis/coordination.k8s.io/v1" => "apis__coordination.k8s.io__v1",
    "apis/discovery.k8s.io/v1" => "apis__discovery.k8s.io__v1",
    "apis/events.k8s.io/v1" => "apis__events.k8s.io__v1",
    "apis/networking.k8s.io/v1" => "apis__networking.k8s.io__v1",
    "apis/node.k8s.io/v1" => "apis__node.k8s.io__v1",
    "apis/policy/v1" => "apis__policy__v1",
    "apis/rbac.authorization.k8s.io/v1" => "apis__rbac.authorization.k8s.io__v1",
    "apis/scheduling.k8s.io/v1" => "apis__scheduling.k8s.io__v1",
    "apis/storage.k8s.io/v1" => "apis__storage.k8s.io__v1",
};

/// The built-in group versions with a document, as they stand in the index (`api/v1`,
/// `apis/apps/v1`).
pub fn builtin_paths() -> impl Iterator<Item = &'static str> {
    DOCUMENTS.iter().map(|(path, _)| *path)
}

/// The document of a built-in group version, as JSON text.
pub fn builtin_document(path: &str) -> Option<Vec<u8>> {
    let (_, packed) = DOCUMENTS.iter().find(|(known, _)| *known == path)?;
    zstd::decode_all(*packed).ok()
}

/// The index served at `/openapi/v3`: every built-in document and these of custom groups, each a
/// path (`apis/example.com/v1`) with a text that changes when the document does.
pub fn v3_index<'a>(custom: impl IntoIterator<Item = (&'a str, &'a str)>) -> Value {
    let mut paths = Map::new();
    for (path, packed) in DOCUMENTS {
        paths.insert((*path).to_owned(), entry(path, packed));
    }
    for (path, revision) in custom {
        paths.insert(path.to_owned(), entry(path, revision.as_bytes()));
    }
    json!({"paths": paths})
}

fn entry(path: &str, content: &[u8]) -> Value {
    let hash = format!("{:X}", Sha256::digest(content));
    json!({"serverRelativeURL": format!("/openapi/v3/{path}?hash={hash}")})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_document_opens_and_lists_what_kubectl_looks_for() {
        for path in builtin_paths() {
            let text = builtin_document(path).unwrap();
            let document: Value = serde_json::from_slice(&text).unwrap();
            assert_eq!(document["openapi"], "3.0.0", "{path}");
            assert!(document["components"]["schemas"].is_object(), "{path}");
        }
        let text = builtin_document("apis/apps/v1").unwrap();
        let document: Value = serde_json::from_slice(&text).unwrap();
        let patch =
            &document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"];
        let names: Vec<&str> = patch["parameters"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|parameter| parameter["name"].as_str())
            .collect();
        assert!(
            names.contains(&"fieldValidation") && names.contains(&"dryRun"),
            "{names:?}"
        );
        assert_eq!(
            patch["x-kubernetes-group-version-kind"]["kind"],
            "Deployment"
        );
    }

    #[test]
    fn the_index_changes_with_the_revision_of_a_custom_group() {
        let url = |revision| {
            let index = v3_index([("apis/example.com/v1", revision)]);
            index["paths"]["apis/example.com/v1"]["serverRelativeURL"]
                .as_str()
                .unwrap()
                .to_owned()
        };
        assert_ne!(url("1"), url("2"));
        assert_eq!(url("1"), url("1"));
        assert!(url("1").starts_with("/openapi/v3/apis/example.com/v1?hash="));
    }
}
