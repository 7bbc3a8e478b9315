//! Virtual clusters on the engine: what is watched, what is read, and how work inside of members is done.
//!
//! Laws:
//! - a cluster, an application or a configuration that cannot be read leaves what runs of the cluster
//!   alone, and the cluster's conditions say why;
//! - what has a name of ours is looked for at the API itself before anything is applied to it;
//! - a secret that is read here is in no message.

mod clusters;
mod exec;
mod index;
mod sight;
mod sources;

use windlass_engine::Kind;

pub use clusters::{ClusterSight, KubeDirectorClusters};

/// `kubedirectorclusters.kubedirector.hpe.com`.
pub const CLUSTER: Kind = Kind::namespaced(
    "kubedirector.hpe.com",
    "v1beta1",
    "KubeDirectorCluster",
    "kubedirectorclusters",
);
/// `kubedirectorapps.kubedirector.hpe.com`.
pub const APP: Kind = Kind::namespaced(
    "kubedirector.hpe.com",
    "v1beta1",
    "KubeDirectorApp",
    "kubedirectorapps",
);
/// `kubedirectorconfigs.kubedirector.hpe.com`.
pub const CONFIG: Kind = Kind::namespaced(
    "kubedirector.hpe.com",
    "v1beta1",
    "KubeDirectorConfig",
    "kubedirectorconfigs",
);
const STATEFUL_SET: Kind = Kind::namespaced("apps", "v1", "StatefulSet", "statefulsets");
const SECRET: Kind = Kind::namespaced("", "v1", "Secret", "secrets");
const CLAIM: Kind = Kind::namespaced("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims");
const BUDGET: Kind = Kind::namespaced(
    "policy",
    "v1",
    "PodDisruptionBudget",
    "poddisruptionbudgets",
);

/// The settings of the operator of virtual clusters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectorConfig {
    /// The namespace of the operator: where the `system` catalog of applications is, and the
    /// KubeDirectorConfig.
    pub home: String,
}

/// The controller of KubeDirectorClusters. It runs hooks through `client`.
pub fn clusters(config: &DirectorConfig, client: kube::Client) -> KubeDirectorClusters {
    KubeDirectorClusters::new(config.home.clone(), client)
}
