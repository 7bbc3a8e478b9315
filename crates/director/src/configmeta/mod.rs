//! configmeta.json: what a member knows of its cluster.
//!
//! Setup scripts of KubeDirector read this file, mostly through `configcli --get`, so its schema is
//! fixed: what is here is what KubeDirector writes, but for two of its mistakes. A reference inside
//! of a connected cluster leads into that cluster wherever it stands, and every member of a
//! connected cluster is listed as itself.
//!
//! Laws:
//! - [`Document`] is a function of descriptions alone, and writes the same text for the same ones;
//! - the file of a member is [`Document::common`] and then [`Document::node`], so that a cluster of
//!   a thousand members is described once and not a thousand times;
//! - secret values are in the text and nowhere else: no type here shows one.

mod document;
mod lookup;

use std::collections::BTreeMap;

use windlass_api::director::Hidden;
use windlass_api::director::app::Service;

use crate::names::Domain;

pub use document::{Document, connections_text};
pub use lookup::{Answer, NoSuchKey, lookup};

/// The only node group there ever is.
pub(crate) const NODE_GROUP: &str = "1";

/// A cluster, as far as its members are told of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Description {
    /// The cluster's name.
    pub name: String,
    /// The cluster's uid.
    pub uid: String,
    /// The version of the schema that the application's scripts read.
    pub schema_version: i32,
    /// The family of the application.
    pub distro_id: String,
    /// The version of the application.
    pub app_version: String,
    /// What the application tells its scripts.
    pub config_meta: BTreeMap<String, String>,
    /// Where members are found.
    pub domain: Domain,
    /// All services of the application, of whatever role.
    pub services: Vec<Service>,
    /// The roles. Those without members are left out of the file.
    pub roles: Vec<RoleDescription>,
}

/// One role of a cluster.
#[derive(Debug, Clone, PartialEq)]
pub struct RoleDescription {
    /// Its id.
    pub id: String,
    /// The ids of its services, in the order in which the application gives them.
    pub services: Vec<String>,
    /// Its members, by ordinal.
    pub members: Vec<MemberDescription>,
    /// What each member has at most.
    pub flavor: Flavor,
    /// What was encrypted in the cluster's specification, in the clear.
    pub secret_keys: BTreeMap<String, Hidden>,
    /// What users of its services show, where one asks for a token. One for all members: the file
    /// has room for one only.
    pub token: Option<Hidden>,
    /// The paths of the raw devices of each member.
    pub block_devices: Vec<String>,
}

/// One member.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MemberDescription {
    /// The name of its pod.
    pub pod: String,
    /// Its number in the cluster.
    pub node_id: u32,
}

/// What a member has at most, from the limits of its container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flavor {
    /// Memory in MiB, rounded down.
    pub memory_mib: u64,
    /// Cores, rounded up.
    pub cores: u64,
}

/// What a cluster is connected to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Connections {
    /// Other clusters.
    pub clusters: Vec<Description>,
    /// ConfigMaps with a type.
    pub config_maps: Vec<ConnectedConfigMap>,
    /// Secrets with a type.
    pub secrets: Vec<ConnectedSecret>,
}

/// A ConfigMap that members are shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConnectedConfigMap {
    /// The value of its label `kubedirector.hpe.com/cmType`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its texts.
    pub data: BTreeMap<String, String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
}

/// A Secret that members are shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConnectedSecret {
    /// The value of its label `kubedirector.hpe.com/secretType`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its values in base64, as the API has them.
    pub data: BTreeMap<String, Hidden>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
}

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) use tests::sample_file;
