//! What users write: the API types, their parsing, defaulting and validation. Pure: no client, no
//! I/O.
//!
//! The way of a manifest: [`parse`] turns text into documents, [`decode`] turns a document into a
//! kind of [`spark`] or says everything that is wrong with it, and the kind's own validation says
//! what cannot be meant. The same types are the source of the CRDs in `deploy/crds` and
//! `deploy/original`, of those of virtual clusters in `deploy/director`, and of those of storage in
//! `deploy/storage`.

pub mod decode;
pub mod director;
pub mod field;
pub mod jvm;
pub mod names;
pub mod parse;
pub mod quantity;
pub mod schedule;
pub mod schema;
pub mod spark;
pub mod storage;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::Value;

/// Every CRD this project defines, as JSON objects to apply.
pub fn crds() -> Vec<Value> {
    [
        spark::SparkApplication::crd(),
        spark::ScheduledSparkApplication::crd(),
        spark::SparkConnect::crd(),
        spark::SparkHistoryServer::crd(),
        spark::SparkPolicy::crd(),
    ]
    .iter()
    .map(to_object)
    .collect()
}

/// The CRD of the first Spark operator, as a JSON object to apply.
///
/// It is none of [`crds`], because its plural is that of a CRD there: where both are served, kubectl
/// takes `sparkapplications` without a group for this one, whose group comes first in the alphabet.
pub fn original_crd() -> Value {
    to_object(&spark::OriginalSparkApplication::crd())
}

/// The files under `deploy` that are CRDs, and what is in them.
pub fn crd_files() -> Result<Vec<(String, String)>, parse::WriteError> {
    let usual = crds().into_iter().map(|crd| ("crds", crd));
    let director = director::crds().into_iter();
    let storage = storage::crds().into_iter();
    let originals = [original_crd()]
        .into_iter()
        .chain(director::original_crds());
    usual
        .chain(director.map(|crd| ("director", crd)))
        .chain(storage.map(|crd| ("storage", crd)))
        .chain(originals.map(|crd| ("original", crd)))
        .map(|(folder, crd)| {
            let name = crd["metadata"]["name"].as_str().unwrap_or_default();
            let file = format!("{folder}/{name}.yaml");
            parse::to_yaml(&crd).map(|text| (file, text))
        })
        .collect()
}

pub(crate) fn to_object(crd: &CustomResourceDefinition) -> Value {
    // The type has no map with other keys than texts, so it always has a JSON form.
    let mut object = serde_json::to_value(crd).unwrap_or_default();
    parse::normalize_numbers(&mut object);
    object
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_files_in_deploy_are_what_the_types_say() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy");
        for (name, text) in crd_files().unwrap() {
            let found = std::fs::read_to_string(folder.join(&name)).unwrap_or_default();
            assert!(found == text, "deploy/{name} is old: run `make gen`");
        }
    }

    fn all_crds() -> impl Iterator<Item = Value> {
        crds()
            .into_iter()
            .chain([original_crd()])
            .chain(director::crds())
            .chain(director::original_crds())
            .chain(storage::crds())
    }

    /// `kubectl apply` keeps a copy of the object in an annotation of at most 262,144 bytes.
    #[test]
    fn a_plain_kubectl_apply_can_carry_every_crd() {
        for crd in all_crds() {
            assert!(
                crd.to_string().len() < 200_000,
                "{}",
                crd["metadata"]["name"]
            );
        }
    }

    #[test]
    fn every_schema_is_structural() {
        for crd in all_crds() {
            let versions = crd["spec"]["versions"].as_array().unwrap();
            for version in versions {
                check_structural(&version["schema"]["openAPIV3Schema"], "");
            }
        }
    }

    fn check_structural(schema: &Value, path: &str) {
        for keyword in [
            "$ref",
            "oneOf",
            "anyOf",
            "allOf",
            "not",
            "definitions",
            "$defs",
        ] {
            assert!(schema.get(keyword).is_none(), "{path} has {keyword}");
        }
        let untyped = [
            "x-kubernetes-int-or-string",
            "x-kubernetes-preserve-unknown-fields",
        ];
        let typed = schema["type"].is_string() || untyped.iter().any(|key| schema[key] == true);
        assert!(typed, "{path} has no type");
        let fields = schema["properties"].as_object();
        assert!(
            fields.is_none() || !schema["additionalProperties"].is_object(),
            "{path} has properties and additionalProperties"
        );
        for (name, field) in fields.into_iter().flatten() {
            check_structural(field, &format!("{path}.{name}"));
        }
        for inner in ["items", "additionalProperties"] {
            if schema[inner].is_object() {
                check_structural(&schema[inner], &format!("{path}.{inner}"));
            }
        }
    }
}
