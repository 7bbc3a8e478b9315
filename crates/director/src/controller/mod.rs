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
mod original;
mod sight;
mod sources;

use windlass_engine::Kind;

pub use clusters::{ClusterSight, KubeDirectorClusters};
pub use original::Originals;

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
/// `kubedirectorapps.kubedirector.bluedata.io`.
pub const ORIGINAL_APP: Kind = Kind::namespaced(
    "kubedirector.bluedata.io",
    "v1alpha1",
    "KubeDirectorApp",
    "kubedirectorapps",
);
/// `kubedirectorclusters.kubedirector.bluedata.io`.
pub const ORIGINAL_CLUSTER: Kind = Kind::namespaced(
    "kubedirector.bluedata.io",
    "v1alpha1",
    "KubeDirectorCluster",
    "kubedirectorclusters",
);
const STATEFUL_SET: Kind = Kind::namespaced("apps", "v1", "StatefulSet", "statefulsets");
const SECRET: Kind = Kind::namespaced("", "v1", "Secret", "secrets");
const CLAIM: Kind = Kind::namespaced("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims");
/// `poddisruptionbudgets.policy`, as Kubernetes has them since 1.21.
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
    /// Whether the kinds of the first KubeDirector are served, too.
    pub serves_originals: bool,
    /// Whether the cluster serves PodDisruptionBudgets of `policy/v1`; where not, roles have none.
    pub serves_budgets: bool,
    /// Whether claims grow by themselves that say so, by a controller beside this one.
    pub lets_claims_grow: bool,
}

/// The controller of KubeDirectorClusters. It runs hooks through `client`.
pub fn clusters(config: &DirectorConfig, client: kube::Client) -> KubeDirectorClusters {
    KubeDirectorClusters::new(config.clone(), client)
}

/// The controller of applications of the first KubeDirector.
pub fn original_apps() -> Originals {
    Originals::apps()
}

/// The controller of clusters of the first KubeDirector.
pub fn original_clusters() -> Originals {
    Originals::clusters()
}
