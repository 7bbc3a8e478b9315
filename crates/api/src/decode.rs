//! Documents to typed objects, with everything that is wrong told at once.
//!
//! The schema of the kind finds unknown fields, wrong types and missing fields before serde runs;
//! serde's own error, with its path, is the net below.

use std::{fmt, sync::OnceLock};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{CustomResourceExt, Resource};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    field::{FieldError, FieldPath},
    schema,
};

/// Why a document is not an object of the wanted kind.
#[derive(Debug, Clone, PartialEq)]
pub enum DecodeError {
    /// It says that it is something else, or does not say what it is.
    OtherKind {
        /// What was wanted, as `kind (apiVersion)`.
        expected: String,
        /// What it is.
        found: String,
    },
    /// It is of the kind, but fields are wrong.
    Fields(Vec<FieldError>),
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherKind { expected, found } => {
                write!(
                    f,
                    "this is {found}, not a {expected}; check kind and apiVersion"
                )
            }
            Self::Fields(errors) => {
                for (index, error) in errors.iter().enumerate() {
                    if index > 0 {
                        f.write_str("\n")?;
                    }
                    write!(f, "{error}")?;
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for DecodeError {}

static METADATA_SCHEMA: OnceLock<Value> = OnceLock::new();

/// Whether a document says that it is of this kind and version.
pub fn is_kind<K: Resource<DynamicType = ()>>(document: &Value) -> bool {
    document["kind"] == *K::kind(&()) && document["apiVersion"] == *K::api_version(&())
}

/// Reads a document as an object of a kind we define, strictly.
pub fn decode<K>(document: &Value) -> Result<K, DecodeError>
where
    K: Resource<DynamicType = ()> + CustomResourceExt + DeserializeOwned,
{
    if !is_kind::<K>(document) {
        return Err(DecodeError::OtherKind {
            expected: format!("{} ({})", K::kind(&()), K::api_version(&())),
            found: describe(document),
        });
    }
    let object_schema = object_schema::<K>();
    let mut errors = schema::check(&object_schema, document, &FieldPath::root());
    let path = FieldPath::new("metadata");
    match document.get("metadata") {
        None | Some(Value::Null) => errors.push(FieldError::missing(
            path,
            "must be given, with the name of the object",
        )),
        // The schema of the kind has told what is wrong.
        Some(metadata) if !metadata.is_object() => {}
        Some(metadata) => {
            let schema = METADATA_SCHEMA.get_or_init(schema::of::<ObjectMeta>);
            errors.extend(schema::check(schema, metadata, &path));
        }
    }
    if !errors.is_empty() {
        return Err(DecodeError::Fields(errors));
    }
    let mut document = document.clone();
    drop_nulls(&mut document, Some(&object_schema));
    read(document, &FieldPath::root()).map_err(|error| DecodeError::Fields(vec![error]))
}

/// Reads a value as a type; the error carries the path of the value that did not fit.
pub(crate) fn typed<T: DeserializeOwned>(value: &Value, path: &FieldPath) -> Result<T, FieldError> {
    let mut value = value.clone();
    drop_nulls(&mut value, None);
    read(value, path)
}

fn read<T: DeserializeOwned>(value: Value, path: &FieldPath) -> Result<T, FieldError> {
    serde_path_to_error::deserialize(value).map_err(|error| FieldError {
        path: path.join(&error.path().to_string()),
        problem: crate::field::Problem::WrongType,
        value: None,
        detail: error.inner().to_string(),
    })
}

/// Fields that are null are absent to Kubernetes, but not to every Rust type. It keeps those that the
/// schema of the kind says may be null, and there null may mean something.
fn drop_nulls(value: &mut Value, schema: Option<&Value>) {
    let inner = |keyword: &str| schema.and_then(|schema| schema.get(keyword));
    // A schema that takes anything takes nulls, too.
    if inner("x-kubernetes-preserve-unknown-fields").is_some() && inner("type").is_none() {
        return;
    }
    match value {
        Value::Object(fields) => {
            let of_field = |name: &str| {
                let known = inner("properties").and_then(|known| known.get(name));
                known.or_else(|| inner("additionalProperties"))
            };
            let nullable = |name: &str| of_field(name).is_some_and(|it| it["nullable"] == true);
            fields.retain(|name, field| !field.is_null() || nullable(name));
            for (name, field) in fields {
                drop_nulls(field, of_field(name));
            }
        }
        Value::Array(items) => {
            for item in items {
                drop_nulls(item, inner("items"));
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn object_schema<K: CustomResourceExt>() -> Value {
    let crd = serde_json::to_value(K::crd()).unwrap_or_default();
    let mut schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone();
    if let Some(fields) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        for name in ["apiVersion", "kind"] {
            fields.insert(name.to_owned(), serde_json::json!({ "type": "string" }));
        }
        fields.insert(
            "metadata".to_owned(),
            serde_json::json!({ "type": "object" }),
        );
    }
    schema
}

fn describe(document: &Value) -> String {
    let text = |name: &str| {
        document
            .get(name)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
    };
    match (document, text("kind"), text("apiVersion")) {
        (_, Some(kind), Some(version)) => format!("a {kind} ({version})"),
        (_, Some(kind), None) => format!("a {kind} without apiVersion"),
        (Value::Object(_), None, _) => "an object without kind".to_owned(),
        (Value::Array(_), ..) => "a list".to_owned(),
        (Value::String(_), ..) => "a plain text".to_owned(),
        _ => "no object".to_owned(),
    }
}
