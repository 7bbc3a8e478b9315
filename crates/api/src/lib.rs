//! What users write: the API types, their parsing, defaulting and validation. Pure: no client, no
//! I/O.
//!
//! The way of a manifest: [`parse`] turns text into documents, [`decode`] turns a document into a
//! kind of [`spark`] or says everything that is wrong with it, and the kind's own validation says
//! what cannot be meant. The same types are the source of the CRDs in `deploy/crds`.

pub mod decode;
pub mod field;
pub mod jvm;
pub mod names;
pub mod parse;
pub mod quantity;
pub mod schema;
pub mod spark;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::Value;

/// Every CRD this project defines, as JSON objects to apply.
pub fn crds() -> Vec<Value> {
    [spark::SparkApplication::crd()]
        .iter()
        .map(to_object)
        .collect()
}

/// The files under `deploy/crds` and what is in them.
pub fn crd_files() -> Result<Vec<(String, String)>, parse::WriteError> {
    crds()
        .iter()
        .map(|crd| {
            let name = crd["metadata"]["name"].as_str().unwrap_or_default();
            parse::to_yaml(crd).map(|text| (format!("{name}.yaml"), text))
        })
        .collect()
}

fn to_object(crd: &CustomResourceDefinition) -> Value {
    // The type has no map with other keys than texts, so it always has a JSON form.
    let mut object = serde_json::to_value(crd).unwrap_or_default();
    parse::normalize_numbers(&mut object);
    object
}
