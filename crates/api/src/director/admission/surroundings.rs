//! What has to be read before a cluster can be judged, and what was.

use std::collections::{BTreeMap, BTreeSet};

use crate::director::KubeDirectorApp;
use crate::director::cluster::{AppCatalog, KubeDirectorCluster};
use crate::director::config::ConfigSpec;

/// What was read around a cluster. What is not in it does not exist, or is not allowed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Surroundings {
    /// The KubeDirectorApp of that name in the namespace of the cluster.
    pub local_app: Option<KubeDirectorApp>,
    /// The KubeDirectorApp of that name in the namespace of the operator.
    pub system_app: Option<KubeDirectorApp>,
    /// The specification of kd-global-config, if there is one.
    pub config: Option<ConfigSpec>,
    /// The storage classes.
    pub storage_classes: StorageClasses,
    /// Of the Secrets in [`Needs::secrets`] those that exist.
    pub secrets: BTreeSet<String>,
    /// Of the ServiceAccounts in [`Needs::service_accounts`] those that exist.
    pub service_accounts: BTreeSet<String>,
    /// Of the claims in [`Needs::claims`] those that exist.
    pub claims: BTreeMap<String, Claim>,
    /// Which of [`Needs::reviews`] the API server allowed: the `allowed` of the review's status, which
    /// is false when nobody allows, whereas its `denied` is false even then. `None` where there is no
    /// user to ask about, as in a controller.
    pub reviews: Option<BTreeSet<Review>>,
    /// What came of asking for each of [`Needs::urls`]: nothing, or why it cannot be fetched. `None`
    /// where URLs are not asked for.
    pub urls: Option<BTreeMap<String, Result<(), String>>>,
    /// The minor version of Kubernetes, if known: 34 is 1.34.
    pub kubernetes_minor: Option<u32>,
}

/// The storage classes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StorageClasses {
    /// All names.
    pub names: BTreeSet<String>,
    /// Those of classes whose volumes may grow (`allowVolumeExpansion`).
    pub expandable: BTreeSet<String>,
    /// The one that holds where none is named, if there is one.
    pub default: Option<String>,
}

/// What counts of a PersistentVolumeClaim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// What pods get of it.
    pub volume_mode: VolumeMode,
    /// Who may mount it.
    pub access_modes: BTreeSet<AccessMode>,
}

/// What pods get of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VolumeMode {
    /// A directory.
    Filesystem,
    /// A device.
    Block,
}

/// Who may mount a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AccessMode {
    /// The pods of one node.
    ReadWriteOnce,
    /// One pod.
    ReadWriteOncePod,
    /// All pods, to read.
    ReadOnlyMany,
    /// All pods.
    ReadWriteMany,
}

impl AccessMode {
    /// Whether pods of several nodes may mount it.
    pub const fn is_shared(self) -> bool {
        matches!(self, Self::ReadOnlyMany | Self::ReadWriteMany)
    }
}

/// A question to the API server about the user who asks for the cluster, in its namespace: the
/// attributes of a SubjectAccessReview, of the core group.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Review {
    /// The verb.
    pub verb: &'static str,
    /// The resource, in the plural as RBAC knows it.
    pub resource: &'static str,
    /// The object.
    pub name: String,
}

impl Review {
    /// Whether the user may act as a ServiceAccount, which whoever writes its pods does. The verb is
    /// RBAC's own for that, and part of the role edit.
    pub fn of_account(name: &str) -> Self {
        Self {
            verb: "impersonate",
            resource: "serviceaccounts",
            name: name.to_owned(),
        }
    }

    /// Whether the user may do with a claim what members will be able to.
    pub fn of_claim(name: &str, read_only: bool) -> Self {
        Self {
            verb: if read_only { "get" } else { "update" },
            resource: "persistentvolumeclaims",
            name: name.to_owned(),
        }
    }
}

/// What has to be read before a cluster can be judged, besides the KubeDirectorApp in both
/// namespaces, the KubeDirectorConfig and the storage classes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Secrets in its namespace.
    pub secrets: BTreeSet<String>,
    /// ServiceAccounts in its namespace.
    pub service_accounts: BTreeSet<String>,
    /// PersistentVolumeClaims in its namespace.
    pub claims: BTreeSet<String>,
    /// Questions about the user.
    pub reviews: BTreeSet<Review>,
    /// What members will fetch.
    pub urls: BTreeSet<String>,
}

/// What has to be read before this cluster can be judged.
pub fn needs(cluster: &KubeDirectorCluster) -> Needs {
    let mut needs = Needs::default();
    let spec = &cluster.spec;
    let secrets = spec.roles.iter().filter_map(|role| role.secret.as_ref());
    let secrets = secrets.chain(&spec.default_secret);
    needs.secrets = secrets.map(|it| it.name.clone()).collect();
    for role in &spec.roles {
        if let Some(account) = &role.service_account_name {
            needs.service_accounts.insert(account.clone());
            needs.reviews.insert(Review::of_account(account));
        }
        for projection in &role.volume_projections {
            let name = &projection.pvc_name;
            needs.claims.insert(name.clone());
            let review = Review::of_claim(name, projection.read_only);
            needs.reviews.insert(review);
        }
        let urls = role.file_injections.iter().map(|it| it.src_url.clone());
        needs.urls.extend(urls);
    }
    needs
}

impl Surroundings {
    /// The application of a cluster and where it is: as the cluster says, else the first of local and
    /// system that there is.
    pub fn app(&self, cluster: &KubeDirectorCluster) -> Option<(AppCatalog, &KubeDirectorApp)> {
        let of = |catalog: AppCatalog| {
            let app = match catalog {
                AppCatalog::Local => self.local_app.as_ref(),
                AppCatalog::System => self.system_app.as_ref(),
            };
            app.filter(|app| app.metadata.name.as_deref() == Some(cluster.spec.app.as_str()))
                .map(|app| (catalog, app))
        };
        match cluster.spec.app_catalog {
            Some(catalog) => of(catalog),
            None => of(AppCatalog::Local).or_else(|| of(AppCatalog::System)),
        }
    }

    /// The storage class that holds where none is named.
    pub(super) fn default_class(&self) -> Option<&str> {
        let of_config = self.config.as_ref();
        let of_config = of_config.and_then(|config| config.default_storage_class_name.as_deref());
        of_config.or(self.storage_classes.default.as_deref())
    }

    /// Whether roles may say how much shared memory there is.
    pub(super) fn has_shared_memory(&self) -> bool {
        const SINCE: u32 = 22;
        let forced = self.config.as_ref();
        let forced = forced.and_then(|config| config.force_shared_memory_size_support);
        forced.unwrap_or_else(|| self.kubernetes_minor.is_none_or(|minor| minor >= SINCE))
    }
}
