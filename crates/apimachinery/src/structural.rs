//! Structural schemas: what a CRD's `openAPIV3Schema` demands of its objects.
//!
//! The schema is compiled once, when the CRD is accepted; pruning, defaulting and validation then
//! run on the compiled form. Messages are those of kube-apiserver. The rules of a schema
//! (`x-kubernetes-validations`) are compiled with it, too.

mod compile;
mod formats;
mod rules;
mod validate;
mod values;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use regex::Regex;
use serde_json::Value;

use crate::field::{FieldError, FieldErrorKind};

pub(crate) use formats::matches as matches_format;

/// A compiled structural schema. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct StructuralSchema {
    root: Arc<Node>,
}

impl StructuralSchema {
    /// Checks and compiles an `openAPIV3Schema`. The errors are those of creating the CRD; `path`
    /// is where the schema stands in it (`spec.versions[0].schema.openAPIV3Schema`).
    pub fn compile(open_api_v3_schema: &Value, path: &str) -> Result<Self, Vec<FieldError>> {
        compile::compile(open_api_v3_schema, path).map(|root| Self {
            root: Arc::new(root),
        })
    }

    /// Drops what the schema does not declare; returns the dropped paths (`spec.foo`), sorted.
    pub fn prune(&self, object: &mut Value) -> Vec<String> {
        let mut dropped = Vec::new();
        values::prune(
            &self.root,
            object,
            values::Place::Resource,
            &mut String::new(),
            &mut dropped,
        );
        dropped.sort();
        dropped
    }

    /// Fills in declared defaults, also in place of nulls that are not nullable; such nulls
    /// without a default are dropped.
    pub fn default(&self, object: &mut Value) {
        values::drop_nulls(&self.root, object);
        values::default(&self.root, object);
    }

    /// Validates an object.
    pub fn validate(&self, object: &Value) -> Vec<FieldError> {
        self.complaints(object, None)
    }

    /// Validates an object that replaces `old`: complaints about unchanged parts are dropped
    /// (ratcheting).
    pub fn validate_update(&self, object: &Value, old: &Value) -> Vec<FieldError> {
        self.complaints(object, Some(old))
    }

    fn complaints(&self, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
        let mut errors = validate::object(&self.root, object, old);
        // Repeated items are looked for when all else has been looked at.
        errors.sort_by_key(|error| error.kind == FieldErrorKind::Duplicate);
        if !self.root.has_rules {
            return errors;
        }
        // Rules may rely on what the schema says, so they are not asked about what breaks it.
        let blocks = |error: &FieldError| {
            matches!(
                error.kind,
                FieldErrorKind::NotSupported
                    | FieldErrorKind::Required
                    | FieldErrorKind::TooLong
                    | FieldErrorKind::TooMany
                    | FieldErrorKind::TypeInvalid
            )
        };
        if errors.iter().any(blocks) {
            errors.push(FieldError::invalid(
                "<nil>",
                &Value::Null,
                "some validation rules were not checked because the object was invalid; correct \
                 the existing errors to complete validation",
            ));
        } else {
            errors.extend(rules::validate(&self.root, object, old));
        }
        errors
    }
}

/// One type of the schema.
#[derive(Debug, Default)]
struct Node {
    kind: Kind,
    nullable: bool,
    default: Option<Value>,
    properties: BTreeMap<String, Node>,
    additional: Additional,
    items: Option<Box<Node>>,
    list: List,
    /// Unknown fields stay (`x-kubernetes-preserve-unknown-fields`).
    preserve: bool,
    /// The value is an object of its own, with apiVersion, kind and metadata.
    embedded: bool,
    rules: Option<Box<Rules>>,
    /// Whether this node or one in it has validations.
    has_rules: bool,
    validations: Option<Box<rules::Validations>>,
}

/// The JSON type of a value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Kind {
    /// Not said.
    #[default]
    Any,
    Object,
    Array,
    String,
    Integer,
    Number,
    Boolean,
    IntOrString,
}

/// What an object may hold beside its properties.
#[derive(Debug, Default)]
enum Additional {
    #[default]
    Nothing,
    Anything,
    Values(Box<Node>),
}

/// How the items of a list are told apart.
#[derive(Debug, Default, PartialEq, Eq)]
enum List {
    #[default]
    Atomic,
    Set,
    Map(Vec<String>),
}

/// What is demanded of a value beyond its type.
#[derive(Debug, Default)]
struct Rules {
    format: Option<String>,
    one_of_values: Option<Vec<Value>>,
    minimum: Option<Bound>,
    maximum: Option<Bound>,
    multiple_of: Option<f64>,
    length: Size,
    items: Size,
    properties: Size,
    pattern: Option<(String, Regex)>,
    required: Vec<String>,
    all_of: Vec<Node>,
    any_of: Vec<Node>,
    one_of: Vec<Node>,
    not: Option<Box<Node>>,
}

#[derive(Debug, Clone, Copy)]
struct Bound {
    value: f64,
    exclusive: bool,
}

#[derive(Debug, Clone, Copy, Default)]
struct Size {
    least: Option<usize>,
    most: Option<usize>,
}
