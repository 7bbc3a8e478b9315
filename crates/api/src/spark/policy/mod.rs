//! SparkPolicy `windlass.dev/v1alpha1`: what whoever keeps a namespace, or the whole operator, has
//! decided about all Spark jobs in it.
//!
//! It is a kind of its own, and not a ConfigMap, because of who may write it. Whoever runs jobs in a
//! namespace may usually write ConfigMaps there, and the ServiceAccount of every driver has to; kinds
//! like this one belong to nobody before an administrator says so.
//!
//! Laws:
//! - what a policy can say is checked completely, by the rules of the application itself, and a
//!   mistake names its field; a policy with a mistake is no policy that allows everything;
//! - a policy never says what a job is: its file, class, arguments and name are the user's.

mod patterns;
mod validate;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::patterns::{ImagePattern, Pattern, PatternError};
pub use self::validate::validate;
use crate::schema;

/// What is decided about the Spark jobs of a namespace. Of several policies each holds.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "windlass.dev",
    version = "v1alpha1",
    kind = "SparkPolicy",
    plural = "sparkpolicies",
    singular = "sparkpolicy",
    namespaced,
    doc = "What is decided about the Spark jobs of a namespace.",
    derive = "Default",
    derive = "PartialEq",
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct SparkPolicySpec {
    /// Names that stand for an image and its Spark version. An application uses one as image or as
    /// sparkVersion.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub image_aliases: Vec<ImageAlias>,
    /// Images that containers may have, as patterns such as registry.example.com/spark/*; all when
    /// not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_images: Option<Vec<String>>,
    /// ServiceAccounts that pods may have, as patterns such as etl-*; all when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_service_accounts: Option<Vec<String>>,
    /// Spark settings that applications may not make, as patterns such as spark.plugins or
    /// spark.kubernetes.*; besides those that no application may make.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub denied_spark_conf: Vec<String>,
    /// Fields of a SparkApplication's spec that hold where the application leaves them out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::optional_object")]
    pub defaults: Option<Value>,
    /// Fields of a SparkApplication's spec that hold whatever the application says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::optional_object")]
    pub enforced: Option<Value>,
}

/// A name that stands for an image and its Spark version.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImageAlias {
    /// The name, for example spark-4.3.
    pub name: String,
    /// The image.
    pub image: String,
    /// The Spark version in it, for example 4.3.0.
    pub spark_version: String,
}

#[cfg(test)]
mod tests;
