//! The first KubeDirector's kinds, `kubedirector.bluedata.io/v1alpha1`.
//!
//! Laws:
//! - every spelling that the releases of that time had is taken, also those of before the first;
//! - an object of these kinds is one of today or it is nothing: [`convert_app`] and [`convert_cluster`]
//!   make one of it, or say by the names of its own fields why there is none;
//! - a cluster of that time has the names and the type of Services that it had then.

mod app;
mod cluster;
mod spelling;
mod status;

use kube::CustomResource;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use self::app::convert_app;
pub use self::cluster::convert_cluster;
pub use self::status::{ClusterStatus, MemberStatus, RoleStatus, in_words_of_that_time};
use crate::field::Note;

/// The API group of that time.
pub const GROUP: &str = "kubedirector.bluedata.io";

/// An object of today, and what it is to know about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Conversion<K> {
    /// The object, of the same name and namespace.
    pub object: K,
    /// What was not taken over as it stands.
    pub notes: Vec<Note>,
}

/// What an application is made of, in any of the spellings of that time.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "kubedirector.bluedata.io",
    version = "v1alpha1",
    kind = "KubeDirectorApp",
    plural = "kubedirectorapps",
    singular = "kubedirectorapp",
    namespaced,
    doc = "An application that virtual clusters run, in the words of the first KubeDirector.",
    derive = "Default",
    derive = "PartialEq",
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(transparent)]
pub struct AppSpec {
    /// The fields as they were written.
    pub fields: Map<String, Value>,
}

/// A virtual cluster that is wanted, in any of the spellings of that time.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "kubedirector.bluedata.io",
    version = "v1alpha1",
    kind = "KubeDirectorCluster",
    plural = "kubedirectorclusters",
    singular = "kubedirectorcluster",
    namespaced,
    status = "ClusterStatus",
    doc = "A virtual cluster, in the words of the first KubeDirector.",
    derive = "Default",
    derive = "PartialEq",
    printcolumn = r#"{"name":"App","type":"string","jsonPath":".spec.app"}"#,
    printcolumn = r#"{"name":"State","type":"string","jsonPath":".status.state"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(transparent)]
pub struct ClusterSpec {
    /// The fields as they were written.
    pub fields: Map<String, Value>,
}

impl JsonSchema for AppSpec {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "OriginalAppSpec".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        spelling::schema(app::FIELDS)
    }
}

impl JsonSchema for ClusterSpec {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "OriginalClusterSpec".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        spelling::schema(cluster::FIELDS)
    }
}

#[cfg(test)]
mod tests;
